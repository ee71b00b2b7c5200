"""Bad words, a second table, drawn from a list of kinds that was written before any case.

The kinds, by what a user can give (at most five cases a command, function or chapter):

number      not a number; no number at all (text, None, True); a fraction for a count; out of range
size        too large for the memory, for a generator or for the machine; too small to be of use
repeated    the same word, option, file, row, column, class or picture twice
contradict  two options that cannot both be meant; one that has no use beside another
name        unknown; misspelt; empty; with separators; of something reserved
file        wrong kind; empty; cut; no text; other columns; damaged rows; a pickle
place       folder for file; file for folder; missing; no permission; a link; the file itself
tensor      wrong shape; wrong dtype; non-finite; labels out of range; empty batch; no tensor
network     another data set's; other images; other classes; another method's; no module; untrained
pictures    wrong splits: too few a class, a twin in two classes, no classes; unreadable pictures
chapter     a bad parameter of a notebook: value, name or type
twice       the same command by two processes at once
"""

import pathlib
import re
import sys
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save
from torch import nn

import run
from rsnl_lib import __main__, data, geometry, networks, rows, store, theorem, train
from rsnl_lib.commands import common
from rsnl_lib.data import perturb, whiten
from rsnl_lib.geometry import boundary
from rsnl_lib.measure import evaluate, inference, toolbox
from rsnl_lib.study import (
    campaign,
    claims,
    jobs,
    merge,
    mistakes,
    parts,
    register,
    results,
    training,
)
from rsnl_lib.train import losses, recipes
from rsnl_lib.workbook import chapter, figures, paper_tables, render, score_cache, widgets

NAN, INF = float("nan"), float("inf")
X, Y = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 10
D = data.Data("tiny", 10, X, Y, X, Y, X, Y)
R = train.Recipe("test", 1, batch=10)
A, F_S = torch.zeros(20, 10), torch.full((20,), 0.5)
STUDENT = jobs.Job("digits", "robust", "digits_mlp_student", "tau4").path()
TEACHER = jobs.Job("digits", "teacher", "digits_mlp_teacher", "tau4").path()
OTHER = jobs.Job("digits", "kd", "digits_mlp_student", "tau4").path()
SHIPPED = {
    "STUDENT": STUDENT,
    "OTHER": OTHER,
    "TEACHER": TEACHER,
    "PLAIN": jobs.Job("digits", "teacher").path(),
}
ROW = dict.fromkeys(store.COLUMNS, "") | {"dataset": "digits", "method": "kd", "recipe": "short"}
ROW |= {"network": "digits_student", "seed": 0, "perturbation": "clean", "level": 0}
ROW |= {"n": 10, "correct": 9}
PLAN = [("clean", 0, "")]


CURVES = pd.DataFrame([{"method": "kd", "epoch": 1, "quantity": "speed", "value": 1.0}])


def net(classes=10, *more):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes), *more).eval()


def fit(method="standard", made=None, d=D, r=R, teacher=None, **more):
    return train.fit(made or net(), d, method, r, teacher=teacher, **more)


FLIP = theorem.right_answer(net(), Y)


def again(source, **header):
    """A shipped checkpoint as bytes under another header."""
    told = store.load_checkpoint(source)[1]
    return save(load_file(source), told | header)


def make_files(here):
    """What the cases name, in the folder `here`: nothing of it may change."""
    (here / "file").write_bytes(b"")
    (here / "folder").mkdir()
    (here / "other.csv").write_text("epoch,loss\n1,2\n")
    (here / "plain.csv").write_text("name,size\n1,2\n")
    (here / "link.csv").symlink_to("other.csv")
    for name in ("parts/train", "parts/test", "nested/train/a", "nested/val/a"):
        (here / name).mkdir(parents=True)
    for i, name in enumerate("parts/train parts/test nested/train/a nested/val/a".split()):
        for j in range(3):
            Image.new("L", (9, 9), 20 * (3 * i + j)).save(here / name / f"{j}.png")
    Image.new("L", (20, 20), 255).save(here / "white.png")
    (here / "work/rows").mkdir(parents=True)
    (here / "work/rows/a.csv").write_text(",".join(store.COLUMNS) + "\ndigits,kd\n")
    (here / "told/mistakes").mkdir(parents=True)
    (here / "told/mistakes" / f"{register.networks([3])[0].path().stem}.npz").write_bytes(b"PK")
    (here / "foreign").write_bytes(again(SHIPPED["PLAIN"], dataset="letters"))
    (here / "recipe").write_bytes(again(STUDENT, recipe="shrt"))
    (here / "method").write_bytes(again(STUDENT, method="robst"))
    (here / "seed").write_bytes(again(STUDENT, seed="one"))
    (here / "best.best.safetensors").write_bytes(STUDENT.read_bytes())


