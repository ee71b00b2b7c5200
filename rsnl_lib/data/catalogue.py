"""The data sets: what each is called, its shape, networks, levels of noise and defaults."""

from typing import NamedTuple

from torch import Tensor


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


SNR_DB = {"digits": range(9, -4, -1), "cifar10": range(20, 3, -2), "cifar100": range(20, 3, -2)}
SNR_RATIO = {"digits": (9, 5, 3, 2, 1, 0.5), "cifar10": (12, 11, 10), "cifar100": (12, 11, 10)}
BLOCKS = {"digits": range(1, 6), "cifar10": range(2, 12, 2), "cifar100": range(2, 12, 2)}


def levels(dataset):
    """Every (perturbation, level, unit) the rows of a data set are made at; what is not named above
    is taken as MNIST is (Fig. 2(a), and 10 dB as in Table I).
    """
    db, ratio = SNR_DB.get(dataset, range(10, 0, -1)), SNR_RATIO.get(dataset, (9, 7, 5, 3, 2, 1))
    return (
        [("clean", 0, "")]
        + [("gaussian", s, "dB") for s in db]
        + [("gaussian", s, "ratio") for s in ratio]
        + [("poisson", s, "dB") for s in db]
        + [("occlusion", s, "pixels") for s in BLOCKS.get(dataset, range(2, 16, 2))]
    )


POISSON = {"mnist": (10, 3, 2, 1), "cifar10": (10, 4), "cifar100": (10, 4)}


def needed(dataset):
    """Of `levels` those that a cell, a claim or a figure asks for: of USPS its clean images, of
    MNIST and CIFAR no ratios and few of Poisson noise.
    """
    if dataset.startswith("usps"):
        return [("clean", 0, "")]
    return [
        (kind, level, unit)
        for kind, level, unit in levels(dataset)
        if dataset not in POISSON
        or unit != "ratio"
        and (kind != "poisson" or level in POISSON[dataset])
        and (kind != "occlusion" or level <= 10)
    ]


ELSEWHERE = {
    "mnist": ("usps", "usps_resized"),
    "usps": ("mnist",),
    "usps_resized": ("mnist",),
}  # Table III: trained here, tested there
IMAGES = {
    "digits": (1000, 500),
    "mnist": (50_000, 10_000),
    "usps": (6076, 2007),
    "usps_resized": (6076, 2007),
    "cifar10": (40_000, 10_000),
    "cifar10_pixels": (40_000, 10_000),
    "cifar100": (40_000, 10_000),
}  # to train, to test
SHAPES = {
    "digits": (1, 8, 8),
    "mnist": (1, 28, 28),
    "usps": (1, 28, 28),  # one image of each data set
    "cifar": (3, 32, 32),
    "cifar10": (3, 32, 32),
    "cifar100": (3, 32, 32),
}
SHORT = {
    "digits": 60,
    "mnist": 8,
    "usps": 40,
    "usps_resized": 40,
    "cifar10": 12,
    "cifar10_pixels": 20,
    "cifar100": 12,
}  # student epochs of the recipe "short"
TEACHER = {"mnist": 16, "cifar10": 20, "cifar100": 20}  # and the teacher's, where they are others
SHARE = {
    "cifar10": 0.5,
    "cifar100": 0.5,
}  # of the teacher's dropout rates, chosen on validation images (data/claims)
EPSILON = {
    "digits": 0.15,
    "mnist": 0.1,
    "usps": 0.1,
    "usps_resized": 0.1,
    "cifar10_pixels": 8 / 255,
}  # of attacks; digits: chosen on validation images
STRIDE = {
    "mnist": {"attack_steps": 5, "step": 0.5}
}  # half the time; on digits' validation images no worse than 10 steps of 0.25
DATASETS = ("digits", "mnist", "usps", "usps_resized", "cifar10", "cifar10_pixels", "cifar100")
STEMS = {
    "usps": "mnist",
    "usps_resized": "mnist",
    "cifar10": "cifar",
    "cifar10_pixels": "cifar",
    "cifar100": "cifar",
}  # whose networks a data set takes


def network_for(dataset, method):
    """The name of the network a method trains on a data set: mnist_teacher, mnist_student, ...; on
    CIFAR Student 4.
    """
    stem = STEMS.get(dataset, dataset)
    if method == "teacher":
        return f"{stem}_teacher"
    return "cifar_student4" if stem == "cifar" else f"{stem}_student"
