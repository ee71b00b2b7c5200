"""The paper's claims against our rows: paired effects over seeds, one correction over all, a
verdict by rules laid down beforehand.

`data/claims.csv` holds the claims and data/README.md the rules; both were committed before the rows
that judge them. `data/study.csv` holds comparisons of the same form that explore and judge nothing:
what decides whether L_G helps; so does `data/neighbours.csv`: who withstands attacks.
"""

import math
import statistics

import numpy as np

from .. import store
from ..checks import one_of
from ..data import catalogue
from ..data.catalogue import CLEAN
from ..env import ROOT
from ..measure import inference, toolbox
from ..measure.inference import detectable, holm, paired
from . import jobs, paper

FILE = ROOT / "data" / "claims.csv"
STUDY = ROOT / "data" / "study.csv"
NEIGHBOURS = ROOT / "data" / "neighbours.csv"
FILES = {"claims": FILE, "study": STUDY, "neighbours": NEIGHBOURS}
DECIDES = ("difference", "no worse")
ATTACKS = tuple(toolbox.KINDS)  # of rows made by `python -m rsnl_lib attack`


def read(path=FILE) -> list:
    """The lines of a file as dicts; levels become numbers, seeds a range; of the claims also
    `matters`, a float in points.
    """
    rows = store.lines(path)
    for row in rows:
        first, last = map(int, row["seeds"].split("-"))
        row.update(levels=[float(v) for v in row["levels"].split()], seeds=range(first, last + 1))
        if "decides" in row:
            one_of("decides", row["decides"], DECIDES)
            one_of("measure", row["measure"], ("accuracy", "drop"))
            row["matters"] = float(row["matters"])
    return rows


def asked(line: dict) -> list:
    """The (perturbation, level, unit) of which both sides of a line need rows."""
    mine = [(line["perturbation"], v, line["unit"]) for v in line["levels"]]
    return [*mine, CLEAN] if line.get("measure") == "drop" else mine


def share(done: dict, job: jobs.Job, keys: list) -> float | None:
    """Mean share of correct answers of one job over (perturbation, level, unit) `keys`, or None
    where a row is missing.
    """
    rows = jobs.of(job, done)
    if not all(k in rows for k in keys):
        return None
    return sum(jobs.share_right(rows[k]) for k in keys) / len(keys)


def job_of(line: dict, side: str, seed: int) -> jobs.Job:
    """The Job of side "a" or "b" of a line at a seed; student seed s learns from teacher seed s mod
    3 (on digits from its own, s).
    """
    guide = seed if line["dataset"] == "digits" else seed % jobs.TEACHERS
    network = line.get("network", "mnist_student")
    recipe = line.get("recipe", "short")
    noise = line.get(f"train_noise_{side}", "")
    teacher_settings = line.get("teacher_settings", "")
    job = jobs.Job(line["dataset"], line[side], network, recipe, train_noise=noise)
    if job.method == "teacher":
        own = network.replace("student", "teacher")
        return job._replace(network=own, settings=teacher_settings, seed=guide, teacher_seed=guide)
    settings = line.get(f"settings_{side}", "")
    job = job._replace(settings=settings, seed=seed, teacher_seed=seed)
    if not job.guided:
        return job
    taught = line.get(f"teacher_{side}", "")
    return job._replace(
        teacher_seed=int(line["teacher_seed"]) if taught and line["teacher_seed"] else guide,
        teacher_method=taught,
        teacher_network=line.get("teacher_network", ""),
        teacher_settings=teacher_settings,
        teacher_noise=line.get("teacher_noise", ""),
    )


def left(lines: list, done: dict) -> dict:
    """{job: lines it answers} of the jobs of which rows are missing; of attacks, which another
    command measures, the clean row stands for theirs.
    """
    wanted = {}
    for line in lines:
        need = [CLEAN] if line["perturbation"] in ATTACKS else asked(line)
        for job in (job_of(line, side, seed) for seed in line["seeds"] for side in "ab"):
            if share(done, job, need) is None:
                wanted[job] = wanted.get(job, 0) + 1
    return wanted


