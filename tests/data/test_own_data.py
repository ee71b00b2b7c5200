"""A reader's own images: splits, nested folders, sides, class names, torch Datasets, the space."""

import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from rsnl_lib import data, train
from rsnl_lib.data import catalogue, own
from rsnl_lib.measure import evaluate, toolbox
from rsnl_lib.networks import Normalised
from rsnl_lib.train import recipe

PARTS = ("train", "val", "test")


def pictures(path, *classes, n=6, seed=0, side=8):
    """`n` pictures of noise in a folder for each of the classes, which may be nested: "a/more"."""
    for name in classes:
        (path / name).mkdir(parents=True, exist_ok=True)
        for i in range(n):
            rng = np.random.default_rng([seed, i, *name.encode()])
            noise = rng.integers(0, 255, (side, side, 3), dtype=np.uint8)
            Image.fromarray(noise).save(path / name / f"{i}-{seed}.png")
    return path


def split(path, *parts, n=6, names=("cat", "dog")):
    for i, part in enumerate(parts):
        pictures(path / part, *names, n=n, seed=i)
    return path


def counts(d):
    return [getattr(d, f"y_{part}").bincount(minlength=d.classes).tolist() for part in PARTS]


def keys(x):
    """Images as a set of their bytes."""
    return {image.numpy().tobytes() for image in x}


# Splits ------------------------------------------------------------------------------------------


def test_a_split_of_a_readers_folder_is_taken_as_it_is(tmp_path):
    root = split(tmp_path / "mine", *PARTS)
    (root / "notes.txt").write_text("no part")
    (root / ".git").mkdir()
    d = data.load(str(root))
    assert (d.name, d.classes, d.names) == ("mine", 2, ("cat", "dog"))
    assert counts(d) == [[6, 6]] * 3
    for i, part in enumerate(PARTS):
        alone = data.own_folder(split(tmp_path / f"alone{i}", "train", "val", "test") / part)
        every = torch.cat([alone.x_train, alone.x_val, alone.x_test])
        assert keys(getattr(d, f"x_{part}")) == keys(every)


@pytest.mark.parametrize(
    "parts, want",
    [
        (("train", "val"), [[17, 17], [20, 20], [3, 3]]),
        (("train", "test"), [[17, 17], [3, 3], [20, 20]]),
        (("Training", "valid", "testing"), [[20, 20]] * 3),
        (("train", "validation"), [[17, 17], [20, 20], [3, 3]]),
        (("train",), [[14, 14], [3, 3], [3, 3]]),
    ],
)
def test_the_part_that_a_split_lacks_is_cut_from_train(tmp_path, parts, want):
    d = data.own_folder(split(tmp_path / "mine", *parts, n=20))
    assert counts(d) == want
    every = [keys(getattr(d, f"x_{part}")) for part in PARTS]
    assert len(set.union(*every)) == sum(map(len, every)), "no picture in two parts"


def odd_trees(root):
    """(what is done to a whole split, what is said)."""
    return {
        "no train": (lambda: shutil.rmtree(root / "train"), "but no train/; a split is one folder"),
        "a folder more": (lambda: pictures(root, "extra"), "so it is a split, and extra/; "),
        "a part twice": (lambda: split(root, "valid"), "so it is a split, and val"),
        "a class more": (
            lambda: pictures(root / "val", "eel"),
            "mine/train differ in the class 'e",
        ),
        "a class less": (lambda: shutil.rmtree(root / "val/dog"), "differ in the class 'dog'"),
        "an empty class": (
            lambda: [f.unlink() for f in (root / "val/dog").iterdir()],
            "val/dog holds 0 files; each class needs at least 1 picture$",
        ),
        "a leak": (
            lambda: shutil.copy(root / "train/cat/3-0.png", root / "test/cat/same.png"),
            "test/cat/same.png is the same picture as .*train/cat/3-0.png, of another part; remove",
        ),
        "a twin": (
            lambda: shutil.copy(root / "train/cat/3-0.png", root / "test/dog/same.png"),
            "test/dog/same.png is the same picture as .*, of another class; remove",
        ),
    }


