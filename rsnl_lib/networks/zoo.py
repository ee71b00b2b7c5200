"""Maxout teachers and students by name (Table VIII), their exact counts, and the start they train
from.

Every network maps images (n, channels, height, width) to logits (n, classes). Nothing else in the
library asks for these classes: any nn.Module with that signature serves as teacher or student.
"""

import torch
from torch import nn

from ..checks import one_of, positive, whole
from .modules import Maxout, conv, dense, pool


def times(width, *channels):
    return [max(1, round(c * width)) for c in channels]


def digits_mlp_teacher(classes=10, width=1):
    (h,) = times(width, 128)
    return nn.Sequential(nn.Flatten(), dense(64, h), nn.Linear(h, classes))


def digits_mlp_student(classes=10, width=1):
    (h,) = times(width, 16)
    return nn.Sequential(
        nn.Flatten(), dense(64, h), dense(h, h), dense(h, h), nn.Linear(h, classes)
    )


def digits_teacher(classes=10, width=1):
    """Three maxout convolutions on 8x8 images, 22,128 weights."""
    (c,) = times(width, 24)
    return nn.Sequential(
        conv(1, c, 3, 1),
        conv(c, c, 3, 1),
        pool(2, 2),
        conv(c, c, 3, 1),
        pool(2, 2),
        nn.Flatten(),
        nn.Linear(4 * c, classes),
    )


def digits_student(classes=10, width=1):
    """Six thin maxout convolutions on 8x8 images: twice as deep as the teacher, 6,224 weights."""
    (c,) = times(width, 8)
    return nn.Sequential(
        conv(1, c, 3, 1),
        conv(c, c, 3, 1),
        conv(c, c, 3, 1),
        pool(2, 2),
        conv(c, c, 3, 1),
        conv(c, c, 3, 1),
        conv(c, c, 3, 1),
        pool(2, 2),
        nn.Flatten(),
        nn.Linear(4 * c, classes),
    )


def mnist_teacher(classes=10, width=1):
    """48-48-24 maxout units, kernels 8/8/5, dropout and kernel norms of arXiv 1302.4389; 360,816
    weights.
    """
    a, b, c = times(width, 48, 48, 24)
    return nn.Sequential(
        nn.Dropout(0.2),
        conv(1, a, 8, 0, 0.9),
        pool(4, 2),
        nn.Dropout(0.5),
        conv(a, b, 8, 3, 1.9365),
        pool(4, 2),
        nn.Dropout(0.5),
        conv(b, c, 5, 3, 1.9365),
        pool(2, 2),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(9 * c, classes),
    )


def mnist_student(classes=10, width=1):
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


def cifar_teacher(classes=10, width=1):
    """96-192-192 maxout units, kernels 8/8/5, 500 dense units, dropout and norms of arXiv
    1302.4389; 9,044,360 weights.
    """
    a, b, c, h = times(width, 96, 192, 192, 500)
    return nn.Sequential(
        nn.Dropout(0.2),
        conv(3, a, 8, 4, 0.9),
        pool(4, 2),
        nn.Dropout(0.5),
        conv(a, b, 8, 3, 1.9365),
        pool(4, 2),
        nn.Dropout(0.5),
        conv(b, c, 5, 3, 1.9365),
        pool(2, 2),
        nn.Flatten(),
        nn.Dropout(0.5),
        dense(25 * c, h, 1.9),
        nn.Dropout(0.5),
        nn.Linear(h, classes),
    )


def _cifar_student(stages, classes, width):
    """3x3 maxout convolutions in three stages with pools 2, 2 and 8, then 500 dense maxout units
    (Table VIII).
    """
    net, c_in, (h,) = [], 3, times(width, 500)
    for channels, size in zip(stages, (2, 2, 8)):
        for c in times(width, *channels):
            net.append(conv(c_in, c, 3, 1))
            c_in = c
        net.append(pool(size, size))
    return nn.Sequential(*net, nn.Flatten(), dense(c_in, h), nn.Linear(h, classes))


def cifar_student1(classes=10, width=1):
    return _cifar_student(((16,) * 3, (32,) * 3, (48, 48, 64)), classes, width)


def cifar_student2(classes=10, width=1):
    return _cifar_student(((16, 32, 32), (48, 64, 80), (96, 96, 128)), classes, width)


