"""Live: what each term pulls on (chapter 02)."""

import html

import ipywidgets as W
import torch

from .. import figures, palette
from .base import live, picture, show


def pull(a_S, a_T, y, tau, gamma, lam):
    """{term: (k,)}: where each term pulls one student's logits a_S (k,), minus its derivative (Eqs.
    3 and 15), teacher's a_T, class y.
    """
    o_S, truth = torch.softmax(a_S, 0), torch.zeros_like(a_S)
    truth[y] = 1
    open_ = gamma + torch.softmax(a_T, 0)[y] - o_S[y] > 0
    return {
        "cross-entropy": truth - o_S,
        "lambda x soft cross-entropy": (
            lam / tau * (torch.softmax(a_T / tau, 0) - torch.softmax(a_S / tau, 0))
        ),
        "L_S, the hinge": open_ * o_S[y] * (truth - o_S),
    }


def pull_bars(name, values, top, colour, classes):
    """One term's pull on every logit as SVG bars up and down from a line, full height at `top`."""
    k, said = len(values), f"{name}: " + ", ".join(f"{c} {v:+.4f}" for c, v in zip(classes, values))
    bars_ = "".join(
        f'<rect x="{26 * i + 6}" y="{40 - max(36 * v / top, 0):.1f}" width="18"'
        f' height="{abs(36 * v / top):.1f}" fill="{colour}"/><text x="{26 * i + 15}" y="92"'
        f' text-anchor="middle" font-size="11" fill="currentColor">{classes[i]}</text>'
        for i, v in enumerate(values)
    )
    return (
        f'<div><b>{html.escape(name)}</b> largest {max(values, key=abs):+.4f}<svg role="img"'
        f' aria-label="{html.escape(said)}" width="{26 * k + 8}" height="98"'
        f' style="display:block"><path d="M4 40H{26 * k + 4}"'
        f' stroke="currentColor"/>{bars_}</svg></div>'
    )


def pulls(a_S, a_T, x, y, tau=3.0, gamma=0.1, lam=4.0, classes=None, first=0):
    """What each term pulls on, live: a_S, a_T logits (n, k) of images x (n, 1, h, w), classes y
    (n,); sliders for image, tau, gamma, lambda.
    """
    classes = classes or [str(i) for i in range(a_S.shape[1])]
    wide = dict(style={"description_width": "110px"}, layout=W.Layout(width="420px"))
    image = W.IntSlider(description="image", value=first, min=0, max=len(y) - 1, **wide)
    taus = W.FloatSlider(description="tau", value=tau, min=1, max=20, step=0.5, **wide)
    gammas = W.FloatSlider(description="gamma", value=gamma, min=0, max=1, step=0.01, **wide)
    lams = W.FloatSlider(description="lambda", value=lam, min=0, max=10, step=0.5, **wide)
    out = W.HTML()
    colours = [palette.style(m)["color"] for m in ("standard", "kd", "score_only")]

    def drawn():
        i, k = image.value, int(y[image.value])
        terms = pull(a_S[i].double(), a_T[i].double(), k, taus.value, gammas.value, lams.value)
        f_S, f_T = (float(torch.softmax(a[i].double(), 0)[k]) for a in (a_S, a_T))
        hinge = max(0.0, gammas.value + f_T - f_S)
        note = (
            f"a {classes[k]}: f_S {f_S:.4f}, f_T {f_T:.4f}; at tau the teacher says"
            f" {float(torch.softmax(a_T[i].double() / taus.value, 0)[k]):.3f}; the hinge is"
            f" {'open' if hinge else 'closed'} at {hinge:.4f}, no student can get it below"
            f" {max(0.0, gammas.value + f_T - 1):.4f}"
        )
        top = max(float(v.abs().max()) for v in terms.values())
        return (
            '<div class="rsnl-view"><div style="display:flex;gap:16px;align-items:start">'
            + picture(x[i, 0], f"a {classes[k]}", 112)
            + "".join(
                pull_bars(n, v.tolist(), top or 1, c, classes)
                for (n, v), c in zip(terms.items(), colours)
            )
            + f'</div><div class="rsnl-note"><b>{html.escape(note)}.</b> One scale for all three;'
            " up: the term raises that logit.</div></div>"
        )

    live((image, taus, gammas, lams), out, drawn)
    box = W.VBox([image, taus, gammas, lams, out])
    box.add_class("rsnl-pulls")
    still = figures.pull_bars(
        pull(a_S[first], a_T[first], int(y[first]), tau, gamma, lam),
        classes,
        colours,
        f"a {classes[int(y[first])]}; tau {tau:g}, gamma {gamma:g}, lambda {lam:g}",
    )
    show(
        box, palette.png(still), "[live: image, tau, gamma and lambda over what each term pulls on]"
    )
