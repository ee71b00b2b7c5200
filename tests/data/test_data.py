"""The data sets as documented, what happens to damaged files, and a reader's own picture."""

import gzip
import io
import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from rsnl_lib import data, env
from rsnl_lib.data import own, sets
from rsnl_lib.data.catalogue import SETS

HERE = env.data_folder()
mnist_there = pytest.mark.skipif(
    not (HERE / "MNIST" / "raw").is_dir(),
    reason="MNIST is not downloaded; set RSNL_DATA or run: python -m rsnl_lib data mnist",
)


def test_digits_are_split_into_disjoint_stratified_parts_in_range():
    d, again = data.load("digits"), sets.digits()
    parts = [(d.x_train, d.y_train), (d.x_val, d.y_val), (d.x_test, d.y_test)]
    assert [len(x) for x, _ in parts] == [len(y) for _, y in parts] == [1000, 297, 500]
    every = torch.cat([y for _, y in parts]).bincount() / 1797
    for x, y in parts:
        assert x.shape[1:] == (1, 8, 8) and x.dtype == torch.float32 and y.dtype == torch.int64
        assert x.min() == 0 and x.max() == 1
        assert ((y.bincount() - every * len(y)).abs() < 1).all()
    from sklearn.datasets import load_digits

    original = np.sort(
        load_digits().data.reshape(1797, 64) @ np.arange(1.0, 65.0) ** 2
    )  # each image once, none twice
    ours = np.sort(
        torch.cat([x for x, _ in parts]).flatten(1).double().numpy()
        * 16
        @ np.arange(1.0, 65.0) ** 2
    )
    np.testing.assert_array_equal(ours, original)
    assert torch.equal(d.x_train, again.x_train) and torch.equal(d.y_test, again.y_test)


def test_an_unknown_data_set_is_refused_with_the_known_ones():
    with pytest.raises(
        ValueError, match="dataset='minst' is unknown; choose one of: digits, mnist"
    ):
        data.load("minst")


@mnist_there
def test_mnist_has_the_published_sizes_class_counts_and_power():
    d = data.load("mnist", HERE)
    assert [tuple(x.shape) for x in (d.x_train, d.x_val, d.x_test)] == [
        (n, 1, 28, 28) for n in (50000, 10000, 10000)
    ]
    assert torch.cat([d.y_train, d.y_val]).bincount().tolist() == [
        5923,
        6742,
        5958,
        6131,
        5842,
        5421,
        5918,
        6265,
        5851,
        5949,
    ]
    assert d.y_test.bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    train = torch.cat([d.x_train, d.x_val])
    assert train.min() == 0 and train.max() == 1
    assert train.mean().item() == pytest.approx(0.1307, abs=1e-4)
    assert train.square().mean().item() == pytest.approx(0.1120, abs=5e-5)
    assert d.x_test.square().mean().item() == pytest.approx(0.1140, abs=1e-4)


@pytest.mark.parametrize("harm", ["cut", "missing"])
def test_a_damaged_or_missing_mnist_file_is_named_with_the_remedy_and_nothing_is_left(
    tmp_path, monkeypatch, harm
):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    whole = {}
    for name in sets.SOURCES["MNIST"]:
        (tmp_path / name).write_bytes(name.encode())
        whole[name] = sets.hashlib.md5(name.encode()).hexdigest()
    monkeypatch.setitem(sets.SOURCES, "MNIST", whole)
    victim = raw / "train-labels-idx1-ubyte"
    victim.unlink()
    if harm == "cut":
        victim.write_bytes(b"train")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError) as error:
        data.load("mnist", tmp_path)
    said = str(error.value)
    assert (
        f"{victim} is {'damaged' if harm == 'cut' else 'missing'}" in said
        and f"delete the folder {raw}" in said
    )
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("harm", [b"other", None])
def test_what_was_unpacked_beside_a_checked_archive_must_be_its_content(
    tmp_path, monkeypatch, harm
):
    packed = gzip.compress(b"images")
    sums = {"MNIST/raw/images.gz": sets.hashlib.md5(packed).hexdigest()}
    monkeypatch.setitem(sets.SOURCES, "MNIST", sums)
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "images.gz").write_bytes(packed)
    (raw / "images").write_bytes(b"images")
    assert data.files("mnist", tmp_path) == tmp_path
    (raw / "images").unlink() if harm is None else (raw / "images").write_bytes(harm)
    with pytest.raises(ValueError, match="raw/images is (damaged|missing): delete the folder"):
        data.files("mnist", tmp_path)


