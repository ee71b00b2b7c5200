"""The paper's cells as jobs: which network answers a cell, and what is left to train."""

import math
from collections.abc import Sequence
from itertools import product

from torch import nn

from .. import networks, store
from ..data import catalogue
from ..data.catalogue import CLEAN, Condition
from ..env import RESULTS, AnyPath
from ..measure import inference
from . import jobs, paper
from .jobs import Job, Run
from .results import Results, share_right


def cell_job(cell: dict, seed: int = 0, recipe: str = "short", **plan: str) -> Job:
    """The Job that answers a measured cell; a `plan` (settings, network, teacher_network,
    teacher_settings) makes it a job that fills no cell.
    """
    guide = seed % jobs.TEACHERS
    settings, network = plan.get("settings", ""), plan.get("network", "")
    teacher = {k: plan.get(k, "") for k in ("teacher_network", "teacher_settings")}
    if cell["method"] == "teacher":
        guide = seed
        network, settings = teacher.values()
    network = network or cell["network"]
    job = Job(cell["dataset"], cell["method"], network, recipe, settings, cell["train_noise"])
    return job.at(seed, guide, **teacher)


def cell_conditions(cell: dict) -> list[Condition]:
    """The Condition that a measured cell needs rows of; a drop needs the clean images too."""
    noise = Condition(*paper.key(cell)[-3:])
    return [noise, CLEAN] if cell["quantity"] == "drop" else [noise]


def answers(cell: dict, done: Results, recipe: str = "short") -> dict[int, dict]:
    """{seed: {Condition: row}} of the networks that answer a measured cell exactly, of whatever
    teacher's seed. Students from seed 10 and MNIST's and USPS's teachers from 3 on belong to the
    register (data/claims) and answer no cell.
    """
    run = Run.of(cell_job(cell, 0, recipe).row())
    told = {**run._asdict(), "guide": run.guide}
    del told["seed"], told["teacher"]
    few = cell["method"] == "teacher" and cell["dataset"] in ("mnist", "usps")
    return done.index(jobs.TEACHERS if few else 10, cell_conditions(cell), **told)


def filled(cell: dict, done: Results, recipe: str = "short") -> list[int]:
    """The seeds for which our rows answer a cell. A count follows from the code and stands as [0];
    so does a speed-up once its network's milliseconds are among the rows.
    """
    if cell["kind"] == "measured":
        return list(answers(cell, done, recipe))
    if cell["kind"] == "timed":
        return [0] if {cell["network"], "cifar_teacher"} <= timed().keys() else []
    return [0] if cell["kind"] == "counted" else []


def enough(cell: dict, seeds: int) -> int:
    """How many of the `seeds` asked for a cell needs: teachers jobs.TEACHERS at most, a count 1."""
    if cell["kind"] != "measured":
        return 1
    return min(seeds, jobs.TEACHERS) if cell["method"] == "teacher" else seeds


def timed() -> dict[str, float]:
    """{network: milliseconds of an image in a batch of 64}, of `rsnl networks --rows` the last."""
    rows = store.lines(RESULTS / "speed.csv", True, store.SPEED_COLUMNS)
    return {row["network"]: float(row["ms"]) for row in rows if row["batch"] == "64"}


def cell_jobs(
    cells: list,
    done: Results,
    seeds: int = 1,
    also: Sequence[str] = (),
    places: Sequence[AnyPath] = (),
    **plan,
) -> dict[Job, int]:
    """{job: cells it fills, itself and by what it makes possible} of the jobs with rows missing,
    teachers first; `plan` as `cell_job` has it. `also`: further methods, a job each on the data
    sets of `cells`; `places`: more folders where a teacher's checkpoint may lie.
    """
    changed = any(v for k, v in plan.items() if k != "recipe")
    recipe = plan.get("recipe", "short")
    wanted, more = [], []
    for cell in (c for c in cells if c["kind"] == "measured"):
        need = enough(cell, seeds)
        if changed or len(filled(cell, done, recipe)) < need:
            wanted += [(cell_job(cell, s, **plan), cell_conditions(cell)) for s in range(need)]
    for dataset, method in product({c["dataset"] for c in cells}, also):
        network = catalogue.network_for(dataset, method)
        cell = {"dataset": dataset, "method": method, "network": network, "train_noise": ""}
        more += [(cell_job(cell, s, **plan), [CLEAN]) for s in range(seeds)]
    return with_teachers(dict.fromkeys(done.missing(more), 0) | done.missing(wanted), places)


