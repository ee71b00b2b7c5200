"""The checkers of chapter 05's exercises."""

from collections.abc import Callable

import torch
from torch import Tensor

from ...data import perturb
from .base import NotYet, need, of_a_function, shaped


def _images() -> Tensor:
    """Four images whose powers differ, each of uniform pixels, in float64."""
    g = torch.Generator().manual_seed(0)
    uniform = torch.rand(4, 1, 64, 64, generator=g, dtype=torch.float64)
    return uniform * torch.tensor([1, 2, 3, 4.0]).view(4, 1, 1, 1) + 0.5


@of_a_function
def noise(function: Callable) -> None:
    """05: white noise at a ratio, each image by its own power; function(x, ratio, generator)."""
    x = _images()
    got = function(x.clone(), 4.0, torch.Generator().manual_seed(1))
    need(shaped(got, x), "return a tensor of the images' shape")
    need(not torch.equal(got, x), "the images come back as they were; add the noise")
    need(got.max() > 1, "yours cuts the pixels to at most 1; here nothing is clipped")
    power = perturb.power(got - x)
    ratio = perturb.power(x) / power
    centred = x.var(dim=(1, 2, 3), keepdim=True) / power
    four = torch.full_like(ratio, 4)
    if torch.allclose(ratio, four, rtol=0.1):
        return
    variance = "you took the variance: the mean brightness counts here"
    hint = f"the signal's power is the mean square, {variance}"
    need(not torch.allclose(centred, four, rtol=0.1), hint)
    shared = power.max() / power.min() < 1.5
    need(not shared, "every image shall be measured by itself; yours share one noise level")
    root = "power / ratio is the noise's variance; its standard deviation is the root of that"
    need(not torch.allclose(power.sqrt(), perturb.power(x) / 4, rtol=0.1), root)
    question = "is that the noise's power or its standard deviation?"
    raise NotYet(f"asked for a ratio of 4, got {ratio.mean():.2f}; {question}")


@of_a_function
def shot(function: Callable) -> None:
    """05: Poisson noise at a ratio: variance in proportion to the pixel, power as white noise's."""
    x = _images()
    x[..., :16] = 0  # blank paper
    draws = [function(x.clone(), 4.0, torch.Generator().manual_seed(i)) for i in range(8)]
    need(all(shaped(got, x) for got in draws), "return a tensor of the images' shape")
    d = torch.stack(draws) - x
    need(bool(d.any()), "the images come back as they were; add the noise")
    need(not d[..., :16].any(), "the noise falls on blank paper too; where the pixel is 0, it is 0")
    need(
        d.mean().abs() < 0.05 * d.std(), "the noise has a mean; take it off: it shall only scatter"
    )
    ink = x / x.mean(dim=(1, 2, 3), keepdim=True)
    spread = (d.square() / perturb.power(x)).mean(0)
    bright, dark = ink > 1.8, (ink > 0) & (ink < 0.8)
    grows = (spread[bright].mean() / spread[dark].mean()).log()
    grows = float(grows / (ink[bright].mean() / ink[dark].mean()).log())
    told = "the variance shall grow as the pixel does"
    need(grows < 1.5, f"{told}; yours grows as its square: a deviation is the root of a variance")
    need(grows > 0.5, f"{told}; yours hardly depends on it")
    ratio = perturb.power(x) / d.square().mean(dim=(0, 2, 3, 4)).view(-1, 1, 1, 1)
    off = "divide the pixel by the image's mean, so that the mean power is P_x / ratio"
    hint = (
        f"asked for a ratio of 4 on every image, got {ratio.min():.2f} to {ratio.max():.2f}; {off}"
    )
    need(torch.allclose(ratio, torch.full_like(ratio, 4), rtol=0.1), hint)
