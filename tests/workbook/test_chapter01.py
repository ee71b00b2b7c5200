"""Chapter 01 says only what code and rows hold, and each wrong answer to its exercises is told why
it is wrong.
"""

import math
import re

import ipywidgets as W
import numpy as np
import pytest
import torch
from matplotlib.patches import Rectangle
from torch import nn

from rsnl_lib import data, env, networks, store, theorem
from rsnl_lib.study.jobs import Job
from rsnl_lib.workbook import bound_figures, checkers, theorem_figures, widgets
from rsnl_lib.workbook.widgets import base, planes


# The plane's widget ------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def on_plane():
    """(net_S, net_T, x, y, axes): two untrained networks, images where the student leads."""
    torch.manual_seed(0)
    who = ("student", "teacher")
    S, T = (networks.build(f"digits_mlp_{name}").double().eval() for name in who)
    x = data.load("digits").x_test[:3].double()
    labels = [torch.full((3,), k) for k in range(10)]
    y = torch.stack([theorem.head_start(S, T, k)(x).detach() for k in labels]).argmax(0)
    axes = torch.linalg.qr(torch.randn(64, 2, dtype=torch.float64))[0].T.reshape(2, 1, 8, 8)
    return S, T, x, y, axes


@pytest.fixture
def shown(monkeypatch, on_plane):
    kept = []
    monkeypatch.setattr(base, "show_widget", lambda widget, still, text: kept.append(widget))
    widgets.plane(*on_plane)
    return kept[0]


def part(box, kind):
    return next(w for w in box.children if type(w) is kind)


def test_a_new_image_is_marked_as_at_work_before_its_picture_comes(shown):
    which, busy, view = (part(shown, kind) for kind in (W.IntSlider, W.Label, W.HTML))
    seen = []
    busy.observe(lambda change: seen.append((change["new"], "Image 1." in view.value)), "value")
    view.observe(lambda change: seen.append(("picture", "Image 1." in view.value)), "value")
    which.value = 1
    assert seen == [("image 1: at work", False), ("image 1: done", False), ("picture", True)]


def test_a_picture_that_was_shown_comes_back_without_another_search(shown, monkeypatch):
    which, view = part(shown, W.IntSlider), part(shown, W.HTML)
    which.value = 1
    first = view.value
    which.value = 2
    monkeypatch.setattr(theorem, "flip_in_plane", None)
    which.value = 1
    assert view.value == first and "alert" not in first


@pytest.mark.parametrize("p", [1, 2, math.inf])
def test_the_plane_looks_closely_near_the_flip_only_and_finds_the_same(on_plane, monkeypatch, p):
    S, T, x, y, axes = on_plane
    here = planes.Plane(S, T, x[:1], y[:1], axes, 1.0)
    q = {1: math.inf, 2: 2, math.inf: 1}[p]
    low, high = theorem.flip_in_plane(*here.nets, y[:1], q, reach=1.0)
    _, sure = theorem.sound_radii(*here.nets, planes.ZERO, y[:1], p=p)
    calls = []
    counted = lambda *args: calls.append(len(args[2])) or theorem.interval.sound_interval(*args)
    monkeypatch.setattr(theorem.search, "sound_interval", counted)
    answers = here.answers(p)
    assert answers["flip"] == pytest.approx((low, high), rel=2e-3)
    assert 0.95 * float(sure) <= answers["integral"] <= answers["flip"][1]
    assert len(calls) <= 9, "each call costs about 20 ms"


# What the text says ------------------------------------------------------------------------------
def radii(G, upto, m=1.0, steps=20000):
    """(r_fp, r_int) of a G on plain arrays, as the library finds them."""
    on_tensors = lambda s: torch.as_tensor(G(s.numpy()))
    head, end = torch.tensor([m]).double(), torch.tensor([upto]).double()
    r_fp = theorem.fixed_point(head, on_tensors, steps=60)
    return r_fp.item(), theorem.integral_radius(head, on_tensors, end, steps).item()


def test_the_flat_then_steep_pair_doubles_the_fixed_point():
    assert radii(lambda s: 1.0 * (s > 1), 2.5) == (pytest.approx(1.0), pytest.approx(2.0, rel=1e-3))


@pytest.mark.parametrize("seed", range(20))
def test_no_growing_G_more_than_doubles_it(seed):
    draw = np.random.default_rng(seed)
    places, heights = draw.uniform(0, 1, 5), draw.exponential(size=5) ** 3
    G = lambda s: (heights * (s[..., None] > places)).sum(-1) + 1e-3
    r_fp, _ = radii(G, 1.0)
    _, r_int = radii(G, 2.5 * r_fp)
    assert r_fp * (1 - 1e-6) <= r_int <= 2 * r_fp * (1 + 1e-6)


