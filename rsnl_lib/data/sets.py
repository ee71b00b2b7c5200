"""Image sets as whole tensors: scikit-learn's digits (offline, the default), torchvision's MNIST,
USPS and CIFAR, your own folders and pictures.
"""

import gzip
import hashlib
import inspect
import os
import pathlib
import tempfile

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .. import env
from ..checks import one_of, whole
from ..env import GALLERY, AnyPath, data_folder
from . import whiten
from .catalogue import DATASETS, SETS, Data, about
from .own import class_folders, own_folder

# torchvision's class: {file: its publisher's MD5}
SOURCES = {
    "MNIST": {
        "MNIST/raw/train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "MNIST/raw/train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "MNIST/raw/t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "MNIST/raw/t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
    "USPS": {
        "usps.bz2": "ec16c51db3855ca6c91edd34d0e9b197",
        "usps.t.bz2": "8ea070ee2aca1ac39742fdd1ef5ed118",
    },
    "CIFAR10": {
        "cifar-10-batches-py/data_batch_1": "c99cafc152244af753f735de768cd75f",
        "cifar-10-batches-py/data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "cifar-10-batches-py/data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "cifar-10-batches-py/data_batch_4": "634d18415352ddfa80567beed471001a",
        "cifar-10-batches-py/data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "cifar-10-batches-py/test_batch": "40351d587109b95175f43aff81a1287e",
        "cifar-10-batches-py/batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
    },
    "CIFAR100": {
        "cifar-100-python/train": "16019d7e3df5f24257cddd939b257f8d",
        "cifar-100-python/test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
        "cifar-100-python/meta": "7973b15100ade9c7d40fb424638fde48",
    },
}


def load(
    name: str = "digits",
    folder: AnyPath | None = None,
    device: str = "cpu",
    side: int | None = None,
) -> Data:
    """The data set called `name` as a Data of tensors on `device`: one of catalogue.DATASETS, which
    is downloaded into `folder` the first time, or a folder with one folder of pictures a class,
    `own_folder` of it, side x side pixels.
    """
    is_folder = isinstance(name, (str, os.PathLike)) and os.path.isdir(name)
    if is_folder and name in DATASETS and len(class_folders(name)) > 1:
        both = f"{name!r} is a built-in data set, and a folder with folders in it lies here too"
        raise ValueError(f"{both}; rename that folder, to my-{name} say, or work elsewhere")
    if is_folder and name not in DATASETS:
        made = own_folder(name, side)
    elif one_of("dataset", name, DATASETS) and side is not None:
        raise ValueError(
            f"side={side!r} is for a folder of pictures; {name} has its own, leave it out"
        )
    elif name == "digits":
        made = digits()
    else:
        made = published(name, folder)
    place = env.device(str(device))
    return Data(*(v.to(place) if isinstance(v, Tensor) else v for v in made))


def digits() -> Data:
    """1,797 real handwritten digits, 8x8, 16 grey levels (scikit-learn): 1,000 to train, 297
    to validate, 500 to test, by one stratified split for every seed.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    x = torch.from_numpy(x / 16).float().view(-1, 1, 8, 8)
    y = torch.from_numpy(y).long()
    rest, test = train_test_split(np.arange(len(y)), test_size=500, stratify=y, random_state=0)
    train, val = train_test_split(rest, test_size=297, stratify=y[rest], random_state=0)
    return Data("digits", 10, x[train], y[train], x[val], y[val], x[test], y[test])


def published(name: str, folder: AnyPath | None = None) -> Data:
    """A set of torchvision's as its row in the catalogue says; the last training images validate
    (Sec. V-A). In [0, 1], set into a border of zeros, or after GCN and ZCA.
    """
    row = SETS[name]
    place = files(name, folder)
    xs, ys = [], []
    for train in (True, False):
        part = _torchvisions(row.source)(place, train=train)
        x = torch.as_tensor(part.data)
        xs.append(x[:, None] if x.dim() == 3 else x.permute(0, 3, 1, 2).contiguous())
        ys.append(torch.as_tensor(part.targets))
    if row.space == "GCN+ZCA":
        xs = whiten.gcn_zca(*xs, place / "cache")
    else:
        xs = [_framed(x.float() / 255, row) for x in xs]
    (x, x_test), (y, y_test) = xs, ys
    n = row.images[0]
    parts = (x[:n], y[:n], x[n:], y[n:], x_test, y_test)
    return Data(name, int(y.max()) + 1, *parts, row.space)


def _framed(x, row):
    """Images enlarged to the row's side, if it has one, in zeros that fill its shape."""
    if row.side:
        x = F.interpolate(x, size=row.side, mode="bilinear", antialias=True)
    return F.pad(x, [(row.shape[-1] - x.shape[-1]) // 2] * 4)


def checksums(name: str) -> dict:
    """{file in the data folder: its publisher's MD5} of a data set that has files."""
    one_of("dataset", name, [known for known in SETS if SETS[known].source])
    source = SETS[name].source
    if source not in SOURCES:
        odd = f"source={source!r} of {name} has no checksums"
        raise ValueError(f"{odd}; add them to SOURCES, or give a folder of pictures instead")
    return SOURCES[source]


def _torchvisions(source):
    """torchvision's class called `source`, which takes train=True or False."""
    import torchvision.datasets

    kind = getattr(torchvision.datasets, source, None)
    if not (callable(kind) and "train" in inspect.signature(kind).parameters):
        odd = f"source={source!r} is no data set of torchvision's that takes train="
        raise ValueError(f"{odd}; name another, or give a folder of pictures instead")
    return kind


def has_files(name: str, folder: AnyPath | None = None) -> bool:
    """Are the data set's files, if it has any, all in the data folder?"""
    return all((data_folder(folder) / f).is_file() for f in SOURCES.get(about(name).source, ()))


def files(name: str, folder: AnyPath | None = None) -> pathlib.Path:
    """The folder that holds the data set's files, downloaded the first time, each checked against
    the publisher's MD5. So CIFAR's pickles are safe to read: the published bytes, or refused.
    """
    folder = data_folder(folder)
    md5 = {folder / f: told for f, told in checksums(name).items()}
    if not any(path.is_file() for path in md5):
        fetch(name, folder)
    for path, told in md5.items():
        if odd := _faulty(path, told):
            harm = "damaged" if odd.exists() else "missing"
            alone = path.parent != folder
            what = f"the folder {path.parent}" if alone else " and ".join(map(str, md5))
            again = f"delete {what} and load again, it will be downloaded anew"
            raise ValueError(f"{odd} is {harm}: {again}")
    old = folder / SETS[name].source / "processed"
    if old.exists():  # torchvision would read it and leave the files alone
        raise ValueError(f"{old} is what an old torchvision made, unverified; delete that folder")
    return folder


def _faulty(path, told):
    """The file that is missing or not as published, if one is: `path`, of this MD5, or what was
    unpacked beside a .gz, which alone is read.
    """
    raw = path.read_bytes() if path.is_file() else None
    if raw is None or hashlib.md5(raw).hexdigest() != told:
        return path
    read = path.with_suffix("") if path.suffix == ".gz" else path
    whole = read == path or read.is_file() and read.read_bytes() == gzip.decompress(raw)
    return None if whole else read


def fetch(name: str, folder: pathlib.Path) -> None:
    """Download with torchvision beside the place, then move the files there in one step."""
    source = SETS[name].source
    kind = _torchvisions(source)
    known = [pathlib.Path(f) for f in SOURCES[source]]
    place = folder / known[0].parent
    if place != folder and place.is_dir() and any(place.iterdir()):
        remedy = "delete that folder and load again"
        raise ValueError(f"{place} holds files, but none of {name}'s; {remedy}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        beside = tempfile.TemporaryDirectory(dir=folder, prefix=".loading-")
    except OSError as error:
        remedy = "name another folder, e.g. in RSNL_DATA"
        raise OSError(f"{folder} cannot hold the data ({error.strerror}); {remedy}") from error
    with beside as part:
        try:
            for train in (True, False):
                kind(part, train=train, download=True)
        except (OSError, RuntimeError) as error:
            unpacked = f"put the unpacked files {', '.join(f.name for f in known)} into {place}"
            remedy = f"try again with a network, or {unpacked}, or use dataset='digits'"
            raise OSError(f"{name} could not be downloaded ({error}); {remedy}") from error
        place.parent.mkdir(parents=True, exist_ok=True)
        for f in known if place == folder else known[0].parents[:1]:
            os.replace(pathlib.Path(part) / f, folder / f)


def gallery(name: str = "digits", count: int = 40) -> tuple[Tensor, Tensor]:
    """(x, y) of the first test images of each class, unselected, as a network gets them, without a
    download (of cifar10 there are 20); data/README.md has source and terms.
    """
    shown = ("digits", *(p.stem for p in sorted(GALLERY.glob("*.npz"))))
    if one_of("dataset", name, shown) == "digits":
        made = digits()
        x, y = made.x_test, made.y_test
    else:
        with np.load(GALLERY / f"{name}.npz", allow_pickle=False) as f:
            y = torch.from_numpy(f["y"]).long()
            x = torch.from_numpy(f["seen" if "seen" in f else "x"]).float()
            if "seen" not in f:
                x = x[:, None] / 255
    each = whole("count", count, 10) // 10
    first = torch.cat([torch.nonzero(y == c)[:each, 0] for c in range(10)])
    return x[first], y[first]
