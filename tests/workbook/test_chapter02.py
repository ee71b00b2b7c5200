"""Chapter 02: what its text says holds for the shipped networks, its figures can be read, and its
checkers tell wrong answers apart.
"""

import io
import re

import numpy as np
import pytest
import torch
from PIL import Image
from test_sliders import shown  # noqa: F401
from test_widgets import controls

from rsnl_lib import data, geometry
from rsnl_lib.train import losses
from rsnl_lib.workbook import checkers, figures, margin_figures, palette, widgets
from rsnl_lib.workbook.chapter import load_or_train

STUDENTS = ("standard", "kd", "robust")


@pytest.fixture(scope="module")
def nets():
    return {m: load_or_train("digits", m) for m in ("teacher", *STUDENTS)}


def gradient_term(tau=True, graph=True, square=True, pixels=torch.sum, images=torch.mean):
    """An answer to exercise 2 with the mistakes asked for."""

    def function(net_S, net_T, x, y, t):
        g = []
        for net in (net_S, net_T):
            z = x.clone().requires_grad_()
            f = torch.softmax(net(z) / (t if tau else 1), dim=1)[range(len(y)), y]
            g += torch.autograd.grad(f.sum(), z, create_graph=graph)
        length = pixels((g[0] - g[1]).square(), dim=(1, 2, 3))
        return images(length if square else length.sqrt())

    return function


@pytest.mark.parametrize(
    "answer, hint",
    [
        (gradient_term(graph=False), "create_graph=True"),
        (gradient_term(square=False), "the square is missing"),
        (gradient_term(pixels=torch.mean), "sum the squares"),
        (gradient_term(images=torch.sum), "not the sum"),
        (gradient_term(tau=False), "tau is missing"),
        (lambda *a: gradient_term()(*a).item(), "a tensor of one number"),
        (lambda *a: 1.7 * gradient_term()(*a), "yours is"),
        (lambda *a: gradient_term()(*a) + 0 * a[0](a[2]).sum(), "Right."),
        (gradient_term(), "Right."),
    ],
)
def test_a_wrong_gradient_term_is_explained(answer, hint, capsys):
    checkers.gradient_term(answer)
    assert hint in capsys.readouterr().out


def test_a_gradient_term_that_reaches_no_weight_of_the_student_is_told(capsys):
    whole, cut = gradient_term(), gradient_term(graph=False)
    checkers.gradient_term(lambda *a: cut(*a) + 0 * whole(*a))
    assert "for net_S" in capsys.readouterr().out


@pytest.mark.parametrize(
    "factor, hint",
    [(lambda f: -f, "the sign"), (lambda f: 1, "the factor f_S is missing"), (lambda f: f, "open")],
)
def test_a_wrong_pull_of_the_hinge_is_explained(factor, hint, capsys):
    def pull(o_S, f_T, y, gamma):
        truth = torch.zeros_like(o_S)
        truth[y] = 1
        return factor(o_S[y]) * (truth - o_S)

    checkers.hinge_pull(pull)
    told = capsys.readouterr().out
    assert hint.replace("open", "closed and pulls on nothing") in told


def test_the_hinge_is_its_floor_and_what_the_student_lacks(nets):
    d = data.load("digits")
    with torch.no_grad():
        f = {m: geometry.score(net(d.x_train), d.y_train) for m, net in nets.items()}
    assert (f["teacher"] > 1 - 0.1).float().mean() > 0.99
    floor = losses.score_floor(f["teacher"], 0.1)
    assert max(STUDENTS, key=lambda m: float((1 - f[m]).mean())) == "robust"
    for m in STUDENTS:
        above = losses.score_loss(f[m], f["teacher"], 0.1) - floor
        assert above == pytest.approx(float((1 - f[m]).mean()), abs=2e-5)
        assert 0 < above < 0.01 < floor / 9


