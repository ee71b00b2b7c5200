"""The same numbers as nn.Conv2d and a maxout of two pieces, faster in training: `with
fast.layers(net):` is the one visible call.

PyTorch differentiates a convolution twice through one whose kernel is the whole feature map. Here
the input gradient is a function of its own, whose derivatives are a convolution and a weight
gradient; of a maxout, one bit a unit is kept.
"""

import contextlib
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from . import fourier, modules

_back = torch.ops.aten.convolution_backward  # the derivatives that its last argument asks for


def _derivatives(up, x, w, how, wanted, bias=None):
    """Of a convolution: gradients of the images x, the kernels w and the bias, those `wanted`."""
    stride, padding, dilation, groups = how
    return _back(up, x, w, bias, stride, padding, dilation, False, (0, 0), groups, wanted)


def _like(t, w):
    """t in the memory format of the kernels w: a mix of formats costs a copy inside every call."""
    # by strides: one channel is contiguous either way
    last = w.dim() == 4 and w.stride(1) == 1 and w.stride(3) == w.shape[1]
    return t.contiguous(memory_format=torch.channels_last) if last else t


def _image_gradient(up, w, x, how):
    """The gradient of the images x, of which only the shape is asked, from up and the kernels w."""
    stride, padding, dilation, _ = how
    if x.shape[1] == 1 and stride == dilation == (1, 1) and up.device.type == "cpu":
        # one channel: far faster as a product and a fold
        columns = torch.bmm(w.flatten(1).t().expand(len(up), -1, -1), up.flatten(2))
        return F.fold(columns, x.shape[2:], w.shape[2:], padding=padding)
    return _derivatives(up, x, w, how, (True, False, False))[0]


class _InputGradient(Function):
    """up (n, c_out, ...), w -> the gradient of the images x: linear in both."""

    @staticmethod
    def forward(ctx, up, w, x, how):
        up = _like(up, w)
        ctx.save_for_backward(up, w)
        ctx.how = how
        return _image_gradient(up, w, x, how)

    @staticmethod
    @once_differentiable
    def backward(ctx, t):
        up, w = ctx.saved_tensors
        t = _like(t, w)
        d_up = d_w = None
        if ctx.needs_input_grad[0]:
            d_up = F.conv2d(t, w, None, *ctx.how)
        if ctx.needs_input_grad[1]:
            d_w = _derivatives(up, t, w, ctx.how, (False, True, False))[1]
        return d_up, d_w, None, None


class _Conv(Function):
    """F.conv2d for training: `create_graph` gives the gradient of x alone, and the final backward
    none for images x whose gradient was taken that way.
    """

    @staticmethod
    def forward(ctx, x, w, b, how):
        ctx.how = how
        ctx.bias = None if b is None else [len(w)]
        ctx.image = x.is_leaf and x.requires_grad
        ctx.taken = False
        x = _like(x, w)
        ctx.save_for_backward(x, w)
        return F.conv2d(x, w, b, *how)

    @staticmethod
    def backward(ctx, up):
        x, w = ctx.saved_tensors
        if torch.is_grad_enabled():
            # create_graph: the input gradient, to be differentiated once more
            ctx.taken = True
            return _InputGradient.apply(up, w, x, ctx.how), None, None, None
        up = _like(up, w)
        images, *weights = ctx.needs_input_grad[:3]
        d_x = d_w = d_b = None
        if images and not (ctx.image and ctx.taken):
            d_x = _image_gradient(up, w, x, ctx.how)
        if any(weights):  # of frozen weights and biases nothing is computed
            _, d_w, d_b = _derivatives(up, x, w, ctx.how, (False, *weights), ctx.bias)
        return d_x, d_w, d_b, None


class _Spread(Function):
    """up (n, units, ...) -> (n, 2 units, ...): a unit's gradient goes to its larger piece."""

    @staticmethod
    def forward(ctx, up, first):
        ctx.first = first
        n, units, *places = up.shape
        layout = torch.channels_last if up.dim() == 4 else torch.contiguous_format
        kw = dict(dtype=up.dtype, device=up.device, memory_format=layout)
        out = torch.empty((n, 2 * units, *places), **kw)
        torch.mul(up, first, out=out[:, :units])
        torch.sub(up, out[:, :units], out=out[:, units:])
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, t):
        return torch.where(ctx.first, *t.chunk(2, 1)), None


class _Larger(Function):
    @staticmethod
    def forward(ctx, z):
        a, b = z.chunk(2, 1)
        ctx.first = a > b
        return torch.maximum(a, b)

    @staticmethod
    def backward(ctx, up):
        return _Spread.apply(up, ctx.first)


def transformable(conv: nn.Conv2d) -> bool:
    """Is a convolution faster as a product per frequency (`fourier`)? It is with kernels of 5 and
    more over 32 channels and more.
    """
    plain = conv.stride == conv.dilation == (1, 1) and conv.groups == 1
    return plain and min(conv.kernel_size) >= 5 and conv.in_channels >= 32


class Conv2d(nn.Conv2d):
    def forward(self, x):
        if not torch.is_grad_enabled():
            return super().forward(x)
        w, b = self.weight, self.bias
        if torch.is_autocast_enabled(x.device.type):
            kind = torch.get_autocast_dtype(x.device.type)
            x, w, b = (t if t is None else t.to(kind) for t in (x, w, b))
        return _Conv.apply(x, w, b, (self.stride, self.padding, self.dilation, self.groups))


class MaxoutPair(modules.Maxout):
    def forward(self, x):
        return _Larger.apply(self.layer(x)) if torch.is_grad_enabled() else super().forward(x)


class Frequencies(Conv2d):
    def forward(self, x):
        full = x.dtype in (torch.float32, torch.float64)
        if full and not torch.is_autocast_enabled(x.device.type):
            return fourier.conv2d(x, self.weight, self.bias, self.padding)
        return super().forward(x)


@contextlib.contextmanager
def layers(net: nn.Module, transform: bool = True) -> Iterator[nn.Module]:
    """Within this block every nn.Conv2d of `net` with zeros of a given width around is a `Conv2d`
    of above, or with `transform` one by `Frequencies` where it is `transformable`, its weights in
    channels_last; every maxout of two pieces is a `MaxoutPair`: at a tie the second takes the whole
    gradient. Under no_grad only the layout differs, a gain most in batches of about 64.
    """
    convs = [m for m in net.modules() if type(m) is nn.Conv2d and m.padding_mode == "zeros"]
    convs = [m for m in convs if not isinstance(m.padding, str)]
    pairs = [m for m in net.modules() if type(m) is modules.Maxout and m.pieces == 2]
    with modules.put_back(convs + pairs, "__class__"):
        for m in pairs:
            m.__class__ = MaxoutPair
        for m in convs:
            m.__class__ = Frequencies if transform and transformable(m) else Conv2d
            m.weight.data = m.weight.data.to(memory_format=torch.channels_last)
        try:
            yield net
        finally:
            for m in convs:
                m.weight.data = m.weight.data.to(memory_format=torch.contiguous_format)
