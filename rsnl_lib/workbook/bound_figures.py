"""Figures of chapter 01 that explain a bound: areas under G, two neurons, lengths of a push."""

import itertools

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Polygon, Rectangle
from numpy import ndarray

from .palette import GUIDE, add_legend, panels
from .theorem_figures import KIND_LOOKS

BLUE, ORANGE, GREEN = (KIND_LOOKS[kind]["color"] for kind in ("sound", "no bound", "votes"))
BLACK = "#000000"
SETTINGS_OF_TWO = np.array(list(itertools.product((0, 1), repeat=2)))  # of two ReLUs: flat or steep


def used_up(cases: dict) -> Figure:
    """G(s) over s, a panel each of {title: (G, m, r_fp, r_int)}: the rectangle m of the fixed
    point, and the area m under the curve up to the integral radius.
    """
    fig, axes = panels(len(cases), 3.7, 2.9)
    for ax, (title, (G, m, r_fp, r_int)) in zip(axes, cases.items()):
        s = np.linspace(0, 1.25 * r_int, 600)
        ax.plot(s, G(s), color=BLACK, lw=1.5)
        inside = s <= r_int
        ax.fill_between(s[inside], 0, G(s[inside]), color=BLUE, alpha=0.3, lw=0)
        ax.add_patch(Rectangle((0, 0), r_fp, m / r_fp, fill=False, ec=ORANGE, lw=1.8, ls="--"))
        top = 1.35 * max(m / r_fp, G(s).max())
        for r, name, color, side in ((r_fp, "fp", ORANGE, "right"), (r_int, "int", BLUE, "left")):
            ax.axvline(r, color=color, lw=1, ls=":")
            words = f" $r_{{{name}}}$ = {r:.3f} "
            ax.text(r, 0.9 * top, words, color=color, ha=side, fontsize=9)
        ax.set_title(title, fontsize=9)
        ax.set(
            xlabel="distance $s$", ylabel="steepest slope $G(s)$", ylim=(0, top), xlim=(0, s[-1])
        )
    return fig


def gradient_corners(W: ndarray, v: ndarray) -> ndarray:
    """The gradients v relu'(.) W of two neurons for the four settings of their slopes, (4, 2)."""
    return SETTINGS_OF_TWO @ (v[:, None] * W)


def two_neurons(W: ndarray, b: ndarray, v: ndarray, g_T: ndarray, R: float) -> Figure:
    """Left: where v relu(W x + b) has which gradient, and a ball around 0; right: the gradients
    themselves, what an interval and what one slope a neuron allow, and how far from g_T.
    """
    fig, (left, right) = panels(2, 3.9, 3.7)
    _draw_pixels(left, W, b, v, R)
    corners = gradient_corners(W, v)
    low, high = corners.min(0), corners.max(0)
    right.add_patch(Rectangle(low, *(high - low), fc=BLACK, alpha=0.15, lw=0))
    right.add_patch(Rectangle(low, *(high - low), fill=False, ec=BLACK, lw=1.5, ls="--"))
    turn = np.arctan2(*(corners - corners.mean(0)).T[::-1]).argsort()
    right.add_patch(Polygon(corners[turn], fc=BLUE, alpha=0.3, ec=BLUE, lw=1.5))
    right.plot(*corners.T, "o", color=BLACK, ms=5)
    right.plot(*g_T, "X", color=ORANGE, ms=9, zorder=5)
    box = np.array(list(itertools.product(*zip(low, high))))
    reaches = (
        (box, BLACK, "interval: a corner of the box"),
        (corners, BLUE, "LipSDP: a corner of the diamond"),
    )
    for points, color, name in reaches:
        away = np.linalg.norm(points - g_T, axis=1)
        far = points[np.flatnonzero(away > away.max() - 1e-9)[-1]]
        label = f"{name}, {away.max():.2f} from the teacher"
        right.plot(*np.stack([g_T, far]).T, color=color, lw=2.5, label=label)
    right.annotate("teacher", g_T, (0, -16), textcoords="offset points", color=ORANGE, ha="center")
    right.set_title("which gradients each bound has to allow", fontsize=9)
    right.set(xlabel="gradient, pixel 1", ylabel="gradient, pixel 2")
    right.set(xlim=(low[0] - 0.4, high[0] + 0.4), ylim=(low[1] - 0.4, high[1] + 0.4))
    add_legend(fig, 2)
    for ax in (left, right):
        ax.set_aspect("equal")
    return fig


