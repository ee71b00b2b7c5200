"""Algorithm 1: one loop for every method, with validation, progress, and a resume that changes
nothing.
"""

import contextlib
import copy
import math
import pathlib
import time
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .. import checks, env, networks, store
from ..checks import one_of, whole
from ..data import perturb
from ..data.catalogue import Data, in_space
from ..env import progress
from ..networks import fast, modules
from ..networks.modules import try_on
from . import hints, losses
from .constants import _ask, teacher_constants
from .methods import METHODS, Batch, Method
from .recipes import Recipe, checked, fingerprint, lam_at, optimiser, rate_at
from .resume import lay_run
from .steps import EVERY, RunFile, descend


@torch.no_grad()
def accuracy(net: nn.Module, x: Tensor, y: Tensor, chunk: int = 64) -> float:
    """Share of images whose largest logit is the true class, in evaluation mode."""
    if not len(x) or len(x) != len(y):
        raise ValueError(
            f"{len(x)} images, {len(y)} labels: give at least one image, one label each"
        )
    whole("chunk", chunk, 1)
    with modules.standing(net, "eval"):
        pairs = zip(checks.tensor("images", x).split(chunk), y.split(chunk))
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
    student: str  # the layers of the network as they were given


def fit(
    net: nn.Module,
    data: Data,
    method: str,
    r: Recipe,
    seed: int = 0,
    teacher: nn.Module | None = None,
    state: str | pathlib.Path | None = None,
    cache: str | pathlib.Path | None = None,
    quick: bool = True,
    every: float = EVERY,
) -> Outcome:
    """Train `net` in place by Algorithm 1.

    `teacher` is any nn.Module from images to logits, in evaluation mode; afterwards it is as it
    was. `state` names a file that is renewed at the end of every epoch and every `every` seconds,
    hint stage included; if it is there, training goes on from it and ends as if it had never
    stopped. `cache` is a folder for the teacher's constants. Order of the images and dropout depend
    on seed and epoch alone. `quick` lets `fast.layers` do the convolutions: the same gradients but
    for rounding; False is PyTorch's own step.
    """
    how = METHODS[one_of("method", method, METHODS)]
    checked(r, method)
    checks.seed("seed", seed)
    student = repr(net)
    _check_inputs(net, data, method, how, teacher, _hint_epochs(r, how))
    x, y = data.x_train, data.y_train
    if r.flip:  # the mirrored image of i stands at len(x) + i
        x, y = torch.cat([x, x.flip(-1)]), torch.cat([y, y])
    a_T, g_T = None, None
    if how.scores and r.crop:
        if how.target:
            raise ValueError(
                f"method={method!r} draws its target once an image, and crop={r.crop} shows images"
                " anew each time; set crop=0"
            )
        print(f"the teacher is asked live: crop={r.crop} shows images that no cache holds")
    elif how.scores:
        a_T, g_T = teacher_constants(teacher, x, y, r.tau, how.gradients, cache)
        g_T = how.target(g_T, seed) if how.target else g_T
    with contextlib.ExitStack() as stack:
        stack.enter_context(modules.dropping(net, r.dropout))
        running = [net]
        if how.live or (how.scores and r.crop):
            stack.enter_context(modules.frozen(teacher))
            running.append(teacher)
        for network in running if quick else ():
            stack.enter_context(fast.layers(network))
        task = Task(data, method, how, r, seed, teacher, x, y, a_T, g_T, student)
        return _epochs(net, task, state, every)


def _epochs(net, task, path=None, every=EVERY):
    """The hint stage and the epochs of `fit`."""
    r, data = task.r, task.data
    step = optimiser(net, r)
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
    winner = copy.deepcopy(net.eval())
    winner.load_state_dict(run["best"])
    return Outcome(net, winner, run["best_epoch"], history)


