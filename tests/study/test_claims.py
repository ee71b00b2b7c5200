"""Verdicts by the rules: hand-made effects, intervals against scipy, Holm by hand, and what a
missing row does.
"""

import math

import pytest
from scipy import stats

from rsnl_lib import store
from rsnl_lib.data import catalogue
from rsnl_lib.env import RESULTS
from rsnl_lib.measure import inference, toolbox
from rsnl_lib.study import claims, jobs
from rsnl_lib.study.results import Results

ALL = claims.read_lines()


def claim(name):
    return next(c for c in ALL if c["claim"] == name)


def rows_for(c, side, accuracies, levels=None, clean=9900):
    """Rows of one side of a claim: seed -> correct of 10,000, the same at every level."""
    out = []
    for seed, correct in accuracies.items():
        job = claims.side_job(c, side, seed)
        keys = [("clean", 0, "")] + [
            (c["perturbation"], v, c["unit"])
            for v in levels or c["levels"]
            if c["perturbation"] != "clean"
        ]
        for kind, level, unit in keys:
            out.append(
                {
                    **{k: str(v) for k, v in job.row().items()},
                    "perturbation": kind,
                    "level": f"{level:g}",
                    "unit": unit,
                    "n": "10000",
                    "correct": str(
                        clean if kind == "clean" and c["perturbation"] != "clean" else correct
                    ),
                }
            )
    return out


def test_the_claims_are_whole():
    assert len(ALL) == len({c["claim"] for c in ALL}) == 23
    for c in ALL:
        assert c["matters"] > 0 and list(c["seeds"]) == [1, 2, 3, 4, 5] and c["says"] and c["place"]
        assert {c["a"], c["b"]} <= set(jobs.train.METHODS)


@pytest.mark.parametrize("file", claims.LINE_FILES)
def test_every_level_that_a_line_asks_for_is_one_that_is_measured(file):
    for line in claims.read_lines(file):
        if line["perturbation"] in claims.ATTACKS:
            measured = toolbox.plan(line["dataset"])
        else:
            measured = catalogue.levels(line["dataset"]) + [
                (name, 0, "test") for name in catalogue.SETS[line["dataset"]].elsewhere
            ]
        assert set(claims.conditions(line)) <= set(measured), line


def test_students_are_paired_and_share_three_teachers():
    c = claim("white-kd")
    assert [claims.side_job(c, "a", s).teacher_seed for s in c["seeds"]] == [1, 2, 0, 1, 2]
    assert (
        claims.side_job(c, "a", 4).row()["teacher"] == "mnist_teacher seed 1"
        and claims.side_job(c, "a", 2).row()["teacher"] == "mnist_teacher"
    )
    assert [claims.side_job(claim("white-teacher"), "b", s).seed for s in c["seeds"]] == [
        1,
        2,
        0,
        1,
        2,
    ]


def test_effects_by_hand():
    c = claim("white-kd")
    done = Results(
        rows_for(c, "a", {1: 9700, 2: 9600, 3: 9650}) + rows_for(c, "b", {1: 9600, 2: 9650})
    )
    assert claims.effects(c, done) == pytest.approx({1: 1.0, 2: -0.5})
    some = Results(
        rows_for(c, "a", {1: 9700}, levels=c["levels"][:2]) + rows_for(c, "b", {1: 9600})
    )
    assert claims.effects(c, some) == {}


def test_every_level_counts():
    c = claim("white-kd")
    rows = rows_for(c, "a", {1: 9700}) + rows_for(c, "b", {1: 9600})
    for level in "123":
        changed = [
            {**r, "correct": "9400"} if (r["level"], r["method"]) == (level, "robust") else r
            for r in rows
        ]
        assert claims.effects(c, Results(changed)) == pytest.approx({1: 0.0})


def test_a_drop_is_against_clean():
    c = claim("white-drop")
    done = Results(
        rows_for(c, "a", {1: 9700}, clean=9950) + rows_for(c, "b", {1: 9600}, clean=9900)
    )
    assert claims.effects(c, done) == pytest.approx({1: (97 - 99.5) - (96 - 99)})


