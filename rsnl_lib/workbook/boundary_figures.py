"""Chapter 08's figures: a walk on a plane of images, what it changed, who is near the teacher."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from pandas import DataFrame
from torch import Tensor, nn

from ..geometry.boundary import gap
from . import palette

# the class a walk starts in, the class it aims at, and any third
CLASS_COLOURS = ("#0072B2", "#882255", "#767676")
CLOUDS = "#BBBBBB"  # the networks that a figure does not name
NAMED = "teacher standard mimic kd robust target_zero shuffled bss attacked".split()  # coloured
COPIED = {  # what a method copies from its teacher, beside its name
    "teacher": "teacher, another seed",
    "standard": "standard: no teacher",
    "mimic": "mimic: logits",
    "kd": "KD: scores",
    "fitnet": "FitNet: a hidden layer, then scores",
    "robust": "robust: scores, gradients, a lead",
    "gradient_only": "$L_G$ only: scores, gradients",
    "score_only": "$L_S$ only: scores, a lead",
    "target_zero": "target zero: scores; gradients to 0",
    "shuffled": "shuffled: another image's gradients",
    "noise_augmented": "noise augmented: scores, noisy images",
    "direct": "direct: scores, a lead within a radius",
    "attacked": "attacked images: no teacher",
    "bss": "BSS: scores, boundary samples too",
}
# where the names of some methods stand beside their marks, in points right and up, a dict a panel
_ALIKE = {
    "standard": (0, -14),
    "kd": (0, -17),
    "robust": (0, -24),
    "target_zero": (26, -4),
    "bss": (12, -20),
    "attacked": (38, 6),
    "mimic": (12, 16),
    "shuffled": (-18, 8),
}
BESIDE_ALIKE = [_ALIKE, _ALIKE | {"shuffled": (0, 18)}]
_FAR = {
    "teacher": (-10, 0),
    "kd": (10, 0),
    "robust": (0, 14),
    "target_zero": (-10, 4),
    "shuffled": (10, -4),
    "bss": (-8, 6),
    "attacked": (0, -14),
}
BESIDE_FAR = [_FAR, _FAR | {"teacher": (10, 0), "bss": (10, 0)}]


class WalkPlane(NamedTuple):
    """A plane of images through a walk, and who wins where."""

    side: float  # its middle is the image, its edges lie that far from it
    wins: Tensor  # (cells, cells) the class that wins
    gaps: Tensor  # (cells, cells) the gap of the two logits
    places: Tensor  # (steps + 1, 2) where the walk went, the image first


def walk_plane(net: nn.Module, path: Tensor, b: int, k: int, cells: int = 81) -> WalkPlane:
    """The plane through an image that holds the first step of its walk `path` (n, c, h, w), and,
    where the walk bends, its end; else the gap's gradient there.
    """
    first, last = (_slope(net, z[None], b, k) for z in (path[0], path[-1]))
    along = (path - path[0]).flatten(1)
    e = first / first.norm()
    for other in (along[-1], last):
        bend = other - (other @ e) * e
        if bend.norm() > 1e-3:
            break
    axes = torch.stack([e, bend / bend.norm()])
    places = along @ axes.T
    side = 1.35 * max(float(places.abs().max()), 0.1)
    grid = torch.linspace(-side, side, cells)
    v, u = torch.meshgrid(grid, grid, indexing="ij")
    z = path[:1] + (torch.stack([u, v], -1).reshape(-1, 2) @ axes).view(-1, *path.shape[1:])
    with torch.no_grad():
        a = torch.cat([net(part) for part in z.split(1000)])
    wins, gaps = a.argmax(1), a[:, b] - a[:, k]
    return WalkPlane(side, wins.view(cells, cells), gaps.view(cells, cells), places)


def _slope(net, z, b, k):
    """The gradient (d,) of the gap between classes b and k at one image."""
    z = z.detach().clone().requires_grad_()
    (g,) = torch.autograd.grad(gap(net(z), torch.tensor([b]), torch.tensor([k])).sum(), z)
    return g.flatten()


def walk_maps(walks: Sequence[tuple], b: int, title: str = "") -> Figure:
    """Walks (name, class aimed at, path, plane) from one image of class b: on top each one's plane,
    coloured by the class that wins; below, the image, the walk's end, and what the walk changed.
    """
    fig = Figure(figsize=(4.6 * len(walks), 6.3), layout="constrained")
    fig.suptitle(title, fontsize=11)
    parts = fig.subfigures(1, len(walks), squeeze=False)[0]
    for part, (name, k, path, plane) in zip(parts, walks):
        axes = part.subplot_mosaic([["map"] * 3, ["from", "to", "change"]], height_ratios=[3, 1.2])
        _draw_plane(axes["map"], plane, b, k)
        axes["map"].set_title(name, fontsize=10)
        palette.draw_image(axes["from"], path[0])
        palette.draw_image(axes["to"], path[-1])
        change = path[-1] - path[0]
        palette.draw_image(axes["change"], change, float(change.abs().max()) or 1)
        colours = "change: orange up,\npurple down"
        for which, words in (("from", "the image"), ("to", "the end"), ("change", colours)):
            axes[which].set_xlabel(words, fontsize=9)
    return fig


def _draw_plane(ax: Axes, plane: WalkPlane, b: int, k: int) -> None:
    edge = (-plane.side, plane.side)
    field = dict(origin="lower", extent=(*edge, *edge))
    wins, gaps, places = (np.asarray(t) for t in plane[1:])
    kinds = np.where(wins == b, 0, np.where(wins == k, 1, 2))
    ax.imshow(kinds, cmap=ListedColormap(CLASS_COLOURS), vmin=0, vmax=2, alpha=0.3, **field)
    grid = np.linspace(*edge, len(gaps))
    ax.contour(grid, grid, gaps, levels=[0], colors="#000000", linewidths=1.5)
    for c in np.unique(wins).tolist():
        _name_region(ax, wins == c, grid, f"{c} wins", CLASS_COLOURS[{b: 0, k: 1}.get(c, 2)])
    ax.plot(*places.T, color="#000000", marker="o", ms=5, lw=1.2)
    for i, place in enumerate(places):
        if i == 0 or np.linalg.norm(place - places[i - 1]) > 0.05 * plane.side:  # seen apart
            beside = (4, -13) if i % 2 else (-4, 7)
            ax.annotate(str(i), place, beside, textcoords="offset points", fontsize=10)
    ax.set_xlabel("pixels along the first step", fontsize=9)
    ax.set_ylabel("pixels across", fontsize=9)


def _name_region(ax, here, grid, name, colour):
    """Write the name into a region that is large enough, far from its edges."""
    from scipy.ndimage import distance_transform_edt

    deep = distance_transform_edt(np.pad(here, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(deep.argmax(), deep.shape)
    if deep.max() > 0.06 * len(grid):
        words = dict(color=colour, fontsize=10, weight="bold", ha="center", va="center")
        behind = dict(facecolor="#FFFFFF", edgecolor="none", alpha=0.8, pad=1)
        ax.text(grid[column], grid[row], name, **words, bbox=behind)


def walk_changes(x: Tensor, ends: dict, names: Sequence[str], title: str = "") -> Figure:
    """Images x (m, 1, h, w) on top; below, a row a method, what its walks {method: (m, 1, h, w)}
    changed: orange raises a pixel, purple lowers it, one scale for all.
    """
    fig = Figure(figsize=(1.35 * len(x) + 1.6, 1.35 * (1 + len(ends)) + 0.5), layout="constrained")
    fig.suptitle(title, fontsize=11)
    axes = fig.subplots(1 + len(ends), len(x), squeeze=False)
    changes = {m: end - x for m, end in ends.items()}
    top = max(float(d.abs().max()) for d in changes.values())
    for ax, image, name in zip(axes[0], x, names):
        palette.draw_image(ax, image)
        ax.set_title(name, fontsize=9)
    for row, (method, change) in zip(axes[1:], changes.items()):
        words = dict(rotation=0, ha="right", va="center", fontsize=9)
        row[0].set_ylabel(palette.style(method)["label"], **words)
        for ax, d in zip(row, change):
            palette.draw_image(ax, d, top)
    scale = ScalarMappable(Normalize(-top, top), palette.DIVERGING)
    bar = fig.colorbar(scale, ax=list(axes[1:].ravel()), shrink=0.6, pad=0.02)
    bar.set_label("change of the pixel", fontsize=9)
    return fig


def similarity_dots(rows: DataFrame, titles: dict, title: str = "") -> Figure:
    """A panel for each column of {column: title}; a line a method, the nearest to the teacher in
    the first column on top; a dot a network, a bar for the mean; a few methods are coloured.
    """
    first = next(iter(titles))
    order = rows.groupby("method")[first].mean().sort_values(ascending=False).index
    fig, axes = palette.panels(len(titles), 3.9, 1 + 0.27 * len(order), title, sharey=True)
    for ax, (column, words) in zip(axes, titles.items()):
        for at, method in enumerate(order):
            values = rows.loc[rows.method == method, column]
            colour = _colour(method)
            ax.plot(values, [at] * len(values), ls="", marker="o", ms=5, color=colour, alpha=0.7)
            ax.plot([values.mean()], [at], marker="|", ms=13, mew=2, color=colour)
        ax.set_xlabel(words)
        ax.grid(axis="y", color="#EEEEEE")
        ax.set_axisbelow(True)
    palette.name_rows(axes[0], [COPIED.get(m, m) for m in order])
    for name, method in zip(axes[0].get_yticklabels(), order):
        name.set_color(_colour(method) if method in NAMED else "#000000")
    return fig


def _colour(method):
    """A method's own colour if it is one of the few, else grey."""
    own = "pgd_at" if method == "attacked" else method
    return palette.style(own)["color"] if method in NAMED else "#999999"


