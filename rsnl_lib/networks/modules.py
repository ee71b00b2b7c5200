"""Layers of the networks, and what can be asked of any network: its mode, its middle, its size."""

import contextlib

import torch
from torch import nn

from ..checks import one_of

MODES = ("train", "eval")


@contextlib.contextmanager
def frozen(net):
    """Within this block no parameter of `net` takes a gradient; afterwards those that did do again.
    Gradients pass through to its input.
    """
    taking = [p for p in net.parameters() if p.requires_grad]
    for p in taking:
        p.requires_grad_(False)
    try:
        yield net
    finally:
        for p in taking:
            p.requires_grad_()


@contextlib.contextmanager
def standing(net, mode=None):
    """Within this block `net` is in mode "train" or "eval" (None: as it is); afterwards each of its
    layers is as before.
    """
    before = [(m, m.training) for m in net.modules()]
    try:
        yield net if mode is None else net.train(one_of("mode", mode, MODES) == "train")
    finally:
        for m, training in before:
            m.training = training


def blocks(net):
    """The feature layers of a network in order: maxout units, and convolutions or dense layers
    outside them, without the last.
    """
    return _middle(_layers(net))


def _layers(net):
    inside = {id(m.layer) for m in net.modules() if isinstance(m, Maxout)}
    return [
        m
        for m in net.modules()
        if isinstance(m, (Maxout, nn.Conv2d, nn.Linear)) and id(m) not in inside
    ]


def _middle(found):
    found = found[:-1]
    return [
        m
        for m in found
        if not isinstance(m, nn.Linear) and not isinstance(getattr(m, "layer", None), nn.Linear)
    ] or found


def passed(net, x):
    """The blocks in the order in which images x pass them, without those whose maps have one place
    (squeeze and excitation).
    """
    order = {}
    hooks = [
        m.register_forward_hook(lambda m, i, out: order.update({m: out.shape[2:].numel()}))
        for m in _layers(net)
    ]
    try:
        with torch.no_grad(), standing(net, "eval"):
            net(x)
    finally:
        for hook in hooks:
            hook.remove()
    found = _middle(list(order))
    return [m for m in found if order[m] > 1] or found


def guided(net, x=None):
    """The block that gives or takes the hint: two thirds of the way, the 11th of 17 and the 4th of
    6 in FitNets, the 2nd of 3 in the teacher.

    With a few images x the way is that of the images (`passed`), not the order in which a network
    lists its layers.
    """
    found = blocks(net) if x is None else passed(net, x)
    if not found:
        raise ValueError(
            f"{type(net).__name__} has no middle layer to hint at (a convolution, or a dense layer"
            " before the last)"
        )
    return found[round(2 * len(found) / 3) - 1] if len(found) > 1 else found[0]


class Maxout(nn.Module):
    """The larger of `pieces` affine maps, computed by one layer of pieces * units outputs (arXiv
    1302.4389).

    In training two pieces are joined as b + relu(a - b): the same value as torch.maximum and a
    cheaper double backward; at an exact tie the whole gradient goes to b.
    """

    def __init__(self, layer, pieces=2, max_norm=None):
        super().__init__()
        self.layer, self.pieces, self.max_norm = layer, pieces, max_norm

    def forward(self, x):
        first, *others = self.layer(x).chunk(self.pieces, dim=1)
        for other in others:
            first = (
                other + torch.relu(first - other) if self.training else torch.maximum(first, other)
            )
        return first


def conv(c_in, c_out, kernel, pad, max_norm=None):
    return Maxout(nn.Conv2d(c_in, 2 * c_out, kernel, padding=pad), max_norm=max_norm)


def dense(n_in, n_out, max_norm=None):
    return Maxout(nn.Linear(n_in, 2 * n_out), max_norm=max_norm)


def pool(size, stride):
    return nn.MaxPool2d(size, stride, ceil_mode=True)


def count(net, shape, share=lambda layer: 1):
    """(weights, multiplications for one image of `shape`): weights without biases, as the paper
    counts (Table VII). Of a layer's multiplications its `share` counts.
    """
    mults = 0

    def add(layer, inputs, out):
        nonlocal mults
        places = out[0, 0].numel() if isinstance(layer, nn.Conv2d) else 1
        mults += layer.weight.numel() * places * share(layer)

    layers = [m for m in net.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    hooks = [m.register_forward_hook(add) for m in layers]
    try:
        with torch.no_grad(), standing(net, "eval"):
            w = layers[0].weight
            net(torch.zeros(1, *shape, dtype=w.dtype, device=w.device))
    except (IndexError, RuntimeError) as error:
        why = (
            f"does not take an image of shape {tuple(shape)}: {error}"
            if layers
            else "has no convolution or dense layer to count"
        )
        raise ValueError(
            f"{type(net).__name__} {why}; give a network and (channels, height, width) that fit"
        ) from None
    finally:
        for hook in hooks:
            hook.remove()
    return sum(m.weight.numel() for m in layers), mults


@torch.no_grad()
def clip_kernels_(net):
    """Scale back, in place, every kernel whose norm exceeds its layer's max_norm (arXiv
    1302.4389).
    """
    for m in net.modules():
        if isinstance(m, Maxout) and m.max_norm is not None:
            w = m.layer.weight
            w.copy_(torch.renorm(w, 2, 0, m.max_norm))


class Hardsigmoid(nn.Module):
    """nn.Hardsigmoid with a second derivative, which PyTorch's own lacks."""

    def forward(self, x):
        return nn.functional.relu6(x + 3) / 6


def twice_differentiable(net):
    """`net` with each nn.Hardsigmoid (squeeze and excitation, MobileNetV3) replaced, in place, by
    the same function as relu6.
    """
    for m in list(net.modules()):
        for name, child in m.named_children():
            if isinstance(child, nn.Hardsigmoid):
                setattr(m, name, Hardsigmoid())
    return net


@contextlib.contextmanager
def dropping(net, share):
    """Within this block every nn.Dropout of `net` drops `share` of its own rate; afterwards the
    rates are as before.
    """
    before = [(m, m.p) for m in net.modules() if isinstance(m, nn.modules.dropout._DropoutNd)]
    for m, p in before:
        m.p = share * p
    try:
        yield net
    finally:
        for m, p in before:
            m.p = p


def training(net, frozen_norm=False):
    """Put `net` in training mode; with frozen_norm its batch norm layers keep their statistics."""
    net.train()
    for m in net.modules():
        if frozen_norm and isinstance(m, nn.modules.batchnorm._BatchNorm):
            m.eval()
    return net


@torch.no_grad()
def _try(who, net, x):
    """net(x) in evaluation mode, which changes nothing; an error in words if it does not take such
    images.
    """
    try:
        with torch.random.fork_rng(devices=[x.device] if x.is_cuda else []), standing(net, "eval"):
            return net(x)
    except RuntimeError as error:
        raise ValueError(
            f"{who} does not take images of shape {tuple(x.shape[1:])} ({error}); "
            "give a network made for them"
        ) from None
