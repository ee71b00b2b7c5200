"""How long a job will take on this machine."""

import functools
import statistics
from collections import defaultdict

import torch
from torch import nn

from .. import networks, store, train
from ..data import catalogue
from ..networks import fast
from .jobs import Job

TRANSFORMED = 0.3  # time of a multiplication by the transform, on the 9M teacher; direct: 1
# a network of twice the multiplications is done at 2 ** 0.2 the rate, from 5 to 400 million
GROWTH = 0.2
RATE = {"cpu": 4e10, "cuda": 1e13}  # flops of one thread, one GPU, where nothing was measured


def span(s: float) -> str:
    """Seconds in words."""
    if s < 90:
        return f"{s:.0f} s"
    return f"{s / 60:.0f} min" if s < 5400 else f"{s / 3600:.1f} h"


@functools.cache
def _work(network, classes=10):
    """Multiplications of one image, those by the transform (`fourier`) at what they cost."""
    with torch.device("meta"):  # no weight is drawn; to run it there too would take seconds to load
        net = networks.build(network, classes)
    zeros = {k: torch.zeros(v.shape, dtype=v.dtype) for k, v in net.state_dict().items()}
    net.load_state_dict(zeros, assign=True)

    def price(layer):
        cheap = isinstance(layer, nn.Conv2d) and fast.transformable(layer)
        return TRANSFORMED if cheap else 1

    return networks.count(net, catalogue.SHAPES[network.split("_")[0]], price)[1]


def flops(measured: dict, work: float) -> float | None:
    """Floating-point operations a second in a network of `work` multiplications: the median over
    `measured` ({(network, method): ms per image and epoch}), each carried to that size (GROWTH);
    None where nothing was measured.
    """
    found = [
        _passes(method, 10) * 2 * _work(net) * 1000 / ms * (work / _work(net)) ** GROWTH
        for (net, method), ms in measured.items()
    ]
    return statistics.median(found) if found else None


def _passes(method, attack_steps):
    """Convolution passes of a training step: forward, images, weights; 2 a step of an attack."""
    how = train.METHODS[method]
    return how.passes + 2 * attack_steps * ("attack_steps" in how.settings)


def _time(job, measured, device):
    """Seconds of one pass of one image through a job's network."""
    work = _work(job.net, 100 if job.dataset == "cifar100" else 10)
    return 2 * work / (flops(measured, work) or RATE[device])


def seconds(
    job: Job, measured: dict, device: str = "cpu", trained: bool = False, asks: bool = True
) -> float:
    """How long a job will take, in seconds, by `measured` (as `flops` has it), else by its
    multiplications. One that is `trained` only looks at some test images; one that does not ask
    its teacher (`asks`) finds the answers in the cache.
    """
    n, n_test = catalogue.SETS[job.dataset].images
    n = int(job.word("images", n))
    r = job.plan()
    each = _time(job, measured, device)
    if trained:
        return 5 + 2 * n_test * each
    ms = measured.get((job.net, job.method))
    epoch = n * (_passes(job.method, r.attack_steps) * each if ms is None else ms / 1000)
    ask = 0
    if job.guided and asks:
        passes = (3 if train.METHODS[job.method].gradients else 1) * (1 + r.flip)
        ask = passes * n * _time(job.teacher(), measured, device)
    return r.epochs * epoch + ask + 2 * n_test * len(catalogue.needed(job.dataset)) * each


def paces(curves: list, hardware: str) -> dict:
    """{(network, method): median ms per image and epoch} of this hardware in files of curves."""
    found = defaultdict(list)
    for row in (row for path in curves for row in store.lines(path, True, store.CURVE_COLUMNS)):
        if row["quantity"] == "ms_per_image" and row["hardware"] == hardware:
            found[row["network"], row["method"]].append(float(row["value"]))
    return {key: statistics.median(values) for key, values in found.items()}