def say(words):
    """The command line `rsnl words`."""
    given = [str(SHIPPED.get(word, word)).replace("''", "") for word in words.split()]
    __main__.main(given)


def tell(*words):
    """`python3 run.py words`, without its set-up and without starting anything."""
    sys.exit(run.main(list(words)))


# The table ---------------------------------------------------------------------------------------

CASES = []


def rsnl(kind, words, value, remedy):
    CASES.append((kind, f"rsnl {words.split()[0]}", words, lambda: say(words), value, remedy))


def task(kind, words, value, remedy):
    CASES.append((kind, "run.py", words, lambda: tell(*words.split()), value, remedy))


def bad(kind, function, what, call, value, remedy):
    CASES.append((kind, function, what, call, value, remedy))


def book(kind, number, value, remedy, **used):
    """A chapter's parameter; the notebook's other names do not matter."""
    what = " ".join(f"{k}={v!r}" for k, v in used.items())
    call = lambda: chapter.parameters({}, **used)
    CASES.append((kind, f"chapter {number}", what, call, value, remedy))


EMPTY = "leave its option out"
MEASURE = "--rows new.csv"

rsnl("name", "data mnist --folder ''", "''", EMPTY)
rsnl("place", "data mnist --unpack file", "file has no mnist.parts.json", "name the folder")
rsnl("pictures", "data parts", "test, train", "not classes")
rsnl("pictures", "data nested", "nested", "pictures")
rsnl("name", "data digits --pakc out", "--pakc", "usage: rsnl")
rsnl(
    "network",
    f"train --method kd --set epochs=1 --teacher foreign --out o --draws 1 {MEASURE}",
    "letters",
    "name a teacher of the same data set",
)
rsnl(
    "size",
    f"train --set batch=99999999999999999999 --out o {MEASURE}",
    "batch=9999",
    "at most 1000000000",
)
rsnl("name", f"train --recipe shrt --out o {MEASURE}", "'shrt'", "choose one of: short")
rsnl(
    "contradict",
    "train --set epochs=1 --draws 1 --out new.csv --rows new.csv",
    "new.csv",
    "name another",
)
rsnl("number", f"train --set C1=1e999 --out o {MEASURE}", "C1=inf", "zero or a finite number")
rsnl("number", "networks --repeats 0", "repeats=0", "at least 1")
rsnl("number", "networks --threads 1.5", "'1.5'", "whole number")
rsnl("place", "networks --rows link.csv", "link.csv is a link", "name a file")
rsnl("file", "networks --rows other.csv", "other.csv has other columns", "name another file")
rsnl("name", "networks digits_student", "digits_student", "usage: rsnl")
rsnl("number", f"margins STUDENT --images 0 {MEASURE}", "images=0", "at least 1")
rsnl("number", f"margins STUDENT --images 1 --snr 500 {MEASURE}", "snr=500", "-200 and 200")
rsnl("file", "margins STUDENT --images 1 --rows other.csv", "other.csv", "name another file")
rsnl(
    "name",
    f"margins STUDENT recipe --teacher PLAIN --images 1 --steps 1 --restarts 1 {MEASURE}",
    "recipe='shrt'",
    "choose one of: short",
)
rsnl("number", f"margins seed --images 1 {MEASURE}", "seed='one'", "in digits")
rsnl("repeated", f"attack STUDENT --kinds pgd pgd {MEASURE}", "pgd stands twice", "name it once")
rsnl("name", f"attack STUDENT --kinds pgd20 {MEASURE}", "'pgd20'", "choose from")
rsnl("network", f"attack best.best.safetensors {MEASURE}", "best epoch", "name best.safetensors")
rsnl("name", f"attack method {MEASURE} --images 1", "method='robst'", "choose one of: teacher")
rsnl("name", f"attack '' {MEASURE}", "''", EMPTY)
rsnl("number", f"ladder STUDENT --p 3 --images 1 {MEASURE}", "'3'", "choose from")
rsnl(
    "contradict",
    f"ladder STUDENT --p inf --sound lipsdp --images 1 --steps 1 --restarts 1 {MEASURE}",
    "lipsdp",
    "p=2",
)
rsnl("repeated", f"ladder STUDENT --sound spectral spectral {MEASURE}", "spectral", "name it once")
rsnl("name", f"ladder method --teacher PLAIN --images 1 {MEASURE}", "method='robst'", "choose one")
rsnl("number", f"ladder STUDENT --sigma inf --images 1 {MEASURE}", "sigma=inf", "above zero")
rsnl("number", f"similarity STUDENT --images 0 {MEASURE}", "images=0", "at least 1")
rsnl("place", "similarity STUDENT --images 9 --rows folder", "folder is a folder", "name a file")
rsnl(
    "place",
    f"similarity STUDENT --teacher STUDENT --images 9 {MEASURE}",
    "cannot be its own teacher",
    "name another with --teacher",
)
rsnl("name", f"similarity method --teacher PLAIN --images 9 {MEASURE}", "'robst'", "choose one")
rsnl("name", f"similarity STUDENT --teacher '' --images 9 {MEASURE}", "''", EMPTY)
rsnl("name", "reproduce --merge ''", "''", EMPTY)
rsnl("name", "reproduce --missing --budget ''", "''", EMPTY)
rsnl("number", "reproduce --missing --draws 0", "draws=0", "at least 1")
rsnl(
    "network",
    "reproduce --missing --network mnist_student --dataset cifar10",
    "mnist_student",
    "made for them",
)
rsnl("place", "reproduce --merge folder", "folder holds no", "name the folder that a campaign")
rsnl("place", "register --work file", "file is no folder", "name one")
rsnl("file", "register --work work", "a.csv", "delete that row")
rsnl("file", "register --work told", ".npz", "measure the network again")
rsnl("repeated", "register --work folder folder", "folder stands twice", "name it once")
rsnl("name", "register --teachers 3", "--teachers", "usage: rsnl")
rsnl("number", "verify --seconds nan", "seconds=nan", "above zero")
rsnl("number", "verify --seed 1.5 --seconds 0", "'1.5'", "whole number")
rsnl("contradict", "verify --all --seconds 5", "--seconds", "leave one of them out")
rsnl("number", "verify --seed -1 --seconds 0.001", "seed=-1", "at least 0")
rsnl("size", "verify --threads 5000 --seconds 0", "threads=5000", "1 to 1024")
rsnl("name", "page --out ''", "''", EMPTY)
rsnl("file", "page --out other.csv", "other.csv", "ends in .html")
rsnl("place", "page --out folder", "folder is a folder", "name a file")
rsnl("place", "page --out link.csv/a.html", "link.csv is no folder", "name another")
rsnl("name", "paeg", "'paeg'", "choose from")

