"""The registered study: what is trained, how it is judged, and that the rows are younger than the
register.
"""

import csv
import itertools
import math
import re
import subprocess

import numpy as np
import pytest
from register_twice import judge

from rsnl_lib import store
from rsnl_lib.data import catalogue
from rsnl_lib.env import RESULTS, ROOT
from rsnl_lib.measure import evaluate, inference
from rsnl_lib.study import campaign, claims, jobs, mistakes, register, training
from rsnl_lib.study.results import Results

LINE = {
    "line": "made-up",
    "family": "B",
    "dataset": "mnist",
    "a": "robust",
    "b": "kd",
    "settings": "",
    "minus": "",
    "perturbation": "gaussian",
    "levels": [1, 2, 3],
    "unit": "dB",
    "measure": "accuracy",
    "margin": 1.0,
    "decides": "difference",
}


def made(d, **more):
    """A judged line of differences by weight, as `judged` needs it before the analysis."""
    return {**LINE, "by_weight": d if isinstance(d, dict) else {"": list(d)}, **more}


def analysed(monkeypatch, lines):
    """`register.judge_lines` on made-up differences."""
    found = {line["line"]: line["by_weight"] for line in lines}
    monkeypatch.setattr(register, "differences", lambda line, *_: found[line["line"]])
    return register.judge_lines(Results(), lines=lines)


def test_the_networks_are_those_of_the_register_and_every_line_finds_its_own():
    trained = register.networks()
    assert len(trained) == len(set(trained)) == 39 * 8 and len(
        {j.path("x").name for j in trained}
    ) == len(trained)
    assert {j.seed - j.teacher_seed for j in trained if j.guided} == {10} and {
        j.teacher_seed for j in trained if j.guided
    } == set(range(3, 11))
    for j in trained:
        assert j.plan() and (not j.guided or j.teacher() in trained)
    lines = claims.read_lines("claims/lines")
    assert [sum(line["family"] == f for line in lines) for f in "AB"] == [11, 24] and len(
        {line["line"] for line in lines}
    ) == 35
    for line in lines:
        for settings in filter(None, (line["settings"] or " ", line["minus"])):
            for weight in register.weights(line):
                for side in "ab":
                    words = (
                        ""
                        if line[side] == "teacher"
                        else jobs.words(weight * (line[side] == "robust"), settings.strip())
                    )
                    assert register.job(line["dataset"], line[side], words, 3) in trained, (
                        line["line"],
                        side,
                        words,
                    )
        measured = catalogue.needed(line["dataset"]) + [
            (name, 0, "test") for name in catalogue.SETS[line["dataset"]].elsewhere
        ]
        assert {(line["perturbation"], v, line["unit"]) for v in line["levels"]} <= set(measured), (
            line["line"]
        )


def test_cifars_networks_are_one_teacher_and_its_students_and_can_be_asked_for(
    tmp_path, monkeypatch, capsys
):
    from rsnl_lib import __main__

    listed = register.cifar_networks()
    assert len(listed) == len(set(listed)) == 9 and all(
        j.dataset == "cifar10" and j.seed == j.teacher_seed == 0 and not j.settings for j in listed
    )
    assert listed[0].method == "teacher" and all(j.teacher() == listed[0] for j in listed[1:])
    assert [register.place(j) for j in listed] == list(range(312, 321))
    assert [(r.epochs, r.dropout) for r in (listed[0].plan(), listed[1].plan())] == [
        (20, 0.25),
        (12, 1.0),
    ]
    done = Results()
    done[jobs.Run.of(listed[1].row())] = dict.fromkeys(register.dataset_conditions("cifar10"))
    assert list(register.network_jobs(done, listed)) == [listed[0], *listed[2:]]
    assert (
        ("gaussian", 4.0, "dB") in register.dataset_conditions("cifar10")
        and ("poisson", 4.0, "dB") in register.dataset_conditions("cifar10")
        and ("occlusion", 2.0, "pixels") in register.dataset_conditions("cifar10")
    )
    monkeypatch.setenv("RSNL_DATA", str(tmp_path))
    monkeypatch.setattr(campaign, "RESULTS", tmp_path)
    __main__.main(["reproduce", "--for", "cifar", "--missing"])
    assert capsys.readouterr().out.splitlines()[-1] == "9 jobs left"
    with pytest.raises(SystemExit, match="--for cifar stands alone"):
        __main__.main(["reproduce", "--for", "claims", "cifar", "--missing"])


