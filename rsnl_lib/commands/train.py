"""The command that trains one network, tests it and keeps checkpoint and rows."""

import pathlib
from argparse import Namespace

import torch

from .. import checks, env, store
from ..data.catalogue import network_for
from ..env import CHECKPOINTS
from ..study import training
from ..study.jobs import Job
from ..train import METHODS, recipes
from .common import rows_file


def train(args: Namespace) -> None:
    torch.set_num_threads(checks.whole("threads", args.threads, 1))
    device = env.device(args.device)
    checks.one_of("method", args.method, METHODS)
    words = [f"{k}={v}" for k, v in map(recipes.setting, args.set)]
    if args.init != "lsuv":
        words.append(f"init={args.init}")
    noise = f"{args.train_noise} {args.train_snr:g} dB" if args.train_noise else ""
    network = args.network or network_for(args.dataset, args.method)
    own = (args.dataset, args.method, network, args.recipe, " ".join(words), noise)
    job = Job(*own, args.seed, args.teacher_seed, args.teacher_network)
    epochs = job.plan().epochs
    rows_to = rows_file(args, f"{pathlib.Path(args.dataset).name}.csv")
    curves_to = rows_to.with_name("curves.csv")
    if args.rows:
        curves_to = pathlib.Path(args.rows.removesuffix(".csv") + "-curves.csv")
    out = args.out or CHECKPOINTS
    # a bad place is said before training, not after
    for file, columns in ((rows_to, store.COLUMNS), (curves_to, store.CURVE_COLUMNS)):
        store.can_write(file)
        if file.exists():
            store.append(file, [], columns)
    store.can_write(pathlib.Path(out) / "checkpoint")
    rows, curves, state = training.do(job, out, args.folder, device, args.draws, args.teacher)
    store.append(rows_to, rows)
    store.append(curves_to, curves, store.CURVE_COLUMNS)
    training.forget(state)
    seen = [(float(c["value"]), c["epoch"]) for c in curves if c["quantity"] == "val_accuracy"]
    share = rows[0]["correct"] / rows[0]["n"]
    best = f"best on validation: epoch {max(seen)[1]}"
    print(f"{state.stem}: test accuracy {share:.2%}, last of {epochs} epochs, {best}")
