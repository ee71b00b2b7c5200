"""Algorithm 1: one loop for every method, with validation, progress, and a resume that changes nothing."""
import copy
import hashlib
import io
import math
import pathlib
import time
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from . import hints, losses, networks, perturb, store
from .data import Data, load
from .methods import METHODS, Batch
from .settings import CHECKPOINTS, PROFILES, data_folder, one_of, positive, progress, whole


class Recipe(NamedTuple):
    """How long, how fast, and the paper's letters. `lam` falls linearly from lam to lam_end over 1 % to 80 % of the epochs."""
    name: str
    epochs: int
    optimiser: str = "adamw"           # or "sgd"
    lr: float = 3e-3                   # linear layers
    lr_conv: float = 3e-3              # convolutions
    momentum: float = 0.0              # of sgd
    weight_decay: float = 1e-4
    one_cycle: bool = True             # 20 % linear warm-up, then a cosine to zero; else constant
    batch: int = 128
    clip: float = 5.0                  # largest gradient norm; 0 for no clipping
    tau: float = 3.0
    lam: float = 4.0
    lam_end: float = 1.0
    gamma: float = 0.1
    C1: float = 10.0
    C2: float = 1.0
    tau_squared: bool = False          # multiply the soft term by tau^2, as Hinton does and the paper does not
    mimic_on: str = "logits"           # or "probabilities", as Eq. 2 prints (method mimic)
    sigma: float = 0.15                # noise of the method noise_augmented
    rho: float = 0.1                   # radius and
    gamma_u: float = 2.0               # lead in logits of the method direct
    hint_epochs: int = 0               # of the hint stage; 0: a quarter of the epochs for fitnet, none for others
    hint: str = "regress"              # to the teacher's features, as FitNets do, or "classify" by them, as Sec. V-A words it
    frozen_norm: bool = False          # keep batch norm at its statistics while training: input gradients need that


CHOICES = {"optimiser": ("adamw", "sgd"), "mimic_on": ("logits", "probabilities"), "hint": hints.HINTS}
PAPER = Recipe("paper", 500, "sgd", 0.17, 0.0085, 0.35, 0.0, one_cycle=False, clip=0)   # Sec. V-A
SHORT = {"digits": 60, "mnist": 8, "usps": 40, "usps_resized": 40, "cifar10": 20, "cifar100": 20}       # student epochs of the recipe "short"
STEMS = {"usps": "mnist", "usps_resized": "mnist", "cifar10": "cifar", "cifar100": "cifar"}            # whose networks a data set takes


def recipe(name="short", dataset="digits", method="standard", **changes):
    """The recipe "short" (ours), "paper" (Sec. V-A) or "tau4" (8x8 digits: tau 4, lambda 1, tau^2-scaled), with changes."""
    one_of("recipe", name, ("short", "paper", "tau4")), one_of("method", method, METHODS)
    if name == "paper":
        r = PAPER
    elif name == "tau4":
        r = Recipe("tau4", 60, batch=64, tau=4.0, lam=1.0, gamma=0.5, tau_squared=True)
    else:
        epochs = SHORT.get(dataset, 40) * (2 if method == "teacher" and dataset == "mnist" else 1)
        r = Recipe("short", epochs, batch=64 if dataset == "digits" else 128)
    for key, value in changes.items():
        one_of("recipe setting", key, Recipe._fields)
        if key in ("lr", "lr_conv", "tau", "rho", "sigma"):
            positive(key, value)
        elif key in ("lam", "lam_end", "gamma", "C1", "C2", "clip", "weight_decay", "momentum", "gamma_u"):
            positive(key, value, zero=True)
        elif key in ("epochs", "batch", "hint_epochs"):
            whole(key, value, 0 if key == "hint_epochs" else 1)
        elif key in CHOICES:
            one_of(key, value, CHOICES[key])
        elif isinstance(getattr(PAPER, key), bool) and not isinstance(value, bool):
            raise ValueError(f"{key}={value!r} must be True or False")
    return r._replace(**changes)


def lam_at(r, epoch):
    """lambda of Eq. 3 at an epoch."""
    start, stop = 0.01 * r.epochs, 0.8 * r.epochs
    share = min(max((epoch - start) / (stop - start), 0.0), 1.0)
    return r.lam + (r.lam_end - r.lam) * share


def rate_at(r, step, steps):
    """Factor on the learning rate at a step of `steps`."""
    if not r.one_cycle:
        return 1.0
    warm = 0.2 * steps
    return (step + 1) / warm if step + 1 < warm else 0.5 * (1 + math.cos(math.pi * (step + 1 - warm) / (steps - warm)))


