"""The registered study: its networks, each line's differences teacher by teacher, one analysis,
symmetric words.

`data/claims/README.md` is the register in words. `networks.csv` beside it lists what is trained
under each teacher, `lines.csv` what is compared; all three are older than the first row. The first
register, `data/claims.csv`, is history.
"""

import functools
import math
import statistics

import numpy as np

from .. import store
from ..checks import one_of
from ..data import catalogue
from ..env import ROOT
from . import claims, jobs, mistakes

FOLDER = ROOT / "data" / "claims"
TEACHERS = range(3, 11)
N = len(TEACHERS)
ALPHA = 0.05
FEWEST = 6  # teachers with which a line may be judged
CONTROLS = (
    "target_zero",
    "shuffled",
    "matched",
)  # compared with `robust` at the same weight, the recipe's own
WEIGHTS = {
    "mnist": ("C1=1", "C1=3", ""),
    "few": ("C1=1", ""),
    "usps": ("C1=1", ""),
}  # of `robust`; "" is the recipe's own, 10
LINE_COLUMNS = (
    "line family place says dataset a b settings minus perturbation levels unit measure margin"
    " decides".split()
)
NETWORK_COLUMNS = "dataset method settings".split()
MEASURES = ("accuracy", "drop", "mistakes")
DECIDES = ("difference", "no worse")
WORDS = ("supported", "contradicted", "too small to matter", "open", "depends on C1", "not run")


def lines(path=FOLDER / "lines.csv"):
    """The registered lines as dicts: levels are numbers, `margin` is in points."""
    found = store.lines(path)
    for line in found:
        if list(line) != LINE_COLUMNS:
            raise ValueError(
                f"{path} has other columns than {', '.join(LINE_COLUMNS)}; bring it back with: git"
                f" restore {path}"
            )
        (
            one_of("family", line["family"], "AB"),
            one_of("measure", line["measure"], MEASURES),
            one_of("decides", line["decides"], DECIDES),
        )
        line.update(levels=[float(v) for v in line["levels"].split()], margin=float(line["margin"]))
    return found


def weights(line):
    """The settings of `robust`'s weight over which a line goes; of two arms without a weight there
    is one.
    """
    if "robust" not in (line["a"], line["b"]) or line["b"] in CONTROLS:
        return ("",)
    return WEIGHTS["few" if "images=" in line["settings"] else line["dataset"]]


@functools.cache
def recipe_of_the_teachers(dataset):
    """The settings of the registered teachers' recipe, as `networks.csv` has them."""
    return next(
        row["settings"]
        for row in store.lines(FOLDER / "networks.csv")
        if (row["dataset"], row["method"]) == (dataset, "teacher")
    )


def job(dataset, method, settings, teacher):
    """The Job of a method under a teacher; student seed t + 10 learns from teacher t."""
    guide = recipe_of_the_teachers(dataset)
    if method == "teacher":
        return jobs.Job(
            dataset, "teacher", "mnist_teacher", settings=guide, seed=teacher, teacher_seed=teacher
        )
    made = jobs.Job(
        dataset,
        method,
        "mnist_student",
        settings=settings,
        seed=teacher + 10,
        teacher_seed=teacher + 10,
    )
    return made._replace(teacher_seed=teacher, teacher_settings=guide) if made.guided else made


def networks(teachers=TEACHERS):
    """Every registered Job, teacher by teacher, in the order in which they are trained."""
    return [
        job(row["dataset"], row["method"], row["settings"], t)
        for t in teachers
        for row in store.lines(FOLDER / "networks.csv")
    ]


def teachers(text=None):
    """A range of registered teachers from "3-5" or "4"; all of them from None."""
    first, _, last = (text or f"{TEACHERS[0]}-{TEACHERS[-1]}").partition("-")
    if (
        not first.isdecimal()
        or not (last or first).isdecimal()
        or not TEACHERS[0] <= int(first) <= int(last or first) <= TEACHERS[-1]
    ):
        raise ValueError(
            f"--teachers {text!r} is no range of registered teachers; write one such as 3-5, from"
            f" {TEACHERS[0]} to {TEACHERS[-1]}"
        )
    return range(int(first), int(last or first) + 1)


@functools.cache
def order():
    return {j: i for i, j in enumerate([*networks(), *described()])}


def place(job):
    """A job's place in the order in which registered networks are trained; others come first."""
    return order().get(job, -1)


@functools.cache
def described():
    """The CIFAR-10 networks that are described without p, in the order in which they are trained
    (`cifar.csv`): one teacher, one start.
    """
    return [
        jobs.Job("cifar10", row["method"], row["network"], settings=row["settings"])
        for row in store.lines(FOLDER / "cifar.csv")
    ]


