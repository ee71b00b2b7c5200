"""Maxout teachers and students by name (Table VIII), their exact counts, and the start they train from.

Every network maps images (n, channels, height, width) to logits (n, classes). Nothing else in the
library asks for these classes: any nn.Module with that signature serves as teacher or student.
"""
import torch
from torch import nn

from .settings import one_of, whole


class Maxout(nn.Module):
    """The larger of `pieces` affine maps, computed by one layer of pieces * units outputs (arXiv 1302.4389).

    In training two pieces are joined as b + relu(a - b): the same value as torch.maximum and a
    cheaper double backward; at an exact tie the whole gradient goes to b.
    """

    def __init__(self, layer, pieces=2, max_norm=None):
        super().__init__()
        self.layer, self.pieces, self.max_norm = layer, pieces, max_norm

    def forward(self, x):
        first, *others = self.layer(x).chunk(self.pieces, dim=1)
        for other in others:
            first = other + torch.relu(first - other) if self.training else torch.maximum(first, other)
        return first


def conv(c_in, c_out, kernel, pad, max_norm=None):
    return Maxout(nn.Conv2d(c_in, 2 * c_out, kernel, padding=pad), max_norm=max_norm)


def dense(n_in, n_out):
    return Maxout(nn.Linear(n_in, 2 * n_out))


def pool(size, stride):
    return nn.MaxPool2d(size, stride, ceil_mode=True)


def digits_mlp_teacher(classes=10):
    return nn.Sequential(nn.Flatten(), dense(64, 128), nn.Linear(128, classes))


def digits_mlp_student(classes=10):
    return nn.Sequential(nn.Flatten(), dense(64, 16), dense(16, 16), dense(16, 16), nn.Linear(16, classes))


def digits_teacher(classes=10):
    """Three maxout convolutions on 8x8 images, 22,128 weights."""
    return nn.Sequential(conv(1, 24, 3, 1), conv(24, 24, 3, 1), pool(2, 2), conv(24, 24, 3, 1), pool(2, 2),
                         nn.Flatten(), nn.Linear(96, classes))


def digits_student(classes=10):
    """Six thin maxout convolutions on 8x8 images: twice as deep as the teacher, 6,224 weights."""
    return nn.Sequential(conv(1, 8, 3, 1), conv(8, 8, 3, 1), conv(8, 8, 3, 1), pool(2, 2), conv(8, 8, 3, 1),
                         conv(8, 8, 3, 1), conv(8, 8, 3, 1), pool(2, 2), nn.Flatten(), nn.Linear(32, classes))


def mnist_teacher(classes=10):
    """48-48-24 maxout units, kernels 8/8/5, dropout and kernel norms of arXiv 1302.4389; 360,816 weights."""
    return nn.Sequential(
        nn.Dropout(0.2), conv(1, 48, 8, 0, 0.9), pool(4, 2),
        nn.Dropout(0.5), conv(48, 48, 8, 3, 1.9365), pool(4, 2),
        nn.Dropout(0.5), conv(48, 24, 5, 3, 1.9365), pool(2, 2),
        nn.Flatten(), nn.Dropout(0.5), nn.Linear(216, classes))


def mnist_student(classes=10):
    """16-16-16-16-12-12 maxout units, twice as deep as the teacher, 29,944 weights (Table VIII; arXiv 1412.6550)."""
    return nn.Sequential(
        conv(1, 16, 5, 0), conv(16, 16, 3, 0), pool(4, 2),
        conv(16, 16, 5, 3), conv(16, 16, 3, 0), pool(4, 2),
        conv(16, 12, 3, 3), conv(12, 12, 3, 0), pool(2, 2),
        nn.Flatten(), nn.Linear(108, classes))


NETWORKS = {f.__name__: f for f in (digits_mlp_teacher, digits_mlp_student, digits_teacher, digits_student,
                                    mnist_teacher, mnist_student)}
SHAPES = {"digits": (1, 8, 8), "mnist": (1, 28, 28)}       # one image of each data set


def build(name, classes=10):
    """A fresh network by name, e.g. build("mnist_student")."""
    return NETWORKS[one_of("network", name, NETWORKS)](whole("classes", classes, 2))


def count(net, shape):
    """(weights, multiplications for one image of `shape`): weights without biases, as the paper counts (Table VII)."""
    mults = 0

    def add(layer, inputs, out):
        nonlocal mults
        places = out[0, 0].numel() if isinstance(layer, nn.Conv2d) else 1
        mults += layer.weight.numel() * places

    layers = [m for m in net.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    hooks = [m.register_forward_hook(add) for m in layers]
    parameter = next(net.parameters())
    mode = net.training
    with torch.no_grad():
        net.eval()(torch.zeros(1, *shape, dtype=parameter.dtype, device=parameter.device))
    net.train(mode)
    for hook in hooks:
        hook.remove()
    return sum(m.weight.numel() for m in layers), mults


@torch.no_grad()
def lsuv_(net, x, generator=None):
    """Layer-sequential unit-variance start (arXiv 1511.06422), in place: orthogonal weights, each layer's
    output scaled to variance 1 on the images `x`, biases drawn from U(-0.01, 0.01).

    A bias of exactly zero would make every blank patch of an MNIST image a tie between maxout pieces.
    """
    mode = net.training
    net.eval()
    for layer in net.modules():
        if not isinstance(layer, (nn.Conv2d, nn.Linear)):
            continue
        w = torch.empty(layer.weight.shape)
        nn.init.orthogonal_(w.view(len(w), -1), generator=generator)
        layer.weight.copy_(w)
        if layer.bias is not None:
            layer.bias.copy_(torch.empty(layer.bias.shape).uniform_(-0.01, 0.01, generator=generator))
        seen = []
        hook = layer.register_forward_hook(lambda m, i, o: seen.append(o.std()))
        for _ in range(5):
            seen.clear()
            net(x)
            if abs(seen[0] - 1) < 0.05 or seen[0] < 1e-8:
                break
            layer.weight /= seen[0]
        hook.remove()
    return net.train(mode)


@torch.no_grad()
def clip_kernels_(net):
    """Scale back, in place, every kernel whose norm exceeds its layer's max_norm (arXiv 1302.4389)."""
    for m in net.modules():
        if isinstance(m, Maxout) and m.max_norm is not None:
            w = m.layer.weight
            w.copy_(torch.renorm(w, 2, 0, m.max_norm))


def training(net, frozen_norm=False):
    """Put `net` in training mode; with frozen_norm its batch norm layers keep their statistics."""
    net.train()
    for m in net.modules():
        if frozen_norm and isinstance(m, nn.modules.batchnorm._BatchNorm):
            m.eval()
    return net
