"""Chapter 09: symmetric words, its figures, what its exercises explain, and what its text says of
the rows.
"""

import itertools
import math
import re
import statistics

import numpy as np
import pytest
from scipy.stats import spearmanr

from rsnl_lib import env, store
from rsnl_lib.data.catalogue import CLEAN
from rsnl_lib.measure import inference
from rsnl_lib.study import claims, course, jobs, mistakes, paper, register
from rsnl_lib.study.results import Results
from rsnl_lib.workbook import (
    checkers,
    claim_figures,
    palette,
    register_figures,
    verdict_figures,
)
from rsnl_lib.workbook.widgets import claims as claim_views

SOURCE = env.ROOT / "notebooks" / "src" / "09_claims.py"
WHOLE = range(3, 5)  # fresh teachers with every length of training


@pytest.fixture(scope="module")
def rows():
    return list(store.result_rows(env.RESULTS))


@pytest.fixture(scope="module")
def done(rows):
    return Results(rows)


@pytest.fixture(scope="module")
def two(rows):
    """The rows without those under teachers 5 to 10."""
    return Results(r for r in rows if int(r["seed"]) not in (*range(5, 11), *range(15, 21)))


@pytest.fixture(scope="module")
def judged(done):
    return {c["claim"]: c for c in claims.judge_claims(done)}


@pytest.fixture(scope="module")
def lines():
    return {c["line"]: c for c in claims.read_lines("claims/lines")}


def fresh(line, weight, done, **changes):
    """A line's difference under each fresh teacher that has its rows."""
    line = line | changes
    each = [register.difference(line, weight, t, done) for t in register.REGISTERED]
    return [d for d in each if d == d]


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
    (code,) = re.findall(r"^def word\(.*?(?=^effects = )", SOURCE.read_text("utf-8"), re.M | re.S)
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
    by_teacher = zip(*register.differences(lines["white-kd"], done).values())
    one, *five = sorted(map(statistics.median, by_teacher))
    assert -0.2 < one < 0.2 and len(five) == 5 and five[0] > 0.5

    def lead(teacher, student):
        return done.share(teacher, [CLEAN]) - done.share(student, [CLEAN])

    for seed in range(3):
        first = (jobs.Job("mnist", m).at(seed, seed) for m in ("teacher", "standard"))
        assert lead(*first) < 0
    leads = fresh(lines["clean-teacher"], "", done, a="teacher", b="standard")
    assert len(leads) == 6 and sorted(leads)[0] > -0.02 and sorted(leads)[1] > 0.05


def test_the_words_of_the_register_that_the_text_tells(done):
    told = register.judge_lines(done, mistakes.collect(register.networks()))
    words = {c["line"]: c["word"] for c in told}
    for line in ("white-fitnet", "white-teacher", "clean-teacher", "poisson-kd", "occlusion-kd"):
        assert words[line] == "supported"
    small, unsure = "too small to matter", "open"
    assert words["clean-kd"] == words["shift-usps-kd"] == words["shift-usps-fitnet"] == small
    controls = [f"control-{k}" for k in CONTROL_KEYS]
    mistaken = ("mistakes", "mistakes-later")
    for line in ("white-kd", "clean-fitnet", "shift-mnist-kd", *mistaken, *controls):
        assert words[line] == unsure
    assert not {"contradicted", "depends on C1"} & {w.partition(",")[0] for w in words.values()}
    (white,) = [c for c in told if c["line"] == "white-kd"]
    assert white["n"] == 6 and white["p"] == 0.125
    for line in ("mistakes", "mistakes-later"):
        (c,) = [c for c in told if c["line"] == line]
        assert sum(v > 0 for v in c["d"]) == 5
    (c,) = [c for c in told if c["line"] == "clean-kd"]
    assert -0.1 < c["low"] < c["high"] < 0.1
    means = {
        c["line"]: {w: statistics.fmean(d) for w, d in c["by_weight"].items()}
        for c in told
        if c["n"]
    }
    assert max(means["white-kd"], key=means["white-kd"].get) == "C1=1"
    assert min(means["poisson-kd"], key=means["poisson-kd"].get) == "C1=1"


def test_a_difference_is_missing_where_a_row_is(lines):
    assert math.isnan(register.difference(lines["white-kd"], "", 3, Results()))


def test_shuffled_is_ahead_of_robust_on_both_data_sets(done):
    for name, seeds in (("digits", range(5)), ("mnist", range(1, 6))):
        (c,) = claims.against(name, "robust", ["shuffled"], done, seeds=seeds)
        assert 1.5 < c["mean"] < 2.5 and c["low"] > 0 and c["p"] < 0.01


@pytest.fixture(scope="module")
def students(done):
    told = mistakes.collect(register.networks(list(WHOLE)))
    slopes = course.by_run(store.lines(env.RESULTS / "slopes.csv"))
    return course.course(WHOLE, done, told, slopes)


def arms(students, images, epochs):
    """Each arm at the recipe's weight, a row a method, the mean over the teachers."""
    mine = students[(students.images == images) & (students.epochs == epochs)]
    return mine[mine.C1.isin(["", "10"])].groupby("method").mean(numeric_only=True)


