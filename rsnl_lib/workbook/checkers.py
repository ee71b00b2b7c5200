"""Exercise checkers: each takes an answer and says that it is right or what to look at again."""

import functools
import math
from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data import perturb
from ..train import losses


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


# 02: the least L_S under f_T = 0.97 and gamma = 0.1
floor = one_number(0.07, "no score exceeds 1: what is left of gamma + f_T - f_S?", abs_tol=1e-9)
# 03: the convolution passes of the exact robust step, where cross-entropy makes three
conv_passes = one_number(
    6, "count forward, adjoint to x, tangent, its weight gradient, and the backward's two"
)
# 04: the largest head start over a teacher at 0.98
ceiling = one_number(0.02, "the student's score is at most 1", abs_tol=1e-9)
# 05: the share of a 28 x 28 image that a 14 x 14 square hides
occlusion_share = one_number(0.25, "14 * 14 of 28 * 28 pixels")
# 06: weights of the CIFAR teacher over those of Student 1, to two decimals
compression = one_number(36.24, "divide the exact counts, and round to two decimals", abs_tol=0.005)


@exercise
def predict_scores(answer: Any) -> None:
    """00: which networks still name the digit? Any list is taken; the point is to commit to one."""
    names = ("teacher", "standard", "kd", "robust")
    need(several(answer), f"give a list of networks, of {', '.join(names)}")
    for name in answer:
        need(name in names, f"{name!r} is not among {', '.join(names)}")


@of_a_function
def decibels(function: Callable) -> None:
    """00: decibels to a ratio of powers."""
    for db, ratio in ((0, 1), (10, 10), (3, 10**0.3), (-10, 0.1)):
        got = function(db)
        hint = f"{db} dB is a ratio of {ratio:.4g}, your function gives {got}"
        if got and math.isclose(got, 10 ** (db / 20)):
            hint += "; that is the formula for amplitudes, powers take 10"
        need(got is not None and math.isclose(got, ratio, rel_tol=1e-9), hint)


@of_a_function
def fixed_point(function: Callable) -> None:
    """01: the largest min(s, m / G(s)) for a growing G; function(m, G) on plain numbers."""
    golden = (math.sqrt(5) - 1) / 2
    cases = ((1.0, lambda s: 1 + s, golden), (6.0, lambda s: 2.0, 3.0), (0.5, math.exp, 0.35173371))
    for m, G, want in cases:
        got = function(m, G)
        hint = f"for m = {m} the answer is {want:.4f}, yours is {got}"
        if near(got, m / G(0), rel_tol=1e-3):
            hint += "; that is m / G(0), the slope at x alone"
        need(near(got, want, rel_tol=2e-3), hint)


@exercise
def dual_norm(answer: Any) -> None:
    """01: the gradient's norm against perturbations bounded pixel by pixel."""
    holder = "Hölder needs 1/p + 1/q = 1, with q = inf here"
    need(answer == 1, f"the dual of inf is not {answer!r}: {holder}")


@exercise
def certificates(answer: Any) -> None:
    """01: which radii hold for certain?"""
    sound = {"interval Jacobian", "LipSDP", "product of norms"}
    need(several(answer), "give a list of names")
    bounds = "bounds the gap from below or at one point: a larger one may hide in the ball"
    for name in sorted(set(answer) - sound):
        need(name in sound, f"{name!r} {bounds}")
    need(set(answer) == sound, "those are right, but there are more")


@of_a_function
def hinge_pull(function: Callable) -> None:
    """02: -d max(0, gamma + f_T - f_S) / d logits; function(o_S, f_T, y, gamma)."""
    o = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    want = 0.5 * torch.tensor([-0.2, 0.5, -0.3], dtype=torch.float64)
    got = function(o.clone(), 0.9, 1, 0.1)
    need(shaped(got, o), "return one number a class, shape (k,)")
    sign = "the sign: the pull is minus the derivative, it raises the true class"
    need(not torch.allclose(got, -want), sign)
    asked = f"for o_S {o.tolist()}, f_T 0.9, y 1, gamma 0.1 the pull is {want.tolist()}"
    need(torch.allclose(got, want), f"{asked}, yours is {got.tolist()}")
    closed = function(o.clone(), 0.1, 1, 0.1)
    need(not closed.any(), "where f_S > f_T + gamma the hinge is closed and pulls on nothing")


