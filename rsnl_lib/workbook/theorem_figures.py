"""The figures of the theorem's chapters (01, 04); like `figures`, each returns a closed Figure.
Colours say what holds.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Patch
from pandas import DataFrame
from scipy.stats import spearmanr

from .palette import (
    GUIDE,
    draw_image,
    legend_below,
    legend_beside,
    look,
    mean_bar,
    panel,
    panels,
    rank,
    style,
)

# a bound, an estimate, and what is neither look different in every figure (colour, line, mark)
KINDS = {
    "sound": dict(color="#0072B2", ls="-", marker="o"),
    "votes": dict(color="#009E73", ls="-.", marker="D"),
    "estimate": dict(color="#B8860B", ls="--", marker="^"),
    "no bound": dict(color="#D55E00", ls=":", marker="x"),
    "flip": dict(color="#000000", ls="-", marker="s"),
}
WORDS = {
    "sound": "sound",
    "votes": "sound for the smoothed order",
    "estimate": "an estimate",
    "no bound": "not a bound",
    "flip": "found by attack",
}
FLIP = "smallest flip found"  # the name of the attack's rows among the certificates


def pen(kind: str) -> dict:
    """Colour and line of a kind."""
    return {k: KINDS[kind][k] for k in ("color", "ls")}


def dot(kind: str) -> dict:
    """Colour and mark of a kind, without a line."""
    return {**KINDS[kind], "ls": ""}


def one_dimension(
    delta: np.ndarray, f_S: np.ndarray, f_T: np.ndarray, ratio: float, slope: float
) -> Figure:
    """Scores of student and teacher along a line of perturbations, the head start's linear floor,
    and what Eq. 7 prints.
    """
    fig, ax = panel(6.2, 3.2)
    h = f_S - f_T
    student = style("robust")["color"]
    ax.plot(delta, f_S, color=student, label="$f_S$, student")
    ax.plot(delta, f_T, color=style("teacher")["color"], label="$f_T$, teacher")
    ax.fill_between(delta, f_T, f_S, where=h > 0, color=student, alpha=0.12, lw=0)
    floor = f_T + np.clip(np.interp(0, delta, h) - slope * np.abs(delta), 0, None)
    inside = np.abs(delta) <= ratio
    label = "at least here: $f_T + h(0) - G|\\delta|$"
    ax.plot(delta[inside], floor[inside], **pen("sound"), lw=1.5, label=label)
    for edge in (-ratio, ratio):
        ax.axvline(edge, **GUIDE)
    wrong = (np.abs(delta) >= ratio) & (h > 0)
    hatch = dict(facecolor="none", edgecolor=KINDS["no bound"]["color"], hatch="///", lw=0)
    label = "Eq. 7 says the teacher leads; it does not"
    ax.fill_between(delta, 0, 1, where=wrong, **hatch, alpha=0.5, label=label)
    ax.set(xlabel="perturbation $\\delta$", ylabel="score of the true class", ylim=(0, 1))
    legend_beside(fig)
    return fig


def gap_profile(R: np.ndarray, curves: dict, marks: dict, title: str = "") -> Figure:
    """m / G(R) against R for several bounds of G; a certificate is where a curve crosses the
    diagonal.

    curves: {name: (kind, values)}; marks: {name: radius}, drawn as vertical lines.
    """
    fig, ax = panel(6.8, 3.8)
    ax.plot(R, R, **GUIDE)
    for i, (name, (kind, values)) in enumerate(curves.items()):
        kw = dict(pen(kind), marker="osv^Dx"[i % 6], ms=4, lw=1.2)
        ax.plot(R, values, **kw, label=f"{name} ({WORDS[kind]})")
    side = dict(rotation=90, va="top", ha="right", fontsize=8)
    for name, radius in marks.items():
        ax.axvline(radius, color="#000000", lw=1, ls=":")
        ax.text(radius, 0.99, f" {name}", **side, transform=ax.get_xaxis_transform())
    ax.set(xlabel="radius $R$ of the ball", ylabel="$m / G(R)$", title=title)
    ax.set(xscale="log", yscale="log")
    legend_beside(fig)
    return fig


def ladder(rows: DataFrame, title: str = "") -> Figure:
    """Each certificate as a share of the smallest flip found, one box a certificate (10 to 90 %),
    the red zone beyond 1.
    """
    names = [n for n in dict.fromkeys(rows.certificate) if n != FLIP]
    fig, ax = panel(7.2, 0.9 + 0.36 * len(names))
    ax.axvspan(1, 3, color=KINDS["no bound"]["color"], alpha=0.1, lw=0)
    for i, name in enumerate(names):
        part = rows[rows.certificate == name]
        share = (part.value / part.flip).to_numpy()
        kind = part.kind.iloc[0]
        low, middle, high = np.quantile(share, (0.1, 0.5, 0.9))
        bar = dict(color=KINDS[kind]["color"], lw=6, alpha=0.35, solid_capstyle="butt")
        ax.plot([max(low, 0.01), min(high, 3)], [i, i], **bar)
        ax.plot([max(middle, 0.01)], [i], **dot(kind))
        beyond = int((share > 1).sum())
        more = f"   {beyond} of {len(share)} beyond" if beyond else ""
        ax.text(3.2, i, f"{middle:.2f}{more}", va="center", fontsize=8)
    xlabel = "radius / smallest flip found (bar: 10 to 90 %, mark: median)"
    ax.set(xscale="log", xlim=(0.01, 3), ylim=(len(names) - 0.5, -0.5), xlabel=xlabel, title=title)
    ticks = [0.01, 0.03, 0.1, 0.3, 1]
    ax.set_xticks(ticks, [f"{v:g}" for v in ticks])
    ax.set_yticks(range(len(names)), names, fontsize=8)
    kinds = [k for k in KINDS if k != "flip" and k in set(rows.kind)]
    legend_below(fig, 4, [Line2D([], [], **dot(k), label=WORDS[k]) for k in kinds])
    return fig


def sorted_radii(rows: DataFrame, shown: Sequence[str], title: str = "") -> Figure:
    """Radii of every example, sorted by the flip found: above its line no sound mark may lie."""
    fig, ax = panel(6.8, 3.2)
    flips = rows[rows.certificate == FLIP].set_index("image").value.sort_values()
    places = range(len(flips))
    for i, name in enumerate(shown):
        part = rows[rows.certificate == name]
        kind = part.kind.iloc[0]
        radii = part.set_index("image").value.reindex(flips.index)
        kw = dict(dot(kind), marker="^osvD"[i % 5], ms=3)
        ax.plot(places, radii, **kw, label=f"{name} ({WORDS[kind]})")
    ax.plot(places, flips, color="#000000", lw=1.5, label=FLIP)
    ax.set(yscale="log", xlabel="test images, sorted", ylabel="L2 radius", title=title)
    legend_beside(fig)
    return fig


def lines(
    x: Sequence[float],
    curves: dict,
    xlabel: str,
    ylabel: str,
    title: str = "",
    log: bool = False,
    ylim: tuple | None = None,
    invert: bool = False,
) -> Figure:
    """Named curves, {name: (kind or method, values)}, over x."""
    fig, ax = panel(6.2, 3.2)
    for name, (kind, values) in curves.items():
        kw = KINDS.get(kind) or look(kind)
        ax.plot(x, values, **kw, ms=4, lw=1.5, label=name)
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    if ylim:
        ax.set(ylim=ylim)
    if log:
        ax.set_xscale("log")
        ax.set_xticks(x, [f"{v:g}" for v in x])
        ax.minorticks_off()
    if invert:
        ax.invert_xaxis()
    legend_beside(fig)
    return fig


def plane(h: np.ndarray, reach: float, ratio: float, circles: dict, title: str = "") -> Figure:
    """The head start h (k, k) on a square of side 2 reach: who leads, discs {label: (kind,
    radius)}, hatched where Eq. 7 errs.
    """
    fig, ax = panel(6.4, 4.2)
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
        Patch(**hatch, label="Eq. 7 says teacher: wrong"),
    ]
    for name, (kind, radius) in circles.items():
        if radius < np.inf:
            kw = dict(pen(kind), fill=False, lw=1.8, label=f"{name} {radius:.3f}")
            patches.append(ax.add_patch(Circle((0, 0), radius, **kw)))
    ax.plot([0], [0], "k+")
    ends = (-reach, reach)
    ax.set(xlabel="first principal direction", ylabel="second", title=title)
    ax.set(aspect="equal", xlim=ends, ylim=ends)
    legend_beside(fig, patches)
    return fig


def score_pairs(rows: DataFrame, title: str = "") -> Figure:
    """The student's logit(f) against the teacher's, a panel a method: above the diagonal the
    student leads; clean, and (grey) noisy.

    Scores are stored to five digits, so beyond a logit of 11 the teacher's are drawn at 11; the
    lead above it is exact.
    """
    methods = [m for m in rank(rows.method.unique()) if m != "teacher"]
    fig, axes = panels(len(methods), 2.3, 2.7)
    grey = dict(color="#767676", marker=".", alpha=0.6)
    for ax, method in zip(axes[0], methods):
        part = rows[rows.method == method]
        ax.plot([-9, 20], [-9, 20], **GUIDE)
        for f_T, lead, kw in (
            (part.f_T_noisy, part.lead_noisy, grey),
            (part.f_T, part.lead, look(method)),
        ):
            f_T = f_T.clip(1e-7, 1 - 1.67e-5)
            u_T = np.log(f_T / (1 - f_T))
            ax.plot(u_T, u_T + lead, ls="", ms=3, **kw)
        ax.set(title=style(method)["label"], xlabel="teacher, logit $f_T$")
        ax.set(xlim=(-9, 12), ylim=(-9, 20))
    axes[0, 0].set_ylabel("student, logit $f_S$")
    fig.suptitle(title)
    return fig


def quantity_dots(table: DataFrame, quantities: dict, title: str = "") -> Figure:
    """One panel a quantity {column: label}: a dot a network, by method, a bar for the mean (table:
    a row a network).
    """
    methods = rank(table.method.unique())
    fig, axes = panels(len(quantities), 2.1, 0.9 + 0.3 * len(methods))
    for ax, (column, label) in zip(axes[0], quantities.items()):
        for i, method in enumerate(methods):
            values = table[table.method == method][column].dropna()
            ax.plot(values, [i] * len(values), ls="", **look(method), ms=4, alpha=0.7)
            if len(values):
                mean_bar(ax, values, i, style(method)["color"])
        ax.set(ylim=(len(methods) - 0.5, -0.5))
        names = [style(m)["label"] for m in methods] if ax is axes[0, 0] else []
        ax.set(yticks=range(len(methods)), yticklabels=names)
        ax.set_title(label, fontsize=9)
        ax.tick_params(labelsize=8)
    fig.suptitle(title, fontsize=10)
    return fig


def against_accuracy(table: DataFrame, quantities: dict, title: str = "") -> Figure:
    """Noise accuracy of every student against each quantity {column: label}, with Spearman's rank
    correlation.
    """
    fig, axes = panels(len(quantities), 2.6, 2.9)
    methods = rank(table.method.unique())
    for ax, (column, label) in zip(axes[0], quantities.items()):
        for method in methods:
            part = table[table.method == method]
            kw = dict(look(method), ls="", ms=4, alpha=0.8, label=style(method)["label"])
            ax.plot(part[column], part.accuracy, **kw)
        found = spearmanr(table[column], table.accuracy, nan_policy="omit")[0]
        ax.set(xlabel=label)
        ax.set_title(f"rank correlation {found:+.2f}", fontsize=9)
        ax.tick_params(labelsize=7, which="both")
    axes[0, 0].set_ylabel("accuracy in noise (%)")
    legend_below(fig, 7)
    fig.suptitle(title, fontsize=10)
    return fig


def example(picture, g_S, g_T, t: Sequence[float], f: np.ndarray, method: str) -> Figure:
    """One image, the input gradients of student and teacher and their gap on one scale, and both
    logits f (k, 2) along the worst way.
    """
    fig, axes = panels(5, 2.1, 2.3)
    *images, last = axes[0]
    g_S, g_T = np.asarray(g_S), np.asarray(g_T)
    top = max(abs(g_S).max(), abs(g_T).max())
    draw_image(images[0], picture)
    said = {"student's gradient": g_S, "teacher's gradient": g_T, "their gap": g_S - g_T}
    for ax, (title, g) in zip(images[1:], said.items()):
        draw_image(ax, g, top, "RdBu_r")
        ax.set_title(title, fontsize=9)
    for ax in images:
        ax.set(xticks=[], yticks=[])
    for i, who in enumerate((method, "teacher")):
        kw = dict(color=style(who)["color"], ls="--" if who == "teacher" else "-")
        last.plot(t, f[:, i], **kw, label=style(who)["label"])
    last.set(xlabel="length of the push")
    last.set_title("logit of the true score", fontsize=9)
    last.legend(frameon=False, fontsize=8)
    return fig
