"""The neighbours: adversarial training, and distillation on attacked images x', at temperature t.

KL is a mean over the images and a sum over the classes everywhere: the code of ARD, RSLAD and AdaAD
divides by the classes too (`nn.KLDivLoss()`), which makes it 10 times smaller on ten classes. With
alpha = 1 the term on clean images is left out, and with it the student's pass over them.
"""

import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ... import geometry
from ...networks import modules
from .. import attacks, losses
from .base import ABOVE_ZERO, SHARE, AnyRecipe, Batch, Method, Setting, Terms, live_teacher

# the attack of TRADES, RSLAD, AdaAD and IGDM: from 0.001 N(0, 1), student in evaluation mode
OUTER = dict(start="normal", mode="eval")


def divergence(a_S: Tensor, a_T: Tensor, t: float = 1.0) -> Tensor:
    """KL(T^t || S^t) = sum_k o_T log(o_T / o_S) of each image (n,), in nats, o = softmax(a / t)."""
    losses.same_shape("student logits", a_S, "teacher logits", a_T)
    log_S = F.log_softmax(a_S / t, dim=1)
    log_T = F.log_softmax(a_T / t, dim=1)
    return F.kl_div(log_S, log_T, reduction="none", log_target=True).sum(dim=1)


def kl(a_S: Tensor, a_T: Tensor, t: float = 1.0) -> Tensor:
    """Its mean over the images."""
    return divergence(a_S, a_T, t).mean()


def trust(a_T: Tensor, y: Tensor, beta: float) -> Tensor:
    """A = softmax(a_T)_y^beta, (n,) in (0, 1]: IAD's trust in the teacher (arXiv 2106.04928)."""
    return F.log_softmax(a_T, dim=1).gather(1, y[:, None])[:, 0].mul(beta).exp()


def perturbed(net: nn.Module, b: Batch, r: AnyRecipe, loss: Callable, **how) -> Tensor:
    """x' for a batch, found as the recipe says."""
    low, high = (0.0, 1.0) if r.clamp else (None, None)
    size = (r.epsilon, r.step * r.epsilon, r.attack_steps, r.attack_norm)
    return attacks.pgd(net, b.x, loss, *size, low=low, high=high, **how)


def ask(b: Batch, x: Tensor) -> Tensor:
    """The live teacher's logits at images x, constants."""
    with torch.no_grad():
        return live_teacher(b)(x)


def pgd_at(net: nn.Module, b: Batch, r: AnyRecipe) -> Terms:
    """Cross-entropy at x', found by PGD on cross-entropy."""
    x_ = perturbed(net, b, r, attacks.cross_entropy(b.y))
    return {"ce_adv": (1.0, b.hard(net(x_), b.y))}


def trades(net: nn.Module, b: Batch, r: AnyRecipe) -> Terms:
    """Cross-entropy + beta KL(S(x) || S(x')), both sides learning; x' climbs the same KL."""
    with modules.standing(net, "eval"), torch.no_grad():
        a = net(b.x)
    x_ = perturbed(net, b, r, lambda a_, _: divergence(a_, a), **OUTER)
    a_S = net(b.x)
    return {"ce": (1.0, b.hard(a_S, b.y)), "self": (r.beta, kl(net(x_), a_S))}


def ard(net: nn.Module, b: Batch, r: AnyRecipe) -> Terms:
    """alpha t^2 KL(T^t(x) || S^t(x')) + (1 - alpha) cross-entropy at x; x' climbs cross-entropy.
    The paper softens the cross-entropy too, its code does not, nor do we.
    """
    return _ard(net, b, r, net(perturbed(net, b, r, attacks.cross_entropy(b.y))))


def _ard(net, b, r, a_adv):
    clean = {"ce": (1 - r.alpha, b.hard(net(b.x), b.y))} if r.alpha < 1 else {}
    return {"kl_adv": (r.alpha * r.tau**2, kl(a_adv, b.a_T, r.tau)), **clean}


