"""The paper's equations, one pure function each. Logits a are (n, classes), labels y (n,), scores f
(n,).

`a_S` and `f_S` are the student's, `a_T` and `f_T` the teacher's. Every loss is a mean over the
batch.
"""

import math

import torch
import torch.nn.functional as F

from .settings import one_of, positive

SPACES = ("probability", "logit", "tempered")


def labels(a, y):
    """Check the shapes and types of logits (n, k) and integer labels (n,); returns y."""
    for name, t in (("logits", a), ("labels", y)):
        if not isinstance(t, torch.Tensor):
            raise ValueError(f"{name} are a {type(t).__name__}; they must be a torch.Tensor")
    if a.dim() != 2 or y.shape != a.shape[:1]:
        raise ValueError(
            f"logits {tuple(a.shape)} and labels {tuple(y.shape)} do not fit: want (n, classes) and"
            " (n,)"
        )
    if y.dtype != torch.int64:
        raise ValueError(f"labels are {y.dtype}; they must be torch.int64")
    return y


def true_class(a, y):
    """`labels`, and each is one of the classes 0..k-1 (asked on the CPU alone: a GPU would have to
    be waited for); returns y.
    """
    if len(labels(a, y)) and y.device.type == "cpu":
        low, high = map(int, y.aminmax())
        if low < 0 or high >= a.shape[1]:
            raise ValueError(
                f"labels run from {low} to {high}; logits of {a.shape[1]} classes want labels 0 to"
                f" {a.shape[1] - 1}"
            )
    return y


def correct(a, y):
    """How many images have their largest logit at the true class, a tensor of one number."""
    return (a.argmax(1) == true_class(a, y)).sum()


def score(a, y, tau=1.0):
    """f = softmax(a / tau)_y, the score of the true class, in (0, 1); softened for tau > 1 (Eq.
    4).
    """
    index = true_class(a, y)[:, None]
    return F.softmax(a / positive("tau", tau), dim=1).gather(1, index)[:, 0]


def split_logits(a, y):
    """(a_y (n,), a with -inf at the true class (n, k)): the true class's logit and the others."""
    index = true_class(a, y)[:, None]
    return a.gather(1, index)[:, 0], a.scatter(1, index, -math.inf)


def height(a, y, space="logit", tau=1.0):
    """The true class's score in a space, (n,): f = softmax(a)_y in (0, 1); logit(f) = a_y - log
    sum_{j != y} e^{a_j}; or f at tau.
    """
    if one_of("space", space, SPACES) != "logit":
        return score(a, y, tau if space == "tempered" else 1.0)
    own, others = split_logits(a, y)
    return own - others.logsumexp(1)


def soft_cross_entropy(a_S, a_T, tau):
    """H(tau(o_S), tau(o_T)), the soft half of Eq. 3: cross-entropy of the softened scores (Eq.
    4).
    """
    positive("tau", tau)
    if a_S.shape != a_T.shape:
        raise ValueError(
            f"student logits {tuple(a_S.shape)} and teacher logits {tuple(a_T.shape)} must have one"
            " shape"
        )
    return -(F.softmax(a_T / tau, dim=1) * F.log_softmax(a_S / tau, dim=1)).sum(dim=1).mean()


def kd_loss(a_S, a_T, y, lam, tau, tau_squared=False):
    """L_KD = H(o_S, y) + lam H(tau(o_S), tau(o_T)) (Eq. 3). No tau^2, as printed; `tau_squared`
    adds Hinton's.
    """
    hard = F.cross_entropy(a_S, true_class(a_S, y))
    soft = positive("lam", lam, zero=True) * soft_cross_entropy(a_S, a_T, tau)
    return hard + soft * (tau**2 if tau_squared else 1)


