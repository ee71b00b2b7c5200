"""Fig. 1 from the graph: does the walk find what autograd finds, does it see the faults it is there
for, does the figure show no more and no less?
"""

import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.patches import FancyArrowPatch
from torch import nn

from rsnl_lib import geometry, networks, train
from rsnl_lib.data import sets
from rsnl_lib.networks import fast
from rsnl_lib.train import constants, losses
from rsnl_lib.train.methods import METHODS as ALL
from rsnl_lib.train.methods.base import Batch, Method
from rsnl_lib.workbook import graph_walk, loss_graph

NAMES = (
    "0",
    "1",
    "2",
    "4",
    "5",
    "6",
    "9",
)  # digits_student's layers with weights; the teacher's are 0, 1, 3, 6
STUDENT, TEACHER = (
    [f"student.{n}" for n in NAMES],
    ["teacher.0", "teacher.1", "teacher.3", "teacher.6"],
)
USES = {  # of a_T and g_T, by term, as the equations have it
    "teacher": {},
    "standard": {},
    "mimic": {"mimic": ["a_T"]},
    "kd": {"kd": ["a_T"]},
    "fitnet": {"kd": ["a_T"]},
    "noise_augmented": {"kd": ["a_T"]},
    "score_only": {"kd": ["a_T"], "score": ["a_T"]},
    "gradient_only": {"kd": ["a_T"], "gradient": ["g_T"]},
    "robust": {"kd": ["a_T"], "score": ["a_T"], "gradient": ["g_T"]},
    "shuffled": {"kd": ["a_T"], "score": ["a_T"], "gradient": ["g_T"]},
    "matched": {"kd": ["a_T"], "score": ["a_T"], "gradient": ["g_T"]},
    "target_zero": {"kd": ["a_T"], "score": ["a_T"], "gradient": []},
    "direct": {"kd": ["a_T"], "direct": ["a_T", "g_T"]},
}
METHODS = {
    m: how for m, how in ALL.items() if how.terms.__module__.endswith((".paper", ".controls"))
}  # a neighbour attacks or walks first: another figure
TWICE = {
    "robust": ["gradient"],
    "gradient_only": ["gradient"],
    "target_zero": ["gradient"],
    "shuffled": ["gradient"],
    "matched": ["gradient"],
    "direct": ["direct"],
}


@pytest.fixture(scope="module")
def traces():
    return {m: graph_walk.trace(m) for m in METHODS}


def live(teacher, x, y, tau, space):
    """A teacher whose answers keep their graph: the fault that the figure is there to show."""
    return geometry.input_gradient(teacher, x, y, tau, create_graph=True, space=space)


def arrows(fig):
    return [p for p in fig.axes[0].patches if isinstance(p, FancyArrowPatch)]


def texts(fig):
    return [t for t in (*fig.axes[0].texts, *fig.legends[0].get_texts()) if t.get_text()]


def test_robust_is_the_papers_figure(traces):
    found = graph_walk.term_reach(traces["robust"])
    assert list(found) == ["ce", "kd", "gradient", "score"] and traces["robust"].terms == {
        "ce": 1,
        "kd": 4,
        "gradient": 10,
        "score": 1,
    }
    for term in ("ce", "kd", "score"):
        assert found[term]["plain"] == STUDENT and found[term]["double"] == [], term
    assert found["gradient"]["double"] == STUDENT and found["gradient"]["plain"] == []
    assert [found[t]["uses"] for t in found] == [
        ["a_S"],
        ["a_T", "a_S"],
        ["g_T", "g_S"],
        ["a_T", "a_S"],
    ]
    assert all(found[t]["teacher"] == [] for t in found)


@pytest.mark.parametrize("method", METHODS)
def test_which_terms_use_the_teacher_and_which_differentiate_twice(traces, method):
    found = graph_walk.term_reach(traces[method])
    assert set(USES) == set(METHODS)
    assert {t: [q for q in found[t]["uses"] if q.endswith("T")] for t in found} == {
        "ce": []
    } | USES[method]
    assert [t for t in found if found[t]["double"]] == TWICE.get(method, [])
    assert all(
        found[t]["teacher"] == [] and set(found[t]["plain"] + found[t]["double"]) == set(STUDENT)
        for t in found
    )
    asked = {q for t in found for q in found[t]["uses"]}
    assert ("a_T" in asked, "g_T" in asked) == (
        METHODS[method].scores,
        bool(METHODS[method].gradients),
    )  # as METHODS declares it


