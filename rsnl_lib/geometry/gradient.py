"""The true class's score in a space, and its gradient with respect to the image."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..checks import module, one_of, positive, true_class
from .steady import main_head

SPACES = ("probability", "logit", "tempered")


def score(a: Tensor, y: Tensor, tau: float = 1.0) -> Tensor:
    """f = softmax(a / tau)_y, the true class's score (n,) in (0, 1); softer for tau > 1 (Eq. 4)."""
    index = true_class(a, y)[:, None]
    return F.softmax(a / positive("tau", tau), dim=1).gather(1, index)[:, 0]


def split_logits(a: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """(a_y (n,), a with -inf at the true class (n, k)): the true class's logit and the others."""
    index = true_class(a, y)[:, None]
    if a.shape[1] < 2:
        raise ValueError("the logits are of 1 class; margins want at least 2")
    return a.gather(1, index)[:, 0], a.scatter(1, index, -math.inf)


def height(a: Tensor, y: Tensor, space: str = "logit", tau: float = 1.0) -> Tensor:
    """By space f = softmax(a)_y, logit(f) = a_y - log sum_{j != y} e^{a_j}, or f at tau: (n,)."""
    if one_of("space", space, SPACES) != "logit":
        return score(a, y, tau if space == "tempered" else 1.0)
    own, others = split_logits(a, y)
    return own - others.logsumexp(1)


def slope(total: Tensor, x: Tensor, create_graph: bool = False) -> Tensor:
    """The gradient of a number with respect to images x, on which it must depend."""
    g = None
    if total.requires_grad:
        how = {"create_graph": create_graph, "allow_unused": True}
        (g,) = torch.autograd.grad(total, x, **how)
    if g is None:
        raise ValueError(
            "the network ignores its images, so there is no gradient; let its forward use them,"
            " without detach or no_grad"
        )
    return g


def input_gradient(
    net: nn.Module,
    x: Tensor,
    y: Tensor,
    tau: float = 1.0,
    create_graph: bool = False,
    space: str = "tempered",
) -> tuple[Tensor, Tensor]:
    """(a, g): logits (n, k) and g = grad_x of each image's score in `space` (Eq. 16: f at tau);
    differentiable with `create_graph`, as Eq. 16 needs it. The sum over the batch is differentiated
    once: exact as long as no layer mixes images.
    """
    module("network", net)
    if not x.is_floating_point():
        raise ValueError(f"images are {x.dtype}; a gradient needs a float tensor")
    for m in net.modules():
        if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.training:
            raise ValueError(
                f"{type(m).__name__} in training mode mixes the images of a batch; freeze its"
                " statistics (recipe setting frozen_norm=True; --set frozen_norm=True) or,"
                " outside training, net.eval()"
            )
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        a = main_head(net(x))
        g = slope(height(a, y, space, tau).sum(), x, create_graph)
    return a, g


def slopes(net: nn.Module, x: Tensor, y: Tensor, tau: float = 1.0, chunk: int = 250) -> Tensor:
    """The input gradient of each image's softened score (Eq. 16), flat: (n, pixels)."""
    parts = zip(x.split(chunk), y.split(chunk))
    return torch.cat([input_gradient(net, *part, tau)[1].flatten(1) for part in parts])


def compare_slopes(g_S: Tensor, g_T: Tensor) -> dict[str, float]:
    """Means over the images of gradients (n, pixels): square_S and square_T, their squared lengths,
    L_G, that of their difference (Eq. 16), and cosine, of the angle between them where neither is
    zero (nan where one is zero everywhere).
    """
    square_S, square_T, apart = (
        g.double().square().sum(1) for g in (g_S, g_T, g_S.double() - g_T.double())
    )
    both = (square_S > 0) & (square_T > 0)
    dot = (g_S.double() * g_T.double()).sum(1)[both]
    cosine = (dot / (square_S * square_T)[both].sqrt()).mean()
    found = {"square_S": square_S, "square_T": square_T, "L_G": apart, "cosine": cosine}
    return {k: float(v.mean()) for k, v in found.items()}
