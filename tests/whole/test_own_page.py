"""docs/own.md: its code runs in the order of the page, and so do its commands."""

import re
import shlex

import numpy as np
import pytest
from PIL import Image

from rsnl_lib import env, store
from rsnl_lib.__main__ import main

TEXT = (env.ROOT / "docs/own.md").read_text()
PYTHON = re.findall(r"^```python\n(.*?)^```$", TEXT, re.M | re.S)
COMMANDS = re.findall(r"^python -m rsnl_lib (.*)$", TEXT, re.M)
TREES = [("pets",), ("pets/train", "pets/val", "pets/test"), ("pets/train", "pets/val")]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RSNL_DATA", str(tmp_path / "downloads"))
    return tmp_path


def lay(here, places):
    """Pictures of cats and dogs in each of the places."""
    for k, place in enumerate(places):
        for label, name in enumerate(("cat", "cat/garden", "dog")):
            (here / place / name).mkdir(parents=True, exist_ok=True)
            for i in range(8):
                noise = np.random.default_rng([k, label, i]).integers(0, 255, (40, 48, 3))
                Image.fromarray(noise.astype(np.uint8)).save(here / place / name / f"{i}.png")


def test_the_page_is_short_and_linked():
    assert TEXT.count("\n") <= 120 and len(PYTHON) == 5 and len(COMMANDS) == 3
    assert "(docs/own.md)" in (env.ROOT / "CONTRIBUTING.md").read_text()


@pytest.mark.parametrize("places", TREES, ids=["classes", "a split", "no test"])
def test_the_code_runs(here, capsys, places):
    lay(here, places)
    names = {}
    for code in PYTHON:
        exec(compile(code, "docs/own.md", "exec"), names)
    said = capsys.readouterr().out
    assert said.startswith("('cat', 'dog') torch.Size([") and "3, 32, 32]) pixels [0,1]" in said
    assert len(names["rows"]) == len(names["plan"]) and (names["r_int"] >= names["r_fp"]).all()
    assert (names["student"](names["x"]) - names["run"].last(names["x"])).abs().max() < 0.01


def test_the_commands_run(here, capsys):
    lay(here, ["pets"])
    for command in COMMANDS:
        main(shlex.split(command))
    assert "{'cat': " in capsys.readouterr().out
    rows = store.lines("runs/pets.csv")
    assert {row["method"] for row in rows} == {"teacher", "kd"}
    assert {row["settings"] for row in rows} == {"side=32", "flip=True side=32"}
    assert len(list((here / "runs").glob("*side=32*.safetensors"))) == 4, "last and best"
