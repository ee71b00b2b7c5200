"""Chapter 06: marks, legend and folded tables, its figures, what its exercises explain, and what
its text says of the rows.
"""

import math
import re

import numpy as np
import pytest

from rsnl_lib import env, networks, store
from rsnl_lib.study import paper, paper_jobs
from rsnl_lib.study.results import Results
from rsnl_lib.workbook import checkers, paper_tables, table_figures

SOURCE = env.ROOT / "notebooks" / "src" / "06_tables.py"


@pytest.fixture(scope="module")
def done():
    return Results(store.result_rows(env.RESULTS))


@pytest.fixture(scope="module")
def answers(done):
    return {c["cell"]: paper_jobs.answer(c, done) for c in paper.cells() if c["kind"] == "measured"}


def cell(name):
    return next(c for c in paper.cells() if c["cell"] == name)


def rows_for(c, correct):
    """Rows of a cell: {seed: right answers of 10,000}."""
    out = []
    for seed, right in correct.items():
        run = {k: str(v) for k, v in paper_jobs.cell_job(c, seed).row().items()}
        for kind, level, unit in paper_jobs.cell_conditions(c):
            noise = {"perturbation": kind, "level": str(level), "unit": unit}
            count = {"n": "10000", "correct": str(right), "hardware": "h", "commit": "c"}
            out.append(run | noise | count)
    return Results(out)


def test_an_interval_that_holds_every_number_of_its_test_is_no_answer():
    c = cell("III.kd.mnist-mnist")
    assert paper_jobs.rivals(c) == {99.45, 99.35, 99.49, 99.55}
    for right, want in (
        ({0: 9800, 1: 9945, 2: 9990}, "no answer"),
        ({0: 9930, 1: 9935, 2: 9938}, "agrees"),
        ({0: 9980, 1: 9982, 2: 9984}, "differs"),
        ({0: 9800, 1: 9945}, "too few seeds"),
    ):
        assert paper_jobs.answer(c, rows_for(c, right))["mark"] == want
    # a number that stands alone cannot be confused with another
    assert paper_jobs.rivals(cell("fig2a.robust.accuracy")) == {98.17}


def test_the_marks_that_the_text_tells(answers):
    def named(mark):
        return {name for name, a in answers.items() if a["mark"] == mark}

    assert {"VI.kd.error", "VI.fitnet.error"} <= named("agrees")
    assert {"VI.standard.error", "VI.robust.error", "VI.teacher.error"} <= named("differs")
    assert {"III.kd.mnist-usps", "III.robust.mnist-usps"} <= named("differs")
    assert {f"III.{m}.usps-usps" for m in ("teacher", "kd", "fitnet", "robust")} <= named(
        "no answer"
    )
    assert {n for n in answers if "usps-mnist" in n} & named("differs") == {"III.kd.usps-mnist"}
    assert "fig2a.teacher.drop" in named("no answer")
    assert {"fig2a.kd.drop", "fig2a.robust.drop"} <= named("differs")
    assert answers["fig2a.robust.drop"]["ours"] > 2 * answers["fig2a.kd.drop"]["ours"]
    assert 0.28 < answers["VI.standard.error"]["ours"] / 1.90 < 0.38
    ours = {n: answers[n]["ours"] for n in answers}
    assert ours["III.robust.mnist-usps"] < ours["III.kd.mnist-usps"] - 1
    assert 0 < ours["III.robust.usps-mnist"] - ours["III.kd.usps-mnist"] < 1
    assert 0.62 < len(named("not run")) / len(paper.cells()) < 0.7


def test_a_table_has_the_legend_of_its_own_marks():
    said = paper_tables.legend_html(["agrees", "no answer"])
    assert "<b>=</b>" in said and "<b>?</b>" in said and said.count("<b>") == 2
    assert paper_tables.LEGEND.keys() == paper_tables.MARKS.keys()
    assert len(set(paper_tables.MARKS.values())) == len(paper_tables.MARKS)


def test_a_table_without_rows_is_one_line_with_what_it_would_cost(done, capsys, monkeypatch):
    shown = []
    monkeypatch.setattr(paper_tables, "display", shown.append)
    paper_tables.show_table("IV", done)
    line = capsys.readouterr().out
    assert not shown and line.count("\n") == 1
    assert re.search(
        r"Table IV: none of 8 numbers has rows; lacking are 8 networks, about \d+ hours", line
    )
    paper_tables.show_table("VI", done)
    assert len(shown) == 1 and "Printed above, ours below" in shown[0].data
    assert "7 agrees (=), 3 differs (≠), 3 quoted (”)" in capsys.readouterr().out