def effects(line: dict, done: dict) -> dict:
    """{seed: effect in points}, a minus b, for the seeds of which all rows are there; positive is
    what a claim says.
    """
    found = {}
    keys = asked(line)[: len(line["levels"])]
    for seed in line["seeds"]:
        sides = [job_of(line, side, seed) for side in "ab"]
        values = [share(done, job, keys) for job in sides]
        if line.get("measure") == "drop":
            clean = [share(done, job, [CLEAN]) for job in sides]
            values = [None if None in (v, c) else v - c for v, c in zip(values, clean)]
        if None not in values:
            found[seed] = 100 * (values[0] - values[1])
    return found


def verdict(claim: dict, low: float, high: float, mean: float, p: float) -> str:
    """The word "holds", "fails" or "undecided", from the 95 % interval, the mean and the corrected
    p, by the rules of data/README.md.
    """
    if math.isnan(p):
        return "not run"
    if claim["decides"] == "difference":
        if p < 0.05 and mean > 0:
            return "holds"
        return "fails" if high < claim["matters"] else "undecided"
    if low > -claim["matters"]:
        return "holds"
    return "fails" if p < 0.05 and high < 0 else "undecided"


def judged(done: dict, path=FILE) -> list:
    """Every claim with its seeds run, effects, mean, interval, p, corrected p, detectable effect
    and verdict; `done` as jobs.known gives it.

    A claim counts as run once all its seeds are there: until then its verdict is "not run".
    """
    out = []
    for claim in read(path):
        line = explored(claim, effects(claim, done))
        whole = line["n"] == len(claim["seeds"])
        least = detectable(list(line["effects"].values()))
        out.append({**line, "p": line["p"] if whole else math.nan, "detectable": least})
    for claim, p in zip(out, holm([c["p"] for c in out])):
        claim["p_corrected"] = p
        claim["verdict"] = verdict(claim, claim["low"], claim["high"], claim["mean"], p)
    return out


def band(rows: dict, seeds: int = 3) -> tuple:
    """(levels, mean, low, high) in % of rows {seed: {level: row}}: where one more run would fall in
    95 of 100 cases, nan below `seeds`.
    """
    levels = sorted(set.intersection(*(set(r) for r in rows.values())), reverse=True)
    share = np.array(
        [[100 * int(r[v]["correct"]) / int(r[v]["n"]) for v in levels] for r in rows.values()]
    )
    reach = np.full(len(levels), np.nan)
    if len(share) >= seeds:
        reach = np.array([inference.one_more(list(column))[1] for column in share.T])
    return levels, share.mean(0), share.mean(0) - reach, share.mean(0) + reach


def runs(
    done: dict,
    dataset: str,
    method: str,
    settings: str = "",
    teacher: str = "",
    perturbation: str = "gaussian",
    unit: str = "dB",
    seeds: int = 10,
) -> dict:
    """{seed: {level: row}} of a method's rows by the recipe "short" under one perturbation;
    `teacher` as in the rows' column, without its seed.
    """
    found = {}
    for run, mine in done.items():
        if (run.dataset, run.method, run.recipe) != (dataset, method, "short"):
            continue
        unchanged = (run.settings, run.train_noise) == (settings, "")
        if unchanged and run.guide in (teacher, "") and int(run.seed) < seeds:
            levels = {
                level: row
                for (kind, level, u), row in mine.items()
                if (kind, u) == (perturbation, unit)
            }
            if levels:
                found[int(run.seed)] = levels
    return dict(sorted(found.items()))


