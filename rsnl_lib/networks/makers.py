"""A reader's own networks, typed as module:maker: the function (or class) `maker` of a module in
the current folder or of an installed package. "nets:student" is called nets.student in rows and
files. Only what a user typed is imported, never a name that stands in a file.
"""

import importlib
import inspect
import math
import os
import re
import sys
import traceback
import weakref
from collections.abc import Callable

import torch
from torch import Tensor, nn

from .modules import standing

MAKERS = {}  # {plain name: function} of the makers that were typed
LARGEST_IMAGE = 10_000_000  # numbers in an image; a header that says more is a mistake
EXAMPLE = "--network nets:student for the function student in nets.py"
_MODULE, _FUNCTION = r"([^\W\d_]\w*(?:\.\w+)*)", r"([^\W\d]\w*)"
_MADE = weakref.WeakSet()


def maker_word(name: str) -> str:
    """What was typed for the network called `name`: nets:student for nets.student, nothing for one
    of rsnl's own networks.
    """
    parts = re.fullmatch(rf"{_MODULE}\.{_FUNCTION}", name)
    return ":".join(parts.groups()) if parts else ""


def typed(word: str) -> str:
    """The name of a network that a user typed; a maker is imported, and known from then on."""
    if ":" not in word:
        return word
    parts = re.fullmatch(f"{_MODULE}:{_FUNCTION}", word)
    if not parts or parts[1].endswith(".py"):
        how = "a module's name (no path, no .py), a colon, a function's name"
        raise ValueError(f"network={word!r} names no maker; write {how}: {EXAMPLE}")
    module, maker = parts.groups()
    here = os.getcwd()
    if not {here, ""} & {*sys.path}:
        sys.path.insert(0, here)  # as `python -m` does
    try:
        found = importlib.import_module(module)
    except (Exception, SystemExit) as error:
        why = _told(error)
        if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
            why = f"there is no such module in {here}, nor installed"
        failed = f"network={word!r} cannot be imported: {why}"
        raise ValueError(f"{failed}; example: {EXAMPLE}") from error
    if not callable(make := getattr(found, maker, None)):
        place = getattr(found, "__file__", None) or "built into Python"
        raise ValueError(f"network={word!r}: {module} ({place}) has no function {maker}; write one")
    MAKERS[f"{module}.{maker}"] = make
    return f"{module}.{maker}"


def made(name: str, classes: int, shape: tuple) -> nn.Module:
    """A fresh network of the maker called `name`, tried on two blank images of `shape` (channels,
    height, width): it must answer logits (2, classes).
    """
    word = maker_word(name)
    if name not in MAKERS:
        remedy = f"add --network {word} (--teacher-network for a teacher)"
        raise ValueError(f"network={name!r} is made by {word}, which was not typed here; {remedy}")
    if len(shape) != 3 or math.prod(shape) > LARGEST_IMAGE:
        want = f"(channels, height, width) of at most {LARGEST_IMAGE:,} numbers"
        raise ValueError(f"shape={shape!r} is of no image that {word} could take; give {want}")
    given = _arguments(word, MAKERS[name], classes, shape[0])
    try:
        net = MAKERS[name](**given)
    except Exception as error:
        raise ValueError(f"{word} makes no network: {_told(error)}; mend it") from error
    if not isinstance(net, nn.Module):
        raise ValueError(f"{word} returns a {type(net).__name__}; it must return an nn.Module")
    if net in _MADE:
        raise ValueError(f"{word} returns one network again; it must make a new one at each call")
    _MADE.add(net)
    _try(word, net, classes, shape)
    return net


def _arguments(word: str, make: Callable, classes: int, channels: int) -> dict:
    """What a maker is called with: those of `known` that its signature names."""
    known = dict.fromkeys(("classes", "num_classes"), classes)
    known |= dict.fromkeys(("channels", "in_channels", "in_chans"), channels)
    try:
        parameters = inspect.signature(make).parameters.values()
    except (TypeError, ValueError):
        return {}
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    for p in parameters:
        star = p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        if p.default is p.empty and not star and (p not in named or p.name not in known):
            remedy = f"give {p.name} a default; known are {', '.join(known)}"
            raise ValueError(f"{word} wants {p.name!r}, which the data do not tell; {remedy}")
    return {p.name: known[p.name] for p in named if p.name in known}


@torch.no_grad()
def _try(word, net, classes, shape):
    """Refuse a network that does not answer logits (2, classes) to two images of a shape."""
    images = f"images of shape {tuple(shape)}"
    try:
        with standing(net, "eval"):
            a = net(torch.zeros(2, *shape))
    except Exception as error:
        raise ValueError(f"{word} does not take {images}: {_told(error)}; mend it") from error
    said = tuple(a.shape) if isinstance(a, Tensor) else f"a {type(a).__name__}"
    if said != (2, classes):
        want = f"it must give logits (2, {classes}), a column for each class of the data"
        raise ValueError(f"{word} answers {said} to two {images}; {want}")


def _told(error):
    """An error of a reader's code in one line, with its place."""
    words = f"{type(error).__name__}: {error}".strip().splitlines()[0]
    frames = traceback.extract_tb(error.__traceback__)
    frames = [f for f in frames if "importlib" not in f.filename and f.filename != __file__]
    return words + (f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else "")