CONTROLS = ["target_zero", "shuffled", "matched"]
CONTROL_KEYS = ("zero", "shuffled", "matched")


def test_the_first_picture_lies_where_its_words_say(done, lines):
    first = claims.effects(claims.compare("mnist", "robust", "kd", seeds=range(1, 6)), done)
    assert len(first) == 5 and all(-3 < v < -1 for v in first.values())
    gains, near = {}, []
    for told, steps in (
        ("epochs=2", 782),
        ("", 3128),
        ("images=6400", 400),
        ("epochs=24 images=6400", 1200),
    ):
        for weight in ("", "C1=1") if "images" in told else ("", "C1=3", "C1=1"):
            line = lines["white-kd"] | {"settings": told}
            d = fresh(line, weight, done)
            near.extend((told, v) for v in d if v < 0.3)
            assert max(d) < 4 and min(d) > (0.3 if told else -0.25), (told, weight)
            gains[weight, steps] = statistics.fmean(d)
    assert len(near) == 4 and {told for told, _ in near} == {""}
    wide = [gains["", steps] for steps in (400, 782, 1200, 3128)]
    assert wide == sorted(wide, reverse=True)
    kept = [gains[w, 3128] / gains[w, 782] for w in ("", "C1=1")]
    few = [gains[w, 1200] / gains[w, 400] for w in ("", "C1=1")]
    assert 0.2 < kept[0] < 0.3 < 0.5 < few[0] < 0.55 and 0.63 < kept[1] < 0.7 and few[1] > 0.9


def test_smoothing_comes_first(students):
    for images, early in ((50_000, 2), (6400, 8)):
        table = arms(students, images, early)
        pulled = table.loc[["robust", *CONTROLS]]
        assert (pulled.square_S < 0.45 * table.square_S["kd"]).all()
        assert (pulled.accuracy > table.accuracy["kd"] + 1).all()
        assert pulled.accuracy.max() - pulled.accuracy.min() < 0.4


def test_the_direction_and_the_mistakes_come_later(students):
    for images, early, late in ((50_000, 2, 8), (6400, 8, 24)):
        before, after = (arms(students, images, e) for e in (early, late))
        turned = (after.cosine - before.cosine).dropna()
        assert turned["robust"] > 0.13 > 0.08 > turned[[*CONTROLS, "kd"]].max()
        shared = (after.own_mistakes - before.own_mistakes).dropna()
        assert shared.idxmax() == "robust" and shared["robust"] > 12
        assert abs(after.square_S["robust"] / before.square_S["robust"] - 1) < 0.1
        assert after.own_mistakes["robust"] > after.other_mistakes["robust"]
    full = arms(students, 50_000, 8)
    assert full.own_mistakes["robust"] > 50 > full.own_mistakes[[*CONTROLS, "kd"]].max()
    assert arms(students, 50_000, 16).accuracy["kd"] > full.accuracy["kd"]


def test_a_part_of_the_mistakes_is_the_own_teachers(done):
    six = course.course(range(3, 9), done, mistakes.collect(register.networks()), {})
    six = six[(six.images == 50_000) & six.C1.isin(["", "10"])]

    def excess(method, epochs):
        mine = six[(six.method == method) & (six.epochs == epochs)].set_index("teacher")
        return (mine.own_mistakes - mine.other_mistakes).dropna()

    robust = excess("robust", 8)
    assert sorted(v > 6.5 for v in robust) == [False] * 2 + [True] * 4 and robust.max() < 11.5
    assert all(-3 < v < 0 for v in robust if v < 6.5)
    assert robust.mean() > 5 and excess("robust", 2).mean() < 1.6
    assert sorted(excess("robust", 2))[-2] < 3 < excess("robust", 2).max() < 8.5
    for m in ("kd", *CONTROLS):
        for epochs in (2, 8):
            found = excess(m, epochs)
            assert len(found) in (2, 6) and abs(found.mean()) < 1.6 and found.abs().max() < 6
    early = six[(six.epochs == 2)].pivot(index="teacher", columns="method", values="accuracy")
    assert (early.robust > early.kd + 1).all()
    for m in CONTROLS:
        assert (early[m] > early.kd + 1).sum() == early[m].notna().sum() >= 2


def test_another_images_gradient_resists_as_well(done, lines):
    zero, shuffled, matched = (fresh(lines[f"control-{k}"], "", done) for k in CONTROL_KEYS)
    assert len(zero) == len(shuffled) == len(matched) == 6
    assert max(shuffled[1:]) < 0.1 and shuffled[0] > 0.5
    for d in (zero, matched):
        assert sum(v > 0.6 for v in d) == 3 == sum(v < 0.1 for v in d)
        assert min(d) > -0.5 and max(d) < 2.2
    smooth = fresh(lines["white-kd"], "", done, a="shuffled")
    assert min(*smooth, *fresh(lines["poisson-kd"], "", done, a="shuffled")) > 0.3


