"""One palette, one function a figure; each takes rows or tensors and returns a closed matplotlib
Figure.
"""

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import t as student

from ..measure.inference import wilson
from .palette import PAPER_HOLLOW, TERMS, label_lines, look, panels, rank, style, table


def accuracy_curves(rows, paper=(), title="", xlabel="SNR (dB), harder to the right"):
    """Accuracy against level, a line a method (Fig. 2), with 95 % bars: from three seeds on of the
    mean over seeds, below of the images (Wilson), draws pooled.

    `paper` holds (level, accuracy in %, method) of printed values, drawn hollow. Levels run towards
    harder.
    """
    table(rows, "method", "perturbation", "level", "correct", "n")
    fig, axes = panels(1, 6.2, 3.6)
    ax, ends = axes[0, 0], []
    rising = not set(rows.perturbation) <= {
        "gaussian",
        "poisson",
    }  # a larger square or epsilon is harder, a larger SNR easier
    aside = 0.02 * (rows.level.max() - rows.level.min())
    for method in rank(rows.method.unique()):
        mine = rows[rows.method == method]
        one = mine.groupby("level")[["correct", "n"]].sum()
        share = 100 * one.correct / one.n
        low, high = np.array([wilson(c, n) for c, n in zip(one.correct, one.n)]).T * 100
        if "seed" in mine and mine.seed.nunique() > 2:
            by = (
                mine.assign(share=100 * mine.correct / mine.n)
                .groupby("level")
                .share.agg(["mean", "std", "count"])
            )
            share, reach = (
                by["mean"],
                student.ppf(0.975, by["count"] - 1) * by["std"] / by["count"] ** 0.5,
            )
            low, high = share - reach, (share + reach).clip(upper=100)
        kw = look(method)
        ax.errorbar(
            one.index, share, yerr=[share - low, high - share], capsize=2, ms=5, lw=1.6, **kw
        )
        last = one.index.max() if rising else one.index.min()
        ends.append((last + (aside if rising else -aside), share[last], method))
    for level, value, method in paper:
        ax.plot([level], [value], **PAPER_HOLLOW, **look(method))
    if not rising:
        ax.invert_xaxis()
    low, high = ax.get_ylim()
    ax.set(xlabel=xlabel, ylabel="test accuracy (%)", title=title, ylim=(low, min(high, 101)))
    label_lines(ax, ends, 0.06 * (high - low))
    return fig


def seed_dots(rows, title=""):
    """Accuracy of every seed by method at each (perturbation, level, unit) of `rows`: a dot a seed,
    a bar for the mean.
    """
    import pandas as pd
    import seaborn as sns

    table(rows, "method", "perturbation", "level", "unit", "correct", "n")
    share = rows.assign(
        accuracy=100 * rows.correct / rows.n,
        where=[
            ("clean" if p == "clean" else f"SNR {level:g} {unit}")
            for p, level, unit in zip(rows.perturbation, rows.level, rows.unit)
        ],
    )
    share["method"] = pd.Categorical(share.method, rank(share.method.unique()), ordered=True)
    places = list(dict.fromkeys(share["where"]))
    fig, axes = panels(len(places), 2.7, 2.9)
    for ax, place in zip(axes[0], places):
        part = share[share["where"] == place]
        colours = {m: style(m)["color"] for m in part.method.cat.categories}
        sns.swarmplot(
            part,
            x="accuracy",
            y="method",
            hue="method",
            palette=colours,
            legend=False,
            size=5,
            ax=ax,
        )
        for i, m in enumerate(part.method.cat.categories):
            mean = part[part.method == m].accuracy.mean()
            ax.plot([mean, mean], [i - 0.3, i + 0.3], color=colours[m], lw=2)
        ax.set(
            title=place,
            xlabel="accuracy (%)",
            ylabel="",
            yticks=range(len(colours)),
            yticklabels=[style(m)["label"] for m in colours] if ax is axes[0, 0] else [],
        )
    fig.suptitle(title)
    return fig


def learning_curves(curves, title=""):
    """Validation accuracy and each loss term by epoch; one line a method, the seeds' range
    shaded.
    """
    table(curves, "method", "epoch", "quantity", "value")
    shown = [
        q for q in ("val_accuracy", "ce", "kd", "gradient", "score") if q in set(curves.quantity)
    ]
    fig, axes = panels(len(shown), 2.5, 2.7)
    for ax, quantity in zip(axes[0], shown):
        for method in rank(curves.method.unique()):
            part = curves[(curves.method == method) & (curves.quantity == quantity)]
            if len(part):
                by = part.groupby("epoch").value
                ax.plot(
                    by.mean().index,
                    by.mean(),
                    color=style(method)["color"],
                    label=style(method)["label"],
                    lw=1.5,
                )
                ax.fill_between(
                    by.mean().index,
                    by.min(),
                    by.max(),
                    color=style(method)["color"],
                    alpha=0.15,
                    lw=0,
                )
        ax.set(title={"val_accuracy": "validation accuracy", **TERMS}[quantity], xlabel="epoch")
        if quantity != "val_accuracy":
            ax.set_yscale("log")
    fig.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=6, frameon=False
    )
    fig.suptitle(title)
    return fig


