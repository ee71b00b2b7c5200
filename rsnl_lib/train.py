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
from safetensors import SafetensorError, safe_open

from . import attacks, fast, hints, losses, networks, perturb, settings, store
from .data import Data, load
from .methods import METHODS, Batch
from .recipes import Recipe, lam_at, optimiser, rate_at, recipe
from .settings import CHECKPOINTS, PROFILES, data_folder, one_of, progress, whole

STEMS = {
    "usps": "mnist",
    "usps_resized": "mnist",
    "cifar10": "cifar",
    "cifar10_pixels": "cifar",
    "cifar100": "cifar",
}  # whose networks a data set takes


EVERY = 300  # seconds between two states that a run keeps of itself, wherever it is


def teacher_constants(teacher, x, y, tau, gradients, folder=None, chunk=64, every=EVERY):
    """(a_T, g_T): the teacher's logits (n, k) and input gradients (n, c, h, w), once for all
    epochs; of float32 images the gradients in half precision.

    `gradients` says of what: "tempered" (f_T at tau, Eq. 16), "logit", "probability", or "" for
    none. With `folder` the answer is kept in a file named by a hash of layers, weights, images,
    labels and tau; until it is whole, pieces of it are, one every `every` seconds, and another call
    goes on after the last.
    """
    if teacher.training:
        raise ValueError(
            "the teacher is in training mode; call teacher.eval(), its scores must not change"
        )
    if not len(perturb.images(x)):
        raise ValueError("there are no images for the teacher; x is empty")
    name = store.digest(*teacher.state_dict().values(), x, y, words=f"{tau} {gradients} {teacher}")[
        :16
    ]
    path = folder and pathlib.Path(folder) / f"teacher-{name}.safetensors"
    if path and (kept := _kept(path, gradients, x.device)):
        return kept
    a, g, half = [], [], torch.half if x.dtype == torch.float else x.dtype
    pieces, begun, last, done = [], 0, time.monotonic(), 0
    while path and (
        kept := _kept(piece := path.with_stem(f"{path.stem}.from-{done}"), gradients, x.device)
    ):
        a.append(kept[0]), g.append(kept[1]), pieces.append(piece)
        begun = done = done + len(kept[0])
    with attacks.frozen(teacher), fast.layers(teacher):
        for i in progress(
            range(done, len(x), whole("chunk", chunk, 1)), desc="teacher", leave=False
        ):
            logits, grad = _ask(teacher, x[i : i + chunk], y[i : i + chunk], tau, gradients)
            a.append(logits)
            g.append(grad.to(half).contiguous() if gradients else grad)
            done += len(logits)
            if path and time.monotonic() - last > every and done < len(x):
                pieces.append(path.with_stem(f"{path.stem}.from-{begun}"))
                new = len(pieces) - 1  # one entry a piece from here on
                a[new:], g[new:] = [torch.cat(a[new:])], [torch.cat(g[new:]) if gradients else None]
                _keep_constants(pieces[-1], a[-1], g[-1])
                begun, last = done, time.monotonic()
    a, g = torch.cat(a), torch.cat(g) if gradients else None
    losses.true_class(a, y)
    if not a.isfinite().all():
        raise ValueError(
            "the teacher's logits hold NaN or infinite values; train it again, or give another"
        )
    if a.min() >= 0 and (a.sum(1) - 1).abs().max() < 1e-3:
        raise ValueError(
            "the teacher's answers are probabilities (each row sums to 1, the first is"
            f" {[round(v, 3) for v in a[0].tolist()[:3]]}...); it must give logits: leave its"
            " softmax out"
        )
    if path:
        _keep_constants(path, a, g)
        for piece in pieces:
            piece.unlink(missing_ok=True)
    return a, g


def _keep_constants(path, a, g):
    store.write(path, {"a": a.cpu(), **({} if g is None else {"g": g.cpu()})})


def _kept(path, gradients, device):
    """(a, g) out of a file of the teacher's constants, g None without `gradients`; None where there
    is no whole file.
    """
    if not path.is_file():
        return None
    try:
        with safe_open(path, "pt", device=str(device)) as f:
            return f.get_tensor("a"), f.get_tensor("g") if gradients else None
    except SafetensorError:
        path.unlink()  # damaged: compute it again
        return None


def _ask(teacher, x, y, tau, gradients):
    """(a_T, g_T or None): what `teacher_constants` keeps, of one batch."""
    if gradients:
        a, g = losses.input_gradient(teacher, x, y, tau, space=gradients)
        return a.detach(), g
    with torch.no_grad():
        return teacher(x), None


