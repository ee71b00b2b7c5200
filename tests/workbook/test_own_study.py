"""A reader's study in a chapter: an own folder and own networks as parameters."""

import pathlib

import numpy as np
import pytest
import torch
from PIL import Image

from rsnl_lib import data
from rsnl_lib.data import catalogue, sets
from rsnl_lib.workbook import chapter, render
from rsnl_lib.workbook.widgets import base

CLASSES = 3
MODULE = """
import torch
from torch import nn

def teacher(classes, channels):
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(512, classes)
    )

def student(classes, channels):
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(256, classes)
    )
"""
NETWORKS = {"network": "own_nets:student", "teacher_network": "own_nets:teacher"}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A folder of three classes of 20 RGB pictures, 16 x 16, beside the module of two networks."""
    place = tmp_path_factory.mktemp("study")
    (place / "own_nets.py").write_text(MODULE)
    rng = np.random.default_rng(0)
    for c in range(CLASSES):
        (place / "pics" / f"class{c}").mkdir(parents=True)
        base_ = rng.integers(0, 255, (16, 16, 3))
        for i in range(20):
            pixels = (0.8 * base_ + 0.2 * rng.integers(0, 255, base_.shape)).astype(np.uint8)
            Image.fromarray(pixels).save(place / "pics" / f"class{c}" / f"{i}.png")
    return place


@pytest.fixture
def here(study, monkeypatch):
    monkeypatch.chdir(study)
    monkeypatch.syspath_prepend(str(study))
    return study


def test_a_folder_and_networks_are_good_parameters_and_their_line_is_as_before_without(
    here, capsys
):
    chapter.parameters({}, profile="smoke", dataset="pics", **NETWORKS)
    told = "profile smoke · dataset pics · network own_nets:student · teacher_network"
    assert told in capsys.readouterr().out
    chapter.parameters({}, profile="read", dataset="mnist", network="", teacher_network="")
    assert capsys.readouterr().out == "profile read · dataset mnist\n"
    chapter.parameters({}, profile="smoke", dataset="pics", network="cifar_student1@0.25", **GUIDE)


GUIDE = {"teacher_network": "cifar_resnet8"}


@pytest.mark.parametrize(
    "used, said",
    [
        ({"dataset": "pics"}, "dataset='pics' is unknown"),  # a chapter that takes none
        ({"dataset": "pixs", **NETWORKS}, "choose one of: .*, a folder with one folder"),
        ({"dataset": 3, **NETWORKS}, "dataset=3 is unknown"),
        (
            {"dataset": "pics", "network": "", "teacher_network": ""},
            "no networks of its own; set network and teacher_network to one of rsnl's",
        ),
        ({"dataset": "pics", **NETWORKS, "teacher_network": ""}, "set teacher_network to"),
        (
            {"dataset": "pics", "profile": "read", **NETWORKS},
            "profile='read' shows what is shipped",
        ),
        ({"dataset": "mnist", "profile": "read", **NETWORKS}, "profile='read' shows what is"),
        ({"dataset": "pics", **NETWORKS, "network": "own_nets:nobody"}, "no function nobody"),
        ({"dataset": "pics", **NETWORKS, "network": "mnist_studnet"}, "'mnist_studnet' is unknown"),
        ({"dataset": "pics", **NETWORKS, "network": 3}, "network=3 must be a name"),
    ],
)
def test_what_the_chapter_cannot_study_is_refused_before_the_work(here, used, said):
    with pytest.raises(ValueError, match=said):
        chapter.parameters({}, **{"profile": "smoke", **used})


def test_first_images_are_the_gallery_or_of_each_class_of_a_folder():
    x, y = chapter.first_images("digits", sets.digits())
    assert torch.equal(x, data.gallery("digits")[0])
    own = catalogue.Data("own", 3, *(torch.rand(90, 1, 4, 4), torch.arange(90) % 3) * 3)
    x, y = chapter.first_images("own", own)
    assert y.bincount().tolist() == [13, 13, 13]
    assert torch.equal(x[13:26], own.x_test[own.y_test == 1][:13])


def test_pictures_of_the_live_figures_are_grey_or_rgb():
    grey = torch.rand(4, 4)
    assert base.grey_image(grey[None], "a") == base.grey_image(grey, "a")
    red = torch.zeros(3, 4, 4)
    red[0] = 2
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[..., 0] = 255
    assert base.grey_image(red, "a", 9) == base.img(pixels, "a", 9)


def run_chapter(name, **given):
    """Run the code of a chapter's source with these parameters; its names."""
    book = render.from_source(next(render.CHAPTER_FILES.glob(f"{name}*.py")))
    names = {}
    for cell in book.cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, f"chapter {name}", "exec"), names)
            if "parameters" in cell.metadata.get("tags", []):
                assert given.keys() <= names.keys()
                names |= given
    return names


@pytest.mark.parametrize("name", ["00", "03", "04", "05", "07"])
def test_a_chapter_studies_an_own_folder_with_own_networks(here, name, monkeypatch):
    shown = []
    monkeypatch.setattr("rsnl_lib.workbook.palette.show", lambda fig, alt: shown.append(fig))
    folder = str(pathlib.Path("pics").resolve())
    names = run_chapter(name, profile="smoke", dataset=folder, seed=1, **NETWORKS)
    nets = names.get("nets") or {m: run.last for m, run in names["runs"].items()}
    assert nets["robust"][0].weight.shape == (4, 3, 3, 3)
    assert all(net[-1].out_features == CLASSES for net in nets.values()) and shown
    assert len(nets) == {"00": 4, "03": 10, "04": 5, "05": 5, "07": 10}[name]
    own = {"03": "curves", "07": None}.get(name, "rows")  # 07 goes on with stored rows
    assert not own or set(nets) == set(names[own].method)
