"""Readers of what an unfinished run keeps, for fuzz.py: its state, its rows, its caches."""

import functools
import io
import json
import tempfile

import torch
from fuzz_inputs import EDITS, JSON, edited, lay
from fuzz_readers import Reader
from hypothesis import strategies as st

from rsnl_lib import networks, store, train
from rsnl_lib.data import Data
from rsnl_lib.study import training
from rsnl_lib.train import constants

X, Y = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 10
DATA = Data("digits", 10, X, Y, X, Y, X, Y)
RECIPE = train.Recipe("test", 2, batch=10)
# of a state: ("bytes", edits), or ("keys", {key of the whole or of a part: None drops it})
KEYS = "run epoch net optimiser history best best_epoch random generators schedule train".split()
CHANGED = st.dictionaries(st.sampled_from(KEYS) | st.integers(0, 9), JSON, min_size=1, max_size=2)
STATE = st.tuples(st.just("bytes"), EDITS) | st.tuples(st.just("keys"), CHANGED)
ROWS = st.tuples(st.just("bytes"), EDITS)
ROWS |= st.tuples(
    st.just("row"), st.dictionaries(st.sampled_from("level unit n correct draws".split()), JSON)
)


def start_net():
    return networks.start("digits_mlp_student", DATA)


@functools.cache
def good_state() -> bytes:
    """The state of a run at its end."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/x.state"
        train.fit(start_net(), DATA, "standard", RECIPE, state=path)
        with open(path, "rb") as f:
            return f.read()


def states(drawn, inside, out):
    how, change = drawn
    raw = edited(good_state(), change) if how == "bytes" else good_state()
    if how == "keys":
        held = torch.load(io.BytesIO(raw), weights_only=True)
        names = list(held)
        for key, value in change.items():
            key = names[key % len(names)] if isinstance(key, int) else key
            held.pop(key, None) if value is None else held.update({key: value})
        kept = io.BytesIO()
        torch.save(held, kept)
        raw = kept.getvalue()
    lay(inside, {"x.state": raw})
    run = train.fit(start_net(), DATA, "standard", RECIPE, state=inside / "x.state")
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
    good_state()
    good_rows()


READERS = {
    "states": Reader(STATE, states, warm),
    "kept rows": Reader(ROWS, kept_rows, warm),
    "caches": Reader(st.tuples(st.just("bytes"), EDITS), caches, warm),
}
