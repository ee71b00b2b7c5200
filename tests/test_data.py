"""The data sets as documented, what happens to damaged files, and a reader's own picture."""
import io
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from rsnl_lib import data, settings

HERE = settings.data_folder()
mnist_there = pytest.mark.skipif(not (HERE / "MNIST" / "raw").is_dir(),
                                 reason="MNIST is not downloaded; set RSNL_DATA or run: python -m rsnl_lib data mnist")


def test_digits_are_split_into_disjoint_stratified_parts_in_range():
    d, again = data.load("digits"), data.digits()
    parts = [(d.x_train, d.y_train), (d.x_val, d.y_val), (d.x_test, d.y_test)]
    assert [len(x) for x, _ in parts] == [len(y) for _, y in parts] == [1000, 297, 500]
    every = torch.cat([y for _, y in parts]).bincount() / 1797
    for x, y in parts:
        assert x.shape[1:] == (1, 8, 8) and x.dtype == torch.float32 and y.dtype == torch.int64
        assert x.min() == 0 and x.max() == 1
        assert ((y.bincount() - every * len(y)).abs() < 1).all()
    from sklearn.datasets import load_digits
    original = np.sort(load_digits().data.reshape(1797, 64) @ np.arange(1.0, 65.0) ** 2)        # each image once, none twice
    ours = np.sort(torch.cat([x for x, _ in parts]).flatten(1).double().numpy() * 16 @ np.arange(1.0, 65.0) ** 2)
    np.testing.assert_array_equal(ours, original)
    assert torch.equal(d.x_train, again.x_train) and torch.equal(d.y_test, again.y_test)


def test_an_unknown_data_set_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="dataset='minst' is unknown; choose one of: digits, mnist"):
        data.load("minst")


@mnist_there
def test_mnist_has_the_published_sizes_class_counts_and_power():
    d = data.load("mnist", HERE)
    assert [tuple(x.shape) for x in (d.x_train, d.x_val, d.x_test)] == [(n, 1, 28, 28) for n in (50000, 10000, 10000)]
    assert torch.cat([d.y_train, d.y_val]).bincount().tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert d.y_test.bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    train = torch.cat([d.x_train, d.x_val])
    assert train.min() == 0 and train.max() == 1
    assert train.mean().item() == pytest.approx(0.1307, abs=1e-4)
    assert train.square().mean().item() == pytest.approx(0.1120, abs=5e-5)
    assert d.x_test.square().mean().item() == pytest.approx(0.1140, abs=1e-4)


@pytest.mark.parametrize("harm", ["cut", "missing"])
def test_a_damaged_or_missing_mnist_file_is_named_with_the_remedy_and_nothing_is_left(tmp_path, monkeypatch, harm):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    kind, place, known = data.FILES["mnist"]
    for name in known:
        (raw / name).write_bytes(name.encode())
    whole = {name: data.hashlib.md5(name.encode()).hexdigest() for name in known}
    monkeypatch.setitem(data.FILES, "mnist", (kind, place, whole))
    victim = raw / "train-labels-idx1-ubyte"
    victim.unlink()
    if harm == "cut":
        victim.write_bytes(b"train")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError) as error:
        data.mnist(tmp_path)
    said = str(error.value)
    assert f"{victim} is {'damaged' if harm == 'cut' else 'missing'}" in said and f"delete the folder {raw}" in said
    assert sorted(tmp_path.rglob("*")) == before


def test_a_failed_download_says_what_to_do_and_leaves_nothing(tmp_path, monkeypatch):
    def fail(root, train, download):
        (data.pathlib.Path(root) / "MNIST").mkdir()
        raise RuntimeError("no route")
    monkeypatch.setattr("torchvision.datasets.MNIST", fail)
    with pytest.raises(OSError, match="could not be downloaded .no route.*dataset='digits'"):
        data.mnist(tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []


def test_a_download_moves_in_beside_what_is_left_of_an_older_one(tmp_path, monkeypatch):
    def loaded(root, train, download):
        raw = data.pathlib.Path(root) / "MNIST" / "raw"
        raw.mkdir(parents=True, exist_ok=True)
        (raw / "one").write_text("1")
    monkeypatch.setattr("torchvision.datasets.MNIST", loaded)
    (tmp_path / "MNIST" / "processed").mkdir(parents=True)
    data.fetch("mnist", tmp_path)
    assert (tmp_path / "MNIST" / "raw" / "one").read_text() == "1"
    assert [p.name for p in tmp_path.iterdir()] == ["MNIST"]


def test_the_gallery_holds_the_first_test_images_of_each_class():
    x, y = data.gallery("digits", 30)
    d = data.digits()
    assert x.shape == (30, 1, 8, 8) and y.tolist() == [c for c in range(10) for _ in range(3)]
    for c in (0, 9):
        assert torch.equal(x[3 * c:3 * c + 3], d.x_test[d.y_test == c][:3])


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
    image.paste(0, (18, 50, 24, 55))                                          # an L: its mass is not in its middle
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


@pytest.mark.parametrize("source, said", [
    (picture(255, 255), "shows no ink"),
    (picture(0, 0), "shows no ink"),
    (b"", "0 bytes cannot be read as a picture.*give a PNG or JPEG"),
    (b"digit", "5 bytes cannot be read as a picture"),
    (picture()[:60], "60 bytes cannot be read as a picture"),
    ("no/such.png", "there is no file 'no/such.png'; give the path of a PNG or JPEG"),
    (picture(size=(5001, 5000)), "5001 x 5000 pixels; at most 25,000,000 pixels are read, make it smaller"),
    (None, "None is no picture; give the path or the bytes of a PNG or JPEG"),
])
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
        data.mnist(tmp_path)
