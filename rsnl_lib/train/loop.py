"""Algorithm 1: one loop for every method, with validation, progress, and a resume that changes
nothing.
"""

import contextlib
import copy
import io
import math
import pathlib
import time
from typing import NamedTuple

import torch
from torch import nn

from .. import env, networks, store
from ..checks import one_of, whole
from ..data import perturb
from ..data.catalogue import Data
from ..env import progress
from ..networks import fast, modules
from . import hints, inputs, losses
from .constants import _ask, teacher_constants
from .methods.base import Batch, Method
from .methods.listed import METHODS
from .recipes import Recipe, lam_at, optimiser, rate_at
from .steps import EVERY, Watch, descend


@torch.no_grad()
def accuracy(net: nn.Module, x: torch.Tensor, y: torch.Tensor, chunk: int = 64) -> float:
    """Share of images whose largest logit is the true class, in evaluation mode."""
    if not len(x) or len(x) != len(y):
        raise ValueError(
            f"{len(x)} images and {len(y)} labels make no accuracy; give at least one image, and"
            " one label each"
        )
    with modules.standing(net, "eval"):
        right = sum(
            losses.correct(net(x[i : i + chunk]), y[i : i + chunk])
            for i in range(0, len(x), whole("chunk", chunk, 1))
        )
    return right.item() / len(x)


class Run(NamedTuple):
    """What training leaves: the last network, the one best on the validation images, its epoch, and
    a row per epoch.
    """

    last: nn.Module
    best: nn.Module
    best_epoch: int
    history: list


class Task(NamedTuple):
    """What `fit` trains with; x, y, a_T and g_T hold the training images, followed by their mirror
    images with r.flip.
    """

    data: Data
    method: str
    how: Method
    r: Recipe
    seed: int
    teacher: nn.Module | None
    x: torch.Tensor
    y: torch.Tensor
    a_T: torch.Tensor | None
    g_T: torch.Tensor | None


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
) -> Run:
    """Train `net` in place by Algorithm 1 and return a Run.

    `teacher` is any nn.Module from images to logits, in evaluation mode. `state` names a file that
    is renewed at the end of every epoch and every `every` seconds, hint stage included; if it is
    there, training goes on from it and ends as if it had never stopped. `cache` is a folder for the
    teacher's constants. Order of the images and dropout depend on seed and epoch alone. `quick`
    lets `fast.layers` do the convolutions: the same gradients but for rounding; False is PyTorch's
    own step. A method that asks the teacher at images of its own (`live`) finds it frozen: it takes
    no gradient, and is afterwards as it was.
    """
    how = METHODS[one_of("method", method, METHODS)]
    if not isinstance(r, Recipe):
        raise ValueError(
            f"r={r!r} is no recipe; make one, e.g. train.recipe('short', {data.name!r}, {method!r})"
        )
    whole("seed", seed)
    inputs.check(net, data, method, how, teacher)
    x, y = data.x_train, data.y_train
    if r.flip:  # the mirrored image of i stands at len(x) + i
        x, y = torch.cat([x, x.flip(-1)]), torch.cat([y, y])
    a_T, g_T = _constants(method, how, r, seed, teacher, x, y, cache)
    task = Task(data, method, how, r, seed, teacher, x, y, a_T, g_T)
    with contextlib.ExitStack() as stack:
        stack.enter_context(modules.dropping(net, r.dropout))
        if quick:
            stack.enter_context(fast.layers(net))
        if how.live or how.scores and r.crop:
            stack.enter_context(modules.frozen(teacher))
            stack.enter_context(fast.layers(teacher) if quick else contextlib.nullcontext())
        return _epochs(net, task, state, every)


def _constants(method, how, r, seed, teacher, x, y, cache):
    """(a_T, g_T) for images x with labels y; None for what the method does not need, or asks anew
    for every batch.
    """
    if not how.scores:
        return None, None
    if r.crop:
        print(
            f"the teacher is asked anew for every batch: crop={r.crop} shows images that no cache"
            " holds"
        )
        if how.target:
            raise ValueError(
                f"method={method!r} draws its target once an image, and crop={r.crop} shows images"
                " anew each time; set crop=0"
            )
        return None, None
    a_T, g_T = teacher_constants(teacher, x, y, r.tau, how.gradients, cache)
    return a_T, how.target(g_T, seed) if how.target else g_T


def _epochs(net, task, state=None, every=EVERY):
    """The hint stage and the epochs of `fit`."""
    r, data, method = task.r, task.data, task.method
    step = optimiser(net, r)
    run, inside = None, None
    identity = _identity(task) if state else []
    if state and pathlib.Path(state).is_file():
        run = _resume(state, net, step, identity)
    if run is None or "hint" in run:
        _hints(net, task, state, every, identity, run and run["hint"])
        run = {"best": copy.deepcopy(net.state_dict()), "best_epoch": -1, "history": []}
    else:
        inside = run.pop("inside")
    history = run["history"]
    watch = Watch(every)

    def keep(**more):
        weights = {"net": net.state_dict(), "step": step.state_dict()}
        _write_state(state, {"run": identity, **weights, **run, **more})
        watch.restart()

    def pause(place):
        if state and watch.due():
            keep(inside=place())

    bar = progress(range(len(history), r.epochs), desc=method, initial=len(history), total=r.epochs)
    for epoch in bar:
        row = _epoch(net, step, task, epoch, inside, pause)
        inside = None
        row["val_accuracy"] = accuracy(net, data.x_val, data.y_val)
        history.append(row)
        best = run["best_epoch"]
        if best < 0 or row["val_accuracy"] >= history[best - 1]["val_accuracy"]:
            run.update(best=copy.deepcopy(net.state_dict()), best_epoch=epoch + 1)
        bar.set_postfix({k: f"{v:.3f}" for k, v in row.items() if k != "epoch"})
        if state:
            keep()
    last = net.eval()
    winner = copy.deepcopy(last)
    winner.load_state_dict(run["best"])
    return Run(last, winner.eval(), run["best_epoch"], history)


