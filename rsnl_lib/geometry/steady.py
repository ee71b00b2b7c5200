"""Is a network a function of each image alone, the same whenever it is asked? Only then are its
scores, kept once, and the gradient of a batch's sum an image's own. It is asked, not guessed.
"""

import contextlib
import copy
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn


def main_head(out: Any, who: str = "network") -> Tensor:
    """The logits (n, k) in what a network answers: a tensor, `.logits`, ["logits"], or the first of
    a tuple, the main head before auxiliary ones; else a ValueError.
    """
    found = out
    if isinstance(found, Mapping):
        found = found.get("logits")
    elif not isinstance(found, Tensor):
        found = getattr(found, "logits", found)
    if isinstance(found, (tuple, list)) and found:
        found = found[0]
    if not isinstance(found, Tensor):
        kind = f"a dict of {', '.join(map(str, out))}" if isinstance(out, Mapping) else type(out)
        raise ValueError(
            f"the {who} answers {kind}, in which no logits are found; wrap it in a module whose"
            " forward returns them, a tensor (n, classes)"
        )
    return found


@contextlib.contextmanager
@torch.no_grad()
def unmoved(net: nn.Module) -> Iterator[None]:
    """Within this block buffers of `net` may move, in place or not; afterwards they are as before,
    and so are torch's random numbers.
    """
    own = [m._buffers for m in net.modules() if not isinstance(m, torch.jit.ScriptModule)]
    places = [(buffers, dict(buffers)) for buffers in own]
    held = [(b, b.clone()) for b in net.buffers()]
    devices = {b.device for b in [*net.parameters(), *net.buffers()] if b.is_cuda}
    with torch.random.fork_rng(devices=list(devices)):
        try:
            yield
        finally:
            for buffers, before in places:
                buffers.update(before)
            for b, before in held:
                if not torch.equal(b, before):
                    b.copy_(before)


def stand_in(net: nn.Module) -> nn.Module:
    """A copy of the network to be asked in its place, so that it is left alone; itself where it
    cannot be copied. An exported program's copy would forget that it has one mode alone.
    """
    if "train" in vars(net):
        return net
    try:
        with torch.no_grad():  # else a scripted network's copy hangs on its weights
            copied = copy.deepcopy(net)
    except (AttributeError, NotImplementedError, RuntimeError, TypeError):
        return net
    for p, own in zip(net.parameters(), copied.parameters()):
        own.requires_grad_(p.requires_grad)
    return copied


def beside(x: Tensor) -> tuple[Tensor, Tensor]:
    """Image x[0] twice, and beside a ramp of its pixels' range: (2, c, h, w) both."""
    low, high = map(float, x[0].aminmax())
    kind = dict(dtype=x.dtype, device=x.device)
    ramp = torch.linspace(low, high if high > low else low + 1, x[0].numel(), **kind)
    return torch.stack([x[0], x[0]]), torch.stack([x[0], ramp.view_as(x[0])])


def _copy(t):
    return t.detach().clone() if isinstance(t, Tensor) else None


@torch.no_grad()
def _trace(net, x):
    """[(name, layer, what it was given, what it gave)] in the order in which layers end, the
    network last; layers of a scripted network cannot be seen.
    """
    seen, given = [], {}

    def before(layer, inputs):
        given[layer] = _copy(next(iter(inputs), None))

    def after(layer, inputs, out):
        seen.append((names[layer], layer, given.get(layer), _copy(out)))

    names = {m: name for name, m in net.named_modules() if name}
    with contextlib.ExitStack() as stack:
        for m in names:
            if not isinstance(m, torch.jit.ScriptModule):
                stack.enter_context(m.register_forward_pre_hook(before))
                stack.enter_context(m.register_forward_hook(after))
        a = main_head(net(x))
    return [*seen, ("", net, x, _copy(a))]


def _differ(a, b, rows, coarse):
    """Do the first `rows` of two answers differ by more than rounding, `coarse` or not?"""
    if not isinstance(a, Tensor) or not isinstance(b, Tensor) or a.shape != b.shape or not a.dim():
        return False
    share = 0.05 if coarse or a.dtype in (torch.half, torch.bfloat16) else 1e-3
    a, b = a[:rows].double(), b[:rows].double()
    near = share * float(a.nan_to_num(0, 0, 0).abs().max()) if a.numel() else 0.0
    return not torch.allclose(a, b, 0, near, equal_nan=True)


def _culprit(one, other, rows):
    """(name, kind) of what in a network answers equal inputs differently, None where nothing does.
    Features (2, d) are compared besides the logits: a last layer of zeros would hide them.
    """
    coarse = any("quantized" in type(s[1]).__module__ for s in one)  # scaled batch by batch
    flat = [(s[3], t[3]) for s, t in zip(one, other) if s[3] is not None and s[3].dim() == 2]
    if not any(_differ(a, b, rows, coarse) for a, b in flat if len(a) == 2):
        return None
    for (name, layer, x, a), (_, _, z, b) in zip(one, other):
        if _differ(a, b, rows, coarse) and not _differ(x, z, rows, coarse):
            return name, getattr(layer, "original_name", type(layer).__name__)
    return "", type(one[-1][1]).__name__


def _words(culprit):
    name, kind = culprit
    return f"its layer {name} ({kind})" if name else f"its own forward ({kind})"


def companions(net: nn.Module, x: Tensor) -> tuple[tuple[str, str] | None, str]:
    """What another image beside x[0] changes in a network as it stands: (name, kind) of the layer
    that mixes them, the name "" for its own forward, None if there is none; and the name of a
    buffer that follows the images, "" for none. Four images are asked; nothing moves.
    """
    seen, held, net = [], [], stand_in(net)
    for pair in beside(x):
        with unmoved(net):
            torch.manual_seed(0)
            seen.append(_trace(net, pair))
            held.append({name: b.clone() for name, b in net.named_buffers()})
    moved = (name for name, b in held[0].items() if not b.equal(held[1][name]))
    return _culprit(*seen, 1), next(moved, "")


def unchanged(who: str, shown: Tensor, x: Tensor) -> None:
    """Refuse a network that changed `shown`, a copy of images x that it was asked about."""
    if not x.is_meta and not shown.equal(x) and not torch.equal(shown.nan_to_num(), x.nan_to_num()):
        raise ValueError(
            f"{who} changes its images in place; put x - 0.5 in the place of x.sub_(0.5), or let"
            " its forward begin with x = x.clone()"
        )


def steady(who: str, net: nn.Module, x: Tensor) -> None:
    """Refuse a network that, as it stands, answers twice differently about image x[0], or otherwise
    where another image is beside it; or that changes it. Six images are asked; nothing moves.
    """
    (alone, pair), seen = beside(x), stand_in(net)
    shown = alone.clone()
    with unmoved(seen):
        torch.manual_seed(0)
        one, again = _trace(seen, shown), _trace(seen, alone.clone())
    unchanged(f"the {who}", shown, alone)
    if changed := _culprit(one, again, 2):
        raise ValueError(
            f"the {who} answers twice differently about one image: {_words(changed)} draws anew"
            " each time; call eval() on it, or give F.dropout training=self.training"
        )
    with unmoved(seen):
        torch.manual_seed(0)
        other = _trace(seen, pair)
    if mixing := _culprit(one, other, 1):
        raise ValueError(
            f"the {who} answers otherwise about an image when another is beside it:"
            f" {_words(mixing)} mixes the images of a batch in evaluation mode; let it keep"
            " statistics, as BatchNorm2d does with track_running_stats=True"
        )
