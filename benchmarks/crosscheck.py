"""Our smallest flips and gap estimates beside foolbox's minimal-norm attacks and ART's CLEVER, on
digits test images.

Needs an environment of its own; the project never imports these (foolbox's Brendel-Bethge attack
needs numba, ART does not name the packaging that it imports, and makes a folder .art in the home
folder). In the project's folder:
    pip install adversarial-robustness-toolbox==1.20.1 foolbox==3.3.4 numba packaging torch
    pip install pandas scikit-learn safetensors
    OMP_NUM_THREADS=1 PYTHONPATH=. python benchmarks/crosscheck.py --method kd --n 20 --seed 0
For a label y the head start h = u_S - u_T, u = a_y - logsumexp_{j != y} a_j, makes a classifier
with the logits (h, 0): class 0 while the student leads. Prints for the first n images with h > 0:
h; the L2 length of the smallest flip found, ours and foolbox's (DDN, then Brendel-Bethge from
there), without a box (foolbox: pixels in [-10, 10]) and in [0, 1]; R = factor x our free flip;
there min(R, h / G), G from our ascent (which knows our flip), our 1,000 random points and CLEVER
(50 maxima of 100 of 1,000 random points, the end of a Weibull law fitted to them; 0 or R: a failed
fit); ratios; seconds. All estimates.
"""

import argparse
import time
import warnings

import foolbox
import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier
from art.metrics import clever_t

from rsnl_lib import data, geometry, store, theorem
from rsnl_lib.study import jobs


class HeadStart(torch.nn.Module):
    """Logits (h(z), 0) for one label; written apart from rsnl_lib.bound on purpose."""

    def __init__(self, net_S, net_T, label):
        super().__init__()
        self.nets, self.label = torch.nn.ModuleList([net_S, net_T]), label

    def forward(self, z):
        a, k = [net(z.double()) for net in self.nets], self.label  # ART hands over float32
        u_S, u_T = (b[:, k] - torch.cat([b[:, :k], b[:, k + 1 :]], 1).logsumexp(1) for b in a)
        return torch.stack([u_S - u_T, 0 * u_S], 1)


def foolbox_flips(model, x, bounds):
    """The L2 length (n,) of the smallest perturbation foolbox finds that makes h < 0; inf where it
    finds none.
    """
    model, lead = (
        foolbox.PyTorchModel(model, bounds=bounds, device="cpu"),
        torch.zeros(len(x), dtype=torch.long),
    )
    z, _, found = foolbox.attacks.DDNAttack(steps=1000)(model, x, lead, epsilons=None)
    best = torch.where(found, geometry.norm(z - x), torch.inf)
    if found.any():  # not L2FMNAttack: its projection does nothing in 3.3.4
        follow = foolbox.attacks.L2BrendelBethgeAttack(steps=300)
        w, _, still = follow(model, x[found], lead[found], epsilons=None, starting_points=z[found])
        best[found] = torch.where(still, geometry.norm(w - x[found]), torch.inf).minimum(
            best[found]
        )
    return best


def clever_radii(model, x, R):
    """CLEVER's min(h / G, R) for each image, (n,), in L2; R (n,) is both the ball it samples and
    its cap.
    """
    art = PyTorchClassifier(
        model, torch.nn.CrossEntropyLoss(), tuple(x.shape[1:]), nb_classes=2, device_type="cpu"
    )
    return torch.tensor(
        [clever_t(art, z, 1, 50, 100, float(r), 2) for z, r in zip(x.float().numpy(), R)],
        dtype=x.dtype,
    )


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default, what in (
        ("n", 20, "images"),
        ("method", "kd", "of the shipped student"),
        ("seed", 0, "of the random draws"),
        ("factor", 1.0, "R over our flip"),
        ("student", "", "checkpoint"),
        ("teacher", "", "checkpoint"),
    ):
        p.add_argument(
            f"--{name}",
            type=type(default),
            default=default,
            help=f"{what}; else {default if default != '' else 'the shipped'}",
        )
    args = p.parse_args()
    warnings.filterwarnings(
        "ignore", "At the first initialisation|The given NumPy array is not writable"
    )
    torch.manual_seed(args.seed), np.random.seed(args.seed)  # foolbox and ART draw from these
    draws, clock = torch.Generator().manual_seed(args.seed), [time.perf_counter()]
    net_S, net_T = (
        store.load_checkpoint(path or jobs.Job("digits", method).path())[0].double()
        for path, method in ((args.student, args.method), (args.teacher, "teacher"))
    )
    d = data.load("digits")
    m = theorem.head_start(net_S, net_T, d.y_test)(d.x_test.double()).detach()
    ahead = torch.nonzero(m > 0)[: args.n, 0]
    x, y, m = d.x_test[ahead].double(), d.y_test[ahead], m[ahead]
    h = theorem.head_start(net_S, net_T, y)

    def by_label(function, *rows):
        out = torch.empty_like(m)
        for k in y.unique():
            out[y == k] = function(
                HeadStart(net_S, net_T, int(k)).eval(), *(v[y == k] for v in rows)
            )
        return out

    torch.testing.assert_close(by_label(lambda model, z: model(z)[:, 0].detach(), x), m)
    (flip, z), (boxed, _) = (
        theorem.smallest_flip(h, x, box=box, generator=draws) for box in (False, True)
    )
    R = args.factor * flip
    ascent = theorem.capped_radius(
        m, theorem.estimate_ascent(h, x, R[None], flip=z, generator=draws)[-1], R
    )
    samples = theorem.capped_radius(m, theorem.estimate_sampling(h, x, R, generator=draws), R)
    clock += [time.perf_counter()]
    wide, narrow = (
        by_label(lambda model, z: foolbox_flips(model, z, box), x) for box in ((-10, 10), (0, 1))
    )
    clock += [time.perf_counter()]
    clever = by_label(clever_radii, x, R)
    print(
        "image  y",
        *(f"{s:>9}" for s in "h|our flip|foolbox|boxed|foolbox|R|ascent|samples|CLEVER".split("|")),
    )
    for i, k, *row in zip(
        ahead.tolist(), y.tolist(), m, flip, wide, boxed, narrow, R, ascent, samples, clever
    ):
        print(f"{i:5}  {k}", *(f"{float(v):9.5f}" for v in row))
    for name, r in (
        ("foolbox / our flip", wide / flip),
        ("the same in the box", narrow / boxed),
        ("CLEVER / ascent", clever / ascent),
        ("CLEVER / samples", clever / samples),
        ("ascent / samples", ascent / samples),
        ("ascent / foolbox", ascent / wide),
    ):
        print(
            f"{name:20} median {r.median():.4f}  min {r.min():.4f}  max {r.max():.4f}  above 1.001:"
            f" {int((r > 1.001).sum())} of {len(r)}"
        )
    print(
        "seconds: ours {:.1f}, foolbox {:.1f} (numba compiles in them), CLEVER {:.1f}".format(
            *np.diff([*clock, time.perf_counter()])
        )
    )


if __name__ == "__main__":
    main()
