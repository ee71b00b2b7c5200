"""What a finished network withstands, asked of the Adversarial Robustness Toolbox (extra `test`)
and never of the attack that it was trained on.

Rows have the form of all result rows: perturbation "pgd" (20 steps, three starts), "pgd200" (ten
times the steps, one start) or "autoattack", level epsilon in the units of pixels in [0, 1], unit
"linf"; `n` images, of which `correct` survived every start and every attack.
"""

import contextlib
import math

import torch

from .. import env, store
from ..checks import images, one_of, positive, true_class, whole
from ..data import catalogue
from ..networks import fast

KINDS = {
    "pgd": dict(steps=20, restarts=3),
    "pgd200": dict(steps=200, restarts=1),
    "autoattack": dict(steps=100, restarts=1),
}
LEVELS = {"cifar10_pixels": (2 / 255, 4 / 255, 8 / 255, 12 / 255, 16 / 255)}  # of epsilon; else
GREY = (0.05, 0.1, 0.15, 0.2, 0.3)


def plan(dataset):
    """Every (perturbation, level, unit) that a data set's networks are attacked at: a grid of
    epsilon, an epsilon without bound, and at the recipe's own epsilon more steps and AutoAttack,
    neither of which may find much more.
    """
    own = catalogue.EPSILON.get(dataset)
    if own is None:
        raise ValueError(
            f"dataset={dataset!r} has no attack here: its images have no bounds; choose one of:"
            f" {', '.join(catalogue.EPSILON)}"
        )
    return [("pgd", e, "linf") for e in (*LEVELS.get(dataset, GREY), 1.0)] + [
        ("pgd200", own, "linf"),
        ("autoattack", own, "linf"),
    ]


@contextlib.contextmanager
def numpy_seed(seed):
    """Within this block numpy's global numbers, which the toolbox draws, are those of `seed`;
    afterwards they go on as before.
    """
    import numpy as np

    before = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(before)


def survives(
    net, x, y, epsilon, kind="pgd", steps=None, restarts=None, step=0.25, seed=0, chunk=500
):
    """(n,) bool: `net` is right about image x (n, c, h, w) in [0, 1] and stays right under every
    attack within epsilon (L-inf).

    "pgd": projected gradient ascent on cross-entropy, `restarts` uniform starts, steps of step *
    epsilon. "autoattack": APGD on cross-entropy and on the logits' ratio, and Square, 100 steps
    each (arXiv 2003.01690; the original takes more starts, a fourth attack and 5000 queries). An
    image is attacked again only while it survives.
    """
    try:
        from art.attacks import evasion
        from art.estimators.classification import PyTorchClassifier
    except ImportError:
        raise ValueError(
            "attacks are measured by a library that is not installed here; install it with: pip"
            " install 'rsnl-lib[test]'"
        ) from None
    how = KINDS[one_of("kind", kind, KINDS)]
    steps, restarts = (
        whole(name, how[name] if value is None else value, 1)
        for name, value in (("steps", steps), ("restarts", restarts))
    )
    epsilon, step, net = positive("epsilon", epsilon), positive("step", step), net.eval()
    if not len(images(x)):
        raise ValueError("there are no images to attack; x is empty")
    with torch.no_grad():
        a = torch.cat([net(part) for part in x.split(chunk)])
    alive = a.argmax(1) == true_class(a, y)
    judge = PyTorchClassifier(
        net,
        torch.nn.CrossEntropyLoss(),
        tuple(x.shape[1:]),
        a.shape[1],
        clip_values=(0.0, 1.0),
        device_type="gpu" if x.is_cuda else "cpu",
    )
    ball = dict(norm=math.inf, eps=epsilon, eps_step=step * epsilon, batch_size=chunk)
    if kind == "autoattack":
        series = [
            evasion.AutoProjectedGradientDescent(
                judge, **ball, max_iter=steps, nb_random_init=restarts, loss_type=t, verbose=False
            )
            for t in ("cross_entropy", "difference_logits_ratio")
        ]
        series.append(
            evasion.SquareAttack(
                judge,
                eps=epsilon,
                max_iter=steps,
                nb_restarts=restarts,
                batch_size=chunk,
                verbose=False,
            )
        )
    else:
        series = [
            evasion.ProjectedGradientDescent(
                judge, **ball, max_iter=steps, num_random_init=1, verbose=False
            )
        ] * restarts
    with numpy_seed(seed), torch.random.fork_rng(devices=[]), fast.layers(net):
        torch.manual_seed(seed)
        for attack in series:
            for pick in filter(len, alive.nonzero()[:, 0].split(chunk)):
                z = torch.from_numpy(
                    attack.generate(x[pick].cpu().numpy(), y[pick].cpu().numpy())
                ).to(x.device)
                with torch.no_grad():
                    alive[pick] = net(z).argmax(1) == y[pick]
    return alive


def rows(net, head, x, y, wanted, seed=0):
    """Result rows of one network, its run told by the header `head` of its checkpoint, for every
    (perturbation, level, unit) of `wanted`.
    """
    run = {k: head.get(k, "") for k in store.RUN_COLUMNS}
    return [
        {
            **run,
            "perturbation": kind,
            "level": level,
            "unit": unit,
            "space": "pixels [0,1]",
            "draws": KINDS[kind]["restarts"],
            "n": len(x),
            "correct": int(survives(net, x, y, level, kind, seed=seed).sum()),
            **store.provenance(),
        }
        for kind, level, unit in env.progress(wanted, desc="attack", leave=False)
    ]
