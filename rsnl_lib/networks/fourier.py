"""A convolution with a large kernel as a product per frequency: a discrete Fourier transform of two
dimensions written as matrix products.

An 8 x 8 kernel costs 64 multiplications a place and pair of channels; a product per frequency costs
four, for half as many frequencies as places. All is matrix products, so autograd differentiates it
as often as one likes. Real and imaginary parts lie apart, images last but for channels: (height,
width, n, channels), so that every step is one product of large matrices without a copy.
"""

import functools
import math

import torch
from torch import Tensor


@functools.cache
def _waves(rows, columns, size, dtype, device, first=0):
    """cos and sin of 2 pi f i / size, each (rows, columns), for f < rows and i from `first` on."""
    f = torch.arange(rows, dtype=torch.float64)
    i = first + torch.arange(columns, dtype=torch.float64)
    angle = torch.outer(f, i).remainder(size) * (2 * math.pi / size)
    return angle.cos().to(device, dtype), angle.sin().to(device, dtype)


def _turned(re, im, cos, sin):
    """(cos, sin) (m, k) times (re, im) (k, ...) as complex numbers."""
    re = re.reshape(len(re), -1)
    im = im.reshape(len(im), -1)
    return torch.addmm(cos @ re, -sin, im), torch.addmm(cos @ im, sin, re)


def _spectrum(t, rows, columns, top=0, left=0):
    """(re, im) of the transform of t (h, w, ...), which begins at (top, left) of a field of zeros
    of the size (rows, columns): each (rows * half, ...).
    """
    h, w, *more = t.shape
    half = columns // 2 + 1
    cos, sin = _waves(half, w, columns, t.dtype, t.device, left)
    flat = t.reshape(h, w, -1)
    re = torch.matmul(cos, flat)
    im = torch.matmul(-sin, flat)
    cos, sin = _waves(rows, h, rows, t.dtype, t.device, top)
    return tuple(part.view(rows * half, *more) for part in _turned(re, im, cos, -sin))


def _inverse(re, im, rows, columns, out_rows, out_columns):
    """The first out_rows x out_columns places of the real signal with spectrum (re, im), each (rows
    * half, n, u): (out_rows, out_columns, n, u).
    """
    half = columns // 2 + 1
    more = re.shape[1:]
    cos, sin = _waves(out_rows, rows, rows, re.dtype, re.device)
    re, im = _turned(re.reshape(rows, -1), im.reshape(rows, -1), cos / rows, sin / rows)
    # each frequency but the mean and, of an even size, the fastest stands for its mirror image too
    twice = torch.full((half,), 2.0 / columns, dtype=re.dtype, device=re.device)
    twice[0] = 1 / columns
    if columns % 2 == 0:
        twice[-1] = 1 / columns
    cos, sin = (m * twice for m in _waves(out_columns, half, columns, re.dtype, re.device))
    real = torch.matmul(cos, re.view(out_rows, half, -1))
    out = torch.baddbmm(real, -sin.expand(out_rows, -1, -1), im.view(out_rows, half, -1))
    return out.view(out_rows, out_columns, *more)


def conv2d(x: Tensor, w: Tensor, b: Tensor | None = None, padding: tuple = (0, 0)) -> Tensor:
    """F.conv2d of images x (n, c, h, w) with kernels w (u, c, k, l), stride 1, zeros around: the
    same but for rounding; any derivative.
    """
    h, v = x.shape[2:]
    k, l = w.shape[2:]
    p, q = padding
    out_rows = h + 2 * p - k + 1
    out_columns = v + 2 * q - l + 1
    # a field so large that what wraps around meets zeros
    rows = max(h + p, k, out_rows)
    columns = max(v + q, l, out_columns)
    x_re, x_im = _spectrum(x.permute(2, 3, 0, 1), rows, columns, p, q)
    w_re, w_im = _spectrum(w.permute(2, 3, 1, 0), rows, columns)
    y_re = torch.baddbmm(torch.bmm(x_re, w_re), x_im, w_im)
    y_im = torch.baddbmm(torch.bmm(x_im, w_re), -x_re, w_im)
    y = _inverse(y_re, y_im, rows, columns, out_rows, out_columns).permute(2, 3, 0, 1)
    return y if b is None else y + b[:, None, None]