task("name", "rendr 05", "'rendr'", "choose one of: demo, test")
task("name", "demo --nolab", "'--nolab'", "--no-lab")
task("name", "", "no task", "choose one of: demo, test")
task("name", "Test -x", "'Test'", "choose one of: demo, test")
bad("name", "render.chosen", "99", lambda: render.chosen(["99"]), "'99'", "choose from: 00_start")
bad(
    "file",
    "render.take_back",
    "a source without its notebook",
    lambda: render.take_back(pathlib.Path("99_mine.py")),
    "no 99_mine.ipynb",
    "run: python3 run.py render 99",
)

book("name", "01", "method='robst'", "choose one of: teacher", method="robst")
book("number", "01", "images=0", "at least 1", images=0)
book("number", "02", "lam=-1", "zero or a finite number above it", lam=-1)
book("number", "02", "lam='4'", "zero or a finite number above it", lam="4")
book("file", "03", "other.csv", "name another file", rows="other.csv")
book("place", "03", "folder is a folder", "name a file", rows="folder")
book("number", "04", "images=-5", "at least 1", images=-5)
book("number", "04", "images=2.5", "whole number", images=2.5)
book("file", "05", "other.csv", "PNG or JPEG", picture="other.csv")
book("number", "05", "5 is no picture", "PNG or JPEG", picture=5)
book("name", "06", "method=None", "choose one of: teacher", method=None)
book("number", "07", "epsilon=0", "above zero", epsilon=0)
book("number", "07", "steps=0", "at least 1", steps=0)
book("size", "07", "steps=10000000000", "at most 1000000000", steps=10**10)
book("number", "08", "image=-1", "at least 0", image=-1)
book("size", "08", "image=40", "at most 39", image=40)
book("place", "03", "rows=0", "name of a file", rows=0)
book("name", "09", "seed='0'", "at least 0", seed="0")
bad(
    "chapter",
    "chapter.load_or_train",
    "seed as a text",
    lambda: chapter.load_or_train("digits", "kd", "0"),
    "seed='0'",
    "at least 0",
)
bad(
    "chapter",
    "chapter.load_or_train",
    "plan misspelt",
    lambda: chapter.load_or_train("digits", "kd", plan="shrt"),
    "'shrt'",
    "choose one of: short",
)
bad(
    "chapter",
    "chapter.load_or_train",
    "teacher by its name",
    lambda: chapter.load_or_train("digits", "kd", 0, "smoke", D, "t", "digits_student"),
    "the teacher is a str",
    "give an nn.Module",
)

