"""Theorem 1 (arXiv 1807.11158), corrected: how hard must one push before the teacher overtakes the
student?

The head start is h = f_S - f_T, in probabilities (as printed), in logits or softened by tau. Its
gradient gap over the ball B_q(x, s) is G(s) = sup ||grad h||_p with 1/p + 1/q = 1, and h > 0 holds
for every perturbation shorter than r_fp = max_s min(s, h(x) / G(s)) and than the integral radius,
int_0^r G = h(x). A radius is as sound as its G: `search` ESTIMATES G from below; `sound_...` of
`interval`, `lipsdp` and `certify` bound it from above. Images x (n, c, h, w), labels and answers
(n,).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..checks import network, points, positive, radius, some, whole
from ..geometry.ball import norm
from ..geometry.gradient import height, slope, split_logits
from ..geometry.steady import main_head
from ..networks import door
from ..networks.modules import twin


def exact(net: nn.Module, dtype: torch.dtype = torch.float64) -> nn.Module:
    """A float64 copy of the network in evaluation mode; the caller's stays as it is."""
    return twin(door.unwrapped(net)).to(dtype).eval()


def both(net_S: nn.Module, net_T: nn.Module, z: Tensor) -> tuple[Tensor, Tensor]:
    """(a_S, a_T): both networks' logits (n, k), of the same classes."""
    a_S, a_T = main_head(net_S(z)), main_head(net_T(z))
    if a_S.shape != a_T.shape:
        given = f"the student gives {tuple(a_S.shape)}, the teacher {tuple(a_T.shape)}"
        raise ValueError(f"{given}; both must score the same classes, (n, classes)")
    return a_S, a_T


@torch.no_grad()
def fit_together(net_S: nn.Module, net_T: nn.Module, x: Tensor) -> None:
    """Refuse images x that are not finite or that a network does not take, networks whose tensors
    or logits are not finite or whose answers cannot be relied on (`door.look`), and unlike classes.
    """
    some(points(x), "measure")
    for who, net in (("student", net_S), ("teacher", net_T)):
        door.look(who, network(who, net), x[:1])
    both(net_S, net_T, x[:1])


def head_start(net_S: nn.Module, net_T: nn.Module, y: Tensor, *space: str | float) -> Callable:
    """h(z) = f_S(z) - f_T(z) of images with labels y, positive while the student leads; `space` and
    tau as in `height`. h.of(pick) is the same for some of the images.
    """

    def h(z):
        a_S, a_T = both(net_S, net_T, z)
        return height(a_S, y, *space) - height(a_T, y, *space)

    h.of = lambda pick: head_start(net_S, net_T, y[pick], *space)
    return h


def right_answer(net: nn.Module, y: Tensor) -> Callable:
    """The function a_y(z) - max_{j != y} a_j(z): positive while `net` names the true class."""

    def lead(z):
        own, others = split_logits(main_head(net(z)), y)
        return own - others.amax(1)

    lead.of = lambda pick: right_answer(net, y[pick])
    return lead


def gradient(h: Callable, z: Tensor, create_graph: bool = False) -> tuple[Tensor, Tensor]:
    """(h(z), grad h(z)), one gradient an image: (n,) and the shape of z."""
    with torch.enable_grad(), door.twice(create_graph):
        z = z if create_graph and z.requires_grad else z.detach().requires_grad_()
        value = h(z)
        g = slope(value.sum(), z, create_graph)
    return value.detach(), g


class Eq7Terms(NamedTuple):
    """Eq. 7 at x, each (n,): scores, m = f_S - f_T, ||grad f_S - grad f_T||_p, the two slopes."""

    f_S: Tensor
    f_T: Tensor
    m: Tensor
    gap: Tensor
    slope_S: Tensor
    slope_T: Tensor


def eq7_terms(
    net_S: nn.Module, net_T: nn.Module, x: Tensor, y: Tensor, *space: str | float, p: float = 2
) -> Eq7Terms:
    """What stands in Eq. 7 at the images x themselves; `space` and tau as in `height`."""
    fit_together(net_S, net_T, x)
    pair = (gradient(lambda z: height(main_head(net(z)), y, *space), x) for net in (net_S, net_T))
    (f_S, g_S), (f_T, g_T) = pair
    return Eq7Terms(f_S, f_T, f_S - f_T, norm(g_S - g_T, p), norm(g_S, p), norm(g_T, p))


