"""FitNets' first stage (arXiv 1412.6550): the student's middle layer learns the teacher's, before
the distillation proper.
"""

import contextlib
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from .. import env, networks
from ..checks import one_of, whole
from ..data.catalogue import Data
from ..env import progress
from ..networks.modules import guided
from . import losses
from .steps import EVERY, Watch, descend

HINTS = ("regress", "classify")


def hint_stage(
    net: nn.Module,
    teacher: nn.Module,
    data: Data,
    r,
    epochs: int,
    seed: int = 0,
    at: dict | None = None,
    keep: Callable | None = None,
    every: float = EVERY,
) -> float:
    """FitNets' first stage (arXiv 1412.6550), in place: the student up to its guided layer learns
    the teacher's middle features.

    A maxout regressor maps the student's features to the teacher's shape, for half the squared
    distance to them; with r.hint = "classify" a linear classifier, first trained on the teacher's
    features, must name the class from what the regressor makes of the student's (Sec. V-A).
    Regressor and classifier are thrown away. Returns the last epoch's mean loss. `keep` is called
    with a dict of tensors and numbers every `every` seconds; a stage that is given it as `at` goes
    on from there.
    """
    whole("epochs", epochs, 1)
    one_of("hint", r.hint, HINTS)
    if teacher.training:
        raise ValueError(
            "the teacher is in training mode; call teacher.eval(), its features must not change"
        )
    x = data.x_train
    watch = Watch(every)
    devices = [x.device] if x.is_cuda else []
    with _features(net, teacher, x[:2]) as seen, torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed * 100_003 + 77)
        parts = _parts(net, teacher, seen, data)
        for name, part in parts.items() if at else ():
            part.load_state_dict(at[name])
        goals = ("probe", "classify") if r.hint == "classify" else ("regress",)
        for turn, goal in enumerate(goals):
            if at and turn < at["turn"]:
                continue

            def pause(place):
                if keep and watch.due():
                    weights = {name: part.state_dict() for name, part in parts.items()}
                    keep({"turn": turn, **place(), **weights})
                    watch.restart()

            total = _turn(goal, parts, teacher, seen, data, r, epochs, at, pause)
            at = None
    return float(total) / len(x)


@contextlib.contextmanager
def _features(net, teacher, x):
    """A dict that holds under "S" and "T" what the guided layers of student and teacher gave last;
    a few images x show the way through them.
    """
    seen = {}
    hooks = []
    try:
        for who, n in (("S", net), ("T", teacher)):

            def note(m, i, out, who=who):
                seen[who] = out

            hooks.append(guided(n, x).register_forward_hook(note))
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def _parts(net, teacher, seen, data):
    """The student, a regressor from its features to the teacher's, and a classifier of those."""
    x = data.x_train[:2]
    with torch.no_grad():
        teacher(x)
        net.eval()(x)  # two images must not move the statistics of a batch norm
    S, T = seen["S"], seen["T"]
    regressor = _regressor(S, T).to(x.device)
    probe = nn.Sequential(nn.Flatten(), nn.Linear(T[0].numel(), data.classes)).to(x.device)
    return {"net": net, "regressor": regressor, "probe": probe}


def _turn(goal, parts, teacher, seen, data, r, epochs, at, pause):
    """The epochs for one goal, from `at` on: the last epoch's summed loss. `pause` is called after
    each step with a function that says where the turn is.
    """
    net, x, y = parts["net"], data.x_train, data.y_train
    weights = list(parts["probe" if goal == "probe" else "regressor"].parameters())
    if goal != "probe":
        weights += net.parameters()
    step = torch.optim.AdamW(weights, r.lr, weight_decay=r.weight_decay)
    if at:
        step.load_state_dict(at["step"])
    numbers = range(at["epoch"] if at else 0, epochs)
    for epoch in progress(numbers, desc=f"hint: {goal}", leave=False):
        networks.training(net, r.frozen_norm)
        if at:
            total, done = at["total"], at["done"]
            order = at["order"].cpu()
            env.set_generators(at["generators"], x.device)
            at = None
        else:
            total, done = 0.0, 0
            order = torch.randperm(len(x))
        for pick in order.to(x.device).split(r.batch)[done:]:
            loss = _hint(goal, parts, teacher, seen, x[pick], y[pick])
            descend(net, loss, step, weights, r.clip)
            total = total + loss.detach() * len(pick)
            done += 1
            pause(
                lambda: {
                    "epoch": epoch,
                    "done": done,
                    "order": order,
                    "total": total,
                    "generators": env.generators(x.device),
                    "step": step.state_dict(),
                }
            )
    return total


def _hint(goal, parts, teacher, seen, x, y):
    """The loss of one batch: the teacher's features to be met, or named by a classifier, or the
    classifier's own.
    """
    net, regressor, probe = parts.values()
    if goal == "classify":
        net(x)
        return F.cross_entropy(probe(regressor(seen["S"])), y)
    with torch.no_grad():
        teacher(x)
    hint = seen["T"]
    if goal == "probe":
        return F.cross_entropy(probe(hint), y)
    net(x)
    return losses.hint_loss(regressor(seen["S"]), hint)


def _regressor(S, T):
    """A maxout layer from student features S to the shape of teacher features T, a valid
    convolution where both are maps (n, c, h, w).
    """
    if S.dim() == T.dim() == 4:
        spare = [a - b for a, b in zip(S.shape[2:], T.shape[2:])]
        kernel = [max(places + 1, 1) for places in spare]
        fit = nn.AdaptiveAvgPool2d(T.shape[2:]) if min(spare) < 0 else nn.Identity()
        return nn.Sequential(networks.Maxout(nn.Conv2d(S.shape[1], 2 * T.shape[1], kernel)), fit)
    return nn.Sequential(
        nn.Flatten(),
        networks.Maxout(nn.Linear(S[0].numel(), 2 * T[0].numel())),
        nn.Unflatten(1, T.shape[1:]),
    )
