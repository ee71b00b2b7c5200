"""The neighbours: adversarial training, and distillation on attacked images. Letters as in
`losses`; x' is the attacked image, t the temperature.

Each method has the form of those in `methods`: (student, Batch, Recipe) -> {term: (weight, loss)}.
"ce" and "kl" stand for losses on the clean images, "ce_adv" and "kl_adv" for those on x', "self"
for the student against itself. KL is a mean over the images and a sum over the classes everywhere:
the code of ARD, RSLAD and AdaAD divides by the classes too (`nn.KLDivLoss()`), which makes it 10
times smaller on ten classes. With alpha = 1 the term on clean images is left out, and with it the
student's pass over them.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from ... import geometry
from ...networks import modules
from .. import attacks, losses
from .base import Batch, Terms

# the attack of TRADES, RSLAD, AdaAD and IGDM: from 0.001 N(0, 1), student in evaluation mode
OUTER = dict(start="normal", mode="eval")


def divergence(a_S: torch.Tensor, a_T: torch.Tensor, t: float = 1.0) -> torch.Tensor:
    """KL(T^t || S^t) = sum_k o_T log(o_T / o_S) of each image, (n,), in nats: logits a (n, k),
    scores o = softmax(a / t).
    """
    losses.same_logits(a_S, a_T)
    log_S = F.log_softmax(a_S / t, dim=1)
    log_T = F.log_softmax(a_T / t, dim=1)
    return F.kl_div(log_S, log_T, reduction="none", log_target=True).sum(dim=1)


def kl(a_S: torch.Tensor, a_T: torch.Tensor, t: float = 1.0) -> torch.Tensor:
    """The mean of `divergence` over the images."""
    return divergence(a_S, a_T, t).mean()


def trust(a_T: torch.Tensor, y: torch.Tensor, beta: float) -> torch.Tensor:
    """A = softmax(a_T)_y^beta, (n,) in (0, 1]: how far IAD trusts the teacher on each image (arXiv
    2106.04928).
    """
    return F.log_softmax(a_T, dim=1).gather(1, y[:, None])[:, 0].mul(beta).exp()


def attack(net: nn.Module, b: Batch, r, loss: Callable, **how) -> torch.Tensor:
    """x' for a batch with the recipe's epsilon, step, attack_steps, attack_norm and clamp."""
    low, high = (0.0, 1.0) if r.clamp else (None, None)
    size = (r.epsilon, r.step * r.epsilon, r.attack_steps, r.attack_norm)
    return attacks.pgd(net, b.x, loss, *size, low=low, high=high, **how)


def ask(b: Batch, x: torch.Tensor) -> torch.Tensor:
    """The live teacher's logits at images x, constants."""
    with torch.no_grad():
        return _teacher(b)(x)


def _teacher(b):
    if b.teacher is None:
        raise ValueError(
            "b.teacher=None: this method asks the teacher at attacked images; give the teacher"
            " itself, not its scores alone"
        )
    return b.teacher


def pgd_at(net: nn.Module, b: Batch, r) -> Terms:
    """Cross-entropy at x', found by PGD on cross-entropy (arXiv 1706.06083)."""
    x_ = attack(net, b, r, attacks.cross_entropy(b.y))
    return {"ce_adv": (1.0, F.cross_entropy(net(x_), b.y))}


def trades(net: nn.Module, b: Batch, r) -> Terms:
    """Cross-entropy + beta KL(S(x) || S(x')), both sides learning; x' climbs the same KL (arXiv
    1901.08573).
    """
    with modules.standing(net, "eval"), torch.no_grad():
        a = net(b.x)
    x_ = attack(net, b, r, lambda a_, _: divergence(a_, a), **OUTER)
    a_S = net(b.x)
    return {"ce": (1.0, F.cross_entropy(a_S, b.y)), "self": (r.beta, kl(net(x_), a_S))}


def ard(net: nn.Module, b: Batch, r) -> Terms:
    """alpha t^2 KL(T^t(x) || S^t(x')) + (1 - alpha) cross-entropy at x; x' climbs cross-entropy
    (arXiv 1905.09747).

    The teacher sees the clean image. The paper softens the cross-entropy too, its code does not,
    nor do we.
    """
    return _ard(net, b, r, net(attack(net, b, r, attacks.cross_entropy(b.y))))