def test_few_images_are_the_first_of_the_training_images(monkeypatch):
    j = jobs.Job("digits", "kd", "digits_student", settings="images=70 epochs=2")
    d, every = (
        training.training_data(j),
        training.training_data(jobs.Job("digits", "kd", "digits_student")),
    )
    assert (
        len(d.x_train) == len(d.y_train) == 70
        and (d.x_train == every.x_train[:70]).all()
        and len(d.x_test) == len(every.x_test)
    )
    assert (
        j.plan() == jobs.Job("digits", "kd", "digits_student", settings="epochs=2").plan()
        and "images=70" in j.path("x").name
    )
    with pytest.raises(
        ValueError, match="images=70000 is more than the 1000 training images of digits"
    ):
        training.training_data(j._replace(settings="images=70000"))


@pytest.mark.parametrize("text", ["2-4", "5-3", "9-11", "x", "3-", "3-y", ""])
def test_a_bad_range_of_teachers_is_named(text):
    if text == "3-":
        assert list(register.teachers(text)) == [3]
        return
    if text == "":
        assert list(register.teachers(text)) == list(range(3, 11))
        return
    with pytest.raises(
        ValueError,
        match=f"--teachers '{text}' is no range of registered teachers; write one such as 3-5",
    ):
        register.teachers(text)


def test_one_line_has_the_p_of_its_sign_test():
    assert inference.corrected([[1, 1, 1, 1, 1, 1, 1, 1]]) == [2 / 256], (
        "all one way: only two of 256 vectors reach an infinite T"
    )
    assert inference.corrected([[1, 2, 3, 4, 5, 6, 7, 8.0]]) == [2 / 256]
    assert inference.corrected([[1, -1, 1, -1, 1, -1, 1, -1]]) == [1.0] and inference.corrected(
        [[0.0] * 8]
    ) == [1.0]
    d = [3, 1, 4, 1, 5, -9, 2, 6.0]
    by_hand = [
        abs(np.mean(v) / (np.std(v, ddof=1) / math.sqrt(8)))
        for s in itertools.product((1, -1), repeat=8)
        for v in [np.multiply(s, d)]
    ]
    assert inference.corrected([d])[0] == np.mean(np.array(by_hand) >= by_hand[0] - 1e-9)
    assert inference.critical_value([d]) == pytest.approx(
        sorted(
            abs(np.mean(v)) / (np.std(v, ddof=1) / math.sqrt(8))
            for s in itertools.product((1, -1), repeat=8)
            for v in [np.multiply(s, np.subtract(d, np.mean(d)))]
        )[243]
    )


def test_two_authors_of_the_analysis_agree(monkeypatch):
    """`register_twice` was written from the register's text by somebody who had not seen
    `register`.
    """
    drawn = np.random.default_rng(7)
    for trial in range(12):
        lines = []
        for i in range(int(drawn.integers(2, 9))):
            n, weights = (
                int(drawn.choice([8, 8, 8, 7, 6, 0])),
                ["", "C1=1", "C1=3"][: int(drawn.integers(1, 4))],
            )
            d = drawn.normal(drawn.normal(0, 1.5), 1, (len(weights), n)) + drawn.normal(
                0, 2, (len(weights), 1)
            ) * (trial % 3 == 0)
            d = d.round() if trial % 4 == 1 else d
            lines.append(
                made(
                    {w: list(map(float, column)) for w, column in zip(weights, d)},
                    line=f"line {i}",
                    margin=float(drawn.choice([0.1, 1, 5])),
                    decides=str(drawn.choice(["difference", "difference", "no worse"])),
                )
            )
        twice = judge(
            [{k: line[k] for k in ("line", "margin", "decides", "by_weight")} for line in lines]
        )
        for line in analysed(monkeypatch, lines):
            other = twice[line["line"]]
            assert line["n"] == other["n"] and line["word"] == other["word"], (trial, line, other)
            for key in ("mean", "low", "high", "p"):
                assert line[key] == pytest.approx(other[key], rel=1e-6, abs=1e-9, nan_ok=True), (
                    trial,
                    key,
                )


def test_step_down_never_falls_and_more_lines_never_help():
    drawn = np.random.default_rng(1)
    columns = [list(drawn.normal(m, 1, 8)) for m in (3, 1.5, 1, 0.2, 0)]
    p = inference.corrected(columns)
    T = [abs(inference.statistic(d)) for d in columns]
    ordered = [p[i] for i in np.argsort(T)[::-1]]
    assert ordered == sorted(ordered) and all(
        inference.corrected([d])[0] <= q for d, q in zip(columns, p)
    )