@pytest.mark.parametrize(
    "names",
    [
        ("digits_teacher", "digits_student"),
        ("digits_mlp_teacher", "digits_mlp_student"),
        ("digits_teacher", "digits_student+bn"),
    ],
)
@pytest.mark.parametrize("method", METHODS)
def test_the_walk_agrees_with_autograd(method, names):
    torch.manual_seed(1)
    teacher, student, d = (
        networks.build(names[0]).eval(),
        networks.build(names[1]).eval(),
        sets.digits(),
    )
    x, y, r = d.x_train[:6], d.y_train[:6], train.recipe()
    a_T, g_T = train.teacher_constants(
        teacher, x, y, r.tau, METHODS[method].gradients or "tempered"
    )
    b = Batch(x, y, a_T.requires_grad_(), g_T.float().requires_grad_(), 4.0)
    weights = {
        n.removesuffix(".weight").removesuffix(".layer"): p
        for n, p in student.named_parameters()
        if n.endswith("weight")
    }
    found = graph_walk.term_reach(graph_walk.trace(method, teacher, student, x, y, r))
    for term, (weight, loss) in METHODS[method].terms(student, b, r).items():
        if weight:
            reached = torch.autograd.grad(
                loss, [*weights.values(), a_T, b.g_T], retain_graph=True, allow_unused=True
            )
            want = {name for name, g in zip([*weights, "a_T", "g_T"], reached) if g is not None}
            got = {
                box.removeprefix("student.") for box in found[term]["plain"] + found[term]["double"]
            }
            assert (
                got | {q for q in found[term]["uses"] if q.endswith("T")} == want
                and set(weights) <= want
            ), term


@pytest.mark.parametrize(
    "method, terms",
    [
        ("robust", ["kd", "gradient", "score"]),
        ("kd", ["kd"]),
        ("mimic", ["mimic"]),
        ("target_zero", ["kd", "score"]),
        ("direct", ["kd", "direct"]),
    ],
)
def test_a_live_teacher_is_seen_and_drawn(traces, method, terms):
    traced = graph_walk.trace(method, ask=live)
    found = graph_walk.term_reach(traced)
    assert [t for t in found if found[t]["teacher"]] == terms and all(
        found[t]["teacher"] == TEACHER for t in terms
    )
    red = [p for p in arrows(loss_graph.figure(traced)) if to_hex(p.get_edgecolor()) == "#cc0000"]
    ends = {tuple(p.get_gid().split()[:2]) for p in red}
    assert {("a_T", box) for box in TEACHER} <= ends and (
        "kd" not in terms or ("kd", "a_T") in ends
    )
    assert any("INTO THE TEACHER" in t.get_text() for t in texts(loss_graph.figure(traced)))
    good = loss_graph.figure(traces[method])
    assert not any("TEACHER" in t.get_text() for t in texts(good)) and "#cc0000" not in {
        to_hex(p.get_edgecolor()) for p in arrows(good)
    }


def test_both_ways_of_training_to_ask_the_teacher_give_constants(traces):
    for method in ("robust", "kd", "direct"):
        assert graph_walk.trace(method, ask=constants._ask).edges == traces[method].edges


def test_a_method_that_calls_the_teacher_itself_is_seen():
    teacher = networks.build("digits_teacher").eval()

    def careless(net, b, r):
        return {"kd": (1.0, losses.soft_cross_entropy(net(b.x), teacher(b.x), r.tau))}

    def careful(net, b, r):
        return {"kd": (1.0, losses.soft_cross_entropy(net(b.x), teacher(b.x).detach(), r.tau))}

    assert (
        graph_walk.term_reach(graph_walk.trace(Method(careless), teacher))["kd"]["teacher"]
        == TEACHER
    )
    assert graph_walk.term_reach(graph_walk.trace(Method(careful), teacher))["kd"] == {
        "plain": STUDENT,
        "double": [],
        "teacher": [],
        "uses": ["a_S"],
    }


def test_weights_used_without_calling_their_layer_are_found():
    class Bare(nn.Sequential):
        def forward(self, x):
            return nn.functional.linear(x.flatten(1), self[0].weight, self[0].bias)

    traced = graph_walk.trace(
        "kd", Bare(nn.Linear(64, 10)).eval(), Bare(nn.Linear(64, 10)), ask=live
    )
    assert graph_walk.term_reach(traced)["kd"] == {
        "plain": ["student.0"],
        "double": [],
        "teacher": ["teacher.0"],
        "uses": ["a_T", "a_S"],
    }
    assert len(arrows(loss_graph.figure(traced))) == len(traced.edges)


