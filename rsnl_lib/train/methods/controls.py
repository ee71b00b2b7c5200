"""Other uses of `robust`'s ingredients: controls that take one away, and `direct`, which trains on
the corrected theorem.
"""

import torch
from torch import Tensor, nn

from ... import geometry
from .. import losses
from .base import ABOVE_ZERO, AnyRecipe, Batch, Method, Setting, Terms
from .paper import SCORE, SLOPE, TWICE, kd, robust, soft_terms, student_slopes


def target_zero(net: nn.Module, b: Batch, r: AnyRecipe) -> Terms:
    """Control: `robust` with a teacher's input gradient of zero, a plain smoothness penalty."""
    return robust(net, b._replace(g_T=torch.zeros_like(b.x)), r)


def random_directions(g_T: Tensor, seed: int, chunk: int = 1000) -> Tensor:
    """Control "matched": of each teacher gradient of g_T (n, c, h, w) the length alone, in a
    direction drawn uniformly, once for the whole run: as much to match, and nothing of where it
    points. Drawn anew each step they would be *target zero* in expectation.
    """
    drawn = torch.Generator().manual_seed(seed * 100_003 + 31)
    out = torch.empty_like(g_T)
    for part, place in zip(g_T.split(chunk), out.split(chunk)):
        way = torch.randn(part.shape, generator=drawn).to(part.device)
        length = geometry.norm(part.float()) / geometry.norm(way)
        place.copy_(way * geometry.like(length, way))
    return out


def shuffled(net: nn.Module, b: Batch, r: AnyRecipe) -> Terms:
    """Control: `robust` with the teacher's gradients dealt anew, each step, among the images of one
    class in the batch: nearly their class's mean.
    """
    drawn = torch.randperm(len(b.y), device=b.y.device)
    g_T = torch.empty_like(b.g_T)
    g_T[b.y.argsort(stable=True)] = b.g_T[drawn[b.y[drawn].argsort(stable=True)]]
    return robust(net, b._replace(g_T=g_T), r)


def noise_augmented(net: nn.Module, b: Batch, r: AnyRecipe) -> Terms:
    """Control: KD on images with white noise; the teacher saw the clean ones."""
    noise = torch.randn(b.x.shape, device=b.x.device).to(b.x)
    return kd(net, b._replace(x=b.x + r.sigma * noise), r)


def direct(net: nn.Module, b: Batch, r: AnyRecipe) -> Terms:
    """Ours: KD + the corrected theorem as a hinge, a lead of gamma_u in logits at radius rho."""
    a_S, g_S = student_slopes(net, b, space="logit")
    u_S, u_T = geometry.height(a_S, b.y), geometry.height(b.a_T, b.y)
    terms = soft_terms(a_S, b, r)
    terms["direct"] = (1.0, losses.direct_loss(u_S, u_T, g_S, b.g_T, r.gamma_u, r.rho))
    return terms


EQ_17 = SLOPE | SCORE
AIMED = r"\mathcal L_{KD} + C_1 \lVert \nabla_x f_S^\tau%s \rVert^2 + C_2 \mathcal L_S"
TO_ZERO = AIMED % ""
TO_OTHER = AIMED % r" - \nabla_x f_T^\tau(x_j)"
TO_DRAWN = AIMED % r" - \lVert \nabla_x f_T^\tau \rVert v"
AT_NOISE = r"\mathcal L_{KD} \text{ with the student at } x + \sigma z"
HINGE = (
    r"\mathcal L_{KD} + \max(0, \gamma_u - (u_S - u_T) + \rho \lVert \nabla_x u_S - \nabla_x u_T"
)
NO_SLOPE = dict(
    TWICE,
    gradients="",
    slopes=True,
    settings=EQ_17,
    loss=TO_ZERO,
    words={"gradient": "$L_G$ to zero"},
    sees="labels, teacher's scores",
)
SHUFFLED = dict(
    TWICE,
    settings=EQ_17,
    loss=TO_OTHER,
    words={"gradient": "$L_G$ to another image's"},
    sees="labels, teacher's scores, teacher's gradients of other images $x_j$ of the class",
)
MATCHED = dict(
    TWICE,
    settings=EQ_17,
    target=random_directions,
    loss=TO_DRAWN,
    words={"gradient": "$L_G$ to a drawn direction"},
    sees="labels, teacher's scores, lengths of its gradients; a direction $v$ drawn once",
)
NOISE = {"sigma": Setting(0.15, "standard deviation of the noise", ABOVE_ZERO)}
RADIUS = Setting(0.1, "radius of the lead, to first order", ABOVE_ZERO)
LEAD = {"gamma_u": Setting(2.0, "lead in logits"), "rho": RADIUS}
NOISY = dict(
    scores=True,
    settings=NOISE,
    loss=AT_NOISE,
    sees="labels, teacher's scores at $x$, noise $z$ on its own images",
)
DIRECT = dict(
    TWICE,
    gradients="logit",
    settings=LEAD,
    words={"direct": "direct"},
    loss=HINGE + r" \rVert)",
    sees="labels, teacher's scores, gradients of its lead $u_T$",
)
METHODS = {
    "target_zero": Method(target_zero, "target zero", "#0072B2", "D", **NO_SLOPE),
    "shuffled": Method(shuffled, "shuffled", "#332288", "p", **SHUFFLED),
    "matched": Method(robust, "matched", "#999933", "d", **MATCHED),
    "noise_augmented": Method(noise_augmented, "noise augmented", "#44AA99", "*", **NOISY),
    "direct": Method(direct, "direct", "#AA4499", "h", **DIRECT),
}
