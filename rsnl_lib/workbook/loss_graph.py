"""Fig. 1 out of the computation graph: one batch through teacher, student and a method's terms, the
graph walked, what was met drawn.
"""

import math
from typing import NamedTuple

import torch

from .. import networks, train
from ..checks import one_of
from ..data import sets
from ..train.methods.base import Batch
from ..train.methods.listed import METHODS
from ..train.recipes import lam_at, recipe
from . import palette

QUANTITIES = (
    "a_T",
    "g_T",
    "g_S",
    "a_S",
)  # logits (the scores f_T and f_S are their softmax) and input gradients
KINDS = {  # kind of an edge: its look, and its words in the legend
    "forward": (dict(color="#000000", ls="-", lw=1.1), "values"),
    "plain": (
        dict(color=palette.METHODS["kd"]["color"], ls="--", lw=1.5),
        "gradient, plain backprop",
    ),
    "double": (
        dict(color=palette.METHODS["robust"]["color"], ls="-.", lw=1.5),
        "gradient, double backprop: through $g_S$",
    ),
    "teacher": (dict(color="#CC0000", ls="-", lw=2.8), "GRADIENT INTO THE TEACHER"),
}


class Edge(NamedTuple):
    source: str  # a picture (x), a layer (student.0), one of QUANTITIES or a term (score)
    target: str
    kind: str  # of KINDS; all but "forward" are gradients, on their way from a term to weights


class Trace(NamedTuple):
    terms: dict  # {term: its weight}, those of positive weight
    boxes: dict  # {layer: lines of text}, of both networks, in the order in which they ran
    # of the first image, (c, h, w): "x", "x'" if the student was shown another, "g_T", "g_S"
    pictures: dict
    edges: tuple


def _layers(net):
    """{name: (module, lines)} of the modules with weights of their own; a maxout unit goes by its
    own name and channels.
    """
    found = {}
    for name, m in net.named_modules():
        if next(m.parameters(recurse=False), None) is not None:
            outer = net.get_submodule(name.rpartition(".")[0])
            pieces = getattr(outer, "pieces", 1)
            name = name if pieces == 1 else name.rpartition(".")[0]
            c_in, c_out = (
                getattr(m, f"{way}_channels", getattr(m, f"{way}_features", 0))
                for way in ("in", "out")
            )
            kernel = "×".join(map(str, getattr(m, "kernel_size", ())))
            lines = (
                name,
                type(outer if pieces > 1 else m).__name__.lower(),
                kernel,
                f"{c_in}→{c_out // pieces}" * (c_out > 0),
            )
            found[name] = m, [line for line in lines if line]
    return found


def _edge(t):
    e = torch.autograd.graph.get_gradient_edge(t)
    return e.node, e.output_nr


def _reach(start, marks, owners):
    """{name: edges} of all that is met on the ways down from the edges `start`; a way ends at one
    of marks {edge: name} or at a weight.
    """
    met, seen, todo = {}, set(), list(start)
    while todo:
        edge = node, _ = todo.pop()
        name = marks.get(edge) or owners.get(id(getattr(node, "variable", None)))
        if name:
            met.setdefault(name, []).append(edge)
        elif node is not None and node not in seen:
            seen.add(node)
            todo += node.next_functions
    return met


def _watch(who, net, marks, owners, shown, ran, boxes):
    """Hooks that note, as they are made, the net's answers and the gradients taken of them to its
    input (marks), its images and layers.
    """
    letter, layers = who[0].upper(), _layers(net)
    owners.update(
        {
            id(p): f"{who}.{name}"
            for name, (m, _) in layers.items()
            for p in m.parameters(recurse=False)
        }
    )
    boxes.update({f"{who}.{name}": lines for name, (_, lines) in layers.items()})

    def differentiated(g):
        shown[f"g_{letter}"] = g.detach()
        if (
            g.requires_grad or who == "student"
        ):  # a g_S that is a constant is marked too, to be drawn without a way back
            marks[_edge(g.requires_grad_())] = f"g_{letter}"

    def answered(_, images, a):
        shown.setdefault(who, images[0].detach())
        if a.requires_grad:
            marks[_edge(a)] = f"a_{letter}"
        if images[0].requires_grad:
            images[0].register_hook(differentiated)

    return [
        net.register_forward_hook(answered),
        *(
            m.register_forward_hook(lambda *_, box=f"{who}.{name}": ran.update({box: None}))
            for name, (m, _) in layers.items()
        ),
    ]


