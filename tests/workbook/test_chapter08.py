"""Chapter 08: its short code does what the library does, its statements stand in the rows, its
figures show what they say, and each wrong answer is explained.
"""

import re

import numpy as np
import pandas as pd
import pytest
import torch

from rsnl_lib import data, env, store
from rsnl_lib.geometry import boundary
from rsnl_lib.study import claims, jobs
from rsnl_lib.study.results import Results
from rsnl_lib.train import losses
from rsnl_lib.workbook import boundary_figures, checkers, palette

SOURCE = (env.ROOT / "notebooks" / "src" / "08_boundary.py").read_text()
PROSE = re.sub(r"\s+", " ", re.sub(r"^# ?", "", SOURCE, flags=re.M))


def typed(name):
    """What a code cell of the chapter that defines `name` defines, as a dict."""
    cell = next(c for c in re.split(r"^# %%.*$", SOURCE, flags=re.M) if f"def {name}(" in c)
    code = "\n".join(re.findall(r"^def .*\n(?:(?:    .*)?\n)+", cell, re.M))
    scope = dict(torch=torch, boundary=boundary, losses=losses, store=store, jobs=jobs, data=data)
    exec(code, scope)
    return scope


def shipped(dataset, method):
    return store.load_checkpoint(jobs.Job(dataset, method).path())[0]


@pytest.fixture(scope="module")
def teacher():
    return shipped("digits", "teacher")


@pytest.fixture(scope="module")
def digits():
    return data.gallery("digits")


def second_choice(net, x, y):
    with torch.no_grad():
        return net(x).scatter(1, y[:, None], -torch.inf).argmax(1)


def test_the_walk_in_sight_is_the_librarys(teacher, digits):
    x, y = digits
    walk = typed("walk")["walk"]
    for i, k in ((0, 5), (0, 8), (32, 1), (20, 0)):
        s = boundary.search(teacher, x[i : i + 1], y[i : i + 1], torch.tensor([k]), eta=None)
        path, wins = walk(teacher, x[i : i + 1], int(y[i]), k)
        assert len(path) - 1 == int(s.steps[0]) and (wins == k) == bool(s.accepted[0])
        assert torch.allclose(path[-1], s.x[0], atol=1e-5)


def test_most_walks_to_the_second_choice_arrive_and_many_others_do_not(teacher, digits):
    x, y = digits
    k = second_choice(teacher, x, y)
    s = boundary.search(teacher, x, y, k, eta=None)
    _, asked, kept = boundary.vectors(teacher, x, y, eta=None)
    asked[torch.arange(len(k)), k] = False
    assert s.accepted.double().mean() > 0.9 > 0.6 > kept[asked].double().mean()


def test_similarity_in_sight_is_the_librarys_and_1_for_what_the_chapter_says():
    mag_ang = typed("mag_ang")["mag_ang"]
    g = torch.Generator().manual_seed(0)
    u, v = torch.randn(2, 9, 5, generator=g)
    want = [float(t.mean()) for t in boundary.mag_ang(u, v)]
    assert [float(t) for t in mag_ang(u, v)] == pytest.approx(want, abs=1e-6)
    turned = v * (u.norm(dim=1) / v.norm(dim=1))[:, None]
    assert mag_ang(u, turned)[0] == pytest.approx(1) and mag_ang(u, turned)[1] < 0.9
    assert [float(t) for t in mag_ang(u, 2 * u)] == pytest.approx([0.5, 1])


@pytest.fixture(scope="module")
def table():
    """MagSim, AngSim and accuracies of the digits' networks beside the plain teacher."""
    done = Results(store.result_rows(env.RESULTS))
    out = []
    for r in store.lines(env.RESULTS / "similarity.csv"):
        if (r["dataset"], r["recipe"], r["settings"]) != ("digits", "short", ""):
            continue
        if "pgd_at" in r["reference"]:
            continue
        own = done.get(tuple(r[k] for k in store.RUN_COLUMNS), {})
        keys = dict(noise=("gaussian", 3.0, "dB"), attack=("pgd", 0.15, "linf"))
        hit = {w: int(own[k]["correct"]) / int(own[k]["n"]) for w, k in keys.items() if k in own}
        out.append(dict(method=r["method"], ang=float(r["ang"]), kept=float(r["rate"]), **hit))
    table = pd.DataFrame(out)
    attacked = table.method.isin(["pgd_at", "trades"])
    return table.assign(method=table.method.where(~attacked, "attacked"))


def test_the_shares_of_walks_that_both_finish(table):
    kept = table.groupby("method").kept.mean()
    assert f"({kept.min():.0%} to {kept.max():.0%}".replace("%", "", 1) in PROSE.replace(" %", "%")


def test_who_is_near_the_teacher(table):
    ang = table.groupby("method").ang.mean()
    assert min(ang.robust, ang.gradient_only) > ang.shuffled > ang.teacher > ang.bss > ang.kd
    assert abs(ang.mimic - ang.teacher) < 0.02


