"""Chapter 05 and its explorer: what is wrong is explained, what is said follows from rows, what is
drawn can be read.
"""

import io
import re
from datetime import datetime

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image, ImageDraw
from test_widgets import controls

from rsnl_lib import data, env
from rsnl_lib.data import perturb, whiten
from rsnl_lib.study import jobs
from rsnl_lib.workbook import checkers, noise_figures, palette, score_cache, widgets
from rsnl_lib.workbook.widgets import base, noise

METHODS = ["teacher", "standard", "kd", "robust", "target_zero"]
SHOWN = {m: score_cache.shipped_networks("mnist")[m] for m in METHODS}


def power(x):
    return x.square().mean(dim=(1, 2, 3), keepdim=True)


def normal(x, generator):
    return torch.randn(x.shape, generator=generator, dtype=x.dtype)


def ink(x):
    return x / x.mean(dim=(1, 2, 3), keepdim=True)


@pytest.mark.parametrize(
    "shot, said",
    [
        (lambda x, r, g: x, "come back as they were"),
        (lambda x, r, g: x + normal(x, g) * (power(x) / r).sqrt(), "on blank paper too"),
        (lambda x, r, g: x + normal(x, g) * x / r**0.5, "grows as its square"),
        (lambda x, r, g: x + normal(x, g) * (x > 0) * (power(x) / r).sqrt(), "hardly depends"),
        (lambda x, r, g: x + torch.poisson(x, generator=g), "the noise has a mean"),
        (lambda x, r, g: x + normal(x, g) * (x / r).sqrt(), "divide the pixel by the image's mean"),
        (lambda x, r, g: torch.poisson(x * r, generator=g) / r, "asked for a ratio of 4 on every"),
        (lambda x, r, g: None, "return a tensor"),
    ],
)
def test_wrong_poisson_noise_is_explained(shot, said, capsys):
    checkers.shot(shot)
    out = capsys.readouterr().out
    assert out.startswith("Not yet") and said in out


def test_true_counts_scaled_to_the_ratio_are_right_too(capsys):
    def counts(x, ratio, generator):
        scale = ratio * x.mean(dim=(1, 2, 3), keepdim=True) / power(x)
        return torch.poisson(x * scale, generator=generator) / scale

    checkers.shot(counts)
    assert capsys.readouterr().out == "Right.\n"


def test_white_noise_that_is_left_out_is_told(capsys):
    checkers.noise(lambda x, ratio, generator: x)
    assert "add the noise" in capsys.readouterr().out


# -- what the chapter says -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def share():
    """Accuracy in % by (perturbation, level, method), of MNIST's shipped runs, levels in dB."""
    rows = jobs.shipped("mnist", palette.styles().keys() - score_cache.LATER)
    sums = rows[rows.unit != "ratio"].groupby(["perturbation", "level", "method"])
    sums = sums[["correct", "n"]].sum()
    return 100 * sums.correct / sums.n


def test_the_sigma_of_an_average_digit_at_1_db():
    if not data.has_files("mnist"):
        pytest.skip("MNIST is not downloaded")
    x = data.load("mnist").x_test
    assert (power(x) / 10**0.1).sqrt().mean() == pytest.approx(0.30, abs=0.005)
    thin, small = (power(data.gallery(name)[0]).sqrt().mean() for name in ("mnist", "digits"))
    assert thin < power(x).sqrt().mean() < small


def test_poisson_noise_is_of_the_formula():
    x = data.gallery("mnist")[0][:1]
    draws = [perturb.poisson(x, 3.0, torch.Generator().manual_seed(i)) - x for i in range(400)]
    spread = torch.stack(draws).square().mean(0)
    want = power(x) / 10**0.3 * ink(x)
    on = x > 0.5
    assert not spread[x == 0].any() and (spread[on] / want[on]).mean() == pytest.approx(1, abs=0.02)
    assert float(spread.mean()) == pytest.approx(float(power(x)) / 10**0.3, rel=0.02)