@pytest.mark.parametrize("name", list(odd_trees(None)))
def test_a_split_that_cannot_be_meant_is_refused(tmp_path, name):
    root = split(tmp_path / "mine", *PARTS, names=("ant", "cat", "dog"))
    harm, said = odd_trees(root)[name]
    harm()
    with pytest.raises(ValueError, match=said):
        data.own_folder(root)


def test_classes_may_have_the_names_of_parts_where_they_hold_pictures(tmp_path):
    d = data.own_folder(pictures(tmp_path / "vehicles", "train", "plane"))
    assert d.names == ("plane", "train") and counts(d) == [[4, 4], [1, 1], [1, 1]]


# Nested folders, sides, names --------------------------------------------------------------------


def test_pictures_in_the_folders_of_a_class_are_read(tmp_path):
    root = pictures(tmp_path / "nest", "cat", "dog", n=4)
    pictures(root, "cat/more", "dog/more/deep", n=6, seed=1)
    (root / "cat/more/.DS_Store").write_text("hidden")
    d = data.own_folder(root)
    assert np.sum(counts(d), axis=0).tolist() == [10, 10]
    flat = tmp_path / "flat"
    for name in ("cat", "dog"):
        (flat / name).mkdir(parents=True)
        for i, f in enumerate(sorted((root / name).rglob("*.png"))):
            shutil.copy(f, flat / name / f"{i}.png")
    same = data.own_folder(flat)
    assert same.pictures == d.pictures and torch.equal(same.x_train, d.x_train)


@pytest.mark.parametrize("side", [8, 9, 40, 224])
def test_pictures_have_the_side_of_ones_choice(tmp_path, side):
    root = pictures(tmp_path / "big", "cat", "dog", side=30)
    d = data.load(str(root), side=side)
    assert d.x_train.shape[1:] == (3, side, side)
    assert 0 <= d.x_train.min() and d.x_train.max() <= 1


def test_pictures_that_become_smaller_unasked_are_said_once(tmp_path, capsys):
    root = pictures(tmp_path / "large", "cat", "dog", n=3, side=70)
    for _ in range(2):
        assert data.load(str(root)).x_train.shape[-1] == 64
    assert (
        capsys.readouterr().out == "large: pictures of 70 x 70 become 64 x 64; a side keeps more\n"
    )
    assert data.load(str(root), side=70).x_train.shape[-1] == 70
    assert not capsys.readouterr().out


@pytest.mark.parametrize(
    "side, said",
    [
        (0, "side=0"),
        (2.5, "side=2.5"),
        ("64", "side='64'"),
        (10**6, "side=1000000 is more than"),
    ],
)
def test_a_side_that_none_can_have_is_refused(tmp_path, side, said):
    root = pictures(tmp_path / "mine", "cat", "dog", n=3)
    with pytest.raises(ValueError, match=said):
        data.load(str(root), side=side)


def test_a_built_in_set_has_its_own_side():
    with pytest.raises(ValueError, match="side=16 is for a folder of pictures; digits has its own"):
        data.load("digits", side=16)


def test_which_pictures_they_are_tells_side_split_and_nested_files(tmp_path):
    root = split(tmp_path / "mine", *PARTS)
    seen = [data.own_folder(root), data.own_folder(root, side=9)]
    os.rename(root / "val/cat/1-1.png", root / "test/cat/1-1.png")
    seen.append(data.own_folder(root))
    pictures(root, "train/cat/more", n=1, seed=9)
    seen.append(data.own_folder(root))
    flat = tmp_path / "flat/mine"
    shutil.copytree(root / "train", flat)
    seen.append(data.own_folder(flat))
    shutil.rmtree(root / "val")
    shutil.rmtree(root / "test")
    seen.append(data.own_folder(root))
    told = [d.pictures for d in seen]
    assert all(told) and len(set(told[:5])) == 5
    assert told[5] == told[4], "the same pictures, cut in the same way, wherever the classes lie"


