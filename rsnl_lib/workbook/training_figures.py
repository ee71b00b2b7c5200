"""The figures of chapter 03: what a step is made of, how training goes, what it costs."""

from typing import Any

from matplotlib.figure import Figure
from pandas import DataFrame

from . import palette
from .palette import as_table, panels, style

# a convolution pass each, in the order in which a step makes them
PASSES = {
    "standard": ("forward", "back to\nthe layers", "to the\nweights"),
    "robust": (
        "forward",
        "down to $x$:\n$\\nabla_x f_S^\\tau$",
        "up again",
        "to the\nweights",
        "back to\nthe layers",
        "to the\nweights",
    ),
}
AGAIN = (2, 3)  # those of a robust step that differentiate the derivative


def pass_blocks(title: str = "") -> Figure:
    """The convolution passes of a step on labels and of a robust one, a block each."""
    fig, (ax,) = panels(1, 7.6, 2.1, title)
    for row, (method, names) in enumerate(PASSES.items()):
        for at, name in enumerate(names):
            new = method == "robust" and at in AGAIN
            look = dict(color=style(method)["color"], alpha=0.75 if new else 0.3)
            ax.barh(row, 0.94, left=at, height=0.72, **look)
            ax.text(at + 0.47, row, name, ha="center", va="center", fontsize=8)
    labels = [f"{style(m)['label']}: {len(names)} passes" for m, names in PASSES.items()]
    palette.name_rows(ax, labels)
    ax.set(xticks=[], xlim=(0, 6))
    ax.spines[["bottom", "left"]].set_visible(False)
    ax.tick_params(left=False)
    return fig


def error_curves(curves: Any, title: str = "") -> Figure:
    """Validation error in % by epoch, a line a method: the mean over seeds, named at its end."""
    curves = as_table(curves, "method", "epoch", "quantity", "value")
    found = curves[curves.quantity == "val_accuracy"]
    error = 100 * (1 - found.groupby(["method", "epoch"]).value.mean())
    fig, (ax,) = panels(1, 7.6, 3.8, title)
    for method in error.groupby("method").last().sort_values(ascending=False).index:
        line = error[method]
        name = f"{style(method)['label']} {line.iloc[-1]:.1f}"
        ax.plot(line.index, line, lw=1.5, color=style(method)["color"], label=name)
    ax.set(xlabel="epoch", ylabel="validation error (%)", yscale="log")
    ax.set_yticks(ticks := [1, 2, 5, 10, 20, 50, 100], map(str, ticks))
    ax.minorticks_off()
    palette.add_legend(fig, fontsize=9, title="error at the end (%)")
    return fig


def written_costs(rows: DataFrame, title: str = "") -> Figure:
    """Milliseconds of a step by the newest rows of `benchmarks/run.py`: on labels and robust as
    usually written, and robust as this library does it.
    """
    last = rows.groupby("line").last()
    names = ("on labels, as usually written", "robust, as usually written", "robust, this library")
    ms = (last.peer_ms["cost-mnist"], last.peer_ms["robust-mnist"], last.ours_ms["robust-mnist"])
    colours = [style(m)["color"] for m in ("standard", "robust", "robust")]
    fig, (ax,) = panels(1, 6.4, 1.9, title)
    bars = ax.barh(names, ms, color=colours, alpha=0.8)
    ax.bar_label(bars, fmt=" {:.0f} ms", fontsize=9)
    ax.invert_yaxis()
    ax.set(xlabel="milliseconds a step", xlim=(0, 1.15 * max(ms)))
    return fig
