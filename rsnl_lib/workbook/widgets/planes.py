"""Live: a plane through an example, who leads where on it, and what is certified (chapter 01)."""

import functools
import math

import ipywidgets as W
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from ... import geometry, theorem
from ...checks import positive
from .. import theorem_figures
from .base import grey_image, stage
from .svg import svg

LOOK = {name: kind["color"] for name, kind in theorem_figures.KIND_LOOKS.items()}
SIDE = 360  # pixels of the square shown
ZERO = torch.zeros(1, 2, dtype=torch.float64)
K = 81  # points of a side at which the head start is drawn
STEPS_OUT = 64  # of the distance to the flip, for the integral


class Plane:
    """Two networks on the plane through one example x (1, ...) of class y (1,) along two axes."""

    def __init__(self, net_S: nn.Module, net_T: nn.Module, x, y, axes, reach: float):
        x, axes = x.double(), axes.double()
        self.nets = [theorem.in_plane(net, x, axes) for net in (net_S, net_T)]
        self.y = y
        self.reach = reach
        self.answers = functools.cache(self.answers)
        self.gap = functools.cache(self.gap)

    @functools.cached_property
    def side(self) -> float:
        """Half the side of the square shown: the nearest flip lies well inside it."""
        return min(max(3 * self.answers(2)["flip"][1], self.reach / 20), self.reach)

    @torch.no_grad()
    def head_starts(self, side: float) -> np.ndarray:
        """h in logits on K x K points of the square of half a side `side`, (K, K)."""
        ticks = torch.linspace(-side, side, K, dtype=torch.float64)
        points = torch.cartesian_prod(ticks, ticks)
        h = theorem.head_start(*self.nets, self.y.expand(len(points)))(points)
        return h.view(K, K).numpy()

    @functools.cached_property
    def field(self) -> np.ndarray:
        """h in logits on the square shown, (K, K)."""
        return self.head_starts(self.side)

    @functools.cached_property
    def coarse(self) -> np.ndarray:
        """h in logits on all that is searched, (K, K): it says how far to look closely."""
        return self.head_starts(self.reach)

    def flip(self, q: float) -> tuple[float, float]:
        """(low, high), exact: searched closely no farther than the nearest flip of a coarse grid,
        whose square holds the ball up to there in every norm.
        """
        ticks = np.linspace(-self.reach, self.reach, K)
        away = np.linalg.norm(np.stack(np.meshgrid(ticks, ticks, indexing="ij")), q, axis=0)
        nearest = away[self.coarse <= 0].min(initial=math.inf)
        reach = min(1.1 * nearest + 1e-6, self.reach)
        return theorem.flip_in_plane(*self.nets, self.y, q, reach=reach)

    def answers(self, p: float) -> dict:
        """m, exact flip distance, and a sound integral radius, in the norm dual to p."""
        low, high = self.flip(geometry.DUAL[p])
        m = theorem.sound_lead(*self.nets, ZERO, self.y)
        k = STEPS_OUT
        radii = min(high, 2 * self.reach) * torch.arange(1, k + 1).double() / k
        centres, labels = ZERO.expand(k, 2), self.y.expand(k)
        G = theorem.sound_interval(*self.nets, centres, labels, radii, p)
        integral = theorem.profile_radii(m, radii[:, None], G[:, None])[1]
        return {"m": float(m), "flip": (low, high), "integral": float(integral) * (1 - 1e-9)}

    def gap(self, p: float, R: float) -> float:
        """A sound bound of G(R) on the plane."""
        radius = torch.tensor([R], dtype=torch.float64)
        return float(theorem.sound_interval(*self.nets, ZERO, self.y, radius, p))

    def shade(self, q: float, ratio: float) -> tuple[np.ndarray, float]:
        """The square in greys (K, K), striped where Eq. 7 errs; the errors' share past `ratio`."""
        ticks = np.linspace(-self.side, self.side, K)
        places = np.stack(np.meshgrid(ticks, ticks, indexing="ij"))
        away = np.linalg.norm(places, q, axis=0) >= ratio
        leads = self.field > 0
        wrong = leads & away
        stripes = np.add.outer(np.arange(K), np.arange(K)) % 6 < 2
        greys = np.where(leads, 0.08, 0.35) + 0.25 * (wrong & stripes)
        return greys.T[::-1], wrong.sum() / max(away.sum(), 1)

    def view(self, R: float, p: float) -> str:
        """The HTML for radius R and norm p."""
        a = self.answers(p)
        q = geometry.DUAL[p]
        G = self.gap(p, R)
        ratio = max(a["m"], 0) / G
        sure = min(R, ratio)
        low, high = a["flip"]
        greys, share = self.shade(q, ratio)
        rings = (
            (sure, LOOK["sound"], ""),
            (a["integral"], LOOK["sound"], "4 3"),
            (high, LOOK["flip"], ""),
        )
        inside = ""
        for r, colour, dash in rings:
            if 0 < r < 2 * self.side:
                inside += ring(r * (SIDE / 2 / self.side), q, colour, dash)
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
        field = grey_image(greys, "who leads where on the plane", SIDE)
        return (
            f'<div style="position:relative;width:{SIDE}px;height:{SIDE}px">{field}'
            f'{svg(said, SIDE, SIDE, inside, over)}</div><div class="rsnl-note"><b>{said}.</b><br>'
            "Pale: the student leads; grey: the teacher. Blue: certified for this R (solid) and by"
            " the integral (dashed); black: exact distance of the smallest flip. Striped: Eq. 7"
            f" says the teacher leads and is wrong, {share:.0%} of what lies outside the ratio."
            f" Side of the square: {2 * self.side:.3f}.</div>"
        )