def test_the_words_on_white_and_poisson_noise_and_the_square(share):
    white, shot, square = (share[kind, level] for kind, level in NOISES)
    five = white[METHODS]
    assert five.drop("teacher").idxmax() == "kd" and five.drop("teacher").idxmin() == "robust"
    assert five["target_zero"] - five["robust"] < 1
    assert all(np.ptp(share["gaussian", level][METHODS]) < 0.25 for level in (6, 7, 8, 9, 10))
    assert 4.5 < shot["robust"] - shot["kd"] < 5.5
    assert 13.5 < shot["robust"] - shot["standard"] < 14.5
    assert 2.5 < shot["target_zero"] - shot["robust"] < 3.5 and shot["teacher"] > shot["robust"]
    assert 2.5 < five["kd"] - five["robust"] < 3.5
    assert square[METHODS].idxmax() == "target_zero" and square[METHODS].idxmin() == "standard"
    assert 0.8 < square["robust"] - square["kd"] < 1.2


NOISES = (("gaussian", 1), ("poisson", 1), ("occlusion", 10))


def test_the_words_on_every_method(share):
    white, shot = share["gaussian", 1], share["poisson", 1]
    gradient = ["robust", "gradient_only", "target_zero", "shuffled"]
    others = ["standard", "kd", "fitnet", "score_only", "direct"]
    assert shot[gradient].min() > shot[others].max()
    assert white["shuffled"] > white["kd"] > white[gradient].drop("shuffled").max() + 2
    assert all(abs(shot[m] - shot["robust"]) < 0.5 for m in ("noise_augmented", "mimic"))


def test_the_words_on_the_weight_and_the_newer_teachers():
    runs = pd.read_csv(env.RESULTS / "mnist.csv", keep_default_na=False)
    runs = runs[runs.unit.isin(["", "dB"]) & runs.level.isin([0, 1])]

    def accuracy(part):
        sums = part.groupby("perturbation")[["correct", "n"]].sum()
        return 100 * sums.correct / sums.n

    robust = runs[runs.method == "robust"]
    three = [accuracy(robust[robust.settings == f"C1={c}.0 epochs=3"]) for c in (1, 10, 100)]
    assert np.ptp([t["clean"] for t in three]) < 0.1
    assert three[0]["gaussian"] > 2 + three[1]["gaussian"]
    assert three[0]["poisson"] < three[1]["poisson"] < three[2]["poisson"]
    newer = runs.teacher.isin([f"mnist_teacher dropout=0.5 seed {t}" for t in range(3, 9)])
    kd = accuracy(runs[newer & (runs.method == "kd") & (runs.settings == "")])
    least, middle, most = (
        accuracy(robust[newer[robust.index] & (robust.settings == setting)])
        for setting in ("C1=1", "C1=3", "")
    )
    assert least["gaussian"] > middle["gaussian"] > most["gaussian"] > 0.4 + kd["gaussian"]
    assert most["poisson"] > middle["poisson"] > least["poisson"] > 5 + kd["poisson"]
    assert np.ptp([least["clean"], middle["clean"], most["clean"]]) < 0.1
    clean = runs[runs.perturbation == "clean"]
    teachers = clean[(clean.method == "teacher") & (clean.settings == "dropout=0.5")]
    alone = clean[(clean.method == "standard") & (clean.settings == "")]
    leads = []
    for seed in range(3, 9):
        mine, student = teachers[teachers.seed == seed], alone[alone.seed == seed + 10]
        leads.append((accuracy(mine) - accuracy(student))["clean"])
    least, *others = sorted(leads)
    assert -0.02 < least < 0.02 and others[0] > 0.05
    old = clean[(clean.method == "teacher") & (clean.settings == "")]
    assert accuracy(old)["clean"] < accuracy(alone)["clean"]


def test_the_words_on_the_small_digits():
    rows = jobs.shipped("digits", METHODS)
    at = rows[(rows.unit == "ratio") & (rows.level == 1)]
    share = at.assign(a=100 * at.correct / at.n).pivot(index="seed", columns="method", values="a")
    lead = share.robust - share.kd
    assert len(lead) == 5 and lead.min() > 0 and 6.5 < lead.mean() < 7.5
    assert share.robust.mean() > share.teacher.mean()
    assert set(share.mean().nlargest(2).index) == {"robust", "target_zero"}
    clean = rows[rows.perturbation == "clean"].groupby("method")[["correct", "n"]].sum()
    given = 100 * (clean.correct / clean.n)
    assert 1.5 < given["robust"] - given["target_zero"] < 2
    assert given.idxmin() == "target_zero" and given.idxmax() == "teacher"


