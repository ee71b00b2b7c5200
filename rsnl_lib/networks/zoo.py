"""Teachers and students by name: the paper's maxout networks (Table VIII), and its neighbours'.

Every network maps images (n, channels, height, width) to logits (n, classes). Nothing else in the
library asks for these classes: any nn.Module with that signature serves as teacher or student.
"""

from functools import partial

import torch
from torch import nn

from ..checks import one_of, positive, whole
from .modules import Maxout, conv, dense, pool

CIFAR_STUDENTS = {  # channels of the three stages (Table VIII)
    "cifar_student1": ((16,) * 3, (32,) * 3, (48, 48, 64)),
    "cifar_student2": ((16, 32, 32), (48, 64, 80), (96, 96, 128)),
    # Student 3 as Table VIII prints it; its counts are not those of Table VII
    "cifar_student3": ((32, 48, 64, 64), (80,) * 4, (128,) * 3),
    # with a first stage of 64-64-64-64: the reading that meets Table VII's counts
    "cifar_student3_counts": ((64,) * 4, (80,) * 4, (128,) * 3),
    "cifar_student4": ((32, 32, 32, 48, 48), (80,) * 6, (128,) * 6),
}


def times(width: float, *channels: int) -> list[int]:
    """The channels of a network of that width, at least one each."""
    return [max(1, round(c * width)) for c in channels]


def _dense_layers(n_in, units, classes, width):
    layers = []
    for n_out in times(width, *units):
        layers.append(dense(n_in, n_out))
        n_in = n_out
    return [*layers, nn.Linear(n_in, classes)]


def _stages(c_in, stages, pools, width):
    """3x3 maxout convolutions in stages with a pool after each, and the channels of the last."""
    layers = []
    for channels, size in zip(stages, pools):
        for c_out in times(width, *channels):
            layers.append(conv(c_in, c_out, 3, 1))
            c_in = c_out
        layers.append(pool(size, size))
    return layers, c_in


def digits_mlp_teacher(classes: int = 10, width: float = 1) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), *_dense_layers(64, (128,), classes, width))


def digits_mlp_student(classes: int = 10, width: float = 1) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), *_dense_layers(64, (16, 16, 16), classes, width))


def digits_teacher(classes: int = 10, width: float = 1) -> nn.Sequential:
    """Three maxout convolutions on 8x8 images, 22,128 weights."""
    layers, c = _stages(1, ((24, 24), (24,)), (2, 2), width)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(4 * c, classes))


def digits_student(classes: int = 10, width: float = 1) -> nn.Sequential:
    """Six thin maxout convolutions on 8x8 images: twice as deep as the teacher, 6,224 weights."""
    layers, c = _stages(1, ((8,) * 3, (8,) * 3), (2, 2), width)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(4 * c, classes))


def _dropping_stages(c_in, pad, a, b, c):
    """Three maxout convolutions, kernels 8/8/5, with dropout and kernel norms (arXiv 1302.4389)."""
    return [
        nn.Dropout(0.2),
        conv(c_in, a, 8, pad, 0.9),
        pool(4, 2),
        nn.Dropout(0.5),
        conv(a, b, 8, 3, 1.9365),
        pool(4, 2),
        nn.Dropout(0.5),
        conv(b, c, 5, 3, 1.9365),
        pool(2, 2),
        nn.Flatten(),
        nn.Dropout(0.5),
    ]


def mnist_teacher(classes: int = 10, width: float = 1) -> nn.Sequential:
    """48-48-24 maxout units, 360,816 weights (arXiv 1302.4389)."""
    a, b, c = times(width, 48, 48, 24)
    return nn.Sequential(*_dropping_stages(1, 0, a, b, c), nn.Linear(9 * c, classes))


def mnist_student(classes: int = 10, width: float = 1) -> nn.Sequential:
    """16-16-16-16-12-12 maxout units, twice as deep as the teacher, 29,944 weights (Table VIII;
    arXiv 1412.6550).
    """
    a, b = times(width, 16, 12)
    return nn.Sequential(
        conv(1, a, 5, 0),
        conv(a, a, 3, 0),
        pool(4, 2),
        conv(a, a, 5, 3),
        conv(a, a, 3, 0),
        pool(4, 2),
        conv(a, b, 3, 3),
        conv(b, b, 3, 0),
        pool(2, 2),
        nn.Flatten(),
        nn.Linear(9 * b, classes),
    )


def cifar_teacher(classes: int = 10, width: float = 1) -> nn.Sequential:
    """96-192-192 maxout units and 500 dense ones, 9,044,360 weights (arXiv 1302.4389)."""
    a, b, c, h = times(width, 96, 192, 192, 500)
    stages = _dropping_stages(3, 4, a, b, c)
    head = [dense(25 * c, h, 1.9), nn.Dropout(0.5), nn.Linear(h, classes)]
    return nn.Sequential(*stages, *head)