def trace(
    method="robust", teacher=None, student=None, x=None, y=None, r=None, ask=train.teacher_constants
):
    """The Trace of a method (a name, or a methods.Method) with recipe r on one batch x (n, c, h,
    w), y (n,), the teacher asked by `ask`.

    Nothing is told by the method's name. The teacher's a_T and g_T are made to require gradients if
    they do not, so that a walk of `grad_fn.next_functions` ends at those that a term uses; g_T is
    given even to a method that asks for none. What is found is a way, not that the gradient on it
    is other than zero. By default: eight digits, and a seeded pair of networks at their start.
    """
    how = METHODS[one_of("method", method, METHODS)] if isinstance(method, str) else method
    r, d = r or recipe(), sets.digits() if x is None else None
    x, y = (d.x_train[:8], d.y_train[:8]) if d else (x, y)
    marks, owners, shown, ran, boxes, hooks = {}, {}, {}, {}, {}, []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        teacher = networks.build("digits_teacher").eval() if teacher is None else teacher
        student = networks.build("digits_student") if student is None else student
        try:
            for who, net in (("student", student), ("teacher", teacher)):
                hooks += _watch(who, net, marks, owners, shown, ran, boxes)
            asked = (t.to(x.dtype) for t in ask(teacher, x, y, r.tau, how.gradients or "tempered"))
            a_T, g_T = (t if t.requires_grad else t.clone().requires_grad_() for t in asked)
            marks |= {_edge(a_T): "a_T", _edge(g_T): "g_T"}
            terms = {
                t: term
                for t, term in how.terms(
                    student, Batch(x, y, a_T, g_T, lam_at(r, 0), teacher if how.live else None), r
                ).items()
                if term[0] > 0
            }
        finally:
            for hook in hooks:
                hook.remove()
    ways = {
        t: _reach([_edge(loss)] if loss.requires_grad else [], marks, owners)
        for t, (_, loss) in terms.items()
    }
    used = [q for q in QUANTITIES if any(q in met for met in ways.values())]
    ways |= {
        q: _reach(
            [e for t in terms for node, _ in ways[t].get(q, ()) for e in node.next_functions],
            {},
            owners,
        )
        for q in used
    }

    def kind(way, to=""):
        return (
            "teacher"
            if to.startswith("teacher") or way in ("a_T", "g_T")
            else "double"
            if way == "g_S"
            else "plain"
        )

    edges, pictures = [], {q: shown[q][0].cpu() for q in used if q in shown}
    for who in sorted({{"T": "teacher", "S": "student"}[q[-1]] for q in used}):
        image = "x" if torch.equal(shown[who], x[: len(shown[who])]) else "x'"
        pictures[image] = shown[who][0].cpu()
        row = [image, *(box for box in ran if box.startswith(who)), f"a_{who[0].upper()}"]
        edges += [Edge(*pair, "forward") for pair in zip(row, row[1:])]
    edges += [Edge(f"a_{q[-1]}", q, "forward") for q in used if q in shown]
    for t, q in ((t, q) for t in terms for q in used if q in ways[t]):
        edges += [Edge(q, t, "forward")] + [Edge(t, q, kind(q))] * bool(ways[q])
    edges += [
        Edge(way, box, kind(way, box)) for way, met in ways.items() for box in boxes if box in met
    ]
    boxes = {
        box: boxes[box] for box in dict.fromkeys([*ran, *boxes]) if any(box in e[:2] for e in edges)
    }
    return Trace({t: weight for t, (weight, _) in terms.items()}, boxes, pictures, tuple(edges))


