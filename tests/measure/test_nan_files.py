"""The commands that measure refuse a checkpoint of NaN, and write no row."""

import pytest
import torch
from safetensors.torch import save

from rsnl_lib import __main__ as cli
from rsnl_lib import networks
from rsnl_lib.commands import common
from rsnl_lib.study import jobs

STUDENT = jobs.Job("digits", "robust", "digits_mlp_student", "tau4").path()


@pytest.mark.parametrize("command", ["margins", "attack", "ladder", "similarity", "slopes"])
@pytest.mark.parametrize("who", ["student", "teacher"])
def test_a_checkpoint_of_nan_leaves_no_row(tmp_path, command, who):
    if command == "attack" and who == "teacher":
        pytest.skip("an attack asks no teacher")
    head = {"network": f"digits_mlp_{who}", "dataset": "digits", "method": "robust"}
    head |= {"seed": "0", "recipe": "tau4", "classes": "10"}
    state = networks.build(head["network"]).state_dict()
    state = {k: torch.full_like(v, float("nan")) for k, v in state.items()}
    path = tmp_path / "a.safetensors"
    path.write_bytes(save(state, head))
    files = [path] if who == "student" else [STUDENT, "--teacher", path]
    with pytest.raises(SystemExit) as error:
        cli.main([command, *map(str, files), "--images", "3", "--rows", str(tmp_path / "r.csv")])
    assert "a.safetensors" in str(error.value) and "NaN or infinite" in str(error.value)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["../secret.safetensors", "/etc/passwd", "a/../../b"])
def test_a_teacher_named_by_a_header_lies_beside_it(tmp_path, name):
    path = tmp_path / "a.safetensors"
    with pytest.raises(ValueError, match="is no plain name"):
        common.teacher_file(path, {"teacher_file": name})
    assert common.teacher_file(path, {"teacher_file": "b"}) == tmp_path / "b"
