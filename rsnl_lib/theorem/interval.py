"""SOUND upper bounds by interval Jacobians: every value and slope a pair of networks can take over
a ball, in float64.

`jacobian` bounds the logits of one network; here they become its score and the gradient gap of two.
From it `certify` makes certificates and `lipsdp` a tighter bound.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from .. import geometry
from ..checks import labels, one_of, positive
from . import bound
from .jacobian import SLACK, Ball, State, logits_over
from .layers import layers


class Height(NamedTuple):
    """One network's f over the ball: value, rounding error (n,), and what its gradient is made of.

    grad f = scale * sum_j w_j grad(a_y - a_j): scale and the weights w (n, k) of the other classes
    within bounds, V_C +- V_r (n, d, k) the Jacobian of the margins.
    """

    value: torch.Tensor
    error: torch.Tensor
    w: torch.Tensor
    w_low: torch.Tensor
    w_high: torch.Tensor
    scale_low: torch.Tensor
    scale_high: torch.Tensor
    V_C: torch.Tensor
    V_r: torch.Tensor


def height_over(
    flat: list[nn.Module],
    x: torch.Tensor,
    y: torch.Tensor,
    ball: Ball,
    space: str,
    tau: float,
    slopes: list | None = None,
) -> Height:
    """The Height of the network of layers `flat` at images x with labels y over a ball. `slopes`
    takes (low, high) of each layer's neurons.
    """
    s = logits_over(flat, x, ball, slopes)
    if space == "tempered":
        s = State(*(t / tau for t in s))
    n, k = s.z.shape[:2]
    own = F.one_hot(y, k).bool()
    up = s.z + ball.rise(s)  # largest a_i - a_j over the ball
    pick = y.view(n, 1, 1)
    V, V_e = (t.gather(1, pick.expand(n, 1, k))[:, 0] for t in (s.z, s.e))
    V_up = up.gather(1, pick.expand(n, 1, k))[:, 0].masked_fill(own, math.inf)
    V_low = -up.gather(2, pick.expand(n, k, 1))[..., 0].masked_fill(own, -math.inf)
    V_C, V_r = (
        t.gather(2, y.view(n, 1, 1, 1).expand(n, t.shape[1], 1, k))[:, :, 0] for t in (s.C, s.r)
    )
    w_low, w_high = _weights(up, own)
    w = (-V).masked_fill(own, -math.inf).softmax(1)
    u = -(-V).masked_fill(own, -math.inf).logsumexp(1)
    error = V_e.amax(1) + SLACK * (1e-3 + u.abs() * 1e-3)
    one = torch.ones_like(u)
    h = Height(u, error, w, w_low, w_high, one, one, V_C, V_r)
    if space == "logit":
        return h
    u_low = -(-V_low).masked_fill(own, -math.inf).logsumexp(1)
    low, high = _slopes(u_low, -(-V_up).logsumexp(1))
    error = error / 4 + SLACK * 1e-3
    return h._replace(value=torch.sigmoid(u), error=error, scale_low=low, scale_high=high)


def _weights(up, own):
    """(low, high), (n, k): bounds of w_j = 1 / sum_{i != y} exp(a_i - a_j), the weight of each
    other class, from the largest a_i - a_j, `up`; the least weight is where every other class is as
    high as it can get.
    """
    keep = own[:, None] & ~torch.eye(own.shape[1], dtype=torch.bool)

    def weight(t):
        return (-t.masked_fill(keep, -math.inf).logsumexp(2)).exp().masked_fill(own, 0)

    return weight(up.transpose(1, 2)) * (1 - SLACK), (weight(-up) * (1 + SLACK)).clamp_max(1)


def _slopes(u_low, u_high):
    """(low, high) of the sigmoid's slope between two points, at most 1/4."""
    ends = [torch.sigmoid(u) * torch.sigmoid(-u) for u in (u_low, u_high)]
    high = torch.maximum(*ends)
    high = torch.where((u_low < 0) & (u_high > 0), 0.25, high)
    return torch.minimum(*ends) * (1 - SLACK), high * (1 + SLACK)


def _mix(h):
    """(low, high) of grad f by pixel, (n, d): the margins' Jacobians mixed with the best and the
    worst feasible weights.
    """

    def most(T):  # sup of sum_j w_j T_j over the box of weights that sum to 1
        T, order = T.sort(-1, descending=True)
        bounds = (h.w_low, h.w_high - h.w_low)
        low, room = (t[:, None].expand_as(T).gather(-1, order) for t in bounds)
        total = torch.where(T > 0, 1 + SLACK, 1 - SLACK)  # rounded weights sum to nearly 1
        left = total - h.w_low.sum(-1)[:, None, None]
        given = torch.minimum(room, (left - room.cumsum(-1) + room).clamp_min(0))
        return ((low + given) * T).sum(-1) + SLACK * (low + given).mul(T.abs()).sum(-1)

    high, low = most(h.V_C + h.V_r), -most(h.V_r - h.V_C)
    scales = (h.scale_low[:, None], h.scale_high[:, None])
    ends = torch.stack([end * scale for end in (low, high) for scale in scales])
    return ends.amin(0), ends.amax(0)


def ready(
    net_S: nn.Module,
    net_T: nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    p: float,
    space: str,
    tau: float,
    box: bool,
) -> tuple[list, list, torch.Tensor, torch.Tensor | None]:
    """(layers of S, layers of T, x in float64, the Ball's `side`), the arguments checked."""
    one_of("p", p, geometry.DUAL)
    one_of("space", space, geometry.SPACES)
    positive("tau", tau)
    x = bound.in_box(x.double()) if box else x.double()
    side = ((x == 0).double() - (x == 1).double()).flatten(1) if box else None
    labels(torch.empty(len(y), 1), y)
    return layers(net_S), layers(net_T), x, side


@torch.no_grad()
def sound_interval(
    net_S: nn.Module,
    net_T: nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    R: torch.Tensor,
    p: float = 2,
    space: str = "logit",
    tau: float = 1.0,
    box: bool = False,
) -> torch.Tensor:
    """SOUND upper bound of G(R) (n,) by interval Jacobians of both networks over B_q(x, R), R (n,).

    With box=True over the part of the ball in [0, 1]: it is convex, so only directions that lead
    into the box count (a pixel at 0 can only grow), and the answer bounds sup <-grad h, v> over
    those.
    """
    flat_S, flat_T, x, side = ready(net_S, net_T, x, y, p, space, tau, box)
    ball = Ball(R.double() * (1 + SLACK), p, side)
    S_low, S_high = _mix(height_over(flat_S, x, y, ball, space, tau))
    T_low, T_high = _mix(height_over(flat_T, x, y, ball, space, tau))
    low, high = S_low - T_high, S_high - T_low
    return ball.slope(-(low + high) / 2, (high - low) / 2) * (1 + SLACK)


@torch.no_grad()
def sound_lead(
    net_S: nn.Module,
    net_T: nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    space: str = "logit",
    tau: float = 1.0,
) -> torch.Tensor:
    """(n,) SOUND lower bound of h(x) = f_S - f_T: the float64 value less all that rounding can have
    added.
    """
    flat_S, flat_T, x, _ = ready(net_S, net_T, x, y, 2, space, tau, False)
    ball = Ball(torch.zeros(len(x), dtype=x.dtype), 2, None, jacobian=False)
    S, T = (height_over(flat, x, y, ball, space, tau) for flat in (flat_S, flat_T))
    return S.value - T.value - S.error - T.error
