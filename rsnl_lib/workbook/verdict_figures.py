"""Chapter 09: one paired comparison, dots teacher by teacher, bounds beside resistance."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from ..measure import inference
from . import palette


def paired_seeds(pairs: dict, names: Sequence[str], matters: float, title: str = "") -> Figure:
    """{seed: (accuracy of a, of b)} in %: on the left a line a seed from b to a, on the right the
    differences with their mean and 95 % interval over a band of what would not matter.
    """
    fig, (left, right) = palette.panels(2, 3.9, 3.0, title)
    a, b = (palette.style(name) for name in names)
    for seed, (of_a, of_b) in pairs.items():
        left.plot([0, 1], [of_b, of_a], color="#999999", lw=1)
        left.annotate(f"seed {seed}", (1.06, of_a), fontsize=7, va="center", annotation_clip=False)
    for place, look, side in ((0, b, 1), (1, a, 0)):
        left.plot([place] * len(pairs), [v[side] for v in pairs.values()], **look | {"ls": ""})
    left.set(xlim=(-0.3, 1.35), xticks=[0, 1], xticklabels=[b["label"], a["label"]])
    left.set_ylabel("test accuracy (%)")
    left.set_title("each seed: two students of one teacher", fontsize=9)
    effects = [of_a - of_b for of_a, of_b in pairs.values()]
    mean, low, high, _ = inference.paired(effects)
    right.axvspan(-matters, matters, color="#000000", alpha=0.1, lw=0)
    right.axvline(0, **palette.GUIDE)
    palette.draw_dot(right, 0, mean, low, high, a | dict(ms=9))
    right.plot(effects, [0.12] * len(effects), ls="", marker="|", color="#000000", ms=9)
    right.set(ylim=(0.5, -0.5), yticks=[], xlabel="difference (points)")
    right.set_title("differences, mean, interval; grey: would not matter", fontsize=9)
    return fig


def dot_rows(
    rows: dict[str, Sequence[float]],
    title: str = "",
    xlabel: str = "effect (percentage points)",
    looks: dict | None = None,
) -> Figure:
    """{words: values} as a row each: a dot a value, a bar at the mean; `looks` by words."""
    fig, (ax,) = palette.panels(1, 7.4, 0.9 + 0.27 * len(rows), title)
    ax.axvline(0, **palette.GUIDE)
    for row, (words, values) in enumerate(rows.items()):
        look = dict(color="#0072B2", marker="o") | (looks or {}).get(words, {})
        ax.plot(values, [row] * len(values), **look | dict(ls="", ms=6, alpha=0.8, label=words))
        mean = sum(values) / len(values)
        ax.plot([mean, mean], [row - 0.35, row + 0.35], color=look["color"], lw=2)
    palette.name_rows(ax, list(rows))
    ax.set_xlabel(xlabel)
    return fig


def bound_and_noise(bounds: Sequence[dict], gains: Sequence[dict], title: str = "") -> Figure:
    """Each method's gain in accuracy in noise (`gains`, claims.explore) against how much longer its
    bound is than KD's (`bounds`, claims.bounds), with both 95 % intervals.
    """
    fig, (ax,) = palette.panels(1, 6.4, 3.4, title)
    ax.axhline(0, **palette.GUIDE)
    ax.axvline(0, **palette.GUIDE)
    gained = {c["a"]: c for c in gains}
    for c in bounds:
        g, look = gained[c["a"]], palette.style(c["a"])
        thin = dict(color=look["color"], lw=3, alpha=0.35, solid_capstyle="butt")
        ax.plot([c["low"], c["high"]], [g["mean"]] * 2, **thin)
        ax.plot([c["mean"]] * 2, [g["low"], g["high"]], **thin)
        ax.plot([c["mean"]], [g["mean"]], ms=8, **look | {"ls": ""})
    ax.set_xlabel("median bound minus KD's (shorter left, longer right)")
    ax.set_ylabel("gain over KD in white noise (points)")
    palette.add_legend(fig, 4)
    return fig
