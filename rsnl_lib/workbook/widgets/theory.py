"""The live pictures of the theorem's chapters: a line to push along, a plane with its discs, an
example with its gradients.
"""

import html
import math

import ipywidgets as W
import numpy as np
import torch

from ... import checks, geometry, theorem
from ...checks import one_of, positive
from ...data import perturb
from ...theorem.interval import sound_interval
from .. import palette, theorem_figures
from .base import img, live, picture, show

LOOK = {k: theorem_figures.KINDS[k]["color"] for k in theorem_figures.KINDS}
WIDE = dict(
    style={"description_width": "130px"}, layout=W.Layout(width="480px"), continuous_update=True
)


def graph(curves, marks=(), bands=(), x_range=(-1, 1), y_range=(0, 1), size=(520, 220), said=""):
    """An SVG line plot: curves [(colour, dash, xs, ys)], marks [(x, colour, text)], bands [(from,
    to, colour)].
    """
    w, h = size

    def X(v):
        return 40 + (w - 50) * (np.asarray(v) - x_range[0]) / (x_range[1] - x_range[0])

    def Y(v):
        return h - 25 - (h - 35) * (np.clip(v, *y_range) - y_range[0]) / (y_range[1] - y_range[0])

    parts = [
        f'<svg role="img" aria-label="{html.escape(said)}" width="{w}" height="{h}"'
        ' style="display:block;background:#fff">'
    ]
    for start, stop, colour in bands:
        start, stop = max(start, x_range[0]), min(stop, x_range[1])
        if stop > start:
            parts.append(
                f'<rect x="{X(start):.1f}" y="10" width="{X(stop) - X(start):.1f}"'
                f' height="{h - 35}" fill="{colour}" opacity="0.15"/>'
            )
    for colour, dash, xs, ys in curves:
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(X(xs), Y(ys)))
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"'
            f' stroke-dasharray="{dash}"/>'
        )
    for at, colour, words in marks:
        parts.append(
            f'<line x1="{X(at):.1f}" x2="{X(at):.1f}" y1="10" y2="{h - 25}" stroke="{colour}"'
            f' stroke-width="1.5"/><text x="{X(at) + 3:.1f}" y="20" font-size="11"'
            f' fill="{colour}">{html.escape(words)}</text>'
        )
    for v in np.linspace(*x_range, 5):
        parts.append(
            f'<text x="{X(v):.1f}" y="{h - 8}" text-anchor="middle" font-size="11"'
            f' fill="#333">{v:.3g}</text>'
        )
    for v in np.linspace(*y_range, 3):
        parts.append(
            f'<text x="36" y="{Y(v) + 4:.1f}" text-anchor="end" font-size="11"'
            f' fill="#333">{v:.3g}</text>'
        )
    return "".join(parts) + "</svg>"


def pushed(name, case, delta):
    """The HTML of one counterexample at one delta: both scores, what Eq. 7 and Theorem 1' say
    there, and what is true.
    """
    f_S, f_T, ratio, sure, reach = (case[k] for k in ("f_S", "f_T", "ratio", "sure", "reach"))
    ticks = np.linspace(-reach, reach, 161)
    h = float(f_S(np.array(delta)) - f_T(np.array(delta)))
    leads = "the student leads" if h > 0 else "the teacher leads" if h < 0 else "a draw"
    eq7 = (
        "says nothing here"
        if abs(delta) < ratio
        else "says the teacher leads: " + ("right" if h < 0 else "WRONG")
    )
    new = "guarantees the student: right" if abs(delta) < sure else "says nothing here"
    said = (
        f"{name}: delta {delta:+.3f}, f_S {float(f_S(np.array(delta))):.3f}, f_T"
        f" {float(f_T(np.array(delta))):.3f}, {leads} by {abs(h):.3f}"
    )
    plot = graph(
        [
            (palette.style("robust")["color"], "", ticks, f_S(ticks)),
            (palette.style("teacher")["color"], "6 3", ticks, f_T(ticks)),
        ],
        [(delta, "#333", "delta")],
        [
            (-sure, sure, LOOK["sound"]),
            (ratio, reach, LOOK["no bound"]),
            (-reach, -ratio, LOOK["no bound"]),
        ],
        (-reach, reach),
        said=said,
    )
    return (
        f'<div class="rsnl-view">{plot}<div class="rsnl-note"><b>{html.escape(said)}.</b> Eq. 7 as'
        f" printed {eq7}; Theorem 1' {new}.<br>"
        f"Orange f_S, dashed black f_T; orange band: where Eq. 7 speaks (|delta| &ge; {ratio:.3g}),"
        f" blue band: certified (|delta| &lt; {sure:.3g}). "
        f"{html.escape(case['words'])}</div></div>"
    )


