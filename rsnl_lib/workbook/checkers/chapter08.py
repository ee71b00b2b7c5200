"""The checkers of chapter 08's exercises."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from .base import exercise, near, need, of_a_function, shaped


def _of_each(v):
    """Numbers (n,) as (n, 1, 1, 1), to multiply images with."""
    return v.view(-1, 1, 1, 1)


def _slope(net, x, gap):
    """gap(logits) (n,) of each image and its gradient, both to multiply images with."""
    x = x.clone().requires_grad_()
    L = gap(net(x))
    (g,) = torch.autograd.grad(L.sum(), x)
    return _of_each(L.detach()), g


def _length(g):
    """Each image's length."""
    return _of_each(g.flatten(1).norm(dim=1))


def _steps(net, x, b, k, eta, eps) -> tuple[Tensor, dict]:
    """The right step, and {what is wrong, in words: the step that this mistake makes}."""

    def gap(a):
        return (a.gather(1, b[:, None]) - a.gather(1, k[:, None]))[:, 0]

    L, g = _slope(net, x, gap)
    P, h = _slope(net, x, lambda a: gap(a.softmax(1)))
    F, e = _slope(net, x, lambda a: a.gather(1, b[:, None])[:, 0])
    way, long = g / _length(g), eta * (L + eps)
    scaled = "the gradient's length is missing: divide by it, or a steep place makes a long step"
    reversed_gap = -eta * (L - eps) * way
    of_scores = -eta * (P + eps) * h / _length(h)
    alone = -eta * (F + eps) * e / _length(e)
    return -long * way, {
        "the images stand still; subtract the step from x": 0 * g,
        "wrong sign: your step goes up the gradient, and the gap grows": long * way,
        scaled: -long * g,
        "that is Newton's step; here eta says how long it is": -(L + eps) * g / _length(g) ** 2,
        "you divide by the square of the length; once is enough": -long * g / _length(g) ** 2,
        "one length for the whole batch; each gradient has its own": -long * g / g.norm(),
        "wrong gap: yours is a_k - a_b, and epsilon then stops the walk short": reversed_gap,
        "wrong gap: yours is of scores after softmax; the walk is on logits": of_scores,
        "wrong gap: yours is a_b alone; subtract a_k": alone,
        "epsilon is missing: without it the walk does not cross": -eta * L * way,
    }


@of_a_function
def bss_step(function: Callable) -> None:
    """08: the BSS paper's step for a batch; function(net, x, b, k, eta, eps) -> images."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    with torch.no_grad():
        net[1].weight.copy_(torch.tensor([[2.0, 1, 0, 1], [0, -1, 2, 1], [1, 0, 0, -5]]))
        net[1].bias.copy_(torch.tensor([1.0, 0.5, 0]))
    x = torch.tensor([[0.9, 0.4, 0.1, 0.3], [0.2, 0.1, 0.9, 0.6]]).view(2, 1, 2, 2)
    where = (torch.tensor([0, 1]), torch.tensor([1, 2]), 0.3, 0.5)
    got = function(net, x.clone(), *where)
    need(shaped(got, x), "return images: a tensor of the shape of x")
    right, mistakes = _steps(net, x, *where)
    for words, wrong in mistakes.items():
        need(not torch.allclose(got.detach() - x, wrong, atol=1e-5), words)
    went, asked = (", ".join(f"{v:.3f}" for v in _length(d).flatten()) for d in (got - x, right))
    hint = f"the two steps are to be {asked} long, yours are {went}; or they point another way"
    need(torch.allclose(got.detach() - x, right, atol=1e-5), hint)


@exercise
def similar(answer: Any) -> None:
    """08: MagSim and AngSim of the walks (3, 0) and (0, 2)."""
    pair = isinstance(answer, (tuple, list)) and len(answer) == 2
    need(pair, "give two numbers, MagSim and AngSim")
    mag, ang = answer
    need(not (near(mag, 0, abs_tol=1e-3) and near(ang, 2 / 3, rel_tol=1e-3)), "swap the two")
    need(not near(mag, 1.5, rel_tol=1e-3), "the smaller length over the larger: at most 1")
    need(near(mag, 2 / 3, rel_tol=1e-3), "MagSim looks at the two lengths only, 3 and 2")
    need(
        not near(ang, 1, abs_tol=1e-3), "AngSim is 1 for one direction; these are at a right angle"
    )
    need(near(ang, 0, abs_tol=1e-3), "AngSim is the cosine of the angle between the walks")
