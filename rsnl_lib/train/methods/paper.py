"""What each method asks of a student: a dict from name to method, a method being the terms it sums.

A method is called with the student, a Batch and the recipe, and returns {term: (weight, loss)}. The
objective is the sum of weight * loss; each loss is logged by itself, one of weight 0 only logged.
To add one: write the function, add its line to METHODS.
"""

import torch.nn.functional as F
from torch import nn

from ... import geometry
from .. import losses
from .base import Batch, Terms


def standard(net: nn.Module, b: Batch, r) -> Terms:
    """Cross-entropy on the labels alone; the teacher is trained so too."""
    return {"ce": (1.0, F.cross_entropy(net(b.x), b.y))}


def kd(net: nn.Module, b: Batch, r) -> Terms:
    """Knowledge distillation (Eqs. 3-4); after the hint stage it is FitNets (arXiv 1412.6550)."""
    return _kd(net(b.x), b, r)


def _kd(a_S, b, r):
    weight = b.lam * (r.tau**2 if r.tau_squared else 1)
    hard = F.cross_entropy(a_S, b.y)  # before the soft half: gradients add up in this order
    return {"ce": (1.0, hard), "kd": (weight, losses.soft_cross_entropy(a_S, b.a_T, r.tau))}


def mimic(net: nn.Module, b: Batch, r) -> Terms:
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
    a_S, g_S = geometry.input_gradient(net, b.x, b.y, r.tau, create_graph=True)
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
    if any(isinstance(m, nn.Hardsigmoid) for m in net.modules()):
        raise ValueError(
            "Hardsigmoid has no second derivative in PyTorch, which the student's input gradient"
            " needs in training; networks.twice_differentiable(net) puts the same function in its"
            " place"
        )


def _score(a_S, b, r):
    f_S, f_T = geometry.score(a_S, b.y), geometry.score(b.a_T, b.y)
    return {
        "score": (r.C2, losses.score_loss(f_S, f_T, r.gamma)),
        "score_floor": (0.0, losses.score_floor(f_T, r.gamma)),
    }


def gradient_only(net: nn.Module, b: Batch, r) -> Terms:
    """L_KD + C1 L_G: Eq. 17 without L_S."""
    return {name: term for name, term in robust(net, b, r).items() if not name.startswith("score")}


def score_only(net: nn.Module, b: Batch, r) -> Terms:
    """L_KD + C2 L_S: Eq. 17 without L_G."""
    a_S = net(b.x)
    return {**_kd(a_S, b, r), **_score(a_S, b, r)}


def direct(net: nn.Module, b: Batch, r) -> Terms:
    """Ours: KD + the corrected theorem as a hinge, a lead of gamma_u in logits at radius rho to
    first order.
    """
    a_S, g_S = geometry.input_gradient(net, b.x, b.y, create_graph=True, space="logit")
    _twice(net)
    u_S, u_T = geometry.height(a_S, b.y), geometry.height(b.a_T, b.y)
    return {
        **_kd(a_S, b, r),
        "direct": (1.0, losses.direct_loss(u_S, u_T, g_S, b.g_T, r.gamma_u, r.rho)),
    }