def left(done, wanted=None):
    """{job: 1} of the registered jobs, or of the jobs `wanted`, of which a row is missing, in the
    order in which they are trained.
    """
    return {
        j: 1 for j in wanted or networks() if not set(asked(j.dataset)) <= set(jobs.of(j, done))
    }


@functools.cache
def asked(dataset):
    """Every (perturbation, level, unit) that a registered line or Fig. 2(a) needs of a data set's
    networks, clean images first; of CIFAR's all that is measured.
    """
    if dataset == "cifar10":
        return tuple(catalogue.needed(dataset))
    mine = [
        (line["perturbation"], v, line["unit"])
        for line in lines()
        if line["dataset"] == dataset
        for v in line["levels"]
    ]
    curve = [("gaussian", v, "dB") for v in range(10, 0, -1)] if dataset == "mnist" else []
    return tuple(dict.fromkeys([("clean", 0, ""), *curve, *mine]))


def with_words(*words):
    return " ".join(filter(None, words))


def value(line, method, settings, teacher, done, told, others):
    """What a line measures of one network, in points; None where it is not there.

    accuracy: its mean over the levels. drop: minus the points lost from clean to noisy images.
    mistakes: `mistakes.agreement` of the network with its own teacher minus the mean of that with
    the teachers `others`; `told` is {job: `mistakes.read`}.
    """
    one = job(line["dataset"], method, settings, teacher)
    if line["measure"] == "mistakes":
        guides = [told.get(job(line["dataset"], "teacher", "", t)) for t in (teacher, *others)]
        if one not in told or any(guide is None for guide in guides):
            return None
        own, *rest = (mistakes.agreement(told[one], guide) for guide in guides)
        return 100 * (own - statistics.fmean(rest))
    found = claims.share(
        done, one, [(line["perturbation"], v, line["unit"]) for v in line["levels"]]
    )
    clean = claims.share(done, one, [("clean", 0.0, "")]) if line["measure"] == "drop" else 0.0
    return None if None in (found, clean) else 100 * (found - clean)


def differences(line, done, told=None, teachers=TEACHERS):
    """{weight: [a minus b in points, a number a teacher]} of the first teachers for which all of a
    line is there: eight, else seven, else six, else none.

    Where the line has `minus`, the same difference at those settings is taken off.
    """
    for n in range(len(teachers), FEWEST - 1, -1):
        found = {
            w: [_difference(line, w, t, done, told or {}, teachers[:n]) for t in teachers[:n]]
            for w in weights(line)
        }
        if not any(d is None for column in found.values() for d in column):
            return found
    return {w: [] for w in weights(line)}


def _difference(line, weight, teacher, done, told, teachers):
    others, total = [t for t in teachers if t != teacher], 0.0
    for sign, settings in ((1, line["settings"]), (-1, line["minus"])):
        if sign < 0 and not settings:
            continue
        for side, way in (("a", 1), ("b", -1)):
            own = weight if line[side] == "robust" else ""
            got = value(
                line,
                line[side],
                "" if line[side] == "teacher" else with_words(own, settings),
                teacher,
                done,
                told,
                others,
            )
            if got is None:
                return None
            total += sign * way * got
    return total


def statistic(d):
    """T = mean / (sd / sqrt n) of differences d (..., n), sd with n - 1; 0 where the mean is 0,
    infinite where only the spread is.
    """
    d = np.asarray(d, dtype=float)
    mean, error = d.mean(-1), d.std(-1, ddof=1) / math.sqrt(d.shape[-1])
    tiny = 1e-12 * np.abs(d).max(-1, initial=0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(
            np.abs(mean) <= tiny, 0.0, np.where(error <= tiny, np.sign(mean) * np.inf, mean / error)
        )


def signs(n=N):
    """All 2^n vectors of signs, (2^n, n)."""
    return 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)


def flipped(columns):
    """|T| of each column of differences under all 256 sign vectors, (256, lines): common to all
    lines; a line of n teachers takes the first n signs.
    """
    return np.stack(
        [np.abs(statistic(signs()[:, : len(d)] * np.asarray(d))) for d in columns], axis=1
    )