bad("name", "data.load", "device", lambda: data.load("digits", None, "tpu"), "'tpu'", "choose one")
bad(
    "size",
    "data.own_folder",
    "side",
    lambda: data.own_folder("parts", 10**6),
    "side=1000000",
    "make it smaller",
)
bad("number", "data.own_folder", "text", lambda: data.own_folder("parts", "8"), "side='8'", "whole")
bad("number", "data.gallery", "text", lambda: data.gallery("digits", "40"), "count='40'", "whole")
bad("name", "data.gallery", "a path", lambda: data.gallery("../x"), "'../x'", "choose one of")
bad("file", "data.own_picture", "no bytes", lambda: data.own_picture(b""), "0 bytes", "give a PNG")
bad(
    "pictures",
    "data.own_picture",
    "white paper",
    lambda: data.own_picture("white.png"),
    "white.png shows no ink",
    "give one of dark ink",
)
bad(
    "size",
    "data.own_picture",
    "a million pixels wide",
    lambda: data.own_picture("parts/train/1.png", 10**6),
    "size=1000000",
    "at most 5000",
)
bad("name", "data.files", "a folder", lambda: data.files("parts"), "'parts'", "choose one of")
bad(
    "number",
    "whiten.gcn_zca",
    "chunk 0",
    lambda: whiten.gcn_zca(X, X, "z", 0),
    "chunk=0",
    "at least 1",
)
bad(
    "tensor",
    "whiten.stretch",
    "no images",
    lambda: whiten.stretch(X, X[:0]),
    "x is empty",
    "no images",
)

bad("number", "perturb.random_crop", "pad", lambda: perturb.random_crop(X, -1), "pad=-1", "least 0")
bad("tensor", "perturb.random_crop", "3-D", lambda: perturb.random_crop(X[0], 1), "(1, 8", "(n, ch")
bad("number", "perturb.occlude", "at 3", lambda: perturb.occlude(X, 4, at=3), "at=3", "two whole")
bad("number", "perturb.occlude", "3 at", lambda: perturb.occlude(X, 4, at=(1, 2, 3)), "3)", "two w")
bad(
    "number",
    "perturb.gaussian",
    "a seed for a generator",
    lambda: perturb.gaussian(X, 3, 1),
    "generator=1",
    "torch.Generator",
)
bad(
    "size",
    "perturb.noisy_training_set",
    "seed",
    lambda: perturb.noisy_training_set(D, "gaussian", 3, 2**70),
    f"seed={2**70}",
    "below 2^32",
)

