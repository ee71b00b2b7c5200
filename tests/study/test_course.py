"""What training does to a registered student: the table by hand, and what is missing stays so."""

import numpy as np
import pytest

from rsnl_lib import env, store
from rsnl_lib.study import course, mistakes, register
from rsnl_lib.study.results import Results

TEACHERS = [3, 4]


@pytest.fixture(scope="module")
def parts():
    told = mistakes.collect(register.networks(TEACHERS))
    slopes = course.by_run(store.lines(env.RESULTS / "slopes.csv"))
    return Results(store.result_rows(env.RESULTS)), told, slopes


@pytest.fixture(scope="module")
def table(parts):
    return course.course(TEACHERS, *parts)


def pick(table, **where):
    for key, value in where.items():
        table = table[table[key] == value]
    (row,) = table.to_dict("records")
    return row


def test_a_row_a_registered_student_of_mnist(table):
    listed = store.lines(register.REGISTER / "networks.csv")
    students = [r for r in listed if r["dataset"] == "mnist" and r["method"] != "teacher"]
    assert len(table) == len(TEACHERS) * len(students)
    assert set(table.epochs) == {2, 8, 16, 24} and set(table.images) == {6400, 50_000}
    assert set(table.C1[table.method.isin(["kd", "standard", "fitnet"])]) == {""}
    assert set(table.C1[table.method == "robust"]) == {"1", "3", "10"}


def test_a_row_by_hand(parts, table):
    done, told, slopes = parts
    one = register.job("mnist", "robust", "C1=3 epochs=2", 4)
    row = pick(table, method="robust", C1="3", epochs=2, teacher=4)
    rows = done.find(one)
    right = [int(rows["gaussian", v, "dB"]["correct"]) / 20_000 for v in (1, 2, 3)]
    assert row["accuracy"] == pytest.approx(100 * sum(right) / 3)
    own, other = (told[register.job("mnist", "teacher", "", t)] for t in (4, 3))
    wrong = told[one] != mistakes.RIGHT
    assert row["own_mistakes"] == pytest.approx(100 * np.mean(own[wrong] == told[one][wrong]))
    assert row["other_mistakes"] == pytest.approx(100 * np.mean(other[wrong] == told[one][wrong]))
    near = {r["reference"]: r for r in slopes.values() if r["seed"] == "14"}
    assert set(near) == {f"mnist_teacher-teacher-short-s{t}-dropout=0.5" for t in TEACHERS}
    mine = [r for k, r in slopes.items() if k[0] == tuple(map(str, one_row(one).values()))]
    by = {r["reference"][-13]: float(r["cosine"]) for r in mine}
    assert (row["cosine"], row["other_cosine"]) == (by["4"], by["3"])


def one_row(job):
    return {k: v for k, v in job.row().items() if k != "train_noise"}


def test_what_was_not_measured_is_nan():
    bare = course.course(TEACHERS, Results(), {}, {})
    assert bare.accuracy.isna().all() and bare.own_mistakes.isna().all()
    assert bare.cosine.isna().all() and bare.other_cosine.isna().all()


def test_one_teacher_has_nobody_that_its_student_never_met(parts):
    with pytest.raises(ValueError, match=r"teachers \[3\] are too few"):
        course.course([3], *parts)