@pytest.mark.parametrize(
    "mean, low, high, p, decides, single, word",
    [
        (math.nan, math.nan, math.nan, math.nan, "difference", [], "not run"),
        (0.5, 0.2, 0.9, 0.01, "difference", [(0.1, 0.5), (-0.9, -0.2)], "depends on C1"),
        (
            0.5,
            0.2,
            0.9,
            0.01,
            "difference",
            [(0.1, 0.5), (-0.9, 0.2)],
            "supported, within the margin",
        ),
        (2.0, 0.2, 3.9, 0.01, "difference", [], "supported"),
        (-2.0, -3.9, -0.2, 0.05, "difference", [], "contradicted"),
        (-0.4, -0.8, -0.1, 0.01, "difference", [], "contradicted, within the margin"),
        (0.4, -0.2, 0.9, 0.3, "difference", [], "too small to matter"),
        (0.4, -0.2, 1.1, 0.06, "difference", [], "open"),
        (-0.4, -1.1, 0.2, 0.051, "difference", [], "open"),
        (0.4, -0.9, 1.1, 0.3, "no worse", [], "supported"),
        (-2, -3.0, -1.1, 0.3, "no worse", [], "contradicted"),
        (-2, -3.0, -0.9, 0.001, "no worse", [], "open"),
    ],
)
def test_words_are_symmetric_and_the_first_that_fits(mean, low, high, p, decides, single, word):
    line = {**LINE, "decides": decides}
    assert register.word(line, mean, low, high, p, single) == word
    if decides == "difference" and not math.isnan(mean):
        other = register.word(line, -mean, -high, -low, p, [(-b, -a) for a, b in single])
        swap = {"supported": "contradicted", "contradicted": "supported"}
        head, _, tail = word.partition(",")
        assert other == swap.get(head, head) + ("," + tail if tail else "")


def rows_of(job, shares):
    """Rows of 1,000 images that give these shares of right answers, by (perturbation, level,
    unit).
    """
    return [
        {
            **{k: str(v) for k, v in job.row().items()},
            "perturbation": k,
            "level": str(v),
            "unit": u,
            "n": "1000",
            "correct": str(c),
        }
        for (k, v, u), c in shares.items()
    ]


def world(teachers, robust, kd):
    """Known rows in which robust's right answers of 1,000 at a teacher and weight are robust(t,
    weight), KD's kd(t).
    """
    found = []
    for t in teachers:
        for w in register.WEIGHTS["mnist"]:
            found += rows_of(
                register.job("mnist", "robust", w, t),
                {("gaussian", v, "dB"): robust(t, w) + v for v in (1, 2, 3)},
            )
        found += rows_of(
            register.job("mnist", "kd", "", t),
            {("gaussian", v, "dB"): kd(t) - v for v in (1, 2, 3)},
        )
    return Results(found)


def test_a_difference_is_the_median_over_weights_of_means_over_levels():
    lead = {"C1=1": 7, "C1=3": -3, "": 1}
    done = world(range(3, 11), lambda t, w: 900 + t + lead[w], lambda t: 890)
    by_weight = register.differences(LINE, done)
    assert by_weight == {
        w: [pytest.approx((10 + t + lead[w] + 4) / 10) for t in range(3, 11)] for w in lead
    }
    judged = register.judge_lines(done, lines=[LINE])[0]
    assert (
        judged["d"] == [pytest.approx((15 + t) / 10) for t in range(3, 11)]
        and judged["word"] == "supported"
        and judged["p"] == 2 / 256
    )


def test_six_teachers_do_and_the_first_by_number_only():
    robust, kd = (lambda t, w: 900 + t), (lambda t: 890)
    for there, n in (
        (range(3, 11), 8),
        (range(3, 10), 7),
        (range(3, 9), 6),
        (range(3, 8), 0),
        ([3, 4, 5, 6, 7, 9, 10], 0),
        ([3, 4, 5, 6, 7, 8, 10], 6),
    ):
        assert register.judge_lines(world(there, robust, kd), lines=[LINE])[0]["n"] == n, there


