"""Live: what each term pulls on (chapter 02)."""

import html

import ipywidgets as W
import torch

from .. import figures, palette
from .base import picture, stage, wide
from .svg import pull_bars

COLOURS = [palette.style(m)["color"] for m in ("standard", "kd", "score_only")]


def pull(a_S, a_T, y: int, tau: float, gamma: float, lam: float) -> dict:
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


def pulled(a_S, a_T, x, y: int, tau: float, gamma: float, lam: float, classes) -> str:
    """The HTML for one image x (h, w) of class y: its picture and each term's bars."""
    terms = pull(a_S, a_T, y, tau, gamma, lam)
    words = f"a {classes[y]}"
    f_S, f_T = (float(torch.softmax(a, 0)[y]) for a in (a_S, a_T))
    hinge = max(0.0, gamma + f_T - f_S)
    note = (
        f"{words}: f_S {f_S:.4f}, f_T {f_T:.4f}; at tau the teacher says"
        f" {float(torch.softmax(a_T / tau, 0)[y]):.3f}; the hinge is"
        f" {'open' if hinge else 'closed'} at {hinge:.4f}, no student can get it below"
        f" {max(0.0, gamma + f_T - 1):.4f}"
    )
    top = max(float(v.abs().max()) for v in terms.values()) or 1
    rows = "".join(
        pull_bars(name, v.tolist(), top, colour, classes)
        for (name, v), colour in zip(terms.items(), COLOURS)
    )
    return (
        '<div class="rsnl-view"><div style="display:flex;gap:16px;align-items:start">'
        f"{picture(x, words, 112)}{rows}</div>"
        f'<div class="rsnl-note"><b>{html.escape(note)}.</b> One scale for all three;'
        " up: the term raises that logit.</div></div>"
    )


def pulls(a_S, a_T, x, y, tau=3.0, gamma=0.1, lam=4.0, classes=None, first: int = 0) -> None:
    """What each term pulls on, live: a_S, a_T logits (n, k) of images x (n, 1, h, w), classes y
    (n,); sliders for image, tau, gamma, lambda.
    """
    classes = classes or [str(i) for i in range(a_S.shape[1])]
    look = wide()
    controls = (
        W.IntSlider(description="image", value=first, min=0, max=len(y) - 1, **look),
        W.FloatSlider(description="tau", value=tau, min=1, max=20, step=0.5, **look),
        W.FloatSlider(description="gamma", value=gamma, min=0, max=1, step=0.01, **look),
        W.FloatSlider(description="lambda", value=lam, min=0, max=10, step=0.5, **look),
    )

    def drawn(i, *constants):
        return pulled(a_S[i].double(), a_T[i].double(), x[i, 0], int(y[i]), *constants, classes)

    still = figures.pull_panels(
        pull(a_S[first], a_T[first], int(y[first]), tau, gamma, lam),
        classes,
        COLOURS,
        f"a {classes[int(y[first])]}; tau {tau:g}, gamma {gamma:g}, lambda {lam:g}",
    )
    words = "image, tau, gamma and lambda over what each term pulls on"
    stage("pulls", controls, drawn, still, words)