def cost_bars(curves, title=""):
    """Milliseconds per image and training step by method, median epoch, the number beside the
    bar.
    """
    table(curves, "method", "quantity", "value")
    cost = curves[curves.quantity == "ms_per_image"].groupby("method").value.median()
    methods = rank(cost.index)
    fig, axes = panels(1, 5.4, 0.5 + 0.42 * len(methods))
    ax = axes[0, 0]
    bars = ax.barh(
        [style(m)["label"] for m in methods],
        cost[methods],
        color=[style(m)["color"] for m in methods],
    )
    ax.bar_label(bars, [f" {v:.3f} ms" for v in cost[methods]], fontsize=9)
    ax.invert_yaxis()
    ax.set(xlabel="milliseconds per image", title=title, xlim=(0, 1.2 * cost.max()))
    return fig


def scores(pictures, scores, y, classes=None, titles=()):
    """Fig. 3: each picture above, the scores of every network below as bars, the true class marked
    by a triangle.

    `pictures` (m, h, w); `scores` {method: (m, k)} probabilities; `y` (m,) true classes.
    """
    if (
        not len(pictures)
        or not scores
        or any(len(p) != len(pictures) for p in (*scores.values(), y))
    ):
        raise ValueError(
            f"{len(pictures)} pictures, scores of {[len(p) for p in scores.values()]} and {len(y)}"
            " classes do not fit; give each network's scores, and the class, of each picture"
        )
    m, k = len(pictures), next(iter(scores.values())).shape[1]
    fig = Figure(figsize=(2.3 * m + 0.7, 1.7 + 1.05 * len(scores)), layout="constrained")
    axes = fig.subplots(1 + len(scores), m, squeeze=False, height_ratios=[1.6] + [1] * len(scores))
    for j in range(m):
        axes[0, j].imshow(
            np.asarray(pictures[j]), cmap="gray_r", vmin=0, vmax=1, interpolation="nearest"
        )
        axes[0, j].set(xticks=[], yticks=[], title=titles[j] if titles else "")
        for i, (method, p) in enumerate(scores.items(), 1):
            ax = axes[i, j]
            ax.bar(range(k), p[j], color=style(method)["color"])
            ax.plot([int(y[j])], [-0.09], marker="^", color="#000000", ms=5, clip_on=False)
            ax.set(ylim=(0, 1), yticks=[0, 1] if j == 0 else [], xticks=[])
            ax.spines[["top", "right"]].set_visible(False)
            if j == 0:
                ax.set_ylabel(style(method)["label"], rotation=0, ha="right", va="center")
            if i == len(scores):
                words = any(len(str(c)) > 1 for c in classes or ())
                ax.set_xticks(
                    range(k),
                    classes or range(k),
                    fontsize=7,
                    **(dict(rotation=50, ha="right", rotation_mode="anchor") if words else {}),
                )
                ax.tick_params(axis="x", pad=11, length=0)
    return fig


def picture_grid(x, y, title="", columns=12, size=0.75):
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
    for i, ax in enumerate(fig.subplots(rows, columns, squeeze=False).flat):
        ax.axis("off")
        if i < len(x):
            ax.imshow(
                np.asarray(x[i].permute(1, 2, 0).squeeze(-1)),
                cmap="gray_r",
                vmin=0,
                vmax=1,
                interpolation="nearest",
            )
            ax.set_title(y[i] if isinstance(y[i], str) else int(y[i]), fontsize=8, y=-0.225 / size)
    fig.suptitle(title, fontsize=10)
    return fig


def pull_bars(terms, classes, colours, title=""):
    """What each term pulls on: {term: (k,)} as bars by class, one scale for all."""
    fig, axes = panels(len(terms), 3.0, 2.2)
    top = max(float(abs(v).max()) for v in terms.values()) * 1.1
    for ax, (name, values), colour in zip(axes[0], terms.items(), colours):
        ax.bar(range(len(classes)), np.asarray(values), color=colour)
        ax.axhline(0, color="#000000", lw=0.8)
        ax.set(title=name, ylim=(-top, top), xticks=range(len(classes)), xticklabels=classes)
        ax.title.set_fontsize(9)
    fig.suptitle(title, fontsize=10)
    return fig


