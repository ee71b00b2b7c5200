"""Figures and tables of chapters 06 and 09 on hand-made rows: what is drawn is what the rows
say.
"""

import html
import math
import re

import numpy as np
import pytest
from scipy import stats

from rsnl_lib import store
from rsnl_lib.study import claims, paper
from rsnl_lib.study.results import Results
from rsnl_lib.workbook import claim_figures, palette, paper_tables, widgets
from rsnl_lib.workbook.widgets import noise


def rows_for(line, side, accuracies, levels=None):
    """Rows of one side of a line: seed -> correct of 10,000 at every level, clean 9,900."""
    out = []
    for seed, correct in accuracies.items():
        job = claims.side_job(line, side, seed)
        for kind, level, unit in [
            ("clean", 0, ""),
            *((line["perturbation"], v, line["unit"]) for v in levels or line["levels"]),
        ]:
            out.append(
                {
                    **{k: str(v) for k, v in job.row().items()},
                    "perturbation": kind,
                    "level": f"{level:g}",
                    "unit": unit,
                    "n": "10000",
                    "correct": str(9900 if kind == "clean" else correct),
                    "hardware": "h CPU",
                    "commit": f"c{seed}",
                }
            )
    return out


LINE = claims.compare("mnist", "robust", "kd", seeds=range(1, 4))
DONE = Results(
    rows_for(LINE, "a", {1: 9700, 2: 9650, 3: 9800})
    + rows_for(LINE, "b", {1: 9600, 2: 9600, 3: 9650})
)


def claim(**more):
    return {**next(c for c in claims.judge_claims(DONE) if c["claim"] == "white-kd"), **more}


def test_a_comparison_of_ones_own_by_hand():
    got = claims.summary(LINE, claims.effects(LINE, DONE))
    known = stats.ttest_1samp([1.0, 0.5, 1.5], 0)
    assert (
        got["effects"] == pytest.approx({1: 1.0, 2: 0.5, 3: 1.5})
        and got["n"] == 3
        and got["mean"] == pytest.approx(1)
        and got["p"] == pytest.approx(known.pvalue)
    )
    assert [
        c["a"] for c in claims.against("mnist", "kd", ["robust", "fitnet"], DONE, seeds=range(1, 4))
    ] == ["robust", "fitnet"]
    assert claims.against("mnist", "kd", ["fitnet"], DONE)[0]["effects"] == {}


def test_the_forest_draws_seeds_mean_interval_tick_and_verdict():
    c = claim(word="a gain")
    ax = claim_figures.forest([c, claim(effects={})]).axes[0]
    zero, interval, mean, seeds, *ticks = ax.lines
    assert (
        list(interval.get_xdata()) == pytest.approx([c["low"], c["high"]])
        and mean.get_xdata()[0] == pytest.approx(1.0)
        and interval.get_color() == claim_figures.LOOKS["a gain"]["color"]
    )
    assert sorted(seeds.get_xdata()) == pytest.approx([0.5, 1.0, 1.5])
    assert [list(tick.get_xdata()) for tick in ticks] == [[-0.5, -0.5], [0.5, 0.5]]
    assert [t.get_text() for t in ax.texts] == ["a gain"] and len(ax.get_yticks()) == 1
    worse = claim_figures.forest([claim(decides="no worse")]).axes[0]
    assert [list(line.get_xdata()) for line in worse.lines[4:]] == [[-0.5, -0.5]]


def test_one_seed_is_drawn_hollow_and_without_an_interval():
    ax = claim_figures.forest([claims.summary(LINE, {1: 2.0})]).axes[0]
    assert (
        len(ax.lines) == 2
        and ax.lines[1].get_markerfacecolor() == "none"
        and ax.lines[1].get_color() == palette.style("robust")["color"]
    )


def test_a_forest_of_nothing_says_what_to_run():
    with pytest.raises(ValueError, match="reproduce --for claims"):
        claim_figures.forest([claim(effects={})])