def optimiser(net, r):
    """Two groups with the recipe's two learning rates: convolutions, and everything else (Sec. V-A)."""
    conv = [p for m in net.modules() if isinstance(m, torch.nn.Conv2d) for p in m.parameters(recurse=False)]
    other = [p for p in net.parameters() if all(p is not c for c in conv)]
    groups = [{"params": ps, "lr": lr, "base": lr} for ps, lr in ((conv, r.lr_conv), (other, r.lr)) if ps]
    if r.optimiser == "sgd":
        return torch.optim.SGD(groups, momentum=r.momentum, weight_decay=r.weight_decay)
    one_of("optimiser", r.optimiser, CHOICES["optimiser"])
    return torch.optim.AdamW(groups, weight_decay=r.weight_decay)


def teacher_constants(teacher, x, y, tau, gradients, folder=None, chunk=500):
    """(a_T, g_T): the teacher's logits (n, k) and input gradients (n, c, h, w) in half precision, once for all epochs.

    `gradients` says of what: "tempered" (f_T at tau, Eq. 16), "logit", "probability", or "" for none. With `folder` the answer is kept in a file named by a hash of layers, weights, images, labels and tau.
    """
    if teacher.training:
        raise ValueError("the teacher is in training mode; call teacher.eval(), its scores must not change")
    if not len(perturb.images(x)):
        raise ValueError("there are no images for the teacher; x is empty")
    h = hashlib.sha256(f"{tau} {gradients} {teacher}".encode())
    for t in (*teacher.state_dict().values(), x, y):
        h.update(t.detach().cpu().contiguous().numpy().tobytes())
    path = folder and pathlib.Path(folder) / f"teacher-{h.hexdigest()[:16]}.safetensors"
    if path and path.is_file():
        try:
            with safe_open(path, "pt", device=str(x.device)) as f:
                return f.get_tensor("a"), f.get_tensor("g") if gradients else None
        except SafetensorError:
            path.unlink()               # damaged: compute it again
    a, g = [], []
    for i in progress(range(0, len(x), whole("chunk", chunk, 1)), desc="teacher", leave=False):
        if gradients:
            logits, grad = losses.input_gradient(teacher, x[i:i + chunk], y[i:i + chunk], tau, space=gradients)
            g.append(grad.half())
        else:
            with torch.no_grad():
                logits = teacher(x[i:i + chunk])
        a.append(logits.detach())
    a, g = torch.cat(a), torch.cat(g) if gradients else None
    losses.true_class(a, y)
    if not a.isfinite().all():
        raise ValueError("the teacher's logits hold NaN or infinite values; train it again, or give another")
    if a.min() >= 0 and (a.sum(1) - 1).abs().max() < 1e-3:
        raise ValueError(f"the teacher's answers are probabilities (each row sums to 1, the first is {[round(v, 3) for v in a[0].tolist()[:3]]}...); "
                         "it must give logits: leave its softmax out")
    if path:
        store.write(path, save({"a": a.cpu(), **({"g": g.cpu()} if gradients else {})}))
    return a, g


@torch.no_grad()
def accuracy(net, x, y, chunk=500):
    """Share of images whose largest logit is the true class, in evaluation mode."""
    if not len(x) or len(x) != len(y):
        raise ValueError(f"{len(x)} images and {len(y)} labels make no accuracy; give at least one image, and one label each")
    mode = net.training
    net.eval()
    right = sum(losses.correct(net(x[i:i + chunk]), y[i:i + chunk]) for i in range(0, len(x), whole("chunk", chunk, 1)))
    net.train(mode)
    return right.item() / len(x)


class Run(NamedTuple):
    """What training leaves: the last network, the one best on the validation images, its epoch, and a row per epoch."""
    last: torch.nn.Module
    best: torch.nn.Module
    best_epoch: int
    history: list


