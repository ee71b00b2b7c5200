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
from ..data.catalogue import CLEAN
from ..env import ROOT
from ..measure.flips import ALPHA, N, corrected, flipped, interval, reach, statistic
from . import claims, jobs, mistakes
from .jobs import Job

FOLDER = ROOT / "data" / "claims"
TEACHERS = range(3, 11)
FEWEST = 6  # teachers with which a line may be judged
# compared with `robust` at the same weight, the recipe's own
CONTROLS = ("target_zero", "shuffled", "matched")
# of `robust`; "" is the recipe's own, 10
WEIGHTS = {"mnist": ("C1=1", "C1=3", ""), "few": ("C1=1", ""), "usps": ("C1=1", "")}
LINE_COLUMNS = (
    "line family place says dataset a b settings minus perturbation levels unit measure margin"
    " decides".split()
)
MEASURES = ("accuracy", "drop", "mistakes")


def lines(path=FOLDER / "lines.csv") -> list:
    """The registered lines as dicts: levels are numbers, `margin` is in points."""
    found = store.lines(path)
    for line in found:
        if list(line) != LINE_COLUMNS:
            raise ValueError(
                f"{path} has other columns than {', '.join(LINE_COLUMNS)}; bring it back with: git"
                f" restore {path}"
            )
        one_of("family", line["family"], "AB")
        one_of("measure", line["measure"], MEASURES)
        one_of("decides", line["decides"], claims.DECIDES)
        line.update(levels=[float(v) for v in line["levels"].split()], margin=float(line["margin"]))
    return found


def weights(line: dict) -> tuple:
    """The settings of `robust`'s weight over which a line goes; of two arms without a weight there
    is one.
    """
    if "robust" not in (line["a"], line["b"]) or line["b"] in CONTROLS:
        return ("",)
    return WEIGHTS["few" if "images=" in line["settings"] else line["dataset"]]


@functools.cache
def recipe_of_the_teachers(dataset: str) -> str:
    """The settings of the registered teachers' recipe, as `networks.csv` has them."""
    return next(
        row["settings"]
        for row in store.lines(FOLDER / "networks.csv")
        if (row["dataset"], row["method"]) == (dataset, "teacher")
    )


def job(dataset: str, method: str, settings: str, teacher: int) -> Job:
    """The Job of a method under a teacher; student seed t + 10 learns from teacher t."""
    guide = recipe_of_the_teachers(dataset)
    if method == "teacher":
        made = Job(dataset, "teacher", "mnist_teacher", settings=guide)
        return made._replace(seed=teacher, teacher_seed=teacher)
    made = Job(dataset, method, "mnist_student", settings=settings)
    made = made._replace(seed=teacher + 10, teacher_seed=teacher + 10)
    return made._replace(teacher_seed=teacher, teacher_settings=guide) if made.guided else made


def networks(teachers=TEACHERS) -> list:
    """Every registered Job, teacher by teacher, in the order in which they are trained."""
    return [
        job(row["dataset"], row["method"], row["settings"], t)
        for t in teachers
        for row in store.lines(FOLDER / "networks.csv")
    ]


def teachers(text: str | None = None) -> range:
    """A range of registered teachers from "3-5" or "4"; all of them from None."""
    lowest, highest = TEACHERS[0], TEACHERS[-1]
    first, _, last = (text or f"{lowest}-{highest}").partition("-")
    last = last or first
    numbers = first.isdecimal() and last.isdecimal()
    if not numbers or not lowest <= int(first) <= int(last) <= highest:
        raise ValueError(
            f"--teachers {text!r} is no range of registered teachers; write one such as 3-5, from"
            f" {lowest} to {highest}"
        )
    return range(int(first), int(last) + 1)


@functools.cache
def order() -> dict:
    """{job: its place} of all registered and described jobs."""
    return {j: i for i, j in enumerate([*networks(), *described()])}


def place(job: Job) -> int:
    """A job's place in the order in which registered networks are trained; others come first."""
    return order().get(job, -1)


@functools.cache
def described() -> list:
    """The CIFAR-10 networks that are described without p, in the order in which they are trained
    (`cifar.csv`): one teacher, one start.
    """
    return [
        Job("cifar10", row["method"], row["network"], settings=row["settings"])
        for row in store.lines(FOLDER / "cifar.csv")
    ]


