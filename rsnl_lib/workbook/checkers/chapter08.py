"""The checkers of chapter 08's exercises."""

from collections.abc import Callable
from typing import Any

import torch

from .base import exercise, near, need, of_a_function, shaped


@of_a_function
def newton(function: Callable) -> None:
    """08: the step to where a linear gap L with gradient g (d,) is zero; function(L, g) -> (d,)."""
    for L, slope in ((2.0, [3.0, 4.0]), (0.5, [1.0, 0.0]), (-1.0, [0.0, 2.0])):
        g = torch.tensor(slope)
        got = function(L, g.clone())
        need(shaped(got, g), "return a tensor of the gradient's shape")
        change = float(got @ g)
        wrong_way = "that is the right length in the wrong direction: the gap must fall"
        need(abs(L - change) > 1e-5, wrong_way)
        left = f"from a gap of {L:g} your step leaves {L + change:+.3g}"
        need(abs(L + change) < 1e-5, f"{left}; divide by the square of the gradient's length")
        detour = abs(float(got.norm()) - abs(L) / float(g.norm())) > 1e-5
        hint = "it lands on the boundary by a detour; the shortest way is along the gradient"
        need(not detour, hint)


@exercise
def similar(answer: Any) -> None:
    """08: MagSim of vectors of length 2 and 3."""
    need(answer != 1.5, "the smaller length over the larger, so that it is at most 1")
    need(near(answer, 2 / 3, rel_tol=1e-3), "MagSim looks at the two lengths only")
