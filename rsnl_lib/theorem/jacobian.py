"""The layers that the sound bounds know, and interval Jacobians: every value and slope that the
logits of a network can take over a ball, in float64.

The Jacobian of each layer's output is kept as a centre C and a radius r, entry by entry; a neuron,
a maxout unit or a pooling window that cannot switch inside the ball keeps its exact slope
(RecurJac, arXiv 1810.11783, and Fast-Lip, arXiv 1804.09699, are relatives).

Rounding. `_affine` carries, beside each computed value z, a bound e on |computed - exact|: a sum of
K products is off by at most K 2^-53 / (1 - K 2^-53) of the sum of their sizes, below GAMMA = 1e-11
for K up to 90,000. Radii of the Jacobian grow by the same share of what they multiply. Softmax,
norms and square roots are a few roundings each: the final numbers are widened by SLACK = 1e-9 of
themselves. Softplus is taken as the exact function.
"""

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import geometry
from ..checks import network
from ..networks.modules import ChannelScale, Maxout, twin

GAMMA = 1e-11
SLACK = 1e-9
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
SCALES = (ChannelScale, *BATCH_NORMS)
RESHAPES = (nn.Flatten, nn.Unflatten)
AT_REST = (nn.Dropout, nn.Identity)
AVERAGES = (nn.AvgPool2d, nn.AdaptiveAvgPool2d)
POOLS = (*AVERAGES, nn.MaxPool2d)
NEURONS = (nn.ReLU, nn.LeakyReLU, nn.Softplus)
LAYERS = (nn.Linear, nn.Conv2d, Maxout, *NEURONS, *POOLS, *SCALES, *RESHAPES, *AT_REST)
OPTIONS = (  # layer, option, whether the bounds see a value, which values they see
    (nn.Conv2d, "padding_mode", lambda v: v == "zeros", "'zeros'"),
    (nn.MaxPool2d, "dilation", lambda v: v in (1, (1, 1)), "1"),
    (nn.MaxPool2d, "return_indices", lambda v: not v, "False"),
    (nn.LeakyReLU, "negative_slope", math.isfinite, "a finite number"),
    (nn.Softplus, "beta", lambda v: 0 < v < math.inf, "a number above zero"),
    (nn.Softplus, "threshold", lambda v: v >= 20, "20 or more, where it is softplus"),
)


# what makes a module's answer: a subclass or an instance that has its own may compute anything
ANSWER = "forward __call__ _call_impl _wrapped_call_impl _conv_forward train _apply __getattr__"
HOOKS = "_forward_hooks _forward_pre_hooks"


def _as_written(name, m, kind):
    """Refuse a module `m`, called `name`, that may answer otherwise than its `kind` of layer."""
    who = f"layer {name or 'at the top'} ({type(m).__name__})"
    everywhere = nn.modules.module
    if any(getattr(everywhere, f"_global{hooks}") for hooks in HOOKS.split()):
        raise ValueError("hooks are registered for every module, and may change any; remove them")
    if any(getattr(m, hooks) for hooks in HOOKS.split()):
        raise ValueError(
            f"{who} has hooks, which the bounds cannot see; remove them (of old-style"
            " spectral_norm, weight_norm or prune: torch.nn.utils.remove_spectral_norm,"
            " remove_weight_norm, prune.remove)"
        )
    own = [a for a in ANSWER.split() if getattr(type(m), a, None) is not getattr(kind, a, None)]
    own += {*ANSWER.split(), "weight", "bias"} & {*vars(m)}
    if own or m._compiled_call_impl is not None:
        what = ", ".join(own) or "compiled call"
        raise ValueError(f"{who} has its own {what}, which the bounds cannot see; take a plain one")


def known_layers(net: nn.Module) -> list[nn.Module]:
    """The layers of a network in order, in float64 and evaluation mode; an unknown one is named,
    as is one whose tensors are not finite, with hooks, or with a call of its own.
    """
    return _flat(network("network", net), "")