def fit(net, data: Data, method: str, r: Recipe, seed=0, teacher=None, state=None, cache=None):
    """Train `net` in place by Algorithm 1 and return a Run.

    `teacher` is any nn.Module from images to logits, in evaluation mode. `state` names a file that is
    renewed every epoch; if it is there, training goes on from it and ends as if it had never stopped.
    `cache` is a folder for the teacher's constants. Order of the images and dropout depend on seed and epoch alone.
    """
    how = METHODS[one_of("method", method, METHODS)]
    if not isinstance(r, Recipe):
        raise ValueError(f"r={r!r} is no recipe; make one, e.g. train.recipe('short', {data.name!r}, {method!r})")
    whole("seed", seed)
    _check_data(data)
    x, y = data.x_train, data.y_train
    a_T = g_T = None
    if how.scores:
        if teacher is None:
            raise ValueError(f"method={method!r} needs a teacher; pass one, e.g. from load_or_train(..., 'teacher')")
        _check_net("teacher", teacher, data)
    _check_net("network", net, data)
    if how.scores:
        a_T, g_T = teacher_constants(teacher, x, y, r.tau, how.gradients, cache)
    step = optimiser(net, r)
    steps = r.epochs * math.ceil(len(x) / r.batch)
    hint_epochs = r.hint_epochs or (max(1, r.epochs // 4) if how.hint else 0)
    resumed = state and pathlib.Path(state).is_file()
    if hint_epochs and not resumed:
        if teacher is None:
            raise ValueError(f"hint_epochs={hint_epochs} needs a teacher; pass one, or set hint_epochs=0")
        hints.hint_stage(net, teacher, data, r, hint_epochs, seed)
    start, best, best_epoch, history = 0, copy.deepcopy(net.state_dict()), -1, []
    identity = [repr(r), method, f"seed {seed}", f"{len(x)} images of {data.name}"]
    if resumed:
        start, best, best_epoch, history = _resume(state, net, step, identity)
    bar = progress(range(start, r.epochs), desc=method, initial=start, total=r.epochs)
    for epoch in bar:
        begun, lam, sums = time.perf_counter(), lam_at(r, epoch), {}
        networks.training(net, r.frozen_norm)
        with torch.random.fork_rng(devices=[x.device] if x.is_cuda else []):
            torch.manual_seed(seed * 100_003 + epoch)
            order = torch.randperm(len(x)).to(x.device)
            for i, pick in enumerate(order.split(r.batch)):                 # Algorithm 1, line 3
                part = lambda t: None if t is None else t[pick]
                g = part(g_T)
                batch = Batch(x[pick], y[pick], part(a_T), g if g is None else g.to(x.dtype), lam)    # line 4
                terms = how.terms(net, batch, r)                            # lines 5 and 6: Eq. 17
                loss = sum(weight * value for weight, value in terms.values())
                for group in step.param_groups:
                    group["lr"] = group["base"] * rate_at(r, epoch * math.ceil(len(x) / r.batch) + i, steps)
                step.zero_grad()
                loss.backward()                                             # line 7
                if r.clip:
                    torch.nn.utils.clip_grad_norm_(net.parameters(), r.clip)
                step.step()
                networks.clip_kernels_(net)
                for name, (_, value) in terms.items():
                    sums[name] = sums.get(name, 0) + value.detach() * len(pick)
        row = {"epoch": epoch + 1, **{n: (v / len(x)).item() for n, v in sums.items()}}
        if not all(map(math.isfinite, row.values())):
            raise FloatingPointError(f"{method} diverged in epoch {epoch + 1}: {row}; lower lr, C1 or C2")
        row["ms_per_image"] = (time.perf_counter() - begun) / len(x) * 1000
        row["val_accuracy"] = accuracy(net, data.x_val, data.y_val)
        history.append(row)
        if best_epoch < 0 or row["val_accuracy"] >= history[best_epoch - 1]["val_accuracy"]:
            best, best_epoch = copy.deepcopy(net.state_dict()), epoch + 1
        bar.set_postfix({k: f"{v:.3f}" for k, v in row.items() if k != "epoch"})
        if state:
            _keep(state, net, step, identity, best, best_epoch, history)
    last = net.eval()
    winner = copy.deepcopy(last)
    winner.load_state_dict(best)
    return Run(last, winner.eval(), best_epoch, history)


def _check_data(data):
    """Stop before the first step if images, labels and classes do not fit."""
    for part in ("train", "val"):
        x, y = getattr(data, f"x_{part}"), getattr(data, f"y_{part}")
        if not len(perturb.images(x)):
            raise ValueError(f"{data.name} has no images to {'train on' if part == 'train' else 'validate with'}; x_{part} is empty")
        losses.labels(torch.empty(len(x), data.classes), y)
        if int(y.min()) < 0 or int(y.max()) >= data.classes:
            raise ValueError(f"labels run from {int(y.min())} to {int(y.max())}; {data.name} has classes 0 to {data.classes - 1}")


def _check_net(who, net, data):
    """Stop before the first step if a network does not take the images or does not score the classes of `data`."""
    x = data.x_train[:2]
    if not isinstance(net, torch.nn.Module):
        raise ValueError(f"the {who} is a {type(net).__name__}; give an nn.Module from images to logits")
    got = tuple(_try(f"the {who}", net, x).shape)
    if got != (len(x), data.classes):
        has = f"scores {got[1]} classes" if len(got) == 2 else f"answers {got} to {len(x)} images"
        raise ValueError(f"the {who} {has}, {data.name} has {data.classes}; it must give logits (images, classes)")


@torch.no_grad()
def _try(who, net, x):
    """net(x) in evaluation mode, which changes nothing; an error in words if it does not take such images."""
    mode = [(m, m.training) for m in net.modules()]
    try:
        with torch.random.fork_rng(devices=[x.device] if x.is_cuda else []):
            return net.eval()(x)
    except RuntimeError as error:
        raise ValueError(f"{who} does not take images of shape {tuple(x.shape[1:])} ({error}); "
                         "give a network made for them") from None
    finally:
        for m, training in mode:
            m.training = training


def _keep(state, net, step, identity, best, best_epoch, history):
    raw = io.BytesIO()
    torch.save({"run": identity, "net": net.state_dict(), "step": step.state_dict(), "best": best,
                "best_epoch": best_epoch, "history": history}, raw)
    store.write(state, raw.getvalue())


def _resume(state, net, step, identity):
    try:
        s = torch.load(state, weights_only=True, map_location=next(net.parameters()).device)
        if s["run"] != identity:
            raise ValueError(f"{state} belongs to another run ({', '.join(map(str, s['run'][1:]))}); delete it or name another file")
        net.load_state_dict(s["net"])
        step.load_state_dict(s["step"])
        return len(s["history"]), s["best"], s["best_epoch"], s["history"]
    except ValueError:
        raise
    except Exception as error:
        raise ValueError(f"{state} is damaged and cannot be resumed ({type(error).__name__}); delete it to start again") from None


def start(name, data, seed=0, init="lsuv"):
    """A network by name at its start, the same for every method of a seed: LSUV on 500 training images, or the papers' U(+-0.005)."""
    one_of("init", init, ("lsuv", "uniform"))
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = networks.build(name, data.classes).to(data.x_train.device)
    _try(name, net, data.x_train[:2])
    return networks.uniform_(net, generator) if init == "uniform" else networks.lsuv_(net, data.x_train[:500], generator)


def network_for(dataset, method):
    """The name of the network a method trains on a data set: mnist_teacher, mnist_student, ...; on CIFAR Student 4."""
    stem = STEMS.get(dataset, dataset)
    return f"{stem}_{'teacher' if method == 'teacher' else 'student4' if stem == 'cifar' else 'student'}"


def checkpoint_path(dataset, method, seed=0, network=None, recipe="short", folder=CHECKPOINTS):
    """Where a checkpoint lies: folder/network-method-recipe-seed.safetensors, the data set before it if the network's name is not its own."""
    network = network or network_for(dataset, method)
    own = "" if network.startswith(dataset) else f"{pathlib.Path(dataset).name}-"
    return pathlib.Path(folder) / f"{own}{network}-{method}-{recipe}-s{seed}.safetensors"


def load_or_train(dataset, method, seed=0, profile="read", data=None, teacher=None, network=None, plan="short", **changes):
    """The network a chapter asks for, and one printed line that says where it is from.

    read: the shipped checkpoint. smoke: really trained, 4 epochs on at most 512 images. full: trained by the
    recipe called `plan` (resumable, under the data folder). `changes` are recipe settings, such as epochs or C1.
    """
    one_of("profile", profile, PROFILES)
    one_of("method", method, METHODS)
    path = checkpoint_path(dataset, method, seed, network, plan)
    if profile == "read":
        if changes:
            raise ValueError(f"profile='read' loads the shipped {method} network and cannot change "
                             f"{', '.join(changes)}; use profile='smoke' or 'full'")
        net, header = store.load_checkpoint(path)
        print(f"{method}: {path.name}, epoch {header['epoch']}, {header['train_images']} images, "
              f"validation {float(header['val_accuracy']):.2%}, commit {header['commit']}")
        return net
    name = network or network_for(dataset, method)
    data = data or load(dataset)
    if profile == "smoke":
        data = data._replace(x_train=data.x_train[:512], y_train=data.y_train[:512],
                             x_val=data.x_val[:256], y_val=data.y_val[:256])
        changes = {"epochs": 4, **changes}
    r = recipe(plan, dataset, method, **changes)
    stem = "-".join([path.stem, *(f"{k}={v}" for k, v in changes.items())])
    state = data_folder() / "runs" / f"{stem}.state" if profile == "full" else None
    run = fit(start(name, data, seed), data, method, r, seed, teacher, state)
    print(f"{method}: trained here ({profile}), {r.epochs} epochs on {len(data.x_train)} images, seed {seed}")
    return run.last
