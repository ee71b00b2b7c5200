"""The examples in CONTRIBUTING.md, as they stand there: a file that adds a method, a data set."""

import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys

import pytest
import torch

from rsnl_lib import env, train
from rsnl_lib.data import catalogue
from rsnl_lib.workbook import palette

TEXT = (env.ROOT / "CONTRIBUTING.md").read_text()
BLOCK = re.compile(r"^## A method of your own$.*?^```python\n(.*?)^```$", re.M | re.S)
TRIAL = """
import contextlib, io, json
import torch
from torch import nn
from rsnl_lib import __main__, networks, train
from rsnl_lib.data import sets
from rsnl_lib.train import recipes
from rsnl_lib.workbook import palette


def entropy(net, x):
    log_o = torch.log_softmax(net(x), 1)
    return -(log_o.exp() * log_o).sum(1).mean().item()


full = sets.digits()
d = full._replace(
    x_train=full.x_train[:300],
    y_train=full.y_train[:300],
    x_val=full.x_val[:60],
    y_val=full.y_val[:60],
)
r = train.recipe("short", "digits", "teacher", epochs=8, batch=20)
teacher = train.fit(networks.start("digits_mlp_teacher", d), d, "teacher", r).last
runs = {}
for method in ("kd", "confident"):
    torch.manual_seed(0)
    student = nn.Sequential(nn.Flatten(), networks.dense(64, 8), nn.Linear(8, 10))
    r = train.recipe("short", "digits", method, epochs=8, batch=20, lr=1e-2)
    runs[method] = train.fit(student, d, method, r, teacher=teacher)
said = io.StringIO()
with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
    __main__.main(["train", "--help"])
print(json.dumps({
    "methods": list(train.METHODS),
    "file": train.METHODS["confident"].terms.__module__,
    "styles": palette.styles(),
    "term": palette.term("entropy"),
    "doubt": [train.recipe(method="confident", **more).doubt for more in ({}, {"doubt": 0.2})],
    "told": ["doubt" in recipes.fingerprint(train.recipe(method=m), m) for m in train.METHODS],
    "help": said.getvalue(),
    "rows": runs["confident"].history,
    "accuracy": train.accuracy(runs["confident"].last, d.x_val, d.y_val),
    "entropy": {m: entropy(run.last, d.x_val) for m, run in runs.items()},
}))
"""


@pytest.fixture(scope="module")
def confident(tmp_path_factory):
    """What a copy of the library says that has the code block as one more file."""
    house = tmp_path_factory.mktemp("house")
    but = shutil.ignore_patterns("__pycache__")
    shutil.copytree(env.ROOT / "rsnl_lib", house / "rsnl_lib", ignore=but)
    methods = house / "rsnl_lib" / "train" / "methods"
    (methods / "confident.py").write_text(BLOCK.search(TEXT).group(1))
    (house / "trial.py").write_text(TRIAL)  # its folder comes first among the places of modules
    command = [sys.executable, "trial.py"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=house)
    assert done.returncode == 0, done.stderr[-1500:]
    return json.loads(done.stdout.splitlines()[-1])


def test_the_example_adds_one_method_and_one_style(confident):
    assert confident["file"].endswith("confident")
    assert set(confident["methods"]) - set(train.METHODS) == {"confident"}
    styles = confident["styles"]
    assert set(styles) == {*train.METHODS, "confident", "robust_teacher"}
    assert (
        len({s["color"] for s in styles.values()})
        == len({str(s["marker"]) for s in styles.values()})
        == len(styles)
    )
    assert styles["confident"] == dict(color="#661100", marker="$e$", label="confident")
    assert confident["term"] == "entropy"


def test_the_example_has_a_setting_of_its_own_and_older_states_do_not_know_it(confident):
    assert confident["doubt"] == [0.1, 0.2]
    assert confident["told"] == [m == "confident" for m in confident["methods"]]
    assert "confident (ours)\n    doubt=0.1" in confident["help"]


def test_the_example_trains_logs_its_term_and_makes_the_student_surer(confident):
    rows = confident["rows"]
    assert (
        set(rows[0]) == {"epoch", "ce", "kd", "entropy", "ms_per_image", "val_accuracy"}
        and len(rows) == 8
    )
    assert all(row["entropy"] > 0.1 for row in rows)
    assert confident["accuracy"] > 0.5
    assert confident["entropy"]["confident"] < confident["entropy"]["kd"] - 0.01


def test_the_example_leaves_no_trace():
    assert "confident" not in train.METHODS and "confident" not in palette.styles()


SET = re.compile(
    r"^## A data set of your own$.*?^```python\n(.*?)^```$.*?^```python\n(.*?)^```$", re.M | re.S
)


def idx(*shape):
    """An idx file of bytes: what MNIST and its like are made of."""
    content = (torch.arange(torch.Size(shape).numel()) % 10).to(torch.uint8).numpy().tobytes()
    sides = b"".join(side.to_bytes(4, "big") for side in shape)
    return bytes([0, 0, 8, len(shape)]) + sides + content


def test_the_example_of_a_data_set_loads_in_a_copy_of_the_library(tmp_path):
    """Small files stand for the published ones, so the checksums become theirs."""
    row, checksums = SET.search(TEXT).groups()
    downloads = tmp_path / "downloads"
    for part, n in (("train", 60), ("t10k", 20)):
        for name, content in (
            (f"{part}-images-idx3-ubyte", idx(n, 28, 28)),
            (f"{part}-labels-idx1-ubyte", idx(n)),
        ):
            path = downloads / "FashionMNIST" / "raw" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            path.with_suffix(".gz").write_bytes(gzip.compress(content))
    for name, told in re.findall(r'"(\S+)": "([0-9a-f]{32})"', checksums):
        made = hashlib.md5((downloads / name).read_bytes()).hexdigest()
        checksums = checksums.replace(told, made)
    shutil.copytree(env.ROOT / "rsnl_lib", tmp_path / "rsnl_lib")
    for file, table, lines in (("catalogue", "SETS", row), ("sets", "SOURCES", checksums)):
        path = tmp_path / "rsnl_lib" / "data" / f"{file}.py"
        before, after = path.read_text().split(f"\n{table} = {{\n")
        path.write_text(f"{before}\n{table} = {{\n{lines}{after}")
    code = """
from rsnl_lib import data
from rsnl_lib.data import catalogue
d = data.load("fashion")
print(d.name, d.classes, *d.x_train.shape, *d.x_test.shape, round(d.x_train.max().item() * 255))
print(len(catalogue.needed("fashion")), data.has_files("fashion"))
print(catalogue.network_for("fashion", "kd"))
"""
    more = {"PYTHONPATH": str(tmp_path), "RSNL_DATA": str(downloads), "RSNL_ROOT": str(env.ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, **more},
        capture_output=True,
        text=True,
    )
    levels = len(catalogue.needed("mnist"))
    want = f"fashion 10 60 1 28 28 20 1 28 28 9 {levels} True mnist_student"
    assert done.stdout.split() == want.split(), done.stderr
