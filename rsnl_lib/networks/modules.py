"""Layers of the networks, and what can be asked of any network: its mode, its middle, its size."""

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import nn

from ..checks import one_of

MODES = ("train", "eval")


@contextlib.contextmanager
def frozen(net: nn.Module) -> Iterator[nn.Module]:
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
def standing(net: nn.Module, mode: str | None = None) -> Iterator[nn.Module]:
    """Within this block `net` is in mode "train" or "eval" (None: as it is); afterwards each of its
    layers is as before.
    """
    before = [(m, m.training) for m in net.modules()]
    try:
        yield net if mode is None else net.train(one_of("mode", mode, MODES) == "train")
    finally:
        for m, training in before:
            m.training = training


def blocks(net: nn.Module) -> list[nn.Module]:
    """The feature layers of a network in order: maxout units, and convolutions or dense layers
    outside them, without the last.
    """
    return _middle(_layers(net))


def _layers(net):
    inside = {id(m.layer) for m in net.modules() if isinstance(m, Maxout)}
    found = [m for m in net.modules() if isinstance(m, (Maxout, nn.Conv2d, nn.Linear))]
    return [m for m in found if id(m) not in inside]


def _middle(found):
    found = found[:-1]
    return [m for m in found if not isinstance(getattr(m, "layer", m), nn.Linear)] or found


@contextlib.contextmanager
def _hooked(layers, hook):
    """Within this block `hook` is called after each of the layers has run."""
    handles = [m.register_forward_hook(hook) for m in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def passed(net: nn.Module, x: torch.Tensor) -> list[nn.Module]:
    """The blocks in the order in which images x pass them, without those whose maps have one place
    (squeeze and excitation).
    """
    order = {}

    def note(m, inputs, out):
        order[m] = out.shape[2:].numel()

    with _hooked(_layers(net), note), standing(net, "eval"):
        net(x)
    found = _middle(list(order))
    return [m for m in found if order[m] > 1] or found


def guided(net: nn.Module, x: torch.Tensor | None = None) -> nn.Module:
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

    def __init__(self, layer: nn.Module, pieces: int = 2, max_norm: float | None = None):
        super().__init__()
        self.layer = layer
        self.pieces = pieces
        self.max_norm = max_norm

    def forward(self, x):
        first, *others = self.layer(x).chunk(self.pieces, dim=1)
        for b in others:
            first = b + torch.relu(first - b) if self.training else torch.maximum(first, b)
        return first


def conv(c_in: int, c_out: int, kernel: int, pad: int, max_norm: float | None = None) -> Maxout:
    return Maxout(nn.Conv2d(c_in, 2 * c_out, kernel, padding=pad), max_norm=max_norm)


def dense(n_in: int, n_out: int, max_norm: float | None = None) -> Maxout:
    return Maxout(nn.Linear(n_in, 2 * n_out), max_norm=max_norm)


def pool(size: int, stride: int) -> nn.MaxPool2d:
    return nn.MaxPool2d(size, stride, ceil_mode=True)


@torch.no_grad()
def count(
    net: nn.Module, shape: tuple[int, int, int], share: Callable = lambda layer: 1
) -> tuple[int, float]:
    """(weights, multiplications for one image of `shape`): weights without biases, as the paper
    counts (Table VII). Of a layer's multiplications its `share` counts.
    """
    mults = 0

    def add(layer, inputs, out):
        nonlocal mults
        places = out[0, 0].numel() if isinstance(layer, nn.Conv2d) else 1
        mults += layer.weight.numel() * places * share(layer)

    layers = [m for m in net.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    try:
        w = layers[0].weight
        with _hooked(layers, add), standing(net, "eval"):
            net(torch.zeros(1, *shape, dtype=w.dtype, device=w.device))
    except (IndexError, RuntimeError) as error:
        why = "has no convolution or dense layer to count"
        if layers:
            why = f"does not take an image of shape {tuple(shape)}: {error}"
        raise ValueError(
            f"{type(net).__name__} {why}; give a network and (channels, height, width) that fit"
        ) from None
    return sum(m.weight.numel() for m in layers), mults


@torch.no_grad()
def clip_kernels_(net: nn.Module) -> None:
    """Scale back, in place, kernels whose norm exceeds their layer's limit (arXiv 1302.4389)."""
    for m in net.modules():
        if isinstance(m, Maxout) and m.max_norm is not None:
            w = m.layer.weight
            w.copy_(torch.renorm(w, 2, 0, m.max_norm))


class Hardsigmoid(nn.Module):
    """nn.Hardsigmoid with a second derivative, which PyTorch's own lacks."""

    def forward(self, x):
        return nn.functional.relu6(x + 3) / 6


def twice_differentiable(net: nn.Module) -> nn.Module:
    """`net` with each nn.Hardsigmoid (squeeze and excitation, MobileNetV3) replaced, in place, by
    the same function as relu6.
    """
    for m in list(net.modules()):
        for name, child in m.named_children():
            if isinstance(child, nn.Hardsigmoid):
                setattr(m, name, Hardsigmoid())
    return net


@contextlib.contextmanager
def dropping(net: nn.Module, share: float) -> Iterator[nn.Module]:
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


def training(net: nn.Module, frozen_norm: bool = False) -> nn.Module:
    """Put `net` in training mode; with frozen_norm its batch norm layers keep their statistics."""
    net.train()
    for m in net.modules():
        if frozen_norm and isinstance(m, nn.modules.batchnorm._BatchNorm):
            m.eval()
    return net


@torch.no_grad()
def _try(who, net, x):
    """net(x), which changes nothing; an error in words if it does not take such images."""
    try:
        with torch.random.fork_rng(devices=[x.device] if x.is_cuda else []), standing(net, "eval"):
            return net(x)
    except RuntimeError as error:
        raise ValueError(
            f"{who} does not take images of shape {tuple(x.shape[1:])} ({error}); "
            "give a network made for them"
        ) from None