# Levels, recipes, the space ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "side, squares",
    [
        (8, [2, 4, 6, 8]),
        (28, [2, 4, 6, 8, 10, 12, 14]),
        (64, [2, 4, 6, 8, 10, 12, 14, 28]),
        (224, [2, 4, 6, 8, 10, 12, 14, 28, 56, 112]),
    ],
)
def test_the_levels_fit_images_of_any_size(side, squares):
    x, y = torch.rand(4, 1, side, side), torch.tensor([0, 1, 0, 1])
    d = data.Data("own", 2, *(x, y) * 3)
    plan = data.fitting(d)
    assert [c.level for c in plan if c.perturbation == "occlusion"] == squares
    net = nn.Sequential(nn.Flatten(), nn.Linear(side * side, 2))
    rows = evaluate.sweep({"a": net}, x, y, plan, draws=1)
    assert len(rows) == len(plan) == len(set(plan))


def test_a_square_that_does_not_fit_is_refused_before_the_work():
    seen = []
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    net.register_forward_hook(lambda *_: seen.append(1))
    x, y = torch.rand(4, 1, 8, 8), torch.tensor([0, 1, 0, 1])
    before = torch.get_rng_state()
    with pytest.raises(ValueError, match="size=10 is larger than the image"):
        evaluate.sweep({"a": net}, x, y, catalogue.levels("own"))
    assert not seen and torch.equal(torch.get_rng_state(), before)


def images(n=40, channels=3, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.rand(n, channels, 8, 8, generator=g), torch.arange(n) % 2


def whitened():
    x, y = images()
    return data.Data("few", 2, *((x - 0.5) / 0.1, y) * 3)


def small(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 2)).eval()


def test_a_recipe_goes_by_the_kind_of_the_images():
    d = whitened()
    kinds = {
        space: recipe("short", d._replace(space=space), "ard") for space in ("normalised", d.space)
    }
    assert not kinds["normalised"].clamp and kinds[d.space].clamp
    assert kinds[d.space] == recipe("short", "few", "ard")
    assert not kinds[d.space].flip and recipe("short", d, flip=True).flip
    for name, one in catalogue.SETS.items():
        r = recipe("short", name)
        assert r.flip == (one.stem == "cifar") and r.clamp == (one.space != "GCN+ZCA")
        assert r.crop == (4 if name == "cifar10_pixels" else 0)


def test_pixels_that_are_none_are_not_trained_on():
    d, r = whitened(), recipe("short", "own", "kd", epochs=1)
    with pytest.raises(ValueError, match=r"few says space='pixels \[0,1\]'.*networks.Normalised"):
        train.fit(small(), d, "kd", r, teacher=small(1))
    said = d._replace(space="normalised")
    assert len(train.fit(small(), said, "kd", r, teacher=small(1)).history) == 1
    noisy = data.perturb.noisy_training_set(data.Data("few", 2, *images() * 3), "gaussian", 3.0)
    assert noisy.x_train.max() > 1
    assert len(train.fit(small(), noisy, "kd", r, teacher=small(1)).history) == 1


def test_fast_ard_is_refused_where_it_would_cut_the_images():
    d = whitened()._replace(space="normalised")
    for method in ("ard", "fast_ard"):
        r = recipe("short", "own", method, epochs=4)
        with pytest.raises(ValueError, match="outside low=0.0 and high=1.0; .*clamp=False"):
            train.fit(small(), d, method, r, teacher=small(1))
        r = recipe("short", d, method, epochs=4)
        assert not r.clamp and train.fit(small(), d, method, r, teacher=small(1)).history


def test_survival_outside_the_box_is_refused():
    x, y = images(4)
    with pytest.raises(
        ValueError, match="pixels run from .*, outside low=0.0.*networks.Normalised"
    ):
        toolbox.survives(small(), (x - 0.5) / 0.1, y, 0.01)


def test_survival_of_a_normalised_network_is_asked_in_pixels():
    pytest.importorskip("art", reason="no adversarial-robustness-toolbox (extra `test`)")
    x, y = images(4)
    net = Normalised((0.5,) * 3, (0.1,) * 3, small())
    assert toolbox.survives(net, x, y, 0.01, steps=1, restarts=1).shape == (4,)


