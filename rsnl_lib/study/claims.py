"""The paper's claims against our rows: paired effects over seeds, one correction over all, a
verdict by rules laid down beforehand.

`data/claims.csv` holds the claims and data/README.md the rules; both were committed before the rows
that judge them. `data/study.csv` holds comparisons of the same form that explore and judge nothing:
what decides whether L_G helps; so does `data/neighbours.csv`: who withstands attacks.
"""

import math
import statistics

import numpy as np

from .. import env, store
from ..checks import one_of
from ..data import catalogue
from ..env import ROOT
from ..measure import inference
from ..measure.inference import detectable, holm, paired
from . import jobs

FILE = ROOT / "data" / "claims.csv"
STUDY = ROOT / "data" / "study.csv"
NEIGHBOURS = ROOT / "data" / "neighbours.csv"
FILES = {"claims": FILE, "study": STUDY, "neighbours": NEIGHBOURS}
DECIDES = ("difference", "no worse")
ATTACKS = (
    "pgd",
    "pgd200",
    "autoattack",
)  # perturbations of rows made by `python -m rsnl_lib attack`


def read(path=FILE):
    """The lines of a file as dicts; levels become numbers, seeds a range; of the claims also
    `matters`, a float in points.
    """
    rows = store.lines(path)
    for row in rows:
        first, last = map(int, row["seeds"].split("-"))
        row.update(levels=[float(v) for v in row["levels"].split()], seeds=range(first, last + 1))
        if "decides" in row:
            (
                one_of("decides", row["decides"], DECIDES),
                one_of("measure", row["measure"], ("accuracy", "drop")),
            )
            row["matters"] = float(row["matters"])
    return rows


def asked(line):
    """The (perturbation, level, unit) of which both sides of a line need rows."""
    mine = [(line["perturbation"], v, line["unit"]) for v in line["levels"]]
    return [*mine, ("clean", 0, "")] if line.get("measure") == "drop" else mine


def share(done, job, keys):
    """Mean share of correct answers of one job over (perturbation, level, unit) `keys`, or None
    where a row is missing.
    """
    rows = jobs.of(job, done)
    if not all(k in rows for k in keys):
        return None
    return sum(int(rows[k]["correct"]) / int(rows[k]["n"]) for k in keys) / len(keys)


def job_of(line, side, seed):
    """The Job of side "a" or "b" of a line at a seed; student seed s learns from teacher seed s mod
    3 (on digits from its own, s).
    """
    method, guide = line[side], seed if line["dataset"] == "digits" else seed % jobs.TEACHERS
    network, recipe = line.get("network", "mnist_student"), line.get("recipe", "short")
    noise, teacher_settings = line.get(f"train_noise_{side}", ""), line.get("teacher_settings", "")
    if method == "teacher":
        return jobs.Job(
            line["dataset"],
            method,
            network.replace("student", "teacher"),
            recipe,
            teacher_settings,
            noise,
            guide,
            guide,
        )
    job = jobs.Job(
        line["dataset"],
        method,
        network,
        recipe,
        line.get(f"settings_{side}", ""),
        noise,
        seed,
        seed,
    )
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


def left(lines, done):
    """{job: lines it answers} of the jobs of which rows are missing; of attacks, which another
    command measures, the clean row stands for theirs.
    """
    wanted = {}
    for line in lines:
        need = [("clean", 0, "")] if line["perturbation"] in ATTACKS else asked(line)
        for job in (job_of(line, side, seed) for seed in line["seeds"] for side in "ab"):
            if share(done, job, need) is None:
                wanted[job] = wanted.get(job, 0) + 1
    return wanted


def effects(line, done):
    """{seed: effect in points}, a minus b, for the seeds of which all rows are there; positive is
    what a claim says.
    """
    found, drop = {}, line.get("measure") == "drop"
    keys = asked(line)[: len(line["levels"])]
    for seed in line["seeds"]:
        sides = [job_of(line, side, seed) for side in "ab"]
        values = [share(done, job, keys) for job in sides]
        if drop:
            clean = [share(done, job, [("clean", 0, "")]) for job in sides]
            values = [None if None in (v, c) else v - c for v, c in zip(values, clean)]
        if None not in values:
            found[seed] = 100 * (values[0] - values[1])
    return found


def verdict(claim, low, high, mean, p):
    """The word "holds", "fails" or "undecided", from the 95 % interval, the mean and the corrected
    p, by the rules of data/README.md.
    """
    if math.isnan(p):
        return "not run"
    if claim["decides"] == "difference":
        return (
            "holds"
            if p < 0.05 and mean > 0
            else "fails"
            if high < claim["matters"]
            else "undecided"
        )
    return "holds" if low > -claim["matters"] else "fails" if p < 0.05 and high < 0 else "undecided"


