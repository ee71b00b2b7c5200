"""Recipes: how long, how fast, with which of the paper's letters; lambda, learning rate and
optimiser that follow from them.
"""

import math
from collections import namedtuple
from collections.abc import Iterable

import torch
from torch import nn

from ..checks import one_of, positive, whole
from ..data.catalogue import COLOUR_EPSILON, Data, about
from .methods import METHODS
from .methods.base import ABOVE_ZERO, OR_ZERO, SHARE, Setting

SHARED = {  # what every run needs; a method's own settings stand with the method
    "name": Setting("", "of the recipe that was changed"),
    "epochs": Setting(1, "times through the training images"),
    "optimiser": Setting("adamw", "adamw or sgd", ("adamw", "sgd")),
    "lr": Setting(3e-3, "of linear layers", ABOVE_ZERO),
    "lr_conv": Setting(3e-3, "of convolutions", ABOVE_ZERO),
    "momentum": Setting(0.0, "of sgd"),
    "weight_decay": Setting(1e-4, "of the optimiser"),
    "one_cycle": Setting(True, "20 % linear warm-up, then a cosine to zero; else constant"),
    "batch": Setting(128, "images a step"),
    "clip": Setting(5.0, "largest gradient norm; 0 for no clipping"),
    "tau": Setting(3.0, "temperature", ABOVE_ZERO),
    "lam": Setting(4.0, "lambda in the first epochs"),
    "lam_end": Setting(1.0, "lambda in the last"),
    "tau_squared": Setting(False, "soft term times tau^2, as Hinton does and the paper does not"),
    "frozen_norm": Setting(False, "batch norm keeps its statistics: input gradients need that"),
    "flip": Setting(False, "mirrors each image or not by a coin, every epoch anew (Sec. V-A)"),
    "dropout": Setting(1.0, "share of the network's own rates", SHARE),
    "crop": Setting(0, "zeros around an image before a random crop (arXiv 1302.4389: 4)", OR_ZERO),
    "bf16": Setting(False, "bfloat16 arithmetic where the hardware has it"),
}
# where several methods have one of a name, its value in a recipe of no method is the first's
OWN = {key: one for how in reversed(METHODS.values()) for key, one in how.settings.items()}
SETTINGS = {**SHARED, **OWN}
# how long, how fast, and the paper's letters, those of every method
Recipe = namedtuple("Recipe", SETTINGS, defaults=[one.value for one in SETTINGS.values()])
PRINTED = dict(optimiser="sgd", lr=0.17, lr_conv=0.0085, momentum=0.35, weight_decay=0.0, clip=0)
RECIPES = {
    "short": {},  # ours
    "paper": dict(PRINTED, epochs=500, one_cycle=False),  # Sec. V-A
    "tau4": dict(epochs=60, batch=64, tau=4.0, lam=1.0, gamma=0.5, tau_squared=True),  # 8x8 digits
}
# what state files say of a recipe, in their order, so that runs begun long ago go on
TOLD = """
    name epochs optimiser lr lr_conv momentum weight_decay one_cycle batch clip tau lam lam_end
    gamma C1 C2 tau_squared mimic_on sigma rho gamma_u hint_epochs hint frozen_norm flip dropout
    crop bf16 epsilon step attack_steps attack_norm clamp alpha beta begin replays
""".split()


def recipe(
    name: str = "short", dataset: str | Data = "digits", method: str = "standard", **changes
) -> Recipe:
    """The recipe "short", "paper" or "tau4" with the method's own settings, and changes of both.
    The images' kind decides on flip, crop and clamp: that of the data set of this name, of a folder
    of pixels, or of a Data.

    With replays = m there are 1/m of the epochs, so as many steps, unless `epochs` is given.
    """
    values = RECIPES[one_of("recipe", name, RECIPES)]
    how = METHODS[one_of("method", method, METHODS)]
    given = dataset if isinstance(dataset, Data) else None
    dataset = given.name if given else dataset
    data = about(dataset)
    space = given.space if given else data.space
    if name == "short":
        values = {"epochs": data.epochs, "batch": 64 if dataset == "digits" else 128}
        if method == "teacher":
            values |= {"epochs": data.teacher_epochs or data.epochs, "dropout": data.dropout}
    colour = data.stem == "cifar"
    values = {
        **{key: one.value for key, one in how.settings.items()},
        **values,
        "flip": data.flip,
        "crop": data.crop,
        "clamp": space.startswith("pixels"),
        "epsilon": data.epsilon or COLOUR_EPSILON,
        **data.attack,
        **how.values,
        **(how.on_grey if data.epsilon and not colour else {}),
    }
    for key, value in changes.items():
        _check_setting(key, value, method)
    r = Recipe(name, **(values | changes))
    return r if "epochs" in changes else r._replace(epochs=math.ceil(r.epochs / r.replays))