def test_an_answer_that_is_one_of_several_outputs_is_known():
    class Second(nn.Sequential):
        def forward(self, x):
            return super().forward(x).chunk(2, 1)[1]

    found = graph_walk.term_reach(
        graph_walk.trace("kd", student=Second(nn.Flatten(), nn.Linear(64, 20)))
    )
    assert found["kd"] == {
        "plain": ["student.1"],
        "double": [],
        "teacher": [],
        "uses": ["a_T", "a_S"],
    }


def test_a_students_gradient_without_a_graph_is_a_constant():
    def lost(net, b, r):
        a_S, g_S = geometry.input_gradient(net, b.x, b.y, r.tau)
        return {
            "ce": (1.0, losses.kd_loss(net(b.x), b.a_T, b.y, 1.0, r.tau)),
            "gradient": (1.0, losses.gradient_loss(g_S, b.g_T)),
        }

    traced = graph_walk.trace(Method(lost))
    assert graph_walk.term_reach(traced)["gradient"] == {
        "plain": [],
        "double": [],
        "teacher": [],
        "uses": ["g_T", "g_S"],
    }
    fig = loss_graph.figure(traced)
    assert (
        "double backprop" not in " ".join(t.get_text() for t in texts(fig))
        and sum("constant" in t.get_text() for t in texts(fig)) == 3
    )


def test_terms_without_a_quantity():
    def odd(net, b, r):
        return {
            "ce": (1.0, net(b.x).square().mean()),
            "decay": (0.1, net[0].layer.weight.square().sum()),
            "fixed": (1.0, b.x.mean()),
            "off": (0.0, net(b.x).sum()),
        }

    found = graph_walk.term_reach(traced := graph_walk.trace(Method(odd)))
    assert list(found) == ["ce", "decay", "fixed"] and found["decay"] == {
        "plain": ["student.0"],
        "double": [],
        "teacher": [],
        "uses": [],
    }
    assert found["fixed"] == {"plain": [], "double": [], "teacher": [], "uses": []} and len(
        arrows(loss_graph.figure(traced))
    ) == len(traced.edges)


def test_frozen_and_bypassed_layers_lose_their_arrow():
    student = networks.build("digits_student")
    student[2].requires_grad_(False)
    found = graph_walk.term_reach(graph_walk.trace("robust", student=student))
    assert all(
        sorted(found[t]["plain"] + found[t]["double"])
        == [box for box in STUDENT if box != "student.2"]
        for t in found
    )

    class Detached(nn.Sequential):
        def forward(self, x):
            return self[1](self[0](x).detach())

    student = Detached(nn.Sequential(nn.Flatten(), nn.Linear(64, 8)), nn.Linear(8, 10))
    assert graph_walk.term_reach(graph_walk.trace("kd", student=student))["kd"]["plain"] == [
        "student.1"
    ]


def test_training_s_own_layers_give_the_same_figure(traces):
    student = networks.build("digits_student")
    with fast.layers(student):
        for method in ("robust", "target_zero", "kd", "direct"):
            assert graph_walk.trace(method, student=student).edges == traces[method].edges, method


def test_the_trace_leaves_nothing_behind():
    teacher, student = networks.build("digits_teacher").eval(), networks.build("digits_student")
    torch.manual_seed(3)
    before = torch.get_rng_state()
    graph_walk.trace("shuffled", teacher, student)
    with pytest.raises(ZeroDivisionError):
        graph_walk.trace(Method(lambda net, b, r: 1 / 0), teacher, student)
    assert torch.equal(before, torch.get_rng_state())
    for net in (teacher, student):
        assert all(p.grad is None for p in net.parameters()) and not any(
            m._forward_hooks for m in net.modules()
        )
    with pytest.raises(ValueError, match="method"):
        graph_walk.trace("robuts")


