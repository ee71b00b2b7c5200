"""The explorer follows its controls, keeps one noise pattern, and says errors where the reader
looks; figures are stable.
"""

import datetime
import io
import re

import ipywidgets as W
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image, ImageDraw

from rsnl_lib import data, store
from rsnl_lib.measure import inference
from rsnl_lib.workbook import figures, palette, score_cache, widgets
from rsnl_lib.workbook.widgets import base, noise


class Mean(torch.nn.Module):
    """Two classes: bright or dark."""

    def forward(self, x):
        m = x.mean(dim=(1, 2, 3))
        return torch.stack([m, 1 - m], 1) * 4


@pytest.fixture
def box(monkeypatch):
    kept = []
    monkeypatch.setattr(
        base, "show_widget", lambda widget, still, text: kept.append((widget, still, text))
    )
    x, y = data.gallery("digits")
    widgets.explorer({"teacher": Mean(), "robust": Mean()}, x, y % 2, ["bright", "dark"])
    return kept[0]


def controls(box):
    found, queue = {}, [box]
    while queue:
        w = queue.pop()
        queue += getattr(w, "children", ())
        if isinstance(w, W.HTML):
            found["out"] = w
        elif getattr(w, "description", ""):
            found[w.description] = w
    return found


def digit_png():
    picture = Image.new("L", (200, 300), 255)
    ImageDraw.Draw(picture).line([(90, 60), (110, 60), (110, 240)], fill=0, width=24)
    raw = io.BytesIO()
    picture.save(raw, "png")
    return raw.getvalue()


@pytest.mark.parametrize(
    "name, value",
    [
        ("image", 3),
        ("noise", "poisson"),
        ("noise", "none"),
        ("SNR (dB)", 10.0),
        ("noise draw", 5),
        ("occlusion size", 4),
    ],
)
def test_every_control_redraws(box, name, value):
    c = controls(box[0])
    before = c["out"].value
    c[name].value = value
    assert c["out"].value != before and "alert" not in c["out"].value


def test_place_moves_the_square_and_stays_inside(box):
    c = controls(box[0])
    c["occlusion size"].value = 4
    before = c["out"].value
    c["row"].value = 7
    assert c["out"].value != before and "alert" not in c["out"].value


def test_snr_rescales_one_pattern():
    x, _ = data.gallery("digits")
    noise = [widgets.spoil_and_score({}, x[:1], "gaussian", s)[0] - x[:1] for s in (0.0, 20.0)]
    assert torch.allclose(noise[0], 10 * noise[1], atol=1e-5)


def test_upload_shows_the_picture_and_bad_upload_says_why(box):
    c = controls(box[0])
    before = c["out"].value
    c["own digit"].value = (
        {
            "name": "d.png",
            "type": "image/png",
            "size": 1,
            "content": memoryview(digit_png()),
            "last_modified": datetime.datetime(2026, 1, 1),
        },
    )
    assert (
        "your digit" in c["out"].value
        and c["out"].value != before
        and "true class" not in c["out"].value
    )
    c["own digit"].value = (
        {
            "name": "d.png",
            "type": "image/png",
            "size": 1,
            "content": memoryview(b"no picture"),
            "last_modified": datetime.datetime(2026, 1, 1),
        },
    )
    assert 'role="alert"' in c["out"].value and "PNG or JPEG" in c["out"].value
    c["back to the gallery"].click()
    assert c["out"].value == before


def test_an_error_in_a_network_is_said_in_the_view(monkeypatch, box):
    monkeypatch.setattr(noise, "spoil_and_score", lambda *a, **k: 1 / 0)
    c = controls(box[0])
    c["image"].value = 2
    assert 'role="alert"' in c["out"].value and "division by zero" in c["out"].value


