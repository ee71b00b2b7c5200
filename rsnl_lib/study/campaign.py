"""The paper's cells minus our rows is the work left: list it, do it within a time budget on this
machine or a Ray cluster, merge it.
"""

import pathlib
import sys
import time
from argparse import Namespace
from collections.abc import Sequence

import torch

from .. import checks, data, env, networks, store, train
from ..checks import whole
from ..data import catalogue
from ..env import RESULTS, AnyPath
from ..store import result_rows
from ..train import recipes
from . import claims, cost, paper, register, workers
from .cost import paces, span
from .jobs import Job, find, words
from .merge import merge, pack_results
from .paper_jobs import cell_jobs, enough, filled, with_teachers
from .results import Results

IN_ORDER = (["register"], ["cifar"])  # registered networks are trained in their own order


def rank_jobs(
    wanted: dict, done: Results, device: str = "cpu", places: Sequence[AnyPath] = ()
) -> list:
    """[(job, cells, seconds)] of `wanted`, the most cells an hour first; half a minute is added to
    each for its start.
    """
    files = [p for place in places for p in pathlib.Path(place).glob("curves/*.csv")]
    pace = paces([RESULTS / "curves.csv", *files], env.hardware())
    ranked = []
    asked = {(run.dataset, run.teacher) for run in done if run.teacher}
    for job, cells in wanted.items():
        guide = (job.row()["dataset"], job.row()["teacher"])
        trained = bool(done.find(job) and find(job, *places))
        took = cost.seconds(job, pace, device.partition(":")[0], trained, asks=guide not in asked)
        ranked.append((job, cells, took))
        asked.add(guide)
    return sorted(ranked, key=lambda item: -item[1] / (item[2] + 30))


def needs(job: Job, wanted: dict, folder: AnyPath | None = None) -> str:
    """What stands between a job and its start, in words."""
    lacking = []
    if not data.has_files(job.dataset, folder):
        lacking.append(f"{job.dataset}'s files (rsnl data {job.dataset})")
    guide = job.teacher()
    if job.guided and guide in wanted:
        noise = guide.train_noise and f"on {guide.train_noise}"
        lacking.append(words(guide.net, f"seed {job.teacher_seed}", noise))
    return "needs " + " and ".join(lacking) if lacking else "can start"


def missing(
    cells: list,
    done: Results,
    wanted: dict,
    recipe: str,
    device: str = "cpu",
    folder: AnyPath | None = None,
    seeds: int = 1,
) -> None:
    """Print every job left with its cells, estimated time and needs, the cells by table, and as the
    last line `N of M cells`.
    """
    for job, count, took in rank_jobs(wanted, done, device):
        print(f"{count:4} cells {span(took):>8}  {job.title():70} {needs(job, wanted, folder)}")
    if not cells:
        return print(f"{len(wanted)} jobs left")
    if any(c["kind"] == "timed" and not filled(c, done) for c in cells):
        print("   speed-ups   1 min  python -m rsnl_lib networks --rows data/results/speed.csv")
    total = have = 0
    for table in paper.TABLES:
        mine = [c for c in cells if paper.table_of(c) == table and c["kind"] != "quoted"]
        if not mine:
            continue
        counts = [len(filled(c, done, recipe)) for c in mine]
        good = sum(n >= enough(c, seeds) for n, c in zip(counts, mine))
        total += len(mine)
        have += good
        name = "text of Fig. 2(a)" if table == "2a" else f"Table {table}"
        told = {n for n, c in zip(counts, mine) if n and c["kind"] == "measured"}
        ends = sorted({min(told), max(told)}) if told else []
        each = f", {'-'.join(map(str, ends))} seeds" if told else ""
        print(f"{name:18} {good:3} of {len(mine):3}{each}")
    with_seeds = f" with {seeds} seeds" if seeds > 1 else ""
    print(f"{have} of {total} cells{with_seeds}")


def budget(text: str) -> float:
    """Seconds in "90s", "9m" or "1.5h"."""
    try:
        unit = {"s": 1, "m": 60, "h": 3600}[text[-1:]]
        return checks.positive("budget", float(text[:-1])) * unit
    except (KeyError, ValueError):
        raise ValueError(
            f"budget={text!r} is no time; write a number above zero and s, m or h, such as 9m"
        ) from None


