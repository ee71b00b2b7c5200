"""Values from outside: each function returns a good value and explains a bad one."""

import math
import numbers

import torch


def labels(a, y):
    """Check the shapes and types of logits (n, k) and integer labels (n,); returns y."""
    for name, t in (("logits", a), ("labels", y)):
        if not isinstance(t, torch.Tensor):
            raise ValueError(f"{name} are a {type(t).__name__}; they must be a torch.Tensor")
    if a.dim() != 2 or y.shape != a.shape[:1]:
        raise ValueError(
            f"logits {tuple(a.shape)} and labels {tuple(y.shape)} do not fit: want (n, classes) and"
            " (n,)"
        )
    if y.dtype != torch.int64:
        raise ValueError(f"labels are {y.dtype}; they must be torch.int64")
    return y


def true_class(a, y):
    """`labels`, and each is one of the classes 0..k-1 (asked on the CPU alone: a GPU would have to
    be waited for); returns y.
    """
    if len(labels(a, y)) and y.device.type == "cpu":
        low, high = map(int, y.aminmax())
        if low < 0 or high >= a.shape[1]:
            raise ValueError(
                f"labels run from {low} to {high}; logits of {a.shape[1]} classes want labels 0 to"
                f" {a.shape[1] - 1}"
            )
    return y


def images(x):
    """`x` if it is a batch of finite float images (n, c, h, w), else a ValueError."""
    if not isinstance(x, torch.Tensor) or x.dim() != 4 or not x.is_floating_point():
        kind = f"{tuple(x.shape)} {x.dtype}" if isinstance(x, torch.Tensor) else type(x).__name__
        raise ValueError(f"images must be a float tensor (n, channels, height, width), not {kind}")
    if min(x.shape[1:3]) > 4 and x.shape[3] in (1, 3):
        raise ValueError(
            f"images {tuple(x.shape)} look as if their channels came last; give (n, channels,"
            " height, width): x.permute(0, 3, 1, 2)"
        )
    return points(x)


def points(x):
    """`x` if it is a float tensor of finite numbers (asked on the CPU alone: a GPU would have to be
    waited for), whatever its shape, else a ValueError.
    """
    if not isinstance(x, torch.Tensor) or not x.is_floating_point():
        raise ValueError(
            f"images must be a float tensor, not {getattr(x, 'dtype', type(x).__name__)}"
        )
    if x.device.type == "cpu" and not torch.isfinite(x).all():
        raise ValueError("images hold NaN or infinite values; every pixel must be finite")
    return x


def one_of(name, value, choices):
    """`value` if it is one of `choices`, else a ValueError that lists them."""
    if value not in list(choices):
        raise ValueError(
            f"{name}={value!r} is unknown; choose one of: {', '.join(map(str, choices))}"
        )
    return value


def positive(name, value, zero=False):
    """`value` as a float if it is a finite number above zero (or zero, with `zero=True`), else a
    ValueError.
    """
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


def finite(name, value):
    """`value` as a float if it is a finite number, else a ValueError."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise ValueError(f"{name}={value!r} must be a finite number")
    return float(value)


def whole(name, value, low=0):
    """`value` if it is an integer of at least `low`, else a ValueError."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < low:
        raise ValueError(f"{name}={value!r} must be a whole number of at least {low}")
    return value


def room(low, high):
    """Refuse bounds of pixels with nothing between them; None is no bound."""
    if low is not None and high is not None and not finite("low", low) < finite("high", high):
        raise ValueError(
            f"low={low!r} and high={high!r} leave no room for pixels; low must be the smaller"
        )
