"""What every method is made of: a Batch of images with what the teacher says of them, a Method."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

Terms = dict[str, tuple[float, Tensor]]  # {name: (weight, loss)}
# a train.Recipe: it is made of every method's settings, so no method can import it
AnyRecipe = Any
ABOVE_ZERO, SHARE, OR_ZERO = "above zero", "a share", "or zero"  # what a number must be


class Batch(NamedTuple):
    """Images and labels, the teacher's constants for them, and what few methods need."""

    x: Tensor  # (n, c, h, w)
    y: Tensor  # (n,)
    a_T: Tensor | None  # (n, k) teacher logits
    g_T: Tensor | None  # (n, c, h, w) teacher's input gradient, in the method's space
    lam: float  # lambda at this epoch
    teacher: nn.Module | None = None  # frozen, for methods that ask it at images of their own
    share: float = 0.0  # epoch / epochs, in [0, 1)
    carry: dict | None = None  # kept from step to step, emptied before each epoch
    hard: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy  # of logits and labels


def live_teacher(b: Batch) -> nn.Module:
    """The teacher itself, of a batch that has it."""
    if b.teacher is None:
        raise ValueError(
            "b.teacher=None: this method asks the teacher at attacked images; give the teacher"
            " itself, not its scores alone"
        )
    return b.teacher


class Setting(NamedTuple):
    """A number, word or bool that a recipe gives, and which others may stand in its place."""

    value: Any
    about: str = ""
    rule: str | tuple = ""  # one of those above, or the words to choose from


class Method(NamedTuple):
    """A method's function, what it needs, and all that others must know of it."""

    terms: Callable[..., Terms]
    label: str = ""  # in figures
    colour: str = "#BBBBBB"
    marker: str | tuple = "x"
    source: str = "ours"
    scores: bool = False  # needs the teacher's logits
    gradients: str = ""  # needs the teacher's input gradients: of the "tempered" score, or "logit"
    slopes: bool = False  # differentiates the student's input gradient without the teacher's
    hint: bool = False  # starts with the hint stage (train.hint_stage)
    live: bool = False  # needs the teacher itself
    through: bool = False  # and its gradients at images of its own
    target: Callable | None = None  # (g_T of all images, seed) -> what takes its place, made once
    passes: float = 3  # convolution passes of a step, without those of an attack's steps
    settings: dict = {}  # {name: Setting} of its own
    values: dict = {}  # what it gives other settings, whatever recipe and data set say
    on_grey: dict = {}  # the same on grey images
    words: dict = {}  # {term: what figures call it}
    loss: str = ""  # the objective of an image in TeX, in the paper's letters
    sees: str = ""  # what it is told, in words

    @property
    def twice(self) -> bool:
        """Is the student's input gradient differentiated once more?"""
        return self.slopes or bool(self.gradients)

    @property
    def attacks(self) -> bool:
        """Does an attack climb the student's loss by its gradient to the images?"""
        return "attack_steps" in self.settings
