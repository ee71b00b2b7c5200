"""LipSDP (arXiv 1906.04893) for a pair of networks stacked into one, by gradient descent in torch:
a SOUND bound of the gradient gap.

Both gradients are linear in x and unknowns w with |w_i| <= |a_i| (slopes, softmax weights, scales:
within the bounds of the interval pass). For any multipliers T > 0 with P > 0, |gap|^2 <= L^2 |x|^2
+ sum T_i (w_i^2 - a_i^2) for all x, w, so L bounds G; log T descends by Adam.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import Module

from ..checks import whole
from ..networks.modules import Maxout
from .interval import heights_over
from .jacobian import AT_REST, NEURONS, RESHAPES, SLACK, Ball, columns, linear_map

TRIES = 500  # steps towards feasible multipliers; of numbers that overflow there may be none


def _signals(height, y, x, first, total, divisor):
    """One network as a linear system of x and bounded unknowns w_i, |w_i| <= |a_i|: (A (n, N,
    cols), out (n, cols)).

    A neuron with slope in c +- r gives c a + r w, and so does a softmax weight or the scale / its
    divisor. Columns: x, then all `total` unknowns of the pair, this network's from `first` on.
    """
    n, d = len(x), x[0].numel()
    cols = d + total
    O = torch.zeros(n, cols, *x.shape[1:], dtype=x.dtype)
    O.flatten(2)[:, :d] = torch.eye(d, dtype=x.dtype)
    rows = []
    slopes = iter(height.slopes)

    def unknown(base, a, low, high):
        """base + (c a + r w), a new unknown for each unit of a (n, cols, *s); low, high (n, *s)."""
        at = d + first + sum(r.shape[1] for r in rows)
        rows.append(a.flatten(2).transpose(1, 2))
        out = base + a * ((low + high) / 2)[:, None]
        radius = ((high - low) / 2).flatten(1)
        flat_out = out.flatten(2)
        flat_out[:, at : at + radius.shape[1]] += torch.diag_embed(radius)
        return flat_out.view_as(out)

    for m in height.layers:
        if isinstance(m, Maxout):
            if m.pieces != 2:
                said = f"Maxout with {m.pieces} pieces is no layer that LipSDP knows here"
                raise ValueError(f"{said}; it knows 2 pieces")
            w_a, w_b = m.layer.weight.chunk(2)
            base, diff = (columns(linear_map(m.layer, rows=w)[0], O) for w in (w_b, w_a - w_b))
            O = unknown(base, diff, *next(slopes))
        elif isinstance(m, NEURONS):
            O = unknown(torch.zeros_like(O), O, *next(slopes))
        elif isinstance(m, RESHAPES):
            O = columns(m, O)
        elif isinstance(m, nn.MaxPool2d):
            raise ValueError("MaxPool2d is no layer that LipSDP knows here; use sound_interval")
        elif not isinstance(m, AT_REST):
            O = columns(linear_map(m)[0], O)
    V = torch.take_along_dim(O, y.view(n, 1, 1), 2) - O  # the margins a_y - a_j
    mean = (V * height.w[:, None]).sum(2, keepdim=True)
    mixed = unknown(mean.expand_as(V) / V.shape[2], V - mean, *height.w_range)
    mixed = mixed.sum(2, keepdim=True)
    scales = (scale[:, None] / divisor for scale in height.scale_range)
    out = unknown(torch.zeros_like(mixed), mixed, *scales)
    return torch.cat(rows, 1), out[..., 0]


def _system(h_S, h_T, x, y, divisor):
    """(A_x, A_w, c_x, c_w) of the pair stacked into one: bounds of the unknowns a = A_x x + A_w w,
    (n, N, .), and the gap of the gradients c_x x + c_w w, (n, .); unknowns without effect left out.
    """
    N_S, N_T = (sum(s[0][0].numel() for s in h.slopes) + h.w.shape[1] + 1 for h in (h_S, h_T))
    A_S, c_S = _signals(h_S, y, x, 0, N_S + N_T, divisor)
    A_T, c_T = _signals(h_T, y, x, N_S, N_S + N_T, divisor)
    A = torch.cat([A_S, A_T], 1)
    c = c_S - c_T
    d = x[0].numel()
    A_x, A_w, c_x, c_w = A[..., :d], A[..., d:], c[:, :d], c[:, d:]
    used = (A_w != 0).any(1) | (c_w != 0)  # a neuron that cannot switch has no effect
    most = max(int(used.sum(1).max()), 1)
    keep = used.double().argsort(dim=1, descending=True, stable=True)[:, :most]
    A_x, A_w = (torch.take_along_dim(t, keep[..., None], 1) for t in (A_x, A_w))
    A_w = torch.take_along_dim(A_w, keep[:, None], 2)
    return A_x, A_w, c_x, c_w.gather(1, keep)


def _squared(t, A_x, A_w, c_x, c_w):
    """(L^2 (n,), feasible (n,)) for log multipliers t (n, N)."""
    T = t.exp()
    TA = T[..., None] * A_w
    P = torch.diag_embed(T) - A_w.mT @ TA - c_w[:, :, None] * c_w[:, None]
    root, info = torch.linalg.cholesky_ex(P)
    good = (info == 0) & P.isfinite().all(2).all(1)
    root = torch.where(good[:, None, None], root, torch.eye(len(t[0]), dtype=t.dtype))
    X = A_x.mT @ TA + c_x[:, :, None] * c_w[:, None]
    Y = torch.linalg.solve_triangular(root, X.mT, upper=False)
    M = A_x.mT @ (T[..., None] * A_x) + c_x[:, :, None] * c_x[:, None] + Y.mT @ Y
    finite = M.isfinite()
    good = good & finite.all(2).all(1)
    return torch.linalg.eigvalsh(M.where(finite, 0.0))[:, -1], good


def _feasible(A_x, A_w, c_x, c_w, depth):
    """Feasible log multipliers (n, N) for a pair of `depth` layers in all: |c w|^2 <= (sum b_i n_i)
    sum (b_i / n_i) w_i^2 (Cauchy-Schwarz).
    """

    def solved(matrix, right):
        return torch.linalg.solve(eye - matrix, right[..., None])[..., 0] + 1e-9

    eye = torch.eye(A_w.shape[1], dtype=A_w.dtype)
    b = solved(A_w.abs().mT, c_w.abs())
    size = solved(A_w.abs(), torch.linalg.vector_norm(A_x, dim=2))
    t = (b / size * (b * size).sum(1, keepdim=True)).log()
    floor = torch.zeros_like(t)
    for _ in range(depth + 4):
        floor = ((A_w != 0).double() * (floor[:, :, None] + 1)).amax(1)
    t = t + 0.3 * (floor + 1)  # off the edge of P > 0, where the descent would stick
    for _ in range(TRIES):
        if (good := _squared(t, A_x, A_w, c_x, c_w)[1]).all():
            break
        t = torch.where(good[:, None], t, t + 0.3 * (floor + 1))
    return t


@torch.enable_grad()
def sound_lipsdp(
    net_S: Module,
    net_T: Module,
    x: Tensor,
    y: Tensor,
    R: Tensor,
    space: str = "logit",
    tau: float = 1.0,
    steps: int = 40,
    rate: float = 0.15,
) -> Tensor:
    """SOUND upper bound of G(R) (n,) in the 2-norm: LipSDP of both networks (dense layers, no max
    pooling) stacked into one, so what they share cancels; as sound wherever the descent stops.
    """
    ball = Ball(torch.as_tensor(R).double() * (1 + SLACK), 2)
    with torch.no_grad():
        S, T = heights_over(net_S, net_T, x, y, ball, space, tau)
        system = _system(S, T, x.double(), y, tau if space == "tempered" else 1)
        best_t = _feasible(*system, len(S.layers) + len(T.layers))
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
