"""The data sets: a row each with its shape, networks, levels of noise and defaults."""

import os
import re
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from ..checks import inside
from ..rows import TAKEN

COLOUR_EPSILON = 8 / 255  # of attacks on photographs, and on a reader's own pictures


class Condition(NamedTuple):
    """What is done to test images, how much of it, and in what unit."""

    perturbation: str
    level: float
    unit: str


class Data(NamedTuple):
    """Images are float (n, c, h, w) in `space`, where noise is added too; labels int64 (n,)."""

    name: str
    classes: int
    x_train: Tensor
    y_train: Tensor
    x_val: Tensor
    y_val: Tensor
    x_test: Tensor
    y_test: Tensor
    space: str = "pixels [0,1]"
    pictures: str = ""  # what tells a reader's own from others in a folder of that name
    names: tuple = ()  # of the classes; (): their numbers


class DataSet(NamedTuple):
    """What is known of a data set before it is loaded; the defaults are those of a reader's own
    folder, which is perturbed as MNIST is (Fig. 2(a), and 10 dB as in Table I).
    """

    shape: tuple = ()  # of one image: channels, height, width
    images: tuple = ()  # how many to train, to test; the other training images validate
    stem: str = ""  # whose networks it takes ("": networks of its own name)
    source: str = ""  # torchvision's class; its files' checksums stand in data/sets.py
    side: int = 0  # to which images are enlarged before zeros fill the shape; 0: to none
    space: str = "pixels [0,1]"  # or "GCN+ZCA"
    epochs: int = 40  # of a student by the recipe "short"
    teacher_epochs: int = 0  # of its teacher; 0: as many
    dropout: float = 1.0  # share of the teacher's rates, chosen on validation images (data/claims)
    epsilon: float | None = None  # of attacks; None: COLOUR_EPSILON, if its images have bounds
    attack: dict = {}  # changes of the recipe's attack
    flip: bool = False  # may its images be mirrored in training?
    crop: int = 0  # zeros around them before a random crop
    db: Sequence = range(10, 0, -1)  # levels of Gaussian and Poisson noise
    ratios: Sequence = (9, 7, 5, 3, 2, 1)  # and as P_signal / P_noise
    blocks: Sequence = range(2, 16, 2)  # sides of the occluding square
    # levels of Poisson noise that are asked for, then no ratio is; None: every level of everything
    poisson: tuple | None = None
    clean_only: bool = False  # nothing but its clean images is asked for
    elsewhere: tuple = ()  # trained here, tested there too (Table III)


SMALL_DIGITS = DataSet(
    shape=(1, 8, 8),
    images=(1000, 500),
    stem="digits",
    epochs=60,
    epsilon=0.15,  # chosen on validation images
    db=range(9, -4, -1),
    ratios=(9, 5, 3, 2, 1, 0.5),
    blocks=range(1, 6),
)
MNIST = DataSet(
    shape=(1, 28, 28),
    images=(50_000, 10_000),
    stem="mnist",
    source="MNIST",
    epochs=8,
    teacher_epochs=16,
    epsilon=0.1,
    # half the time; on digits' validation images no worse than 10 steps of 0.25
    attack={"attack_steps": 5, "step": 0.5},
    poisson=(10, 3, 2, 1),
    elsewhere=("usps", "usps_resized"),
)
USPS = DataSet(
    shape=(1, 28, 28),
    images=(6076, 2007),
    stem="mnist",
    source="USPS",
    epsilon=0.1,
    clean_only=True,
    elsewhere=("mnist",),
)
PIXELS = DataSet(
    shape=(3, 32, 32),
    images=(40_000, 10_000),
    stem="cifar",
    source="CIFAR10",
    epochs=20,
    epsilon=COLOUR_EPSILON,
    flip=True,
    crop=4,
)
CIFAR = PIXELS._replace(
    space="GCN+ZCA",
    epochs=12,
    teacher_epochs=20,
    dropout=0.25,
    epsilon=None,
    crop=0,
    db=range(20, 3, -2),
    ratios=(12, 11, 10),
    blocks=range(2, 12, 2),
    poisson=(10, 4),
)
SETS = {
    "digits": SMALL_DIGITS,
    "mnist": MNIST,
    "usps": USPS,  # in a border of zeros, as Sec. V-D2 words it
    "usps_resized": USPS._replace(side=20),  # MNIST's size of a digit, then padded
    "cifar10": CIFAR,
    "cifar10_pixels": PIXELS,
    "cifar100": CIFAR._replace(source="CIFAR100"),
}
DATASETS = tuple(SETS)
SHAPES = {one.stem: one.shape for one in SETS.values()}  # of an image, by the networks' stem
CLEAN = Condition("clean", 0, "")  # images as they are