@pytest.mark.parametrize("source", ["NoSuch", "KMNIST", "SVHN", "utils"])
def test_a_row_of_the_catalogue_whose_files_are_not_known_is_refused(tmp_path, monkeypatch, source):
    monkeypatch.setitem(SETS, "odd", SETS["mnist"]._replace(source=source))
    with pytest.raises(ValueError, match=f"source='{source}' of odd has no checksums; add them"):
        data.files("odd", tmp_path)
    monkeypatch.setitem(sets.SOURCES, source, {"a": sets.hashlib.md5(b"a").hexdigest()})
    if source != "KMNIST":
        with pytest.raises(ValueError, match=f"source='{source}' is no data set of torch.*; name"):
            data.files("odd", tmp_path / "new")
        assert not list(tmp_path.iterdir())
        (tmp_path / "a").write_bytes(b"a")
        with pytest.raises(ValueError, match=f"source='{source}' is no data set of torchvision's"):
            sets.published("odd", tmp_path)


def test_a_failed_download_says_what_to_do_and_leaves_nothing(tmp_path, monkeypatch):
    def fail(root, train, download):
        (sets.pathlib.Path(root) / "MNIST").mkdir()
        raise RuntimeError("no route")

    monkeypatch.setattr("torchvision.datasets.MNIST", fail)
    with pytest.raises(OSError, match="could not be downloaded .no route.*dataset='digits'"):
        data.load("mnist", tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []


def test_a_download_moves_in_beside_what_is_left_of_an_older_one(tmp_path, monkeypatch):
    def loaded(root, train, download):
        raw = sets.pathlib.Path(root) / "MNIST" / "raw"
        raw.mkdir(parents=True, exist_ok=True)
        (raw / "one").write_text("1")

    monkeypatch.setattr("torchvision.datasets.MNIST", loaded)
    (tmp_path / "MNIST" / "processed").mkdir(parents=True)
    data.fetch("mnist", tmp_path)
    assert (tmp_path / "MNIST" / "raw" / "one").read_text() == "1"
    assert [p.name for p in tmp_path.iterdir()] == ["MNIST"]


def test_the_gallery_holds_the_first_test_images_of_each_class():
    x, y = data.gallery("digits", 30)
    d = sets.digits()
    assert x.shape == (30, 1, 8, 8) and y.tolist() == [c for c in range(10) for _ in range(3)]
    for c in (0, 9):
        assert torch.equal(x[3 * c : 3 * c + 3], d.x_test[d.y_test == c][:3])


def test_the_colour_gallery_holds_the_first_test_images_as_pixels_and_as_networks_get_them(
    folder=os.environ.get("RSNL_DATA"),
):
    x, y = data.gallery("cifar10")
    with np.load(env.GALLERY / "cifar10.npz") as f:
        pixels = torch.from_numpy(f["x"]).float() / 255
        again = torch.from_numpy(f["y"]).long()
    assert (
        x.shape == pixels.shape == (20, 3, 32, 32)
        and torch.equal(y, again)
        and y.tolist() == [c for c in range(10) for _ in range(2)]
    )
    assert 0 <= pixels.min() and pixels.max() <= 1 and x.min() < -1 and abs(x.mean()) < 0.05
    if not folder or not data.has_files("cifar10", folder):
        pytest.skip("CIFAR-10 is not in RSNL_DATA: the gallery was not compared with it")
    from torchvision.datasets import CIFAR10

    raw = CIFAR10(folder, train=False)
    index = torch.cat([torch.nonzero(torch.tensor(raw.targets) == c)[:2, 0] for c in range(10)])
    assert torch.equal(
        (pixels * 255).round().byte().permute(0, 2, 3, 1), torch.from_numpy(raw.data)[index]
    )


def picture(ink=0, paper=255, size=(90, 60), box=(10, 35, 18, 55), kind="PNG", mode="L"):
    """The bytes of a picture with one bar of `ink`, off its centre."""
    image = Image.new("L", size, paper)
    image.paste(ink, box)
    out = io.BytesIO()
    image.convert(mode).save(out, kind)
    return out.getvalue()


def test_dark_on_white_equals_light_on_black(tmp_path):
    dark, light = data.own_picture(picture()), data.own_picture(picture(255, 0))
    assert dark.shape == (1, 1, 28, 28) and dark.dtype == torch.float32
    assert dark.min() == 0 and dark.max() == pytest.approx(1, abs=0.01) and dark.mean() < 0.5
    torch.testing.assert_close(dark, light, rtol=0, atol=0.01)
    torch.testing.assert_close(dark, data.own_picture(picture(mode="RGB")), rtol=0, atol=0.01)
    (tmp_path / "one.png").write_bytes(picture())
    assert torch.equal(dark, data.own_picture(tmp_path / "one.png"))
    assert torch.equal(dark, data.own_picture(str(tmp_path / "one.png")))


@pytest.mark.parametrize("size, side", [(28, 20), (8, 8)])
def test_the_digit_is_centred_by_its_mass_and_fits_its_box(size, side):
    image = Image.open(io.BytesIO(picture()))
    image.paste(0, (18, 50, 24, 55))  # an L: its mass is not in its middle
    out = io.BytesIO()
    image.save(out, "PNG")
    x = data.own_picture(out.getvalue(), size)[0, 0]
    rows, cols = torch.where(x.amax(1) > 0.2)[0], torch.where(x.amax(0) > 0.2)[0]
    assert rows[-1] - rows[0] + 1 == side and cols[-1] - cols[0] + 1 < side
    at = torch.arange(size).float()
    for marginal in (x.sum(1), x.sum(0)):
        assert abs(marginal @ at / marginal.sum() - (size - 1) / 2) <= 0.51


def test_transparent_paper_is_white():
    image = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (18, 5, 22, 35))
    out = io.BytesIO()
    image.save(out, "PNG")
    x = data.own_picture(out.getvalue())
    assert x[0, 0, 14, 14] > 0.9 and x[0, 0, :, :5].max() == 0


