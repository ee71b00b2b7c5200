"""The command line: no traceback for anything a user can type or any file that one can name."""

import errno
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch

from rsnl_lib import __main__, env, files
from rsnl_lib.commands import common
from rsnl_lib.study import jobs

STUDENT = jobs.Job("digits", "robust", "digits_mlp_student", "tau4").path()
OTHER = jobs.Job("digits", "kd", "digits_mlp_student", "tau4").path()
TEACHER = jobs.Job("digits", "teacher", "digits_mlp_teacher", "tau4").path()
MNIST = jobs.Job("mnist", "teacher").path()
FILES = {"STUDENT": STUDENT, "OTHER": OTHER, "TEACHER": TEACHER, "MNIST": MNIST}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RSNL_DATA", str(tmp_path / "downloads"))
    monkeypatch.setenv("TQDM_DISABLE", "1")
    monkeypatch.setattr(common, "RESULTS", tmp_path / "results")
    (tmp_path / "file").write_bytes(b"")
    shutil.copy(STUDENT, tmp_path / "COPY")
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def say(words, capsys):
    """What `rsnl words` says as it refuses them."""
    with pytest.raises(SystemExit) as end:
        __main__.main([str(FILES.get(word, word)) for word in words.split()])
    assert end.value.code not in (0, None)
    return capsys.readouterr().err if end.value.code == 2 else str(end.value)


@pytest.mark.parametrize(
    "words, value, remedy",
    [
        ("train --set name=x", "'name=x' is no setting", "write KEY=VALUE"),
        ("train --set epochs=1 epochs=2", "epochs stands twice", "give it one value"),
        ("train --set C1=1 C1=1", "C1=1 stands twice", "name it once"),
        ("train --set C1=1 --set C1=2", "--set is given twice", "give it once"),
        ("train --seed 1 --seed 2", "--seed is given twice", "give it once"),
        ("train --seed 99999999999999999999", "is too large", "up to 1,000,000,000"),
        ("train --seed one", "'one' is no whole number", "--seed"),
        ("train --seed -1", "seed=-1", "at least 0"),
        ("train --device cpu:7", "device='cpu:7'", "not here"),
        ("train --threads 9999", "threads=9999", "1 to 1024"),
        ("train --train-snr 3", "--train-snr", "give --train-noise too"),
        ("train --train-snr nan --train-noise gaussian", "train_snr=nan", "finite"),
        ("train --teacher TEACHER", "'standard' asks no teacher", "leave --teacher out"),
        ("train --out file", "file is no folder", "name another"),
        ("train --folder file", "file is no folder", "name another"),
        ("train --rows .", "is a folder", "name a file"),
        ("networks --rows .", "is a folder", "name a file"),
        ("margins STUDENT STUDENT", "stands twice", "name it once"),
        ("margins COPY ./COPY", "COPY is named twice", "once"),
        ("margins STUDENT missing", "no checkpoint missing", "train it with"),
        ("margins STUDENT file", "file is damaged", "train or fetch it again"),
        ("margins STUDENT --sound magic", "'magic'", "choose one of"),
        ("margins STUDENT --steps 0", "steps=0", "at least 1"),
        ("attack STUDENT missing", "no checkpoint missing", "train it with"),
        ("attack STUDENT --epsilon 2", "epsilon=2.0", "give less"),
        ("sweep STUDENT missing", "no checkpoint missing", "train it with"),
        ("sweep STUDENT --draws 0", "draws=0", "at least 1"),
        ("sweep STUDENT --network digits_student", "no module:maker", "leave it out"),
        ("sweep STUDENT --network nowhere:make", "no such module in", "nets.py"),
        ("sweep STUDENT --network torch:Tensor", "none of these", "leave it out"),
        ("train --network nets.py:make", "'nets.py:make' names no maker", "no path, no .py"),
        ("train --network nets/a:make", "'nets/a:make' names no maker", "no path, no .py"),
        ("train --network nets.make", "nets:make, which was not typed", "--network nets:make"),
        ("train --network re:nothing", "has no function nothing", "write one"),
        ("similarity STUDENT OTHER --teacher missing", "no checkpoint missing", "train it"),
        ("similarity STUDENT --teacher MNIST", "mnist_teacher", "made for them"),
        ("slopes STUDENT --teacher MNIST", "mnist_teacher", "made for them"),
        ("slopes STUDENT --images 0", "images=0", "at least 1"),
        ("ladder STUDENT --teacher STUDENT", "its own teacher", "name another with --teacher"),
        ("ladder STUDENT --teacher COPY", "COPY on none of the 500", "name another teacher"),
        ("ladder STUDENT --teacher MNIST", "mnist_teacher", "made for them"),
        ("ladder STUDENT --spaces logit odds", "'odds'", "choose one of"),
        ("ladder STUDENT --sigma nan", "sigma=nan", "above zero"),
        ("reproduce --method magic", "method='magic'", "choose one of: teacher"),
        ("reproduce --also magic --missing", "method='magic'", "choose one of: teacher"),
        ("reproduce --work file", "file is no folder", "name another"),
        ("reproduce --work file --missing", "file is no folder", "name another"),
        ("reproduce --merge . --jobs 2", "--jobs has no use beside --merge", "leave one"),
        ("reproduce --for register --seeds 2", "--seeds has no use beside --for", "leave one"),
        ("reproduce --teachers 3", "--teachers 3", "needs --for register"),
        ("reproduce --gpus 1", "--gpus", "give --ray too"),
        ("reproduce --jobs 0", "jobs=0", "at least 1"),
        ("reproduce --budget soon --missing", "budget='soon'", "such as 9m"),
        ("reproduce --set C1=1 C1=2 --missing", "C1 stands twice", "one value"),
        ("data mnist --folder /proc", "/proc cannot hold", "name another folder"),
        ("data mnist --pack a --unpack b", "--pack and --unpack", "ask for one"),
        ("register --work nowhere", "nowhere is no folder", "name one"),
        ("page --out .", "is a folder", "name a file"),
        ("page --out file/page.html", "file is no folder", "name another"),
        ("verify --seconds 0", "seconds=0.0", "above zero"),
        ("train --dataset \udce9", "no text", "rename it"),
    ],
)
def test_what_cannot_be_meant_is_said_before_the_work(words, value, remedy, capsys, tmp_path):
    measured = ("sweep", "margins", "attack", "similarity", "slopes", "ladder")
    rows = "" if words.split()[0] not in measured else "r.csv"
    before = sorted(tmp_path.rglob("*"))
    said = say(words + (f" --rows {rows}" if rows else ""), capsys)
    assert value in said and remedy in said, said
    assert not re.search(r"[a-z]Error:|PosixPath| at 0x", said)
    assert [p for p in sorted(tmp_path.rglob("*")) if p.name != "downloads"] == before


