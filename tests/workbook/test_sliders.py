"""The live pictures of the theorem's chapters follow every control and say what is true; the
margins' rows mean what they say.
"""

import math

import numpy as np
import pytest
import torch
from test_widgets import controls

from rsnl_lib import data, geometry, networks, theorem
from rsnl_lib.__main__ import main
from rsnl_lib.study.jobs import Job
from rsnl_lib.workbook import theorem_figures, widgets
from rsnl_lib.workbook.widgets import base, planes, theory


def nets(kind="digits_mlp"):
    torch.manual_seed(0)
    return {who: networks.build(f"{kind}_{who}").double().eval() for who in ("student", "teacher")}


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


CASE = dict(
    f_S=lambda d: sigmoid(1 + d),
    f_T=lambda d: 0.5 + 0 * d,
    ratio=0.9242,
    sure=0.9242,
    slope=0.25,
    reach=4,
    words="a case",
)


@pytest.fixture
def shown(monkeypatch):
    kept = []
    monkeypatch.setattr(
        base, "show_widget", lambda widget, still, text: kept.append((widget, still, text))
    )
    return kept


@pytest.mark.parametrize(
    "delta, words",
    [
        (
            0.5,
            (
                "the student leads by",
                "Eq. 7 as printed says nothing here",
                "guarantees the student: right",
            ),
        ),
        (2.0, ("the student leads by", "says the teacher leads: WRONG", "Theorem 1' says nothing")),
        (
            -2.0,
            ("the teacher leads by", "says the teacher leads: right", "Theorem 1' says nothing"),
        ),
    ],
)
def test_a_push_is_judged_by_both_statements(delta, words):
    text = theory.push_view("CE1", CASE, delta)
    for word in words:
        assert word in text


def test_push_follows_its_controls(shown):
    widgets.push({"one": CASE, "two": {**CASE, "reach": 1}})
    c = controls(shown[0][0])
    seen = [c["out"].value]
    for name, value in (("delta", 2.5), ("example", "two"), ("delta", 0.5)):
        c[name].value = value
        seen.append(c["out"].value)
    assert len(set(seen)) == 4 and c["delta"].max == 1


def test_plane_follows_its_controls_and_never_certifies_beyond_the_exact_flip(shown):
    pair, x = nets(), data.load("digits").x_test[:40].double()
    y = torch.stack(
        [
            theorem.head_start(pair["student"], pair["teacher"], torch.full((40,), k))(x).detach()
            for k in range(10)
        ]
    ).argmax(0)
    axes = torch.linalg.qr(torch.randn(64, 2, dtype=torch.float64))[0].T.reshape(2, 1, 8, 8)
    widgets.plane(pair["student"], pair["teacher"], x[:2], y[:2], axes, reach=1.0)
    c = controls(shown[0][0])
    seen = [c["out"].value]
    for name, value in (
        ("image", 1),
        ("radius R", 0.3),
        ("push measured by", 1),
        ("push measured by", math.inf),
    ):
        c[name].value = value
        seen.append(c["out"].value)
    assert len(set(seen)) == 5 and not any("alert" in s for s in seen)
    here = planes.Plane(pair["student"], pair["teacher"], x[:1], y[:1], axes, 1.0)
    for p in (1, 2, math.inf):
        a = here.answers(p)
        assert 0 < a["integral"] <= a["flip"][1]
        for R in (0.01, 0.1, 0.5):
            assert min(R, a["m"] / here.gap(p, R)) <= a["flip"][1]


def test_examples_follow_their_controls(shown):
    pair, (x, y) = nets(), data.gallery("digits")
    widgets.examples(
        {"robust": pair["student"], "kd": pair["student"], "teacher": pair["teacher"]}, x[:4], y[:4]
    )
    c = controls(shown[0][0])
    seen = [c["out"].value]
    for name, value in (
        ("image", 2),
        ("noise (dB)", 0),
        ("student", "kd"),
        ("length of the push", 2.0),
    ):
        c[name].value = value
        seen.append(c["out"].value)
    assert len(set(seen)) == 5 and not any("alert" in s for s in seen)


def test_no_noise_is_a_choice_that_shows(shown):
    pair, (x, y) = nets(), data.gallery("digits")
    widgets.examples({"robust": pair["student"], "teacher": pair["teacher"]}, x[:1], y[:1])
    noise = controls(shown[0][0])["noise (dB)"]
    for label in ("none", "20", "none"):
        noise.label = label
        assert noise.label == label and noise.index is not None


def test_the_worst_way_lowers_the_head_start():
    pair, (x, y) = nets(), data.gallery("digits")
    here, label = x[:1].double(), y[:1]
    g_S, g_T = (theory.lead_slope(pair[who], here, label) for who in ("student", "teacher"))
    t, u = theory.along(pair.values(), here, label, g_S - g_T, 0.05)
    h = u[:, 0] - u[:, 1]
    assert u.shape == (41, 2) and t[-1] == 0.05
    assert h[0] - h[-1] == pytest.approx(float(geometry.norm(g_S - g_T)) * 0.05, rel=0.2)