def _cifar_student(stages, classes=10, width=1):
    """3x3 maxout convolutions in three stages with pools 2, 2 and 8, then 500 dense maxout units
    (Table VIII).
    """
    layers, c = _stages(3, stages, (2, 2, 8), width)
    return nn.Sequential(*layers, nn.Flatten(), *_dense_layers(c, (500,), classes, width))


class Residual(nn.Module):
    """Two 3x3 convolutions with batch norm beside a shortcut, which takes every other pixel and
    adds channels of zeros where the shape changes.
    """

    def __init__(self, c_in: int, c_out: int, stride: int):
        super().__init__()
        self.stride = stride
        self.more = c_out - c_in
        self.path = nn.Sequential(
            nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(c_out),
            nn.ReLU(),
            nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(c_out),
        )

    def forward(self, x):
        before = self.more // 2
        channels = (0, 0, 0, 0, before, self.more - before)
        shortcut = nn.functional.pad(x[:, :, :: self.stride, :: self.stride], channels)
        return torch.relu(self.path(x) + shortcut)


def _cifar_resnet(blocks, classes=10, width=1):
    """The small ResNets of arXiv 1512.03385 for CIFAR, three stages of `blocks` blocks (arXiv
    1805.05532).
    """
    c, *rest = times(width, 16, 32, 64)
    layers = [nn.Conv2d(3, c, 3, 1, 1, bias=False), nn.BatchNorm2d(c), nn.ReLU()]
    for c_out, stride in zip((c, *rest), (1, 2, 2)):
        layers.append(Residual(c, c_out, stride))
        layers += [Residual(c_out, c_out, 1) for _ in range(blocks - 1)]
        c = c_out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c, classes))


def _torchvision(name, classes, width, **more):
    import torchvision

    if width != 1:
        raise ValueError(f"width={width!r}: torchvision's {name} comes in width 1 here")
    return getattr(torchvision.models, name)(num_classes=classes, **more)


def cifar_resnet18(classes: int = 10, width: float = 1) -> nn.Module:
    """torchvision's ResNet-18 for 32x32 images: a 3x3 convolution of stride 1 first, no pooling
    after it (arXiv 1905.09747).
    """
    net = _torchvision("resnet18", classes, width)
    net.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    net.maxpool = nn.Identity()
    return net


def cifar_mobilenet(classes: int = 10, width: float = 1) -> nn.Module:
    """torchvision's MobileNetV2 for 32x32 images: stride 1 in the first layer and in the stage of
    24 channels (arXiv 1905.09747).
    """
    net = _torchvision("mobilenet_v2", classes, width, dropout=0.0)
    net.features[0][0].stride = (1, 1)
    net.features[2].conv[1][0].stride = (1, 1)
    return net


NETWORKS = {
    "digits_mlp_teacher": digits_mlp_teacher,
    "digits_mlp_student": digits_mlp_student,
    "digits_teacher": digits_teacher,
    "digits_student": digits_student,
    "mnist_teacher": mnist_teacher,
    "mnist_student": mnist_student,
    "cifar_teacher": cifar_teacher,
    **{name: partial(_cifar_student, stages) for name, stages in CIFAR_STUDENTS.items()},
    **{f"cifar_resnet{6 * n + 2}": partial(_cifar_resnet, n) for n in (1, 2, 3, 4)},
    "cifar_resnet18": cifar_resnet18,
    "cifar_mobilenet": cifar_mobilenet,
}


def _normed(net):
    """A network with batch norm after each of its maxout convolutions."""
    parts = []
    for m in net:
        parts.append(m)
        if isinstance(m, Maxout) and isinstance(m.layer, nn.Conv2d):
            parts.append(nn.BatchNorm2d(m.layer.out_channels // m.pieces))
    return nn.Sequential(*parts)


def build(name: str, classes: int = 10) -> nn.Module:
    """A fresh network by name, e.g. build("mnist_student"); "+bn" adds batch norm after each
    convolution, "@0.25" a width.

    Both stay part of the name, so that no row of "cifar_teacher@0.25" is taken for one of
    "cifar_teacher".
    """
    plain, at, width = str(name).partition("@")
    plain, plus, norm = plain.partition("+")
    make = NETWORKS[one_of("network", plain, NETWORKS)]
    if plus and norm != "bn":
        raise ValueError(f"network={name!r}: after + only bn is known, e.g. {plain}+bn")
    try:
        width = positive("width", float(width)) if at else 1
    except ValueError:
        raise ValueError(
            f"network={name!r}: after @ stands a width, a finite number above zero, e.g."
            f" {plain}@0.25"
        ) from None
    net = make(whole("classes", classes, 2), width)
    return _normed(net) if norm else net
