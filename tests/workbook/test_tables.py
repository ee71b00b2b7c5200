"""Cell by cell: counts against the printed ones, intervals by hand, marks, and that a changed row
or cell changes a mark.
"""

import math

import pytest
from scipy import stats

from rsnl_lib.study import paper, paper_jobs
from rsnl_lib.study.results import Results
from rsnl_lib.workbook import paper_tables


def cell(name):
    return next(c for c in paper.cells() if c["cell"] == name)


def rows_for(c, correct, n=10_000):
    out = []
    for seed, k in correct.items():
        job = paper_jobs.cell_job(c, seed)
        for kind, level, unit in paper_jobs.cell_conditions(c):
            out.append(
                {
                    **{q: str(v) for q, v in job.row().items()},
                    "perturbation": kind,
                    "level": str(level),
                    "unit": unit,
                    "n": str(n),
                    "correct": str(9950 if kind == "clean" and c["quantity"] == "drop" else k),
                    "hardware": "h",
                    "commit": f"c{seed}",
                }
            )
    return Results(out)


def test_every_count_is_the_printed_one_but_those_that_follow_from_rounded_numbers():
    marks = {
        c["cell"]: paper_jobs.answer(c, Results())["mark"]
        for c in paper.cells()
        if c["kind"] == "counted"
    }
    assert len(marks) == 25
    odd = {name for name, mark in marks.items() if mark != "agrees"}
    assert all(
        "compression" in name or "weights" in name or "layers" in name or "multiplications" in name
        for name in odd
    )
    assert {
        "VII.student4.multiplications",
        "VII.student2.weights",
        "VI.teacher.weights",
    } & odd == set()


@pytest.mark.parametrize(
    "printed, width", [("361K", 1000), ("1.6M", 1e5), ("90.25", 0.01), ("11", 1), ("36", 1)]
)
def test_rounding(printed, width):
    assert paper_jobs.rounding(printed) == pytest.approx(width)


def test_the_interval_is_for_one_more_run():
    c = cell("VI.kd.error")
    values = {0: 9930, 1: 9940, 2: 9920}
    a = paper_jobs.answer(c, rows_for(c, values))
    reach = stats.t.ppf(0.975, 2) * 0.1 * math.sqrt(1 + 1 / 3)
    assert (
        (a["ours"], a["low"], a["high"]) == pytest.approx((0.7, 0.7 - reach, 0.7 + reach))
        and a["mark"] == "agrees"
        and a["seeds"] == [0, 1, 2]
    )
    assert "3 seeds (0, 1, 2), n 10000 each, h, commit c0, c1, c2" in a["told"]
    assert (
        paper_jobs.answer(c, rows_for(c, {s: v - 400 for s, v in values.items()}))["mark"]
        == "differs"
    )
    assert (
        paper_jobs.answer(c, rows_for(c, {0: 9930, 1: 9940}))["mark"] == "too few seeds"
        and paper_jobs.answer(c, Results())["mark"] == "not run"
    )
    assert paper_jobs.answer({**c, "value": 9.0}, rows_for(c, values))["mark"] == "differs"


def test_a_drop_is_in_points_of_the_same_network():
    c = cell("fig2a.kd.drop")
    assert paper_jobs.answer(c, rows_for(c, {0: 9350}))["ours"] == pytest.approx(6.0)


def test_quoted_cells_stay_quoted_and_speed_ups_are_ratios():
    assert paper_jobs.answer(cell("IV.nin.cifar10"), Results())["mark"] == "quoted"
    c = cell("VII.student1.speed-up")
    assert (
        paper_jobs.answer(c, Results(), speed={"cifar_teacher": 12.0, "cifar_student1": 0.5})[
            "ours"
        ]
        == 24
        and paper_jobs.answer(c, Results())["mark"] == "not run"
    )


def test_the_view_shows_paper_and_ours_and_what_is_behind():
    cells = [c for c in paper.cells("VI") if c["quantity"] == "error"]
    done = rows_for(cell("VI.kd.error"), {0: 9930, 1: 9940, 2: 9920})
    answers = [paper_jobs.answer(c, done) for c in cells]
    shown = paper_tables.table_html(cells, answers, "Table VI")
    assert (
        "0.65<br><small>0.70 [0.20, 1.20] =</small>" in shown
        and shown.count("<small>not run") == 4
        and 'title="Table VI' in shown
        and shown.count("<tr>") == 9
    )
    assert (
        paper_tables.print_form(360_816, cell("VI.teacher.weights")) == "361K"
        and paper_tables.print_form(9_044_360, cell("VII.teacher.weights")) == "9M"
    )


@pytest.mark.parametrize(
    "name, row, column",
    [
        ("I.kd.G/P", "KD", "G/P"),
        ("II.cifar100.robust.4", "CIFAR-100, Robust", "4x4 block"),
        ("VI.standard.error", "Standard back-propagation", "Misclass"),
        ("III.kd.usps-mnist", "KD, USPS2MNIST", "MNIST"),
        ("VII.robust.student3.accuracy", "Student 3", "Robust"),
        ("VII.teacher.accuracy", "Teacher", "accuracy"),
        ("fig2a.kd.drop", "KD", "drop, SNR 1"),
    ],
)
def test_rows_and_columns_are_the_papers(name, row, column):
    assert (paper_tables.row_of(cell(name)), paper_tables.column_of(cell(name))) == (row, column)


def test_no_cell_hides_another():
    for name in paper.TABLES:
        cells = paper.cells(name)
        assert len({(paper_tables.row_of(c), paper_tables.column_of(c)) for c in cells}) == len(
            cells
        )
