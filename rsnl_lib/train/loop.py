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

from .. import checks, env, networks, store
from ..checks import one_of, whole
from ..data import perturb
from ..data.catalogue import Data
from ..env import progress
from ..networks import fast, modules
from ..networks.modules import _try
from . import hints, losses
from .constants import EVERY, _ask, teacher_constants
from .methods.base import Batch
from .methods.listed import METHODS
from .recipes import Recipe, lam_at, optimiser, rate_at


@torch.no_grad()
def accuracy(net, x, y, chunk=64):
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

    last: torch.nn.Module
    best: torch.nn.Module
    best_epoch: int
    history: list


def fit(
    net,
    data: Data,
    method: str,
    r: Recipe,
    seed=0,
    teacher=None,
    state=None,
    cache=None,
    quick=True,
    every=EVERY,
):
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
    _check_data(data)
    x, y = data.x_train, data.y_train
    a_T = g_T = None
    if how.scores:
        if teacher is None:
            raise ValueError(
                f"method={method!r} needs a teacher; pass one, e.g. from load_or_train(...,"
                " 'teacher')"
            )
        _check_net("teacher", teacher, data)
    _check_net("network", net, data)
    if how.live and {*map(id, net.parameters())} & {*map(id, teacher.parameters())}:
        raise ValueError(
            "the teacher and the student share weights; give the student a copy of them, e.g."
            " copy.deepcopy(teacher)"
        )
    if r.flip:  # the mirrored image of i stands at len(x) + i
        x, y = torch.cat([x, x.flip(-1)]), torch.cat([y, y])
    if how.scores and r.crop:
        print(
            f"the teacher is asked anew for every batch: crop={r.crop} shows images that no cache"
            " holds"
        )
    elif how.scores:
        a_T, g_T = teacher_constants(teacher, x, y, r.tau, how.gradients, cache)
    if how.target and r.crop:
        raise ValueError(
            f"method={method!r} draws its target once an image, and crop={r.crop} shows images anew"
            " each time; set crop=0"
        )
    if how.target:
        g_T = how.target(g_T, seed)
    with contextlib.ExitStack() as stack:
        stack.enter_context(modules.dropping(net, r.dropout))
        if quick:
            stack.enter_context(fast.layers(net))
        if how.live or how.scores and r.crop:
            stack.enter_context(modules.frozen(teacher))
            stack.enter_context(fast.layers(teacher) if quick else contextlib.nullcontext())
        return _epochs(net, data, how, method, r, seed, teacher, state, x, y, a_T, g_T, every)