def test_the_paired_test_is_scipys():
    values = [0.3, 1.2, 0.8, -0.1, 0.9]
    mean, low, high, p = inference.paired(values)
    known = stats.ttest_1samp(values, 0)
    assert (mean, p) == pytest.approx((0.62, known.pvalue)) and (low, high) == pytest.approx(
        tuple(known.confidence_interval(0.95))
    )
    assert all(map(math.isnan, inference.paired([0.5])[1:])) and inference.paired(
        [1.0, 1.0, 1.0]
    ) == (
        1.0,
        1.0,
        1.0,
        0.0,
    )


def test_holm_by_hand():
    assert inference.holm_p([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert inference.holm_p([0.01, math.nan, 0.5])[0] == pytest.approx(0.03) and math.isnan(
        inference.holm_p([0.01, math.nan])[1]
    )
    assert inference.holm_p([0.6, 0.9]) == [1.0, 1.0]


def test_detectable_effects_grow_with_the_spread():
    assert inference.detectable([0, 2]) == pytest.approx(
        (stats.t.ppf(0.975, 1) + stats.t.ppf(0.8, 1)) * 1.0
    )
    assert inference.detectable([1, 2, 3]) < inference.detectable([0, 2, 4]) and math.isnan(
        inference.detectable([1])
    )


@pytest.mark.parametrize(
    "name, mean, low, high, p, want",
    [
        ("white-kd", 1.0, 0.4, 1.6, 0.01, "holds"),
        ("white-kd", 1.0, -0.2, 2.2, 0.2, "undecided"),
        ("white-kd", -1.0, -1.5, -0.5, 0.01, "fails"),
        ("white-kd", 0.1, -0.2, 0.4, 0.4, "fails"),
        ("white-kd", 0.1, 0.05, 0.15, 0.001, "holds"),
        ("white-kd", 0.1, -0.2, claim("white-kd")["matters"], 0.4, "undecided"),
        ("white-kd", 1, 1, 1, math.nan, "not run"),
        ("clean-teacher", -0.02, -0.08, 0.04, 0.5, "holds"),
        ("clean-teacher", -0.2, -0.3, -0.1, 0.01, "fails"),
        ("clean-teacher", -0.2, -0.3, -0.1, 0.2, "undecided"),
        ("clean-teacher", -0.05, -0.2, 0.1, 0.5, "undecided"),
    ],
)
def test_verdicts(name, mean, low, high, p, want):
    assert claims.verdict(claim(name), low, high, mean, p) == want


def test_judged_needs_every_seed():
    c = claim("score-term")
    a, b = {s: 9700 + 3 * s for s in c["seeds"]}, {s: 9600 for s in c["seeds"]}
    full = claims.judge_claims(Results(rows_for(c, "a", a) + rows_for(c, "b", b)))
    got = next(x for x in full if x["claim"] == "score-term")
    assert (
        got["n"] == 5
        and got["mean"] == pytest.approx(1.09)
        and got["p_corrected"] == pytest.approx(min(1, 23 * got["p"]))
        and got["verdict"] == "holds"
    )
    assert {x["verdict"] for x in full if x["claim"] != "score-term"} == {"not run"}
    del a[3]
    got = next(
        x
        for x in claims.judge_claims(Results(rows_for(c, "a", a) + rows_for(c, "b", b)))
        if x["claim"] == "score-term"
    )
    assert (
        got["n"] == 4
        and got["verdict"] == "not run"
        and got["mean"] == pytest.approx(1.09, abs=0.05)
    )


def test_the_study_compares_equals_but_for_L_G():
    lines = claims.read_lines("study")
    assert len(lines) == len({line["line"] for line in lines}) and {
        line["dataset"] for line in lines
    } == {"digits", "mnist"}
    for line in lines:
        a, b = (claims.side_job(line, side, line["seeds"][0]) for side in "ab")
        weight = lambda job: [w for w in job.settings.split() if not w.startswith("C1=")]
        assert (
            (a.method, b.method)
            == ("score_only" if line["question"] == "score term" else "gradient_only", "kd")
            and a.teacher() == b.teacher()
            and weight(a) == weight(b)
            and a.plan()
            and b.teacher().plan()
        )
    assert {line["question"] for line in lines} == {
        "recipe",
        "weight C1",
        "temperature",
        "epochs",
        "teacher",
        "score term",
    }


def test_a_study_line_names_its_teacher():
    line = next(line for line in claims.read_lines("study") if line["line"] == "digits-noise")
    job = claims.side_job(line, "a", 3)
    assert (
        job.row()["teacher"] == "digits_teacher on gaussian 5 dB"
        and not job.train_noise
        and job.teacher().train_noise == "gaussian 5 dB"
    )
    assert (
        job.teacher_seed == 3
        and "gaussian5dB" in job.path().stem
        and "by gaussian 5 dB" in job.title()
    )
    soft = claims.side_job(
        next(line for line in claims.read_lines("study") if line["line"] == "mnist-regularised"),
        "b",
        4,
    )
    assert (
        soft.row()["teacher"] == "mnist_teacher weight_decay=0.5 seed 1"
        and soft.teacher().settings == "weight_decay=0.5"
    )


def test_a_neighbours_line_names_who_taught():
    lines = {line["line"]: line for line in claims.read_lines("neighbours")}
    assert {line["dataset"] for line in lines.values()} == {
        "digits",
        "mnist",
        "cifar10_pixels",
    } and all(
        line["a"] in jobs.train.METHODS and line["b"] in jobs.train.METHODS
        for line in lines.values()
    )
    a, b = (claims.side_job(lines["digits-inherit"], side, 3) for side in "ab")
    assert (
        a.row()["teacher"] == "digits_teacher pgd_at"
        and b.row()["teacher"] == "digits_teacher"
        and a.teacher().method == "pgd_at"
        and a.teacher().seed == 3
    )
    assert (
        a.path().stem.endswith("-by-pgd_at")
        and a.teacher().path().stem == "digits_teacher-pgd_at-short-s3"
        and a.title().endswith("by pgd_at")
    )
    a, b = (claims.side_job(lines["mnist-inherit"], side, 2) for side in "ab")
    assert (
        a.teacher_seed == 0
        and b.teacher_seed == 2
        and a.row()["teacher"] == "mnist_teacher pgd_at seed 0"
    )
    a = claims.side_job(lines["cifar-ard"], "a", 0)
    assert (a.net, a.teacher().net, a.teacher().method) == (
        "cifar_mobilenet",
        "cifar_resnet18",
        "pgd_at",
    ) and (a.plan().tau, a.plan().crop, a.plan().clamp) == (30.0, 4, True)
    assert a.plan().epsilon == 8 / 255 and "cifar_resnet18-pgd_at" in a.path().stem
    job = claims.side_job(lines["digits-ard"], "a", 1)
    rows = [
        {
            **{k: str(v) for k, v in job.row().items()},
            "perturbation": "clean",
            "level": "0",
            "unit": "",
            "n": "10",
            "correct": "9",
        }
    ]
    assert job in claims.line_jobs(
        [lines["digits-ard"]], Results()
    ) and job not in claims.line_jobs([lines["digits-ard"]], Results(rows)), (
        "attacks are measured by another command"
    )


def test_what_is_left_of_a_line_shrinks_with_its_rows():
    line = next(line for line in claims.read_lines("study") if line["line"] == "digits-C1-1")
    assert len(claims.line_jobs([line], Results())) == 10
    job = claims.side_job(line, "a", 2)
    rows = [
        {
            **{k: str(v) for k, v in job.row().items()},
            "perturbation": "gaussian",
            "level": level,
            "unit": "dB",
            "n": "10",
            "correct": "9",
        }
        for level in "123"
    ]
    assert job not in claims.line_jobs([line], Results(rows)) and job in claims.line_jobs(
        [line], Results(rows[:2])
    )
    both = [line, {**line, "line": "again"}]
    assert set(claims.line_jobs(both, Results()).values()) == {2}


def test_the_bounds_are_of_digits_students_by_the_short_recipe_alone():
    rows = store.frame(RESULTS / "margins.csv")
    mine = rows[(rows.network == "digits_student") & (rows.recipe == "short")]
    mine = mine[mine.settings == ""]
    middle = mine.groupby(["method", "seed"]).estimate.median()
    (told,) = claims.bounds(RESULTS / "margins.csv", ["robust"])
    gains = (middle["robust"] - middle["kd"]).dropna()
    assert told["n"] == len(gains) > 2 and told["mean"] == pytest.approx(gains.mean())
