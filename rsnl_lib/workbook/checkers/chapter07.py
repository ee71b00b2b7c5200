"""The checkers of chapter 07's exercises."""

from collections.abc import Callable
from typing import Any

import torch

from .base import exercise, need, of_a_function, shaped


@of_a_function
def project(function: Callable) -> None:
    """07: the nearest point of the L2 ball, image by image; function(d, epsilon)."""
    d = torch.tensor([[3.0, -4.0], [0.3, 0.4], [0.0, 0.0]]).view(3, 1, 1, 2)
    want = torch.tensor([[0.6, -0.8], [0.3, 0.4], [0.0, 0.0]])
    got = function(d.clone(), 1.0)
    need(shaped(got, d), "return a tensor of the perturbation's shape")
    hint = "where there is no perturbation the length is zero, and something is divided by it"
    need(not got.isnan().any(), hint)
    got = got.view(3, 2)
    hint = "a perturbation inside the ball stays as it is; yours is stretched to its edge"
    need(not torch.allclose(got[1], torch.tensor([0.6, 0.8]), atol=1e-5), hint)
    yours = [round(v, 3) for v in got[0].tolist()]
    hint = f"(3, -4) shortened to length 1 is (0.6, -0.8), yours is {yours}"
    need(torch.allclose(got, want, atol=1e-5), hint)


@exercise
def attack_passes(answer: Any) -> None:
    """07: the passes, forward or backward, of a step of training with ten attack steps."""
    need(answer != 20, "that leaves the step that trains out")
    need(answer not in (11, 12), "each attack step is a forward and a backward pass")
    need(answer == 22, "count the passes of one attack step, then of the step that trains")
