"""LipSDP (arXiv 1906.04893) for a pair of networks stacked into one, by gradient descent in torch:
a SOUND bound of the gradient gap.
"""

import math

import torch
from torch import nn

from ..checks import whole
from ..networks.modules import Maxout
from .interval import height_over, ready
from .jacobian import SLACK, Ball, columns
from .layers import linear_map


def _signals(flat, slopes, height, y, x, first, total):
    """One network as a linear system of x and bounded unknowns w_i, |w_i| <= |a_i|: (A (n, N,
    cols), out (n, cols)).

    A neuron with slope in c +- r gives c a + r w; a softmax weight or scale within bounds does the
    same. Columns: x, then all `total` unknowns of the pair, this network's from number `first` on.
    """
    n, d = len(x), x[0].numel()
    cols = d + total
    O = torch.zeros(n, cols, *x.shape[1:], dtype=x.dtype)
    O.flatten(2)[:, :d] = torch.eye(d, dtype=x.dtype)
    rows = []
    slopes = iter(slopes)

    def unknown(base, a, low, high):
        """base + (c a + r w) with a new unknown for each unit of a (n, cols, *s); low and high (n,
        *s).
        """
        at = d + first + sum(r.shape[1] for r in rows)
        rows.append(a.flatten(2).transpose(1, 2))
        out = base + a * ((low + high) / 2)[:, None]
        radius = ((high - low) / 2).flatten(1)
        flat_out = out.flatten(2)
        flat_out[:, at : at + radius.shape[1]] += torch.diag_embed(radius)
        return flat_out.view_as(out)

    for m in flat:
        if isinstance(m, Maxout):
            if m.pieces != 2:
                raise ValueError(
                    f"Maxout with {m.pieces} pieces is no layer that LipSDP knows here; it knows 2"
                    " pieces"
                )
            w_a, w_b = m.layer.weight.chunk(2)
            base, diff = (columns(linear_map(m.layer, rows=w)[0], O) for w in (w_b, w_a - w_b))
            O = unknown(base, diff, *next(slopes))
        elif isinstance(m, (nn.ReLU, nn.Softplus)):
            O = unknown(torch.zeros_like(O), O, *next(slopes))
        elif isinstance(m, (nn.Flatten, nn.Unflatten)):
            O = columns(m, O)
        elif isinstance(m, nn.MaxPool2d):
            raise ValueError("MaxPool2d is no layer that LipSDP knows here; use sound_interval")
        elif not isinstance(m, (nn.Dropout, nn.Identity)):
            O = columns(linear_map(m)[0], O)
    V = O.gather(2, y.view(n, 1, 1).expand(n, cols, 1)) - O  # the margins a_y - a_j
    mean = (V * height.w[:, None]).sum(2, keepdim=True)
    mixed = unknown(mean.expand_as(V) / V.shape[2], V - mean, height.w_low, height.w_high)
    mixed = mixed.sum(2, keepdim=True)
    scales = (height.scale_low[:, None], height.scale_high[:, None])
    out = unknown(torch.zeros_like(mixed), mixed, *scales)
    return torch.cat(rows, 1), out[..., 0]


@torch.no_grad()
def _system(flat_S, flat_T, x, y, R, space, tau):
    """(A_x, A_w, c_x, c_w) of the pair stacked into one: bounds of the unknowns a = A_x x + A_w w,
    (n, N, .), and the gap of the gradients c_x x + c_w w, (n, .); unknowns without effect left out.
    """
    ball = Ball(R.double() * (1 + SLACK), 2, None)
    pair = []
    total = 0  # unknowns so far
    for flat in (flat_S, flat_T):
        slopes = []
        h = height_over(flat, x, y, ball, space, tau, slopes)
        if space == "tempered":
            h = h._replace(scale_low=h.scale_low / tau, scale_high=h.scale_high / tau)
        pair.append((flat, slopes, h, total))
        total += sum(low[0].numel() for low, _ in slopes) + h.w.shape[1] + 1
    (A_S, c_S), (A_T, c_T) = (
        _signals(flat, slopes, h, y, x, first, total) for flat, slopes, h, first in pair
    )
    A = torch.cat([A_S, A_T], 1)
    c = c_S - c_T
    d = x[0].numel()
    A_x, A_w, c_x, c_w = A[..., :d], A[..., d:], c[:, :d], c[:, d:]
    used = (A_w != 0).any(1) | (c_w != 0)  # a neuron that cannot switch has no effect
    most = max(int(used.sum(1).max()), 1)
    keep = used.double().argsort(dim=1, descending=True, stable=True)[:, :most]
    A_x, A_w = (t.gather(1, keep[..., None].expand(-1, -1, t.shape[2])) for t in (A_x, A_w))
    A_w = A_w.gather(2, keep[:, None].expand(-1, A_w.shape[1], -1))
    return A_x, A_w, c_x, c_w.gather(1, keep)


