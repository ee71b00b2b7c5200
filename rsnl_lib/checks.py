"""Values from outside: each function returns a good value and explains a bad one."""

import math
import numbers
import os
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


def tensor(name: str, t: Any) -> Tensor:
    """`t` if it is a torch.Tensor; `name` is a plural."""
    if not isinstance(t, Tensor):
        raise ValueError(f"{name} are a {type(t).__name__}; they must be a torch.Tensor")
    return t


def labels(a: Tensor, y: Tensor) -> Tensor:
    """`y` if logits a (n, k) and int64 labels y (n,) fit each other."""
    tensor("logits", a)
    tensor("labels", y)
    if a.dim() != 2 or y.shape != a.shape[:1]:
        shapes = f"logits {tuple(a.shape)} and labels {tuple(y.shape)}"
        raise ValueError(f"{shapes} do not fit: want (n, classes) and (n,)")
    if y.dtype != torch.int64:
        raise ValueError(f"labels are {y.dtype}; they must be torch.int64")
    return y


def true_class(a: Tensor, y: Tensor) -> Tensor:
    """`labels`, each one of the classes 0..k-1 (asked on the CPU alone: a GPU would wait)."""
    if len(labels(a, y)) and y.device.type == "cpu":
        low, high = map(int, y.aminmax())
        if low < 0 or high >= a.shape[1]:
            top = a.shape[1] - 1
            raise ValueError(f"labels run from {low} to {high}; the logits want labels 0 to {top}")
    return y


def images(x: Tensor) -> Tensor:
    """`x` if it is a batch of finite float images (n, c, h, w)."""
    shape = tuple(points(x).shape)
    if len(shape) != 4:
        want = "a float tensor (n, channels, height, width)"
        raise ValueError(f"images must be {want}, not {shape}")
    if min(shape[1:3]) > 4 and shape[3] in (1, 3):
        raise ValueError(f"images {shape}: channels came last; give x.permute(0, 3, 1, 2)")
    return x


def points(x: Tensor) -> Tensor:
    """`x` if it is a float tensor of any shape, finite (asked only on the CPU, as `true_class`)."""
    if not isinstance(x, Tensor) or not x.is_floating_point():
        kind = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(f"images must be a float tensor, not {kind}")
    if odd(x):
        raise ValueError("images hold NaN or infinite values; every pixel must be finite")
    return x


def odd(t: Tensor) -> bool:
    """Does `t` hold NaN or infinite values? Asked on the CPU only: a GPU would have to be waited
    for.
    """
    return t.device.type == "cpu" and not bool(torch.isfinite(t).all())


def some(x: Tensor, use: str) -> Tensor:
    """`x` if it holds at least one image; `use` says what for."""
    if not len(x):
        raise ValueError(f"there are no images to {use}; x is empty")
    return x


def module(who: str, net: Any) -> nn.Module:
    """`net` if it is an nn.Module."""
    if not isinstance(net, nn.Module):
        raise ValueError(f"the {who} is a {type(net).__name__}; give an nn.Module")
    return net


def network(who: str, net: nn.Module) -> nn.Module:
    """`net` if it is an nn.Module of finite tensors, no batch norm's variance below zero."""
    module(who, net)
    remedy = "train it again or load another checkpoint"
    for name, t in [*net.named_parameters(), *net.named_buffers()]:
        if odd(t):
            raise ValueError(f"{name} of the {who} holds NaN or infinite values; {remedy}")
    for name, m in net.named_modules():
        var = getattr(m, "running_var", None)
        if isinstance(var, Tensor) and odd((var + m.eps).log()):
            raise ValueError(f"{name}.running_var of the {who} is negative; {remedy}")
    return net


def scores(who: str, a: Tensor) -> Tensor:
    """`a` if all of these logits (n, k) are finite, of two classes at least."""
    if a.dim() == 2 and a.shape[1] < 2:
        raise ValueError(f"the {who} scores {a.shape[1]} classes; it must tell at least 2 apart")
    if odd(a):
        said = f"the logits of the {who} hold NaN or infinite values"
        raise ValueError(f"{said}; train it again, or give images in the range it was trained on")
    return a