def test_whitening_turns_noise_of_power_one_into_the_formulas():
    g = torch.Generator().manual_seed(0)
    x = (
        torch.randn(500, 12, generator=g, dtype=torch.float64)
        @ torch.randn(12, 12, generator=g).double()
    )
    mean, P = whiten.zca([x])
    seen = (x - mean) @ P
    noise = torch.randn(40_000, 12, generator=g, dtype=torch.float64) @ P
    gain = (1 - seen.square().mean()) / whiten.BIAS
    assert float(noise.square().mean()) == pytest.approx(float(gain), rel=0.02)
    assert whiten.SCALE == 55 and whiten.BIAS == 0.1, "as the chapter's cell has them"


# -- figures ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def white():
    rows = jobs.shipped("mnist", METHODS)
    return rows[(rows.perturbation == "gaussian") & (rows.unit == "dB") & (rows.level <= 5)]


def test_the_teacher_has_a_scale_of_its_own_and_bars_stand_beside_each_other(white):
    fig = noise_figures.noise_curves(white, "t", "x", [(1, 92.1, "kd")], ["teacher"])
    left, right = fig.axes
    assert left.get_ylim()[0] > right.get_ylim()[0] + 3
    assert "another scale" in right.get_title() and left.xaxis_inverted()
    lines = [bars.lines[0] for bars in left.containers]
    for level in range(5):
        at = sorted(line.get_xdata()[level] for line in lines)
        assert len(at) == 4 and min(np.diff(at)) > 0.05
    words = [text.get_text() for text in fig.legends[0].get_texts()]
    assert words[-1] == "hollow: printed in the paper" and len(words) == 6
    (hollow,) = [line for line in left.lines if line.get_label() == "_printed"]
    kd = lines[[palette.style(m)["label"] for m in METHODS[1:]].index("KD")]
    assert hollow.get_mfc() == "none" and hollow.get_xdata()[0] in kd.get_xdata()


def test_a_headline_names_who_keeps_most_at_the_hardest_level(white):
    assert noise_figures.headline(white, "White noise", "here").startswith(
        "White noise: at 1 dB KD keeps most, teacher least\n"
    )
    blocks = jobs.shipped("mnist", METHODS)
    blocks = blocks[blocks.perturbation == "occlusion"]
    assert "at 14 pixels target zero keeps most, standard least" in noise_figures.headline(
        blocks, "s", "w"
    )
    assert noise_figures.runs_told(white) == (
        "3 teachers, 6 students of each kind, 20,000 images each"
    )


def test_the_ladder_says_sigma_and_leaves_blank_paper_blank():
    x = data.gallery("mnist")[0][20:21]
    fig = noise_figures.noise_ladder(x, [10, 1])
    sigma = float((power(x) / 10**0.1).sqrt())
    assert fig.axes[1].get_title() == f"1 dB\nsigma {sigma:.2f}"
    blank = (x[0, 0] == 0).numpy()
    seen = [np.asarray(fig.axes[i].images[0].get_array()) for i in (1, 3)]
    assert seen[0][blank].any() and not seen[1][blank].any()


def test_a_method_trained_once_is_hollow_beside_the_others():
    rows = jobs.shipped("mnist", ["kd", "mimic", "fitnet"])
    fig = noise_figures.one_noise_against_the_other(rows, 1, "t")
    (ax,) = fig.axes
    assert {t.get_text() for t in ax.texts} == {"KD", "mimic", "FitNet"}
    hollow = {line.get_label(): line.get_mfc() == "white" for line in ax.lines}
    assert hollow == {"KD": False, "mimic": True, "FitNet": False}
    assert "up to 6 runs of each; hollow: one run" in fig.get_suptitle()


# -- the explorer ----------------------------------------------------------------------------------


@pytest.fixture
def shown(monkeypatch):
    kept = []
    monkeypatch.setattr(base, "show_widget", lambda *given: kept.append(given))
    widgets.explorer(SHOWN, *data.gallery("mnist"))
    return controls(kept[0][0])


def test_it_opens_where_the_networks_disagree_and_says_sigma(shown):
    x, y = data.gallery("mnist")
    first = noise.Explorer(SHOWN, x, y, base.DIGITS).telling()
    assert shown["image"].value == first == 5 and shown["SNR (dB)"].value == 0
    said = re.findall(r"says (\d)", shown["out"].value)
    assert len(set(said)) > 1
    known = score_cache.lookup(SHOWN, x)
    before = [{int(p.argmax()) for p in known(i, "gaussian", 0.0).values()} for i in range(first)]
    assert all(len(names) == 1 for names in before)
    sigma = float(power(x[first : first + 1]).sqrt())
    assert f"sigma {sigma:.2f} a pixel" in shown["out"].value


