"""The paper's cells as jobs: which network answers a cell, and what is left to train."""

import math

from .. import networks, store, train
from ..checks import one_of
from ..data import catalogue
from ..data.catalogue import CLEAN
from ..env import RESULTS
from ..measure import inference
from ..networks import zoo
from . import jobs, paper
from .jobs import Job, Run, find, of, share_right


def job_of(
    cell: dict,
    seed: int = 0,
    recipe: str = "short",
    settings: str = "",
    network: str = "",
    teacher_network: str = "",
    teacher_settings: str = "",
) -> Job:
    """The Job that answers a measured cell; changes of recipe or networks make it a job that fills
    no cell.
    """
    teacher = cell["method"] == "teacher"
    net = (teacher_network if teacher else network) or cell["network"]
    changes = teacher_settings if teacher else settings
    noise = cell["train_noise"]
    job = Job(cell["dataset"], cell["method"], net, recipe, changes, noise, seed, seed)
    if teacher or not job.guided:
        return job
    return job._replace(
        teacher_seed=seed % jobs.TEACHERS,
        teacher_network=teacher_network,
        teacher_settings=teacher_settings,
    )


def asked(cell: dict) -> set:
    """The (perturbation, level, unit) that a measured cell needs rows of; a drop needs the clean
    images too.
    """
    level = paper.key(cell)[-3:]
    return {level, CLEAN} if cell["quantity"] == "drop" else {level}


def answers(cell: dict, done: dict, recipe: str = "short", seeds: int = 10) -> dict:
    """{seed: {(perturbation, level, unit): row}} of the networks that answer a measured cell
    exactly: its data set, network and training noise, the recipe unchanged, by whatever seed of its
    teacher. Students from seed `seeds` on and MNIST's and USPS's teachers after the first three
    belong to the register (data/claims) and answer no cell yet.
    """
    found = {}
    need = asked(cell)
    wanted = Run.of(job_of(cell, 0, recipe).row())
    if cell["method"] == "teacher" and cell["dataset"] in ("mnist", "usps"):
        seeds = jobs.TEACHERS
    for run, rows in done.items():
        if (run.method, run.network) != (wanted.method, wanted.network):
            continue
        same = run._replace(teacher=run.guide, seed=wanted.seed) == wanted
        if same and int(run.seed) < seeds and need <= rows.keys():
            found[int(run.seed)] = rows
    return dict(sorted(found.items()))


def filled(cell: dict, done: dict, recipe: str = "short") -> list:
    """The seeds (a list) for which our rows answer a cell (`answers`).

    A count follows from the code and stands as [0]; so does a speed-up once its network's
    milliseconds are among the rows.
    """
    if cell["kind"] == "quoted":
        return []
    if cell["kind"] == "counted":
        return [0]
    if cell["kind"] == "timed":
        return [0] if {cell["network"], "cifar_teacher"} <= timed().keys() else []
    return list(answers(cell, done, recipe))


def enough(cell: dict, seeds: int) -> int:
    """How many seeds a cell needs where `seeds` are asked for: of teachers there are jobs.TEACHERS
    at most, a count is one.
    """
    if cell["kind"] != "measured":
        return 1
    return min(seeds, jobs.TEACHERS) if cell["method"] == "teacher" else seeds


def timed(file=None) -> dict:
    """{network: milliseconds of one image in a batch of 64}, the last of the rows (`python -m
    rsnl_lib networks --rows`).
    """
    return {
        row["network"]: float(row["ms"])
        for row in store.lines(file or RESULTS / "speed.csv", missing_ok=True)
        if row["batch"] == "64"
    }


def left(cells: list, done: dict, seeds: int = 1, also=(), places=(), **plan) -> dict:
    """{job: cells it fills, itself and by what it makes possible}, for every job with rows missing,
    teachers before students.

    `plan`: recipe, settings, network, teacher_network and teacher_settings of `job_of`. `also`
    names further methods, one job each on the data sets of `cells`; `places` are folders where a
    teacher's checkpoint may lie, besides the usual ones.
    """
    wanted = {}
    recipe = plan.get("recipe", "short")
    unchanged = not any(v for k, v in plan.items() if k != "recipe")
    for cell in (c for c in cells if c["kind"] == "measured"):
        need = enough(cell, seeds)
        if unchanged and len(filled(cell, done, recipe)) >= need:
            continue
        for seed in range(need):
            job = job_of(cell, seed, **plan)
            if not asked(cell) <= set(of(job, done)):
                wanted[job] = wanted.get(job, 0) + 1
    for dataset in dict.fromkeys(c["dataset"] for c in cells):
        for method in also:
            one_of("method", method, train.METHODS)
            network = catalogue.network_for(dataset, method)
            cell = {"dataset": dataset, "method": method, "network": network, "train_noise": ""}
            for seed in range(seeds):
                job = job_of(cell, seed, **plan)
                if CLEAN not in of(job, done):
                    wanted.setdefault(job, 0)
    return with_teachers(wanted, places)


