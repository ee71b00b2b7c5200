"""Properties of the perturbations: their power, where they fall, and what they leave alone."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rsnl_lib.data import perturb

few = settings(max_examples=15, deadline=None, derandomize=True, database=None)
SEEDS = st.integers(0, 10_000)


def big(seed, side=200, offset=0.0):
    """Two big images of different brightness, none of them centred at zero."""
    g = torch.Generator().manual_seed(seed + 1_000_003)  # not the stream the noise is drawn from
    return (torch.rand(2, 1, side, side, generator=g) + offset) * torch.tensor([0.2, 1.0]).view(
        2, 1, 1, 1
    )


def gen(seed=0):
    return torch.Generator().manual_seed(seed)


def snr_of(x, seen):
    return x.square().mean((1, 2, 3)) / (seen - x).square().mean((1, 2, 3))


@few
@given(
    seed=SEEDS,
    snr=st.floats(-6, 20),
    kind=st.sampled_from(["gaussian", "poisson"]),
    offset=st.floats(0, 3),
)
def test_each_image_gets_the_asked_snr_in_decibels_from_its_own_uncentred_power(
    seed, snr, kind, offset
):
    x = big(seed, offset=offset)
    got = 10 * snr_of(x, perturb.apply(kind, x, snr, gen(seed))).log10()
    assert (got - snr).abs().max() < 0.15, got


@few
@given(seed=SEEDS, ratio=st.floats(0.3, 20), kind=st.sampled_from(["gaussian", "poisson"]))
def test_the_unit_ratio_means_signal_power_over_noise_power(seed, ratio, kind):
    x = big(seed)
    got = snr_of(x, perturb.apply(kind, x, ratio, gen(seed), "ratio"))
    assert (got / ratio - 1).abs().max() < 0.04, got


def test_ten_decibels_is_a_ratio_of_ten_and_no_other_whole_level_agrees():
    x = big(0, 20)
    for fn in (perturb.gaussian, perturb.poisson):
        torch.testing.assert_close(fn(x, 10, gen()), fn(x, 10, gen(), "ratio"))
    assert [
        s for s in range(1, 20) if math.isclose(perturb.snr_ratio(s), perturb.snr_ratio(s, "ratio"))
    ] == [10]
    assert perturb.snr_ratio(0) == 1 and perturb.snr_ratio(-10) == pytest.approx(0.1)
    assert perturb.snr_ratio(3) == pytest.approx(1.9953, abs=1e-4)


def test_power_is_the_mean_square_and_is_not_centred():
    x = torch.tensor([[0.0, 1.0], [2.0, 3.0]]).view(1, 1, 2, 2)
    assert perturb.power(x).item() == pytest.approx(14 / 4)
    assert perturb.power(x + 1).item() == pytest.approx(30 / 4)
    flat = torch.full((1, 1, 100, 100), 0.7)  # no variance, yet power and so noise
    assert (perturb.gaussian(flat, 0, gen()) - flat).std().item() == pytest.approx(0.7, rel=0.05)


def test_noise_is_not_clipped_and_has_mean_zero():
    x = big(0)
    for fn in (perturb.gaussian, perturb.poisson):
        seen = fn(x, 0, gen())
        assert seen.min() < -0.1 and seen.max() > 1.1
        assert (seen - x).mean().abs() < 0.01


@few
@given(seed=SEEDS)
def test_noise_is_white_and_differs_from_image_to_image(seed):
    x = torch.full((2, 1, 200, 200), 0.5)
    for fn in (perturb.gaussian, perturb.poisson):
        n = (fn(x, 5, gen(seed)) - x)[:, 0]
        n = n / n.std()
        for pair in (n[:, 1:] * n[:, :-1], n[:, :, 1:] * n[:, :, :-1], n[0] * n[1]):
            assert pair.mean().abs() < 0.03


def test_poisson_leaves_zeros_alone_and_grows_with_brightness():
    x = torch.zeros(1, 1, 300, 300)
    x[..., 100:200], x[..., 200:] = 0.2, 0.8
    n = perturb.poisson(x, 3, gen()) - x
    assert torch.equal(n[..., :100], torch.zeros(1, 1, 300, 100))
    assert (n[..., 200:].var() / n[..., 100:200].var()).item() == pytest.approx(4, rel=0.05)
    assert 10 * snr_of(x, x + n).log10().item() == pytest.approx(3, abs=0.1)
    blank = torch.zeros(1, 1, 4, 4)
    assert torch.equal(perturb.poisson(blank, 3), blank) and torch.equal(
        perturb.gaussian(blank, 3), blank
    )


@few
@given(h=st.integers(3, 9), w=st.integers(3, 9), size=st.integers(0, 3), seed=SEEDS)
def test_occlusion_zeroes_one_square_and_nothing_else(h, w, size, seed):
    x = torch.rand(20, 2, h, w, generator=gen(seed)) + 0.1
    seen = perturb.occlude(x, size, gen(seed))
    gone = seen == 0
    assert (gone.sum((2, 3)) == size * size).all()
    assert torch.equal(seen[~gone], x[~gone])
    for rows in (gone[:, 0].any(2), gone[:, 0].any(1)):  # both sides of the block are `size` long
        assert (rows.sum(1) == size).all()


@pytest.mark.parametrize("size", [1, 2, 4])
def test_occlusion_reaches_every_position_the_four_corners_too_about_equally(size):
    seen = perturb.occlude(torch.ones(20_000, 1, 4, 5), size, gen())
    first = (seen == 0).flatten(1).int().argmax(1)
    places = (4 - size + 1) * (5 - size + 1)
    found, counts = first.unique(return_counts=True)
    assert found.tolist() == [r * 5 + c for r in range(4 - size + 1) for c in range(5 - size + 1)]
    assert (counts / 20_000 * places - 1).abs().max() < 0.12


def test_occlusion_at_a_given_corner():
    want = torch.ones(1, 1, 3, 3)
    want[..., 1:, 1:] = 0
    assert torch.equal(perturb.occlude(torch.ones(1, 1, 3, 3), 2, at=(1, 1)), want)


@pytest.mark.parametrize(
    "kind, level", [("gaussian", 3), ("poisson", 3), ("occlusion", 2), ("clean", 0)]
)
def test_generator_repeats_and_the_images_are_left_as_they_were(kind, level):
    x = big(1, 8).repeat(4, 1, 1, 1)
    before = x.clone()
    one, same, other = (perturb.apply(kind, x, level, gen(s)) for s in (5, 5, 6))
    assert torch.equal(one, same) and torch.equal(x, before)
    assert torch.equal(one, other) == (kind == "clean")
    assert torch.equal(one, x) == (kind == "clean") and one.dtype == x.dtype


X = torch.rand(1, 1, 4, 4)


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda: perturb.gaussian(X, math.nan), "snr=nan"),
        (lambda: perturb.gaussian(X, "3"), "snr='3'"),
        (lambda: perturb.gaussian(X, 5000), "snr=5000 must lie between -200 and 200"),
        (lambda: perturb.poisson(X, 0, unit="ratio"), "snr=0 must be a finite number above zero"),
        (lambda: perturb.poisson(X, -1, unit="ratio"), "snr=-1"),
        (
            lambda: perturb.gaussian(X, 3, unit="db"),
            "unit='db' is unknown; choose one of: dB, ratio",
        ),
        (lambda: perturb.gaussian(X[0], 3), r"not \(1, 4, 4\)"),
        (lambda: perturb.gaussian(X.long(), 3), "int64"),
        (lambda: perturb.gaussian([[1.0]], 3), "not list"),
        (lambda: perturb.poisson(X / 0, 3), "NaN or infinite"),
        (lambda: perturb.occlude(X, 5), r"size=5 is larger than the image \(4 x 4\); use 0 to 4"),
        (lambda: perturb.occlude(X, -1), "size=-1"),
        (lambda: perturb.occlude(X, 1.5), "size=1.5"),
        (lambda: perturb.occlude(X, 2, at=(3, 0)), r"at=\(3, 0\).*rows 0 to 2, columns 0 to 2"),
        (lambda: perturb.occlude(X[..., :3], 2, at=(3, 0)), r"rows 0 to 2, columns 0 to 1$"),
        (lambda: perturb.occlude(X, 2, at=(0, -1)), r"at=\(0, -1\)"),
        (
            lambda: perturb.apply("fog", X, 1),
            "perturbation='fog' is unknown; choose one of: clean, gaussian",
        ),
    ],
)
def test_bad_input_is_refused_with_the_value_and_what_is_allowed(call, said):
    with pytest.raises(ValueError, match=said):
        call()


@pytest.mark.parametrize("kind", ["gaussian", "poisson"])
@pytest.mark.parametrize("unit, snr", [("dB", 3), ("ratio", 2.5), ("dB", -150), ("dB", 60)])
@pytest.mark.parametrize("scale", [2.0**-120, 2.0**-100, 2.0**-70, 1, 2.0**60, 2.0**66, 2.0**83])
def test_the_snr_is_right_however_small_or_large_the_pixels_are(kind, unit, snr, scale):
    """A power of two changes no digit, so the noise must scale with the pixels exactly."""
    x = big(3, 20)
    exact = perturb.apply(kind, x.double(), snr, gen(), unit) - x
    seen = perturb.apply(kind, x.double() * scale, snr, gen(), unit) - x.double() * scale
    torch.testing.assert_close(seen / scale, exact, rtol=1e-9, atol=1e-12)
    if snr == -150 and scale > 2.0**82:
        with pytest.raises(ValueError, match=r"leaves the range of torch.float32; scale"):
            perturb.apply(kind, x * 2.0**40 * scale, snr, gen(), unit)
        return
    want = perturb.apply(kind, x, snr, gen(), unit)
    seen = perturb.apply(kind, x * scale, snr, gen(), unit) / scale
    torch.testing.assert_close(seen, want, rtol=1e-5, atol=1e-5 * want.abs().max().item())


@pytest.mark.parametrize("kind", ["gaussian", "poisson"])
@pytest.mark.parametrize("pixel", [1e25, 1e-30, 1e-44])
def test_extreme_pixels_get_noise_and_their_neighbours_the_same_as_without_them(kind, pixel):
    x = big(5, 20)
    alone = perturb.apply(kind, x, 3, gen())
    x[1] = pixel
    seen = perturb.apply(kind, x, 3, gen())
    assert torch.equal(seen[0], alone[0]), "bit for bit"
    assert seen.isfinite().all() and (seen[1] - pixel).abs().max() > 0
    if pixel != 1e-44:  # of which float32 has but two digits
        assert ((seen[1] / pixel).double() - 1).std().item() == pytest.approx(0.708, abs=0.05)


@pytest.mark.parametrize("kind", ["gaussian", "poisson"])
def test_noise_of_float64_images_beyond_its_squares_and_of_the_largest_pixels(kind):
    x = torch.full((1, 1, 30, 30), 1e200, dtype=torch.float64)
    seen = perturb.apply(kind, x, 3, gen())
    assert (seen / 1e200 - 1).std().item() == pytest.approx(0.708, abs=0.05)
    with pytest.raises(ValueError, match=r"pixels of up to 3e\+38 leaves the range"):
        perturb.apply(kind, torch.full((1, 1, 30, 30), 3e38), 3, gen())


@pytest.mark.parametrize("snr", [3, 60])
def test_the_noise_of_ordinary_pixels_is_what_it_was_bit_for_bit(snr):
    """The rows that are there were made by these lines."""
    x = torch.cat([big(7, 28), torch.zeros(1, 1, 28, 28)])
    power = x.square().mean(dim=(1, 2, 3), keepdim=True)
    draw = torch.randn(x.shape, generator=gen())
    ratio = perturb.snr_ratio(snr)
    assert torch.equal(perturb.gaussian(x, snr, gen()), x + draw * (power / ratio).sqrt())
    mean = x.abs().mean(dim=(1, 2, 3), keepdim=True)
    share = x.abs() / mean.clamp_min(torch.finfo(x.dtype).tiny)
    assert torch.equal(perturb.poisson(x, snr, gen()), x + draw * (share * power / ratio).sqrt())
