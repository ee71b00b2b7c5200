"""Layers of the networks, and what can be asked of any network: its mode, its middle, its size."""

import contextlib
import copy
import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn

from ..checks import finite, module, one_of, positive, whole
from ..geometry.steady import main_head, stand_in, unchanged, unmoved


@contextlib.contextmanager
def put_back(things: Iterable, name: str) -> Iterator[None]:
    """Within this block attribute `name` of the things may change; afterwards it is as before."""
    before = [(thing, getattr(thing, name)) for thing in things]
    try:
        yield
    finally:
        for thing, value in before:
            setattr(thing, name, value)


def twin(net: nn.Module) -> nn.Module:
    """A deep copy of the network, which old-style weight_norm, spectral_norm and prune forbid."""
    try:
        return copy.deepcopy(net)
    except RuntimeError as error:
        remedy = "take its old-style weight_norm, spectral_norm or pruning off first"
        how = "torch.nn.utils.remove_weight_norm, remove_spectral_norm, prune.remove"
        name = type(net).__name__
        raise ValueError(f"{name} cannot be copied ({error}); {remedy} ({how})") from None


@contextlib.contextmanager
def frozen(net: nn.Module) -> Iterator[nn.Module]:
    """Within this block no parameter of `net` takes a gradient; they pass through to its input."""
    weights = list(net.parameters())
    with put_back(weights, "requires_grad"):
        for p in weights:  # a scripted network has no requires_grad_
            p.requires_grad_(False)
        yield net


@contextlib.contextmanager
def standing(net: nn.Module, mode: str | None = None) -> Iterator[nn.Module]:
    """Within this block `net` is in mode "train" or "eval" (None: as it is)."""
    with put_back(module("network", net).modules(), "training"):
        yield net if mode is None else net.train(one_of("mode", mode, ("train", "eval")) == "train")


@contextlib.contextmanager
def dropping(net: nn.Module, share: float) -> Iterator[nn.Module]:
    """Within this block every nn.Dropout of `net` drops `share` of its own rate."""
    dropouts = [m for m in net.modules() if isinstance(m, nn.modules.dropout._DropoutNd)]
    with put_back(dropouts, "p"):
        for m in dropouts:
            m.p *= share
        yield net


def learned(net: nn.Module) -> list[nn.Module]:
    """The convolutions and dense layers of a network."""
    return [m for m in module("network", net).modules() if isinstance(m, (nn.Conv2d, nn.Linear))]


@torch.no_grad()
def try_on(
    who: str,
    net: nn.Module,
    x: Tensor,
    layers: Iterable[nn.Module] = (),
    hook: Callable | None = None,
) -> Tensor:
    """net(x) at rest, which changes nothing, `hook` called after each of the layers; an error in
    words if the network does not take such images, or changes them.
    """
    shown = x.clone()
    draws = torch.random.fork_rng(devices=[x.device] if x.is_cuda else [])
    try:
        with draws, standing(net, "eval"), contextlib.ExitStack() as stack:
            for m in layers:
                stack.enter_context(m.register_forward_hook(hook))
            out = net(shown)
    except NotImplementedError as error:
        raise ValueError(
            f"{who} cannot be asked ({error}); give a module with a forward and an evaluation mode,"
            " of an exported program the one that it was made from"
        ) from None
    except (IndexError, RuntimeError, TypeError) as error:
        raise ValueError(
            f"{who} does not take images of shape {tuple(x.shape[1:])} ({error}); give a network"
            " made for them, or images that fit"
        ) from None
    unchanged(who, shown, x)
    return out


@torch.no_grad()
def takes_one(net: nn.Module, x: Tensor) -> bool:
    """Does `net`, in its mode, take image x[0] alone? Not where a batch norm in training mode sees
    maps of one place. Nothing moves.
    """
    net = stand_in(net)  # itself may stand in the midst of a step, whose graph holds its statistics
    try:
        with unmoved(net):
            net(x[:1])
    except (RuntimeError, ValueError):
        return False
    return True


