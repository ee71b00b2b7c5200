"""Exercise checkers: each takes an answer and says why it is right or what to look at again."""

import functools
import math

import torch

from ..data import perturb
from ..train import losses


def _say(problem):
    print(f"Not yet: {problem}" if problem else "Right.")


def _of_a_function(checker):
    """A checker of a reader's function, with what stops that function said in words."""

    @functools.wraps(checker)
    def said(function):
        if not callable(function):
            return _say(f"{function!r} is no function; write `def` and give its name")
        try:
            return checker(function)
        except Exception as error:
            return _say(
                f"your function, or what it returns, stops the check with {type(error).__name__}:"
                f" {error}"
            )

    return said


def predict_scores(answer):
    """00: which networks still name the digit? Any list of method names is taken; the point is to
    commit to one.
    """
    names = ("teacher", "standard", "kd", "robust")
    if not isinstance(answer, (list, tuple, set)) or not answer:
        return _say(f"give a list of networks, of {', '.join(names)}")
    odd = [a for a in answer if a not in names]
    return _say(odd and f"{odd[0]!r} is not among {', '.join(names)}")


@_of_a_function
def snr_ratio(function):
    """00: decibels to a ratio of powers."""
    for db, ratio in ((0, 1), (10, 10), (3, 10**0.3), (-10, 0.1)):
        got = function(db)
        if got is None or not math.isclose(got, ratio, rel_tol=1e-9):
            hint = (
                "; that is the formula for amplitudes, powers take 10"
                if got and math.isclose(got, 10 ** (db / 20))
                else ""
            )
            return _say(f"{db} dB is a ratio of {ratio:.4g}, your function gives {got}{hint}")
    return _say("")


@_of_a_function
def noise(function):
    """05: white noise at a ratio, each image by its own power; function(x, ratio, generator)."""
    g = torch.Generator().manual_seed(0)
    x = (
        torch.rand(4, 1, 64, 64, generator=g, dtype=torch.float64)
        * torch.tensor([1, 2, 3, 4.0]).view(4, 1, 1, 1)
        + 0.5
    )
    got = function(x.clone(), 4.0, torch.Generator().manual_seed(1))
    if not isinstance(got, torch.Tensor) or got.shape != x.shape:
        return _say("return a tensor of the images' shape")
    realised = (perturb.power(x) / perturb.power(got - x)).flatten()
    if torch.allclose(realised, torch.full_like(realised, 4), rtol=0.1):
        return _say("")
    centred = x.var(dim=(1, 2, 3)) / perturb.power(got - x).flatten()
    if torch.allclose(centred, torch.full_like(centred, 4), rtol=0.1):
        return _say(
            "the signal's power is the mean square, you took the variance: the mean brightness"
            " counts here"
        )
    if realised.max() / realised.min() > 1.5:
        return _say("every image shall be measured by itself; yours share one noise level")
    return _say(
        f"asked for a ratio of 4, got {realised.mean():.2f}; is that the noise's power or its"
        " standard deviation?"
    )


@_of_a_function
def score_loss(function):
    """03: Eq. 15; function(f_S, f_T, gamma)."""
    f_S, f_T = torch.tensor([0.9, 0.2, 0.5]), torch.tensor([0.6, 0.7, 0.5])
    want, got = losses.score_loss(f_S, f_T, 0.1), function(f_S, f_T, 0.1)
    if isinstance(got, torch.Tensor) and torch.isclose(got, want):
        return _say("")
    if isinstance(got, torch.Tensor) and torch.isclose(got, losses.score_loss(f_T, f_S, 0.1)):
        return _say("student and teacher are swapped: the student pays when the teacher is ahead")
    return _say(
        f"for f_S {f_S.tolist()}, f_T {f_T.tolist()}, gamma 0.1 the mean hinge is {want:.4f}, yours"
        f" is {got}"
    )


def which_term(answer):
    """03: with the student equal to the teacher, which terms are not zero?"""
    if not isinstance(answer, (list, tuple, set)) or not answer:
        return _say("give a list of two of 'kd', 'score', 'gradient'")
    if "gradient" in answer:
        return _say("L_G compares two equal gradients: it is exactly zero")
    return _say(
        ""
        if set(answer) == {"kd", "score"}
        else (
            "one is right, one is missing: look at what the hinge says to a draw, "
            "and at the cross-entropy of a distribution with itself"
        )
    )


def conv_passes(answer):
    """03: how many convolution passes does the exact robust step make where cross-entropy makes
    three?
    """
    return _say(
        ""
        if answer == 6
        else "count forward, adjoint to x, tangent, its weight gradient, and the backward's two"
    )


def occlusion_share(answer):
    """05: the share of a 28 x 28 image that a 14 x 14 square hides."""
    return _say(
        ""
        if isinstance(answer, (int, float)) and math.isclose(answer, 0.25)
        else "14 * 14 of 28 * 28 pixels"
    )


