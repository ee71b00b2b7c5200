"""The figures of the theorem's chapters (01, 04); like `figures`, each returns a closed Figure.

Colours say what holds. seaborn draws none of them: their curves and radii are no samples.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Patch
from numpy import ndarray
from pandas import DataFrame
from torch import Tensor

from . import palette
from .palette import GUIDE, add_legend, as_table, draw_image, panels, rank, style

# a bound, an estimate, and what is neither look different in every figure
KIND_LOOKS = {
    "sound": dict(color="#0072B2", ls="-", marker="o", label="sound"),
    "votes": dict(color="#009E73", ls="-.", marker="D", label="sound for the smoothed order"),
    "estimate": dict(color="#B8860B", ls="--", marker="^", label="an estimate"),
    "no bound": dict(color="#D55E00", ls=":", marker="x", mew=2, label="not a bound"),
    "flip": dict(color="#000000", ls="-", marker="s", label="found by attack"),
}
FLIP = "smallest flip found"  # the name of the attack's rows among the certificates


def one_dimension(
    delta: ndarray, f_S: ndarray, f_T: ndarray, ratio: float, slope: float, title: str = ""
) -> Figure:
    """Both scores along a line of perturbations, the head start's linear floor, Eq. 7's error."""
    fig, (ax,) = panels(1, 6.2, 3.2, title)
    h = f_S - f_T
    student = style("robust")["color"]
    ax.plot(delta, f_S, color=student, label="$f_S$, student")
    ax.plot(delta, f_T, color=style("teacher")["color"], label="$f_T$, teacher")
    ax.fill_between(delta, f_T, f_S, where=h > 0, color=student, alpha=0.12, lw=0)
    floor = f_T + np.clip(np.interp(0, delta, h) - slope * np.abs(delta), 0, None)
    inside = np.abs(delta) <= ratio
    sound = dict(color=KIND_LOOKS["sound"]["color"], lw=1.5)
    label = "at least here: $f_T + h(0) - G|\\delta|$"
    ax.plot(delta[inside], floor[inside], **sound, label=label)
    for edge in (-ratio, ratio):
        ax.axvline(edge, **GUIDE)
    wrong = (np.abs(delta) >= ratio) & (h > 0)
    hatch = dict(facecolor="none", edgecolor=KIND_LOOKS["no bound"]["color"], hatch="///", lw=0)
    label = "Eq. 7 says the teacher leads; it does not"
    ax.fill_between(delta, 0, 1, where=wrong, **hatch, alpha=0.5, label=label)
    ax.set(xlabel="perturbation $\\delta$", ylabel="score of the true class", ylim=(0, 1))
    add_legend(fig, 2 if title else 0)
    return fig


def radius_shares(rows: DataFrame, title: str = "") -> Figure:
    """Each certificate as a share of the smallest flip found (median, bar from 10 to 90 %), the
    kinds in the order of KIND_LOOKS.
    """
    rows = rows[rows.certificate != FLIP]
    rows = rows.sort_values(
        "kind", key=lambda kind: kind.map(list(KIND_LOOKS).index), kind="stable"
    )
    groups = rows.groupby("certificate", sort=False)
    fig, (ax,) = panels(1, 7.2, 1.0 + 0.36 * len(groups), title)
    ax.axvspan(1, 3, color=KIND_LOOKS["no bound"]["color"], alpha=0.1, lw=0)
    for i, (_, part) in enumerate(groups):
        share = part.value / part.flip
        low, middle, high = np.quantile(share, (0.1, 0.5, 0.9))
        look = KIND_LOOKS[part.kind.iloc[0]] | {"ms": 8}
        palette.draw_dot(ax, i, max(middle, 0.01), max(low, 0.01), min(high, 3), look)
        beyond = (share > 1).sum()
        more = f"   {beyond} of {len(share)} beyond" if beyond else ""
        ax.text(3.2, i, f"{middle:.2f}{more}", va="center", fontsize=8)
    xlabel = "radius / smallest flip found (bar: 10 to 90 %, mark: median)"
    ax.set(xscale="log", xlim=(0.01, 3), xlabel=xlabel)
    ticks = [0.01, 0.03, 0.1, 0.3, 1]
    ax.set_xticks(ticks, ticks)
    palette.name_rows(ax, list(groups.groups))
    kinds = [look | {"ls": ""} for kind, look in KIND_LOOKS.items() if kind in set(rows.kind)]
    add_legend(fig, 4, [Line2D([], [], **look) for look in kinds])
    return fig


def named_curves(x: Sequence[float], curves: dict, xlabel: str, ylabel: str, **more) -> Figure:
    """Curves {name: (kind or method, values)} over x, which runs as given; `more` for Axes.set."""
    title = more.pop("title", "")
    fig, (ax,) = panels(1, 6.2, 3.4 if title else 3.2, title)
    for name, (kind, values) in curves.items():
        look = KIND_LOOKS.get(kind) or style(kind)
        ax.plot(x, values, **look | {"label": name}, ms=4, lw=1.5)
    ax.set(xlabel=xlabel, ylabel=ylabel, **more)
    if "xscale" in more:
        ax.set_xticks(x, [f"{v:g}" for v in x])
        ax.minorticks_off()
    if x[0] > x[-1]:
        ax.invert_xaxis()
    add_legend(fig, 2 if title else 0)
    return fig


def plane_map(h: ndarray, reach: float, ratio: float, circles: dict) -> Figure:
    """Who leads where by the head start h (k, k) on a square of side 2 reach, hatched where Eq. 7
    errs; circles {label: (kind, radius)}.
    """
    fig, (ax,) = panels(1, 5.2, 5.4)
    ticks = np.linspace(-reach, reach, len(h))
    X, Y = np.meshgrid(ticks, ticks, indexing="ij")
    ax.contourf(X, Y, h > 0, levels=[-0.5, 0.5, 1.5], colors=["#d9d9d9", "#fbe3cd"])
    ax.contour(X, Y, h, levels=[0], colors=["#000000"], linewidths=1.2)
    wrong = (h > 0) & (np.hypot(X, Y) >= ratio)
    if wrong.any():
        ax.contourf(X, Y, wrong, levels=[0.5, 1.5], colors="none", hatches=["///"])
    hatch = dict(facecolor="none", hatch="///", edgecolor="#000000", lw=0)
    patches = [
        Patch(color="#fbe3cd", label="student leads"),
        Patch(color="#d9d9d9", label="teacher leads"),
        Patch(**hatch, label="Eq. 7 is wrong: student leads"),
    ]
    for name, (kind, radius) in circles.items():
        if radius < np.inf:
            own = dict(color=KIND_LOOKS[kind]["color"], ls=KIND_LOOKS[kind]["ls"], lw=1.8)
            ax.add_patch(Circle((0, 0), radius, fill=False, **own))
            patches.append(Line2D([], [], **own, label=f"{name} {radius:.3f}"))
    ax.plot([0], [0], "k+")
    ends = (-reach, reach)
    words = "principal direction"
    ax.set(xlabel=f"first {words}", ylabel=f"second {words}", xlim=ends, ylim=ends)
    ax.set_aspect("equal")
    add_legend(fig, 2, patches)
    return fig


def score_pairs(rows: Any, title: str = "") -> Figure:
    """The student's logit(f) against the teacher's, a panel a method: filled clean, black rings in
    noise. `rows`: of `theorem.margins`, or {method: such rows} (palette.as_table).

    Scores are stored to five digits: beyond a logit of 11 the teacher's are drawn at 11, the lead
    is exact.
    """
    rows = as_table(rows, "method", "f_T", "lead", "f_T_noisy", "lead_noisy")
    methods = [m for m in rank(rows.method.unique()) if m != "teacher"]
    fig, axes = panels(len(methods), 2.3, 2.7, title)
    ring = dict(color="#000000", marker="o", mfc="none", mew=0.6, label="ring: in noise")
    for ax, method in zip(axes, methods):
        part = rows[rows.method == method]
        ax.plot([-9, 20], [-9, 20], **GUIDE)
        clean = style(method) | {"label": "filled: clean"}
        for noise, look in (("_noisy", ring), ("", clean)):
            f_T = part[f"f_T{noise}"].clip(1e-7, 1 - 1.67e-5)
            u_T = np.log(f_T / (1 - f_T))
            ax.plot(u_T, u_T + part[f"lead{noise}"], ls="", ms=4, **look)
        ax.set(title=style(method)["label"], xlabel="teacher, logit $f_T$")
        ax.set(xlim=(-9, 12), ylim=(-9, 20))
    axes[0].set_ylabel("student, logit $f_S$")
    add_legend(fig, 2, axes[0].get_legend_handles_labels()[0] if methods else ())
    return fig


def example(picture: Tensor, g_S: Tensor, g_T: Tensor, t: Tensor, f: Tensor, method: str) -> Figure:
    """One image, both input gradients and their gap on one scale, their lengths below, both logits
    f (k, 2) along t; the title says m, G and m / G.
    """
    said = {"student's gradient": g_S, "teacher's gradient": g_T, "their gap": g_S - g_T}
    m, G = float(f[0, 0] - f[0, 1]), float((g_S - g_T).norm())
    title = f"{style(method)['label']}: m = {m:+.2f}, G = {G:.2f}, m/G = {m / max(G, 1e-12):+.3f}"
    fig, axes = panels(5, 2.3, 2.6, title)
    top = float(max(abs(g_S).max(), abs(g_T).max()))
    draw_image(axes[0], picture)
    axes[0].set_title("the image", fontsize=9)
    for ax, (name, g) in zip(axes[1:4], said.items()):
        draw_image(ax, g, top)
        ax.set_title(name, fontsize=9)
        ax.set_xlabel(f"length {float(g.norm()):.2f}", fontsize=9)
    for ax in axes[:4]:
        ax.spines[:].set_visible(False)
    palette.signed_bar(fig, axes[1:4], "")
    last = axes[4]
    for who, u, ls in ((method, f[:, 0], "-"), ("teacher", f[:, 1], "--")):
        last.plot(t, u, ls=ls, color=style(who)["color"], label=style(who)["label"])
    last.set_xlabel("length of the push")
    last.set_title("logit of $f_S$ and of $f_T$", fontsize=9)
    last.legend(frameon=False, fontsize=8)
    return fig
