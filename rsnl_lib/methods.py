"""What each method asks of a student: a dict from name to method, a method being the terms it sums.

A method is called with the student, a Batch and the recipe, and returns {term: (weight, loss)}. The
objective is the sum of weight * loss; each loss is logged by itself, one of weight 0 only logged.
To add one: write the function, add its line to METHODS.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F

from . import adversarial, ball, boundary, losses


class Batch(NamedTuple):
    """Images and labels, the teacher's constants for them, and lambda at this epoch; and what few
    methods need.
    """

    x: torch.Tensor  # (n, c, h, w)
    y: torch.Tensor  # (n,)
    a_T: torch.Tensor | None  # (n, k) teacher logits
    g_T: torch.Tensor | None  # (n, c, h, w) teacher's input gradient, in the method's space
    lam: float
    teacher: torch.nn.Module | None = (
        # itself, in evaluation mode and frozen, for methods that ask it at images of their own
        None
    )
    share: float = 0.0  # epoch / epochs, in [0, 1)
    carry: dict | None = (
        # what a method keeps from step to step; emptied before each epoch, so that a resumed run
        # repeats
        None
    )


class Method(NamedTuple):
    terms: Callable
    scores: bool = False  # needs the teacher's logits
    gradients: str = (
        ""  # needs the teacher's input gradients: of the "tempered" score, or of the "logit"
    )
    hint: bool = False  # starts with the hint stage (train.hint_stage)
    live: bool = False  # needs the teacher itself
    target: Callable | None = (
        # target(g_T (n, c, h, w) of all images, seed) -> what takes the place of g_T, made once
        # before the first step
        None
    )


def standard(net, b, r):
    """Cross-entropy on the labels alone; the teacher is trained so too."""
    return {"ce": (1.0, F.cross_entropy(net(b.x), b.y))}


def kd(net, b, r):
    """Knowledge distillation (Eqs. 3-4); after the hint stage it is FitNets (arXiv 1412.6550)."""
    return _kd(net(b.x), b, r)


def _kd(a_S, b, r):
    return {
        "ce": (1.0, F.cross_entropy(a_S, b.y)),
        "kd": (
            b.lam * (r.tau**2 if r.tau_squared else 1),
            losses.soft_cross_entropy(a_S, b.a_T, r.tau),
        ),
    }


def mimic(net, b, r):
    """Cross-entropy + lambda/2 of the squared distance to the teacher's logits, or probabilities
    (Eq. 2; arXiv 1312.6184).
    """
    a_S = net(b.x)
    return {
        "ce": (1.0, F.cross_entropy(a_S, b.y)),
        "mimic": (b.lam / 2, losses.mimic_loss(a_S, b.a_T, r.mimic_on)),
    }


def robust(net, b, r):
    """L_KD + C1 L_G + C2 L_S (Eq. 17), by exact double backprop."""
    a_S, g_S = losses.input_gradient(net, b.x, b.y, r.tau, create_graph=True)
    _twice(net)
    return {
        **_kd(a_S, b, r),
        "gradient": (r.C1, losses.gradient_loss(g_S, b.g_T)),
        **_score(a_S, b, r),
    }


def _twice(net):
    """Refuse a student that PyTorch cannot differentiate twice, before its own error without a
    remedy.
    """
    if any(isinstance(m, torch.nn.Hardsigmoid) for m in net.modules()):
        raise ValueError(
            "Hardsigmoid has no second derivative in PyTorch, which the student's input gradient"
            " needs in training; networks.twice_differentiable(net) puts the same function in its"
            " place"
        )


def _score(a_S, b, r):
    f_S, f_T = losses.score(a_S, b.y), losses.score(b.a_T, b.y)
    return {
        "score": (r.C2, losses.score_loss(f_S, f_T, r.gamma)),
        "score_floor": (0.0, losses.score_floor(f_T, r.gamma)),
    }


def gradient_only(net, b, r):
    """L_KD + C1 L_G: Eq. 17 without L_S."""
    return {name: term for name, term in robust(net, b, r).items() if not name.startswith("score")}


def score_only(net, b, r):
    """L_KD + C2 L_S: Eq. 17 without L_G."""
    a_S = net(b.x)
    return {**_kd(a_S, b, r), **_score(a_S, b, r)}


def target_zero(net, b, r):
    """Control: `robust` with the teacher's input gradient replaced by zero, a plain smoothness
    penalty.
    """
    return robust(net, b._replace(g_T=torch.zeros_like(b.x)), r)


def random_directions(g_T, seed, chunk=1000):
    """Control: of each teacher gradient of g_T (n, c, h, w) the length alone, in a direction drawn
    uniformly, once for the whole run.

    The `robust` student that is given them (method "matched") has as much to match as `robust` has,
    and nothing of where the teacher's gradient points. Drawn anew each step they would be *target
    zero* in expectation. A mirrored image is an image of its own.
    """
    drawn = torch.Generator().manual_seed(seed * 100_003 + 31)
    out = torch.empty_like(g_T)
    for i in range(0, len(g_T), chunk):
        part = g_T[i : i + chunk]
        way = torch.randn(part.shape, generator=drawn).to(part.device)
        length = ball.norm(part.float()) / ball.norm(way)
        out[i : i + chunk] = way * ball.like(length, way).to(way)
    return out


def shuffled(net, b, r):
    """Control: `robust` with the teacher's gradients dealt anew, each step, among the images of one
    class in the batch: nearly their class's mean.
    """
    drawn = torch.randperm(len(b.y), device=b.y.device)
    place, giver = b.y.argsort(stable=True), drawn[b.y[drawn].argsort(stable=True)]
    g_T = torch.empty_like(b.g_T)
    g_T[place] = b.g_T[giver]
    return robust(net, b._replace(g_T=g_T), r)


def noise_augmented(net, b, r):
    """Control: KD on images with white noise of standard deviation r.sigma; the teacher saw the
    clean ones.
    """
    return kd(
        net, b._replace(x=b.x + r.sigma * torch.randn(b.x.shape, device=b.x.device).to(b.x)), r
    )


def direct(net, b, r):
    """Ours: KD + the corrected theorem as a hinge, a lead of gamma_u in logits at radius rho to
    first order.
    """
    a_S, g_S = losses.input_gradient(net, b.x, b.y, create_graph=True, space="logit")
    _twice(net)
    u_S, u_T = losses.height(a_S, b.y), losses.height(b.a_T, b.y)
    return {
        **_kd(a_S, b, r),
        "direct": (1.0, losses.direct_loss(u_S, u_T, g_S, b.g_T, r.gamma_u, r.rho)),
    }


METHODS = {
    "teacher": Method(standard),
    "standard": Method(standard),
    "mimic": Method(mimic, scores=True),
    "kd": Method(kd, scores=True),
    "fitnet": Method(kd, scores=True, hint=True),
    "score_only": Method(score_only, scores=True),
    "gradient_only": Method(gradient_only, scores=True, gradients="tempered"),
    "robust": Method(robust, scores=True, gradients="tempered"),
    "target_zero": Method(target_zero, scores=True),
    "shuffled": Method(shuffled, scores=True, gradients="tempered"),
    "matched": Method(robust, scores=True, gradients="tempered", target=random_directions),
    "noise_augmented": Method(noise_augmented, scores=True),
    "direct": Method(direct, scores=True, gradients="logit"),
    "pgd_at": Method(adversarial.pgd_at),
    "trades": Method(adversarial.trades),
    "ard": Method(adversarial.ard, scores=True),
    "fast_ard": Method(adversarial.fast_ard, scores=True),
    "rslad": Method(adversarial.rslad, scores=True),
    "iad": Method(adversarial.iad, scores=True, live=True),
    "adaad": Method(adversarial.adaad, scores=True, live=True),
    "igdm": Method(adversarial.igdm, scores=True, live=True),
    "bss": Method(boundary.bss, scores=True, live=True),
}