bad("tensor", "geometry.norm", "list", lambda: geometry.norm(X.tolist()), "list", "torch.Tensor")
bad(
    "tensor",
    "geometry.onto_ball",
    "R",
    lambda: geometry.onto_ball(X, torch.ones(3)),
    "(3,)",
    "one for each of 20",
)
bad("number", "geometry.random_in_ball", "R", lambda: geometry.random_in_ball(X, -1), "-1", "zero")
bad(
    "network",
    "geometry.input_gradient",
    "a name for a network",
    lambda: geometry.input_gradient("net", X, Y),
    "network is a str",
    "give an nn.Module",
)
bad(
    "tensor",
    "geometry.input_gradient",
    "three labels",
    lambda: geometry.input_gradient(net(), X, Y[:3]),
    "labels (3,)",
    "want (n, classes)",
)
bad(
    "tensor",
    "boundary.top_two",
    "1 class",
    lambda: boundary.top_two(A[:, :1]),
    "scores 1 classes",
    "at least 2",
)
bad(
    "number",
    "boundary.vectors",
    "chunk 0",
    lambda: boundary.vectors(net(), X, Y, 0),
    "chunk=0",
    "at least 1",
)

bad(
    "tensor", "losses.gradient_loss", "None", lambda: losses.gradient_loss(X, None), "None", "torch"
)
bad(
    "tensor", "losses.mimic_loss", "list", lambda: losses.mimic_loss(A, A.tolist()), "list", "torch"
)
bad(
    "tensor", "losses.score_loss", "0.5", lambda: losses.score_loss(0.5, 0.5, 0.1), "float", "torch"
)
bad("number", "losses.kd_loss", "lam", lambda: losses.kd_loss(A, A, Y, "1", 3.0), "lam='1'", "zero")
bad("tensor", "losses.correct", "half", lambda: losses.correct(A, Y / 2), "float32", "torch.int64")

bad(
    "number",
    "networks.build",
    "ten",
    lambda: networks.build("digits_student", "ten"),
    "classes='ten'",
    "at least 2",
)
bad(
    "contradict",
    "networks.build",
    "batch norm for no convolution",
    lambda: networks.build("digits_mlp_student+bn"),
    "'digits_mlp_student+bn'",
    "leave +bn out",
)
bad(
    "contradict",
    "networks.build",
    "batch norm for a ResNet",
    lambda: networks.build("cifar_resnet8+bn"),
    "'cifar_resnet8+bn'",
    "leave +bn out",
)
bad(
    "number",
    "networks.count",
    "a text for a shape",
    lambda: networks.count(networks.build("digits_student"), "28"),
    "shape='2'",
    "whole number of at least 1",
)
bad(
    "network",
    "networks.count",
    "name",
    lambda: networks.count("net", (1, 8, 8)),
    "str",
    "nn.Module",
)
bad(
    "size",
    "networks.start",
    "",
    lambda: networks.start("digits_student", D, 2**70),
    "seed=",
    "below 2^32",
)
bad(
    "number",
    "networks.start",
    "0",
    lambda: networks.start("digits_student", D, "0"),
    "seed='0'",
    "at least 0",
)
bad(
    "tensor",
    "networks.lsuv_",
    "other",
    lambda: networks.lsuv_(net(), X[..., 1:]),
    "(1, 8, 7)",
    "made for them",
)

bad("number", "train.recipe", "tau [3]", lambda: train.recipe(tau=[3.0]), "tau=[3.0]", "above zero")
bad(
    "size",
    "train.recipe",
    "epochs",
    lambda: train.recipe(epochs=10**12),
    "epochs=1000",
    "at most 1000000000",
)
bad("number", "train.recipe", "epochs '3'", lambda: train.recipe(epochs="3"), "'3'", "whole number")
bad("number", "recipes.changes_of", "C1", lambda: recipes.changes_of(["C1"]), "'C1'", "KEY=VALUE")
bad(
    "name",
    "train.teacher_constants",
    "unknown space",
    lambda: train.teacher_constants(net(), X, Y, 3.0, "odds"),
    "'odds'",
    "choose one of: probability",
)
bad("network", "train.accuracy", "name", lambda: train.accuracy("net", X, Y), "str", "nn.Module")
bad("tensor", "train.accuracy", "numpy", lambda: train.accuracy(net(), X.numpy(), Y), "nd", "torch")
bad("size", "train.fit", "seed", lambda: fit(seed=2**62), f"seed={2**62}", "below 2^32")
bad("name", "train.fit", "data by name", lambda: fit(d="digits"), "data are a str", "data.load")
bad(
    "pictures",
    "train.fit",
    "validation images of another size",
    lambda: fit(d=D._replace(x_val=X[..., 1:])),
    "(1, 8, 7)",
    "of one size and dtype",
)
bad(
    "pictures",
    "train.fit",
    "validation images of another dtype",
    lambda: fit(d=D._replace(x_val=X.double())),
    "torch.float64",
    "of one size and dtype",
)

