"""What comes from outside as rows: taken right, or refused with file, row and remedy."""

import csv
import lzma
import multiprocessing
import os
import pathlib

import pytest

from rsnl_lib import rows, store, tables
from rsnl_lib.data import catalogue
from rsnl_lib.env import RESULTS
from rsnl_lib.measure import toolbox

ROW = dict.fromkeys(store.COLUMNS, "") | {
    "dataset": "digits",
    "method": "kd",
    "network": "digits_student",
    "teacher": "digits_teacher",
    "recipe": "short",
    "seed": "0",
    "perturbation": "gaussian",
    "level": "3",
    "unit": "dB",
    "draws": "2",
    "n": "1000",
    "correct": "977",
    "date": "2026-11-21",
}
CURVE = {c: ROW.get(c, "") for c in store.CURVE_COLUMNS} | {
    "epoch": "1",
    "quantity": "ce",
    "value": "0.5",
}
WHOLE = store.table([ROW, {**ROW, "seed": "1"}])
BAD = [
    ("correct", "1001"),
    ("correct", "-5"),
    ("correct", "9.5"),
    ("correct", ""),
    ("correct", "٣"),
    ("correct", "007"),
    ("correct", "9" * 5000),
    ("n", "0"),
    ("n", "abc"),
    ("n", "1e3"),
    ("n", "1_000"),
    ("seed", "-1"),
    ("seed", " 1"),
    ("level", "nan"),
    ("level", "inf"),
    ("level", "1e999"),
    ("level", "1_0"),
    ("level", ""),
    ("level", "3 "),
    ("perturbation", "gausian"),
    ("perturbation", ""),
    ("unit", "linf"),
    ("unit", ""),
    ("method", "<img src=x onerror=alert(1)>"),
    ("method", "=cmd|calc"),
    ("method", "k d"),
    ("method", ""),
    ("network", "../digits"),
    ("network", "digits/student"),
    ("recipe", "short\nlong"),
    ("settings", "C1=<b>"),
    ("settings", " C1=1"),
    ("settings", "C1=1  C2=2"),
    ("teacher", "../../x"),
    ("train_noise", "gaussian\t5 dB"),
    ("hardware", "<script>"),
    ("torch", "2\x1b[2J"),
    ("commit", "x" * 301),
    ("date", "2025-1"),
    ("draws", "0"),
    ("dataset", "../../../outside/PWNED"),
    ("dataset", "/tmp/PWNED"),
    ("dataset", "a/b"),
    ("dataset", "a\\b"),
    ("dataset", "C:x"),
    ("dataset", ".hidden"),
    ("dataset", ".."),
    ("dataset", "."),
    ("dataset", ""),
    ("dataset", "a "),
    ("dataset", "-rf"),
    ("dataset", "a\u202eb"),
    ("dataset", "x" * 300),
    *(("dataset", name) for name in (*rows.TAKEN, "Curves")),
]


@pytest.mark.parametrize("column, value", BAD)
def test_a_bad_cell_is_refused_by_every_reader_and_by_append(tmp_path, column, value):
    path = tmp_path / "digits.csv"
    path.write_bytes(store.table([ROW, {**ROW, column: value}]))
    for read in (store.lines, store.frame, lambda p: store.result_rows(p.parent)):
        with pytest.raises(ValueError, match="digits.csv, row 3: .*; delete that row") as error:
            read(path)
        assert column in str(error.value) and len(str(error.value)) < 500
    with pytest.raises(ValueError, match="row 2: .*make that row again"):
        store.append(tmp_path / "new.csv", [ROW, {**ROW, column: value}])
    assert not (tmp_path / "new.csv").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"perturbation": "clean", "unit": "", "level": "1"},
        {"perturbation": "clean", "unit": "dB"},
        {"perturbation": "class", "unit": "label", "level": "1.5"},
        {"perturbation": "occlusion", "unit": "pixels", "level": "-2"},
        {"perturbation": "pgd", "unit": "linf", "level": "-0.1"},
        {"perturbation": "pgd", "unit": "pixels"},
        {"perturbation": "usps", "unit": "label", "level": "0"},
    ],
)
def test_perturbation_level_and_unit_fit_each_other(change):
    with pytest.raises(ValueError, match="unit|level"):
        rows.check_row(ROW | change)


def test_everything_that_is_measured_has_a_unit_that_fits():
    for dataset in catalogue.DATASETS:
        asked = catalogue.levels(dataset)
        if catalogue.about(dataset).epsilon:
            asked = [*asked, *toolbox.plan(dataset)]
        for kind, level, unit in [*asked, ("class", 3, "label"), ("usps", 0, "all")]:
            told = {"perturbation": kind, "level": str(level), "unit": unit}
            rows.check_row(ROW | told | {"dataset": dataset})
    assert set(toolbox.EFFORT) <= set(rows.UNITS)
    stems = {p.stem for p in RESULTS.glob("*.csv")} - set(catalogue.DATASETS)
    assert stems == set(rows.TAKEN)  # nobody's data set is called as one of our other files


