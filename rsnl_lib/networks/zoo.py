"""Teachers and students by name and how they start: the paper's maxout networks (Table VIII), and
its neighbours'. Each maps images (n, channels, height, width) to logits (n, classes), as any
nn.Module may that serves as teacher or student; a `width` multiplies its channels.
"""

import re
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Generator, Tensor, nn

from .. import checks
from ..checks import one_of, positive, whole
from ..env import AnyPath
from . import makers
from .modules import Maxout, conv, dense, learned, pool, standing, try_on


def _times(width, channels):
    return [max(1, round(c * width)) for c in channels]


def _in_stages(c_in, stages, pools, places, hidden=(), classes=10, width=1):
    """3x3 maxout convolutions in stages with pools, then dense maxout units on `places` pixels."""
    layers = []
    for channels, size in zip(stages, pools):
        units = [c_in, *_times(width, channels)]
        layers += [conv(a, b, 3, 1) for a, b in pairwise(units)]
        layers.append(pool(size, size))
        c_in = units[-1]
    units = [places * c_in, *_times(width, hidden)]
    head = [dense(a, b) for a, b in pairwise(units)]
    return nn.Sequential(*layers, nn.Flatten(), *head, nn.Linear(units[-1], classes))


def _with_dropout(c_in, pad, channels, places, classes=10, width=1):
    """Three maxout convolutions and dense units with dropout, kernel norms (arXiv 1302.4389)."""
    a, b, c, *hidden = _times(width, channels)
    first = [nn.Dropout(0.2), conv(c_in, a, 8, pad, 0.9), pool(4, 2)]
    second = [nn.Dropout(0.5), conv(a, b, 8, 3, 1.9365), pool(4, 2)]
    third = [nn.Dropout(0.5), conv(b, c, 5, 3, 1.9365), pool(2, 2), nn.Flatten(), nn.Dropout(0.5)]
    units = [places * c, *hidden]
    head = [m for i, o in pairwise(units) for m in (dense(i, o, 1.9), nn.Dropout(0.5))]
    return nn.Sequential(*first, *second, *third, *head, nn.Linear(units[-1], classes))


def _mnist_student(classes=10, width=1):
    """16-16-16-16-12-12 maxout units, twice the teacher's depth (Table VIII; arXiv 1412.6550)."""
    a, b = _times(width, (16, 12))
    first = [conv(1, a, 5, 0), conv(a, a, 3, 0), pool(4, 2)]
    second = [conv(a, a, 5, 3), conv(a, a, 3, 0), pool(4, 2)]
    third = [conv(a, b, 3, 3), conv(b, b, 3, 0), pool(2, 2)]
    return nn.Sequential(*first, *second, *third, nn.Flatten(), nn.Linear(9 * b, classes))


class Residual(nn.Module):
    """Two 3x3 convolutions with batch norm beside a shortcut, which takes every other pixel and
    adds channels of zeros where the shape changes.
    """

    def __init__(self, c_in: int, c_out: int, stride: int):
        super().__init__()
        self.stride = stride
        self.more = c_out - c_in
        first = [nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU()]
        second = [nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False), nn.BatchNorm2d(c_out)]
        self.path = nn.Sequential(*first, *second)

    def forward(self, x):
        before = self.more // 2
        channels = (0, 0, 0, 0, before, self.more - before)
        shortcut = nn.functional.pad(x[:, :, :: self.stride, :: self.stride], channels)
        return torch.relu(self.path(x) + shortcut)


def _cifar_resnet(n, classes=10, width=1):
    """The small ResNets of arXiv 1512.03385 for CIFAR: three stages of n blocks."""
    stages = _times(width, (16, 32, 64))
    c = stages[0]
    layers = [nn.Conv2d(3, c, 3, 1, 1, bias=False), nn.BatchNorm2d(c), nn.ReLU()]
    for c_out, stride in zip(stages, (1, 2, 2)):
        layers.append(Residual(c, c_out, stride))
        layers += [Residual(c_out, c_out, 1) for _ in range(n - 1)]
        c = c_out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c, classes))


def _torchvision(name, classes=10, width=1):
    """torchvision's networks for 32x32 images (arXiv 1905.09747): ResNet-18 with a 3x3 convolution
    of stride 1 first and no pooling after it; MobileNetV2 with stride 1 in the first layer and in
    the stage of 24 channels.
    """
    import torchvision

    if width != 1:
        raise ValueError(f"width={width!r}: torchvision's {name} comes in width 1 here")
    if name == "resnet18":
        net = torchvision.models.resnet18(num_classes=classes)
        net.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        net.maxpool = nn.Identity()
    else:
        net = torchvision.models.mobilenet_v2(num_classes=classes, dropout=0.0)
        net.features[0][0].stride = (1, 1)
        net.features[2].conv[1][0].stride = (1, 1)
    return net


_cifar_student = partial(_in_stages, 3, pools=(2, 2, 8), places=1, hidden=(500,))

