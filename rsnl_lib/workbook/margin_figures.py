"""The figures of gradient lengths, gaps and margins (02, 04); each returns a closed Figure."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import ArrayLike
from pandas import DataFrame
from scipy.stats import spearmanr

from ..measure.inference import paired
from . import palette
from .palette import GUIDE, add_legend, panels, rank, style

PAIRS = {"digits_student": "convolutional", "digits_mlp_student": "fully connected"}
FILLS = (None, "white")  # of the first pair and of the second


def _fill_marks():
    """What a filled and a hollow mark say, for a legend."""
    look = dict(color="#000000", marker="o", ls="")
    known = zip(("filled", "hollow"), ("#000000", "white"), PAIRS.values())
    return [
        Line2D([], [], **look, mfc=fill, label=f"{how}: {pair} pair") for how, fill, pair in known
    ]


def log_pairs(
    points: dict[str, tuple[str, ArrayLike, ArrayLike]],
    xlabel: str,
    ylabel: str,
    title: str = "",
    diagonal: bool = True,
) -> Figure:
    """Two positive numbers an image on log axes, a panel for each {its title: (method, x, y)}: with
    `diagonal` on one scale, with the line on which the two are equal.
    """
    fig, axes = panels(len(points), 3.0, 3.1, title, sharex=diagonal, sharey=diagonal)
    for ax, (told, (method, *pair)) in zip(axes, points.items()):
        ax.plot(*pair, ls="", ms=4, alpha=0.8, **style(method))
        ax.set(xscale="log", yscale="log", xlabel=xlabel)
        ax.set_title(told, fontsize=9)
    axes[0].set_ylabel(ylabel)
    if diagonal:
        every = np.concatenate([np.asarray(v) for _, *pair in points.values() for v in pair])
        ends = (every[every > 0].min() / 1.3, every.max() * 1.3)
        for ax in axes:
            ax.plot(ends, ends, **GUIDE, zorder=0)
            ax.set(xlim=ends, ylim=ends)
    for axis in [axis for ax in axes for axis in (ax.xaxis, ax.yaxis)]:
        low, high = axis.get_view_interval()
        if high < 50 * low:  # powers of ten are too few
            subs = (1, 1.5, 2, 3, 5, 7) if high < 8 * low else (1, 3)  # or they overlap
            axis.set_major_locator(LogLocator(subs=subs))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter(NullFormatter())
    return fig


def method_changes(table: DataFrame, base: str, quantities: dict[str, str], title: str) -> Figure:
    """Each method minus `base`, paired by seed: mean and 95 % interval (Student's t), a panel a
    {column: name}; filled the first of `PAIRS`, hollow the second.
    """
    methods = rank(set(table.method) - {base})
    fig, axes = panels(len(quantities), 2.2, 1.2 + 0.32 * len(methods), title, sharey=True)
    for ax, (column, name) in zip(axes, quantities.items()):
        ax.axvline(0, **GUIDE)
        for aside, fill, pair in zip((-0.15, 0.15), FILLS, PAIRS):
            part = table[table.network == pair]
            values = part.pivot(index="method", columns="seed", values=column)
            for row, method in enumerate(methods):
                if method not in values.index:
                    continue
                mean, low, high, _ = paired(list((values.loc[method] - values.loc[base]).dropna()))
                look = style(method) | ({"mfc": fill} if fill else {})
                palette.draw_dot(ax, row + aside, mean, low, high, look | {"ms": 5})
        ax.set_title(name, fontsize=9)
    palette.name_rows(axes[0], [style(m)["label"] for m in methods])
    add_legend(fig, 2, _fill_marks())
    return fig


def pair_clouds(
    table: DataFrame, quantities: dict[str, str], answer: str, ylabel: str, title: str
) -> Figure:
    """`answer` against each {column: name}, a mark a network, filled or hollow by `PAIRS`; above
    each panel Spearman's rank correlation within either pair.
    """
    fig, axes = panels(len(quantities), 2.9, 4.4, title, sharey=True)
    for ax, (column, name) in zip(axes, quantities.items()):
        told = []
        for fill, (pair, word) in zip(FILLS, PAIRS.items()):
            part = table[table.network == pair].dropna(subset=[column, answer])
            for method in rank(part.method.unique()):
                mine = part[part.method == method]
                look = style(method) | ({"mfc": fill, "label": "_"} if fill else {})
                ax.plot(mine[column], mine[answer], ls="", ms=5.5, mew=1.2, **look)
            told.append(f"{word} {spearmanr(part[column], part[answer])[0]:+.2f}")
        ax.set_title("\n".join(told), fontsize=9)
        ax.set_xlabel(name)
    axes[0].set_ylabel(ylabel)
    drawn = [line for ax in axes for line in ax.get_legend_handles_labels()[0]]
    add_legend(fig, 5, [*drawn, *_fill_marks()])
    return fig
