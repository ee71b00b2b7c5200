"""What a finished network withstands, asked of the Adversarial Robustness Toolbox (extra `test`)
and never of the attack that it was trained on.

Rows have the form of all result rows: perturbation "pgd" (20 steps, three starts), "pgd200" (ten
times the steps, one start) or "autoattack", level epsilon in the units of pixels in [0, 1], unit
"linf"; `n` images, of which `correct` survived every start and every attack.
"""

import contextlib
import math

import numpy as np
import torch
from torch import Tensor, nn

from .. import env, store
from ..checks import images, inside, network, one_of, positive, scores, some, true_class, whole
from ..data import catalogue
from ..geometry.boundary import top_two
from ..networks import door, fast, modules

# (steps, starts) of each kind of attack
EFFORT = {"pgd": (20, 3), "pgd200": (200, 1), "autoattack": (100, 1)}
EPSILONS = (0.05, 0.1, 0.15, 0.2, 0.3)  # but for sets of colours and a reader's own:
COLOUR_EPSILONS = (2 / 255, 4 / 255, 8 / 255, 12 / 255, 16 / 255)
CHUNK = 500  # images at once
FLAT, STEEP = 100.0, 10.0  # leads in logits where cross-entropy's slope in float32 is 0, and not


def plan(dataset: str, epsilon: float | None = None) -> list:
    """Every (perturbation, level, unit) that a data set's networks are attacked at: a grid of
    epsilon and 1, and at the recipe's own epsilon more steps and AutoAttack as a check. With an
    `epsilon` in (0, 1] that one instead of the grid and of the recipe's.
    """
    about = catalogue.about(dataset)
    if not about.space.startswith("pixels"):
        bounded = ", ".join(name for name, one in catalogue.SETS.items() if one.epsilon)
        remedy = f"choose one of: {bounded}, or a folder of pictures"
        raise ValueError(f"dataset={dataset!r} has no bounds of pixels; {remedy}")
    own = about.epsilon or catalogue.COLOUR_EPSILON
    levels = COLOUR_EPSILONS if own == catalogue.COLOUR_EPSILON else EPSILONS
    if epsilon is not None:
        if positive("epsilon", epsilon) > 1:
            raise ValueError(
                f"epsilon={epsilon!r} is more than pixels in [0, 1] can move; give less"
            )
        own, levels = epsilon, (epsilon,)
    grid = [("pgd", e, "linf") for e in dict.fromkeys((*levels, 1.0))]
    return [*grid, ("pgd200", own, "linf"), ("autoattack", own, "linf")]


def _attacks(net, x, classes, kind, epsilon, steps, starts):
    """The attacks of one `kind` on `net` within epsilon, for images like x, in their order."""
    try:
        from art.attacks import evasion
        from art.estimators.classification import PyTorchClassifier
    except ImportError:
        raise ValueError(
            "the library of attacks is not installed here: pip install 'rsnl-lib[test]'"
        ) from None
    about = dict(clip_values=(0.0, 1.0), device_type="gpu" if x.is_cuda else "cpu")
    judge = PyTorchClassifier(net, nn.CrossEntropyLoss(), tuple(x.shape[1:]), classes, **about)
    common = dict(eps=epsilon, max_iter=steps, batch_size=CHUNK, verbose=False)
    climb = dict(common, norm=math.inf, eps_step=0.25 * epsilon)
    if kind != "autoattack":
        return [evasion.ProjectedGradientDescent(judge, **climb, num_random_init=1)] * starts
    climb["nb_random_init"] = starts
    losses = ("cross_entropy", "difference_logits_ratio")
    made = [evasion.AutoProjectedGradientDescent(judge, **climb, loss_type=loss) for loss in losses]
    return [*made, evasion.SquareAttack(judge, **common, nb_restarts=starts)]


class _Divided(nn.Module):
    """A network's logits over a number: the same classes."""

    def __init__(self, net, number):
        super().__init__()
        self.net, self.number = net, number

    def forward(self, x):
        return self.net(x) / self.number


def survives(
    net: nn.Module,
    x: Tensor,
    y: Tensor,
    epsilon: float,
    kind: str = "pgd",
    steps: int | None = None,
    restarts: int | None = None,
    seed: int = 0,
) -> Tensor:
    """(n,) bool: `net` is right about image x (n, c, h, w) in [0, 1] and stays right under every
    attack within epsilon (L-inf). An image is attacked again only while it survives.

    "pgd": projected gradient ascent on cross-entropy, `restarts` uniform starts, steps of epsilon /
    4. "autoattack": APGD on cross-entropy and on the logits' ratio, and Square, 100 steps each
    (arXiv 2003.01690; the original takes more starts, a fourth attack and 5000 queries).

    Cross-entropy is flat in single precision where a class leads by more than 100 logits; the
    attack then climbs that of the logits over a number by which the largest lead is 10.
    """
    usual_steps, usual_starts = EFFORT[one_of("kind", kind, EFFORT)]
    steps = whole("steps", usual_steps if steps is None else steps, 1)
    starts = whole("restarts", usual_starts if restarts is None else restarts, 1)
    epsilon = positive("epsilon", epsilon)
    remedy = "put the normalisation into the network, networks.Normalised(mean, std, net)"
    inside(some(images(x), "attack"), 0.0, 1.0, remedy)
    net = door.unwrapped(network("network", net))
    door.look("network", net, x[:2])
    with torch.random.fork_rng(devices=[]), contextlib.ExitStack() as stack:
        stack.enter_context(modules.standing(net, "eval"))
        stack.enter_context(modules.put_back(list(net.parameters()), "grad"))
        stack.enter_context(door.answering(net))
        with torch.no_grad():
            a = scores("network", torch.cat([net(part) for part in x.split(CHUNK)]))
        alive = a.argmax(1) == true_class(a, y)
        lead = float(top_two(a).max())
        shown = _Divided(net, lead / STEEP) if lead > FLAT else net
        attacks = _attacks(shown, x, a.shape[1], kind, epsilon, steps, starts)
        stack.enter_context(modules.frozen(net))
        stack.enter_context(fast.layers(net))
        stack.callback(np.random.set_state, np.random.get_state())
        np.random.seed(seed)  # the toolbox draws numpy's numbers and torch's
        torch.manual_seed(seed)
        for attack in attacks:
            for pick in filter(len, alive.nonzero()[:, 0].split(CHUNK)):
                moved = attack.generate(x[pick].cpu().numpy(), y[pick].cpu().numpy())
                with torch.no_grad():
                    seen = net(torch.from_numpy(moved).to(x.device))
                alive[pick] = seen.argmax(1) == y[pick]
        return alive


def rows(net: nn.Module, head: dict, x: Tensor, y: Tensor, wanted: list) -> list:
    """Result rows of a network with checkpoint header `head` for the `wanted` part of a plan."""
    run = {k: head.get(k, "") for k in store.RUN_COLUMNS}
    found = []
    for kind, level, unit in env.progress(wanted, desc="attack", leave=False):
        row = {**run, "perturbation": kind, "level": level, "unit": unit, "space": "pixels [0,1]"}
        count = int(survives(net, x, y, level, kind).sum())
        row |= {"draws": EFFORT[kind][1], "n": len(x), "correct": count, **store.provenance()}
        found.append(row)
    return found
