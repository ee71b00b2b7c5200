"""Live: a line to push along (chapter 01), an example with its gradients (chapter 04)."""

import html
import math

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

    case = list(cases.values())[min(1, len(cases) - 1)]
    ticks = np.linspace(-case["reach"], case["reach"], 301)
    scores = (case["f_S"](ticks), case["f_T"](ticks))
    still = theorem_figures.one_dimension(ticks, *scores, case["ratio"], case["slope"])
    words = f"drag delta through {', '.join(cases)}"
    stage("push", [which, delta], draw, still, words, (130, 480))


def _signed_image(pixels: Tensor, scale: float, alt: str) -> str:
    """An <img> of signed values (h, w): orange above zero, blue below, full colour at `scale`."""
    v = np.clip(pixels.numpy() / max(scale, 1e-12), -1, 1)[..., None]
    ends = np.where(v > 0, np.array([213, 94, 0]), np.array([0, 114, 178]))
    coloured = (255 + np.abs(v) * (ends - 255)).round().astype(np.uint8)
    return (
        f'<figure style="margin:0">{img(coloured, alt, 112)}<figcaption'
        f' style="font-size:11px">{html.escape(alt)}</figcaption></figure>'
    )


def worst_way(net_S: nn.Module, net_T: nn.Module, x: Tensor, y: Tensor, reach: float) -> tuple:
    """(g_S, g_T, t, u): input gradients of one image x (1, ...) and, at 41 steps t along -grad h,
    both networks' u = logit(f) (41, 2).
    """
    nets = (net_S, net_T)
    g_S, g_T = (theorem.gradient(lambda z: geometry.height(net(z), y), x)[1] for net in nets)
    v = -(g_S - g_T) / geometry.like(geometry.norm(g_S - g_T).clamp_min(1e-12), x)
    t = torch.linspace(0, reach, 41, dtype=x.dtype)
    line = x + geometry.like(t, x) * v
    with torch.no_grad():
        u = [geometry.height(net(line), y.expand(len(t))) for net in nets]
    return g_S, g_T, t, torch.stack(u, 1)


def _plain_label(method: str) -> str:
    """A method's label without the dollars of its formula."""
    return palette.style(method)["label"].replace("$", "")


def _example_view(nets: dict, x, y, method: str, reach: float) -> str:
    """The HTML of one image x (1, 1 or 3, h, w): gradients, and both logits along the worst way."""
    g_S, g_T, t, u = worst_way(nets[method], nets["teacher"], x, y, reach)
    behind = (u[:, 0] <= u[:, 1]).nonzero()
    if not len(behind):
        where = "leads all the way"
    elif behind[0, 0] == 0:
        where = "is behind from the start"
    else:
        where = f"is overtaken after {t[behind[0, 0]]:.3f}"
    f_S, f_T = torch.sigmoid(u[0])
    slopes = [float(geometry.norm(g)) for g in (g_S, g_T, g_S - g_T)]
    said = (
        f"the {_plain_label(method)} student {where}; f_S {f_S:.4f}, f_T {f_T:.4f}, head start"
        f" {f_S - f_T:+.2e}, in logits {u[0, 0] - u[0, 1]:+.3f}; slopes: student"
        f" {slopes[0]:.2f}, teacher {slopes[1]:.2f}, gap {slopes[2]:.2f}"
    )
    scale = float(torch.maximum(g_S.abs().max(), g_T.abs().max()))
    named = {"student's gradient": g_S, "teacher's gradient": g_T, "their gap": g_S - g_T}
    images = [_signed_image(g[0].mean(0), scale, name) for name, g in named.items()]
    picture = grey_image(x[0], f"a {int(y)} as the networks see it", 112)
    low = math.floor(float(u.min()))
    high = max(math.ceil(float(u.max())), low + 1)
    curves = _curve_pair(method, t.numpy(), *u.T.numpy())
    plot = graph(said, curves, (0, reach), (low, high), h=200)
    return (
        f"{side_by_side(picture, *images, align='start')}"
        f'<div class="rsnl-note"><b>{html.escape(said)}.</b></div>{plot}<div class="rsnl-note">'
        "Logit of the true class's score along the steepest way down for the head start (student"
        " solid, teacher dashed); below: length of the push.</div>"
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
    nets = {m: theorem.exact(net) for m, net in nets.items()}
    x = x.double()
    levels = {"none": math.inf, "20": 20, "10": 10, "5": 5, "0": 0}
    scale = {"min": reach / 5, "max": 3 * reach, "step": reach / 20}
    controls = [
        W.IntSlider(description="image", min=0, max=len(x) - 1),
        W.Dropdown(description="student", options=students, value=method),
        W.Dropdown(description="noise (dB)", options=levels),
        W.FloatSlider(description="length of the push", value=reach, **scale),
    ]

    def draw(i, student, snr, length):
        seen = x[i : i + 1]
        if snr < math.inf:
            seen = perturb.gaussian(seen, float(snr), torch.Generator().manual_seed(i))
        return _example_view(nets, seen, y[i : i + 1], student, length)

    g_S, g_T, t, u = worst_way(nets[method], nets["teacher"], x[:1], y[:1], reach)
    still = theorem_figures.example(x[0], g_S[0], g_T[0], t, u, method)
    words = "image, student, noise and length of the push over gradients and both scores"
    stage("examples", controls, draw, still, words, (130, 480))