@pytest.mark.parametrize(
    "source, said",
    [
        (picture(255, 255), "shows no ink"),
        (picture(0, 0), "shows no ink"),
        (b"", "0 bytes cannot be read as a picture.*give a PNG or JPEG"),
        (b"digit", "5 bytes cannot be read as a picture"),
        (picture()[:60], "60 bytes cannot be read as a picture"),
        ("no/such.png", "there is no file 'no/such.png'; give the path of a PNG or JPEG"),
        (
            picture(size=(5001, 5000)),
            "5001 x 5000 pixels; at most 25,000,000 pixels are read, make it smaller",
        ),
        (None, "None is no picture; give the path or the bytes of a PNG or JPEG"),
    ],
)
def test_what_is_no_usable_picture_is_refused_in_words(source, said):
    with pytest.raises(ValueError, match=said):
        data.own_picture(source)


@mnist_there
def test_one_flipped_byte_of_mnist_is_found(tmp_path):
    shutil.copytree(HERE / "MNIST", tmp_path / "MNIST")
    path = tmp_path / "MNIST" / "raw" / "t10k-labels-idx1-ubyte"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.unlink()
    path.write_bytes(content)
    with pytest.raises(ValueError, match="t10k-labels-idx1-ubyte is damaged"):
        data.load("mnist", tmp_path)


def there(*names):
    """Skips a test of a data set whose files are not in the folder."""
    return pytest.mark.skipif(
        not all((HERE / name).exists() for name in names),
        reason=f"{names[0]} is not in {HERE}; set RSNL_DATA or run: python -m rsnl_lib data NAME",
    )


