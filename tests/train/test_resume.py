"""A state file that is damaged, by chance or by hand, is refused by its name with the remedy."""

import functools
import io
import os
import tempfile

import pytest
import torch

from rsnl_lib import networks, train
from rsnl_lib.data import sets
from rsnl_lib.train import steps

FULL = sets.digits()
PARTS = ("x_train", "y_train", "x_val", "y_val")
D = FULL._replace(**{name: getattr(FULL, name)[:64] for name in PARTS})
R = train.Recipe("test", 2, batch=32)
HINTS = R._replace(hint_epochs=2, hint="classify")


class Stop(Exception):
    pass


def fit(kind, state, optimiser="adamw"):
    """A run whose state is kept after every step."""
    r = (HINTS if kind == "hint" else R)._replace(optimiser=optimiser, momentum=0.5)
    torch.manual_seed(0)
    net, teacher = networks.build("digits_mlp_student"), networks.build("digits_mlp_teacher")
    return train.fit(net, D, "robust", r, teacher=teacher.eval(), state=state, every=-1)


@functools.cache
def good(kind, optimiser="adamw"):
    """The bytes of a state: of a run's end, or the fourth that it keeps, in the second epoch."""
    keep, count = steps.RunFile.keep, []

    def stop(self, content):
        keep(self, content)
        count.append(1)
        if kind != "end" and len(count) == 4:
            raise Stop

    with pytest.MonkeyPatch.context() as m, tempfile.TemporaryDirectory() as folder:
        m.setattr(steps.RunFile, "keep", stop)
        path = os.path.join(folder, "state")
        try:
            fit(kind, path, optimiser)
        except Stop:
            pass
        with open(path, "rb") as f:
            return f.read()


def inner(part, **changes):
    """A change of a part of a state: None takes a key away."""

    def change(held):
        for key, value in changes.items():
            held[part].pop(key) if value is None else held[part].update({key: value})

    return change


def slot(**changes):
    """A change of what an optimiser keeps of one weight."""

    def change(held):
        for key, value in changes.items():
            mine = held["step"]["state"][0]
            mine.pop(key) if value is None else mine.update({key: value})

    return change


def row(**changes):
    return lambda held: held["history"][0].update(changes)


LONG = torch.zeros(3)
HARMS = [
    ("end", lambda held: held.update(history=[])),
    ("end", lambda held: held.update(history=True)),
    ("end", lambda held: held["history"].append({**held["history"][-1], "epoch": 3})),
    ("end", row(epoch=2)),
    ("end", row(val_accuracy="much")),
    ("end", row(val_accuracy=1.5)),
    ("end", row(ce=float("nan"))),
    ("end", lambda held: held.update(best_epoch=9)),
    ("end", lambda held: held.update(best_epoch=-1)),
    ("end", lambda held: held["best"].popitem()),
    ("end", lambda held: next(iter(held["best"].values())).fill_(float("nan"))),
    ("end", lambda held: next(iter(held["net"].values())).fill_(float("inf"))),
    ("end", lambda held: held.update(answers=True)),
    ("end", lambda held: held.pop("net")),
    ("end", lambda held: held["run"].append(7)),
    ("epoch", slot(exp_avg=None)),
    ("epoch", slot(exp_avg=LONG)),
    ("epoch", slot(step=torch.tensor(-1.0))),
    ("epoch", lambda held: held["step"]["state"].update({99: {}})),
    ("epoch", inner("inside", done=3)),
    ("epoch", inner("inside", done=-1)),
    ("epoch", inner("inside", took=torch.zeros(1))),
    ("epoch", inner("inside", sums={"ce": LONG})),
    ("epoch", inner("inside", carry=[])),
    ("epoch", inner("inside", generators=[])),
    ("hint", inner("hint", turn=2)),
    ("hint", inner("hint", epoch=2)),
    ("hint", inner("hint", done=3)),
    ("hint", inner("hint", total=None)),
    ("hint", inner("hint", order=LONG.long())),
    ("hint", inner("hint", regressor=None)),
    ("hint", inner("hint", probe={})),
    ("hint", inner("hint", step=None)),
    ("hint", inner("hint", step={"state": {0: {}}})),
    ("hint", inner("hint", generators=[LONG])),
    ("hint", lambda held: held.update(hint=[])),
]


def refused(kind, content, path, *more):
    path.write_bytes(content)
    with pytest.raises(ValueError, match="run.state is damaged .*; delete it to start again"):
        fit(kind, path, *more)
    assert path.read_bytes() == content


def changed(kind, harm, *more):
    held = torch.load(io.BytesIO(good(kind, *more)), weights_only=True)
    harm(held)
    raw = io.BytesIO()
    torch.save(held, raw)
    return raw.getvalue()


@pytest.mark.parametrize("kind, harm", HARMS)
def test_a_state_with_an_odd_part_is_refused_and_kept(kind, harm, tmp_path):
    refused(kind, changed(kind, harm), tmp_path / "run.state")


@pytest.mark.parametrize("kind", ["end", "epoch", "hint"])
def test_one_flipped_bit_of_a_weight_is_found(kind, tmp_path):
    raw = bytearray(good(kind))
    held = torch.load(io.BytesIO(raw), weights_only=True)
    weight = max((held.get("hint") or held)["net"].values(), key=torch.numel)
    raw[raw.index(weight.numpy().tobytes()) + 7] ^= 1
    assert torch.load(io.BytesIO(raw), weights_only=True)["run"] == held["run"]
    refused(kind, bytes(raw), tmp_path / "run.state")


@pytest.mark.parametrize("kind", ["end", "epoch", "hint"])
@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_a_whole_state_is_read(kind, optimiser, tmp_path):
    path = tmp_path / "run.state"
    path.write_bytes(changed(kind, lambda held: None, optimiser))
    fresh, again = fit(kind, tmp_path / "other", optimiser), fit(kind, path, optimiser)
    assert all(map(torch.equal, fresh.last.parameters(), again.last.parameters()))


def test_the_momentum_of_another_weight_is_refused(tmp_path):
    path = tmp_path / "run.state"
    refused("epoch", changed("epoch", slot(momentum_buffer=LONG), "sgd"), path, "sgd")