def _draw_pixels(ax, W, b, v, R):
    """The plane of two pixels: a tint for each setting of the slopes, its gradient, the ball."""
    side = 1.25 * R
    ticks = np.linspace(-side, side, 301)
    points = np.stack(np.meshgrid(ticks, ticks), -1)
    steep = points @ W.T + b > 0
    ax.contourf(ticks, ticks, steep.sum(-1), levels=[-0.5, 0.5, 1.5, 2.5], colors=TINTS)
    for k in range(2):
        ax.contour(ticks, ticks, points @ W[k] + b[k], levels=[0], colors=BLACK, linewidths=1)
    for slopes, g in zip(SETTINGS_OF_TWO, gradient_corners(W, v)):
        here = points[(steep == slopes).all(-1)]
        here = here[np.linalg.norm(here, axis=1) < R]
        if len(here):
            words = f"gradient\n({g[0]:g}, {g[1]:g})"
            ax.text(*here.mean(0), words, ha="center", va="center", fontsize=8)
    ax.add_patch(Circle((0, 0), R, fill=False, ec=BLUE, lw=2))
    ax.plot([0], [0], "k+")
    ax.set_title("where the neurons are flat or steep", fontsize=9)
    ax.set(xlabel="pixel 1", ylabel="pixel 2", xlim=(-side, side), ylim=(-side, side))


TINTS = ["#FFFFFF", "#E6E6E6", "#C8C8C8"]  # no, one, two neurons steep


def push_lengths(times: tuple, shares: dict, title: str) -> Figure:
    """Shares (%) of pushes that contradict Eq. 7, {direction: (k,)}, over length / ratio."""
    fig, (ax,) = panels(1, 6.2, 3.0, title)
    looks = zip((BLUE, GREEN, ORANGE), "oDx", ("-", "-.", ":"))
    for (name, values), (color, mark, line) in zip(shares.items(), looks):
        ax.plot(times, values, color=color, marker=mark, ls=line, lw=1.5, label=name)
    ax.axhline(0, **GUIDE)
    ax.set(xscale="log", ylim=(-3, 104), xlabel="length of the push / ratio of Eq. 7")
    ax.set_ylabel("student still leads (%)")
    ax.set_xticks(times, [f"{v:g}" for v in times])
    ax.minorticks_off()
    ax.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(0.3, 0.5))
    return fig


def share_of_truth(distances: tuple, curves: dict, title: str) -> Figure:
    """Radii as shares of the true distance of the flip, {name: (kind, shares)}, over it."""
    fig, (ax,) = panels(1, 6.2, 3.2, title)
    for (name, (kind, shares)), mark in zip(curves.items(), "xosv"):
        look = KIND_LOOKS[kind] | dict(marker=mark, lw=1.5, label=name)
        ax.plot(distances, shares, **look)
        spot = (distances[-1] * 1.06, shares[-1])
        ax.annotate(name, spot, color=look["color"], fontsize=8, va="center")
    ax.set(xscale="log", yscale="log", xlim=(0.9, 2.2 * distances[-1]))
    ax.set_xticks(distances, [f"{u:g}" for u in distances])
    ax.set_yticks([0.25, 1, 10, 100], ["0.25", "1", "10", "100"])
    ax.minorticks_off()
    ax.set(xlabel="true distance $u$ of the flip", ylabel="radius / true distance")
    return fig
