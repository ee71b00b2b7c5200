"""SOUND upper bounds by interval Jacobians: every value and slope a pair of networks can take over
a ball, in float64.

The Jacobian of each layer's output is kept as a centre C and a radius r, entry by entry; a neuron,
a maxout unit or a pooling window that cannot switch inside the ball keeps its exact slope
(RecurJac, arXiv 1810.11783, and Fast-Lip, arXiv 1804.09699, are relatives). From it `certify` makes
certificates and `lipsdp` a tighter bound.

Rounding. `_affine` carries, beside each computed value z, a bound e on |computed - exact|: a sum of
K products is off by at most K 2^-53 / (1 - K 2^-53) of the sum of their sizes, below GAMMA = 1e-11
for K up to 90,000. Radii of the Jacobian grow by the same share of what they multiply. Softmax,
norms and square roots are a few roundings each: the final numbers are widened by SLACK = 1e-9 of
themselves. Softplus is taken as the exact function.
"""

import copy
import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from .. import geometry
from ..checks import labels, one_of, positive
from ..networks.modules import Maxout
from . import bound

GAMMA, SLACK = 1e-11, 1e-9


def layers(net):
    """The layers of a network in order, in float64 and evaluation mode; a layer no bound knows is
    an error that names it.
    """
    inner = net.layer if isinstance(net, Maxout) else net
    plain = [
        c.forward
        for c in ((nn.Linear, nn.Conv2d) if inner is not net else (nn.Sequential, *LAYERS))
    ]
    own = [
        getattr(type(m), "forward", None) for m in (inner, net)
    ]  # that of a subclass may compute anything
    if own[0] not in plain or (inner is not net and own[1] is not Maxout.forward):
        raise ValueError(
            f"{type(net).__name__} is no layer that the sound bounds know; they know nn.Sequential"
            f" of {', '.join(c.__name__ for c in LAYERS)}. For any other network: certify.votes,"
            " and the estimates in bound"
        )
    if isinstance(net, nn.Sequential):
        return [flat for m in net for flat in layers(m)]
    if inner is not net and getattr(inner, "groups", 1) > 1:
        raise ValueError(
            f"Maxout of Conv2d with groups={inner.groups}: its pieces see different channels; "
            "the sound bounds know groups=1 only"
        )
    if getattr(net, "track_running_stats", True) is False:
        raise ValueError(
            f"{type(net).__name__} without running statistics mixes the images of a batch; "
            "the sound bounds are for one image at a time"
        )
    return [copy.deepcopy(net).double().eval()]


LAYERS = (
    nn.Linear,
    nn.Conv2d,
    Maxout,
    nn.ReLU,
    nn.Softplus,
    nn.AvgPool2d,
    nn.MaxPool2d,
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.Flatten,
    nn.Unflatten,
    nn.Dropout,
    nn.Identity,
)


def linear_map(layer, absolute=False, rows=None):
    """(t -> layer(t) without its bias, the bias) for a linear layer; with |weights|, or other
    `rows` for its weights.
    """
    if isinstance(layer, nn.AvgPool2d):
        return layer, None
    if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
        scale = (layer.running_var + layer.eps).rsqrt() * (
            1 if layer.weight is None else layer.weight
        )
        shift = -layer.running_mean * scale + (0 if layer.bias is None else layer.bias)
        scale = scale.abs() if absolute else scale
        return (lambda t: t * scale.view(1, -1, *[1] * (t.dim() - 2))), shift
    w = layer.weight if rows is None else rows
    w = w.abs() if absolute else w
    if isinstance(layer, nn.Linear):
        return (lambda t: F.linear(t, w)), layer.bias
    if layer.padding_mode != "zeros":
        raise ValueError(
            f"Conv2d with padding_mode={layer.padding_mode!r}: the sound bounds know 'zeros' only"
        )
    return (
        lambda t: F.conv2d(t, w, None, layer.stride, layer.padding, layer.dilation, layer.groups)
    ), layer.bias


# The interval Jacobian ---------------------------------------------------------------------------
class State(NamedTuple):
    """One layer's output over the ball: value at x and its rounding error (n, *s); Jacobian within
    C +- r, both (n, d, *s).
    """

    z: torch.Tensor
    e: torch.Tensor
    C: torch.Tensor
    r: torch.Tensor


def columns(f, J):
    """f on every Jacobian column: (n, d, *s) -> (n, d, *t)."""
    return f(J.flatten(0, 1)).unflatten(0, J.shape[:2])


