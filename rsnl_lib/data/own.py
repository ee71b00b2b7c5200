"""A reader's own pictures: a folder of them as a data set, and a single one for a digit network."""

import hashlib
import io
import os
import pathlib

import numpy as np
import torch
from torch import Tensor

from ..checks import whole
from ..env import AnyPath
from .catalogue import Data, name_of

MAX_PIXELS = 25_000_000  # of a picture
MAX_SIDE = 5000  # to which a picture is scaled
MAX_BYTES = 2**28  # of its file
SPLITS = set("train training val valid validation test testing".split())  # names of no class
HELD = 0.15  # share of a class's pictures to validate, and to test


def own_folder(path: AnyPath, side: int | None = None) -> Data:
    """A reader's pictures, one folder a class (in alphabetical order), as a Data in [0, 1], 70 % to
    train, 15 % each to validate and test, by a hash of each file's bytes; twins count once. Grey if
    every picture is, else RGB; side x side pixels (default: the first's smaller side, at most 64).
    """
    from PIL import Image

    path = pathlib.Path(path)
    if not path.is_dir():
        raise ValueError(f"{path} is no folder that holds one folder of pictures for each class")
    name = name_of(os.path.abspath(path))  # "digits" is a folder here too
    side = None if side is None else whole("side", side, 1, MAX_SIDE)
    classes = _classes(path)
    pictures = [picture for mine in classes for picture in mine.values()]
    side = min(64, *pictures[0].size) if side is None else side
    mode = "L" if all(p.mode == "L" for p in pictures) else "RGB"
    train, val, test = [], [], []
    for label, mine in enumerate(classes):
        n = max(1, round(HELD * len(mine)))
        mixed = [mine[key] for key in sorted(mine)]
        for part, chosen in ((val, mixed[:n]), (test, mixed[n : 2 * n]), (train, mixed[2 * n :])):
            for picture in chosen:
                small = picture.convert(mode).resize((side, side), Image.Resampling.LANCZOS)
                pixels = np.asarray(small, dtype=np.float32).reshape(side, side, -1) / 255
                part.append((torch.from_numpy(pixels).permute(2, 0, 1), label))
    tensors = []
    for part in (train, val, test):
        tensors += [torch.stack([x for x, _ in part]), torch.tensor([y for _, y in part])]
    told = f"{side} {[sorted(mine) for mine in classes]}"
    which = hashlib.sha256(told.encode()).hexdigest()[:12]
    return Data(name, len(classes), *tensors, pictures=which)


def class_folders(path: AnyPath) -> list[pathlib.Path]:
    """The folders in a folder, in alphabetical order, but for hidden ones."""
    inside = pathlib.Path(path).iterdir()
    return sorted(p for p in inside if p.is_dir() and not p.name.startswith("."))


def same_set(path: AnyPath, header: dict, d: Data) -> None:
    """Refuse a teacher's checkpoint of another data set than `d`, even if its images fit."""
    if (of := header.get("dataset", d.name)) != d.name:
        remedy = "name a teacher of the same data set with --teacher"
        raise ValueError(f"the teacher {path} is of {of}, its student of {d.name}; {remedy}")


def same_pictures(path: AnyPath, header: dict, d: Data, remedy: str) -> None:
    """Refuse a checkpoint of other pictures, though their folder has the name of those of `d`."""
    if header.get("pictures", "") != d.pictures:
        raise ValueError(f"{path} is not of the pictures in this folder {d.name!r}; {remedy}")


def _classes(path):
    """[{hash: picture}], a dict for each class: the pictures of a folder's folders."""
    places = class_folders(path)
    if len(places) < 2:
        want = "a data set needs one folder of pictures for each of at least 2 classes"
        raise ValueError(f"{path} holds {len(places)} folders; {want}")
    if {place.name.lower() for place in places} <= SPLITS:
        names = ", ".join(place.name for place in places)
        remedy = "put one folder of pictures a class there, which is split here"
        raise ValueError(f"{path} holds {names}, parts of a data set and not classes; {remedy}")
    classes, files = [], {}
    for place in places:
        mine = {}
        for f in sorted(f for f in place.iterdir() if not f.name.startswith(".")):
            if not f.is_file():
                raise ValueError(f"{f} is no file; a class holds pictures alone, move it away")
            if f.stat().st_size > MAX_BYTES:
                raise ValueError(f"{f} is larger than {MAX_BYTES:,} bytes; make it smaller")
            content = f.read_bytes()
            key = hashlib.md5(content).hexdigest()
            if (twin := files.setdefault(key, f)).parent != place:
                raise ValueError(f"{f} is the same picture as {twin}, of another class; remove one")
            mine[key] = _grey_or_rgb(_open(io.BytesIO(content), f, "remove it or give"))
        if len(mine) < 3:
            raise ValueError(
                f"{place} holds {len(mine)} files; each class needs at least 3 pictures"
            )
        classes.append(mine)
    return classes


