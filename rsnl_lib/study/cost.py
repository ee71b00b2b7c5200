"""How long a job will take on this machine."""

import functools
import statistics

import torch

from .. import networks, store, train
from ..data import catalogue
from ..networks import fast
from .jobs import Job

SLOPES = ("robust", "gradient_only", "target_zero", "shuffled", "matched", "direct")
# convolution passes of a step; others 3,
PASSES = {**dict.fromkeys(SLOPES, 6), "fitnet": 4.5, "fast_ard": 12}
# and these 5, and 2 a step of their attack
ATTACKED = ("pgd_at", "trades", "ard", "rslad", "iad", "adaad", "igdm")
# time of a multiplication that the transform saves or makes cheaper, in those of a direct
# convolution: measured on the 9M teacher
TRANSFORMED = 0.3
# a network of twice the multiplications is done at 2 ** 0.2 the rate: measured between 5 and 400
# million, on two processors
GROWTH = 0.2
# floating-point operations a second, where nothing was measured; one thread, one GPU
RATE = {"cpu": 4e10, "cuda": 1e13}


def span(s: float) -> str:
    """Seconds in words."""
    if s < 90:
        return f"{s:.0f} s"
    return f"{s / 60:.0f} min" if s < 5400 else f"{s / 3600:.1f} h"


def work(job: Job) -> float:
    """Multiplications of one image in a job's network, those of a convolution by the transform
    (`fourier`) as what they cost in time.
    """
    return _work(job.net, 100 if job.dataset == "cifar100" else 10)


@functools.cache
def _work(network, classes=10):
    with torch.device("meta"):  # no weight is drawn; to run it there too would take seconds to load
        net = networks.build(network, classes)
    zeros = {k: torch.zeros(v.shape, dtype=v.dtype) for k, v in net.state_dict().items()}
    net.load_state_dict(zeros, assign=True)

    def price(layer):
        cheap = isinstance(layer, torch.nn.Conv2d) and fast.transformable(layer)
        return TRANSFORMED if cheap else 1

    return networks.count(net, catalogue.SHAPES[network.split("_")[0]], price)[1]


def rate(measured: dict, work: float) -> float | None:
    """Floating-point operations a second of this machine in a network of `work` multiplications;
    None where nothing was measured on it.

    `measured` is {(network, method): ms per image and epoch}; the median over it, each carried to
    the size of the network that is asked for (`GROWTH`).
    """
    found = [
        _passes(method, 10) * 2 * _work(net) * 1000 / ms * (work / _work(net)) ** GROWTH
        for (net, method), ms in measured.items()
    ]
    return statistics.median(found) if found else None


def _passes(method, attack_steps):
    """Convolution passes of a training step: forward, images, weights."""
    return 5 + 2 * attack_steps if method in ATTACKED else PASSES.get(method, 3)


def _time(work, measured, device):
    """Seconds of one pass of one image through a network of `work` multiplications."""
    return 2 * work / (rate(measured, work) or RATE[device])


def seconds(
    job: Job,
    measured: dict | None = None,
    device: str = "cpu",
    trained: bool = False,
    asks: bool = True,
) -> float:
    """How long a job will take, in seconds of its processor: by `measured` ({(network, method): ms
    per image and epoch}), else by its multiplications over `rate`.

    One that is `trained` needs but a look at some test images; one that does not ask its teacher
    (`asks`) finds what the teacher says in the cache.
    """
    measured = measured or {}
    n, n_test = catalogue.SETS[job.dataset].images
    n = int(job.word("images", n))
    r = job.plan()
    each = _time(work(job), measured, device)
    if trained:
        return 5 + 2 * n_test * each
    ms = measured.get((job.net, job.method))
    epoch = n * (_passes(job.method, r.attack_steps) * each if ms is None else ms / 1000)
    ask = 0
    if job.guided and asks:
        passes = (3 if train.METHODS[job.method].gradients else 1) * (1 + r.flip)
        ask = passes * n * _time(work(job.teacher()), measured, device)
    return r.epochs * epoch + ask + 2 * n_test * len(catalogue.needed(job.dataset)) * each


def paces(rates, hardware: str) -> dict:
    """{(network, method): median ms per image and epoch} measured on this hardware, from the curve
    files `rates`.
    """
    found = {}
    for row in (row for path in rates for row in store.lines(path, missing_ok=True)):
        if row["quantity"] == "ms_per_image" and row["hardware"] == hardware:
            found.setdefault((row["network"], row["method"]), []).append(float(row["value"]))
    return {key: statistics.median(values) for key, values in found.items()}
