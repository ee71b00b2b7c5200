"""The convolution by frequencies is F.conv2d: values, first and second derivatives, over shapes,
paddings, odd and even sizes.
"""

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from rsnl_lib import geometry, networks
from rsnl_lib.networks import fast, fourier
from rsnl_lib.train import losses


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_values_and_derivatives_are_those_of_conv2d(data):
    pick = lambda low, high: data.draw(st.integers(low, high))
    n, c, u, k, l, p, q = (
        pick(1, 3),
        pick(1, 4),
        pick(1, 4),
        pick(1, 8),
        pick(1, 8),
        pick(0, 5),
        pick(0, 5),
    )
    h, v = pick(max(1, k - 2 * p), 13), pick(max(1, l - 2 * q), 13)
    torch.manual_seed(pick(0, 10**6))
    x, w, b, up, t = (
        torch.randn(*s, dtype=torch.float64)
        for s in (
            (n, c, h, v),
            (u, c, k, l),
            (u,),
            (n, u, h + 2 * p - k + 1, v + 2 * q - l + 1),
            (n, c, h, v),
        )
    )
    found = []
    for conv in (lambda *a: F.conv2d(*a, padding=(p, q)), lambda *a: fourier.conv2d(*a, (p, q))):
        leaves = [z.clone().requires_grad_() for z in (x, w, b)]
        y = conv(*leaves)
        first = torch.autograd.grad((y.sin() * up).sum(), leaves, create_graph=True)
        second = torch.autograd.grad((first[0] * t).sum(), leaves)
        found.append([y.detach(), *(g.detach() for g in first), *second])
    for a, b in zip(*found):
        assert a.shape == b.shape and (a - b).abs().max() <= 1e-11 * (1 + a.abs().max()), (
            "float64, relative"
        )


def test_single_precision_is_as_near_as_another_kernel_would_be():
    torch.manual_seed(0)
    x, w = torch.randn(8, 96, 16, 16), torch.randn(384, 96, 8, 8) / 78
    exact = F.conv2d(x.double(), w.double(), padding=3)
    assert (fourier.conv2d(x, w, None, (3, 3)) - exact).abs().max() < 2e-5 and exact.abs().max() > 4


@pytest.mark.parametrize(
    "name, by_frequency",
    [
        ("cifar_teacher", 2),
        ("mnist_teacher", 2),
        ("mnist_student", 0),
        ("cifar_student1", 0),
        ("cifar_resnet8", 0),
    ],
)
def test_large_kernels_over_many_channels_alone_are_transformed(name, by_frequency):
    net = networks.build(name)
    with fast.layers(net):
        assert sum(isinstance(m, fast.Frequencies) for m in net.modules()) == by_frequency
    with fast.layers(net, transform=False):
        assert not any(isinstance(m, fast.Frequencies) for m in net.modules())
    assert all(type(m) is not fast.Frequencies for m in net.modules())


@pytest.mark.parametrize(
    "change",
    [
        dict(stride=2),
        dict(dilation=2),
        dict(groups=2),
        dict(kernel_size=(4, 8)),
        dict(in_channels=16),
        dict(padding="same"),
        dict(padding_mode="circular"),
    ],
)
def test_what_the_transform_cannot_do_or_not_faster_is_left_alone(change):
    conv = nn.Conv2d(**{**dict(in_channels=32, out_channels=4, kernel_size=5, padding=1), **change})
    net, x = (
        nn.Sequential(conv).double(),
        torch.randn(2, conv.in_channels, 13, 13, dtype=torch.float64),
    )
    plain = net(x)
    with fast.layers(net):
        assert type(conv) is not fast.Frequencies
        torch.testing.assert_close(net(x), plain)


def test_a_teacher_by_frequencies_trains_and_is_asked_as_the_plain_one():
    """Weights' gradients, and the input gradient differentiated once more, of a small CIFAR teacher
    in float64.
    """
    torch.manual_seed(1)
    net = (
        nn.Sequential(
            *(m for m in networks.build("cifar_teacher@0.34") if not isinstance(m, nn.Dropout))
        )
        .double()
        .train()
    )
    twin, x, y = (
        copy.deepcopy(net),
        torch.rand(3, 3, 32, 32, dtype=torch.float64),
        torch.tensor([1, 0, 7]),
    )

    def ask(one):
        a, g = geometry.input_gradient(one, x, y, 3.0, create_graph=True)
        (F.cross_entropy(a, y) + losses.gradient_loss(g, torch.zeros_like(g))).backward()
        return [g.detach(), *(p.grad for p in one.parameters())]

    want = ask(net)
    with fast.layers(twin):
        assert sum(isinstance(m, fast.Frequencies) for m in twin.modules()) == 2
        got = ask(twin)
    for a, b in zip(want, got):
        assert (a - b).abs().max() <= 1e-9 * (1e-12 + a.abs().max())