def test_weights_and_parameters_are_the_printed_ones():
    for name, weights, parameters in (
        ("mnist_teacher", 360_816, 361_066),
        ("mnist_student", 29_944, 30_130),
    ):
        net = networks.build(name)
        assert networks.count(net, (1, 28, 28))[0] == weights
        assert sum(p.numel() for p in net.parameters()) == parameters
    text = SOURCE.read_text("utf-8")
    assert "*without biases*" in text and "biases are included" in text


def test_the_bars_count_every_cell():
    marks = {"one": ["agrees", "agrees", "not run"], "two": ["quoted", "no answer"]}
    ax = table_figures.mark_bars(marks).axes[0]
    assert sum(bar.get_width() for bar in ax.patches) == 5
    assert {t.get_text() for t in ax.texts} == {"1", "2", ""}
    assert table_figures.MARK_PARTS.keys() >= {"agrees", "differs", "no answer", "not run"}


def test_clean_errors_have_an_axis_of_their_own():
    cells = paper.cells("VI") + paper.cells("2a")
    told = {"ours": 1.0, "low": 0.5, "high": 1.5, "seeds": [0, 1, 2], "mark": "agrees"}
    clean, noise = table_figures.printed_and_ours(cells, [told] * len(cells)).axes
    assert len(clean.get_yticks()) == 5 and len(noise.get_yticks()) == 5
    assert clean.get_xlim()[1] < 3 < noise.get_xlim()[1]
    assert all(ax.lines for ax in (clean, noise))
    with pytest.raises(ValueError, match="none of the cells has rows"):
        table_figures.printed_and_ours(cells, [told | {"seeds": []}] * len(cells))


def spread(results, over):
    mean = sum(results) / len(results)
    return mean, (sum((v - mean) ** 2 for v in results) / over) ** 0.5


def one_more(factor, over=1):
    """An interval with a wrong factor or a wrong divisor of s."""

    def interval(results, t):
        n = len(results)
        mean, s = spread(results, n - over)
        return mean - t * s * factor(n), mean + t * s * factor(n)

    return interval


@pytest.mark.parametrize(
    "checker, answer, hint",
    [
        (checkers.one_more_run, one_more(lambda n: n**-0.5), "interval of the mean"),
        (checkers.one_more_run, one_more(lambda n: 1), "its own error"),
        (checkers.one_more_run, one_more(lambda n: (1 + 1 / n) ** 0.5, 0), "divides by n - 1"),
        (checkers.one_more_run, one_more(lambda n: 2), "yours is (-6.000, 10.000)"),
        (checkers.one_more_run, lambda results, t: (-2.6188021535, 6.6188021535), "fourth"),
        (checkers.one_more_run, lambda results, t: 1.0, "two numbers"),
        (checkers.cell_mark, lambda p, low, high, c: "agrees", "outside the interval"),
        (
            checkers.cell_mark,
            lambda p, low, high, c: "agrees" if low <= p <= high else "differs",
            "would agree with any method",
        ),
        (
            checkers.cell_mark,
            lambda p, low, high, c: (
                "no answer"
                if all(low <= v <= high for v in c)
                else "agrees"
                if low <= p <= high
                else "differs"
            ),
            "however wide",
        ),
        (checkers.cell_mark, lambda p, low, high, c: "=", "none of the marks"),
    ],
)
def test_wrong_answers_are_explained(checker, answer, hint, capsys):
    checker(answer)
    out = capsys.readouterr().out
    assert out.startswith("Not yet") and hint in out


def test_the_interval_of_one_more_run_holds_it_as_often_as_it_says():
    drawn = np.random.default_rng(1).normal(size=(4000, 4))
    right = one_more(lambda n: math.sqrt(1 + 1 / n))
    ends = [right(runs[:3], 4.302653) for runs in drawn]
    held = np.mean([low <= runs[3] <= high for (low, high), runs in zip(ends, drawn)])
    assert held == pytest.approx(0.95, abs=0.015)
