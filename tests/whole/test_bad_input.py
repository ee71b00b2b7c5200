"""Bad input, one table: what is refused, with which error, which value the message names, which
remedy, and that no file is left behind.
"""

import collections
import datetime
import io
import os
import pathlib
import pickle
import re
import struct
import tempfile
import zlib

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save
from test_widgets import controls
from torch import nn

from rsnl_lib import __main__, checks, data, env, geometry, networks, store, theorem, train
from rsnl_lib.commands import common
from rsnl_lib.data import perturb, whiten
from rsnl_lib.measure import evaluate, inference
from rsnl_lib.study import jobs
from rsnl_lib.train import hints, losses, recipes
from rsnl_lib.workbook import chapter, checkers, figures, widgets
from rsnl_lib.workbook.widgets import base

NAN, INF = float("nan"), float("inf")
X, Y = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 10
D = data.Data("tiny", 10, X, Y, X, Y, X, Y)
R = train.Recipe("test", 1, batch=10)
A, F_S = torch.zeros(20, 10), torch.full((20,), 0.5)
ROWS = pd.DataFrame(
    [{"method": "kd", "perturbation": "gaussian", "level": 3, "unit": "dB", "n": 10, "correct": 9}]
)
ROW = dict.fromkeys(store.COLUMNS, "") | {"dataset": "digits", "method": "kd", "recipe": "short"}
ROW |= {"network": "digits_student", "seed": 0, "perturbation": "clean", "level": 0}
ROW |= {"n": 10, "correct": 9}
HEADER = {"network": "digits_mlp_student", "classes": 10}
SHIPPED = {
    "STUDENT": jobs.Job("digits", "robust", "digits_mlp_student", "tau4").path(),
    "TEACHER": jobs.Job("digits", "teacher", "digits_mlp_teacher", "tau4").path(),
    "MNIST": jobs.Job("mnist", "teacher").path(),
}


# Makers of bad things ----------------------------------------------------------------------------


def net(classes=10, *more):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes), *more).eval()


def nan_net():
    made = net()
    nn.init.constant_(made[1].bias, NAN)
    return made


class Bomb:
    """A pickle that runs a command when it is opened by `pickle.load`; the listing would show the
    file it makes.
    """

    def __reduce__(self):
        return os.system, ("touch it_ran",)


def torch_bomb():
    raw = io.BytesIO()
    torch.save(Bomb(), raw)
    return raw.getvalue()


def checkpoint(made=None, **header):
    return save(
        {
            k: v.half()
            for k, v in (made or networks.build("digits_mlp_student")).state_dict().items()
        },
        {k: str(v) for k, v in header.items()},
    )


