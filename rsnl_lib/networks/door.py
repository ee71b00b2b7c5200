"""The door: a network is looked at once, where it comes in, before anything is computed. A few
images are asked; what cannot be done right is refused with the layer and the remedy.
"""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from .. import checks
from ..geometry.steady import beside, companions, main_head, stand_in, steady, unmoved
from .modules import standing, takes_one, training, try_on


def unwrapped(net: nn.Module) -> nn.Module:
    """The network inside torch.compile's, which has no second derivative; another as it is."""
    return getattr(net, "_orig_mod", net)


@contextlib.contextmanager
def answering(net: nn.Module | None, full: bool = False) -> Iterator[None]:
    """Within this block `net` answers its main head's logits alone, in training mode too; with
    `full` in single precision where autocast made them bfloat16.
    """

    def head(layer, inputs, out):
        a = main_head(out)
        return a.float() if full and a.dtype == torch.bfloat16 else a

    scripted = isinstance(net, torch.jit.ScriptModule)  # takes no hook
    with contextlib.nullcontext() if net is None or scripted else net.register_forward_hook(head):
        yield


def twice(wanted: bool) -> contextlib.AbstractContextManager:
    """Within this block attention is computed in steps that can be differentiated twice."""
    return sdpa_kernel(SDPBackend.MATH) if wanted else contextlib.nullcontext()


def look(who: str, net: nn.Module, x: Tensor) -> Tensor:
    """The logits (n, k) at rest of a few images x, of a network whose answer can be relied on:
    finite, the same each time, an image's own (`steady`). A copy of it is asked.
    """
    seen = stand_in(unwrapped(checks.module(who, net)))
    out = try_on(f"the {who}", seen, x)
    if isinstance(seen, torch.jit.ScriptModule) and not isinstance(out, Tensor):
        raise ValueError(
            f"the {who} is scripted and answers more than a tensor; script one whose forward"
            " returns its logits alone"
        )
    a = checks.scores(who, main_head(out, who))
    if not x.is_meta:  # which has no values to compare
        with standing(seen, "eval"):
            steady(who, seen, x)
    return a


def tensors(net: nn.Module) -> list[Tensor]:
    """The tensors of a network's state, those that quantised layers have packed too."""
    found = list(net.state_dict().values())
    while any(isinstance(v, (tuple, list)) for v in found):
        found = [t for v in found for t in (v if isinstance(v, (tuple, list)) else [v])]
    return [t.dequantize() if t.is_quantized else t for t in found if isinstance(t, Tensor)]


@torch.no_grad()
def awake(who: str, net: nn.Module, x: Tensor) -> None:
    """Refuse a network in training mode, or with a layer in it that answers or moves otherwise."""
    if net.training:
        raise ValueError(f"the {who} is in training mode; call {who}.eval()")
    layers = [f"layer {name} ({type(m).__name__})" for name, m in net.named_modules() if m.training]
    if layers:
        pair, seen = beside(x)[1], stand_in(net)
        rest = main_head(try_on(f"the {who}", seen, pair))
        with unmoved(seen):
            before = [b.clone() for b in seen.buffers()]
            same = main_head(seen(pair)).equal(rest)
            calm = same and all(map(torch.equal, before, seen.buffers()))
        if not calm:
            raise ValueError(f"the {who} is in training mode: its {layers[0]}; call {who}.eval()")


def trainable(net: nn.Module, x: Tensor, frozen_norm: bool, own: bool, single: str) -> None:
    """Refuse a student that would be trained wrongly: with `own` one that mixes images, whose input
    gradients are not an image's own; with frozen_norm one whose statistics follow the images all
    the same; where `single` says that a batch is a single image, one that cannot take it.
    """
    net = stand_in(net)
    with standing(net), answering(net):
        training(net, frozen_norm)
        mixing, buffer = companions(net, x) if own or frozen_norm else (None, "")
        if frozen_norm and buffer:
            raise ValueError(
                f"frozen_norm=True does not reach {buffer}, whose values follow the images;"
                f" {_sleep(buffer.rpartition('.')[0])}"
            )
        if own and mixing:
            name, kind = mixing
            freeze = "freeze its statistics if it is torch's batch norm (recipe setting"
            first = "" if frozen_norm else f"{freeze} frozen_norm=True), else "
            raise ValueError(
                f"{kind} in training mode mixes the images of a batch; {first}{_sleep(name)}"
            )
        if single and not takes_one(net, x):
            raise ValueError(f"{single}, too few for a batch norm of maps of one pixel")


def _sleep(name):
    """The remedy for a layer that must stay as it is."""
    layer = f"dict(net.named_modules())[{name or 'NAME'!r}]"
    return f"call {layer}.eval() before: layers in evaluation mode stay so"
