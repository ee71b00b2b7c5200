"""A reader's own pictures: a folder of them as a data set, and a single one for a digit network."""

import functools
import hashlib
import io
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..checks import whole
from ..env import AnyPath
from .catalogue import Data, name_of

if TYPE_CHECKING:
    import PIL.Image

MAX_PIXELS = 25_000_000  # of a picture
MAX_SIDE = 5000  # to which a picture is scaled
MAX_BYTES = 2**28  # of its file
HELD = 0.15  # share of a class's pictures to validate, and to test
USUAL = 64  # largest side of pictures for which none is given
DATA_PARTS = ("train", "val", "test")
SPLITS = {"training": "train", "valid": "val", "validation": "val", "testing": "test"}
SPLITS |= {part: part for part in DATA_PARTS}  # what the folders of a split are called


def own_folder(path: AnyPath, side: int | None = None) -> Data:
    """A reader's pictures as a Data in [0, 1]: one folder a class, in alphabetical order, read with
    the folders in it, or train/, val/ and test/ of such folders. A part that is not given is 15 %
    of each class, by a hash of each file's bytes; twins count once. Grey if every picture is, else
    RGB; side x side pixels (default: the first's smaller side, at most 64).
    """
    if side is not None and whole("side", side, 1) ** 2 > MAX_PIXELS:
        raise ValueError(f"side={side} is more than {MAX_PIXELS:,} pixels; make it smaller")
    path = pathlib.Path(path)
    if not path.is_dir():
        raise ValueError(f"{path} is no folder that holds one folder of pictures for each class")
    name = name_of(os.path.abspath(path))  # "digits" is a folder here too
    splits = _splits(path)
    places = {part: _places(folder) for part, folder in splits.items()}
    names = tuple(place.name for place in places["train"])
    for part, found in places.items():
        if odd := {*names} ^ {place.name for place in found}:
            one = f"{splits[part]} and {splits['train']} differ in the class {min(odd)!r}"
            raise ValueError(f"{one}; each part holds a folder for each class")
    side = _usual_side(name, places["train"][0]) if side is None else side
    lacking = [part for part in DATA_PARTS if part not in splits]
    classes, files = {}, {}
    for part, found in places.items():
        least = 1 + len(lacking) if part == "train" else 1
        classes[part] = [_pictures(place, files, side, least) for place in found]
    told = [[sorted(mine) for mine in found] for found in classes.values()]
    told = f"{side} {told[0] if len(splits) == 1 else dict(zip(splits, told))}"
    which = hashlib.sha256(told.encode()).hexdigest()[:12]
    tensors = _tensors(classes, lacking)
    return Data(name, len(names), *tensors, pictures=which, names=names)


def shares(keys: Iterable[str], lacking: Sequence[str]) -> dict[str, list[str]]:
    """{part: keys} of what one class holds to train: a share HELD to each of the parts that are
    `lacking`, in the order of the keys, which are hashes; the rest to train.
    """
    mixed = sorted(keys)
    n = max(1, round(HELD * len(mixed)))
    parts = {part: mixed[i * n : (i + 1) * n] for i, part in enumerate(lacking)}
    return {**parts, "train": mixed[len(lacking) * n :]}


def _tensors(classes, lacking):
    """x_train, y_train, x_val, ... of {part: [{hash: picture} of each class]}."""
    every = [picture for found in classes.values() for mine in found for picture in mine.values()]
    mode = "L" if all(picture.mode == "L" for picture in every) else "RGB"
    chosen = {part: [] for part in DATA_PARTS}
    for part, found in classes.items():
        for label, mine in enumerate(found):
            cut = shares(mine, lacking) if part == "train" else {part: sorted(mine)}
            for into, keys in cut.items():
                chosen[into] += [(pixels_of(mine[key].convert(mode)), label) for key in keys]
    tensors = []
    for pairs in chosen.values():
        tensors += [torch.stack([x for x, _ in pairs]), torch.tensor([y for _, y in pairs])]
    return tensors


def pixels_of(picture: "PIL.Image.Image") -> Tensor:
    """A picture in mode "L" or "RGB" as a tensor (1 or 3, h, w) in [0, 1]."""
    w, h = picture.size
    pixels = np.asarray(picture, dtype=np.float32).reshape(h, w, -1) / 255
    return torch.from_numpy(pixels).permute(2, 0, 1)


def _splits(path):
    """{part: folder} of a tree train/, val/, test/ of classes; {"train": path} of any other."""
    inside = class_folders(path)
    part = {p: SPLITS.get(p.name.casefold()) for p in inside}
    of_folders = [p for p in inside if part[p] and _holds_folders_alone(p)]
    if not of_folders:
        if inside and all(part.values()):
            names = ", ".join(p.name for p in inside)
            remedy = "put a folder of pictures for each class into each"
            raise ValueError(f"{path} holds {names}, parts of a data set and not classes; {remedy}")
        return {"train": path}
    tree = f"{path} holds {of_folders[0].name}/ of folders, so it is a split"
    remedy = "a split is one folder of classes for each of train, val and test, and no other"
    for p in inside:
        if part[p] is None or list(part.values()).count(part[p]) > 1:
            raise ValueError(f"{tree}, and {p.name}/; {remedy}: move it away or rename")
    if "train" not in part.values():
        raise ValueError(f"{tree}, but no train/; {remedy}")
    return {one: p for one in DATA_PARTS for p in inside if part[p] == one}


