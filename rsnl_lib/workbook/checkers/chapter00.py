"""The checkers of chapter 00's exercises."""

import math
from collections.abc import Callable
from typing import Any

from .base import exercise, need, of_a_function, several


@exercise
def predict_scores(answer: Any) -> None:
    """00: which networks still name the digit? Any list is taken; the point is to commit to one."""
    names = ("teacher", "standard", "kd", "robust")
    need(several(answer), f"give a list of networks, of {', '.join(names)}")
    for name in answer:
        need(name in names, f"{name!r} is not among {', '.join(names)}")


@of_a_function
def decibels(function: Callable) -> None:
    """00: decibels to a ratio of powers."""
    for db, ratio in ((0, 1), (10, 10), (3, 10**0.3), (-10, 0.1)):
        got = function(db)
        hint = f"{db} dB is a ratio of {ratio:.4g}, your function gives {got}"
        if got and math.isclose(got, 10 ** (db / 20)):
            hint += "; that is the formula for amplitudes, powers take 10"
        need(got is not None and math.isclose(got, ratio, rel_tol=1e-9), hint)