def test_the_gradient_term_is_three_times_smaller_for_the_robust_student(nets):
    x, y = data.gallery("digits")
    g = {m: geometry.input_gradient(net, x, y, 3.0)[1] for m, net in nets.items()}
    term = {m: float(losses.gradient_loss(g[m], g["teacher"])) for m in STUDENTS}
    assert term["kd"] / term["robust"] == pytest.approx(3, abs=0.2)
    few = [int((y == c).nonzero()[0]) for c in (0, 3, 5, 8)]
    gap = {m: (g[m] - g["teacher"])[few].flatten(1).norm(dim=1) for m in STUDENTS}
    share = gap["robust"] / gap["kd"]
    assert (share < 0.9).all() and set(share.argsort()[:2].tolist()) == {1, 3}


def test_no_column_of_gradients_is_blank_and_the_bar_names_the_colours():
    x, g = (
        torch.rand(3, 8, 8),
        torch.randn(3, 8, 8) * torch.tensor([1e-4, 1.0, 30.0])[:, None, None],
    )
    fig = figures.gradient_pictures(x, {"kd": g, "robust": g / 2}, ["a", "b", "c"])
    for i in range(3):
        drawn = [fig.axes[3 * row + i].images[0] for row in (1, 2)]
        top = float(g[i].abs().max())
        assert all(image.get_clim() == pytest.approx((-top, top)) for image in drawn)
        assert f"{top:.2g}" in fig.axes[i].get_title()
    words = " ".join(t.get_text() for t in fig.axes[-1].get_yticklabels())
    assert (
        "raises" in words and "lowers" in words and "strongest pixel" in fig.axes[-1].get_ylabel()
    )


def test_orange_raises_and_purple_lowers_in_figures_and_live_views():
    up, down, none = palette.signed_pixels([[5.0, -5.0, 0.0]], 1.0)[0].astype(int)
    assert up[0] > up[1] > up[2], "orange: more red than green, more green than blue"
    assert down[2] > down[0] > down[1], "purple: blue, then red, then green"
    assert (none == 255).all() or none.min() > 250
    fig, (ax,) = palette.panels(1, 1, 1)
    palette.draw_image(ax, [[1.0, -1.0]], 1.0)
    assert ax.images[0].cmap is palette.DIVERGING


def test_a_rare_colour_keeps_its_hue_in_the_stored_picture():
    g = torch.linspace(-0.2, 0.2, 784).view(1, 28, 28).clone()
    g[0, 14, 14], g[0, 3, 3] = 1.0, -1.0
    x, raw = torch.rand(1, 28, 28), io.BytesIO()
    one, two = (figures.gradient_pictures(x, {"kd": g}, ["a"]) for _ in range(2))
    one.savefig(raw, format="png", dpi=100)
    true, stored = (
        np.asarray(Image.open(io.BytesIO(b)).convert("RGB")).astype(int)
        for b in (raw.getvalue(), palette.png(two))
    )
    assert abs(true - stored).max() <= 8


def test_pairs_lie_on_log_axes_with_their_diagonal():
    x = torch.tensor([1e-3, 1.0])
    points = {"left": ("kd", x, 2 * x), "right": ("robust", x, x)}
    fig = margin_figures.log_pairs(points, "x", "y")
    for ax in fig.axes:
        assert ax.get_xscale() == ax.get_yscale() == "log" and ax.get_xlim() == ax.get_ylim()
        line = ax.lines[1]
        assert list(line.get_xdata()) == list(line.get_ydata())
    free = margin_figures.log_pairs(points, "x", "y", diagonal=False)
    assert [len(ax.lines) for ax in free.axes] == [1, 1]


def test_the_panels_of_pulls_have_headings_of_one_height(shown):  # noqa: F811
    x, y = data.gallery("digits")
    widgets.pulls(torch.randn(40, 10), torch.randn(40, 10), x, y)
    c = controls(shown[0][0])
    assert c["out"].value.count("</b><br>largest") == 3
    widths = [int(w) for w in re.findall(r'<(?:svg|img)[^>]* width="(\d+)"', c["out"].value)]
    assert len(widths) == 4 and sum(widths) + 3 * 16 < 900, "one row beside a file browser"
    assert {"temperature tau", "margin gamma", "weight lambda", "image"} <= set(c)
