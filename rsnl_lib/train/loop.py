"""Algorithm 1: one loop for every method, with validation, progress, and a resume that changes
nothing.
"""

import contextlib
import copy
import functools
import math
import pathlib
import time
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import checks, env, networks, store
from ..checks import one_of, whole
from ..data import perturb
from ..data.catalogue import Data
from ..env import progress
from ..networks import door, fast, modules
from ..networks.modules import try_on
from . import entry, hints, losses
from .constants import _ask, teacher_constants
from .methods import METHODS, Batch, Method
from .recipes import Recipe, checked, fingerprint, lam_at, optimiser, rate_at
from .resume import lay_run
from .steps import EVERY, Own, RunFile, descend


@torch.no_grad()
def accuracy(net: nn.Module, x: Tensor, y: Tensor, chunk: int = 64) -> float:
    """Share of images whose largest logit is the true class, in evaluation mode."""
    if not len(x) or len(x) != len(y):
        raise ValueError(
            f"{len(x)} images, {len(y)} labels: give at least one image, one label each"
        )
    whole("chunk", chunk, 1)
    door.look("network", net, checks.tensor("images", x)[:2])
    with modules.standing(net, "eval"), door.answering(net):
        pairs = zip(x.split(chunk), y.split(chunk))
        return sum(losses.correct(net(part), truth) for part, truth in pairs).item() / len(x)


class Outcome(NamedTuple):
    """What training leaves."""

    last: nn.Module
    best: nn.Module  # on the validation images
    best_epoch: int
    history: list  # a row per epoch


class Task(NamedTuple):
    """What `fit` trains with."""

    data: Data
    method: str
    how: Method
    r: Recipe
    seed: int
    teacher: nn.Module | None
    x: Tensor  # the training images, then with r.flip their mirror images; y, a_T, g_T as well
    y: Tensor
    a_T: Tensor | None
    g_T: Tensor | None
    student: str  # the layers of the network as they were given, and functions of the user's own
    own: Own


def fit(
    net: nn.Module,
    data: Data,
    method: str,
    r: Recipe,
    seed: int = 0,
    teacher: nn.Module | Sequence[nn.Module] | None = None,
    state: str | pathlib.Path | None = None,
    cache: str | pathlib.Path | None = None,
    quick: bool = True,
    every: float = EVERY,
    own: Own | None = None,
) -> Outcome:
    """Train `net` in place by Algorithm 1; layers in evaluation mode of a network in training mode
    stay so, and at the end all are.

    `teacher` is any nn.Module from images to logits, in evaluation mode; afterwards it is as it
    was. Of several the mean teaches (`networks.Committee`). `state` names a file that is renewed at
    the end of every epoch and every `every` seconds, hint stage included; if it is there, training
    goes on from it and ends as if it had never stopped. `cache` is a folder for the teacher's
    constants. Order of the images and dropout depend on seed and epoch alone. `quick` lets
    `fast.layers` do the convolutions: the same gradients but for rounding; False is PyTorch's own
    step. `own`: your optimiser, schedule, augmentation, loss of labels.
    """
    own = own or Own()
    how = METHODS[one_of("method", method, METHODS)]
    checked(r, method)
    checks.seed("seed", seed)
    if isinstance(teacher, (list, tuple)):
        teacher = networks.Committee(map(door.unwrapped, teacher), r.tau)
    net, teacher = map(door.unwrapped, (net, teacher))
    student = repr(net) + own.told()
    entry.check(net, data, method, how, r, teacher, _hint_epochs(r, how))
    with contextlib.ExitStack() as stack:
        stack.enter_context(door.answering(net, r.bf16))
        stack.enter_context(door.answering(teacher))
        entry.rehearse(net, data, how, r, teacher)
        if not own.rate:
            entry.say_too_short(len(data.x_train), r)
        told = _told(data, method, how, r, seed, teacher, cache, own)
        stack.enter_context(door.twice(how.twice))
        stack.enter_context(modules.dropping(net, r.dropout))
        running = [net]
        if how.live or (how.scores and (r.crop or own.augment)):
            stack.enter_context(modules.frozen(teacher))
            running.append(teacher)
        for network in running if quick else ():
            stack.enter_context(fast.layers(network))
        task = Task(data, method, how, r, seed, teacher, *told, student, own)
        run = _epochs(net, task, state, every)
    best = copy.deepcopy(net.eval())
    best.load_state_dict(run["best"])
    return Outcome(net, best, run["best_epoch"], run["history"])