@of_a_function
def score_loss(function: Callable) -> None:
    """03: Eq. 15; function(f_S, f_T, gamma)."""
    f_S = torch.tensor([0.9, 0.2, 0.5])
    f_T = torch.tensor([0.6, 0.7, 0.5])
    want, swapped = (losses.score_loss(*pair, 0.1) for pair in ((f_S, f_T), (f_T, f_S)))
    got = function(f_S, f_T, 0.1)
    asked = f"for f_S {f_S.tolist()}, f_T {f_T.tolist()}, gamma 0.1 the mean hinge is {want:.4f}"
    need(isinstance(got, Tensor), f"{asked}, yours is {got}")
    hint = "student and teacher are swapped: the student pays when the teacher is ahead"
    need(not torch.isclose(got, swapped), hint)
    need(torch.isclose(got, want), f"{asked}, yours is {got}")


@exercise
def which_term(answer: Any) -> None:
    """03: with the student equal to the teacher, which terms are not zero?"""
    need(several(answer), "give a list of two of 'kd', 'score', 'gradient'")
    need("gradient" not in answer, "L_G compares two equal gradients: it is exactly zero")
    hint = "one is right, one is missing: look at what the hinge says to a draw, and at the"
    need(set(answer) == {"kd", "score"}, f"{hint} cross-entropy of a distribution with itself")


@of_a_function
def point_ratio(function: Callable) -> None:
    """04: m / ||g_S - g_T||_2 image by image, 0 where m <= 0; function(m, g_S, g_T)."""
    m = torch.tensor([0.5, -1.0, 2.0])
    g_T = torch.tensor([3.0, 4.0]).expand(3, 1, 1, 2)
    got = function(m, torch.zeros(3, 1, 1, 2), g_T)
    need(shaped(got, m), "return one number an image, shape (n,)")
    negative = torch.allclose(got, m / 5)
    need(not negative, "where the teacher leads the ratio is 0, not negative")
    hint = f"for m = 0.5 and a gap of length 5 the ratio is 0.1, yours is {got[0]:.4g}"
    need(torch.allclose(got, m.relu() / 5), hint)


@of_a_function
def noise(function: Callable) -> None:
    """05: white noise at a ratio, each image by its own power; function(x, ratio, generator)."""
    g = torch.Generator().manual_seed(0)
    uniform = torch.rand(4, 1, 64, 64, generator=g, dtype=torch.float64)
    x = uniform * torch.tensor([1, 2, 3, 4.0]).view(4, 1, 1, 1) + 0.5
    got = function(x.clone(), 4.0, torch.Generator().manual_seed(1))
    need(shaped(got, x), "return a tensor of the images' shape")
    power = perturb.power(got - x)
    ratio = perturb.power(x) / power
    centred = x.var(dim=(1, 2, 3), keepdim=True) / power
    four = torch.full_like(ratio, 4)
    if torch.allclose(ratio, four, rtol=0.1):
        return
    variance = "you took the variance: the mean brightness counts here"
    hint = f"the signal's power is the mean square, {variance}"
    need(not torch.allclose(centred, four, rtol=0.1), hint)
    shared = ratio.max() / ratio.min() > 1.5
    need(not shared, "every image shall be measured by itself; yours share one noise level")
    question = "is that the noise's power or its standard deviation?"
    raise NotYet(f"asked for a ratio of 4, got {ratio.mean():.2f}; {question}")


@of_a_function
def one_more_run(function: Callable) -> None:
    """06: mean -+ t s sqrt(1 + 1/n); function(results, t)."""
    got = function([1.0, 2.0, 3.0], 4.0)
    pair = isinstance(got, (tuple, list)) and [isinstance(v, Real) for v in got] == [True, True]
    need(pair, "return two numbers, low and high")
    of_mean = math.isclose(got[0], 2 - 4 / math.sqrt(3), rel_tol=1e-6)
    need(not of_mean, "that is the interval of the mean; one more run has its own spread as well")
    want = (2 - 4 * math.sqrt(4 / 3), 2 + 4 * math.sqrt(4 / 3))
    hint = "for 1, 2, 3 and t = 4 it is ({:.3f}, {:.3f}), yours is ({:.3f}, {:.3f})"
    need(np.allclose(got, want, rtol=1e-6, atol=0), hint.format(*want, *got))


