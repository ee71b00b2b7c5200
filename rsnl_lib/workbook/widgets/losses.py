"""Live: what each term pulls on (chapter 02)."""

import html

import ipywidgets as W
import torch
from torch import Tensor

from .. import figures, palette
from .base import DIGITS, grey_image, side_by_side, stage
from .svg import term_bars

COLOURS = [palette.style(m)["color"] for m in ("standard", "kd", "score_only")]


def pull(a_S: Tensor, a_T: Tensor, y: int, tau: float, gamma: float, lam: float) -> dict:
    """{term: (k,)}: where each term pulls one student's logits a_S (k,), minus its derivative (Eqs.
    3 and 15), teacher's a_T, class y.
    """
    o_S = torch.softmax(a_S, 0)
    truth = torch.zeros_like(a_S)
    truth[y] = 1
    open_ = gamma + torch.softmax(a_T, 0)[y] - o_S[y] > 0
    apart = torch.softmax(a_T / tau, 0) - torch.softmax(a_S / tau, 0)
    return {
        "cross-entropy": truth - o_S,
        "lambda x soft cross-entropy": lam / tau * apart,
        "L_S, the hinge": open_ * o_S[y] * (truth - o_S),
    }


def pulls(
    a_S: Tensor,
    a_T: Tensor,
    x: Tensor,
    y: Tensor,
    tau: float = 3.0,
    gamma: float = 0.1,
    lam: float = 4.0,
    first: int = 0,
) -> None:
    """What each term pulls on, live: a_S, a_T logits (n, k) of images x (n, 1, h, w), classes y
    (n,); sliders for image, tau, gamma, lambda.
    """
    controls = [
        W.IntSlider(description="image", value=first, min=0, max=len(y) - 1),
        W.FloatSlider(description="temperature tau", value=tau, min=1, max=20, step=0.5),
        W.FloatSlider(description="margin gamma", value=gamma, min=0, max=1, step=0.01),
        W.FloatSlider(description="weight lambda", value=lam, min=0, max=10, step=0.5),
    ]

    def draw(i, tau, gamma, lam):
        k = int(y[i])
        student, teacher = a_S[i].double(), a_T[i].double()
        f_S, f_T = (float(torch.softmax(a, 0)[k]) for a in (student, teacher))
        hinge = max(0.0, gamma + f_T - f_S)
        note = (
            f"a {k}: f_S {f_S:.4f}, f_T {f_T:.4f}; at tau the teacher says"
            f" {float(torch.softmax(teacher / tau, 0)[k]):.3f}; the hinge is"
            f" {'open' if hinge else 'closed'} at {hinge:.4f}, no student can get it below"
            f" {max(0.0, gamma + f_T - 1):.4f}"
        )
        terms = pull(student, teacher, k, tau, gamma, lam)
        top = max(float(v.abs().max()) for v in terms.values()) or 1
        charts = [term_bars(m, v.tolist(), top, c) for (m, v), c in zip(terms.items(), COLOURS)]
        image = grey_image(x[i, 0], f"a {k}", 112)
        return (
            f"{side_by_side(image, *charts, gap=16, align='start')}"
            f'<div class="rsnl-note"><b>{html.escape(note)}.</b> One scale for all three;'
            " up: the term raises that logit.</div>"
        )

    label = int(y[first])
    terms = pull(a_S[first], a_T[first], label, tau, gamma, lam)
    title = f"a {label}; tau {tau:g}, gamma {gamma:g}, lambda {lam:g}"
    still = figures.pull_panels(terms, DIGITS, COLOURS, title)
    words = "image, tau, gamma and lambda over what each term pulls on"
    stage("pulls", controls, draw, still, words, (130, 440))