def ring(r: float, q: float, colour: str, dash: str) -> str:
    """The ball of radius r around 0 in the norm q as an SVG outline."""
    look = f'fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"'
    if q == 2:
        return f'<circle r="{r:.1f}" {look}/>'
    if q == math.inf:
        return f'<rect x="{-r:.1f}" y="{-r:.1f}" width="{2 * r:.1f}" height="{2 * r:.1f}" {look}/>'
    return f'<path d="M{r:.1f} 0L0 {r:.1f}L{-r:.1f} 0L0 {-r:.1f}Z" {look}/>'


def plane(
    net_S: nn.Module, net_T: nn.Module, x: Tensor, y: Tensor, axes: Tensor, reach: float = 1.0
) -> None:
    """The plane live: sliders for example, R, and the norm of the perturbation; x (n, ...), y (n,),
    axes (2, ...).
    """
    at = functools.cache(lambda i: Plane(net_S, net_T, x[i : i + 1], y[i : i + 1], axes, reach))
    scale = {"min": -2.5, "max": math.log10(positive("reach", reach)), "step": 0.05}
    norms = {"straight line, q = 2": 2, "largest pixel, q = inf": 1, "sum, q = 1": math.inf}
    which = W.IntSlider(description="image", min=0, max=len(x) - 1)
    radius = W.FloatLogSlider(description="radius R", value=0.1, readout_format=".3f", **scale)
    norm = W.Dropdown(description="push measured by", options=norms)
    controls = [which, radius, norm]
    busy = W.Label()
    for control in controls:  # seen before the new picture: `stage` adds its observer later
        control.observe(lambda _: busy.set_trait("value", f"image {which.value}: at work"), "value")
    still, words = _still(at(0)), "image, R and norm over the plane with disc and exact flip"

    def draw(i, R, p):
        try:
            return f"<b>Image {i}.</b> {at(i).view(R, p)}"
        finally:
            busy.value = f"image {i}: done"

    stage("plane", controls, draw, still, words, (130, 480), [*controls, busy])


def _still(first: Plane) -> Figure:
    """What readers without a kernel see: the plane at R = 0.1."""
    a = first.answers(2)
    ratio = max(a["m"], 0) / first.gap(2, 0.1)
    circles = {
        "certified, R = 0.1:": ("sound", min(0.1, ratio)),
        "nearest flip, exact:": ("flip", a["flip"][1]),
    }
    return theorem_figures.plane_map(first.field, first.side, ratio, circles)
