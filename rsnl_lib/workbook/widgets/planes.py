"""Live: a plane through an example, who leads where on it, and what is certified (chapter 01)."""

import math

import ipywidgets as W
import numpy as np
import torch

from ... import geometry, theorem
from ...checks import positive
from ...theorem.interval import sound_interval
from .. import theorem_figures
from .base import picture, stage, wide
from .svg import svg

LOOK = {name: kind["color"] for name, kind in theorem_figures.KIND_LOOKS.items()}
SIDE = 360  # pixels of the square shown
ZERO = torch.zeros(1, 2, dtype=torch.float64)


class Plane:
    """One pair of networks on the plane through x[i] along two axes; answers are kept, so that a
    slider only redraws.
    """

    def __init__(self, net_S, net_T, x, y, axes, reach: float, k: int = 81):
        self.pair = (net_S, net_T)
        self.x = x.double()
        self.y = y
        self.axes = axes.double()
        self.reach = reach
        self.k = k
        self.known = {}

    def kept(self, key, make):
        if key not in self.known:
            self.known[key] = make()
        return self.known[key]

    def nets(self, i: int) -> list:
        """Student and teacher as functions on the plane."""
        here = self.x[i : i + 1]
        return self.kept(
            ("nets", i), lambda: [theorem.in_plane(net, here, self.axes) for net in self.pair]
        )

    def side(self, i: int) -> float:
        """Half the side of the square shown for example i: the nearest flip lies well inside it."""
        return min(max(3 * self.answers(i, 2)["flip"][1], self.reach / 20), self.reach)

    @torch.no_grad()
    def field(self, i: int) -> np.ndarray:
        """h in logits on k x k points of the square, (k, k)."""

        def make():
            ticks = torch.linspace(-self.side(i), self.side(i), self.k, dtype=torch.float64)
            points = torch.cartesian_prod(ticks, ticks)
            h = theorem.head_start(*self.nets(i), self.y[i : i + 1].expand(len(points)))(points)
            return h.view(self.k, self.k).numpy()

        return self.kept(("field", i), make)

    def answers(self, i: int, p: float) -> dict:
        """m, exact flip distance, and the sound integral radius, in the norm dual to p."""

        def make():
            nets = self.nets(i)
            y = self.y[i : i + 1]
            return {
                "m": float(theorem.sound_lead(*nets, ZERO, y)),
                "flip": theorem.flip_in_plane(*nets, y, geometry.DUAL[p], reach=self.reach),
                "integral": float(theorem.sound_radii(*nets, ZERO, y, p=p)[1]),
            }

        return self.kept(("answers", i, p), make)

    def gap(self, i: int, p: float, R: float) -> float:
        """A sound bound of G(R) on the plane."""

        def make():
            radius = torch.tensor([R], dtype=torch.float64)
            return float(sound_interval(*self.nets(i), ZERO, self.y[i : i + 1], radius, p))

        return self.kept(("gap", i, p, R), make)

    def shaded(self, i: int, q: float, ratio: float):
        """The square in greys (k, k), striped where Eq. 7 is wrong, and the share of what lies
        outside `ratio` where it is.
        """
        h = self.field(i)
        ticks = np.linspace(-self.side(i), self.side(i), self.k)
        places = np.stack(np.meshgrid(ticks, ticks, indexing="ij"))
        away = np.linalg.norm(places, q, axis=0) >= ratio
        wrong = (h > 0) & away
        stripes = np.add.outer(np.arange(self.k), np.arange(self.k)) % 6 < 2
        shade = np.where(h > 0, 0.08, 0.35) + 0.25 * (wrong & stripes)
        return shade.T[::-1], wrong.sum() / max(away.sum(), 1)

    def view(self, i: int, p: float, R: float) -> str:
        """The HTML for example i, norm p and radius R."""
        a = self.answers(i, p)
        G = self.gap(i, p, R)
        q = geometry.DUAL[p]
        ratio = max(a["m"], 0) / G
        sure = min(R, ratio)
        low, high = a["flip"]
        shade, share = self.shaded(i, q, ratio)
        rings = (
            (sure, LOOK["sound"], ""),
            (a["integral"], LOOK["sound"], "4 3"),
            (high, LOOK["flip"], ""),
        )
        inside = ""
        for r, colour, dash in rings:
            if 0 < r < 2 * self.side(i):
                inside += ring(r * (SIDE / 2 / self.side(i)), q, colour, dash)
        inside += '<path d="M-5 0h10M0-5v10" stroke="#000"/>'
        if high < math.inf:
            said = (
                f"m {a['m']:.3f}, bound of G(R) {G:.3f}, ratio {ratio:.3f}; certified min(R, ratio)"
                f" {sure:.3f}, integral {a['integral']:.3f}, exact flip {low:.4f} to {high:.4f}"
            )
        else:
            said = (
                f"m {a['m']:.3f}; certified {sure:.3f}, integral {a['integral']:.3f}; no flip in"
                " this square"
            )
        over = ' viewBox="-180 -180 360 360" style="position:absolute;left:0;top:0"'
        field = picture(shade, "who leads where on the plane", SIDE)
        return (
            '<div class="rsnl-view"><div'
            f' style="position:relative;width:{SIDE}px;height:{SIDE}px">{field}'
            f'{svg(said, SIDE, SIDE, inside, over)}</div><div class="rsnl-note"><b>{said}.</b><br>'
            "Pale: the student leads; grey: the teacher. Blue: certified for this R (solid) and by"
            " the integral (dashed); black: exact distance of the smallest flip. Striped: Eq. 7"
            f" says the teacher leads and is wrong, {share:.0%} of what lies outside the ratio."
            f" Side of the square: {2 * self.side(i):.3f}.</div></div>"
        )


def ring(r: float, q: float, colour: str, dash: str) -> str:
    """The ball of radius r around 0 in the norm q as an SVG outline."""
    look = f'fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"'
    if q == 2:
        return f'<circle r="{r:.1f}" {look}/>'
    if q == math.inf:
        return f'<rect x="{-r:.1f}" y="{-r:.1f}" width="{2 * r:.1f}" height="{2 * r:.1f}" {look}/>'
    return f'<path d="M{r:.1f} 0L0 {r:.1f}L{-r:.1f} 0L0 {-r:.1f}Z" {look}/>'


def plane(net_S, net_T, x, y, axes, reach: float = 1.0) -> None:
    """The plane live: sliders for example, R, and the norm of the perturbation."""
    here = Plane(net_S, net_T, x, y, axes, reach)
    look = wide(130, 480)
    example = W.IntSlider(description="example", min=0, max=len(x) - 1, **look)
    R = W.FloatLogSlider(
        description="R",
        value=0.1,
        min=-2.5,
        max=math.log10(positive("reach", reach)),
        step=0.05,
        readout_format=".3f",
        **look,
    )
    norms = {"q = 2": 2, "q = inf": 1, "q = 1": math.inf}
    norm = W.Dropdown(description="norm of delta", options=norms, **look)
    a = here.answers(0, 2)
    ratio = a["m"] / here.gap(0, 2, 0.1)
    circles = {
        "certified, R = 0.1:": ("sound", min(0.1, ratio)),
        "exact flip:": ("flip", a["flip"][1]),
    }
    still = theorem_figures.plane_map(here.field(0), here.side(0), ratio, circles)
    words = "example, R and norm over the plane with certified disc and exact flip"
    stage("plane", (example, R, norm), lambda i, r, p: here.view(i, p, r), still, words)