def push(cases):
    """Counterexamples to drag: cases {name: dict(f_S, f_T functions of delta, ratio, sure, reach,
    words)}.
    """
    first = next(iter(cases))
    which = W.Dropdown(
        description="example",
        options=list(cases),
        style={"description_width": "130px"},
        layout=W.Layout(width="480px"),
    )
    delta = W.FloatSlider(
        description="delta",
        value=0,
        min=-cases[first]["reach"],
        max=cases[first]["reach"],
        step=0.01,
        readout_format=".2f",
        **WIDE,
    )
    out = W.HTML()

    def drawn():
        case = cases[which.value]
        if delta.max != case["reach"]:
            delta.value = 0
            delta.min, delta.max, delta.step = -case["reach"], case["reach"], case["reach"] / 200
        return pushed(which.value, case, delta.value)

    live((which, delta), out, drawn)
    box = W.VBox([which, delta, out])
    box.add_class("rsnl-push")
    case = list(cases.values())[min(1, len(cases) - 1)]
    ticks = np.linspace(-case["reach"], case["reach"], 301)
    still = theorem_figures.one_dimension(
        ticks, case["f_S"](ticks), case["f_T"](ticks), case["ratio"], case["slope"]
    )
    show(box, palette.png(still), "[live: drag delta through " + ", ".join(cases) + "]")


class Plane:
    """One pair of networks on the plane through x[i] along two axes; answers are kept, so that a
    slider only redraws.
    """

    def __init__(self, net_S, net_T, x, y, axes, reach, k=81):
        self.pair, self.x, self.y, self.axes, self.reach, self.k, self.known = (
            (net_S, net_T),
            x.double(),
            y,
            axes.double(),
            reach,
            k,
            {},
        )

    def kept(self, key, make):
        if key not in self.known:
            self.known[key] = make()
        return self.known[key]

    def nets(self, i):
        return self.kept(
            ("nets", i),
            lambda: [theorem.in_plane(net, self.x[i : i + 1], self.axes) for net in self.pair],
        )

    def side(self, i):
        """Half the side of the square shown for example i: the nearest flip lies well inside it."""
        return min(max(3 * self.answers(i, 2)["flip"][1], self.reach / 20), self.reach)

    @torch.no_grad()
    def field(self, i):
        """h in logits on k x k points of the square, (k, k)."""

        def make():
            ticks = torch.linspace(-self.side(i), self.side(i), self.k, dtype=torch.float64)
            points = torch.cartesian_prod(ticks, ticks)
            h = theorem.head_start(*self.nets(i), self.y[i : i + 1].expand(len(points)))(points)
            return h.view(self.k, self.k).numpy()

        return self.kept(("field", i), make)

    def answers(self, i, p):
        """m, exact flip distance, and the sound integral radius, in the norm dual to p."""

        def make():
            nets, zero, y = self.nets(i), torch.zeros(1, 2, dtype=torch.float64), self.y[i : i + 1]
            truth = theorem.flip_in_plane(*nets, y, geometry.DUAL[p], reach=self.reach)
            return {
                "m": float(theorem.sound_lead(*nets, zero, y)),
                "flip": truth,
                "integral": float(theorem.sound_radii(*nets, zero, y, p=p)[1]),
            }

        return self.kept(("answers", i, p), make)

    def gap(self, i, p, R):
        """A sound bound of G(R) on the plane."""
        zero = torch.zeros(1, 2, dtype=torch.float64)
        return self.kept(
            ("gap", i, p, R),
            lambda: float(
                sound_interval(
                    *self.nets(i),
                    zero,
                    self.y[i : i + 1],
                    torch.tensor([R], dtype=torch.float64),
                    p,
                )
            ),
        )

    def view(self, i, p, R):
        """The HTML for example i, norm p and radius R."""
        a, G, q = self.answers(i, p), self.gap(i, p, R), geometry.DUAL[p]
        ratio, (low, high) = max(a["m"], 0) / G, a["flip"]
        sure = min(R, ratio)
        h, side, scale = self.field(i), 360, 180 / self.side(i)
        ticks = np.linspace(-self.side(i), self.side(i), self.k)
        away = (
            np.linalg.norm(np.stack(np.meshgrid(ticks, ticks, indexing="ij")), q, axis=0) >= ratio
        )
        wrong = (h > 0) & away
        shade = np.where(h > 0, 0.08, 0.35) + 0.25 * (
            wrong & (np.add.outer(np.arange(self.k), np.arange(self.k)) % 6 < 2)
        )
        field = picture(shade.T[::-1], "who leads where on the plane", side)
        circles = "".join(
            self.ring(r * scale, q, colour, dash)
            for r, colour, dash in (
                (sure, LOOK["sound"], ""),
                (a["integral"], LOOK["sound"], "4 3"),
                (high, LOOK["flip"], ""),
            )
            if 0 < r < 2 * self.side(i)
        )
        share = wrong.sum() / max(away.sum(), 1)
        said = (
            f"m {a['m']:.3f}, bound of G(R) {G:.3f}, ratio {ratio:.3f}; certified min(R, ratio)"
            f" {sure:.3f}, integral {a['integral']:.3f}, exact flip {low:.4f} to {high:.4f}"
            if high < math.inf
            else (
                f"m {a['m']:.3f}; certified {sure:.3f}, integral {a['integral']:.3f}; no flip in"
                " this square"
            )
        )
        return (
            '<div class="rsnl-view"><div'
            f' style="position:relative;width:{side}px;height:{side}px">{field}<svg role="img"'
            f' aria-label="{said}" width="{side}" height="{side}" viewBox="-180 -180 360 360"'
            f' style="position:absolute;left:0;top:0">{circles}<path d="M-5 0h10M0-5v10"'
            f' stroke="#000"/></svg></div><div class="rsnl-note"><b>{said}.</b><br>Pale: the'
            " student leads; grey: the teacher. Blue: certified for this R (solid) and by the"
            " integral (dashed); black: exact distance of the smallest flip. Striped: Eq. 7 says"
            f" the teacher leads and is wrong, {share:.0%} of what lies outside the ratio. Side of"
            f" the square: {2 * self.side(i):.3f}.</div></div>"
        )

    @staticmethod
    def ring(r, q, colour, dash):
        look = f'fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"'
        if q == 2:
            return f'<circle r="{r:.1f}" {look}/>'
        if q == math.inf:
            return (
                f'<rect x="{-r:.1f}" y="{-r:.1f}" width="{2 * r:.1f}" height="{2 * r:.1f}" {look}/>'
            )
        return f'<path d="M{r:.1f} 0L0 {r:.1f}L{-r:.1f} 0L0 {-r:.1f}Z" {look}/>'


