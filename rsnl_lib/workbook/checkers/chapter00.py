"""The checkers of chapter 00's exercises."""

import functools
import math
from collections.abc import Callable
from typing import Any

import torch

from ... import data
from .. import score_cache
from .base import exercise, need, of_a_function, several

_FOUR = ("teacher", "standard", "kd", "robust")
_PICTURE = 4  # of the gallery: the digit of the chapter's first figure
_DRAWS = 20


@functools.cache
@torch.no_grad()
def times_named() -> dict[str, int]:
    """In how many of _DRAWS draws of noise at 0 dB each network names the digit of the figure."""
    x, y = data.gallery("mnist")
    one = x[_PICTURE : _PICTURE + 1]
    seen = torch.cat([score_cache.noisy(one, "gaussian", 0.0, draw) for draw in range(_DRAWS)])
    nets = score_cache.shipped_networks("mnist")
    return {m: int((nets[m](seen).argmax(1) == y[_PICTURE]).sum()) for m in _FOUR}


@exercise
def predict_scores(answer: Any) -> None:
    """00: which networks name the digit of the figure in more than half of the draws at 0 dB?"""
    need(several(answer), f"give a list of networks, of {', '.join(_FOUR)}")
    for name in answer:
        need(name in _FOUR, f"{name!r} is not among {', '.join(_FOUR)}")
    named = times_named()
    wrong = [m for m in _FOUR if (m in answer) != (named[m] > _DRAWS / 2)]
    said = {m: "expected" if m in answer else "left out" for m in wrong}
    told = [f"{named[m]} times by {m}, which you {said[m]}" for m in wrong]
    need(not wrong, f"in {_DRAWS} draws the 1 was named {', '.join(told)}")


@of_a_function
def decibels(function: Callable) -> None:
    """00: decibels to a ratio of powers."""
    for db, ratio in ((0, 1), (10, 10), (3, 10**0.3), (-10, 0.1)):
        got = function(db)
        hint = f"{db} dB is a ratio of {ratio:.4g}, your function gives {got}"
        for wrong, why in (
            (10 ** (db / 20), "that is the formula for amplitudes, powers take 10"),
            (10 ** (-db / 10), "more decibels are less noise: the sign is turned round"),
            (2 ** (db / 3), "3 dB is only nearly a factor of two"),
            (math.exp(db / 10), "the logarithm of decibels is the common one, of base 10"),
        ):
            if got and math.isclose(got, wrong) and not math.isclose(got, ratio):
                hint += f"; {why}"
        need(got is not None and math.isclose(got, ratio, rel_tol=1e-9), hint)