def test_a_drop_is_what_b_loses_more():
    shares = lambda clean, noisy: {("clean", 0, ""): clean, ("gaussian", 1, "dB"): noisy}
    done = Results(
        [
            row
            for t in range(3, 11)
            for m, w, c, n in (
                ("robust", "", 990, 950),
                ("robust", "C1=1", 990, 950),
                ("robust", "C1=3", 990, 950),
                ("kd", "", 995, 930),
            )
            for row in rows_of(register.job("mnist", m, w, t), shares(c, n))
        ]
    )
    line = {**LINE, "measure": "drop", "levels": [1]}
    assert register.differences(line, done)[""] == [pytest.approx(6.5 - 4.0)] * 8


def test_what_both_methods_do_at_other_settings_is_taken_off():
    few = "images=6400"
    counts = {("robust", ""): 950, ("kd", ""): 930, ("robust", few): 900, ("kd", few): 870}
    noisy = {("gaussian", level, "dB"): 0 for level in (1, 2, 3)}
    rows = [
        row
        for t in range(3, 11)
        for (method, settings), correct in counts.items()
        for weight in ("", "C1=1", "C1=3")[: 3 if method == "robust" else 1]
        for row in rows_of(
            register.job("mnist", method, jobs.words(weight, settings), t),
            dict.fromkeys(noisy, correct),
        )
    ]
    line = {**LINE, "minus": few}
    found = register.differences(line, Results(rows))
    assert found[""] == [pytest.approx((950 - 930 - 900 + 870) / 10)] * 8


def test_error_agreement_counts_the_same_wrong_label_and_takes_off_the_other_teachers():
    right = mistakes.RIGHT
    student = np.array([[1, 2, right, 3]], np.uint8)
    assert mistakes.agreement(student, np.array([[1, 5, 7, right]], np.uint8)) == 1 / 3
    assert math.isnan(
        mistakes.agreement(np.full((1, 3), right, np.uint8), np.full((1, 3), right, np.uint8))
    )
    told = {}
    for t in range(3, 11):
        told[register.job("mnist", "teacher", "", t)] = np.array([[t] * 4 + [200] * 6], np.uint8)
        for w in register.WEIGHTS["mnist"]:
            told[register.job("mnist", "robust", w, t)] = np.array(
                [[t] * 3 + [right] + [200] * 3 + [right] * 3], np.uint8
            )
        told[register.job("mnist", "kd", "", t)] = np.array(
            [[t] + [right] * 3 + [200] * 3 + [right] * 3], np.uint8
        )
    line = {**LINE, "measure": "mistakes", "levels": [1]}
    robust, kd = 100 * (6 / 6 - 3 / 6), 100 * (4 / 4 - 3 / 4)
    assert register.differences(line, Results(), told)[""] == [pytest.approx(robust - kd)] * 8
    del told[register.job("mnist", "teacher", "", 10)]
    assert len(register.differences(line, Results(), told)[""]) == 7


def test_mistakes_are_those_that_the_rows_count(tmp_path):
    from rsnl_lib import data, store

    net, d = (
        store.load_checkpoint(ROOT / "data/checkpoints/digits_student-kd-short-s0.safetensors")[0],
        data.load("digits"),
    )
    said = mistakes.wrong_labels(
        net, d.x_test, d.y_test, ("gaussian", 1, "dB"), draws=2, chunk=77 * 5
    )
    (row,) = evaluate.sweep(
        {"net": net}, d.x_test, d.y_test, [("gaussian", 1, "dB")], 2, chunk=77 * 5
    )
    assert (
        (said == mistakes.RIGHT).sum() == row["correct"]
        and (said[said != mistakes.RIGHT] < 10).all()
        and said.shape == (2, 500)
    )
    assert all((said[i] != d.y_test.numpy()).all() for i in range(2))
    mistakes.save_mistakes(tmp_path / "a.npz", said)
    assert (mistakes.load_mistakes(tmp_path / "a.npz") == said).all()
    (tmp_path / "b.npz").write_bytes(b"PK no archive")
    with pytest.raises(
        ValueError, match="b.npz holds no mistakes .*delete it and measure the network again"
    ):
        mistakes.load_mistakes(tmp_path / "b.npz")


def test_the_spread_is_that_of_the_first_registers_rows_and_power_is_its_own_word():
    import statistics

    done = Results(store.result_rows(RESULTS))
    first = {c["claim"]: statistics.stdev(c["effects"].values()) for c in claims.judge_claims(done)}
    with open(register.REGISTER / "spread.csv", newline="") as f:
        seen = list(csv.DictReader(f))
    assert [row["line"] for row in seen] == [
        line["line"] for line in claims.read_lines("claims/lines")
    ]
    for row in seen:
        if row["seen"] == "claims.csv, seeds 1-5":
            assert float(row["sd"]) == pytest.approx(first[row["line"]], abs=6e-4)
    (sure, small), (vain, _) = register.chances([0.05, 50.0], [1.0, 1.0], trials=20)
    assert sure == small == 1 and vain < 0.3