def _told(data, method, how, r, seed, teacher, cache, own):
    """(x, y, a_T, g_T): the training images, and what the teacher says of them once for all."""
    x, y = data.x_train, data.y_train
    if r.flip:  # the mirrored image of i stands at len(x) + i
        x, y = torch.cat([x, x.flip(-1)]), torch.cat([y, y])
    if not how.scores:
        return x, y, None, None
    if r.crop or own.augment:
        change = f"crop={r.crop}" if r.crop else "augment"
        if how.target:
            raise ValueError(
                f"method={method!r} draws its target once an image, and {change} shows images"
                f" anew each time; {'set crop=0' if r.crop else 'leave it out'}"
            )
        print(f"the teacher is asked live: {change} shows images that no cache holds")
        return x, y, None, None
    a_T, g_T = teacher_constants(teacher, x, y, r.tau, how.gradients, cache)
    return x, y, a_T, how.target(g_T, seed) if how.target else g_T


def _epochs(net, task, path=None, every=EVERY):
    """The hint stage and the epochs of `fit`: {"best": its weights, "best_epoch", "history"}."""
    r, data = task.r, task.data
    step = task.own.optimiser(net) if task.own.optimiser else optimiser(net, r)
    for group in step.param_groups:
        group.setdefault("base", group["lr"])
    epochs = _hint_epochs(r, task.how)
    asked = path and (task.how.scores or epochs)
    answers = try_on("the teacher", task.teacher, data.x_train[:4]).cpu() if asked else None
    state = RunFile(path, _identity(task) if path else (), every, answers)
    held = state.load(next(net.parameters()).device)
    if "net" in held:
        batches = math.ceil(len(data.x_train) / r.batch)
        with state.reading():
            run = lay_run(held, net, step, r.epochs, batches)
    else:
        if epochs:
            at = held.get("hint")
            hints.hint_stage(net, task.teacher, data, r, epochs, task.seed, at, state)
        run = {"best": copy.deepcopy(net.state_dict()), "best_epoch": -1, "history": []}
    inside = held["inside"] if {"net", "inside"} <= held.keys() else None
    history = run["history"]

    def content(**more):
        return {"net": net.state_dict(), "step": step.state_dict(), **run, **more}

    def pause(place):
        state.pause(lambda: content(inside=place()))

    done = len(history)
    bar = progress(range(done, r.epochs), desc=task.method, initial=done, total=r.epochs)
    for epoch in bar:
        row = _epoch(net, step, task, epoch, inside, pause)
        inside = None
        row["val_accuracy"] = accuracy(net, data.x_val, data.y_val)
        history.append(row)
        best = run["best_epoch"]
        if best < 0 or row["val_accuracy"] >= history[best - 1]["val_accuracy"]:
            run.update(best=copy.deepcopy(net.state_dict()), best_epoch=epoch + 1)
        bar.set_postfix({k: f"{v:.3f}" for k, v in row.items() if k != "epoch"})
        state.keep(content())
    return run