def named_cloud(
    parts: dict, xlabel: str, ylabel: str, places: Sequence[dict], title: str = ""
) -> Figure:
    """A panel for each {title: table of method, x, y}, a mark a network; coloured are the methods
    that a panel names, {method: how many points right and up of them its name stands}.
    """
    fig, axes = palette.panels(len(parts), 4.6, 3.9, title)
    for ax, (words, table), named in zip(axes, parts.items(), places, strict=True):
        grey = table[~table.method.isin(list(named))]
        ax.plot(grey.x, grey.y, ls="", marker="o", ms=5, color=CLOUDS)
        for method, away in named.items():
            mine = table[table.method == method]
            if len(mine):
                colour = _colour(method)
                ax.plot(mine.x, mine.y, ls="", marker="o", ms=6, color=colour)
                name = COPIED.get(method, method).partition(":")[0].partition(",")[0]
                place = (mine.x.mean(), mine.y.mean())
                beside = dict(textcoords="offset points", va="center", fontsize=9, color=colour)
                side = "left" if away[0] > 0 else "right" if away[0] < 0 else "center"
                ax.annotate(name, place, away, ha=side, **beside)
        ax.set_title(words, fontsize=10)
        ax.set(xlabel=xlabel)
    axes[0].set_ylabel(ylabel)
    return fig
