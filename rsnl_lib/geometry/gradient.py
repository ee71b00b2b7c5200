"""The true class's score in a space, and its gradient with respect to the image."""

import math

import torch
import torch.nn.functional as F

from ..checks import one_of, positive, true_class

SPACES = ("probability", "logit", "tempered")


def score(a: torch.Tensor, y: torch.Tensor, tau: float = 1.0) -> torch.Tensor:
    """f = softmax(a / tau)_y, the score of the true class, in (0, 1); softened for tau > 1 (Eq.
    4).
    """
    index = true_class(a, y)[:, None]
    return F.softmax(a / positive("tau", tau), dim=1).gather(1, index)[:, 0]


def split_logits(a: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(a_y (n,), a with -inf at the true class (n, k)): the true class's logit and the others."""
    index = true_class(a, y)[:, None]
    return a.gather(1, index)[:, 0], a.scatter(1, index, -math.inf)


def height(
    a: torch.Tensor, y: torch.Tensor, space: str = "logit", tau: float = 1.0
) -> torch.Tensor:
    """The true class's score in a space, (n,): f = softmax(a)_y in (0, 1); logit(f) = a_y - log
    sum_{j != y} e^{a_j}; or f at tau.
    """
    if one_of("space", space, SPACES) != "logit":
        return score(a, y, tau if space == "tempered" else 1.0)
    own, others = split_logits(a, y)
    return own - others.logsumexp(1)


def input_gradient(
    net: torch.nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    tau: float = 1.0,
    create_graph: bool = False,
    space: str = "tempered",
) -> tuple[torch.Tensor, torch.Tensor]:
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
