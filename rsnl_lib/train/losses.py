"""The paper's equations, one pure function each. Logits a are (n, classes), labels y (n,), scores f
(n,); `a_S` and `f_S` are the student's, `a_T` and `f_T` the teacher's. Each loss is a batch's mean.
"""

import torch.nn.functional as F
from torch import Tensor

from ..checks import one_of, positive, scores, tensor, true_class


def same_shape(name_S: str, S: Tensor, name_T: str, T: Tensor) -> None:
    """Refuse two tensors of different shapes, by their names, and empty batches."""
    if tensor(name_S, S).shape != tensor(name_T, T).shape:
        raise ValueError(
            f"{name_S} {tuple(S.shape)} and {name_T} {tuple(T.shape)} must have one shape"
        )
    _some(name_S, S)


def _some(name, batch):
    if not len(batch):
        raise ValueError(f"{name} {tuple(batch.shape)}: an empty batch has no mean; give some")


def correct(a: Tensor, y: Tensor) -> Tensor:
    """How many images have their largest logit at the true class, a tensor of one number."""
    true_class(a, y)
    return (scores("network", a).argmax(1) == y).sum()


def soft_cross_entropy(a_S: Tensor, a_T: Tensor, tau: float) -> Tensor:
    """H(tau(o_S), tau(o_T)), the soft half of Eq. 3: cross-entropy of softened scores (Eq. 4)."""
    positive("tau", tau)
    same_shape("student logits", a_S, "teacher logits", a_T)
    return -(F.softmax(a_T / tau, dim=1) * F.log_softmax(a_S / tau, dim=1)).sum(dim=1).mean()


def kd_loss(
    a_S: Tensor, a_T: Tensor, y: Tensor, lam: float, tau: float, tau_squared: bool = False
) -> Tensor:
    """L_KD = H(o_S, y) + lam H(tau(o_S), tau(o_T)) (Eq. 3). No tau^2, as printed; `tau_squared`
    adds Hinton's.
    """
    hard = F.cross_entropy(a_S, true_class(a_S, y))
    soft = positive("lam", lam, zero=True) * soft_cross_entropy(a_S, a_T, tau)
    return hard + soft * (tau**2 if tau_squared else 1)


def mimic_loss(a_S: Tensor, a_T: Tensor, on: str = "logits") -> Tensor:
    """mean ||a_S - a_T||^2 over the classes (Eq. 2): of logits, as arXiv 1312.6184 has it, or of
    probabilities, as Eq. 2 prints.
    """
    same_shape("student logits", a_S, "teacher logits", a_T)
    if one_of("on", on, ("logits", "probabilities")) == "probabilities":
        a_S, a_T = F.softmax(a_S, dim=1), F.softmax(a_T, dim=1)
    return (a_S - a_T).square().sum(dim=1).mean()


def hint_loss(regressed: Tensor, hint: Tensor) -> Tensor:
    """mean 1/2 ||r(student) - teacher||^2 of features (n, ...) (arXiv 1412.6550, its Eq. 3)."""
    same_shape("regressed features", regressed, "the teacher's", hint)
    return (regressed - hint).square().flatten(1).sum(dim=1).mean() / 2


def score_loss(f_S: Tensor, f_T: Tensor, gamma: float) -> Tensor:
    """L_S = mean max(0, gamma + f_T - f_S): student beats teacher's score by gamma (Eq. 15)."""
    same_shape("student scores", f_S, "teacher scores", f_T)
    return F.relu(positive("gamma", gamma, zero=True) + f_T - f_S).mean()


def score_floor(f_T: Tensor, gamma: float) -> Tensor:
    """What no student can get below in Eq. 15: mean max(0, gamma + f_T - 1), since f_S < 1."""
    _some("teacher scores", f_T)
    return F.relu(positive("gamma", gamma, zero=True) + f_T - 1).mean()


def direct_loss(
    u_S: Tensor, u_T: Tensor, g_S: Tensor, g_T: Tensor, gamma: float, rho: float
) -> Tensor:
    """mean max(0, gamma - (u_S - u_T) + rho ||grad u_S - grad u_T||_2): Theorem 1' to first order
    at radius rho, in logits (ours).
    """
    same_shape("student heights", u_S, "teacher heights", u_T)
    same_shape("student gradients", g_S, "teacher gradients", g_T)
    gap = (g_S - g_T).flatten(1).square().sum(1).add(1e-12).sqrt()
    lack = positive("gamma", gamma, zero=True) - (u_S - u_T)
    return F.relu(lack + positive("rho", rho) * gap).mean()


def gradient_loss(g_S: Tensor, g_T: Tensor) -> Tensor:
    """L_G = mean ||g_S - g_T||^2, squared L2 over the pixels of each image (Eq. 16)."""
    same_shape("student gradients", g_S, "teacher gradients", g_T)
    return (g_S - g_T).square().flatten(1).sum(dim=1).mean()
