"""The test by sign flips: step-down max |T| p values and simultaneous intervals of many lines of
paired differences at once.
"""

import math

import numpy as np

N = 8  # differences of a whole line; one of fewer takes the first signs of each vector
ALPHA = 0.05


def statistic(d) -> np.ndarray:
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


def signs(n: int = N) -> np.ndarray:
    """All 2^n vectors of signs, (2^n, n)."""
    return 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)


def flipped(columns) -> np.ndarray:
    """|T| of each column of differences under all 256 sign vectors, (256, lines): common to all
    lines; a line of n teachers takes the first n signs.
    """
    every = signs()
    return np.stack([np.abs(statistic(every[:, : len(d)] * np.asarray(d))) for d in columns], 1)


def corrected(columns) -> list:
    """Step-down max |T| p values (Westfall and Young) of columns of differences, one a line, in
    their order.

    The line with the largest |T| is held against the largest |T| of all lines under each sign
    vector, the next against that of the lines from itself on, and so on; p is the share of vectors
    that reach it (ties count), and never smaller than the one before.
    """
    own = np.array([abs(float(statistic(d))) for d in columns])
    all_T = flipped(columns)
    order = sorted(range(len(own)), key=lambda i: -own[i])
    p = [math.nan] * len(own)
    worst = 0.0
    for rank, i in enumerate(order):
        largest = all_T[:, order[rank:]].max(1)
        worst = max(worst, float((largest >= own[i] * (1 - 1e-9)).mean()))
        p[i] = worst
    return p


def reach(columns) -> float:
    """c of the simultaneous intervals mean +- c sd / sqrt n: the 244th smallest of the largest |T|
    of the residuals under the 256 sign vectors.
    """
    residuals = []
    for d in map(np.asarray, columns):
        left_over = d - np.mean(d)
        tiny = 1e-12 * np.abs(d).max(initial=0.0)
        residuals.append(np.where(np.abs(left_over) <= tiny, 0.0, left_over))
    return float(np.sort(flipped(residuals).max(1))[math.ceil((1 - ALPHA) * 256) - 1])


def interval(d, c: float) -> tuple:
    """(low, high) = mean -+ c sd / sqrt n; the mean itself where all d are equal."""
    half = c * np.std(d, ddof=1) / math.sqrt(len(d)) if max(d) > min(d) else 0.0
    return float(np.mean(d) - half), float(np.mean(d) + half)
