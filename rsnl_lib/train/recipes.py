"""Recipes: how long, how fast, with which of the paper's letters; lambda, learning rate and
optimiser that follow from them.
"""

import math
from typing import NamedTuple

import torch

from ..checks import one_of, positive, whole
from ..data.catalogue import about
from . import attacks, hints
from .methods.listed import METHODS


class Recipe(NamedTuple):
    """How long, how fast, and the paper's letters. `lam` falls linearly from lam to lam_end over 1
    % to 80 % of the epochs.
    """

    name: str
    epochs: int
    optimiser: str = "adamw"  # or "sgd"
    lr: float = 3e-3  # linear layers
    lr_conv: float = 3e-3  # convolutions
    momentum: float = 0.0  # of sgd
    weight_decay: float = 1e-4
    one_cycle: bool = True  # 20 % linear warm-up, then a cosine to zero; else constant
    batch: int = 128
    clip: float = 5.0  # largest gradient norm; 0 for no clipping
    tau: float = 3.0
    lam: float = 4.0
    lam_end: float = 1.0
    gamma: float = 0.1
    C1: float = 10.0
    C2: float = 1.0
    # multiply the soft term by tau^2, as Hinton does and the paper does not
    tau_squared: bool = False
    mimic_on: str = "logits"  # or "probabilities", as Eq. 2 prints (method mimic)
    sigma: float = 0.15  # noise of the method noise_augmented
    rho: float = 0.1  # radius and
    gamma_u: float = 2.0  # lead in logits of the method direct
    hint_epochs: int = 0  # of the hint stage; 0: a quarter of the epochs for fitnet, else none
    # to the teacher's features, as FitNets do, or "classify" by them, as Sec. V-A words it
    hint: str = "regress"
    # keep batch norm at its statistics while training: input gradients need that
    frozen_norm: bool = False
    flip: bool = False  # each image mirrored or not by a coin, every epoch anew (Sec. V-A, CIFAR)
    # share of the network's own dropout rates that it trains with: 1 as built, 0 none
    dropout: float = 1.0
    # zeros put around each image before a random crop to its size (arXiv 1302.4389: 4); the teacher
    # is then asked live
    crop: int = 0
    bf16: bool = False  # bfloat16 arithmetic where the hardware has it
    epsilon: float = 0.1  # radius of an attack's ball, in the units of the images
    step: float = 0.25  # of an attack, as a share of epsilon: 2/255 of 8/255 (arXiv 1905.09747)
    attack_steps: int = 10
    attack_norm: str = "inf"  # or "2"
    # attacked images stay in [0, 1]; False for images without bounds, such as whitened ones
    clamp: bool = True
    # share of the loss on attacked images (ard, fast_ard, rslad, iad, adaad, igdm), in [0, 1]
    alpha: float = 1.0
    # weight of KL in trades and of the gradient term in igdm, exponent of the trust in iad
    beta: float = 6.0
    begin: float = 0.3  # part of the epochs after which iad listens to the student (60 of 200)
    replays: int = 1  # steps on each batch before the next: m of fast_ard


CHOICES = {
    "optimiser": ("adamw", "sgd"),
    "mimic_on": ("logits", "probabilities"),
    "hint": hints.HINTS,
    "attack_norm": tuple(attacks.NORMS),
}
PAPER = Recipe("paper", 500, "sgd", 0.17, 0.0085, 0.35, 0.0, one_cycle=False, clip=0)  # Sec. V-A
OWN = {
    "ard": {"tau": 30.0},
    "fast_ard": {"tau": 30.0, "step": 1.0, "replays": 4},
    "rslad": {"alpha": 5 / 6},  # as published, for CIFAR; m is ours
    "iad": {"tau": 1.0, "beta": 0.1},
    "igdm": {"beta": 1.0},
}
# on grey images: chosen on digits' validation images
GREY = {"ard": {"tau": 1.0}, "fast_ard": {"tau": 1.0}}
NOT_ZERO = ("lr", "lr_conv", "tau", "rho", "sigma", "step")
SHARES = ("alpha", "begin", "dropout")
OR_NONE = ("hint_epochs", "crop")  # whole numbers that may be 0


