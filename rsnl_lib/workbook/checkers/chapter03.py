"""The checkers of chapter 03's exercises."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...train import losses
from .base import exercise, need, of_a_function, one_number, several

# 03: the convolution passes of the exact robust step, where cross-entropy makes three
conv_passes = one_number(
    6, "count forward, adjoint to x, tangent, its weight gradient, and the backward's two"
)


@of_a_function
def score_loss(function: Callable) -> None:
    """03: Eq. 15; function(f_S, f_T, gamma)."""
    f_S = torch.tensor([0.9, 0.2, 0.5])
    f_T = torch.tensor([0.6, 0.7, 0.5])
    want, swapped = (losses.score_loss(*pair, 0.1) for pair in ((f_S, f_T), (f_T, f_S)))
    got = function(f_S, f_T, 0.1)
    asked = f"for f_S {f_S.tolist()}, f_T {f_T.tolist()}, gamma 0.1 the mean hinge is {want:.4f}"
    need(isinstance(got, Tensor), f"{asked}, yours is {got}")
    hint = "student and teacher are swapped: the student pays when the teacher is ahead"
    need(not torch.isclose(got, swapped), hint)
    need(torch.isclose(got, want), f"{asked}, yours is {got}")


@exercise
def which_term(answer: Any) -> None:
    """03: with the student equal to the teacher, which terms are not zero?"""
    need(several(answer), "give a list of two of 'kd', 'score', 'gradient'")
    need("gradient" not in answer, "L_G compares two equal gradients: it is exactly zero")
    hint = "one is right, one is missing: look at what the hinge says to a draw, and at the"
    need(set(answer) == {"kd", "score"}, f"{hint} cross-entropy of a distribution with itself")