@pytest.mark.parametrize("name", ["own", "my pictures", "Bücher", "a.b", "fashion-mnist"])
def test_a_folder_of_ones_own_may_have_any_plain_name(name):
    rows.check_row(ROW | {"dataset": name})


@pytest.mark.parametrize(
    "column, value", [("value", "nan"), ("value", ""), ("epoch", "1.5"), ("quantity", "<b>")]
)
def test_a_bad_row_of_a_curve_is_refused(tmp_path, column, value):
    (tmp_path / "c.csv").write_bytes(
        store.table([CURVE, {**CURVE, column: value}], store.CURVE_COLUMNS)
    )
    with pytest.raises(ValueError, match=f"c.csv, row 3: {column}="):
        store.lines(tmp_path / "c.csv")


MARK = b"\xef\xbb\xbf"
ODD = {
    "ragged": WHOLE.replace(b"2026-11-21\n", b"2026-11-21,20th\n", 1),
    "short": WHOLE + b"digits,kd\n",
    "doubled header": WHOLE + WHOLE,
    "half a line": WHOLE[:-4],
    "no end of the last line": WHOLE[:-1],
    "half a cell in quotes": WHOLE + b'"digits,kd\n',
    "latin-1": WHOLE.replace(b"digits_teacher", b"t\xe9acher", 1),
    "UTF-16": WHOLE.decode().encode("utf-16"),
    "NUL": WHOLE.replace(b"kd", b"k\0", 1),
    "empty line": WHOLE + b"\n",
    "mark inside": WHOLE + MARK + WHOLE,
    "a cell without end": WHOLE + b"x" * 200_000 + b"\n",
}


@pytest.mark.parametrize("kind", ODD)
def test_a_broken_table_is_refused_with_file_row_and_remedy(tmp_path, kind):
    path = tmp_path / "digits.csv"
    path.write_bytes(ODD[kind])
    append = lambda p: store.append(p, [ROW])
    for read in (store.lines, store.frame, lambda p: store.result_rows(p.parent), append):
        with pytest.raises(ValueError, match="digits.csv.*(row|line)") as error:
            read(path)
        assert "delete that row" in str(error.value) or "save it as UTF-8" in str(error.value)
    assert path.read_bytes() == ODD[kind]


@pytest.mark.parametrize("content", [MARK + WHOLE, WHOLE.replace(b"\n", b"\r\n")])
def test_a_byte_order_mark_and_line_ends_of_windows_are_read_right(tmp_path, content):
    path = tmp_path / "digits.csv"
    path.write_bytes(content)
    assert store.result_rows(tmp_path) == [ROW, {**ROW, "seed": "1"}]
    assert store.frame(path)["correct"].tolist() == [977, 977]
    store.append(path, [{**ROW, "seed": "2"}])
    assert [row["seed"] for row in store.lines(path)] == ["0", "1", "2"]


def test_a_results_file_that_is_left_out_is_named(tmp_path, capsys):
    (tmp_path / "digits.csv").write_bytes(WHOLE.replace(b",", b";"))
    (tmp_path / "usps.csv").write_bytes(WHOLE)
    (tmp_path / "curves.csv").write_bytes(store.table([CURVE], store.CURVE_COLUMNS))
    (tmp_path / "empty.csv").write_bytes(b"")
    assert len(store.result_rows(tmp_path)) == 2
    said = capsys.readouterr().out
    assert said.count("left out: ") == 1 and str(tmp_path / "digits.csv") in said


def test_files_that_are_none_are_refused_by_readers(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ValueError, match="folder.csv is no plain file; name"):
        store.result_rows(tmp_path)
    (tmp_path / "folder.csv").rmdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.csv")
        with pytest.raises(ValueError, match="pipe.csv is no plain file"):
            store.lines(tmp_path / "pipe.csv", missing_ok=True)
        with pytest.raises(ValueError, match="pipe.csv is a link or no plain file"):
            store.append(tmp_path / "pipe.csv", [ROW])


@pytest.mark.skipif(os.name != "posix", reason="links")
def test_a_link_is_never_appended_to(tmp_path):
    other, soft, hard = (tmp_path / name for name in ("other", "soft.csv", "hard.csv"))
    soft.symlink_to(other)
    for ask in (lambda: store.append(soft, [ROW]), lambda: store.can_append(soft)):
        with pytest.raises(ValueError, match="soft.csv is a link"):
            ask()
    assert not other.exists()
    other.write_bytes(WHOLE)
    os.link(other, hard)
    for path in (soft, hard):
        with pytest.raises(ValueError, match=f"{path.name} is a link or no plain file; name"):
            store.append(path, [ROW])
    assert other.read_bytes() == WHOLE


