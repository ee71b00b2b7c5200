"""Doing a job: train its network, keep the checkpoint, measure it on every level."""

import json
import pathlib
from collections.abc import Iterable, Iterator, Set

import torch
from torch import nn

from .. import data, env, networks, store, train
from ..checks import whole
from ..data import Data, catalogue, own, perturb
from ..data.catalogue import CLEAN
from ..env import AnyPath
from ..measure import evaluate
from ..networks.modules import try_on
from ..rows import check_row, check_run
from .jobs import Job, find, words

LONGEST_NAME = 200  # bytes of a checkpoint's, which others beside it are longer than
ENTRY = ("perturbation", "level", "unit")  # what tells a row of one run


def same_network(place: AnyPath, header: dict, name: str) -> None:
    """Refuse a teacher's file of another network than the one called `name`, if one is."""
    if name and header.get("network") != name:
        words = f"{place} is a {header.get('network')}, --teacher-network says {name}"
        raise ValueError(f"{words}; name the network of that file, or another file")


def training_data(job: Job, folder: AnyPath | None = None, device: str = "cpu") -> Data:
    """The Data that a job trains on."""
    d = data.load(job.dataset, folder, device, job.side)
    n = len(d.x_train)
    few = str(job.word("images", n))
    few = whole("images", int(few) if few.isdecimal() else few, 1)
    if few > n:
        raise ValueError(f"images={few} is more than the {n} training images of {d.name}")
    d = d._replace(x_train=d.x_train[:few], y_train=d.y_train[:few])
    if not job.train_noise:
        return d
    kind, *level = job.train_noise.split()
    if len(level) != 2:
        raise ValueError(f"train_noise={job.train_noise!r} has no level; write gaussian 10 dB, say")
    snr, unit = level
    return perturb.noisy_training_set(d, kind, float(snr), job.seed, unit)


def do(
    job: Job,
    out: AnyPath,
    folder: AnyPath | None = None,
    device: str = "cpu",
    draws: int = 2,
    teacher_file: AnyPath | None = None,
    runs: AnyPath | None = None,
) -> tuple[list, list, pathlib.Path]:
    """Train a job (or go on with it), keep its checkpoint under `out`, measure it: (rows, curve
    rows, state file).

    The teacher's checkpoint is `teacher_file`, else where `find` finds it. The state file lies
    under `runs` (default: the data folder's) and is the caller's to delete (`forget`) once the rows
    are safe: with it, a second call ends at once with the same rows.
    """
    whole("draws", draws, 1)
    r = job.plan()
    d = training_data(job, folder, device)
    say_left_out(d)
    path = job.path(out)
    head = {**job.row(), "dataset": d.name}
    teacher, guide = None, ""
    if job.guided:
        usual = job.teacher().path(out)
        place = pathlib.Path(teacher_file or find(job.teacher(), out) or usual)
        guide = place.name
        teacher, told = store.load_checkpoint(place, device=device)
        try_on("the teacher", teacher, d.x_test[:1])
        own.same_set(place, told, d)
        if not teacher_file:
            own.same_pictures(place, told, d, "train its teacher, or name it (--teacher)")
        if guide != usual.name:
            path = path.with_stem(f"{path.stem}-by-{place.stem}")
            network = told.get("network", type(teacher).__name__)
            head["teacher"] = words(network, told.get("settings"))
    if d.pictures and path.is_file():
        own.same_pictures(path, store.read_header(path), d, "move it away, or rename the folder")
    check_run(head, f"training {path.name}")
    if len(path.name.encode()) > LONGEST_NAME:
        raise ValueError(f"{path.name} is too long for a file's name; give networks shorter names")
    place = env.data_folder(folder)
    state = pathlib.Path(runs or place / "runs") / f"{path.stem}.state"
    net = networks.start(job.net, d, job.seed, job.word("init", "lsuv"))
    run = train.fit(net, d, job.method, r, job.seed, teacher, state, place / "cache")
    fixed = {**head, "teacher_file": guide, "epochs": r.epochs, **_about_images(job, d)}
    best = path.with_suffix(".best.safetensors")
    for net, epoch, file in ((run.last, r.epochs, path), (run.best, run.best_epoch, best)):
        told = {"epoch": epoch, "val_accuracy": run.history[epoch - 1]["val_accuracy"]}
        store.save_checkpoint(file, net, **told, **fixed)
    fixed = {k: v for k, v in (head | store.provenance()).items() if k in store.CURVE_COLUMNS}
    fixed["settings"] = words(job.settings, job.train_noise and f"on {job.train_noise}")
    curves = [
        {**fixed, "epoch": h["epoch"], "quantity": quantity, "value": f"{value:.6g}"}
        for h in run.history
        for quantity, value in h.items()
        if quantity != "epoch"
    ]
    return measure_checkpoint(path, head, d, draws, folder, state), curves, state