def seen_options(layer: nn.Module) -> None:
    """Refuse an option of a layer, or of the layer inside a maxout, that the bounds do not see."""
    inner = layer.layer if isinstance(layer, Maxout) else layer
    for kind, option, seen, values in OPTIONS:
        value = getattr(inner, option, None)
        if isinstance(inner, kind) and not seen(value):
            given = f"{kind.__name__} with {option}={value!r}"
            raise ValueError(f"{given}: the bounds know {option} {values}; use that")


def _flat(net, path):
    inner = net.layer if isinstance(net, Maxout) else net
    plain = (nn.Linear, nn.Conv2d) if inner is not net else (nn.Sequential, *LAYERS)
    kind = _kind(inner, plain)
    name = type(net).__name__
    if kind is None or (inner is not net and type(net).forward is not Maxout.forward):
        raise ValueError(
            f"{name} is no layer that the sound bounds know; they know nn.Sequential of"
            f" {', '.join(c.__name__ for c in LAYERS)}. For any other network: certify.votes"
        )
    _as_written(path, net, Maxout if inner is not net else kind)
    if inner is not net:
        _as_written(f"{path}.layer", inner, kind)
    if isinstance(net, nn.Sequential):
        dot = path and f"{path}."
        return [flat for i, m in enumerate(net) for flat in _flat(m, f"{dot}{i}")]
    if inner is not net and getattr(inner, "groups", 1) > 1:
        raise ValueError(f"Maxout of Conv2d with groups={inner.groups}: the bounds know groups=1")
    if getattr(net, "track_running_stats", True) is False:
        raise ValueError(f"{name} without running statistics mixes the images of a batch")
    seen_options(net)
    flat = twin(net).double().eval()
    flat.inplace = False  # the caller's images stay as they are
    for name in ("weight", "bias"):  # of a parametrisation no tensor of the network
        w = getattr(inner, name, None)
        if isinstance(w, Tensor) and not w.isfinite().all():
            raise ValueError(f"the {name} of layer {path} ({type(inner).__name__}) is not finite")
    return [flat]


def _kind(m, plain):
    """The one of the `plain` kinds of layer whose forward `m` has; None where it has its own, which
    may compute anything.
    """
    return next((k for k in plain if k.forward is getattr(type(m), "forward", None)), None)


def split_last(flat: list) -> tuple[list, nn.Linear | None]:
    """(the layers before the last, the last) if that is a dense one, else (all layers, None)."""
    return (flat[:-1], flat[-1]) if isinstance(flat[-1], nn.Linear) else (flat, None)


def _scale(layer):
    """(factor, shift) of each channel in a batch norm at rest or a ChannelScale."""
    if isinstance(layer, ChannelScale):
        return 1 / layer.std, -layer.mean / layer.std
    weight = 1 if layer.weight is None else layer.weight
    scale = (layer.running_var + layer.eps).rsqrt() * weight
    return scale, -layer.running_mean * scale + (0 if layer.bias is None else layer.bias)


def linear_map(layer: nn.Module, absolute: bool = False, rows: Tensor | None = None) -> tuple:
    """(a linear layer without its bias, the bias or None); with |weights|, or other `rows`."""
    if isinstance(layer, AVERAGES):
        return (lambda t: layer(t).abs()) if absolute else layer, None  # a divisor may be negative
    if isinstance(layer, SCALES):
        scale, shift = _scale(layer)
        scale = scale.abs() if absolute else scale
        return (lambda t: t * scale.view(1, -1, *[1] * (t.dim() - 2))), shift
    w = layer.weight if rows is None else rows
    w = w.abs() if absolute else w
    if isinstance(layer, nn.Linear):
        return (lambda t: F.linear(t, w)), layer.bias
    how = (layer.stride, layer.padding, layer.dilation, layer.groups)
    return (lambda t: F.conv2d(t, w, None, *how)), layer.bias


class State(NamedTuple):
    """A layer's output over the ball: value z +- e at x (n, *s), Jacobian C +- r (n, d, *s)."""

    z: Tensor
    e: Tensor
    C: Tensor
    r: Tensor


