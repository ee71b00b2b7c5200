"""Estimates from below and above: the largest gap of gradients sampled, the smallest flip found."""

import math

import torch

from ..checks import one_of, points, whole
from ..geometry.ball import DUAL, like, norm, onto_ball, random_in_ball, steepest
from .bound import gradient, in_box


# Estimates of G from below -----------------------------------------------------------------------
def point_gap(h, x, p=2):
    """||grad h(x)||_p, which is G(0): what L_G sees. m / point_gap is NOT a bound."""
    return norm(gradient(h, x)[1], p)


def estimate_sampling(h, x, R, p=2, draws=1000, box=False, generator=None):
    """Estimate of G(R) from below: the largest ||grad h||_p at `draws` random points of the ball
    (and at x).
    """
    best = point_gap(h, x, p)
    for _ in range(whole("draws", draws, 1)):
        z = x + random_in_ball(x, R, DUAL[p], generator)
        best = torch.maximum(best, point_gap(h, z.clamp(0, 1) if box else z, p))
    return best


def estimate_ascent(h, x, radii, p=2, flip=None, starts=3, steps=15, box=False, generator=None):
    """Estimate of G from below at each row of `radii` (K, n), increasing: (K, n), projected
    gradient ascent on ||grad h||_p.

    `flip` (n, ...) is a point with h <= 0: by the mean value theorem the segment to it holds a
    point with ||grad h||_p >= h(x) / ||flip - x||_q, so 65 points of it are scanned; with that the
    fixed-point radius made from this estimate cannot exceed the flip found (as far as 65 points see
    it).
    """
    q, best, rows = DUAL[one_of("p", p, DUAL)], point_gap(h, x, p), []
    kept = x
    for R in radii:
        tried = [kept]
        if flip is not None:
            length = norm(flip - x, q).clamp_min(1e-30)
            scan = [
                x + (flip - x) * like(t * (R / length).clamp_max(1), x)
                for t in torch.linspace(0, 1, 65, dtype=x.dtype, device=x.device)
            ]
            sizes = torch.stack([point_gap(h, z, p) for z in scan])
            at = sizes.argmax(0)
            tried.append(torch.stack(scan)[at, torch.arange(len(x), device=x.device)])
            best = torch.maximum(best, sizes.amax(0))
        for _ in range(starts):  # each start is the best of ten random points
            some = [x + random_in_ball(x, R, q, generator) for _ in range(10)]
            sizes = torch.stack([point_gap(h, z.clamp(0, 1) if box else z, p) for z in some])
            tried.append(torch.stack(some)[sizes.argmax(0), torch.arange(len(x), device=x.device)])
        for z in tried:
            for k in range(steps):
                z = z.detach().clamp(0, 1) if box else z.detach()
                z = z.requires_grad_()
                size = norm(gradient(h, z, create_graph=True)[1], p)
                better = size.detach() > best
                best = torch.where(better, size.detach(), best)
                kept = torch.where(like(better, x), z.detach(), kept)
                if not size.requires_grad:
                    break
                (up,) = torch.autograd.grad(size.sum(), z, allow_unused=True)
                if up is None:
                    break
                z = x + onto_ball(
                    z.detach() + steepest(up, q) * like(R * 0.5 * (1 - k / steps), x) - x, R, q
                )
        rows.append(best)
    return torch.stack(rows)


# The smallest flip -------------------------------------------------------------------------------
def cheapest(w, c, q, low, high):
    """The d (n, ...) of least q-norm with <w, d> = -c in the box low <= d <= high (None: no box); c
    (n,) > 0.

    Where the box does not allow that much, the d that gets furthest.
    """
    if low is None:
        return -steepest(w, q) * like(c / norm(w, DUAL[q]).clamp_min(1e-30), w)
    room = torch.where(w > 0, -low, high)
    if q == 1:  # spend on the pixel with the largest slope first
        size, order = w.abs().flatten(1).sort(1, descending=True)
        gain = size * room.flatten(1).gather(1, order)
        still = (c[:, None] - gain.cumsum(1) + gain).clamp_min(0)
        spent = torch.minimum(gain, still) / size.clamp_min(1e-30)
        return -w.sign() * torch.zeros_like(spent).scatter_(1, order, spent).view_as(w)
    way = w.sign() if q == math.inf else w
    a, b = (
        torch.zeros_like(c),
        torch.where(way == 0, 0, room / way.abs().clamp_min(1e-12)).flatten(1).amax(1),
    )
    for _ in range(50):
        t = (a + b) / 2
        d = torch.minimum(torch.maximum(-way * like(t, w), low), high)
        enough = -(w * d).flatten(1).sum(1) >= c
        a, b = torch.where(enough, a, t), torch.where(enough, t, b)
    return torch.minimum(torch.maximum(-way * like(b, w), low), high)