def test_the_ledger_says_what_is_compared_and_what_is_behind_it():
    shown = claim_figures.claims_table(
        [claim(), claim(claim="x", effects={}, n=0, mean=math.nan, low=math.nan, high=math.nan)],
        DONE,
    ).data
    assert (
        "MNIST: robust − KD, white noise, 1 to 3 dB (3 of 5 seeds)" in shown
        and "+1.00 [-0.24, +2.24]" in shown
        and shown.count("3 of 5") == 1
        and shown.count("0 of 5") == 1
        and shown.count(">±0.5<") == 2
    )
    assert (
        "recipe short, seeds 1, 2, 3, n 10000 a network and level, h CPU, commit c1, c2, c3"
        in shown
        and "no seed run yet" in shown
        and shown.count("not run") == 2
    )
    full = claim(word="a loss, within the margin", p_corrected=0.0004, decides="no worse")
    told = claim_figures.claims_table([full], DONE).data
    assert ">a loss, within the margin<" in told and "&lt; .001" in told and ">−0.5<" in told


def test_noise_trained_sides_are_named():
    line = next(c for c in claims.read_lines() if c["claim"] == "other-noise-kd")
    assert (
        claim_figures.comparison(line)
        == "robust − KD (trained in white noise, 10 dB), Poisson noise, 10 dB"
    )


def test_the_band_holds_one_more_run():
    rows = {
        s: {1.0: {"correct": c, "n": 100}, 2.0: {"correct": 99, "n": 100}}
        for s, c in ((0, 90), (1, 92), (2, 94))
    }
    levels, mean, low, high = claims.band(rows)
    reach = stats.t.ppf(0.975, 2) * 2 * math.sqrt(1 + 1 / 3)
    assert (
        levels == [2.0, 1.0]
        and mean == pytest.approx([99, 92])
        and low[1] == pytest.approx(92 - reach)
        and high[1] == pytest.approx(92 + reach)
        and low[0] == 99
    )
    del rows[2]
    assert np.isnan(claims.band(rows)[2]).all()


def test_figure_2_draws_the_printed_numbers_hollow_and_what_is_missing_as_not_run():
    fig = claim_figures.figure2(DONE)
    (mnist,) = fig.axes
    hollow = {
        (line.get_xdata()[0], round(line.get_ydata()[0], 2))
        for line in mnist.lines
        if line.get_markerfacecolor() == "none"
    }
    assert (
        (2, 98.17) in hollow
        and (1, round(99.55 - 2.23, 2)) in hollow
        and len(hollow) == len(paper.cells("2a"))
    )
    assert "3 seeds" in mnist.get_title()
    assert fig.get_suptitle() == "(b) CIFAR-10: not run; (c) CIFAR-100: not run"
    robust = next(line for line in mnist.lines if line.get_label() == "robust")
    assert list(robust.get_xdata()) == [3, 2, 1] and robust.get_ydata()[2] == pytest.approx(
        (97 + 96.5 + 98) / 3
    )


def test_figure_2_shows_the_family_with_the_most_methods_whatever_it_is_called():
    def rows(method, settings, teacher):
        return {
            **dict.fromkeys(store.RUN_COLUMNS, ""),
            "dataset": "cifar10",
            "method": method,
            "network": "cifar_student1",
            "teacher": teacher,
            "recipe": "short",
            "settings": settings,
            "seed": "0",
            "perturbation": "gaussian",
            "level": "4",
            "unit": "dB",
            "n": "100",
            "correct": "70",
        }

    three, four = (
        ("epochs=3", "cifar_teacher@0.5 epochs=2"),
        ("epochs=4", "cifar_teacher@0.5 epochs=2"),
    )
    found = lambda *of: claims.family(
        Results([rows(m, *way) for way, methods in of for m in methods]),
        "cifar10",
        ("teacher", "kd", "robust"),
    )
    assert (
        found((three, ["kd", "robust"]), (four, ["kd"])) == three
        and found((three, ["kd"]), (four, ["kd"])) == four
    )
    assert (
        found((four, ["kd"]), (("", "cifar_teacher seed 2"), ["kd"]))
        == ("", "cifar_teacher")
        == found()
    )
    fig = claim_figures.figure2(
        Results([rows("kd", *three), rows("robust", *three)]), ("teacher", "kd", "robust")
    )
    (cifar10,) = fig.axes
    assert "3 epochs, a teacher 50% as wide" in cifar10.get_title()