def _hint_epochs(r, how):
    """How many epochs the hint stage has: none where there is no such stage."""
    return r.hint_epochs or (max(1, r.epochs // 4) if how.hint else 0)


def _identity(task):
    """What a state file must say to belong to this run; its last word, states of old lack."""
    data, teacher = task.data, task.teacher
    guide = "no teacher"
    if task.how.scores:
        name = store.digest(*door.tensors(teacher), words=repr(teacher))
        guide = f"a teacher {name[:12]}"
    images = f"{len(data.x_train)} images of {data.name}"
    pixels = store.digest(data.x_train, data.y_train)[:12]
    parts = (data.x_train, data.x_val, data.y_val)
    words = f"{[(t.shape, t.dtype) for t in parts]} {task.student}"
    weights = []
    if teacher is not None and _hint_epochs(task.r, task.how):
        weights = door.tensors(teacher)
    more = store.digest(*parts, *weights, words=words)[:12]
    return [
        fingerprint(task.r, task.method),
        task.method,
        f"seed {task.seed}",
        images,
        pixels,
        guide,
        more,
    ]


def _epoch(net, step, task, epoch, inside, pause):
    """One epoch of Algorithm 1, from the place `inside` on: its row. After each batch `pause` is
    called with a function that says where the epoch is.
    """
    how, r, x = task.how, task.r, task.x
    n = len(task.data.x_train)
    steps = math.ceil(n / r.batch) * r.replays
    lam = lam_at(r, epoch)
    # of a CPU its own seconds: what else runs there does not count
    clock = time.perf_counter if x.is_cuda else time.process_time
    networks.training(net, r.frozen_norm)
    with torch.random.fork_rng(devices=[x.device] if x.is_cuda else []):
        torch.manual_seed(task.seed * 100_003 + epoch)
        order = torch.randperm(n)
        order = (order + n * torch.randint(2, (n,)) if r.flip else order).to(x.device)
        at = inside or {"done": 0, "sums": {}, "carry": {}, "took": 0.0}
        if inside:
            env.set_generators(at["generators"], x.device)
        begun = clock() - at["took"]
        sums = at["sums"]

        def place():
            return {**at, "took": clock() - begun, "generators": env.generators(x.device)}

        for pick in order.split(r.batch)[at["done"] :]:
            told = (x, task.y, task.a_T, task.g_T, lam, how, r, task.teacher, task.own)
            batch = _batch(pick, *told)
            batch = batch._replace(share=epoch / r.epochs, carry=at["carry"])
            for again in range(r.replays):  # Algorithm 1, lines 3 and 4
                number = epoch * steps + at["done"] * r.replays + again
                rate = (task.own.rate or functools.partial(rate_at, r))(number, r.epochs * steps)
                for group in step.param_groups:
                    group["lr"] = group["base"] * rate
                with torch.autocast(x.device.type, torch.bfloat16, enabled=r.bf16):
                    terms = how.terms(net, batch, r)  # lines 5 and 6: Eq. 17
                    loss = sum(weight * value for weight, value in terms.values())
                _labels_used(task, batch)
                descend(net, loss, step, net.parameters(), r.clip)  # line 7
                for name, (_, value) in terms.items():
                    sums[name] = sums.get(name, 0) + value.detach() * len(batch.y)
            at["done"] += 1
            pause(place)
    row = {"epoch": epoch + 1, **{name: (v / (n * r.replays)).item() for name, v in sums.items()}}
    if not all(map(math.isfinite, row.values())):
        raise FloatingPointError(
            f"{task.method} diverged in epoch {epoch + 1}: {row}; lower lr, C1 or C2"
        )
    return row | {"ms_per_image": (clock() - begun) / n * 1000}


def _batch(pick, x, y, a_T, g_T, lam, how, r, teacher, own=None):
    """The Batch of the images numbered `pick`, the teacher asked live where they are changed."""
    own = own or Own()
    live = teacher if how.live else None
    x, y = x[pick], y[pick]
    if r.crop or own.augment:
        x = perturb.random_crop(x, r.crop) if r.crop else x
        x = _augmented(x, own.augment) if own.augment else x
        a_T, g_T = _ask(teacher, x, y, r.tau, how.gradients) if how.scores else (None, None)
    else:
        a_T = None if a_T is None else a_T[pick]
        g_T = None if g_T is None else g_T[pick].to(x.dtype)
    hard = _Hard(own.hard) if own.hard else F.cross_entropy
    return Batch(x, y, a_T, g_T, lam, live, hard=hard)


class _Hard:
    """A loss of labels that knows whether it was asked."""

    def __init__(self, loss):
        self.loss = loss
        self.used = False

    def __call__(self, a, y):
        self.used = True
        return self.loss(a, y)


def _labels_used(task, batch):
    """Refuse the user's loss of labels where the method has no such term."""
    if task.own.hard and not batch.hard.used:
        raise ValueError(
            f"method={task.method!r} with these settings never asks for a loss of labels (b.hard);"
            " leave `hard` out of train.Own"
        )


def _augmented(x, augment):
    """What the user's function makes of images x, in their place."""
    z = augment(x)
    if not isinstance(z, Tensor) or (z.shape, z.dtype, z.device) != (x.shape, x.dtype, x.device):
        got = f"{tuple(z.shape)} {z.dtype}" if isinstance(z, Tensor) else type(z).__name__
        raise ValueError(f"augment made {got} of {tuple(x.shape)} {x.dtype}; let it keep both")
    return z.detach()
