"""Random small networks and images for properties.py and draws.py; nothing of the theorem."""

import torch
from torch import nn

from rsnl_lib.networks.modules import Maxout

BODIES = {  # name: the layers below the last, for images of c channels, h x w
    "relu": lambda c, h, w: [
        nn.Flatten(),
        nn.Linear(c * h * w, 8),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(8, 5),
        nn.ReLU(),
    ],
    "softplus": lambda c, h, w: [
        nn.Flatten(),
        nn.Linear(c * h * w, 7),
        nn.Softplus(beta=3),
        nn.Identity(),
    ],
    "maxout": lambda c, h, w: [
        nn.Flatten(),
        Maxout(nn.Linear(c * h * w, 12)),
        Maxout(nn.Linear(6, 8)),
    ],
    "maxout of 3": lambda c, h, w: [nn.Flatten(), Maxout(nn.Linear(c * h * w, 18), 3)],
    "conv": lambda c, h, w: [
        nn.Conv2d(c, 3, 3, 2, 1),
        nn.ReLU(),
        nn.Conv2d(3, 2, 2, padding=1),
        nn.Softplus(),
        nn.Flatten(),
    ],
    "maxout conv": lambda c, h, w: [
        Maxout(nn.Conv2d(c, 6, 3, padding=1)),
        Maxout(nn.Conv2d(3, 6, 2), 3),
        nn.Flatten(),
    ],
    "average pool": lambda c, h, w: [
        nn.Conv2d(c, 3, 2, padding=1),
        nn.ReLU(),
        nn.AvgPool2d(2, ceil_mode=True),
        nn.Flatten(),
    ],
    "overlapping average": lambda c, h, w: [
        nn.AvgPool2d(3, 2, 1, count_include_pad=False),
        nn.Conv2d(c, 4, 1),
        nn.ReLU(),
        nn.Flatten(),
    ],
    "max pool": lambda c, h, w: [
        Maxout(nn.Conv2d(c, 6, 2)),
        nn.MaxPool2d(2, 2, ceil_mode=True),
        nn.Flatten(),
    ],
    "overlapping max": lambda c, h, w: [
        nn.MaxPool2d(2, 1),
        nn.Conv2d(c, 3, 2, padding=1),
        nn.MaxPool2d(3, 2, 1, ceil_mode=True),
        nn.Flatten(),
    ],
    "batch norm 1d": lambda c, h, w: [
        nn.Flatten(),
        nn.Linear(c * h * w, 8),
        nn.BatchNorm1d(8),
        nn.ReLU(),
    ],
    "batch norm 2d": lambda c, h, w: [
        nn.BatchNorm2d(c),
        nn.Conv2d(c, 3, 2),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.Flatten(),
    ],
    "unflatten": lambda c, h, w: [
        nn.Flatten(),
        nn.Linear(c * h * w, 8),
        nn.Unflatten(1, (2, 2, 2)),
        nn.Conv2d(2, 4, 2),
        nn.ReLU(),
        nn.Flatten(),
    ],
    "leaky": lambda c, h, w: [
        nn.Flatten(),
        nn.Linear(c * h * w, 8),
        nn.LeakyReLU(0.1, inplace=True),
        nn.Linear(8, 5),
        nn.LeakyReLU(1.7),
    ],
    "folded": lambda c, h, w: [
        nn.LeakyReLU(0.2),
        nn.Conv2d(c, 3, 2, padding=1),
        nn.LeakyReLU(-0.6),
        nn.MaxPool2d(3, 1, 1),
        nn.Flatten(),
    ],
    "adaptive average": lambda c, h, w: [
        nn.Conv2d(c, 3, 2, padding=1),
        nn.LeakyReLU(),
        nn.AdaptiveAvgPool2d((2, 1)),
        nn.Flatten(),
    ],
    "global average": lambda c, h, w: [
        nn.Conv2d(c, 4, 2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    ],
    "strided pools": lambda c, h, w: [
        nn.MaxPool2d((2, 1), (1, 2), (1, 0)),
        nn.Conv2d(c, 3, 2, padding=1),
        nn.ReLU(),
        nn.AvgPool2d((2, 3), (2, 1), (1, 1), ceil_mode=True, count_include_pad=False),
        nn.Flatten(),
    ],
    "no last layer": lambda c, h, w: [nn.Conv2d(c, 4, 2), nn.Flatten()],
}
DENSE = ("relu", "softplus", "maxout", "batch norm 1d", "leaky")
SHAPES = ((1, 2, 2), (1, 3, 3), (2, 3, 3), (1, 4, 4))


def network(kind, shape, classes, scale=1.0):
    """A random network in float64 and evaluation mode from torch's global generator; weights
    `scale` times torch's start.
    """
    body = BODIES[kind](*shape)
    units = nn.Sequential(*body).eval()(torch.zeros(1, *shape)).shape[1]
    top = (
        [nn.Linear(units, classes)]
        if kind != "no last layer"
        else [nn.Linear(units, classes), nn.Softplus(beta=2)]
    )
    net = nn.Sequential(*body, *top).double().eval()
    with torch.no_grad():
        for m in net.modules():
            if isinstance(m, (nn.Linear, nn.Conv2d)):
                m.weight.mul_(scale)
                m.bias.normal_(0, 0.3)
            if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)):
                m.running_mean.normal_(0, 0.5)
                m.running_var.uniform_(0.3, 2)
                m.weight.normal_(0, 1)
                m.bias.normal_(0, 0.3)
    return net


def images(n, shape, border=0.3):
    """(n, *shape) in [0, 1] in float64; a share of the pixels lies exactly at 0 or at 1."""
    return (torch.rand(n, *shape, dtype=torch.float64) * (1 + 2 * border) - border).clamp(0, 1)
