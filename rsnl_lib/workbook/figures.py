"""One function a figure; each takes rows, runs or tensors and returns a closed matplotlib Figure.

seaborn draws dots and ranges over seeds; intervals come from `measure.inference`, and in the other
figures the methods' marks, filled and lines, are a mixture that seaborn refuses.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from pandas import DataFrame, Series
from torch import Tensor

from ..checks import images, network, whole
from ..geometry import input_gradient
from ..measure.inference import paired, wilson
from ..networks.modules import standing
from . import palette
from .line_names import name_ends
from .palette import as_table, draw_image, panels, rank, style, term

X_LABELS = {  # of a unit
    "": "level",
    "dB": "SNR (dB), harder to the right",
    "ratio": "SNR (ratio of powers), harder to the right",
    "pixels": "side of the hidden square (pixels)",
    "linf": "epsilon (L-inf, per pixel)",
}


def _shares(rows):
    """Levels, share in %, low, high: of the mean over three seeds or more, else Wilson's."""
    groups = rows.groupby("level")
    if "seed" in rows and rows.seed.nunique() > 2:
        found = [paired(list(100 * part.correct / part.n))[:3] for _, part in groups]
    else:
        sums = groups[["correct", "n"]].sum().to_numpy()
        found = [100 * np.array((correct / n, *wilson(correct, n))) for correct, n in sums]
    share, low, high = np.array(found).T
    return list(groups.groups), share, low, high.clip(max=100)


def accuracy_curves(
    rows: Any, paper: Sequence = (), title: str = "", xlabel: str | None = None
) -> Figure:
    """Accuracy against level, towards harder, a line a method (Fig. 2) with 95 % bars: of the mean
    over three seeds or more, else of the images (Wilson); draws pooled. A panel for each kind and
    unit of perturbation; clean rows beside others are left out. `rows` as `palette.as_table` takes
    them; `paper` holds (level, accuracy in %, method) of printed values, drawn hollow.
    """
    rows = as_table(rows, "method", "perturbation", "level", "correct", "n")
    if len(spoilt := rows[rows.perturbation != "clean"]):
        rows = spoilt
    units = rows.unit.fillna("") if "unit" in rows else Series("", rows.index)
    groups = list(rows.groupby([rows.perturbation, units], sort=False))
    if paper and len(groups) > 1:
        kinds = ", ".join(" in ".join(filter(None, where)) for where, _ in groups)
        raise ValueError(f"the rows are of {kinds}: beside printed values give those of one")
    fig, axes = panels(len(groups), 6.2 if len(groups) == 1 else 4.6, 3.6)
    for ax, ((kind, unit), part) in zip(axes, groups):
        draw_accuracy(ax, part, kind, paper)
        own = f"{title}, {kind}".removeprefix(", ") if len(groups) > 1 else title
        label = X_LABELS.get(unit, f"level ({unit})") if xlabel is None else xlabel
        ax.set(xlabel=label, title=own)
    return fig


def draw_accuracy(
    ax: Axes, rows: DataFrame, kind: str, paper: Sequence = (), names: dict | None = None
) -> None:
    """The lines of one kind of perturbation, each with its name at its end: that of its method, or
    of {method: name}.
    """
    # a larger square or epsilon is harder, a larger SNR easier
    rising = kind not in ("gaussian", "poisson")
    last, aside = (-1, 0.02) if rising else (0, -0.02)
    ends = []
    for method in rank(rows.method.unique()):
        levels, share, low, high = _shares(rows[rows.method == method])
        bars = dict(yerr=[share - low, high - share], capsize=2)
        ax.errorbar(levels, share, **bars, ms=5, lw=1.6, **style(method))
        name = (names or {}).get(method, style(method)["label"])
        ends.append((share[last], levels[last], name, style(method)["color"]))
    for level, value, method in paper:
        ax.plot([level], [value], **style(method) | palette.PAPER_HOLLOW)
    if not rising:
        ax.invert_xaxis()
    low, high = ax.get_ylim()
    ax.set(ylabel="test accuracy (%)", ylim=(low, min(high, 101)))
    name_ends(ax, ends, aside * np.ptp(rows.level))


def method_dots(values: dict[str, Series], title: str = "") -> Figure:
    """A panel for each {quantity: values by method}: a dot a network, a bar for the mean."""
    import seaborn as sns

    methods = rank(set().union(*(found.index for found in values.values())))
    colours = [style(m)["color"] for m in methods]
    fig, axes = panels(len(values), 2.2, 0.9 + 0.3 * len(methods), title, sharey=True)
    for ax, (quantity, found) in zip(axes, values.items()):
        by_method = dict(x=found.values, y=found.index, order=methods, hue_order=methods, ax=ax)
        look = dict(hue=found.index, palette=colours, legend=False)
        sns.swarmplot(**by_method, **look, size=4)
        sns.pointplot(**by_method, **look, errorbar=None, ls="", marker="|", ms=14, mew=2)
        ax.set_title(quantity, fontsize=9)
        ax.set_ylabel("")
    palette.name_rows(axes[0], [style(m)["label"] for m in methods])
    return fig