def test_where_none_disagree_it_opens_on_the_first():
    x, y = data.gallery("mnist")
    assert noise.Explorer({"kd": SHOWN["kd"]}, x, y, base.DIGITS).telling() == 0


def test_no_change_is_no_minus_zero():
    p = torch.tensor([0.999, 0.001])
    text = widgets.bars("kd", p, p + torch.tensor([0.001, -0.001]), 0, ["a", "b"])
    assert "(+0.00 from clean)" in text and "-0.00" not in text


def photo(points, width=22, shadow=1.0, turn=0):
    """A drawn digit on grey-white paper as PNG bytes; `shadow` dims the right side to that."""
    paper = Image.new("L", (240, 320), 238)
    ImageDraw.Draw(paper).line(points, fill=40, width=width, joint="curve")
    pixels = np.asarray(paper.rotate(turn, fillcolor=238, expand=True)).astype(float)
    pixels *= np.linspace(1, shadow, pixels.shape[1])
    raw = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(raw, "png")
    return raw.getvalue()


FOUR = ((150, 60), (60, 190), (190, 190), (150, 190), (150, 260), (150, 60))
ONE = ((120, 50), (120, 260))


def uploaded(shown, name, content):
    fixed = {"type": "image/png", "size": len(content), "last_modified": datetime(2026, 1, 1)}
    shown["own digit"].value = ({"name": name, "content": memoryview(content), **fixed},)
    return shown["out"].value


@pytest.mark.parametrize(
    "content, said",
    [
        (photo(FOUR), ""),
        (photo(FOUR, shadow=0.9), ""),
        (photo(FOUR, shadow=0.45), "grey paper is left, as of a shadow; light it evenly"),
        (photo(ONE), ""),
        (photo(ONE, turn=90), "the digit seems to lie; turn the picture upright"),
        (photo(ONE, turn=55), "the digit leans far over; turn the picture upright"),
    ],
    ids=["plain", "a light shadow", "a shadow", "a 1", "a 1 that lies", "a 1 that leans"],
)
def test_an_own_digit_is_named_and_what_is_odd_about_it_said(shown, content, said):
    seen = uploaded(shown, "mine.png", content)
    assert "your digit mine.png as the networks get it" in seen and "alert" not in seen
    assert said in seen and ("careful" in seen) == bool(said)


def test_errors_of_an_upload_name_its_file(shown):
    blank = io.BytesIO()
    Image.new("L", (50, 50), 230).save(blank, "png")
    for content, said in ((b"no picture", "cannot be read"), (blank.getvalue(), "shows no ink")):
        seen = uploaded(shown, "mine.png", content)
        assert f"mine.png {said}" in seen and 'role="alert"' in seen and " at 0x" not in seen


def test_no_test_digit_of_mnist_raises_a_doubt():
    x = data.load("mnist").x_test[::10] if data.has_files("mnist") else data.gallery("mnist")[0]
    assert not any(data.picture_doubts(one) for one in x.split(1))


def test_controls_keep_their_size_and_every_view_names_its_sliders(monkeypatch):
    kept = []
    monkeypatch.setattr(base, "show_widget", lambda *given: kept.append(given))
    widgets.explorer(SHOWN, *data.gallery("mnist"))
    box = kept[0][0]
    out, panel, _, names = box.children
    assert box.layout.flex_flow == panel.layout.flex_flow == "row wrap"
    assert all(c.layout.flex == "0 0 auto" for c in panel.children)
    assert "aria-label" in names.value and "rsnl-view" in out.value
    assert "rsnl-stage" in box._dom_classes


def _white(x, g, deviation):
    return x + torch.randn(x.shape, generator=g, dtype=x.dtype) * deviation


@pytest.mark.parametrize(
    "wrong, hint",
    [
        (
            lambda x, ratio, g: _white(x, g, x.square().mean((1, 2, 3), keepdim=True) / ratio),
            "is the root of that",
        ),
        (
            lambda x, ratio, g: _white(
                x, g, (x.square().mean((1, 2, 3), keepdim=True) / ratio).sqrt()
            ).clamp(0, 1),
            "nothing is clipped",
        ),
        (
            lambda x, ratio, g: _white(x, g, (x.square().mean() / ratio).sqrt()),
            "share one noise level",
        ),
    ],
)
def test_a_wrong_noise_is_named_for_what_it_is(wrong, hint, capsys):
    checkers.noise(wrong)
    assert hint in capsys.readouterr().out
