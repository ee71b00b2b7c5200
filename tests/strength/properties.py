"""Do the theorem's promises hold on random networks?

`python tests/strength/properties.py [draws]` (20,000
unless told).

A draw is an image with a label and a random pair of small networks (dense, convolutional, maxout,
pooling, batch norm; weights of random size), in a random space and norm, with the pixels' box or
without. No certificate may be longer than a flip that an attack finds, the radii must keep their
order, and no bound of the gradient gap may lie below gradients that were seen. One line a property
is printed; a violation ends the command with status 1.
"""

import math
import os
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch  # noqa: E402
from drawn import BODIES, DENSE, SHAPES, images, network  # noqa: E402

from rsnl_lib import geometry, theorem  # noqa: E402

TOL = 1e-9


def felt(g, x, p, box):
    """sup <-g, v> over directions v of dual length 1 that lead into the box (any, without one):
    what a bound of G must reach.
    """
    g = -g
    if box:
        g = torch.where(x == 0, g.clamp_min(0), torch.where(x == 1, g.clamp_max(0), g))
    return geometry.norm(g, p)


def seen_gap(h, x, R, p, box, draws):
    """The largest felt gradient of h at `draws` random points of B_q(x, R), a third of them on its
    rim, and at x.
    """
    best = felt(theorem.gradient(h, x)[1], x, p, box)
    for k in range(draws):
        d = geometry.random_in_ball(x, R, geometry.DUAL[p])
        if k % 3 == 0:
            d = d * geometry.like(R / geometry.norm(d, geometry.DUAL[p]), d)
        z = (x + d).clamp(0, 1) if box else x + d
        best = torch.maximum(best, felt(theorem.gradient(h, z)[1], x, p, box))
    return best


class Tally:
    """How often each property was checked, how often it failed and how close it came: the largest
    share left / right.
    """

    def __init__(self):
        self.rows = {}

    def check(self, name, left, right, counts=None):
        """left <= right within TOL (absolute and relative); `counts` says where the question
        arises.
        """
        counts = torch.ones_like(left, dtype=torch.bool) if counts is None else counts
        bad = counts & ~(left <= right + TOL * (1 + right.abs()))
        share = torch.where(
            counts & (right > 0) & right.isfinite(), left / right.clamp_min(1e-300), 0
        )
        row = self.rows.setdefault(name, [0, 0, 0.0])
        row[0] += int(counts.sum())
        row[1] += int(bad.sum())
        row[2] = max(row[2], share.max().item())

    def violations(self):
        return sum(row[1] for row in self.rows.values())