@torch.no_grad()
def on_segment(h, x, z, halvings=12):
    """A point with h <= 0 on the segment from x (h > 0) to z (h(z) <= 0), close to where it first
    gets there: (n, ...).
    """
    a, b = (
        torch.zeros(len(x), dtype=x.dtype, device=x.device),
        torch.ones(len(x), dtype=x.dtype, device=x.device),
    )
    for _ in range(halvings):
        t = (a + b) / 2
        flipped = h(x + (z - x) * like(t, x)) <= 0
        a, b = torch.where(flipped, a, t), torch.where(flipped, t, b)
    return x + (z - x) * like(b, x)


def smallest_flip(h, x, q=2, box=False, restarts=6, steps=25, seeds=None, generator=None):
    """(r, z): the q-norm of the smallest perturbation found that makes h <= 0, and the flipped
    image; r = inf where none was.

    A minimal-norm attack like FAB (arXiv 1907.02044): project x on the boundary linearised at the
    current point, bisect the segment from x, go on from there, from `restarts` random starts and
    from those of `seeds` (m, ...) that flip; then as many times gradient steps inside a slightly
    smaller ball. An upper bound of the true distance: every certificate must stay below it. With
    box=True every point stays in [0, 1].
    """
    one_of("q", q, DUAL)
    points(x)
    low, high = (-in_box(x), 1 - x) if box else (None, None)
    keep = (lambda z: z.clamp(0, 1)) if box else (lambda z: z)
    with torch.no_grad():
        there = h(x) <= 0
    r, best = torch.full((len(x),), math.inf, dtype=x.dtype, device=x.device), x.clone()
    r[there] = 0

    def offer(z):
        """Take over flipped points nearer than the best, bisected; returns points on the way to z
        at most as far as the best.
        """
        nonlocal r, best
        z = x + (z - x) * like((r / norm(z - x, q).clamp_min(1e-30)).clamp_max(1), x)
        with torch.no_grad():
            nearer = h(z) <= 0
        if nearer.any():
            if hasattr(h, "of"):
                z[nearer] = on_segment(h.of(nearer), x[nearer], z[nearer])
            else:
                z = torch.where(
                    like(nearer, x), on_segment(h, x, torch.where(like(nearer, x), z, x)), z
                )
            size = norm(z - x, q)
            r, best = (
                torch.where(nearer, torch.minimum(size, r), r),
                torch.where(like(nearer, x), z, best),
            )
        return z

    if seeds is not None:
        order, m = torch.cdist(x.flatten(1), seeds.flatten(1)).argsort(1), len(seeds)
        for column in order[
            :, sorted({*range(min(10, m)), *range(0, m, max(1, m // 10))})
        ].T:  # the nearest, and some of all distances
            offer(keep(seeds[column]))
    for restart in range(whole("restarts", restarts, 1)):
        spread = torch.where(r.isfinite() & (r > 0), r, norm(x, q) / 4 + 0.1)
        z = keep(x + random_in_ball(x, spread, q, generator)) if restart else x
        for _ in range(steps):
            value, w = gradient(h, z)
            c = value + (w * (x - z)).flatten(1).sum(1)  # the linearised h at x
            ahead = x + cheapest(w, (c * 1.02).clamp_min(1e-12), q, low, high)
            beyond = z + cheapest(
                w, (value * 1.05).clamp_min(1e-12), q, *((-z, 1 - z) if box else (None, None))
            )
            z = offer(keep(torch.where(like(c > 0, x), ahead, beyond)))
    for k in range(restarts):  # gradient steps inside a slightly smaller ball
        inside = torch.where(r.isfinite(), r * 0.97, torch.ones_like(r))
        z = keep(
            x + onto_ball(random_in_ball(x, inside, q, generator) if k % 2 else best - x, inside, q)
        )
        for j in range(15):
            value, w = gradient(h, z)
            z = keep(
                x
                + onto_ball(
                    z - steepest(w, q) * like(inside * 0.5 * (1 - j / 15), x) - x, inside, q
                )
            )
            offer(z)
    found = r.isfinite() & ~there
    if found.any():  # a finer bisection, outside the loops
        edge = on_segment(h, x, torch.where(like(found, x), best, x), 40)
        size = norm(edge - x, q)
        with torch.no_grad():
            sure = found & (h(edge) <= 0)
        r, best = torch.where(sure, size, r), torch.where(like(sure, x), edge, best)
    return r, best
