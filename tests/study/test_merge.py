"""What a campaign from elsewhere may hold: all is checked before the first byte is written."""

import io
import json
import os
import pathlib
import zipfile

import numpy as np
import pytest

from rsnl_lib import networks, store
from rsnl_lib.commands import common
from rsnl_lib.study import merge, mistakes, training, workers
from tests.test_rows import CURVE, ROW

MARK = b"\xef\xbb\xbf"
NET = "digits_student-kd-short-s0.safetensors"
HEAD = {"dataset": "digits", "method": "kd", "network": "digits_student", "recipe": "short"}


def box_of(**arrays):
    raw = io.BytesIO()
    np.savez_compressed(raw, **arrays)
    return raw.getvalue()


def bomb():
    """A small file that says it holds more than anybody has."""
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as box:
        with box.open("said.npy", "w") as f:
            head = {"descr": "|u1", "fortran_order": False, "shape": (2, 2**26)}
            np.lib.format.write_array_header_1_0(f, head)
            for _ in range(2**7):
                f.write(bytes(2**20))
    return raw.getvalue()


def huge_shape():
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as box, box.open("said.npy", "w") as f:
        head = {"descr": "|u1", "fortran_order": False, "shape": (10**6, 10**9)}
        np.lib.format.write_array_header_1_0(f, head)
    return raw.getvalue()


@pytest.fixture
def work(tmp_path):
    """A good campaign of one network, and where it goes."""
    work = tmp_path / "work"
    store.write(work / "rows/a.csv", store.table([ROW, {**ROW, "seed": "1"}]))
    store.write(work / "curves/a.csv", store.table([CURVE], store.CURVE_COLUMNS))
    store.write(work / "mistakes/a.npz", box_of(said=np.zeros((2, 5), np.uint8)))
    store.save_checkpoint(work / NET, networks.build("digits_student"), **HEAD, seed=0)
    store.append(tmp_path / "to/results/digits.csv", [{**ROW, "seed": "7"}])
    return work


def take(work):
    to = work.parent / "to"
    return merge.merge(work, to / "results", to / "shipped", to / "aside")


