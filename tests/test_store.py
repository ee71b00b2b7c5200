"""Checkpoints and rows: what is written is read, and what is damaged is named."""

import os
import pickle
import platform
import resource
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save
from torch import nn

from rsnl_lib import env, files, networks, store
from rsnl_lib.study import jobs

ROW = {c: "" for c in store.COLUMNS} | {
    "dataset": "digits",
    "method": "kd",
    "network": "digits_student",
    "recipe": "short",
    "perturbation": "gaussian",
    "unit": "dB",
    "seed": 0,
    "level": 3,
    "n": 1000,
    "correct": 977,
}


def saved(path, **header):
    net = networks.build("digits_student")
    store.save_checkpoint(
        path, net, **{"network": "digits_student", "seed": 7, "epoch": 3, **header}
    )
    return net


def test_a_checkpoint_comes_back_in_half_precision_with_its_header(tmp_path):
    net = saved(tmp_path / "new" / "a.safetensors", classes=10)
    back, header = store.load_checkpoint(tmp_path / "new" / "a.safetensors")
    assert not back.training and type(back) is nn.Sequential
    for name, value in net.state_dict().items():
        assert torch.equal(back.state_dict()[name], value.half().float()), name
    assert (
        header["network"] == "digits_student" and header["seed"] == "7" and header["epoch"] == "3"
    )
    assert all(header[k] for k in ("hardware", "torch", "commit", "date"))
    assert (tmp_path / "new" / "a.safetensors").stat().st_size < 2 * 6_600 + 4_000
    assert os.listdir(tmp_path / "new") == ["a.safetensors"]


def test_full_precision_and_a_module_of_ones_own(tmp_path):
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.BatchNorm1d(10))
    store.save_checkpoint(tmp_path / "a", net, half=False)
    with pytest.raises(ValueError, match="names no network in its header; pass the module"):
        store.load_checkpoint(tmp_path / "a")
    mine = nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.BatchNorm1d(10))
    back, _ = store.load_checkpoint(tmp_path / "a", mine)
    assert back is mine and all(
        map(torch.equal, back.state_dict().values(), net.state_dict().values())
    )


@pytest.mark.parametrize(
    "harm", ["cut in its header", "cut in its weights", "empty", "foreign", "pickle"]
)
def test_a_damaged_or_foreign_file_is_named_with_the_remedy(tmp_path, harm):
    path = tmp_path / "a.safetensors"
    saved(path)
    whole = path.read_bytes()
    path.write_bytes(
        {
            "cut in its header": whole[:50],
            "cut in its weights": whole[:-9],
            "empty": b"",
            "foreign": b"\x89PNG" * 40,
            "pickle": pickle.dumps({"w": [1.0]}),
        }[harm]
    )
    with pytest.raises(ValueError) as error:
        store.load_checkpoint(path)
    assert str(path) in str(error.value) and "delete it and train or fetch it again" in str(
        error.value
    )


def test_a_pickle_is_never_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    (tmp_path / "a").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match="no safetensors file"):
        store.load_checkpoint(tmp_path / "a")
    assert not (tmp_path / "ran").exists()


def test_a_missing_checkpoint_and_one_of_another_network_are_named(tmp_path):
    with pytest.raises(
        FileNotFoundError,
        match="no checkpoint .*a.safetensors; train it with: python -m rsnl_lib train, .*--teacher",
    ):
        store.load_checkpoint(tmp_path / "a.safetensors")
    saved(tmp_path / "b", network="digits_teacher")
    with pytest.raises(ValueError, match="/b does not fit digits_teacher"):
        store.load_checkpoint(tmp_path / "b")
    saved(tmp_path / "c", network="resnet")
    with pytest.raises(ValueError, match="network='resnet' is unknown"):
        store.load_checkpoint(tmp_path / "c")