def _open(source, name, remedy):
    """A picture from a file or path, read whole and upright; messages say `name` and `remedy`."""
    from PIL import Image, ImageOps

    limit = f"at most {MAX_PIXELS:,} pixels are read, make it smaller"
    try:
        picture = Image.open(source)
        if picture.format == "EPS":
            raise OSError("PostScript is a program, which is not run")
        large = picture.width * picture.height > MAX_PIXELS
        if not large:
            picture = ImageOps.exif_transpose(picture)
            picture.load()
    except FileNotFoundError:
        raise ValueError(f"there is no file {name!r}; give the path of a PNG or JPEG") from None
    except Image.DecompressionBombError as error:
        raise ValueError(f"{name} is too large ({error}); {limit}") from None
    except Exception as error:  # a damaged file may raise anything in Pillow
        told = "of no known format" if isinstance(error, Image.UnidentifiedImageError) else error
        why = f"{name} cannot be read as a picture ({told})"
        raise ValueError(f"{why}; {remedy} a PNG or JPEG") from None
    if large:
        raise ValueError(f"{name} is {picture.width} x {picture.height} pixels; {limit}")
    return _eight_bits(picture, name)


def _eight_bits(picture, name):
    """The picture, of 16 bits a pixel taken to 8; others than 0 to 65535 are refused."""
    from PIL import Image

    if picture.mode == "F":
        raise ValueError(f"{name} holds pixels as decimals; save it with 8 bits a pixel")
    if not picture.mode.startswith("I"):
        return picture
    pixels = np.asarray(picture)
    if pixels.min() < 0 or pixels.max() > 65535:
        span = f"{pixels.min()} to {pixels.max()}"
        raise ValueError(f"{name} holds pixels of {span}, not of 0 to 65535; save it with 8 bits")
    return Image.fromarray((pixels // 256).astype(np.uint8))


def _on_white(picture):
    """The picture as RGBA on white paper."""
    from PIL import Image

    paper = Image.new("RGBA", picture.size, "white")
    paper.alpha_composite(picture.convert("RGBA"))
    return paper


def _grey_or_rgb(picture):
    """A picture in mode "L" or "RGB", transparent paper white."""
    mode = "L" if picture.mode in ("1", "L", "LA") else "RGB"
    return (_on_white(picture) if picture.has_transparency_data else picture).convert(mode)


def own_picture(source: AnyPath | bytes | bytearray | memoryview, size: int = 28) -> Tensor:
    """A reader's picture of one digit (path or bytes) as an image (1, 1, size, size) in [0, 1], as
    MNIST was made: light ink on dark, cropped, scaled to fit 20/28 of the side (the whole side at
    8 x 8, as scikit-learn's digits do), and centred by its mass.
    """
    from PIL import Image

    whole("size", size, 8, MAX_SIDE)
    name = source
    if isinstance(source, (bytes, bytearray, memoryview)):
        name = f"{len(source)} bytes"
        source = io.BytesIO(source)
    elif not isinstance(source, (str, os.PathLike)):
        raise ValueError(f"{source!r} is no picture; give the path or the bytes of a PNG or JPEG")
    elif os.path.exists(source) and not os.path.isfile(source):
        raise ValueError(f"{name} is no file; give the path of a PNG or JPEG")
    ink = _ink(_open(source, name, "give"))
    if ink is None:
        raise ValueError(f"{name} shows no ink on its paper; give one of dark ink on light")
    scale = (size if size == 8 else size * 20 / 28) / max(ink.shape)
    w, h = (max(1, round(s * scale)) for s in ink.shape[::-1])
    cut = Image.fromarray((ink * 255).astype(np.uint8))
    ink = np.asarray(cut.resize((w, h), Image.Resampling.LANCZOS)) / 255
    mass = ink.sum()
    top = round((size - 1) / 2 - (ink.sum(1) @ np.arange(h)) / mass)
    left = round((size - 1) / 2 - (ink.sum(0) @ np.arange(w)) / mass)
    top = min(max(top, 0), size - h)
    left = min(max(left, 0), size - w)
    out = torch.zeros(1, 1, size, size)
    out[0, 0, top : top + h, left : left + w] = torch.from_numpy(ink).float()
    return out


def _ink(picture):
    """How far pixels stand out from the border, (h, w) in [0, 1], cropped; None where none does."""
    from PIL import Image

    paper = _on_white(picture)
    paper.thumbnail((512, 512), Image.Resampling.LANCZOS)
    grey = np.asarray(paper.convert("L"), dtype=np.float32) / 255
    background = np.median(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]]))
    ink = np.clip(background - grey if background > 0.5 else grey - background, 0, None)
    if ink.max() < 0.1:
        return None
    ink /= ink.max()
    rows = np.where(ink.max(1) > 0.2)[0]
    cols = np.where(ink.max(0) > 0.2)[0]
    return ink[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
