"""What checkers are made of: hints, decorators, and questions about an answer's form."""

import functools
import math
from collections.abc import Callable
from numbers import Real

import torch
from torch import Tensor, nn


class NotYet(Exception):
    """What to look at again, in words."""


def need(right: bool, hint: str) -> None:
    """Go on if that is right, else say the hint."""
    if not right:
        raise NotYet(hint)


def exercise(checker: Callable) -> Callable:
    """The checker, with what it says printed."""

    @functools.wraps(checker)
    def check(answer):
        try:
            checker(answer)
            print("Right.")
        except NotYet as hint:
            print(f"Not yet: {hint}")

    return check


def of_a_function(checker: Callable) -> Callable:
    """A checker of a reader's function, with what stops that function said in words."""

    @exercise
    @functools.wraps(checker)
    def check(function):
        need(callable(function), f"{function!r} is no function; write `def` and give its name")
        try:
            checker(function)
        except NotYet:
            raise
        except Exception as error:
            name = type(error).__name__
            hint = f"your function, or what it returns, stops the check with {name}: {error}"
            raise NotYet(hint) from error

    return check


def near(answer: object, want: float, **tolerance) -> bool:
    """Is the answer a number close to `want`?"""
    return isinstance(answer, Real) and math.isclose(answer, want, **tolerance)


def shaped(got: object, x: Tensor) -> bool:
    """Is it a tensor of the shape of x?"""
    return isinstance(got, Tensor) and got.shape == x.shape


def several(answer: object) -> bool:
    """Is it a list, tuple or set with something in it?"""
    return isinstance(answer, (list, tuple, set)) and len(answer) > 0


def one_number(want: float, hint: str, **tolerance) -> Callable:
    """A checker of one number, with one hint for all others."""
    return exercise(lambda answer: need(near(answer, want, **tolerance), hint))


def small_pair() -> tuple[nn.Module, nn.Module, Tensor, Tensor]:
    """A student, a teacher, two images of 4 pixels and their classes, in float64, always the
    same.
    """
    nets = []
    for shift in (0.0, 1.0):
        net = nn.Sequential(nn.Flatten(), nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
        with torch.no_grad():
            for p in net.parameters():
                p.copy_(torch.sin(torch.arange(p.numel()) * 2.0 + shift).view_as(p))
        nets.append(net.eval())
    x = torch.linspace(0, 1, 8, dtype=torch.float64).view(2, 1, 2, 2)
    return *nets, x, torch.tensor([2, 0])
