"""Intervals, tests and corrections."""

import math


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


def holm(ps: list) -> list:
    """Holm's step-down correction of p values over all tests; nan stays nan, counting as a test."""
    order = sorted((i for i, p in enumerate(ps) if not math.isnan(p)), key=lambda i: ps[i])
    out = [math.nan] * len(ps)
    worst = 0.0
    for rank, i in enumerate(order):
        worst = max(worst, min(1.0, (len(ps) - rank) * ps[i]))
        out[i] = worst
    return out


def detectable(values: list, power: float = 0.8) -> float:
    """The mean effect that a paired t-test on that many values of that spread would find with the
    given power, in their unit (nan below two values).
    """
    from scipy import stats

    n = len(values)
    if n < 2:
        return math.nan
    reach = stats.t.ppf(0.975, n - 1) + stats.t.ppf(power, n - 1)
    return float(reach * stats.sem(values))


def wilson(correct: int, n: int, z: float = 1.96) -> tuple:
    """95 % interval (low, high) of a share by Wilson's formula."""
    if not 0 <= correct <= n or not n > 0:
        raise ValueError(f"{correct} correct of {n} is no share; it must be 0 to n of at least 1")
    p = correct / n
    shrink = 1 + z * z / n
    middle = (p + z * z / (2 * n)) / shrink
    half = z / shrink * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return middle - half, middle + half
