"""The checkers of chapter 06's exercises."""

import math
from collections.abc import Callable
from numbers import Real

import numpy as np

from .base import need, of_a_function


@of_a_function
def one_more_run(function: Callable) -> None:
    """06: mean -+ t s sqrt(1 + 1/n); function(results, t), tried on drawn runs."""
    got = function([1.0, 2.0, 3.0], 4.0)
    pair = isinstance(got, (tuple, list)) and [isinstance(v, Real) for v in got] == [True, True]
    need(pair, "return two numbers, low and high")

    def is_reach(reach):
        return np.allclose(got, (2 - reach, 2 + reach), rtol=1e-6, atol=0)

    of_mean = "that is the interval of the mean; one more run has its own spread as well"
    need(not is_reach(4 / math.sqrt(3)), of_mean)
    known = "the mean of n runs is not known exactly: its own error s / sqrt(n) belongs in as well"
    need(not is_reach(4), known)
    over_n = "your s divides by n; from so few runs the standard deviation divides by n - 1"
    need(not is_reach(4 * math.sqrt(2 / 3) * math.sqrt(4 / 3)), over_n)
    want = (2 - 4 * math.sqrt(4 / 3), 2 + 4 * math.sqrt(4 / 3))
    hint = "for 1, 2, 3 and t = 4 it is ({:.3f}, {:.3f}), yours is ({:.3f}, {:.3f})"
    need(is_reach(4 * math.sqrt(4 / 3)), hint.format(*want, *got))
    drawn = np.random.default_rng(0).normal(size=(2000, 4)).tolist()
    ends = [function(runs[:3], 4.302653) for runs in drawn]  # t of two degrees of freedom
    held = sum(low <= runs[3] <= high for (low, high), runs in zip(ends, drawn))
    told = f"of 2,000 times three runs it holds the fourth {held} times, and not 95 of 100 times"
    need(1860 <= held <= 1940, told)


@of_a_function
def cell_mark(function: Callable) -> None:
    """06: the mark of a cell; function(printed, low, high, column) -> its word."""
    cases = {
        (2.0, 2.5, 4.0, (1.0, 2.0, 3.0)): "differs",
        (2.0, 1.5, 2.5, (1.0, 2.0, 3.0)): "agrees",
        (2.0, 0.5, 3.5, (1.0, 2.0, 3.0)): "no answer",
        (9.0, 0.5, 3.5, (1.0, 2.0, 3.0)): "differs",
        (3.0, 1.0, 3.0, (1.0, 2.0, 3.0)): "no answer",
    }
    hints = {
        ("no answer", "agrees"): "the interval holds every number printed for this test, so it"
        " would agree with any method: no answer",
        ("agrees", "no answer"): "the interval leaves other methods' numbers outside: that is an"
        " answer",
        ("differs", "agrees"): "the printed number lies outside the interval",
        ("differs", "no answer"): "the printed number lies outside the interval; that is an answer,"
        " however wide the interval",
    }
    for (printed, low, high, column), want in cases.items():
        got = function(printed, low, high, list(column))
        asked = f"printed {printed:g}, interval [{low:g}, {high:g}], column {list(column)}"
        need(got in ("agrees", "differs", "no answer"), f"{asked}: {got!r} is none of the marks")
        why = hints.get((want, got), "it lies inside, and others lie outside")
        need(got == want, f"{asked}: {why}")
