"""Networks of a reader's own on the command line: typed as module:maker, never read from a file."""

import itertools
import re
import shutil
import sys

import pytest
import torch
from test_own import pictures
from torch import nn

from rsnl_lib import data, networks, store
from rsnl_lib.__main__ import main
from rsnl_lib.commands import verify
from rsnl_lib.env import CHECKPOINTS, ROOT
from rsnl_lib.networks import makers

NUMBERS = itertools.count()
SOURCE = """
import torch
from torch import nn

def dense(classes, width=3):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, classes))

def teacher(channels, classes):
    first = nn.Conv2d(channels, 4, 3)
    return nn.Sequential(first, nn.ReLU(), nn.Flatten(), nn.Linear(144, classes))

def fixed():
    return dense(2)

def lazy(num_classes):
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(num_classes))

class Net(nn.Linear):
    def __init__(self, in_chans=1, num_classes=2):
        super().__init__(64 * in_chans, num_classes)
    def forward(self, x):
        return super().forward(x.flatten(1))

ONE = dense(2)
def same():
    return ONE

def ten():
    return dense(10)

def deep():
    return nn.Sequential(nn.Conv2d(3, 2, 3))

class Odd(Net):
    def forward(self, x):
        return {"logits": super().forward(x)}

def text():
    return "a network"

def name_it(model_name):
    return dense(2)

def wrong():
    return undefined(2)

def normed(classes):
    first = nn.Conv2d(1, 4, 3, 2)
    return nn.Sequential(first, nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(36, classes))

def rested(classes):
    net = normed(classes)
    net[1].eval()
    return net
"""