def one_pair(tally, n, effort=1.0):
    """Draw a pair and n images, check everything; returns how many of the images the student leads
    on.
    """
    pick = lambda values: values[int(torch.randint(len(values), ()))]
    lipsdp_turn = torch.rand(()) < 0.25
    kinds = [pick(DENSE if lipsdp_turn else tuple(BODIES)) for _ in "ST"]
    shape, classes, space = pick(SHAPES), pick((2, 3, 5)), pick(geometry.SPACES)
    p, box = (2, False) if lipsdp_turn else (pick((1, 2, math.inf)), bool(pick((0, 1))))
    tau, q = 1 + 3 * torch.rand(()).item(), geometry.DUAL[p]
    S, T = (network(kind, shape, classes, 0.5 + 3 * torch.rand(()).item()) for kind in kinds)
    x = images(n, shape)
    with torch.no_grad():
        leads = torch.stack(
            [theorem.head_start(S, T, torch.full((n,), k), space, tau)(x) for k in range(classes)],
            1,
        )
    y = torch.where(torch.rand(n) < 0.8, leads.argmax(1), torch.randint(classes, (n,)))
    h = theorem.head_start(S, T, y, space, tau)
    m = h(x).detach()
    ahead = m > 1e-9
    r, z = theorem.smallest_flip(
        h, x, q, box, restarts=max(1, round(2 * effort)), steps=6, seeds=images(40, shape)
    )

    whole, _ = theorem.sound_radii(S, T, x, y, "spectral", p, space, tau, box)
    fixed, integral = theorem.sound_radii(S, T, x, y, "interval", p, space, tau, box, parts=6)
    tally.check("sound m <= m", theorem.sound_lead(S, T, x, y, space, tau), m)
    tally.check("spectral radius <= flip", whole, r, ahead)
    tally.check("interval fixed point <= flip", fixed, r, ahead)
    tally.check("interval integral <= flip", integral, r, ahead)
    tally.check("r_spectral <= r_fp", whole, fixed)
    tally.check("r_fp <= r_int", fixed, integral)
    tally.check("r_int <= e r_fp", integral, math.e * fixed)
    tally.check("no radius where the teacher leads", integral, torch.zeros_like(integral), m <= 0)

    R = (
        torch.where(r.isfinite() & (r > 0), r, torch.ones_like(r))
        * 2
        * torch.rand(n, dtype=x.dtype)
    )
    above = theorem.sound_interval(S, T, x, y, R, p, space, tau, box)
    every = theorem.sound_spectral(S, T, y, p, space, tau)
    seen = seen_gap(h, x, R, p, box, 6)
    if not box:
        seen = torch.maximum(seen, theorem.estimate_ascent(h, x, R[None], p, starts=1, steps=4)[0])
    tally.check("gap seen <= interval bound", seen, above)
    tally.check("gap seen <= spectral bound", seen, every)
    if lipsdp_turn:
        few = ahead.nonzero()[:6, 0]
        if len(few):
            joint = theorem.sound_lipsdp(S, T, x[few], y[few], R[few], space, tau, steps=15)
            tally.check("gap seen <= lipsdp bound", seen[few], joint)
            tally.check("lipsdp fixed point <= flip", torch.minimum(R[few], m[few] / joint), r[few])
    return int(ahead.sum())


def logistic(tally, n):
    """f_S = sigmoid(u), f_T = 1/2 at n random u in (0, 12): the flip is at u, and int_0^u G
    is m.
    """
    u = 12 * torch.rand(n, dtype=torch.float64)
    m, steps = torch.sigmoid(u) - 0.5, 400
    slope = lambda v: torch.sigmoid(v) * torch.sigmoid(-v)
    G = lambda s: slope((u - s).clamp_min(0))
    r = theorem.integral_radius(m, G, u, steps)
    tally.check("logistic family: integral <= u", r, u)
    tally.check("logistic family: u <= integral + 2 u / steps", u, r + 2 * u / steps)
    tally.check(
        "logistic family: fixed point <= integral",
        theorem.fixed_point(m, G, steps=60),
        r + 2 * u / steps,
    )


def run(draws, batch=50, seed=0, effort=1.0):
    """(Tally, examples drawn, examples with m > 0)."""
    torch.manual_seed(seed)
    tally, done, ahead = Tally(), 0, 0
    while done < draws:
        n = min(batch, draws - done)
        ahead += one_pair(tally, n, effort)
        done += n
    logistic(tally, draws)
    return tally, done, ahead


def main(words):
    if len(words) > 1 or not all(w.isdecimal() and int(w) for w in words):
        sys.exit(
            f"what is {' '.join(words)!r}? The one argument is a number of draws, e.g. python"
            " tests/strength/properties.py 400"
        )
    torch.set_num_threads(1)
    begun = time.perf_counter()
    tally, done, ahead = run(int(words[0]) if words else 20_000)
    for name, (counted, bad, share) in tally.rows.items():
        print(
            f"{'ok' if not bad else 'BROKEN':7} {name:46} {counted:7,} examples, {bad} violations,"
            f" largest share {share:.4f}"
        )
    print(
        f"{done:,} draws, {ahead:,} of them with m > 0: {tally.violations()} violations in"
        f" {time.perf_counter() - begun:.0f} s"
    )
    sys.exit(bool(tally.violations()))


if __name__ == "__main__":
    main(sys.argv[1:])