def _squared(t, A_x, A_w, c_x, c_w):
    """(L^2 (n,), feasible (n,)) for log multipliers t (n, N)."""
    T = t.exp()
    TA = T[..., None] * A_w
    P = torch.diag_embed(T) - A_w.mT @ TA - c_w[:, :, None] * c_w[:, None]
    root, info = torch.linalg.cholesky_ex(P)
    good = info == 0
    root = torch.where(good[:, None, None], root, torch.eye(len(t[0]), dtype=t.dtype))
    X = A_x.mT @ TA + c_x[:, :, None] * c_w[:, None]
    Y = torch.linalg.solve_triangular(root, X.mT, upper=False)
    M = A_x.mT @ (T[..., None] * A_x) + c_x[:, :, None] * c_x[:, None] + Y.mT @ Y
    return torch.linalg.eigvalsh(M)[:, -1], good


@torch.no_grad()
def _start(A_x, A_w, c_x, c_w, layers):
    """Log multipliers (n, N) that are feasible, from |c w|^2 <= (sum b_i n_i) sum (b_i / n_i) w_i^2
    (Cauchy-Schwarz), for a pair of so many layers.
    """

    def solved(matrix, right):
        return torch.linalg.solve(eye - matrix, right[..., None])[..., 0] + 1e-9

    eye = torch.eye(A_w.shape[1], dtype=A_w.dtype)
    b = solved(A_w.abs().mT, c_w.abs())
    size = solved(A_w.abs(), torch.linalg.vector_norm(A_x, dim=2))
    t = (b / size * (b * size).sum(1, keepdim=True)).log()
    depth = torch.zeros_like(t)
    for _ in range(layers + 4):
        depth = ((A_w != 0).double() * (depth[:, :, None] + 1)).amax(1)
    t = t + 0.3 * (depth + 1)  # off the edge of P > 0, where the descent would stick
    while not (good := _squared(t, A_x, A_w, c_x, c_w)[1]).all():
        t = torch.where(good[:, None], t, t + 0.3 * (depth + 1))
    return t


@torch.enable_grad()
def sound_lipsdp(
    net_S: nn.Module,
    net_T: nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    R: torch.Tensor,
    space: str = "logit",
    tau: float = 1.0,
    steps: int = 40,
    rate: float = 0.15,
) -> torch.Tensor:
    """SOUND upper bound of G(R) (n,) in the 2-norm: LipSDP of both networks stacked into one, so
    what they share cancels.

    Both gradients are linear in x and unknowns w with |w_i| <= |a_i| (slopes, softmax weights,
    scales: within the bounds of the interval pass). For any multipliers T > 0 with P > 0, |gap|^2
    <= L^2 |x|^2 + sum T_i (w_i^2 - a_i^2) for all x, w, so L bounds G; log T descends by Adam, and
    where one stops does not matter. Dense layers; no max pooling.
    """
    flat_S, flat_T, x, _ = ready(net_S, net_T, x, y, 2, space, tau, False)
    system = _system(flat_S, flat_T, x, y, R, space, tau)
    best_t = _start(*system, len(flat_S) + len(flat_T))
    best = torch.full((len(x),), math.inf, dtype=best_t.dtype)
    t = best_t.clone().requires_grad_()
    step = torch.optim.Adam([t], rate)
    for _ in range(whole("steps", steps, 1)):
        value, good = _squared(t, *system)
        value = torch.where(good, value, torch.ones_like(value))
        with torch.no_grad():
            better = good & (value < best)
            best = torch.where(better, value, best)
            best_t = torch.where(better[:, None], t, best_t)
        step.zero_grad()
        value.log().sum().backward()
        step.step()
        with torch.no_grad():
            t.copy_(torch.where(good[:, None], t, (t + best_t) / 2))
    return (best.detach() * (1 + SLACK)).sqrt() * (1 + SLACK)
