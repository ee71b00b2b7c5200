"""The checkers of chapter 01's exercises."""

import math
from collections.abc import Callable
from typing import Any

from .base import exercise, near, need, of_a_function, several


@of_a_function
def fixed_point(function: Callable) -> None:
    """01: the largest min(s, m / G(s)) for a growing G; function(m, G) on plain numbers."""
    golden = (math.sqrt(5) - 1) / 2
    cases = ((1.0, lambda s: 1 + s, golden), (6.0, lambda s: 2.0, 3.0), (0.5, math.exp, 0.35173371))
    for m, G, want in cases:
        got = function(m, G)
        hint = f"for m = {m} the answer is {want:.4f}, yours is {got}"
        if near(got, m / G(0), rel_tol=1e-3):
            hint += "; that is m / G(0), the slope at x alone"
        need(near(got, want, rel_tol=2e-3), hint)


@exercise
def dual_norm(answer: Any) -> None:
    """01: the gradient's norm against perturbations bounded pixel by pixel."""
    holder = "Hölder needs 1/p + 1/q = 1, with q = inf here"
    need(answer == 1, f"the dual of inf is not {answer!r}: {holder}")


@exercise
def certificates(answer: Any) -> None:
    """01: which radii hold for certain?"""
    sound = {"interval Jacobian", "LipSDP", "product of norms"}
    need(several(answer), "give a list of names")
    bounds = "bounds the gap from below or at one point: a larger one may hide in the ball"
    for name in sorted(set(answer) - sound):
        need(name in sound, f"{name!r} {bounds}")
    need(set(answer) == sound, "those are right, but there are more")
