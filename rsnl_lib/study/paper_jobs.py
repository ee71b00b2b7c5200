"""The paper's cells as jobs: which network answers a cell, and what is left to train."""

import math

from .. import networks, store, train
from ..checks import one_of
from ..data import catalogue
from ..env import RESULTS
from ..measure import inference
from ..networks import zoo
from . import jobs, paper
from .jobs import Job, find, of


def job_of(
    cell, seed=0, recipe="short", settings="", network="", teacher_network="", teacher_settings=""
):
    """The Job that answers a measured cell; changes of recipe or networks make it a job that fills
    no cell.
    """
    if cell["method"] == "teacher":
        return Job(
            cell["dataset"],
            "teacher",
            teacher_network or cell["network"],
            recipe,
            teacher_settings,
            cell["train_noise"],
            seed,
            seed,
        )
    job = Job(
        cell["dataset"],
        cell["method"],
        network or cell["network"],
        recipe,
        settings,
        cell["train_noise"],
        seed,
        seed,
    )
    if not job.guided:
        return job
    return job._replace(
        teacher_seed=seed % jobs.TEACHERS,
        teacher_network=teacher_network,
        teacher_settings=teacher_settings,
    )


def asked(cell):
    """The (perturbation, level, unit) that a measured cell needs rows of; a drop needs the clean
    images too.
    """
    level = paper.key(cell)[-3:]
    return {level, ("clean", 0, "")} if cell["quantity"] == "drop" else {level}


def answers(cell, done, recipe="short", seeds=10):
    """{seed: {(perturbation, level, unit): row}} of the networks that answer a measured cell
    exactly: its data set, network and training noise, the recipe unchanged, by whatever seed of its
    teacher. Students from seed `seeds` on and MNIST's and USPS's teachers after the first three
    belong to the register (data/claims) and answer no cell yet.
    """
    dataset, method, network, guide, *rest, _ = map(str, job_of(cell, 0, recipe).row().values())
    found, need = {}, asked(cell)
    seeds = jobs.TEACHERS if method == "teacher" and dataset in ("mnist", "usps") else seeds
    for name, rows in done.items():
        if (
            name[:3] == (dataset, method, network)
            and list(name[4:7]) == rest
            and name[3].partition(" seed ")[0] == guide
        ):
            if int(name[7]) < seeds and need <= rows.keys():
                found[int(name[7])] = rows
    return dict(sorted(found.items()))


def filled(cell, done, recipe="short"):
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


def enough(cell, seeds):
    """How many seeds a cell needs where `seeds` are asked for: of teachers there are jobs.TEACHERS
    at most, a count is one.
    """
    return (
        1
        if cell["kind"] != "measured"
        else min(seeds, jobs.TEACHERS)
        if cell["method"] == "teacher"
        else seeds
    )


def timed(file=None):
    """{network: milliseconds of one image in a batch of 64}, the last of the rows (`python -m
    rsnl_lib networks --rows`).
    """
    return {
        row["network"]: float(row["ms"])
        for row in store.lines(file or RESULTS / "speed.csv", missing_ok=True)
        if row["batch"] == "64"
    }


def left(cells, done, seeds=1, also=(), places=(), **plan):
    """{job: cells it fills, itself and by what it makes possible}, for every job with rows missing,
    teachers before students.

    `plan`: recipe, settings, network, teacher_network and teacher_settings of `job_of`. `also`
    names further methods, one job each on the data sets of `cells`; `places` are folders where a
    teacher's checkpoint may lie, besides the usual ones.
    """
    wanted = {}
    for cell in (c for c in cells if c["kind"] == "measured"):
        unchanged = not any(v for k, v in plan.items() if k != "recipe")
        if unchanged and len(filled(cell, done, plan.get("recipe", "short"))) >= enough(
            cell, seeds
        ):
            continue
        for seed in range(enough(cell, seeds)):
            job = job_of(cell, seed, **plan)
            if not asked(cell) <= set(of(job, done)):
                wanted[job] = wanted.get(job, 0) + 1
    for dataset in dict.fromkeys(c["dataset"] for c in cells):
        for method in also:
            for seed in range(seeds):
                job = job_of(
                    {
                        "dataset": dataset,
                        "method": one_of("method", method, train.METHODS),
                        "network": catalogue.network_for(dataset, method),
                        "train_noise": "",
                    },
                    seed,
                    **plan,
                )
                if ("clean", 0, "") not in of(job, done):
                    wanted.setdefault(job, 0)
    return with_teachers(wanted, places)