def _holds_folders_alone(path):
    inside = [p for p in path.iterdir() if not p.name.startswith(".")]
    return bool(inside) and all(p.is_dir() for p in inside)


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


def _places(path):
    """The folders of the classes in a folder."""
    places = class_folders(path)
    if len(places) < 2:
        want = "a data set needs one folder of pictures for each of at least 2 classes"
        raise ValueError(f"{path} holds {len(places)} folders; {want}")
    return places


def _files(place):
    """The files in the folder of a class and in its folders, but hidden ones, in their order."""
    for f in sorted(f for f in place.iterdir() if not f.name.startswith(".")):
        if f.is_dir() and not f.is_symlink():
            yield from _files(f)
        elif f.is_file():
            yield f
        else:
            raise ValueError(f"{f} is no file; a class holds pictures alone, move it away")


def _pictures(place, files, side, least):
    """{hash: picture} of a class, side x side pixels; `files` are those of all classes so far."""
    from PIL import Image

    mine = {}
    for f in _files(place):
        key, picture = _read(f)
        twin, home = files.setdefault(key, (f, place))
        if home != place:
            what = "part" if home.name == place.name else "class"
            raise ValueError(f"{f} is the same picture as {twin}, of another {what}; remove one")
        mine[key] = picture.resize((side, side), Image.Resampling.LANCZOS)
    if len(mine) < least:
        few = f"at least {least} picture{'s' * (least > 1)}"
        raise ValueError(f"{place} holds {len(mine)} files; each class needs {few}")
    return mine


def _usual_side(name, place):
    """The smaller side of the first picture of a class, at most 64, which is said."""
    sides = next((_read(f)[1].size for f in _files(place)), (USUAL,))
    if min(sides) > USUAL:
        w, h = sides
        say_once(f"{name}: pictures of {w} x {h} become {USUAL} x {USUAL}; a side keeps more")
    return min(USUAL, *sides)


@functools.cache
def say_once(text: str) -> None:
    """Print `text`, once in a process."""
    print(text)


def _read(f):
    """(hash, picture) of a file."""
    if f.stat().st_size > MAX_BYTES:
        raise ValueError(f"{f} is larger than {MAX_BYTES:,} bytes; make it smaller")
    content = f.read_bytes()
    key = hashlib.md5(content).hexdigest()
    return key, grey_or_rgb(_open(io.BytesIO(content), f, "remove it or give"))


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


def grey_or_rgb(picture: "PIL.Image.Image") -> "PIL.Image.Image":
    """A picture in mode "L" or "RGB", transparent paper white."""
    mode = "L" if picture.mode in ("1", "L", "LA") else "RGB"
    return (_on_white(picture) if picture.has_transparency_data else picture).convert(mode)


def own_picture(
    source: AnyPath | bytes | bytearray | memoryview, size: int = 28, name: str = ""
) -> Tensor:
    """A reader's picture of one digit (path or bytes) as an image (1, 1, size, size) in [0, 1], as
    MNIST was made: light ink on dark, cropped, scaled to fit 20/28 of the side (the whole side at
    8 x 8, as scikit-learn's digits do), and centred by its mass. Errors call bytes by `name`.
    """
    from PIL import Image

    whole("size", size, 8, MAX_SIDE)
    if isinstance(source, (bytes, bytearray, memoryview)):
        name = name or f"{len(source)} bytes"
        source = io.BytesIO(source)
    elif not isinstance(source, (str, os.PathLike)):
        raise ValueError(f"{source!r} is no picture; give the path or the bytes of a PNG or JPEG")
    elif os.path.exists(source) and not os.path.isfile(source):
        raise ValueError(f"{source} is no file; give the path of a PNG or JPEG")
    else:
        name = source
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


def picture_doubts(x: Tensor) -> list[str]:
    """What makes a picture (1, 1, 28, 28) of `own_picture` unlike MNIST's, in words: a ground left
    grey, a digit that lies or leans. None of the 10,000 test digits goes so far.
    """
    ink = x[0, 0].double()
    found = []
    if ((ink > 0.1) & (ink < 0.5)).double().mean() > 0.1:
        found.append("careful: grey paper is left, as of a shadow; light it evenly")
    high, wide = ((ink > 0.2).any(axis).sum() for axis in (1, 0))
    at = torch.arange(28).double()
    down, right = (at - ink.sum(axis) @ at / ink.sum() for axis in (1, 0))
    lean = (down @ ink @ right) / (down.square() @ ink.sum(1)).clamp_min(1e-9)
    if wide > 2 * high:
        found.append("careful: the digit seems to lie; turn the picture upright")
    elif lean.abs() > 1.1:
        found.append("careful: the digit leans far over; turn the picture upright")
    return found
