"""Chapter 09: symmetric words, its figures, what its exercises explain, and what its text says of
the rows.
"""

import math
import re

import numpy as np
import pytest
from scipy.stats import spearmanr

from rsnl_lib import env, store
from rsnl_lib.data.catalogue import CLEAN
from rsnl_lib.study import claims, jobs, mistakes, paper, register
from rsnl_lib.study.results import Results
from rsnl_lib.workbook import checkers, claim_figures, palette, verdict_figures
from rsnl_lib.workbook.widgets import claims as claim_views

SOURCE = env.ROOT / "notebooks" / "src" / "09_claims.py"
FRESH = range(3, 5)


@pytest.fixture(scope="module")
def done():
    return Results(store.result_rows(env.RESULTS))


@pytest.fixture(scope="module")
def judged(done):
    return {c["claim"]: c for c in claims.judge_claims(done)}


@pytest.fixture(scope="module")
def lines():
    return {c["line"]: c for c in claims.read_lines("claims/lines")}


@pytest.mark.parametrize(
    "mean, low, high, p, word",
    [
        (2.0, 0.2, 3.8, 0.01, "a gain"),
        (0.3, 0.1, 0.5, 0.01, "a gain, within the margin"),
        (0.1, -0.6, 0.8, 0.3, "too small to matter"),
        (0.6, 0.1, 1.1, 0.3, "undecided"),
        (0.4, -1.2, 2.0, 0.3, "undecided"),
        (-0.4, -1.2, 0.4, 0.3, "undecided"),
    ],
)
def test_words_are_symmetric(mean, low, high, p, word):
    swap = {"a gain": "a loss"}
    head, comma, rest = word.partition(",")
    assert claims.effect_word("difference", 1.0, mean, low, high, p) == word
    other = claims.effect_word("difference", 1.0, -mean, -high, -low, p)
    assert other == swap.get(head, head) + comma + rest
    assert claims.effect_word("difference", 1.0, mean, low, high, math.nan) == "not run"


def test_no_worse_asks_for_no_more():
    asked = ("no worse", 0.5, -0.2)
    assert claims.effect_word(*asked, -0.4, 0.1, 0.5) == "no worse"
    assert claims.effect_word(*asked, -0.6, 0.2, 0.5) == "undecided"
    assert claims.effect_word(*asked, -0.9, -0.6, 0.01) == "a loss"


def test_the_register_has_a_word_for_each_word():
    words = {"a gain", "a loss", "too small to matter", "undecided", "no worse"}
    assert register.OF_A_LINE.keys() == words
    assert claim_figures.LOOKS.keys() == words | {"not run"}


def test_the_rule_in_sight_is_the_librarys(judged):
    (code,) = re.findall(r"^def word\(.*?(?=^judged)", SOURCE.read_text("utf-8"), re.M | re.S)
    there = {}
    exec(code, there)
    for c in judged.values():
        if c["decides"] == "difference":
            found = (c["mean"], c["low"], c["high"], c["p_corrected"])
            assert there["word"](*found, c["matters"]) == c["word"]


def test_the_words_that_the_text_tells(judged):
    named = {}
    for name, c in judged.items():
        named.setdefault(c["word"], set()).add(name)
    assert named["a loss"] == {"white-kd", "white-drop", "control-shuffled", "control-noise"}
    assert named["too small to matter"] == {"score-term", "occlusion-kd", "other-noise-kd"}
    assert named["no worse"] == {"clean-teacher", "noise-trained-kd"}
    assert len(named["undecided"]) == 14 and len(judged) == 23
    assert [c["verdict"] for c in judged.values()].count("fails") == 12
    assert all(v < 0 for v in judged["white-kd"]["effects"].values())
    assert all(v > 0 for v in judged["poisson-kd"]["effects"].values())


def test_the_sign_turns_with_the_teacher_not_with_the_weight(done, lines):
    for setting in ("", "C1=3", "C1=1"):
        for teacher in FRESH:
            assert register.difference(lines["white-kd"], setting, teacher, done) > 0.5

    def lead(teacher, student):
        return done.share(teacher, [CLEAN]) - done.share(student, [CLEAN])

    for seed in range(3):
        first = (jobs.Job("mnist", m).at(seed, seed) for m in ("teacher", "standard"))
        assert lead(*first) < 0
    for teacher in FRESH:
        fresh = (register.job("mnist", m, "", teacher) for m in ("teacher", "standard"))
        assert lead(*fresh) > 0


