"""papermill runs every notebook with the smoke profile on the embedded digits, and refuses what is
misspelt.
"""

import pathlib
import subprocess
import sys

import pytest

from rsnl_lib import env

BOOKS = sorted((env.ROOT / "notebooks").glob("*.ipynb"))


def papermill(book, out, *parameters):
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "papermill",
            str(book),
            str(out),
            "--cwd",
            str(book.parent),
            "-k",
            "python3",
            "--no-progress-bar",
            *parameters,
        ],
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("book", BOOKS, ids=lambda p: p.stem)
def test_smoke(book, tmp_path):
    done = papermill(
        book, tmp_path / "out.ipynb", "-p", "profile", "smoke", "-p", "dataset", "digits"
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "trained here (smoke)" in pathlib.Path(tmp_path / "out.ipynb").read_text()


@pytest.mark.parametrize(
    "name, value, said",
    [("epoch", "3", "unknown parameter 'epoch'"), ("dataset", "imagenet", "dataset='imagenet'")],
)
def test_wrong_parameters_stop_the_run(name, value, said, tmp_path):
    done = papermill(BOOKS[0], tmp_path / "out.ipynb", "-p", name, value)
    assert done.returncode != 0 and said in done.stderr