@of_a_function
def project(function: Callable) -> None:
    """07: the nearest point of the L2 ball, image by image; function(d, epsilon)."""
    d = torch.tensor([[3.0, -4.0], [0.3, 0.4], [0.0, 0.0]]).view(3, 1, 1, 2)
    want = torch.tensor([[0.6, -0.8], [0.3, 0.4], [0.0, 0.0]])
    got = function(d.clone(), 1.0)
    need(shaped(got, d), "return a tensor of the perturbation's shape")
    hint = "where there is no perturbation the length is zero, and something is divided by it"
    need(not got.isnan().any(), hint)
    got = got.view(3, 2)
    hint = "a perturbation inside the ball stays as it is; yours is stretched to its edge"
    need(not torch.allclose(got[1], torch.tensor([0.6, 0.8]), atol=1e-5), hint)
    yours = [round(v, 3) for v in got[0].tolist()]
    hint = f"(3, -4) shortened to length 1 is (0.6, -0.8), yours is {yours}"
    need(torch.allclose(got, want, atol=1e-5), hint)


@exercise
def attack_passes(answer: Any) -> None:
    """07: the passes, forward or backward, of a step of training with ten attack steps."""
    need(answer != 20, "that leaves the step that trains out")
    need(answer not in (11, 12), "each attack step is a forward and a backward pass")
    need(answer == 22, "count the passes of one attack step, then of the step that trains")


@of_a_function
def newton(function: Callable) -> None:
    """08: the step to where a linear gap L with gradient g (d,) is zero; function(L, g) -> (d,)."""
    for L, slope in ((2.0, [3.0, 4.0]), (0.5, [1.0, 0.0]), (-1.0, [0.0, 2.0])):
        g = torch.tensor(slope)
        got = function(L, g.clone())
        need(shaped(got, g), "return a tensor of the gradient's shape")
        change = float(got @ g)
        wrong_way = "that is the right length in the wrong direction: the gap must fall"
        need(abs(L - change) > 1e-5, wrong_way)
        left = f"from a gap of {L:g} your step leaves {L + change:+.3g}"
        need(abs(L + change) < 1e-5, f"{left}; divide by the square of the gradient's length")
        detour = abs(float(got.norm()) - abs(L) / float(g.norm())) > 1e-5
        hint = "it lands on the boundary by a detour; the shortest way is along the gradient"
        need(not detour, hint)


@exercise
def similar(answer: Any) -> None:
    """08: MagSim of vectors of length 2 and 3."""
    need(answer != 1.5, "the smaller length over the larger, so that it is at most 1")
    need(near(answer, 2 / 3, rel_tol=1e-3), "MagSim looks at the two lengths only")


@of_a_function
def holm(function: Callable) -> None:
    """09: Holm's step-down correction; function(ps) -> corrected ps in the same order."""

    def alike(got, want):
        return len(got) == len(want) and np.allclose(got, want, rtol=1e-9, atol=0)

    bonferroni = (
        "that is Bonferroni's rule, which multiplies every p by the number of tests;"
        " Holm's multiplies the second smallest by one less"
    )
    cases = {(0.01, 0.04, 0.03): [0.03, 0.06, 0.06], (0.6, 0.9): [1, 1], (0.2, 0.001): [0.2, 0.002]}
    for ps, want in cases.items():
        got = list(function(list(ps)))
        naive = [min(1, len(ps) * p) for p in ps]
        need(alike(got, want) or not alike(got, naive), bonferroni)
        need(alike(got, want), f"for {list(ps)} it is {want}, yours is {got}")


@exercise
def undecided(answer: Any) -> None:
    """09: the verdict on +0.4 [-0.3, +1.1] where half a point would matter."""
    word = str(answer).strip().lower()
    need(word != "holds", "an interval around zero shows no difference")
    beyond = "the interval reaches beyond half a point, so an effect that matters is not excluded"
    need(word != "fails", beyond)
    need(word == "undecided", f"{answer!r} is none of holds, fails, undecided")
