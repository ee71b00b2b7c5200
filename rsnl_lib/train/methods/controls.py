"""Controls: methods that take one ingredient of `robust` away."""

import torch
from torch import nn

from ... import geometry
from .base import Batch, Terms
from .paper import kd, robust


def target_zero(net: nn.Module, b: Batch, r) -> Terms:
    """Control: `robust` with the teacher's input gradient replaced by zero, a plain smoothness
    penalty.
    """
    return robust(net, b._replace(g_T=torch.zeros_like(b.x)), r)


def random_directions(g_T: torch.Tensor, seed: int, chunk: int = 1000) -> torch.Tensor:
    """Control: of each teacher gradient of g_T (n, c, h, w) the length alone, in a direction drawn
    uniformly, once for the whole run.

    The `robust` student that is given them (method "matched") has as much to match as `robust` has,
    and nothing of where the teacher's gradient points. Drawn anew each step they would be *target
    zero* in expectation. A mirrored image is an image of its own.
    """
    drawn = torch.Generator().manual_seed(seed * 100_003 + 31)
    out = torch.empty_like(g_T)
    for i in range(0, len(g_T), chunk):
        part = g_T[i : i + chunk]
        way = torch.randn(part.shape, generator=drawn).to(part.device)
        length = geometry.norm(part.float()) / geometry.norm(way)
        out[i : i + chunk] = way * geometry.like(length, way).to(way)
    return out


def shuffled(net: nn.Module, b: Batch, r) -> Terms:
    """Control: `robust` with the teacher's gradients dealt anew, each step, among the images of one
    class in the batch: nearly their class's mean.
    """
    drawn = torch.randperm(len(b.y), device=b.y.device)
    place = b.y.argsort(stable=True)
    giver = drawn[b.y[drawn].argsort(stable=True)]
    g_T = torch.empty_like(b.g_T)
    g_T[place] = b.g_T[giver]
    return robust(net, b._replace(g_T=g_T), r)


def noise_augmented(net: nn.Module, b: Batch, r) -> Terms:
    """Control: KD on images with white noise of standard deviation r.sigma; the teacher saw the
    clean ones.
    """
    noise = torch.randn(b.x.shape, device=b.x.device).to(b.x)
    return kd(net, b._replace(x=b.x + r.sigma * noise), r)
