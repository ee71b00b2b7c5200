"""fuzz.py notices what it is there for, and finds nothing."""

import pathlib
import subprocess
import sys

import pytest

from rsnl_lib import store

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import fuzz  # noqa: E402
from fuzz import READERS  # noqa: E402
from fuzz_readers import Reader  # noqa: E402


def raw_key(value, inside, out):
    {}["a key"]


def raw_number(value, inside, out):
    int("five")


def escape(value, inside, out):
    (inside / "../../x").write_text("")


def linked(value, inside, out):
    (out / "x").symlink_to(inside)
    (out / "x" / "../../y").write_text("")


def half(value, inside, out):
    (out / "x").write_text("")
    store.load_checkpoint(inside / "none")


def refused(value, inside, out):
    store.load_checkpoint(inside / "none")


def fine(value, inside, out):
    (out / "x").write_text("")


@pytest.mark.parametrize(
    "read, what",
    [
        (raw_key, "KeyError"),
        (raw_number, "ValueError"),
        (escape, "left a file outside"),
        (linked, "left a file outside"),
        (half, "refused, but had written"),
        (refused, ""),
        (fine, ""),
    ],
)
def test_what_a_reader_must_not_do_is_noticed(read, what, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = fuzz.verdict(Reader(None, read), 0, tmp_path / "x")
    assert said.startswith(what) and bool(said) == bool(what)


def test_a_short_run_finds_nothing(tmp_path):
    words = ["--minutes", "0.25", "--corpus", str(tmp_path)]
    run = subprocess.run(
        [sys.executable, str(HERE / "fuzz.py"), *words], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.count(": 0 kinds of crash") == len(READERS)
    assert list(tmp_path.iterdir()) == []