def two_neuron_ball(R):
    """The chapter's two neurons beside x_1, in the library's terms."""

    def affine(weight, bias=(0.0, 0.0)):
        layer = nn.Linear(2, 2).double()
        with torch.no_grad():
            layer.weight.copy_(torch.tensor(weight))
            layer.bias.copy_(torch.tensor(bias))
        return layer

    first = affine([[1.0, 1], [1, -1]], [0.5, -0.5])
    S = nn.Sequential(first, nn.ReLU(), affine([[1.0, 1], [0, 0]])).eval()
    T = nn.Sequential(affine([[1.0, 0], [0, 0]])).eval()
    return S, T, torch.zeros(1, 2).double(), torch.tensor([0]), torch.tensor([R]).double()


@pytest.fixture(scope="module")
def chapter():
    """The chapter's code cells, by their first words."""
    text = (env.ROOT / "notebooks" / "src" / "01_theorem.py").read_text("utf-8")
    cells = re.split(r"^# %%.*\n", text, flags=re.M)
    return lambda start: next(cell for cell in cells if cell.startswith(start))


@pytest.mark.parametrize("R", [0.1, 0.3, 0.5, 1.0])
def test_the_chapters_five_lines_are_the_librarys_interval_bound(chapter, R):
    names = {"np": np}
    exec(chapter("W, b, v = "), names)
    bound = names["interval_gap"](np.zeros(2), R)[2]
    assert bound == pytest.approx(theorem.sound_interval(*two_neuron_ball(R)).item(), rel=1e-6)
    assert bound == pytest.approx(1.0 if R < 0.5**1.5 else 2**0.5)


def test_lipsdp_finds_the_largest_of_the_four_settings():
    ball = two_neuron_ball(1.0)
    W, v, g_T = np.array([[1.0, 1], [1, -1]]), np.ones(2), np.array([1.0, 0])
    true = np.linalg.norm(bound_figures.gradient_corners(W, v) - g_T, axis=1).max()
    assert theorem.sound_lipsdp(*ball).item() == pytest.approx(true, rel=1e-4)
    assert theorem.sound_interval(*ball).item() > 1.4 * true


@pytest.fixture(scope="module")
def ladder():
    rows = store.frame(env.RESULTS / "ladder.csv")
    rows = rows[(rows.dataset == "digits") & (rows.space == "logit") & (rows.kind != "votes")]
    return rows.assign(share=rows.value / rows.flip, plain=(rows.p.astype(float) == 2) & ~rows.box)


def test_the_ladders_words(ladder):
    plain = ladder[ladder.plain]
    share = plain.groupby("certificate").share
    assert share.median()["LipSDP of the pair, integral"] == pytest.approx(3 / 4, abs=0.02)
    assert share.median()["product of norms"] == pytest.approx(1 / 20, abs=0.005)
    assert share.median()["ascent, integral"] > 0.9
    beyond = (plain[plain.certificate == "m / gap at x"].share > 1).mean()
    assert 1 / 3 < beyond < 0.4
    assert not (ladder[ladder.kind == "sound"].share > 1).any()


def test_the_ladder_holds_all_but_the_last_image_on_which_the_student_leads(ladder):
    names = (("robust", "student"), ("teacher", "teacher"))
    files = (Job("digits", m, f"digits_mlp_{who}", "tau4", seed=0).path() for m, who in names)
    S, T = (theorem.exact(store.load_checkpoint(file)[0]) for file in files)
    d = data.load("digits")
    leads = (theorem.sound_lead(S, T, d.x_test.double(), d.y_test) > 0).nonzero()[:, 0].tolist()
    stored = sorted(set(ladder[ladder.plain].image.astype(int)))
    assert len(leads) == 202 and stored == leads[:201]


# The figures -------------------------------------------------------------------------------------
def test_the_two_areas_of_a_panel_are_of_one_size():
    G = lambda s: 1.0 * (s > 1)
    ax = bound_figures.used_up({"pair": (G, 1.0, 1.0, 2.0)}).axes[0]
    rectangle = next(p for p in ax.patches if isinstance(p, Rectangle))
    assert rectangle.get_width() * rectangle.get_height() == 1.0
    filled = ax.collections[0].get_paths()[0].vertices
    assert filled[:, 0].max() == pytest.approx(2.0, abs=0.01)


def test_the_two_neurons_figure_measures_both_bounds_from_the_teacher():
    W, b, v = np.array([[1.0, 1], [1, -1]]), np.array([0.5, -0.5]), np.ones(2)
    left, right = bound_figures.two_neurons(W, b, v, np.array([1.0, 0]), 1.0).axes
    ends = {line.get_label()[:6]: line.get_xydata() for line in right.lines[-2:]}
    sizes = {name: np.linalg.norm(line[1] - line[0]) for name, line in ends.items()}
    assert sizes == {"interv": pytest.approx(2**0.5), "LipSDP": pytest.approx(1.0)}
    assert len(left.texts) == 4, "all four regions reach into the ball"


