"""Chapter 04: what its text says holds for networks and rows, every drop-down shows a choice, its
figures can be read, and its checkers tell wrong answers apart.
"""

import re

import ipywidgets as W
import numpy as np
import pandas as pd
import pytest
import torch
from test_sliders import CASE, nets, shown  # noqa: F401
from test_widgets import controls

from rsnl_lib import data, env, geometry, store, theorem
from rsnl_lib.measure import inference
from rsnl_lib.workbook import checkers, margin_figures, palette, render, theorem_figures, widgets
from rsnl_lib.workbook.chapter import load_or_train
from rsnl_lib.workbook.widgets import theory

SOURCE = (render.CHAPTER_FILES / "04_margins.py").read_text()
STUDENTS = ("standard", "kd", "robust")


@pytest.fixture(scope="module")
def lengths():
    """The chapter's own function."""
    code = re.search(r"^def lengths.*?(?=^\w)", SOURCE, re.S | re.M).group()
    exec(code, names := {"torch": torch})
    return names["lengths"]


@pytest.fixture(scope="module")
def mnist():
    return {m: theorem.exact(load_or_train("mnist", m)) for m in ("teacher", *STUDENTS)}


@pytest.fixture(scope="module")
def everyone():
    """A row a student on digits, with its accuracy at a ratio of 1."""
    alone = {"C2=0.0": "gradient_only", "C1=0.0": "score_only"}

    def named(t):
        told = [
            next((n for w, n in alone.items() if w in s), m) for m, s in zip(t.method, t.settings)
        ]
        return t.assign(method=told)

    keys = ["network", "recipe", "settings", "teacher", "method", "seed"]
    acc = named(store.frame(env.RESULTS / "digits.csv"))
    acc = acc[(acc.unit == "ratio") & (acc.level == 1)]
    acc = acc.assign(accuracy=100 * acc.correct / acc.n)[[*keys, "accuracy"]]
    rows = named(store.frame(env.RESULTS / "margins.csv")).replace(np.inf, np.nan)
    rows = rows[(rows.dataset == "digits") & (rows.method != "teacher")]
    rows = rows.assign(led=100.0 * (rows.lead > 0)).groupby(keys)
    asked = dict(led=("led", "mean"), gap=("gap", "median"), slope=("slope_S", "median"))
    bounds = dict(bound=("estimate", "mean"), bound_median=("estimate", "median"))
    table = rows.agg(**asked, **bounds, wrong=("wrong", "median")).reset_index()
    return table.merge(acc, on=keys)


def sure(everyone, network):
    soft = (everyone.teacher + everyone.settings).str.contains("weight_decay")
    return everyone[~soft & (everyone.network == network)]


def against_kd(table, column, method):
    wide = table.pivot(index="seed", columns="method", values=column)
    return inference.paired(list((wide[method] - wide.kd).dropna()))[:3]


def test_the_lengths_are_those_of_the_gradients_in_probability_and_in_logits(lengths, mnist):
    x, y = (part[:8] for part in data.gallery("mnist"))
    for net in mnist.values():
        norm_f, norm_u = lengths(net, x, y)
        for space, norm in (("probability", norm_f), ("logit", norm_u)):
            g = geometry.input_gradient(net, x.double(), y, space=space)[1]
            torch.testing.assert_close(norm, geometry.norm(g), rtol=1e-5, atol=0)


def test_the_lengths_that_the_text_names_and_whose_is_shorter(lengths, mnist):
    x, y = data.gallery("mnist")
    norm_f, norm_u = ({m: lengths(net, x, y)[i] for m, net in mnist.items()} for i in (0, 1))
    for m in ("robust", "teacher", "standard"):
        assert f"{norm_u[m][0]:.2f}" in re.search(r"On the first test image.*", SOURCE).group()
    shorter = {m: int((norm_u[m] < norm_u["teacher"]).sum()) for m in STUDENTS}
    assert shorter["robust"] == len(x) > shorter["kd"] > len(x) / 2 > 10 > shorter["standard"]
    middle = {m: float(n.median()) for m, n in norm_u.items()}
    assert middle["kd"] < 1.1 * middle["robust"] < middle["standard"]
    assert sum(norm_f["standard"] < norm_f["teacher"]) > 0.75 * len(x)


def test_one_term_does_all_and_the_other_next_to_nothing(everyone):
    for network in margin_figures.PAIRS:
        table = sure(everyone, network)
        assert abs(against_kd(table, "accuracy", "score_only")[0]) < 0.5
        assert abs(against_kd(table, "led", "score_only")[0]) < 2
        for column in ("gap", "wrong", "accuracy"):
            one, both = (against_kd(table, column, m) for m in ("gradient_only", "robust"))
            assert one[0] == pytest.approx(both[0], rel=0.1) and one[1] * one[2] > 0