@_of_a_function
def fixed_point(function):
    """01: the largest min(s, m / G(s)) for a growing G; function(m, G) on plain numbers."""
    for m, G, want in (
        (1.0, lambda s: 1 + s, (math.sqrt(5) - 1) / 2),
        (6.0, lambda s: 2.0, 3.0),
        (0.5, lambda s: math.exp(s), 0.35173371),
    ):
        got = function(m, G)
        if not isinstance(got, (int, float)) or not math.isclose(got, want, rel_tol=2e-3):
            naive = isinstance(got, (int, float)) and math.isclose(got, m / G(0), rel_tol=1e-3)
            return _say(
                f"for m = {m} the answer is {want:.4f}, yours is {got}"
                + ("; that is m / G(0), the slope at x alone" if naive else "")
            )
    return _say("")


def dual_norm(answer):
    """01: the gradient's norm against perturbations bounded pixel by pixel."""
    return _say(
        ""
        if answer == 1
        else "the dual of inf is not "
        + repr(answer)
        + ": Hölder needs 1/p + 1/q = 1, with q = inf here"
    )


def certificates(answer):
    """01: which radii hold for certain?"""
    sound = {"interval Jacobian", "LipSDP", "product of norms"}
    if not isinstance(answer, (list, tuple, set)) or not answer:
        return _say("give a list of names")
    if wrong := set(answer) - sound:
        return _say(
            f"{sorted(wrong)[0]!r} bounds the gap from below or at one point: a larger one may hide"
            " in the ball"
        )
    return _say("" if set(answer) == sound else "those are right, but there are more")


def ceiling(answer):
    """04: the largest head start over a teacher at 0.98."""
    return _say(
        ""
        if isinstance(answer, (int, float)) and math.isclose(answer, 0.02, abs_tol=1e-9)
        else "the student's score is at most 1"
    )


@_of_a_function
def point_ratio(function):
    """04: m / ||g_S - g_T||_2 image by image, 0 where m <= 0; function(m, g_S, g_T)."""
    m = torch.tensor([0.5, -1.0, 2.0])
    g_S, g_T = torch.zeros(3, 1, 1, 2), torch.tensor([3.0, 4.0]).expand(3, 1, 1, 2)
    got = function(m, g_S, g_T)
    if not isinstance(got, torch.Tensor) or got.shape != m.shape:
        return _say("return one number an image, shape (n,)")
    if torch.allclose(got, torch.tensor([0.1, 0.0, 0.4])):
        return _say("")
    if torch.allclose(got, m / 5):
        return _say("where the teacher leads the ratio is 0, not negative")
    return _say(f"for m = 0.5 and a gap of length 5 the ratio is 0.1, yours is {got[0]:.4g}")


@_of_a_function
def hinge_pull(function):
    """02: minus the derivative of max(0, gamma + f_T - f_S) by the logits; function(o_S, f_T, y,
    gamma).
    """
    o = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    got, want = (
        function(o.clone(), 0.9, 1, 0.1),
        0.5 * torch.tensor([-0.2, 0.5, -0.3], dtype=torch.float64),
    )
    if not isinstance(got, torch.Tensor) or got.shape != o.shape:
        return _say("return one number a class, shape (k,)")
    if torch.allclose(got, -want):
        return _say("the sign: the pull is minus the derivative, it raises the true class")
    if not torch.allclose(got, want):
        return _say(
            f"for o_S {o.tolist()}, f_T 0.9, y 1, gamma 0.1 the pull is {want.tolist()}, yours is"
            f" {got.tolist()}"
        )
    return _say(
        ""
        if not function(o.clone(), 0.1, 1, 0.1).any()
        else "where f_S > f_T + gamma the hinge is closed and pulls on nothing"
    )


def floor(answer):
    """02: the least L_S under f_T = 0.97 and gamma = 0.1."""
    return _say(
        ""
        if isinstance(answer, (int, float)) and math.isclose(answer, 0.07, abs_tol=1e-9)
        else "no score exceeds 1: what is left of gamma + f_T - f_S?"
    )


@_of_a_function
def one_more_run(function):
    """06: mean -+ t s sqrt(1 + 1/n); function(results, t)."""
    got = function([1.0, 2.0, 3.0], 4.0)
    if (
        not isinstance(got, (tuple, list))
        or len(got) != 2
        or not all(isinstance(v, (int, float)) for v in got)
    ):
        return _say("return two numbers, low and high")
    reach = 4 * math.sqrt(4 / 3)
    if math.isclose(got[0], 2 - 4 / math.sqrt(3), rel_tol=1e-6):
        return _say("that is the interval of the mean; one more run has its own spread as well")
    return _say(
        ""
        if math.isclose(got[0], 2 - reach, rel_tol=1e-6)
        and math.isclose(got[1], 2 + reach, rel_tol=1e-6)
        else (
            f"for 1, 2, 3 and t = 4 it is ({2 - reach:.3f}, {2 + reach:.3f}), yours is"
            f" ({got[0]:.3f}, {got[1]:.3f})"
        )
    )