def cifar_student3(classes=10, width=1):
    """Student 3 as Table VIII prints it; its counts are not those of Table VII."""
    return _cifar_student(((32, 48, 64, 64), (80,) * 4, (128,) * 3), classes, width)


def cifar_student3_counts(classes=10, width=1):
    """Student 3 with a first stage of 64-64-64-64: the reading that meets Table VII's counts."""
    return _cifar_student(((64,) * 4, (80,) * 4, (128,) * 3), classes, width)


def cifar_student4(classes=10, width=1):
    return _cifar_student(((32, 32, 32, 48, 48), (80,) * 6, (128,) * 6), classes, width)


class Residual(nn.Module):
    """Two 3x3 convolutions with batch norm beside a shortcut, which takes every other pixel and
    adds channels of zeros where the shape changes.
    """

    def __init__(self, c_in, c_out, stride):
        super().__init__()
        self.stride, self.more = stride, c_out - c_in
        self.path = nn.Sequential(
            nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(c_out),
            nn.ReLU(),
            nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(c_out),
        )

    def forward(self, x):
        return torch.relu(
            self.path(x)
            + nn.functional.pad(
                x[:, :, :: self.stride, :: self.stride],
                (0, 0, 0, 0, self.more // 2, self.more - self.more // 2),
            )
        )


def _cifar_resnet(blocks, classes, width):
    """The small ResNets of arXiv 1512.03385 for CIFAR, three stages of `blocks` blocks (arXiv
    1805.05532).
    """
    a, b, c = times(width, 16, 32, 64)
    net, c_in = [nn.Conv2d(3, a, 3, 1, 1, bias=False), nn.BatchNorm2d(a), nn.ReLU()], a
    for channels, stride in ((a, 1), (b, 2), (c, 2)):
        for i in range(blocks):
            net.append(Residual(c_in, channels, stride if i == 0 else 1))
            c_in = channels
    return nn.Sequential(*net, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c, classes))


def cifar_resnet8(classes=10, width=1):
    return _cifar_resnet(1, classes, width)


def cifar_resnet14(classes=10, width=1):
    return _cifar_resnet(2, classes, width)


def cifar_resnet20(classes=10, width=1):
    return _cifar_resnet(3, classes, width)


def cifar_resnet26(classes=10, width=1):
    return _cifar_resnet(4, classes, width)


def _torchvision(name, classes, width, **more):
    import torchvision

    if width != 1:
        raise ValueError(f"width={width!r}: torchvision's {name} comes in width 1 here")
    return getattr(torchvision.models, name)(num_classes=classes, **more)


def cifar_resnet18(classes=10, width=1):
    """torchvision's ResNet-18 for 32x32 images: a 3x3 convolution of stride 1 first, no pooling
    after it (arXiv 1905.09747).
    """
    net = _torchvision("resnet18", classes, width)
    net.conv1, net.maxpool = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.Identity()
    return net


def cifar_mobilenet(classes=10, width=1):
    """torchvision's MobileNetV2 for 32x32 images: stride 1 in the first layer and in the stage of
    24 channels (arXiv 1905.09747).
    """
    net = _torchvision("mobilenet_v2", classes, width, dropout=0.0)
    net.features[0][0].stride = net.features[2].conv[1][0].stride = (1, 1)
    return net


NETWORKS = {
    f.__name__: f
    for f in (
        digits_mlp_teacher,
        digits_mlp_student,
        digits_teacher,
        digits_student,
        mnist_teacher,
        mnist_student,
        cifar_teacher,
        cifar_student1,
        cifar_student2,
        cifar_student3,
        cifar_student3_counts,
        cifar_student4,
        cifar_resnet8,
        cifar_resnet14,
        cifar_resnet20,
        cifar_resnet26,
        cifar_resnet18,
        cifar_mobilenet,
    )
}


def build(name, classes=10):
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
    return (
        nn.Sequential(
            *(
                part
                for m in net
                for part in (
                    (m, nn.BatchNorm2d(m.layer.out_channels // m.pieces))
                    if norm and isinstance(m, Maxout) and isinstance(m.layer, nn.Conv2d)
                    else (m,)
                )
            )
        )
        if norm
        else net
    )
