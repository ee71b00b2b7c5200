"""One function a figure; each takes rows or tensors and returns a closed matplotlib Figure."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from pandas import Categorical, DataFrame
from scipy.stats import spearmanr

from ..measure.inference import paired, wilson
from .palette import (
    PAPER_HOLLOW,
    draw_image,
    label_lines,
    legend_below,
    legend_beside,
    look,
    mean_bar,
    panel,
    panels,
    rank,
    style,
    table,
    term,
)


def _shares(rows):
    """Levels, share in %, low and high of one method: 95 % from three seeds on of the mean over
    seeds, below of the images (Wilson).
    """
    levels, parts = zip(*rows.groupby("level"))
    if "seed" in rows and rows.seed.nunique() > 2:
        found = [paired(list(100 * part.correct / part.n))[:3] for part in parts]
    else:
        sums = [(part.correct.sum(), part.n.sum()) for part in parts]
        found = [100 * np.array((correct / n, *wilson(correct, n))) for correct, n in sums]
    share, low, high = np.array(found).T
    return levels, share, low, high.clip(max=100)


def accuracy_curves(
    rows: DataFrame,
    paper: Sequence = (),
    title: str = "",
    xlabel: str = "SNR (dB), harder to the right",
) -> Figure:
    """Accuracy against level, a line a method (Fig. 2), with 95 % bars (`_shares`), draws pooled.

    `paper` holds (level, accuracy in %, method) of printed values, drawn hollow. Levels run towards
    harder.
    """
    table(rows, "method", "perturbation", "level", "correct", "n")
    fig, ax = panel(6.2, 3.6)
    # a larger square or epsilon is harder, a larger SNR easier
    rising = not set(rows.perturbation) <= {"gaussian", "poisson"}
    aside = 0.02 * (rows.level.max() - rows.level.min())
    ends = []
    for method in rank(rows.method.unique()):
        levels, share, low, high = _shares(rows[rows.method == method])
        reach = [share - low, high - share]
        ax.errorbar(levels, share, yerr=reach, capsize=2, ms=5, lw=1.6, **look(method))
        if rising:
            ends.append((levels[-1] + aside, share[-1], method))
        else:
            ends.append((levels[0] - aside, share[0], method))
    for level, value, method in paper:
        ax.plot([level], [value], **PAPER_HOLLOW, **look(method))
    if not rising:
        ax.invert_xaxis()
    low, high = ax.get_ylim()
    ax.set(xlabel=xlabel, ylabel="test accuracy (%)", title=title, ylim=(low, min(high, 101)))
    label_lines(ax, ends, 0.06 * (high - low))
    return fig


def seed_dots(rows: DataFrame, title: str = "") -> Figure:
    """Accuracy of every seed by method at each (perturbation, level, unit) of `rows`: a dot a seed,
    a bar for the mean.
    """
    import seaborn as sns

    table(rows, "method", "perturbation", "level", "unit", "correct", "n")
    methods = rank(rows.method.unique())
    colours = {m: style(m)["color"] for m in methods}
    places = [
        "clean" if kind == "clean" else f"SNR {level:g} {unit}"
        for kind, level, unit in zip(rows.perturbation, rows.level, rows.unit)
    ]
    share = rows.assign(
        accuracy=100 * rows.correct / rows.n,
        method=Categorical(rows.method, methods, ordered=True),
    )
    groups = share.groupby(places, sort=False)
    fig, axes = panels(len(groups), 2.7, 2.9)
    for ax, (place, part) in zip(axes[0], groups):
        how = dict(hue="method", palette=colours, legend=False, size=5)
        sns.swarmplot(part, x="accuracy", y="method", ax=ax, **how)
        for i, method in enumerate(methods):
            mean_bar(ax, part[part.method == method].accuracy, i, colours[method])
        labels = [style(m)["label"] for m in methods] if ax is axes[0, 0] else []
        ax.set(title=place, xlabel="accuracy (%)", ylabel="")
        ax.set(yticks=range(len(methods)), yticklabels=labels)
    fig.suptitle(title)
    return fig


def learning_curves(curves: DataFrame, title: str = "") -> Figure:
    """Validation accuracy and each loss term by epoch, a line a method, the seeds' range shaded."""
    table(curves, "method", "epoch", "quantity", "value")
    known = ("val_accuracy", "ce", "kd", "gradient", "score")
    shown = [q for q in known if q in set(curves.quantity)]
    fig, axes = panels(len(shown), 2.5, 2.7)
    for ax, quantity in zip(axes[0], shown):
        for method in rank(curves.method.unique()):
            part = curves[(curves.method == method) & (curves.quantity == quantity)]
            if len(part):
                by = part.groupby("epoch").value
                mean = by.mean()
                colour = style(method)["color"]
                ax.plot(mean.index, mean, color=colour, label=style(method)["label"], lw=1.5)
                ax.fill_between(mean.index, by.min(), by.max(), color=colour, alpha=0.15, lw=0)
        ax.set(title=term(quantity), xlabel="epoch")
        if quantity != "val_accuracy":
            ax.set_yscale("log")
    legend_below(fig, 6, fontsize=10)
    fig.suptitle(title)
    return fig