def _identity(task):
    """What a state file must say to belong to this run."""
    data, teacher = task.data, task.teacher
    guide = "no teacher"
    if task.how.scores:
        name = store.digest(*teacher.state_dict().values(), words=repr(teacher))
        guide = f"a teacher {name[:12]}"
    return [
        repr(task.r),
        task.method,
        f"seed {task.seed}",
        f"{len(data.x_train)} images of {data.name}",
        store.digest(data.x_train, data.y_train)[:12],
        guide,
    ]


def _hints(net, task, state, every, identity, at):
    """The hint stage, if the recipe or the method wants one, from `at` on."""
    r = task.r
    epochs = r.hint_epochs or (max(1, r.epochs // 4) if task.how.hint else 0)
    if not epochs:
        return
    if task.teacher is None:
        raise ValueError(f"hint_epochs={epochs} needs a teacher; pass one, or set hint_epochs=0")
    keep = state and (lambda place: _write_state(state, {"run": identity, "hint": place}))
    hints.hint_stage(net, task.teacher, task.data, r, epochs, task.seed, at, keep, every)


def _epoch(net, step, task, epoch, inside, pause):
    """One epoch of Algorithm 1, from the place `inside` on: its number, the mean of each term and
    the milliseconds an image. `pause` is called after each batch with a function that says where
    the epoch is.
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
        at = {"done": 0, "sums": {}, "carry": {}, "took": 0.0}
        if inside:  # go on within the epoch
            at = inside
            env.set_generators(at["generators"], x.device)
        begun = clock() - at["took"]

        def place():
            return {**at, "took": clock() - begun, "generators": env.generators(x.device)}

        sums = at["sums"]
        more = {"share": epoch / r.epochs, "carry": at["carry"]}
        for pick in order.split(r.batch)[at["done"] :]:
            batch = _batch(pick, x, task.y, task.a_T, task.g_T, lam, how, r, task.teacher)
            batch = batch._replace(**more)
            for again in range(r.replays):  # Algorithm 1, lines 3 and 4
                number = epoch * steps + at["done"] * r.replays + again
                terms = _step(net, step, how, r, batch, rate_at(r, number, r.epochs * steps))
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


def _step(net, step, how, r, batch, rate):
    """One step on a batch, with `rate` times the learning rates: the terms of the loss."""
    with torch.autocast(batch.x.device.type, torch.bfloat16, enabled=r.bf16):
        terms = how.terms(net, batch, r)  # lines 5 and 6: Eq. 17
        loss = sum(weight * value for weight, value in terms.values())
    for group in step.param_groups:
        group["lr"] = group["base"] * rate
    descend(net, loss, step, net.parameters(), r.clip)  # line 7
    return terms


def _batch(pick, x, y, a_T, g_T, lam, how, r, teacher):
    """The Batch of the images numbered `pick`, with the teacher's constants out of the cache, or
    live where images are cropped, and a live method's teacher.
    """
    live = teacher if how.live else None
    x, y = x[pick], y[pick]
    if not r.crop:
        a_T = None if a_T is None else a_T[pick]
        g_T = None if g_T is None else g_T[pick].to(x.dtype)
        return Batch(x, y, a_T, g_T, lam, live)
    seen = perturb.random_crop(x, r.crop)
    a_T, g_T = _ask(teacher, seen, y, r.tau, how.gradients) if how.scores else (None, None)
    return Batch(seen, y, a_T, g_T, lam, live)


def _write_state(state, content):
    raw = io.BytesIO()
    torch.save(content, raw)
    store.write(state, raw.getvalue())


def _resume(state, net, step, identity):
    """What a state file holds, its weights and optimiser taken in; of a run that is still in its
    hint stage under "hint".
    """
    try:
        s = torch.load(state, weights_only=True, map_location=next(net.parameters()).device)
        if s["run"] != identity:
            raise ValueError(
                f"{state} belongs to another run ({', '.join(map(str, s['run'][1:4]))}, its own"
                " teacher and images); delete it or name another file"
            )
        if "hint" in s:
            return s
        net.load_state_dict(s["net"])
        step.load_state_dict(s["step"])
        return {k: s.get(k) for k in ("best", "best_epoch", "history", "inside")}
    except ValueError:
        raise
    except Exception as error:
        raise ValueError(
            f"{state} is damaged and cannot be resumed ({type(error).__name__}); delete it to start"
            " again"
        ) from None
