"""BSS, distillation on boundary-supporting samples (arXiv 1805.05532)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ... import checks
from ...checks import finite, whole
from ...geometry.boundary import search
from ...networks.modules import takes_one
from .. import losses
from .base import AnyRecipe, Batch, Method, Terms, live_teacher


def base_samples(a_T: Tensor, a_S: Tensor, y: Tensor, count: int) -> Tensor:
    """Numbers (m <= count,) of the images to start from, about which both networks are right; of
    too many those with the largest sum_{c != y} (p_T - p_S)^2, p at tau 1, the largest first.
    """
    losses.same_shape("student logits", a_S, "teacher logits", a_T)
    right = ((a_T.argmax(1) == checks.true_class(a_T, y)) & (a_S.argmax(1) == y)).nonzero()[:, 0]
    if len(right) <= whole("count", count, 1):
        return right
    apart = (F.softmax(a_T, 1) - F.softmax(a_S, 1)).square().scatter(1, y[:, None], 0).sum(1)
    return right[apart[right].argsort(descending=True, stable=True)[:count]]


def targets(a_T: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """(k, p): a class to walk to for each image (n,), drawn on the CPU with the weights p_n^k = p
    (n, classes): the teacher's softmax over all classes but its first, q_k / (1 - max q).
    """
    if a_T.dim() != 2 or a_T.shape[1] < 2:
        raise ValueError(
            f"logits {tuple(a_T.shape)} leave no other class to walk to; want (n, two or more)"
        )
    p = F.softmax(a_T.detach().scatter(1, a_T.argmax(1, keepdim=True), -math.inf), 1)
    return torch.multinomial(p.cpu(), 1, generator=generator)[:, 0].to(p.device), p


def schedule(share: float) -> tuple[float, float]:
    """(alpha, beta) when `share` of the epochs, 0 to 1, is over: KD's weight, from 4 to 1, and that
    of BSS, from 2 to 0 at three quarters.
    """
    if not 0 <= finite("share", share) <= 1:
        raise ValueError(f"share={share!r} must lie between 0 and 1: it is epoch / epochs")
    return 1 + 3 * (1 - share), max(0.0, 2 * (1 - 4 / 3 * share))


def bss(
    net: nn.Module,
    b: Batch,
    r: AnyRecipe,
    eta: float | None = None,
    rule: str = "paper",
    count: int = 0,
) -> Terms:
    """Cross-entropy + alpha KD + beta sum_k p_n^k L_BS: KD on the images, and on samples from the
    live teacher's boundary, both without tau^2.

    The sum over k is sampled, as in the authors' code: one class an image, drawn with p_n^k, then
    of weight 1. Walks start from `count` images at most (0: a quarter of the batch, the paper's 64
    of 256) and take Newton's steps (eta=None; the paper's ETA is made for other pixels). L_BS is
    the mean over the samples accepted, zero if there is none; "bss_share" how many there are per
    image of the batch. A single sample is shown twice. Where the student has batch norm over maps
    of one place one or two are left out: two numbers, normalised, are 1 and -1 whatever they were.
    """
    teacher = live_teacher(b)
    alpha, beta = schedule(b.share)
    a_S = net(b.x)
    soft, made = a_S[:0].sum(), a_S.new_zeros(())
    most = count or math.ceil(len(b.y) / 4)
    pick = base_samples(b.a_T, a_S.detach(), b.y, most) if beta else ()
    if len(pick):
        k = targets(b.a_T[pick])[0]
        s = search(teacher, b.x[pick], b.y[pick], k, eta, rule=rule)
        kept = s.accepted.nonzero()[:, 0]
        if 0 < len(kept) < 3 and not takes_one(net, s.x[kept]):
            kept = kept[:0]
        if len(kept):
            made = len(kept) / len(b.y) + made
            if len(kept) == 1:  # a batch norm's running variance divides by the images less one
                kept = kept.repeat(2)
            soft = losses.soft_cross_entropy(net(s.x[kept]), s.logits[kept], r.tau)
    hard, kd = F.cross_entropy(a_S, b.y), losses.soft_cross_entropy(a_S, b.a_T, r.tau)
    return {"ce": (1.0, hard), "kd": (alpha, kd), "bss": (beta, soft), "bss_share": (0.0, made)}


TERM_WORDS = {"bss": "soft cross-entropy at BSS", "bss_share": "BSS per image"}
BOUNDARY = r"H(\tau(o_S(x_b)), \tau(o_T(x_b)))"
BSS = dict(
    source="arXiv 1805.05532",
    scores=True,
    live=True,
    through=True,
    words=TERM_WORDS,
    loss=rf"H(o_S, y) + \alpha H(\tau(o_S), \tau(o_T)) + \beta {BOUNDARY}",
    sees="labels, teacher's scores, images $x_b$ on its boundary",
)
METHODS = {"bss": Method(bss, "BSS", "#994455", "H", **BSS)}