def blocks(net: nn.Module, x: Tensor | None = None) -> list[nn.Module]:
    """The feature layers of a network in order: maxout units, and convolutions or dense layers
    outside them, without the last. With images x in the order in which these pass them, without
    those whose maps have one place (squeeze and excitation); where the convolutions end before two
    thirds of the way (transformers), the dense layers at each place of an image too.
    """
    inside = {m.layer for m in net.modules() if isinstance(m, Maxout)}
    kinds = (Maxout, nn.Conv2d, nn.Linear)
    found = [m for m in net.modules() if isinstance(m, kinds) and m not in inside]
    places = {}
    if x is not None:

        def note(m, inputs, out):
            places[m] = out.shape[2:].numel()
            if isinstance(m, nn.Linear):  # what lies in windows is no feature of an image
                places[m] = out.shape[1:-1].numel() if len(out) == len(x) else 1

        try_on(type(net).__name__, net, x, found, note)
        found = list(places)
    found = found[:-1]
    maps = [m for m in found if not isinstance(getattr(m, "layer", m), nn.Linear)]
    spread = [m for m in found if m in maps or places.get(m, 0) > 1]
    if maps and spread.index(maps[-1]) < _two_thirds(spread):
        return spread
    found = maps or found
    return [m for m in found if places.get(m) != 1] or found


def _two_thirds(found):
    """Where in a list one is two thirds of the way."""
    return round(2 * len(found) / 3) - 1


def guided(net: nn.Module, x: Tensor | None = None) -> nn.Module:
    """The block (`blocks`) that gives or takes the hint: two thirds of the way, the 11th of 17 and
    the 4th of 6 in FitNets, the 2nd of 3 in the teacher.
    """
    if isinstance(net, (torch.jit.ScriptModule, Committee)):
        raise ValueError(
            f"{type(net).__name__} has no one middle layer to hint at; give a single module, not"
            " scripted"
        )
    found = blocks(net, x)
    if not found:
        raise ValueError(
            f"{type(net).__name__} has no middle layer to hint at, before the last; give a network"
            " with one more convolution or dense layer, or choose a method without a hint"
        )
    return found[_two_thirds(found)]


class Maxout(nn.Module):
    """The larger of `pieces` affine maps, computed by one layer of pieces * units outputs (arXiv
    1302.4389). In training b + relu(a - b): the value of torch.maximum and a cheaper double
    backward; at an exact tie the whole gradient goes to b.
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


@contextlib.contextmanager
def _counted():
    """A dict {path of a module: {operation: flops}} that is filled at the end of this block;
    attention takes the path whose products can be seen.
    """
    from torch.utils.flop_counter import FlopCounterMode

    found = {}
    attention = torch.backends.mha
    before = attention.get_fastpath_enabled()
    attention.set_fastpath_enabled(False)
    try:
        with FlopCounterMode(display=False) as counter:
            yield found
    finally:
        attention.set_fastpath_enabled(before)
    found.update(counter.get_flop_counts())


def _of_plain_layers(net):
    """Is a network made of PyTorch's layers and the library's alone, without attention? Then its
    convolutions and dense layers say all, and torch's counter, slow to load, is not asked.
    """
    own = (nn.MultiheadAttention, nn.Transformer)
    homes = {type(m).__module__ for m in net.modules()}
    known = all(home.startswith(("torch.nn.modules.", "rsnl_lib.")) for home in homes)
    return known and not any(isinstance(m, own) for m in net.modules())


def count(net: nn.Module, shape: tuple, share: Callable = lambda layer: 1) -> tuple[int, float]:
    """(weights, multiplications for one image of `shape`): weights without biases, as the paper
    counts (Table VII), of convolutions, dense layers and attention; multiplications as
    torch.utils.flop_counter finds them, attention's products too. Of a layer's its `share` counts.
    """
    for side in shape:
        whole("shape", side, 1)
    who = type(module("net", net)).__name__
    kinds = (nn.modules.conv._ConvNd, nn.Linear)
    layers = {name: m for name, m in net.named_modules() if isinstance(m, kinds)}
    if not layers:
        raise ValueError(f"{who} has no convolution or dense layer to count; give one that fits")
    weights = [m.weight for m in layers.values()]
    for m in net.modules():
        if isinstance(m, nn.MultiheadAttention):
            weights += [p for name, p in m._parameters.items() if name.endswith("proj_weight")]
    x = weights[0].new_zeros(1, *shape)
    if _of_plain_layers(net):
        own = dict.fromkeys(layers.values(), 0)

        def add(layer, inputs, out):
            side = inputs[0] if getattr(layer, "transposed", False) else out
            features = side.shape[-1] if isinstance(layer, nn.Linear) else side.shape[1]
            own[layer] += layer.weight.numel() * (side.numel() // features)

        try_on(who, net, x, own, add)
        rest = 0
    else:
        with _counted() as found:
            try_on(who, net, x)
        paths = {f"{who}.{name}".rstrip("."): m for name, m in layers.items()}
        own = {m: sum(found.get(path, {}).values()) // 2 for path, m in paths.items()}
        rest = sum(found.get("Global", {}).values()) // 2 - sum(own.values())
    mults = rest + sum(number * share(layer) for layer, number in own.items())
    return sum(w.numel() for w in weights if w is not None), mults


@torch.no_grad()
def clip_kernels_(net: nn.Module) -> None:
    """Scale back, in place, kernels whose norm exceeds their layer's limit (arXiv 1302.4389)."""
    for m in net.modules():
        if isinstance(m, Maxout) and m.max_norm is not None:
            m.layer.weight.copy_(torch.renorm(m.layer.weight, 2, 0, m.max_norm))


