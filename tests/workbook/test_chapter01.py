"""Chapter 01 says only what code and rows hold, and each wrong answer to its exercises is told why
it is wrong.
"""

import math

import ipywidgets as W
import pytest
import torch

from rsnl_lib import data, networks, theorem
from rsnl_lib.workbook import widgets
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