def corrected(columns):
    """Step-down max |T| p values (Westfall and Young) of columns of differences, one a line, in
    their order.

    The line with the largest |T| is held against the largest |T| of all lines under each sign
    vector, the next against that of the lines from itself on, and so on; p is the share of vectors
    that reach it (ties count), and never smaller than the one before.
    """
    own, all_T = np.array([abs(float(statistic(d))) for d in columns]), flipped(columns)
    order, p, worst = sorted(range(len(own)), key=lambda i: -own[i]), [math.nan] * len(own), 0.0
    for rank, i in enumerate(order):
        largest = all_T[:, order[rank:]].max(1)
        worst = max(worst, float((largest >= own[i] * (1 - 1e-9)).mean()))
        p[i] = worst
    return p


def reach(columns):
    """c of the simultaneous intervals mean +- c sd / sqrt n: the 244th smallest of the largest |T|
    of the residuals under the 256 sign vectors.
    """
    residuals = []
    for d in columns:
        left_over = np.asarray(d) - np.mean(d)
        residuals.append(
            np.where(
                np.abs(left_over) <= 1e-12 * np.abs(np.asarray(d)).max(initial=0.0), 0.0, left_over
            )
        )
    return float(np.sort(flipped(residuals).max(1))[math.ceil((1 - ALPHA) * 256) - 1])


def interval(d, c):
    """(low, high) = mean -+ c sd / sqrt n; the mean itself where all d are equal."""
    half = c * np.std(d, ddof=1) / math.sqrt(len(d)) if max(d) > min(d) else 0.0
    return float(np.mean(d) - half), float(np.mean(d) + half)


def word(line, mean, low, high, p, single):
    """The first word that fits; `single` are the simultaneous intervals of the single weights."""
    if math.isnan(mean):
        return "not run"
    if any(a[0] > 0 and b[1] < 0 for a in single for b in single):
        return "depends on C1"
    margin = line["margin"]
    if line["decides"] == "no worse":
        return "supported" if low > -margin else "contradicted" if high < -margin else "open"
    if p <= ALPHA:
        inside = -margin < low and high < margin
        return ("supported" if mean > 0 else "contradicted") + ", within the margin" * inside
    return "too small to matter" if -margin < low and high < margin else "open"


def judged(done, told=None, all_lines=None):
    """The registered lines with their differences by weight, the median over weights, n, mean, low,
    high, p (corrected in the family) and word.
    """
    out = []
    for line in all_lines or lines():
        by_weight = differences(line, done, told)
        median = [float(np.median(column)) for column in zip(*by_weight.values())]
        out.append({**line, "by_weight": by_weight, "d": median, "n": len(median)})
    for family in "AB":
        whole = [line for line in out if line["family"] == family and line["n"]]
        if not whole:
            continue
        columns = [line["d"] for line in whole]
        singles = [d for line in whole for d in line["by_weight"].values()]
        c, c_single = reach(columns), reach(singles)
        for line, p in zip(whole, corrected(columns)):
            low, high = interval(line["d"], c)
            each = {w: interval(d, c_single) for w, d in line["by_weight"].items()}
            line.update(mean=float(np.mean(line["d"])), low=low, high=high, p=p, single=each)
    for line in out:
        if not line["n"]:
            line.update(mean=math.nan, low=math.nan, high=math.nan, p=math.nan, single={})
        line["word"] = word(
            line, line["mean"], line["low"], line["high"], line["p"], line["single"].values()
        )
    return out


def power(sds, margins, effect=1.0, n=N, trials=400, seed=0):
    """[(chance to be told from none, chance to be called too small)] of each line of a family with
    standard deviations `sds`, in points.

    The first: the line's true difference is `effect`, that of the others 0, p <= .05. The second:
    all are 0, and its interval lies inside its margin. Differences are drawn normal and independent
    from line to line, which is on the safe side: lines share networks.
    """
    drawn, seen, small = np.random.default_rng(seed), np.zeros(len(sds)), np.zeros(len(sds))
    for _ in range(trials):
        d = drawn.normal(size=(len(sds), n)) * np.asarray(sds)[:, None]
        all_T, c = flipped(d), reach(d)
        for i, column in enumerate(d):
            moved = all_T.copy()
            moved[:, i] = flipped([column + effect])[:, 0]
            own = np.abs(statistic(d))
            own[i] = abs(float(statistic(column + effect)))
            rivals = own >= own[i]  # lines before it in the order would have to be rejected too
            order = sorted(np.flatnonzero(rivals), key=lambda j: -own[j])
            worst, kept = 0.0, np.ones(len(sds), bool)
            for j in order:
                worst = max(worst, float((moved[:, kept].max(1) >= own[j] * (1 - 1e-9)).mean()))
                kept[j] = False
            seen[i] += worst <= ALPHA
            low, high = interval(column, c)
            small[i] += -margins[i] < low and high < margins[i]
    return list(zip(seen / trials, small / trials))
