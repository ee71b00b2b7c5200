"""The first register: effects over paired seeds, one correction over all, verdicts by rules.

`data/claims.csv` holds the claims and data/README.md the rules, both older than the rows they
judge. `data/study.csv` (when does L_G help?) and `data/neighbours.csv` (who withstands attacks?)
hold comparisons of the same form that explore and judge nothing.
"""

import math
from collections import defaultdict

import numpy as np

from .. import store
from ..checks import one_of
from ..data import catalogue
from ..data.catalogue import CLEAN, Condition
from ..env import ROOT, AnyPath
from ..measure import inference, toolbox
from . import jobs, paper
from .jobs import Job
from .results import Results

LINE_FILES = ("claims", "study", "neighbours")
ATTACKS = tuple(toolbox.EFFORT)  # of rows made by `python -m rsnl_lib attack`


def read_lines(name: str = "claims") -> list[dict]:
    """The lines of data/`name`.csv; levels become numbers, seeds a range, margins points."""
    one_of("lines", name, (*LINE_FILES, "claims/lines"))
    lines = store.lines(ROOT / "data" / f"{name}.csv")
    for line in lines:
        line["levels"] = [float(v) for v in line["levels"].split()]
        if "seeds" in line:
            first, last = map(int, line["seeds"].split("-"))
            line["seeds"] = range(first, last + 1)
        if "decides" in line:
            one_of("decides", line["decides"], ("difference", "no worse"))
            one_of("measure", line["measure"], ("accuracy", "drop", "mistakes"))
        for margin in {"matters", "margin"} & line.keys():
            line[margin] = float(line[margin])
    return lines


def conditions(line: dict) -> list[Condition]:
    """What both sides of a line need rows of: its levels, and of a drop clean images, last."""
    levels = [Condition(line["perturbation"], level, line["unit"]) for level in line["levels"]]
    return [*levels, CLEAN] if line.get("measure") == "drop" else levels


def line_share(line: dict, job: Job, done: Results) -> float:
    """A job's share of correct answers over a line's levels, of a drop minus that on clean images;
    nan where a row is missing.
    """
    clean = done.share(job, [CLEAN]) if line.get("measure") == "drop" else 0.0
    return done.share(job, conditions(line)[: len(line["levels"])]) - clean


def side_job(line: dict, side: str, seed: int) -> Job:
    """The Job of side "a" or "b" of a line at a seed; student seed s learns from teacher seed s mod
    3 (on digits from its own, s).
    """
    told = defaultdict(str, line)  # a column that the file lacks is empty
    network = told["network"]
    settings, noise = told[f"settings_{side}"], told[f"train_noise_{side}"]
    teacher = {k: told[k] for k in ("teacher_network", "teacher_settings", "teacher_noise")}
    teacher["teacher_method"] = told[f"teacher_{side}"]
    if line[side] == "teacher":
        network = network.replace("student", "teacher")
        settings = teacher["teacher_settings"]
    guide = seed if line["dataset"] == "digits" else seed % jobs.TEACHERS
    if teacher["teacher_method"] and told["teacher_seed"]:
        guide = int(told["teacher_seed"])
    network = network or catalogue.network_for(line["dataset"], line[side])
    job = Job(line["dataset"], line[side], network, told["recipe"] or "short", settings, noise)
    return job.at(seed, guide, **teacher)


def line_jobs(lines: list[dict], done: Results) -> dict[Job, int]:
    """{job: lines it answers} of the jobs with rows missing; of attacks, which another command
    measures, the clean row stands for theirs.
    """
    wanted = []
    for line in lines:
        need = [CLEAN] if line["perturbation"] in ATTACKS else conditions(line)
        wanted += [(side_job(line, side, seed), need) for seed in line["seeds"] for side in "ab"]
    return done.missing(wanted)


def effects(line: dict, done: Results) -> dict[int, float]:
    """{seed: a minus b in points} of the seeds with all rows; positive is what a claim says."""
    found = {}
    for seed in line["seeds"]:
        a, b = (line_share(line, side_job(line, side, seed), done) for side in "ab")
        found[seed] = 100 * (a - b)
    return {seed: effect for seed, effect in found.items() if not math.isnan(effect)}


def summary(line: dict, found: dict[int, float]) -> dict:
    """A line with its effects {seed: value}, their number, mean, 95 % interval and p."""
    told = zip(("mean", "low", "high", "p"), inference.paired(list(found.values())))
    return {**line, "effects": found, "n": len(found), **dict(told)}


def explore(lines: list[dict], done: Results) -> list[dict]:
    """The `summary` of each line."""
    return [summary(line, effects(line, done)) for line in lines]


def verdict(claim: dict, low: float, high: float, mean: float, p: float) -> str:
    """The word by the rules of data/README.md, from the 95 % interval, the mean and corrected p."""
    if math.isnan(p):
        return "not run"
    if claim["decides"] == "difference":
        if p < 0.05 and mean > 0:
            return "holds"
        return "fails" if high < claim["matters"] else "undecided"
    if low > -claim["matters"]:
        return "holds"
    return "fails" if p < 0.05 and high < 0 else "undecided"


def effect_word(decides: str, margin: float, mean: float, low: float, high: float, p: float) -> str:
    """What an effect with this 95 % interval and corrected p is: "a gain", "a loss", "too small to
    matter" or "undecided", by one rule for both signs; "no worse" where a line asks for no more.
    """
    if math.isnan(p):
        return "not run"
    if decides == "no worse":
        if low > -margin:
            return "no worse"
        return "a loss" if high < -margin else "undecided"
    inside = -margin < low and high < margin
    if p > inference.ALPHA:
        return "too small to matter" if inside else "undecided"
    said = "a gain" if mean > 0 else "a loss"
    return f"{said}, within the margin" if inside else said