def with_teachers(wanted: dict[Job, int], places: Sequence[AnyPath] = ()) -> dict[Job, int]:
    """{job: count}, teachers without a checkpoint added and first; each counts for its students."""
    for job, count in list(wanted.items()):
        if job.guided and jobs.find(job.teacher(), *places) is None:
            wanted[job.teacher()] = wanted.get(job.teacher(), 0) + count
    return dict(sorted(wanted.items(), key=lambda item: (item[0].guided, item[0])))


def answer(cell: dict, done: Results, speed: dict | None = None) -> dict:
    """What we have on one cell, in the paper's unit: {mark, ours, low, high, seeds, profile, told};
    profile: our recipe, "" for what needs no training; `speed`: {network: ms}.

    The paper's number is one run too: it *agrees* inside the interval into which one more run falls
    in 95 of 100 cases, mean ± t s sqrt(1 + 1/n) over at least three seeds, else it *differs*. An
    interval that holds every number printed for that test (`rivals`) gives *no answer*.
    """
    out = {"mark": "not run", "seeds": [], "profile": ""}
    out |= dict.fromkeys(("ours", "low", "high"), math.nan)
    kind, network = cell["kind"], cell["network"]
    told = "not run; python -m rsnl_lib reproduce --missing tells its cost"
    if kind == "quoted":
        told = "quoted by the paper from others"
        out["mark"] = "quoted"
    elif kind == "counted":
        told = f"counted from the layers of {network}"
        ours = counted(cell)
        same = abs(ours - cell["value"]) <= rounding(cell["printed"]) / 2
        out |= {"mark": "agrees" if same else "differs", "ours": ours, "seeds": [0]}
    elif kind == "timed" and speed and network in speed:
        told = "our milliseconds, another machine than theirs"
        out |= {"mark": "timed", "ours": speed["cifar_teacher"] / speed[network], "seeds": [0]}
    elif kind == "measured" and (found := answers(cell, done)):
        told = _origin(cell, found)
        out |= _judge(cell, found) | {"seeds": list(found), "profile": "short"}
    return out | {"told": f"{cell['place']}: {told}"}


def rivals(cell: dict) -> set[float]:
    """The numbers that a measured cell's table prints for the same test, the cell's among them."""
    test = ("dataset", "perturbation", "level", "unit", "quantity", "kind")
    beside = paper.cells(paper.table_of(cell))
    return {c["value"] for c in beside if all(c[name] == cell[name] for name in test)}


def _judge(cell, found):
    """Mark, mean and interval of `answer` from what `answers` found."""
    values = []
    for rows in found.values():
        shares = {condition: share_right(row) for condition, row in rows.items()}
        noisy = shares[cell_conditions(cell)[0]]
        values.append(paper.as_printed(cell, noisy, shares.get(CLEAN)))
    mean, reach = inference.one_more(values)
    beside = rivals(cell)
    mark = "agrees" if abs(mean - cell["value"]) <= reach else "differs"
    if len(values) < enough(cell, 3):
        mark = "too few seeds"
    elif len(beside) > 1 and all(abs(mean - value) <= reach for value in beside):
        mark = "no answer"
    return {"mark": mark, "ours": mean, "low": mean - reach, "high": mean + reach}


def _origin(cell, found):
    """Seeds, images, hardware and commits behind what `answers` found."""
    rows = [rows[cell_conditions(cell)[0]] for rows in found.values()]
    hardware, commits = (", ".join(sorted({r[k] for r in rows})) for k in ("hardware", "commit"))
    seeds = f"{len(found)} seed{'s' if len(found) > 1 else ''} ({', '.join(map(str, found))})"
    return f"recipe short, {seeds}, n {rows[0]['n']} each, {hardware}, commit {commits}"


def rounding(printed: str) -> float:
    """The width of what rounds to a printed number: 1e5 for "1.6M", .01 for "90.25"."""
    return paper.unit(printed) * 10 ** -len(printed.rstrip("KM").partition(".")[2])


def counted(cell: dict) -> float:
    """Layers, weights, multiplications or compression against the teacher, from the layers."""
    stem = cell["network"].split("_")[0]
    net = networks.build(cell["network"])
    shape = catalogue.SHAPES[stem]
    weights, mults = networks.count(net, shape)
    if cell["quantity"] == "compression":
        return networks.count(networks.build(f"{stem}_teacher"), shape)[0] / weights
    layers = sum(isinstance(m, (nn.Conv2d, nn.Linear)) for m in net.modules())
    return {"layers": layers, "weights": weights, "multiplications": mults}[cell["quantity"]]
