"""Networks x perturbations x levels -> counts: one pass in which every network sees the same noise."""
import math
import zlib

import torch

from . import perturb
from .settings import progress, whole

SNR_DB = {"mnist": range(9, 0, -1), "digits": range(9, -4, -1)}        # Fig. 2(a) has 9 to 1
SNR_RATIO = {"mnist": (9, 7, 5, 3, 2, 1), "digits": (9, 5, 3, 2, 1, 0.5)}
BLOCKS = {"mnist": range(2, 16, 2), "digits": range(1, 6)}


def levels(dataset):
    """Every (perturbation, level, unit) the rows of a data set are made at."""
    return ([("clean", 0, "")] + [("gaussian", s, "dB") for s in SNR_DB[dataset]]
            + [("gaussian", s, "ratio") for s in SNR_RATIO[dataset]]
            + [("poisson", s, "dB") for s in SNR_DB[dataset]] + [("occlusion", s, "pixels") for s in BLOCKS[dataset]])


def noise_generator(seed, kind, level, draw):
    """The generator of one draw: the same for every network, machine and order of evaluation."""
    return torch.Generator().manual_seed(zlib.crc32(f"{seed} {kind} {level} {draw}".encode()))


@torch.no_grad()
def sweep(nets, x, y, plan, draws=2, seed=0, chunk=500):
    """Rows (dicts) of correct counts for each network of `nets` ({key: module}) under each (kind, level, unit) of `plan`.

    A row's n is images x draws. All networks see the same perturbed images, so their differences are paired.
    """
    whole("draws", draws, 1)
    if not len(x):
        raise ValueError("there are no images to evaluate; x is empty")
    for net in nets.values():
        net.eval()
    rows = []
    for kind, level, unit in progress(plan, desc="evaluate", leave=False):
        repeats = 1 if kind == "clean" else draws
        right = dict.fromkeys(nets, 0)
        for draw in range(repeats):
            generator = noise_generator(seed, kind, f"{level}{unit}", draw)
            for i in range(0, len(x), chunk):
                seen = perturb.apply(kind, x[i:i + chunk], level, generator, unit or "dB")
                for key, net in nets.items():
                    right[key] += (net(seen).argmax(1) == y[i:i + chunk]).sum()
        rows += [{"key": key, "perturbation": kind, "level": level, "unit": unit, "draws": repeats,
                  "n": len(x) * repeats, "correct": int(count)} for key, count in right.items()]
    return rows


def wilson(correct, n, z=1.96):
    """95 % interval (low, high) of a share by Wilson's formula."""
    p, shrink = correct / n, 1 + z * z / n
    middle, half = (p + z * z / (2 * n)) / shrink, z / shrink * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return middle - half, middle + half
