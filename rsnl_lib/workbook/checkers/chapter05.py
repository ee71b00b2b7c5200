"""The checkers of chapter 05's exercises."""

from collections.abc import Callable

import torch

from ...data import perturb
from .base import NotYet, need, of_a_function, one_number, shaped

# 05: the share of a 28 x 28 image that a 14 x 14 square hides
occlusion_share = one_number(0.25, "14 * 14 of 28 * 28 pixels")


@of_a_function
def noise(function: Callable) -> None:
    """05: white noise at a ratio, each image by its own power; function(x, ratio, generator)."""
    g = torch.Generator().manual_seed(0)
    uniform = torch.rand(4, 1, 64, 64, generator=g, dtype=torch.float64)
    x = uniform * torch.tensor([1, 2, 3, 4.0]).view(4, 1, 1, 1) + 0.5
    got = function(x.clone(), 4.0, torch.Generator().manual_seed(1))
    need(shaped(got, x), "return a tensor of the images' shape")
    power = perturb.power(got - x)
    ratio = perturb.power(x) / power
    centred = x.var(dim=(1, 2, 3), keepdim=True) / power
    four = torch.full_like(ratio, 4)
    if torch.allclose(ratio, four, rtol=0.1):
        return
    variance = "you took the variance: the mean brightness counts here"
    hint = f"the signal's power is the mean square, {variance}"
    need(not torch.allclose(centred, four, rtol=0.1), hint)
    shared = ratio.max() / ratio.min() > 1.5
    need(not shared, "every image shall be measured by itself; yours share one noise level")
    question = "is that the noise's power or its standard deviation?"
    raise NotYet(f"asked for a ratio of 4, got {ratio.mean():.2f}; {question}")
