"""A reader's own pictures: a folder of them as a data set, and a single one for a digit network."""

import hashlib
import io
import os
import pathlib
import warnings

import numpy as np
import torch

from ..checks import positive, whole
from .catalogue import Data

LARGEST = 25_000_000  # pixels of a picture


def own_folder(path, side: int | None = None, held: float = 0.15) -> Data:
    """A reader's pictures, one folder a class (in alphabetical order), as a Data in [0, 1]: 70 % to
    train, 15 % each to validate and test.

    Grey if every picture is, else RGB; all scaled to side x side pixels (default: the first
    picture's smaller side, at most 64). The split goes by a hash of each file's bytes, not by its
    name; a picture that lies there twice counts once.
    """
    path = pathlib.Path(path)
    if not path.is_dir():
        raise ValueError(
            f"{path} is no folder; give one that holds one folder of pictures for each class"
        )
    if not 0 < positive("held", held) < 0.4:
        raise ValueError(
            f"held={held!r} must lie between 0 and 0.4: that share each to validate and to test"
        )
    found = _classes(path)
    pictures = [picture for mine in found for _, picture in mine]
    side = min(64, *pictures[0].size) if side is None else whole("side", side, 1)
    mode = "L" if all(p.mode == "L" for p in pictures) else "RGB"
    parts = {"train": [], "val": [], "test": []}
    for label, mine in enumerate(found):
        n = max(1, round(held * len(mine)))
        places = ["val"] * n + ["test"] * n + ["train"] * (len(mine) - 2 * n)
        for part, (_, picture) in zip(places, sorted(mine, key=lambda pair: pair[0])):
            parts[part].append((_scaled(picture.convert(mode), side), label))
    tensors = []
    for part in parts.values():
        tensors += [torch.stack([x for x, _ in part]), torch.tensor([y for _, y in part])]
    return Data(path.name, len(found), *tensors)


def _classes(path):
    """[[(hash, picture), ...]], a list for each class: the pictures of a folder's folders."""
    places = sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
    if len(places) < 2:
        raise ValueError(
            f"{path} holds {len(places)} folders; a data set needs one folder of pictures for each"
            " of at least 2 classes"
        )
    found, seen = [], {}
    for place in places:
        mine = []
        for f in sorted(f for f in place.iterdir() if f.is_file() and not f.name.startswith(".")):
            content = f.read_bytes()
            key = hashlib.md5(content).hexdigest()
            if (twin := seen.setdefault(key, f)) is not f:
                if twin.parent != place:
                    raise ValueError(
                        f"{f} is the same picture as {twin}, of another class; remove one"
                    )
                continue
            mine.append((key, _grey_or_rgb(_opened(io.BytesIO(content), f, "remove it or give"))))
        if len(mine) < 3:
            raise ValueError(
                f"{place} holds {len(mine)} files; each class needs at least 3 pictures"
            )
        found.append(mine)
    return found


def _scaled(picture, side):
    """A picture as a float tensor (c, side, side) in [0, 1]."""
    from PIL import Image

    small = picture.resize((side, side), Image.Resampling.LANCZOS)
    pixels = np.asarray(small, dtype=np.float32) / 255
    return torch.from_numpy(pixels.reshape(side, side, -1)).permute(2, 0, 1)


def _opened(source, name, remedy, largest=LARGEST):
    """A picture from a file or its path, read whole and upright; `name` is what messages call it,
    `remedy` their "give" a PNG or JPEG.
    """
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(source)
            if picture.width * picture.height > largest:
                raise ValueError(
                    f"{name} is {picture.width} x {picture.height} pixels; at most {largest:,}"
                    " pixels are read, make it smaller"
                )
            picture = ImageOps.exif_transpose(picture)
            picture.load()
            return picture
    except FileNotFoundError:
        raise ValueError(
            f"there is no file {name!r}; give the path of a PNG or JPEG picture"
        ) from None
    except Image.DecompressionBombError as error:
        raise ValueError(
            f"{name} is too large ({error}); at most {largest:,} pixels are read, make it smaller"
        ) from None
    except (OSError, SyntaxError) as error:
        raise ValueError(
            f"{name} cannot be read as a picture ({error}); {remedy} a PNG or JPEG"
        ) from None


def _on_white(picture):
    """A picture as RGBA, transparent paper white."""
    from PIL import Image

    paper = Image.new("RGBA", picture.size, "white")
    paper.alpha_composite(picture.convert("RGBA"))
    return paper


def _grey_or_rgb(picture):
    """A picture in mode "L" or "RGB", transparent paper white, 16 bits a pixel taken to 8."""
    from PIL import Image

    if picture.mode.startswith("I"):
        return Image.fromarray((np.asarray(picture).clip(0, 65535) // 256).astype(np.uint8))
    mode = "L" if picture.mode in ("1", "L", "LA") else "RGB"
    return (_on_white(picture) if picture.has_transparency_data else picture).convert(mode)


def own_picture(source, size: int = 28, max_pixels: int = LARGEST) -> torch.Tensor:
    """A reader's picture of one digit (path or bytes) as an image (1, 1, size, size) in [0, 1], the
    way MNIST was made.

    Grey, inverted if the background is bright, cropped to the ink, scaled to fit 20/28 of the side
    (the whole side at 8 x 8, as scikit-learn's digits do), and centred by its mass. Raises
    ValueError for what is no picture, is blank, or has more than `max_pixels`.
    """
    from PIL import Image

    whole("size", size, 8)
    if isinstance(source, (str, os.PathLike)):
        name = source
    elif isinstance(source, (bytes, bytearray, memoryview)):
        name = f"{len(source)} bytes"
        source = io.BytesIO(source)
    else:
        raise ValueError(f"{source!r} is no picture; give the path or the bytes of a PNG or JPEG")
    ink = _ink(_opened(source, name, "give", max_pixels))
    if ink is None:
        raise ValueError(f"{name} shows no ink: nothing in it stands out from its border")
    scale = (size if size == 8 else size * 20 / 28) / max(ink.shape)
    shape = [max(1, round(s * scale)) for s in ink.shape[::-1]]
    cut = Image.fromarray((ink * 255).astype(np.uint8))
    return _centred(np.asarray(cut.resize(shape, Image.Resampling.LANCZOS)) / 255, size)


def _ink(picture):
    """How far each pixel of a picture stands out from its border, (h, w) in [0, 1], cropped to what
    does; None where nothing does.
    """
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


def _centred(ink, size):
    """Ink (h, w) with its centre of mass in the middle of an image (1, 1, size, size)."""
    h, w = ink.shape
    mass = ink.sum()
    top = round((size - 1) / 2 - (ink.sum(1) @ np.arange(h)) / mass)
    left = round((size - 1) / 2 - (ink.sum(0) @ np.arange(w)) / mass)
    top = min(max(top, 0), size - h)
    left = min(max(left, 0), size - w)
    out = torch.zeros(1, 1, size, size)
    out[0, 0, top : top + h, left : left + w] = torch.from_numpy(ink).float()
    return out
