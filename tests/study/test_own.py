"""A reader's own pictures from folder to rows: whose they are is never mixed up."""

import os
import pathlib
import shutil

import numpy as np
import pytest
from PIL import Image

from rsnl_lib import data, store
from rsnl_lib.__main__ import main
from rsnl_lib.data import catalogue
from rsnl_lib.study import training
from rsnl_lib.study.jobs import Job
from rsnl_lib.train import recipe


def pictures(path, start=0, side=8, count=6):
    """Two classes of grey noise, other pictures for another `start`."""
    for label, name in enumerate("ab"):
        (path / name).mkdir(parents=True)
        for i in range(count):
            noise = np.random.default_rng([start, label, i]).integers(0, 255, (side, side))
            Image.fromarray(noise.astype(np.uint8)).save(path / name / f"{i}.png")
    return path


def train(dataset, *more, rows="rows/own.csv"):
    options = {"--dataset": dataset, "--network": "digits_mlp_student", "--set": "epochs=1"}
    options |= {"--folder": "downloads", "--out": "nets", "--rows": rows}
    options |= dict(zip(more[::2], more[1::2]))
    main(["train", *(word for option in options.items() for word in option)])


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RSNL_DATA", str(tmp_path / "downloads"))
    return tmp_path


def everything():
    files = (p for p in pathlib.Path().rglob("*") if p.is_file() and p.suffix != ".png")
    return {str(p): p.read_bytes() for p in files}


def test_two_folders_of_one_name_share_neither_checkpoint_nor_rows(here, capsys):
    pictures(here / "own")
    pictures(here / "b" / "own", 1)
    train("own")
    before = everything()
    with pytest.raises(SystemExit, match="rows of other pictures in a folder 'own'; rename"):
        train("b/own")
    assert everything() == before
    with pytest.raises(SystemExit, match="nets/own-.*is not of the pictures in this folder 'own'"):
        train("b/own", rows="other/own.csv")
    assert everything() == before
    train("b/own", "--out", "elsewhere", rows="other/own.csv")
    held = [store.load_checkpoint(p)[1]["pictures"] for p in here.glob("*/own-*-s0-epochs=1.safe*")]
    assert len(held) == len(set(held)) == 2


def test_of_an_old_checkpoint_only_the_header_is_read(here, monkeypatch):
    pictures(here / "own")
    train("own")
    (path,) = here.glob("nets/*epochs=1.safetensors")
    d, read = data.load("own"), []
    monkeypatch.setattr(store, "load_checkpoint", lambda *args, **how: read.append(args))
    monkeypatch.setattr(training.train, "fit", stop)
    job = Job("own", "standard", "digits_mlp_student", "short", "epochs=1")
    with pytest.raises(InterruptedError):
        training.do(job, here / "nets", here / "downloads")
    assert read == [] and store.read_header(path)["pictures"] == d.pictures
    path.write_bytes(path.read_bytes()[:99])
    with pytest.raises(ValueError, match="damaged or no safetensors file"):
        store.read_header(path)


def stop(*args, **how):
    raise InterruptedError


def test_the_same_pictures_by_another_way_are_the_same_data_set(here, monkeypatch):
    pictures(here / "own")
    shutil.copytree(here / "own", here / "copy" / "own")
    train("own")
    train("./own/", "--seed", "1")
    train("copy/own", "--seed", "2")
    monkeypatch.chdir(here / "own")
    out = ("--out", str(here / "nets"), "--folder", str(here / "downloads"))
    train(".", *out, "--seed", "3", rows=str(here / "rows/own.csv"))
    rows = store.lines(here / "rows/own.csv")
    assert {r["dataset"] for r in rows} == {"own"} and {r["seed"] for r in rows} == set("0123")
    assert len(list((here / "nets").glob("own-digits_mlp_student-*.safetensors"))) == 8


def test_changed_pictures_are_another_data_set(here):
    pictures(here / "own")
    first = data.load("own")
    os.rename("own/a/0.png", "own/a/renamed.png")
    assert data.load("own").pictures == first.pictures != ""
    train("own")
    Image.new("L", (8, 8), 77).save("own/a/more.png")
    assert data.load("own").pictures != first.pictures
    with pytest.raises(SystemExit, match="rows of other pictures"):
        train("own", "--seed", "1")


def test_rows_that_do_not_say_of_which_pictures_are_not_joined(here):
    pictures(here / "own")
    train("own")
    (here / "rows/own.pictures").unlink()
    with pytest.raises(SystemExit, match="rows of other pictures in a folder 'own'"):
        train("own", "--seed", "1")


def test_a_teacher_of_other_pictures_guides_only_if_it_is_named(here):
    pictures(here / "own")
    pictures(here / "b" / "own", 1)
    teacher = ("--network", "digits_mlp_teacher", "--method", "teacher")
    train("own", *teacher)
    student = ("--method", "kd", "--rows", "other/own.csv")
    place = Job("own", "teacher", "digits_mlp_teacher").path("nets")
    made = place.with_stem(f"{place.stem}-epochs=1")
    made.rename(place)
    with pytest.raises(SystemExit, match="teacher.*is not of the pictures.*--teacher"):
        train("b/own", *student)
    train("b/own", *student, "--teacher", str(place))
    train("own", "--method", "kd", "--seed", "1")