def judge_claims(done: Results) -> list[dict]:
    """`explore` of the claims with detectable effect, p (nan until all seeds ran), the verdict of
    their own register and the `effect_word`.
    """
    claims = explore(read_lines(), done)
    for c in claims:
        c["p"] = c["p"] if c["n"] == len(c["seeds"]) else math.nan
        c["detectable"] = inference.detectable(list(c["effects"].values()))
    for c, p in zip(claims, inference.holm_p([c["p"] for c in claims])):
        c["p_corrected"] = p
        found = (c["mean"], c["low"], c["high"], p)
        c["verdict"] = verdict(c, c["low"], c["high"], c["mean"], p)
        c["word"] = effect_word(c["decides"], c["matters"], *found)
    return claims


def compare(dataset: str, a: str, b: str, seeds: list | range = range(5), **columns) -> dict:
    """A line of a reader's own: a data set's students by the recipe "short" in white noise of 1 to
    3 dB, or as `columns` say.
    """
    line = {"dataset": dataset, "a": a, "b": b, "seeds": seeds, "says": f"{a} - {b}"}
    return {**line, "perturbation": "gaussian", "levels": [1, 2, 3], "unit": "dB", **columns}


def against(dataset: str, b: str, methods: list[str], done: Results, **how) -> list[dict]:
    """`explore` of each method against `b`; `how` as `compare` has it."""
    return explore([compare(dataset, a, b, **how) for a in methods], done)


def bounds(path: AnyPath, methods: list[str]) -> list[dict]:
    """The `summary` of each method's median estimate (results/margins.csv) minus KD's, seed by
    seed, of digits' students by the recipe "short".
    """
    rows = store.frame(path)
    plain = (rows.network == "digits_student") & (rows.recipe == "short") & (rows.settings == "")
    medians = rows[plain].pivot_table("estimate", "seed", "method", "median")
    gains = medians.sub(medians["kd"], axis=0)
    line = {"b": "kd", "dataset": "digits"}
    return [summary({"a": m, **line}, gains[m].dropna().to_dict()) for m in methods]


def leads(
    done: Results, dataset: str, seeds: list | range = range(5), method: str = "robust"
) -> list[tuple]:
    """[(perturbation, level, unit, teacher - KD, `method` - KD)], points, means over the seeds with
    all three.
    """
    out = []
    for kind, level, unit in (c for c in catalogue.levels(dataset) if c[2] != "ratio"):
        noise = {"perturbation": kind, "levels": [level], "unit": unit, "seeds": seeds}
        sides = against(dataset, "kd", ["teacher", method], done, **noise)
        ahead, gain = (line["effects"] for line in sides)
        if both := gain.keys() & ahead.keys():
            means = (sum(v[s] for s in both) / len(both) for v in (ahead, gain))
            out.append((kind, level, unit, *means))
    return out


def runs(done: Results, dataset: str, method: str, settings: str = "", teacher: str = "") -> dict:
    """{seed below 10: {level in dB: row}} of a method in white noise by the recipe "short";
    `teacher` as in the rows' column, without its seed.
    """
    guide = teacher if Job(dataset, method).guided else ""
    plain = {"recipe": "short", "settings": settings, "train_noise": "", "guide": guide}
    found = {}
    for seed, rows in done.index(10, dataset=dataset, method=method, **plain).items():
        white = {c.level: r for c, r in rows.items() if c == ("gaussian", c.level, "dB")}
        if white:
            found[seed] = white
    return found


def band(rows: dict) -> tuple:
    """(levels, mean, low, high) in % of {seed: {level: row}}: where one more run would fall in 95
    of 100 cases, nan below three seeds.
    """
    levels = sorted(set.intersection(*map(set, rows.values())), reverse=True)
    counts = np.array([[(r[v]["correct"], r[v]["n"]) for v in levels] for r in rows.values()], int)
    share = 100 * counts[..., 0] / counts[..., 1]
    reach = np.array([inference.one_more(list(column))[1] for column in share.T])
    if len(share) < 3:
        reach[:] = np.nan
    return levels, share.mean(0), share.mean(0) - reach, share.mean(0) + reach


def family(done: Results, dataset: str, methods: list[str]) -> tuple[str, str]:
    """(settings, teacher) of the students of a data set, by the recipe "short", with rows of the
    most `methods`: the paper's own where they have no fewer, else those that trained longest.
    """
    own = ("", Job(dataset, "kd").teacher().net)
    found = defaultdict(set)
    for run in done:
        plain = (run.dataset, run.recipe, run.train_noise) == (dataset, "short", "")
        if plain and run.method in methods and run.teacher:
            found[run.settings, run.guide].add(run.method)

    def rank(key):
        epochs = Job(dataset, min(found[key]), settings=key[0]).plan().epochs
        return len(found[key]), key == own, epochs, key

    return max(found, key=rank, default=own)


def copied(cells: list[dict]) -> list[tuple]:
    """[(cell, is it the number FitNets printed before)] for the cells that arXiv 1412.6550 prints
    too (data/copied.csv); "1.90" is "1.9".
    """
    ours = {c["cell"]: c for c in cells}
    theirs = {row["cell"]: row["printed"] for row in store.lines(ROOT / "data" / "copied.csv")}
    sizes = {k: float(old.rstrip("KM")) * paper.unit(old) for k, old in theirs.items()}
    return [(ours[k], size == ours[k]["value"]) for k, size in sizes.items()]
