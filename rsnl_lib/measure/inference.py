"""Intervals, tests and corrections."""

import math


def paired(values):
    """(mean, low, high, p) of paired differences: 95 % interval and two-sided p by Student's t; of
    fewer than two values nan.
    """
    from scipy import stats

    n = len(values)
    mean = sum(values) / n if n else math.nan
    if n < 2:
        return mean, math.nan, math.nan, math.nan
    error = math.sqrt(sum((v - mean) ** 2 for v in values) / (n - 1) / n)
    if error == 0:
        return mean, mean, mean, float(mean == 0)
    reach = float(stats.t.ppf(0.975, n - 1)) * error
    return mean, mean - reach, mean + reach, 2 * float(stats.t.sf(abs(mean) / error, n - 1))


def one_more(values):
    """(mean, reach): one more value like these falls into mean -+ reach in 95 of 100 cases, t s
    sqrt(1 + 1/n); of fewer than two the reach is nan.
    """
    mean, _, high, _ = paired(values)
    return mean, (high - mean) * math.sqrt(len(values) + 1)


def holm(ps):
    """Holm's step-down correction of p values over all tests; nan stays nan and counts as a
    test.
    """
    order, worst, out = (
        sorted((i for i, p in enumerate(ps) if not math.isnan(p)), key=lambda i: ps[i]),
        0.0,
        [math.nan] * len(ps),
    )
    for rank, i in enumerate(order):
        worst = max(worst, min(1.0, (len(ps) - rank) * ps[i]))
        out[i] = worst
    return out


def detectable(values, power=0.8):
    """The mean effect that a paired t-test on that many values of that spread would find with the
    given power, in their unit (nan below two values).
    """
    from scipy import stats

    n = len(values)
    if n < 2:
        return math.nan
    mean = sum(values) / n
    error = math.sqrt(sum((v - mean) ** 2 for v in values) / (n - 1) / n)
    return (float(stats.t.ppf(0.975, n - 1)) + float(stats.t.ppf(power, n - 1))) * error


def wilson(correct, n, z=1.96):
    """95 % interval (low, high) of a share by Wilson's formula."""
    if not 0 <= correct <= n or not n > 0:
        raise ValueError(f"{correct} correct of {n} is no share; it must be 0 to n of at least 1")
    p, shrink = correct / n, 1 + z * z / n
    middle, half = (
        (p + z * z / (2 * n)) / shrink,
        z / shrink * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)),
    )
    return middle - half, middle + half
