"""Exercise checkers: each takes an answer and says why it is right or what to look at again."""

import math
from collections.abc import Callable

import torch

from ..data import perturb
from ..train import losses
from .exercise import exercise, near, of_a_function, several, shaped


@exercise
def predict_scores(answer) -> str | None:
    """00: which networks still name the digit? Any list is taken; the point is to commit to one."""
    names = ("teacher", "standard", "kd", "robust")
    if not several(answer):
        return f"give a list of networks, of {', '.join(names)}"
    odd = [a for a in answer if a not in names]
    return f"{odd[0]!r} is not among {', '.join(names)}" if odd else ""


@of_a_function
def snr_ratio(function: Callable) -> str | None:
    """00: decibels to a ratio of powers."""
    for db, ratio in ((0, 1), (10, 10), (3, 10**0.3), (-10, 0.1)):
        got = function(db)
        if got is None or not math.isclose(got, ratio, rel_tol=1e-9):
            hint = ""
            if got and math.isclose(got, 10 ** (db / 20)):
                hint = "; that is the formula for amplitudes, powers take 10"
            return f"{db} dB is a ratio of {ratio:.4g}, your function gives {got}{hint}"


@of_a_function
def noise(function: Callable) -> str | None:
    """05: white noise at a ratio, each image by its own power; function(x, ratio, generator)."""
    g = torch.Generator().manual_seed(0)
    uniform = torch.rand(4, 1, 64, 64, generator=g, dtype=torch.float64)
    x = uniform * torch.tensor([1, 2, 3, 4.0]).view(4, 1, 1, 1) + 0.5
    got = function(x.clone(), 4.0, torch.Generator().manual_seed(1))
    if not shaped(got, x):
        return "return a tensor of the images' shape"
    power = perturb.power(got - x).flatten()
    realised = perturb.power(x).flatten() / power
    four = torch.full_like(realised, 4)
    if torch.allclose(realised, four, rtol=0.1):
        return ""
    if torch.allclose(x.var(dim=(1, 2, 3)) / power, four, rtol=0.1):
        return (
            "the signal's power is the mean square, you took the variance: the mean brightness"
            " counts here"
        )
    if realised.max() / realised.min() > 1.5:
        return "every image shall be measured by itself; yours share one noise level"
    return (
        f"asked for a ratio of 4, got {realised.mean():.2f}; is that the noise's power or its"
        " standard deviation?"
    )


@of_a_function
def score_loss(function: Callable) -> str | None:
    """03: Eq. 15; function(f_S, f_T, gamma)."""
    f_S = torch.tensor([0.9, 0.2, 0.5])
    f_T = torch.tensor([0.6, 0.7, 0.5])
    want = losses.score_loss(f_S, f_T, 0.1)
    got = function(f_S, f_T, 0.1)
    if isinstance(got, torch.Tensor):
        if torch.isclose(got, want):
            return ""
        if torch.isclose(got, losses.score_loss(f_T, f_S, 0.1)):
            return "student and teacher are swapped: the student pays when the teacher is ahead"
    return (
        f"for f_S {f_S.tolist()}, f_T {f_T.tolist()}, gamma 0.1 the mean hinge is {want:.4f}, yours"
        f" is {got}"
    )


@exercise
def which_term(answer) -> str | None:
    """03: with the student equal to the teacher, which terms are not zero?"""
    if not several(answer):
        return "give a list of two of 'kd', 'score', 'gradient'"
    if "gradient" in answer:
        return "L_G compares two equal gradients: it is exactly zero"
    if set(answer) != {"kd", "score"}:
        return (
            "one is right, one is missing: look at what the hinge says to a draw, "
            "and at the cross-entropy of a distribution with itself"
        )


@exercise
def conv_passes(answer) -> str | None:
    """03: the convolution passes of the exact robust step, where cross-entropy makes three."""
    if answer != 6:
        return "count forward, adjoint to x, tangent, its weight gradient, and the backward's two"


@exercise
def occlusion_share(answer) -> str | None:
    """05: the share of a 28 x 28 image that a 14 x 14 square hides."""
    if not near(answer, 0.25):
        return "14 * 14 of 28 * 28 pixels"