def _about_images(job, d):
    """What the header of a checkpoint says of the images that its network was trained on."""
    told = {"classes": d.classes, "train_images": len(d.x_train)}
    if d.pictures:
        told["pictures"] = d.pictures
    if networks.maker_word(job.net):  # it is told the shape when it is made again
        told["shape"] = "x".join(map(str, d.x_train.shape[1:]))
    return told


def measure_checkpoint(
    path: AnyPath,
    head: dict,
    d: Data,
    draws: int,
    folder: AnyPath | None,
    state: pathlib.Path,
    but: Iterable[tuple] = (),
) -> list[dict]:
    """Result rows, begun with `head`, of a checkpoint as it is kept: in half precision."""
    net, _ = store.load_checkpoint(path, device=d.x_test.device)
    made = store.provenance()
    measured = measure_levels(net, d, draws, folder, but, state.with_suffix(".rows"))
    return [{**head, "space": d.space, **row, **made} for row in measured]


def say_left_out(d: Data) -> None:
    """Print which squares are larger than the images, before anything is made."""
    wide = [c[1] for c in map(tuple, catalogue.needed(d.name)) if c not in catalogue.fitting(d)]
    if wide:
        h, w = d.x_test.shape[2:]
        print(f"squares of {', '.join(map(str, wide))} pixels are left out: images are {h} x {w}")


def forget(state: pathlib.Path) -> None:
    """Delete the state file of a run whose rows are safe, last, and the rows beside it."""
    for file in (state.with_suffix(".rows"), state):
        file.unlink(missing_ok=True)


def measure_levels(
    net: nn.Module,
    d: Data,
    draws: int = 2,
    folder: AnyPath | None = None,
    but: Iterable[tuple] = (),
    kept: AnyPath | None = None,
) -> list[dict]:
    """Result rows of one network on the levels that its data set needs, class by class, and on the
    other digits (Table III).

    perturbation "class" has the label as its level; "usps", "usps_resized" and "mnist" are that
    data set's test images (unit "test") or, of USPS, all its images ("all"). `but` holds the
    (perturbation, level, unit) that are not wanted. `kept` is a file that holds what is measured so
    far: a call that finds it there goes on after it; whoever has the rows safe deletes it.
    """
    name = store.digest(*net.state_dict().values(), words=f"{draws} {d.name}")
    rows = {}
    if kept and pathlib.Path(kept).is_file():
        try:
            before = json.loads(pathlib.Path(kept).read_bytes())
            found = before["rows"] if before["net"] == name else []
            for row in found:
                if row.keys() != {*ENTRY, "draws", "n", "correct"}:
                    raise ValueError("a row has other columns")
                check_row({column: str(value) for column, value in row.items()})
            if not all(0 <= row["correct"] <= row["n"] for row in found):
                raise ValueError("a row has more correct answers than images")
            rows = {tuple(row[k] for k in ENTRY): row for row in found}
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise ValueError(f"{kept} is damaged ({error}); delete it and call again") from None
    have = {*but, *rows}
    for entry, x, y in views(d, folder, have):
        if entry in have:
            continue
        seen = entry if entry in catalogue.fitting(d) else CLEAN
        (row,) = evaluate.sweep({"net": net}, x, y, [seen], draws)
        del row["key"]
        rows[entry] = {**row, **dict(zip(ENTRY, entry))}
        if kept:
            told = {"net": name, "rows": list(rows.values())}
            store.write(kept, json.dumps(told).encode())
    return [row for entry, row in rows.items() if entry not in but]


def views(d: Data, folder: AnyPath | None, have: Set) -> Iterator[tuple]:
    """(perturbation, level, unit), images, labels of what is measured of a data set's network, one
    by one. Another data set is left out if we `have` all of it or its files are not here.
    """
    for entry in catalogue.fitting(d):
        yield entry, d.x_test, d.y_test
    elsewhere = catalogue.about(d.name).elsewhere
    if d.classes <= 20 and not elsewhere:
        for k in range(d.classes):
            mine = d.y_test == k
            yield ("class", k, "label"), d.x_test[mine], d.y_test[mine]
    for place in elsewhere:
        units = {"test": ["test"]}
        if place != "mnist":
            units["all"] = ["train", "val", "test"]
        if have.issuperset((place, 0, unit) for unit in units):
            continue
        try:
            other = data.load(place, folder, d.x_test.device)
        except OSError as error:
            print(f"{place}: not measured, its images are not here ({error})")
            continue
        for unit, parts in units.items():
            x, y = (torch.cat([getattr(other, f"{v}_{part}") for part in parts]) for v in "xy")
            yield (place, 0, unit), x, y
