"""What a notebook's parameters may be, and what is said of those that may not."""

import math
import os
import re
import subprocess
import sys

import pytest
import torch

from rsnl_lib import env, train
from rsnl_lib import env as env_
from rsnl_lib.workbook import chapter

GOOD = {
    "profile": "read",
    "dataset": "digits",
    "seed": 3,
    "epochs": 0,
    "tau": 3.0,
    "gamma": 0,
    "C1": 10,
    "C2": 1.5,
    "snr": -2,
    "device": "cpu",
}


def test_right_parameters_are_accepted_and_printed_in_one_line(capsys):
    cells = [
        "",
        "import torch\ntaau = 3",
        "# Parameters\ntau = 4.0\nseed = 1\n",
    ]  # papermill's cell is the last
    chapter.parameters({**GOOD, "In": cells, "torch": torch, "helper": 1}, **GOOD)
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and "profile read · dataset digits · seed 3" in said


def test_the_seed_makes_the_run_repeatable():
    drawn = []
    for seed in (3, 3, 4):
        chapter.parameters({}, seed=seed)
        drawn.append(torch.rand(1).item())
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize(
    "name, value", [("taau", 4.0), ("profil", "full"), ("Seed", 1), ("fast", True), ("levels", [1])]
)
def test_a_misspelt_injected_name_is_refused_with_the_right_ones(name, value):
    with pytest.raises(ValueError) as error:
        chapter.parameters(
            {**GOOD, name: value, "In": ["", f"# Parameters\nseed = 1\n{name} = {value!r}\n"]},
            **GOOD,
        )
    assert f"unknown parameter {name!r}" in str(error.value) and "profile, dataset, seed" in str(
        error.value
    )


@pytest.mark.parametrize(
    "name, value, remedy",
    [
        ("profile", "fast", "choose one of: read, smoke, full"),
        ("dataset", "cifar", "choose one of: digits, mnist"),
        ("seed", -1, "whole number of at least 0"),
        ("seed", 1.5, "whole number"),
        ("seed", "1", "whole number"),
        ("seed", True, "whole number"),
        ("epochs", -3, "whole number of at least 0"),
        ("epochs", 2.0, "whole number"),
        ("tau", 0, "above zero"),
        ("tau", math.nan, "above zero"),
        ("tau", "3", "above zero"),
        ("tau", None, "above zero"),
        ("gamma", -0.1, "zero or a finite number above it"),
        ("C1", math.inf, "zero or"),
        ("C1", False, "zero or"),
        ("C2", "much", "zero or a finite number"),
        ("snr", math.inf, "a finite number"),
        ("snr", "9", "a finite number"),
        ("device", "tpu", "choose one of: cpu, cuda"),
    ],
)
def test_each_bad_value_is_named_with_what_is_allowed(name, value, remedy):
    with pytest.raises(ValueError) as error:
        chapter.parameters({}, **{**GOOD, name: value})
    assert f"{name}={value!r}" in str(error.value) and remedy in str(error.value)


def test_without_a_gpu_cuda_is_refused_and_auto_is_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert env.device("auto") == torch.device("cpu")
    with pytest.raises(
        ValueError, match="device='cuda': torch sees no GPU here; use 'cpu' or 'auto'"
    ):
        env.device("cuda")


def test_data_folder_is_the_argument_else_the_variable_else_in_the_project(monkeypatch, tmp_path):
    monkeypatch.setenv("RSNL_DATA", str(tmp_path))
    assert env.data_folder("here").name == "here" and env.data_folder() == tmp_path
    monkeypatch.delenv("RSNL_DATA")
    assert env.data_folder() == env.ROOT / "data" / "downloads"


