"""Projected gradient ascent on any loss, each image by itself; networks are left as they were.

Images x are (n, c, h, w) in the space that the network sees, epsilon and step in its units. What a
finished network withstands is better asked of a library kept for that (the extra `test` has one).
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import checks, geometry
from ..checks import one_of, positive, room, whole
from ..networks.modules import frozen, standing

Draw = torch.Generator | None
NORMS = {"inf": math.inf, "2": 2}
STARTS = ("uniform", "normal", "zero")


def first(
    x: Tensor, epsilon: float, norm: str = "inf", start: str = "uniform", generator: Draw = None
) -> Tensor:
    """Where an attack on images x begins, less x: "uniform" in the ball, "normal" 0.001 N(0, 1) a
    pixel (TRADES), or "zero". Drawn where `generator` is, else from torch's own on x's device.
    """
    if one_of("start", start, STARTS) == "zero":
        return torch.zeros_like(x)
    device = checks.draws_on(generator, x)
    kind = dict(generator=generator, dtype=x.dtype, device=device)
    if start == "normal":
        return 0.001 * torch.randn(x.shape, **kind).to(x.device)
    if NORMS[one_of("norm", str(norm), NORMS)] == math.inf:
        return epsilon * (2 * torch.rand(x.shape, **kind) - 1).to(x.device)
    way = torch.randn(x.shape, **kind)
    radius = torch.rand(len(x), 1, 1, 1, **kind) ** (1 / max(1, x[:1].numel()))
    return epsilon * (radius * geometry.steepest(way)).to(x.device)


def cross_entropy(y: Tensor) -> Callable:
    """The loss of the plain attack: cross-entropy to the labels y (n,)."""
    return lambda a, x: F.cross_entropy(a, y, reduction="sum")


def within(x: Tensor, low: float | None, high: float | None) -> None:
    """Refuse images x outside [low, high], into which an attack would cut them (asked on the CPU
    alone: a GPU would have to be waited for).
    """
    if not (isinstance(x, Tensor) and x.device.type != "cpu") and len(checks.images(x)):
        remedy = "give their range, or None for images without one, such as whitened ones (recipe"
        checks.inside(x, low, high, f"{remedy} setting clamp=False)")


def pgd(
    net: nn.Module,
    x: Tensor,
    loss: Callable,
    epsilon: float,
    step: float,
    steps: int = 10,
    norm: str = "inf",
    start: str = "uniform",
    low: float | None = 0.0,
    high: float | None = 1.0,
    clamp_start: bool = False,
    mode: str | None = None,
    generator: Draw = None,
) -> Tensor:
    """x' (n, c, h, w), detached: `steps` steps of length `step` up the loss, each back into the
    ball of radius epsilon around x and into [low, high].

    `loss(a, x')` takes logits (n, k) and gives a number or (n,); what it gives is summed. Defaults
    as in the code of ARD (arXiv 1905.09747; arXiv 1706.06083 clips the start too: clamp_start): a
    uniform start, the sign of the gradient (norm "2": the gradient over its length), 10 steps, the
    network as it stands (`mode`: "train", in which batch norm follows the attacked images, or
    "eval"; put back afterwards). low or high None: no such bound. Parameters keep their .grad.
    """
    epsilon = positive("epsilon", epsilon, zero=True)
    step = positive("step", step, zero=True)
    whole("steps", steps, 1)
    q = NORMS[one_of("norm", str(norm), NORMS)]
    bounded = (lambda z: z) if low is None and high is None else (lambda z: z.clamp(low, high))
    room(low, high)
    within(x, low, high)
    x = x.detach()
    z = x + first(x, epsilon, norm, start, generator)
    z = bounded(z) if clamp_start else z
    with frozen(net), standing(net, mode), torch.enable_grad():
        for _ in range(steps if len(x) else 0):
            z.requires_grad_()
            g = geometry.slope(loss(net(z), z).sum(), z)
            ahead = z.detach() + step * geometry.steepest(g, q)
            z = bounded(x + geometry.onto_ball(ahead - x, epsilon, q))
    return z