def seed_dots(rows: Any, title: str = "") -> Figure:
    """`method_dots` of the accuracy of every seed at each (perturbation, level, unit) of `rows`."""
    rows = as_table(rows, "method", "perturbation", "level", "unit", "correct", "n")
    words = {"ratio": "SNR ratio {:g}"}
    places = [
        "clean" if kind == "clean" else words.get(unit, "SNR {:g} {}").format(level, unit)
        for kind, level, unit in zip(rows.perturbation, rows.level, rows.unit)
    ]
    accuracy = (100 * rows.correct / rows.n).set_axis(rows.method)
    return method_dots(dict(iter(accuracy.groupby(places, sort=False))), f"{title}, accuracy in %")


def learning_curves(curves: Any, title: str = "", also: Sequence[str] = ()) -> Figure:
    """Validation accuracy, the terms of Eq. 17 and the terms `also` by epoch: a line a method, the
    seeds' range shaded; the floor of L_S dashed. A term that aims elsewhere, and so has a word of
    its own, has its own panel. `curves`: rows, a run of `train.fit`, or {method: run}
    (palette.as_table).
    """
    import seaborn as sns

    curves = as_table(curves, "method", "epoch", "quantity", "value")
    known = ("val_accuracy", "ce", "kd", "gradient", "score", *also)
    methods = rank(curves.method.unique())
    shown = {}
    for q in known:
        for m in rank(curves.method[curves.quantity == q].unique()):
            shown.setdefault((q, term(q, m)), []).append(m)
    colours = [style(m)["color"] for m in methods]
    how = dict(hue="method", hue_order=methods, palette=colours, legend=False, lw=1.5)
    fig, axes = panels(len(shown), 2.5, 2.7, title)
    for ax, ((quantity, word), mine) in zip(axes, shown.items()):
        part = curves[(curves.quantity == quantity) & curves.method.isin(mine)]
        sns.lineplot(part, x="epoch", y="value", errorbar=("pi", 100), **how, ax=ax)
        scale = "linear" if quantity == "val_accuracy" else "log"
        ax.set(title=word, ylabel="", yscale=scale)
        floor = curves.value[curves.quantity == "score_floor"]
        if quantity == "score" and len(floor):
            ax.axhline(floor.mean(), ls="--", **palette.GUIDE)
            ax.text(part.epoch.min(), floor.mean(), "floor", va="bottom", fontsize=8)
    handles = [Line2D([], [], color=style(m)["color"], label=style(m)["label"]) for m in methods]
    palette.add_legend(fig, 6, handles, fontsize=10)
    return fig


def cost_bars(curves: Any, title: str = "") -> Figure:
    """Milliseconds per image and training step by method, of the median epoch."""
    curves = as_table(curves, "method", "quantity", "value")
    cost = curves[curves.quantity == "ms_per_image"].groupby("method").value.median()
    cost = cost[rank(cost.index)]
    looks = [style(m) for m in cost.index]
    fig, (ax,) = panels(1, 5.4, 0.7 + 0.42 * len(cost), title)
    bars = ax.barh([s["label"] for s in looks], cost, color=[s["color"] for s in looks])
    ax.bar_label(bars, fmt=" {:.3f} ms", fontsize=9)
    ax.invert_yaxis()
    ax.set(xlabel="milliseconds per image", xlim=(0, 1.2 * cost.max()))
    return fig