def _hint_epochs(r, how):
    """How many epochs the hint stage has: none where there is no such stage."""
    return r.hint_epochs or (max(1, r.epochs // 4) if how.hint else 0)


def _identity(task):
    """What a state file must say to belong to this run; its last word, states of old lack."""
    data, teacher = task.data, task.teacher
    guide = "no teacher"
    if task.how.scores:
        name = store.digest(*teacher.state_dict().values(), words=repr(teacher))
        guide = f"a teacher {name[:12]}"
    images = f"{len(data.x_train)} images of {data.name}"
    pixels = store.digest(data.x_train, data.y_train)[:12]
    parts = (data.x_train, data.x_val, data.y_val)
    words = f"{[(t.shape, t.dtype) for t in parts]} {task.student}"
    weights = []
    if teacher is not None and _hint_epochs(task.r, task.how):
        weights = teacher.state_dict().values()
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
            batch = _batch(pick, x, task.y, task.a_T, task.g_T, lam, how, r, task.teacher)
            batch = batch._replace(share=epoch / r.epochs, carry=at["carry"])
            for again in range(r.replays):  # Algorithm 1, lines 3 and 4
                number = epoch * steps + at["done"] * r.replays + again
                rate = rate_at(r, number, r.epochs * steps)
                for group in step.param_groups:
                    group["lr"] = group["base"] * rate
                with torch.autocast(x.device.type, torch.bfloat16, enabled=r.bf16):
                    terms = how.terms(net, batch, r)  # lines 5 and 6: Eq. 17
                    loss = sum(weight * value for weight, value in terms.values())
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


def _batch(pick, x, y, a_T, g_T, lam, how, r, teacher):
    """The Batch of the images numbered `pick`, the teacher asked live where they are cropped."""
    live = teacher if how.live else None
    x, y = x[pick], y[pick]
    if r.crop:
        x = perturb.random_crop(x, r.crop)
        a_T, g_T = _ask(teacher, x, y, r.tau, how.gradients) if how.scores else (None, None)
    else:
        a_T = None if a_T is None else a_T[pick]
        g_T = None if g_T is None else g_T[pick].to(x.dtype)
    return Batch(x, y, a_T, g_T, lam, live)


def _check_inputs(net, data, method, how, teacher, hint_epochs):
    """Stop before the first step if images, student and teacher do not fit."""
    if not isinstance(data, Data):
        raise ValueError(f"data are a {type(data).__name__}; give what data.load makes")
    for part, use in (("train", "train on"), ("val", "validate with")):
        x, y = getattr(data, f"x_{part}"), getattr(data, f"y_{part}")
        if not len(checks.images(x)):
            raise ValueError(f"{data.name} has no images to {use}; x_{part} is empty")
        checks.labels(torch.empty(len(x), data.classes), y)
        low, high = map(int, y.aminmax())
        if low < 0 or high >= data.classes:
            raise ValueError(
                f"labels run from {low} to {high}; {data.name} has classes 0 to {data.classes - 1}"
            )
    in_space(data)
    if how.scores and teacher is None:
        raise ValueError(
            f"method={method!r} needs a teacher; pass one, such as store.load_checkpoint(FILE)[0]"
        )
    if hint_epochs and teacher is None:
        raise ValueError(f"hint_epochs={hint_epochs} needs a teacher; pass one, or set it to 0")
    asked = bool(how.scores or hint_epochs)
    if asked and isinstance(teacher, nn.Module) and teacher.training:
        raise ValueError("the teacher is in training mode; call teacher.eval()")
    x = data.x_train[:2]
    for who, n in [("teacher", teacher)] * asked + [("network", net)]:
        a = try_on(f"the {who}", checks.module(who, n), x)
        checks.network(who, n)
        got = tuple(a.shape)
        if got != (len(x), data.classes) and (how.scores or n is net):
            has = f"scores {got[1]} classes" if len(got) == 2 else f"answers {got} to two images"
            raise ValueError(
                f"the {who} {has}, {data.name} has {data.classes}; it must give logits (n, classes)"
            )
        checks.scores(who, a)
    own, seen = ((t[0].shape, t.dtype) for t in (data.x_train, data.x_val))
    if own != seen:
        given = " and ".join(f"{tuple(shape)} {dtype}" for shape, dtype in (own, seen))
        raise ValueError(f"training and validation images {given} must be of one size and dtype")
    if how.live and {*net.parameters()} & {*teacher.parameters()}:
        raise ValueError(
            "the teacher and the student share weights; give the student a copy (copy.deepcopy)"
        )