def about(dataset: str) -> DataSet:
    """The row of a data set; of a folder of pictures the defaults."""
    return SETS.get(dataset, DataSet())


def name_of(dataset: str | os.PathLike) -> str:
    """The name of a data set; of a folder its own, ValueError if it cannot name files or is taken.

    Where the folder lies is no part of it: "own", "b/own" and "." inside one are all own.
    """
    if dataset in DATASETS:
        return dataset
    name = os.path.basename(os.path.abspath(dataset))
    remedy = f"rename the folder, to my-{name or 'pictures'} say"
    if name.casefold() in (*DATASETS, *TAKEN):
        kind = "a built-in data set" if name.casefold() in DATASETS else "a file of results"
        raise ValueError(f"the folder {os.fspath(dataset)!r} has the name of {kind}; {remedy}")
    if not re.fullmatch(r"\w[\w .,+=@()&'-]*", name):
        plain = "letters, digits and - _ . , + = @ ( ) & ', a letter or digit first"
        raise ValueError(f"the folder {name!r} cannot name files: only {plain}; rename the folder")
    return name


def levels(dataset: str) -> list:
    """Every (perturbation, level, unit) that the rows of a data set are made at."""
    one = about(dataset)
    return (
        [CLEAN]
        + [("gaussian", s, "dB") for s in one.db]
        + [("gaussian", s, "ratio") for s in one.ratios]
        + [("poisson", s, "dB") for s in one.db]
        + [("occlusion", s, "pixels") for s in one.blocks]
    )


def needed(dataset: str) -> list:
    """Of `levels` those that a cell, a claim or a figure asks for."""
    one = about(dataset)
    if one.clean_only:
        return [CLEAN]
    if one.poisson is None:
        return levels(dataset)
    return (
        [CLEAN]
        + [("gaussian", s, "dB") for s in one.db]
        + [("poisson", s, "dB") for s in one.db if s in one.poisson]
        + [("occlusion", s, "pixels") for s in one.blocks if s <= 10]
    )


def fitting(d: Data) -> list:
    """Of `needed` those whose squares fit the images; of a reader's own images squares twice, four
    times ... as large follow, up to half the side.
    """
    side = min(d.x_test.shape[2:])
    found = [c for c in map(Condition._make, needed(d.name)) if not _too_large(c, side)]
    size = 2 * max(about(d.name).blocks)
    while d.name not in DATASETS and size <= side / 2:
        found.append(Condition("occlusion", size, "pixels"))
        size *= 2
    return found


def _too_large(condition, side):
    return condition.perturbation == "occlusion" and condition.level > side


def in_space(d: Data) -> Data:
    """`d` if its test images lie in [0, 1] where its `space` says pixels (those to train and to
    validate may carry noise).
    """
    if d.space.startswith("pixels") and len(d.x_test):
        said = f"{d.name} says space={d.space!r}: give such pixels and take networks.Normalised"
        inside(d.x_test, 0.0, 1.0, f"{said} as network, or say another space, 'normalised'")
    return d


def network_for(dataset: str, method: str) -> str:
    """The network that a method trains on a data set: mnist_teacher, mnist_student, ..."""
    stem = about(dataset).stem or dataset
    if method == "teacher":
        return f"{stem}_teacher"
    return "cifar_student4" if stem == "cifar" else f"{stem}_student"
