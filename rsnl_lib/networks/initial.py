"""How a network starts: LSUV, or the papers' uniform weights."""

import torch
from torch import nn

from ..checks import one_of
from . import zoo
from .modules import _try, standing


@torch.no_grad()
def uniform_(net: nn.Module, generator: torch.Generator | None = None) -> nn.Module:
    """The papers' start, in place: every weight from U(-0.005, 0.005), biases 0 (arXiv 1302.4389,
    1412.6550).
    """
    for m in net.modules():
        if isinstance(m, (nn.Conv2d, nn.Linear)):
            m.weight.copy_(torch.empty(m.weight.shape).uniform_(-0.005, 0.005, generator=generator))
            if m.bias is not None:
                m.bias.zero_()
    return net


@torch.no_grad()
def lsuv_(net: nn.Module, x: torch.Tensor, generator: torch.Generator | None = None) -> nn.Module:
    """Layer-sequential unit-variance start (arXiv 1511.06422), in place: orthogonal weights, each
    layer's output scaled to variance 1 on the images `x`, biases drawn from U(-0.01, 0.01).

    A bias of exactly zero would make every blank patch of an MNIST image a tie between maxout
    pieces.
    """
    if not len(x) or not torch.isfinite(x).all():
        raise ValueError(
            f"the start is scaled on images {tuple(x.shape)}; give at least one, without NaN or"
            " infinite values"
        )
    with standing(net, "eval"):
        for layer in net.modules():
            if not isinstance(layer, (nn.Conv2d, nn.Linear)):
                continue
            w = torch.empty(layer.weight.shape)
            nn.init.orthogonal_(w.view(len(w), -1), generator=generator)
            layer.weight.copy_(w)
            if layer.bias is not None:
                b = torch.empty(layer.bias.shape)
                layer.bias.copy_(b.uniform_(-0.01, 0.01, generator=generator))
            seen = []
            hook = layer.register_forward_hook(lambda m, i, o: seen.append(o.std()))
            for _ in range(5):
                seen.clear()
                net(x)
                if abs(seen[0] - 1) < 0.05 or seen[0] < 1e-8:
                    break
                layer.weight /= seen[0]
            hook.remove()
    return net


def start(name: str, data, seed: int = 0, init: str = "lsuv") -> nn.Module:
    """A network by name at its start, the same for every method of a seed: LSUV on 500 training
    images, or the papers' U(+-0.005).
    """
    one_of("init", init, ("lsuv", "uniform"))
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = zoo.build(name, data.classes).to(data.x_train.device)
    _try(name, net, data.x_train[:2])
    if init == "uniform":
        return uniform_(net, generator)
    return lsuv_(net, data.x_train[:500], generator)