def test_view_names_class_scores_and_change():
    p, clean = np.array([0.2, 0.8]), np.array([0.9, 0.1])
    text = widgets.bars("kd", p, clean, 0, ["a", "b"])
    assert "says b at 0.80" in text and "true class a: 0.20 (-0.70 from clean)" in text
    drawn = dict(re.findall('class="rsnl-(now|clean|true)" d="([^"]+)"', text))
    assert drawn == {
        "now": "M6 54v-10.0h18V54zM32 54v-40.0h18V54z",
        "clean": "M6 54v-45.0h18V54zM32 54v-5.0h18V54z",
        "true": "M15 70l6 10h-12z",
    }
    assert re.findall('<tspan x="([0-9]+)">(.)</tspan>', text) == [("15", "a"), ("41", "b")]
    assert "rsnl-true" not in widgets.bars("kd", p, clean, None, ["a", "b"])


def test_figures_are_the_same_bytes_twice_and_show_every_method():
    rows = pd.DataFrame(
        [
            {
                "method": m,
                "perturbation": "gaussian",
                "unit": "dB",
                "level": l,
                "n": 100,
                "correct": 90 + l,
            }
            for m in ("robust", "teacher", "mine")
            for l in (1, 2, 3)
        ]
    )
    one, two = (palette.png(figures.accuracy_curves(rows)) for _ in range(2))
    assert one == two
    texts = {t.get_text() for t in figures.accuracy_curves(rows).axes[0].texts}
    assert texts == {"teacher", "robust", "mine"}


def test_bars_are_of_the_images_of_one_network_and_of_the_mean_over_three():
    rows = pd.DataFrame(
        [
            {
                "method": "kd",
                "perturbation": "gaussian",
                "level": 1,
                "n": 100,
                "correct": c,
                "seed": s,
            }
            for s, c in enumerate((80, 85, 90))
        ]
    )
    ends = lambda part: figures.accuracy_curves(part).axes[0].collections[0].get_segments()[0][:, 1]
    reach = 4.302653 * 5 / 3**0.5
    assert ends(rows) == pytest.approx([85 - reach, 85 + reach], abs=1e-4)
    assert ends(rows[:1]) == pytest.approx([100 * v for v in inference.wilson(80, 100)]) and ends(
        rows[:2]
    ) == pytest.approx([100 * v for v in inference.wilson(165, 200)])


def test_methods_differ_in_colour_and_mark():
    assert (
        len({s["color"] for s in palette.styles().values()})
        == len({s["marker"] for s in palette.styles().values()})
        == len(palette.styles())
    )


def test_a_second_upload_is_scored_anew(box):
    c = controls(box[0])
    seen = []
    for width in (24, 60):
        picture = Image.new("L", (200, 300), 255)
        ImageDraw.Draw(picture).line([(60, 60), (140, 60), (110, 240)], fill=0, width=width)
        raw = io.BytesIO()
        picture.save(raw, "png")
        c["own digit"].value = (
            {
                "name": "d.png",
                "type": "image/png",
                "size": 1,
                "content": memoryview(raw.getvalue()),
                "last_modified": datetime.datetime(2026, 1, 1),
            },
        )
        seen.append(re.findall('class="rsnl-clean" d="([^"]+)"', c["out"].value))
    assert seen[0] and seen[0] != seen[1]


@pytest.mark.parametrize("dataset", ["digits", "mnist"])
def test_the_table_says_what_the_shipped_networks_say(dataset):
    nets, (x, _), path = (
        score_cache.shipped_networks(dataset),
        data.gallery(dataset),
        score_cache.SCORE_TABLES / f"{dataset}.npz",
    )
    assert {"teacher", "standard", "kd", "robust", "target_zero"} <= set(
        nets
    ) and path.stat().st_size < 500_000
    with np.load(path) as f:
        assert {score_cache.short_hash(n.state_dict()) for n in nets.values()} == set(
            f["networks"]
        ), f"{path.name} is stale: python -m rsnl_lib.workbook.score_cache"
    known = score_cache.lookup(nets, x)
    assert len(score_cache.STOPS) == 107
    for kind, snr in [*list(score_cache.STOPS)[::13], ("gaussian", 3.0)]:
        for i in (0, 7, 23, 39):
            _, live = widgets.spoil_and_score(nets, x[i : i + 1], kind, snr)
            for m, p in known(i, kind, snr).items():
                torch.testing.assert_close(
                    p,
                    live[m],
                    rtol=0,
                    atol=2**-12 + 1e-5,
                    msg=f"{m}, image {i}, {kind} at {snr} dB",
                )


