"""The checkers of chapter 01's exercises."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .base import exercise, near, need, of_a_function, several

# (w, b) of the student's and the teacher's logistic curve, and x
_LINES = (((3, 0), (2, -3), 0.5), ((1, 0), (0, 0), 4.0), ((-1, 0), (0, 0), -4.0))
_LINES += (((1, -3), (1, 0), 0.0),)


def _logistic_pair(student: tuple, teacher: tuple) -> tuple[Callable, Callable]:
    """(h, dh): f_S - f_T of two logistic curves (w, b) on a line, and its slope."""

    def score(z, w, b):
        return 1 / (1 + np.exp(-(w * z + b)))

    def slope(z, w, b):
        return w * score(z, w, b) * score(-z, w, -b)

    def h(z):
        return score(z, *student) - score(z, *teacher)

    def dh(z):
        return slope(z, *student) - slope(z, *teacher)

    return h, dh


def _line_radius(m, x, dh, sides=(-1, 1), size=np.abs):
    """max_s min(s, m / G(s)), G from the slopes on these sides of x."""
    s = np.linspace(0, 20, 20001)[1:]
    steep = np.maximum.accumulate(np.max([size(dh(x + side * s)) for side in sides], axis=0))
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.max(np.minimum(s, m / steep)))


@of_a_function
def line_radius(function: Callable) -> None:
    """01: r_fp on a line, from h, its slope dh, and x."""
    for student, teacher, x in _LINES:
        h, dh = _logistic_pair(student, teacher)
        got = function(h, dh, x)
        m = float(h(x))
        need(np.ndim(got) == 0 and np.isfinite(got), f"a finite number is asked for, not {got}")
        got = float(got)
        if m <= 0:
            hint = f"at x = {x} the student is behind (h = {m:.2f}): the radius is 0, not {got:.3f}"
            need(got == 0, hint)
            continue
        want = _line_radius(m, x, dh)
        if not near(got, want, rel_tol=5e-3):
            hint = f"h(x) = {m:.4f} at x = {x}, your radius is {got:.3f}"
            need(False, f"{hint}; {_line_mistake(got, m, x, h, dh)}")


def _line_mistake(got, m, x, h, dh):
    """What a wrong radius on the line comes from, in words."""
    s = np.linspace(0, 20, 20001)
    flip = float(s[(h(x - s) <= 0) | (h(x + s) <= 0)].min(initial=math.inf))

    def like(value):
        return near(got, value, rel_tol=5e-3)

    if like(m / abs(dh(x))):
        return "that is h(x) over the slope at x alone; the slope may be larger inside the ball"
    if like(flip):
        return "that is where the curves cross; a certificate may use only h(x) and G"
    if like(m / np.abs(dh(x + np.r_[-s[::-1], s])).max()):
        return "that takes the steepest slope of the whole line; near x it is smaller"
    for side, name in ((1, "right"), (-1, "left")):
        if like(_line_radius(m, x, dh, sides=(side,))):
            return f"that looks only to the {name} of x; a ball has two sides"
    if like(max(0.0, _line_radius(m, x, dh, size=np.asarray))):
        return "that takes slopes with their sign; G is the largest absolute value"
    if got > flip:
        end = "G(s) is the steepest slope within s on both sides: it never falls when s grows"
        return f"the teacher overtakes at {flip:.3f}, before your radius ends; {end}"
    if got <= 0:
        return "the student leads, so the radius is above 0"
    return "try min(s, h(x) / G(s)) on many s and take the largest"


def _leaky_box(W, b, v, x, R: float, a: float, *, mistake: str = "") -> tuple:
    """(low, high) (d,): the gradient of v . leaky(W x + b) pixel by pixel in a ball; `mistake`
    names one that readers make.
    """
    z = W @ x + b
    reach = R * (1 if mistake == "rows" else np.linalg.norm(W, axis=1))
    if mistake == "point":
        reach = 0 * reach
    if mistake == "all":
        reach = np.inf + reach
    flat = 0 if mistake == "relu" else a
    slopes = np.where(np.stack([z - reach, z + reach]) > 0, 1, flat)
    ends = slopes[:, :, None] * (v[:, None] * W)
    if mistake == "ends":
        return ends[0].sum(0), ends[1].sum(0)
    return ends.min(0).sum(0), ends.max(0).sum(0)


_BOX_HINTS = {
    "relu": "a leaky neuron's slope below zero is a, not 0",
    "rows": "a neuron with weights W[i] moves by R times the length of W[i], not by R",
    "point": "those are the slopes at x; in the ball a neuron may switch",
    "all": "that lets every neuron switch; one that stays on its side in the ball keeps its slope",
    "ends": "a negative weight turns the ends round: take the smaller and the larger of both",
}


@of_a_function
def gradient_box(function: Callable) -> None:
    """01: the interval of a gradient; function(W, b, v, x, R, a) of leaky neurons in a ball."""
    W = np.array([[1.0, 2], [-1, 1], [3, 0.5], [0.5, -0.5]])
    case = (W, np.array([-0.3, -1.5, 1, 3]), np.array([1.0, -2, -0.5, 1]), np.array([0.2, 0.1]))
    case += (0.6, 0.1)
    got = function(*case)
    need(isinstance(got, tuple) and len(got) == 2, "return two arrays: return low, high")
    got = np.asarray(got, float)
    need(got.shape == (2, 2), f"low and high have an entry a pixel; yours are {got.shape[1:]}")
    if not np.allclose(got, _leaky_box(*case), atol=1e-6):
        for mistake, hint in _BOX_HINTS.items():
            wrong = _leaky_box(*case, mistake=mistake)
            need(not np.allclose(got, wrong, atol=1e-6), hint)
        want = np.round(_leaky_box(*case), 3).tolist()
        need(False, f"[low, high] is {want} here, yours is {got.round(3).tolist()}")


@exercise
def dual_norm(answer: Any) -> None:
    """01: the gradient's norm against perturbations bounded pixel by pixel."""
    hints = {
        2: "p = 2 goes with pushes measured by their length, q = 2",
        math.inf: "inf is how the push is measured, q; the gradient takes the dual of it",
    }
    known = isinstance(answer, (int, float))
    holder = "Hölder needs 1/p + 1/q = 1, with q = inf here"
    need(known and answer == 1, (known and hints.get(answer)) or holder)


_UNSOUND = {
    "slope at x": "says nothing of the ball: a step away it may be steeper",
    "ascent": "searches for a large slope, and there may be a larger one it did not find",
    "samples": "looks at some points of the ball; the largest slope may lie between them",
}


@exercise
def certificates(answer: Any) -> None:
    """01: which radii hold for certain?"""
    sound = {"interval Jacobian", "LipSDP", "product of norms"}
    need(several(answer), "give a list of names")
    for name in answer:
        why = _UNSOUND.get(name, "is none of the six names")
        need(name in sound, f"{name!r} {why}")
    lacking = len(sound - set(answer))
    need(not lacking, f"those are right; {lacking} more to find")
