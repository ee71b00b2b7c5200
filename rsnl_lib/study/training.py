"""Doing a job: train its network, keep the checkpoint, measure it on every level."""

import json
import pathlib

import torch

from .. import data, env, networks, store, train
from ..checks import whole
from ..data import Data, catalogue, perturb
from ..data.catalogue import CLEAN
from ..measure import evaluate
from .jobs import Job, find, words

ENTRY = ("perturbation", "level", "unit")  # what tells a row of one run


def images(job: Job, folder=None, device: str = "cpu") -> Data:
    """The Data that a job trains on."""
    d = data.load(job.dataset, folder, device)
    if job.word("images"):
        few = whole("images", int(job.word("images")), 1)
        if few > len(d.x_train):
            raise ValueError(
                f"images={few} is more than the {len(d.x_train)} training images of {d.name}"
            )
        d = d._replace(x_train=d.x_train[:few], y_train=d.y_train[:few])
    if not job.train_noise:
        return d
    kind, snr, unit = job.train_noise.split()
    return perturb.noisy_training_set(d, kind, float(snr), job.seed, unit)


def do(
    job: Job, out, folder=None, device: str = "cpu", draws: int = 2, teacher_file=None, runs=None
) -> tuple:
    """Train a job (or go on with it), keep its checkpoint under `out`, measure it: (rows, curve
    rows, state file).

    The teacher's checkpoint is `teacher_file`, else that of the teacher's job in `out`, else where
    `find` finds it. The state file lies under `runs` (default: the data folder's) and is the
    caller's to delete once the rows are safe: with it, a second call ends at once with the same
    rows.
    """
    whole("draws", draws, 1)
    r = job.plan()
    d = images(job, folder, device)
    path = job.path(out)
    head = {**job.row(), "dataset": d.name}
    teacher, guide = None, ""
    if job.guided:
        own = job.teacher().path(out)
        place = pathlib.Path(teacher_file or find(job.teacher(), out) or own)
        guide = place.name
        teacher, told = store.load_checkpoint(place, device=device)
        if guide != own.name:
            path = path.with_stem(f"{path.stem}-by-{place.stem}")
            network = told.get("network", type(teacher).__name__)
            head["teacher"] = words(network, told.get("settings"))
    place = env.data_folder(folder)
    state = pathlib.Path(runs or place / "runs") / f"{path.stem}.state"
    net = networks.start(job.net, d, job.seed, job.init)
    run = train.fit(net, d, job.method, r, job.seed, teacher, state, place / "cache")
    size = {"classes": d.classes, "train_images": len(d.x_train), "epochs": r.epochs}
    _keep(run, path, r.epochs, {**head, "teacher_file": guide, **size})
    # the last epoch, in half precision: what is kept is what is measured
    net, _ = store.load_checkpoint(path, device=device)
    measured = measure(net, d, draws, folder, kept=state.with_suffix(".rows"))
    made = store.provenance()
    rows = [{**head, "space": d.space, **row, **made} for row in measured]
    return rows, _curves(job, head, run.history, made), state


def _keep(run, path, epochs, head):
    """The checkpoints of a run's last and best epoch, with what `head` says of them."""
    best = path.with_suffix(".best.safetensors")
    for net, epoch, place in ((run.last, epochs, path), (run.best, run.best_epoch, best)):
        accuracy = run.history[epoch - 1]["val_accuracy"]
        store.save_checkpoint(place, net, epoch=epoch, val_accuracy=accuracy, **head)


def _curves(job, head, history, made):
    """The curve rows of a run: a row for each epoch and quantity of its history."""
    fixed = {k: head[k] for k in store.CURVE_COLUMNS if k in head}
    fixed["settings"] = words(job.settings, job.train_noise and f"on {job.train_noise}")
    fixed |= {k: made[k] for k in ("hardware", "commit")}
    return [
        {**fixed, "epoch": h["epoch"], "quantity": quantity, "value": f"{value:.6g}"}
        for h in history
        for quantity, value in h.items()
        if quantity != "epoch"
    ]


def measure(net: torch.nn.Module, d: Data, draws: int = 2, folder=None, but=(), kept=None) -> list:
    """Result rows of one network on the levels that its data set needs, class by class, and on the
    other digits (Table III).

    perturbation "class" has the label as its level; "usps", "usps_resized" and "mnist" are that
    data set's test images (unit "test") or, of USPS, all its images ("all"). `but` holds the
    (perturbation, level, unit) that are not wanted. `kept` is a file that holds what is measured so
    far: a call that finds it there goes on after it; whoever has the rows safe deletes it.
    """
    name = store.digest(*net.state_dict().values(), words=f"{draws} {d.name}")
    known = _kept(kept, name)
    rows = []
    for entry, seen, x, y in _views(d, folder, {*but, *known}):
        if entry in but:
            continue
        if entry not in known:
            (row,) = evaluate.sweep({"net": net}, x, y, [seen], draws)
            del row["key"]
            known[entry] = {**row, **dict(zip(ENTRY, entry))}
            if kept:
                text = json.dumps({"net": name, "rows": list(known.values())})
                store.write(kept, text.encode())
        rows.append(known[entry])
    return rows


def _kept(file, name):
    """{(perturbation, level, unit): row} of the network called `name` that a file holds."""
    if not file or not pathlib.Path(file).is_file():
        return {}
    before = json.loads(pathlib.Path(file).read_text())
    if before["net"] != name:
        return {}
    return {tuple(row[k] for k in ENTRY): row for row in before["rows"]}


def _views(d, folder, have):
    """What is measured of a data set's network, one by one: (perturbation, level, unit) of its row
    and of the sweep, images, labels.

    Another data set is loaded only if an entry of it is not among those that we `have`; one whose
    files are not here is left out.
    """
    for entry in catalogue.needed(d.name):
        yield entry, entry, d.x_test, d.y_test
    elsewhere = catalogue.about(d.name).elsewhere
    if d.classes <= 20 and not elsewhere:
        for k in range(d.classes):
            mine = d.y_test == k
            yield ("class", k, "label"), CLEAN, d.x_test[mine], d.y_test[mine]
    for place in elsewhere:
        parts = {"test": ("test",)}
        if place != "mnist":
            parts["all"] = ("train", "val", "test")
        other = None
        if not have.issuperset((place, 0, unit) for unit in parts):
            try:
                other = data.load(place, folder, d.x_test.device)
            except OSError as error:
                print(f"{place}: not measured, its images are not here ({error})")
                continue
        for unit, names in parts.items():
            x = other and torch.cat([getattr(other, f"x_{part}") for part in names])
            y = other and torch.cat([getattr(other, f"y_{part}") for part in names])
            yield (place, 0, unit), CLEAN, x, y