@of_a_function
def fixed_point(function: Callable) -> str | None:
    """01: the largest min(s, m / G(s)) for a growing G; function(m, G) on plain numbers."""
    for m, G, want in (
        (1.0, lambda s: 1 + s, (math.sqrt(5) - 1) / 2),
        (6.0, lambda s: 2.0, 3.0),
        (0.5, lambda s: math.exp(s), 0.35173371),
    ):
        got = function(m, G)
        if not near(got, want, rel_tol=2e-3):
            naive = near(got, m / G(0), rel_tol=1e-3)
            hint = "; that is m / G(0), the slope at x alone" if naive else ""
            return f"for m = {m} the answer is {want:.4f}, yours is {got}{hint}"


@exercise
def dual_norm(answer) -> str | None:
    """01: the gradient's norm against perturbations bounded pixel by pixel."""
    if answer != 1:
        return f"the dual of inf is not {answer!r}: Hölder needs 1/p + 1/q = 1, with q = inf here"


@exercise
def certificates(answer) -> str | None:
    """01: which radii hold for certain?"""
    sound = {"interval Jacobian", "LipSDP", "product of norms"}
    if not several(answer):
        return "give a list of names"
    if wrong := set(answer) - sound:
        return (
            f"{sorted(wrong)[0]!r} bounds the gap from below or at one point: a larger one may hide"
            " in the ball"
        )
    if set(answer) != sound:
        return "those are right, but there are more"


@exercise
def ceiling(answer) -> str | None:
    """04: the largest head start over a teacher at 0.98."""
    if not near(answer, 0.02, abs_tol=1e-9):
        return "the student's score is at most 1"


@of_a_function
def point_ratio(function: Callable) -> str | None:
    """04: m / ||g_S - g_T||_2 image by image, 0 where m <= 0; function(m, g_S, g_T)."""
    m = torch.tensor([0.5, -1.0, 2.0])
    g_S = torch.zeros(3, 1, 1, 2)
    g_T = torch.tensor([3.0, 4.0]).expand(3, 1, 1, 2)
    got = function(m, g_S, g_T)
    if not shaped(got, m):
        return "return one number an image, shape (n,)"
    if torch.allclose(got, torch.tensor([0.1, 0.0, 0.4])):
        return ""
    if torch.allclose(got, m / 5):
        return "where the teacher leads the ratio is 0, not negative"
    return f"for m = 0.5 and a gap of length 5 the ratio is 0.1, yours is {got[0]:.4g}"


@of_a_function
def hinge_pull(function: Callable) -> str | None:
    """02: -d max(0, gamma + f_T - f_S) / d logits; function(o_S, f_T, y, gamma)."""
    o = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    want = 0.5 * torch.tensor([-0.2, 0.5, -0.3], dtype=torch.float64)
    got = function(o.clone(), 0.9, 1, 0.1)
    if not shaped(got, o):
        return "return one number a class, shape (k,)"
    if torch.allclose(got, -want):
        return "the sign: the pull is minus the derivative, it raises the true class"
    if not torch.allclose(got, want):
        return (
            f"for o_S {o.tolist()}, f_T 0.9, y 1, gamma 0.1 the pull is {want.tolist()}, yours is"
            f" {got.tolist()}"
        )
    if function(o.clone(), 0.1, 1, 0.1).any():
        return "where f_S > f_T + gamma the hinge is closed and pulls on nothing"


@exercise
def floor(answer) -> str | None:
    """02: the least L_S under f_T = 0.97 and gamma = 0.1."""
    if not near(answer, 0.07, abs_tol=1e-9):
        return "no score exceeds 1: what is left of gamma + f_T - f_S?"


@of_a_function
def one_more_run(function: Callable) -> str | None:
    """06: mean -+ t s sqrt(1 + 1/n); function(results, t)."""
    got = function([1.0, 2.0, 3.0], 4.0)
    pair = isinstance(got, (tuple, list)) and len(got) == 2
    if not pair or not all(isinstance(v, (int, float)) for v in got):
        return "return two numbers, low and high"
    reach = 4 * math.sqrt(4 / 3)
    low, high = got
    if math.isclose(low, 2 - 4 / math.sqrt(3), rel_tol=1e-6):
        return "that is the interval of the mean; one more run has its own spread as well"
    if not near(low, 2 - reach, rel_tol=1e-6) or not near(high, 2 + reach, rel_tol=1e-6):
        return (
            f"for 1, 2, 3 and t = 4 it is ({2 - reach:.3f}, {2 + reach:.3f}), yours is"
            f" ({low:.3f}, {high:.3f})"
        )