def _ard(net, b, r, a_adv):
    clean = {"ce": (1 - r.alpha, F.cross_entropy(net(b.x), b.y))} if r.alpha < 1 else {}
    return {"kl_adv": (r.alpha * r.tau**2, kl(a_adv, b.a_T, r.tau)), **clean}


def fast_ard(net: nn.Module, b: Batch, r) -> Terms:
    """ARD's loss at x' = x + delta, where delta is what earlier steps left (arXiv 1905.09747,
    Algorithm 2; delta as in arXiv 1904.12843).

    No pass is spent on an attack: the backward pass that trains the student also gives the gradient
    of the objective at x', and delta goes one step up it, back into the ball, for the next replay
    of the batch (r.replays, the papers' m) and for the next batch. With m = 1 an image is met by
    what its predecessors in the batch's places left, never by its own. delta starts each epoch at
    zero (the reference keeps it), so that an interrupted run repeats exactly; a smaller last batch
    uses and renews its first rows. The gradient is taken at the clamped x', so a pixel at its bound
    can still turn.
    """
    carry = {} if b.carry is None else b.carry
    q = attacks.NORMS[r.attack_norm]
    delta = carry.setdefault("delta", torch.zeros_like(b.x))[: len(b.x)]
    x_ = b.x + delta
    x_ = (x_.clamp(0, 1) if r.clamp else x_).requires_grad_()

    def climb(g):
        ahead = delta + r.step * r.epsilon * geometry.steepest(g, q)
        delta.copy_(geometry.onto_ball(ahead, r.epsilon, q))

    x_.register_hook(climb)
    return _ard(net, b, r, net(x_))


def rslad(net: nn.Module, b: Batch, r) -> Terms:
    """alpha KL(T(x) || S(x')) + (1 - alpha) KL(T(x) || S(x)), no labels; x' climbs the first (arXiv
    2108.07969: alpha 5/6).
    """
    x_ = attack(net, b, r, lambda a, _: divergence(a, b.a_T), **OUTER)
    return _soft(net, b, r, net(x_), b.a_T)


def _soft(net, b, r, a_adv, a_T_adv):
    clean = {"kl": (1 - r.alpha, kl(net(b.x), b.a_T))} if r.alpha < 1 else {}
    return {"kl_adv": (r.alpha, kl(a_adv, a_T_adv)), **clean}


def iad(net: nn.Module, b: Batch, r) -> Terms:
    """ARD + alpha (1 - A) KL(S(x) || S(x')) once `begin` of the epochs is over, A = T(x')_y^beta
    (arXiv 2106.04928, IAD-I).

    Where the teacher falls for x', the student listens to itself at x. As in the code: the
    teacher's term is not weighted by A (the paper weights it), and both sides of the new term
    learn.
    """
    x_ = attack(net, b, r, attacks.cross_entropy(b.y))
    terms = {}
    a_adv = net(x_)
    if b.share >= r.begin:
        a_T_adv = ask(b, x_)
        doubt = 1 - trust(a_T_adv, b.y, r.beta)
        terms["self"] = (r.alpha, (doubt * divergence(a_adv, net(b.x))).mean())
    return {**_ard(net, b, r, a_adv), **terms}


def adaad(net: nn.Module, b: Batch, r) -> Terms:
    """alpha KL(T(x') || S(x')) + (1 - alpha) KL(T(x) || S(x)); x' climbs the first, through the
    teacher too (Huang et al., CVPR 2023: alpha 1).
    """
    return _adaad(net, b, r)[0]


def _adaad(net, b, r):
    teacher = _teacher(b)
    x_ = attack(net, b, r, lambda a, x_: divergence(a, teacher(x_)), **OUTER)
    a_adv, a_T_adv = net(x_), ask(b, x_)
    return _soft(net, b, r, a_adv, a_T_adv), x_, a_adv, a_T_adv


def igdm(net: nn.Module, b: Batch, r) -> Terms:
    """AdaAD + beta share KL(T(x') - T(x'') || S(x') - S(x'')), softmax of differences of logits,
    x'' = 2x - x' (arXiv 2312.03286).

    Along delta the difference is 2 delta . grad a: input gradients are matched to first order
    without differentiating twice. `share` is the part of the epochs that is over; x'' is not
    clamped, as in the code.
    """
    terms, x_, a_adv, a_T_adv = _adaad(net, b, r)
    back = 2 * b.x - x_
    return {**terms, "igdm": (r.beta * b.share, kl(a_adv - net(back), a_T_adv - ask(b, back)))}