def recipe(
    name: str = "short", dataset: str = "digits", method: str = "standard", **changes
) -> Recipe:
    """The recipe "short" (ours), "paper" (Sec. V-A) or "tau4" (8x8 digits: tau 4, lambda 1,
    tau^2-scaled), with changes.

    A neighbour's own letters (OWN, GREY) stand in each of them. With replays = m there are 1/m of
    the epochs, so as many steps, unless `epochs` is given.
    """
    one_of("recipe", name, ("short", "paper", "tau4"))
    one_of("method", method, METHODS)
    data = about(dataset)
    if name == "paper":
        r = PAPER
    elif name == "tau4":
        r = Recipe("tau4", 60, batch=64, tau=4.0, lam=1.0, gamma=0.5, tau_squared=True)
    else:
        r = Recipe("short", data.epochs, batch=64 if dataset == "digits" else 128)
        if method == "teacher":
            r = r._replace(epochs=data.teacher_epochs or data.epochs, dropout=data.dropout)
    colour = dataset.startswith("cifar")
    letters = data.attack | OWN.get(method, {})
    if data.epsilon and not colour:
        letters |= GREY.get(method, {})
    r = r._replace(
        flip=colour,
        crop=4 if dataset == "cifar10_pixels" else 0,
        clamp=dataset not in ("cifar10", "cifar100"),
        epsilon=data.epsilon or 8 / 255,
        **letters,
    )
    for key, value in changes.items():
        _check(key, value)
    r = r._replace(**changes)
    return r if "epochs" in changes else r._replace(epochs=math.ceil(r.epochs / r.replays))


def _check(key, value):
    """Refuse a setting that no recipe has, and a value that it cannot take."""
    kind = Recipe.__annotations__[one_of("recipe setting", key, Recipe._fields)]
    if kind is float:
        positive(key, value, zero=key not in NOT_ZERO)
        if key in SHARES and value > 1:
            raise ValueError(f"{key}={value!r} must lie between 0 and 1")
    elif kind is int:
        whole(key, value, 0 if key in OR_NONE else 1)
    elif key in CHOICES:
        one_of(key, value, CHOICES[key])
    elif kind is bool and not isinstance(value, bool):
        raise ValueError(f"{key}={value!r} must be True or False")


def lam_at(r: Recipe, epoch: int) -> float:
    """lambda of Eq. 3 at an epoch."""
    start, stop = 0.01 * r.epochs, 0.8 * r.epochs
    share = min(max((epoch - start) / (stop - start), 0.0), 1.0)
    return r.lam + (r.lam_end - r.lam) * share


def rate_at(r: Recipe, step: int, steps: int) -> float:
    """Factor on the learning rate at a step of `steps`."""
    if not r.one_cycle:
        return 1.0
    warm = 0.2 * steps
    if step + 1 < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step + 1 - warm) / (steps - warm)))


def optimiser(net: torch.nn.Module, r: Recipe) -> torch.optim.Optimizer:
    """Two groups with the recipe's two learning rates: convolutions, and everything else (Sec.
    V-A).
    """
    layers = [m for m in net.modules() if isinstance(m, torch.nn.Conv2d)]
    conv = [p for m in layers for p in m.parameters(recurse=False)]
    other = [p for p in net.parameters() if all(p is not c for c in conv)]
    groups = [
        {"params": ps, "lr": lr, "base": lr} for ps, lr in ((conv, r.lr_conv), (other, r.lr)) if ps
    ]
    if r.optimiser == "sgd":
        return torch.optim.SGD(groups, momentum=r.momentum, weight_decay=r.weight_decay)
    one_of("optimiser", r.optimiser, CHOICES["optimiser"])
    return torch.optim.AdamW(groups, weight_decay=r.weight_decay)


def setting(text: str) -> tuple[str, int | float | bool | str]:
    """("C1", 100.0) from "C1=100": a recipe's setting and its value, of the type that the recipe
    has.
    """
    key, _, value = text.partition("=")
    kind = Recipe.__annotations__.get(key)
    if kind is bool and value in ("True", "False"):
        return key, value == "True"
    try:
        if kind in (int, float, str):
            return key, kind(value)
    except ValueError:
        pass
    raise ValueError(
        f"--set {text!r} is no setting; write KEY=VALUE, such as C1=100, KEY one of:"
        f" {', '.join(Recipe._fields)}"
    )
