"""Networks x perturbations x levels -> counts, in one pass where all see the same noise."""

import contextlib
import zlib
from collections.abc import Iterator

import torch
from torch import Tensor

from ..checks import network, points, some, whole
from ..data import perturb
from ..env import progress
from ..networks import door, fast, modules
from ..train.losses import correct


def noise_generator(seed: int, kind: str, level: str, draw: int) -> torch.Generator:
    """The generator of one draw: the same for every network, machine and order of evaluation."""
    return torch.Generator().manual_seed(zlib.crc32(f"{seed} {kind} {level} {draw}".encode()))


def draws_of(
    x: Tensor, kind: str, level: float, unit: str, draw: int, seed: int, chunk: int
) -> Iterator:
    """(i, images i to i + chunk of x as they are seen in one draw), piece by piece."""
    generator = noise_generator(seed, kind, f"{level:g}{unit}", draw)
    for i in range(0, len(x), chunk):
        yield i, perturb.apply(kind, x[i : i + chunk], level, generator, unit or "dB")


@torch.no_grad()
def sweep(
    nets: dict, x: Tensor, y: Tensor, plan: list, draws: int = 2, seed: int = 0, chunk: int = 500
) -> list:
    """Rows (dicts) of correct counts for each network of `nets` ({key: module}) under each (kind,
    level, unit) of `plan`; a row's n is images x draws. All networks see the same images, so their
    differences are paired.
    """
    whole("draws", draws, 1)
    whole("chunk", chunk, 1)
    if not isinstance(nets, dict) or not nets:
        kind = type(nets).__name__
        raise ValueError(f"nets is a {kind}; give a dict of networks, one or more: {{'kd': net}}")
    for key, net in nets.items():
        network(f"network {key!r}", net)
    if odd := [e for e in plan if isinstance(e, str) or len(e) != 3]:
        known = "(perturbation, level, unit)"
        raise ValueError(f"plan={plan!r:.80}: {odd[0]!r} is no {known}; write a list of those")
    some(points(x), "evaluate")
    if len(x) != len(y):
        raise ValueError(f"{len(x)} images and {len(y)} labels do not fit: give one label an image")
    for kind, level, _ in plan:
        if kind == "occlusion":  # a square that does not fit is said before the work
            perturb.apply(kind, x[:1], level, torch.Generator())
    rows = []
    nets = {key: door.unwrapped(net) for key, net in nets.items()}
    for key, net in nets.items():
        door.look(f"network {key!r}", net, x[:2])
    with contextlib.ExitStack() as stack:
        for net in nets.values():
            stack.enter_context(modules.standing(net, "eval"))
            stack.enter_context(fast.layers(net))
            stack.enter_context(door.answering(net))
        for kind, level, unit in progress(plan, desc="evaluate", leave=False):
            repeats = 1 if kind == "clean" else draws
            right = dict.fromkeys(nets, 0)
            for draw in range(repeats):
                for i, seen in draws_of(x, kind, level, unit, draw, seed, chunk):
                    for key, net in nets.items():
                        for part, labels in zip(seen.split(64), y[i : i + chunk].split(64)):
                            right[key] += correct(net(part), labels)
            row = {"perturbation": kind, "level": level, "unit": unit, "draws": repeats}
            row["n"] = len(x) * repeats
            rows += [{"key": k, **row, "correct": int(count)} for k, count in right.items()]
    return rows
