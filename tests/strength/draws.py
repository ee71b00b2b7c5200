"""Do the certificates hold against an attack written apart?

    python tests/strength/draws.py --draws 100000 --seed 0

A draw is an image with a label and a random pair of small networks (`drawn`; weights from 1e-6 to
1e6, ties, dead units, layers of zeros, a teacher that copies the student), in a random space and
norm, with the pixels' box or without, in float32 or float64. The library says a radius and
`attack_apart`, which imports nothing of it, looks for a flip inside. One line a property is
printed; a violation or NaN gives status 1. Stopped, the command goes on with --from.
"""

import argparse
import copy
import math
import os
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import attack_apart  # noqa: E402
import drawn  # noqa: E402
import torch  # noqa: E402
from torch import nn  # noqa: E402

from rsnl_lib import theorem  # noqa: E402

IMAGES = 100  # draws that share a pair
COLUMNS = "draws positive violations NaN refused within_1.03 within_1.5 within_3".split()
DUAL = {1: math.inf, 2: 2, math.inf: 1}
SPACES = ("logit", "probability", "tempered")
TWISTS = ("none", "none", "none", "zero head", "zeros", "dead", "ties", "copy", "nearly a copy")


class Tally(dict):
    """{property: [a count for each of COLUMNS]}, and the pairs in which one was broken."""

    def __init__(self):
        self.broken = []

    def add(self, name, where="", **counts):
        """Add counts to a property's row; `where` says how to see a violation or NaN again."""
        row = self.setdefault(name, [0] * len(COLUMNS))
        for column, count in counts.items():
            row[COLUMNS.index(column)] += int(count)
        if counts.get("violations") or counts.get("NaN"):
            self.broken.append(f"{name}: {where}")


def pick(values):
    return values[int(torch.randint(len(values), ()))]


def judge(tally, name, pair, x, y, r, where="", **how):
    """Count radii r (n,) of a certificate and the flips that are found inside and slightly beyond;
    `pair` as the library was asked, `how` as `attack_apart.shortest_flip` takes it.
    """
    r, good = r.double(), r > 0
    found = torch.full_like(r, math.inf)
    if good.any():
        S, T = map(attack_apart.at_rest, pair)
        found[good] = attack_apart.shortest_flip(S, T, x[good].double(), y[good], r[good], **how)
    seen = found.isfinite()
    within = {f"within_{k:g}": (seen & (found <= (k + 1e-6) * r)).sum() for k in (1.03, 1.5, 3)}
    broken = (good & (found < r)).sum() + (r < 0).sum()
    tally.add(
        name, where, draws=len(r), positive=good.sum(), violations=broken, NaN=r.isnan().sum()
    )
    tally.add(name, **within)


def twist(S, T, kind):
    """The pair with one thing that is unusual, and what was done to it."""
    both = [m for net in (S, T) for m in net.modules() if isinstance(m, (nn.Linear, nn.Conv2d))]
    if "copy" in kind:
        T = copy.deepcopy(S)
        if kind == "nearly a copy":
            pick([*T.parameters()]).mul_(1 + 10 ** (-9 * torch.rand(()).item()))
        return S, T
    if kind == "zero head":
        for net in (S, T):
            [m for m in net.modules() if isinstance(m, nn.Linear)][-1].weight.zero_()
    elif kind == "zeros":
        layer = pick(both)
        layer.weight.zero_()
        layer.bias.zero_()
    elif kind == "dead":
        pick(both).bias[::2] -= 1e3
    elif kind == "ties":  # few different weights: equal pieces, values exactly at a threshold
        for m in both:
            m.weight.copy_((m.weight * 2).round() / 2)
            m.bias.copy_(m.bias.round())
    return S, T


@torch.no_grad()
def scaled(S, T):
    """One learned layer of each network made 1e-6 to 1e6 times as large, mostly by one number."""
    one = 12 * torch.rand(()) - 6
    for net in (S, T):
        size = 10.0 ** (one if torch.rand(()) < 0.7 else 12 * torch.rand(()) - 6).item()
        layer = pick([m for m in net.modules() if isinstance(m, (nn.Linear, nn.Conv2d))])
        layer.weight.mul_(size)
        layer.bias.mul_(size)


@torch.no_grad()
def draw_pair(dense):
    """(student, teacher, images, labels, what was drawn) from torch's global generator."""
    kinds = [pick(drawn.DENSE if dense else tuple(drawn.BODIES)) for _ in "ST"]
    shape, classes, special = pick(drawn.SHAPES), pick((2, 3, 5)), pick(TWISTS)
    pair = [drawn.network(k, shape, classes, 0.5 + 3 * torch.rand(()).item()) for k in kinds]
    S, T = twist(*pair, special)
    x = drawn.images(IMAGES, shape)
    if special == "ties":
        x = (x * 2).round() / 2
    if torch.rand(()) < 0.5:
        scaled(S, T)
    dtype = pick((torch.float32, torch.float64))
    S, T, x = S.to(dtype), T.to(dtype), x.to(dtype)
    leads = [attack_apart.lead(S, T, x, torch.full((IMAGES,), k)) for k in range(classes)]
    best, some = torch.stack(leads, 1).argmax(1), torch.randint(classes, (IMAGES,))
    y = torch.where(torch.rand(IMAGES) < 0.8, best, some)
    return S, T, x, y, f"{kinds[0]} and {kinds[1]} {shape}, {classes} classes, {special}, {dtype}"


