"""The library and a recount that shares nothing with it agree on every number and word of both
registers, on the rows there are and on a whole made-up register; and each sees a change.
"""

import copy
import math
import random

import pytest
import recount

from rsnl_lib import env, store
from rsnl_lib.study import claims, course, mistakes, register
from rsnl_lib.study.results import Results


@pytest.fixture(scope="module")
def ours():
    return store.result_rows(env.RESULTS)


@pytest.fixture(scope="module")
def theirs():
    return recount.counted()


def test_the_first_register_is_the_same_counted_twice(ours, theirs):
    twice = recount.first_register(theirs)
    judged = claims.judge_claims(Results(ours))
    assert len(judged) == len(twice) == 23
    for c in judged:
        d, mean, low, high, p, word = twice[c["claim"]]
        assert list(c["effects"].values()) == pytest.approx(d, abs=1e-9)
        found = [c["mean"], c["low"], c["high"], c["p_corrected"]]
        assert found == pytest.approx([mean, low, high, p], abs=1e-9), c["claim"]
        assert c["word"] == word


def test_every_difference_of_the_second_register_is_the_same_counted_twice(ours, theirs):
    done, told = Results(ours), mistakes.collect(register.networks())
    counted = 0
    for line in recount.lines(recount.ROOT / "data" / "claims" / "lines.csv"):
        (mine,) = [c for c in claims.read_lines("claims/lines") if c["line"] == line["line"]]
        found = register.differences(mine, done, told, fewest=2)
        assert tuple(sorted(found)) == tuple(sorted(recount.weights_of(line)))
        for weight, d in found.items():
            teachers = range(3, 3 + len(d))
            again = [recount.registered(theirs, line, weight, t, teachers) for t in teachers]
            assert d == pytest.approx(again, abs=1e-9), (line["line"], weight)
            counted += len(d)
    assert counted >= 2 * 65


def test_the_second_registers_words_are_the_same_counted_twice(ours, theirs):
    told = mistakes.collect(register.networks())
    judged = register.judge_lines(Results(ours), told)
    _, twice = recount.second_register(theirs)
    for c in judged:
        assert c["word"] == twice[c["line"]]["word"]
        assert c["mean"] == pytest.approx(twice[c["line"]]["mean"], nan_ok=True, abs=1e-9)


def made_up(teachers, seed):
    """Rows of a whole register of these teachers, drawn, as the files would hold them."""
    drawn, rows = random.Random(seed), []
    for one in register.networks(teachers):
        skill = drawn.randint(18_000, 19_900)
        for kind, level, unit in register.dataset_conditions(one.dataset):
            correct = min(20_000, skill + drawn.randint(-60, 60))
            told = {"perturbation": kind, "level": f"{level:g}", "unit": unit}
            rows.append({**one.row(), **told, "n": "20000", "correct": str(correct)})
    return [{k: str(v) for k, v in row.items()} for row in rows]


def counted(rows):
    found = {}
    for row in rows:
        key = (row["perturbation"], float(row["level"]), row["unit"])
        share = int(row["correct"]) / int(row["n"])
        found.setdefault(tuple(row[c] for c in recount.RUN), {})[key] = share
    return found


def both(rows, monkeypatch, told=None):
    """{line: (mean, low, high, p, word)} by the library, and by the recount; accuracies alone."""
    monkeypatch.setattr(recount, "wrong_labels", lambda *_: None)
    mine = {
        c["line"]: (c["mean"], c["low"], c["high"], c["p"], c["word"])
        for c in register.judge_lines(Results(rows), told)
    }
    _, verdicts = recount.second_register(counted(rows))
    names = ("mean", "low", "high", "p", "word")
    return mine, {line: tuple(v[n] for n in names) for line, v in verdicts.items()}


def same(mine, twice):
    return all(
        mine[line][4] == twice[line][4]
        and mine[line][:4] == pytest.approx(twice[line][:4], abs=1e-9, nan_ok=True)
        for line in mine
    )


@pytest.mark.parametrize("teachers", [8, 7, 6, 5])
def test_a_whole_register_gets_the_same_words_twice(teachers, monkeypatch):
    mine, twice = both(made_up(range(3, 3 + teachers), teachers), monkeypatch)
    assert same(mine, twice)
    run = [line for line, found in mine.items() if found[4] != "not run"]
    assert len(run) == (33 if teachers >= 6 else 0)  # all but the two of mistakes


@pytest.mark.parametrize("change", ["a row", "a cell", "a seed", "a sign", "a margin"])
def test_a_change_is_seen(change, monkeypatch):
    rows = made_up(range(3, 9), 1)
    before, _ = both(rows, monkeypatch)
    white = [r for r in rows if (r["method"], r["perturbation"]) == ("robust", "gaussian")]
    mine = [r for r in white if r["settings"] == "" and r["level"] == "1"]
    other = copy.deepcopy(rows)
    if change == "a row":
        other.remove(mine[0])
    elif change == "a cell":
        other[rows.index(mine[0])]["correct"] = str(int(mine[0]["correct"]) - 50)
    elif change == "a seed":
        other = [r for r in other if r["seed"] != mine[0]["seed"]]
    elif change == "a sign":
        for r in other:
            if r["method"] in ("kd", "robust"):
                r["method"] = {"kd": "robust", "robust": "kd"}[r["method"]]
    else:
        told = [c | {"margin": 40.0} for c in claims.read_lines("claims/lines")]
        monkeypatch.setattr(claims, "read_lines", lambda name: told)
    after, twice = both(other, monkeypatch)
    assert after != before and not same(after, {line: before[line] for line in before})
    assert same(after, twice) == (change != "a margin")  # which the recount reads for itself


def test_the_course_is_the_same_counted_twice(ours, theirs):
    told = mistakes.collect(register.networks())
    table = course.course([3, 4], Results(ours), told, {})
    for row in table.to_dict("records"):
        words = [f"C1={row['C1']}"] if row["C1"] in ("1", "3") else []
        words += [f"epochs={row['epochs']}"] if row["epochs"] != 8 else []
        words += [f"images={row['images']}"] if row["images"] != 50_000 else []
        settings, t = " ".join(words), row["teacher"]
        key = recount.fresh("mnist", row["method"], settings, t)
        assert row["accuracy"] == pytest.approx(recount.mean(theirs, key, recount.WHITE))
        near = [recount.agreement(row["method"], settings, t, g) for g in (t, 7 - t)]
        assert [row["own_mistakes"], row["other_mistakes"]] == pytest.approx(near, abs=1e-9)
        assert not math.isnan(near[0])