bad(
    "name",
    "evaluate.sweep",
    "word",
    lambda: evaluate.sweep({"a": net()}, X, Y, "clean"),
    "'clean'",
    "(perturbation, level, unit)",
)
bad(
    "number",
    "evaluate.sweep",
    "1",
    lambda: evaluate.sweep({"a": net()}, X, Y, [("clean",)]),
    "('clean',)",
    "(perturbation, level, unit)",
)
bad(
    "number", "inference.wilson", "text", lambda: inference.wilson("5", 10), "correct='5'", "finite"
)
bad(
    "number", "inference.wilson", "of infinity", lambda: inference.wilson(1, INF), "n=inf", "finite"
)
bad(
    "number", "inference.holm_p", "1.5", lambda: inference.holm_p([1.5]), "p=1.5", "between 0 and 1"
)
bad(
    "size",
    "inference.corrected",
    "9",
    lambda: inference.corrected([[1.0] * 9]),
    "9 differences",
    "2 to 8",
)
bad(
    "tensor",
    "inference.critical_value",
    "",
    lambda: inference.critical_value([]),
    "no columns",
    "at least one",
)
bad(
    "tensor",
    "toolbox.survives",
    "pixels to 255",
    lambda: toolbox.survives(net(), X * 255, Y, 0.1),
    "outside low=0.0 and high=1.0",
    "networks.Normalised(mean, std, net)",
)

bad(
    "number",
    "theorem.smallest_flip",
    "",
    lambda: theorem.smallest_flip(FLIP, X, steps=0),
    "steps=0",
    "at least 1",
)
bad(
    "tensor",
    "theorem.smallest_flip",
    "s",
    lambda: theorem.smallest_flip(FLIP, X, seeds=X[..., 1:]),
    "(1, 8, 7)",
    "of one size",
)
bad(
    "number",
    "theorem.curvature_radius",
    "",
    lambda: theorem.curvature_radius(F_S, F_S, -1.0),
    "kappa=-1.0",
    "zero or above",
)
bad(
    "number",
    "theorem.profile_radii",
    "",
    lambda: theorem.profile_radii(F_S, F_S - torch.tensor([[0.1], [0.2]]), F_S.expand(2, 20)),
    "radii fall",
    "increasing",
)
bad(
    "number",
    "theorem.estimate_ascent",
    "",
    lambda: theorem.estimate_ascent(FLIP, X, torch.ones(1, 20), starts=-1),
    "starts=-1",
    "least 0",
)
bad(
    "tensor",
    "theorem.flip_in_plane",
    "",
    lambda: theorem.flip_in_plane(net(), net(), Y[:2]),
    "(2,)",
    "label of one image",
)
bad(
    "number",
    "theorem.sound_radii",
    "",
    lambda: theorem.sound_radii(net(), net(), X, Y, p=3),
    "p=3",
    "one of: 1",
)
bad(
    "number",
    "theorem.sound_radii",
    "parts",
    lambda: theorem.sound_radii(net(), net(), X, Y, parts=0),
    "parts=0",
    "least 1",
)
bad(
    "network",
    "theorem.operator_norm",
    "",
    lambda: theorem.operator_norm(nn.ConvTranspose2d(1, 1, 3), 2),
    "ConvTranspose2d",
    "know",
)
bad(
    "network",
    "theorem.operator_norm",
    "a name",
    lambda: theorem.operator_norm("layer", 2),
    "str",
    "know",
)
bad(
    "number",
    "theorem.sound_interval",
    "R",
    lambda: theorem.sound_interval(net(), net(), X, Y, 0.1),
    "R ()",
    "one radius for each",
)
bad(
    "number",
    "theorem.sound_lipsdp",
    "R",
    lambda: theorem.sound_lipsdp(net(), net(), X, Y, 0.1),
    "R ()",
    "one radius for each",
)
bad(
    "tensor",
    "theorem.margins",
    "dtype",
    lambda: theorem.margins(net(), net(1), X, Y, dtype=torch.int32),
    "torch.int32",
    "choose one of: torch.float32",
)
bad(
    "tensor",
    "theorem.lipschitz",
    "",
    lambda: theorem.lipschitz(net(), Y.float()),
    "torch.float32",
    "torch.int64",
)