def test_a_path_that_is_no_choice_is_said_as_the_user_wrote_it():
    with pytest.raises(ValueError, match="dataset='nowhere'"):
        __main__.importlib.import_module("rsnl_lib.data").load(pathlib.Path("nowhere"))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EFBIG, errno.EDQUOT])
@pytest.mark.parametrize("form", ["python", "safetensors"])
def test_a_full_disk_is_called_one(code, form, monkeypatch, tmp_path):
    def fails(*args):
        if form == "python":
            raise OSError(code, os.strerror(code))
        raise files.SafetensorError(f"I/O error: {os.strerror(code)} (os error {code})")

    monkeypatch.setattr(files, "save_file", fails)
    with pytest.raises(OSError, match="a.bin could not be written whole: the disk is full"):
        files.write(tmp_path / "a.bin", {"x": torch.zeros(1)})
    assert not list(tmp_path.glob("*a.bin*"))


def test_a_full_disk_is_called_one_by_the_commands(tmp_path):
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    done = rsnl("data", "digits", preexec_fn=limit).communicate(timeout=100)
    assert "the disk is full" in done[1] and "Traceback" not in done[1]
    assert not list((tmp_path / "downloads").glob("*digits*"))


def test_an_error_of_the_system_names_the_file_and_a_remedy():
    error = PermissionError(errno.EACCES, "Permission denied", "a.csv")
    assert files.in_words(error).startswith("a.csv: Permission denied; name a file or folder")
    assert files.in_words(OSError("our own words")) == "our own words"


def test_a_fault_of_our_own_is_one_line_too(monkeypatch, capsys):
    monkeypatch.setitem(__main__.COMMANDS, "page", ("checks.whole", "fails"))
    assert "TypeError" in say("page", capsys) and "RSNL_DEBUG=1" in say("page", capsys)
    monkeypatch.setenv("RSNL_DEBUG", "1")
    with pytest.raises(TypeError):
        __main__.main(["page"])


def rsnl(*words, **more):
    """A process that does `rsnl words`, its output as text."""
    own = {**os.environ, "PYTHONPATH": str(env.ROOT), "RSNL_ROOT": str(env.ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": own}
    heard = "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    heard += "runpy.run_module('rsnl_lib', run_name='__main__')"  # also where CI began us with &
    command = [sys.executable, "-c", heard, *words]
    return subprocess.Popen(command, **pipes, start_new_session=True, **more)


@pytest.mark.parametrize("name", __main__.COMMANDS)
def test_ctrl_c_says_stopped_and_ends_with_130(name, monkeypatch, capsys):
    def stop(args):
        raise KeyboardInterrupt

    function, *rest = __main__.COMMANDS[name]
    module, _, function = function.rpartition(".")
    place = __main__.importlib.import_module(f"rsnl_lib.{module}")
    monkeypatch.setattr(place, function, stop)
    needs = {"data": ["digits"]} | dict.fromkeys(
        ("sweep", "margins", "attack", "ladder", "similarity", "slopes"), ["x"]
    )
    with pytest.raises(SystemExit) as end:
        __main__.main([name, *needs.get(name, [])])
    assert end.value.code == 130 and "stopped" in capsys.readouterr().err


def test_a_real_ctrl_c_in_training_leaves_no_traceback(tmp_path):
    words = "train --set epochs=500 --out out --rows rows/r.csv --folder data".split()
    process = rsnl(*words)
    runs = tmp_path / "data/runs"
    for _ in range(600):
        if runs.is_dir() and list(runs.glob("*.state")):
            break
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=60)
    assert process.returncode == 130 and "stopped" in said[1] and "Traceback" not in "".join(said)


def test_a_reader_that_goes_away_is_no_traceback():
    process = rsnl("networks", "--repeats", "1")
    process.stdout.readline()
    process.stdout.close()
    said = process.stderr.read()
    assert process.wait(timeout=100) == 141 and said == ""


@pytest.mark.parametrize("words", ["reproduce --merge", "reproduce --dataset", "train --rows"])
def test_an_empty_word_is_not_taken_for_an_option_left_out(words, capsys, tmp_path):
    """An empty variable of a shell: `--merge ""` once began the whole paper."""
    before = list(tmp_path.iterdir())
    with pytest.raises(SystemExit):
        __main__.main([*words.split(), ""])
    assert "'' gives no value; write one, or leave its option out" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == before