def judged(done, path=FILE):
    """Every claim with its seeds run, effects, mean, interval, p, corrected p, detectable effect
    and verdict; `done` as jobs.known gives it.

    A claim counts as run once all its seeds are there: until then its verdict is "not run".
    """
    out = []
    for claim in read(path):
        found = effects(claim, done)
        mean, low, high, p = paired(list(found.values()))
        whole = len(found) == len(claim["seeds"])
        out.append(
            {
                **claim,
                "effects": found,
                "n": len(found),
                "mean": mean,
                "low": low,
                "high": high,
                "p": p if whole else math.nan,
                "detectable": detectable(list(found.values())),
            }
        )
    for claim, p in zip(out, holm([c["p"] for c in out])):
        claim["p_corrected"] = p
        claim["verdict"] = verdict(claim, claim["low"], claim["high"], claim["mean"], p)
    return out


def band(rows, seeds=3):
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
    done, dataset, method, settings="", teacher="", perturbation="gaussian", unit="dB", seeds=10
):
    """{seed: {level: row}} of a method's rows by the recipe "short" under one perturbation;
    `teacher` as in the rows' column, without its seed.
    """
    found = {}
    for (d, m, _, guide, r, words, noise, seed), mine in done.items():
        if (d, m, r, words, noise) == (dataset, method, "short", settings, "") and guide.partition(
            " seed "
        )[0] in (teacher, ""):
            levels = {
                level: row
                for (kind, level, u), row in mine.items()
                if (kind, u) == (perturbation, unit)
            }
            if levels and int(seed) < seeds:
                found[int(seed)] = levels
    return dict(sorted(found.items()))


def family(done, dataset, methods):
    """(settings, teacher) of the students of a data set, by the recipe "short", that have rows of
    the most `methods`: the paper's own where they do not have fewer, else those that trained
    longest.
    """
    own, found = ("", jobs.Job(dataset, "kd").teacher().net), {}
    for name in done:
        told = dict(zip(store.RUN_COLUMNS, name))
        if (
            (told["dataset"], told["recipe"], told["train_noise"]) == (dataset, "short", "")
            and told["method"] in methods
            and told["teacher"]
        ):
            found.setdefault((told["settings"], told["teacher"].partition(" seed ")[0]), set()).add(
                told["method"]
            )
    return max(
        found,
        key=lambda key: (
            len(found[key]),
            key == own,
            jobs.Job(dataset, "kd", settings=key[0]).plan().epochs,
            key,
        ),
        default=own,
    )


def compare(dataset, a, b, seeds=range(5), perturbation="gaussian", levels=(1, 2, 3), unit="dB"):
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


def explored(line, found):
    """A line with its effects {seed: value}, their number, mean, 95 % interval and p; no
    verdict.
    """
    mean, low, high, p = inference.paired(list(found.values()))
    return {
        **line,
        "effects": found,
        "n": len(found),
        "mean": mean,
        "low": low,
        "high": high,
        "p": p,
    }


def against(dataset, b, methods, done, **how):
    """`explored` lines of each method against `b`."""
    return [
        explored(line, effects(line, done))
        for line in (compare(dataset, a, b, **how) for a in methods)
    ]


def bounds(path, methods, b="kd", dataset="digits", network="digits_student", column="estimate"):
    """`explored` lines of the median of a column of data/results/margins.csv, each method against
    `b`, seed by seed, recipe "short".
    """
    values = {}
    for row in store.lines(path):
        if (row["dataset"], row["network"], row["recipe"], row["settings"]) == (
            dataset,
            network,
            "short",
            "",
        ) and row[column]:
            values.setdefault((row["method"], int(row["seed"])), []).append(float(row[column]))
    middle = {key: statistics.median(v) for key, v in values.items()}
    return [
        explored(
            {"a": m, "b": b, "dataset": dataset},
            {s: middle[m, s] - middle[b, s] for k, s in middle if k == m and (b, s) in middle},
        )
        for m in methods
    ]


def untested():
    """The claims that need networks nobody trained yet (data/untested.csv), as dicts."""
    return store.lines(env.ROOT / "data" / "untested.csv")


def copied(cells):
    """[(cell, is it the number FitNets printed before)] for the cells that arXiv 1412.6550 prints
    too (data/copied.csv); "1.90" is "1.9".
    """
    known = {c["cell"]: c for c in cells}

    def size(printed):
        return float(printed.rstrip("KM")) * {"K": 1e3, "M": 1e6}.get(printed[-1], 1)

    return [
        (known[row["cell"]], size(row["printed"]) == size(known[row["cell"]]["printed"]))
        for row in store.lines(env.ROOT / "data" / "copied.csv")
    ]


def leads(done, dataset, method="robust", b="kd", seeds=range(5)):
    """[(perturbation, level, unit, teacher - b, method - b)], points, means over the seeds with all
    three: who leads where, and what the method makes of it.
    """
    out = []
    for kind, level, unit in (entry for entry in catalogue.levels(dataset) if entry[2] != "ratio"):
        line = compare(dataset, method, b, seeds, kind, [level], unit)
        gain, ahead = effects(line, done), effects({**line, "a": "teacher"}, done)
        both = gain.keys() & ahead.keys()
        if both:
            out.append(
                (kind, level, unit, *(sum(v[s] for s in both) / len(both) for v in (ahead, gain)))
            )
    return out