@pytest.fixture(scope="module")
def usps():
    """{name: Data}, and what torchvision reads; each file is parsed once."""
    import functools

    import torchvision.datasets

    with pytest.MonkeyPatch.context() as m:
        m.setattr(torchvision.datasets, "USPS", functools.cache(torchvision.datasets.USPS))
        return {
            name: data.load(name, HERE) for name in ("usps", "usps_resized")
        }, torchvision.datasets.USPS(HERE, train=False)


@there("usps.bz2", "usps.t.bz2")
@pytest.mark.parametrize("name, border", [("usps", 6), ("usps_resized", 4)])
def test_usps_has_the_published_sizes_and_class_counts_inside_a_border_of_zeros(usps, name, border):
    d = usps[0][name]
    parts = (d.x_train, d.x_val, d.x_test)
    assert (
        [tuple(x.shape) for x in parts] == [(n, 1, 28, 28) for n in (6076, 1215, 2007)]
        and d.name == name
        and d.classes == 10
    )
    assert torch.cat([d.y_train, d.y_val]).bincount().tolist() == [
        1194,
        1005,
        731,
        658,
        652,
        556,
        664,
        645,
        542,
        644,
    ]
    assert d.y_test.bincount().tolist() == [359, 264, 198, 166, 200, 160, 170, 147, 166, 177]
    assert all(x.dtype == torch.float32 and x.min() == 0 and 0.99 < x.max() <= 1 for x in parts)
    ink = torch.cat(parts).amax((0, 1)) > 0.5
    rows, cols = ink.any(1).nonzero()[:, 0], ink.any(0).nonzero()[:, 0]
    assert [rows[0], rows[-1], cols[0], cols[-1]] == [
        border,
        27 - border,
    ] * 2, "the digits fill what the border leaves"
    inside = torch.nn.functional.pad(torch.ones(28 - 2 * border, 28 - 2 * border), [border] * 4)
    assert torch.cat(parts)[:, :, inside == 0].count_nonzero() == 0, "zeros around"


@there("usps.bz2", "usps.t.bz2")
def test_usps_as_published_lies_inside_usps_and_resized_is_the_same_digits_larger(usps):
    (d, large), raw = usps[0].values(), usps[1]
    np.testing.assert_array_equal((d.x_test[:, 0, 6:22, 6:22] * 255).round().numpy(), raw.data)
    assert d.y_test.tolist() == [int(v) for v in raw.targets] and torch.equal(
        d.y_test, large.y_test
    )
    assert not torch.equal(d.x_test, large.x_test)
    ratio = large.x_test.sum((1, 2, 3)) / d.x_test.sum((1, 2, 3))
    assert ratio.median() == pytest.approx((20 / 16) ** 2, rel=0.02), "ink grows with the area"
    small = torch.nn.functional.interpolate(
        large.x_test[:, :, 4:24, 4:24], size=16, mode="bilinear", antialias=True
    )
    assert (small - d.x_test[:, :, 6:22, 6:22]).abs().mean() < 0.04


@there("cifar-10-batches-py")
def test_cifar_as_pixels_is_the_same_images_unwhitened_under_a_name_and_a_recipe_of_its_own(
    monkeypatch,
):
    from rsnl_lib import train
    from rsnl_lib.data import catalogue
    from rsnl_lib.study import jobs

    d = data.load("cifar10_pixels", HERE)
    monkeypatch.setitem(SETS, "cifar10", SETS["cifar10"]._replace(space="pixels [0,1]"))
    known = data.load("cifar10", HERE)
    monkeypatch.undo()
    assert (
        d.name == "cifar10_pixels"
        and d.space == "pixels [0,1]"
        and torch.equal(d.x_test, known.x_test)
        and data.has_files("cifar10_pixels", HERE)
    )
    assert (
        catalogue.SETS[d.name].images == (len(d.x_train), len(d.x_test))
        and jobs.Job(d.name, "kd").net == "cifar_student4"
    )
    r = train.recipe("short", d.name, "ard")
    assert (r.clamp, r.flip, r.crop, r.epsilon, r.tau) == (
        True,
        True,
        4,
        8 / 255,
        30.0,
    ) and not train.recipe("short", "cifar10", "ard").clamp


