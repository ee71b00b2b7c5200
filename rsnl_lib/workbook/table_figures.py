"""Chapter 06: what became of the printed numbers, and each beside ours."""

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.figure import Figure

from . import palette
from .palette import style

MARK_PARTS = {  # colour and words of an answer's mark
    "agrees": ("#0072B2", "agrees"),
    "differs": ("#D55E00", "differs"),
    "no answer": ("#E69F00", "measured, too wide to answer"),
    "timed": ("#767676", "timed, no verdict"),
    "quoted": ("#BBBBBB", "quoted by the paper from others"),
    "not run": ("#FFFFFF", "no network yet"),
}


def mark_bars(marks: dict[str, Iterable[str]], title: str = "") -> Figure:
    """{table: the marks of its cells} as a bar a table, a colour a mark, with counts inside."""
    rows = {name: list(found) for name, found in marks.items()}
    fig, (ax,) = palette.panels(1, 7.6, 0.9 + 0.3 * len(rows), title)
    left = np.zeros(len(rows))
    for mark, (colour, words) in MARK_PARTS.items():
        counts = np.array([found.count(mark) for found in rows.values()])
        look = dict(color=colour, edgecolor="#767676", lw=0.6, label=words)
        bars = ax.barh(range(len(rows)), counts, left=left, **look)
        dark = mark in ("agrees", "differs", "timed")
        ink = "#FFFFFF" if dark else "#000000"
        told = [str(n) if n else "" for n in counts]
        ax.bar_label(bars, told, label_type="center", fontsize=8, color=ink)
        left += counts
    palette.name_rows(ax, list(rows))
    ax.set_xlabel("printed numbers")
    palette.add_legend(fig, 3, ax.get_legend_handles_labels()[0])
    return fig


def _cell_name(cell):
    """A cell's method, and in noise the quantity and its SNR."""
    name = style(cell["method"])["label"]
    if cell["unit"] != "dB":
        return name
    what = "points lost" if cell["quantity"] == "drop" else "% wrong"
    return f"{name}, {what} at SNR {cell['level']}"


def printed_and_ours(cells: Sequence[dict], answers: Sequence[dict], title: str = "") -> Figure:
    """Cells with rows, a line each: the printed number hollow, ours (`answers` as paper_jobs.answer
    has them) filled with its interval. Clean images and noise have an axis each; accuracies are
    drawn as errors in %, a drop in points.
    """
    both = [(c, a) for c, a in zip(cells, answers) if c["kind"] == "measured" and a["seeds"]]
    if not both:
        raise ValueError("none of the cells has rows; pick cells with a measured answer")
    panels = {}
    for c, a in both:
        name = "in noise (% or points)" if c["unit"] == "dB" else "error on clean images (%)"
        panels.setdefault(name, []).append((c, a))
    longest = max(map(len, panels.values()))
    fig, axes = palette.panels(len(panels), 4.6, 1.0 + 0.3 * longest, title)
    for ax, (name, mine) in zip(axes, panels.items()):
        for at, (c, a) in enumerate(mine):
            values = np.array([c["value"], a["ours"], a["low"], a["high"]])
            theirs, ours, low, high = 100 - values if c["quantity"] == "accuracy" else values
            ax.plot([theirs, ours], [at, at], color="#999999", lw=1)
            palette.draw_dot(ax, at, ours, low, high, style(c["method"]))
            ax.plot([theirs], [at], **style(c["method"]) | palette.PAPER_HOLLOW)
        palette.name_rows(ax, [_cell_name(c) for c, _ in mine])
        ax.set(xlabel=name, xlim=(min(0, ax.get_xlim()[0]), None))
        ax.axvline(0, **palette.GUIDE)
    return fig