def test_the_head_start_does_not_grow(everyone):
    low, high = against_kd(sure(everyone, "digits_student"), "led", "robust")[1:]
    assert low < 0 < high
    assert against_kd(sure(everyone, "digits_mlp_student"), "led", "robust")[2] < 0
    rows = store.frame(env.RESULTS / "margins.csv")
    rows = rows[(rows.dataset == "mnist") & (rows.settings == "")]
    lead = rows.pivot(index="image", columns="method", values="lead")
    lost = np.sort(lead.robust - lead.kd)
    assert lost[len(lost) // 2 + 10] < 0, "the upper end of the median's 95 % interval"
    assert (lead.robust > 0).sum() < (lead.kd > 0).sum()


def test_the_mean_bound_gains_and_the_median_is_undecided(everyone):
    table = sure(everyone, "digits_student")
    assert against_kd(table, "bound", "robust")[1] > 0
    low, high = against_kd(table, "bound_median", "robust")[1:]
    assert low < 0 < high
    low, high = against_kd(sure(everyone, "digits_mlp_student"), "bound", "robust")[1:]
    assert low < 0 < high


def test_direct_has_the_longest_bound_and_shuffled_the_most_accuracy(everyone):
    mean = sure(everyone, "digits_student").groupby("method")[["bound", "accuracy"]].mean()
    assert list(mean.bound.nlargest(2).index) == ["direct", "target_zero"]
    assert mean.accuracy.idxmax() == "shuffled"
    assert mean.bound.direct / mean.bound.kd == pytest.approx(6, abs=0.5)
    behind = mean.accuracy.robust - mean.accuracy.direct
    assert f"{behind:.1f} points less accuracy in noise" in SOURCE


def test_the_distance_to_an_error_predicts_and_the_bound_does_not(everyone):
    sign = {}
    for network in margin_figures.PAIRS:
        part = everyone[everyone.network == network]
        found = part[["bound", "slope", "wrong"]].corrwith(part.accuracy, method="spearman")
        sign[network] = found.bound > 0
        assert found.wrong > 0.9 and found.slope < -0.5
    assert set(sign.values()) == {True, False}


def test_under_the_soft_teacher_the_bound_grows_with_each_term_and_accuracy_does_not(everyone):
    table = everyone[everyone.network == "digits_mlp_student"]
    soft = table[(table.teacher + table.settings).str.contains("weight_decay")]
    mean = soft.groupby("method")[["bound", "accuracy"]].mean()
    assert mean.bound.kd < mean.bound.score_only < mean.bound.robust
    assert abs(mean.accuracy.score_only - mean.accuracy.kd) < 0.5
    more, *_ = against_kd(soft, "accuracy", "robust")
    gain, *_ = against_kd(sure(everyone, "digits_mlp_student"), "accuracy", "robust")
    assert f"and {more:.1f} under the soft one" in SOURCE
    assert f"gains {gain:.1f} points over KD" in SOURCE


def parts(net_S, net_T, x, y):
    """(m, g_S, g_T) of exercise 2."""
    f, g = [], []
    for net in (net_S, net_T):
        z = x.clone().requires_grad_()
        f.append(torch.softmax(net(z), dim=1)[range(len(y)), y])
        g += torch.autograd.grad(f[-1].sum(), z)
    return (f[0] - f[1]).detach(), *g


def size(g):
    return g.flatten(1).norm(dim=1)


@pytest.mark.parametrize(
    "answer, hint",
    [
        (lambda m, s, t: m, "divide it by the gap"),
        (lambda m, s, t: m / size(s - t), "where the teacher leads"),
        (lambda m, s, t: m.relu() / (size(s) - size(t)).abs(), "not a difference of lengths"),
        (lambda m, s, t: m.relu() / size(s), "own slope"),
        (lambda m, s, t: m.relu() / size(s - t) ** 2, "take the root"),
        (lambda m, s, t: m.relu() / (s - t).norm(), "flatten(1)"),
        (lambda m, s, t: m.relu().mean(), "one number an image"),
        (lambda m, s, t: m.relu() / size(s + t), "yours"),
        (lambda m, s, t: m.relu() / size(s - t), "Right."),
    ],
)
def test_a_wrong_ratio_is_explained(answer, hint, capsys):
    checkers.point_ratio(lambda *a: answer(*parts(*a)))
    assert hint in capsys.readouterr().out


CLAIM = dict(says="a claim", p_corrected=0.5, matters=0.3, word="undecided", mean=0.1)
CLAIM |= dict(low=-1.0, high=1.0, effects={0: 0.1}, detectable=0.5, decides="difference")


def every_view(kind):
    pair, (x, y) = nets(), data.gallery("digits")
    small = {"robust": pair["student"], "teacher": pair["teacher"]}
    light = {m: net.float() for m, net in nets().items()} if kind in ("attacked", "walk") else {}
    axes = torch.linalg.qr(torch.randn(64, 2, dtype=torch.float64))[0].T.reshape(2, 1, 8, 8)
    calls = {
        "examples": lambda: widgets.examples(small, x[:2], y[:2]),
        "push": lambda: widgets.push({"one": CASE}),
        "plane": lambda: widgets.plane(*pair.values(), x[:2].double(), y[:2], axes),
        "pulls": lambda: widgets.pulls(torch.randn(40, 10), torch.randn(40, 10), x, y),
        "attacked": lambda: widgets.attacked({"kd": light["student"]}, x[:2], y[:2], steps=2),
        "walk": lambda: widgets.walk({"kd": light["student"]}, x[:2], y[:2]),
        "readings": lambda: widgets.readings({"one": (1, 2)}, (1.0, 2.0), (1.0, 1.0)),
        "verdicts": lambda: widgets.verdicts([CLAIM]),
        "explorer": lambda: widgets.explorer(
            {"kd": nets()["student"].float()}, x, y, [str(c) for c in range(10)]
        ),
    }
    return calls[kind]()


KINDS = ["examples", "push", "plane", "pulls", "attacked", "walk", "readings", "verdicts"]


@pytest.mark.parametrize("kind", [*KINDS, "explorer"])
def test_every_drop_down_shows_a_choice(shown, kind):  # noqa: F811
    every_view(kind)
    for control in controls(shown[0][0]).values():
        if isinstance(control, W.Dropdown):
            for label, _ in control._options_full:
                control.label = label
                assert control.index is not None and control.label == label and label
    assert "alert" not in controls(shown[0][0])["out"].value


def test_each_view_is_in_that_test():
    public = {n for n in dir(widgets) if f"widgets.{n}(" in "".join(sources())}
    assert public - {"pull"} == {*KINDS, "explorer"}


def sources():
    return [path.read_text() for path in render.CHAPTER_FILES.glob("*.py")]


def test_the_live_example_says_lengths_and_the_parts_of_the_bound(shown):  # noqa: F811
    pair, (x, y) = nets(), data.gallery("digits")
    widgets.examples({"robust": pair["student"], "teacher": pair["teacher"]}, x[:2], y[:2])
    said = controls(shown[0][0])["out"].value
    here = theorem.eq7_terms(pair["student"], pair["teacher"], x[:1].double(), y[:1])
    for name, v in (("student's", here.slope_S), ("teacher's", here.slope_T)):
        assert f"{name} gradient, length {v[0]:.2f}" in said.replace("&#x27;", "'")
    m, G = float(here.m[0]), float(here.gap[0])
    assert f"m {m:+.3f}, gap G {G:.2f}, m / G {m / G:+.3f}" in said
    assert "length of the push</text>" in said and "orange pixels raise" in said


def test_a_longer_push_asks_for_no_gradient_again(shown, monkeypatch):  # noqa: F811
    asked = []
    slope = theory.lead_slope
    monkeypatch.setattr(theory, "lead_slope", lambda *a: asked.append(1) or slope(*a))
    pair, (x, y) = nets(), data.gallery("digits")
    students = {"robust": pair["student"], "kd": pair["student"]}
    widgets.examples({**students, "teacher": pair["teacher"]}, x[:2], y[:2])
    c = controls(shown[0][0])
    assert len(asked) == 2
    for name, value, more in (
        ("length of the push", 2.0, 0),
        ("student", "kd", 1),
        ("image", 1, 2),
    ):
        before = len(asked)
        c[name].value = value
        assert len(asked) == before + more


def test_clean_and_noise_differ_in_fill():
    row = dict(f_T=0.9, lead=0.5, f_T_noisy=0.5, lead_noisy=-0.5)
    fig = theorem_figures.score_pairs({"standard": [row], "kd": [row]})
    for ax in fig.axes:
        noise, clean = ax.lines[1:3]
        assert noise.get_markerfacecolor() == "none" and clean.get_markerfacecolor() != "none"
    words = [t.get_text() for t in fig.legends[0].get_texts()]
    assert words == ["ring: in noise", "filled: clean"]


def two_pairs():
    return pd.DataFrame(
        [
            dict(network=n, method=m, seed=s, bound=b + 0.1 * s, accuracy=50 + sign * b + s)
            for n, sign in zip(margin_figures.PAIRS, (1, -1))
            for m, b in (("kd", 1.0), ("robust", 9.0))
            for s in range(3)
        ]
    )


def test_the_clouds_of_both_pairs_differ_in_fill_and_have_their_numbers():
    fig = margin_figures.pair_clouds(two_pairs(), {"bound": "bound"}, "accuracy", "y", "")
    ax = fig.axes[0]
    first, second = ax.get_title().split("\n")
    assert first.startswith("convolutional +") and second.startswith("fully connected -")
    assert [line.get_markerfacecolor() for line in ax.lines[2:]] == ["white"] * 2
    assert "white" not in [line.get_markerfacecolor() for line in ax.lines[:2]]


def test_changes_are_paired_by_seed():
    fig = margin_figures.method_changes(two_pairs(), "kd", {"accuracy": "accuracy"}, "")
    marks = [line for line in fig.axes[0].lines if line.get_marker() not in ("None", "", None)]
    assert [float(line.get_xdata()[0]) for line in marks] == pytest.approx([8, -8])
    assert [t.get_text() for t in fig.axes[0].get_yticklabels()] == [
        palette.style("robust")["label"]
    ]
