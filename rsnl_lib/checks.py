"""Values from outside: each function returns a good value and explains a bad one."""

import math
import numbers
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


def labels(a: Tensor, y: Tensor) -> Tensor:
    """`y` if logits a (n, k) and int64 labels y (n,) fit each other."""
    for name, t in (("logits", a), ("labels", y)):
        if not isinstance(t, Tensor):
            raise ValueError(f"{name} are a {type(t).__name__}; they must be a torch.Tensor")
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
    if x.device.type == "cpu" and not torch.isfinite(x).all():
        raise ValueError("images hold NaN or infinite values; every pixel must be finite")
    return x


def one_of(name: str, value: Any, choices: Iterable) -> Any:
    """`value` if it is one of `choices`."""
    if value not in list(choices):
        known = ", ".join(map(str, choices))
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


def whole(name: str, value: Any, low: int = 0) -> int:
    """`value` if it is an integer of at least `low`."""
    integer = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not integer or value < low:
        raise ValueError(f"{name}={value!r} must be a whole number of at least {low}")
    return value


def room(low: float | None, high: float | None) -> None:
    """Refuse bounds of pixels with nothing between them; None is no bound."""
    if low is not None and high is not None and not finite("low", low) < finite("high", high):
        bounds = f"low={low!r} and high={high!r}"
        raise ValueError(f"{bounds} leave no room for pixels; low must be the smaller")