def _affine(layer, s, rows=None, bias=True):
    if isinstance(layer, nn.Linear) and s.z.dim() != 2:
        raise ValueError(
            f"Linear on features of shape {tuple(s.z.shape[1:])}: the sound bounds want them flat; "
            "put nn.Flatten before it"
        )
    f, b = linear_map(layer, rows=rows)
    size, _ = linear_map(layer, absolute=True, rows=rows)
    means = getattr(
        layer, "running_mean", None
    )  # the bias of a batch norm may hide two large numbers
    hidden = 0 if means is None else means.abs().view(1, -1, *[1] * (s.z.dim() - 2))
    z, e = f(s.z), size(s.e + GAMMA * (s.z.abs() + hidden))
    if b is not None and bias:
        b = b.view(1, -1, *[1] * (z.dim() - 2))
        z, e = z + b, e + GAMMA * (b.abs() + z.abs())
    return State(z, e, columns(f, s.C), columns(size, s.r + GAMMA * s.C.abs()))


class Ball(NamedTuple):
    """B_q(x, R), R (n,), with the dual p; `side` (n, d) says which way a pixel may go: 0 both, 1 up
    only, -1 down only.
    """

    R: torch.Tensor
    p: float
    side: torch.Tensor | None
    jacobian: bool = True  # False, for R = 0: carry values and their rounding only

    def slope(self, C, r):
        """sup of <g, v> over g in C +- r and feasible directions v of q-norm 1: (n, *s)."""
        g = C.abs() + r
        if self.side is not None:
            side = self.side.view(*self.side.shape, *[1] * (C.dim() - 2))
            g = torch.where(
                side > 0, (C + r).clamp_min(0), torch.where(side < 0, (r - C).clamp_min(0), g)
            )
        return torch.linalg.vector_norm(g, self.p, dim=1)

    def rise(self, s):
        """The most that each value of the state can grow over the ball, rounding included."""
        return geometry.like(self.R, s.z) * self.slope(s.C, s.r) + s.e

    def fall(self, s):
        return geometry.like(self.R, s.z) * self.slope(-s.C, s.r) + s.e


def _largest(states, alive):
    """The maximum of several states, each piece possible where `alive`: the hull of their
    Jacobians.
    """
    z = torch.stack([t.z for t in states])
    e = torch.stack([t.e for t in states]).amax(0)
    low, high = torch.full_like(states[0].C, math.inf), torch.full_like(states[0].C, -math.inf)
    for t, on in zip(states, alive):
        low = torch.where(on[:, None], torch.minimum(low, t.C - t.r), low)
        high = torch.where(on[:, None], torch.maximum(high, t.C + t.r), high)
    return State(z.amax(0), e, (low + high) / 2, (high - low) / 2)


def _maxout(m, s, ball, slopes):
    w = m.layer.weight.chunk(m.pieces)
    states = [
        State(*t)
        for t in zip(
            *(
                part.chunk(m.pieces, dim=1 if i < 2 else 2)
                for i, part in enumerate(_affine(m.layer, s))
            )
        )
    ]
    alive = [torch.ones_like(states[0].z, dtype=torch.bool) for _ in states]
    for i in range(m.pieces):
        for j in range(i):
            d = _affine(
                m.layer, s, rows=w[i] - w[j], bias=False
            )  # the pieces' difference, tighter than their two bounds
            d = d._replace(z=states[i].z - states[j].z, e=states[i].e + states[j].e + GAMMA)
            alive[i] &= d.z + ball.rise(d) >= 0
            alive[j] &= d.z - ball.fall(d) <= 0
    if m.pieces == 2:
        slopes.append(((~alive[1]).double(), alive[0].double()))
    return _largest(states, alive)


def _relu(s, ball, slopes):
    up, down = s.z + ball.rise(s) >= 0, s.z - ball.fall(s) <= 0
    slopes.append(((~down).double(), up.double()))
    zero = State(*(torch.zeros_like(t) for t in s))
    return _largest([s, zero], [up, down])


def _softplus(m, s, ball, slopes):
    low, high = (
        torch.sigmoid(m.beta * (s.z - ball.fall(s))),
        torch.sigmoid(m.beta * (s.z + ball.rise(s))),
    )
    low, high = low * (1 - SLACK), high * (1 + SLACK)
    slopes.append((low, high))
    ends = torch.stack([(s.C + sign * s.r) * k[:, None] for sign in (-1, 1) for k in (low, high)])
    top, bottom = ends.amax(0), ends.amin(0)
    return State(
        m(s.z), s.e + 1.5 * math.exp(-m.threshold) / m.beta, (top + bottom) / 2, (top - bottom) / 2
    )