def test_the_table_answers_for_its_own_networks_images_and_levels_only():
    nets, (x, _) = (
        {
            m: store.load_checkpoint(n.path)[0]
            for m, n in score_cache.shipped_networks("digits").items()
        },
        data.gallery("digits"),
    )
    known, other = score_cache.lookup(nets, x), x.clone()
    assert known(0, "none", 7.25) and known(0, "gaussian", -6.0) and known(39, "poisson", 20.0)
    assert known(0, "gaussian", 0.25) is None and known(None, "none", 0.0) is None
    other[3] += 0.01
    assert score_cache.lookup(nets, other)(3, "none", 0.0) is None and score_cache.lookup(
        nets, other
    )(4, "none", 0.0)
    assert torch.equal(
        score_cache.lookup(nets, x.flip(0))(0, "none", 0.0)["kd"], known(39, "none", 0.0)["kd"]
    )
    assert score_cache.lookup(nets | {"mine": Mean()}, x)(0, "none", 0.0) is None
    nets["kd"].train()
    assert known(0, "none", 0.0) is None
    nets["kd"].eval()
    assert known(0, "none", 0.0)
    with torch.no_grad():
        next(nets["kd"].parameters()).view(-1)[0] += 1e-3
    assert known(0, "none", 0.0) is None and score_cache.lookup(nets, x)(0, "none", 0.0) is None


def test_the_explorer_loads_no_weights_for_what_the_table_knows(monkeypatch):
    kept, loaded = [], []
    monkeypatch.setattr(base, "show_widget", lambda widget, still, text: kept.append(widget))
    load = store.load_checkpoint
    monkeypatch.setattr(store, "load_checkpoint", lambda path: loaded.append(path) or load(path))
    nets = score_cache.shipped_networks("mnist")
    widgets.explorer(nets, *data.gallery("mnist"))
    c = controls(kept[0])
    for name, value in [
        ("SNR (dB)", 3.5),
        ("SNR (dB)", -6.0),
        ("noise", "poisson"),
        ("image", 39),
        ("SNR (dB)", 20.0),
        ("noise", "none"),
        ("image", 0),
    ]:
        c[name].value = value
        assert "alert" not in c["out"].value and not loaded
    c["noise draw"].value = 1
    assert "alert" not in c["out"].value and len(loaded) == len(nets)
    c["noise draw"].value, c["occlusion size"].value = 0, 4
    assert "alert" not in c["out"].value and len(loaded) == len(nets)


class Sums(torch.nn.Module):
    """Ten classes from fixed random sums of the pixels: fast, smooth, and a boundary everywhere."""

    def __init__(self, seed):
        super().__init__()
        self.w = torch.randn(64, 10, generator=torch.Generator().manual_seed(seed))

    def forward(self, x):
        return x.flatten(1) @ self.w


def shown_by(monkeypatch, ask):
    kept = []
    monkeypatch.setattr(
        base, "show_widget", lambda widget, still, text: kept.append((widget, still, text))
    )
    ask()
    return kept[0]


@pytest.fixture
def pair():
    nets, (x, _) = {"teacher": Sums(0).eval(), "kd": Sums(1).eval()}, data.gallery("digits")
    return nets, x, nets["teacher"](x).argmax(1)


