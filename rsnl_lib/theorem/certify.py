"""Certificates: radii inside which no perturbation can let the teacher overtake the student, for
any pair of known layers.

`bound` makes the radii of Theorem 1' from the gradient gap; here the gap is bounded from above, so
they hold: by products of norms (one number for all radii), by interval Jacobians, or by LipSDP of
the stacked pair. Beside them smoothing votes, for networks too large for these.
"""

import copy
import math

import torch
from torch import Generator, Tensor, nn
from torch.nn import Module

from .. import geometry
from ..checks import draws_on, one_of, points, positive, some, true_class, whole
from ..networks.modules import Maxout
from . import bound
from .interval import fitting_layers, sound_interval, sound_lead
from .jacobian import (
    BATCH_NORMS,
    LAYERS,
    POOLS,
    SCALES,
    SLACK,
    known_layers,
    linear_map,
    seen_options,
    split_last,
)
from .lipsdp import sound_lipsdp

SOUND = ("spectral", "interval", "lipsdp")


def operator_norm(layer: Module, q: float) -> float:
    """SOUND upper bound of a layer's Lipschitz constant in the q-norm, q = 1, 2 or inf: exact for
    dense layers but for maxout in L2 (the stacked pieces are taken). A convolution in L2: the least
    of sqrt(||.||_1 ||.||_inf), the sum over kernel places of the matrices' norms, and sqrt(places)
    times the unfolded kernel's.
    """
    one_of("q", q, geometry.DUAL)
    seen_options(layer)
    inner, pieces = (layer.layer, layer.pieces) if isinstance(layer, Maxout) else (layer, 1)
    if isinstance(inner, POOLS):
        return _pool_norm(inner, q)
    if isinstance(inner, SCALES):
        scale, _ = linear_map(inner, absolute=True)
        return scale(torch.ones(1, 1, dtype=torch.float64)).max().item()
    if not isinstance(inner, (nn.Linear, nn.Conv2d)):
        if not isinstance(inner, LAYERS):
            known = ", ".join(kind.__name__ for kind in LAYERS)
            raise ValueError(f"no norm is known of {type(inner).__name__}; the bounds know {known}")
        return max(1.0, abs(getattr(inner, "negative_slope", 0)))  # ReLU, flatten, dropout at rest
    w = inner.weight
    if isinstance(inner, nn.Conv2d) and inner.groups > 1:
        raise ValueError(f"Conv2d with groups={inner.groups}: the product of norms knows groups=1")
    rows = w.abs().flatten(1).sum(1).max().item()
    most = w.abs().unflatten(0, (pieces, -1)).amax(0)  # a maxout unit follows one piece at a time
    columns = most.sum(0).reshape(w.shape[1], -1).sum(1).max().item()
    if q != 2:
        return {1: columns, math.inf: rows}[q]
    if w.dim() == 2:
        return torch.linalg.matrix_norm(w, 2).item()
    places = w.flatten(2).permute(2, 0, 1)
    return min(
        math.sqrt(w.abs().sum((0, 2, 3)).max().item() * rows),
        torch.linalg.matrix_norm(places, 2).sum().item(),
        math.sqrt(len(places)) * torch.linalg.matrix_norm(w.flatten(1), 2).item(),
    )


def _pool_norm(pool, q):
    """The norm of a layer of windows, from how many of them overlap and what each may add up to; of
    an adaptive one, which may repeat a pixel in all its places, whatever size it gets.
    """
    if isinstance(pool, nn.AdaptiveAvgPool2d):
        out = pool.output_size
        overlap = math.prod(v or 1 for v in ((out, out) if isinstance(out, int) else out or ()))
        return {1: overlap, 2: math.sqrt(overlap), math.inf: 1.0}[q]
    k, step = ((v, v) if isinstance(v, int) else v for v in (pool.kernel_size, pool.stride))
    overlap = math.prod(math.ceil(a / b) for a, b in zip(k, step))
    share, rows = 1.0, 1.0
    if isinstance(pool, nn.AvgPool2d):
        padded = pool.padding not in (0, (0, 0)) and not pool.count_include_pad
        full = not pool.ceil_mode and not padded  # no window is cut short
        share = 1 / abs(pool.divisor_override or (math.prod(k) if full else 1))
        rows = math.prod(k) * share if pool.divisor_override else 1.0
    return {1: overlap * share, 2: math.sqrt(overlap * share * rows), math.inf: rows}[q]


def lipschitz(
    net: Module, y: Tensor, p: float = 2, space: str = "logit", tau: float = 1.0
) -> Tensor:
    """SOUND global bound (n,) of ||grad f||_p for labels y: norms multiplied, times the steepest
    margin a_y - a_j; f's slope is at most 1/4.
    """
    q = geometry.DUAL[one_of("p", p, geometry.DUAL)]
    share = {"logit": 1, "probability": 0.25, "tempered": 0.25 / positive("tau", tau)}
    flat, last = split_last(known_layers(net))
    some(y, "bound")
    size = math.prod(operator_norm(m, q) for m in flat)
    w = torch.eye(int(y.max()) + 2, dtype=torch.float64) if last is None else last.weight
    true_class(torch.empty(len(y), len(w)), y)
    steep = torch.linalg.vector_norm(w[:, None] - w[None], p, dim=2).amax(1)[y] * size
    most = steep.detach() * share[one_of("space", space, geometry.SPACES)] * (1 + SLACK)
    return most.nan_to_num(nan=math.inf, posinf=math.inf)  # NaN: an infinite norm times zero


