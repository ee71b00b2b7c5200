"""Global contrast normalisation and ZCA: closed forms on random images, and a cache that is right
or computed anew.
"""

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from rsnl_lib import files
from rsnl_lib.data import catalogue, sets, whiten


def images(n=240, seed=0, shape=(3, 4, 4)):
    """Smooth random images 0-255: neighbours are correlated."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(n, *shape, generator=generator).cumsum(2).cumsum(3)
    return (255 * x / x.amax()).to(torch.uint8)


def by_hand(x, x_test):
    """The same in numpy and by the definition: (C + 0.1 I)^(-1/2) from a singular value
    decomposition.
    """

    def normal(t):
        v = t.numpy().reshape(len(t), -1).astype(np.float64)
        v = v - v.mean(1, keepdims=True)
        return 55 * v / np.sqrt((v * v).sum(1, keepdims=True))

    v = normal(x)
    mean = v.mean(0)
    U, s, _ = np.linalg.svd(np.cov(v.T, bias=True) + 0.1 * np.eye(v.shape[1]))
    P = U @ np.diag(s**-0.5) @ U.T
    return [((normal(t) - mean) @ P).reshape(t.shape) for t in (x, x_test)]


def test_gcn_gives_every_image_mean_zero_and_norm_55():
    v = whiten.gcn(images())
    assert v.dtype == torch.float64 and v.shape == (240, 48)
    assert v.mean(1).abs().max() < 1e-12
    torch.testing.assert_close(
        v.norm(dim=1), torch.full((240,), 55.0, dtype=torch.float64), rtol=1e-12, atol=0
    )
    x = torch.tensor(
        [[[[1, 3]]], [[[7, 7]]]], dtype=torch.uint8
    )  # by hand; an image of one grey has no contrast
    torch.testing.assert_close(
        whiten.gcn(x, 2.0), torch.tensor([[-(2**0.5), 2**0.5], [0, 0]], dtype=torch.float64)
    )


def test_the_covariance_after_zca_is_eigenvalue_over_eigenvalue_plus_bias():
    generator = torch.Generator().manual_seed(0)
    plain, mix = (torch.randn(n, 12, generator=generator, dtype=torch.float64) for n in (500, 12))
    v = plain @ mix + 3
    mean, P = whiten.zca([v])
    torch.testing.assert_close(mean, v.mean(0))
    torch.testing.assert_close(P, P.T)
    assert torch.linalg.eigvalsh(P).min() > 0, "symmetric and positive: the images keep their look"
    values, V = torch.linalg.eigh(torch.cov(v.T, correction=0))
    out = (v - mean) @ P
    torch.testing.assert_close(
        torch.cov(out.T, correction=0), (V * (values / (values + 0.1))) @ V.T, rtol=0, atol=1e-10
    )
    assert out.mean(0).abs().max() < 1e-12


def test_zca_survives_directions_without_variance():
    v = torch.randn(5, 8, dtype=torch.float64)  # 5 images span 4 directions
    mean, P = whiten.zca([v])
    assert P.isfinite().all() and torch.linalg.eigvalsh(P).max() == pytest.approx(0.1**-0.5)


def test_both_parts_are_whitened_by_the_training_images_as_defined(tmp_path):
    x, x_test = images(), images(50, 1)
    for got, want in zip(whiten.gcn_zca(x, x_test, tmp_path), by_hand(x, x_test)):
        assert got.dtype == torch.float32 and got.shape == want.shape
        np.testing.assert_allclose(
            got.numpy(), want, rtol=2e-7, atol=1e-9
        )  # as near as float32 can be: float64 inside


def test_the_cached_answer_is_the_first_one_and_holds_the_map_in_float64(tmp_path, monkeypatch):
    x, x_test = images(), images(50, 1)
    first, (file,) = whiten.gcn_zca(x, x_test, tmp_path / "new"), list((tmp_path / "new").iterdir())
    with monkeypatch.context() as m:
        m.setattr(whiten, "zca", None)  # only the file can answer now
        assert all(map(torch.equal, whiten.gcn_zca(x, x_test, tmp_path / "new"), first))
    with safe_open(file, "pt") as f:
        mean, P = f.get_tensor("mean"), f.get_tensor("P")
    assert mean.dtype == P.dtype == torch.float64
    again = ((whiten.gcn(x_test) - mean) @ P).view(x_test.shape).float()
    assert torch.equal(again, first[1]), "the file's map makes the file's images"


def test_pieces_do_not_change_the_answer(tmp_path):
    x, x_test = images(), images(50, 1)
    for a, b in zip(
        whiten.gcn_zca(x, x_test, tmp_path / "a"),
        whiten.gcn_zca(x, x_test, tmp_path / "b", chunk=7),
    ):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("harm", [lambda b: b[:-7], lambda b: b"", lambda b: b"foreign"])
def test_a_damaged_cache_is_computed_anew(tmp_path, harm):
    x, x_test = images(), images(50, 1)
    first, (file,) = whiten.gcn_zca(x, x_test, tmp_path), list(tmp_path.iterdir())
    whole = file.read_bytes()
    file.write_bytes(harm(whole))
    assert all(map(torch.equal, whiten.gcn_zca(x, x_test, tmp_path), first))
    assert file.read_bytes() == whole and list(tmp_path.iterdir()) == [file]


def test_every_other_question_gets_another_file(tmp_path, monkeypatch):
    x, x_test = images(), images(50, 1)
    first = whiten.gcn_zca(x, x_test, tmp_path)
    other = x.clone()
    other[0, 0, 0, 0] ^= 1
    both = torch.cat([x, x_test])
    for i, (a, b) in enumerate(
        [(other, x_test), (x, x_test[:49]), (both[:239], both[239:])]
    ):  # the last: the same bytes
        train, test = whiten.gcn_zca(a, b, tmp_path)
        assert len(train) == len(a) and len(test) == len(b)
        assert len(list(tmp_path.iterdir())) == i + 2
    assert all(map(torch.equal, whiten.gcn_zca(x, x_test, tmp_path), first)), (
        "and the first keeps its own"
    )
    monkeypatch.setattr(whiten, "BIAS", 0.2)
    whiten.gcn_zca(x, x_test, tmp_path)
    assert len(list(tmp_path.iterdir())) == 5


def test_a_write_that_fails_leaves_no_half_written_file(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as m:
        m.setattr(files.os, "replace", full)
        with pytest.raises(OSError, match="could not be written whole: the disk is full"):
            whiten.gcn_zca(images(), images(50, 1), tmp_path)
    assert list(tmp_path.iterdir()) == []
    whiten.gcn_zca(images(), images(50, 1), tmp_path)
    assert len(list(tmp_path.iterdir())) == 1


def test_pictures_for_the_eye_lie_between_zero_and_one(tmp_path):
    x, _ = whiten.gcn_zca(images(), images(50, 1), tmp_path)
    shown = whiten.stretch(x[:60], x)
    assert (
        shown.shape == (60, 3, 4, 4)
        and shown.dtype == torch.float32
        and shown.min() == 0
        and shown.max() == 1
    )
    share = ((shown > 0) & (shown < 1)).float().mean()
    assert 0.97 < share < 1 and (
        torch.corrcoef(torch.stack([shown.flatten(), x[:60].flatten()]))[0, 1] > 0.99
    )


def test_the_eye_sees_between_two_percentiles_of_the_first_200_images():
    x = torch.arange(201.0).view(201, 1, 1, 1)  # of 0 to 199: 0.995 and 198.005
    seen = whiten.stretch(torch.tensor([0.995, 99.5, 198.005]).view(3, 1, 1, 1), x)
    torch.testing.assert_close(seen.flatten(), torch.tensor([0, 0.5, 1.0]))


def test_cifar_is_whitened_by_its_50_000_training_images_and_says_so(tmp_path, monkeypatch):
    """On a CIFAR of 60 images: the split comes after the whitening."""

    class Tiny:
        def __init__(self, root, train):
            x = images(40 if train else 20, 2 - train).permute(0, 2, 3, 1)
            self.data, self.targets = x.contiguous().numpy(), [i % 10 for i in range(len(x))]

    monkeypatch.setattr("torchvision.datasets.CIFAR10", Tiny)
    monkeypatch.setattr(sets, "files", lambda name, folder: folder)
    row = catalogue.SETS["cifar10"]
    monkeypatch.setitem(catalogue.SETS, "cifar10", row._replace(images=(32, 20)))
    d = sets.load("cifar10", tmp_path)
    want = by_hand(images(40, 1), images(20, 2))
    assert d.space == "GCN+ZCA" and [len(x) for x in (d.x_train, d.x_val, d.x_test)] == [32, 8, 20]
    np.testing.assert_allclose(
        torch.cat([d.x_train, d.x_val]).numpy(), want[0], rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(d.x_test.numpy(), want[1], rtol=1e-5, atol=1e-6)
    assert [p.parent.name for p in tmp_path.rglob("zca-*")] == ["cache"]


@pytest.mark.parametrize(
    "change",
    [
        lambda held: {**held, "train": torch.zeros(3)},
        lambda held: {**held, "train": held["train"] * float("nan")},
        lambda held: {**held, "test": held["test"].double()},
        lambda held: {k: v for k, v in held.items() if k != "test"},
        lambda held: {**held, "test": held["test"] + 1e-3},  # one digit changed: the digest knows
    ],
)
def test_a_whole_file_of_another_answer_is_computed_anew(tmp_path, change):
    x, x_test = images(), images(50, 1)
    first, (file,) = whiten.gcn_zca(x, x_test, tmp_path), list(tmp_path.iterdir())
    whole = file.read_bytes()
    save_file(change(load_file(file)), file)
    assert all(map(torch.equal, whiten.gcn_zca(x, x_test, tmp_path), first))
    assert file.read_bytes() == whole


def test_a_cache_of_old_without_a_digest_is_still_used(tmp_path, monkeypatch):
    x, x_test = images(), images(50, 1)
    first, (file,) = whiten.gcn_zca(x, x_test, tmp_path), list(tmp_path.iterdir())
    save_file({k: v for k, v in load_file(file).items() if k != "sha256"}, file)
    monkeypatch.setattr(whiten, "zca", None)
    assert all(map(torch.equal, whiten.gcn_zca(x, x_test, tmp_path), first))


def test_images_without_numbers_or_of_two_sizes_are_not_whitened(tmp_path):
    x = images()
    for train, test, said in (
        (x[:0], x, "x is empty"),
        (x, x[..., :2], "must be of one size"),
        (x * float("nan"), x, "NaN or infinite"),
    ):
        with pytest.raises(ValueError, match=said):
            whiten.gcn_zca(train, test, tmp_path)
    with pytest.raises(ValueError, match="no images to fit"):
        whiten.zca([whiten.gcn(x[:0])])
    assert not list(tmp_path.iterdir())