def wanted_jobs(args: Namespace, cells: list, done: Results, work: pathlib.Path) -> dict:
    """{job: cells or lines it answers} that a call asks for, teachers included."""
    if args.lines in IN_ORDER:
        listed = register.cifar_networks()
        if args.lines == ["register"]:
            listed = register.networks(register.teachers(args.teachers))
        mine = register.network_jobs(done, listed)
        mine = {j: n for j, n in mine.items() if args.dataset in (None, j.dataset)}
        found = with_teachers(mine, (work,))
        wanted = {j: found[j] for j in sorted(found, key=register.place)}
    elif args.lines:
        if alone := set(args.lines) - set(claims.LINE_FILES):
            raise ValueError(f"--for {min(alone)} stands alone; ask for the others in another call")
        lines = [line for name in args.lines for line in claims.read_lines(name)]
        lines = [line for line in lines if args.dataset in (None, line["dataset"])]
        wanted = with_teachers(claims.line_jobs(lines, done), (work,))
    else:
        plan = {"recipe": args.recipe, "settings": " ".join(args.set), "network": args.network}
        plan["teacher_network"] = args.teacher_network
        plan["teacher_settings"] = " ".join(args.teacher_set)
        wanted = cell_jobs(cells, done, whole("seeds", args.seeds, 1), args.also, (work,), **plan)
    if not args.method:
        return wanted
    mine = {j for j in wanted if j.method in args.method}
    mine |= {j.teacher() for j in mine if j.guided}
    return {j: n for j, n in wanted.items() if j in mine}


CELLS_ONLY = "table also seeds set teacher_set network teacher_network recipe".split()


def _agree(args):
    """Refuse options of a call that are out of range or cannot all be meant."""
    given = set(getattr(args, "given", ()))
    idle = {}  # what has no use beside an option
    if args.merge:
        idle["merge"] = given - {"merge", "work", "folder", "device"}
    if args.lines:
        idle["for"] = given & {*CELLS_ONLY}
    if args.ray:
        idle["ray"] = given & {"jobs"}
    for option, others in idle.items():
        if others:
            word = min(others).replace("_", "-")
            raise ValueError(f"--{word} has no use beside --{option}; leave one of them out")
    if args.teachers and args.lines != ["register"]:
        raise ValueError(f"--teachers {args.teachers} needs --for register; give it too")
    if "gpus" in given and not args.ray:
        raise ValueError("--gpus is a share of a Ray cluster's; give --ray too")
    for method in [*(args.method or ()), *args.also]:
        checks.one_of("method", method, train.METHODS)
    for name in filter(None, (args.network, args.teacher_network)):
        with torch.device("meta"):  # only to see that there is one of that name
            networks.build(name)
    for changes in (args.set, args.teacher_set):
        recipes.changes_of(changes)
    checks.positive("gpus", args.gpus, zero=True)
    for name in ("draws", "jobs", "seeds"):
        whole(name, getattr(args, name), 1)


def campaign(args: Namespace) -> None:
    """The command: --merge, --missing, or the work itself."""
    torch.set_num_threads(1)
    _agree(args)
    if args.merge:
        rows, nets = merge(args.merge)
        return print(f"{rows} new rows, {nets} new checkpoints")
    seconds = budget(args.budget) if args.budget else 10**9
    cells = [] if args.lines else paper.cells(args.table, args.dataset)
    work = pathlib.Path(args.work or env.data_folder(args.folder) / "campaign")
    store.can_write(work / "campaign.lock")
    device = str(env.device(args.device))
    done = Results(result_rows(RESULTS, work / "rows"))
    wanted = wanted_jobs(args, cells, done, work)
    for job in wanted:
        if not job.net.startswith(f"{catalogue.about(job.dataset).stem}_"):
            net = args.network or args.teacher_network or job.net
            remedy = "give --dataset, and a network made for them"
            raise ValueError(f"network={net!r} does not take {job.dataset}'s images; {remedy}")
    if args.missing:
        return missing(cells, done, wanted, args.recipe, device, args.folder, args.seeds)
    if args.out:
        store.can_write(pathlib.Path(args.out) / "campaign.00")
    deadline = time.time() + seconds
    with workers.lock(work):
        ranked = rank_jobs(wanted, done, device, (work,))
        if args.lines in IN_ORDER:
            ranked.sort(key=lambda item: register.place(item[0]))
        for job in wanted:
            if not data.has_files(job.dataset, args.folder):
                print(f"left out: {job.title()} {needs(job, {}, args.folder)}")
        ranked = [item for item in ranked if data.has_files(item[0].dataset, args.folder)]
        todo = (ranked, work, done, deadline)
        try:
            if args.ray:
                failed = workers.on_ray(*todo, args.ray, args.folder, args.gpus, args.draws)
            else:
                slots = whole("jobs", args.jobs, 1)
                failed = workers.on_processes(*todo, slots, args.folder, device, args.draws)
        finally:
            if args.out:
                pack_results(work, args.out)
    print(f"all is in {work}; take it in with: python -m rsnl_lib reproduce --merge {work}")
    if failed:
        sys.exit(f"rsnl: {len(failed)} jobs failed; their words are in {work / 'log'}")
