"""What a chapter needs at its start: parameters, the environment, trained networks, images."""

import ast
import functools
import os
import re
from importlib import metadata

import torch
from torch import Tensor, nn

from .. import checks, networks, store
from ..checks import finite, one_of, positive, whole
from ..data.catalogue import DATASETS, Data, name_of, network_for
from ..data.own import own_picture
from ..data.sets import gallery, load
from ..env import data_folder, device
from ..study.jobs import Job
from ..train.loop import fit
from ..train.methods import METHODS
from ..train.recipes import RECIPES, recipe

PROFILES = ("read", "smoke", "full")
_OWN = ("network", "teacher_network")  # a reader's


def _check_network(name, v):
    """Refuse a network that cannot be made; a reader's own, typed as module:maker, is imported."""
    if not isinstance(v, str):
        raise ValueError(f"{name}={v!r} must be a name, such as 'cifar_student1' or 'nets:student'")
    if v and not networks.maker_word(networks.typed(v)):
        with torch.device("meta"):
            networks.build(v)


def _check_rows(name, v):
    """Refuse what is no file to which curves can be appended; "" is none."""
    if not isinstance(v, str):
        raise ValueError(f"{name}={v!r} must be the name of a file of curves, such as 'curves.csv'")
    if v:
        store.can_append(v, store.CURVE_COLUMNS)


CHECKS = {
    "profile": lambda name, v: one_of(name, v, PROFILES),
    **dict.fromkeys(_OWN, _check_network),
    "seed": checks.seed,
    "epochs": whole,
    "tau": positive,
    **dict.fromkeys(("gamma", "C1", "C2", "lam"), functools.partial(positive, zero=True)),
    "epsilon": positive,
    "images": functools.partial(whole, low=1),
    "steps": functools.partial(whole, low=1, high=10**9),
    "image": functools.partial(whole, high=39),  # of the forty in a gallery
    "method": lambda name, v: one_of(name, v, METHODS),
    "picture": lambda _, v: v != "" and own_picture(v),
    "rows": _check_rows,
    "snr": finite,
    "device": lambda _, v: device(v),
}


def parameters(given: dict, **used) -> None:
    """Check a notebook's parameters and make the run repeatable.

    `given` is the notebook's globals(), `used` its parameters by name. Papermill takes a misspelt
    name for one more variable and only warns; here it is an error, and so is a bad value. Sets
    torch's seed and one thread (OMP_NUM_THREADS changes that); prints the run in one line.
    """
    for name in _injected(given.get("In", [])):
        if name not in used:
            raise ValueError(f"unknown parameter {name!r}; this notebook has: {', '.join(used)}")
    for name, value in used.items():
        if name in CHECKS:
            CHECKS[name](name, value)
    if "dataset" in used:
        _check_study(used)
    threads = os.environ.get("OMP_NUM_THREADS", "1")
    if not (threads.isdecimal() and 0 < int(threads) < 1025):
        raise ValueError(f"OMP_NUM_THREADS={threads!r} is no number of threads; set it to 1")
    torch.manual_seed(used.get("seed", 0))
    torch.set_num_threads(int(threads))
    print(" · ".join(f"{n} {v}" for n, v in used.items() if v != ""))


def _check_study(used):
    """Refuse a data set that is unknown, and a folder or networks that the chapter cannot use."""
    dataset = used["dataset"]
    takes = _OWN[0] in used
    folder = takes and isinstance(dataset, str) and os.path.isdir(dataset)
    if not folder or dataset in DATASETS:
        reading = used.get("profile") == "read"
        more = ("a folder with one folder of pictures a class",) * (takes and not reading)
        if reading or dataset not in DATASETS:
            one_of("dataset", dataset, (*_offered(), *more))
        folder = False
    elif lacking := [name for name in _OWN if not used[name]]:
        known = "one of rsnl's (rsnl networks lists them) or yours, such as 'nets:student'"
        told = f"dataset={dataset!r} has no networks of its own"
        raise ValueError(f"{told}; set {' and '.join(lacking)} to {known}")
    else:
        name_of(dataset)
    if used.get("profile") == "read" and (folder or any(used.get(name) for name in _OWN)):
        raise ValueError("profile='read' shows what is shipped; use profile='smoke' or 'full'")


def _offered() -> list[str]:
    """The data sets with shipped networks: those that the chapters are written for."""
    return [d for d in DATASETS if Job(d, "teacher").path().is_file()]