def add_rows(path, who, ready, key):
    ready.wait()
    for i in range(3):
        mine = [{**ROW, "seed": str(1000 * who * (key is None) + 10 * i + k)} for k in range(5)]
        store.append(path, mine, key=key)


@pytest.mark.skipif(os.name != "posix", reason="without locks on Windows")
@pytest.mark.parametrize("key", [None, rows.row_key, rows.same_run])
def test_processes_that_append_at_once_write_one_header_and_each_row_once(tmp_path, key):
    fork = multiprocessing.get_context("fork")  # nothing of torch is asked
    for turn in range(8):
        path, ready = tmp_path / f"{turn}.csv", fork.Barrier(4)
        team = [fork.Process(target=add_rows, args=(path, i, ready, key)) for i in range(4)]
        for one in team:
            one.start()
        for one in team:
            one.join()
        assert [one.exitcode for one in team] == [0] * 4
        with open(path, newline="") as f:
            header, *found = csv.reader(f)
        assert header == store.COLUMNS and header not in found
        assert len(found) == len(set(map(tuple, found))) == (15 if key else 60)


def test_a_row_of_one_run_is_the_same_on_another_day_and_a_time_at_another_speed(tmp_path):
    assert rows.same_run(ROW) == rows.same_run({**ROW, "date": "2026-12-01"})
    assert rows.same_run(ROW) != rows.same_run({**ROW, "correct": "978"})
    time = {**CURVE, "quantity": "ms_per_image"}
    assert rows.same_run(time) == rows.same_run({**time, "value": "9"})
    assert rows.same_run(CURVE) != rows.same_run({**CURVE, "value": "9"})
    assert rows.row_key(ROW) == rows.row_key({**ROW, "level": "3.0", "correct": "1"})


def test_a_file_that_is_replaced_while_one_waits_loses_no_row(tmp_path, monkeypatch):
    path = tmp_path / "digits.csv"
    path.write_bytes(WHOLE)
    monkeypatch.setattr(tables, "hold", lambda f: store.write(path, WHOLE))
    with pytest.raises(ValueError, match="digits.csv was replaced just now; call again"):
        store.append(path, [ROW])
    assert path.read_bytes() == WHOLE


def test_packed_rows_are_read_first_and_new_ones_are_appended_behind_them(tmp_path):
    path = tmp_path / "digits.csv"
    path.write_bytes(WHOLE)
    before, seen = store.lines(path), store.frame(path)
    store.pack_rows(path)
    assert path.read_bytes() == WHOLE[: WHOLE.index(b"\n") + 1]
    assert store.lines(path) == before and store.frame(path).equals(seen)
    assert store.append(path, before, key=rows.row_key) == []
    new = {**ROW, "seed": "9"}
    assert store.append(path, [new], key=rows.row_key) == [new]
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert store.lines(path) == [*before, new] == store.result_rows(tmp_path)
    store.pack_rows(path)
    assert store.lines(path) == [*before, new]


@pytest.mark.parametrize(
    "harm, said",
    [
        (lambda raw: raw[:-20], "digits.csv.xz is cut off"),
        (lambda raw: raw + b"more", "digits.csv.xz is cut off, or holds more than"),
        (lambda raw: raw[:40] + b"!!!!" + raw[44:], "digits.csv.xz is damaged"),
        (lambda raw: b"", "digits.csv.xz is cut off"),
        # the older format has no checksum, and its header asks for any memory
        (lambda raw: lzma.compress(lzma.decompress(raw), lzma.FORMAT_ALONE), "xz is damaged"),
        (lambda raw: lzma.compress(b"a,b\n1,2\n"), "digits.csv.xz has other columns"),
        (lambda raw: lzma.compress(bytes(10**6 + 1)), "holds more than 1000000 bytes"),
    ],
)
def test_packed_rows_that_are_damaged_are_named(tmp_path, monkeypatch, harm, said):
    monkeypatch.setattr(tables, "PACKED_MOST", 10**6)
    path = tmp_path / "digits.csv"
    path.write_bytes(WHOLE)
    store.pack_rows(path)
    packed = tmp_path / "digits.csv.xz"
    packed.write_bytes(harm(packed.read_bytes()))
    for read in (store.lines, store.frame, lambda p: store.append(p, [ROW])):
        with pytest.raises(ValueError, match=said):
            read(path)


def test_every_row_that_is_shipped_is_right():
    for path in pathlib.Path(RESULTS).glob("*.csv"):
        assert store.lines(path), path
