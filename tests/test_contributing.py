"""The example in CONTRIBUTING.md, as it stands there, is a method that trains."""

import re

import pytest
import torch
from torch import nn

from rsnl_lib import env, networks, train
from rsnl_lib.data import sets
from rsnl_lib.workbook import palette

TEXT = (env.ROOT / "CONTRIBUTING.md").read_text()
BLOCK = re.compile(r"^## A method of your own$.*?^```python\n(.*?)^```$", re.M | re.S)


@pytest.fixture
def confident():
    """Run the code block; afterwards both dicts are as they were. Gives what the block defines."""
    kept = [(d, dict(d)) for d in (train.METHODS, palette.METHODS)]
    space = {}
    try:
        exec(BLOCK.search(TEXT).group(1), space)
        yield space
    finally:
        for d, before in kept:
            d.clear()
            d.update(before)


def entropy(net, x):
    log_o = torch.log_softmax(net(x), 1)
    return -(log_o.exp() * log_o).sum(1).mean().item()


def test_the_example_adds_one_method_and_one_style(confident):
    assert list(train.METHODS)[-1] == list(palette.METHODS)[-1] == "confident"
    assert (
        train.METHODS["confident"].terms is confident["confident"]
        and train.METHODS is train.METHODS
    )
    assert (
        len({s["color"] for s in palette.METHODS.values()})
        == len({s["marker"] for s in palette.METHODS.values()})
        == len(palette.METHODS)
    )


def test_the_example_trains_logs_its_term_and_makes_the_student_surer(confident):
    full = sets.digits()
    d = full._replace(
        x_train=full.x_train[:300],
        y_train=full.y_train[:300],
        x_val=full.x_val[:60],
        y_val=full.y_val[:60],
    )
    teacher = train.fit(
        networks.start("digits_mlp_teacher", d),
        d,
        "teacher",
        train.recipe("short", "digits", "teacher", epochs=8, batch=20),
    ).last
    runs = {}
    for method in ("kd", "confident"):
        torch.manual_seed(0)
        student = nn.Sequential(nn.Flatten(), networks.dense(64, 8), nn.Linear(8, 10))
        runs[method] = train.fit(
            student,
            d,
            method,
            train.recipe("short", "digits", method, epochs=8, batch=20, lr=1e-2),
            teacher=teacher,
        )
    rows = runs["confident"].history
    assert (
        set(rows[0]) == {"epoch", "ce", "kd", "entropy", "ms_per_image", "val_accuracy"}
        and len(rows) == 8
    )
    assert all(row["entropy"] > 0.1 for row in rows)
    assert train.accuracy(runs["confident"].last, d.x_val, d.y_val) > 0.5
    assert entropy(runs["confident"].last, d.x_val) < entropy(runs["kd"].last, d.x_val) - 0.01


def test_the_example_leaves_no_trace():
    assert "confident" not in train.METHODS and "confident" not in palette.METHODS
