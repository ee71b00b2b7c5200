"""Chapter 00: its checkers explain, and what it says follows from rows and networks."""

import math
import re

import pytest
import torch

from rsnl_lib import data, env, store
from rsnl_lib.data import perturb
from rsnl_lib.study import jobs, paper
from rsnl_lib.workbook import chapter, checkers
from rsnl_lib.workbook.checkers import chapter00

METHODS = ["teacher", "standard", "kd", "robust"]
SOURCE = (env.ROOT / "notebooks/src/00_start_here.py").read_text("utf-8")


def told(checker, answer, capsys):
    checker(answer)
    return capsys.readouterr().out


@pytest.mark.parametrize(
    "answer, said",
    [
        ([], "give a list of networks"),
        ("teacher", "give a list of networks"),
        (["nobody"], "'nobody' is not among"),
        (["standard", "kd"], "named 13 times by robust, which you left out"),
        (METHODS, "named 6 times by teacher, which you expected"),
    ],
)
def test_a_prediction_is_counted_over_twenty_draws(answer, said, capsys):
    out = told(checkers.predict_scores, answer, capsys)
    assert out.startswith("Not yet") and said in out


@pytest.mark.parametrize(
    "ratio, said",
    [
        (lambda db: 10 ** (db / 20), "amplitudes"),
        (lambda db: 10 ** (-db / 10), "the sign is turned round"),
        (lambda db: math.exp(db / 10), "of base 10"),
        (lambda db: db / 10, "0 dB is a ratio of 1"),
    ],
)
def test_a_wrong_ratio_is_explained(ratio, said, capsys):
    out = told(checkers.decibels, ratio, capsys)
    assert out.startswith("Not yet") and said in out


def test_the_solution_tells_the_counts_and_the_digit_is_that_of_the_figure():
    assert chapter00.times_named() == {"teacher": 6, "standard": 20, "kd": 20, "robust": 13}
    assert "all twenty draws, the robust student in thirteen, the teacher in six" in SOURCE
    x, _ = data.gallery("mnist")
    noisy = perturb.gaussian(x, 0.0, torch.Generator().manual_seed(0))
    nets = [store.load_checkpoint(jobs.Job("mnist", m).path())[0] for m in METHODS]
    with torch.no_grad():
        said = torch.stack([net(noisy).argmax(1) for net in nets])
    assert int((said != said[0]).any(0).int().argmax()) == chapter00._PICTURE
    sizes = [sum(p.numel() for p in net.parameters()) for net in nets]
    assert round(sizes[0] / sizes[1]) == 12, "twelve times smaller"


def test_what_the_table_is_said_to_show():
    rows = jobs.shipped("mnist", METHODS)
    assert rows.groupby("method").seed.nunique().to_dict() == dict(
        teacher=3, standard=6, kd=6, robust=6
    )
    unit = rows.unit.isin(["", "dB"]) & rows.perturbation.isin(["clean", "gaussian"])
    sums = rows[unit].groupby(["level", "method"])[["correct", "n"]].sum()
    share = (100 * sums.correct / sums.n).unstack("method")
    clean, hard = share.loc[0], share.loc[1]
    assert clean.max() - clean.min() < 0.2
    assert hard.idxmin() == "teacher" and 2.5 < hard["kd"] - hard["robust"] < 3.5
    cells = {c["cell"]: c["value"] for c in paper.cells()}
    clean = cells["VI.kd.error"] - cells["VI.robust.error"]
    drops = cells["fig2a.kd.drop"] - cells["fig2a.robust.drop"]
    assert 4.5 < clean + drops < 5.5, "the paper prints it five points above"
    kept = {
        m: -cells[f"VI.{m}.error"] - cells[f"fig2a.{m}.drop"] for m in ("teacher", "kd", "robust")
    }
    assert min(kept, key=kept.get) == "kd", "in the paper KD's student keeps least"
    assert hard.drop("teacher").idxmin() == "robust", "of the three students the fewest"
    for number in (cells["fig2a.kd.drop"], cells["fig2a.robust.drop"]):
        assert f"{number:g}" in SOURCE


def test_a_seed_that_is_not_shipped_is_told_which_are_and_how_to_train_it():
    with pytest.raises(FileNotFoundError) as error:
        chapter.load_or_train("mnist", "teacher", 3)
    said = str(error.value)
    assert re.search(r"train it with: python -m rsnl_lib train --dataset mnist .*--seed 3,", said)
    assert "(shipped: seed 0)" in said and "profile='smoke' or 'full'" in said
    with pytest.raises(FileNotFoundError, match="no seed is shipped"):
        chapter.load_or_train("mnist", "kd", 0, plan="tau4")


def test_a_misspelt_data_set_is_offered_those_that_the_chapters_take():
    for used in ({"profile": "read"}, {"profile": "full"}):
        with pytest.raises(ValueError, match="'mnst' is unknown; choose one of: digits, mnist$"):
            chapter.parameters({}, dataset="mnst", **used)
    with pytest.raises(ValueError, match="choose one of: digits, mnist$"):
        chapter.parameters({}, dataset="usps", profile="read")


def test_the_line_of_parameters_leaves_out_what_is_empty(capsys):
    chapter.parameters({}, profile="read", dataset="mnist", seed=0, picture="")
    assert capsys.readouterr().out == "profile read · dataset mnist · seed 0\n"
    chapter.parameters({}, profile="full", dataset="usps", seed=0)  # takes every data set


def test_three_decibels_are_not_quite_twice(capsys):
    checkers.decibels(lambda db: 2 ** (db / 3))
    assert "only nearly a factor of two" in capsys.readouterr().out