def left(done: dict, wanted: list | None = None) -> dict:
    """{job: 1} of the registered jobs, or of the jobs `wanted`, of which a row is missing, in the
    order in which they are trained.
    """
    every = wanted or networks()
    return {j: 1 for j in every if not set(asked(j.dataset)) <= set(jobs.of(j, done))}


@functools.cache
def asked(dataset: str) -> tuple:
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
    return tuple(dict.fromkeys([CLEAN, *curve, *mine]))


def value(
    line: dict, method: str, settings: str, teacher: int, done: dict, told: dict, others: list
) -> float | None:
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
    noisy = [(line["perturbation"], v, line["unit"]) for v in line["levels"]]
    found = claims.share(done, one, noisy)
    clean = claims.share(done, one, [CLEAN]) if line["measure"] == "drop" else 0.0
    return None if None in (found, clean) else 100 * (found - clean)


def differences(line: dict, done: dict, told: dict | None = None, teachers=TEACHERS) -> dict:
    """{weight: [a minus b in points, a number a teacher]} of the first teachers for which all of a
    line is there: eight, else seven, else six, else none.

    Where the line has `minus`, the same difference at those settings is taken off.
    """
    for n in range(len(teachers), FEWEST - 1, -1):
        some = teachers[:n]
        found = {
            w: [_difference(line, w, t, done, told or {}, some) for t in some]
            for w in weights(line)
        }
        if not any(d is None for column in found.values() for d in column):
            return found
    return {w: [] for w in weights(line)}


def _difference(line, weight, teacher, done, told, teachers):
    """a minus b of one weight under one teacher, what `minus` says taken off; None where a row is
    missing.
    """
    others = [t for t in teachers if t != teacher]
    total = 0.0
    for sign, settings in ((1, line["settings"]), (-1, line["minus"])):
        if sign < 0 and not settings:
            continue
        for side, way in (("a", 1), ("b", -1)):
            method = line[side]
            mine = jobs.words(weight if method == "robust" else "", settings)
            if method == "teacher":
                mine = ""
            got = value(line, method, mine, teacher, done, told, others)
            if got is None:
                return None
            total += sign * way * got
    return total


def word(line: dict, mean: float, low: float, high: float, p: float, single) -> str:
    """The first word that fits; `single` are the simultaneous intervals of the single weights."""
    if math.isnan(mean):
        return "not run"
    if any(a[0] > 0 and b[1] < 0 for a in single for b in single):
        return "depends on C1"
    margin = line["margin"]
    if line["decides"] == "no worse":
        if low > -margin:
            return "supported"
        return "contradicted" if high < -margin else "open"
    inside = -margin < low and high < margin
    if p > ALPHA:
        return "too small to matter" if inside else "open"
    said = "supported" if mean > 0 else "contradicted"
    return f"{said}, within the margin" if inside else said


def judged(done: dict, told: dict | None = None, all_lines: list | None = None) -> list:
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
        c = reach(columns)
        c_single = reach(singles)
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


def power(sds, margins, effect: float = 1.0, n: int = N, trials: int = 400, seed: int = 0) -> list:
    """[(chance to be told from none, chance to be called too small)] of each line of a family with
    standard deviations `sds`, in points.

    The first: the line's true difference is `effect`, that of the others 0, p <= .05. The second:
    all are 0, and its interval lies inside its margin. Differences are drawn normal and independent
    from line to line, which is on the safe side: lines share networks.
    """
    drawn = np.random.default_rng(seed)
    seen = np.zeros(len(sds))
    small = np.zeros(len(sds))
    for _ in range(trials):
        d = drawn.normal(size=(len(sds), n)) * np.asarray(sds)[:, None]
        all_T = flipped(d)
        c = reach(d)
        for i, column in enumerate(d):
            moved = all_T.copy()
            moved[:, i] = flipped([column + effect])[:, 0]
            own = np.abs(statistic(d))
            own[i] = abs(float(statistic(column + effect)))
            rivals = own >= own[i]  # lines before it in the order would have to be rejected too
            order = sorted(np.flatnonzero(rivals), key=lambda j: -own[j])
            worst = 0.0
            kept = np.ones(len(sds), bool)
            for j in order:
                worst = max(worst, float((moved[:, kept].max(1) >= own[j] * (1 - 1e-9)).mean()))
                kept[j] = False
            seen[i] += worst <= ALPHA
            low, high = interval(column, c)
            small[i] += -margins[i] < low and high < margins[i]
    return list(zip(seen / trials, small / trials))