bad("tensor", "store.write", "text", lambda: store.write("a", "text"), "str", "bytes")
bad(
    "number", "store.append", "text rows", lambda: store.append("new.csv", ["row"]), "'row'", "dict"
)
bad("file", "store.frame", "none", lambda: store.frame(), "no files", "name at least one")
bad(
    "contradict",
    "store.frame",
    "two kinds",
    lambda: store.frame("other.csv", "plain.csv"),
    "plain.csv has other columns",
    "name another",
)
bad(
    "name",
    "store.load_checkpoint",
    "device",
    lambda: store.load_checkpoint(STUDENT, device="tpu"),
    "'tpu'",
    "choose one",
)
bad(
    "place",
    "store.load_checkpoint",
    "folder",
    lambda: store.load_checkpoint("folder"),
    "folder",
    "train it with",
)

bad(
    "name",
    "register.job",
    "digits",
    lambda: register.job("digits", "kd", "", 3),
    "'digits'",
    "choose one of: mnist",
)
bad(
    "number",
    "register.networks",
    "99",
    lambda: register.networks([99]),
    "teacher=99",
    "choose one of: 3",
)
bad(
    "name",
    "claims.read_lines",
    "nowhere",
    lambda: claims.read_lines("nowhere"),
    "'nowhere'",
    "choose one of: claims",
)
bad(
    "file",
    "results.Results",
    "no columns",
    lambda: results.Results([{"dataset": "digits"}]),
    "lacks 'level'",
    "columns",
)
bad(
    "place",
    "merge.merge",
    "empty",
    lambda: merge.merge("folder", "r", "s", "t"),
    "folder holds no",
    "name the folder that a campaign",
)
bad(
    "number",
    "parts.pack",
    "size 0",
    lambda: parts.pack({"a": "other.csv"}, "o", "p", 0),
    "size=0",
    "at least 1",
)
bad(
    "name",
    "parts.pack",
    "separators",
    lambda: parts.pack({"a": "other.csv"}, "o", "../p"),
    "name='../p'",
    "rename",
)
bad(
    "tensor",
    "mistakes.save_mistakes",
    "dtype",
    lambda: mistakes.save_mistakes("m.npz", np.zeros((2, 3))),
    "float64",
    "uint8",
)
bad(
    "tensor",
    "mistakes.agreement",
    "shapes",
    lambda: mistakes.agreement(np.zeros((2, 3), np.uint8), np.zeros((2, 4), np.uint8)),
    "(2, 4)",
    "of one shape",
)
bad(
    "number",
    "mistakes.wrong_labels",
    "draws",
    lambda: mistakes.wrong_labels(net(), X, Y, PLAN[0], 0),
    "draws=0",
    "at least 1",
)
bad(
    "number",
    "training.training_data",
    "images",
    lambda: training.training_data(jobs.Job("digits", "kd", settings="images=few")),
    "images='few'",
    "whole number",
)
bad(
    "name",
    "training.training_data",
    "noise",
    lambda: training.training_data(jobs.Job("digits", "kd", train_noise="gaussian")),
    "'gaussian'",
    "gaussian 10 dB",
)