def _epochs(net, data, how, method, r, seed, teacher, state, x, y, a_T, g_T, every):
    """The epochs of `fit`: x, y, a_T and g_T hold the images, followed by their mirror images with
    r.flip.
    """
    step, n = optimiser(net, r), len(data.x_train)
    steps = math.ceil(n / r.batch) * r.replays
    hint_epochs = r.hint_epochs or (max(1, r.epochs // 4) if how.hint else 0)
    images = store.digest(data.x_train, data.y_train)[:12] if state else ""
    guide = (
        f"a teacher {store.digest(*teacher.state_dict().values(), words=repr(teacher))[:12]}"
        if state and how.scores
        else "no teacher"
    )
    identity = [repr(r), method, f"seed {seed}", f"{n} images of {data.name}", images, guide]
    at = _resume(state, net, step, identity) if state and pathlib.Path(state).is_file() else None
    if hint_epochs and (at is None or "hint" in at):
        if teacher is None:
            raise ValueError(
                f"hint_epochs={hint_epochs} needs a teacher; pass one, or set hint_epochs=0"
            )
        keep = state and (lambda place: _write_state(state, {"run": identity, "hint": place}))
        hints.hint_stage(net, teacher, data, r, hint_epochs, seed, at and at["hint"], keep, every)
        at = None
    history = at["history"] if at else []
    best, best_epoch = (
        (at["best"], at["best_epoch"]) if at else (copy.deepcopy(net.state_dict()), -1)
    )
    inside, last = (at or {}).get("inside"), time.monotonic()

    def keep(**more):
        return _write_state(
            state,
            {
                "run": identity,
                "net": net.state_dict(),
                "step": step.state_dict(),
                "best": best,
                "best_epoch": best_epoch,
                "history": history,
                **more,
            },
        )

    bar = progress(range(len(history), r.epochs), desc=method, initial=len(history), total=r.epochs)
    for epoch in bar:
        lam, sums, done = lam_at(r, epoch), {}, 0
        more = {"share": epoch / r.epochs, "carry": {}}
        networks.training(net, r.frozen_norm)
        with torch.random.fork_rng(devices=[x.device] if x.is_cuda else []):
            torch.manual_seed(seed * 100_003 + epoch)
            order = torch.randperm(n)
            order = (order + n * torch.randint(2, (n,)) if r.flip else order).to(x.device)
            took = 0.0
            if inside:  # go on within the epoch
                done, sums, more["carry"], took = (
                    inside[k] for k in ("done", "sums", "carry", "took")
                )
                env.set_generators(inside["generators"], x.device)
                inside = None
            clock = (
                time.perf_counter if x.is_cuda else time.process_time
            )  # of a CPU its own seconds: what else runs there does not count
            begun = clock() - took
            for pick in order.split(r.batch)[done:]:
                batch = _batch(pick, x, y, a_T, g_T, lam, how, r, teacher)._replace(**more)
                for again in range(r.replays):  # Algorithm 1, lines 3 and 4
                    with torch.autocast(x.device.type, torch.bfloat16, enabled=r.bf16):
                        terms = how.terms(net, batch, r)  # lines 5 and 6: Eq. 17
                        loss = sum(weight * value for weight, value in terms.values())
                    for group in step.param_groups:
                        group["lr"] = group["base"] * rate_at(
                            r, epoch * steps + done * r.replays + again, r.epochs * steps
                        )
                    step.zero_grad()
                    loss.backward()  # line 7
                    if r.clip:
                        torch.nn.utils.clip_grad_norm_(net.parameters(), r.clip)
                    step.step()
                    modules.clip_kernels_(net)
                    for name, (_, value) in terms.items():
                        sums[name] = sums.get(name, 0) + value.detach() * len(batch.y)
                done += 1
                if state and time.monotonic() - last > every:
                    keep(
                        inside={
                            "done": done,
                            "sums": sums,
                            "carry": more["carry"],
                            "took": clock() - begun,
                            "generators": env.generators(x.device),
                        }
                    )
                    last = time.monotonic()
        row = {
            "epoch": epoch + 1,
            **{name: (v / (n * r.replays)).item() for name, v in sums.items()},
        }
        if not all(map(math.isfinite, row.values())):
            raise FloatingPointError(
                f"{method} diverged in epoch {epoch + 1}: {row}; lower lr, C1 or C2"
            )
        row["ms_per_image"] = (clock() - begun) / n * 1000
        row["val_accuracy"] = accuracy(net, data.x_val, data.y_val)
        history.append(row)
        if best_epoch < 0 or row["val_accuracy"] >= history[best_epoch - 1]["val_accuracy"]:
            best, best_epoch = copy.deepcopy(net.state_dict()), epoch + 1
        bar.set_postfix({k: f"{v:.3f}" for k, v in row.items() if k != "epoch"})
        if state:
            keep()
            last = time.monotonic()
    last = net.eval()
    winner = copy.deepcopy(last)
    winner.load_state_dict(best)
    return Run(last, winner.eval(), best_epoch, history)


def _batch(pick, x, y, a_T, g_T, lam, how, r, teacher):
    """The Batch of the images numbered `pick`, with the teacher's constants out of the cache, or
    live where images are cropped, and a live method's teacher.
    """
    live = teacher if how.live else None
    if not r.crop:
        return Batch(
            x[pick],
            y[pick],
            None if a_T is None else a_T[pick],
            None if g_T is None else g_T[pick].to(x.dtype),
            lam,
            live,
        )
    seen, labels = perturb.random_crop(x[pick], r.crop), y[pick]
    return Batch(
        seen,
        labels,
        *(_ask(teacher, seen, labels, r.tau, how.gradients) if how.scores else (None, None)),
        lam,
        live,
    )


def _check_data(data):
    """Stop before the first step if images, labels and classes do not fit."""
    for part in ("train", "val"):
        x, y = getattr(data, f"x_{part}"), getattr(data, f"y_{part}")
        if not len(checks.images(x)):
            raise ValueError(
                f"{data.name} has no images to"
                f" {'train on' if part == 'train' else 'validate with'}; x_{part} is empty"
            )
        checks.labels(torch.empty(len(x), data.classes), y)
        if int(y.min()) < 0 or int(y.max()) >= data.classes:
            raise ValueError(
                f"labels run from {int(y.min())} to {int(y.max())}; {data.name} has classes 0 to"
                f" {data.classes - 1}"
            )


def _check_net(who, net, data):
    """Stop before the first step if a network does not take the images or does not score the
    classes of `data`.
    """
    x = data.x_train[:2]
    if not isinstance(net, torch.nn.Module):
        raise ValueError(
            f"the {who} is a {type(net).__name__}; give an nn.Module from images to logits"
        )
    got = tuple(_try(f"the {who}", net, x).shape)
    if got != (len(x), data.classes):
        has = f"scores {got[1]} classes" if len(got) == 2 else f"answers {got} to {len(x)} images"
        raise ValueError(
            f"the {who} {has}, {data.name} has {data.classes}; it must give logits (images,"
            " classes)"
        )


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