@pytest.mark.parametrize(
    "name, each",
    [
        pytest.param("cifar10", 5000, marks=there("cifar-10-batches-py")),
        pytest.param("cifar100", 500, marks=there("cifar-100-python")),
    ],
)
def test_cifar_has_the_published_sizes_and_class_counts(monkeypatch, name, each):
    monkeypatch.setitem(SETS, name, SETS[name]._replace(space="pixels [0,1]"))
    d = data.load(name, HERE)
    parts = (d.x_train, d.x_val, d.x_test)
    assert [tuple(x.shape) for x in parts] == [(n, 3, 32, 32) for n in (40000, 10000, 10000)]
    assert d.classes == 50000 // each and d.name == name and d.space == "pixels [0,1]"
    assert torch.cat([d.y_train, d.y_val]).bincount().tolist() == [each] * d.classes
    assert d.y_test.bincount().tolist() == [each // 5] * d.classes
    assert all(x.dtype == torch.float32 and x.min() == 0 and x.max() == 1 for x in parts)
    means = {"cifar10": (0.4914, 0.4822, 0.4465), "cifar100": (0.5071, 0.4865, 0.4409)}[
        name
    ]  # red, green, blue
    got = (4 * d.x_train.mean((0, 2, 3)) + d.x_val.mean((0, 2, 3))) / 5
    torch.testing.assert_close(got, torch.tensor(means), rtol=0, atol=2e-4)


VICTIMS = [
    ("usps", "usps.t.bz2"),
    ("usps_resized", "usps.bz2"),
    ("cifar10", "data_batch_3"),
    ("cifar100", "train"),
    ("mnist", "t10k-labels-idx1-ubyte"),
]


@pytest.mark.parametrize("harm", ["cut", "missing"])
@pytest.mark.parametrize("name, victim", VICTIMS)
def test_a_damaged_or_missing_file_of_every_set_is_named_with_the_remedy(
    tmp_path, monkeypatch, name, victim, harm
):
    known = sets.SOURCES[SETS[name].source]
    where = (tmp_path / next(iter(known))).parent
    where.mkdir(parents=True, exist_ok=True)
    for f in known:
        (tmp_path / f).write_bytes(f.encode())
    whole = {f: sets.hashlib.md5(f.encode()).hexdigest() for f in known}
    monkeypatch.setitem(sets.SOURCES, SETS[name].source, whole)
    assert data.files(name, tmp_path) == tmp_path  # whole files pass
    (where / victim).write_bytes(b"cut") if harm == "cut" else (where / victim).unlink()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError) as error:
        data.load(name, tmp_path)
    delete = (
        f"delete the folder {where}"
        if where != tmp_path
        else f"delete {tmp_path / 'usps.bz2'} and {tmp_path / 'usps.t.bz2'}"
    )
    assert (
        f"{where / victim} is {'damaged' if harm == 'cut' else 'missing'}: {delete} and load again"
        in str(error.value)
    )
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["usps", "cifar10", "cifar100"])
def test_a_failed_download_of_every_set_names_its_files_and_leaves_nothing(
    tmp_path, monkeypatch, name
):
    kind = SETS[name].source
    last = sets.pathlib.PurePosixPath(list(sets.SOURCES[kind])[-1])
    place = last.parent

    def fail(root, train, download):
        if not train:  # half of it had come
            raise RuntimeError("no route")
        (sets.pathlib.Path(root) / ("usps.bz2" if name == "usps" else place)).mkdir()

    monkeypatch.setattr(f"torchvision.datasets.{kind}", fail)
    said = f"{name} could not be downloaded .no route.*{last.name} into {tmp_path / 'new' / place}"
    with pytest.raises(OSError, match=said):
        data.load(name, tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []


def test_a_download_of_single_files_moves_them_beside_other_sets(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "torchvision.datasets.USPS",
        lambda root, train, download: (
            sets.pathlib.Path(root) / ("usps.bz2" if train else "usps.t.bz2")
        ).write_text(str(train)),
    )
    (tmp_path / "MNIST").mkdir()
    data.fetch("usps", tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["MNIST", "usps.bz2", "usps.t.bz2"]
    assert (tmp_path / "usps.bz2").read_text() == "True" and (
        tmp_path / "usps.t.bz2"
    ).read_text() == "False"


@there("usps.bz2", "usps.t.bz2")
def test_one_flipped_byte_of_usps_is_found(tmp_path):
    for name in ("usps.bz2", "usps.t.bz2"):
        content = bytearray((HERE / name).read_bytes())
        content[1000] ^= name == "usps.t.bz2"
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match="usps.t.bz2 is damaged"):
        data.load("usps", tmp_path)


def pictures(path, counts, mode="L", size=(12, 10)):
    """A folder of pictures, one folder a class; the class's number is in the brightness of its
    first channel.
    """
    for label, (name, count) in enumerate(counts.items()):
        (path / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            Image.new(mode, size, 40 * label + i if mode == "L" else (40 * label + i, 200, 7)).save(
                path / name / f"{i:03}.png"
            )
    return path


def test_a_readers_folder_is_split_70_15_15_in_each_class_the_same_each_time(tmp_path):
    folder = pictures(tmp_path / "mine", {"pear": 40, "apple": 20})
    (folder / ".hidden").mkdir()
    (folder / "notes.txt").write_text("no class")
    (folder / "apple" / ".DS_Store").write_text("no picture")
    d, again = data.load(str(folder)), data.own_folder(folder)
    assert (d.name, d.classes, d.space) == ("mine", 2, "pixels [0,1]")
    parts = [(d.x_train, d.y_train), (d.x_val, d.y_val), (d.x_test, d.y_test)]
    assert [y.bincount().tolist() for _, y in parts] == [[14, 28], [3, 6], [3, 6]]
    for x, y in parts:
        assert (
            x.shape == (len(y), 1, 10, 10) and x.dtype == torch.float32 and y.dtype == torch.int64
        )
        grey = (x.amax((1, 2, 3)) * 255).round()
        assert ((grey < 40) == (y == 1)).all(), "classes in alphabetical order: apple 0, pear 1"
    grey = torch.cat([(x.amax((1, 2, 3)) * 255).round() for x, _ in parts])
    assert sorted(grey.tolist()) == [*range(40), *range(40, 60)], "each picture once"
    assert all(torch.equal(a, b) for a, b in zip(d, again) if isinstance(a, torch.Tensor))


def test_the_split_of_a_readers_folder_depends_on_the_pictures_and_not_on_their_names(tmp_path):
    folder = pictures(tmp_path / "mine", {"a": 12, "b": 12})
    before = data.own_folder(folder)
    for i, f in enumerate(sorted((folder / "a").iterdir())):
        f.rename(f.with_name(f"renamed-{11 - i:02}.png"))
    assert all(
        torch.equal(a, b)
        for a, b in zip(before, data.own_folder(folder))
        if isinstance(a, torch.Tensor)
    )


def test_a_picture_that_lies_there_twice_counts_once_and_in_two_classes_is_refused(tmp_path):
    folder = pictures(tmp_path / "mine", {"a": 12, "b": 12})
    before = data.own_folder(folder)
    for f in list((folder / "a").iterdir()):
        shutil.copy(f, f.with_name(f"copy of {f.name}"))
    assert all(
        torch.equal(a, b)
        for a, b in zip(before, data.own_folder(folder))
        if isinstance(a, torch.Tensor)
    )
    shutil.copy(folder / "a" / "001.png", folder / "b" / "same.png")
    with pytest.raises(
        ValueError, match="same.png is the same picture as .*001.png, of another class; remove one"
    ):
        data.own_folder(folder)


def test_a_readers_folder_is_grey_if_every_picture_is_and_colour_otherwise(tmp_path):
    grey, colour = (
        pictures(tmp_path / "grey", {"a": 3, "b": 3}),
        pictures(tmp_path / "colour", {"a": 3, "b": 3}, "RGB"),
    )
    assert data.own_folder(grey).x_train.shape == (2, 1, 10, 10)
    d = data.own_folder(colour)
    assert d.x_train.shape == (2, 3, 10, 10)
    assert ((d.x_test[:, 1:, 0, 0] * 255).round() == torch.tensor([200, 7])).all(), (
        "red, green, blue"
    )
    Image.new("RGB", (5, 5)).save(grey / "b" / "colour.png")
    assert data.own_folder(grey).x_train.shape == (3, 3, 10, 10)
    assert data.own_folder(grey, side=6).x_train.shape == (3, 3, 6, 6)
    assert data.own_folder(
        pictures(tmp_path / "large", {"a": 3, "b": 3}, size=(90, 80))
    ).x_train.shape[2:] == (64, 64)


def test_transparent_paper_of_a_readers_picture_is_white_and_a_turned_photograph_is_upright(
    tmp_path,
):
    for name in "ab":
        (tmp_path / name).mkdir()
        for i in range(3):
            image = Image.new("LA", (8, 6), (0, 0))
            image.paste((ord(name) - 97 + i, 255), (0, 0, 2, 3))  # dark ink, top left
            image = (
                image
                if name == "a"
                else image.convert("RGBA").convert("P")
                if i
                else image.convert("RGBA")
            )
            turned = Image.Exif()
            turned[0x112] = 6 if i == 2 else 1  # to be turned by 90 degrees
            image.save(tmp_path / name / f"{i}.png", exif=turned)
    d = data.own_folder(tmp_path)
    every = torch.cat([d.x_train, d.x_val, d.x_test])
    assert every.shape == (6, 3, 6, 6)
    corners = every[:, 0, [0, 0, -1, -1], [0, -1, 0, -1]].round().tolist()
    assert sorted(corners) == sorted([[0, 1, 1, 1]] * 4 + [[1, 0, 1, 1]] * 2)


def test_sixteen_bits_of_grey_are_scaled_not_cut(tmp_path):
    for name, level in (("a", 16384), ("b", 49152)):
        (tmp_path / name).mkdir()
        for i in range(3):
            Image.fromarray(np.full((8, 8), level + i, dtype=np.uint16)).save(
                tmp_path / name / f"{i}.png"
            )
    d = data.own_folder(tmp_path)
    assert d.x_train.shape == (2, 1, 8, 8)
    torch.testing.assert_close(
        d.x_train.mean((1, 2, 3)), torch.tensor([0.25, 0.75]), rtol=0, atol=0.01
    )


@pytest.mark.parametrize(
    "counts, harm, said",
    [
        (
            {"a": 5},
            None,
            (
                "holds 1 folders; a data set needs one folder of pictures for each of at least 2"
                " classes"
            ),
        ),
        ({}, None, "holds 0 folders"),
        ({"a": 5, "b": 2}, None, "b holds 2 files; each class needs at least 3 pictures"),
        (
            {"a": 5, "b": 5},
            b"no picture",
            "bad.png cannot be read as a picture .*; remove it or give a PNG or JPEG",
        ),
        ({"a": 5, "b": 5}, picture()[:60], "bad.png cannot be read as a picture"),
        (
            {"a": 5, "b": 5},
            picture(size=(5001, 5000)),
            "bad.png is 5001 x 5000 pixels; at most 25,000,000 pixels are read",
        ),
    ],
)
def test_a_readers_folder_that_cannot_be_used_is_refused_in_words(tmp_path, counts, harm, said):
    pictures(tmp_path, counts)
    if harm:
        (tmp_path / "b" / "bad.png").write_bytes(harm)
    with pytest.raises(ValueError, match=said):
        data.load(str(tmp_path))


def test_a_folder_of_other_files_is_said_before_anything_is_downloaded(tmp_path):
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    (tmp_path / "MNIST" / "raw" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds files, but none of mnist's; delete that folder"):
        data.load("mnist", tmp_path)
    assert (tmp_path / "MNIST" / "raw" / "notes.txt").read_text() == "mine"


def encoded(pixels, kind="tiff"):
    raw = io.BytesIO()
    Image.fromarray(pixels).save(raw, kind)
    return raw.getvalue()


ODD_PICTURES = {
    "no picture": (b"hello", "of no known format"),
    "nothing": (b"", "of no known format"),
    "a damaged PNG": (b"\x89PNG\r\n\x1a\n" + bytes(40), "cannot be read"),
    "a cut TIFF": (b"II*\0" + b"\xff" * 50, "cannot be read"),
    "NaN": (encoded(np.full((8, 8), np.nan, np.float32)), "holds pixels as decimals; save it"),
    "infinite": (encoded(np.full((8, 8), np.inf, np.float32)), "holds pixels as decimals"),
    "decimals in [0, 1]": (encoded(np.full((8, 8), 0.5, np.float32)), "holds pixels as decimals"),
    "more than 16 bits": (encoded(np.full((8, 8), 70_000, np.int32)), "pixels of 70000 to 70000"),
    "below zero": (encoded(np.full((8, 8), -5, np.int32)), "pixels of -5 to -5, not of 0 to 65535"),
    "PostScript": (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(x) print\n%%EOF\n",
        "PostScript is a program, which is not run",
    ),
}


@pytest.mark.parametrize("content, said", ODD_PICTURES.values(), ids=ODD_PICTURES)
@pytest.mark.filterwarnings("ignore:.*EXIF")
def test_an_odd_picture_is_refused_by_the_name_of_its_file_and_no_address(tmp_path, content, said):
    (pictures(tmp_path, {"a": 5, "b": 5}) / "b" / "bad.png").write_bytes(content)
    with pytest.raises(ValueError, match=f"/b/bad.png .*{said}") as refused:
        data.load(str(tmp_path))
    assert " at 0x" not in str(refused.value) and "BytesIO" not in str(refused.value)
    for source in (content, str(tmp_path / "b" / "bad.png")):
        with pytest.raises(ValueError, match=said) as refused:
            data.own_picture(source)
        assert " at 0x" not in str(refused.value) and "BytesIO" not in str(refused.value)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["png", "gif", "bmp", "tiff", "ppm", "webp", "ico", "tga"])
def test_a_damaged_picture_is_read_or_refused_in_words(tmp_path, kind):
    good = encoded(np.arange(256, dtype=np.uint8).reshape(16, 16), kind)
    random = np.random.default_rng(0)
    for cut in (*range(0, len(good), max(1, len(good) // 20)), *[len(good)] * 80):
        raw = bytearray(good[:cut])
        for i in random.integers(0, max(1, min(cut, 200)), 3) if cut else ():
            raw[i] = random.integers(256)
        try:
            own._open(io.BytesIO(raw), "mine", "give")
        except ValueError as error:
            assert str(error).startswith("mine ") and " at 0x" not in str(error)


def test_sixteen_bits_of_a_digit_are_read_as_eight():
    pixels = np.zeros((40, 40), np.uint16)
    pixels[8:30, 15:25] = 40_000
    want = data.own_picture(encoded((pixels // 256).astype(np.uint8), "png"))
    assert torch.equal(data.own_picture(encoded(pixels, "png")), want) and want.max() > 0.9


def test_what_is_no_file_is_named(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", tmp_path):
        with pytest.raises(ValueError, match=f"{place} is no file; give the path"):
            data.own_picture(str(place))
    pictures(tmp_path / "own", {"a": 3, "b": 3})
    (tmp_path / "own" / "b" / "more").symlink_to(tmp_path / "own" / "a")
    with pytest.raises(ValueError, match="own/b/more is no file; a class holds pictures alone"):
        data.own_folder(tmp_path / "own")
    (tmp_path / "own" / "b" / "more").unlink()
    os.mkfifo(tmp_path / "own" / "b" / "pipe.png")
    with pytest.raises(ValueError, match="own/b/pipe.png is no file"):
        data.own_folder(tmp_path / "own")


def test_a_file_of_too_many_bytes_is_not_read(tmp_path):
    pictures(tmp_path, {"a": 3, "b": 3})
    with open(tmp_path / "a" / "hole.png", "wb") as f:
        f.truncate(own.MAX_BYTES + 1)
    with pytest.raises(ValueError, match="a/hole.png is larger than 268,435,456 bytes"):
        data.own_folder(tmp_path)
