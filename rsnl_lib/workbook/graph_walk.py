"""The walk behind Fig. 1: from each term of a method back through the computation graph."""

import contextlib
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .. import networks, train
from ..checks import one_of
from ..data import sets
from ..train.methods import METHODS
from ..train.methods.base import Batch, Method
from ..train.recipes import Recipe, lam_at, recipe

# logits (the scores f_T and f_S are their softmax) and input gradients
QUANTITIES = ("a_T", "g_T", "g_S", "a_S")
GRADIENTS = ("plain", "double", "teacher")  # by backprop, through g_S, into the teacher: a fault


class Edge(NamedTuple):
    source: str  # a picture (x), a layer (student.0), one of QUANTITIES or a term (score)
    target: str
    kind: str  # "forward" for values; else one of GRADIENTS


class Trace(NamedTuple):
    terms: dict  # {term: its weight}, those of positive weight
    boxes: dict  # {layer: lines of text}, of both networks, in the order in which they ran
    # of the first image, (c, h, w): "x", "x'" if the student was shown another, "g_T", "g_S"
    pictures: dict
    edges: tuple


class _Seen(NamedTuple):
    """What hooks and the walk know of one pass."""

    marks: dict  # {edge of the graph: one of QUANTITIES}
    owners: dict  # {id of a weight: layer}
    shown: dict  # {network: its images, "g_T" or "g_S": that gradient}
    ran: dict  # the layers in the order in which they ran, as keys
    boxes: dict  # {layer: lines of text}


def _weighted(net):
    """(name, module, lines) of modules with weights; a maxout unit has its own name, channels."""
    for name, m in net.named_modules():
        if next(m.parameters(recurse=False), None) is None:
            continue
        unit = m
        outer = name.rpartition(".")[0]
        pieces = getattr(net.get_submodule(outer), "pieces", 1)
        if pieces > 1:
            name = outer
            unit = net.get_submodule(outer)
        lines = [name, type(unit).__name__.lower()]
        if hasattr(m, "kernel_size"):
            lines.append("×".join(map(str, m.kernel_size)))
        for kind in ("channels", "features"):
            if c_out := getattr(m, f"out_{kind}", 0):
                lines.append(f"{getattr(m, f'in_{kind}', 0)}→{c_out // pieces}")
        yield name, m, [line for line in lines if line]


def _edge(t):
    return torch.autograd.graph.get_gradient_edge(t)[:2]


def _walk_back(start, marks, owners):
    """{name: edges} met on the ways down from edges `start` to marks {edge: name} and weights."""
    met = {}
    seen = set()
    todo = list(start)
    while todo:
        edge = todo.pop()
        node = edge[0]
        name = marks.get(edge) or owners.get(id(getattr(node, "variable", None)))
        if name:
            met.setdefault(name, []).append(edge)
        elif node is not None and node not in seen:
            seen.add(node)
            todo += node.next_functions
    return met


def _watch(who, net, seen):
    """Hooks that note the net's images, answers, layers, and the input gradients asked of it."""
    letter = who[0].upper()

    def note_gradient(g):
        seen.shown[f"g_{letter}"] = g.detach()
        # a g_S that is a constant is marked too, to be drawn without a way back
        if g.requires_grad or who == "student":
            seen.marks[_edge(g.requires_grad_())] = f"g_{letter}"

    def note_answer(_, images, a):
        seen.shown.setdefault(who, images[0].detach())
        if a.requires_grad:
            seen.marks[_edge(a)] = f"a_{letter}"
        if images[0].requires_grad:
            images[0].register_hook(note_gradient)

    yield net.register_forward_hook(note_answer)
    for name, m, lines in _weighted(net):
        box = f"{who}.{name}"
        seen.boxes[box] = lines
        seen.owners.update((id(p), box) for p in m.parameters(recurse=False))
        yield m.register_forward_hook(lambda *_, box=box: seen.ran.update({box: None}))


def _kind(way, to=""):
    """The kind of a gradient that comes from a term or quantity `way`."""
    if to.startswith("teacher") or way in ("a_T", "g_T"):
        return "teacher"
    return "double" if way == "g_S" else "plain"


