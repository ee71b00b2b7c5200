"""Certificates in a plane through an image."""

import math

import torch
from torch import nn

from .. import geometry
from ..checks import one_of, positive
from .interval import sound_interval
from .layers import layers


def in_plane(net: nn.Module, x: torch.Tensor, axes: torch.Tensor) -> nn.Module:
    """`net` on the plane x + a axes[0] + b axes[1] as a network of (n, 2) points; x (1, ...), axes
    (2, ...).
    """
    lift = nn.Linear(2, x[0].numel()).double()
    with torch.no_grad():
        lift.weight.copy_(axes.flatten(1).T)
        lift.bias.copy_(x.flatten())
    return nn.Sequential(lift, nn.Unflatten(1, x.shape[1:]), *layers(net))


@torch.no_grad()
def flip_in_plane(
    flat_S: nn.Module,
    flat_T: nn.Module,
    y: torch.Tensor,
    q: float = 2,
    space: str = "logit",
    tau: float = 1.0,
    reach: float = 1.0,
    tol: float = 1e-3,
    most: int = 400_000,
) -> tuple[float, float]:
    """(low, high): the exact distance of the smallest flip from 0, within `tol` of itself, for
    networks of two inputs; y (1,).

    Branch and bound on squares of [-reach, reach]^2: one whose h must stay positive (by
    `sound_interval`) is done, one that holds a flip lowers `high`, the others nearer than `high`
    are quartered. What lies outside the square is not seen: low is at most `reach`, and high = inf
    means that no flip was found.
    """
    one_of("q", q, geometry.DUAL)
    positive("tol", tol)
    side = 2 * positive("reach", reach) / 32
    ticks = torch.arange(32, dtype=torch.float64) * side - reach + side / 2
    cells = torch.cartesian_prod(ticks, ticks)
    high, seen = math.inf, 0

    def size(v):
        return torch.linalg.vector_norm(v, q, dim=1)

    def nearest(c, side):
        return size((c.abs() - side / 2).clamp_min(0))

    while True:
        labels = y.expand(len(cells))
        f_S, f_T = (geometry.height(f(cells), labels, space, tau) for f in (flat_S, flat_T))
        m = f_S - f_T
        radius = torch.full_like(m, side / math.sqrt(2))
        drop = radius * sound_interval(flat_S, flat_T, cells, labels, radius, 2, space, tau)
        if (m <= 0).any():
            high = min(high, size(cells[m <= 0]).min().item())
        flipped = m + drop < -1e-9
        if flipped.any():
            high = min(high, nearest(cells[flipped], side).min().item())
        near = nearest(cells, side)
        open_ = (m - drop <= 1e-9) & ~flipped & (near < high)
        low = min(near[open_].min().item(), high) if open_.any() else high
        seen += len(cells)
        if not open_.any() or low >= (1 - tol) * high or seen > most:
            return min(low, reach), high
        quarter = torch.tensor([[-1, -1], [-1, 1], [1, -1], [1, 1]], dtype=torch.float64) * side / 4
        cells = (cells[open_][:, None] + quarter).flatten(0, 1)
        side = side / 2
