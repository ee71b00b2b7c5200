"""What training is given, checked before its first step."""

import torch
from torch import nn

from .. import checks
from ..data.catalogue import Data
from ..networks.modules import try_on
from .methods.base import Method


def check(net: nn.Module, data: Data, method: str, how: Method, teacher: nn.Module | None) -> None:
    """Stop before the first step if images, student and teacher do not fit."""
    _check_data(data)
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


def _check_data(data):
    """Refuse images, labels and classes that do not fit."""
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
    """Refuse a network that does not take the images or does not score the classes of `data`."""
    x = data.x_train[:2]
    if not isinstance(net, nn.Module):
        raise ValueError(
            f"the {who} is a {type(net).__name__}; give an nn.Module from images to logits"
        )
    got = tuple(try_on(f"the {who}", net, x).shape)
    if got != (len(x), data.classes):
        has = f"scores {got[1]} classes" if len(got) == 2 else f"answers {got} to {len(x)} images"
        raise ValueError(
            f"the {who} {has}, {data.name} has {data.classes}; it must give logits (images,"
            " classes)"
        )