bad(
    "name",
    "paper_tables.show_table",
    "VIII",
    lambda: paper_tables.show_table("VIII", results.Results()),
    "'VIII'",
    "choose one of: I",
)
bad(
    "name",
    "score_cache.make",
    "minst",
    lambda: score_cache.make("minst"),
    "'minst'",
    "choose one of",
)
bad(
    "number",
    "figures.learning_curves",
    "unknown",
    lambda: figures.learning_curves(CURVES),
    "0 panels",
    "choose",
)
bad(
    "tensor",
    "figures.picture_grid",
    "columns",
    lambda: figures.picture_grid(X, Y, columns=0),
    "columns=0",
    "least 1",
)
bad("tensor", "figures.method_dots", "none", lambda: figures.method_dots({}), "0 panels", "choose")
bad(
    "tensor",
    "widgets.explorer",
    "labels",
    lambda: widgets.explorer({"kd": net()}, X, Y[:3]),
    "3",
    "one label",
)
bad(
    "number",
    "widgets.attacked",
    "epsilon",
    lambda: widgets.attacked({"kd": net()}, X, Y, -1),
    "epsilon=-1",
    "zero or",
)


# What is asked of each ---------------------------------------------------------------------------


def listing(folder):
    """{path: content} of everything below a folder."""
    inside = sorted(folder.rglob("*"))
    return {str(p): p.read_bytes() if p.is_file() else None for p in inside}


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    folder = tmp_path_factory.mktemp("words")
    make_files(folder)
    return folder


@pytest.fixture(autouse=True)
def elsewhere(here, monkeypatch):
    """Everything a case may write lies in the folder `here`."""
    monkeypatch.chdir(here)
    monkeypatch.setenv("RSNL_DATA", str(here / "downloads"))
    monkeypatch.setenv("TQDM_DISABLE", "1")
    for module in (common, campaign):
        monkeypatch.setattr(module, "RESULTS", here / "results")
    monkeypatch.setattr(mistakes, "MISTAKES", here / "results/mistakes")
    monkeypatch.setattr(run, "setup", lambda: None)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize(
    "call, value, remedy",
    [pytest.param(*case[3:], id=f"{case[1]}: {case[2] or 'nothing'}") for case in CASES],
)
def test_bad_words_are_refused_with_value_and_remedy_and_leave_no_file(
    call, value, remedy, here, capsys
):
    before = listing(here)
    with pytest.raises((ValueError, OSError, SystemExit)) as error:
        call()
    said = str(error.value)
    if isinstance(error.value, SystemExit) and error.value.code == 2:  # argparse's
        said = capsys.readouterr().err
    assert value in said and remedy in said, said
    assert not re.search(r"[a-z]Error:|PosixPath| at 0x|should have said", said)
    assert listing(here) == before


def test_the_table_is_wide_and_no_function_fills_it():
    each = Counter(function for _, function, *_ in CASES)
    assert len(CASES) >= 150 and max(each.values()) <= 5, each.most_common(3)
    assert len({case[1:3] for case in CASES}) == len(CASES)


# What two processes do at once, and what is not theirs --------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        "margins STUDENT --images 1 --steps 1 --restarts 1 --float32",
        "similarity STUDENT --images 9",
        "slopes STUDENT --images 9",
    ],
)
def test_a_command_of_two_processes_at_once_leaves_each_row_once(words, here, tmp_path):
    """The rows of the second come after the first has written, as where both began at once."""
    file = tmp_path / "twice.csv"
    say(f"{words} --rows {file}")
    once = file.read_bytes()
    say(f"{words} --rows {file}")
    assert file.read_bytes() == once


def test_rows_of_another_network_are_added(here, tmp_path):
    for name in ("STUDENT", "OTHER"):
        say(f"similarity {name} --images 9 --rows {tmp_path / 'rows.csv'}")
    assert len((tmp_path / "rows.csv").read_bytes().splitlines()) == 3


def test_a_row_of_the_ladder_is_the_same_whatever_its_seconds():
    row = dict.fromkeys(store.LADDER_COLUMNS, "1")
    assert rows.same_run(row) == rows.same_run({**row, "seconds": "2"})
    assert rows.same_run(row) != rows.same_run({**row, "value": "2"})


def test_a_broken_table_beside_the_rows_does_not_stop_an_attack(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(toolbox, "EPSILONS", ())
    (tmp_path / "broken.csv").write_text("a,b\n1\n")
    for word in ("pgd 1 ", "nothing new"):
        say(f"attack STUDENT --images 9 --rows {tmp_path / 'rows.csv'}")
        assert word in capsys.readouterr().out