def state(seed=0, part=1.0):
    """The first `part` of the state that a run leaves."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "state")
        fit(seed=seed, state=path)
        return path.read_bytes()[: int(part * path.stat().st_size)]


def png(width=9, height=9):
    raw = io.BytesIO()
    image = Image.new("L", (width, height), 255)
    image.paste(0, (width // 3, 1, width // 2, height - 1))
    image.putpixel((0, 0), 255 - png.number % 50)
    png.number += 1
    image.save(raw, "png")
    return raw.getvalue()


png.number = 0


def png_header(width, height):
    """A PNG that promises width x height pixels and holds a hundred: only who reads the header
    first can say so.
    """
    chunk = lambda kind, body: (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    )
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(bytes(100)))
        + chunk(b"IEND", b"")
    )


def pictures(**counts):
    """{path: bytes} of a folder `own` with so many pictures a class."""
    return {f"own/{name}/{i}.png": png for name, count in counts.items() for i in range(count)} | {
        f"own/{name}/": None for name in counts
    }


def read_only(call):
    """call() in the folder `locked`, as a user who may not write there (root may write
    everywhere).
    """
    os.chmod("locked", 0o555)
    os.chdir("locked")
    root = os.geteuid() == 0
    try:
        if root:
            try:
                os.seteuid(65534)
            except OSError:
                pytest.skip("this root cannot become another user")
        return call()
    finally:
        if root:
            os.seteuid(0)


def fit(method="standard", made=None, d=D, r=R, teacher=None, **more):
    return train.fit(made or net(), d, method, r, teacher=teacher, **more)


def say(*words):
    """The command line `rsnl words`."""
    __main__.main([str(SHIPPED.get(w, w)) for w in words])


# The table ---------------------------------------------------------------------------------------

CASES = []


def bad(function, what, call, value, remedy, kind=ValueError, **given):
    CASES.append((f"{function}: {what}", call, kind, value, remedy, given.pop("files", {})))


# settings
bad(
    "settings.parameters",
    "misspelt name",
    lambda: chapter.parameters({"In": ["# Parameters\ntaau = 4.0"]}, tau=3.0),
    "'taau'",
    "this notebook has: tau",
)
bad(
    "settings.parameters",
    "unknown profile",
    lambda: chapter.parameters({}, profile="fast"),
    "profile='fast'",
    "choose one of: read",
)
bad(
    "settings.parameters",
    "seed -1",
    lambda: chapter.parameters({}, seed=-1),
    "seed=-1",
    "at least 0",
)
bad(
    "settings.parameters",
    "SNR NaN",
    lambda: chapter.parameters({}, snr=NAN),
    "snr=nan",
    "finite number",
)
bad(
    "settings.parameters",
    "tau None",
    lambda: chapter.parameters({}, tau=None),
    "tau=None",
    "finite number above zero",
)
bad(
    "settings.parameters (of a kernel)",
    "a parameter hides the cells",
    lambda: chapter.parameters({"In": 3}, tau=3.0),
    "unknown parameter 'In'",
    "this notebook has: tau",
)
bad(
    "settings.parameters (of a kernel)",
    "a list in their place",
    lambda: chapter.parameters({"In": [None]}, tau=3.0),
    "unknown parameter 'In'",
    "this notebook has: tau",
)
for cell in ("!ls", "seed =", "tau = '\0'", "-" * 9999 + "1"):
    bad(
        "settings.parameters (cells)",
        f"a cell that is no Python: {cell[:8]!r}",
        lambda cell=cell: chapter.parameters({"In": [f"# Parameters\n{cell}"]}, tau=3.0),
        "'# Parameters' is no Python",
        "write lines such as seed = 1",
    )
bad(
    "settings.parameters (of a kernel)",
    "a seed no generator takes",
    lambda: chapter.parameters({}, seed=2**64),
    "seed=18446744073709551616",
    "whole number below 2^32",
)
for name in ("cpu:x", "cpu:", "cpu:-1", "cpu:" + "9" * 30):
    bad(
        "settings.device",
        f"index of {name[:6]}",
        lambda name=name: env.device(name),
        f"device={name!r}",
        "write 'auto', 'cpu', 'cuda' or 'cuda:0'",
    )
bad(
    "settings.device",
    "unknown",
    lambda: env.device("tpu"),
    "'tpu'",
    "choose one of: cpu, cuda",
)
bad(
    "settings.one_of",
    "a list for a name",
    lambda: checks.one_of("method", ["kd"], train.METHODS),
    "['kd']",
    "choose one of",
)
bad(
    "settings.positive",
    "two numbers",
    lambda: checks.positive("tau", torch.ones(2)),
    "tau=tensor([1., 1.])",
    "above zero",
)
bad(
    "settings.whole",
    "a truth value",
    lambda: checks.whole("draws", True, 1),
    "draws=True",
    "whole number of at least 1",
)

# data
bad("data.load", "unknown name", lambda: data.load("minst"), "'minst'", "choose one of: digits")
bad("data.load", "no name", lambda: data.load(None), "dataset=None", "choose one of: digits")
bad(
    "data.load",
    "a file",
    lambda: data.load("x.png"),
    "'x.png'",
    "choose one of",
    files={"x.png": png},
)
bad(
    "data.load",
    "empty folder",
    lambda: data.load("own"),
    "own holds 0 folders",
    "one folder of pictures for each",
    files={"own/": None},
)
bad(
    "data.load",
    "downloads in a file",
    lambda: data.load("mnist", "here"),
    "here cannot hold the data",
    "name another folder",
    OSError,
    files={"here": b""},
)
bad(
    "data.files",
    "unknown data set",
    lambda: data.files("cifar11", "."),
    "'cifar11'",
    "choose one of: mnist",
)
bad(
    "data.files",
    "damaged",
    lambda: data.files("usps", "."),
    "usps.bz2 is damaged",
    "delete",
    files={"usps.bz2": b"BZh91AY"},
)
bad(
    "data.files",
    "half missing",
    lambda: data.files("mnist", "."),
    "is missing",
    "load again",
    files={"MNIST/raw/t10k-labels-idx1-ubyte": b"", "MNIST/raw/t10k-images-idx3-ubyte": b""},
)
bad(
    "data.own_folder",
    "no folder",
    lambda: data.own_folder("own"),
    "own is no folder",
    "one folder of pictures",
)
bad(
    "data.own_folder",
    "one class",
    lambda: data.own_folder("own"),
    "own holds 1 folders",
    "at least 2 classes",
    files=pictures(a=3),
)
bad(
    "data.own_folder",
    "an empty class",
    lambda: data.own_folder("own"),
    "own/b holds 0 files",
    "at least 3 pictures",
    files=pictures(a=3, b=0),
)
bad(
    "data.own_folder",
    "a text inside",
    lambda: data.own_folder("own"),
    "own/b/notes.txt cannot be read",
    "remove it",
    files=pictures(a=3, b=3) | {"own/b/notes.txt": b"hello"},
)
bad(
    "data.own_folder",
    "40,000 x 40,000 pixels",
    lambda: data.own_folder("own"),
    "own/a/big.png",
    "make it smaller",
    files=pictures(a=3, b=3) | {"own/a/big.png": png_header(40_000, 40_000)},
)
bad("data.gallery", "unknown", lambda: data.gallery("minst"), "'minst'", "choose one of: digits")
bad(
    "data.gallery",
    "fewer than a class each",
    lambda: data.gallery("digits", 5),
    "count=5",
    "at least 10",
)
bad(
    "data.own_picture",
    "no image file",
    lambda: data.own_picture("x.png"),
    "x.png cannot be read",
    "PNG or JPEG",
    files={"x.png": b"GIF89a?"},
)
bad(
    "data.own_picture",
    "40,000 x 40,000 pixels",
    lambda: data.own_picture(png_header(40_000, 40_000)),
    "1600000000 pixels",
    "make it smaller",
)
bad(
    "data.own_picture",
    "6,000 x 5,000 pixels",
    lambda: data.own_picture("x.png"),
    "6000 x 5000",
    "make it smaller",
    files={"x.png": png_header(6000, 5000)},
)
bad("data.own_picture", "a tensor", lambda: data.own_picture(X[0]), "tensor(", "path or the bytes")
bad("data.own_picture", "size 0", lambda: data.own_picture(png(), 0), "size=0", "at least 8")
bad(
    "whiten.gcn_zca",
    "a file for a folder",
    lambda: whiten.gcn_zca(X[:, :, :2, :2] * 255, X[:, :, :2, :2] * 255, "here"),
    "here/zca-",
    "name a folder",
    OSError,
    files={"here": b""},
)

# perturb
bad("perturb.gaussian", "NaN pixel", lambda: perturb.gaussian(X * NAN, 3), "NaN", "must be finite")
bad(
    "perturb.gaussian",
    "numpy images",
    lambda: perturb.gaussian(X.numpy(), 3),
    "ndarray",
    "float tensor",
)
bad("perturb.gaussian", "SNR as text", lambda: perturb.gaussian(X, "3"), "snr='3'", "finite number")
bad("perturb.gaussian", "SNR None", lambda: perturb.gaussian(X, None), "snr=None", "finite number")
bad(
    "perturb.gaussian", "SNR infinite", lambda: perturb.gaussian(X, INF), "snr=inf", "finite number"
)
bad(
    "perturb.poisson",
    "infinite pixel",
    lambda: perturb.poisson(X / 0, 3),
    "infinite",
    "must be finite",
)
bad(
    "perturb.poisson",
    "one image, 3-D",
    lambda: perturb.poisson(X[0], 3),
    "(1, 8, 8)",
    "(n, channels, height, width)",
)
bad(
    "perturb.poisson",
    "5-D",
    lambda: perturb.poisson(X[None], 3),
    "(1, 20, 1, 8, 8)",
    "(n, channels, height, width)",
)
bad(
    "perturb.poisson",
    "bytes for pixels",
    lambda: perturb.poisson((X * 255).byte(), 3),
    "torch.uint8",
    "float tensor",
)
bad(
    "perturb.poisson",
    "channels last",
    lambda: perturb.poisson(X.permute(0, 2, 3, 1), 3),
    "(20, 8, 8, 1)",
    "permute",
)
bad(
    "perturb.occlude",
    "larger than the image",
    lambda: perturb.occlude(X, 9),
    "size=9",
    "use 0 to 8",
)
bad("perturb.occlude", "negative", lambda: perturb.occlude(X, -1), "size=-1", "at least 0")
bad("perturb.occlude", "fractional", lambda: perturb.occlude(X, 2.5), "size=2.5", "whole number")
bad(
    "perturb.occlude",
    "outside",
    lambda: perturb.occlude(X, 4, at=(5, 0)),
    "at=(5, 0)",
    "rows 0 to 4",
)
bad(
    "perturb.occlude",
    "place between pixels",
    lambda: perturb.occlude(X, 4, at=(0.5, 0)),
    "at=(0.5, 0)",
    "two whole numbers",
)
bad(
    "perturb.apply",
    "unknown kind",
    lambda: perturb.apply("salt", X, 3),
    "'salt'",
    "choose one of: clean",
)
bad(
    "perturb.apply",
    "unknown unit",
    lambda: perturb.apply("gaussian", X, 3, unit="db"),
    "'db'",
    "choose one of: dB, ratio",
)
bad(
    "perturb.apply",
    "list of images",
    lambda: perturb.apply("clean", X.tolist(), 0),
    "not list",
    "float tensor",
)
bad(
    "perturb.snr_ratio", "500 dB", lambda: perturb.snr_ratio(500), "snr=500", "between -200 and 200"
)
bad("perturb.snr_ratio", "ratio 0", lambda: perturb.snr_ratio(0, "ratio"), "snr=0", "above zero")
bad(
    "perturb.noisy_training_set",
    "occlusion",
    lambda: perturb.noisy_training_set(D, "occlusion", 3),
    "'occlusion'",
    "choose one of: gaussian, poisson",
)
bad(
    "perturb.noisy_training_set",
    "seed 0.5",
    lambda: perturb.noisy_training_set(D, "gaussian", 3, 0.5),
    "seed=0.5",
    "whole number",
)

# losses
bad("losses.score", "tau 0", lambda: geometry.score(A, Y, 0), "tau=0", "above zero")
bad(
    "losses.score",
    "labels too large",
    lambda: geometry.score(A[:, :7], Y),
    "0 to 9",
    "labels 0 to 6",
)
bad("losses.score", "negative label", lambda: geometry.score(A, Y - 1), "-1 to 8", "labels 0 to 9")
bad(
    "losses.score",
    "float labels",
    lambda: geometry.score(A, Y.float()),
    "torch.float32",
    "must be torch.int64",
)
bad(
    "losses.score",
    "int32 labels",
    lambda: geometry.score(A, Y.int()),
    "torch.int32",
    "must be torch.int64",
)
bad(
    "losses.height",
    "unknown space",
    lambda: geometry.height(A, Y, "odds"),
    "'odds'",
    "choose one of: probability",
)
bad(
    "losses.height", "negative label", lambda: geometry.height(A, Y - 1), "-1 to 8", "labels 0 to 9"
)
bad(
    "losses.height",
    "labels as a list",
    lambda: geometry.height(A, Y.tolist()),
    "labels are a list",
    "torch.Tensor",
)
bad(
    "losses.height",
    "one label a row",
    lambda: geometry.height(A, Y[:, None]),
    "(20, 1)",
    "want (n, classes)",
)
bad("losses.kd_loss", "lambda -1", lambda: losses.kd_loss(A, A, Y, -1, 3.0), "lam=-1", "zero or")
bad("losses.kd_loss", "tau NaN", lambda: losses.kd_loss(A, A, Y, 1, NAN), "tau=nan", "above zero")
bad(
    "losses.kd_loss",
    "torch's ignored label",
    lambda: losses.kd_loss(A, A, Y * 0 - 100, 1, 3.0),
    "-100",
    "labels 0 to 9",
)
bad(
    "losses.kd_loss",
    "class counts differ",
    lambda: losses.kd_loss(A, A[:, :7], Y, 1, 3.0),
    "(20, 7)",
    "one shape",
)
bad(
    "losses.soft_cross_entropy",
    "tau -1",
    lambda: losses.soft_cross_entropy(A, A, -1),
    "tau=-1",
    "above zero",
)
bad(
    "losses.mimic_loss",
    "class counts differ",
    lambda: losses.mimic_loss(A, A[:, :7]),
    "(20, 7)",
    "one shape",
)
bad(
    "losses.mimic_loss",
    "on scores",
    lambda: losses.mimic_loss(A, A, "scores"),
    "'scores'",
    "choose one of: logits",
)
bad(
    "losses.hint_loss",
    "shapes differ",
    lambda: losses.hint_loss(X, X[:, :, 1:]),
    "(20, 1, 7, 8)",
    "one shape",
)
bad(
    "losses.score_loss",
    "gamma NaN",
    lambda: losses.score_loss(F_S, F_S, NAN),
    "gamma=nan",
    "finite",
)
bad(
    "losses.score_loss",
    "gamma -0.1",
    lambda: losses.score_loss(F_S, F_S, -0.1),
    "gamma=-0.1",
    "zero or",
)
bad(
    "losses.score_loss",
    "column against row",
    lambda: losses.score_loss(F_S[:, None], F_S, 0.1),
    "(20, 1)",
    "one shape",
)
bad(
    "losses.score_floor",
    "gamma infinite",
    lambda: losses.score_floor(F_S, INF),
    "gamma=inf",
    "finite",
)
bad(
    "losses.direct_loss",
    "rho 0",
    lambda: losses.direct_loss(F_S, F_S, X, X, 2.0, 0),
    "rho=0",
    "above zero",
)
bad(
    "losses.direct_loss",
    "one gradient for all",
    lambda: losses.direct_loss(F_S, F_S, X, X[:1], 2.0, 0.1),
    "(1, 1, 8, 8)",
    "one shape",
)
bad(
    "losses.gradient_loss",
    "shapes differ",
    lambda: losses.gradient_loss(X, X[:3]),
    "(3, 1, 8, 8)",
    "one shape",
)
bad(
    "losses.input_gradient",
    "batch norm in training",
    lambda: geometry.input_gradient(nn.Sequential(nn.BatchNorm2d(1), net()), X, Y),
    "BatchNorm2d",
    "net.eval()",
)
bad(
    "losses.input_gradient",
    "bytes for pixels",
    lambda: geometry.input_gradient(net(), X.byte(), Y),
    "torch.uint8",
    "float tensor",
)
bad(
    "losses.input_gradient",
    "label of no class",
    lambda: geometry.input_gradient(net(7), X, Y),
    "0 to 9",
    "labels 0 to 6",
)
bad(
    "losses.input_gradient",
    "unknown space",
    lambda: geometry.input_gradient(net(), X, Y, space="odds"),
    "'odds'",
    "choose one of",
)

# networks
bad(
    "networks.build",
    "unknown",
    lambda: networks.build("resnet"),
    "'resnet'",
    "choose one of: digits_mlp_teacher",
)
bad(
    "networks.build",
    "width -1",
    lambda: networks.build("mnist_student@-1"),
    "'mnist_student@-1'",
    "above zero",
)
bad(
    "networks.build",
    "no width",
    lambda: networks.build("mnist_student@"),
    "'mnist_student@'",
    "above zero",
)
bad(
    "networks.build",
    "+foo",
    lambda: networks.build("mnist_student+foo"),
    "'mnist_student+foo'",
    "only bn is known",
)
bad(
    "networks.build",
    "one class",
    lambda: networks.build("mnist_student", 1),
    "classes=1",
    "at least 2",
)
bad(
    "networks.count",
    "another image",
    lambda: networks.count(networks.build("digits_student"), (3, 8, 8)),
    "(3, 8, 8)",
    "that fit",
)
bad(
    "networks.count",
    "no layer",
    lambda: networks.count(nn.Flatten(), (1, 8, 8)),
    "Flatten",
    "that fit",
)
bad(
    "networks.lsuv_",
    "no images",
    lambda: networks.lsuv_(net(), X[:0]),
    "(0, 1, 8, 8)",
    "give at least one",
)
bad("networks.lsuv_", "NaN images", lambda: networks.lsuv_(net(), X * NAN), "NaN", "without NaN")

# train
bad("train.recipe", "unknown", lambda: train.recipe("long"), "'long'", "choose one of: short")
bad(
    "train.recipe",
    "misspelt setting",
    lambda: train.recipe(c1=3),
    "'c1'",
    "choose one of: name, epochs",
)
bad("train.recipe", "C1 -1", lambda: train.recipe(C1=-1), "C1=-1", "zero or")
bad(
    "train.recipe",
    "optimiser",
    lambda: train.recipe(optimiser="adma"),
    "'adma'",
    "choose one of: adamw",
)
bad(
    "train.recipe",
    "yes for True",
    lambda: train.recipe(tau_squared="no"),
    "tau_squared='no'",
    "True or False",
)
bad(
    "train.optimiser",
    "unknown",
    lambda: recipes.optimiser(net(), R._replace(optimiser="adma")),
    "'adma'",
    "choose one of: adamw",
)
bad(
    "train.start",
    "unknown start",
    lambda: networks.start("digits_student", D, init="zeros"),
    "'zeros'",
    "choose one of: lsuv",
)
bad(
    "train.start",
    "network of other images",
    lambda: networks.start("mnist_student", D),
    "(1, 8, 8)",
    "network made for them",
)
bad(
    "train.start",
    "no images",
    lambda: networks.start("digits_student", D._replace(x_train=X[:0])),
    "(0, 1, 8, 8)",
    "give at least one",
)
bad(
    "train.teacher_constants",
    "probabilities",
    lambda: train.teacher_constants(net(10, nn.Softmax(1)), X, Y, 3.0, ""),
    "sums to 1",
    "softmax",
    files={"cache/": None},
)
bad(
    "train.teacher_constants",
    "in training mode",
    lambda: train.teacher_constants(net().train(), X, Y, 3.0, ""),
    "training mode",
    "teacher.eval()",
)
bad(
    "train.teacher_constants",
    "no images",
    lambda: train.teacher_constants(net(), X[:0], Y[:0], 3.0, ""),
    "x is empty",
    "no images",
)
bad(
    "train.teacher_constants",
    "chunk 0",
    lambda: train.teacher_constants(net(), X, Y, 3.0, "", chunk=0),
    "chunk=0",
    "at least 1",
)
bad(
    "train.teacher_constants",
    "cache in a file",
    lambda: train.teacher_constants(net(), X, Y, 3.0, "logit", "here"),
    "here/teacher-",
    "name a folder",
    OSError,
    files={"here": b""},
)
bad(
    "train.accuracy",
    "no images",
    lambda: train.accuracy(net(), X[:0], Y[:0]),
    "0 images",
    "at least one image",
)
bad(
    "train.accuracy",
    "one label a row",
    lambda: train.accuracy(net(), X, Y[:, None]),
    "(20, 1)",
    "want (n, classes)",
)
bad(
    "train.accuracy",
    "fewer labels",
    lambda: train.accuracy(net(), X, Y[:9]),
    "9 labels",
    "one label each",
)
bad(
    "train.accuracy",
    "classes of another set",
    lambda: train.accuracy(net(7), X, Y),
    "0 to 9",
    "labels 0 to 6",
)
bad("train.fit", "no recipe", lambda: fit(r="short"), "r='short'", "train.recipe(")
bad(
    "train.fit", "network of 7 classes", lambda: fit(made=net(7)), "scores 7 classes", "tiny has 10"
)
bad("train.fit", "teacher missing", lambda: fit("kd"), "method='kd'", "pass one")
bad(
    "train.fit",
    "teacher of 7 classes",
    lambda: fit("robust", teacher=net(7)),
    "teacher scores 7 classes",
    "tiny has 10",
)
bad(
    "train.fit",
    "no validation images",
    lambda: fit(d=D._replace(x_val=X[:0], y_val=Y[:0])),
    "x_val is empty",
    "validate with",
)
bad(
    "train.fit (images)",
    "fewer labels",
    lambda: fit(d=D._replace(y_train=Y[:9])),
    "(9,)",
    "want (n, classes)",
)
bad(
    "train.fit (images)", "NaN", lambda: fit(d=D._replace(x_train=X * NAN)), "NaN", "must be finite"
)
bad(
    "train.fit (images)",
    "channels last",
    lambda: fit(d=D._replace(x_train=X.permute(0, 2, 3, 1))),
    "(20, 8, 8, 1)",
    "permute",
)
bad(
    "train.fit (images)",
    "of another size",
    lambda: fit(d=D._replace(x_train=X[..., 1:])),
    "(1, 8, 7)",
    "network made for them",
)
bad(
    "train.fit (images)",
    "label of no class",
    lambda: fit(d=D._replace(y_val=Y + 1)),
    "1 to 10",
    "classes 0 to 9",
)
bad(
    "train.fit (networks)",
    "unknown method",
    lambda: fit("robst"),
    "'robst'",
    "choose one of: teacher",
)
bad(
    "train.fit (networks)",
    "not a module",
    lambda: fit(made="digits_student"),
    "is a str",
    "give an nn.Module",
)
bad(
    "train.fit (networks)",
    "NaN teacher",
    lambda: fit("kd", teacher=nan_net()),
    "NaN",
    "train it again",
)
bad(
    "train.fit (networks)",
    "diverged",
    lambda: fit(r=R._replace(optimiser="sgd", lr=3e38, one_cycle=False, clip=0)),
    "epoch 1",
    "lower lr",
    FloatingPointError,
)
bad("train.fit (networks)", "seed -1", lambda: fit(seed=-1), "seed=-1", "at least 0")
bad(
    "train.fit (resume)",
    "truncated",
    lambda: fit(state="s"),
    "s is damaged",
    "delete it",
    files={"s": lambda: state(part=0.5)},
)
bad(
    "train.fit (resume)",
    "another run",
    lambda: fit(state="s"),
    "seed 1",
    "delete it or name another",
    files={"s": lambda: state(1)},
)
bad(
    "train.fit (resume)",
    "a pickle with code",
    lambda: fit(state="s"),
    "s is damaged",
    "delete it",
    files={"s": lambda: pickle.dumps(Bomb(), 2)},
)
bad(
    "train.fit (resume)",
    "torch's pickle with code",
    lambda: fit(state="s"),
    "s is damaged",
    "delete it",
    files={"s": torch_bomb},
)
bad(
    "train.fit (resume)",
    "a folder",
    lambda: fit(state="s"),
    "s cannot be written",
    "name a folder",
    OSError,
    files={"s/": None},
)
bad(
    "train.load_or_train",
    "unknown profile",
    lambda: chapter.load_or_train("digits", "kd", profile="fast"),
    "'fast'",
    "choose one of: read",
)
bad(
    "train.load_or_train",
    "unknown method",
    lambda: chapter.load_or_train("digits", "distil"),
    "'distil'",
    "choose one of: teacher",
)
bad(
    "train.load_or_train",
    "settings of a shipped network",
    lambda: chapter.load_or_train("digits", "kd", tau=2.0),
    "cannot change tau",
    "profile='smoke'",
)
bad(
    "train.load_or_train",
    "not shipped",
    lambda: chapter.load_or_train("digits", "kd", 987),
    "s987",
    "train it with",
    FileNotFoundError,
)
bad(
    "train.load_or_train",
    "no teacher",
    lambda: chapter.load_or_train(
        "digits", "kd", profile="smoke", data=D, network="digits_student"
    ),
    "'kd'",
    "pass one",
)

# hints
bad(
    "hints.guided",
    "no middle layer",
    lambda: networks.guided(net()),
    "Sequential has no middle layer",
    "before the last",
)
bad(
    "hints.hint_stage",
    "unknown kind",
    lambda: hints.hint_stage(net(), net(), D, R._replace(hint="guess"), 1),
    "'guess'",
    "choose one of: regress",
)
bad(
    "hints.hint_stage",
    "no epochs",
    lambda: hints.hint_stage(net(), net(), D, R, 0),
    "epochs=0",
    "at least 1",
)
bad(
    "hints.hint_stage",
    "teacher in training mode",
    lambda: hints.hint_stage(net(), net().train(), D, R, 1),
    "training mode",
    "teacher.eval()",
)

# evaluate
PLAN = [("gaussian", 3, "dB")]
bad(
    "evaluate.sweep",
    "no draws",
    lambda: evaluate.sweep({"a": net()}, X, Y, PLAN, draws=0),
    "draws=0",
    "at least 1",
)
bad(
    "evaluate.sweep",
    "chunk 0",
    lambda: evaluate.sweep({"a": net()}, X, Y, PLAN, chunk=0),
    "chunk=0",
    "at least 1",
)
bad(
    "evaluate.sweep",
    "a network alone",
    lambda: evaluate.sweep(net(), X, Y, PLAN),
    "a Sequential",
    "dict of networks",
)
bad(
    "evaluate.sweep",
    "no images",
    lambda: evaluate.sweep({"a": net()}, X[:0], Y[:0], PLAN),
    "x is empty",
    "no images",
)
bad(
    "evaluate.sweep",
    "fewer labels",
    lambda: evaluate.sweep({"a": net()}, X, Y[:10], PLAN, chunk=10),
    "10 labels",
    "one label an image",
)
FEW = {"restarts": 1, "steps": 1}
bad(
    "evaluate.margins",
    "unknown certificate",
    lambda: theorem.margins(net(), net(), X, Y, sound="magic", **FEW),
    "'magic'",
    "choose one of: none",
)
bad(
    "evaluate.margins",
    "class counts differ",
    lambda: theorem.margins(net(11), net(), X, Y, **FEW),
    "(1, 10)",
    "same classes",
)
bad(
    "evaluate.margins",
    "SNR infinite",
    lambda: theorem.margins(net(), net(), X, Y, snr=INF, **FEW),
    "snr=inf",
    "finite number",
)
bad(
    "evaluate.margins",
    "label of no class",
    lambda: theorem.margins(net(7), net(7), X, Y, **FEW),
    "0 to 9",
    "labels 0 to 6",
)
bad(
    "evaluate.margins",
    "no images",
    lambda: theorem.margins(net(), net(), X[:0], Y[:0], **FEW),
    "x is empty",
    "no images",
)
bad(
    "evaluate.ladder",
    "norm 3",
    lambda: theorem.ladder(net(), net(), X, Y, p=3, **FEW),
    "p=3",
    "choose one of: 1, 2",
)
bad(
    "evaluate.ladder",
    "unknown certificate",
    lambda: theorem.ladder(net(), net(), X, Y, sound=["magic"], **FEW),
    "'magic'",
    "choose one of: spectral",
)
bad(
    "evaluate.ladder",
    "unknown space",
    lambda: theorem.ladder(net(), net(), X, Y, "odds", **FEW),
    "'odds'",
    "choose one of: probability",
)
bad(
    "evaluate.ladder",
    "class counts differ",
    lambda: theorem.ladder(net(11), net(), X, Y, **FEW),
    "(1, 11)",
    "same classes",
)
bad(
    "evaluate.ladder",
    "student nowhere ahead",
    lambda: theorem.ladder(net(), net(), X, Y, **FEW),
    "none of the 20 images",
    "give images where it leads",
)
bad(
    "evaluate.wilson",
    "none of none",
    lambda: inference.wilson(0, 0),
    "0 correct of 0",
    "at least 1",
)
bad(
    "evaluate.wilson",
    "more than all",
    lambda: inference.wilson(5, 3),
    "5 correct of 3",
    "must be 0 to n",
)

# bound, certify, interval
bad(
    "bound.head_start",
    "class counts differ",
    lambda: theorem.head_start(net(11), net(), Y)(X),
    "(20, 11)",
    "same classes",
)
bad(
    "bound.head_start",
    "unknown space",
    lambda: theorem.head_start(net(), net(), Y, "odds")(X),
    "'odds'",
    "choose one of",
)
bad(
    "bound.right_answer",
    "label of no class",
    lambda: theorem.right_answer(net(7), Y)(X),
    "0 to 9",
    "labels 0 to 6",
)
bad(
    "bound.eq7_terms",
    "norm 3",
    lambda: theorem.eq7_terms(net(), net(), X, Y, p=3),
    "p=3",
    "choose one of: 1, 2",
)
bad(
    "bound.eq7_terms",
    "tau 0",
    lambda: theorem.eq7_terms(net(), net(), X, Y, "tempered", 0),
    "tau=0",
    "above zero",
)
bad(
    "bound.eq7_terms",
    "bytes for pixels",
    lambda: theorem.eq7_terms(net(), net(), X.byte(), Y),
    "torch.uint8",
    "float tensor",
)
bad("bound.norm", "Frobenius", lambda: geometry.norm(X, "fro"), "p='fro'", "choose one of: 1, 2")
bad(
    "bound.in_box",
    "pixel above 1",
    lambda: theorem.in_box(X + 1),
    "run from 1",
    "must lie in [0, 1]",
)
bad(
    "bound.onto_ball",
    "norm 3",
    lambda: geometry.onto_ball(X, torch.ones(20), 3),
    "q=3",
    "choose one of",
)
bad(
    "bound.estimate_sampling",
    "no draws",
    lambda: theorem.estimate_sampling(lambda z: z.flatten(1).sum(1), X, torch.ones(20), draws=0),
    "draws=0",
    "at least 1",
)
bad(
    "bound.estimate_ascent",
    "norm 3",
    lambda: theorem.estimate_ascent(lambda z: z.flatten(1).sum(1), X, torch.ones(1, 20), 3),
    "p=3",
    "choose one of",
)
bad(
    "bound.fixed_point",
    "no steps",
    lambda: theorem.fixed_point(torch.ones(1), lambda s: s, steps=0),
    "steps=0",
    "at least 1",
)
bad(
    "bound.smallest_flip",
    "NaN images",
    lambda: theorem.smallest_flip(theorem.right_answer(net(), Y), X * NAN),
    "NaN",
    "must be finite",
)
bad(
    "bound.smallest_flip",
    "no restarts",
    lambda: theorem.smallest_flip(theorem.right_answer(net(), Y), X, restarts=0),
    "restarts=0",
    "at least 1",
)
bad(
    "bound.smallest_flip",
    "norm 3",
    lambda: theorem.smallest_flip(theorem.right_answer(net(), Y), X, 3),
    "q=3",
    "choose one of",
)
bad(
    "bound.gaussian_flip_share",
    "sigma 0",
    lambda: theorem.gaussian_flip_share(F_S, F_S, 0),
    "sigma=0",
    "above zero",
)
bad(
    "certify.sound_radii",
    "unknown method",
    lambda: theorem.sound_radii(net(), net(), X, Y, "crown"),
    "'crown'",
    "choose one of: spectral",
)
bad(
    "certify.sound_radii",
    "label of no class",
    lambda: theorem.sound_radii(net(), net(), X, Y + 1),
    "1 to 10",
    "labels 0 to 9",
)
bad(
    "certify.sound_radii",
    "class counts differ",
    lambda: theorem.sound_radii(net(11), net(), X, Y),
    "(1, 11)",
    "same classes",
)
bad(
    "certify.sound_radii",
    "LipSDP in another norm",
    lambda: theorem.sound_radii(net(), net(), X, Y, "lipsdp", 1),
    "p=1",
    "use 'interval'",
)
bad(
    "certify.sound_radii",
    "unknown layer",
    lambda: theorem.sound_radii(net(10, nn.Tanh()), net(), X, Y),
    "Tanh",
    "certify.votes",
)
bad(
    "certify.lipschitz",
    "negative label",
    lambda: theorem.lipschitz(net(), Y - 1),
    "-1 to 8",
    "labels 0 to 9",
)
bad(
    "certify.operator_norm",
    "norm 3",
    lambda: theorem.operator_norm(net()[1], 3),
    "q=3",
    "choose one of: 1, 2",
)
bad(
    "certify.votes",
    "sigma -1",
    lambda: theorem.votes(net(), net(), X, Y, -1),
    "sigma=-1",
    "above zero",
)
bad(
    "certify.votes",
    "alpha 2",
    lambda: theorem.votes(net(), net(), X, Y, 0.1, alpha=2),
    "alpha=2",
    "between 0 and 1",
)
bad(
    "certify.votes",
    "no draws",
    lambda: theorem.votes(net(), net(), X, Y, 0.1, 0),
    "draws=0",
    "at least 1",
)
bad(
    "certify.flip_in_plane",
    "reach 0",
    lambda: theorem.flip_in_plane(net(), net(), Y[:1], reach=0),
    "reach=0",
    "above zero",
)
bad(
    "interval.sound_interval",
    "outside the box",
    lambda: theorem.sound_interval(net(), net(), X + 1, Y, F_S, box=True),
    "run from 1",
    "must lie in [0, 1]",
)
bad(
    "interval.sound_interval",
    "tau 0",
    lambda: theorem.sound_interval(net(), net(), X, Y, F_S, tau=0),
    "tau=0",
    "above zero",
)

# store
bad(
    "store.write",
    "a file for a folder",
    lambda: store.write("here/a", b""),
    "here/a cannot be written",
    "name a folder",
    OSError,
    files={"here": b""},
)
bad(
    "store.write",
    "read-only folder",
    lambda: read_only(lambda: store.write("a", b"")),
    "a cannot be written",
    "may write",
    OSError,
    files={"locked/": None},
)
bad(
    "store.write",
    "a folder of that name",
    lambda: store.write("a", b""),
    "a cannot be written",
    "name a folder",
    OSError,
    files={"a/": None},
)
bad(
    "store.save_checkpoint",
    "read-only folder",
    lambda: read_only(lambda: store.save_checkpoint("a.safetensors", net())),
    "a.safetensors cannot be written",
    "may write",
    OSError,
    files={"locked/": None},
)
bad(
    "store.load_checkpoint",
    "missing",
    lambda: store.load_checkpoint("a"),
    "no checkpoint a",
    "train it with",
    FileNotFoundError,
)
bad(
    "store.load_checkpoint",
    "truncated",
    lambda: store.load_checkpoint("a"),
    "a is damaged",
    "delete it",
    files={"a": lambda: checkpoint(**HEADER)[:-9]},
)
bad(
    "store.load_checkpoint",
    "a pickle with code",
    lambda: store.load_checkpoint("a"),
    "no safetensors file",
    "delete it",
    files={"a": torch_bomb},
)
bad(
    "store.load_checkpoint",
    "other tensors",
    lambda: store.load_checkpoint("a"),
    "does not fit digits_mlp_student",
    "name the checkpoint",
    files={"a": lambda: checkpoint(net(), **HEADER)},
)
bad(
    "store.load_checkpoint",
    "no header",
    lambda: store.load_checkpoint("a"),
    "no network in its header",
    "pass the module",
    files={"a": lambda: checkpoint()},
)
bad(
    "store.load_checkpoint (header)",
    "unknown network",
    lambda: store.load_checkpoint("a"),
    "'resnet'",
    "choose one of",
    files={"a": lambda: checkpoint(network="resnet")},
)
bad(
    "store.load_checkpoint (header)",
    "ten classes in words",
    lambda: store.load_checkpoint("a"),
    "classes='ten'",
    "train it again",
    files={"a": lambda: checkpoint(network="digits_student", classes="ten")},
)
bad(
    "store.append",
    "row lacks a column",
    lambda: store.append("r.csv", [{k: "" for k in store.COLUMNS[1:]}]),
    "'dataset'",
    "its columns are",
)
bad(
    "store.append",
    "file of other columns",
    lambda: store.append("r.csv", [ROW]),
    "r.csv has other columns",
    "name another file",
    files={"r.csv": b"epoch,loss\n1,2\n"},
)
bad(
    "store.append",
    "file cut in a row",
    lambda: store.append("r.csv", [ROW]),
    "r.csv ends in the middle",
    "delete that row",
    files={"r.csv": (",".join(store.COLUMNS) + "\ndigits,ro").encode()},
)
bad(
    "store.append",
    "read-only folder",
    lambda: read_only(lambda: store.append("r.csv", [ROW])),
    "r.csv cannot be written",
    "may write",
    OSError,
    files={"locked/": None},
)
bad(
    "store.append",
    "a file for a folder",
    lambda: store.append("here/r.csv", [ROW]),
    "here/r.csv cannot be written",
    "name a folder",
    OSError,
    files={"here": b""},
)
bad(
    "store.append (cells)",
    "more right than images",
    lambda: store.append("r.csv", [ROW, {**ROW, "correct": 11}]),
    "row 2: correct=11 of n=10",
    "make that row again",
)
bad(
    "store.append (cells)",
    "a data set that is a path",
    lambda: store.append("r.csv", [{**ROW, "dataset": "../x"}]),
    "dataset='../x'",
    "rename it",
)
bad(
    "store.read",
    "header twice",
    lambda: store.frame("r.csv"),
    "row 3 is its header again",
    "delete that row",
    files={"r.csv": b"epoch,loss\n1,2\nepoch,loss\n"},
)
bad(
    "store.read",
    "latin-1",
    lambda: store.frame("r.csv"),
    "r.csv is no table: row 2",
    "save it as UTF-8",
    files={"r.csv": b"epoch,loss\n1,\xe9\n"},
)
bad(
    "store.read",
    "missing",
    lambda: store.frame("r.csv"),
    "no results r.csv",
    "make them with",
    FileNotFoundError,
)
bad(
    "store.read",
    "row lacks a cell",
    lambda: store.frame("r.csv"),
    "row 3 has 1 cells",
    "delete that row",
    files={"r.csv": b"epoch,loss\n1,2\n3\n"},
)
bad(
    "store.read",
    "row of more cells",
    lambda: store.frame("r.csv"),
    "row 2 has 3 cells",
    "delete that row",
    files={"r.csv": b"epoch,loss\n1,2,3\n"},
)
bad(
    "store.read (cells)",
    "empty file",
    lambda: store.frame("r.csv"),
    "r.csv is no table",
    "make the file again",
    files={"r.csv": b""},
)
bad(
    "store.shipped",
    "unknown data set",
    lambda: jobs.shipped("minst", ["kd"]),
    "minst.csv",
    "make them with",
    FileNotFoundError,
)

# figures and live pictures
bad(
    "figures.accuracy_curves",
    "no rows",
    lambda: figures.accuracy_curves(ROWS[:0]),
    "0 rows",
    "choose methods",
)
bad(
    "figures.accuracy_curves",
    "other columns",
    lambda: figures.accuracy_curves(ROWS.drop(columns="level")),
    "lack level",
    "needs the columns",
)
bad("figures.seed_dots", "no rows", lambda: figures.seed_dots(ROWS[:0]), "0 rows", "choose methods")
bad(
    "figures.learning_curves",
    "rows of accuracies",
    lambda: figures.learning_curves(ROWS),
    "lack epoch",
    "needs the columns",
)
bad(
    "figures.cost_bars",
    "rows of accuracies",
    lambda: figures.cost_bars(ROWS),
    "lack quantity",
    "needs the columns",
)
bad(
    "figures.score_bars",
    "no pictures",
    lambda: figures.score_bars([], {"kd": A}, []),
    "0 pictures",
    "of each picture",
)
bad(
    "figures.picture_grid",
    "no images",
    lambda: figures.picture_grid(X[:0], Y[:0]),
    "0 images",
    "at least one image",
)
bad(
    "widgets.explorer",
    "numpy images",
    lambda: widgets.explorer({"kd": net()}, X.numpy(), Y),
    "ndarray",
    "float tensor",
)
bad(
    "widgets.explorer",
    "one image, 3-D",
    lambda: widgets.explorer({"kd": net()}, X[0], Y),
    "(1, 8, 8)",
    "(n, channels, height, width)",
)
bad(
    "widgets.explorer",
    "names of other classes",
    lambda: widgets.explorer({"kd": net()}, X, Y, ["cat", "dog"]),
    "2 names",
    "one name a class",
)
bad(
    "widgets.explorer",
    "no networks",
    lambda: widgets.explorer({}, X, Y),
    "0 networks",
    "at least one network",
)
bad(
    "sliders.examples",
    "no teacher",
    lambda: widgets.examples({"robust": net()}, X, Y),
    "network='teacher'",
    "choose one of: robust",
)
bad(
    "sliders.examples",
    "unknown student",
    lambda: widgets.examples({"kd": net(), "teacher": net()}, X, Y),
    "'robust'",
    "choose one of: kd",
)
bad(
    "sliders.plane",
    "reach 0",
    lambda: widgets.plane(net(), net(), X, Y, X[:2], 0),
    "reach=0",
    "above zero",
)

# the command line
bad(
    "rsnl data",
    "unknown",
    lambda: say("data", "minst"),
    "'minst'",
    "choose one of: digits",
    SystemExit,
)
bad(
    "rsnl data",
    "empty folder",
    lambda: say("data", "own"),
    "own holds 0 folders",
    "each of at least 2 classes",
    SystemExit,
    files={"own/": None},
)
bad(
    "rsnl data",
    "downloads in a file",
    lambda: say("data", "mnist", "--folder", "here"),
    "here cannot hold",
    "name another folder",
    SystemExit,
    files={"here": b""},
)
bad(
    "rsnl train",
    "width -1",
    lambda: say("train", "--network", "digits_student@-1"),
    "'digits_student@-1'",
    "above zero",
    SystemExit,
)
bad(
    "rsnl train",
    "network of other images",
    lambda: say("train", "--network", "mnist_student"),
    "(1, 8, 8)",
    "network made for them",
    SystemExit,
)
bad(
    "rsnl train",
    "misspelt setting",
    lambda: say("train", "--set", "c1=100"),
    "'c1=100'",
    "write KEY=VALUE",
    SystemExit,
)
bad(
    "rsnl train",
    "teacher is a pickle",
    lambda: say("train", "--method", "kd", "--teacher", "t"),
    "t is damaged",
    "delete it",
    SystemExit,
    files={"t": torch_bomb},
)
bad(
    "rsnl train (teacher)",
    "of other images",
    lambda: say("train", "--method", "kd", "--teacher", "MNIST"),
    "the teacher does not take images of shape (1, 8, 8)",
    "made for them",
    SystemExit,
)
bad(
    "rsnl train",
    "unknown data set",
    lambda: say("train", "--dataset", "minst"),
    "'minst'",
    "choose one of",
    SystemExit,
)
bad(
    "rsnl margins",
    "missing",
    lambda: say("margins", "a"),
    "no checkpoint a",
    "train it with",
    SystemExit,
)
bad(
    "rsnl margins",
    "not of `train`",
    lambda: say("margins", "a"),
    "a does not say its dataset",
    "made by `rsnl train`",
    SystemExit,
    files={"a": lambda: checkpoint(**HEADER)},
)
bad(
    "rsnl margins",
    "teacher of other images",
    lambda: say("margins", "STUDENT", "--teacher", "MNIST", "--rows", "r.csv"),
    "(1, 8, 8)",
    "made for them",
    SystemExit,
)
bad(
    "rsnl margins",
    "SNR NaN",
    lambda: say("margins", "STUDENT", "--images", "1", "--snr", "nan", "--rows", "r.csv"),
    "snr=nan",
    "finite number",
    SystemExit,
)
bad(
    "rsnl ladder",
    "a teacher",
    lambda: say("ladder", "TEACHER", "--rows", "r.csv"),
    "is a teacher",
    "name a student",
    SystemExit,
)
bad(
    "rsnl ladder",
    "unknown space",
    lambda: say("ladder", "STUDENT", "--spaces", "odds", "--images", "2", "--rows", "r.csv"),
    "'odds'",
    "choose one of",
    SystemExit,
)
bad(
    "rsnl ladder",
    "unknown certificate",
    lambda: say("ladder", "STUDENT", "--sound", "magic", "--images", "2", "--rows", "r.csv"),
    "'magic'",
    "choose one of: spectral",
    SystemExit,
)


# What is asked of each ---------------------------------------------------------------------------


def listing(folder):
    """{path: content} of everything below a folder."""
    return {
        str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None
        for p in sorted(folder.rglob("*"))
    }


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Everything a case may write lies below tmp_path: the current folder, downloads, results."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RSNL_DATA", str(tmp_path / "downloads"))
    monkeypatch.setenv("TQDM_DISABLE", "1")
    monkeypatch.setattr(common, "RESULTS", tmp_path / "results")
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize(
    "call, kind, value, remedy, files", [pytest.param(*case[1:], id=case[0]) for case in CASES]
)
def test_bad_input_is_refused_with_value_and_remedy_and_leaves_no_file(
    call, kind, value, remedy, files, tmp_path
):
    for name, content in files.items():
        path = tmp_path / name
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content() if callable(content) else content)
    before = listing(tmp_path)
    with pytest.raises(kind) as error:
        call()
    said = str(error.value)
    assert value in said and remedy in said, said
    assert kind is ValueError or not isinstance(error.value, ValueError)
    assert listing(tmp_path) == before


def test_the_table_is_wide_and_no_function_fills_it():
    each = collections.Counter(name.split(":")[0] for name, *_ in CASES)
    assert len(CASES) >= 100 and max(each.values()) <= 5, each.most_common(3)
    assert len({name for name, *_ in CASES}) == len(CASES)


def test_a_right_number_of_another_library_is_not_refused():
    assert checks.whole("size", np.int64(3)) == 3 and checks.finite("snr", np.float32(3)) == 3.0
    assert perturb.occlude(X, np.int64(2)).shape == X.shape


def test_what_is_refused_stays_as_it_was():
    made, d = net().train(), D._replace(x_train=X[..., 1:])
    before = {k: v.clone() for k, v in made.state_dict().items()}
    with pytest.raises(ValueError):
        fit(made=made, d=d)
    assert made.training and all(torch.equal(v, before[k]) for k, v in made.state_dict().items())
    with pytest.raises(ValueError):
        networks.count(made, (3, 9, 9))
    assert made.training and not made[1]._forward_hooks


# The live pictures say it where the reader looks -------------------------------------------------


@pytest.fixture
def shown(monkeypatch):
    kept = []
    monkeypatch.setattr(base, "show_widget", lambda widget, still, text: kept.append(widget))
    return lambda: controls(kept[0])


def alert(c, value, remedy):
    said = re.search('role="alert">(.*?)</div>', c["out"].value, re.S)
    assert said and value in said[1] and remedy in said[1], c["out"].value[:300]


def upload(content):
    return (
        {
            "name": "a.png",
            "type": "image/png",
            "size": len(content),
            "content": memoryview(content),
            "last_modified": datetime.datetime(2026, 1, 1),
        },
    )


@pytest.mark.parametrize(
    "content, value, remedy",
    [
        (b"no picture", "a.png cannot be read", "give a PNG or JPEG"),
        (png_header(40_000, 40_000), "1600000000 pixels", "make it smaller"),
        (png(90, 90)[:90], "a.png cannot be read", "give a PNG or JPEG"),
        (pickle.dumps(Bomb()), "cannot be read as a picture", "give a PNG or JPEG"),
    ],
    ids=["text", "40,000 x 40,000 pixels", "truncated", "a pickle with code"],
)
def test_a_bad_upload_is_said_in_the_explorer(shown, content, value, remedy, tmp_path):
    widgets.explorer({"kd": net()}, X, Y)
    c = shown()
    c["own digit"].value = upload(content)
    alert(c, value, remedy)
    assert listing(tmp_path) == {}
    c["back to the gallery"].click()
    assert "alert" not in c["out"].value


def test_a_bad_image_is_said_in_the_explorer(shown):
    x = X.clone()
    x[3] = NAN
    widgets.explorer({"kd": net()}, x, Y)
    c = shown()
    assert "alert" not in c["out"].value
    c["image"].value = 3
    alert(c, "NaN", "every pixel must be finite")


def test_a_label_of_no_class_is_said_in_the_examples(shown):
    y = Y.clone()
    y[2] = 10
    widgets.examples({"robust": net(), "teacher": net()}, X, y)
    c = shown()
    c["image"].value = 2
    alert(c, "labels run from 10 to 10", "labels 0 to 9")


def test_a_function_that_fails_is_said_beside_the_push(shown):
    def fails(d):
        if np.size(d) == 1 and d > 0.5:
            raise ValueError("f_S is given up to 0.5 only; push less")
        return 0.6 + 0 * d

    widgets.push(
        {
            "mine": dict(
                f_S=fails, f_T=lambda d: 0.5 + 0 * d, ratio=1, sure=1, slope=0.1, reach=1, words=""
            )
        }
    )
    c = shown()
    c["delta"].value = 0.7
    alert(c, "0.5 only", "push less")
    c["delta"].value = 0.2
    assert "alert" not in c["out"].value


@pytest.mark.parametrize(
    "checker, answer, value, remedy",
    [
        (checkers.decibels, 3, "3 is no function", "give its name"),
        (checkers.decibels, lambda db: "10", "TypeError", "what it returns"),
        (
            checkers.noise,
            lambda x, ratio, g: 1 / 0,
            "ZeroDivisionError: division by zero",
            "your function",
        ),
        (checkers.score_loss, None, "None is no function", "give its name"),
        (checkers.predict_scores, "kd", "give a list", "of teacher, standard"),
    ],
)
def test_an_exercise_is_told_what_is_wrong(checker, answer, value, remedy, capsys):
    checker(answer)
    said = capsys.readouterr().out
    assert said.startswith("Not yet: ") and value in said and remedy in said