def compression(answer):
    """06: weights of the CIFAR teacher over those of Student 1, to two decimals."""
    return _say(
        ""
        if isinstance(answer, (int, float)) and math.isclose(answer, 36.24, abs_tol=0.005)
        else "divide the exact counts, and round to two decimals"
    )


@_of_a_function
def holm(function):
    """09: Holm's step-down correction; function(ps) -> corrected ps in the same order."""
    for ps, want in (
        ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]),
        ([0.6, 0.9], [1.0, 1.0]),
        ([0.2, 0.001], [0.2, 0.002]),
    ):
        got = list(function(list(ps)))
        if len(got) != len(ps) or not all(
            math.isclose(a, b, rel_tol=1e-9) for a, b in zip(got, want)
        ):
            if len(got) == len(ps) and all(
                math.isclose(a, min(1, len(ps) * p), rel_tol=1e-9) for a, p in zip(got, ps)
            ):
                return _say(
                    "that is Bonferroni's rule, which multiplies every p by the number of tests;"
                    " Holm's multiplies the second smallest by one less"
                )
            return _say(f"for {ps} it is {want}, yours is {got}")
    return _say("")


def undecided(answer):
    """09: the verdict on +0.4 [-0.3, +1.1] where half a point would matter."""
    said = str(answer).strip().lower()
    if said not in ("holds", "fails", "undecided"):
        return _say(f"{answer!r} is none of holds, fails, undecided")
    return _say(
        ""
        if said == "undecided"
        else (
            "an interval around zero shows no difference"
            if said == "holds"
            else (
                "the interval reaches beyond half a point, so an effect that matters is not"
                " excluded"
            )
        )
    )


@_of_a_function
def project(function):
    """07: the nearest point of the L2 ball, image by image; function(d, epsilon)."""
    d = torch.tensor([[3.0, -4.0], [0.3, 0.4], [0.0, 0.0]]).view(3, 1, 1, 2)
    got, want = function(d.clone(), 1.0), torch.tensor([[0.6, -0.8], [0.3, 0.4], [0.0, 0.0]])
    if not isinstance(got, torch.Tensor) or got.shape != d.shape:
        return _say("return a tensor of the perturbation's shape")
    if got.isnan().any():
        return _say(
            "where there is no perturbation the length is zero, and something is divided by it"
        )
    if torch.allclose(got.view(3, 2), want, atol=1e-5):
        return _say("")
    if torch.allclose(got[1].view(2), torch.tensor([0.6, 0.8]), atol=1e-5):
        return _say("a perturbation inside the ball stays as it is; yours is stretched to its edge")
    return _say(
        "(3, -4) shortened to length 1 is (0.6, -0.8), yours is"
        f" {[round(v, 3) for v in got[0].flatten().tolist()]}"
    )


def attack_passes(answer):
    """07: passes of a step of adversarial training with ten attack steps, forward and backward
    counted singly.
    """
    if answer == 22:
        return _say("")
    return _say(
        "that leaves the step that trains out"
        if answer == 20
        else (
            "each attack step is a forward and a backward pass"
            if answer in (11, 12)
            else "count the passes of one attack step, then of the step that trains"
        )
    )


@_of_a_function
def newton(function):
    """08: the step to the boundary of a linear score; function(L, g) -> (d,) for a gap L and its
    gradient g (d,).
    """
    for L, g in ((2.0, [3.0, 4.0]), (0.5, [1.0, 0.0]), (-1.0, [0.0, 2.0])):
        g = torch.tensor(g)
        got = function(L, g.clone())
        if not isinstance(got, torch.Tensor) or got.shape != g.shape:
            return _say("return a tensor of the gradient's shape")
        left = L + float(got @ g)
        if abs(left) > 1e-5:
            if abs(L - float(got @ g)) < 1e-5:
                return _say("that is the right length in the wrong direction: the gap must fall")
            return _say(
                f"from a gap of {L:g} your step leaves {left:+.3g}; divide by the square of the"
                " gradient's length"
            )
        if abs(float(got.norm()) - abs(L) / float(g.norm())) > 1e-5:
            return _say(
                "it lands on the boundary by a detour; the shortest way is along the gradient"
            )
    return _say("")


def similar(answer):
    """08: MagSim of vectors of length 2 and 3."""
    if isinstance(answer, (int, float)) and math.isclose(answer, 2 / 3, rel_tol=1e-3):
        return _say("")
    return _say(
        "the smaller length over the larger, so that it is at most 1"
        if answer == 1.5
        else "MagSim looks at the two lengths only"
    )
