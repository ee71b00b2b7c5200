"""The checkers of chapter 09's exercises."""

from collections.abc import Callable
from typing import Any

import numpy as np

from .base import exercise, need, of_a_function


@of_a_function
def holm(function: Callable) -> None:
    """09: Holm's step-down correction; function(ps) -> corrected ps in the same order."""

    def alike(got, want):
        return len(got) == len(want) and np.allclose(got, want, rtol=1e-9, atol=0)

    bonferroni = (
        "that is Bonferroni's rule, which multiplies every p by the number of tests;"
        " Holm's multiplies the second smallest by one less"
    )
    cases = {(0.01, 0.04, 0.03): [0.03, 0.06, 0.06], (0.6, 0.9): [1, 1], (0.2, 0.001): [0.2, 0.002]}
    for ps, want in cases.items():
        got = list(function(list(ps)))
        naive = [min(1, len(ps) * p) for p in ps]
        need(alike(got, want) or not alike(got, naive), bonferroni)
        need(alike(got, want), f"for {list(ps)} it is {want}, yours is {got}")


@exercise
def undecided(answer: Any) -> None:
    """09: the verdict on +0.4 [-0.3, +1.1] where half a point would matter."""
    word = str(answer).strip().lower()
    need(word != "holds", "an interval around zero shows no difference")
    beyond = "the interval reaches beyond half a point, so an effect that matters is not excluded"
    need(word != "fails", beyond)
    need(word == "undecided", f"{answer!r} is none of holds, fails, undecided")