def _injected(cells) -> list[str]:
    """The names set in papermill's cell, of the cells that IPython lists as `In`."""
    if not isinstance(cells, list) or not all(isinstance(cell, str) for cell in cells):
        return ["In"]  # a parameter of that name hid them
    text = "\n".join(cell for cell in cells if cell.startswith("# Parameters"))
    try:
        nodes = list(ast.walk(ast.parse(text)))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        harm = f"the cell that starts with '# Parameters' is no Python ({type(error).__name__})"
        raise ValueError(f"{harm}; write lines such as seed = 1 there") from None
    stored = (n for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))
    return [node.id for node in stored]


def environment() -> None:
    """Print one line a needed package, [OK] or what to do."""
    from packaging.requirements import Requirement

    for need in map(Requirement, metadata.requires("rsnl-lib") or []):
        if need.marker and not need.marker.evaluate({"extra": "workbook"}):
            continue
        need.marker = None
        try:
            good = need.specifier.contains(metadata.version(need.name), prereleases=True)
        except metadata.PackageNotFoundError:
            good = False
        if good:
            print(f"[OK]   {need}")
        else:
            print(f"[FAIL] {need}: run `python3 run.py demo` again, it repairs the environment")


def load_or_train(
    dataset: str,
    method: str,
    seed: int = 0,
    profile: str = "read",
    data: Data | None = None,
    teacher: nn.Module | None = None,
    network: str | None = None,
    plan: str = "short",
    by: str = "",
    **changes,
) -> nn.Module:
    """The network a chapter asks for, and one printed line that says where it is from.

    read: the shipped checkpoint. smoke: really trained, 4 epochs on at most 512 images. full:
    trained by the recipe called `plan` (resumable, under the data folder). `by` is how its teacher
    was trained where that was not on labels alone, such as "pgd_at". `changes` are recipe settings,
    such as epochs or C1. A `network` of one's own is module:maker, as on the command line.
    """
    one_of("profile", profile, PROFILES)
    one_of("method", method, METHODS)
    one_of("plan", plan, RECIPES)
    checks.seed("seed", seed)
    network = networks.typed(network or "")
    job = Job(dataset, method, network, plan, seed=seed, teacher_seed=seed, teacher_method=by)
    path = job.path()
    if profile == "read":
        if changes:
            raise ValueError(
                f"profile='read' loads the shipped {method} network and cannot change "
                f"{', '.join(changes)}; use profile='smoke' or 'full'"
            )
        if not path.is_file():
            raise FileNotFoundError(_not_shipped(job))
        net, header = store.load_checkpoint(path)
        print(
            f"{method}: {path.name}, epoch {header['epoch']}, {header['train_images']} images, "
            f"validation {float(header['val_accuracy']):.2%}, commit {header['commit']}"
        )
        return net
    data = data or load(dataset)
    state = None
    if profile == "smoke":
        changes = {"epochs": 4, **changes}
        trained = {"x_train": data.x_train[:512], "y_train": data.y_train[:512]}
        data = data._replace(**trained, x_val=data.x_val[:256], y_val=data.y_val[:256])
    else:
        stem = "-".join([path.stem, *(f"{k}={v}" for k, v in changes.items())])
        state = data_folder() / "runs" / f"{stem}.state"
    r = recipe(plan, dataset, method, **changes)
    net = networks.start(network or network_for(dataset, method), data, seed)
    run = fit(net, data, method, r, seed, teacher, state)
    images = f"{r.epochs} epochs on {len(data.x_train)} images"
    print(f"{method}: trained here ({profile}), {images}, seed {seed}")
    return run.last


def _not_shipped(job):
    """What to do where the checkpoint of a job is not shipped."""
    path = job.path()
    before, after = path.name.split(f"-s{job.seed}", 1)
    named = re.compile(re.escape(before) + r"-s(\d+)" + re.escape(after))
    seeds = sorted(int(m[1]) for p in path.parent.iterdir() if (m := named.fullmatch(p.name)))
    shipped = f"shipped: seed {', '.join(map(str, seeds))}" if seeds else "no seed is shipped"
    command = f"python -m rsnl_lib train --dataset {job.dataset} --method {job.method}"
    remedy = f"train it with: {command} --seed {job.seed}, or here with profile='smoke' or 'full'"
    return f"there is no checkpoint {path.name}; {remedy} ({shipped})"


def first_images(dataset: str, d: Data | None = None) -> tuple[Tensor, Tensor]:
    """(x, y) to look at: the shipped gallery, or of a reader's folder `d` the first test images of
    each class, 40 in all or one of each.
    """
    if d is None or dataset in DATASETS:
        return gallery(dataset)
    each = max(1, 40 // d.classes)
    first = [torch.nonzero(d.y_test == c)[:each, 0] for c in range(d.classes)]
    return d.x_test[torch.cat(first)], d.y_test[torch.cat(first)]
