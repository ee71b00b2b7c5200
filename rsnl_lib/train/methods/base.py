"""What every method is made of: a Batch of images with what the teacher says of them, a Method."""

from collections.abc import Callable
from typing import NamedTuple

import torch

Terms = dict[str, tuple[float, torch.Tensor]]  # {name: (weight, loss)}


class Batch(NamedTuple):
    """Images and labels, the teacher's constants for them, and lambda at this epoch; and what few
    methods need.
    """

    x: torch.Tensor  # (n, c, h, w)
    y: torch.Tensor  # (n,)
    a_T: torch.Tensor | None  # (n, k) teacher logits
    g_T: torch.Tensor | None  # (n, c, h, w) teacher's input gradient, in the method's space
    lam: float
    # the teacher, in evaluation mode and frozen, for methods that ask it at images of their own
    teacher: torch.nn.Module | None = None
    share: float = 0.0  # epoch / epochs, in [0, 1)
    # what a method keeps from step to step; emptied before each epoch: a resumed run repeats
    carry: dict | None = None


class Method(NamedTuple):
    """A method's function, and what it needs."""

    terms: Callable[..., Terms]
    scores: bool = False  # needs the teacher's logits
    gradients: str = ""  # needs the teacher's input gradients: of the "tempered" score, or "logit"
    hint: bool = False  # starts with the hint stage (train.hint_stage)
    live: bool = False  # needs the teacher itself
    # target(g_T (n, c, h, w) of all images, seed) -> what takes the place of g_T, made once before
    # the first step
    target: Callable | None = None