def _windows(m, t, fill, out):
    """The k x k values that each output of a pooling layer sees, (k*k, ..., H', W'), padded with
    `fill`.
    """
    k, step, pad = (
        (v, v) if isinstance(v, int) else v for v in (m.kernel_size, m.stride, m.padding)
    )
    need = [(out[i] - 1) * step[i] + k[i] - t.shape[i - 2] - pad[i] for i in (0, 1)]
    t = F.pad(t, (pad[1], max(need[1], 0), pad[0], max(need[0], 0)), value=fill)
    t = t.unfold(-2, k[0], step[0]).unfold(-2, k[1], step[1])[..., : out[0], : out[1], :, :]
    return t.flatten(-2).movedim(-1, 0)


def _max_pool(m, s, ball):
    if m.dilation not in (1, (1, 1)):
        raise ValueError(
            f"MaxPool2d with dilation={m.dilation}: the sound bounds know dilation 1 only"
        )
    out = m(s.z).shape[-2:]
    parts = [_windows(m, t, fill, out) for t, fill in zip(s, (-math.inf, 0.0, 0.0, 0.0))]
    states = [State(*t) for t in zip(*parts)]
    winner = parts[0].argmax(0)
    best = State(
        *(
            t.gather(
                0,
                (winner if t.dim() == parts[0].dim() else winner[:, None].expand(t.shape[1:]))[
                    None
                ],
            )[0]
            for t in parts
        )
    )
    alive = []
    for i, t in enumerate(states):
        d = State(t.z - best.z, t.e + best.e, t.C - best.C, t.r + best.r)
        alive.append((d.z + ball.rise(d) >= 0) | (winner == i))
    return _largest(states, alive)


def _walk(flat, x, ball, slopes=None):
    """The State before the last layer of `flat` (all of it, if that is no Linear layer), and that
    layer or None.
    """
    slopes = [] if slopes is None else slopes
    d = x[0].numel()
    eye = torch.eye(d, dtype=x.dtype).view(1, d, *x.shape[1:]).expand(len(x), -1, *x.shape[1:])
    eye = eye if ball.jacobian else eye[:, :0]
    s = State(x, torch.zeros_like(x), eye, torch.zeros_like(eye))
    last = flat[-1] if isinstance(flat[-1], nn.Linear) else None
    for m in flat[:-1] if last is not None else flat:
        if isinstance(m, Maxout):
            s = _maxout(m, s, ball, slopes)
        elif isinstance(m, nn.ReLU):
            s = _relu(s, ball, slopes)
        elif isinstance(m, nn.Softplus):
            s = _softplus(m, s, ball, slopes)
        elif isinstance(m, nn.MaxPool2d):
            s = _max_pool(m, s, ball)
        elif isinstance(m, (nn.Flatten, nn.Unflatten)):
            s = State(m(s.z), m(s.e), columns(m, s.C), columns(m, s.r))
        elif not isinstance(m, (nn.Dropout, nn.Identity)):
            s = _affine(m, s)
    return s, last


def _logits(s, last):
    """Pairs of logits: the State of a_i - a_j, (n, [d,] k, k), its Jacobian through the difference
    of the last layer's rows.
    """
    if last is None:
        z, e = (s.z[:, :, None] - s.z[:, None]), s.e[:, :, None] + s.e[:, None]
        return State(
            z, e, s.C[:, :, :, None] - s.C[:, :, None], s.r[:, :, :, None] + s.r[:, :, None]
        )
    w = last.weight
    k = len(w)
    rows = (w[:, None] - w[None]).reshape(k * k, -1)
    a = _affine(last, s)
    d = _affine(last, s, rows=rows, bias=False)
    return State(
        a.z[:, :, None] - a.z[:, None],
        a.e[:, :, None] + a.e[:, None],
        d.C.unflatten(-1, (k, k)),
        d.r.unflatten(-1, (k, k)),
    )


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


