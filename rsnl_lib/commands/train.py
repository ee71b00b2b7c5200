"""The command that trains one network, tests it and keeps checkpoint and rows."""

import pathlib

import torch

from .. import checks, env, store
from ..data import catalogue
from ..study import jobs, training
from ..train import METHODS, recipes
from .common import rows_file


def train(args):
    torch.set_num_threads(checks.whole("threads", args.threads, 1))
    device = env.device(args.device)
    job = job_of(args)
    job.plan()
    name = pathlib.Path(args.dataset).name
    rows_to = rows_file(args, f"{name}.csv")
    curves_to = rows_to.with_name("curves.csv")
    if args.rows:
        curves_to = pathlib.Path(args.rows.removesuffix(".csv") + "-curves.csv")
    # a bad place is said before training, not after
    for file, columns in ((rows_to, store.COLUMNS), (curves_to, store.CURVE_COLUMNS)):
        store.can_write(file)
        if file.exists():
            store.append(file, [], columns)
    store.can_write(pathlib.Path(args.out) / "checkpoint")
    rows, curves, state = training.do(job, args.out, args.folder, device, args.draws, args.teacher)
    store.append(rows_to, rows)
    store.append(curves_to, curves, store.CURVE_COLUMNS)
    state.unlink(missing_ok=True)
    state.with_suffix(".rows").unlink(missing_ok=True)
    seen = [(float(c["value"]), c["epoch"]) for c in curves if c["quantity"] == "val_accuracy"]
    print(
        f"{state.stem}: test accuracy {rows[0]['correct'] / rows[0]['n']:.2%}, last of"
        f" {job.plan().epochs} epochs, best on validation: epoch {max(seen, default=(0, 0))[1]}"
    )


def job_of(args):
    """The Job that the command line asks for."""
    checks.one_of("method", args.method, METHODS)
    words = [f"{k}={v}" for k, v in map(recipes.setting, args.set)]
    if args.init != "lsuv":
        words.append(f"init={args.init}")
    noise = f"{args.train_noise} {args.train_snr:g} dB" if args.train_noise else ""
    pair = f"{args.dataset}_mlp" if args.mlp else args.dataset
    return jobs.Job(
        args.dataset,
        args.method,
        args.network or catalogue.network_for(pair, args.method),
        args.recipe,
        " ".join(words),
        noise,
        args.seed,
        args.teacher_seed,
        args.teacher_network,
    )
