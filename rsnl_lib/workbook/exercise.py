"""What the exercise checkers share: how they answer, and what they ask of an answer."""

import functools
import math
from collections.abc import Callable

import torch


def exercise(checker: Callable) -> Callable:
    """A checker that prints what the given one returns: a problem in words, or nothing."""

    @functools.wraps(checker)
    def said(answer):
        problem = checker(answer)
        print(f"Not yet: {problem}" if problem else "Right.")

    return said


def of_a_function(checker: Callable) -> Callable:
    """A checker of a reader's function, with what stops that function said in words."""

    @exercise
    @functools.wraps(checker)
    def said(function):
        if not callable(function):
            return f"{function!r} is no function; write `def` and give its name"
        try:
            return checker(function)
        except Exception as error:
            return (
                f"your function, or what it returns, stops the check with {type(error).__name__}:"
                f" {error}"
            )

    return said


def near(answer, want: float, **tolerance) -> bool:
    """Is the answer a number close to `want`?"""
    return isinstance(answer, (int, float)) and math.isclose(answer, want, **tolerance)


def shaped(got, x: torch.Tensor) -> bool:
    """Is it a tensor of the shape of x?"""
    return isinstance(got, torch.Tensor) and got.shape == x.shape


def several(answer) -> bool:
    """Is it a list, tuple or set with something in it?"""
    return isinstance(answer, (list, tuple, set)) and len(answer) > 0