def family(done: dict, dataset: str, methods) -> tuple:
    """(settings, teacher) of the students of a data set, by the recipe "short", that have rows of
    the most `methods`: the paper's own where they do not have fewer, else those that trained
    longest.
    """
    own = ("", jobs.Job(dataset, "kd").teacher().net)
    found = {}
    for run in done:
        mine = (run.dataset, run.recipe, run.train_noise) == (dataset, "short", "")
        if mine and run.method in methods and run.teacher:
            found.setdefault((run.settings, run.guide), set()).add(run.method)

    def rank(key):
        epochs = jobs.Job(dataset, "kd", settings=key[0]).plan().epochs
        return len(found[key]), key == own, epochs, key

    return max(found, key=rank, default=own)


def compare(
    dataset: str,
    a: str,
    b: str,
    seeds=range(5),
    perturbation: str = "gaussian",
    levels=(1, 2, 3),
    unit: str = "dB",
) -> dict:
    """A comparison in the form of a line of data/claims.csv, on a data set's own student by the
    recipe "short"; for a reader's own questions.
    """
    return {
        "dataset": dataset,
        "network": f"{dataset}_student",
        "recipe": "short",
        "a": a,
        "b": b,
        "perturbation": perturbation,
        "levels": list(levels),
        "unit": unit,
        "seeds": seeds,
        "says": f"{a} - {b}",
    }


def explored(line: dict, found: dict) -> dict:
    """A line with its effects {seed: value}, their number, mean, 95 % interval and p."""
    told = dict(zip(("mean", "low", "high", "p"), paired(list(found.values()))))
    return {**line, "effects": found, "n": len(found), **told}


def against(dataset: str, b: str, methods, done: dict, **how) -> list:
    """`explored` lines of each method against `b`."""
    lines = [compare(dataset, a, b, **how) for a in methods]
    return [explored(line, effects(line, done)) for line in lines]


def bounds(
    path,
    methods,
    b: str = "kd",
    dataset: str = "digits",
    network: str = "digits_student",
    column: str = "estimate",
) -> list:
    """`explored` lines of the median of a column of data/results/margins.csv, each method against
    `b`, seed by seed, recipe "short".
    """
    values = {}
    for row in store.lines(path):
        told = (row["dataset"], row["network"], row["recipe"], row["settings"])
        if told == (dataset, network, "short", "") and row[column]:
            values.setdefault((row["method"], int(row["seed"])), []).append(float(row[column]))
    middle = {key: statistics.median(v) for key, v in values.items()}
    found = []
    for m in methods:
        seeds = [s for k, s in middle if k == m and (b, s) in middle]
        line = {"a": m, "b": b, "dataset": dataset}
        found.append(explored(line, {s: middle[m, s] - middle[b, s] for s in seeds}))
    return found


def untested() -> list:
    """The claims that need networks nobody trained yet (data/untested.csv), as dicts."""
    return store.lines(ROOT / "data" / "untested.csv")


def copied(cells: list) -> list:
    """[(cell, is it the number FitNets printed before)] for the cells that arXiv 1412.6550 prints
    too (data/copied.csv); "1.90" is "1.9".
    """
    known = {c["cell"]: c for c in cells}

    def size(printed):
        return float(printed.rstrip("KM")) * paper.unit(printed)

    return [
        (known[row["cell"]], size(row["printed"]) == size(known[row["cell"]]["printed"]))
        for row in store.lines(ROOT / "data" / "copied.csv")
    ]


def leads(done: dict, dataset: str, method: str = "robust", b: str = "kd", seeds=range(5)) -> list:
    """[(perturbation, level, unit, teacher - b, method - b)], points, means over the seeds with all
    three: who leads where, and what the method makes of it.
    """
    out = []
    for kind, level, unit in catalogue.levels(dataset):
        if unit == "ratio":
            continue
        line = compare(dataset, method, b, seeds, kind, [level], unit)
        gain = effects(line, done)
        ahead = effects({**line, "a": "teacher"}, done)
        if both := gain.keys() & ahead.keys():
            means = (sum(v[s] for s in both) / len(both) for v in (ahead, gain))
            out.append((kind, level, unit, *means))
    return out