class ChannelScale(nn.Module):
    """(x - mean) / std, channel by channel, of images x (n, c, h, w); mean and std are buffers, so
    checkpoints hold them.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        if not len(mean) == len(std) > 0:
            given = f"{len(mean)} means and {len(std)} deviations"
            raise ValueError(f"{given} are given; give one of each for each channel")
        self.register_buffer("mean", torch.tensor([finite("mean", float(v)) for v in mean]))
        self.register_buffer("std", torch.tensor([positive("std", float(v)) for v in std]))

    def forward(self, x):
        if x.shape[1] != len(self.mean):
            given = f"images of {x.shape[1]} channels, normalised by {len(self.mean)} means"
            raise ValueError(f"{given}; give one mean and one deviation for each channel")
        return (x - self.mean.view(-1, 1, 1)) / self.std.view(-1, 1, 1)


class Normalised(nn.Sequential):
    """`net`, made for images (x - mean) / std, as a network of images x in pixels: attacks, noise,
    occlusion and radii then are in pixels. mean, std: a number for each channel.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], net: nn.Module):
        super().__init__(ChannelScale(mean, std), net)


class Hardsigmoid(nn.Module):
    """nn.Hardsigmoid with a second derivative, which PyTorch's own lacks."""

    def forward(self, x):
        return nn.functional.relu6(x + 3) / 6


def twice_differentiable(net: nn.Module) -> nn.Module:
    """`net` with each nn.Hardsigmoid (MobileNetV3) replaced, in place, by `Hardsigmoid`."""
    for m in list(net.modules()):
        for name, child in m.named_children():
            if isinstance(child, nn.Hardsigmoid):
                setattr(m, name, Hardsigmoid())
    return net


class Committee(nn.Module):
    """Several teachers as one: softmax(a / tau) is the mean of theirs, and so is the input gradient
    of a score at this tau.
    """

    def __init__(self, nets: Iterable[nn.Module], tau: float = 1.0):
        super().__init__()
        self.nets = nn.ModuleList(nets)
        self.tau = tau
        self.training = self.nets.training = any(net.training for net in self.nets)

    def forward(self, x):
        logs = [(main_head(net(x)) / self.tau).log_softmax(1) for net in self.nets]
        return self.tau * (torch.stack(logs).logsumexp(0) - math.log(len(logs)))


def training(net: nn.Module, frozen_norm: bool = False) -> nn.Module:
    """Put `net` in training mode, but for layers in evaluation mode of one that is in training mode
    already; with frozen_norm its batch norm layers keep their statistics.
    """
    asleep = [m for m in net.modules() if net.training and not m.training]
    net.train()
    for m in net.modules():
        if frozen_norm and isinstance(m, nn.modules.batchnorm._BatchNorm):
            m.eval()
    for m in asleep:
        m.training = False
    return net
