"""What is done to a test image: white noise at an SNR, Poisson noise, occlusion.

Each takes images (n, c, h, w) in the space the network sees and returns new ones, unclipped; powers
are means of squares over the pixels of one image, not centred (Sec. V-B leaves all three open).
"""

import torch
from torch import Tensor

from ..checks import finite, images, one_of, positive, whole
from .catalogue import Data


def snr_ratio(snr: float, unit: str = "dB") -> float:
    """P_signal / P_noise as a plain ratio, from decibels (default) or from a ratio."""
    one_of("unit", unit, ("dB", "ratio"))
    if unit == "ratio":
        return positive("snr", snr)
    if abs(finite("snr", snr)) > 200:
        raise ValueError(f"snr={snr!r} must lie between -200 and 200 dB")
    return 10 ** (snr / 10)


def power(x: Tensor) -> Tensor:
    """Mean square of each image, shaped (n, 1, 1, 1)."""
    return x.square().mean(dim=(1, 2, 3), keepdim=True)


def _draw(x, generator):
    where = generator.device if generator else x.device
    return torch.randn(x.shape, generator=generator, dtype=x.dtype, device=where).to(x.device)


def gaussian(x: Tensor, snr: float, generator=None, unit: str = "dB") -> Tensor:
    """x + white Gaussian noise whose power is each image's own power / SNR (Fig. 2)."""
    ratio = snr_ratio(snr, unit)
    return images(x) + _draw(x, generator) * (power(x) / ratio).sqrt()


def poisson(x: Tensor, snr: float, generator=None, unit: str = "dB") -> Tensor:
    """x + zero-mean noise of variance proportional to |x|, at the same SNR as `gaussian` (Table I,
    column P).

    Poisson counts have a variance equal to their mean; scaled to an SNR and centred, that is
    Gaussian noise of standard deviation sqrt(P |x| / (mean|x| SNR)): where the image is blank,
    there is none.
    """
    ratio = snr_ratio(snr, unit)
    mean = images(x).abs().mean(dim=(1, 2, 3), keepdim=True)
    share = x.abs() / mean.clamp_min(torch.finfo(x.dtype).tiny)
    return x + _draw(x, generator) * (share * power(x) / ratio).sqrt()


def _corner(at, size, h, w):
    """`at` if it is (row, column) of a size x size square inside an h x w image."""
    pair = isinstance(at, (tuple, list)) and len(at) == 2
    if not pair or not all(isinstance(v, int) for v in at):
        raise ValueError(
            f"at={at!r} must be two whole numbers, the row and column of the square's top left"
            " corner"
        )
    if not (0 <= at[0] <= h - size and 0 <= at[1] <= w - size):
        raise ValueError(
            f"at={at!r} puts a {size} x {size} square outside the {h} x {w} image; "
            f"rows 0 to {h - size}, columns 0 to {w - size}"
        )
    return at


def occlude(x: Tensor, size: int, generator=None, at=None) -> Tensor:
    """x with one size x size square of zeros: its top left corner `at` (row, column), else
    uniformly placed (Table II).
    """
    h, w = images(x).shape[2:]
    if whole("size", size) > min(h, w):
        raise ValueError(f"size={size} is larger than the image ({h} x {w}); use 0 to {min(h, w)}")
    if at is None:
        how = {"generator": generator, "device": generator.device if generator else x.device}
        top = torch.randint(h - size + 1, (len(x), 1, 1, 1), **how).to(x.device)
        left = torch.randint(w - size + 1, (len(x), 1, 1, 1), **how).to(x.device)
    else:
        top, left = _corner(at, size, h, w)
    row = torch.arange(h, device=x.device).view(1, 1, h, 1)
    col = torch.arange(w, device=x.device).view(1, 1, 1, w)
    inside = (row >= top) & (row < top + size) & (col >= left) & (col < left + size)
    return x.masked_fill(inside, 0)


KINDS = {"gaussian": gaussian, "poisson": poisson, "occlusion": occlude}


def apply(kind: str, x: Tensor, level: float, generator=None, unit: str = "dB") -> Tensor:
    """The perturbation called `kind` at `level` (SNR in `unit`, or the square's size in pixels);
    "clean" changes nothing.
    """
    if one_of("perturbation", kind, ("clean", *KINDS)) == "clean":
        return images(x)
    if kind == "occlusion":
        return occlude(x, level, generator)
    return KINDS[kind](x, level, generator, unit)


def random_crop(x: Tensor, pad: int) -> Tensor:
    """x (n, c, h, w) moved by up to `pad` pixels each way, each image by its own draw, zeros from
    outside (arXiv 1302.4389: 4).
    """
    n, _, h, w = x.shape
    top, left = torch.randint(2 * whole("pad", pad) + 1, (2, n, 1), device=x.device)
    rows = top + torch.arange(h, device=x.device)
    cols = left + torch.arange(w, device=x.device)
    each = torch.arange(n, device=x.device)
    padded = torch.nn.functional.pad(x, [pad] * 4)
    out = padded[each[:, None, None], :, rows[:, :, None], cols[:, None]]
    return out.permute(0, 3, 1, 2)


def noisy_training_set(data: Data, kind: str, snr: float, seed: int = 0, unit: str = "dB") -> Data:
    """`data` with noise of `kind` at `snr` on every training and validation image, drawn once from
    `seed` (Table I: trained on G or P).

    The test images stay as they are. Drawn once, not anew each epoch: the paper does not say, and a
    fixed set can be cached.
    """
    one_of("train_noise", kind, ("gaussian", "poisson"))
    parts = {}
    for i, name in enumerate(("x_train", "x_val")):
        generator = torch.Generator().manual_seed(1_000_003 * (i + 1) + whole("seed", seed))
        parts[name] = apply(kind, getattr(data, name), snr, generator, unit)
    return data._replace(**parts)