def files(folder):
    return {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_good_campaign_is_taken_in_once(work):
    assert take(work) == (2, 1)
    before = files(work.parent)
    assert take(work) == (0, 0) and files(work.parent) == before
    names = {str(pathlib.Path(p).relative_to(work.parent / "to")) for p in before if "/to/" in p}
    told = {"results/digits.csv", "results/curves.csv", "results/mistakes/a.npz", f"shipped/{NET}"}
    assert names == told
    changed = store.table([{**ROW, "level": "3.0"}])
    store.write(work / "rows/a.csv", changed)  # 3.0 dB is 3 dB
    assert take(work) == (0, 0)


@pytest.mark.parametrize(
    "change", [lambda raw: MARK + raw, lambda raw: raw.replace(b"\n", b"\r\n")]
)
def test_a_campaign_that_went_through_a_spreadsheet_is_taken_whole(work, change):
    for file in ("rows/a.csv", "curves/a.csv"):
        (work / file).write_bytes(change((work / file).read_bytes()))
    assert take(work) == (2, 1)


def rows_with(**change):
    return lambda raw: store.table([ROW, ROW | change])


HARM = {
    "outside": (
        "rows/z.csv",
        rows_with(dataset="../../../outside/PWNED"),
        "z.csv, row 3: dataset=",
    ),
    "absolute": ("rows/z.csv", rows_with(dataset="/tmp/PWNED"), "z.csv, row 3: dataset="),
    "curves": ("rows/z.csv", rows_with(dataset="curves"), "the name of a file among the results"),
    "margins": ("rows/z.csv", rows_with(dataset="Margins"), "the name of a file among the results"),
    "correct": ("rows/z.csv", rows_with(correct="1900"), "row 3: correct=1900 of n=1000"),
    "html": ("rows/z.csv", rows_with(method="<img src=x onerror=alert(1)>"), "row 3: method="),
    "columns": ("rows/z.csv", lambda raw: b"a,b\n1,2\n", "z.csv has other columns than"),
    "semicolons": ("rows/a.csv", lambda raw: raw.replace(b",", b";"), "a.csv has other columns"),
    "cells": ("rows/a.csv", lambda raw: raw[:-1] + b",20th\n", "a.csv is no table: row 3 has 20"),
    "cut": ("rows/a.csv", lambda raw: raw[:-4], "a.csv ends in the middle of a row"),
    "latin-1": ("rows/a.csv", lambda raw: raw.replace(b"kd", b"k\xe9"), "save it as UTF-8"),
    "a curve": ("curves/a.csv", lambda raw: raw.replace(b"0.5", b"much"), "a.csv, row 2: value="),
    "curve's columns": ("curves/a.csv", lambda raw: b"epoch,loss\n1,2\n", "has other columns"),
    "no mistakes": ("mistakes/a.npz", lambda raw: b"", "holds no mistakes"),
    "half mistakes": ("mistakes/a.npz", lambda raw: raw[:-30], "holds no mistakes"),
    "damaged mistakes": (
        "mistakes/a.npz",
        lambda raw: raw[:60] + b"!" * 9 + raw[69:],
        "no mistakes",
    ),
    "other mistakes": ("mistakes/a.npz", lambda raw: box_of(said=np.ones(3)), "holds no mistakes"),
    "pickle": (
        "mistakes/a.npz",
        lambda raw: box_of(said=np.array([[print]], object)),
        "holds no mistakes",
    ),
    "more": ("mistakes/a.npz", lambda raw: box_of(said=np.ones(3), x=1), "one array of at most"),
    "bomb": ("mistakes/a.npz", lambda raw: bomb(), "one array of at most"),
    "shape": ("mistakes/a.npz", lambda raw: huge_shape(), "holds no mistakes"),
    "checkpoint": (NET, lambda raw: raw[:-9], "damaged"),
    "another's name": (
        "mnist_teacher-teacher-short-s0.safetensors",
        lambda raw: raw,
        "holds digits_student-kd-short-s0 by its header; name it so",
    ),
}


@pytest.mark.parametrize("harm", HARM)
def test_a_bad_campaign_is_refused_whole(work, harm):
    file, change, says = HARM[harm]
    good = work / file
    good = good if good.is_file() else work / ("rows/a.csv" if file.endswith("csv") else NET)
    (work / file).write_bytes(change(good.read_bytes()))
    before = files(work.parent)
    with pytest.raises(ValueError) as error:
        take(work)
    assert says in str(error.value) and str(work / file) in str(error.value)
    assert files(work.parent) == before


@pytest.mark.skipif(os.name != "posix", reason="links")
@pytest.mark.parametrize("file", ["rows/a.csv", "curves/a.csv", "mistakes/a.npz", NET])
def test_a_link_in_a_campaign_is_refused(work, file):
    (work / file).rename(work.parent / "elsewhere")
    (work / file).symlink_to(work.parent / "elsewhere")
    before = files(work.parent)
    with pytest.raises(ValueError, match="is a link or no plain file"):
        take(work)
    assert files(work.parent) == before


@pytest.mark.parametrize("name", ["digits", "curves"])
def test_results_that_cannot_take_it_are_named_before_anything_is_written(work, name):
    place = work.parent / f"to/results/{name}.csv"
    place.write_bytes(b"epoch,loss\n1,2\n")
    before = files(work.parent)
    with pytest.raises(ValueError, match=f"{name}.csv has other columns"):
        take(work)
    assert files(work.parent) == before


@pytest.mark.skipif(os.name != "posix", reason="links")
def test_the_lock_of_a_work_folder_follows_no_link(tmp_path):
    mine = tmp_path / "mine"
    mine.write_text("my words")
    (tmp_path / "work").mkdir()
    (tmp_path / "work/lock").symlink_to(mine)
    with pytest.raises(ValueError, match="lock is a link"):
        workers.lock(tmp_path / "work")
    assert mine.read_text() == "my words"


def test_a_header_names_no_path(tmp_path):
    head = {**HEAD, "teacher_file": "../../other.safetensors"}
    with pytest.raises(ValueError, match="teacher_file='../../other.* is no plain name"):
        common.teacher_file(tmp_path / "a", head)


def test_rows_kept_halfway_that_are_damaged_are_named(tmp_path):
    net = networks.build("digits_student")
    d = training.data.load("digits")
    kept = tmp_path / "a.rows"
    name = store.digest(*net.state_dict().values(), words="2 digits")
    row = {"perturbation": "clean", "level": 0, "unit": "", "draws": 1, "n": 5, "correct": 4}
    odd = [{"correct": 6}, {"level": "nan"}, {"unit": "x"}, {"draws": 0}, {"correct": "4"}]
    odd += [{"more": 1}, {"correct": 4.5}, {"perturbation": "x"}]
    told = [{"net": name, "rows": rows} for rows in [7, [7], *([{**row, **one}] for one in odd)]]
    for content in ("{", "[]", f'{{"net": "{name}"}}', *map(json.dumps, told)):
        kept.write_text(content)
        with pytest.raises(ValueError, match="a.rows is damaged .*; delete it and call again"):
            training.measure_levels(net, d, kept=kept)


def test_mistakes_come_back(tmp_path):
    said = np.array([[0, 255], [9, 1]], np.uint8)
    mistakes.save_mistakes(tmp_path / "a.npz", said)
    assert (mistakes.load_mistakes(tmp_path / "a.npz") == said).all()