def gradient_pictures(images, gradients, titles, title=""):
    """Rows of {label: (m, h, w)} input gradients below the m images, one colour scale for all:
    orange raises, blue lowers.
    """
    m = len(images)
    fig = Figure(figsize=(1.5 * m + 1, 1.5 * (1 + len(gradients)) + 0.3), layout="constrained")
    axes = fig.subplots(1 + len(gradients), m, squeeze=False)
    scale = max(float(np.abs(np.asarray(g)).max()) for g in gradients.values())
    for j in range(m):
        axes[0, j].imshow(
            np.asarray(images[j]), cmap="gray_r", vmin=0, vmax=1, interpolation="nearest"
        )
        axes[0, j].set_title(titles[j], fontsize=9)
        for i, (label, g) in enumerate(gradients.items(), 1):
            axes[i, j].imshow(
                np.asarray(g[j]), cmap="PuOr_r", vmin=-scale, vmax=scale, interpolation="nearest"
            )
            if j == 0:
                axes[i, 0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
    fig.suptitle(title, fontsize=10)
    return fig


def sweep(curves, quantity="val_accuracy", title=""):
    """The last epoch's `quantity` against the swept setting (column `settings`, such as C1=10), a
    line a method, seeds averaged.
    """
    last = curves[
        (curves.quantity == quantity)
        & (curves.epoch == curves.groupby(["method", "settings", "seed"]).epoch.transform("max"))
    ]
    name = last.settings.iloc[0].partition("=")[0]
    table = last.assign(at=last.settings.str.partition("=")[2].astype(float)).pivot_table(
        index="at", columns="method", values="value"
    )
    fig, axes = panels(1, 6.2, 3.4)
    for method in rank(table.columns):
        axes[0, 0].plot(
            table.index,
            table[method],
            label=style(method)["label"],
            ms=5,
            **{k: style(method)[k] for k in ("color", "marker")},
        )
    axes[0, 0].set(
        xscale="log" if table.index.min() > 0 else "linear",
        xlabel=name,
        ylabel={"val_accuracy": "validation accuracy", **TERMS}.get(quantity, quantity),
        title=title,
    )
    fig.legend(loc="outside right upper", frameon=False, fontsize=8)
    return fig


def cloud(points, xlabels, ylabel, title=""):
    """A panel for each of `xlabels`: {method: [(x, ..., y), ...]}, a mark a network, the methods'
    names below; Spearman's rank correlation above each panel.
    """
    from scipy.stats import spearmanr

    fig, axes = panels(len(xlabels), 4.6, 4.4)
    for i, (ax, name) in enumerate(zip(axes[0], xlabels)):
        kept = []
        for method in rank(points):
            mine = [(p[i], p[-1]) for p in points[method] if p[i] == p[i] and p[-1] == p[-1]]
            kept += mine
            if mine:
                ax.plot(*zip(*mine), ls="", ms=6, label=style(method)["label"], **look(method))
        ax.set(
            xlabel=name,
            title=(
                f"rank correlation {spearmanr(*zip(*kept))[0]:+.2f}, {len(kept)} networks"
                if len(kept) > 2
                else "no rows"
            ),
        )
        ax.title.set_fontsize(9)
    axes[0, 0].set_ylabel(ylabel)
    names = {
        label: handle for ax in axes[0] for handle, label in zip(*ax.get_legend_handles_labels())
    }
    fig.legend(
        names.values(), names, loc="outside lower center", ncols=4, frameon=False, fontsize=8
    )
    fig.suptitle(title, fontsize=10)
    return fig


def printed_and_ours(cells, answers, title=""):
    """Cells with rows, a line each: the printed number hollow, ours filled with its interval where
    there is one; accuracies as errors in %.

    `cells` and `answers` as tables.answer has them; a drop stays a drop, in points.
    """
    both = [(c, a) for c, a in zip(cells, answers) if c["kind"] == "measured" and a["seeds"]]
    if not both:
        raise ValueError("none of the cells has rows; pick cells that reproduce.filled answers")
    fig, axes = panels(1, 6.6, 0.8 + 0.24 * len(both))
    ax = axes[0, 0]

    def error(c, v):
        return 100 - v if c["quantity"] == "accuracy" else v

    for at, (c, a) in enumerate(both):
        kw = look(c["method"])
        theirs, ours = error(c, c["value"]), error(c, a["ours"])
        ax.plot([theirs, ours], [at, at], color="#999999", lw=1)
        if a["low"] == a["low"]:
            ends = sorted((error(c, a["low"]), error(c, a["high"])))
            ax.plot(ends, [at, at], color=kw["color"], lw=3, alpha=0.4)
        ax.plot([ours], [at], ls="", **kw)
        ax.plot([theirs], [at], **PAPER_HOLLOW, **kw)
    ax.set_yticks(
        range(len(both)),
        [
            f"{style(c['method'])['label']}, "
            + {"accuracy": "error", "drop": "drop"}.get(c["quantity"], c["quantity"])
            + (
                f" at SNR {c['level']}"
                if c["unit"] == "dB"
                else " clean" * (c["perturbation"] == "clean")
            )
            for c, _ in both
        ],
        fontsize=8,
    )
    ax.invert_yaxis()
    ax.set(xlabel="% or points; hollow: printed, filled: ours", title=title, xlim=(0, None))
    return fig