def logits(who: str, a: Tensor) -> Tensor:
    """`a` (n, k) unless its rows are probabilities, each a sum of 1."""
    if a.min() >= 0 and (a.sum(1) - 1).abs().max() < 1e-3:
        raise ValueError(
            f"the {who} gives probabilities (a row sums to 1), not logits; leave its softmax out"
        )
    return a


def radius(name: str, R: float | Tensor) -> float | Tensor:
    """`R` if it is a length, or a tensor of lengths: zero or above, infinity too, never NaN."""
    if isinstance(R, Tensor):
        good = R.device.type != "cpu" or bool((R >= 0).all())
    else:
        good = isinstance(R, numbers.Real) and not isinstance(R, bool) and R >= 0
    if not good:
        raise ValueError(f"{name}={R!r} must be a length: zero or above")
    return R


def one_of(name: str, value: Any, choices: Iterable) -> Any:
    """`value` if it is one of `choices`."""
    if value not in list(choices):
        known = ", ".join(map(str, choices))
        value = str(value) if isinstance(value, os.PathLike) else value
        raise ValueError(f"{name}={value!r} is unknown; choose one of: {known}")
    return value


def positive(name: str, value: Any, zero: bool = False) -> float:
    """`value` as a float if it is a finite number above zero (or zero, with `zero=True`)."""
    rule = "zero or a finite number above it" if zero else "a finite number above zero"
    try:
        number = None if isinstance(value, (str, bool)) else float(value)
    except (TypeError, ValueError, RuntimeError):
        number = None
    if number is None:
        raise ValueError(f"{name}={value!r} is no number; it must be {rule}")
    if not math.isfinite(number) or number < 0 or (number == 0 and not zero):
        raise ValueError(f"{name}={value!r} must be {rule}")
    return number


def finite(name: str, value: object) -> float:
    """`value` as a float if it is a finite number."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise ValueError(f"{name}={value!r} must be a finite number")
    return float(value)


def whole(name: str, value: Any, low: int = 0, high: int | None = None) -> int:
    """`value` if it is an integer of at least `low` and, if there is a `high`, at most that."""
    integer = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not integer or value < low:
        raise ValueError(f"{name}={value!r} must be a whole number of at least {low}")
    if high is not None and value > high:
        raise ValueError(f"{name}={value!r} is too large; it must be at most {high}")
    return value


def seed(name: str, value: int) -> int:
    """`value` if every random generator here takes it, and what is made of it: 0 to 2^32 - 1."""
    if whole(name, value) >= 2**32:
        raise ValueError(f"{name}={value!r} is too large; it must be a whole number below 2^32")
    return value


def draws_on(generator: torch.Generator | None, x: Tensor) -> torch.device:
    """Where random numbers for `x` are drawn: where the generator is, without one where x is."""
    if generator is not None and not isinstance(generator, torch.Generator):
        raise ValueError(f"generator={generator!r} is none; give a torch.Generator, or None")
    return generator.device if generator else x.device


def inside(x: Tensor, low: float | None, high: float | None, remedy: str) -> Tensor:
    """`x`, not empty, if its pixels lie in [low, high] but for rounding; None is no bound."""
    least, most = map(float, x.aminmax())
    if (low is not None and least < low - 1e-6) or (high is not None and most > high + 1e-6):
        bounds = f"low={low!r} and high={high!r}"
        raise ValueError(f"pixels run from {least:.3g} to {most:.3g}, outside {bounds}; {remedy}")
    return x


def room(low: float | None, high: float | None) -> None:
    """Refuse bounds of pixels with nothing between them; None is no bound."""
    if low is not None and high is not None and not finite("low", low) < finite("high", high):
        bounds = f"low={low!r} and high={high!r}"
        raise ValueError(f"{bounds} leave no room for pixels; low must be the smaller")
