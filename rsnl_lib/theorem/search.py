"""The largest gap of gradients found, the smallest flip found, and in a plane the exact one."""

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn

from ..checks import one_of, points, positive, radius, some, whole
from ..geometry.ball import DUAL, like, norm, onto_ball, random_in_ball, steepest
from .bound import gradient, head_start, in_box
from .interval import sound_interval
from .jacobian import known_layers

TOL = 1e-3  # of `flip_in_plane`, which gives up after MOST squares
MOST = 400_000


def _clip(z, box):
    return z.clamp(0, 1) if box else z


# Estimates of G from below -----------------------------------------------------------------------
def point_gap(h: Callable, x: Tensor, p: float = 2) -> Tensor:
    """||grad h(x)||_p, which is G(0): what L_G sees. m / point_gap is NOT a bound."""
    return _a_number("the gradient of h", _gap(h, some(points(x), "measure"), p))


def _gap(h, x, p):
    return norm(gradient(h, x)[1], p)


def _a_number(what, values):
    """The values (n,), if none is NaN."""
    if values.device.type == "cpu" and (odd := values.isnan()).any():
        i = int(odd.nonzero()[0])
        raise ValueError(f"{what} is NaN at image {i}; give networks of finite weights and scores")
    return values


def estimate_sampling(
    h: Callable,
    x: Tensor,
    R: float | Tensor,
    p: float = 2,
    draws: int = 1000,
    box: bool = False,
    generator: Generator | None = None,
) -> Tensor:
    """The largest ||grad h||_p at x and `draws` random points of the ball: G(R) from below."""
    radius("R", R)
    best = point_gap(h, x, p)
    for _ in range(whole("draws", draws, 1)):
        z = x + random_in_ball(x, R, DUAL[p], generator)
        best = torch.maximum(best, _gap(h, _clip(z, box), p))
    return best


def estimate_ascent(
    h: Callable,
    x: Tensor,
    radii: Tensor,
    p: float = 2,
    flip: Tensor | None = None,
    starts: int = 3,
    steps: int = 15,
    box: bool = False,
    generator: Generator | None = None,
) -> Tensor:
    """G at each row of `radii` (K, n), increasing, from below: (K, n), by ascent on ||grad h||_p.

    Towards `flip` (n, ...), a point with h <= 0, ||grad h||_p is somewhere >= h(x) / ||flip - x||_q
    (mean value theorem): 65 points of the segment keep the fixed-point radius below the flip.
    """
    q = DUAL[one_of("p", p, DUAL)]
    radius("radii", radii)
    whole("starts", starts)
    whole("steps", steps)
    best, kept = point_gap(h, x, p), x
    rows = []
    for R in radii:
        tried = [kept]
        if flip is not None:
            share = (R / norm(flip - x, q).clamp_min(1e-30)).clamp_max(1)
            shares = torch.linspace(0, 1, 65, dtype=x.dtype, device=x.device)
            scan = [x + (flip - x) * like(t * share, x) for t in shares]
            point, size = _steepest_of(h, scan, p)
            tried.append(point)
            best = torch.maximum(best, size)
        for _ in range(starts):  # each start is the best of ten random points
            some = [_clip(x + random_in_ball(x, R, q, generator), box) for _ in range(10)]
            tried.append(_steepest_of(h, some, p)[0])
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
        z = _clip(z.detach(), box).requires_grad_()
        size = norm(gradient(h, z, create_graph=True)[1], p)
        yield z.detach(), size.detach()
        if not size.requires_grad:
            return
        (up,) = torch.autograd.grad(size.sum(), z, allow_unused=True)
        if up is None:
            return
        ahead = z.detach() + steepest(up, q) * like(R * 0.5 * (1 - k / steps), x)
        z = x + onto_ball(ahead - x, R, q)


def _steepest_of(h, tried, p):
    """For each image the one of `tried`, a list, with the largest ||grad h||_p, and that (n,)."""
    sizes = torch.stack([_gap(h, z, p) for z in tried])
    numbers = torch.arange(sizes.shape[1], device=sizes.device)
    return torch.stack(tried)[sizes.argmax(0), numbers], sizes.amax(0)


