"""Figures of chapter 05: pictures under noise, accuracy in noise, one noise against the other."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from pandas import DataFrame
from torch import Tensor

from ..data import perturb
from . import palette
from .figures import _shares
from .palette import draw_image, panels, rank, style

_KINDS = {"gaussian": "white noise", "poisson": "Poisson noise"}
_HOLLOW = Line2D(
    [], [], color="#767676", ls="", marker="o", mfc="none", label="hollow: printed in the paper"
)


def runs_told(rows: DataFrame) -> str:
    """How many networks the rows are of, and how many images each saw: "3 teachers, 6 ..."."""
    seeds = rows.groupby("method").seed.nunique()
    teachers, students = int(seeds["teacher"]), int(seeds.drop("teacher").max())
    words = f"{teachers} teacher{'s' * (teachers > 1)}, {students} student{'s' * (students > 1)}"
    return f"{words} of each kind, {rows.n.max():,} images each"


def headline(rows: DataFrame, what: str, where: str) -> str:
    """A title that says which method keeps most and which least at the hardest level."""
    noise = rows.perturbation.isin(_KINDS).all()
    level = rows.level[rows.level >= 1].min() if noise else rows.level.max()
    hardest = rows[rows.level == level]
    sums = hardest.groupby("method")[["correct", "n"]].sum()
    share = (sums.correct / sums.n).sort_values()
    most, least = (style(share.index[i])["label"] for i in (-1, 0))
    place = f"at {level:g} {hardest.unit.iloc[0]}"
    return f"{what}: {place} {most} keeps most, {least} least\n{where}"


def noise_ladder(x: Tensor, levels: Sequence[float], seed: int = 0) -> Figure:
    """An image x (1, c, h, w) under white (above) and Poisson noise at SNRs in dB, sigma above."""
    fig = Figure(figsize=(1.55 * len(levels) + 0.9, 3.8), layout="constrained")
    axes = fig.subplots(2, len(levels), squeeze=False)
    for row, (kind, words) in zip(axes, _KINDS.items()):
        row[0].set_ylabel(words)
        for ax, level in zip(row, levels):
            generator = torch.Generator().manual_seed(seed)
            draw_image(ax, perturb.apply(kind, x, level, generator)[0])
            sigma = (perturb.power(x) / perturb.snr_ratio(level)).sqrt().item()
            if kind == "gaussian":
                ax.set_title(f"{level:g} dB\nsigma {sigma:.2f}", fontsize=10)
    return fig


def noise_curves(
    rows: DataFrame, title: str, xlabel: str, paper: Sequence = (), apart: Sequence[str] = ()
) -> Figure:
    """Accuracy against level, a line a method, 95 % bars beside each other; methods `apart` in a
    panel with a scale of its own. `paper`: (level, accuracy in %, method), drawn hollow.
    """
    methods = rank(rows.method.unique())
    groups = [[m for m in methods if m not in apart], [m for m in methods if m in apart]]
    groups = [g for g in groups if g]
    fig, axes = panels(len(groups), 4.6 if len(groups) > 1 else 6.6, 3.8, title)
    levels = np.sort(rows.level.unique())
    step = np.diff(levels).min() if len(levels) > 1 else 1.0
    for ax, group in zip(axes, groups):
        for i, method in enumerate(group):
            aside = 0.07 * step * (i - (len(group) - 1) / 2)
            at, share, low, high = _shares(rows[rows.method == method])
            bars = dict(yerr=[share - low, high - share], capsize=2, elinewidth=1)
            ax.errorbar(np.array(at) + aside, share, **bars, ms=5, lw=1.4, **style(method))
            for level, value, _ in (p for p in paper if p[2] == method):
                ax.plot([level + aside], [value], **style(method) | palette.PAPER_HOLLOW)
        ax.set(xlabel=xlabel, xticks=levels, ylim=(None, min(101, ax.get_ylim()[1])))
        if len(groups) > 1:
            named = ", ".join(style(m)["label"] for m in groups[1])
            told = f"{named}, on another scale" if group == groups[1] else f"all but {named}"
            ax.set_title(told, fontsize=10)
        if rows.perturbation.isin(_KINDS).all():
            ax.invert_xaxis()
    axes[0].set_ylabel("test accuracy (%)")
    handles = [Line2D([], [], lw=1.4, ms=5, **style(m)) for m in methods]
    palette.add_legend(fig, 6, handles + [_HOLLOW] * bool(paper), fontsize=9)
    return fig


def one_noise_against_the_other(rows: DataFrame, level: float, title: str) -> Figure:
    """Accuracy under Poisson noise against that under white noise of `level` dB, a mark a method;
    hollow where it was trained once.
    """
    here = rows[(rows.level == level) & (rows.unit == "dB")]
    sums = here.groupby(["method", "perturbation"])[["correct", "n"]].sum()
    share = (100 * sums.correct / sums.n).unstack()[["gaussian", "poisson"]].dropna()
    runs = rows.groupby("method").seed.nunique()
    once = runs == 1
    told = f"means over up to {runs.max()} runs of each; hollow: one run"
    fig, (ax,) = panels(1, 6.6, 4.4, f"{title}\n{told}")
    for method in rank(share.index):
        x, y = share.loc[method]
        look = style(method)
        ax.plot([x], [y], ms=8, ls="", **look | (dict(mfc="white") if once[method] else {}))
        near = (share.gaussian - x).between(0.01, 0.9) & ((share.poisson - y).abs() < 0.9)
        side = dict(xytext=(-8, 0), ha="right") if near.any() else dict(xytext=(8, 0), ha="left")
        words = dict(textcoords="offset points", va="center", fontsize=9, color=look["color"])
        ax.annotate(look["label"], (x, y), **side, **words)
    ax.set(xlabel=f"accuracy in white noise of {level:g} dB (%)")
    ax.set(ylabel=f"accuracy in Poisson noise of {level:g} dB (%)")
    ax.margins(x=0.12)
    return fig