def plane(net_S, net_T, x, y, axes, reach=1.0):
    """The plane live: sliders for example, R, and the norm of the perturbation."""
    here = Plane(net_S, net_T, x, y, axes, reach)
    example = W.IntSlider(description="example", min=0, max=len(x) - 1, **WIDE)
    R = W.FloatLogSlider(
        description="R",
        value=0.1,
        base=10,
        min=-2.5,
        max=math.log10(positive("reach", reach)),
        step=0.05,
        readout_format=".3f",
        **WIDE,
    )
    norm = W.Dropdown(
        description="norm of delta",
        options={"q = 2": 2, "q = inf": 1, "q = 1": math.inf},
        style={"description_width": "130px"},
        layout=W.Layout(width="480px"),
    )
    out = W.HTML()

    live((example, R, norm), out, lambda: here.view(example.value, norm.value, R.value))
    box = W.VBox([example, R, norm, out])
    box.add_class("rsnl-plane")
    a, G = here.answers(0, 2), here.gap(0, 2, 0.1)
    still = theorem_figures.plane(
        here.field(0),
        here.side(0),
        a["m"] / G,
        {
            "certified, R = 0.1:": ("sound", min(0.1, a["m"] / G)),
            "exact flip:": ("flip", a["flip"][1]),
        },
    )
    show(
        box,
        palette.png(still),
        "[live: example, R and norm over the plane with certified disc and exact flip]",
    )


def signed(pixels, scale, alt, side=112):
    """An <img> of signed values (h, w): orange above zero, white at zero, blue below, full colour
    at `scale`.
    """
    v = np.clip(np.asarray(pixels) / max(scale, 1e-12), -1, 1)[..., None]
    ends = np.where(v > 0, np.array([213, 94, 0]), np.array([0, 114, 178]))
    coloured = (255 + np.abs(v) * (ends - 255)).round().astype(np.uint8)
    return (
        f'<figure style="margin:0">{img(coloured, alt, side)}<figcaption'
        f' style="font-size:11px">{html.escape(alt)}</figcaption></figure>'
    )


def worst_way(net_S, net_T, x, y, reach, k=41):
    """(g_S, g_T, t, u): input gradients of one image x (1, ...) and, along -grad h, both networks'
    u = logit(f) (k, 2).
    """
    g_S, g_T = (
        theorem.gradient(lambda z: geometry.height(net(z), y), x)[1] for net in (net_S, net_T)
    )
    v = -(g_S - g_T) / geometry.like(geometry.norm(g_S - g_T).clamp_min(1e-12), x)
    t = torch.linspace(0, reach, k, dtype=x.dtype)
    with torch.no_grad():
        u = torch.stack(
            [
                geometry.height(net(x + geometry.like(t, x) * v), y.expand(k))
                for net in (net_S, net_T)
            ],
            1,
        )
    return g_S, g_T, t, u


