"""Readers of what an unfinished run keeps, for fuzz.py: its state, its rows, its caches."""

import contextlib
import functools
import io
import json
import tempfile
from unittest import mock

import torch
from fuzz_inputs import EDITS, JSON, edited, lay
from fuzz_readers import Reader
from hypothesis import strategies as st

from rsnl_lib import networks, store, train
from rsnl_lib.data import Data
from rsnl_lib.study import training
from rsnl_lib.train import constants
from rsnl_lib.train.steps import RunFile

X, Y = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 10
DATA = Data("digits", 10, X, Y, X, Y, X, Y)
RECIPE = train.Recipe("test", 2, batch=10)
# of a state, kept at its end, inside an epoch or in the hint stage: ("bytes", edits), or ("keys" or
# "inner", {key of the whole or of its place or optimiser: None drops it, ("zeros", n) a tensor})
KEYS = "run net step best best_epoch history inside hint answers".split()
INNER = "state done took sums carry generators turn epoch total order net probe regressor".split()
VALUE = JSON | st.tuples(st.just("zeros"), st.integers(0, 3))
CHANGED = [
    st.dictionaries(st.sampled_from(names) | st.integers(0, 9), VALUE, min_size=1, max_size=2)
    for names in (KEYS, INNER)
]
CHANGE = st.tuples(st.just("bytes"), EDITS) | st.tuples(st.just("keys"), CHANGED[0])
CHANGE |= st.tuples(st.just("inner"), CHANGED[1])
STATE = st.tuples(st.sampled_from(["end", "epoch", "hint"]), CHANGE)
ROWS = st.tuples(st.just("bytes"), EDITS)
ROWS |= st.tuples(
    st.just("row"), st.dictionaries(st.sampled_from("level unit n correct draws".split()), JSON)
)


def start_net():
    return networks.start("digits_mlp_student", DATA)


def begin(kind, state):
    """The run whose state is kept."""
    r = RECIPE._replace(hint_epochs=2 * (kind == "hint"))
    teacher = start_net().eval() if r.hint_epochs else None
    return train.fit(start_net(), DATA, "standard", r, teacher=teacher, state=state, every=-1)


class Stop(Exception):
    pass


@functools.cache
def good_state(kind) -> bytes:
    """The state of a run at its end, or the fourth that it kept."""
    keep, kept = RunFile.keep, []

    def stop(self, content):
        keep(self, content)
        kept.append(1)
        if kind != "end" and len(kept) == 4:
            raise Stop

    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/x.state"
        with mock.patch.object(RunFile, "keep", stop), contextlib.suppress(Stop):
            begin(kind, path)
        with open(path, "rb") as f:
            return f.read()


def states(drawn, inside, out):
    kind, (how, change) = drawn
    raw = edited(good_state(kind), change) if how == "bytes" else good_state(kind)
    if how != "bytes":
        held = torch.load(io.BytesIO(raw), weights_only=True)
        part = held.get("inside", held.get("hint", held.get("step"))) if how == "inner" else held
        names = list(part)
        for key, value in change.items():
            key = names[key % len(names)] if isinstance(key, int) else key
            value = torch.zeros(value[1]) if isinstance(value, tuple) else value
            part.pop(key, None) if value is None else part.update({key: value})
        kept = io.BytesIO()
        torch.save(held, kept)
        raw = kept.getvalue()
    lay(inside, {"x.state": raw})
    run = begin(kind, inside / "x.state")
    assert len(run.history) == RECIPE.epochs, "another number of epochs was let in"


@functools.cache
def good_rows() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        training.measure_levels(start_net().eval(), DATA, 1, kept=f"{folder}/x.rows")
        with open(f"{folder}/x.rows", "rb") as f:
            return f.read()


def kept_rows(drawn, inside, out):
    how, change = drawn
    raw = good_rows()
    if how == "row":
        told = json.loads(raw)
        told["rows"][0] |= change
        raw = json.dumps(told).encode()
    lay(inside, {"x.rows": raw if how == "row" else edited(raw, change)})
    rows = training.measure_levels(start_net().eval(), DATA, 1, kept=inside / "x.rows")
    for row in rows:
        assert 0 <= row["correct"] <= row["n"], f"{row['correct']} of {row['n']} was let in"
        store.table([row], list(row))


def caches(drawn, inside, out):
    """The teacher's constants: any damage ends in the right ones."""
    teacher = start_net().eval()
    right = constants.teacher_constants(teacher, X, Y, 3.0, "tempered", inside)
    for path in inside.iterdir():
        lay(inside, {path.name: edited(path.read_bytes(), drawn[1])})
    found = constants.teacher_constants(teacher, X, Y, 3.0, "tempered", inside)
    for one, other in zip(right, found):
        assert one.shape == other.shape and one.isfinite().all(), "a cache of another shape"


def warm(out):
    """Make the good files first: torch's own caches begin in the true TMPDIR."""
    for kind in ("end", "epoch", "hint"):
        good_state(kind)
    good_rows()


READERS = {
    "states": Reader(STATE, states, warm),
    "kept rows": Reader(ROWS, kept_rows, warm),
    "caches": Reader(st.tuples(st.just("bytes"), EDITS), caches, warm),
}
