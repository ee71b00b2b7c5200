"""Image sets as whole tensors: scikit-learn's digits (offline, the default), MNIST by torchvision, your own pictures."""
import hashlib
import os
import pathlib
import tempfile
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .settings import DATASETS, GALLERY, data_folder, one_of

MNIST_FILES = {     # MD5 of the unpacked files
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


class Data(NamedTuple):
    """Images are float (n, 1, h, w) in [0, 1], labels int64 (n,); `space` says in which space noise is added."""
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
    """The data set called `name` as a Data of tensors on `device`; downloaded into `folder` the first time."""
    make = {"digits": lambda: digits(), "mnist": lambda: mnist(folder)}[one_of("dataset", name, DATASETS)]
    return Data(*(v.to(device) if isinstance(v, Tensor) else v for v in make()))


def digits():
    """1,797 real handwritten digits, 8x8, 16 grey levels (scikit-learn): 1,000 to train, 297 to validate, 500 to test.

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


def mnist(folder=None):
    """MNIST: the first 50,000 training images to train, the last 10,000 to validate (Sec. V-A), 10,000 to test."""
    folder = data_folder(folder)
    raw = folder / "MNIST" / "raw"
    if not raw.is_dir():
        fetch_mnist(folder)
    for name, md5 in MNIST_FILES.items():
        path = raw / name
        if not path.is_file() or hashlib.md5(path.read_bytes()).hexdigest() != md5:
            raise ValueError(f"{path} is {'damaged' if path.exists() else 'missing'}: delete the folder {raw} "
                             "and load again, it will be downloaded anew")
    from torchvision.datasets import MNIST
    train, test = MNIST(folder, train=True), MNIST(folder, train=False)
    x, x_test = (s.data[:, None].float() / 255 for s in (train, test))
    return Data("mnist", 10, x[:50000], train.targets[:50000], x[50000:], train.targets[50000:], x_test, test.targets)


def fetch_mnist(folder):
    """Download MNIST with torchvision (progress bar, checksums) beside its place, then move it there in one step."""
    from torchvision.datasets import MNIST
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".loading-") as part:
        try:
            MNIST(part, download=True)
        except (OSError, RuntimeError) as error:
            raise OSError(f"MNIST could not be downloaded ({error}); try again with a network, or put the four "
                          f"unpacked files into {folder / 'MNIST' / 'raw'}, or use dataset='digits'") from error
        (folder / "MNIST").mkdir(exist_ok=True)
        os.replace(pathlib.Path(part) / "MNIST" / "raw", folder / "MNIST" / "raw")


def gallery(name="digits", count=40):
    """(x, y) of a few test images, equally many of each class, that need no download.

    They are the first of each class in the test set, unselected; see data/README.md for source and terms.
    """
    if one_of("dataset", name, DATASETS) == "digits":
        d = digits()
        x, y = d.x_test, d.y_test
    else:
        with np.load(GALLERY / f"{name}.npz", allow_pickle=False) as f:
            x, y = torch.from_numpy(f["x"]).float()[:, None] / 255, torch.from_numpy(f["y"]).long()
    each = count // 10
    first = torch.cat([torch.nonzero(y == c)[:each, 0] for c in range(10)])
    return x[first], y[first]


def own_picture(source, size=28, max_pixels=25_000_000):
    """A reader's picture of one digit (path or bytes) as an image (1, 1, size, size) in [0, 1], the way MNIST was made.

    Grey, inverted if the background is bright, cropped to the ink, scaled to fit 20/28 of the side (the whole
    side at 8 x 8, as scikit-learn's digits do), and centred by its mass. Raises ValueError for what is no
    picture, is blank, or has more than `max_pixels`.
    """
    import io
    import warnings

    from PIL import Image, ImageOps
    if not isinstance(source, (str, os.PathLike, bytes, bytearray, memoryview)):
        raise ValueError(f"{source!r} is no picture; give the path or the bytes of a PNG or JPEG")
    shown = source if isinstance(source, (str, os.PathLike)) else f"{len(source)} bytes"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(source if isinstance(source, (str, os.PathLike)) else io.BytesIO(source))
            if picture.width * picture.height > max_pixels:
                raise ValueError(f"the picture is {picture.width} x {picture.height} pixels; at most "
                                 f"{max_pixels:,} pixels are read, make it smaller")
            picture = ImageOps.exif_transpose(picture).convert("RGBA")
    except FileNotFoundError:
        raise ValueError(f"there is no file {shown!r}; give the path of a PNG or JPEG picture") from None
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{shown} cannot be read as a picture ({error}); give a PNG or JPEG") from None
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
    ink = ink[rows[0]:rows[-1] + 1, cols[0]:cols[-1] + 1]
    scale = (size if size == 8 else size * 20 / 28) / max(ink.shape)
    shape = [max(1, round(s * scale)) for s in ink.shape[::-1]]
    ink = np.asarray(Image.fromarray((ink * 255).astype(np.uint8)).resize(shape, Image.Resampling.LANCZOS)) / 255
    h, w = ink.shape
    mass = ink.sum()
    top = round((size - 1) / 2 - (ink.sum(1) @ np.arange(h)) / mass)
    left = round((size - 1) / 2 - (ink.sum(0) @ np.arange(w)) / mass)
    top, left = min(max(top, 0), size - h), min(max(left, 0), size - w)
    out = torch.zeros(1, 1, size, size)
    out[0, 0, top:top + h, left:left + w] = torch.from_numpy(ink).float()
    return out