# Datasets and DataLoaders ------------------------------------------------------------------------


class Pairs(Dataset):
    """A Dataset of the pairs, as torchvision's are: `classes` are names."""

    classes = ("no", "yes")

    def __init__(self, x, y):
        self.pairs = list(zip(x, y))

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, i):
        return self.pairs[i]


def test_given_parts_of_a_dataset_stay_as_they_are():
    parts = [images(n, seed=n) for n in (20, 6, 8)]
    made = data.from_dataset(*(Pairs(x, y.tolist()) for x, y in parts), name="mine")
    assert (made.name, made.classes, made.names) == ("mine", 2, ("no", "yes"))
    assert made.space == "pixels [0,1]" and len(made.pictures) == 12
    for part, (x, y) in zip(PARTS, parts):
        assert torch.equal(getattr(made, f"x_{part}"), x)
        assert torch.equal(getattr(made, f"y_{part}"), y)


@pytest.mark.parametrize("batch", [None, 7, 40])
def test_a_loader_gives_what_its_dataset_gives_to_the_last_image(batch):
    x, y = images(40)
    sets = [TensorDataset(x, y)] + [
        Subset(TensorDataset(*images(9, seed=s)), range(9)) for s in (1, 2)
    ]
    plain = data.from_dataset(*sets)
    made = data.from_dataset(*(DataLoader(one, batch_size=batch) for one in sets))
    assert all(torch.equal(a, b) for a, b in zip(plain[2:8], made[2:8]))
    assert made.pictures == plain.pictures and len(made.x_train) == 40 and not made.names


def test_what_is_not_given_is_cut_from_train_twins_together(capsys):
    x, y = images(40)
    x[2], x[6] = x[0], x[0]
    d = data.from_dataset(TensorDataset(x, y))
    every = [keys(getattr(d, f"x_{part}")) for part in PARTS]
    assert len(set.union(*every)) == sum(map(len, every)) == 38, "no image in two parts"
    assert sum(map(sum, counts(d))) == 40 and counts(d)[1][1] == counts(d)[2][1] == 3
    assert not capsys.readouterr().out
    at = [int((x == image).flatten(1).all(1).nonzero()[-1, 0]) for image in d.x_val]
    assert at == sorted(at), "in the Dataset's order"
    again = data.from_dataset(DataLoader(TensorDataset(x, y), batch_size=3))
    assert all(torch.equal(a, b) for a, b in zip(d[2:8], again[2:8]))


def test_images_in_two_parts_or_classes_are_said_and_cut_into_one(capsys):
    x, y = images(40)
    data.from_dataset(
        TensorDataset(x, y), TensorDataset(x[:3], y[:3]), TensorDataset(x[5:7], y[5:7])
    )
    assert "own: 5 images stand in two parts, or in two classes" in capsys.readouterr().out
    x[1] = x[0]
    d = data.from_dataset(TensorDataset(x, y))
    assert "own: 1 images stand in two parts" in capsys.readouterr().out
    assert sum(keys(x[:1]) <= keys(getattr(d, f"x_{part}")) for part in PARTS) == 1


def test_pictures_of_pil_come_to_the_unit_interval():
    grey = [Image.fromarray(np.full((8, 9), 40 * i, np.uint8)) for i in range(6)]
    d = data.from_dataset(Pairs(grey, [0, 1] * 3), *[Pairs(grey[:2], [0, 1])] * 2)
    assert d.x_train.shape == (6, 1, 8, 9)
    assert torch.equal(d.x_train[:, 0, 0, 0], torch.arange(6) * 40 / torch.tensor(255.0))


def test_what_a_dataset_gives_is_trained_on():
    x, y = images(40)
    d = data.from_dataset(TensorDataset(x, y), name="mine")
    r = recipe("short", d, "kd", epochs=1)
    assert len(train.fit(small(), d, "kd", r, teacher=small(1)).history) == 1