def with_teachers(wanted, places=()):
    """{job: count} with the teachers that have no checkpoint yet, teachers first; each counts for
    its students too.
    """
    for job, count in list(wanted.items()):
        if job.guided and find(job.teacher(), *places) is None:
            wanted[job.teacher()] = wanted.get(job.teacher(), 0) + count
    return dict(sorted(wanted.items(), key=lambda item: (item[0].guided, item[0])))


def answer(cell, done, recipe="short", speed=None):
    """What we have on one cell: {mark, ours, low, high, seeds, profile, told}; ours and the
    interval in the paper's unit, `told` the words behind it.

    profile: "short" for rows by our recipe, "full" for the paper's own, "" for what needs no
    training; a smoke run leaves no rows.

    The interval is where one more run would fall in 95 of 100 cases (mean ± t s sqrt(1 + 1/n) over
    seeds): the paper's number is one run too, so inside it *agrees*, outside it *differs*. Below
    three seeds nothing is judged. `speed`: {network: ms} for speed-ups.
    """
    out = dict(
        mark="not run",
        ours=math.nan,
        low=math.nan,
        high=math.nan,
        seeds=[],
        profile="",
        told=f"{cell['place']}: not run; python -m rsnl_lib reproduce --missing tells its cost",
    )
    if cell["kind"] == "quoted":
        return out | dict(mark="quoted", told=f"{cell['place']}: quoted by the paper from others")
    if cell["kind"] == "counted":
        ours = counted(cell)
        same = abs(ours - cell["value"]) <= rounding(cell["printed"]) / 2
        return out | dict(
            mark="agrees" if same else "differs",
            ours=ours,
            seeds=[0],
            told=f"{cell['place']}: counted from the layers of {cell['network']}",
        )
    if cell["kind"] == "timed":
        if not speed or cell["network"] not in speed:
            return out
        return out | dict(
            mark="counted",
            ours=speed["cifar_teacher"] / speed[cell["network"]],
            seeds=[0],
            told=f"{cell['place']}: our milliseconds, another machine than theirs",
        )
    found = answers(cell, done, recipe)
    seeds = list(found)
    if not seeds:
        return out
    values, rows = [], []
    for mine in found.values():
        share = {
            level: int(mine[level]["correct"]) / int(mine[level]["n"]) for level in asked(cell)
        }
        level = paper.key(cell)[-3:]
        values.append(paper.as_printed(cell, share[level], share.get(("clean", 0, ""))))
        rows.append(mine[level])
    mean, reach = inference.one_more(values)
    judged = len(values) >= enough(cell, 3)
    told = (
        f"{cell['place']}: recipe {recipe}, {len(values)} seed{'s' * (len(values) > 1)}"
        f" ({', '.join(map(str, seeds))}), n {rows[0]['n']} each,"
        f" {', '.join(sorted({r['hardware'] for r in rows}))}, commit"
        f" {', '.join(sorted({r['commit'] for r in rows}))}"
    )
    return out | dict(
        mark=(
            "too few seeds"
            if not judged
            else "agrees"
            if abs(mean - cell["value"]) <= reach
            else "differs"
        ),
        ours=mean,
        low=mean - reach,
        high=mean + reach,
        seeds=seeds,
        profile={"paper": "full"}.get(recipe, recipe),
        told=told,
    )


def rounding(printed):
    """The width of what rounds to a printed number: 1000 for "361K", 0.1 for "1.6M" times a
    million, 0.01 for "90.25".
    """
    unit = {"K": 1e3, "M": 1e6}.get(printed[-1], 1)
    digits = printed.rstrip("KM")
    return unit * 10 ** -len(digits.partition(".")[2])


def counted(cell):
    """Layers, weights, multiplications, or compression against the teacher, from the network's own
    layers.
    """
    stem = cell["network"].split("_")[0]
    net = networks.build(cell["network"])
    weights, mults = networks.count(net, catalogue.SHAPES[stem])
    if cell["quantity"] == "compression":
        return (
            networks.count(networks.build(f"{stem}_teacher"), catalogue.SHAPES[stem])[0] / weights
        )
    layers = sum(isinstance(m, (zoo.nn.Conv2d, zoo.nn.Linear)) for m in net.modules())
    return {"layers": layers, "weights": weights, "multiplications": mults}[cell["quantity"]]
