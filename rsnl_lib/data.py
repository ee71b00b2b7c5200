"""Image sets as whole tensors: scikit-learn's digits (offline, the default), torchvision's MNIST,
USPS and CIFAR, your own folders and pictures.
"""

import hashlib
import io
import os
import pathlib
import tempfile
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .settings import DATASETS, GALLERY, data_folder, one_of, positive, whole

# name: torchvision's class, the place it fills, and the MD5 of each file there (the publishers')
FILES = {
    "mnist": (
        "MNIST",
        "MNIST/raw",
        {
            "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
            "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
            "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
            "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
        },
    ),
    "usps": (
        "USPS",
        "",
        {
            "usps.bz2": "ec16c51db3855ca6c91edd34d0e9b197",
            "usps.t.bz2": "8ea070ee2aca1ac39742fdd1ef5ed118",
        },
    ),
    "cifar10": (
        "CIFAR10",
        "cifar-10-batches-py",
        {
            "data_batch_1": "c99cafc152244af753f735de768cd75f",
            "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
            "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
            "data_batch_4": "634d18415352ddfa80567beed471001a",
            "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
            "test_batch": "40351d587109b95175f43aff81a1287e",
            "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
        },
    ),
    "cifar100": (
        "CIFAR100",
        "cifar-100-python",
        {
            "train": "16019d7e3df5f24257cddd939b257f8d",
            "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
            "meta": "7973b15100ade9c7d40fb424638fde48",
        },
    ),
}


class Data(NamedTuple):
    """Images are float (n, c, h, w), labels int64 (n,); `space` says in which space they lie and
    noise is added.
    """

    name: str
    classes: int
    x_train: Tensor
    y_train: Tensor
    x_val: Tensor
    y_val: Tensor
    x_test: Tensor
    y_test: Tensor
    space: str = "pixels [0,1]"


def load(name="digits", folder=None, device="cpu"):
    """The data set called `name` as a Data of tensors on `device`; downloaded into `folder` the
    first time.

    One of settings.DATASETS, or the path of a folder with one folder of pictures for each class.
    """
    if name not in DATASETS and isinstance(name, (str, os.PathLike)) and os.path.isdir(name):
        made = own_folder(name)
    else:
        make = {
            "digits": digits,
            "mnist": lambda: mnist(folder),
            "usps": lambda: usps(folder),
            "usps_resized": lambda: usps(folder, True),
            "cifar10": lambda: cifar("cifar10", folder),
            "cifar10_pixels": (
                lambda: cifar("cifar10", folder, whitened=False)._replace(name="cifar10_pixels")
            ),
            "cifar100": lambda: cifar("cifar100", folder),
        }
        made = make[one_of("dataset", name, DATASETS)]()
    return Data(*(v.to(device) if isinstance(v, Tensor) else v for v in made))


def digits():
    """1,797 real handwritten digits, 8x8, 16 grey levels (scikit-learn): 1,000 to train, 297 to
    validate, 500 to test.

    The split is stratified and the same for every seed.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    x = torch.from_numpy(x / 16).float().view(-1, 1, 8, 8)
    y = torch.from_numpy(y).long()
    rest, test = train_test_split(np.arange(len(y)), test_size=500, stratify=y, random_state=0)
    train, val = train_test_split(rest, test_size=297, stratify=y[rest], random_state=0)
    return Data("digits", 10, x[train], y[train], x[val], y[val], x[test], y[test])


def files(name, folder=None):
    """The folder that holds the data set's files, downloaded the first time, each checked against
    the publisher's MD5.

    That also makes CIFAR's pickles safe to read: they are the published bytes or they are refused.
    """
    folder, (_, place, known) = data_folder(folder), FILES[one_of("dataset", name, FILES)]
    where = folder / place
    if not any((where / f).is_file() for f in known):
        fetch(name, folder)
    for f, md5 in known.items():
        path = where / f
        if not path.is_file() or hashlib.md5(path.read_bytes()).hexdigest() != md5:
            what = f"the folder {where}" if place else " and ".join(str(where / k) for k in known)
            raise ValueError(
                f"{path} is {'damaged' if path.exists() else 'missing'}: delete {what} "
                "and load again, it will be downloaded anew"
            )
    return folder


def here(name, folder=None):
    """Are the data set's files all in the data folder?"""
    name = {"usps_resized": "usps", "cifar10_pixels": "cifar10"}.get(name, name)
    return name == "digits" or all(
        (data_folder(folder) / FILES[name][1] / f).is_file()
        for f in FILES[one_of("dataset", name, FILES)][2]
    )