def test_a_checkpoint_is_not_measured_on_other_pictures(here):
    pictures(here / "own")
    train("own", "--network", "digits_mlp_teacher", "--method", "teacher")
    (net,) = map(str, here.glob("nets/*epochs=1.safetensors"))
    few = ("--images", "2", "--restarts", "1", "--steps", "2", "--rows", "rows/margins.csv")
    main(["margins", net, *few])
    assert {r["dataset"] for r in store.lines(here / "rows/margins.csv")} == {"own"}
    before = (here / "rows/margins.csv").read_bytes()
    shutil.rmtree("own")
    pictures(here / "own", 1)
    with pytest.raises(SystemExit, match="is not of the pictures in this folder 'own'"):
        main(["margins", net, *few])
    assert (here / "rows/margins.csv").read_bytes() == before


@pytest.mark.parametrize("name", ["digits", "mnist", "Digits", "curves", "margins", "attacks"])
def test_a_folder_with_the_name_of_something_else_is_refused(here, name):
    pictures(here / name)
    said = f"the folder '.*{name}' has the name of .*; rename the folder, to my-{name} say"
    with pytest.raises(ValueError, match=said):
        data.load(f"./{name}")
    with pytest.raises(SystemExit, match=said):
        train(f"./{name}")
    with pytest.raises(ValueError, match="has the name of"):
        data.load(here / name)
    with pytest.raises(ValueError, match="has the name of"):
        data.own_folder(name)


def test_a_folder_beside_a_built_in_set_of_its_name_is_said(here):
    (here / "digits").mkdir()
    assert data.load("digits").classes == 10, "an empty folder is no data set"
    pictures(here / "digits" / "x")
    (here / "digits" / "y").mkdir()
    with pytest.raises(ValueError, match="'digits' is a built-in data set, and a folder .*rename"):
        data.load("digits")


@pytest.mark.parametrize("name", [".hidden", "two\nlines", "-o", 'a"b', "a<b>", "a\\b", "a;b"])
def test_a_folder_whose_name_cannot_name_files_is_refused(here, name):
    pictures(here / name)
    with pytest.raises(ValueError, match="cannot name files: only letters.*rename the folder"):
        data.load(os.path.join(".", name))


def test_the_root_is_no_data_set():
    with pytest.raises(ValueError, match="cannot name files"):
        catalogue.name_of("/")


@pytest.mark.parametrize("name", ["mnist", "mni", "m", "cifar", "digits"])
def test_a_folders_checkpoints_never_have_the_name_of_a_built_in_sets(name):
    """A folder "mni" with mnist_student once wrote over the shipped network of MNIST."""
    for built_in, network in (("mnist", "mnist_student"), ("digits", "digits_student")):
        if name != built_in and name not in catalogue.DATASETS:
            assert Job(name, "kd", network).path() != Job(built_in, "kd", network).path()
            assert Job(name, "kd", network).path().name.startswith(f"{name}-")


def test_the_letters_of_a_folders_name_change_no_recipe():
    for name in ("cifar10-mine", "cifar", "b/cifar10"):
        assert recipe("short", name, "pgd_at") == recipe("short", "own", "pgd_at")
    assert recipe("short", "cifar100").flip and not recipe("short", "mnist").flip


def test_a_side_is_part_of_a_run_and_what_measures_it_takes_it(here):
    pictures(here / "own", side=20)
    side = ("--side", "8")
    train("own", "--network", "digits_mlp_teacher", "--method", "teacher", *side)
    made = Job("own", "teacher", "digits_mlp_teacher", settings="epochs=1 side=8").path("nets")
    few = ("--images", "2", "--restarts", "1", "--steps", "2", "--rows", "rows/margins.csv")
    main(["margins", str(made), *few])
    made.rename(Job("own", "teacher", "digits_mlp_teacher", settings="side=8").path("nets"))
    train("own", "--method", "kd", *side)
    settings = [row["settings"] for row in store.lines(here / "rows/own.csv")]
    assert {*settings} == {"epochs=1 side=8"} and (here / "rows/margins.csv").is_file()
    with pytest.raises(SystemExit, match="rows of other pictures in a folder 'own'"):
        train("own", "--side", "9")


@pytest.mark.parametrize(
    "dataset, side, said",
    [
        ("digits", "8", "side=8 is for a folder of pictures; digits has its own"),
        ("own", "0", "side='0' must be a whole number of pixels, 1 to 9999"),
        ("own", "9999", "side=9999 is more than 25,000,000 pixels"),
    ],
)
def test_a_side_that_cannot_be_is_refused_before_the_work(here, dataset, side, said):
    pictures(here / "own")
    with pytest.raises(SystemExit, match=said):
        train(dataset, "--side", side)
    assert everything() == {}


def test_the_names_of_classes_are_shown_as_they_are(here, capsys):
    pictures(here / "own")
    for old, new in (("a", "$\\frac$ x"), ("b", "été\n")):
        (here / "own" / old).rename(here / "own" / new)
    main(["data", "own", "--folder", "downloads"])
    said = capsys.readouterr().out
    assert "per class {'$\\\\frac$ x': 4, 'été\\n': 4}" in said
    assert (here / "downloads/own.png").is_file()


def test_squares_larger_than_the_pictures_are_left_out_and_said_before_training(here, capsys):
    pictures(here / "own")
    train("own")
    said = capsys.readouterr().out
    assert "squares of 10, 12, 14 pixels are left out: images are 8 x 8" in said.splitlines()[0]
    rows = store.lines(here / "rows/own.csv")
    sides = [r["level"] for r in rows if r["perturbation"] == "occlusion"]
    assert sides == ["2", "4", "6", "8"]
    assert len(rows) == len(catalogue.needed("own")) - 3 + 2


def test_every_level_of_the_built_in_sets_fits_them():
    for name, one in catalogue.SETS.items():
        d = data.load("digits")
        d = d._replace(name=name, x_test=d.x_test.new_zeros(1, *one.shape))
        assert catalogue.fitting(d) == list(map(tuple, catalogue.needed(name)))
