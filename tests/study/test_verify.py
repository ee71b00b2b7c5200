"""Shipped rows are measured again from shipped checkpoints, and a changed row is named."""

import pytest
from safetensors import safe_open

from rsnl_lib import __main__, data, env, store
from rsnl_lib.commands import common
from rsnl_lib.commands import verify as command
from rsnl_lib.study import jobs, training, verify

STUDENT = jobs.Job("digits", "robust")
ROW = {"hardware": "here", "n": "2000", "correct": "1900"}


def own_rows(job=STUDENT):
    """The shipped rows of one network."""
    wanted = jobs.Run.of(job.row())
    return [r for r in store.result_rows(env.RESULTS) if jobs.Run.of(r) == wanted]


def test_the_difference_allowed_is_none_here_and_few_images_elsewhere():
    def word(correct, hardware, n=2000):
        return verify.judge(ROW, n, correct, hardware)["word"]

    assert word(1900, "here") == word(1900, "there") == "agrees"
    assert word(1901, "here") == "DIFFERS"
    assert word(1902, "there") == word(1898, "there") == "within range"
    assert word(1903, "there") == word(1897, "there") == "DIFFERS"
    assert word(1900, "here", n=1999) == "DIFFERS"
    told = verify.judge({**own_rows()[0], "n": "500", "correct": "490"}, 500, 400, "x")
    said = verify.told_line(told, STUDENT.path())
    assert "DIFFERS" in said and "-90, expected within 1" in said and STUDENT.path().stem in said


def test_only_rows_of_one_checkpoint_are_checked():
    with safe_open(STUDENT.path(), "pt") as f:
        head = f.metadata()
    rows = own_rows() + own_rows(STUDENT._replace(seed=3))
    assert verify.checkable(rows, {"a": head}) == [("a", row) for row in own_rows()]
    assert verify.checkable(rows, {"a": head, "b": head}) == []  # whose they are is not said


def test_the_order_is_drawn_by_the_seed_digits_and_the_smallest_first():
    kinds = ("clean", "gaussian", "pgd")
    pairs = [
        (name, {"dataset": name[:-1], "perturbation": kind})
        for name in ("mnist1", "digits2", "digits3")
        for kind in kinds
    ]
    sizes = {"mnist1": 1, "digits2": 2, "digits3": 3}
    found = verify.in_order(pairs, sizes, 0)
    assert found == verify.in_order(pairs[::-1], sizes, 0)
    assert [path for path, _ in found] == ["digits2", "digits3", "mnist1"] * 3
    assert {row["perturbation"] for _, row in found[-3:]} == {"pgd"}
    assert any(found != verify.in_order(pairs, sizes, seed) for seed in range(1, 9))


def test_every_kind_of_row_is_measured_as_it_was(tmp_path):
    d = data.load("digits")
    kept = STUDENT.path(tmp_path)
    net, head = store.load_checkpoint(STUDENT.path())
    rows = training.measure_levels(net, d, draws=1)
    assert {r["unit"] for r in rows} == {"", "dB", "ratio", "pixels", "label"}
    for row in rows[:: len(rows) // 12] + rows[-1:]:
        text = {**head, **{k: str(v) for k, v in row.items()}}
        assert verify.measure_again(text, head, net, d) == (row["n"], row["correct"])
    assert not kept.exists()


@pytest.fixture
def shipped(monkeypatch, tmp_path):
    """A folder of results with some rows of one checkpoint: put(rows) writes them."""
    made = tmp_path / "checkpoints"
    made.mkdir()
    STUDENT.path(made).write_bytes(STUDENT.path().read_bytes())
    monkeypatch.setattr(command, "CHECKPOINTS", made)
    monkeypatch.setattr(common, "RESULTS", tmp_path / "results")

    def put(rows):
        store.write(tmp_path / "results/digits.csv", store.table(rows))

    return put


def few():
    return [r for r in own_rows() if r["perturbation"] in ("clean", "occlusion")][:4]


def test_rows_that_agree_end_well(shipped, capsys):
    shipped(few())
    __main__.main(["verify", "--all", "--seed", "5"])
    said = capsys.readouterr().out
    assert "seed 5: 4 of 4 rows measured again" in said and "DIFFERS" not in said


def test_a_row_changed_by_hand_is_named(shipped, capsys):
    rows = few()
    rows[2]["correct"] = str(int(rows[2]["correct"]) - 90)
    shipped(rows)
    with pytest.raises(SystemExit) as end:
        __main__.main(["verify"])
    assert end.value.code == 1
    (said,) = [s for s in capsys.readouterr().out.splitlines() if s.startswith("DIFFERS")]
    assert f"{rows[2]['perturbation']} {rows[2]['level']} {rows[2]['unit']}" in said
    assert STUDENT.path().stem in said and "+90" in said


def test_without_rows_it_says_so(shipped):
    shipped([])
    with pytest.raises(SystemExit, match="no row of .*results has a checkpoint"):
        __main__.main(["verify"])