@pytest.mark.parametrize("method", METHODS)
def test_the_figure_has_an_arrow_for_each_edge_and_the_layers_of_the_real_networks(traces, method):
    traced = traces[method]
    fig = loss_graph.figure(traced)
    assert sorted(p.get_gid() for p in arrows(fig)) == sorted(" ".join(e) for e in traced.edges)
    written = [t.get_text() for t in texts(fig)]
    boxes = (
        ["0\nmaxout\n3×3\n1→8"]
        + [f"{n}\nmaxout\n3×3\n8→8" for n in NAMES[1:-1]]
        + ["9\nlinear\n32→10"]
    )
    boxes += (
        [
            "0\nmaxout\n3×3\n1→24",
            "1\nmaxout\n3×3\n24→24",
            "3\nmaxout\n3×3\n24→24",
            "6\nlinear\n96→10",
        ]
        if METHODS[method].scores
        else []
    )
    assert sorted(t for t in written if "→" in t) == sorted(boxes)
    assert [len(p.get_path().vertices) > 2 for p in arrows(fig)].count(True) >= 7
    for p, e in zip(arrows(fig), traced.edges):
        assert p.get_linestyle() == {"forward": "-", "plain": "--", "double": "-."}[e.kind]


def test_every_arrow_ends_at_its_boxes(traces):
    at = loss_graph._places(traces["direct"])
    for e in traces["direct"].edges:
        points = loss_graph._way(e, at)
        for (x, y), node in ((points[0], e.source), (points[-1], e.target)):
            cx, cy, w, h = at[node]
            assert (
                abs(x - cx) <= w / 2 + 1e-6
                and abs(y - cy) <= h / 2 + 1e-6
                and (abs(abs(x - cx) - w / 2) < 1e-6 or abs(abs(y - cy) - h / 2) < 1e-6)
            ), e


def test_other_methods_give_other_arrows(traces):
    drawn = {
        m: frozenset(p.get_gid() for p in arrows(loss_graph.figure(traces[m]))) for m in METHODS
    }
    assert (
        drawn["robust"] - drawn["target_zero"] == {"g_T gradient forward", "a_T g_T forward"}
        and drawn["target_zero"] < drawn["robust"]
    )
    assert {g.split()[0] for g in drawn["robust"] - drawn["kd"]} >= {
        "g_S",
        "g_T",
        "score",
    } and not any("double" in g for g in drawn["kd"])
    same = [{"robust", "shuffled", "matched"}, {"kd", "fitnet"}, {"teacher", "standard"}]
    for a in METHODS:
        for b in METHODS:
            assert (drawn[a] == drawn[b]) == (a == b or any({a, b} <= group for group in same)), (
                a,
                b,
            )
    assert set(traces["noise_augmented"].pictures) == {"x", "x'"} and set(
        traces["robust"].pictures
    ) == {"x", "g_T", "g_S"}


@pytest.mark.parametrize("method", METHODS)
def test_the_figure_can_be_read(traces, method):
    fig = loss_graph.figure(traces[method], "a title")
    pen = FigureCanvasAgg(fig)
    pen.draw()
    assert fig.get_size_inches().tolist() == [9, 4.2]
    boxes = [(t.get_text(), t.get_window_extent(pen.get_renderer())) for t in texts(fig)]
    assert all(t.get_fontsize() >= 8 for t in texts(fig))
    for i, (one, a) in enumerate(boxes):
        assert a.x0 >= 0 and a.y0 >= 0 and a.x1 <= 900 and a.y1 <= 420, one
        assert not [other for other, b in boxes[:i] if a.overlaps(b)], one
    at = {
        n: fig.axes[0].transData.transform([(x - w / 2, y - h / 2), (x + w / 2, y + h / 2)])
        for n, (x, y, w, h) in loss_graph._places(traces[method]).items()
    }
    inside = [
        any((low <= a.min).all() and (a.max <= high).all() for low, high in at.values())
        for word, a in boxes
        if "\n" in word or "$g" in word[:2]
    ]
    assert all(inside) and len(inside) >= len(traces[method].boxes) + len(traces[method].terms)


def test_deep_networks_fit_too():
    nets = networks.build("cifar_teacher@0.1").eval(), networks.build("cifar_student4@0.1")
    traced = graph_walk.trace("robust", *nets, torch.rand(2, 3, 32, 32), torch.tensor([1, 2]))
    assert (
        len([b for b in traced.boxes if b.startswith("student")]) == 19
        and graph_walk.term_reach(traced)["gradient"]["teacher"] == []
    )
    assert len(graph_walk.term_reach(traced)["gradient"]["double"]) == 19 and len(
        arrows(loss_graph.figure(traced))
    ) == len(traced.edges)