def test_outside_git_the_commit_is_unknown(monkeypatch, tmp_path):
    monkeypatch.setattr(env, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert env.commit() == "unknown"


@pytest.mark.parametrize(
    "words, said",
    [
        (["--set", "C1"], "--set 'C1' is no setting; write KEY=VALUE, such as C1=100"),
        (["--set", "C1=much"], "--set 'C1=much' is no setting"),
        (["--set", "C3=1"], "KEY one of: epochs, optimiser"),
        (["--set", "tau_squared=yes"], "--set 'tau_squared=yes' is no setting"),
        (["--set", "tau=0"], "tau=0.0 must be a finite number above zero"),
        (["--method", "robst"], "method='robst' is unknown; choose one of: teacher"),
        (["--draws", "0"], "draws=0 must be"),
        (["--recipe", "long"], "recipe='long' is unknown; choose one of: short, paper, tau4"),
        (["--method", "kd", "--seed", "987", "--teacher-seed", "987"], "no checkpoint"),
    ],
)
def test_the_command_line_says_what_is_wrong_in_one_line(words, said):
    from rsnl_lib.__main__ import main

    with pytest.raises(SystemExit) as stop:
        main(["train", "--device", "cpu", *words])
    assert (
        str(stop.value).startswith("rsnl: ")
        and said in str(stop.value)
        and "\n" not in str(stop.value)
    )


def test_the_help_loads_no_torch():
    code = "import sys; sys.modules['torch'] = None; from rsnl_lib.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "--help"], capture_output=True, text=True, cwd=env_.ROOT
    )
    assert done.returncode == 0 and "reproduce" in done.stdout, done.stderr


def test_a_setting_of_another_method_is_refused_with_the_methods_own(capsys):
    from rsnl_lib.__main__ import main

    with pytest.raises(ValueError, match="method='kd' has no C1; its own: none"):
        train.recipe("short", "digits", "kd", C1=1.0)
    with pytest.raises(ValueError, match="method='iad' has no C1; .*beta, begin"):
        train.recipe("short", "digits", "iad", C1=1.0)
    assert train.recipe("short", "digits", "kd") == train.recipe("short", "digits", "robust")
    with pytest.raises(SystemExit) as stop:
        main(["train", "--help"])
    said = capsys.readouterr().out
    assert stop.value.code == 0 and all(f"\n  {m} (" in said for m in train.METHODS)
    beta = re.findall(r"^    beta=(\S+) +(.*)", said, re.M)
    assert [v for v, _ in beta] == ["6.0", "0.1", "1.0"] and len({words for _, words in beta}) == 3


def test_training_needs_only_torch_numpy_safetensors_and_tqdm():
    """A machine with a GPU and little else trains from the bare tree."""
    absent = "sklearn matplotlib seaborn ipywidgets IPython pandas PIL torchvision".split()
    absent.append("packaging")
    code = f"""
import sys
sys.modules.update(dict.fromkeys({absent}))
import torch
from rsnl_lib import __main__, networks, train
from rsnl_lib.data import Data
from rsnl_lib.measure import evaluate
x, y = torch.rand(64, 1, 8, 8), torch.arange(64) % 10
d = Data("digits", 10, x, y, x, y, x, y)
run = train.fit(networks.start("digits_student", d), d, "standard", train.recipe("short", epochs=2))
print(len(run.history), len(evaluate.sweep({{"s": run.last}}, x, y, [("gaussian", 3, "dB")])))
__main__.main(["reproduce", "--missing", "--device", "cpu"])
"""
    env = {k: v for k, v in os.environ.items() if k != "TQDM_DISABLE"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=env_.ROOT, env=env
    )
    assert done.returncode == 0, done.stderr[-1500:]
    lines = done.stdout.splitlines()
    assert "ms_per_image" in done.stderr and "2 1" in lines and lines[-1].endswith("of 180 cells")


@pytest.mark.parametrize("threads", ["0", "two", "-1", "4.5", "99999999999", ""])
def test_a_number_of_threads_that_is_none_is_refused_in_words(threads, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    with pytest.raises(ValueError, match="OMP_NUM_THREADS=.* is no number of threads; set it to 1"):
        chapter.parameters({}, seed=0)
