"""What each method asks of a student: a dict from name to method, a method being the terms it sums.

A method is called with the student, a Batch and the recipe, and returns {term: (weight, loss)}. The
objective is the sum of weight * loss; each loss is logged by itself. To add one: write the function,
add its line to METHODS.
"""
from typing import Callable, NamedTuple

import torch
import torch.nn.functional as F

from . import losses


class Batch(NamedTuple):
    """Images and labels, the teacher's constants for them, and lambda at this epoch."""
    x: torch.Tensor                    # (n, c, h, w)
    y: torch.Tensor                    # (n,)
    a_T: torch.Tensor | None           # (n, k) teacher logits
    g_T: torch.Tensor | None           # (n, c, h, w) teacher's gradient of f_T^tau
    lam: float


class Method(NamedTuple):
    terms: Callable
    scores: bool = False               # needs the teacher's logits
    gradients: bool = False            # needs the teacher's input gradients


def standard(net, b, r):
    """Cross-entropy on the labels alone; the teacher is trained so too."""
    return {"ce": (1.0, F.cross_entropy(net(b.x), b.y))}


def kd(net, b, r):
    """Knowledge distillation (Eqs. 3-4)."""
    return _kd(net(b.x), b, r)


def _kd(a_S, b, r):
    return {"ce": (1.0, F.cross_entropy(a_S, b.y)),
            "kd": (b.lam * (r.tau ** 2 if r.tau_squared else 1), losses.soft_cross_entropy(a_S, b.a_T, r.tau))}


def robust(net, b, r):
    """L_KD + C1 L_G + C2 L_S (Eq. 17), by exact double backprop."""
    a_S, g_S = losses.input_gradient(net, b.x, b.y, r.tau, create_graph=True)
    f_S, f_T = losses.score(a_S, b.y), losses.score(b.a_T, b.y)
    return {**_kd(a_S, b, r), "gradient": (r.C1, losses.gradient_loss(g_S, b.g_T)),
            "score": (r.C2, losses.score_loss(f_S, f_T, r.gamma))}


def target_zero(net, b, r):
    """Control: `robust` with the teacher's input gradient replaced by zero, a plain smoothness penalty."""
    return robust(net, b._replace(g_T=torch.zeros_like(b.x)), r)


METHODS = {
    "teacher": Method(standard),
    "standard": Method(standard),
    "kd": Method(kd, scores=True),
    "robust": Method(robust, scores=True, gradients=True),
    "target_zero": Method(target_zero, scores=True),
}
