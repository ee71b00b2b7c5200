"""What every loop of training needs: one step down the loss, and the state that a run keeps."""

import contextlib
import functools
import io
import pathlib
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from .. import store
from ..networks import modules

OLD = 6  # words by which states of old tell their run; younger ones say more
# what torch and Python raise at content of another kind
FAULTS = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
EVERY = 300  # seconds between two states that a run keeps of itself, wherever it is


class Own(NamedTuple):
    """Functions in the place of the recipe's; None leaves it alone."""

    optimiser: Callable[[nn.Module], Optimizer] | None = None  # of the network
    rate: Callable[[int, int], float] | None = None  # (step, steps) -> factor on its learning rates
    # of a batch of images, in each step; it may draw from torch's numbers, and the teacher is asked
    # about what it gives
    augment: Callable[[Tensor], Tensor] | None = None
    # of logits (n, k) and labels (n,), in the place of cross-entropy: class weights and smoothing
    # by functools.partial(F.cross_entropy, weight=..., label_smoothing=...)
    hard: Callable[[Tensor, Tensor], Tensor] | None = None

    def told(self) -> str:
        """Which functions these are, for a run's state file."""
        return "".join(f" {key}={_told(f)}" for key, f in self._asdict().items() if f)


def _told(f):
    if isinstance(f, functools.partial):
        return f"{_told(f.func)}{f.args}{f.keywords}"
    return getattr(f, "__qualname__", type(f).__qualname__)


class RunFile:
    """The file of an unfinished run, which `run` tells from others; without a path none is kept.
    `answers` are a few logits of its teacher, if it has one: rounding may change them a little.
    """

    def __init__(
        self,
        path: str | pathlib.Path | None = None,
        run=(),
        every: float = EVERY,
        answers: Tensor | None = None,
    ):
        self.path = path
        self.run = list(run)
        self.answers = answers
        self.every = every
        self.last = time.monotonic()

    def load(self, device: torch.device) -> dict:
        """What the file holds of this run, nothing where it is not there."""
        if not self.path or not pathlib.Path(self.path).is_file():
            return {}
        try:
            with zipfile.ZipFile(self.path) as parts:  # torch itself does not ask their checksums
                if odd := parts.testzip():
                    raise ValueError(odd)
            held = torch.load(self.path, weights_only=True, map_location=device)
            whose = list(held["run"])
            told = [whose[:OLD], whose[OLD:] or self.run[OLD:]]
            same = self._same(held.get("answers", self.answers))  # states of old have none
            if not {"net", "hint"} & held.keys() or not all(isinstance(w, str) for w in whose):
                raise ValueError("no state of a run")
        except Exception as error:
            raise ValueError(
                f"{self.path} is damaged and cannot be resumed ({type(error).__name__}); delete it"
                " to start again"
            ) from None
        if told != [self.run[:OLD], self.run[OLD:]] or not same:
            raise ValueError(
                f"{self.path} belongs to another run ({', '.join(whose[1:4])[:200]}, its own"
                " teacher and images); delete it or name another file"
            )
        return held

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Around what lays the file's content where a run goes on: any error says it is damaged."""
        try:
            yield
        except FAULTS as error:
            told = " ".join(str(error).split())[:300]
            harm = f"{self.path} is damaged or of another network ({told})"
            raise ValueError(f"{harm}; delete it to start again") from None

    def _same(self, answers):
        """Are these the answers of this run's teacher, but for rounding?"""
        own = self.answers
        if own is None or answers is None:
            return own is answers
        near = 1e-3 * float(own.abs().max())
        return answers.shape == own.shape and bool(torch.allclose(answers.to(own), own, 0, near))

    def keep(self, content: dict) -> None:
        if self.path:
            raw = io.BytesIO()
            torch.save({"run": self.run, "answers": self.answers, **content}, raw)
            store.write(self.path, raw.getvalue())
            self.last = time.monotonic()

    def pause(self, content: Callable[[], dict]) -> None:
        """Keep what `content` gives, if it is time to."""
        if self.path and time.monotonic() - self.last > self.every:
            self.keep(content())


def descend(
    net: nn.Module, loss: Tensor, step: Optimizer, weights: Iterable[Tensor], clip: float
) -> None:
    """One step of the optimiser down the loss; `clip` bounds the norm of the gradient of `weights`
    (0: no bound), and maxout kernels of `net` are scaled back to their largest norm.
    """
    step.zero_grad()
    loss.backward()
    if clip:
        torch.nn.utils.clip_grad_norm_(weights, clip)
    step.step()
    modules.clip_kernels_(net)
