"""Image sets as whole tensors: scikit-learn's digits (offline, the default), torchvision's MNIST,
USPS and CIFAR, your own folders and pictures.
"""

import hashlib
import os
import pathlib
import tempfile

import numpy as np
import torch
from torch import Tensor

from ..checks import one_of, whole
from ..env import GALLERY, data_folder
from .catalogue import DATASETS, Data, about
from .own import own_folder

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


def load(name: str = "digits", folder=None, device: str = "cpu") -> Data:
    """The data set called `name` as a Data of tensors on `device`; downloaded into `folder` the
    first time.

    One of catalogue.DATASETS, or the path of a folder with one folder of pictures for each class.
    """
    if name not in DATASETS and isinstance(name, (str, os.PathLike)) and os.path.isdir(name):
        made = own_folder(name)
    elif one_of("dataset", name, DATASETS) == "digits":
        made = digits()
    elif name == "mnist":
        made = mnist(folder)
    elif name.startswith("usps"):
        made = usps(folder, resized=name == "usps_resized")
    elif name == "cifar10_pixels":
        made = cifar("cifar10", folder, whitened=False)._replace(name=name)
    else:
        made = cifar(name, folder)
    return Data(*(v.to(device) if isinstance(v, Tensor) else v for v in made))


def digits() -> Data:
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


def files(name: str, folder=None) -> pathlib.Path:
    """The folder that holds the data set's files, downloaded the first time, each checked against
    the publisher's MD5.

    That also makes CIFAR's pickles safe to read: they are the published bytes or they are refused.
    """
    _, place, known = FILES[one_of("dataset", name, FILES)]
    folder = data_folder(folder)
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


def here(name: str, folder=None) -> bool:
    """Are the data set's files all in the data folder?"""
    if name == "digits":
        return True
    _, place, known = FILES[one_of("dataset", about(name).files or name, FILES)]
    return all((data_folder(folder) / place / f).is_file() for f in known)


def fetch(name: str, folder: pathlib.Path) -> None:
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


def split(name: str, x, y, x_test, y_test, held: int, **more) -> Data:
    """The last `held` training images become the validation part (Sec. V-A)."""
    n = len(x) - held
    return Data(name, int(y.max()) + 1, x[:n], y[:n], x[n:], y[n:], x_test, y_test, **more)


def mnist(folder=None) -> Data:
    """MNIST: the first 50,000 training images to train, the last 10,000 to validate (Sec. V-A),
    10,000 to test.
    """
    from torchvision.datasets import MNIST

    train, test = (MNIST(files("mnist", folder), train=part) for part in (True, False))
    x, x_test = (s.data[:, None].float() / 255 for s in (train, test))
    return split("mnist", x, train.targets, x_test, test.targets, 10_000)


def usps(folder=None, resized: bool = False) -> Data:
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
    name = "usps_resized" if resized else "usps"
    return split(name, framed(train), y, framed(test), y_test, len(y) // 6)


def cifar(name: str = "cifar10", folder=None, whitened: bool = True) -> Data:
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


def gallery(name: str = "digits", count: int = 40, pixels: bool = False) -> tuple:
    """(x, y) of a few test images, equally many of each class, that need no download: as a network
    gets them, or with `pixels` in [0, 1].

    They are the first of each class in the test set, unselected (of cifar10 there are 20); see
    data/README.md for source and terms.
    """
    shown = ("digits", *(p.stem for p in sorted(GALLERY.glob("*.npz"))))
    if one_of("dataset", name, shown) == "digits":
        d = digits()
        x, y = d.x_test, d.y_test
    else:
        with np.load(GALLERY / f"{name}.npz", allow_pickle=False) as f:
            y = torch.from_numpy(f["y"]).long()
            if f["x"].ndim == 3:
                x = torch.from_numpy(f["x"]).float()[:, None] / 255
            elif pixels:
                x = torch.from_numpy(f["x"]).float() / 255
            else:
                x = torch.from_numpy(f["seen"]).float()
    each = whole("count", count, 10) // 10
    first = torch.cat([torch.nonzero(y == c)[:each, 0] for c in range(10)])
    return x[first], y[first]
