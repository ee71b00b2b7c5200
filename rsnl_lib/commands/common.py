"""What several commands need: networks by file, the columns that tell a run, where rows go."""

import pathlib

from .. import env, store
from ..checks import whole
from ..env import RESULTS
from ..study.jobs import checkpoint_path

RUN = ("dataset", "method", "network", "teacher", "recipe", "settings", "seed")


def ready(args):
    """Threads and number of images as the command line says, both checked before any work."""
    import torch

    torch.set_num_threads(whole("threads", args.threads, 1))
    whole("images", args.images, 1)


def rows_file(args, name):
    """The file that rows go to: the one named, else data/results/`name`."""
    return pathlib.Path(args.rows or RESULTS / name)


def opened(path):
    """(network, header) of a checkpoint made by `train`."""
    net, head = store.load_checkpoint(path)
    if lacking := {"dataset", "method", "network", "seed", "recipe"} - set(head):
        raise ValueError(
            f"{path} does not say its {', '.join(sorted(lacking))}; this needs a checkpoint made by"
            " `rsnl train`"
        )
    return net, head


def guide(path, teacher=None):
    """(network, header, its teacher's file) of a checkpoint: `teacher`, or what lies beside it."""
    path = pathlib.Path(path)
    net, head = opened(path)
    if teacher:
        return net, head, pathlib.Path(teacher)
    if head.get("teacher_file"):
        return net, head, path.parent / head["teacher_file"]
    name = head["network"].replace("student", "teacher")
    own, first = (
        checkpoint_path(head["dataset"], "teacher", seed, name, head["recipe"], path.parent)
        for seed in (head["seed"], 0)
    )
    return net, head, own if own.is_file() else first


def pupil(path, teacher=None):
    """(network, header, its teacher or None) of a checkpoint; the teacher's lies beside it unless
    `teacher` names the file.
    """
    net, head, place = guide(path, teacher)
    return net, head, None if head["method"] == "teacher" else store.load_checkpoint(place)[0]


def run_of(head, columns=RUN):
    """The columns that tell a run, out of its checkpoint's header, and what measured it."""
    run = {k: head.get(k, "") for k in columns}
    return {**run, "hardware": env.hardware(), "commit": env.commit()}


def last_epochs(paths):
    """The paths of checkpoints whose rows may be kept: of a run only its last epoch's, for nothing
    in a row tells the best epoch's apart.
    """
    for path in map(pathlib.Path, paths):
        if path.stem.endswith(".best"):
            raise ValueError(
                f"{path} is the best epoch of its run, and rows tell of the last; name"
                f" {path.with_suffix('').with_suffix('.safetensors')}"
            )
    return paths


def text(value):
    """A number as rows hold it: five digits, nothing for NaN."""
    return "" if value != value else f"{value:.5g}"
