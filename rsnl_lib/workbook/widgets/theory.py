"""Live: a line to push along (chapter 01), an example with its gradients (chapter 04)."""

import functools
import html
import math
from collections.abc import Iterable

import ipywidgets as W
import numpy as np
import torch
from torch import Tensor, nn

from ... import checks, geometry, theorem
from ...data import perturb
from .. import palette, theorem_figures
from .base import grey_image, img, side_by_side, stage
from .planes import LOOK
from .svg import graph

PICTURE_SIDE = 152  # of an example's pictures, in pixels: as wide as the words below


def _curve_pair(method: str, x, u_S, u_T) -> list:
    """The student's curve, solid in its method's colour, and the teacher's, dashed, for `graph`."""
    return [
        (palette.style(method)["color"], "", x, u_S),
        (palette.style("teacher")["color"], "6 3", x, u_T),
    ]


def push_view(name: str, case: dict, delta: float) -> str:
    """The HTML of one counterexample at one delta: what Eq. 7 and Theorem 1' say, and the truth."""
    ratio, sure, reach = (case[k] for k in ("ratio", "sure", "reach"))
    f_S, f_T = (float(case[k](np.array(delta))) for k in ("f_S", "f_T"))
    h = f_S - f_T
    leads = "a draw"
    if h:
        leads = f"the {'student' if h > 0 else 'teacher'} leads"
    eq7 = "says nothing here"
    if abs(delta) >= ratio:
        eq7 = f"says the teacher leads: {'right' if h < 0 else 'WRONG'}"
    new = "guarantees the student: right" if abs(delta) < sure else "says nothing here"
    said = f"{name}: delta {delta:+.3f}, f_S {f_S:.3f}, f_T {f_T:.3f}, {leads} by {abs(h):.3f}"
    ticks = np.linspace(-reach, reach, 161)
    bands = [
        (-sure, sure, LOOK["sound"]),
        (ratio, reach, LOOK["no bound"]),
        (-reach, -ratio, LOOK["no bound"]),
    ]
    curves = _curve_pair("robust", ticks, case["f_S"](ticks), case["f_T"](ticks))
    plot = graph(said, curves, (-reach, reach), delta=delta, bands=bands)
    return (
        f'{plot}<div class="rsnl-note"><b>{html.escape(said)}.</b> Eq. 7 as'
        f" printed {eq7}; Theorem 1' {new}.<br>"
        f"Orange f_S, dashed black f_T; orange band: where Eq. 7 speaks (|delta| &ge; {ratio:.3g}),"
        f" blue band: certified (|delta| &lt; {sure:.3g}). {html.escape(case['words'])}</div>"
    )


def push(cases: dict) -> None:
    """Counterexamples to drag: cases {name: dict(f_S, f_T functions of delta, ratio, sure, reach,
    slope, words)}.
    """
    which = W.Dropdown(description="example", options=list(cases))
    reach = next(iter(cases.values()))["reach"]
    scale = {"min": -reach, "max": reach, "step": 0.01}
    delta = W.FloatSlider(description="delta", value=0, readout_format=".2f", **scale)

    def draw(name, _):
        reach = cases[name]["reach"]
        if delta.max != reach:
            delta.value = 0
            delta.min = -reach
            delta.max = reach
            delta.step = reach / 200
        return push_view(name, cases[name], delta.value)

    name, case = list(cases.items())[min(1, len(cases) - 1)]
    ticks = np.linspace(-case["reach"], case["reach"], 301)
    scores = (case["f_S"](ticks), case["f_T"](ticks))
    still = theorem_figures.one_dimension(ticks, *scores, case["ratio"], case["slope"], name)
    words = f"drag delta through {', '.join(cases)}"
    stage("push", [which, delta], draw, still, words, (130, 480))


def _signed_image(pixels: Tensor, scale: float, said: str) -> str:
    """An <img> of signed values (h, w): orange raises, purple lowers, full colour at `scale`."""
    picture = img(palette.signed_pixels(pixels, scale), said, PICTURE_SIDE)
    return (
        f'<figure style="margin:0">{picture}<figcaption'
        f' style="font-size:11px">{html.escape(said)}</figcaption></figure>'
    )


