"""The paper's cells minus our rows is the work left: list it, do it within a time budget on this
machine or a Ray cluster, merge it.
"""

import pathlib
import sys
import time

from .. import checks, data, env, store
from ..checks import whole
from ..env import RESULTS
from ..store import result_rows
from . import claims, cost, paper, register, workers
from .cost import paces, span
from .jobs import called, find, known, of
from .merge import merge, pack
from .paper_jobs import enough, filled, left, with_teachers


def rank(wanted, done, device="cpu", places=()):
    """[(job, cells, seconds)] of `left`, the most cells an hour first; half a minute is added to
    each for its start.
    """
    files = [
        RESULTS / "curves.csv",
        *(p for place in places for p in pathlib.Path(place).glob("curves/*.csv")),
    ]
    pace = paces(files, env.hardware())
    took, asked_before = {}, {(job_name[0], job_name[3]) for job_name in done if job_name[3]}
    for job in wanted:
        guide = tuple(map(str, (job.row()["dataset"], job.row()["teacher"])))
        took[job] = cost.seconds(
            job,
            pace,
            device.partition(":")[0],
            trained=bool(of(job, done) and find(job, *places)),
            asks=guide not in asked_before,
        )
        asked_before.add(guide)
    return sorted(
        ((job, cells, took[job]) for job, cells in wanted.items()),
        key=lambda item: -item[1] / (item[2] + 30),
    )


def needs(job, wanted, folder=None):
    """What stands between a job and its start, in words."""
    lacking = (
        []
        if data.here(job.dataset, folder)
        else [f"{job.dataset}'s files (rsnl data {job.dataset})"]
    )
    if job.guided and job.teacher() in wanted:
        lacking.append(
            f"{job.teacher().net} seed {job.teacher_seed}"
            + f" on {job.teacher().train_noise}" * bool(job.teacher().train_noise)
        )
    return "needs " + " and ".join(lacking) if lacking else "can start"


def missing(cells, done, wanted, recipe, device="cpu", folder=None, seeds=1):
    """Print every job left with its cells, estimated time and needs, the cells by table, and as the
    last line `N of M cells`.
    """
    for job, count, took in rank(wanted, done, device):
        print(f"{count:4} cells {span(took):>8}  {called(job):70} {needs(job, wanted, folder)}")
    if any(c["kind"] == "timed" and not filled(c, done) for c in cells):
        print("   speed-ups   1 min  python -m rsnl_lib networks --rows data/results/speed.csv")
    if not cells:
        return print(f"{len(wanted)} jobs left")
    total = have = 0
    for table in paper.TABLES:
        mine = [
            c
            for c in cells
            if c["cell"].split(".")[0].removeprefix("fig") == table and c["kind"] != "quoted"
        ]
        counts = [len(filled(c, done, recipe)) for c in mine]
        good, total = [n for n, c in zip(counts, mine) if n >= enough(c, seeds)], total + len(mine)
        have += len(good)
        told = sorted({n for n, c in zip(counts, mine) if n and c["kind"] == "measured"})
        if mine:
            name = "text of Fig. 2(a)" if table == "2a" else f"Table {table}"
            print(
                f"{name:18} {len(good):3} of {len(mine):3}"
                + (
                    f", {'-'.join(map(str, dict.fromkeys((told[0], told[-1]))))} seeds"
                    if told
                    else ""
                )
            )
    print(f"{have} of {total} cells" + f" with {seeds} seeds" * (seeds > 1))


def budget(text):
    """Seconds in "90s", "9m" or "1.5h"."""
    unit = {"s": 1, "m": 60, "h": 3600}.get(str(text)[-1:])
    try:
        return checks.positive("budget", float(str(text)[:-1])) * unit
    except (TypeError, ValueError):
        raise ValueError(
            f"budget={text!r} is no time; write a number above zero and s, m or h, such as 9m"
        ) from None


def campaign(args):
    """The command: --merge, --missing, or the work itself."""
    import torch

    torch.set_num_threads(1)
    if args.merge:
        rows, nets = merge(args.merge)
        return print(f"{rows} new rows, {nets} new checkpoints")
    plan = {
        "recipe": args.recipe,
        "settings": " ".join(args.set),
        "network": args.network,
        "teacher_network": args.teacher_network,
        "teacher_settings": " ".join(args.teacher_set),
    }
    cells = [] if args.lines else paper.cells(args.table, args.dataset)
    work = pathlib.Path(args.work or env.data_folder(args.folder) / "campaign")
    device = str(env.device(args.device))
    done = known(result_rows(RESULTS, work / "rows"))
    registered = args.lines in (["register"], ["cifar"])
    if registered:
        listed = (
            register.described()
            if args.lines == ["cifar"]
            else register.networks(register.teachers(args.teachers))
        )
        mine = {
            j: n
            for j, n in register.left(done, listed).items()
            if args.dataset in (None, j.dataset)
        }
        wanted = dict(
            sorted(with_teachers(mine, (work,)).items(), key=lambda item: register.place(item[0]))
        )
    elif args.lines:
        alone = next((name for name in args.lines if name not in claims.FILES), None)
        if alone:
            raise ValueError(
                f"--for {alone} stands alone: its networks are trained in their own order; ask for"
                " the others in another call"
            )
        lines = [line for name in args.lines for line in claims.read(claims.FILES[name])]
        wanted = with_teachers(
            claims.left([line for line in lines if args.dataset in (None, line["dataset"])], done),
            (work,),
        )
    else:
        wanted = left(cells, done, whole("seeds", args.seeds, 1), args.also, (work,), **plan)
    if args.method:
        mine = [j for j in wanted if j.method in args.method]
        guides = {j.teacher() for j in mine if j.guided}
        wanted = {j: n for j, n in wanted.items() if j in mine or j in guides}
    if args.missing:
        return missing(cells, done, wanted, args.recipe, device, args.folder, args.seeds)
    if args.out:
        store.can_write(pathlib.Path(args.out) / "campaign.00")
    begun = time.time()
    with workers.lock(work):
        deadline = begun + (budget(args.budget) if args.budget else 10**9)
        ranked = [
            (j, n, s)
            for j, n, s in rank(wanted, done, device, (work,))
            if data.here(j.dataset, args.folder)
        ]
        if registered:
            ranked.sort(key=lambda item: register.place(item[0]))
        for job in wanted.keys() - {j for j, _, _ in ranked}:
            print(f"left out: {called(job)} {needs(job, {}, args.folder)}")
        try:
            if args.ray:
                failed = workers.on_ray(
                    ranked, work, done, deadline, args.ray, args.folder, args.gpus, args.draws
                )
            else:
                failed = workers.on_processes(
                    ranked,
                    work,
                    done,
                    deadline,
                    whole("jobs", args.jobs, 1),
                    args.folder,
                    device,
                    args.draws,
                    begun,
                )
        finally:
            if args.out:
                pack(work, args.out)
    print(
        f"rows and checkpoints are in {work}; take them in with: python -m rsnl_lib reproduce"
        f" --merge {work}"
    )
    if failed:
        sys.exit(f"rsnl: {len(failed)} jobs failed; their words are in {work / 'log'}")