def test_a_difference_is_missing_where_a_row_is(lines):
    assert math.isnan(register.difference(lines["white-kd"], "", 3, Results()))


def test_shuffled_is_ahead_of_robust_on_both_data_sets(done):
    for name, seeds in (("digits", range(5)), ("mnist", range(1, 6))):
        (c,) = claims.against(name, "robust", ["shuffled"], done, seeds=seeds)
        assert 1.5 < c["mean"] < 2.5 and c["low"] > 0 and c["p"] < 0.01


def test_the_robust_student_errs_as_teachers_do_and_nearly_as_much_as_another():
    def shared(method, teacher, guide):
        told = {
            m: register.job("mnist", m, "", t) for m, t in ((method, teacher), ("teacher", guide))
        }
        found = mistakes.collect(list(told.values()))
        return mistakes.agreement(*(found[told[m]] for m in (method, "teacher")))

    first, second = FRESH
    for own, other in ((first, second), (second, first)):
        for guide in FRESH:
            rest = [shared(m, own, guide) for m in ("shuffled", "matched", "kd", "standard")]
            assert shared("robust", own, guide) > 0.5 > max(rest)
    more = [shared("robust", t, t) - shared("robust", t, first + second - t) for t in FRESH]
    assert min(more) < 0 < max(more) and abs(sum(more) / 2) < 0.1


def test_a_lead_is_of_the_method_that_is_asked_for(done):
    robust = claims.leads(done, "mnist", range(1, 6))
    zero = claims.leads(done, "mnist", range(1, 6), "target_zero")
    assert [p[:4] for p in robust] == [p[:4] for p in zero] and robust != zero
    for points in (robust, zero):
        assert spearmanr([p[3:] for p in points])[0] > 0.97


def test_the_weights_share_of_the_gain_on_digits(done):
    gains = {c["line"]: c["mean"] for c in claims.explore(claims.read_lines("study"), done)}
    assert 0.75 < gains["digits-C1-1"] / gains["digits"] < 0.85
    assert 0.28 < gains["digits-C1-0.1"] / gains["digits"] < 0.38


def test_the_bound_does_not_follow_the_resistance(done):
    methods = ["robust", "target_zero", "shuffled", "direct"]
    bounds = claims.bounds(env.RESULTS / "margins.csv", methods)
    gains = claims.against("digits", "kd", methods, done)
    longest = max(bounds, key=lambda c: c["mean"])["a"]
    least = min(gains, key=lambda c: c["mean"])["a"]
    assert longest == least == "direct"
    assert bounds[0]["low"] < 0 < bounds[0]["high"]
    ax = verdict_figures.bound_and_noise(bounds, gains).axes[0]
    marks = [line.get_xdata()[0] for line in ax.lines if line.get_marker() != "None"]
    assert marks == [c["mean"] for c in bounds]


def test_each_entry_of_the_ledger_stands_in_one_group():
    (code,) = re.findall(r"^groups = \{.*?^\}", SOURCE.read_text("utf-8"), re.M | re.S)
    there = {}
    exec(code, there)
    assert sorted(sum(there["groups"].values(), [])) == sorted(paper.ledger())


def test_the_picture_of_pairs():
    pairs = {1: (96.0, 98.0), 2: (97.0, 98.5), 3: (96.5, 98.0)}
    left, right = verdict_figures.paired_seeds(pairs, ("robust", "kd"), 0.5).axes
    assert [list(line.get_ydata()) for line in left.lines[:3]] == [[98, 96], [98.5, 97], [98, 96.5]]
    assert [t.get_text() for t in left.texts] == ["seed 1", "seed 2", "seed 3"]
    mean = next(line for line in right.lines if line.get_marker() == "o")
    assert mean.get_xdata()[0] == pytest.approx(-5 / 3)
    assert right.patches[0].get_extents().width > 0