X, Y = images(20)


class Endless(IterableDataset):
    def __iter__(self):
        yield from zip(X, Y)


@pytest.mark.parametrize(
    "given, said",
    [
        (lambda: dict(train=iter([1])), "train is a list_iterator; give a Dataset of known length"),
        (
            lambda: dict(train=Endless()),
            "train is a Endless; give a Dataset of known length or a D",
        ),
        (lambda: dict(train=TensorDataset(X)), "train gives a tuple; it must give pairs"),
        (lambda: dict(train=[{"x": 1, "y": 2}]), "train gives a dict; it must give pairs"),
        (lambda: dict(train=[]), "train is empty; give at least one image"),
        (lambda: dict(train=TensorDataset((X * 255).byte(), Y)), r"train\[0\] holds a torch.uint8"),
        (lambda: dict(train=TensorDataset(X[:, 0], Y)), r"of shape \(8, 8\); give a float tensor"),
        (lambda: dict(train=[(X[0].numpy(), 0)]), "holds a ndarray; .*transforms.ToTensor"),
        (
            lambda: dict(train=[(X[0], 0), (X[1, :, 1:], 1)]),
            r"train\[1\] is \(3, 7, 8\), train\[0\]",
        ),
        (lambda: dict(val=TensorDataset(X[:, :, 1:], Y)), r"val is \(3, 7, 8\), train \(3, 8, 8\)"),
        (
            lambda: dict(train=TensorDataset(X, Y - 1)),
            r"train\[0\] has label tensor\(-1\); it must",
        ),
        (lambda: dict(train=TensorDataset(X, Y.float())), "has label tensor"),
        (lambda: dict(train=TensorDataset(X, nn.functional.one_hot(Y))), "whole number: 0, 1, ..."),
        (lambda: dict(train=TensorDataset(X, Y + 1)), "class 0 has no image in train; number the"),
        (lambda: dict(train=TensorDataset(X, 10**17 * Y)), "has no image in train; number the"),
        (lambda: dict(train=TensorDataset(X, 0 * Y)), "all labels are 0; .*at least 2 classes"),
        (lambda: dict(val=TensorDataset(X, Y + 1)), "class 2 has no image in train"),
        (lambda: dict(names=("a", "b", "c")), "3 names of 2 classes; give one for each, or none"),
        (lambda: dict(name="cifar10"), "name='cifar10' is that of a built-in data set; choose"),
        (lambda: dict(name="a/../../x\n"), "cannot name files"),
        (
            lambda: dict(train=TensorDataset(X * 255, Y)),
            r"outside low=0.0.*train is no space='pixels",
        ),
        (lambda: dict(train=TensorDataset(X * float("nan"), Y)), "NaN or infinite"),
        (
            lambda: dict(train=DataLoader(TensorDataset(X, Y), batch_size=3, drop_last=True)),
            "train is a DataLoader with drop_last=True, which loses images",
        ),
        (
            lambda: dict(train=TensorDataset(X[:4], Y[:4])),
            "train has 2 different images of class 0; to cut val and test from it takes 3",
        ),
    ],
)
def test_a_dataset_that_cannot_be_used_is_refused_in_words(given, said):
    with pytest.raises(ValueError, match=said):
        data.from_dataset(**(dict(train=TensorDataset(X, Y)) | given()))


def test_images_in_a_space_of_their_own_are_taken_under_its_name():
    d = data.from_dataset(TensorDataset(X * 255, Y), space="0 to 255")
    assert d.space == "0 to 255" and not recipe("short", d, "ard").clamp


def test_shares_are_the_rule_of_both(monkeypatch):
    seen = []
    real = own.shares
    monkeypatch.setattr(own, "shares", lambda *a: seen.append(1) or real(*a))
    data.from_dataset(TensorDataset(X, Y))
    assert len(seen) == 2
    assert real(map(str, range(9)), ["val", "test"]) == {
        "val": ["0"],
        "test": ["1"],
        "train": [*"2345678"],
    }
    assert sum(map(len, real(map(str, range(20)), []).values())) == 20
