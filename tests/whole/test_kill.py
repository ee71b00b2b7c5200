"""A run of the command line that is killed, or finds the disk full, goes on and ends as if nothing
had happened.
"""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors import safe_open

from rsnl_lib import env as env_
from rsnl_lib import networks, store, train
from rsnl_lib.data import sets
from rsnl_lib.train import loop

DRIVER = """
import os, runpy, signal, sys
how, end, left = sys.argv.pop(1).split(":")
real, left = os.replace, [int(left)]
def replace(a, b):
    left[0] -= str(b).endswith(end)
    if left[0] == 0 and how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if left[0] == 0:
        raise OSError(28, "No space left on device")
    real(a, b)
os.replace = replace
runpy.run_module("rsnl_lib", run_name="__main__", alter_sys=True)
"""


def command(folder, *driver):
    """`python -m rsnl_lib train ...` with all its files in `folder`, started; `driver`: at which
    renaming of a file it ends.
    """
    folder.mkdir(exist_ok=True)
    (folder / "out").mkdir(exist_ok=True)
    shutil.copy(env_.CHECKPOINTS / "digits_teacher-teacher-short-s0.safetensors", folder / "out")
    words = [
        "train",
        "--dataset",
        "digits",
        "--method",
        "robust",
        "--set",
        "epochs=12",
        "batch=250",
        "--draws",
        "1",
        "--device",
        "cpu",
        "--out",
        str(folder / "out"),
        "--rows",
        str(folder / "rows.csv"),
    ]
    env = {**os.environ, "RSNL_DATA": str(folder), "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    start = ["-c", DRIVER, *driver] if driver else ["-m", "rsnl_lib"]
    return subprocess.Popen(
        [sys.executable, *start, *words],
        cwd=env_.ROOT,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def epochs(state):
    return len(torch.load(state, weights_only=True)["history"]) if state.is_file() else 0


def tensors(path):
    with safe_open(path, "pt") as f:
        return {k: f.get_tensor(k) for k in f.keys()}, {
            k: v for k, v in f.metadata().items() if k not in ("date", "commit")
        }


def table(path):
    frame = store.frame(path).drop(columns=["date", "commit"], errors="ignore")
    return frame[frame["quantity"] != "ms_per_image"] if "quantity" in frame else frame


def test_a_run_killed_three_times_and_short_of_disk_once_ends_bit_for_bit_like_one_left_alone(
    tmp_path,
):
    name = "digits_student-robust-short-s0-epochs=12-batch=250"
    once, often = tmp_path / "once", tmp_path / "often"
    state = often / "runs" / f"{name}.state"
    alone, done = command(once), []  # on the other core meanwhile
    first = command(often)  # 1: killed from outside, somewhere in an epoch
    until = time.monotonic() + 60
    while epochs(state) < 3 and first.poll() is None and time.monotonic() < until:
        time.sleep(0.2)
    first.send_signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL, first.stdout.read()
    done.append(epochs(state))
    for moment, code in (
        ("kill:.state:3", -9),
        ("fail:=250.safetensors:1", 1),
        ("kill:.best.safetensors:1", -9),
    ):
        run = command(often, moment)  # 2: in a write of the state; full disk; 3: at the end
        said, _ = run.communicate()
        assert run.returncode == code, said
        done.append(epochs(state))
        assert code == -9 or "rsnl: " in said and "No space left on device" in said
    assert 3 <= done[0] < 9 and done[1:] == [
        done[0] + 2,
        12,
        12,
    ], "each went on where the one before it was"
    assert (
        not (often / "rows.csv").exists()
        and not (often / "out" / f"{name}.best.safetensors").exists()
    ), "nothing by halves"

    for run in (command(often), alone):
        said, _ = run.communicate()
        assert run.returncode == 0, said
    for end in (".safetensors", ".best.safetensors"):
        (a, head), (b, other) = (tensors(f / "out" / f"{name}{end}") for f in (often, once))
        assert head == other and a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
    for file in ("rows.csv", "rows-curves.csv"):
        a, b = (table(f / file) for f in (often, once))
        assert len(a) and a.equals(b), file
    assert (
        not list(once.rglob("*.part"))
        and not list(once.rglob("*.state"))
        and not list(often.rglob("*.state"))
    )
    assert len(list(often.rglob("*.part"))) <= 2, "at most what the two killed in a write left"


@pytest.fixture
def small_disk():
    """Call it with a number of bytes: no file can grow beyond them until the test ends."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size or soft, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_stops_the_run_and_keeps_the_last_whole_state(tmp_path, small_disk):
    d = sets.digits()
    d, r = (
        d._replace(x_train=d.x_train[:96], y_train=d.y_train[:96]),
        train.Recipe("test", 3, batch=32),
    )
    net, state = lambda: networks.start("digits_student", d), tmp_path / "run.state"
    accuracy, calls = train.accuracy, []
    whole = train.fit(net(), d, "standard", r, state=tmp_path / "other.state").last
    size = (tmp_path / "other.state").stat().st_size

    def fills(*args):  # the disk is full from the second epoch on
        calls.append(1)
        small_disk(size // 2 if len(calls) == 2 else None)
        return accuracy(*args)

    with pytest.MonkeyPatch.context() as m:
        m.setattr(loop, "accuracy", fills)
        with pytest.raises(OSError, match="File too large|No space left"):
            train.fit(net(), d, "standard", r, state=state)
    small_disk(None)
    assert epochs(state) == 1 and sorted(p.name for p in tmp_path.iterdir()) == [
        "other.state",
        "run.state",
    ]
    again = train.fit(net(), d, "standard", r, state=state).last
    assert all(map(torch.equal, whole.state_dict().values(), again.state_dict().values()))


def test_a_checkpoint_that_does_not_fit_on_the_disk_leaves_the_old_one(tmp_path, small_disk):
    path = tmp_path / "net.safetensors"
    store.save_checkpoint(path, networks.build("digits_student"), network="digits_student")
    before = path.read_bytes()
    small_disk(len(before) // 2)
    with pytest.raises(OSError, match="File too large|No space left"):
        store.save_checkpoint(path, networks.build("digits_student"), network="digits_student")
    small_disk(None)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
    store.load_checkpoint(path)
