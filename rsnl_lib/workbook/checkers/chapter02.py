"""The checkers of chapter 02's exercises."""

from collections.abc import Callable

import torch

from .base import need, of_a_function, one_number, shaped

# 02: the least L_S under f_T = 0.97 and gamma = 0.1
floor = one_number(0.07, "no score exceeds 1: what is left of gamma + f_T - f_S?", abs_tol=1e-9)


@of_a_function
def hinge_pull(function: Callable) -> None:
    """02: -d max(0, gamma + f_T - f_S) / d logits; function(o_S, f_T, y, gamma)."""
    o = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    want = 0.5 * torch.tensor([-0.2, 0.5, -0.3], dtype=torch.float64)
    got = function(o.clone(), 0.9, 1, 0.1)
    need(shaped(got, o), "return one number a class, shape (k,)")
    sign = "the sign: the pull is minus the derivative, it raises the true class"
    need(not torch.allclose(got, -want), sign)
    asked = f"for o_S {o.tolist()}, f_T 0.9, y 1, gamma 0.1 the pull is {want.tolist()}"
    need(torch.allclose(got, want), f"{asked}, yours is {got.tolist()}")
    closed = function(o.clone(), 0.1, 1, 0.1)
    need(not closed.any(), "where f_S > f_T + gamma the hinge is closed and pulls on nothing")