def test_dots_and_their_mean():
    ax = verdict_figures.dot_rows({"one": [1.0, 3.0], "two": [-1.0]}).axes[0]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["one", "two"]
    assert [list(line.get_xdata()) for line in ax.lines[1:]] == [[1, 3], [2, 2], [-1], [-1, -1]]


def test_panels_share_their_rows():
    line = claims.compare("mnist", "robust", "kd", range(2))
    one = [claims.summary(line, {0: 1.0, 1: 2.0}), claims.summary({**line, "a": "fitnet"}, {})]
    left, right = claim_figures.forest_panels({"here": one, "there": one[:1]}).axes
    labels = [t.get_text() for t in left.get_yticklabels()]
    assert labels == [palette.style(m)["label"] for m in ("robust", "fitnet")]
    assert [t.get_text() for t in right.get_yticklabels()] == ["", ""]
    assert left.get_ylim() == right.get_ylim()


def test_a_panel_of_epochs_spans_two_points(done):
    study = [c for c in claims.read_lines("study") if c["dataset"] == "mnist"]
    lines = [c for c in study if c["question"] == "epochs"]
    clean, noise = claim_figures.epochs(done, lines).axes
    for ax in (clean, noise):
        low, high = ax.get_ylim()
        assert high - low == pytest.approx(2, abs=0.3) and high <= 100
        values = [y for line in ax.lines for y in line.get_ydata()]
        assert low < min(values) and max(values) < high


@pytest.mark.parametrize("decides", ["difference", "no worse"])
def test_the_picture_beside_the_slider(judged, decides):
    c = next(c for c in judged.values() if c["decides"] == decides)
    drawn = claim_views.effect_picture(c, 0.5, "a loss")
    assert claim_figures.LOOKS["a loss"]["color"] in drawn
    assert ("<rect" in drawn) == (decides == "difference")
    assert drawn.count("26V34") == 5 and 'role="img"' in drawn


B = checkers.chapter09.B


def judge(interval, word):
    """An answer from an interval (a, b, t) -> (low, high) and a word (low, high, matters)."""

    def answer(a, b, matters, t):
        low, high = interval(np.array(a), np.array(b), t)
        return low, high, word(low, high, matters)

    return answer


def paired(a, b, t):
    reach = t * (a - b).std(ddof=1) / len(a) ** 0.5
    return (a - b).mean() - reach, (a - b).mean() + reach


def unpaired(a, b, t):
    reach = t * ((a.var(ddof=1) + b.var(ddof=1)) / len(a)) ** 0.5
    return (a - b).mean() - reach, (a - b).mean() + reach


def rule(low, high, matters):
    inside = -matters < low and high < matters
    if low <= 0 <= high:
        return "too small to matter" if inside else "undecided"
    return ("a gain" if low > 0 else "a loss") + (", within the margin" if inside else "")


def no_threshold(low, high, matters):
    return "undecided" if low <= 0 <= high else "a gain" if low > 0 else "a loss"


@pytest.mark.parametrize(
    "answer, hint",
    [
        (judge(unpaired, rule), "is unpaired"),
        (judge(lambda a, b, t: paired(b, a, t), rule), "is of b - a"),
        (judge(lambda a, b, t: (-9.0, 9.0), rule), "shall be"),
        (judge(paired, no_threshold), "what would matter is forgotten"),
        (judge(paired, lambda *_: "fails"), "none of a gain, a loss"),
        (judge(paired, lambda *_: "a gain"), "its sign says which"),
        (judge(paired, lambda *v: rule(*v).replace("undecided", "a loss")), "nothing is decided"),
        (lambda a, b, matters, t: "a gain", "low, high and a word"),
    ],
)
def test_wrong_judgements_are_explained(answer, hint, capsys):
    checkers.judge_claim(answer)
    out = capsys.readouterr().out
    assert out.startswith("Not yet") and hint in out


def test_the_right_judgement_is_taken(capsys):
    checkers.judge_claim(judge(paired, rule))
    assert capsys.readouterr().out == "Right.\n"


def test_bonferroni_is_told_from_holm(capsys):
    checkers.holm(lambda ps: [min(1, len(ps) * p) for p in ps])
    assert "Bonferroni" in capsys.readouterr().out
