"""FitNets' first stage (arXiv 1412.6550): the student's middle layer learns the teacher's, before
the distillation proper.
"""

import contextlib
import functools
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import env, networks
from ..checks import one_of, whole
from ..data.catalogue import Data
from ..env import progress
from ..geometry.steady import stand_in
from ..networks.modules import guided, standing
from . import losses
from .resume import check_place, lay_network, lay_optimiser
from .steps import RunFile, descend

HINTS = ("regress", "classify")


def hint_stage(
    net: nn.Module,
    teacher: nn.Module,
    data: Data,
    r: Any,
    epochs: int,
    seed: int = 0,
    at: dict | None = None,
    state: RunFile | None = None,
) -> float:
    """FitNets' first stage (arXiv 1412.6550), in place: the student up to its guided layer learns
    the teacher's middle features. Returns the last epoch's mean loss.

    A maxout regressor maps the student's features to the teacher's shape, for half the squared
    distance to them; with r.hint = "classify" a linear classifier, first trained on the teacher's
    features, must name the class from what the regressor makes of the student's (Sec. V-A). `state`
    keeps the place under "hint"; a stage that is given it as `at` goes on from there.
    """
    whole("epochs", epochs, 1)
    goals = ("probe", "classify") if one_of("hint", r.hint, HINTS) == "classify" else ("regress",)
    if teacher.training:
        raise ValueError("the teacher is in training mode; call teacher.eval()")
    x = data.x_train
    devices = [x.device] if x.is_cuda else []
    with _guided(net, teacher, x[:2]) as features, torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed * 100_003 + 77)
        parts = _parts(net, teacher, features, data)
        state = state or RunFile()
        if at is not None:
            with state.reading():
                _lay(at, parts, (len(goals), epochs, math.ceil(len(x) / r.batch)), len(x))
        for turn in range(at["turn"] if at else 0, len(goals)):
            loss = functools.partial(_hint, goals[turn], parts, teacher, features)
            place = at or {"turn": turn, "epoch": 0}
            total = _turn(goals[turn], loss, parts, data, r, epochs, place, state)
            at = None
    return float(total) / len(x)


def _lay(at, parts, ends, n):
    """Lay what a state keeps of the stage into its parts; an error where its place is none before
    `ends` (turns, epochs, batches) or its order none of n images.
    """
    for name, part in parts.items():
        lay_network(part, at[name])
    for name, end in zip(("turn", "epoch"), ends):
        if whole(name, at[name]) >= end:
            raise ValueError(f"{name}={at[name]} is not below {end}")
    check_place(at, [at["total"]], ends[2], at["order"].device)
    if "step" not in at or not torch.equal(at["order"].cpu().sort().values, torch.arange(n)):
        raise ValueError("it lacks its optimiser, or an order of the images")


@contextlib.contextmanager
def _guided(net, teacher, x):
    """A function (network, images) -> what its guided layer gives; images x show the way there."""
    seen = {}
    layers = {n: guided(n, x) for n in (net, teacher)}

    def note(layer, inputs, out):
        seen[layer] = _as_map(out) if isinstance(layer, nn.Linear) else out

    def features(network, images):
        network(images)
        return seen[layers[network]]

    with layers[net].register_forward_hook(note), layers[teacher].register_forward_hook(note):
        yield features


def reaches(net: nn.Module, teacher: nn.Module, x: Tensor) -> None:
    """Refuse two networks that have no hint for one another at images x, or a student none of whose
    weights the hint would reach.
    """
    net = stand_in(net)
    with _guided(net, teacher, x) as features, standing(net, "eval"), torch.enable_grad():
        if not features(net, x.clone()).requires_grad:
            raise ValueError(
                "the hint reaches no weight of the network: none before the layer that takes it is"
                " trained; call net.requires_grad_(), give checkpoint use_reentrant=False, or"
                " choose a method without a hint"
            )


def _as_map(out):
    """What a dense layer gives as a map (n, d, h, w): channels that came last are put first; tokens
    (n, t, d) of a square lie side by side, a class token before them is left out.
    """
    if out.dim() == 3:
        side = math.isqrt(out.shape[1])
        if out.shape[1] - side**2 not in (0, 1):
            return out
        out = out[:, -(side**2) :].unflatten(1, (side, side))
    return out.permute(0, 3, 1, 2) if out.dim() == 4 else out


@torch.no_grad()
def _parts(net, teacher, features, data):
    """The student, a regressor from its features to the teacher's, and a classifier of those."""
    x = data.x_train[:2]
    with standing(net, "eval"):  # two images must not move the statistics of a batch norm
        S = features(net, x)
    T = features(teacher, x)
    regressor = _regressor(S, T).to(S)
    probe = nn.Sequential(nn.Flatten(), nn.Linear(T[0].numel(), data.classes)).to(T)
    return {"net": net, "regressor": regressor, "probe": probe}


def _turn(goal, loss, parts, data, r, epochs, at, state):
    """The epochs for one goal, from the place `at` on: the last epoch's summed loss."""
    net, x, y = parts["net"], data.x_train, data.y_train
    weights = list(parts["probe" if goal == "probe" else "regressor"].parameters())
    if goal != "probe":
        weights += net.parameters()
    step = torch.optim.AdamW(weights, r.lr, weight_decay=r.weight_decay)
    here = {k: at[k] for k in ("turn", "epoch", "done", "total", "order") if k in at}

    def content():
        own = {name: part.state_dict() for name, part in parts.items()}
        own |= {"step": step.state_dict(), "generators": env.generators(x.device)}
        return {"hint": here | own}

    for epoch in progress(range(here["epoch"], epochs), desc=f"hint: {goal}", leave=False):
        networks.training(net, r.frozen_norm)
        if "step" in at:
            with state.reading():
                lay_optimiser(step, at["step"])
            env.set_generators(at["generators"], x.device)
            at = {}
        else:
            here |= {"epoch": epoch, "done": 0, "total": 0.0, "order": torch.randperm(len(x))}
        for pick in here["order"].to(x.device).split(r.batch)[here["done"] :]:
            value = loss(x[pick], y[pick])
            descend(net, value, step, weights, r.clip)
            here["total"] = here["total"] + value.detach() * len(pick)
            here["done"] += 1
            state.pause(content)
    return here["total"]


def _hint(goal, parts, teacher, features, x, y):
    """The loss of a batch: the teacher's features to be met, or named by a classifier, or the
    student's to be named by it.
    """
    net, regressor, probe = parts.values()
    if goal == "classify":
        return F.cross_entropy(probe(regressor(features(net, x))), y)
    with torch.no_grad():
        hint = features(teacher, x)
    if goal == "probe":
        return F.cross_entropy(probe(hint), y)
    return losses.hint_loss(regressor(features(net, x)), hint)


def _regressor(S, T):
    """A maxout layer from student features S to the shape of teacher features T, a valid
    convolution where both are maps (n, c, h, w).
    """
    if S.dim() == T.dim() == 4:
        spare = [a - b for a, b in zip(S.shape[2:], T.shape[2:])]
        kernel = [max(places + 1, 1) for places in spare]
        fit = nn.AdaptiveAvgPool2d(T.shape[2:]) if min(spare) < 0 else nn.Identity()
        return nn.Sequential(networks.Maxout(nn.Conv2d(S.shape[1], 2 * T.shape[1], kernel)), fit)
    layer = networks.Maxout(nn.Linear(S[0].numel(), 2 * T[0].numel()))
    return nn.Sequential(nn.Flatten(), layer, nn.Unflatten(1, T.shape[1:]))