def test_runs_keep_methods_recipes_and_settings_apart():
    assert list(claims.runs(DONE, "mnist", "robust", teacher="mnist_teacher")) == [1, 2, 3]
    assert (
        claims.runs(DONE, "mnist", "robust", settings="C1=1.0", teacher="mnist_teacher")
        == {}
        == claims.runs(DONE, "mnist", "robust", teacher="mnist_teacher@0.5")
    )


def test_bounds_are_medians_seed_by_seed(tmp_path):
    lines = ["dataset,network,recipe,settings,method,seed,estimate"]
    for seed, robust, kd in ((0, (1, 2, 9), (1, 1, 1)), (1, (4, 4, 4), (1, 2, 3))):
        lines += [f"digits,digits_student,short,,robust,{seed},{v}" for v in robust] + [
            f"digits,digits_student,short,,kd,{seed},{v}" for v in kd
        ]
    lines += [
        "digits,digits_student,short,C2=0.0,robust,0,99",
        "digits,digits_mlp_student,short,,robust,0,99",
        "digits,digits_student,short,,robust,0,",
    ]
    (tmp_path / "m.csv").write_text("\n".join([*lines, ""]))
    assert claims.bounds(tmp_path / "m.csv", ["robust"])[0]["effects"] == {0: 1.0, 1: 2.0}


def test_what_a_student_inherits_by_hand():
    guide = claims.compare("mnist", "teacher", "kd", seeds=range(1, 4))
    done = Results(
        rows_for(LINE, "a", {1: 9700, 2: 9650, 3: 9800})
        + rows_for(LINE, "b", {1: 9600, 2: 9600, 3: 9650})
        + rows_for(guide, "a", {1: 9800, 2: 9900})
    )
    points = claims.leads(done, "mnist", seeds=range(1, 4))
    assert {p[:3] for p in points} == {
        ("clean", 0, ""),
        *(("gaussian", v, "dB") for v in (1, 2, 3)),
    }
    assert points[-1][3:] == pytest.approx(((2.0 + 3.0) / 2, 0.75)) and points[0][3:] == (0, 0)


def test_the_contradictions_are_all_there():
    groups = {"first": range(1, 20), "second": range(20, 39)}
    shown = paper_tables.ledger_table(paper.ledger(), groups, {29: "chapter 05"}).data
    assert shown.count("<tr>") == 1 + 2 + 38 and "<details" not in shown
    assert "See chapter 05." in shown and html.escape(paper.ledger()[29]["choice"]) not in shown
    for n, entry in paper.ledger().items():
        assert html.escape(entry["problem"]) in shown
        assert n == 29 or html.escape(entry["choice"]) in shown


def test_the_verdict_follows_the_slider(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda bundle, raw: shown.append(bundle))
    boxes = []
    monkeypatch.setattr(
        noise.W, "VBox", lambda children: boxes.append(children) or type(noise.W.HTML())()
    )
    c = claim(p_corrected=0.5, word="undecided", n=5)
    widgets.verdicts([c, claim(p_corrected=math.nan)])
    which, matters, out, *_ = boxes[0]
    assert (
        len(which.options) == 1
        and "<b>undecided</b>" in out.value
        and "1 undecided" in shown[-1]["text/plain"]
    )
    matters.value = 5.0
    assert "<b>too small to matter</b>" in out.value and "<svg" in out.value
    ticks = re.findall(r'<path d="M([\d.]+) 26V34"', out.value)
    assert len(ticks) == 3 and len(set(ticks)) == 3
    with pytest.raises(ValueError, match="no claim has all its seeds"):
        widgets.verdicts([claim(p_corrected=math.nan)])


def test_words_look_different_and_their_figures_are_repeatable():
    looks = claim_figures.LOOKS
    assert len({(v["color"], v["marker"]) for v in looks.values()}) == len(looks) == 6
    assert claim_figures.word_look("a gain, within the margin") == looks["a gain"]
    assert palette.png(claim_figures.forest([claim()])) == palette.png(
        claim_figures.forest([claim()])
    )
