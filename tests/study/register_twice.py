"""The analysis of the register, written a second time from its text alone."""

import itertools
import math
import statistics

SIGNS = list(itertools.product((1, -1), repeat=8))
TINY = 1e-12  # below this share of a line's largest |d| a number is rounding, so zero
NAN = float("nan")


def t_value(values, scale):
    """mean / (sd / sqrt n). Zero where the mean is zero, infinite where only the sd is."""
    n = len(values)
    mean = math.fsum(values) / n
    if abs(mean) <= TINY * scale:
        return 0.0
    if max(values) - min(values) <= TINY * scale:
        return math.copysign(math.inf, mean)
    sd = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1))
    return mean / (sd / math.sqrt(n))


def signed_t(values, scale):
    """|T| of the values under each of the 256 vectors; the first n signs are used."""
    table = []
    for signs in SIGNS:
        table.append(abs(t_value([s * v for s, v in zip(signs, values)], scale)))
    return table


def step_down(columns):
    """The p of every column (step 3)."""
    scales = [max(abs(v) for v in col) for col in columns]
    seen = [abs(t_value(col, sc)) for col, sc in zip(columns, scales)]
    tables = [signed_t(col, sc) for col, sc in zip(columns, scales)]
    order = sorted(range(len(columns)), key=lambda k: -seen[k])
    p = [NAN] * len(columns)
    so_far = 0.0
    for place, k in enumerate(order):
        count = 0
        for v in range(len(SIGNS)):
            largest = max(tables[other][v] for other in order[place:])
            if largest >= seen[k] * (1 - 1e-9):
                count += 1
        so_far = max(so_far, count / len(SIGNS))
        p[k] = so_far
    return p


def intervals(columns):
    """The simultaneous interval (low, high) of every column (step 4)."""
    means, tables = [], []
    for col in columns:
        scale = max(abs(v) for v in col)
        mean = math.fsum(col) / len(col)
        rest = [v - mean for v in col]
        rest = [0.0 if abs(r) <= TINY * scale else r for r in rest]
        means.append(mean)
        tables.append(signed_t(rest, scale))
    c = sorted(max(t[v] for t in tables) for v in range(len(SIGNS)))[243]
    result = []
    for col, mean in zip(columns, means):
        half = 0.0  # a constant column has a point for an interval, even if c is infinite
        if max(col) - min(col) > TINY * max(abs(v) for v in col):
            half = c * statistics.stdev(col) / math.sqrt(len(col))
        result.append((mean - half, mean + half))
    return result


def word_of(line, mean, low, high, p, singles):
    """The first word that fits a line that is run; singles: intervals of its weights."""
    margin = line["margin"]
    if any(lo > 0 for lo, _ in singles) and any(hi < 0 for _, hi in singles):
        return "depends on C1"
    if line["decides"] == "no worse":
        if low > -margin:
            return "supported"
        return "contradicted" if high < -margin else "open"
    inside = -margin < low and high < margin
    if p <= 0.05 and mean != 0:
        word = "supported" if mean > 0 else "contradicted"
        return word + (", within the margin" if inside else "")
    return "too small to matter" if inside else "open"


def judge(lines):
    """The verdicts of one family: {line name: {n, mean, low, high, p, word}}."""
    out, run, columns, single_columns, owners = {}, [], [], [], []
    for line in lines:
        out[line["line"]] = {
            "n": 0,
            "mean": NAN,
            "low": NAN,
            "high": NAN,
            "p": NAN,
            "word": "not run",
        }
        weights = [[float(v) for v in w] for w in line["by_weight"].values()]
        if not weights or min(len(w) for w in weights) < 6:
            continue
        columns.append([statistics.median(at_teacher) for at_teacher in zip(*weights)])
        for w in weights:
            single_columns.append(w)
            owners.append(len(run))
        run.append(line)
    if not run:
        return out
    ps, whole, single = step_down(columns), intervals(columns), intervals(single_columns)
    for k, line in enumerate(run):
        mean, (low, high) = math.fsum(columns[k]) / len(columns[k]), whole[k]
        mine = [iv for iv, owner in zip(single, owners) if owner == k]
        out[line["line"]] = {
            "n": len(columns[k]),
            "mean": mean,
            "low": low,
            "high": high,
            "p": ps[k],
            "word": word_of(line, mean, low, high, ps[k], mine),
        }
    return out