@torch.no_grad()
def accuracy(net, x, y, chunk=64):
    """Share of images whose largest logit is the true class, in evaluation mode."""
    if not len(x) or len(x) != len(y):
        raise ValueError(
            f"{len(x)} images and {len(y)} labels make no accuracy; give at least one image, and"
            " one label each"
        )
    mode = net.training
    net.eval()
    right = sum(
        losses.correct(net(x[i : i + chunk]), y[i : i + chunk])
        for i in range(0, len(x), whole("chunk", chunk, 1))
    )
    net.train(mode)
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
        stack.enter_context(networks.dropping(net, r.dropout))
        if quick:
            stack.enter_context(fast.layers(net))
        if how.live or how.scores and r.crop:
            stack.enter_context(attacks.frozen(teacher))
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
                settings.set_generators(inside["generators"], x.device)
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
                    networks.clip_kernels_(net)
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
                            "generators": settings.generators(x.device),
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
        if not len(perturb.images(x)):
            raise ValueError(
                f"{data.name} has no images to"
                f" {'train on' if part == 'train' else 'validate with'}; x_{part} is empty"
            )
        losses.labels(torch.empty(len(x), data.classes), y)
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


@torch.no_grad()
def _try(who, net, x):
    """net(x) in evaluation mode, which changes nothing; an error in words if it does not take such
    images.
    """
    mode = [(m, m.training) for m in net.modules()]
    try:
        with torch.random.fork_rng(devices=[x.device] if x.is_cuda else []):
            return net.eval()(x)
    except RuntimeError as error:
        raise ValueError(
            f"{who} does not take images of shape {tuple(x.shape[1:])} ({error}); "
            "give a network made for them"
        ) from None
    finally:
        for m, training in mode:
            m.training = training


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


def start(name, data, seed=0, init="lsuv"):
    """A network by name at its start, the same for every method of a seed: LSUV on 500 training
    images, or the papers' U(+-0.005).
    """
    one_of("init", init, ("lsuv", "uniform"))
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = networks.build(name, data.classes).to(data.x_train.device)
    _try(name, net, data.x_train[:2])
    return (
        networks.uniform_(net, generator)
        if init == "uniform"
        else networks.lsuv_(net, data.x_train[:500], generator)
    )


def network_for(dataset, method):
    """The name of the network a method trains on a data set: mnist_teacher, mnist_student, ...; on
    CIFAR Student 4.
    """
    stem = STEMS.get(dataset, dataset)
    if method == "teacher":
        return f"{stem}_teacher"
    return "cifar_student4" if stem == "cifar" else f"{stem}_student"


def checkpoint_path(dataset, method, seed=0, network=None, recipe="short", folder=CHECKPOINTS):
    """Where a checkpoint lies: folder/network-method-recipe-seed.safetensors, the data set before
    it if the network's name is not its own.
    """
    network = network or network_for(dataset, method)
    own = "" if network.startswith(dataset) else f"{pathlib.Path(dataset).name}-"
    return pathlib.Path(folder) / f"{own}{network}-{method}-{recipe}-s{seed}.safetensors"


def load_or_train(
    dataset,
    method,
    seed=0,
    profile="read",
    data=None,
    teacher=None,
    network=None,
    plan="short",
    by="",
    **changes,
):
    """The network a chapter asks for, and one printed line that says where it is from.

    read: the shipped checkpoint. smoke: really trained, 4 epochs on at most 512 images. full:
    trained by the recipe called `plan` (resumable, under the data folder). `by` is how its teacher
    was trained where that was not on labels alone, such as "pgd_at". `changes` are recipe settings,
    such as epochs or C1.
    """
    one_of("profile", profile, PROFILES)
    one_of("method", method, METHODS)
    path = checkpoint_path(dataset, method, seed, network, plan)
    path = path.with_stem(f"{path.stem}-by-{by}") if by else path
    if profile == "read":
        if changes:
            raise ValueError(
                f"profile='read' loads the shipped {method} network and cannot change "
                f"{', '.join(changes)}; use profile='smoke' or 'full'"
            )
        net, header = store.load_checkpoint(path)
        print(
            f"{method}: {path.name}, epoch {header['epoch']}, {header['train_images']} images, "
            f"validation {float(header['val_accuracy']):.2%}, commit {header['commit']}"
        )
        return net
    name = network or network_for(dataset, method)
    data = data or load(dataset)
    if profile == "smoke":
        data = data._replace(
            x_train=data.x_train[:512],
            y_train=data.y_train[:512],
            x_val=data.x_val[:256],
            y_val=data.y_val[:256],
        )
        changes = {"epochs": 4, **changes}
    r = recipe(plan, dataset, method, **changes)
    stem = "-".join([path.stem, *(f"{k}={v}" for k, v in changes.items())])
    state = data_folder() / "runs" / f"{stem}.state" if profile == "full" else None
    run = fit(start(name, data, seed), data, method, r, seed, teacher, state)
    print(
        f"{method}: trained here ({profile}), {r.epochs} epochs on {len(data.x_train)} images, seed"
        f" {seed}"
    )
    return run.last
