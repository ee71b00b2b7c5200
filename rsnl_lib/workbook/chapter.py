"""What a chapter needs at its start: parameters, the environment, a trained network."""

import ast
import functools
import os
from importlib import metadata

import torch
from torch import nn

from .. import checks, store
from ..checks import finite, one_of, positive, whole
from ..data.catalogue import DATASETS, Data, network_for
from ..data.own import own_picture
from ..data.sets import load
from ..env import data_folder, device
from ..networks import start, typed
from ..study.jobs import Job
from ..train.loop import fit
from ..train.methods import METHODS
from ..train.recipes import RECIPES, recipe

PROFILES = ("read", "smoke", "full")
CHECKS = {
    "profile": lambda name, v: one_of(name, v, PROFILES),
    "dataset": lambda name, v: one_of(name, v, DATASETS),
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
    "rows": lambda _, v: v != "" and store.can_append(v, store.CURVE_COLUMNS),
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
    threads = os.environ.get("OMP_NUM_THREADS", "1")
    if not (threads.isdecimal() and 0 < int(threads) < 1025):
        raise ValueError(f"OMP_NUM_THREADS={threads!r} is no number of threads; set it to 1")
    torch.manual_seed(used.get("seed", 0))
    torch.set_num_threads(int(threads))
    print(" · ".join(f"{n} {v}" for n, v in used.items()))


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
    network = typed(network or "")
    job = Job(dataset, method, network, plan, seed=seed, teacher_seed=seed, teacher_method=by)
    path = job.path()
    if profile == "read":
        if changes:
            raise ValueError(
                f"profile='read' loads the shipped {method} network and cannot change "
                f"{', '.join(changes)}; use profile='smoke' or 'full'"
            )
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
    net = start(network or network_for(dataset, method), data, seed)
    run = fit(net, data, method, r, seed, teacher, state)
    images = f"{r.epochs} epochs on {len(data.x_train)} images"
    print(f"{method}: trained here ({profile}), {images}, seed {seed}")
    return run.last