def _check_setting(key, value, method):
    """Refuse a setting that no recipe or this method does not have, or a value it cannot take."""
    own = METHODS[method].settings
    known, _, rule = own.get(key) or SETTINGS[one_of("recipe setting", key, SETTINGS)]
    if isinstance(known, bool):
        if not isinstance(value, bool):
            raise ValueError(f"{key}={value!r} must be True or False")
    elif isinstance(known, int):
        whole(key, value, 0 if rule == OR_ZERO else 1, 10**9)
    elif isinstance(known, float):
        if positive(key, value, zero=rule != ABOVE_ZERO) > 1 and rule == SHARE:
            raise ValueError(f"{key}={value!r} must lie between 0 and 1")
    elif rule:
        one_of(key, value, rule)
    if key not in SHARED and key not in own:
        raise ValueError(f"method={method!r} has no {key}; its own: {', '.join(own) or 'none'}")


def checked(r: Recipe, method: str) -> Recipe:
    """`r` if it is a recipe whose settings, shared and of this method, can be trained with."""
    if not isinstance(r, Recipe):
        raise ValueError(f"r={r!r} is no recipe; make one with train.recipe('short', ...)")
    for key in {**SHARED, **METHODS[method].settings}:
        _check_setting(key, getattr(r, key), method)
    return r


def fingerprint(r: Recipe, method: str) -> str:
    """A recipe as state files tell it; of settings younger than they are the method's own alone."""
    young = [key for key in METHODS[method].settings if key not in TOLD]
    return f"Recipe({', '.join(f'{key}={getattr(r, key)!r}' for key in TOLD + young)})"


def lam_at(r: Recipe, epoch: float) -> float:
    """lambda of Eq. 3 at an epoch: linearly from lam to lam_end over 1 % to 80 % of the epochs."""
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


def optimiser(net: nn.Module, r: Recipe) -> torch.optim.Optimizer:
    """Two groups with the recipe's two learning rates: convolutions, and all else (Sec. V-A)."""
    one_of("optimiser", r.optimiser, SHARED["optimiser"].rule)
    layers = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
    conv = [p for m in layers for p in m.parameters(recurse=False)]
    other = [p for p in net.parameters() if all(p is not c for c in conv)]
    pairs = ((conv, r.lr_conv), (other, r.lr))
    groups = [{"params": ps, "lr": lr, "base": lr} for ps, lr in pairs if ps]
    if r.optimiser == "sgd":
        return torch.optim.SGD(groups, momentum=r.momentum, weight_decay=r.weight_decay)
    return torch.optim.AdamW(groups, weight_decay=r.weight_decay)


def changes_of(words: Iterable[str]) -> dict:
    """{setting: value} of words such as "C1=100", each setting named once."""
    pairs = [setting(word) for word in words]
    keys = [key for key, _ in pairs]
    if twice := next((key for key in keys if keys.count(key) > 1), None):
        both = " ".join(word for word in words if word.startswith(f"{twice}="))
        raise ValueError(f"{twice} stands twice in {both!r}; give it one value")
    return dict(pairs)


def setting(text: str) -> tuple[str, int | float | bool | str]:
    """("C1", 100.0) from "C1=100": a setting and its value, of the type that the setting has."""
    key, _, value = text.partition("=")
    free = [name for name in SETTINGS if name != "name"]  # that one is the recipe's own
    kind = type(SETTINGS[key].value) if key in free else None
    try:
        return key, {"True": True, "False": False}[value] if kind is bool else kind(value)
    except (KeyError, TypeError, ValueError):
        if kind and value:
            what = {int: "a whole number", float: "a number", bool: "True or False"}[kind]
            words = f"write KEY=VALUE, VALUE of {key} {what}"
            raise ValueError(f"--set {text!r} is no setting; {words}") from None
        raise ValueError(
            f"--set {text!r} is no setting; write KEY=VALUE, such as C1=100, KEY one of:"
            f" {', '.join(free)}"
        ) from None


def own_settings() -> str:
    """Each method's own settings with their defaults, for the help of the command line."""
    lines = ["settings of the methods' own:"]
    for method, how in METHODS.items():
        lines.append(f"  {method} ({how.source})")
        own = how.settings | {k: SETTINGS[k]._replace(value=v) for k, v in how.values.items()}
        lines += [f"    {f'{key}={one.value}':22} {one.about}" for key, one in own.items()]
    return "\n".join(lines)
