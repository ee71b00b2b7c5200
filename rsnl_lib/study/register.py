"""The second register: its networks, each line's differences teacher by teacher, symmetric words.

`data/claims/README.md` is the register in words. `networks.csv` beside it lists what is trained
under each teacher, `lines.csv` what is compared; all three are older than the first row.
"""

import functools
import math
import re
import statistics
from collections.abc import Collection

import numpy as np

from .. import store
from ..checks import one_of
from ..data import catalogue
from ..data.catalogue import CLEAN, Condition
from ..env import ROOT
from ..measure.inference import ALPHA, N, corrected, critical_value, interval
from . import claims, mistakes
from .jobs import Job, words
from .results import Results

REGISTER = ROOT / "data" / "claims"
REGISTERED = range(3, 11)  # its teachers
FEWEST = 6  # teachers with which a line may be judged
# what a line is called whose effect is so (claims.effect_word)
OF_A_LINE = {"a gain": "supported", "no worse": "supported", "a loss": "contradicted"}
OF_A_LINE |= {"undecided": "open", "too small to matter": "too small to matter"}
CONTROLS = ("target_zero", "shuffled", "matched")  # compared with `robust` at the recipe's weight
# of `robust`; "" is the recipe's own, 10
WEIGHTS = {"mnist": ("C1=1", "C1=3", ""), "few": ("C1=1", ""), "usps": ("C1=1", "")}


def weights(line: dict) -> tuple[str, ...]:
    """The settings of `robust`'s weight over which a line goes; one where no arm has a weight."""
    if "robust" not in (line["a"], line["b"]) or line["b"] in CONTROLS:
        return ("",)
    return WEIGHTS["few" if "images=" in line["settings"] else line["dataset"]]


@functools.cache
def guide_settings(dataset: str) -> str:
    """The settings of the registered teachers' recipe, as `networks.csv` has them."""
    rows = store.lines(REGISTER / "networks.csv")
    found = {r["dataset"]: r["settings"] for r in rows if r["method"] == "teacher"}
    return found[one_of("dataset", dataset, found)]


def job(dataset: str, method: str, settings: str, teacher: int) -> Job:
    """The Job of a method under a teacher; student seed t + 10 learns from teacher t."""
    one_of("teacher", teacher, REGISTERED)
    guide = guide_settings(dataset)
    if method == "teacher":
        return Job(dataset, method, "mnist_teacher", settings=guide).at(teacher, teacher)
    student = Job(dataset, method, "mnist_student", settings=settings)
    return student.at(teacher + 10, teacher, teacher_settings=guide)


def networks(teachers: list | range = REGISTERED) -> list[Job]:
    """Every registered Job, teacher by teacher, in training order."""
    rows = store.lines(REGISTER / "networks.csv")
    return [job(r["dataset"], r["method"], r["settings"], t) for t in teachers for r in rows]


def cifar_networks() -> list[Job]:
    """The CIFAR-10 networks described without p (one teacher, one start), in training order."""
    rows = store.lines(REGISTER / "cifar.csv")
    return [Job("cifar10", r["method"], r["network"], settings=r["settings"]) for r in rows]


def teachers(text: str | None = None) -> range:
    """A range of registered teachers from "3-5" or "4"; all of them without a text."""
    lowest, highest = REGISTERED[0], REGISTERED[-1]
    first, _, last = (text or f"{lowest}-{highest}").partition("-")
    ends = [int(end) for end in (first, last or first) if end.isdecimal()]
    if len(ends) < 2 or not lowest <= ends[0] <= ends[1] <= highest:
        raise ValueError(
            f"--teachers {text!r} is no range of registered teachers; write one such as 3-5, from"
            f" {lowest} to {highest}"
        )
    return range(ends[0], ends[1] + 1)


@functools.cache
def place(job: Job) -> int:
    """A job's place in training order among the registered and described; others come first."""
    every = [*networks(), *cifar_networks()]
    return every.index(job) if job in every else -1


@functools.cache
def dataset_conditions(dataset: str) -> tuple[Condition, ...]:
    """What lines or Fig. 2(a) need of a data set's networks; of CIFAR's all that is measured."""
    if dataset == "cifar10":
        return tuple(catalogue.needed(dataset))
    lines = [line for line in claims.read_lines("claims/lines") if line["dataset"] == dataset]
    curve = [Condition("gaussian", v, "dB") for v in range(10, 0, -1)]
    needed = [CLEAN, *(curve if dataset == "mnist" else ())]
    return tuple(dict.fromkeys(needed + [c for line in lines for c in claims.conditions(line)]))


def network_jobs(done: Results, listed: list[Job] | None = None) -> dict[Job, int]:
    """{job: 1} of the `listed` jobs (None: the registered) of which a row is missing, in order."""
    return done.missing((j, dataset_conditions(j.dataset)) for j in listed or networks())


def value(line: dict, one: Job, teachers: list[int], done: Results, told: dict) -> float:
    """What a line measures of one network, in points; nan where it is not there. Of mistakes
    (`told`, by job) the `agreement` with its own teacher, the first of `teachers`, minus the mean
    of that with the others.
    """
    if line["measure"] != "mistakes":
        return 100 * claims.line_share(line, one, done)
    guides = [job(line["dataset"], "teacher", "", t) for t in teachers]
    if not told.keys() >= {one, *guides}:
        return math.nan
    own, *others = (mistakes.agreement(told[one], told[guide]) for guide in guides)
    return 100 * (own - statistics.fmean(others))