def example_view(nets, x, y, method, reach):
    """The HTML of one image x (1, 1, h, w): picture, gradients of student and teacher, their gap,
    both logits along the worst way.
    """
    g_S, g_T, t, u = worst_way(nets[method], nets["teacher"], x, y, reach)
    scale, behind, f = (
        float(torch.maximum(g_S.abs().max(), g_T.abs().max())),
        (u[:, 0] <= u[:, 1]).nonzero(),
        torch.sigmoid(u[0]),
    )
    where = (
        "leads all the way"
        if not len(behind)
        else (
            "is behind from the start"
            if behind[0, 0] == 0
            else f"is overtaken after {t[behind[0, 0]]:.3f}"
        )
    )
    said = (
        f"the {palette.style(method)['label'].replace('$', '')} student {where}; f_S {f[0]:.4f},"
        f" f_T {f[1]:.4f}, head start {f[0] - f[1]:+.2e}, in logits {u[0, 0] - u[0, 1]:+.3f};"
        f" slopes: student {geometry.norm(g_S)[0]:.2f}, teacher {geometry.norm(g_T)[0]:.2f}, gap"
        f" {geometry.norm(g_S - g_T)[0]:.2f}"
    )
    images = "".join(
        signed(g[0, 0], scale, a)
        for g, a in (
            (g_S, "student's gradient"),
            (g_T, "teacher's gradient"),
            (g_S - g_T, "their gap"),
        )
    )
    low, high = math.floor(float(u.min())), math.ceil(float(u.max()))
    plot = graph(
        [
            (palette.style(method)["color"], "", t.numpy(), u[:, 0].numpy()),
            (palette.style("teacher")["color"], "6 3", t.numpy(), u[:, 1].numpy()),
        ],
        x_range=(0, reach),
        y_range=(low, max(high, low + 1)),
        size=(520, 200),
        said=said,
    )
    seen = picture(x[0, 0], f"a {int(y)} as the networks see it", 112)
    return (
        '<div class="rsnl-view"><div'
        f' style="display:flex;gap:12px;align-items:start">{seen}{images}</div><div'
        f' class="rsnl-note"><b>{html.escape(said)}.</b></div>{plot}<div class="rsnl-note">Logit of'
        " the true class's score along the steepest way down for the head start (student solid,"
        " teacher dashed); below: length of the push.</div></div>"
    )


def examples(nets, x, y, reach=1.0, method="robust"):
    """Pick an image, a student and a noise level; nets {method: module} with "teacher", x (n, 1, h,
    w), y (n,).
    """
    (
        one_of("network", "teacher", nets),
        one_of("method", method, [m for m in nets if m != "teacher"]),
    )
    positive("reach", reach), checks.images(x[:1])
    nets, x = {m: theorem.exact(net) for m, net in nets.items()}, x.double()
    names = {"style": {"description_width": "130px"}, "layout": W.Layout(width="480px")}
    image = W.IntSlider(description="image", min=0, max=len(x) - 1, **WIDE)
    student = W.Dropdown(
        description="student",
        options={palette.style(m)["label"].replace("$", ""): m for m in nets if m != "teacher"},
        value=method,
        **names,
    )
    noise = W.Dropdown(
        description="noise (dB)",
        options={"none": None, "20": 20, "10": 10, "5": 5, "0": 0},
        **names,
    )
    length = W.FloatSlider(
        description="length of the push",
        value=reach,
        min=reach / 5,
        max=3 * reach,
        step=reach / 20,
        **WIDE,
    )
    out = W.HTML()

    def drawn():
        here, label = x[image.value : image.value + 1], y[image.value : image.value + 1]
        if noise.value is not None:
            here = perturb.gaussian(
                here, float(noise.value), torch.Generator().manual_seed(image.value)
            )
        return example_view(nets, here, label, student.value, length.value)

    live((image, student, noise, length), out, drawn)
    box = W.VBox([image, student, noise, length, out])
    box.add_class("rsnl-examples")
    g_S, g_T, t, u = worst_way(nets[method], nets["teacher"], x[:1], y[:1], reach)
    still = theorem_figures.example(x[0, 0], g_S[0, 0], g_T[0, 0], t, u, method)
    show(
        box,
        palette.png(still),
        "[live: image, student, noise and length of the push over gradients and both scores]",
    )
