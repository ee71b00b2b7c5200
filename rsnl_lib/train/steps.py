"""What every loop of training needs: one step down the loss, and when to keep a state of it."""

import time
from collections.abc import Iterable

import torch

from ..networks import modules

EVERY = 300  # seconds between two states that a run keeps of itself, wherever it is


class Watch:
    """Says when more than `every` seconds have passed since the last state was kept."""

    def __init__(self, every: float):
        self.every = every
        self.restart()

    def restart(self) -> None:
        self.last = time.monotonic()

    def due(self) -> bool:
        return time.monotonic() - self.last > self.every


def descend(
    net: torch.nn.Module,
    loss: torch.Tensor,
    step: torch.optim.Optimizer,
    weights: Iterable[torch.Tensor],
    clip: float,
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
