"""What each method asks of a student: the terms that it sums.

A method is called with the student, a Batch and the recipe, and returns {term: (weight, loss)}. The
objective is the sum of weight * loss; each loss is logged by itself, one of weight 0 only logged.
"""

import functools

from torch import Tensor, nn

from ... import geometry
from .. import losses
from ..hints import HINTS
from .base import OR_ZERO, AnyRecipe, Batch, Method, Setting, Terms


def standard(net: nn.Module, b: Batch, r: AnyRecipe) -> Terms:
    """Cross-entropy on the labels alone; the teacher is trained so too."""
    return {"ce": (1.0, b.hard(net(b.x), b.y))}


def kd(net: nn.Module, b: Batch, r: AnyRecipe) -> Terms:
    """Knowledge distillation (Eqs. 3-4); after the hint stage it is FitNets (arXiv 1412.6550)."""
    return soft_terms(net(b.x), b, r)


def soft_terms(a_S: Tensor, b: Batch, r: AnyRecipe) -> Terms:
    """KD's terms from the student's logits."""
    weight = b.lam * (r.tau**2 if r.tau_squared else 1)
    hard = b.hard(a_S, b.y)  # before the soft half: gradients add up in this order
    return {"ce": (1.0, hard), "kd": (weight, losses.soft_cross_entropy(a_S, b.a_T, r.tau))}


def mimic(net: nn.Module, b: Batch, r: AnyRecipe) -> Terms:
    """Cross-entropy + lambda/2 of the squared distance to the teacher's logits, or probabilities
    (Eq. 2; arXiv 1312.6184).
    """
    a_S = net(b.x)
    hard = b.hard(a_S, b.y)
    return {"ce": (1.0, hard), "mimic": (b.lam / 2, losses.mimic_loss(a_S, b.a_T, r.mimic_on))}


def robust(net: nn.Module, b: Batch, r: AnyRecipe) -> Terms:
    """L_KD + C1 L_G + C2 L_S (Eq. 17), by exact double backprop."""
    a_S, g_S = student_slopes(net, b, tau=r.tau)
    terms = soft_terms(a_S, b, r)
    terms["gradient"] = (r.C1, losses.gradient_loss(g_S, b.g_T))
    return {**terms, **_score(a_S, b, r)}


def student_slopes(net: nn.Module, b: Batch, **space) -> tuple[Tensor, Tensor]:
    """(a_S, g_S), to be differentiated once more, which PyTorch cannot with every layer."""
    return geometry.input_gradient(net, b.x, b.y, create_graph=True, **space)


def _score(a_S, b, r):
    f_S, f_T = geometry.score(a_S, b.y), geometry.score(b.a_T, b.y)
    lead = losses.score_loss(f_S, f_T, r.gamma)
    return {"score": (r.C2, lead), "score_floor": (0.0, losses.score_floor(f_T, r.gamma))}


def gradient_only(net: nn.Module, b: Batch, r: AnyRecipe) -> Terms:
    """L_KD + C1 L_G: Eq. 17 without L_S."""
    return {name: term for name, term in robust(net, b, r).items() if not name.startswith("score")}


def score_only(net: nn.Module, b: Batch, r: AnyRecipe) -> Terms:
    """L_KD + C2 L_S: Eq. 17 without L_G."""
    a_S = net(b.x)
    return {**soft_terms(a_S, b, r), **_score(a_S, b, r)}


SLOPE = {"C1": Setting(10.0, "weight of L_G")}
SCORE = {"gamma": Setting(0.1, "lead asked of the score"), "C2": Setting(1.0, "weight of L_S")}
ON = {"mimic_on": Setting("logits", "or as Eq. 2 prints", ("logits", "probabilities"))}
HINT = {
    "hint": Setting("regress", "as FitNets do, or classify as Sec. V-A words it", HINTS),
    "hint_epochs": Setting(0, "0: fitnet takes a quarter of the epochs, others none", OR_ZERO),
}
L_KD = r"\mathcal L_{KD} = H(o_S, y) + \lambda H(\tau(o_S), \tau(o_T))"
L_G = r"\mathcal L_G = \lVert \nabla_x f_S^\tau - \nabla_x f_T^\tau \rVert^2"
L_S = r"\mathcal L_S = \max(0, \gamma + f_T - f_S)"
SQUARED = r"H(o_S, y) + \frac{\lambda}{2} \lVert a_S - a_T \rVert^2"
STAGES = r"\frac{1}{2} \lVert r(h_S) - h_T \rVert^2, \text{ then } \mathcal L_{KD}"
SUM = r"\mathcal L_{KD} + C_1 \mathcal L_G + C_2 \mathcal L_S"
LABELS = dict(sees="labels")
SCORES = dict(scores=True, sees="labels, teacher's scores")
TWICE = dict(
    scores=True, gradients="tempered", passes=6, sees="labels, teacher's scores and gradients"
)
MIMIC = dict(
    source="arXiv 1312.6184",
    scores=True,
    settings=ON,
    loss=SQUARED,
    sees="labels, teacher's logits",
)
FITNET = dict(
    source="arXiv 1412.6550",
    scores=True,
    hint=True,
    passes=4.5,
    settings=HINT,
    loss=STAGES,
    sees="teacher's middle layer; then labels, teacher's scores",
)
ROBUST = dict(TWICE, settings=SLOPE | SCORE | HINT, loss=SUM)
G_ONLY = dict(TWICE, settings=SLOPE, loss=rf"\mathcal L_{{KD}} + C_1 \mathcal L_G, \quad {L_G}")
S_ONLY = dict(SCORES, settings=SCORE, loss=rf"\mathcal L_{{KD}} + C_2 \mathcal L_S, \quad {L_S}")
TERM_WORDS = {
    "ce": "cross-entropy",
    "kd": "soft cross-entropy",
    "gradient": "$L_G$",
    "score": "$L_S$",
    "score_floor": "floor of $L_S$",
    "mimic": "mimic",
}
of_paper = functools.partial(Method, source="arXiv 1807.11158", words=TERM_WORDS)
METHODS = {
    "teacher": of_paper(standard, "teacher", "#000000", "s", **LABELS, loss="H(o_T, y)"),
    "standard": of_paper(standard, "standard", "#767676", "v", **LABELS, loss="H(o_S, y)"),
    "mimic": of_paper(mimic, "mimic", "#56B4E9", "<", **MIMIC),
    "kd": of_paper(kd, "KD", "#009E73", "^", source="arXiv 1503.02531", **SCORES, loss=L_KD),
    "fitnet": of_paper(kd, "FitNet", "#882255", ">", **FITNET),
    "robust": of_paper(robust, "robust", "#D55E00", "o", **ROBUST),
    "gradient_only": of_paper(gradient_only, "$L_G$ only", "#E69F00", "P", **G_ONLY),
    "score_only": of_paper(score_only, "$L_S$ only", "#CC79A7", "X", **S_ONLY),
}