def test_clean_images_and_poisson_noise(done, lines):
    clean = lines["clean-kd"] | {"settings": "epochs=2"}
    assert min(fresh(clean, "", done)[:2]) > 0.09
    for m in CONTROLS:
        assert min(fresh(clean, "", done, a=m)) < 0
    for m in ("robust", "target_zero", "shuffled"):
        (c,) = claims.against("mnist", "kd", [m], done, seeds=range(6), perturbation="poisson")
        second = fresh(lines["poisson-kd"], "", done, a=m)
        assert len(c["effects"]) == 6 and min(*c["effects"].values(), *second) > 0


def test_the_fresh_teachers_are_behind_kd_in_white_noise(done, lines):
    assert max(fresh(lines["white-kd"], "", done, a="teacher")) < 0


def test_matched_does_what_shuffled_does_at_first(students, done, lines):
    mine = students[students.method.isin(["matched", "shuffled"])]
    wide = mine.pivot(index=["images", "epochs", "teacher"], columns="method", values="accuracy")
    apart = wide.shuffled - wide.matched
    assert len(apart) == 8 and apart.drop(index=(50_000, 8)).abs().max() < 0.34
    late = fresh(lines["white-kd"], "", done, a="shuffled", b="matched")
    assert len(late) == 6 and min(late) > 0.1


def test_a_control_resists_attack_by_either_teacher(done):
    def kept(method, by):
        how = dict(perturbation="pgd", levels=[0.15], unit="linf", teacher_a=by)
        line = claims.compare("digits", method, method, **how)
        jobs_of = [claims.side_job(line, "a", seed) for seed in range(5)]
        return 100 * sum(claims.line_share(line, job, done) for job in jobs_of) / 5

    told = {m: (kept(m, ""), kept(m, "pgd_at")) for m in ("kd", "robust", *CONTROLS)}
    assert max(told["kd"]) < 12 and told["robust"][0] < 22 < 41 < told["robust"][1]
    assert all(34 < v < 42 for m in CONTROLS for v in told[m])
    assert abs(told["shuffled"][1] - told["robust"][1]) < 0.5
    assert all(2 < told["robust"][1] - told[m][1] < 3.5 for m in ("target_zero", "matched"))


def test_five_teachers_who_agree_cannot_reach_a_twentieth_six_can():
    code = re.search(r"^def sign_p\(.*?(?=^for n in)", SOURCE.read_text("utf-8"), re.M | re.S)
    there = {"itertools": itertools}
    exec(code[0], there)
    assert there["sign_p"]([1.0] * 5) == 2 / 32 > 0.05 > there["sign_p"]([1.0] * 6) == 2 / 64
    d = [0.3, -1.0, 2.0, 0.7, 1.1, 0.2, 0.9, -0.1]
    assert there["sign_p"](d) == inference.corrected([d])[0]


def test_the_registers_lines_are_drawn_before_they_have_a_word(two):
    judged = register.judge_lines(two, {})
    found = {c["line"]: register.differences(c, two, {}, fewest=2) for c in judged}
    shown = register_figures.with_dots(judged, found)
    (white,) = [c for c in shown if c["line"] == "white-kd"]
    middle = [statistics.median(d) for d in zip(*found["white-kd"].values())]
    assert list(white["effects"].values()) == pytest.approx(middle)
    assert white["word"] == "not run, 2 of 6 teachers"
    ax = register_figures.register_forest([white]).axes[0]
    assert [t.get_text() for t in ax.texts] == [white["word"]]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["robust − KD, white noise, 1 to 3 dB"]
    table = register_figures.register_table([white], found).data
    assert "10: +1.00, +0.74" in table and "0.91" in table and "not run" in table


def test_a_judged_line_keeps_its_word_and_its_interval(lines):
    line = lines["white-kd"] | {"by_weight": {"": [1.0, 2, 3, 4, 5, 6]}, "d": [1.0, 2, 3, 4, 5, 6]}
    line |= {"mean": 3.5, "low": 1.0, "high": 6.0, "p": 0.03, "word": "supported"}
    (shown,) = register_figures.with_dots([line], {})
    assert shown["word"] == "supported" and list(shown["effects"].values()) == line["d"]
    assert register_figures.line_look(shown) == claim_figures.LOOKS["a gain"]
    told = register_figures.register_table([shown], {"white-kd": line["by_weight"]}).data
    assert "+3.50 [+1.00, +6.00], p 0.030" in told


def test_the_course_draws_own_and_other_teacher(students):
    mine = students[(students.images == 6400) & students.method.isin(["kd", "robust"])]
    axes = register_figures.course_panels(mine).axes
    assert len(axes) == 4
    filled = [line for line in axes[2].lines if line.get_label() == "robust"]
    table = arms(mine, 6400, 24)
    assert filled[0].get_ydata()[-1] == pytest.approx(table.cosine["robust"])
    hollow = [line for line in axes[2].lines if line.get_markerfacecolor() == "white"]
    assert hollow[-1].get_ydata()[-1] == pytest.approx(table.other_cosine["robust"])


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