def cost_bars(curves: DataFrame, title: str = "") -> Figure:
    """Milliseconds per image and training step by method, of the median epoch."""
    table(curves, "method", "quantity", "value")
    cost = curves[curves.quantity == "ms_per_image"].groupby("method").value.median()
    methods = rank(cost.index)
    fig, ax = panel(5.4, 0.5 + 0.42 * len(methods))
    colours = [style(m)["color"] for m in methods]
    bars = ax.barh([style(m)["label"] for m in methods], cost[methods], color=colours)
    ax.bar_label(bars, [f" {v:.3f} ms" for v in cost[methods]], fontsize=9)
    ax.invert_yaxis()
    ax.set(xlabel="milliseconds per image", title=title, xlim=(0, 1.2 * cost.max()))
    return fig


def scores(
    pictures: Sequence,
    scores: dict,
    y: Sequence,
    classes: Sequence | None = None,
    titles: Sequence[str] = (),
) -> Figure:
    """Fig. 3: each picture above, the scores of every network below as bars, the true class marked
    by a triangle.

    `pictures` (m, h, w); `scores` {method: (m, k)} probabilities; `y` (m,) true classes.
    """
    m = len(pictures)
    if not m or not scores or any(len(p) != m for p in (*scores.values(), y)):
        raise ValueError(
            f"{m} pictures, scores of {[len(p) for p in scores.values()]} and {len(y)}"
            " classes do not fit; give each network's scores, and the class, of each picture"
        )
    k = next(iter(scores.values())).shape[1]
    rows = 1 + len(scores)
    fig = Figure(figsize=(2.3 * m + 0.7, 0.65 + 1.05 * rows), layout="constrained")
    axes = fig.subplots(rows, m, squeeze=False, height_ratios=[1.6] + [1] * len(scores))
    for j in range(m):
        draw_image(axes[0, j], pictures[j])
        axes[0, j].set(xticks=[], yticks=[], title=titles[j] if titles else "")
        for ax, (method, p) in zip(axes[1:, j], scores.items()):
            ax.bar(range(k), p[j], color=style(method)["color"])
            ax.plot([int(y[j])], [-0.09], marker="^", color="#000000", ms=5, clip_on=False)
            ax.set(ylim=(0, 1), yticks=[0, 1] if j == 0 else [], xticks=[])
            ax.spines[["top", "right"]].set_visible(False)
            if j == 0:
                ax.set_ylabel(style(method)["label"], rotation=0, ha="right", va="center")
    turn = {}
    if any(len(str(c)) > 1 for c in classes or ()):
        turn = dict(rotation=50, ha="right", rotation_mode="anchor")
    for ax in axes[-1]:
        ax.set_xticks(range(k), classes or range(k), fontsize=7, **turn)
        ax.tick_params(axis="x", pad=11, length=0)
    return fig