def reach(traced):
    """{term: {"plain", "double", "teacher": the layers that its gradient reaches so; "uses": the
    quantities it is computed from}}.
    """
    uses = {t: [e.source for e in traced.edges if e.target == t] for t in traced.terms}

    def ends(t, kind):
        return [
            box
            for box in traced.boxes
            if any(e[1:] == (box, kind) and e.source in (t, *uses[t]) for e in traced.edges)
        ]

    return {
        t: {kind: ends(t, kind) for kind in ("plain", "double", "teacher")} | {"uses": uses[t]}
        for t in traced.terms
    }


def _places(traced):
    """{node: (x, y, width, height)}, x and y of the middle, on a canvas of 900 x 380."""
    at = {
        "a_T": (530, 312, 98, 62),
        "g_T": (530, 229, 98, 46),
        "g_S": (530, 151, 98, 46),
        "a_S": (530, 68, 98, 62),
    }
    for who, y in (("teacher", 312), ("student", 68)):
        row = [box for box in traced.boxes if box.startswith(who)]
        at |= {
            box: (74 + 402 / len(row) * (i + 0.5), y, min(402 / len(row) - 8, 60), 62)
            for i, box in enumerate(row)
        }
    fed = {t: {e.source for e in traced.edges if e.target == t} for t in traced.terms}
    near, low = [t for t in fed if fed[t] & {"g_T", "g_S"}], [t for t in fed if fed[t] <= {"a_S"}]
    for column, x, y, step, w in (
        (near, 656, 190, 54, 62),
        (low, 836, 68, 54, 112),
        ([t for t in fed if t not in near + low], 836, 188, 80, 112),
    ):
        at |= {t: (x, y + step * ((len(column) - 1) / 2 - i), w, 38) for i, t in enumerate(column)}
    for image in {"x", "x'"} & {*traced.pictures}:
        rows = [at[e.target][1] for e in traced.edges if e.source == image]
        at[image] = 40, sum(rows) / len(rows), 48, 48
    return at


def _way(e, at):
    """The points of an arrow; values and gradients between a quantity and a term run side by
    side.
    """
    (x0, y0, w0, h0), (x1, y1, w1, h1) = at[e.source], at[e.target]
    up, out, q = (
        math.copysign(1, y1 - y0),
        1 if "teacher" in e.target else -1,
        e.source in QUANTITIES,
    )
    if q != (e.target in QUANTITIES) and "." not in e.source + e.target:
        side, shift = math.copysign(1, x1 - x0), -4 if e.kind == "forward" else 4

        def port(y, h, to):
            return y + max(8 - h / 2, min(h / 2 - 8, 0.15 * (to - y))) + shift

        return [(x0 + side * w0 / 2, port(y0, h0, y1)), (x1 - side * w1 / 2, port(y1, h1, y0))]
    if x0 == x1:  # logits to input gradient
        return [(x0, y0 + up * h0 / 2), (x1, y1 - up * h1 / 2)]
    if e.kind == "forward":  # along a network
        return (
            [(x0 + w0 / 2, y0), (x1 - w1 / 2, y1)]
            if y0 == y1
            else [(x0, y0 + up * h0 / 2), (x0, y1), (x1 - w1 / 2, y1)]
        )
    if q and e.source[0] == "g":  # to the weights, between the networks
        return [(x0 - w0 / 2, y0), (x1, y0), (x1, y1 - out * h1 / 2)]
    bus = y1 + out * 50  # to the weights, outside
    return [
        *(
            [(x0, y0 + out * h0 / 2), (x0, bus)]
            if q
            else [(x0 + w0 / 2, y0), (896, y0), (896, bus)]
        ),
        (x1, bus),
        (x1, y1 + out * h1 / 2),
    ]


