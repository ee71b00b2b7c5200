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


def plan(dataset: str) -> list:
    """Every (perturbation, level, unit) that a data set's networks are attacked at: a grid of
    epsilon, an epsilon without bound, and at the recipe's own epsilon more steps and AutoAttack,
    neither of which may find much more.
    """
    own = catalogue.about(dataset).epsilon
    if own is None:
        bounded = [name for name, one in catalogue.SETS.items() if one.epsilon]
        raise ValueError(
            f"dataset={dataset!r} has no attack here: its images have no bounds; choose one of:"
            f" {', '.join(bounded)}"
        )
    grid = [("pgd", e, "linf") for e in (*LEVELS.get(dataset, GREY), 1.0)]
    return [*grid, ("pgd200", own, "linf"), ("autoattack", own, "linf")]


@contextlib.contextmanager
def numpy_seed(seed: int):
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


def _classifier(net, x, classes):
    """The network as the toolbox wants it, for images like x (n, c, h, w) in [0, 1]."""
    try:
        from art.estimators.classification import PyTorchClassifier
    except ImportError:
        raise ValueError(
            "attacks are measured by a library that is not installed here; install it with: pip"
            " install 'rsnl-lib[test]'"
        ) from None
    where = "gpu" if x.is_cuda else "cpu"
    loss = torch.nn.CrossEntropyLoss()
    shape = tuple(x.shape[1:])
    return PyTorchClassifier(net, loss, shape, classes, clip_values=(0.0, 1.0), device_type=where)


def _attacks(judge, kind, epsilon, step, steps, restarts, chunk):
    """The attacks of one `kind` within epsilon, in their order."""
    from art.attacks import evasion

    common = {"eps": epsilon, "max_iter": steps, "batch_size": chunk, "verbose": False}
    climb = {**common, "norm": math.inf, "eps_step": step * epsilon}
    if kind != "autoattack":
        return [evasion.ProjectedGradientDescent(judge, **climb, num_random_init=1)] * restarts
    made = [
        evasion.AutoProjectedGradientDescent(
            judge, **climb, nb_random_init=restarts, loss_type=loss
        )
        for loss in ("cross_entropy", "difference_logits_ratio")
    ]
    return [*made, evasion.SquareAttack(judge, **common, nb_restarts=restarts)]


def survives(
    net: torch.nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    epsilon: float,
    kind: str = "pgd",
    steps: int | None = None,
    restarts: int | None = None,
    step: float = 0.25,
    seed: int = 0,
    chunk: int = 500,
) -> torch.Tensor:
    """(n,) bool: `net` is right about image x (n, c, h, w) in [0, 1] and stays right under every
    attack within epsilon (L-inf).

    "pgd": projected gradient ascent on cross-entropy, `restarts` uniform starts, steps of step *
    epsilon. "autoattack": APGD on cross-entropy and on the logits' ratio, and Square, 100 steps
    each (arXiv 2003.01690; the original takes more starts, a fourth attack and 5000 queries). An
    image is attacked again only while it survives.
    """
    how = KINDS[one_of("kind", kind, KINDS)]
    steps = whole("steps", how["steps"] if steps is None else steps, 1)
    restarts = whole("restarts", how["restarts"] if restarts is None else restarts, 1)
    epsilon = positive("epsilon", epsilon)
    step = positive("step", step)
    if not len(images(x)):
        raise ValueError("there are no images to attack; x is empty")
    net.eval()
    with torch.no_grad():
        a = torch.cat([net(part) for part in x.split(chunk)])
    alive = a.argmax(1) == true_class(a, y)
    judge = _classifier(net, x, a.shape[1])
    series = _attacks(judge, kind, epsilon, step, steps, restarts, chunk)
    with numpy_seed(seed), torch.random.fork_rng(devices=[]), fast.layers(net):
        torch.manual_seed(seed)
        for attack in series:
            for pick in filter(len, alive.nonzero()[:, 0].split(chunk)):
                moved = attack.generate(x[pick].cpu().numpy(), y[pick].cpu().numpy())
                with torch.no_grad():
                    seen = net(torch.from_numpy(moved).to(x.device))
                alive[pick] = seen.argmax(1) == y[pick]
    return alive


def rows(net: torch.nn.Module, head: dict, x, y, wanted: list, seed: int = 0) -> list:
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
