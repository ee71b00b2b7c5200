"""What several commands need: networks by file, the columns that tell a run, where rows go."""

import pathlib
from argparse import Namespace
from collections.abc import Iterator

import torch

from .. import data, env, store
from ..checks import whole
from ..env import RESULTS, AnyPath
from ..study.jobs import Job


def rows_file(args: Namespace, name: str) -> pathlib.Path:
    """The file that rows go to: the one named, else data/results/`name`."""
    return pathlib.Path(args.rows or RESULTS / name)


def checkpoints(args: Namespace) -> Iterator[tuple]:
    """(path, network, header, its Data) of each checkpoint made by `train` that a call names.

    Of a run only the last epoch's is taken, for nothing in a row tells the best epoch's apart.
    """
    torch.set_num_threads(whole("threads", args.threads, 1))
    whole("images", args.images, 1)
    paths = [pathlib.Path(p) for p in args.checkpoints]
    for path in paths:
        if path.stem.endswith(".best"):
            last = path.with_suffix("").with_suffix(".safetensors")
            raise ValueError(f"{path} is the best epoch of its run, not the last; name {last}")
    for path in paths:
        net, head = store.load_checkpoint(path)
        if lacking := {"dataset", "method", "network", "seed", "recipe"} - set(head):
            words = ", ".join(sorted(lacking))
            raise ValueError(f"{path} does not say its {words}; name one made by `rsnl train`")
        yield path, net, head, data.load(head["dataset"], args.folder)


def teacher_file(path: pathlib.Path, head: dict, named: AnyPath | None = None) -> pathlib.Path:
    """The file of the teacher of a checkpoint with this header: `named`, or what lies beside it."""
    if named:
        return pathlib.Path(named)
    if head.get("teacher_file"):
        return path.parent / head["teacher_file"]
    network = head["network"].replace("student", "teacher")
    own, first = (
        Job(head["dataset"], "teacher", network, head["recipe"], seed=seed).path(path.parent)
        for seed in (head["seed"], 0)
    )
    return own if own.is_file() else first


def row_start(head: dict, columns: list) -> dict:
    """Those of a row's `columns` that tell a run, out of its checkpoint's header, and what measured
    it.
    """
    run = {k: head.get(k, "") for k in store.RUN_COLUMNS if k in columns}
    return {**run, "hardware": env.hardware(), "commit": env.commit()}


def five_digits(value: float) -> str:
    """A number as rows hold it: five digits, nothing for NaN."""
    return "" if value != value else f"{value:.5g}"