def fetch(name, folder):
    """Download with torchvision (progress bar, checksums) beside the place, then move it there in
    one step.
    """
    import torchvision.datasets

    kind, place, known = FILES[name]
    if place and (folder / place).is_dir() and any((folder / place).iterdir()):
        raise ValueError(
            f"{folder / place} holds files, but none of {name}'s; delete that folder and load again"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(
            f"{folder} cannot hold the data ({error}); name another folder, e.g. in RSNL_DATA"
        ) from error
    with tempfile.TemporaryDirectory(dir=folder, prefix=".loading-") as part:
        try:
            for train in (True, False):
                getattr(torchvision.datasets, kind)(part, train=train, download=True)
        except (OSError, RuntimeError) as error:
            raise OSError(
                f"{name} could not be downloaded ({error}); try again with a network, or put the"
                f" unpacked files {', '.join(known)} into {folder / place}, or use dataset='digits'"
            ) from error
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        for part_name in [place] if place else known:
            os.replace(pathlib.Path(part) / part_name, folder / part_name)


def split(name, x, y, x_test, y_test, held, **more):
    """The last `held` training images become the validation part (Sec. V-A)."""
    n = len(x) - held
    return Data(name, int(y.max()) + 1, x[:n], y[:n], x[n:], y[n:], x_test, y_test, **more)


def mnist(folder=None):
    """MNIST: the first 50,000 training images to train, the last 10,000 to validate (Sec. V-A),
    10,000 to test.
    """
    from torchvision.datasets import MNIST

    train, test = (MNIST(files("mnist", folder), train=part) for part in (True, False))
    x, x_test = (s.data[:, None].float() / 255 for s in (train, test))
    return split("mnist", x, train.targets, x_test, test.targets, 10_000)


def usps(folder=None, resized=False):
    """USPS, 16x16 set into 28x28 for MNIST's networks: 6,076 to train, the last sixth (1,215) to
    validate, 2,007 to test.

    "usps": a border of six zeros, as Sec. V-D2 words it; "usps_resized": enlarged to 20x20, MNIST's
    size of a digit, then padded.
    """
    from torchvision.datasets import USPS

    train, test = (USPS(files("usps", folder), train=part) for part in (True, False))

    def framed(s):
        x = torch.from_numpy(s.data)[:, None].float() / 255
        if resized:
            x = torch.nn.functional.interpolate(
                x, size=20, mode="bilinear", align_corners=False, antialias=True
            )
        return torch.nn.functional.pad(x, [(28 - x.shape[-1]) // 2] * 4)

    y, y_test = (torch.tensor([int(v) for v in s.targets]) for s in (train, test))
    return split(
        "usps_resized" if resized else "usps", framed(train), y, framed(test), y_test, len(y) // 6
    )


def cifar(name="cifar10", folder=None, whitened=True):
    """CIFAR-10 or CIFAR-100: 40,000 to train, the last 10,000 to validate, 10,000 to test; by
    default after GCN and ZCA (Sec. V-A).
    """
    import torchvision.datasets

    from . import whiten

    place = files(name, folder)
    train, test = (
        getattr(torchvision.datasets, FILES[name][0])(place, train=part) for part in (True, False)
    )
    y, y_test = (torch.tensor(s.targets) for s in (train, test))
    x, x_test = (torch.from_numpy(s.data).permute(0, 3, 1, 2).contiguous() for s in (train, test))
    if not whitened:
        return split(name, x.float() / 255, y, x_test.float() / 255, y_test, 10_000)
    x, x_test = whiten.gcn_zca(x, x_test, place / "cache")
    return split(name, x, y, x_test, y_test, 10_000, space="GCN+ZCA")


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


def gallery(name="digits", count=40, pixels=False):
    """(x, y) of a few test images, equally many of each class, that need no download: as a network
    gets them, or with `pixels` in [0, 1].

    They are the first of each class in the test set, unselected (of cifar10 there are 20); see
    data/README.md for source and terms.
    """
    if (
        one_of("dataset", name, ("digits", *(p.stem for p in sorted(GALLERY.glob("*.npz")))))
        == "digits"
    ):
        d = digits()
        x, y = d.x_test, d.y_test
    else:
        with np.load(GALLERY / f"{name}.npz", allow_pickle=False) as f:
            x, y = torch.from_numpy(f["x"]).float() / 255, torch.from_numpy(f["y"]).long()
            x = x[:, None] if x.dim() == 3 else x if pixels else torch.from_numpy(f["seen"]).float()
    each = whole("count", count, 10) // 10
    first = torch.cat([torch.nonzero(y == c)[:each, 0] for c in range(10)])
    return x[first], y[first]


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