def in_box(x: Tensor) -> Tensor:
    """x if every pixel lies in [0, 1]: outside, the straight way to a picture leaves the box."""
    if x.min() < 0 or x.max() > 1:
        given = f"pixels run from {x.min():.3g} to {x.max():.3g}"
        raise ValueError(f"{given}; with box=True they must lie in [0, 1] so that the segment does")
    return x


# Radii -------------------------------------------------------------------------------------------
def printed_radius(m: Tensor, G: Tensor) -> Tensor:
    """m / G, Eqs. 7 and 14 as printed: NO bound unless G holds on a ball at least that large."""
    return (m / G).where(m > 0, 0.0)


def capped_radius(m: Tensor, G: Tensor, R: float | Tensor) -> Tensor:
    """min(R, m / G(R)): the corrected Theorem 1 for one radius R."""
    R = torch.as_tensor(radius("R", R), dtype=m.dtype, device=m.device)
    return torch.minimum(printed_radius(m, G), R)


def fixed_point(
    m: Tensor, G: Callable, R: float = math.inf, start: Tensor | None = None, steps: int = 20
) -> Tensor:
    """r_fp = max_{s <= R} min(s, m / G(s)), G a function (n,) -> (n,), from below: s G(s) grows, so
    the answer lies between s and m / G(s). m <= 0 gives 0.
    """
    m = m.clamp_min(0)
    low, high = torch.zeros_like(m), torch.full_like(m, float(radius("R", R)))
    s = m / G(torch.zeros_like(m)).clamp_min(1e-30) if start is None else start
    s = torch.minimum(s, high)
    for _ in range(whole("steps", steps, 1)):
        other = m / G(s).clamp_min(1e-30)
        low = torch.maximum(low, torch.minimum(s, other))
        high = torch.minimum(high, torch.maximum(s, other))
        s = (low * high).sqrt()
        s = torch.where(s > 0, s, (low + high) / 2)
    return low


def _right_end_sum(m, widths, sizes):
    """How far m > 0 lasts if parts of these widths use up at most width times size of it each."""
    left, r = m.clamp_min(0), torch.zeros_like(m)
    for width, size in zip(widths, sizes):
        size = size.clamp_min(1e-30)
        step = torch.minimum(width, left / size)
        r, left = r + step, (left - step * size).clamp_min(0)
    return r


def integral_radius(m: Tensor, G: Callable, upto: Tensor, steps: int = 16) -> Tensor:
    """r <= `upto` with int_0^r G = m, by `steps` right ends: on [a, b] the gap is at most G(b)."""
    width = radius("upto", upto) / whole("steps", steps, 1)
    return _right_end_sum(m, [width] * steps, (G(width * k) for k in range(1, steps + 1)))


def profile_radii(m: Tensor, radii: Tensor, G: Tensor) -> tuple[Tensor, Tensor]:
    """(r_fp, r_int), at most radii[-1], from G (K, n) at increasing radii (K, n)."""
    if radius("radii", radii).device.type == "cpu" and bool((radii.diff(dim=0) < 0).any()):
        raise ValueError(f"radii fall from row to row; give increasing ones, not {radii[:, 0]}")
    r_fp = torch.minimum(radii, m.clamp_min(0) / G.clamp_min(1e-30)).amax(0)
    widths = radii.diff(dim=0, prepend=torch.zeros_like(radii[:1]))
    return r_fp, torch.maximum(r_fp, _right_end_sum(m, widths, G))


def curvature_radius(m: Tensor, g: Tensor, kappa: float | Tensor) -> Tensor:
    """2m / (g + sqrt(g^2 + 2 kappa m)) for kappa-Lipschitz grad h; L_G lowers g = ||grad h(x)||."""
    m, kappa = m.clamp_min(0), radius("kappa", kappa)
    return 2 * m / (g + (g * g + 2 * kappa * m).sqrt()).clamp_min(1e-30)


def gaussian_flip_share(m: Tensor, gap: Tensor, sigma: float | Tensor) -> Tensor:
    """P(h <= 0) ~ Phi(-m / (sigma ||grad h(x)||_2)) in white noise; an estimate, of first order."""
    positive("sigma", sigma.min().item() if isinstance(sigma, Tensor) else sigma)
    return torch.special.ndtr(-m / (sigma * gap).clamp_min(1e-30))