# The smallest flip -------------------------------------------------------------------------------
def _bisect(holds, b, halvings):
    """The least t in [0, b], (n,), that `holds` by bisection; b if none is found."""
    a = torch.zeros_like(b)
    for _ in range(halvings):
        t = (a + b) / 2
        good = holds(t)
        a, b = torch.where(good, a, t), torch.where(good, t, b)
    return b


def cheapest(w: Tensor, c: Tensor, q: float, low: Tensor | None, high: Tensor | None) -> Tensor:
    """The d (n, ...) of least q-norm with <w, d> = -c, c (n,) > 0, in the box low <= d <= high
    (None: no box); where that does not allow so much, the d that gets furthest.
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
    far = torch.where(way == 0, 0, room / way.abs().clamp_min(1e-12)).flatten(1).amax(1)

    def step(t):
        return (-way * like(t, w)).clamp(low, high)

    return step(_bisect(lambda t: -(w * step(t)).flatten(1).sum(1) >= c, far, 50))


@torch.no_grad()
def on_segment(h: Callable, x: Tensor, z: Tensor, halvings: int = 12) -> Tensor:
    """A point with h <= 0 on the segment from x (h > 0) to z (h <= 0), close to the first one."""
    one = torch.ones(len(x), dtype=x.dtype, device=x.device)
    t = _bisect(lambda t: h(x + (z - x) * like(t, x)) <= 0, one, halvings)
    return x + (z - x) * like(t, x)


class _Flips:
    """The nearest flipped images z found so far, at distances r (n,): inf where there is none."""

    @torch.no_grad()
    def __init__(self, h, x, q, box):
        self.h, self.x, self.q, self.box = h, x, q, box
        self.z = x.clone()
        self.r = torch.where(
            _a_number("h", h(x)) <= 0, 0.0, torch.full_like(x.flatten(1)[:, 0], math.inf)
        )

    @property
    def found(self):  # and away from x
        return self.r.isfinite() & (self.r > 0)

    @torch.no_grad()
    def offer(self, z):
        """Take over flips nearer than the best, bisected; z, or a point as far as the best."""
        h, x = self.h, self.x
        z = _clip(z, self.box)
        z = x + (z - x) * like((self.r / norm(z - x, self.q).clamp_min(1e-30)).clamp_max(1), x)
        nearer = h(z) <= 0
        if nearer.any():
            if hasattr(h, "of"):
                z[nearer] = on_segment(h.of(nearer), x[nearer], z[nearer])
            else:
                z = torch.where(like(nearer, x), on_segment(h, x, z), z)
            size = norm(z - x, self.q)
            self.r = torch.where(nearer, torch.minimum(size, self.r), self.r)
            self.z = torch.where(like(nearer, x), z, self.z)
        return z

    def project(self, z, steps):
        """From z, project x on the boundary linearised at the current point, again and again."""
        x = self.x
        for _ in range(steps):
            value, w = gradient(self.h, z)
            c = value + (w * (x - z)).flatten(1).sum(1)  # the linearised h at x
            start = torch.where(like(c > 0, x), x, z)
            c = torch.where(c > 0, c * 1.02, value * 1.05).clamp_min(1e-12)
            low, high = (-start, 1 - start) if self.box else (None, None)
            z = self.offer(start + cheapest(w, c, self.q, low, high))

    def descend(self, z, inside):
        """From z, 15 gradient steps down h in the ball of radius `inside`, below the best."""
        x, q = self.x, self.q
        for j in range(15):
            _, w = gradient(self.h, z)
            ahead = z - steepest(w, q) * like(inside * 0.5 * (1 - j / 15), x)
            z = _clip(x + onto_ball(ahead - x, inside, q), self.box)
            self.offer(z)

    @torch.no_grad()
    def refine(self):
        """A finer bisection of what was found."""
        edge = on_segment(self.h, self.x, self.z, 40)
        sure = self.found & (self.h(edge) <= 0)
        self.r = torch.where(sure, norm(edge - self.x, self.q), self.r)
        self.z = torch.where(like(sure, self.x), edge, self.z)


def smallest_flip(
    h: Callable,
    x: Tensor,
    q: float = 2,
    box: bool = False,
    restarts: int = 6,
    steps: int = 25,
    seeds: Tensor | None = None,
    generator: Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """(r, z): the least q-norm found of a perturbation to h <= 0 (inf: none), and the image there.

    A minimal-norm attack like FAB (arXiv 1907.02044): project x on the boundary linearised at the
    current point, bisect the segment from x, go on from there, from `restarts` random starts and
    from those of `seeds` (m, ...) that flip; then as often gradient steps inside a slightly smaller
    ball. With box=True every point stays in [0, 1]. Every certificate must stay below r.
    """
    one_of("q", q, DUAL)
    whole("steps", steps, 1)
    some(points(x), "flip")
    flips = _Flips(h, in_box(x) if box else x, q, box)
    if seeds is not None:
        if seeds.shape[1:] != x.shape[1:]:
            sizes = f"seeds {tuple(seeds.shape[1:])} and images {tuple(x.shape[1:])}"
            raise ValueError(f"{sizes} must be of one size")
        order = torch.cdist(x.flatten(1), seeds.flatten(1)).argsort(1)
        m = len(seeds)
        # the nearest, and some of all distances
        ranks = sorted({*range(min(10, m)), *range(0, m, max(1, m // 10))})
        for column in order[:, ranks].T:
            flips.offer(seeds[column])
    for restart in range(whole("restarts", restarts, 1)):
        spread = torch.where(flips.found, flips.r, norm(x, q) / 4 + 0.1)
        start = x + random_in_ball(x, spread, q, generator) if restart else x
        flips.project(_clip(start, box), steps)
    for k in range(restarts):
        inside = torch.where(flips.r.isfinite(), flips.r * 0.97, 1.0)
        way = random_in_ball(x, inside, q, generator) if k % 2 else flips.z - x
        flips.descend(_clip(x + onto_ball(way, inside, q), box), inside)
    flips.refine()
    return flips.r, flips.z


# In a plane --------------------------------------------------------------------------------------
@torch.no_grad()
def in_plane(net: nn.Module, x: Tensor, axes: Tensor) -> nn.Module:
    """`net` on the plane x + a axes[0] + b axes[1] (x (1, ...), axes (2, ...)), from (n, 2)."""
    lift = nn.Linear(2, x[0].numel()).double()
    lift.weight.copy_(axes.flatten(1).T)
    lift.bias.copy_(x.flatten())
    return nn.Sequential(lift, nn.Unflatten(1, x.shape[1:]), *known_layers(net))


@torch.no_grad()
def flip_in_plane(
    S: nn.Module, T: nn.Module, y: Tensor, q: float = 2, *space: str | float, reach: float = 1.0
) -> tuple[float, float]:
    """(low, high): the exact distance of the smallest flip from 0, within 0.1 % of itself, for
    networks of two inputs; y (1,), `space` and tau as in `geometry.height`.

    Branch and bound on squares of [-reach, reach]^2: one whose h must stay positive (by
    `sound_interval`) is done, one that holds a flip lowers `high`, the others nearer than `high`
    are quartered. Outside nothing is seen: low <= reach, and high = inf means that none was found.
    """
    one_of("q", q, DUAL)
    if y.shape != (1,):
        raise ValueError(f"y {tuple(y.shape)} must be (1,), the label of one image")
    side = 2 * positive("reach", reach) / 32
    ticks = torch.arange(32, dtype=torch.float64) * side - reach + side / 2
    cells = torch.cartesian_prod(ticks, ticks)
    corners = torch.tensor([[-1, -1], [-1, 1], [1, -1], [1, 1]], dtype=torch.float64)
    high, seen = math.inf, 0
    while True:
        labels = y.expand(len(cells))
        m = head_start(S, T, labels, *space)(cells)
        radius = torch.full_like(m, side / math.sqrt(2))
        drop = radius * sound_interval(S, T, cells, labels, radius, 2, *space)
        near = norm((cells.abs() - side / 2).clamp_min(0), q)
        flipped = m + drop < -1e-9
        found = torch.minimum(norm(cells, q).where(m <= 0, math.inf), near.where(flipped, math.inf))
        high = min(high, found.min().item())
        open_ = (m - drop <= 1e-9) & ~flipped & (near < high)
        low = near.where(open_, high).min().item()
        seen += len(cells)
        if not open_.any() or low >= (1 - TOL) * high or seen > MOST:
            return min(low, reach), high
        cells = (cells[open_][:, None] + corners * side / 4).flatten(0, 1)
        side = side / 2