def height_over(flat, x, y, ball, space, tau, slopes=None):
    s = _logits(*_walk(flat, x, ball, slopes))
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

    def others(t):
        return t.masked_fill(own[:, None] & ~torch.eye(k, dtype=torch.bool), -math.inf)

    # w_j = 1 / sum_{i != y} exp(a_i - a_j); the least weight is where every other class is as high
    # as it can get
    w_low = (-others(up.transpose(1, 2)).logsumexp(2)).exp().masked_fill(own, 0) * (1 - SLACK)
    w_high = (-others(-up).logsumexp(2)).exp().masked_fill(own, 0) * (1 + SLACK)
    w = (-V).masked_fill(own, -math.inf).softmax(1)
    u = -(-V).masked_fill(own, -math.inf).logsumexp(1)
    u_low, u_high = -(-V_low).masked_fill(own, -math.inf).logsumexp(1), -(-V_up).logsumexp(1)
    error = V_e.amax(1) + SLACK * (1e-3 + u.abs() * 1e-3)
    if space == "logit":
        one = torch.ones_like(u)
        return Height(u, error, w, w_low, w_high.clamp_max(1), one, one, V_C, V_r)

    def slope(t):
        return torch.sigmoid(t) * torch.sigmoid(-t)

    low, high = (
        torch.minimum(slope(u_low), slope(u_high)),
        torch.maximum(slope(u_low), slope(u_high)),
    )
    high = torch.where((u_low < 0) & (u_high > 0), 0.25, high)
    return Height(
        torch.sigmoid(u),
        error / 4 + SLACK * 1e-3,
        w,
        w_low,
        w_high.clamp_max(1),
        low * (1 - SLACK),
        high * (1 + SLACK),
        V_C,
        V_r,
    )


def _mix(h):
    """(low, high) of grad f by pixel, (n, d): the margins' Jacobians mixed with the best and the
    worst feasible weights.
    """

    def most(T):  # sup of sum_j w_j T_j over the box of weights that sum to 1
        T, order = T.sort(-1, descending=True)
        low, room = (
            t[:, None].expand_as(T).gather(-1, order) for t in (h.w_low, h.w_high - h.w_low)
        )
        left = (
            torch.where(T > 0, 1 + SLACK, 1 - SLACK) - h.w_low.sum(-1)[:, None, None]
        )  # rounded weights sum to nearly 1
        given = torch.minimum(room, (left - room.cumsum(-1) + room).clamp_min(0))
        return ((low + given) * T).sum(-1) + SLACK * (low + given).mul(T.abs()).sum(-1)

    high, low = most(h.V_C + h.V_r), -most(h.V_r - h.V_C)
    ends = torch.stack(
        [
            low * h.scale_low[:, None],
            low * h.scale_high[:, None],
            high * h.scale_low[:, None],
            high * h.scale_high[:, None],
        ]
    )
    return ends.amin(0), ends.amax(0)


def ready(net_S, net_T, x, y, p, space, tau, box):
    one_of("p", p, geometry.DUAL)
    one_of("space", space, geometry.SPACES)
    positive("tau", tau)
    x = bound.in_box(x.double()) if box else x.double()
    side = ((x == 0).double() - (x == 1).double()).flatten(1) if box else None
    labels(torch.empty(len(y), 1), y)
    return layers(net_S), layers(net_T), x, side


@torch.no_grad()
def sound_interval(net_S, net_T, x, y, R, p=2, space="logit", tau=1.0, box=False):
    """SOUND upper bound of G(R) (n,) by interval Jacobians of both networks over B_q(x, R), R (n,).

    With box=True over the part of the ball in [0, 1]: it is convex, so only directions that lead
    into the box count (a pixel at 0 can only grow), and the answer bounds sup <-grad h, v> over
    those.
    """
    flat_S, flat_T, x, side = ready(net_S, net_T, x, y, p, space, tau, box)
    ball = Ball(R.double() * (1 + SLACK), p, side)
    return _gap(
        height_over(flat_S, x, y, ball, space, tau),
        height_over(flat_T, x, y, ball, space, tau),
        ball,
    )


def _gap(h_S, h_T, ball):
    (S_low, S_high), (T_low, T_high) = _mix(h_S), _mix(h_T)
    low, high = S_low - T_high, S_high - T_low
    return ball.slope(-(low + high) / 2, (high - low) / 2) * (1 + SLACK)


@torch.no_grad()
def sound_lead(net_S, net_T, x, y, space="logit", tau=1.0):
    """(n,) SOUND lower bound of h(x) = f_S - f_T: the float64 value less all that rounding can have
    added.
    """
    flat_S, flat_T, x, _ = ready(net_S, net_T, x, y, 2, space, tau, False)
    ball = Ball(torch.zeros(len(x), dtype=x.dtype), 2, None, jacobian=False)
    S, T = (height_over(flat, x, y, ball, space, tau) for flat in (flat_S, flat_T))
    return S.value - T.value - S.error - T.error
