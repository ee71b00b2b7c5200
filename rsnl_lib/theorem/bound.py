"""Theorem 1 (arXiv 1807.11158), corrected: how hard must one push before the teacher overtakes the
student?

The head start is h = f_S - f_T, in probabilities (as printed), in logits or softened by tau. Its
gradient gap over the ball B_q(x, s) is G(s) = sup ||grad h||_p with 1/p + 1/q = 1, and h > 0 holds
for every perturbation shorter than r_fp = max_s min(s, h(x) / G(s)) and than the integral radius,
int_0^r G = h(x). What this file computes of G is an ESTIMATE from below (`point_gap`,
`estimate_...`); the `sound_...` functions of `interval`, `lipsdp` and `certify` bound it from
above. All functions take a batch: images x (n, c, h, w), labels y (n,), answers (n,).
"""

import copy
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn

from ..checks import points, positive, whole
from ..geometry.ball import norm
from ..geometry.gradient import height, split_logits


def exact(net: nn.Module, dtype: torch.dtype = torch.float64) -> nn.Module:
    """A float64 copy of the network in evaluation mode; the caller's stays as it is."""
    return copy.deepcopy(net).to(dtype).eval()


def both(net_S: nn.Module, net_T: nn.Module, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(a_S, a_T): both networks' logits (n, k), of the same classes."""
    a_S, a_T = net_S(z), net_T(z)
    if a_S.shape != a_T.shape:
        raise ValueError(
            f"the student gives {tuple(a_S.shape)}, the teacher {tuple(a_T.shape)}; both must score"
            " the same classes, (n, classes)"
        )
    return a_S, a_T


@torch.no_grad()
def fit_together(net_S: nn.Module, net_T: nn.Module, x: torch.Tensor) -> None:
    """A ValueError if the images x are no finite numbers, or if the networks do not take them or
    score different classes.
    """
    try:
        both(net_S, net_T, points(x)[:1])
    except RuntimeError as error:
        raise ValueError(
            f"a network does not take images of shape {tuple(x.shape[1:])} ({error}); give networks"
            " made for them"
        ) from None


def head_start(
    net_S: nn.Module, net_T: nn.Module, y: torch.Tensor, space: str = "logit", tau: float = 1.0
) -> Callable:
    """The function h(z) = f_S(z) - f_T(z) of (n, c, h, w) images with labels y; positive while the
    student leads.

    h.of(pick) is the same for some of the images.
    """

    def h(z):
        a_S, a_T = both(net_S, net_T, z)
        return height(a_S, y, space, tau) - height(a_T, y, space, tau)

    h.of = lambda pick: head_start(net_S, net_T, y[pick], space, tau)
    return h


def right_answer(net: nn.Module, y: torch.Tensor) -> Callable:
    """The function a_y(z) - max_{j != y} a_j(z): positive while `net` names the true class."""

    def lead(z):
        own, others = split_logits(net(z), y)
        return own - others.amax(1)

    lead.of = lambda pick: right_answer(net, y[pick])
    return lead


def gradient(
    h: Callable, z: torch.Tensor, create_graph: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """(h(z), grad h(z)), one gradient an image: (n,) and the shape of z."""
    with torch.enable_grad():
        z = z if create_graph and z.requires_grad else z.detach().requires_grad_()
        value = h(z)
        (g,) = torch.autograd.grad(value.sum(), z, create_graph=create_graph)
    return (value if create_graph else value.detach()), g


class Measured(NamedTuple):
    """Theorem 1's quantities at x, each (n,): scores, head start m = f_S - f_T, ||grad f_S - grad
    f_T||_p and the two slopes.
    """

    f_S: torch.Tensor
    f_T: torch.Tensor
    m: torch.Tensor
    gap: torch.Tensor
    slope_S: torch.Tensor
    slope_T: torch.Tensor


def measure(
    net_S: nn.Module,
    net_T: nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    space: str = "logit",
    tau: float = 1.0,
    p: float = 2,
) -> Measured:
    """What stands in Eq. 7 at the images x themselves, in the given space and norm: a Measured."""
    fit_together(net_S, net_T, x)
    (f_S, g_S), (f_T, g_T) = (
        gradient(lambda z: height(net(z), y, space, tau), x) for net in (net_S, net_T)
    )
    return Measured(f_S, f_T, f_S - f_T, norm(g_S - g_T, p), norm(g_S, p), norm(g_T, p))


def in_box(x: torch.Tensor) -> torch.Tensor:
    """x if every pixel lies in [0, 1], else a ValueError: outside it the straight way to a picture
    would leave the box.
    """
    if x.min() < 0 or x.max() > 1:
        raise ValueError(
            f"pixels run from {x.min():.3g} to {x.max():.3g}; with box=True they must lie in [0,"
            " 1], the theorem needs the segment from x to its perturbation inside the (convex) box"
        )
    return x


# Radii -------------------------------------------------------------------------------------------
def printed_radius(m: torch.Tensor, G: torch.Tensor) -> torch.Tensor:
    """The ratio of Eqs. 7 and 14 as printed, m / G: NOT a bound unless G holds on a ball at least
    that large.
    """
    return m.clamp_min(0) / G


def capped_radius(m: torch.Tensor, G: torch.Tensor, R: float | torch.Tensor) -> torch.Tensor:
    """min(R, m / G(R)): the corrected Theorem 1 for one radius R; sound if G is no less than
    G(R).
    """
    return torch.minimum(printed_radius(m, G), torch.as_tensor(R, dtype=m.dtype))


def fixed_point(
    m: torch.Tensor,
    G: Callable,
    R: float = math.inf,
    start: torch.Tensor | None = None,
    steps: int = 20,
) -> torch.Tensor:
    """r_fp = max_{s <= R} min(s, m / G(s)), G a function (n,) -> (n,): (n,), as sound as G, at
    whatever step one stops.

    F(s) = s G(s) grows, so one evaluation brackets the answer between s and m / G(s); both ends
    close in, the lower one is returned. m <= 0 gives 0.
    """
    m = m.clamp_min(0)
    low, high = torch.zeros_like(m), torch.full_like(m, float(R))
    s = m / G(torch.zeros_like(m)).clamp_min(1e-30) if start is None else start
    s = torch.minimum(s, high)
    for _ in range(whole("steps", steps, 1)):
        other = m / G(s).clamp_min(1e-30)
        low = torch.maximum(low, torch.minimum(s, other))
        high = torch.minimum(high, torch.maximum(s, other))
        s = (low * high).sqrt()
        s = torch.where(s > 0, s, (low + high) / 2)
    return low


def integral_radius(
    m: torch.Tensor, G: Callable, upto: torch.Tensor, steps: int = 16
) -> torch.Tensor:
    """r with int_0^r G = m by right-end sums on `steps` equal parts of [0, upto]: (n,), as sound as
    G; at most `upto`.

    G is a function (n,) -> (n,). On [a, b] the gap is at most G(b), so each part uses up at most (b
    - a) G(b) of m.
    """
    width = upto / whole("steps", steps, 1)
    left, r = m.clamp_min(0), torch.zeros_like(m)
    for k in range(1, steps + 1):
        size = G(width * k).clamp_min(1e-30)
        step = torch.minimum(width, left / size)
        r, left = r + step, (left - step * size).clamp_min(0)
    return r


def profile_radii(
    m: torch.Tensor, radii: torch.Tensor, G: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """(r_fp, r_int) from a profile: G (K, n) at increasing radii (K, n); right-end sums, as sound
    as G, at most radii[-1].
    """
    m = m.clamp_min(0)
    r_fp = torch.minimum(radii, m / G.clamp_min(1e-30)).amax(0)
    left, r_int, before = m, torch.zeros_like(m), torch.zeros_like(m)
    for s, size in zip(radii, G.clamp_min(1e-30)):
        step = torch.minimum(s - before, left / size)
        r_int, left, before = r_int + step, (left - step * size).clamp_min(0), s
    return r_fp, torch.maximum(r_fp, r_int)


def curvature_radius(m: torch.Tensor, g: torch.Tensor, kappa: float | torch.Tensor) -> torch.Tensor:
    """2m / (g + sqrt(g^2 + 2 kappa m)): valid where grad h is kappa-Lipschitz and g = ||grad
    h(x)||; shows that L_G lowers g only.
    """
    m = m.clamp_min(0)
    return 2 * m / (g + (g * g + 2 * kappa * m).sqrt()).clamp_min(1e-30)


def gaussian_flip_share(
    m: torch.Tensor, gap: torch.Tensor, sigma: float | torch.Tensor
) -> torch.Tensor:
    """First-order law for white noise of standard deviation sigma, one or (n,): P(h <= 0) ~ Phi(-m
    / (sigma ||grad h(x)||_2)). An estimate.
    """
    positive("sigma", sigma.min().item() if isinstance(sigma, torch.Tensor) else sigma)
    return torch.special.ndtr(-m / (sigma * gap).clamp_min(1e-30))
