"""FitNets' first stage (arXiv 1412.6550): the student's middle layer learns the teacher's, before
the distillation proper.
"""

import time

import torch
import torch.nn.functional as F
from torch import nn

from .. import env, networks
from ..checks import one_of, whole
from ..env import progress
from ..networks import modules
from ..networks.modules import guided
from . import losses

HINTS = ("regress", "classify")


def hint_stage(net, teacher, data, r, epochs, seed=0, at=None, keep=None, every=300):
    """FitNets' first stage (arXiv 1412.6550), in place: the student up to its guided layer learns
    the teacher's middle features.

    A maxout regressor maps the student's features to the teacher's shape, for half the squared
    distance to them; with r.hint = "classify" a linear classifier, first trained on the teacher's
    features, must name the class from what the regressor makes of the student's (Sec. V-A).
    Regressor and classifier are thrown away. Returns the last epoch's mean loss. `keep` is called
    with a dict of tensors and numbers every `every` seconds; a stage that is given it as `at` goes
    on from there.
    """
    whole("epochs", epochs, 1), one_of("hint", r.hint, HINTS)
    if teacher.training:
        raise ValueError(
            "the teacher is in training mode; call teacher.eval(), its features must not change"
        )
    seen = {}
    hooks = [
        guided(n, data.x_train[:2]).register_forward_hook(
            lambda m, i, out, who=who: seen.__setitem__(who, out)
        )
        for who, n in (("S", net), ("T", teacher))
    ]
    x, y = data.x_train, data.y_train
    with torch.random.fork_rng(devices=[x.device] if x.is_cuda else []):
        torch.manual_seed(seed * 100_003 + 77)
        try:
            with torch.no_grad():
                (
                    teacher(x[:2]),
                    net.eval()(x[:2]),
                )  # two images must not move the statistics of a batch norm
            S, T = seen["S"], seen["T"]
            regressor = _regressor(S, T).to(x.device)
            probe = nn.Sequential(nn.Flatten(), nn.Linear(T[0].numel(), data.classes)).to(x.device)
            rounds = [(probe, "probe")] * (r.hint == "classify") + [(regressor, r.hint)]
            parts, last, total = (
                {"net": net, "regressor": regressor, "probe": probe},
                time.monotonic(),
                0.0,
            )
            if at:
                for name, part in parts.items():
                    part.load_state_dict(at[name])
            for turn, (part, goal) in enumerate(rounds):
                if at and turn < at["turn"]:
                    continue
                weights = list(part.parameters()) + (
                    list(net.parameters()) if goal != "probe" else []
                )
                step = torch.optim.AdamW(weights, r.lr, weight_decay=r.weight_decay)
                if at:
                    step.load_state_dict(at["step"])
                for epoch in progress(
                    range(at["epoch"] if at else 0, epochs), desc=f"hint: {goal}", leave=False
                ):
                    networks.training(net, r.frozen_norm)
                    total, done = 0.0, 0
                    order = torch.randperm(len(x)) if at is None else at["order"].cpu()
                    if at:
                        total, done = at["total"], at["done"]
                        env.set_generators(at["generators"], x.device)
                        at = None
                    for pick in order.to(x.device).split(r.batch)[done:]:
                        loss = _hint(goal, net, teacher, regressor, probe, seen, x[pick], y[pick])
                        step.zero_grad()
                        loss.backward()
                        if r.clip:
                            torch.nn.utils.clip_grad_norm_(weights, r.clip)
                        step.step()
                        modules.clip_kernels_(net)
                        total, done = total + loss.detach() * len(pick), done + 1
                        if keep and time.monotonic() - last > every:
                            keep(
                                {
                                    "turn": turn,
                                    "epoch": epoch,
                                    "done": done,
                                    "order": order,
                                    "total": total,
                                    "generators": env.generators(x.device),
                                    "step": step.state_dict(),
                                    **{name: module.state_dict() for name, module in parts.items()},
                                }
                            )
                            last = time.monotonic()
        finally:
            for hook in hooks:
                hook.remove()
    return float(total) / len(x)


def _hint(goal, net, teacher, regressor, probe, seen, x, y):
    """The loss of one batch: the teacher's features to be met, or named by a classifier, or the
    classifier's own.
    """
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
        kernel = [max(a - b + 1, 1) for a, b in zip(S.shape[2:], T.shape[2:])]
        fit = (
            nn.AdaptiveAvgPool2d(T.shape[2:])
            if min(S.shape[2] - T.shape[2], S.shape[3] - T.shape[3]) < 0
            else nn.Identity()
        )
        return nn.Sequential(networks.Maxout(nn.Conv2d(S.shape[1], 2 * T.shape[1], kernel)), fit)
    return nn.Sequential(
        nn.Flatten(),
        networks.Maxout(nn.Linear(S[0].numel(), 2 * T[0].numel())),
        nn.Unflatten(1, T.shape[1:]),
    )
