"""Fig. 1 out of the computation graph: what a walk back from each loss term met, drawn."""

import math

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path

from . import palette
from .graph_walk import QUANTITIES, Trace

ARROWS = {  # kind of an edge: its look, and its words in the legend
    "forward": dict(color="#000000", ls="-", lw=1.1, label="values"),
    "plain": dict(color="#009E73", ls="--", lw=1.5, label="gradient, plain backprop"),
    "double": dict(
        color="#D55E00", ls="-.", lw=1.5, label="gradient, double backprop: through $g_S$"
    ),
    "teacher": dict(color="#CC0000", ls="-", lw=2.8, label="GRADIENT INTO THE TEACHER"),
}


def _places(traced):
    """{node: (x, y, width, height)}, x and y of the middle, on a canvas of 900 x 380."""
    heights = zip(QUANTITIES, (312, 229, 151, 68))
    at = {q: (530, y, 98, 62 if q in ("a_T", "a_S") else 46) for q, y in heights}
    for who, y in (("teacher", 312), ("student", 68)):
        row = [box for box in traced.boxes if box.startswith(who)]
        for i, box in enumerate(row):
            step = 402 / len(row)
            at[box] = (74 + step * (i + 0.5), y, min(step - 8, 60), 62)
    fed = {t: {e.source for e in traced.edges if e.target == t} for t in traced.terms}
    near = [t for t in fed if fed[t] & {"g_T", "g_S"}]
    low = [t for t in fed if fed[t] <= {"a_S"}]
    rest = [t for t in fed if t not in near + low]
    columns = ((near, 656, 190, 54, 62), (low, 836, 68, 54, 112), (rest, 836, 188, 80, 112))
    for column, x, y, step, w in columns:
        for i, t in enumerate(column):
            at[t] = (x, y + step * ((len(column) - 1) / 2 - i), w, 38)
    for image in {"x", "x'"} & {*traced.pictures}:
        rows = [at[e.target][1] for e in traced.edges if e.source == image]
        at[image] = (40, sum(rows) / len(rows), 48, 48)
    return at


def _way(e, at):
    """The points of an arrow; between a quantity and a term two run side by side."""
    x0, y0, w0, h0 = at[e.source]
    x1, y1, w1, h1 = at[e.target]
    up = math.copysign(1, y1 - y0)
    given = e.source in QUANTITIES
    if given != (e.target in QUANTITIES) and "." not in e.source + e.target:
        side = math.copysign(1, x1 - x0)
        shift = -4 if e.kind == "forward" else 4

        def port(y, h, to):
            return y + max(8 - h / 2, min(h / 2 - 8, 0.15 * (to - y))) + shift

        return [(x0 + side * w0 / 2, port(y0, h0, y1)), (x1 - side * w1 / 2, port(y1, h1, y0))]
    if x0 == x1:  # logits to input gradient
        return [(x0, y0 + up * h0 / 2), (x1, y1 - up * h1 / 2)]
    if e.kind == "forward":  # along a network
        start = [(x0 + w0 / 2, y0)] if y0 == y1 else [(x0, y0 + up * h0 / 2), (x0, y1)]
        return [*start, (x1 - w1 / 2, y1)]
    out = 1 if "teacher" in e.target else -1
    if e.source in ("g_T", "g_S"):  # to the weights, between the networks
        return [(x0 - w0 / 2, y0), (x1, y0), (x1, y1 - out * h1 / 2)]
    bus = y1 + out * 50  # to the weights, outside
    start = [(x0 + w0 / 2, y0), (896, y0), (896, bus)]
    if given:
        start = [(x0, y0 + out * h0 / 2), (x0, bus)]
    return [*start, (x1, bus), (x1, y1 + out * h1 / 2)]