class Ball(NamedTuple):
    """B_q(x, R), R (n,), with the dual p; a pixel may go both ways or to its `side` (n, d), +-1."""

    R: Tensor
    p: float
    side: Tensor | None = None
    jacobian: bool = True  # False, for R = 0: carry values and their rounding only

    def slope(self, C: Tensor, r: Tensor) -> Tensor:
        """sup of <g, v> over g in C +- r and feasible directions v of q-norm 1: (n, *s)."""
        g = C.abs() + r
        if self.side is not None:
            side = self.side.view(*self.side.shape, *[1] * (C.dim() - 2))
            g = torch.where(side < 0, (r - C).clamp_min(0), g)
            g = torch.where(side > 0, (C + r).clamp_min(0), g)
        return torch.linalg.vector_norm(g, self.p, dim=1)

    def high(self, s: State) -> Tensor:
        """The most that each value of the state can be over the ball, rounding included."""
        return s.z + (geometry.like(self.R, s.z) * self.slope(s.C, s.r) + s.e)

    def low(self, s: State) -> Tensor:
        """The least that each value can be."""
        return s.z - (geometry.like(self.R, s.z) * self.slope(-s.C, s.r) + s.e)


def columns(f: Callable, J: Tensor) -> Tensor:
    """f on every Jacobian column: (n, d, *s) -> (n, d, *t)."""
    return f(J.flatten(0, 1)).unflatten(0, J.shape[:2])


def _affine(layer, s, rows=None):
    """The State after a linear layer; with other `rows` for its weights, without its bias."""
    if isinstance(layer, nn.Linear) and s.z.dim() != 2:
        shape = tuple(s.z.shape[1:])
        raise ValueError(f"Linear on features of shape {shape}: put nn.Flatten before it")
    f, b = linear_map(layer, rows=rows)
    size, _ = linear_map(layer, absolute=True, rows=rows)
    means = getattr(layer, "running_mean", None)  # a batch norm's bias may hide two large numbers
    hidden = 0 if means is None else means.abs().view(1, -1, *[1] * (s.z.dim() - 2))
    z, e = f(s.z), size(s.e + GAMMA * (s.z.abs() + hidden))
    if b is not None and rows is None:
        b = b.view(1, -1, *[1] * (z.dim() - 2))
        z, e = z + b, e + GAMMA * (b.abs() + z.abs())
    return State(z, e, columns(f, s.C), columns(size, s.r + GAMMA * s.C.abs()))


def _largest(states, alive):
    """The maximum of states, each possible where `alive`: the hull of their Jacobians."""
    z = torch.stack([t.z for t in states]).amax(0)
    e = torch.stack([t.e for t in states]).amax(0)
    low = torch.full_like(states[0].C, math.inf)
    high = -low
    for t, on in zip(states, alive):
        low = torch.where(on[:, None], torch.minimum(low, t.C - t.r), low)
        high = torch.where(on[:, None], torch.maximum(high, t.C + t.r), high)
    return State(z, e, (low + high) / 2, (high - low) / 2)


def _maxout(m, s, ball, slopes):
    k = m.pieces
    w = m.layer.weight.chunk(k)
    a = _affine(m.layer, s)
    states = list(map(State, a.z.chunk(k, 1), a.e.chunk(k, 1), a.C.chunk(k, 2), a.r.chunk(k, 2)))
    alive = [torch.ones_like(t.z, dtype=torch.bool) for t in states]
    for j, i in itertools.combinations(range(k), 2):
        # the pieces' difference, tighter than their two bounds
        d = _affine(m.layer, s, rows=w[i] - w[j])
        d = d._replace(z=states[i].z - states[j].z, e=states[i].e + states[j].e + GAMMA)
        alive[i] &= ball.high(d) >= 0
        alive[j] &= ball.low(d) <= 0
    if k == 2:
        slopes.append(((~alive[1]).double(), alive[0].double()))
    return _largest(states, alive)


def _relu(m, s, ball, slopes):
    """ReLU, or one that leaks: slope 1 above zero and `leak` below."""
    leak, one = getattr(m, "negative_slope", 0.0), torch.ones_like(s.z)
    up, down = ball.high(s) >= 0, ball.low(s) <= 0
    ends = torch.where(up, one, leak), torch.where(down, leak, one)
    slopes.append((torch.minimum(*ends), torch.maximum(*ends)))
    below = State(*map(torch.zeros_like, s))
    if leak:
        e, r = (abs(leak) * (t + GAMMA * of.abs()) for t, of in ((s.e, s.z), (s.r, s.C)))
        below = State(leak * s.z, e, leak * s.C, r)
    out = _largest([s, below], [up, down])
    return out if leak <= 1 else out._replace(z=torch.minimum(s.z, below.z))