def score_bars(
    pictures: Sequence, scores: dict, y: Sequence, classes: Sequence = (), titles: Sequence = ()
) -> Figure:
    """Fig. 3: pictures (m, h, w) or (m, 1 or 3, h, w) above, each network's scores of them
    {method: (m, k)} as bars below, the true class y (m,) marked by a triangle.
    """
    m = len(pictures)
    found = [len(p) for p in (*scores.values(), y)]
    if not m or not scores or set(found) != {m}:
        raise ValueError(f"{m} pictures, {found} scores and classes; give those of each picture")
    k = next(iter(scores.values())).shape[1]
    rows = 1 + len(scores)
    fig = Figure(figsize=(2.3 * m + 0.7, 0.65 + 1.05 * rows), layout="constrained")
    axes = fig.subplots(rows, m, squeeze=False, height_ratios=[1.6] + [1] * len(scores))
    for j in range(m):
        draw_image(axes[0, j], pictures[j])
        axes[0, j].set_title(titles[j] if titles else "")
        for ax, (method, p) in zip(axes[1:, j], scores.items()):
            ax.bar(range(k), p[j], color=style(method)["color"])
            ax.plot([int(y[j])], [-0.09], marker="^", color="#000000", ms=5, clip_on=False)
            ax.set(ylim=(0, 1), yticks=[] if j else [0, 1], xticks=[])
            ax.spines[["top", "right"]].set_visible(False)
            if j == 0:
                ax.set_ylabel(style(method)["label"], rotation=0, ha="right", va="center")
    turn = {}
    if any(len(str(c)) > 1 for c in classes):
        turn = dict(rotation=50, ha="right", rotation_mode="anchor")
    for ax in axes[-1]:
        ax.set_xticks(range(k), classes or range(k), fontsize=7, **turn)
        ax.tick_params(axis="x", pad=11, length=0)
    return fig


def picture_grid(
    x: Tensor, y: Sequence, title: str = "", columns: int = 12, size: float = 0.75
) -> Figure:
    """Images x (n, 1 or 3, h, w), each `size` inches wide, above their classes or words y."""
    if not len(x) or len(x) != len(y):
        raise ValueError(f"{len(x)} images, {len(y)} classes; give at least one image and a class")
    rows = -(-len(x) // whole("columns", columns, 1))
    fig = Figure(figsize=(size * columns, (size + 0.2) * rows + 0.3), layout="constrained")
    fig.suptitle(title, fontsize=10)
    axes = fig.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes:
        ax.axis("off")
    for ax, image, said in zip(axes, x, y):
        draw_image(ax, image)
        ax.set_title(said if isinstance(said, str) else int(said), fontsize=8, y=-0.225 / size)
    return fig


def pull_panels(terms: dict, classes: Sequence, colours: Sequence, title: str) -> Figure:
    """What each term pulls on: {term: (k,)} as bars by class, one scale for all."""
    fig, axes = panels(len(terms), 3.0, 2.2, title)
    top = max(float(abs(v).max()) for v in terms.values()) * 1.1
    for ax, (name, values), colour in zip(axes, terms.items(), colours):
        ax.bar(range(len(classes)), np.asarray(values), color=colour)
        ax.axhline(0, color="#000000", lw=0.8)
        ax.set(ylim=(-top, top), xticks=range(len(classes)), xticklabels=classes)
        ax.set_title(name, fontsize=9)
    return fig


def gradient_pictures(x: Tensor, gradients: dict, names: Sequence, title: str = "") -> Figure:
    """Rows of {label: gradients} below m named images, each (m, h, w) or (m, 1 or 3, h, w): orange
    raises, purple lowers, each column on a scale of its own; of channels the mean.
    """
    m = len(x)
    rows = 1 + len(gradients)
    fig = Figure(figsize=(1.4 * m + 2, 1.4 * rows + 0.4), layout="constrained")
    fig.suptitle(title, fontsize=10)
    axes = fig.subplots(rows, m, squeeze=False)
    gradients = {label: g.mean(1) if g.ndim == 4 else g for label, g in gradients.items()}
    tops = [max(float(abs(g[i]).max()) for g in gradients.values()) for i in range(m)]
    for ax, image, name, top in zip(axes[0], x, names, tops):
        draw_image(ax, image)
        ax.set_title(f"{name}\nfull colour {top:.2g}", fontsize=9)
    for row, (label, gradient) in zip(axes[1:], gradients.items()):
        row[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9)
        for ax, g, top in zip(row, gradient, tops):
            draw_image(ax, g, top)
    palette.signed_bar(fig, axes[1:].ravel(), "share of the column's strongest pixel")
    fig.get_layout_engine().set(w_pad=0.12)
    return fig


def input_gradients(
    nets: dict, x: Tensor, y: Tensor, space: str = "logit", tau: float = 1.0, title: str = ""
) -> Figure:
    """`gradient_pictures` of {method: network} at images x (m, 1 or 3, h, w) of classes y (m,): the
    gradient of the true class's score in `space` (geometry.SPACES).
    """
    if not isinstance(nets, dict) or not nets or not len(images(x)):
        raise ValueError(
            f"{len(nets)} networks, {len(x)} images; give {{'kd': network}} and images"
        )
    found = {}
    for method, net in nets.items():
        with standing(network(f"network {method!r}", net), "eval"):
            found[style(method)["label"]] = input_gradient(net, x, y, tau, space=space)[1]
    return gradient_pictures(x, found, [f"class {int(k)}" for k in y], title)