def _ways(terms, seen):
    """{term or quantity in use: what is met on the walk back from it}."""
    ways = {}
    for t, (_, loss) in terms.items():
        start = [_edge(loss)] if loss.requires_grad else []
        ways[t] = _walk_back(start, seen.marks, seen.owners)
    for q in QUANTITIES:
        if met := [node for t in terms for node, _ in ways[t].get(q, ())]:
            start = [edge for node in met for edge in node.next_functions]
            ways[q] = _walk_back(start, {}, seen.owners)
    return ways


def _make_trace(terms, x, seen):
    """The Trace of terms {term: (weight, loss)} of images x."""
    ways = _ways(terms, seen)
    used = [q for q in QUANTITIES if q in ways]
    gradients = [q for q in used if q in seen.shown]
    pictures = {q: seen.shown[q][0].cpu() for q in gradients}
    edges = []
    for who in sorted({"teacher" if q.endswith("T") else "student" for q in used}):
        images = seen.shown[who]
        name = "x" if torch.equal(images, x[: len(images)]) else "x'"
        pictures[name] = images[0].cpu()
        row = [name, *(box for box in seen.ran if box.startswith(who)), f"a_{who[0].upper()}"]
        edges += [Edge(*pair, "forward") for pair in zip(row, row[1:])]
    edges += [Edge(f"a_{q[-1]}", q, "forward") for q in gradients]
    for t in terms:
        for q in (q for q in used if q in ways[t]):
            edges.append(Edge(q, t, "forward"))
            if ways[q]:
                edges.append(Edge(t, q, _kind(q)))
    for way, met in ways.items():
        edges += [Edge(way, box, _kind(way, box)) for box in seen.boxes if box in met]
    drawn = {node for e in edges for node in e[:2]}
    boxes = {box: seen.boxes[box] for box in [*seen.ran, *seen.boxes] if box in drawn}
    return Trace({t: weight for t, (weight, _) in terms.items()}, boxes, pictures, tuple(edges))


def trace(
    method: str | Method = "robust",
    teacher: nn.Module | None = None,
    student: nn.Module | None = None,
    x: Tensor | None = None,
    y: Tensor | None = None,
    r: Recipe | None = None,
    ask: Callable = train.teacher_constants,
) -> Trace:
    """The Trace of a method (a name, or a methods.Method) with recipe r on one batch x (n, c, h,
    w), y (n,), the teacher asked by `ask`; by default eight digits and a seeded pair at its start.

    Nothing is told by the method's name. a_T and g_T are made to require gradients, so that a walk
    ends at those that a term uses; g_T is given even to a method that asks for none. What is found
    is a way, not that the gradient on it is other than zero.
    """
    how = METHODS[one_of("method", method, METHODS)] if isinstance(method, str) else method
    r = r or recipe()
    if x is None:
        d = sets.digits()
        x, y = d.x_train[:8], d.y_train[:8]
    with torch.random.fork_rng(devices=[]), contextlib.ExitStack() as hooks:
        torch.manual_seed(0)
        teacher = networks.build("digits_teacher").eval() if teacher is None else teacher
        student = networks.build("digits_student") if student is None else student
        seen = _Seen({}, {}, {}, {}, {})
        for who, net in (("student", student), ("teacher", teacher)):
            for hook in _watch(who, net, seen):
                hooks.enter_context(hook)
        asked = [t.to(x.dtype) for t in ask(teacher, x, y, r.tau, how.gradients or "tempered")]
        a_T, g_T = (t if t.requires_grad else t.clone().requires_grad_() for t in asked)
        seen.marks.update({_edge(a_T): "a_T", _edge(g_T): "g_T"})
        batch = Batch(x, y, a_T, g_T, lam_at(r, 0), teacher if how.live else None)
        terms = how.terms(student, batch, r)
    return _make_trace({t: term for t, term in terms.items() if term[0] > 0}, x, seen)


def term_reach(traced: Trace) -> dict:
    """{term: {one of GRADIENTS: layers it reaches so, "uses": quantities it is computed from}}."""
    found = {}
    for t in traced.terms:
        uses = [e.source for e in traced.edges if e.target == t]
        met = {(e.target, e.kind) for e in traced.edges if e.source in (t, *uses)}
        layers = {g: [box for box in traced.boxes if (box, g) in met] for g in GRADIENTS}
        found[t] = {**layers, "uses": uses}
    return found