def figure(traced, title=""):
    """Fig. 1 for a Trace: the picture feeds the teacher's layers above and the student's below; an
    arrow for every edge found, no other.
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
    from matplotlib.path import Path

    fig, axes = palette.panels(1, 9, 4.2)
    ax, at, kinds = (
        axes[0, 0],
        _places(traced),
        {q: {e.kind for e in traced.edges if e.source == q} for q in QUANTITIES},
    )
    words = {q: f"logits ${q}$\nscore $f_{q[-1]}$" if q[0] == "a" else f"${q}$" for q in QUANTITIES}
    words |= {t: f"{weight:g} ×\n{palette.TERMS.get(t, t)}" for t, weight in traced.terms.items()}
    words |= {
        box: "\n".join(lines if at[box][2] > 40 else [lines[0], lines[-1].rpartition("→")[-1]])
        for box, lines in traced.boxes.items()
    }
    for n in (n for n in at if n in traced.terms or any(n in e[:2] for e in traced.edges)):
        x, y, w, h = at[n]
        colour = "#fbe3cd" if n in traced.terms else "#e8e8e8" if n in QUANTITIES else "#ffffff"
        ax.add_patch(
            FancyBboxPatch(
                (x - w / 2, y - h / 2),
                w,
                h,
                boxstyle="round,pad=0,rounding_size=4",
                lw=1.1,
                ec="#000000",
                fc=colour,
            )
        )
        if n in traced.pictures:
            image, left, half = (
                traced.pictures[n].permute(1, 2, 0).numpy(),
                x - w / 2 + 3,
                h / 2 - 3,
            )
            top = abs(image).max()
            look = (
                dict(cmap="PuOr_r", vmin=-top, vmax=top)
                if n in QUANTITIES
                else dict(cmap="gray_r", vmin=0, vmax=1)
            )
            ax.imshow(
                image.mean(2) if n in QUANTITIES else image,
                **look,
                extent=(left, left + 2 * half, y - half, y + half),
                aspect="auto",
                zorder=3,
            )
        if n in words:
            constant = kinds.get(n) == {"forward"}
            ax.text(
                x + 20 * (n in ("g_T", "g_S")),
                y,
                words[n] + "\nconstant" * constant,
                ha="center",
                va="center",
                fontsize=8,
                zorder=4,
            )
            ax.plot(
                [x + w / 2 + 3] * 2,
                [y - h / 2, y + h / 2],
                color="#000000",
                lw=4 * constant,
                solid_capstyle="butt",
                zorder=5,
            )
        else:
            ax.text(5, y, f"${n}$", va="center")
    for e in traced.edges:
        points, (look, _) = _way(e, at), KINDS[e.kind]
        ax.add_patch(
            FancyArrowPatch(
                path=Path(points),
                arrowstyle="-|>",
                mutation_scale=9,
                shrinkA=0,
                shrinkB=0,
                gid=" ".join(e),
                zorder=1,
                **look,
            )
        )
        if e.target in ("g_T", "g_S") and e.source in QUANTITIES:
            ax.text(
                points[0][0] + 5,
                (points[0][1] + points[1][1]) / 2,
                r"$\nabla_{\!x}$",
                fontsize=9,
                va="center",
            )
    for who, y in (("teacher", 358), ("student", 20)):
        ax.text(
            5, y, who * any(box.startswith(who) for box in traced.boxes), weight="bold", va="center"
        )
    if "double" in kinds["g_S"]:
        ax.text(112, 158, "double backprop", color=KINDS["double"][0]["color"], fontsize=9)
    handles = [
        Line2D([], [], **look, label=label)
        for kind, (look, label) in KINDS.items()
        if any(e.kind == kind for e in traced.edges)
    ]
    handles += [
        Line2D(
            [], [], color="#000000", ls="", marker="|", ms=10, mew=4, label="no gradient flows back"
        )
    ] * ({"forward"} in kinds.values())
    fig.legend(
        handles=handles,
        loc="outside lower center",
        ncols=4,
        frameon=False,
        fontsize=8,
        handlelength=3,
    )
    ax.set(xlim=(0, 900), ylim=(0, 380), title=title)
    ax.axis("off")
    return fig
