"""The paper's claims against our rows: paired effects over seeds, one correction over all, a
verdict by rules laid down beforehand.

`data/claims.csv` holds the claims and data/README.md the rules; both were committed before the rows
that judge them. `data/study.csv` holds comparisons of the same form that explore and judge nothing:
what decides whether L_G helps; so does `data/neighbours.csv`: who withstands attacks.
"""

import math

from . import jobs, store
from .settings import ROOT, one_of

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
