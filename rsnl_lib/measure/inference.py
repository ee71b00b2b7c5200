"""Intervals, tests and corrections; the test by sign flips, of many lines of paired differences at
once.
"""

import math
from collections.abc import Collection, Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from ..checks import finite

N = 8  # differences of a whole line; one of fewer takes the first signs of each vector
ALPHA = 0.05


def paired(values: list) -> tuple:
    """(mean, low, high, p) of paired differences: 95 % interval and two-sided p by Student's t; of
    fewer than two values nan.
    """
    from scipy import stats

    n = len(values)
    mean = sum(values) / n if n else math.nan
    if n < 2:
        return mean, math.nan, math.nan, math.nan
    error = float(stats.sem(values))
    if error == 0:
        return mean, mean, mean, float(mean == 0)
    low, high = map(float, stats.t.interval(0.95, n - 1, mean, error))
    return mean, low, high, 2 * float(stats.t.sf(abs(mean) / error, n - 1))


def one_more(values: list) -> tuple:
    """(mean, reach): one more value like these falls into mean -+ reach in 95 of 100 cases, t s
    sqrt(1 + 1/n); of fewer than two the reach is nan.
    """
    mean, _, high, _ = paired(values)
    return mean, (high - mean) * math.sqrt(len(values) + 1)


def holm_p(ps: list) -> list:
    """Holm's step-down correction of p values over all tests; nan stays nan, counting as a test."""
    ps = np.asarray(ps, dtype=float)
    if (odd := ps[(ps < 0) | (ps > 1)]).size:
        raise ValueError(f"p={odd[0]} is no chance; it must lie between 0 and 1")
    order = np.argsort(ps)  # nan last
    out = np.empty(len(ps))
    steps = (len(ps) - np.arange(len(ps))) * ps[order]
    out[order] = np.maximum.accumulate(np.minimum(1.0, steps))
    return out.tolist()


def detectable(values: list) -> float:
    """The mean effect that a paired t-test on that many values of that spread would find with power
    0.8, in their unit (nan below two values).
    """
    from scipy import stats

    n = len(values)
    if n < 2:
        return math.nan
    return float((stats.t.ppf(0.975, n - 1) + stats.t.ppf(0.8, n - 1)) * stats.sem(values))


def wilson(correct: int, n: int) -> tuple:
    """95 % interval (low, high) of a share by Wilson's formula."""
    finite("correct", correct)
    finite("n", n)
    if not 0 <= correct <= n or not n > 0:
        raise ValueError(f"{correct} correct of {n} is no share; it must be 0 to n of at least 1")
    z = 1.96
    p = correct / n
    shrink = 1 + z * z / n
    middle = (p + z * z / (2 * n)) / shrink
    half = z / shrink * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return middle - half, middle + half


def statistic(d: ArrayLike) -> np.ndarray:
    """T = mean / (sd / sqrt n) of differences d (..., n), sd with n - 1; 0 where the mean is 0,
    infinite where only the spread is.
    """
    d = np.asarray(d, dtype=float)
    mean = d.mean(-1)
    error = d.std(-1, ddof=1) / math.sqrt(d.shape[-1])
    tiny = 1e-12 * np.abs(d).max(-1, initial=0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(error <= tiny, np.sign(mean) * np.inf, mean / error)
    return np.where(np.abs(mean) <= tiny, 0.0, t)


def flipped(columns: Iterable[ArrayLike]) -> np.ndarray:
    """|T| of each column of differences under all 256 sign vectors, (256, lines): common to all
    lines; a line of n teachers takes the first n signs.
    """
    columns = list(columns)
    if not columns:
        raise ValueError("there are no columns of differences to test; give at least one")
    if odd := [len(d) for d in columns if not 2 <= len(d) <= N]:
        raise ValueError(f"a column has {odd[0]} differences; the test is for 2 to {N}")
    signs = 1 - 2 * ((np.arange(2**N)[:, None] >> np.arange(N)) & 1)
    return np.stack([np.abs(statistic(signs[:, : len(d)] * np.asarray(d))) for d in columns], 1)


def corrected(columns: Collection[ArrayLike]) -> list:
    """Step-down max |T| p values (Westfall and Young) of columns of differences, one a line: the
    line with the largest |T| is held against the largest of all under each sign vector, the next
    against that of the lines from itself on; p is the share of vectors that reach it (ties count),
    and never smaller than the one before.
    """
    own = np.array([abs(float(statistic(d))) for d in columns])
    order = np.argsort(-own, kind="stable")
    largest = np.maximum.accumulate(flipped(columns)[:, order[::-1]], axis=1)[:, ::-1]
    p = np.empty(len(own))
    p[order] = np.maximum.accumulate((largest >= own[order] * (1 - 1e-9)).mean(0))
    return p.tolist()


def critical_value(columns: Iterable[ArrayLike]) -> float:
    """c of the simultaneous intervals mean +- c sd / sqrt n: the 244th smallest of the largest |T|
    of the residuals under the 256 sign vectors.
    """
    residuals = []
    for d in map(np.asarray, columns):
        left_over = d - np.mean(d)
        tiny = 1e-12 * np.abs(d).max(initial=0.0)
        residuals.append(np.where(np.abs(left_over) <= tiny, 0.0, left_over))
    return float(np.sort(flipped(residuals).max(1))[math.ceil((1 - ALPHA) * 256) - 1])


def interval(d: Sequence[float], c: float) -> tuple:
    """(low, high) = mean -+ c sd / sqrt n; the mean itself where all d are equal."""
    half = c * np.std(d, ddof=1) / math.sqrt(len(d)) if max(d) > min(d) else 0.0
    return float(np.mean(d) - half), float(np.mean(d) + half)