def fast_ard(net: nn.Module, b: Batch, r: AnyRecipe) -> Terms:
    """ARD's loss at x' = x + delta, where delta is what earlier steps left (Algorithm 2; delta as
    in arXiv 1904.12843).

    No pass is spent on an attack: the backward pass that trains the student also gives the gradient
    at x' (clamped, so that pixels at a bound can turn), and delta goes one step up it, back into
    the ball, for the next replay of the batch and for the next batch. delta starts each epoch at
    zero (the reference keeps it), so that an interrupted run repeats exactly; a smaller last batch
    uses and renews its first rows.
    """
    if r.clamp:
        attacks.within(b.x, 0.0, 1.0)
    carry = {} if b.carry is None else b.carry
    delta = carry.setdefault("delta", torch.zeros_like(b.x))[: len(b.x)]
    x_ = b.x + delta
    x_ = (x_.clamp(0, 1) if r.clamp else x_).requires_grad_()

    def climb(g):
        q = attacks.NORMS[r.attack_norm]
        ahead = delta + r.step * r.epsilon * geometry.steepest(g, q)
        delta.copy_(geometry.onto_ball(ahead, r.epsilon, q))

    x_.register_hook(climb)
    return _ard(net, b, r, net(x_))


def rslad(net: nn.Module, b: Batch, r: AnyRecipe) -> Terms:
    """alpha KL(T(x) || S(x')) + (1 - alpha) KL(T(x) || S(x)), no labels; x' climbs the first."""
    x_ = perturbed(net, b, r, lambda a, _: divergence(a, b.a_T), **OUTER)
    return _soft(net, b, r, net(x_), b.a_T)


def _soft(net, b, r, a_adv, a_T_adv):
    clean = {"kl": (1 - r.alpha, kl(net(b.x), b.a_T))} if r.alpha < 1 else {}
    return {"kl_adv": (r.alpha, kl(a_adv, a_T_adv)), **clean}


def iad(net: nn.Module, b: Batch, r: AnyRecipe) -> Terms:
    """IAD-I: ARD + alpha (1 - A) KL(S(x) || S(x')) once `begin` of the epochs is over, A =
    T(x')_y^beta: where the teacher falls for x', the student listens to itself at x. As in the
    code, A does not weight the teacher's term (in the paper it does), and both sides of the new
    term learn.
    """
    x_ = perturbed(net, b, r, attacks.cross_entropy(b.y))
    terms = {}
    a_adv = net(x_)
    if b.share >= r.begin:
        a_T_adv = ask(b, x_)
        doubt = 1 - trust(a_T_adv, b.y, r.beta)
        terms["self"] = (r.alpha, (doubt * divergence(a_adv, net(b.x))).mean())
    return {**_ard(net, b, r, a_adv), **terms}


def adaad(net: nn.Module, b: Batch, r: AnyRecipe) -> Terms:
    """alpha KL(T(x') || S(x')) + (1 - alpha) KL(T(x) || S(x)); x' climbs the first, T too."""
    return _adaad(net, b, r)[0]


def _adaad(net, b, r):
    teacher = live_teacher(b)
    x_ = perturbed(net, b, r, lambda a, x_: divergence(a, teacher(x_)), **OUTER)
    a_adv, a_T_adv = net(x_), ask(b, x_)
    return _soft(net, b, r, a_adv, a_T_adv), x_, a_adv, a_T_adv


def igdm(net: nn.Module, b: Batch, r: AnyRecipe) -> Terms:
    """AdaAD + beta share KL(T(x') - T(x'') || S(x') - S(x'')), softmax of differences of logits,
    which matches input gradients to first order; x'' = 2x - x' is not clamped, as in the code.
    """
    terms, x_, a_adv, a_T_adv = _adaad(net, b, r)
    back = 2 * b.x - x_
    return {**terms, "igdm": (r.beta * b.share, kl(a_adv - net(back), a_T_adv - ask(b, back)))}