def lead_slope(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """grad u of images x, u = logit(f)."""
    return theorem.gradient(lambda z: geometry.height(net(z), y), x)[1]


def along(nets: Iterable[nn.Module], x: Tensor, y: Tensor, gap: Tensor, reach: float) -> tuple:
    """(t, u): 41 lengths t of a push of one image x (1, ...) against `gap`, the two networks' u =
    logit(f) there (41, 2).
    """
    v = -gap / geometry.like(geometry.norm(gap).clamp_min(1e-12), x)
    t = torch.linspace(0, reach, 41, dtype=x.dtype)
    line = x + geometry.like(t, x) * v
    with torch.no_grad():
        u = [geometry.height(net(line), y.expand(len(t))) for net in nets]
    return t, torch.stack(u, 1)


def _plain_label(method: str) -> str:
    """A method's label without the dollars of its formula."""
    return palette.style(method)["label"].replace("$", "")


def _example_view(x: Tensor, y: int, method: str, g_S, g_T, t, u) -> str:
    """The HTML of one image x (1, 1 or 3, h, w): gradients with their lengths, the parts of the
    bound, and both logits u (k, 2) along the push t.
    """
    behind = (u[:, 0] <= u[:, 1]).nonzero()
    if not len(behind):
        where = "leads all the way"
    elif behind[0, 0] == 0:
        where = "is behind from the start"
    else:
        where = f"is overtaken after {t[behind[0, 0]]:.3f}"
    f_S, f_T = torch.sigmoid(u[0])
    m, G = float(u[0, 0] - u[0, 1]), float(geometry.norm(g_S - g_T))
    said = (
        f"the {_plain_label(method)} student {where}; head start m {m:+.3f}, gap G {G:.2f}, m / G"
        f" {m / max(G, 1e-12):+.3f}; scores f_S {f_S:.4f}, f_T {f_T:.4f}"
    )
    scale = float(torch.maximum(g_S.abs().max(), g_T.abs().max()))
    named = {"student's gradient": g_S, "teacher's gradient": g_T, "their gap": g_S - g_T}
    images = [
        _signed_image(g[0].mean(0), scale, f"{name}, length {float(geometry.norm(g)):.2f}")
        for name, g in named.items()
    ]
    picture = grey_image(x[0], f"a {y} as the networks see it", PICTURE_SIDE)
    low = math.floor(float(u.min()))
    high = max(math.ceil(float(u.max())), low + 1)
    curves = _curve_pair(method, t.numpy(), *u.T.numpy())
    names = ("length of the push", "logit of the true class's score")
    plot = graph(said, curves, (0, float(t[-1])), (low, high), h=200, names=names)
    return (
        f"{side_by_side(picture, *images, gap=20, align='start')}"
        f'<div class="rsnl-note"><b>{html.escape(said)}.</b></div>{plot}<div class="rsnl-note">'
        "Solid: the student; dashed: the teacher; pushed the steepest way down for m. Pictures:"
        " orange pixels raise the score, purple ones lower it; one scale for all three.</div>"
    )


def examples(nets: dict, x: Tensor, y: Tensor, reach: float = 1.0, method: str = "robust") -> None:
    """Pick an image, a student and a noise level; nets {method: module} with "teacher", x (n, 1 or
    3, h, w), y (n,); of the gradients of three channels the mean is shown.
    """
    checks.one_of("network", "teacher", nets)
    students = {_plain_label(m): m for m in nets if m != "teacher"}
    checks.one_of("method", method, students.values())
    checks.positive("reach", reach)
    checks.images(x[:1])
    exact = {m: theorem.exact(net) for m, net in nets.items()}
    light = {m: theorem.exact(net, torch.float32) for m, net in nets.items()}
    x = x.double()
    levels = {"none": math.inf, "20": 20, "10": 10, "5": 5, "0": 0}
    scale = {"min": reach / 5, "max": 3 * reach, "step": reach / 20}
    controls = [
        W.IntSlider(description="image", min=0, max=len(x) - 1),
        W.Dropdown(description="student", options=students, value=method),
        W.Dropdown(description="noise (dB)", options=levels),
        W.FloatSlider(description="length of the push", value=reach, **scale),
    ]

    @functools.cache
    def seen(i, snr):
        here = x[i : i + 1]
        if snr == math.inf:
            return here
        return perturb.gaussian(here, float(snr), torch.Generator().manual_seed(i))

    @functools.cache
    def slope(m, i, snr):
        return lead_slope(exact[m], seen(i, snr), y[i : i + 1])

    def parts(i, student, snr, length):
        """Gradients in float64, kept; the line, only drawn, in float32: a third of the time."""
        g_S, g_T = (slope(m, i, snr) for m in (student, "teacher"))
        pair = (light[student], light["teacher"])
        line = along(pair, seen(i, snr).float(), y[i : i + 1], (g_S - g_T).float(), length)
        return g_S, g_T, *line

    def draw(i, student, snr, length):
        found = parts(i, student, snr, length)
        return _example_view(seen(i, snr), int(y[i]), student, *found)

    g_S, g_T, t, u = parts(0, method, math.inf, reach)
    still = theorem_figures.example(x[0], g_S[0], g_T[0], t, u, method)
    words = "image, student, noise and length of the push over gradients and both scores"
    stage("examples", controls, draw, still, words, (130, 480))
