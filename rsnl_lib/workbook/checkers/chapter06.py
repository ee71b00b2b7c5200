"""The checkers of chapter 06's exercises."""

import math
from collections.abc import Callable
from numbers import Real

import numpy as np

from .base import need, of_a_function, one_number

# 06: weights of the CIFAR teacher over those of Student 1, to two decimals
compression = one_number(36.24, "divide the exact counts, and round to two decimals", abs_tol=0.005)


@of_a_function
def one_more_run(function: Callable) -> None:
    """06: mean -+ t s sqrt(1 + 1/n); function(results, t)."""
    got = function([1.0, 2.0, 3.0], 4.0)
    pair = isinstance(got, (tuple, list)) and [isinstance(v, Real) for v in got] == [True, True]
    need(pair, "return two numbers, low and high")
    of_mean = math.isclose(got[0], 2 - 4 / math.sqrt(3), rel_tol=1e-6)
    need(not of_mean, "that is the interval of the mean; one more run has its own spread as well")
    want = (2 - 4 * math.sqrt(4 / 3), 2 + 4 * math.sqrt(4 / 3))
    hint = "for 1, 2, 3 and t = 4 it is ({:.3f}, {:.3f}), yours is ({:.3f}, {:.3f})"
    need(np.allclose(got, want, rtol=1e-6, atol=0), hint.format(*want, *got))
