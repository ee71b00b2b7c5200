"""The paper's equations, one pure function each. Logits a are (n, classes), labels y (n,), scores f (n,).

`a_S` and `f_S` are the student's, `a_T` and `f_T` the teacher's. Every loss is a mean over the batch.
"""
import torch
import torch.nn.functional as F

from .settings import positive


def labels(a, y):
    """Check logits (n, k) against integer labels (n,) in 0..k-1; returns y."""
    if a.dim() != 2 or y.shape != a.shape[:1]:
        raise ValueError(f"logits {tuple(a.shape)} and labels {tuple(y.shape)} do not fit: want (n, classes) and (n,)")
    if y.dtype != torch.int64:
        raise ValueError(f"labels are {y.dtype}; they must be torch.int64")
    return y


def score(a, y, tau=1.0):
    """f = softmax(a / tau)_y, the score of the true class, in (0, 1); softened for tau > 1 (Eq. 4)."""
    index = labels(a, y)[:, None]
    return F.softmax(a / positive("tau", tau), dim=1).gather(1, index)[:, 0]


def soft_cross_entropy(a_S, a_T, tau):
    """H(tau(o_S), tau(o_T)), the soft half of Eq. 3: cross-entropy of the softened scores (Eq. 4)."""
    positive("tau", tau)
    if a_S.shape != a_T.shape:
        raise ValueError(f"student logits {tuple(a_S.shape)} and teacher logits {tuple(a_T.shape)} must have one shape")
    return -(F.softmax(a_T / tau, dim=1) * F.log_softmax(a_S / tau, dim=1)).sum(dim=1).mean()


def kd_loss(a_S, a_T, y, lam, tau, tau_squared=False):
    """L_KD = H(o_S, y) + lam H(tau(o_S), tau(o_T)) (Eq. 3). No tau^2, as printed; `tau_squared` adds Hinton's."""
    hard = F.cross_entropy(a_S, labels(a_S, y))
    soft = positive("lam", lam, zero=True) * soft_cross_entropy(a_S, a_T, tau)
    return hard + soft * (tau ** 2 if tau_squared else 1)


def score_loss(f_S, f_T, gamma):
    """L_S = mean max(0, gamma + f_T - f_S): the student's score shall beat the teacher's by gamma (Eq. 15)."""
    return F.relu(positive("gamma", gamma, zero=True) + f_T - f_S).mean()


def input_gradient(net, x, y, tau=1.0, create_graph=False):
    """(a, g): logits (n, k) and g = grad_x f^tau(x), shaped like x, one gradient per image.

    The sum over the batch is differentiated once: exact as long as no layer mixes images, so batch
    norm in training mode is refused. `create_graph` keeps g differentiable (Eq. 16 needs that).
    """
    for m in net.modules():
        if isinstance(m, torch.nn.modules.batchnorm._BatchNorm) and m.training:
            raise ValueError(f"{type(m).__name__} in training mode mixes the images of a batch, so per-image input "
                             "gradients do not exist; replace it by a layer that treats each image by itself (outside "
                             "training, net.eval() will do)")
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        a = net(x)
        g, = torch.autograd.grad(score(a, y, tau).sum(), x, create_graph=create_graph)
    return a, g


def gradient_loss(g_S, g_T):
    """L_G = mean ||g_S - g_T||^2, squared L2 over the pixels of each image (Eq. 16)."""
    if g_S.shape != g_T.shape:
        raise ValueError(f"student gradients {tuple(g_S.shape)} and teacher gradients {tuple(g_T.shape)} "
                         "must have one shape")
    return (g_S - g_T).square().flatten(1).sum(dim=1).mean()