def hooked(tally, S, T, x, y):
    """A pair with a hook in one of its layers, which the library must refuse."""
    S, T = copy.deepcopy(S), copy.deepcopy(T)
    layer = pick([*pick((S, T)).modules()])
    layer.register_forward_hook(lambda m, inputs, out: out)
    try:
        theorem.sound_radii(S, T, x, y, pick(theorem.SOUND))
        said = "no refusal"
    except ValueError as error:
        said = str(error)
    count = {"refused" if "has hooks" in said else "violations": len(x)}
    tally.add("hooks are refused", said, draws=len(x), **count)


def voted(tally, S, T, x, y, where):
    """The votes' radius against the share of draws in which the student leads around it."""
    S, T, x, sigma = S.double(), T.double(), x.double(), 10 ** (-2 * torch.rand(()).item())
    r, _ = theorem.votes(S, T, x, y, sigma, 150, 1e-6)
    good = r > 0
    bad = good.new_zeros(())
    if good.any():
        pair = map(attack_apart.at_rest, (S, T))
        least = attack_apart.fewest_wins(*pair, x[good], y[good], r[good], sigma)
        bad = (least < 0.42).sum()  # five standard deviations of 1000 draws below one half
    counts = dict(positive=good.sum(), violations=bad, NaN=r.isnan().sum())
    tally.add("votes", where, draws=len(x), **counts)


def certified(tally, method, S, T, x, y, where, q, space, tau, box):
    """The radii of one method against the attack; a pair that is refused is counted and named."""
    try:
        r_fp, r_int = theorem.sound_radii(
            S, T, x, y, method, DUAL[q], space, tau, box, pick((2, 6, 12))
        )
    except ValueError as error:
        tally.add(method, draws=len(x), refused=len(x))
        print(f"refused {where}: {error}", file=sys.stderr)
        return
    unordered = (r_fp > r_int).sum()
    tally.add("r_fp <= r_int", where, draws=len(x), violations=unordered, NaN=r_fp.isnan().sum())
    tau = tau if space == "tempered" else 1.0
    judge(tally, method, (S, T), x, y, r_int, where, q=q, tau=tau, box=box)


def one_pair(tally, seed, at):
    """Draw the pair that belongs to draw `at`, ask for certificates and attack them."""
    torch.manual_seed(seed * 1_000_003 + at)
    dense = torch.rand(()) < 0.3
    S, T, x, y, what = draw_pair(dense)
    q, box, tau = pick((1, 2, math.inf)), pick((False, True)), 1 + 3 * torch.rand(()).item()
    method, turn = pick(("spectral", "interval", "interval", "interval")), torch.rand(())
    if dense and turn < 0.15:
        method, q, box = "lipsdp", 2, False
        x, y = x[:8], y[:8]
    space = pick(SPACES)
    where = f"--seed {seed} --from {at} --draws 1: {what}, {space}, q={q}, box={box}"
    pick((S, T)).train(pick((False, True)))  # certificates are for networks at rest
    certified(tally, method, S, T, x, y, where, q=q, space=space, tau=tau, box=box)
    S.eval()
    T.eval()
    if turn > 0.9:
        voted(tally, S, T, x, y, where)
    elif turn > 0.85:
        hooked(tally, S, T, x, y)


def table(tally):
    """The lines to print, one a property."""
    lines = [f"{'property':24}" + "".join(f"{c:>13}" for c in COLUMNS)]
    return lines + [f"{k:24}" + "".join(f"{n:13,}" for n in row) for k, row in tally.items()]


def run(draws, seed=0, first=0):
    """(number of the next draw, Tally so far) for draws first, ..., first + draws - 1; whole pairs
    are drawn.
    """
    tally = Tally()
    for at in range(first - first % IMAGES, first + draws, IMAGES):
        one_pair(tally, seed, at)
        yield at + IMAGES, tally


def main(words):
    """The command."""
    said = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    said.add_argument("--draws", type=int, default=100_000, help="how many")
    said.add_argument("--seed", type=int, default=0)
    said.add_argument("--from", dest="first", type=int, default=0, help="number of the first draw")
    a = said.parse_args(words)
    if a.draws < 1 or a.first < 0 or a.seed < 0:
        said.error("--draws is at least 1, --from and --seed at least 0")
    torch.set_num_threads(1)
    begun, end, tally = time.perf_counter(), a.first, Tally()
    try:
        for end, tally in run(a.draws, a.seed, a.first):
            if end % (20 * IMAGES) == 0:
                print(f"{end:,} draws, broken: {len(tally.broken)}", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        print(f"stopped; go on with --seed {a.seed} --from {end}")
    print(*table(tally), *tally.broken, sep="\n")
    print(f"draws {a.first:,} to {end - 1:,} in {time.perf_counter() - begun:.0f} s")
    sys.exit(130 if end < a.first + a.draws else bool(tally.broken))


if __name__ == "__main__":
    main(sys.argv[1:])