def picture_grid(
    x: Sequence, y: Sequence, title: str = "", columns: int = 12, size: float = 0.75
) -> Figure:
    """Images x (n, 1 or 3, h, w) in [0, 1] in rows, each `size` inches wide with its class y below,
    or a word.
    """
    if not len(x) or len(x) != len(y):
        raise ValueError(
            f"{len(x)} images and {len(y)} classes make no grid; give at least one image, and one"
            " class each"
        )
    rows = -(-len(x) // columns)
    fig = Figure(figsize=(size * columns, (size + 0.2) * rows + 0.3), layout="constrained")
    axes = fig.subplots(rows, columns, squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for ax, image, said in zip(axes.flat, x, y):
        draw_image(ax, image.permute(1, 2, 0).squeeze(-1))
        ax.set_title(said if isinstance(said, str) else int(said), fontsize=8, y=-0.225 / size)
    fig.suptitle(title, fontsize=10)
    return fig


def pull_bars(terms: dict, classes: Sequence[str], colours: Sequence[str], title="") -> Figure:
    """What each term pulls on: {term: (k,)} as bars by class, one scale for all."""
    fig, axes = panels(len(terms), 3.0, 2.2)
    top = max(float(abs(v).max()) for v in terms.values()) * 1.1
    for ax, (name, values), colour in zip(axes[0], terms.items(), colours):
        ax.bar(range(len(classes)), np.asarray(values), color=colour)
        ax.axhline(0, color="#000000", lw=0.8)
        ax.set(ylim=(-top, top), xticks=range(len(classes)), xticklabels=classes)
        ax.set_title(name, fontsize=9)
    fig.suptitle(title, fontsize=10)
    return fig


def gradient_pictures(
    images: Sequence, gradients: dict, titles: Sequence[str], title: str = ""
) -> Figure:
    """Rows of {label: (m, h, w)} input gradients below m images: orange raises, blue lowers."""
    m = len(images)
    rows = 1 + len(gradients)
    fig = Figure(figsize=(1.5 * m + 1, 1.5 * rows + 0.3), layout="constrained")
    axes = fig.subplots(rows, m, squeeze=False)
    top = max(float(np.abs(np.asarray(g)).max()) for g in gradients.values())
    for ax, image, name in zip(axes[0], images, titles):
        draw_image(ax, image)
        ax.set_title(name, fontsize=9)
    for row, (label, gradient) in zip(axes[1:], gradients.items()):
        row[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9)
        for ax, g in zip(row, gradient):
            draw_image(ax, g, top, "PuOr_r")
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
    fig.suptitle(title, fontsize=10)
    return fig


def sweep(curves: DataFrame, quantity: str = "val_accuracy", title: str = "") -> Figure:
    """The last epoch's `quantity` against the swept setting (column `settings`, such as C1=10), a
    line a method, seeds averaged.
    """
    end = curves.groupby(["method", "settings", "seed"]).epoch.transform("max")
    last = curves[(curves.quantity == quantity) & (curves.epoch == end)]
    name = last.settings.iloc[0].partition("=")[0]
    last = last.assign(at=last.settings.str.partition("=")[2].astype(float))
    means = last.pivot_table(index="at", columns="method", values="value")
    fig, ax = panel(6.2, 3.4)
    for method in rank(means.columns):
        ax.plot(means.index, means[method], label=style(method)["label"], ms=5, **look(method))
    scale = "log" if means.index.min() > 0 else "linear"
    ax.set(xscale=scale, xlabel=name, ylabel=term(quantity), title=title)
    legend_beside(fig)
    return fig


def cloud(points: dict, xlabels: Sequence[str], ylabel: str, title: str = "") -> Figure:
    """A panel for each of `xlabels`: {method: [(x, ..., y), ...]}, a mark a network, the methods'
    names below; Spearman's rank correlation above each panel.
    """
    fig, axes = panels(len(xlabels), 4.6, 4.4)
    names = {}
    for i, (ax, name) in enumerate(zip(axes[0], xlabels)):
        kept = []
        for method in rank(points):
            mine = [(p[i], p[-1]) for p in points[method] if not np.isnan([p[i], p[-1]]).any()]
            kept += mine
            if mine:
                label = style(method)["label"]
                kw = dict(look(method), ls="", ms=6, label=label)
                names[label] = ax.plot(*zip(*mine), **kw)[0]
        told = "no rows"
        if len(kept) > 2:
            told = f"rank correlation {spearmanr(kept)[0]:+.2f}, {len(kept)} networks"
        ax.set(xlabel=name)
        ax.set_title(told, fontsize=9)
    axes[0, 0].set_ylabel(ylabel)
    legend_below(fig, 4, list(names.values()))
    fig.suptitle(title, fontsize=10)
    return fig


def _error(cell, value):
    """An accuracy as an error in %; a drop stays a drop, in points."""
    return 100 - value if cell["quantity"] == "accuracy" else value


def _cell_name(cell):
    what = {"accuracy": "error"}.get(cell["quantity"], cell["quantity"])
    where = " clean" if cell["perturbation"] == "clean" else ""
    if cell["unit"] == "dB":
        where = f" at SNR {cell['level']}"
    return f"{style(cell['method'])['label']}, {what}{where}"


def printed_and_ours(cells: Sequence[dict], answers: Sequence[dict], title: str = "") -> Figure:
    """Cells with rows, a line each: the printed number hollow, ours filled with its interval where
    there is one; accuracies as errors in %.

    `cells` and `answers` as tables.answer has them; a drop stays a drop, in points.
    """
    both = [(c, a) for c, a in zip(cells, answers) if c["kind"] == "measured" and a["seeds"]]
    if not both:
        raise ValueError("none of the cells has rows; pick cells that reproduce.filled answers")
    fig, ax = panel(6.6, 0.8 + 0.24 * len(both))
    for at, (c, a) in enumerate(both):
        kw = look(c["method"])
        theirs = _error(c, c["value"])
        ours = _error(c, a["ours"])
        ax.plot([theirs, ours], [at, at], color="#999999", lw=1)
        if not np.isnan(a["low"]):
            ends = sorted((_error(c, a["low"]), _error(c, a["high"])))
            ax.plot(ends, [at, at], color=kw["color"], lw=3, alpha=0.4)
        ax.plot([ours], [at], ls="", **kw)
        ax.plot([theirs], [at], **PAPER_HOLLOW, **kw)
    ax.set_yticks(range(len(both)), [_cell_name(c) for c, _ in both], fontsize=8)
    ax.invert_yaxis()
    ax.set(xlabel="% or points; hollow: printed, filled: ours", title=title, xlim=(0, None))
    return fig