def _node_words(traced, at, constants):
    """{node: what its box says}."""
    words = {q: f"${q}$" for q in QUANTITIES}
    words |= {a: f"logits ${a}$\nscore $f_{a[-1]}$" for a in ("a_T", "a_S")}
    words |= {q: f"{words[q]}\nconstant" for q in constants}
    words |= {t: f"{weight:g} ×\n{palette.term(t)}" for t, weight in traced.terms.items()}
    for box, lines in traced.boxes.items():
        width = at[box][2]
        words[box] = "\n".join(lines if width > 40 else [lines[0], lines[-1].rpartition("→")[-1]])
    return words


def _draw_node(ax, node, place, said, picture, colour):
    """A box with its words and at its left the picture; of a gradient the mean over channels."""
    x, y, w, h = place
    look = dict(boxstyle="round,pad=0,rounding_size=4", lw=1.1, ec="#000000", fc=colour)
    ax.add_patch(FancyBboxPatch((x - w / 2, y - h / 2), w, h, **look))
    if picture is not None:
        top = float(abs(picture).max()) if node in QUANTITIES else None
        left = x - w / 2 + 3
        place = dict(extent=(left, left + h - 6, y - h / 2 + 3, y + h / 2 - 3), aspect="auto")
        palette.draw_image(ax, picture, top, **place, zorder=3, interpolation="auto")
    if said:
        middle = x + 20 if node in ("g_T", "g_S") else x
        ax.text(middle, y, said, ha="center", va="center", fontsize=8, zorder=4)
    else:
        ax.text(5, y, f"${node}$", va="center")


def _draw_arrow(ax, e, at):
    points = _way(e, at)
    tip = dict(arrowstyle="-|>", mutation_scale=9, shrinkA=0, shrinkB=0)
    arrow = FancyArrowPatch(path=Path(points), **tip, zorder=1, gid=" ".join(e), **ARROWS[e.kind])
    ax.add_patch(arrow)
    if e.target in ("g_T", "g_S") and e.source in QUANTITIES:
        (x, y0), (_, y1) = points
        ax.text(x + 5, (y0 + y1) / 2, r"$\nabla_{\!x}$", fontsize=9, va="center")


def figure(traced: Trace, title: str = "") -> Figure:
    """Fig. 1 for a Trace, the teacher above; an arrow for every edge, no other."""
    fig, (ax,) = palette.panels(1, 9, 4.2)
    at = _places(traced)
    kinds = {q: {e.kind for e in traced.edges if e.source == q} for q in QUANTITIES}
    constants = [q for q in QUANTITIES if kinds[q] == {"forward"}]
    words = _node_words(traced, at, constants)
    drawn = {node for e in traced.edges for node in e[:2]} | set(traced.terms)
    colours = dict.fromkeys(QUANTITIES, "#e8e8e8") | dict.fromkeys(traced.terms, "#fbe3cd")
    for node in (n for n in at if n in drawn):
        picture = traced.pictures.get(node)
        _draw_node(ax, node, at[node], words.get(node), picture, colours.get(node, "#ffffff"))
    for x, y, w, h in (at[q] for q in constants):
        bar = dict(color="#000000", lw=4, solid_capstyle="butt", zorder=5)
        ax.plot([x + w / 2 + 3] * 2, [y - h / 2, y + h / 2], **bar)
    for e in traced.edges:
        _draw_arrow(ax, e, at)
    for who, y in (("teacher", 358), ("student", 20)):
        if any(box.startswith(who) for box in traced.boxes):
            ax.text(5, y, who, weight="bold", va="center")
    if "double" in kinds["g_S"]:
        ax.text(112, 158, "double backprop", color=ARROWS["double"]["color"], fontsize=9)
    met = {e.kind for e in traced.edges}
    handles = [Line2D([], [], **look) for kind, look in ARROWS.items() if kind in met]
    if constants:
        bar = dict(color="#000000", ls="", marker="|", ms=10, mew=4)
        handles.append(Line2D([], [], **bar, label="no gradient flows back"))
    palette.add_legend(fig, 4, handles, handlelength=3)
    ax.set(xlim=(0, 900), ylim=(0, 380), title=title)
    ax.axis("off")
    return fig