def test_the_command_says_what_is_there_and_judges_what_is_whole(tmp_path, monkeypatch, capsys):
    from rsnl_lib import __main__, store
    from rsnl_lib.commands import common

    (tmp_path / "results").mkdir()
    monkeypatch.setattr(common, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(mistakes, "MISTAKES", tmp_path / "results" / "mistakes")
    __main__.main(["register"])
    lines = capsys.readouterr().out.splitlines()
    assert (
        lines[0] == "0 of 312 registered networks have their rows; whole teachers: none"
        and len(lines) == 36
        and all(line.endswith("not run") for line in lines[1:])
    )
    keys = [(k, v, u) for k, v, u in register.dataset_conditions("mnist")]
    rows = [
        {**dict.fromkeys(store.COLUMNS, ""), **row}
        for t in range(3, 11)
        for m, w, c in (
            ("kd", "", 900),
            *(("robust", w, 910 + t) for w in register.WEIGHTS["mnist"]),
        )
        for row in rows_of(register.job("mnist", m, w, t), dict.fromkeys(keys, c))
    ]
    store.write(tmp_path / "work" / "rows" / "a.csv", store.table(rows))
    __main__.main(["register", "--work", str(tmp_path / "work")])
    said = {line.split()[1]: line for line in capsys.readouterr().out.splitlines()}
    assert (
        "8 teachers   +1.65" in said["white-kd"]
        and said["white-kd"].endswith("supported")
        and said["white-fitnet"].endswith("not run")
    )
    assert "p 0.008" in said["white-kd"]


def test_the_register_is_older_than_every_row_of_it():
    git = lambda *args: subprocess.run(["git", *args], cwd=ROOT, capture_output=True, text=True)
    if (
        git("rev-parse", "--is-inside-work-tree").returncode
        or git("rev-parse", "--is-shallow-repository").stdout.strip() == "true"
    ):
        pytest.skip("no history here to compare commits")
    first = git(
        "log", "--diff-filter=A", "--format=%H", "--", "data/claims/README.md"
    ).stdout.split()[-1]
    mine = {tuple(map(str, j.row().values())) for j in register.networks()}
    for row in store.result_rows(RESULTS):
        if tuple(row[k] for k in store.RUN_COLUMNS) in mine:
            commit = row["commit"].rstrip("+")
            assert git("merge-base", "--is-ancestor", first, commit).returncode == 0, (
                f"{commit} made a row of {row['method']} seed {row['seed']} and does not know the"
                " register"
            )
            assert not row["commit"].endswith("+")
    for name in ("lines.csv", "networks.csv"):
        there = git(
            "log", "--format=%H", "--diff-filter=M", first + "..HEAD", "--", f"data/claims/{name}"
        ).stdout.split()
        assert not there, f"{name} was changed after it was registered"


def test_what_there_is_of_a_line_is_shown_before_it_is_judged():
    rows = list(store.result_rows(RESULTS))
    done = Results(rows)
    assert register.whole_teachers(register.network_jobs(done))[:2] == [3, 4]
    assert not register.whole_teachers(register.network_jobs(Results()))
    (line,) = [c for c in claims.read_lines("claims/lines") if c["line"] == "white-kd"]
    fewer = Results(row for row in rows if row["seed"] not in ("5", "15"))
    two = register.differences(line, fewer, fewest=2)
    assert list(two) == ["C1=1", "C1=3", ""] and all(len(d) == 2 for d in two.values())
    assert two["C1=3"][1] == register.difference(line, "C1=3", 4, done)
    assert register.differences(line, fewer) == {w: [] for w in two}
    assert register.differences(line, Results(), fewest=1) == {w: [] for w in two}


def test_the_chances_are_those_that_the_text_prints():
    chances, text = register.printed_chances(), (register.REGISTER / "README.md").read_text("utf-8")
    assert list(chances) == [c["line"] for c in claims.read_lines("claims/lines")]
    for line, (told, small) in chances.items():
        assert re.search(rf"\| {line} \| [\d.]+ \| {told:.2f} \| {small:.2f} \|", text)
