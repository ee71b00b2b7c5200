"""What is done to a test image: white noise at an SNR, Poisson noise, occlusion.

Each takes images (n, c, h, w) in the space the network sees and returns new ones, unclipped; powers
are means of squares over the pixels of one image, not centred (Sec. V-B leaves all three open).
"""

from typing import Any

import torch
from torch import Generator, Tensor

from .. import checks
from ..checks import draws_on, finite, images, one_of, positive, whole
from .catalogue import Data


def snr_ratio(snr: float, unit: str = "dB") -> float:
    """P_signal / P_noise as a plain ratio, from decibels (default) or from a ratio."""
    if one_of("unit", unit, ("dB", "ratio")) == "ratio":
        return positive("snr", snr)
    if abs(finite("snr", snr)) > 200:
        raise ValueError(f"snr={snr!r} must lie between -200 and 200 dB")
    return 10 ** (snr / 10)


def power(x: Tensor) -> Tensor:
    """Mean square of each image, shaped (n, 1, 1, 1)."""
    return x.square().mean(dim=(1, 2, 3), keepdim=True)


def _draw(x, generator):
    how = {"dtype": x.dtype, "device": draws_on(generator, x)}
    return torch.randn(x.shape, generator=generator, **how).to(x.device)


def gaussian(x: Tensor, snr: float, generator: Generator | None = None, unit: str = "dB") -> Tensor:
    """x + white Gaussian noise whose power is each image's own power / SNR (Fig. 2)."""
    return _noisy(images(x), snr_ratio(snr, unit), generator, power)


def poisson(x: Tensor, snr: float, generator: Generator | None = None, unit: str = "dB") -> Tensor:
    """x + zero-mean noise of variance proportional to |x|, at the SNR of `gaussian` (Table I, P).

    Poisson counts have a variance equal to their mean; scaled to an SNR and centred, that is
    Gaussian noise of standard deviation sqrt(P |x| / (mean|x| SNR)): none where the image is blank.
    """
    return _noisy(images(x), snr_ratio(snr, unit), generator, _poisson_power)


def _poisson_power(x):
    """The noise power of each pixel, in proportion to |x|; its mean is the image's own power."""
    mean = x.abs().mean(dim=(1, 2, 3), keepdim=True)
    share = x.abs() / mean.clamp_min(torch.finfo(x.dtype).tiny)
    return share * power(x)


def _noisy(x, ratio, generator, noise_power):
    """x plus white noise of noise_power(x) / ratio. Where an image's squares leave the range of its
    dtype they are taken in float64, of pixels scaled to 1 at most; ValueError if noise overflows.
    """
    deviation = (noise_power(x) / ratio).sqrt()
    finfo = torch.finfo(x.dtype)
    low, high = finfo.tiny / finfo.eps, finfo.max * finfo.eps
    own = power(x)
    plain = (own.minimum(own / ratio) > low) & (own.maximum(own / ratio) < high)
    near = x.device.type == "cpu"  # elsewhere nothing is asked: the device would be waited for
    if not near or not plain.all():
        most = x.abs().amax(dim=(1, 2, 3), keepdim=True).double()
        exact = (noise_power(x / most.where(most > 0, 1)) / ratio).sqrt() * most
        deviation = deviation.where(plain, exact.to(x.dtype))
    seen = x + _draw(x, generator) * deviation
    if near and not (plain.all() or seen.isfinite().all()):
        most = x.abs().max().item()
        why = f"noise on pixels of up to {most:.3g} leaves the range of {x.dtype}"
        raise ValueError(f"{why}; scale the images to [0, 1]")
    return seen


def occlude(
    x: Tensor, size: int, generator: Generator | None = None, at: tuple[int, int] | None = None
) -> Tensor:
    """x with a size x size square of zeros, its top left corner `at` (row, column), else uniformly
    placed (Table II).
    """
    h, w = images(x).shape[2:]
    if whole("size", size) > min(h, w):
        raise ValueError(f"size={size} is larger than the image ({h} x {w}); use 0 to {min(h, w)}")
    if at is None:
        how: dict[str, Any] = {"generator": generator}
        how["device"] = draws_on(generator, x)
        top: Tensor | int = torch.randint(h - size + 1, (len(x), 1, 1, 1), **how).to(x.device)
        left: Tensor | int = torch.randint(w - size + 1, (len(x), 1, 1, 1), **how).to(x.device)
    elif (
        isinstance(at, (tuple, list))
        and len(at) == 2
        and at[0] in range(h - size + 1)
        and at[1] in range(w - size + 1)
    ):
        top, left = at
    else:
        places = f"rows 0 to {h - size}, columns 0 to {w - size}"
        raise ValueError(f"at={at!r} must be two whole numbers; {places}")
    row = torch.arange(h, device=x.device).view(1, 1, h, 1)
    col = torch.arange(w, device=x.device).view(1, 1, 1, w)
    inside = (row >= top) & (row < top + size) & (col >= left) & (col < left + size)
    return x.masked_fill(inside, 0)


def apply(
    kind: str, x: Tensor, level: float, generator: Generator | None = None, unit: str = "dB"
) -> Tensor:
    """The perturbation `kind` ("clean" changes nothing) at `level`: SNR in `unit`, or pixels."""
    if one_of("perturbation", kind, ("clean", "gaussian", "poisson", "occlusion")) == "clean":
        return images(x)
    if kind == "occlusion":
        return occlude(x, whole("size", level), generator)
    noisy = gaussian if kind == "gaussian" else poisson
    return noisy(x, level, generator, unit)


def random_crop(x: Tensor, pad: int) -> Tensor:
    """x (n, c, h, w), each image moved by its own draw of up to `pad` pixels each way, zeros from
    outside (arXiv 1302.4389: 4).
    """
    n, _, h, w = images(x).shape
    top, left = torch.randint(2 * whole("pad", pad) + 1, (2, n, 1), device=x.device)
    rows = top + torch.arange(h, device=x.device)
    cols = left + torch.arange(w, device=x.device)
    each = torch.arange(n, device=x.device)
    padded = torch.nn.functional.pad(x, [pad] * 4)
    out = padded[each[:, None, None], :, rows[:, :, None], cols[:, None]]
    return out.permute(0, 3, 1, 2)


def noisy_training_set(data: Data, kind: str, snr: float, seed: int = 0, unit: str = "dB") -> Data:
    """`data` with noise of `kind` at `snr` on every training and validation image (Table I: trained
    on G or P), drawn once from `seed`, not each epoch: the paper does not say, this can be cached.
    """
    one_of("train_noise", kind, ("gaussian", "poisson"))
    checks.seed("seed", seed)
    train, val = (Generator().manual_seed(1_000_003 * i + seed) for i in (1, 2))
    x_train = apply(kind, data.x_train, snr, train, unit)
    return data._replace(x_train=x_train, x_val=apply(kind, data.x_val, snr, val, unit))