def mimic_loss(a_S, a_T, on="logits"):
    """mean ||a_S - a_T||^2 over the classes (Eq. 2): of logits, as arXiv 1312.6184 has it, or of
    probabilities, as Eq. 2 prints.
    """
    if a_S.shape != a_T.shape:
        raise ValueError(
            f"student logits {tuple(a_S.shape)} and teacher logits {tuple(a_T.shape)} must have one"
            " shape"
        )
    if one_of("on", on, ("logits", "probabilities")) == "probabilities":
        a_S, a_T = F.softmax(a_S, dim=1), F.softmax(a_T, dim=1)
    return (a_S - a_T).square().sum(dim=1).mean()


def hint_loss(regressed, hint):
    """mean 1/2 ||r(student features) - teacher features||^2 over images, both (n, ...) (arXiv
    1412.6550, its Eq. 3).
    """
    if regressed.shape != hint.shape:
        raise ValueError(
            f"regressed features {tuple(regressed.shape)} and the teacher's {tuple(hint.shape)}"
            " must have one shape"
        )
    return (regressed - hint).square().flatten(1).sum(dim=1).mean() / 2


def score_loss(f_S, f_T, gamma):
    """L_S = mean max(0, gamma + f_T - f_S): the student's score shall beat the teacher's by gamma
    (Eq. 15).
    """
    if f_S.shape != f_T.shape:
        raise ValueError(
            f"student scores {tuple(f_S.shape)} and teacher scores {tuple(f_T.shape)} must have one"
            " shape"
        )
    return F.relu(positive("gamma", gamma, zero=True) + f_T - f_S).mean()


def score_floor(f_T, gamma):
    """What no student can get below in Eq. 15: mean max(0, gamma + f_T - 1), since f_S < 1."""
    return F.relu(positive("gamma", gamma, zero=True) + f_T - 1).mean()


def direct_loss(u_S, u_T, g_S, g_T, gamma, rho):
    """mean max(0, gamma - (u_S - u_T) + rho ||grad u_S - grad u_T||_2): Theorem 1' to first order
    at radius rho, in logits (ours).
    """
    if u_S.shape != u_T.shape or g_S.shape != g_T.shape:
        raise ValueError(
            f"student {tuple(u_S.shape)}, {tuple(g_S.shape)} and teacher {tuple(u_T.shape)},"
            f" {tuple(g_T.shape)} must have one shape of scores and one of gradients"
        )
    gap = (g_S - g_T).flatten(1).square().sum(1).add(1e-12).sqrt()
    return F.relu(
        positive("gamma", gamma, zero=True) - (u_S - u_T) + positive("rho", rho) * gap
    ).mean()


def input_gradient(net, x, y, tau=1.0, create_graph=False, space="tempered"):
    """(a, g): logits (n, k) and g = grad_x of the score in `space` (Eq. 16: f at tau), shaped like
    x, one gradient per image.

    The sum over the batch is differentiated once: exact as long as no layer mixes images, so batch
    norm in training mode is refused. `create_graph` keeps g differentiable (Eq. 16 needs that).
    """
    if not isinstance(x, torch.Tensor) or not x.is_floating_point():
        raise ValueError(
            f"images must be a float tensor, not {getattr(x, 'dtype', type(x).__name__)}: a"
            " gradient needs real numbers"
        )
    for m in net.modules():
        if isinstance(m, torch.nn.modules.batchnorm._BatchNorm) and m.training:
            raise ValueError(
                f"{type(m).__name__} in training mode mixes the images of a batch, so per-image"
                " input gradients do not exist; replace it by a layer that treats each image by"
                " itself, or freeze its statistics (recipe setting frozen_norm=True; outside"
                " training, net.eval() will do)"
            )
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        a = net(x)
        (g,) = torch.autograd.grad(height(a, y, space, tau).sum(), x, create_graph=create_graph)
    return a, g


def gradient_loss(g_S, g_T):
    """L_G = mean ||g_S - g_T||^2, squared L2 over the pixels of each image (Eq. 16)."""
    if g_S.shape != g_T.shape:
        raise ValueError(
            f"student gradients {tuple(g_S.shape)} and teacher gradients {tuple(g_T.shape)} "
            "must have one shape"
        )
    return (g_S - g_T).square().flatten(1).sum(dim=1).mean()
