"""The paper's cells minus our rows is the work left: list it, do it within a time budget on this
machine or a Ray cluster, merge it.
"""

import csv
import pathlib
import statistics
import sys
import tempfile
import time

from . import claims, data, jobs, mistakes, paper, parts, register, settings, store, train, workers
from .jobs import Job, called, find, known, of, span
from .settings import CHECKPOINTS, RESULTS, one_of, whole

BOX, LARGEST, FILES = (
    14 * 2**20,
    6 * 2**20,
    8,
)  # bytes of a packed part; of a checkpoint shipped in the tree; packed files at most


def read(*folders):
    """All rows (dicts of text) of the result files in `folders`, each once; a file of another kind
    or cut off is left out.
    """
    rows = {}
    for folder in folders:
        for path in sorted(pathlib.Path(folder).glob("*.csv")):
            with open(path, newline="", errors="replace") as f:
                lines = csv.reader(f)
                if next(lines, None) == store.COLUMNS:
                    rows.update(
                        dict.fromkeys(
                            tuple(line) for line in lines if len(line) == len(store.COLUMNS)
                        )
                    )
    return [dict(zip(store.COLUMNS, row)) for row in rows]


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
                        "network": train.network_for(dataset, method),
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


def paces(rates, hardware):
    """{(network, method): median ms per image and epoch} measured on this hardware, from the curve
    files `rates`.
    """
    found = {}
    for path in filter(pathlib.Path.is_file, map(pathlib.Path, rates)):
        with open(path, newline="") as f:
            columns = next(f, "").strip().split(",")
            for line in csv.reader(line for line in f if ",ms_per_image," in line):
                row = dict(zip(columns, line))
                if row["hardware"] == hardware:
                    found.setdefault((row["network"], row["method"]), []).append(
                        float(row["value"])
                    )
    return {key: statistics.median(values) for key, values in found.items()}


def rank(wanted, done, device="cpu", places=()):
    """[(job, cells, seconds)] of `left`, the most cells an hour first; half a minute is added to
    each for its start.
    """
    files = [
        RESULTS / "curves.csv",
        *(p for place in places for p in pathlib.Path(place).glob("curves/*.csv")),
    ]
    pace = paces(files, settings.hardware())
    took, asked_before = {}, {(job_name[0], job_name[3]) for job_name in done if job_name[3]}
    for job in wanted:
        guide = tuple(map(str, (job.row()["dataset"], job.row()["teacher"])))
        took[job] = jobs.seconds(
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


def pack(work, out):
    """Rows, curves and as many checkpoints as fit into at most 8 files under 15 MiB in `out`, the
    rows first; what is left out is printed.
    """
    work = pathlib.Path(work)
    texts = (
        sorted(work.glob("rows/*.csv"))
        + sorted(work.glob("curves/*.csv"))
        + sorted(work.glob("mistakes/*.npz"))
    )
    nets = sorted(
        (p for p in work.glob("*.safetensors") if (work / "rows" / f"{p.stem}.csv").is_file()),
        key=lambda p: (p.stat().st_size, p.name),
    )
    room, chosen = (FILES - 1) * BOX - 2**20 - sum(p.stat().st_size + 2048 for p in texts), []
    for path in nets:
        room -= path.stat().st_size + 2048
        if room < 0:
            print(f"left out, no room: {path.name}")
        else:
            chosen.append(path)
    parts.pack(
        {str(p.relative_to(work)): p for p in (*texts, *chosen)},
        out,
        "campaign",
        BOX,
        compress=False,
    )
    print(f"packed {len(texts)} tables and {len(chosen)} checkpoints into {out}")


def merge(source, results=RESULTS, shipped=CHECKPOINTS, aside=None):
    """Take in a work folder, or what `pack` made of one: rows that are not there yet, curves,
    checkpoints. Returns (rows, checkpoints) added.

    Checkpoints of seed 0 up to 6 MB go among the shipped ones, others to the data folder. Where a
    row is here already, it stays as it is; how many of those left out say another number is
    printed.
    """
    source = pathlib.Path(source)
    if not source.is_dir():
        raise ValueError(f"there is no folder {source}; name the folder that a campaign left")
    with tempfile.TemporaryDirectory() as made:
        if (source / "campaign.parts.json").is_file():
            parts.unpack(source, made, "campaign")
            source = pathlib.Path(made)
        fresh, differ = {}, 0
        mine = {tuple(row[k] for k in store.COLUMNS[:14]): row for row in read(results)}
        for row in read(source / "rows"):
            twin = mine.setdefault(tuple(row[k] for k in store.COLUMNS[:14]), row)
            if twin is row:
                fresh.setdefault(row["dataset"], []).append(row)
            else:
                differ += (twin["n"], twin["correct"]) != (row["n"], row["correct"])
        if differ:
            print(
                f"{differ} rows say another number than the same row in {results} and were left out"
            )
        curves = []
        old = {
            tuple(row[k] for k in store.CURVE_COLUMNS[:9])
            for row in store.lines(pathlib.Path(results) / "curves.csv", missing_ok=True)
        }
        for path in sorted((source / "curves").glob("*.csv")):
            curves += [
                row
                for row in store.lines(path)
                if tuple(row[k] for k in store.CURVE_COLUMNS[:9]) not in old
            ]
        for dataset, rows in fresh.items():
            store.append(pathlib.Path(results) / f"{dataset}.csv", rows)
        if curves:
            store.append(pathlib.Path(results) / "curves.csv", curves, store.CURVE_COLUMNS)
        for path in sorted((source / "mistakes").glob("*.npz")):
            place = pathlib.Path(results) / "mistakes" / path.name
            if not place.exists():
                mistakes.write(place, mistakes.read(path))
        taken, aside = 0, pathlib.Path(aside or settings.data_folder() / "checkpoints")
        for path in sorted(source.glob("*.safetensors")):
            if ".best." not in path.name:
                _, head = store.load_checkpoint(path)
                small = (
                    head.get("seed") == "0"
                    and not head.get("settings")
                    and path.stat().st_size <= LARGEST
                )
                place = (pathlib.Path(shipped) if small else aside) / path.name
                if not place.exists():
                    store.write(place, path.read_bytes())
                    taken += 1
    return sum(map(len, fresh.values())), taken


def budget(text):
    """Seconds in "90s", "9m" or "1.5h"."""
    unit = {"s": 1, "m": 60, "h": 3600}.get(str(text)[-1:])
    try:
        return settings.positive("budget", float(str(text)[:-1])) * unit
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
    work = pathlib.Path(args.work or settings.data_folder(args.folder) / "campaign")
    device = str(settings.device(args.device))
    done = known(read(RESULTS, work / "rows"))
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