def sound_spectral(
    net_S: Module, net_T: Module, y: Tensor, p: float = 2, space: str = "logit", tau: float = 1.0
) -> Tensor:
    """SOUND upper bound of G for every radius: the sum of both networks' products of norms."""
    return lipschitz(net_S, y, p, space, tau) + lipschitz(net_T, y, p, space, tau)


def sound_radii(
    net_S: Module,
    net_T: Module,
    x: Tensor,
    y: Tensor,
    method: str = "interval",
    p: float = 2,
    space: str = "logit",
    tau: float = 1.0,
    box: bool = False,
    parts: int = 12,
) -> tuple[Tensor, Tensor]:
    """(r_fp, r_int), both (n,) and SOUND: no perturbation shorter than them (in the dual q-norm)
    lets the teacher catch up; 0 where the student does not lead, or rounding cannot exclude it.

    The certificate is for the float64 copy of both networks: run in float32, rounding may tie a
    nearly equal pair even at x. `method`: "spectral", "interval", or "lipsdp" (p=2, no box, dense
    layers). Each takes the least of its bound and the cheaper ones, so the order never turns.
    """
    if one_of("method", method, SOUND) == "lipsdp" and (p != 2 or box):
        raise ValueError(
            f"method='lipsdp' is for p=2 without a box, not p={p!r}, box={box!r}; use 'interval'"
        )
    whole("parts", parts, 1)
    if points(x).device.type != "cpu":
        pair = (copy.deepcopy(net).cpu() for net in (net_S, net_T))
        radii = sound_radii(*pair, x.cpu(), y.cpu(), method, p, space, tau, box, parts)
        return tuple(r.to(x.device) for r in radii)
    fitting_layers(net_S, net_T, x, y)
    lead = sound_lead(net_S, net_T, x, y, space, tau)
    m = lead.where(lead > 0, 0.0)  # 0 where rounding errors are infinite, too
    most = sound_spectral(net_S, net_T, y, p, space, tau)

    def G(s):
        size = most
        if method != "spectral":
            size = torch.fmin(size, sound_interval(net_S, net_T, x, y, s, p, space, tau, box))
        if method == "lipsdp":
            size = torch.fmin(size, sound_lipsdp(net_S, net_T, x, y, s, space, tau, steps=20))
        return size

    r_fp = torch.maximum(bound.fixed_point(m, G, steps=8), bound.printed_radius(m, most))
    upto = torch.minimum(math.e * r_fp, m / G(torch.zeros_like(m)).clamp_min(1e-300))
    r_int = torch.maximum(r_fp, bound.integral_radius(m, G, upto, parts))
    return r_fp * (1 - SLACK), r_int * (1 - SLACK)


def _at_rest(who, net):
    """Refuse a network in training mode, but for layers of `LAYERS` that have no such mode."""
    calm = tuple({nn.Sequential, *LAYERS} - {nn.Dropout, *BATCH_NORMS})
    for name, m in net.named_modules():
        if m.training and not isinstance(m, calm):
            kind = f"{name or 'itself'} ({type(m).__name__})"
            raise ValueError(f"the {who} is in training mode: {kind}; call eval() on it first")


def votes(
    net_S: Module,
    net_T: Module,
    x: Tensor,
    y: Tensor,
    sigma: float,
    draws: int = 1000,
    alpha: float = 0.001,
    generator: Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """(radius, p_low): smoothing (arXiv 1902.02918) of "the student leads" for any two networks,
    L2, SOUND with probability 1 - alpha an image: p_low is the Clopper-Pearson bound of P(f_S >
    f_T) under N(x, sigma^2); up to sigma Phi^-1(p_low) the student keeps the majority of the votes,
    a statement on the smoothed order, not on the two networks without noise.
    """
    from scipy.stats import beta

    positive("sigma", sigma)
    if positive("alpha", alpha) >= 1:
        raise ValueError(f"alpha={alpha!r}, the chance to be wrong, must lie between 0 and 1")
    for who, net in (("student", net_S), ("teacher", net_T)):
        _at_rest(who, net)
    bound.fit_together(net_S, net_T, x)
    h = bound.head_start(net_S, net_T, y)
    wins = torch.zeros(len(x), dtype=torch.int64, device=x.device)
    device = draws_on(generator, x)
    kind = dict(generator=generator, dtype=x.dtype, device=device)
    with torch.no_grad():
        for _ in range(whole("draws", draws, 1)):
            wins += h(x + sigma * torch.randn(x.shape, **kind).to(x.device)) > 0
    k = wins.double().cpu().numpy()
    low = torch.as_tensor(beta.ppf(alpha, k, draws - k + 1)).nan_to_num(0.0)
    return (sigma * torch.special.ndtri(low)).clamp_min(0), low