def difference(
    line: dict,
    weight: str,
    teacher: int,
    done: Results,
    teachers: list | range = (),
    told: dict | None = None,
) -> float:
    """One teacher's a minus b in points at a weight of `robust`, at `minus` settings taken off;
    `teachers` are the line's, `told` as `value` has it.
    """
    guides = [teacher, *(t for t in teachers if t != teacher)]
    arms = [(1, "a", line["settings"]), (-1, "b", line["settings"])]
    if line["minus"]:
        arms += [(-1, "a", line["minus"]), (1, "b", line["minus"])]
    total = 0.0
    for sign, side, settings in arms:
        changes = words(weight if line[side] == "robust" else "", settings)
        one = job(line["dataset"], line[side], changes, teacher)
        total += sign * value(line, one, guides, done, told or {})
    return total


def differences(
    line: dict, done: Results, told: dict | None = None, fewest: int = FEWEST
) -> dict[str, list[float]]:
    """{weight: [`difference` of each teacher]} of the first eight teachers, else seven, and so on
    down to `fewest` (fewer than six are not judged), else none, for which all of a line is there.
    """
    for n in range(len(REGISTERED), fewest - 1, -1):
        mine = REGISTERED[:n]
        found = {w: [difference(line, w, t, done, mine, told) for t in mine] for w in weights(line)}
        if not np.isnan(list(found.values())).any():
            return found
    return {w: [] for w in weights(line)}


def whole_teachers(missing: Collection[Job]) -> list[int]:
    """The registered teachers of whose networks none is missing (`network_jobs`)."""
    return [t for t in REGISTERED if not set(missing) & set(networks([t]))]


def printed_chances() -> dict[str, tuple[float, float]]:
    """{line: (chance that one point is told from none, that none is called too small to matter)},
    as data/claims/README.md printed them before the first row.
    """
    text = (REGISTER / "README.md").read_text("utf-8")
    rows = re.findall(r"^\| ([\w-]+) \| [\d.]+ \| ([\d.]+) \| ([\d.]+) \|$", text, re.M)
    return {line: (float(told), float(small)) for line, told, small in rows}


def word(
    line: dict, mean: float, low: float, high: float, p: float, single: Collection[tuple]
) -> str:
    """The first word that fits; `single` are the simultaneous intervals of the single weights."""
    if math.isnan(mean):
        return "not run"
    if any(a[0] > 0 and b[1] < 0 for a in single for b in single):
        return "depends on C1"
    found = claims.effect_word(line["decides"], line["margin"], mean, low, high, p)
    said, comma, rest = found.partition(",")
    return OF_A_LINE[said] + comma + rest


def judge_lines(done: Results, told: dict | None = None, lines: list | None = None) -> list[dict]:
    """The registered lines with differences by weight, their median d over weights, n, mean, low,
    high, p (corrected in the family), simultaneous intervals of single weights, and word.
    """
    lines = [dict(line) for line in lines or claims.read_lines("claims/lines")]
    for line in lines:
        line["by_weight"] = differences(line, done, told)
        line["d"] = np.median(list(line["by_weight"].values()), axis=0).tolist()
        line |= {"n": len(line["d"]), "single": {}}
        line |= dict.fromkeys(("mean", "low", "high", "p"), math.nan)
    for family in {line["family"] for line in lines if line["n"]}:
        whole = [line for line in lines if line["family"] == family and line["n"]]
        columns = [line["d"] for line in whole]
        c = critical_value(columns)
        c_single = critical_value([d for line in whole for d in line["by_weight"].values()])
        for line, p in zip(whole, corrected(columns)):
            line["mean"], line["p"] = float(np.mean(line["d"])), p
            line["low"], line["high"] = interval(line["d"], c)
            line["single"] = {w: interval(d, c_single) for w, d in line["by_weight"].items()}
    for line in lines:
        found = [line[name] for name in ("mean", "low", "high", "p")]
        line["word"] = word(line, *found, line["single"].values())
    return lines


def chances(sds: list, margins: list, effect: float = 1.0, trials: int = 400) -> list[tuple]:
    """[(chance to be told from none, chance to be called too small)] of each line of a family with
    standard deviations `sds` (points): p <= .05 where its true difference is `effect` and that of
    the others 0; interval inside the margin where all are 0. Lines are drawn normal and
    independent, which is on the safe side: they share networks.
    """
    drawn = np.random.default_rng(0)
    found = np.zeros((len(sds), 2))
    for _ in range(trials):
        d = drawn.normal(size=(len(sds), N)) * np.asarray(sds)[:, None]
        c = critical_value(d)
        for i, margin in enumerate(margins):
            moved = d.copy()
            moved[i] += effect
            low, high = interval(d[i], c)
            found[i] += [corrected(moved)[i] <= ALPHA, -margin < low and high < margin]
    return [tuple(pair) for pair in found / trials]
