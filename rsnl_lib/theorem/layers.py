"""The layers that the sound bounds know, in float64, and their linear maps."""

import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from ..networks.modules import Maxout

LAYERS = (
    nn.Linear,
    nn.Conv2d,
    Maxout,
    nn.ReLU,
    nn.Softplus,
    nn.AvgPool2d,
    nn.MaxPool2d,
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.Flatten,
    nn.Unflatten,
    nn.Dropout,
    nn.Identity,
)


def layers(net: nn.Module) -> list[nn.Module]:
    """The layers of a network in order, in float64 and evaluation mode; a layer no bound knows is
    an error that names it.
    """
    inner = net.layer if isinstance(net, Maxout) else net
    plain = (nn.Linear, nn.Conv2d) if inner is not net else (nn.Sequential, *LAYERS)
    # the forward of a subclass may compute anything
    known = getattr(type(inner), "forward", None) in [kind.forward for kind in plain]
    if not known or (inner is not net and type(net).forward is not Maxout.forward):
        raise ValueError(
            f"{type(net).__name__} is no layer that the sound bounds know; they know nn.Sequential"
            f" of {', '.join(c.__name__ for c in LAYERS)}. For any other network: certify.votes,"
            " and the estimates in bound"
        )
    if isinstance(net, nn.Sequential):
        return [flat for m in net for flat in layers(m)]
    if inner is not net and getattr(inner, "groups", 1) > 1:
        raise ValueError(
            f"Maxout of Conv2d with groups={inner.groups}: its pieces see different channels; "
            "the sound bounds know groups=1 only"
        )
    if getattr(net, "track_running_stats", True) is False:
        raise ValueError(
            f"{type(net).__name__} without running statistics mixes the images of a batch; "
            "the sound bounds are for one image at a time"
        )
    return [copy.deepcopy(net).double().eval()]


def split_last(flat: list) -> tuple[list, nn.Linear | None]:
    """(the layers before the last, the last) where it is a dense one, else (all layers, None)."""
    return (flat[:-1], flat[-1]) if isinstance(flat[-1], nn.Linear) else (flat, None)


def linear_map(
    layer: nn.Module, absolute: bool = False, rows: torch.Tensor | None = None
) -> tuple[Callable, torch.Tensor | None]:
    """(t -> layer(t) without its bias, the bias) for a linear layer; with |weights|, or other
    `rows` for its weights.
    """
    if isinstance(layer, nn.AvgPool2d):
        return layer, None
    if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
        weight = 1 if layer.weight is None else layer.weight
        scale = (layer.running_var + layer.eps).rsqrt() * weight
        shift = -layer.running_mean * scale + (0 if layer.bias is None else layer.bias)
        scale = scale.abs() if absolute else scale
        return (lambda t: t * scale.view(1, -1, *[1] * (t.dim() - 2))), shift
    w = layer.weight if rows is None else rows
    w = w.abs() if absolute else w
    if isinstance(layer, nn.Linear):
        return (lambda t: F.linear(t, w)), layer.bias
    if layer.padding_mode != "zeros":
        raise ValueError(
            f"Conv2d with padding_mode={layer.padding_mode!r}: the sound bounds know 'zeros' only"
        )
    how = (layer.stride, layer.padding, layer.dilation, layer.groups)
    return (lambda t: F.conv2d(t, w, None, *how)), layer.bias
