"""The checkers of chapter 02's exercises."""

from collections.abc import Callable

import torch
from torch import Tensor

from ...geometry import input_gradient
from ...train.losses import gradient_loss
from .base import need, of_a_function, shaped, small_pair


@of_a_function
def hinge_pull(function: Callable) -> None:
    """02: -d max(0, gamma + f_T - f_S) / d logits; function(o_S, f_T, y, gamma)."""
    o = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    want = 0.5 * torch.tensor([-0.2, 0.5, -0.3], dtype=torch.float64)
    got = function(o.clone(), 0.9, 1, 0.1)
    need(shaped(got, o), "return one number a class, shape (k,)")
    sign = "the sign: the pull is minus the derivative, it raises the true class"
    need(not torch.allclose(got, -want), sign)
    short = "the factor f_S is missing: that is cross-entropy's pull"
    need(not torch.allclose(got, 2 * want), short)
    asked = f"for o_S {o.tolist()}, f_T 0.9, y 1, gamma 0.1 the pull is {want.tolist()}"
    need(torch.allclose(got, want), f"{asked}, yours is {got.tolist()}")
    closed = function(o.clone(), 0.1, 1, 0.1)
    need(not closed.any(), "where f_S > f_T + gamma the hinge is closed and pulls on nothing")


@of_a_function
def gradient_term(function: Callable) -> None:
    """02: L_G (Eq. 16), differentiable; function(net_S, net_T, x, y, tau)."""
    net_S, net_T, x, y = small_pair()

    def gap(tau):
        g_S, g_T = (input_gradient(n, x, y, tau, create_graph=True)[1] for n in (net_S, net_T))
        return g_S, g_T.detach()

    g_S, g_T = gap(2.0)
    want, squares = gradient_loss(g_S, g_T), (g_S - g_T).square()
    got = function(net_S, net_T, x.clone(), y, 2.0)
    need(isinstance(got, Tensor) and got.ndim == 0, "return a tensor of one number, the mean")
    wrong = {
        "tau is missing: divide the logits by it before the softmax": gradient_loss(*gap(1.0)),
        "sum the squares over an image's pixels, and differentiate the summed scores: a mean in"
        " either place is too small": squares.mean(),
        "take the mean over the images, not the sum": squares.sum(),
        "the square is missing: Eq. 16 has the squared length": squares.sum((1, 2, 3))
        .sqrt()
        .mean(),
    }
    for hint, value in wrong.items():
        need(not torch.isclose(got, value, rtol=1e-6), hint)
    told = f"for the check's two networks L_G is {want:.6f}, yours is {got:.6f}"
    need(torch.isclose(got, want, rtol=1e-6), told)
    graph = "the value is right, but it reaches no weight of the student: give create_graph=True"
    need(got.requires_grad, f"{graph} to its torch.autograd.grad")
    weight = net_S[1].weight
    mine, asked = (torch.autograd.grad(v, weight, allow_unused=True)[0] for v in (got, want))
    need(mine is not None and torch.allclose(mine, asked, rtol=1e-6), f"{graph} for net_S")
