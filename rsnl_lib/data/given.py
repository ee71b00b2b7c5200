"""A reader's torch Datasets and DataLoaders as a Data."""

import hashlib
from collections.abc import Iterator, Sequence
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ..checks import images, inside
from ..files import digest
from . import own
from .catalogue import DATASETS, Data, name_of


def from_dataset(
    train: Any,
    val: Any = None,
    test: Any = None,
    name: str = "own",
    space: str = "pixels [0,1]",
    names: Sequence[str] = (),
) -> Data:
    """Datasets or DataLoaders of pairs (image, label) as a Data. Each is read once, in its order:
    what it draws at random is drawn once.

    Images are float tensors (c, h, w) in `space`, or pictures of PIL, which come to [0, 1], all of
    one shape; labels are 0, 1, ... Of val or test that is None are 15 % of each class of train, by
    a hash of the pixels. `names` of the classes default to what the Dataset calls `classes`.
    """
    if name in DATASETS:
        raise ValueError(f"name={name!r} is that of a built-in data set; choose another")
    name = name_of(name)
    given = {"train": train, "val": val, "test": test}
    parts = {part: _read(part, one) for part, one in given.items() if one is not None}
    shape = parts["train"][0].shape[1:]
    for part, (x, _) in parts.items():
        if x.shape[1:] != shape:
            raise ValueError(f"{_odd(part, x[0], 'train', shape)}")
        if space.startswith("pixels"):
            remedy = (
                f"{part} is no space={space!r}: give pixels, and networks.Normalised as network"
            )
            inside(x, 0.0, 1.0, f"{remedy}, or say space='normalised'")
    names = tuple(map(str, names or _names(train)))
    classes = _classes(parts, names)
    keys = {part: [_key(image) for image in x] for part, (x, _) in parts.items()}
    _say_twins(name, parts, keys)
    if lacking := [part for part in own.DATA_PARTS if part not in parts]:
        x, y = parts["train"]
        where = np.array(_share_out(keys["train"], y, lacking))
        for part in (*lacking, "train"):
            chosen = torch.from_numpy(where == part)
            parts[part] = (x[chosen], y[chosen])
    tensors = [t for part in own.DATA_PARTS for t in parts[part]]
    return Data(name, classes, *tensors, space, digest(*tensors)[:12], names)


def _read(part, source):
    """(x (n, c, h, w), y (n,)) of a Dataset or DataLoader."""
    xs, ys = [], []
    for i, (image, label) in enumerate(_pairs(part, source)):
        xs.append(_image(f"{part}[{i}]", image))
        ys.append(_label(f"{part}[{i}]", label))
        if xs[i].shape != xs[0].shape:
            raise ValueError(_odd(f"{part}[{i}]", xs[i], f"{part}[0]", xs[0].shape))
    if not xs:
        raise ValueError(f"{part} is empty; give at least one image")
    return images(torch.stack(xs)), torch.tensor(ys)


def _odd(who, image, other, shape):
    both = f"{who} is {tuple(image.shape)}, {other} {tuple(shape)}"
    return f"{both}; give all images one shape, with transforms.Resize((32, 32)) say"


def _pairs(part, source) -> Iterator:
    """The pairs of a Dataset or DataLoader, one by one."""
    if isinstance(source, DataLoader):
        if source.drop_last:
            raise ValueError(f"{part} is a DataLoader with drop_last=True, which loses images")
        for batch in source:
            pair = _pair(part, batch)
            yield from [pair] if source.batch_sampler is None else zip(*pair, strict=True)
    elif hasattr(source, "__getitem__") and hasattr(source, "__len__"):
        for i in range(len(source)):
            yield _pair(part, source[i])
    else:
        kind = type(source).__name__
        raise ValueError(f"{part} is a {kind}; give a Dataset of known length or a DataLoader")


def _pair(part, given):
    if not isinstance(given, (tuple, list)) or len(given) != 2:
        kind = type(given).__name__
        raise ValueError(f"{part} gives a {kind}; it must give pairs (image, label)")
    return given


def _image(where, given):
    """An image as a float tensor (c, h, w)."""
    if hasattr(given, "getbands"):  # of PIL
        return own.pixels_of(own.grey_or_rgb(own._eight_bits(given, where)))
    if isinstance(given, Tensor) and given.is_floating_point() and given.dim() == 3:
        return given.detach().cpu().float()
    what = type(given).__name__
    if isinstance(given, Tensor):
        what = f"{given.dtype} of shape {tuple(given.shape)}"
    remedy = "give a float tensor (channels, height, width), as transforms.ToTensor() does"
    raise ValueError(f"{where} holds a {what}; {remedy}")


def _label(where, given):
    """A label as a whole number."""
    label = given.item() if isinstance(given, Tensor) and given.dim() == 0 else given
    if not isinstance(label, Integral) or isinstance(label, bool) or label < 0:
        raise ValueError(f"{where} has label {given!r}; it must be a whole number: 0, 1, ...")
    return int(label)


def _names(source):
    """The names of a Dataset's classes, none where it does not tell them."""
    told = getattr(getattr(source, "dataset", source), "classes", ())
    return told if isinstance(told, (list, tuple)) else ()


def _classes(parts, names):
    """How many classes there are: each has images to train, and a name if any has."""
    many = 1 + max(int(y.max()) for _, y in parts.values())
    if names and len(names) != many:
        raise ValueError(f"{len(names)} names of {many} classes; give one for each, or none")
    if many < 2:
        raise ValueError("all labels are 0; a data set needs at least 2 classes")
    held = parts["train"][1].unique().tolist()
    if lacking := sorted({*range(many)} - {*held}) if many <= own.MAX_PIXELS else [0]:
        raise ValueError(f"class {lacking[0]} has no image in train; number the labels 0, 1, ...")
    return many


def _key(image):
    return hashlib.md5(image.numpy().tobytes()).hexdigest()


def _say_twins(name, parts, keys):
    """Print how many images stand in two parts or with two labels."""
    homes: dict[str, set] = {}
    for part, (_, y) in parts.items():
        for key, label in zip(keys[part], y.tolist()):
            homes.setdefault(key, set()).add((part, label))
    if twins := sum(len(home) > 1 for home in homes.values()):
        print(f"{name}: {twins} images stand in two parts, or in two classes")


def _share_out(keys, y, lacking):
    """The part of each training image, those of one hash in one part."""
    where, mine = {}, {}
    for key, label in zip(keys, y.tolist()):
        mine.setdefault(label, set()).add(key)
    for label, held in sorted(mine.items()):
        least = 1 + len(lacking)
        if len(held) < least:
            few = f"train has {len(held)} different images of class {label}"
            raise ValueError(f"{few}; to cut {' and '.join(lacking)} from it takes {least}")
        for part, chosen in own.shares(held, lacking).items():
            for key in chosen:
                where.setdefault(key, part)
    return [where[key] for key in keys]
