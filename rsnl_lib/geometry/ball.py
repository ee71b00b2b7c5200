"""Norms and balls of perturbations: lengths, steepest steps, and the way back inside."""

import math
from typing import Any

import torch
from torch import Generator, Tensor

from ..checks import draws_on, one_of, radius, some, tensor

DUAL = {1: math.inf, 2: 2, math.inf: 1}


def norm(v: Tensor, p: float = 2) -> Tensor:
    """p-norm of each image of v, (n,); p = 1, 2 or inf."""
    return torch.linalg.vector_norm(tensor("vectors", v).flatten(1), one_of("p", p, DUAL), dim=1)


def like(r: Tensor, x: Tensor) -> Tensor:
    """(n,) numbers shaped to multiply images x."""
    return r.view(-1, *[1] * (x.dim() - 1))


def onto_ball(d: Tensor, R: float | Tensor, q: float = 2) -> Tensor:
    """The nearest point (in L2) to d (n, ...) in the q-ball of radius R, a number or (n,)."""
    R = torch.as_tensor(radius("R", R), dtype=d.dtype, device=d.device)
    if R.dim() and R.shape != d.shape[:1]:
        raise ValueError(f"R {tuple(R.shape)} must be one number, or one for each of {len(d)}")
    R = R.expand(len(d))
    if one_of("q", q, DUAL) == math.inf:
        return d.clamp(-like(R, d), like(R, d))
    if q == 2:
        return d * like((R / norm(d).clamp_min(torch.finfo(d.dtype).tiny)).clamp_max(1), d)
    sizes = d.flatten(1).abs().sort(1, descending=True).values
    over = (sizes.cumsum(1) - R[:, None]) / torch.arange(1, sizes.shape[1] + 1, device=d.device)
    cut = over.gather(1, ((sizes > over).sum(1, keepdim=True) - 1).clamp_min(0)).clamp_min(0)
    return d.sign() * (d.abs() - like(cut, d)).clamp_min(0)


def steepest(w: Tensor, q: float = 2) -> Tensor:
    """The direction v (n, ...) of q-norm 1 with the largest <w, v>, ||w||_p; 0 where w is 0."""
    if one_of("q", q, DUAL) == math.inf:
        return w.sign()
    flat = w.flatten(1)
    if q == 1:
        at = flat.abs().argmax(1, keepdim=True)
        return torch.zeros_like(flat).scatter_(1, at, flat.gather(1, at).sign()).view_as(w)
    tiny = torch.finfo(w.dtype).tiny
    scaled = w / like(norm(w, math.inf).clamp_min(tiny), w)  # squares of a tiny w would vanish
    return scaled / like(norm(scaled).clamp_min(tiny), w)


def random_in_ball(
    x: Tensor, R: float | Tensor, q: float = 2, generator: Generator | None = None
) -> Tensor:
    """Perturbations like x: Gaussian directions, scaled to q-norm R u^(1/d), u uniform."""
    radius("R", R)
    some(x, "perturb")
    device = draws_on(generator, x)
    kind: dict[str, Any] = dict(generator=generator, dtype=x.dtype, device=device)
    d = torch.randn(x.shape, **kind).to(x.device)
    u = torch.rand(len(x), **kind).to(x.device) ** (1 / x[0].numel())
    return d * like(R * u / norm(d, q), d)