def test_pulls_follow_their_controls_and_are_minus_the_derivatives(monkeypatch):
    kept = []
    monkeypatch.setattr(base, "show_widget", lambda widget, still, text: kept.append(widget))
    torch.manual_seed(0)
    (x, y), a_S, a_T = data.gallery("digits"), torch.randn(40, 10), torch.randn(40, 10)
    widgets.pulls(a_S, a_T, x, y, first=3)
    c = controls(kept[0])
    seen = [c["out"].value]
    for name, value in (
        ("image", 5),
        ("temperature tau", 6.0),
        ("margin gamma", 0.7),
        ("weight lambda", 1.0),
    ):
        c[name].value = value
        seen.append(c["out"].value)
    assert len(set(seen)) == 5
    a = a_S[5].double().requires_grad_()
    f_T, k = torch.softmax(a_T[5].double(), 0)[y[5]], int(y[5])
    terms = {
        "cross-entropy": -torch.log_softmax(a, 0)[k],
        "L_S, the hinge": torch.relu(0.7 + f_T - torch.softmax(a, 0)[k]),
        "lambda x soft cross-entropy": (
            -(torch.softmax(a_T[5].double() / 6, 0) * torch.log_softmax(a / 6, 0)).sum()
        ),
    }
    for name, value in widgets.pull(a_S[5].double(), a_T[5].double(), k, 6.0, 0.7, 1.0).items():
        torch.testing.assert_close(value, -torch.autograd.grad(terms[name], a)[0])
    closed = widgets.pull(torch.tensor([9.0, 0]), torch.tensor([0.0, 0]), 0, 1.0, 0.1, 1.0)
    assert not closed["L_S, the hinge"].any()


def test_margins_are_what_they_say():
    pair, d = nets(), data.load("digits")
    x, y = d.x_test[:30].double(), d.y_test[:30]
    rows = theorem.margins(
        pair["student"], pair["teacher"], x, y, tau=3.0, sound="interval", restarts=2, steps=8
    )
    u_S, u_T = (geometry.height(pair[who](x), y).detach() for who in ("student", "teacher"))
    column = lambda name: torch.tensor([r[name] for r in rows])
    torch.testing.assert_close(column("lead").double(), u_S - u_T, rtol=1e-5, atol=1e-6)
    ahead = u_S > u_T
    assert 0 < ahead.sum() < 30
    assert (column("flip")[~ahead] == 0).all() and (column("flip")[ahead] > 0).all()
    assert (column("sound") <= column("flip") + 1e-7).all() and (column("sound")[ahead] > 0).all()
    wrong = pair["student"](x).argmax(1) != y
    assert ((column("wrong") == 0) == wrong).all()
    alone = theorem.margins(pair["teacher"], None, x[:2], y[:2], restarts=1, steps=2)
    assert set(alone[0]) == {"f_S", "slope_S", "f_S_noisy", "wrong"}


def test_the_callers_networks_stay_as_they_are():
    pair = {who: networks.build(f"digits_mlp_{who}").train() for who in ("student", "teacher")}
    x, y = data.gallery("digits")
    theorem.margins(pair["student"], pair["teacher"], x[:2], y[:2], restarts=1, steps=1)
    theorem.ladder(
        pair["student"],
        pair["teacher"],
        x[:6],
        y[:6],
        sound=("interval",),
        draws=5,
        restarts=1,
        steps=1,
    )
    assert all(p.dtype == torch.float32 for net in pair.values() for p in net.parameters()) and all(
        net.training for net in pair.values()
    )


def test_the_ladder_names_what_is_sound():
    pair, d = nets(), data.load("digits")
    rows = theorem.ladder(
        pair["student"],
        pair["teacher"],
        d.x_test[:20],
        d.y_test[:20],
        sound=("spectral", "interval"),
        draws=50,
        restarts=2,
        steps=8,
    )
    kinds = {r["certificate"]: r["kind"] for r in rows}
    assert (
        kinds["m / gap at x"] == "no bound"
        and kinds["ascent, integral"] == "estimate"
        and kinds["smallest flip found"] == "flip"
    )
    sound = [r for r in rows if r["kind"] == "sound"]
    assert sound and all(0 < r["value"] <= r["flip"] for r in sound)


def test_margins_and_ladder_as_commands(tmp_path, capsys):
    student = Job("digits", "robust", "digits_mlp_student", "tau4").path()
    main(
        [
            "margins",
            str(student),
            "--images",
            "3",
            "--restarts",
            "1",
            "--steps",
            "3",
            "--rows",
            str(tmp_path / "m.csv"),
        ]
    )
    main(
        [
            "ladder",
            str(student),
            "--images",
            "2",
            "--sound",
            "interval",
            "--spaces",
            "logit",
            "--restarts",
            "1",
            "--steps",
            "3",
            "--rows",
            str(tmp_path / "l.csv"),
        ]
    )
    said = capsys.readouterr().out
    assert "3 images, the student leads on" in said and "interval Jacobian, integral" in said
    assert (
        len((tmp_path / "m.csv").read_text().splitlines()) == 4
        and "tau4" in (tmp_path / "l.csv").read_text()
    )


@pytest.mark.parametrize(
    "words, message",
    [
        (["margins", "none.safetensors"], "there is no checkpoint none.safetensors"),
        (["margins", "STUDENT", "--images", "0"], "images=0 must be a whole number of at least 1"),
        (["margins", "STUDENT", "--sound", "magic"], "sound='magic' is unknown"),
        (["ladder", "TEACHER"], "is a teacher; name a student's checkpoint"),
    ],
)
def test_bad_words_are_said(words, message):
    files = {
        "STUDENT": Job("digits", "robust", "digits_mlp_student", "tau4").path(),
        "TEACHER": Job("digits", "teacher", "digits_mlp_teacher", "tau4").path(),
    }
    with pytest.raises(SystemExit, match=message):
        main([str(files.get(w, w)) for w in words])


def test_diagrams_tell_the_kinds_apart():
    looks = [(k["color"], k["ls"], k["marker"]) for k in theorem_figures.KIND_LOOKS.values()]
    assert len({c for c, _, _ in looks}) == len({m for _, _, m in looks}) == len(looks) and all(
        k["label"] for k in theorem_figures.KIND_LOOKS.values()
    )