def test_rows_are_appended_under_one_header_and_read_back_once(tmp_path):
    path = tmp_path / "new" / "rows.csv"
    store.append(path, [ROW])
    store.append(path, (dict(ROW, seed=s, settings="C1=100, x", torch='2, "x"') for s in (1, 2)))
    store.append(path, [ROW])  # the same row again
    lines = path.read_text().splitlines()
    assert len(lines) == 5 and lines[0] == ",".join(store.COLUMNS)
    rows = store.frame(path)
    assert rows["seed"].tolist() == [0, 1, 2] and rows["correct"].tolist() == [977] * 3
    assert rows["settings"].tolist() == ["", "C1=100, x", "C1=100, x"]
    assert rows["torch"].fillna("").tolist() == ["", '2, "x"', '2, "x"']
    assert len(store.frame(path, path)) == 3


@pytest.mark.parametrize(
    "rows, odd",
    [
        ([ROW, {k: v for k, v in ROW.items() if k != "seed"}], "seed"),
        ([{**ROW, "sede": 1}], "sede"),
    ],
)
def test_wrong_columns_are_refused_and_nothing_is_written(tmp_path, rows, odd):
    path = tmp_path / "rows.csv"
    with pytest.raises(
        ValueError, match=f"rows.csv lacks or adds .'{odd}'.; its columns are dataset"
    ):
        store.append(path, rows)
    assert os.listdir(tmp_path) == []


