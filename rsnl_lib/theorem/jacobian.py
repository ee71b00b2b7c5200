"""Interval Jacobians: every value and slope that the logits of a network can take over a ball, in
float64.

The Jacobian of each layer's output is kept as a centre C and a radius r, entry by entry; a neuron,
a maxout unit or a pooling window that cannot switch inside the ball keeps its exact slope
(RecurJac, arXiv 1810.11783, and Fast-Lip, arXiv 1804.09699, are relatives).

Rounding. `_affine` carries, beside each computed value z, a bound e on |computed - exact|: a sum of
K products is off by at most K 2^-53 / (1 - K 2^-53) of the sum of their sizes, below GAMMA = 1e-11
for K up to 90,000. Radii of the Jacobian grow by the same share of what they multiply. Softmax,
norms and square roots are a few roundings each: the final numbers are widened by SLACK = 1e-9 of
themselves. Softplus is taken as the exact function.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from .. import geometry
from ..networks.modules import Maxout
from .layers import linear_map, split_last

GAMMA = 1e-11
SLACK = 1e-9


class State(NamedTuple):
    """One layer's output over the ball: value at x and its rounding error (n, *s); Jacobian within
    C +- r, both (n, d, *s).
    """

    z: torch.Tensor
    e: torch.Tensor
    C: torch.Tensor
    r: torch.Tensor


def columns(f: Callable, J: torch.Tensor) -> torch.Tensor:
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
    means = getattr(layer, "running_mean", None)  # a batch norm's bias may hide two large numbers
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
            g = torch.where(side < 0, (r - C).clamp_min(0), g)
            g = torch.where(side > 0, (C + r).clamp_min(0), g)
        return torch.linalg.vector_norm(g, self.p, dim=1)

    def rise(self, s):
        """The most that each value of the state can grow over the ball, rounding included."""
        return geometry.like(self.R, s.z) * self.slope(s.C, s.r) + s.e

    def fall(self, s):
        """The most that each value can fall."""
        return geometry.like(self.R, s.z) * self.slope(-s.C, s.r) + s.e


def _largest(states, alive):
    """The maximum of several states, each piece possible where `alive`: the hull of their
    Jacobians.
    """
    z = torch.stack([t.z for t in states])
    e = torch.stack([t.e for t in states]).amax(0)
    low = torch.full_like(states[0].C, math.inf)
    high = -low
    for t, on in zip(states, alive):
        low = torch.where(on[:, None], torch.minimum(low, t.C - t.r), low)
        high = torch.where(on[:, None], torch.maximum(high, t.C + t.r), high)
    return State(z.amax(0), e, (low + high) / 2, (high - low) / 2)


def _maxout(m, s, ball, slopes):
    w = m.layer.weight.chunk(m.pieces)
    z, e, C, r = _affine(m.layer, s)
    values = (t.chunk(m.pieces, dim=1) for t in (z, e))
    jacobians = (t.chunk(m.pieces, dim=2) for t in (C, r))
    states = [State(*t) for t in zip(*values, *jacobians)]
    alive = [torch.ones_like(states[0].z, dtype=torch.bool) for _ in states]
    for i in range(m.pieces):
        for j in range(i):
            # the pieces' difference, tighter than their two bounds
            d = _affine(m.layer, s, rows=w[i] - w[j], bias=False)
            d = d._replace(z=states[i].z - states[j].z, e=states[i].e + states[j].e + GAMMA)
            alive[i] &= d.z + ball.rise(d) >= 0
            alive[j] &= d.z - ball.fall(d) <= 0
    if m.pieces == 2:
        slopes.append(((~alive[1]).double(), alive[0].double()))
    return _largest(states, alive)


def _relu(s, ball, slopes):
    up = s.z + ball.rise(s) >= 0
    down = s.z - ball.fall(s) <= 0
    slopes.append(((~down).double(), up.double()))
    zero = State(*(torch.zeros_like(t) for t in s))
    return _largest([s, zero], [up, down])


def _softplus(m, s, ball, slopes):
    low = torch.sigmoid(m.beta * (s.z - ball.fall(s))) * (1 - SLACK)
    high = torch.sigmoid(m.beta * (s.z + ball.rise(s))) * (1 + SLACK)
    slopes.append((low, high))
    ends = torch.stack([(s.C + sign * s.r) * k[:, None] for sign in (-1, 1) for k in (low, high)])
    top, bottom = ends.amax(0), ends.amin(0)
    error = s.e + 1.5 * math.exp(-m.threshold) / m.beta
    return State(m(s.z), error, (top + bottom) / 2, (top - bottom) / 2)


def _windows(m, t, fill, out):
    """The k x k values that each output of a pooling layer sees, (k*k, ..., H', W'), padded with
    `fill`.
    """
    sizes = (m.kernel_size, m.stride, m.padding)
    k, step, pad = ((v, v) if isinstance(v, int) else v for v in sizes)
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

    def won(t):
        at = winner if t.dim() == parts[0].dim() else winner[:, None].expand(t.shape[1:])
        return t.gather(0, at[None])[0]

    best = State(*map(won, parts))
    alive = []
    for i, t in enumerate(states):
        d = State(t.z - best.z, t.e + best.e, t.C - best.C, t.r + best.r)
        alive.append((d.z + ball.rise(d) >= 0) | (winner == i))
    return _largest(states, alive)


def _walk(flat, x, ball, slopes):
    """The State before the last layer of `flat` (all of it, if that is no Linear layer), and that
    layer or None.
    """
    d = x[0].numel()
    eye = torch.eye(d, dtype=x.dtype).view(1, d, *x.shape[1:]).expand(len(x), -1, *x.shape[1:])
    eye = eye if ball.jacobian else eye[:, :0]
    s = State(x, torch.zeros_like(x), eye, torch.zeros_like(eye))
    flat, last = split_last(flat)
    for m in flat:
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


def logits_over(
    flat: list[nn.Module], x: torch.Tensor, ball: Ball, slopes: list | None = None
) -> State:
    """Pairs of logits over the ball: the State of a_i - a_j, (n, [d,] k, k), its Jacobian through
    the difference of the last layer's rows. `slopes` takes (low, high) of each layer's neurons.
    """
    s, last = _walk(flat, x, ball, [] if slopes is None else slopes)
    a = s if last is None else _affine(last, s)
    z = a.z[:, :, None] - a.z[:, None]
    e = a.e[:, :, None] + a.e[:, None]
    if last is None:
        return State(
            z, e, s.C[:, :, :, None] - s.C[:, :, None], s.r[:, :, :, None] + s.r[:, :, None]
        )
    w = last.weight
    k = len(w)
    rows = (w[:, None] - w[None]).reshape(k * k, -1)
    d = _affine(last, s, rows=rows, bias=False)
    return State(z, e, d.C.unflatten(-1, (k, k)), d.r.unflatten(-1, (k, k)))
