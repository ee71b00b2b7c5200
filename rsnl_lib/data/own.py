"""A reader's own pictures: a folder of them as a data set, and a single one for a digit network."""

import hashlib
import io
import os
import pathlib

import numpy as np
import torch

from ..checks import positive, whole
from .catalogue import Data


def own_folder(path, side=None, held=0.15):
    """A reader's pictures, one folder a class (in alphabetical order), as a Data in [0, 1]: 70 % to
    train, 15 % each to validate and test.

    Grey if every picture is, else RGB; all scaled to side x side pixels (default: the first
    picture's smaller side, at most 64). The split goes by a hash of each file's bytes, not by its
    name; a picture that lies there twice counts once.
    """
    from PIL import Image

    path = pathlib.Path(path)
    if not path.is_dir():
        raise ValueError(
            f"{path} is no folder; give one that holds one folder of pictures for each class"
        )
    if not 0 < positive("held", held) < 0.4:
        raise ValueError(
            f"held={held!r} must lie between 0 and 0.4: that share each to validate and to test"
        )
    classes = sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
    if len(classes) < 2:
        raise ValueError(
            f"{path} holds {len(classes)} folders; a data set needs one folder of pictures for each"
            " of at least 2 classes"
        )
    found, seen = [], {}
    for label, place in enumerate(classes):
        count = len(found)
        for f in sorted(f for f in place.iterdir() if f.is_file() and not f.name.startswith(".")):
            content = f.read_bytes()
            key = hashlib.md5(content).hexdigest()
            if (twin := seen.setdefault(key, f)) is not f:
                if twin.parent != place:
                    raise ValueError(
                        f"{f} is the same picture as {twin}, of another class; remove one"
                    )
                continue
            found.append((key, label, _opened(f, content)))
        if len(found) - count < 3:
            raise ValueError(
                f"{place} holds {len(found) - count} files; each class needs at least 3 pictures"
            )
    side = min(64, *found[0][2].size) if side is None else whole("side", side, 1)
    mode = "L" if all(p.mode == "L" for _, _, p in found) else "RGB"
    parts = {"train": [], "val": [], "test": []}
    for label in range(len(classes)):
        own = sorted((f for f in found if f[1] == label), key=lambda f: f[0])
        n = max(1, round(held * len(own)))
        for i, (_, _, picture) in enumerate(own):
            pixels = (
                np.asarray(
                    picture.convert(mode).resize((side, side), Image.Resampling.LANCZOS),
                    dtype=np.float32,
                )
                / 255
            )
            parts["val" if i < n else "test" if i < 2 * n else "train"].append(
                (torch.from_numpy(pixels.reshape(side, side, -1)).permute(2, 0, 1), label)
            )
    return Data(
        path.name,
        len(classes),
        *(
            t
            for k in ("train", "val", "test")
            for t in (torch.stack([x for x, _ in parts[k]]), torch.tensor([y for _, y in parts[k]]))
        ),
    )


def _opened(f, content):
    """A picture file of a class as an image of mode "L" or "RGB", upright, transparent paper white,
    16 bits a pixel taken to 8.
    """
    from PIL import Image, ImageOps

    try:
        picture = Image.open(io.BytesIO(content))
        if picture.width * picture.height > 25_000_000:
            raise ValueError(
                f"{f} is {picture.width} x {picture.height} pixels; at most 25,000,000 pixels are"
                " read, make it smaller"
            )
        picture = ImageOps.exif_transpose(picture)
    except Image.DecompressionBombError as error:
        raise ValueError(
            f"{f} is too large ({error}); at most 25,000,000 pixels are read, make it smaller"
        ) from None
    except (OSError, SyntaxError) as error:
        raise ValueError(
            f"{f} cannot be read as a picture ({error}); remove it or give a PNG or JPEG"
        ) from None
    if picture.mode.startswith("I"):
        return Image.fromarray((np.asarray(picture).clip(0, 65535) // 256).astype(np.uint8))
    mode = "L" if picture.mode in ("1", "L", "LA") else "RGB"
    if picture.has_transparency_data:
        paper = Image.new("RGBA", picture.size, "white")
        paper.alpha_composite(picture.convert("RGBA"))
        picture = paper
    return picture.convert(mode)


def own_picture(source, size=28, max_pixels=25_000_000):
    """A reader's picture of one digit (path or bytes) as an image (1, 1, size, size) in [0, 1], the
    way MNIST was made.

    Grey, inverted if the background is bright, cropped to the ink, scaled to fit 20/28 of the side
    (the whole side at 8 x 8, as scikit-learn's digits do), and centred by its mass. Raises
    ValueError for what is no picture, is blank, or has more than `max_pixels`.
    """
    import warnings

    from PIL import Image, ImageOps

    whole("size", size, 8)
    if not isinstance(source, (str, os.PathLike, bytes, bytearray, memoryview)):
        raise ValueError(f"{source!r} is no picture; give the path or the bytes of a PNG or JPEG")
    shown = source if isinstance(source, (str, os.PathLike)) else f"{len(source)} bytes"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(
                source if isinstance(source, (str, os.PathLike)) else io.BytesIO(source)
            )
            if picture.width * picture.height > max_pixels:
                raise ValueError(
                    f"the picture is {picture.width} x {picture.height} pixels; at most "
                    f"{max_pixels:,} pixels are read, make it smaller"
                )
            picture = ImageOps.exif_transpose(picture).convert("RGBA")
    except FileNotFoundError:
        raise ValueError(
            f"there is no file {shown!r}; give the path of a PNG or JPEG picture"
        ) from None
    except Image.DecompressionBombError as error:
        raise ValueError(
            f"{shown}: the picture is too large ({error}); at most {max_pixels:,} pixels are read,"
            " make it smaller"
        ) from None
    except (OSError, SyntaxError) as error:
        raise ValueError(
            f"{shown} cannot be read as a picture ({error}); give a PNG or JPEG"
        ) from None
    paper = Image.new("RGBA", picture.size, "white")
    paper.alpha_composite(picture)
    paper.thumbnail((512, 512), Image.Resampling.LANCZOS)
    grey = np.asarray(paper.convert("L"), dtype=np.float32) / 255
    background = np.median(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]]))
    ink = np.clip(background - grey if background > 0.5 else grey - background, 0, None)
    if ink.max() < 0.1:
        raise ValueError(f"{shown} shows no ink: nothing in it stands out from its border")
    ink /= ink.max()
    rows, cols = np.where(ink.max(1) > 0.2)[0], np.where(ink.max(0) > 0.2)[0]
    ink = ink[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    scale = (size if size == 8 else size * 20 / 28) / max(ink.shape)
    shape = [max(1, round(s * scale)) for s in ink.shape[::-1]]
    ink = (
        np.asarray(
            Image.fromarray((ink * 255).astype(np.uint8)).resize(shape, Image.Resampling.LANCZOS)
        )
        / 255
    )
    h, w = ink.shape
    mass = ink.sum()
    top = round((size - 1) / 2 - (ink.sum(1) @ np.arange(h)) / mass)
    left = round((size - 1) / 2 - (ink.sum(0) @ np.arange(w)) / mass)
    top, left = min(max(top, 0), size - h), min(max(left, 0), size - w)
    out = torch.zeros(1, 1, size, size)
    out[0, 0, top : top + h, left : left + w] = torch.from_numpy(ink).float()
    return out