def test_near_is_neither_needed_nor_enough(table):
    students = table[table.method != "teacher"]
    clean = students[~students.method.isin(["attacked", "noise_augmented"])]
    for quantity, some in (("noise", "0.65 in noise"), ("attack", "0.58 under attack")):
        rank = lambda t: t.ang.corr(t[quantity], method="spearman")
        assert f"{rank(clean):.2f} " in some and some in PROSE and abs(rank(students)) < 0.15
    mean = students.groupby("method").mean(numeric_only=True)
    assert mean.attack.idxmax() == mean.noise.idxmax() == "attacked"
    assert mean.ang.attacked < mean.ang.kd < mean.ang.mimic
    assert 0 < mean.attack.mimic - mean.attack.kd < 0.05


def test_what_distillation_on_samples_did():
    done = Results(store.result_rows(env.RESULTS))
    found = {}
    for c in claims.explore(claims.read_lines("neighbours"), done):
        if c["question"] == "the boundary" and c["effects"]:
            found[c["dataset"], c["perturbation"], "robust teacher" in c["setting"]] = c
    undecided = {key for key, c in found.items() if c["low"] < 0 < c["high"]}
    losses_of = {key for key, c in found.items() if c["high"] < 0}
    assert losses_of == {("mnist", "gaussian", False), ("mnist", "pgd", False)}
    assert undecided == set(found) - losses_of and len(found) == 6
    noise, attack = (found["mnist", kind, False] for kind in ("gaussian", "pgd"))
    told = f"of {-noise['mean']:.1f} points in noise and of {-attack['mean']:.1f} under attack"
    assert told in PROSE and {c["n"] for key, c in found.items() if key[0] == "mnist"} == {3}


def test_the_student_of_the_samples_learned_them():
    at_the_boundary = typed("at_the_boundary")["at_the_boundary"]
    x, y = data.gallery("mnist")
    guide = shipped("mnist", "teacher")
    with torch.no_grad():
        found = {m: float(at_the_boundary(shipped("mnist", m), guide, x, y)) for m in ("kd", "bss")}
        least = float(at_the_boundary(guide, guide, x, y))
    assert least < found["bss"] < least + 0.1 < least + 0.5 < found["kd"]


def test_the_longer_the_walk_the_more_is_withstood():
    median_walk = typed("median_walk")["median_walk"]
    done = Results(store.result_rows(env.RESULTS))
    methods = ("teacher", "standard", "kd", "robust", "target_zero", "shuffled", "bss")
    for name, level in (("digits", 0.15), ("mnist", 0.1)):
        rows = {m: done.find(jobs.Job(name, m))[("pgd", level, "linf")] for m in methods}
        hit = pd.Series({m: int(r["correct"]) / int(r["n"]) for m, r in rows.items()})
        length = pd.Series({m: median_walk(name, m) for m in methods})
        assert hit.corr(length, method="spearman") > 0.8
        assert name != "mnist" or length.idxmin() == "bss" and length.bss < 0.8 * length.teacher


def test_the_plane_holds_the_walk(teacher, digits):
    x, y = digits
    path, _ = typed("walk")["walk"](teacher, x[:1], 0, 5)
    plane = boundary_figures.walk_plane(teacher, path, 0, 5, cells=21)
    lengths = (path - path[0]).flatten(1).norm(dim=1)
    assert torch.allclose(plane.places.norm(dim=1), lengths, atol=0.01)
    assert int(plane.wins[10, 10]) == 0 and plane.gaps[10, 10] > 0
    still = boundary_figures.walk_plane(teacher, path[:1], 0, 5, cells=5)
    assert still.side > 0 and len(still.places) == 1
    fig = boundary_figures.walk_maps([("towards 5", 5, path, plane)], 0, "a walk")
    names = [t.get_text() for t in fig.axes[0].texts]
    assert "0 wins" in names and "5 wins" in names and "0" in names
    assert len(fig.axes) == 4


def test_orange_raises_and_purple_lowers_and_a_bar_says_so():
    x = torch.zeros(2, 1, 4, 4)
    end = x.clone()
    end[0, 0, 0, 0], end[1, 0, 0, 0] = 0.5, -0.25
    fig = boundary_figures.walk_changes(x, {"kd": end}, ["a", "b"], "changes")
    assert fig.axes[-1].get_ylabel() == "change of the pixel"
    raised = fig.axes[2].images[0]
    assert raised.get_clim() == (-0.5, 0.5) == fig.axes[3].images[0].get_clim()
    up, down = (raised.get_cmap()(v) for v in (0.8, 0.2))
    assert up[0] > up[1] > up[2] and down[2] > down[0] > down[1], "orange is red, then green"


