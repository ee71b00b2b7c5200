"""SOUND upper bounds by interval Jacobians: every value and slope a pair of networks can take over
a ball, in float64.

`jacobian` bounds the logits of one network; here they become its score and the gradient gap of two.
From it `certify` makes certificates and `lipsdp` a tighter bound.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn import Module

from .. import geometry
from ..checks import one_of, positive, radius, true_class
from . import bound
from .jacobian import SLACK, Ball, State, known_layers, logits_over


class Height(NamedTuple):
    """One network's f over the ball: value, rounding error (n,), and what its gradient is made of.

    grad f = scale * sum_j w_j grad(a_y - a_j): scale (n,) and the weights w (n, k) of the other
    classes within (low, high), V_C +- V_r (n, d, k) the Jacobian of the margins; (low, high) slopes
    of the neurons of its layers.
    """

    value: Tensor
    error: Tensor
    w: Tensor
    w_range: tuple
    scale_range: tuple
    V_C: Tensor
    V_r: Tensor
    slopes: list
    layers: list


def fitting_layers(net_S: Module, net_T: Module, x: Tensor, y: Tensor) -> list[list]:
    """The known layers of student and teacher, if they, images and labels fit each other."""
    pair = [known_layers(net) for net in (net_S, net_T)]
    plain = [nn.Sequential(*flat) for flat in pair]
    bound.fit_together(*plain, x.double())
    with torch.no_grad():
        a = plain[0](x[:1].double())
    true_class(a.expand(len(x), -1), y)
    return pair


def heights_over(
    net_S: Module, net_T: Module, x: Tensor, y: Tensor, ball: Ball, space: str, tau: float
) -> list[Height]:
    """The Heights of both networks at images x with labels y over a ball, the arguments checked."""
    one_of("space", space, geometry.SPACES)
    positive("tau", tau)
    pair = fitting_layers(net_S, net_T, x, y)
    if radius("R", ball.R).shape != y.shape:
        raise ValueError(f"R {tuple(ball.R.shape)} must be one radius for each of {len(y)} images")
    return [_height_over(flat, x.double(), y, ball, space, tau) for flat in pair]


def _height_over(flat, x, y, ball, space, tau):
    s, slopes = logits_over(flat, x, ball)
    if space == "tempered":
        s = State(*(t / tau for t in s))
    n, k = s.z.shape[:2]
    own = F.one_hot(y, k).bool()
    keep = own[:, None] & ~torch.eye(k, dtype=torch.bool)

    def score(V):  # of margins a_y - a_j, (n, k)
        return -(-V).masked_fill(own, -math.inf).logsumexp(1)

    def weight(t):  # 1 / sum_{i != y} exp(t_ij), of each other class j
        return (-t.masked_fill(keep, -math.inf).logsumexp(2)).exp().masked_fill(own, 0)

    up = ball.high(s)  # largest a_i - a_j over the ball
    V, V_e, V_up = (torch.take_along_dim(t, y.view(n, 1, 1), 1)[:, 0] for t in (s.z, s.e, up))
    V_low = -torch.take_along_dim(up, y.view(n, 1, 1), 2)[..., 0]
    V_C, V_r = (torch.take_along_dim(t, y.view(n, 1, 1, 1), 2)[:, :, 0] for t in (s.C, s.r))
    w = (-V).masked_fill(own, -math.inf).softmax(1)
    w_low = weight(up.transpose(1, 2)) * (1 - SLACK)  # where every other class is at its highest
    w_high = (weight(-up) * (1 + SLACK)).clamp_max(1)
    u = score(V)
    error = V_e.amax(1) + SLACK * (1e-3 + u.abs() * 1e-3)
    low = high = torch.ones_like(u)
    if space != "logit":
        u_low, u_high = score(V_low), score(V_up)
        ends = [torch.sigmoid(end) * torch.sigmoid(-end) for end in (u_low, u_high)]
        low = torch.minimum(*ends) * (1 - SLACK)
        high = torch.where((u_low < 0) & (u_high > 0), 0.25, torch.maximum(*ends)) * (1 + SLACK)
        u, error = torch.sigmoid(u), error / 4 + SLACK * 1e-3
    return Height(u, error, w, (w_low, w_high), (low, high), V_C, V_r, slopes, flat)


def _gradient_range(h):
    """(low, high) of grad f by pixel, (n, d): the margins' Jacobians mixed with the best and the
    worst feasible weights.
    """
    w_low, w_high = h.w_range

    def most(T):  # sup of sum_j w_j T_j over the box of weights that sum to 1
        T, order = T.sort(-1, descending=True)
        bounds = (w_low, w_high - w_low)
        low, room = (t[:, None].expand_as(T).gather(-1, order) for t in bounds)
        total = torch.where(T > 0, 1 + SLACK, 1 - SLACK)  # rounded weights sum to nearly 1
        left = total - w_low.sum(-1)[:, None, None]
        given = torch.minimum(room, (left - room.cumsum(-1) + room).clamp_min(0))
        return ((low + given) * T).sum(-1) + SLACK * (low + given).mul(T.abs()).sum(-1)

    mixed = (-most(h.V_r - h.V_C), most(h.V_C + h.V_r))
    ends = torch.stack([end * scale[:, None] for end in mixed for scale in h.scale_range])
    return ends.amin(0), ends.amax(0)


@torch.no_grad()
def sound_interval(
    net_S: Module,
    net_T: Module,
    x: Tensor,
    y: Tensor,
    R: Tensor,
    p: float = 2,
    space: str = "logit",
    tau: float = 1.0,
    box: bool = False,
) -> Tensor:
    """SOUND upper bound of G(R) (n,) by interval Jacobians of both networks over B_q(x, R), R (n,);
    with box=True over the part of the ball in [0, 1]: it is convex, so only directions that lead
    into the box count (a pixel at 0 can only grow), and it bounds sup <-grad h, v> over those.
    """
    one_of("p", p, geometry.DUAL)
    side = None
    if box:
        bound.in_box(x)
        side = ((x == 0).double() - (x == 1).double()).flatten(1)
    ball = Ball(torch.as_tensor(R).double() * (1 + SLACK), p, side)
    heights = heights_over(net_S, net_T, x, y, ball, space, tau)
    (S_low, S_high), (T_low, T_high) = map(_gradient_range, heights)
    low, high = S_low - T_high, S_high - T_low
    return ball.slope(-(low + high) / 2, (high - low) / 2) * (1 + SLACK)


@torch.no_grad()
def sound_lead(
    net_S: Module, net_T: Module, x: Tensor, y: Tensor, space: str = "logit", tau: float = 1.0
) -> Tensor:
    """(n,) SOUND lower bound of h(x) = f_S - f_T: the float64 value less all rounding errors."""
    ball = Ball(torch.zeros(len(x), dtype=torch.float64), 2, jacobian=False)
    S, T = heights_over(net_S, net_T, x, y, ball, space, tau)
    return S.value - T.value - S.error - T.error
