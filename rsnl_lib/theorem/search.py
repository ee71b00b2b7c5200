"""Estimates from below and above: the largest gap of gradients sampled, the smallest flip found."""

import math
from collections.abc import Callable

import torch

from ..checks import one_of, points, whole
from ..geometry.ball import DUAL, like, norm, onto_ball, random_in_ball, steepest
from .bound import gradient, in_box


# Estimates of G from below -----------------------------------------------------------------------
def point_gap(h: Callable, x: torch.Tensor, p: float = 2) -> torch.Tensor:
    """||grad h(x)||_p, which is G(0): what L_G sees. m / point_gap is NOT a bound."""
    return norm(gradient(h, x)[1], p)


def estimate_sampling(
    h: Callable,
    x: torch.Tensor,
    R: float | torch.Tensor,
    p: float = 2,
    draws: int = 1000,
    box: bool = False,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Estimate of G(R) from below: the largest ||grad h||_p at `draws` random points of the ball
    (and at x).
    """
    best = point_gap(h, x, p)
    for _ in range(whole("draws", draws, 1)):
        z = x + random_in_ball(x, R, DUAL[p], generator)
        best = torch.maximum(best, point_gap(h, z.clamp(0, 1) if box else z, p))
    return best


def estimate_ascent(
    h: Callable,
    x: torch.Tensor,
    radii: torch.Tensor,
    p: float = 2,
    flip: torch.Tensor | None = None,
    starts: int = 3,
    steps: int = 15,
    box: bool = False,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Estimate of G from below at each row of `radii` (K, n), increasing: (K, n), projected
    gradient ascent on ||grad h||_p.

    `flip` (n, ...) is a point with h <= 0: by the mean value theorem the segment to it holds a
    point with ||grad h||_p >= h(x) / ||flip - x||_q, so 65 points of it are scanned; with that the
    fixed-point radius made from this estimate cannot exceed the flip found (as far as 65 points see
    it).
    """
    q = DUAL[one_of("p", p, DUAL)]
    best, kept = point_gap(h, x, p), x
    rows = []
    for R in radii:
        tried = [kept]
        if flip is not None:
            length = norm(flip - x, q).clamp_min(1e-30)
            shares = torch.linspace(0, 1, 65, dtype=x.dtype, device=x.device)
            scan = [x + (flip - x) * like(t * (R / length).clamp_max(1), x) for t in shares]
            point, size = _steepest_of(h, scan, scan, p)
            tried.append(point)
            best = torch.maximum(best, size)
        for _ in range(starts):  # each start is the best of ten random points
            some = [x + random_in_ball(x, R, q, generator) for _ in range(10)]
            asked = [z.clamp(0, 1) for z in some] if box else some
            tried.append(_steepest_of(h, some, asked, p)[0])
        for z in tried:
            for point, size in _climb(h, x, z, R, p, steps, box):
                better = size > best
                best = torch.where(better, size, best)
                kept = torch.where(like(better, x), point, kept)
        rows.append(best)
    return torch.stack(rows)


def _climb(h, x, z, R, p, steps, box):
    """From z up ||grad h||_p in the ball of radius R around x: each point and the size there."""
    q = DUAL[p]
    for k in range(steps):
        z = z.detach().clamp(0, 1) if box else z.detach()
        z = z.requires_grad_()
        size = norm(gradient(h, z, create_graph=True)[1], p)
        yield z.detach(), size.detach()
        if not size.requires_grad:
            return
        (up,) = torch.autograd.grad(size.sum(), z, allow_unused=True)
        if up is None:
            return
        ahead = z.detach() + steepest(up, q) * like(R * 0.5 * (1 - k / steps), x)
        z = x + onto_ball(ahead - x, R, q)


def _steepest_of(h, points, asked, p):
    """For each image the one of `points` (a list of (n, ...)) with the largest ||grad h||_p at
    `asked`, the same points inside the box, and that size (n,).
    """
    sizes = torch.stack([point_gap(h, z, p) for z in asked])
    numbers = torch.arange(sizes.shape[1], device=sizes.device)
    return torch.stack(points)[sizes.argmax(0), numbers], sizes.amax(0)


# The smallest flip -------------------------------------------------------------------------------
def cheapest(
    w: torch.Tensor, c: torch.Tensor, q: float, low: torch.Tensor | None, high: torch.Tensor | None
) -> torch.Tensor:
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
    a = torch.zeros_like(c)
    b = torch.where(way == 0, 0, room / way.abs().clamp_min(1e-12)).flatten(1).amax(1)
    for _ in range(50):
        t = (a + b) / 2
        d = torch.minimum(torch.maximum(-way * like(t, w), low), high)
        enough = -(w * d).flatten(1).sum(1) >= c
        a, b = torch.where(enough, a, t), torch.where(enough, t, b)
    return torch.minimum(torch.maximum(-way * like(b, w), low), high)


@torch.no_grad()
def on_segment(h: Callable, x: torch.Tensor, z: torch.Tensor, halvings: int = 12) -> torch.Tensor:
    """A point with h <= 0 on the segment from x (h > 0) to z (h(z) <= 0), close to where it first
    gets there: (n, ...).
    """
    a = torch.zeros(len(x), dtype=x.dtype, device=x.device)
    b = torch.ones_like(a)
    for _ in range(halvings):
        t = (a + b) / 2
        flipped = h(x + (z - x) * like(t, x)) <= 0
        a, b = torch.where(flipped, a, t), torch.where(flipped, t, b)
    return x + (z - x) * like(b, x)


class _Flips:
    """The nearest flipped images found so far: their distances r (n,), inf where there is none, and
    the images z themselves; with `box` every point stays in [0, 1].
    """

    def __init__(self, h, x, q, box):
        self.h, self.x, self.q, self.box = h, x, q, box
        with torch.no_grad():
            self.there = h(x) <= 0
        self.r = torch.full((len(x),), math.inf, dtype=x.dtype, device=x.device)
        self.r[self.there] = 0
        self.z = x.clone()

    def keep(self, z):
        return z.clamp(0, 1) if self.box else z

    def room(self, z):
        """How far each pixel of z may go down and up, None without a box."""
        return (-z, 1 - z) if self.box else (None, None)

    def offer(self, z):
        """Take over flipped points nearer than the best, bisected; returns points on the way to z
        at most as far as the best.
        """
        h, x = self.h, self.x
        z = x + (z - x) * like((self.r / norm(z - x, self.q).clamp_min(1e-30)).clamp_max(1), x)
        with torch.no_grad():
            nearer = h(z) <= 0
        if nearer.any():
            if hasattr(h, "of"):
                z[nearer] = on_segment(h.of(nearer), x[nearer], z[nearer])
            else:
                edge = on_segment(h, x, torch.where(like(nearer, x), z, x))
                z = torch.where(like(nearer, x), edge, z)
            size = norm(z - x, self.q)
            self.r = torch.where(nearer, torch.minimum(size, self.r), self.r)
            self.z = torch.where(like(nearer, x), z, self.z)
        return z

    def refine(self):
        """A finer bisection of what was found."""
        found = self.r.isfinite() & ~self.there
        if found.any():
            far = torch.where(like(found, self.x), self.z, self.x)
            edge = on_segment(self.h, self.x, far, 40)
            with torch.no_grad():
                sure = found & (self.h(edge) <= 0)
            self.r = torch.where(sure, norm(edge - self.x, self.q), self.r)
            self.z = torch.where(like(sure, self.x), edge, self.z)


def smallest_flip(
    h: Callable,
    x: torch.Tensor,
    q: float = 2,
    box: bool = False,
    restarts: int = 6,
    steps: int = 25,
    seeds: torch.Tensor | None = None,
    generator: torch.Generator | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
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
    flips = _Flips(h, in_box(x) if box else x, q, box)
    if seeds is not None:
        order = torch.cdist(x.flatten(1), seeds.flatten(1)).argsort(1)
        m = len(seeds)
        # the nearest, and some of all distances
        ranks = sorted({*range(min(10, m)), *range(0, m, max(1, m // 10))})
        for column in order[:, ranks].T:
            flips.offer(flips.keep(seeds[column]))
    for restart in range(whole("restarts", restarts, 1)):
        spread = torch.where(flips.r.isfinite() & (flips.r > 0), flips.r, norm(x, q) / 4 + 0.1)
        z = flips.keep(x + random_in_ball(x, spread, q, generator)) if restart else x
        _project(flips, z, steps)
    for k in range(restarts):
        inside = torch.where(flips.r.isfinite(), flips.r * 0.97, torch.ones_like(flips.r))
        way = random_in_ball(x, inside, q, generator) if k % 2 else flips.z - x
        _descend(flips, flips.keep(x + onto_ball(way, inside, q)), inside)
    flips.refine()
    return flips.r, flips.z


def _project(flips, z, steps):
    """From z, project x on the boundary linearised at the current point, again and again."""
    x, q = flips.x, flips.q
    for _ in range(steps):
        value, w = gradient(flips.h, z)
        c = value + (w * (x - z)).flatten(1).sum(1)  # the linearised h at x
        ahead = x + cheapest(w, (c * 1.02).clamp_min(1e-12), q, *flips.room(x))
        beyond = z + cheapest(w, (value * 1.05).clamp_min(1e-12), q, *flips.room(z))
        z = flips.offer(flips.keep(torch.where(like(c > 0, x), ahead, beyond)))


def _descend(flips, z, inside):
    """From z, 15 gradient steps down h in the ball of radius `inside`, smaller than the best."""
    x, q = flips.x, flips.q
    for j in range(15):
        _, w = gradient(flips.h, z)
        ahead = z - steepest(w, q) * like(inside * 0.5 * (1 - j / 15), x)
        z = flips.keep(x + onto_ball(ahead - x, inside, q))
        flips.offer(z)