def test_the_attack_follows_every_control_and_says_who_is_still_right(monkeypatch, pair):
    nets, x, y = pair
    box, still, text = shown_by(monkeypatch, lambda: widgets.attacked(nets, x, y, 0.15, 10))
    c = controls(box)
    seen = [c["out"].value]
    for name, value in (("attacked", "kd"), ("image", 3), ("epsilon", 0.3), ("steps", 1)):
        c[name].value = value
        seen.append(c["out"].value)
    assert (
        len(set(seen)) == 5
        and not any("alert" in v for v in seen)
        and Image.open(io.BytesIO(still)).size[0] > 100
        and "teacher, kd" in text
    )
    c["attacked"].value = "teacher"
    c["epsilon"].value = 0.0
    assert "still right: teacher" in c["out"].value and "0.00 in length" in c["out"].value
    c["steps"].value, c["epsilon"].value = 10, 0.5
    assert "still right: teacher" not in c["out"].value, "half of the range undoes a linear network"


def test_the_walk_follows_every_control_ends_at_the_boundary_and_refuses_its_own_class(
    monkeypatch, pair
):
    nets, x, y = pair
    box, _, text = shown_by(monkeypatch, lambda: widgets.walk(nets, x, y))
    c = controls(box)
    seen = [c["out"].value]
    gap = lambda: abs(float(re.search(r"gap ([+-]\d+\.\d+)", c["out"].value).group(1)))
    assert gap() < 0.01 and "length" in c["out"].value
    c["step"].value = 0
    assert gap() > 0.01 and "length 0.000" in c["out"].value
    seen.append(c["out"].value)
    for name, value in (("image", 5), ("towards", str((int(y[5]) + 3) % 10))):
        c[name].value = value
        seen.append(c["out"].value)
    assert len(set(seen)) == 4 and not any("alert" in v for v in seen) and "teacher, kd" in text
    c["towards"].value = str(int(y[5]))
    assert "choose another class" in c["out"].value


def test_lines_lie_between_the_ends_and_name_the_step():
    svg = widgets.step_plot(
        {"a": ([0.0, 1.0, 2.0], "#000000"), "b": ([2.0, 1.5, -1.0], "#111111")}, 1
    )
    assert 'aria-label="step 1: a +1.00; b +1.50"' in svg and svg.count("<polyline") == 2
    ys = [
        float(p.split(",")[1])
        for points in re.findall(r'points="([^"]+)"', svg)
        for p in points.split()
    ]
    assert min(ys) == 10.0 and max(ys) == 130.0
    met = widgets.step_plot({"a": ([0.0, 1.0], "#000000"), "b": ([2.0, 1.0], "#111111")}, 1)
    ys = [float(v) for v in re.findall(r'<text x="266" y="([^"]+)"', met)]
    assert len(ys) == 2 and abs(ys[0] - ys[1]) == 12, (
        "names do not lie on each other where lines meet"
    )


def test_a_student_of_a_robust_teacher_is_drawn_hollow_in_its_methods_colour():
    own, by = palette.style("kd"), palette.style("kd by pgd_at")
    assert (
        by["color"] == own["color"]
        and by["mfc"] == "white"
        and by["label"] == "KD, robust teacher"
        and "mfc" not in own
    )
    assert palette.rank(["ard by pgd_at", "robust", "kd by pgd_at", "kd", "teacher"]) == [
        "teacher",
        "kd",
        "kd by pgd_at",
        "robust",
        "ard by pgd_at",
    ]


def test_accuracy_falls_to_the_right_under_attack_as_under_noise():
    rows = pd.DataFrame(
        [
            {"method": "kd", "perturbation": p, "level": level, "correct": 9, "n": 10}
            for p, level in (("pgd", 0.1), ("pgd", 0.2))
        ]
    )
    ax = figures.accuracy_curves(rows).axes[0]
    assert (
        not ax.xaxis_inverted()
        and figures.accuracy_curves(rows.assign(perturbation="gaussian")).axes[0].xaxis_inverted()
    )
    assert ax.texts[0].xy[0] == pytest.approx(0.202)