def test_sound_radii_come_first_and_legends_do_not_cover_titles(ladder):
    fig = theorem_figures.radius_shares(ladder[ladder.plain], "a title")
    names = [t.get_text() for t in fig.axes[0].get_yticklabels()]
    assert names[0] == "product of norms" and names[-1] == "m / gap at x"
    figs = [fig, theorem_figures.named_curves([1, 2], {"a": ("sound", [1, 2])}, "", "", title="t")]
    line = np.linspace(-1, 1, 9)
    figs.append(theorem_figures.one_dimension(line, line, 0 * line, 0.5, 0.1, "t"))
    for fig in figs:
        fig.draw_without_rendering()
        title, legend = (part.get_window_extent() for part in (fig._suptitle, fig.legends[0]))
        assert legend.y1 < title.y0


# The exercises -----------------------------------------------------------------------------------
S_GRID = np.linspace(0, 20, 20001)[1:]


def radius(G):
    """A reader's r_fp with G(dh, x) of their own."""
    return lambda h, dh, x: max(0.0, np.max(np.minimum(S_GRID, h(x) / G(dh, x))))


def both_ends(dh, x):
    return np.maximum(abs(dh(x - S_GRID)), abs(dh(x + S_GRID)))


def far_root(h, dh, x):
    s = S_GRID
    return float(s[(h(x - s) <= 0) | (h(x + s) <= 0)].min(initial=99.0))


grow = np.maximum.accumulate


@pytest.mark.parametrize(
    "answer, hint",
    [
        (lambda h, dh, x: h(x) / abs(dh(x)), "the slope at x alone"),
        (far_root, "where the curves cross"),
        (lambda h, dh, x: h(x) / abs(dh(np.linspace(-30, 30, 60001))).max(), "the whole line"),
        (radius(lambda dh, x: both_ends(dh, x)), "never falls"),
        (radius(lambda dh, x: grow(abs(dh(x + S_GRID)))), "only to the right"),
        (radius(lambda dh, x: grow(abs(dh(x - S_GRID)))), "only to the left"),
        (radius(lambda dh, x: grow(np.maximum(dh(x - S_GRID), dh(x + S_GRID)))), "absolute value"),
        (lambda h, dh, x: np.max(np.minimum(S_GRID, h(x) / grow(both_ends(dh, x)))), "is behind"),
        (lambda h, dh, x: -1.0, "above 0"),
        (lambda h, dh, x: math.nan, "a finite number"),
        (lambda h, dh, x: S_GRID, "a finite number"),
        (None, "no function"),
    ],
)
def test_a_wrong_radius_on_the_line_is_explained(answer, hint, capsys):
    checkers.line_radius(answer)
    out = capsys.readouterr().out
    assert out.startswith("Not yet") and hint in out


def box(reach=lambda W, R: R * np.linalg.norm(W, axis=1), flat=lambda a: a, order=np.sort):
    """A reader's gradient_box with mistakes of their own."""

    def answer(W, b, v, x, R, a):
        z = W @ x + b
        far = reach(W, R)
        slopes = np.where(np.stack([z - far, z + far]) > 0, 1, flat(a))
        ends = order(slopes[:, :, None] * (v[:, None] * W), 0)
        return ends[0].sum(0), ends[1].sum(0)

    return answer


@pytest.mark.parametrize(
    "answer, hint",
    [
        (box(flat=lambda a: 0), "is a, not 0"),
        (box(reach=lambda W, R: R), "the length of W[i]"),
        (box(reach=lambda W, R: 0), "may switch"),
        (box(reach=lambda W, R: math.inf), "keeps its slope"),
        (box(order=lambda ends, axis: ends), "turns the ends round"),
        (lambda *a: box()(*a)[::-1], "yours is"),
        (lambda *a: 3.0, "return low, high"),
        (lambda *a: (0.0, 1.0), "an entry a pixel"),
    ],
)
def test_a_wrong_box_is_explained(answer, hint, capsys):
    checkers.gradient_box(answer)
    out = capsys.readouterr().out
    assert out.startswith("Not yet") and hint in out


def test_a_right_box_is_right(capsys):
    checkers.gradient_box(box())
    assert capsys.readouterr().out == "Right.\n"


@pytest.mark.parametrize(
    "checker, answer, hint",
    [
        (checkers.dual_norm, 2, "q = 2"),
        (checkers.dual_norm, math.inf, "how the push is measured"),
        (checkers.dual_norm, "1", "1/p + 1/q"),
        (checkers.certificates, ["slope at x"], "a step away"),
        (checkers.certificates, ["LipSDP", "ascent"], "it did not find"),
        (checkers.certificates, ["samples"], "between them"),
        (checkers.certificates, ["lipsdp"], "none of the six"),
        (checkers.certificates, ["LipSDP"], "2 more"),
    ],
)
def test_a_wrong_choice_is_explained(checker, answer, hint, capsys):
    checker(answer)
    out = capsys.readouterr().out
    assert out.startswith("Not yet") and hint in out