def _softplus(m, s, ball, slopes):
    low = torch.sigmoid(m.beta * ball.low(s)) * (1 - SLACK)
    high = torch.sigmoid(m.beta * ball.high(s)) * (1 + SLACK)
    slopes.append((low, high))
    ends = torch.stack([(s.C + sign * s.r) * k[:, None] for sign in (-1, 1) for k in (low, high)])
    top, bottom = ends.amax(0), ends.amin(0)
    error = s.e + 1.5 * math.exp(-m.threshold) / m.beta
    return State(m(s.z), error, (top + bottom) / 2, (top - bottom) / 2)


def _windows(m, t, fill, out):
    """The values that each of the `out` outputs of a pooling layer sees, (k*k, ..., *out)."""
    sizes = (m.kernel_size, m.stride, m.padding)
    k, step, pad = ((v, v) if isinstance(v, int) else v for v in sizes)
    t = F.pad(t, (pad[1], k[1], pad[0], k[0]), value=fill)  # no window reaches farther
    t = t.unfold(-2, k[0], step[0]).unfold(-2, k[1], step[1])[..., : out[0], : out[1], :, :]
    return t.flatten(-2).movedim(-1, 0)


def _max_pool(m, s, ball):
    out = m(s.z).shape[-2:]
    parts = [_windows(m, t, fill, out) for t, fill in zip(s, (-math.inf, 0.0, 0.0, 0.0))]
    winner = parts[0].argmax(0)
    at = (winner[None], winner[None], winner[None, :, None], winner[None, :, None])
    best = State(*(torch.take_along_dim(t, i, 0)[0] for t, i in zip(parts, at)))
    states = [State(*t) for t in zip(*parts)]
    alive = []
    for i, t in enumerate(states):
        d = State(t.z - best.z, t.e + best.e, t.C - best.C, t.r + best.r)
        alive.append((ball.high(d) >= 0) | (winner == i))
    return _largest(states, alive)


def logits_over(flat: list[nn.Module], x: Tensor, ball: Ball) -> tuple[State, list]:
    """(State, slopes) over the ball: pairs of logits a_i - a_j, (n, [d,] k, k), their Jacobian by
    the differences of the last layer's rows; (low, high) slopes of each layer's neurons.
    """
    d = x[0].numel()
    eye = torch.eye(d, dtype=x.dtype).view(1, d, *x.shape[1:]).expand(len(x), -1, *x.shape[1:])
    eye = eye if ball.jacobian else eye[:, :0]
    s = State(x, torch.zeros_like(x), eye, torch.zeros_like(eye))
    slopes = []
    flat, last = split_last(flat)
    for m in flat:
        if isinstance(m, Maxout):
            s = _maxout(m, s, ball, slopes)
        elif isinstance(m, (nn.ReLU, nn.LeakyReLU)):
            s = _relu(m, s, ball, slopes)
        elif isinstance(m, nn.Softplus):
            s = _softplus(m, s, ball, slopes)
        elif isinstance(m, nn.MaxPool2d):
            s = _max_pool(m, s, ball)
        elif isinstance(m, RESHAPES):
            s = State(m(s.z), m(s.e), columns(m, s.C), columns(m, s.r))
        elif not isinstance(m, AT_REST):
            s = _affine(m, s)
    a = s if last is None else _affine(last, s)
    z = a.z[:, :, None] - a.z[:, None]
    e = a.e[:, :, None] + a.e[:, None]
    if last is None:
        C = s.C[:, :, :, None] - s.C[:, :, None]
        return State(z, e, C, s.r[:, :, :, None] + s.r[:, :, None]), slopes
    w = last.weight
    pairs = _affine(last, s, rows=(w[:, None] - w[None]).flatten(0, 1))
    C, r = (t.unflatten(-1, (len(w), len(w))) for t in (pairs.C, pairs.r))
    return State(z, e, C, r), slopes