def test_a_file_of_other_columns_is_refused_and_left_as_it_was(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("epoch,loss\n1,2\n")
    with pytest.raises(
        ValueError, match="rows.csv has other columns than dataset.*name another file"
    ):
        store.append(path, [ROW])
    assert path.read_text() == "epoch,loss\n1,2\n"


def test_missing_results_are_named_with_the_remedy(tmp_path):
    with pytest.raises(FileNotFoundError, match="no results .*none.csv; make them with"):
        store.frame(tmp_path / "none.csv")


@pytest.mark.parametrize("step", ["write", "replace"])
def test_a_failed_write_leaves_the_old_checkpoint_whole_and_no_part(tmp_path, monkeypatch, step):
    path = tmp_path / "a"
    store.write(path, b"old")

    def fail(self, content, *more):
        if step == "write":
            with open(self, "wb") as f:
                f.write(content[:2])
        raise OSError("disk full")

    if step == "write":
        monkeypatch.setattr(store.pathlib.Path, "write_bytes", fail)
    else:
        monkeypatch.setattr(files.os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        store.write(path, b"new content")
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a"]


@pytest.mark.skipif(os.name != "posix", reason="processes are asked for as POSIX does")
@pytest.mark.parametrize("content", ["b'new'", "{'a': torch.ones(3)}"])
def test_what_a_killed_write_left_goes_with_the_next_write_and_nothing_else(tmp_path, content):
    kill = f"""
import os, sys, torch
from rsnl_lib import files, store
files.os.replace = lambda *_: os.kill(os.getpid(), 9)
store.write(sys.argv[1], {content})"""
    kept = tmp_path / "a[1]"
    for path in (kept, tmp_path / "b"):
        assert subprocess.run([sys.executable, "-c", kill, path], cwd=env.ROOT).returncode == -9
    left = sorted(p.name for p in tmp_path.iterdir())
    assert len(left) == 2 and all(name.endswith(".part") for name in left)
    other = [left[0].replace(platform.node()[:20], "elsewhere"), left[0].replace("a[1]", "a")]
    mine = [f".a[1].{platform.node()[:20]}.{os.getpid()}.x.part"]  # of a write that goes on
    for name in other + mine:
        (tmp_path / name).mkdir()
    store.write(kept, eval(content))
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([left[1], *other, *mine, "a[1]"])


@pytest.mark.skipif(os.name != "posix", reason="file size limits are a POSIX facility")
def test_rows_that_do_not_fit_the_disk_are_taken_back(tmp_path):
    import resource
    import signal

    path = tmp_path / "rows.csv"
    store.append(path, [ROW])
    before, old = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (len(before) + 100, old[1])
    )  # room for half a dozen cells
    try:
        with pytest.raises(OSError, match="could not be written whole"):
            store.append(path, [ROW] * 500)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == before


def test_the_command_train_keeps_checkpoint_rows_and_curves(tmp_path, capsys):
    from rsnl_lib.__main__ import main
    from rsnl_lib.data import catalogue

    main(
        [
            "train",
            "--method",
            "teacher",
            "--network",
            "digits_mlp_teacher",
            "--device",
            "cpu",
            "--seed",
            "1",
            "--draws",
            "1",
            "--set",
            "epochs=2",
            "--folder",
            str(tmp_path / "down"),
            "--out",
            str(tmp_path / "nets"),
            "--rows",
            str(tmp_path / "rows.txt"),
        ]
    )
    _, header = store.load_checkpoint(
        tmp_path / "nets" / "digits_mlp_teacher-teacher-short-s1-epochs=2.safetensors"
    )
    assert (
        header["epochs"] == "2"
        and header["train_images"] == "1000"
        and header["settings"] == "epochs=2"
    )
    rows, curves = store.frame(tmp_path / "rows.txt"), store.frame(tmp_path / "rows.txt-curves.csv")
    assert (
        len(rows) == len(catalogue.levels("digits")) + 10
        and (rows["n"][rows.perturbation != "class"] == 500).all()
        and rows["n"][rows.perturbation == "class"].sum() == 500
        and (rows["seed"] == 1).all()
    )
    assert sorted(curves["quantity"]) == ["ce"] * 2 + ["ms_per_image"] * 2 + ["val_accuracy"] * 2
    share = rows["correct"][0] / 500
    assert share > 0.5 and f"test accuracy {share:.2%}" in capsys.readouterr().out
    assert list((tmp_path / "down" / "runs").iterdir()) == []


@pytest.mark.parametrize("twice", ["again", "killed after the rows"])
def test_a_run_that_is_trained_twice_stands_once(tmp_path, monkeypatch, twice):
    """Two calls at once end as this does: the second finds the rows of the first."""
    from rsnl_lib.__main__ import main
    from rsnl_lib.commands import train as command

    words = ["train", "--method", "standard", "--network", "digits_mlp_student", "--draws", "1"]
    words += ["--set", "epochs=1", "--device", "cpu", "--folder", str(tmp_path / "down")]
    words += ["--out", str(tmp_path / "nets"), "--rows", str(tmp_path / "rows.csv")]
    if twice != "again":
        with monkeypatch.context() as patch:
            patch.setattr(command.training, "forget", lambda state: 1 / 0)
            with pytest.raises(SystemExit, match="ZeroDivisionError"):
                main(words)
    else:
        main(words)
    before = [(tmp_path / name).read_bytes() for name in ("rows.csv", "rows-curves.csv")]
    main(words)
    assert [(tmp_path / name).read_bytes() for name in ("rows.csv", "rows-curves.csv")] == before


def test_a_name_that_no_row_may_hold_is_said_before_training(tmp_path, monkeypatch):
    from rsnl_lib.study import training

    odd = training.data.load("digits")._replace(name="../<b>")
    monkeypatch.setattr(training, "training_data", lambda *a: odd)
    monkeypatch.setattr(training.train, "fit", lambda *a: pytest.fail("it began"))
    with pytest.raises(ValueError, match="tells no run: dataset='../<b>' is no plain name"):
        training.do(jobs.Job("digits", "standard", "digits_mlp_student"), tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="links")
def test_a_write_follows_no_link(tmp_path):
    other, path = tmp_path / "other", tmp_path / "a"
    other.write_bytes(b"mine")
    for link in (path, tmp_path / f".a.{os.getpid()}.part"):
        link.symlink_to(other)
    store.write(path, b"new")
    assert other.read_bytes() == b"mine" and path.read_bytes() == b"new"
    assert not path.is_symlink()


def test_shipped_rows_are_of_the_own_pair_trained_on_its_own_images(tmp_path, monkeypatch):
    base = {
        **dict.fromkeys(store.COLUMNS, "0"),
        **{"perturbation": "clean", "unit": "", "draws": "1", "n": "1", "date": ""},
        "dataset": "digits",
        "method": "kd",
        "network": "digits_student",
        "teacher": "digits_teacher",
        "recipe": "short",
        "settings": "",
        "train_noise": "",
    }
    others = (
        {"train_noise": "gaussian 10 dB"},
        {"settings": "C1=1.0"},
        {"recipe": "tau4"},
        {"network": "digits_mlp_student"},
        {"method": "robust"},
        {"teacher": "digits_teacher on gaussian 5 dB"},
        {"teacher": "digits_teacher weight_decay=0.5 seed 1"},
        {"teacher": "digits_teacher@0.5"},
        {"method": "pgd_at", "network": "digits_teacher", "teacher": ""},
    )
    rows = [
        base,
        {**base, "seed": "3", "teacher": "digits_teacher seed 0"},
        {**base, "method": "teacher", "network": "digits_teacher", "teacher": ""},
    ]
    store.append(tmp_path / "digits.csv", rows + [{**base, **other} for other in others])
    monkeypatch.setattr(jobs, "RESULTS", tmp_path)
    found = jobs.shipped("digits", ["kd", "teacher", "pgd_at"])
    assert list(zip(found.method, found.seed)) == [("kd", 0), ("kd", 3), ("teacher", 0)]


def test_everyone_holds_attacks_and_tells_whose_teacher_was_robust(tmp_path, monkeypatch):
    base = {
        **dict.fromkeys(store.COLUMNS, ""),
        "dataset": "digits",
        "network": "digits_student",
        "recipe": "short",
        "seed": 0,
        "level": 0,
        "draws": 1,
        "n": 10,
        "correct": 9,
    }
    own = [
        {**base, "method": "kd", "teacher": "digits_teacher seed 1", "perturbation": "clean"},
        {**base, "method": "kd", "teacher": "digits_teacher pgd_at", "perturbation": "clean"},
        {**base, "method": "pgd_at", "network": "digits_teacher", "perturbation": "clean"},
        {**base, "method": "pgd_at", "perturbation": "clean"},
        {
            **base,
            "method": "kd",
            "teacher": "digits_teacher on gaussian 5 dB",
            "perturbation": "clean",
        },
        {
            **base,
            "method": "robust",
            "settings": "C1=1.0",
            "teacher": "digits_teacher",
            "perturbation": "clean",
        },
    ]
    store.append(tmp_path / "digits.csv", own)
    store.append(
        tmp_path / "attacks.csv",
        [
            {**own[0], "perturbation": "pgd", "level": 0.15, "unit": "linf"},
            {**own[0], "dataset": "mnist", "network": "mnist_student"}
            | {"perturbation": "pgd", "unit": "linf"},
        ],
    )
    monkeypatch.setattr(jobs, "RESULTS", tmp_path)
    got = jobs.everyone("digits")
    assert list(got.method) == ["kd", "kd by pgd_at", "robust_teacher", "pgd_at", "kd"] and list(
        got.perturbation
    ) == ["clean"] * 4 + ["pgd"]


def test_rows_of_the_second_register_are_not_shown_as_the_firsts():
    import pandas as pd

    from rsnl_lib.study import register

    first = [
        ("mnist", "mnist_student", 0),
        ("mnist", "mnist_student", 5),
        ("mnist", "mnist_teacher", 2),
        ("digits", "digits_teacher", 4),
        ("digits", "digits_student", 13),
        ("usps", "mnist_teacher", 2),
    ]
    second = [(j.dataset, j.net, j.seed) for j in register.networks()]
    frame = pd.DataFrame(first + second, columns=["dataset", "network", "seed"])
    assert jobs.in_register(frame).tolist() == [False] * len(first) + [True] * len(second)
    shown = jobs.shipped("mnist", ["teacher", "standard", "kd", "robust"])
    assert set(shown[shown.network == "mnist_student"].seed) <= set(range(6)) and set(
        shown[shown.method == "teacher"].seed
    ) <= {0, 1, 2}


def foreign(path, header, net=None, **tensors):
    """A checkpoint that `save_checkpoint` did not write."""
    held = (net or networks.build("digits_mlp_student")).state_dict()
    path.write_bytes(save({**held, **tensors}, header))
    return path


@pytest.mark.parametrize(
    "header, said",
    [
        ({"network": "cifar_teacher@500"}, "up to 64"),
        ({"network": "cifar_teacher@60"}, "does not fit cifar_teacher@60"),
        ({"network": "mnist_student@1e9"}, "up to 64"),
        ({"network": "digits_mlp_student@1e300"}, "up to 64"),
        ({"network": "digits_mlp_student", "classes": "1000000000"}, "nine digits"),
        ({"network": "digits_mlp_student", "classes": "999999999"}, "too many; give 2 to 100000"),
        ({"network": "digits_mlp_student", "classes": "9" * 5000}, "nine digits"),
        ({"network": "digits_mlp_student", "classes": "1"}, "at least 2"),
    ],
)
def test_a_header_out_of_reason_asks_for_no_memory(tmp_path, header, said):
    path = foreign(tmp_path / "a.safetensors", header)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match="a.safetensors") as error:
        store.load_checkpoint(path)
    assert said in str(error.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB
    with pytest.raises(ValueError, match="up to 64"):
        networks.build("mnist_student@1e9")
    with pytest.raises(ValueError, match="too many"):
        networks.build("mnist_student", 10**9)


@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_tensors_that_are_not_finite_are_neither_loaded_nor_saved(tmp_path, odd):
    net = networks.build("digits_mlp_student")
    net[1].layer.bias.data[3] = odd
    path = foreign(tmp_path / "a", {"network": "digits_mlp_student"}, net)
    mine = networks.build("digits_mlp_student")
    for given in (None, mine):
        with pytest.raises(ValueError, match="1.layer.bias holds NaN or infinite .* again"):
            store.load_checkpoint(path, given)
    with pytest.raises(ValueError, match="1.layer.bias of the network holds NaN"):
        store.save_checkpoint(tmp_path / "b", net)
    assert torch.isfinite(mine[1].layer.bias).all() and not (tmp_path / "b").exists()


@pytest.mark.parametrize("value", [1e5, -3e38, 1e-9])
def test_what_half_precision_does_not_hold_is_kept_in_single(tmp_path, value):
    net = networks.build("digits_mlp_student")
    net[1].layer.bias.data.fill_(value)
    store.save_checkpoint(tmp_path / "a", net, network="digits_mlp_student")
    back, _ = store.load_checkpoint(tmp_path / "a")
    assert torch.equal(back[1].layer.bias, net[1].layer.bias)
    assert torch.equal(back[1].layer.weight, net[1].layer.weight.half().float())


def test_what_single_precision_does_not_hold_is_not_saved(tmp_path):
    net = nn.Linear(2, 2).double()
    nn.init.constant_(net.weight, 1e300)
    with pytest.raises(ValueError, match="weight is too large for single precision"):
        store.save_checkpoint(tmp_path / "a", net)
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_of_another_network_leaves_ones_own_as_it_was(tmp_path):
    saved(tmp_path / "a")
    mine = networks.build("digits_student", 7)
    before = {k: v.clone() for k, v in mine.state_dict().items()}
    with pytest.raises(ValueError, match="does not fit"):
        store.load_checkpoint(tmp_path / "a", mine)
    assert all(torch.equal(v, before[k]) for k, v in mine.state_dict().items())


def test_a_negative_variance_is_refused_by_name(tmp_path):
    net = networks.build("digits_student+bn")
    name = next(k for k in net.state_dict() if k.endswith("running_var"))
    odd = {name: -torch.ones_like(net.state_dict()[name])}
    path = foreign(tmp_path / "a", {"network": "digits_student+bn"}, net, **odd)
    with pytest.raises(ValueError, match=f"{name} of the network in .*a is negative"):
        store.load_checkpoint(path)


def test_a_checkpoint_that_lacks_a_tensor_is_refused_by_its_name(tmp_path):
    net = networks.build("digits_mlp_student")
    tensors = {k: v for k, v in net.state_dict().items() if k != "1.layer.bias"}
    (tmp_path / "a").write_bytes(save(tensors, {"network": "digits_mlp_student"}))
    with pytest.raises(ValueError, match="a does not fit digits_mlp_student"):
        store.load_checkpoint(tmp_path / "a")
