"""The methods: the paper's and its controls, adversarial ones, boundary-supporting samples."""

from .adversarial import adaad, ard, fast_ard, iad, igdm, pgd_at, rslad, trades  # noqa: F401
from .base import Batch, Method  # noqa: F401
from .controls import noise_augmented, random_directions, shuffled, target_zero  # noqa: F401
from .listed import METHODS  # noqa: F401
from .paper import direct, gradient_only, kd, mimic, robust, score_only, standard  # noqa: F401
from .supporting import bss  # noqa: F401