NETWORKS = {  # name: a function of classes and width
    "digits_mlp_teacher": partial(_in_stages, 64, (), (), 1, (128,)),
    "digits_mlp_student": partial(_in_stages, 64, (), (), 1, (16, 16, 16)),
    "digits_teacher": partial(_in_stages, 1, ((24, 24), (24,)), (2, 2), 4),
    "digits_student": partial(_in_stages, 1, ((8,) * 3, (8,) * 3), (2, 2), 4),
    "mnist_teacher": partial(_with_dropout, 1, 0, (48, 48, 24), 9),
    "mnist_student": _mnist_student,
    "cifar_teacher": partial(_with_dropout, 3, 4, (96, 192, 192, 500), 25),
    "cifar_student1": partial(_cifar_student, ((16,) * 3, (32,) * 3, (48, 48, 64))),
    "cifar_student2": partial(_cifar_student, ((16, 32, 32), (48, 64, 80), (96, 96, 128))),
    # student 3 as Table VIII prints it; its counts are not those of Table VII
    "cifar_student3": partial(_cifar_student, ((32, 48, 64, 64), (80,) * 4, (128,) * 3)),
    # with a first stage of 64-64-64-64: the reading that meets Table VII's counts
    "cifar_student3_counts": partial(_cifar_student, ((64,) * 4, (80,) * 4, (128,) * 3)),
    "cifar_student4": partial(_cifar_student, ((32, 32, 32, 48, 48), (80,) * 6, (128,) * 6)),
    # those of arXiv 1805.05532
    **{f"cifar_resnet{6 * n + 2}": partial(_cifar_resnet, n) for n in (1, 2, 3, 4)},
    "cifar_resnet18": partial(_torchvision, "resnet18"),
    "cifar_mobilenet": partial(_torchvision, "mobilenet_v2"),
}


# beyond these a name or a header is a mistake, whose network would fill the memory
WIDEST, MOST_CLASSES = 64, 100_000


def build(name: str, classes: int = 10, shape: tuple = ()) -> nn.Module:
    """A fresh network by name, e.g. build("mnist_student"); "+bn" adds batch norm after each maxout
    convolution, "@0.25" a width. Both stay part of the name in rows and files. A reader's own
    (`makers`) is told the `shape` of the images too.
    """
    if whole("classes", classes, 2) > MOST_CLASSES:
        raise ValueError(f"classes={classes} are too many; give 2 to {MOST_CLASSES}")
    if makers.maker_word(str(name)):
        return makers.made(str(name), classes, shape)
    plain, at, width = str(name).partition("@")
    plain, plus, norm = plain.partition("+")
    make = NETWORKS[one_of("network", plain, NETWORKS)]
    try:
        one_of("norm", plus + norm, ("", "+bn"))
        width = positive("width", float(width)) if at else 1
        if width > WIDEST:
            raise ValueError
    except ValueError:
        raise ValueError(
            f"network={name!r}: after + only bn is known, after @ a finite number above zero and"
            f" up to {WIDEST}, e.g. {plain}+bn@0.25"
        ) from None
    net = make(classes=classes, width=width)
    if not norm:
        return net
    parts = []
    for m in net.children():
        parts.append(m)
        if isinstance(m, Maxout) and isinstance(m.layer, nn.Conv2d):
            parts.append(nn.BatchNorm2d(m.layer.out_channels // m.pieces))
    if len(parts) == len([*net.children()]):
        raise ValueError(f"network={name!r} has no maxout convolution to normalise; leave +bn out")
    return nn.Sequential(*parts)


def described(path: AnyPath, header: dict[str, str]) -> tuple[str, int, tuple]:
    """(name, classes, shape) for `build`, as the header of the checkpoint `path` tells them."""
    name, classes = header.get("network"), header.get("classes", "10")
    if name is None:
        raise ValueError(f"{path} names no network in its header; pass the module as `net`")
    if not (classes.isdecimal() and len(classes) < 10):
        few = f"classes={classes[:20]!r}, no whole number of up to nine digits"
        raise ValueError(f"{path} says {few}; train it again")
    shape = re.findall(r"\d{1,5}", header.get("shape", ""))
    return name, int(classes), tuple(map(int, shape))


@torch.no_grad()
def lsuv_(net: nn.Module, x: Tensor, generator: Generator | None = None) -> nn.Module:
    """Layer-sequential unit-variance start (arXiv 1511.06422), in place: orthogonal weights, each
    layer's output scaled to variance 1 on the images `x`, biases drawn from U(-0.01, 0.01): zeros
    would make every blank patch of an MNIST image a tie between maxout pieces.
    """
    if not len(x) or not torch.isfinite(x).all():
        raise ValueError(f"images {tuple(x.shape)}: give at least one, without NaN or infinity")
    try_on(type(net).__name__, net, x[:2])
    with standing(net, "eval"):
        for layer in learned(net):
            w = torch.empty(layer.weight.shape)
            nn.init.orthogonal_(w.view(len(w), -1), generator=generator)
            layer.weight.copy_(w)
            if layer.bias is not None:
                b = torch.empty(layer.bias.shape)
                layer.bias.copy_(b.uniform_(-0.01, 0.01, generator=generator))
            seen = []
            with layer.register_forward_hook(lambda m, i, o: seen.append(o.std())):
                for _ in range(5):
                    net(x)
                    if abs(seen[-1] - 1) < 0.05 or seen[-1] < 1e-8:
                        break
                    layer.weight /= seen[-1]
    return net


@torch.no_grad()
def start(name: str, data: Any, seed: int = 0, init: str = "lsuv") -> nn.Module:
    """A network by name at its start, the same for every method of a seed: LSUV on 500 training
    images, or the papers' U(-0.005, 0.005) with biases 0 (arXiv 1302.4389, 1412.6550). A reader's
    own starts as its maker leaves it.
    """
    one_of("init", init, ("lsuv", "uniform"))
    checks.seed("seed", seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = build(name, data.classes, tuple(data.x_train.shape[1:])).to(data.x_train.device)
    if makers.maker_word(name):
        return net
    try_on(name, net, data.x_train[:2])
    if init == "lsuv":
        return lsuv_(net, data.x_train[:500], generator)
    for m in learned(net):
        m.weight.copy_(torch.empty(m.weight.shape).uniform_(-0.005, 0.005, generator=generator))
        if m.bias is not None:
            m.bias.zero_()
    return net
