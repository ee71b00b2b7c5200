"""The command that trains one network, tests it and keeps checkpoint and rows."""

import os
from argparse import Namespace

from .. import checks, data, env, networks, store
from ..data.catalogue import DATASETS, name_of, network_for
from ..env import CHECKPOINTS
from ..rows import same_run
from ..study import training
from ..study.jobs import Job
from ..train import METHODS, recipes
from .common import claim_rows, rows_file, use_threads


def _agree(args):
    """Refuse options of a call that cannot all be meant."""
    given = getattr(args, "given", ())
    guided = checks.one_of("method", args.method, METHODS) and METHODS[args.method].scores
    if not guided and (odd := {"teacher", "teacher_seed", "teacher_network"} & {*given}):
        word = min(odd).replace("_", "-")
        raise ValueError(f"method={args.method!r} asks no teacher; leave --{word} out")
    if "train_snr" in given and not args.train_noise:
        raise ValueError("--train-snr is the strength of a noise; give --train-noise too")
    checks.finite("train_snr", args.train_snr)
    checks.whole("draws", args.draws, 1)
    checks.whole("seed", args.seed)
    checks.whole("teacher_seed", args.teacher_seed)


def _networks(args):
    """The names of the network and of the teacher's, the makers typed for them imported."""
    if not args.network and args.dataset not in DATASETS and os.path.isdir(args.dataset):
        known = "one of rsnl's (rsnl networks lists them)"
        raise ValueError(
            f"{args.dataset} has no networks of its own; name {known}, or yours: {networks.EXAMPLE}"
        )
    network = networks.typed(args.network or network_for(args.dataset, args.method))
    if networks.maker_word(network) and "init" in getattr(args, "given", ()):
        remedy = "let it set its start, and leave --init out"
        raise ValueError(
            f"init={args.init!r} starts rsnl's own networks, not {args.network}; {remedy}"
        )
    guide = networks.typed(args.teacher_network)
    if args.teacher:
        training.same_network(args.teacher, store.read_header(args.teacher), guide)
        if networks.maker_word(guide):
            guide = ""  # the file's name says it
    return network, guide


def train(args: Namespace) -> None:
    use_threads(args)
    _agree(args)
    device = env.device(args.device)
    words = [f"{k}={v}" for k, v in recipes.changes_of(args.set).items()]
    if args.init != "lsuv":
        words.append(f"init={args.init}")
    if args.side is not None:
        words.append(f"side={args.side}")
    noise = f"{args.train_noise} {args.train_snr:g} dB" if args.train_noise else ""
    network, guide = _networks(args)
    own = (args.dataset, args.method, network, args.recipe, " ".join(words), noise)
    job = Job(*own, args.seed, args.teacher_seed, guide)
    epochs = job.plan().epochs
    rows_to = rows_file(args, f"{name_of(args.dataset)}.csv", store.COLUMNS)
    beside = Namespace(rows=args.rows and args.rows.removesuffix(".csv") + "-curves.csv")
    curves_to = rows_file(beside, "curves.csv", store.CURVE_COLUMNS)
    out = args.out or CHECKPOINTS
    for file in (job.path(out), env.data_folder(args.folder) / "runs/state"):
        store.can_write(file)
        if both := {rows_to.resolve(), curves_to.resolve()} & {*file.resolve().parents}:
            raise ValueError(f"{min(both)} would be a file of rows and a folder; name another")
    mine = None if args.dataset in DATASETS else data.load(args.dataset, side=job.side)
    if mine:
        claim_rows(rows_to, mine)
    rows, curves, state = training.do(job, out, args.folder, device, args.draws, args.teacher)
    if mine:
        claim_rows(rows_to, mine, keep=True)
    store.append(rows_to, rows, store.COLUMNS, same_run)
    store.append(curves_to, curves, store.CURVE_COLUMNS, same_run)
    training.forget(state)
    seen = [(float(c["value"]), c["epoch"]) for c in curves if c["quantity"] == "val_accuracy"]
    share = rows[0]["correct"] / rows[0]["n"]
    best = f"best on validation: epoch {max(seen)[1]}"
    print(f"{state.stem}: test accuracy {share:.2%}, last of {epochs} epochs, {best}")