def with_teachers(wanted: dict, places=()) -> dict:
    """{job: count} with the teachers that have no checkpoint yet, teachers first; each counts for
    its students too.
    """
    for job, count in list(wanted.items()):
        if job.guided and find(job.teacher(), *places) is None:
            wanted[job.teacher()] = wanted.get(job.teacher(), 0) + count
    return dict(sorted(wanted.items(), key=lambda item: (item[0].guided, item[0])))


def answer(cell: dict, done: dict, recipe: str = "short", speed: dict | None = None) -> dict:
    """What we have on one cell: {mark, ours, low, high, seeds, profile, told}; ours and the
    interval in the paper's unit, `told` the words behind it.

    profile: "short" for rows by our recipe, "full" for the paper's own, "" for what needs no
    training; a smoke run leaves no rows.

    The interval is where one more run would fall in 95 of 100 cases (mean ± t s sqrt(1 + 1/n) over
    seeds): the paper's number is one run too, so inside it *agrees*, outside it *differs*. Below
    three seeds nothing is judged. `speed`: {network: ms} for speed-ups.
    """
    out = {
        "mark": "not run",
        **dict.fromkeys(("ours", "low", "high"), math.nan),
        "seeds": [],
        "profile": "",
        "told": "not run; python -m rsnl_lib reproduce --missing tells its cost",
    }
    if cell["kind"] == "quoted":
        out |= {"mark": "quoted", "told": "quoted by the paper from others"}
    elif cell["kind"] == "counted":
        ours = counted(cell)
        same = abs(ours - cell["value"]) <= rounding(cell["printed"]) / 2
        told = f"counted from the layers of {cell['network']}"
        out |= {"mark": "agrees" if same else "differs", "ours": ours, "seeds": [0], "told": told}
    elif cell["kind"] == "timed":
        if speed and cell["network"] in speed:
            ours = speed["cifar_teacher"] / speed[cell["network"]]
            told = "our milliseconds, another machine than theirs"
            out |= {"mark": "counted", "ours": ours, "seeds": [0], "told": told}
    elif found := answers(cell, done, recipe):
        out |= _measured(cell, found, recipe)
    return out | {"told": f"{cell['place']}: {out['told']}"}


def _measured(cell, found, recipe):
    """What `answer` says of a measured cell; `found` as `answers` gives it."""
    level = paper.key(cell)[-3:]
    values = []
    for mine in found.values():
        clean = share_right(mine[CLEAN]) if cell["quantity"] == "drop" else None
        values.append(paper.as_printed(cell, share_right(mine[level]), clean))
    mean, reach = inference.one_more(values)
    if len(values) < enough(cell, 3):
        mark = "too few seeds"
    else:
        mark = "agrees" if abs(mean - cell["value"]) <= reach else "differs"
    rows = [mine[level] for mine in found.values()]
    hardware, commits = (sorted({r[k] for r in rows}) for k in ("hardware", "commit"))
    several = "s" if len(values) > 1 else ""
    return {
        "mark": mark,
        "ours": mean,
        "low": mean - reach,
        "high": mean + reach,
        "seeds": list(found),
        "profile": "full" if recipe == "paper" else recipe,
        "told": (
            f"recipe {recipe}, {len(values)} seed{several} ({', '.join(map(str, found))}), n"
            f" {rows[0]['n']} each, {', '.join(hardware)}, commit {', '.join(commits)}"
        ),
    }


def rounding(printed: str) -> float:
    """The width of what rounds to a printed number: 1000 for "361K", 0.1 for "1.6M" times a
    million, 0.01 for "90.25".
    """
    digits = printed.rstrip("KM")
    return paper.unit(printed) * 10 ** -len(digits.partition(".")[2])


def counted(cell: dict) -> float:
    """Layers, weights, multiplications, or compression against the teacher, from the network's own
    layers.
    """
    stem = cell["network"].split("_")[0]
    net = networks.build(cell["network"])
    shape = catalogue.SHAPES[stem]
    weights, mults = networks.count(net, shape)
    if cell["quantity"] == "compression":
        return networks.count(networks.build(f"{stem}_teacher"), shape)[0] / weights
    layers = sum(isinstance(m, (zoo.nn.Conv2d, zoo.nn.Linear)) for m in net.modules())
    return {"layers": layers, "weights": weights, "multiplications": mults}[cell["quantity"]]