def test_the_dots_are_sorted_and_few_are_coloured():
    rows = pd.DataFrame(dict(method=["kd", "kd", "direct", "robust"], AngSim=[0.4, 0.6, 0.1, 0.9]))
    ax = boundary_figures.similarity_dots(rows, {"AngSim": "angle"}, "sorted").axes[0]
    names = [t.get_text().partition(":")[0] for t in ax.get_yticklabels()]
    assert names == ["robust", "KD", "direct"]
    colours = [line.get_color() for line in ax.lines if line.get_marker() == "|"]
    assert colours == [palette.style("robust")["color"], palette.style("kd")["color"], "#999999"]


def test_names_stand_beside_their_marks_and_other_networks_are_grey():
    rows = pd.DataFrame(dict(method=["kd", "kd", "direct"], x=[1.0, 3, 5], y=[2.0, 4, 6]))
    fig = boundary_figures.named_cloud({"left": rows}, "x", "y", [{"kd": (10, 0), "bss": (1, 1)}])
    (name,) = fig.axes[0].texts
    assert name.get_text() == "KD" and name.xy == (2, 3)
    grey, green = fig.axes[0].lines
    assert grey.get_color() == boundary_figures.CLOUDS and list(grey.get_xdata()) == [5]
    assert green.get_color() == palette.style("kd")["color"]


def test_no_name_covers_another(table):
    rows = table[table.method != "teacher"].rename(columns={"ang": "x"})
    parts = {q: rows.assign(y=100 * rows[q]) for q in ("noise", "attack")}
    fig = boundary_figures.named_cloud(parts, "x", "y", boundary_figures.BESIDE_ALIKE, "alike")
    palette.png(fig)
    for ax in fig.axes:
        boxes = [t.get_window_extent() for t in ax.texts]
        assert len(boxes) == 8
        assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_the_colours_of_classes_are_no_networks_in_the_live_walk():
    shown = {palette.style(m)["color"] for m in ("teacher", "kd", "robust", "bss")}
    assert not shown & set(boundary_figures.CLASS_COLOURS[:2])


def a_step(sign=-1, power=1, reverse=False, of="logits", shared=False, eta=True, least=True):
    """The BSS paper's step, right by default, with one thing changed."""

    def step(net, x, b, k, long, eps):
        x = x.clone().requires_grad_()
        a = net(x) if of != "scores" else net(x).softmax(1)
        first, other = (a.gather(1, c[:, None])[:, 0] for c in (b, k))
        L = first if of == "alone" else other - first if reverse else first - other
        (g,) = torch.autograd.grad(L.sum(), x)
        length = g.norm().expand(len(x)) if shared else g.flatten(1).norm(dim=1)
        t = (long if eta else 1) * (L + (eps if least else 0)) / length**power
        return (x + sign * t[:, None, None, None] * g).detach()

    return step


@pytest.mark.parametrize(
    "answer, hint",
    [
        (a_step(sign=1), "wrong sign: your step goes up the gradient"),
        (a_step(power=0), "the gradient's length is missing"),
        (a_step(power=2, eta=False), "that is Newton's step"),
        (a_step(power=2), "once is enough"),
        (a_step(shared=True), "one length for the whole batch"),
        (a_step(reverse=True), "yours is a_k - a_b"),
        (a_step(of="scores"), "scores after softmax"),
        (a_step(of="alone"), "subtract a_k"),
        (a_step(least=False), "epsilon is missing"),
        (lambda net, x, b, k, eta, eps: x, "stand still"),
        (lambda net, x, b, k, eta, eps: x + 1, "are to be"),
        (lambda net, x, b, k, eta, eps: None, "a tensor of the shape of x"),
    ],
)
def test_each_wrong_step_is_explained(answer, hint, capsys):
    checkers.bss_step(answer)
    out = capsys.readouterr().out
    assert out.startswith("Not yet") and hint in out


def test_the_right_step_passes_and_is_the_librarys(capsys):
    checkers.bss_step(a_step())
    assert capsys.readouterr().out == "Right.\n"
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3)).eval()
    x = torch.rand(6, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    b = net(x).argmax(1)
    k = (b + 1) % 3
    s = boundary.search(net, x, b, k, eta=0.3, eps=0.1, steps=1)
    assert torch.allclose(a_step()(net, x, b, k, 0.3, 0.1), s.x, atol=1e-6)


@pytest.mark.parametrize(
    "answer, hint",
    [
        ((1.5, 0), "at most 1"),
        ((0, 2 / 3), "swap"),
        ((2 / 3, 1), "right angle"),
        ((2 / 3, 0.5), "cosine"),
        ((0.5, 0), "3 and 2"),
        (2 / 3, "two numbers"),
    ],
)
def test_each_wrong_pair_is_explained(answer, hint, capsys):
    checkers.similar(answer)
    out = capsys.readouterr().out
    assert out.startswith("Not yet") and hint in out


def test_the_right_pair_passes(capsys):
    checkers.similar((np.float64(2 / 3), 0.0))
    assert capsys.readouterr().out == "Right.\n"