@exercise
def compression(answer) -> str | None:
    """06: weights of the CIFAR teacher over those of Student 1, to two decimals."""
    if not near(answer, 36.24, abs_tol=0.005):
        return "divide the exact counts, and round to two decimals"


@of_a_function
def holm(function: Callable) -> str | None:
    """09: Holm's step-down correction; function(ps) -> corrected ps in the same order."""

    def alike(got, want):
        pairs = zip(got, want)
        return len(got) == len(want) and all(math.isclose(a, b, rel_tol=1e-9) for a, b in pairs)

    for ps, want in (
        ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]),
        ([0.6, 0.9], [1.0, 1.0]),
        ([0.2, 0.001], [0.2, 0.002]),
    ):
        got = list(function(list(ps)))
        if alike(got, want):
            continue
        if alike(got, [min(1, len(ps) * p) for p in ps]):
            return (
                "that is Bonferroni's rule, which multiplies every p by the number of tests;"
                " Holm's multiplies the second smallest by one less"
            )
        return f"for {ps} it is {want}, yours is {got}"


@exercise
def undecided(answer) -> str | None:
    """09: the verdict on +0.4 [-0.3, +1.1] where half a point would matter."""
    words = {
        "undecided": "",
        "holds": "an interval around zero shows no difference",
        "fails": (
            "the interval reaches beyond half a point, so an effect that matters is not excluded"
        ),
    }
    unknown = f"{answer!r} is none of holds, fails, undecided"
    return words.get(str(answer).strip().lower(), unknown)


@of_a_function
def project(function: Callable) -> str | None:
    """07: the nearest point of the L2 ball, image by image; function(d, epsilon)."""
    d = torch.tensor([[3.0, -4.0], [0.3, 0.4], [0.0, 0.0]]).view(3, 1, 1, 2)
    want = torch.tensor([[0.6, -0.8], [0.3, 0.4], [0.0, 0.0]])
    got = function(d.clone(), 1.0)
    if not shaped(got, d):
        return "return a tensor of the perturbation's shape"
    if got.isnan().any():
        return "where there is no perturbation the length is zero, and something is divided by it"
    if torch.allclose(got.view(3, 2), want, atol=1e-5):
        return ""
    if torch.allclose(got[1].view(2), torch.tensor([0.6, 0.8]), atol=1e-5):
        return "a perturbation inside the ball stays as it is; yours is stretched to its edge"
    return (
        "(3, -4) shortened to length 1 is (0.6, -0.8), yours is"
        f" {[round(v, 3) for v in got[0].flatten().tolist()]}"
    )


@exercise
def attack_passes(answer) -> str | None:
    """07: the passes, forward or backward, of a step of training with ten attack steps."""
    if answer == 22:
        return ""
    if answer == 20:
        return "that leaves the step that trains out"
    if answer in (11, 12):
        return "each attack step is a forward and a backward pass"
    return "count the passes of one attack step, then of the step that trains"


@of_a_function
def newton(function: Callable) -> str | None:
    """08: the step to where a linear gap L with gradient g (d,) is zero; function(L, g) -> (d,)."""
    for L, slope in ((2.0, [3.0, 4.0]), (0.5, [1.0, 0.0]), (-1.0, [0.0, 2.0])):
        g = torch.tensor(slope)
        got = function(L, g.clone())
        if not shaped(got, g):
            return "return a tensor of the gradient's shape"
        change = float(got @ g)
        if abs(L + change) > 1e-5:
            if abs(L - change) < 1e-5:
                return "that is the right length in the wrong direction: the gap must fall"
            return (
                f"from a gap of {L:g} your step leaves {L + change:+.3g}; divide by the square of"
                " the gradient's length"
            )
        if abs(float(got.norm()) - abs(L) / float(g.norm())) > 1e-5:
            return "it lands on the boundary by a detour; the shortest way is along the gradient"


@exercise
def similar(answer) -> str | None:
    """08: MagSim of vectors of length 2 and 3."""
    if near(answer, 2 / 3, rel_tol=1e-3):
        return ""
    if answer == 1.5:
        return "the smaller length over the larger, so that it is at most 1"
    return "MagSim looks at the two lengths only"