@pytest.fixture
def nets(tmp_path, monkeypatch):
    """The name of a module in the folder where one stands, beside the pictures "own"."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RSNL_DATA", str(tmp_path / "downloads"))
    monkeypatch.setattr(makers, "MAKERS", {})
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    pictures(tmp_path / "own")
    name = f"nets{next(NUMBERS)}"  # Python reads a module of one name once
    (tmp_path / f"{name}.py").write_text(SOURCE)
    return name


def rsnl(*words):
    makers.MAKERS.clear()  # each call of the command line begins with none
    main([str(word) for word in words])


def train(network, *more, method="standard"):
    options = ("--folder", "downloads", "--out", "nets", "--rows", "rows/own.csv", "--draws", "1")
    own = () if "--set" in more else ("--set", "epochs=1")
    rsnl(
        "train", "--dataset", "own", "--network", network, "--method", method, *own, *options, *more
    )


def made(here, what):
    """The one checkpoint in nets/ that has `what` in its name."""
    (path,) = (p for p in here.glob(f"nets/*{what}*") if not p.stem.endswith(".best"))
    return path


@pytest.mark.parametrize("maker", ["dense", "teacher", "fixed", "lazy", "Net"])
def test_a_maker_is_called_as_its_signature_allows(nets, tmp_path, maker):
    train(f"{nets}:{maker}")
    path = made(tmp_path, maker)
    assert path.name == f"own-{nets}.{maker}-standard-short-s0-epochs=1.safetensors"
    net, head = store.load_checkpoint(path)
    assert head["network"] == f"{nets}.{maker}" and head["shape"] == "1x8x8"
    with torch.no_grad():
        assert net(data.load("own").x_test).shape[1] == 2
    rows = store.lines("rows/own.csv")
    assert {r["network"] for r in rows} == {f"{nets}.{maker}"}


def test_a_start_is_the_makers_own_and_the_same_for_every_method(nets):
    name, d = networks.typed(f"{nets}:dense"), data.load("own")
    first, again, other = (networks.start(name, d, seed) for seed in (0, 0, 1))
    torch.manual_seed(0)
    want = sys.modules[nets].dense(2)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), want.parameters()))
    assert torch.equal(first[1].weight, again[1].weight)
    assert not torch.equal(first[1].weight, other[1].weight)


@pytest.mark.parametrize(
    "maker, came, remedy",
    [
        ("ten", r"answers \(2, 10\) to two images of shape \(1, 8, 8\)", r"logits \(2, 2\)"),
        ("deep", r"does not take images of shape \(1, 8, 8\): RuntimeError", "mend it"),
        ("Odd", "answers a dict", r"logits \(2, 2\)"),
        ("text", "returns a str", "an nn.Module"),
        ("name_it", "wants 'model_name'", "give model_name a default"),
        ("wrong", r"makes no network: NameError: .*nets\d+.py, line 45\)", "mend it"),
    ],
)
def test_what_is_no_network_for_the_images_is_said_before_the_work(
    nets, tmp_path, maker, came, remedy
):
    with pytest.raises(SystemExit, match=f"^rsnl: {nets}:{maker} {came}.*{remedy}"):
        train(f"{nets}:{maker}")
    assert not (tmp_path / "nets").exists() and not (tmp_path / "rows").exists()


def test_a_module_that_fails_is_said_with_its_line(nets, tmp_path):
    (tmp_path / f"{nets}_bad.py").write_text("import torch\n1 / 0\n")
    with pytest.raises(
        SystemExit, match=r"cannot be imported: ZeroDivisionError.*_bad.py, line 2\)"
    ):
        train(f"{nets}_bad:make")
    (tmp_path / f"{nets}_ends.py").write_text("raise SystemExit(0)\n")
    with pytest.raises(SystemExit, match="cannot be imported: SystemExit"):
        train(f"{nets}_ends:make")
    (tmp_path / f"{nets}_needs.py").write_text("import no_such_package\n")
    with pytest.raises(SystemExit, match="No module named 'no_such_package'.*_needs.py, line 1"):
        train(f"{nets}_needs:make")


def test_one_network_twice_is_refused(nets):
    """Student and teacher would share their weights."""
    name = networks.typed(f"{nets}:same")
    networks.build(name, 2, (1, 8, 8))
    with pytest.raises(ValueError, match=f"{nets}:same returns one network again; .*new one"):
        networks.build(name, 2, (1, 8, 8))


def test_a_name_in_a_file_imports_nothing(nets, tmp_path):
    (tmp_path / "trap.py").write_text("open('sprung', 'w')\nmake = None\n")
    head = {"network": "trap.make", "classes": 2, "shape": "1x8x8", "dataset": "own", "seed": 0}
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    store.save_checkpoint("t.safetensors", net, **head, method="kd", recipe="short")
    said = "t.safetensors: .*trap:make, which was not typed here; add --network trap:make"
    for command in ("sweep", "margins", "attack", "ladder", "similarity", "slopes"):
        with pytest.raises(SystemExit, match=said):
            rsnl(command, "t.safetensors", "--rows", "r.csv")
        with pytest.raises(SystemExit, match=said):
            rsnl(command, "t.safetensors", "--rows", "r.csv", "--network", f"{nets}:dense")
    assert "trap" not in sys.modules and not (tmp_path / "sprung").exists()


def test_another_maker_than_the_files_is_refused(nets, tmp_path):
    train(f"{nets}:dense")
    path = made(tmp_path, "dense")
    train(f"{nets}:Net", "--seed", "1")
    other = made(tmp_path, "Net")
    student = ("--teacher", path, "--teacher-network", f"{nets}:Net")
    with pytest.raises(SystemExit, match=f"{nets}:dense, which was not typed.*--teacher-network"):
        train(f"{nets}:Net", *student[:2], method="kd")
    with pytest.raises(SystemExit, match=f"is a {nets}.dense, --teacher-network says {nets}.Net"):
        train(f"{nets}:dense", *student, method="kd")
    both = ("--network", f"{nets}:Net", "--teacher-network", f"{nets}:fixed")
    with pytest.raises(SystemExit, match=f"{nets}:dense, which was not typed"):
        rsnl("similarity", other, "--teacher", path, *both, "--rows", "s.csv")
    (tmp_path / f"{nets}b.py").write_text("from torch import nn\ndef dense(): return nn.Flatten()")
    shutil.copy(path, "copy.safetensors")
    with pytest.raises(SystemExit, match=r"copy.safetensors: .*:dense answers \(2, 64\)"):
        sys.modules[nets].dense = nn.Flatten
        rsnl("sweep", "copy.safetensors", "--network", f"{nets}:dense", "--rows", "s.csv")


def test_a_folder_without_a_network_says_what_to_type(nets):
    said = "own has no networks of its own; name one of rsnl's .*--network nets:student for"
    with pytest.raises(SystemExit, match=said):
        rsnl("train", "--dataset", "own")


def test_a_start_of_rsnls_own_is_not_laid_over_a_makers(nets):
    with pytest.raises(
        SystemExit, match="init='lsuv' starts rsnl's own networks.*leave --init out"
    ):
        train(f"{nets}:dense", "--init", "lsuv")


def test_a_name_too_long_for_a_file_is_said_before_the_work(nets, tmp_path):
    with open(f"{nets}.py", "a") as f:
        f.write(f"\n{'long' * 50} = dense\n")
    with pytest.raises(SystemExit, match="too long for a file's name; give networks shorter"):
        train(f"{nets}:{'long' * 50}")
    assert not (tmp_path / "nets").exists()


def test_checkpoints_of_two_data_sets_by_one_maker_have_two_names():
    from rsnl_lib.study.jobs import Job

    names = {Job(d, "kd", "cifar10_pixels.make").path() for d in ("cifar10", "cifar10_pixels")}
    assert len(names) == 2
    own = Job("pics", "kd", "nets.mobile", teacher_network="nets.resnet18").path("nets")
    assert f"rsnl sweep {own} --network" in (ROOT / "CONTRIBUTING.md").read_text()
    assert Job("digits", "kd", "own.my_student").teacher().net == "digits_teacher"


def test_a_study_of_own_networks_and_pictures_by_commands_alone(nets, tmp_path, capsys):
    pytest.importorskip("art", reason="no adversarial-robustness-toolbox")
    student, teacher = f"{nets}:dense", f"{nets}:teacher"
    train(teacher, "--set", "epochs=2", method="teacher")
    place = made(tmp_path, "teacher-teacher")
    guide = ("--teacher", place, "--teacher-network", teacher)
    for method in ("kd", "robust"):
        train(student, *guide, method=method)
    kd, robust = (made(tmp_path, f"dense-{m}") for m in ("kd", "robust"))
    assert kd.stem == f"own-{nets}.dense-kd-short-s0-epochs=1-by-{place.stem}"
    who = ("--network", student, "--teacher-network", teacher, "--folder", "downloads")
    trained = store.lines("rows/own.csv")
    assert {r["teacher"] for r in trained if r["method"] == "robust"} == {
        f"{nets}.teacher epochs=2"
    }
    capsys.readouterr()
    rsnl("sweep", kd, "--rows", "rows/own.csv", "--draws", "1", *who)
    assert "nothing new" in capsys.readouterr().out
    rsnl("sweep", kd, robust, place, "--rows", "new/r.csv", "--draws", "1", *who)
    told = [{k: v for k, v in r.items() if k != "date"} for r in store.lines("new/r.csv")]
    assert sorted(map(str, told)) == sorted(
        str({k: v for k, v in r.items() if k != "date"}) for r in trained
    )
    assert re.search(r": clean \S+%, gaussian 1 dB \S+%, gaussian 1 ratio", capsys.readouterr().out)
    assert (tmp_path / "new/own.pictures").is_file()
    few = ("--images", "4", "--rows")
    rsnl("attack", kd, "--epsilon", "0.1", *few, "a/attacks.csv", *who)
    rows = store.lines("a/attacks.csv")
    assert [(r["perturbation"], float(r["level"])) for r in rows] == [("pgd", 0.1), ("pgd", 1.0)]
    rsnl("margins", kd, robust, *few, "m/margins.csv", "--restarts", "1", "--steps", "2", *who)
    rsnl("margins", kd, *few, "m/margins.csv", "--restarts", "1", "--steps", "2", *who)
    rsnl("similarity", kd, robust, *few, "m/similarity.csv", *who)
    assert {r["network"] for r in store.lines("m/margins.csv")} == {f"{nets}.dense"}
    assert not list(tmp_path.glob("downloads/runs/*"))


def test_a_notebook_names_a_maker_too(nets, capsys):
    from rsnl_lib.workbook import chapter

    net = chapter.load_or_train("digits", "standard", 0, "smoke", network=f"{nets}:ten", epochs=1)
    assert type(net[1]) is nn.Linear and "trained here" in capsys.readouterr().out


def test_batch_norms_at_rest_let_a_chapter_train_on_input_gradients(nets):
    from rsnl_lib.workbook import chapter

    teacher = networks.build("digits_mlp_teacher").eval()
    ask = lambda maker: chapter.load_or_train(
        "digits", "robust", 0, "smoke", teacher=teacher, network=f"{nets}:{maker}", epochs=1
    )
    with pytest.raises(ValueError, match="BatchNorm2d in training mode"):
        ask("normed")
    assert not ask("rested")[1].running_mean.any()


def test_verify_leaves_a_readers_own_networks_and_pictures_out(nets, tmp_path, monkeypatch, capsys):
    """They lie among the shipped checkpoints unless --out says where."""
    train(f"{nets}:dense")
    train("digits_mlp_student")
    shipped = next(CHECKPOINTS.glob("digits_mlp_teacher-teacher-*-s0.safetensors"))
    shutil.copy(shipped, tmp_path / "nets")
    monkeypatch.setattr(verify, "CHECKPOINTS", tmp_path / "nets")
    capsys.readouterr()
    rsnl("verify", "--seconds", "0.5", "--seed", "0")
    said = capsys.readouterr().out
    assert "rows measured again" in said and "own-" not in said