BALL = {
    "epsilon": Setting(0.1, "radius, in the units of the images"),
    "step": Setting(0.25, "share of epsilon: 2/255 of 8/255 (arXiv 1905.09747)", ABOVE_ZERO),
    "attack_norm": Setting("inf", "or 2", tuple(attacks.NORMS)),
    "clamp": Setting(True, "attacked images stay in [0, 1]; False where images have no bounds"),
}
ATTACK = {**BALL, "attack_steps": Setting(10, "of the attack")}
MIX = {"alpha": Setting(1.0, "share of the loss on attacked images", SHARE)}
AS_PUBLISHED = {"alpha": MIX["alpha"]._replace(value=5 / 6)}  # for CIFAR
TRADES = {"beta": Setting(6.0, "weight of KL")}
REPLAYS = {"replays": Setting(1, "steps on each batch before the next, the papers' m")}
TRUST = {
    "beta": Setting(0.1, "exponent of the trust"),
    "begin": Setting(0.3, "part of the epochs before the student is heard: 60 of 200", SHARE),
}
SLOPES = {"beta": Setting(1.0, "weight of the gradient term")}
TERM_WORDS = {
    "ce_adv": "cross-entropy at $x'$",
    "kl_adv": "KL at $x'$",
    "kl": "KL",
    "self": "KL to itself",
    "igdm": "KL of differences",
}
plain = functools.partial(Method, words=TERM_WORDS, passes=5)
taught = functools.partial(plain, scores=True)
# a loss in TeX: x' is the attacked image, KL as `divergence` has it
AT = dict(settings=ATTACK, loss=r"H(o_S(x'), y)", sees="labels, attacked images")
TO_ITSELF = r"KL(o_S \Vert o_S(x'))"
TRADED = dict(
    settings=ATTACK | TRADES,
    loss=rf"H(o_S, y) + \beta {TO_ITSELF}",
    sees="labels, attacked images",
)
# ARD's temperature on colour, and the one chosen on digits' validation images
ARD = dict(
    source="arXiv 1905.09747",
    values={"tau": 30.0},
    on_grey={"tau": 1.0},
    loss=r"\alpha \tau^2 KL(\tau(o_T) \Vert \tau(o_S(x'))) + (1 - \alpha) H(o_S, y)",
    sees="labels, teacher's scores, attacked images",
)
FAST = dict(
    ARD,
    passes=12,
    values={"tau": 30.0, "step": 1.0, "replays": 4},
    sees="labels, teacher's scores, images attacked by the steps before",
)
BOTH_CLEAN = r"\alpha KL(%s \Vert o_S(x')) + (1 - \alpha) KL(o_T \Vert o_S)"
RSLAD = dict(
    source="arXiv 2108.07969",
    settings=ATTACK | AS_PUBLISHED,
    loss=BOTH_CLEAN % "o_T",
    sees="teacher's scores, attacked images",
)
IAD = dict(
    source="arXiv 2106.04928",
    values={"tau": 1.0},
    settings=ATTACK | MIX | TRUST,
    live=True,
    loss=rf"\text{{ARD}} + \alpha (1 - o_T(x')_y^\beta) {TO_ITSELF}",
    sees="labels, teacher's scores at $x$ and $x'$, attacked images",
)
ADAAD = dict(
    live=True,
    through=True,
    source="Huang et al., CVPR 2023",
    settings=ATTACK | MIX,
    loss=BOTH_CLEAN % "o_T(x')",
    sees="teacher's scores at $x$ and $x'$, images attacked through both networks",
)
IGDM = dict(
    ADAAD,
    source="arXiv 2312.03286",
    settings=ATTACK | MIX | SLOPES,
    loss=r"\text{AdaAD} + \beta s KL(o(\Delta_T) \Vert o(\Delta_S)), \quad"
    r" \Delta = a(x') - a(2x - x')",
)
METHODS = {
    "pgd_at": plain(pgd_at, "PGD-AT", "#5D4037", "+", "arXiv 1706.06083", **AT),
    "trades": plain(trades, "TRADES", "#556B2F", "|", "arXiv 1901.08573", **TRADED),
    "ard": taught(ard, "ARD", "#004488", "1", **ARD, settings=ATTACK | MIX),
    "fast_ard": taught(fast_ard, "Fast-ARD", "#5790FC", "2", **FAST, settings=BALL | MIX | REPLAYS),
    "rslad": taught(rslad, "RSLAD", "#A04000", "3", **RSLAD),
    "iad": taught(iad, "IAD", "#A96B59", "4", **IAD),
    "adaad": taught(adaad, "AdaAD", "#6A5ACD", (4, 1, 0), **ADAAD),
    "igdm": taught(igdm, "IGDM", "#4A235A", (8, 2, 0), **IGDM),
}
