"""Normalisation as a layer: attacks, noise, checkpoints and certificates then live in pixels."""

import pytest
import torch
from torch import nn

from rsnl_lib import networks, store, theorem, train
from rsnl_lib.data import Data
from rsnl_lib.networks import Normalised
from rsnl_lib.train import attacks

MEAN, STD = (0.485, 0.2, -0.1), (0.229, 0.5, 2.0)
X = torch.rand(12, 3, 6, 6, generator=torch.Generator().manual_seed(0))
Y = torch.arange(12) % 3


def inner(seed=0):
    torch.manual_seed(seed)
    first = [nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), networks.conv(4, 3, 2, 0), nn.Flatten()]
    return nn.Sequential(*first, nn.Linear(12, 3)).eval()


def by_hand(x):
    return torch.stack([(x[:, c] - m) / s for c, (m, s) in enumerate(zip(MEAN, STD))], 1)


def test_it_is_the_network_of_normalised_images():
    net = inner()
    torch.testing.assert_close(Normalised(MEAN, STD, net)(X), net(by_hand(X)))


def test_an_attack_on_it_stays_in_the_pixels_and_on_normalised_images_is_refused():
    net = Normalised(MEAN, STD, inner())
    x_ = attacks.pgd(net, X, attacks.cross_entropy(Y), 0.1, 0.05, steps=3)
    assert x_.min() >= 0 and x_.max() <= 1 and (x_ - X).abs().max() <= 0.1 + 1e-6
    with pytest.raises(ValueError, match="outside low=0.0 and high=1.0"):
        attacks.pgd(inner(), by_hand(X), attacks.cross_entropy(Y), 0.1, 0.05, steps=3)


def test_a_checkpoint_holds_mean_and_deviation(tmp_path):
    net = Normalised(MEAN, STD, inner())
    path = tmp_path / "net.safetensors"
    store.save_checkpoint(path, net, half=False)
    other = Normalised((0, 0, 0), (1, 1, 1), inner(7))
    read, _ = store.load_checkpoint(path, other)
    assert torch.equal(read[0].mean, torch.tensor(MEAN)) and torch.equal(read(X), net(X))


@pytest.mark.parametrize("method", ["robust", "ard"])
def test_it_trains_and_its_mean_and_deviation_stay(method):
    net, teacher = Normalised(MEAN, STD, inner(1)), Normalised(MEAN, STD, inner(2)).eval()
    d = Data("few", 3, X, Y, X, Y, X, Y)
    r = train.recipe("short", "own", method, epochs=1, batch=6)
    before = net[1][0].weight.clone()
    train.fit(net, d, method, r, teacher=teacher)
    assert torch.equal(net[0].mean, torch.tensor(MEAN)) and not net[0].std.requires_grad
    assert not torch.equal(net[1][0].weight, before)


@pytest.mark.parametrize("method", ["spectral", "interval"])
@pytest.mark.parametrize("p", [1, 2, float("inf")])
def test_its_certificates_are_those_of_the_network_with_the_scale_folded_in(method, p):
    """The first layer of `folded` is that of `net` after (x - mean) / std, written as weights."""
    nets, folded = [], []
    for seed in (3, 4):
        torch.manual_seed(seed)
        first, last = nn.Conv2d(3, 4, 3, 2), nn.Linear(16, 3)
        rest = [nn.ReLU(), nn.Flatten(), last]
        nets.append(Normalised(MEAN, STD, nn.Sequential(first, *rest)).double().eval())
        w = first.weight / nets[-1][0].std.view(1, 3, 1, 1)
        one = nn.Conv2d(3, 4, 3, 2).double()
        one.weight.data = w.detach()
        one.bias.data = first.bias.detach() - (w * nets[-1][0].mean.view(1, 3, 1, 1)).sum((1, 2, 3))
        folded.append(nn.Sequential(one, *rest).eval())
    a, b = (theorem.sound_radii(*pair, X, Y, method, p) for pair in (nets, folded))
    assert (a[0] > 0).any()
    if method == "interval":
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-12)
    else:  # a product of norms takes the scale's apart
        assert (a[0] <= b[0] * (1 + 1e-9)).all()


def test_its_certificate_is_shorter_than_a_flip_and_lipsdp_knows_it():
    def dense(seed):
        torch.manual_seed(seed)
        mlp = nn.Sequential(nn.Flatten(), nn.Linear(108, 6), nn.ReLU(), nn.Linear(6, 3))
        return Normalised(MEAN, STD, mlp).eval()

    S, T = dense(5), dense(6)
    y = (S(X).softmax(1) - T(X).softmax(1)).argmax(1)
    h = theorem.head_start(theorem.exact(S), theorem.exact(T), y)
    more = dict(restarts=2, steps=20, generator=torch.Generator().manual_seed(0))
    flip = theorem.smallest_flip(h, X.double(), **more)[0]
    for method in ("interval", "lipsdp"):
        r = theorem.sound_radii(S, T, X, y, method)[1]
        assert (r > 0).any() and (r <= flip + 1e-9).all()


@pytest.mark.parametrize(
    "mean, std, said",
    [
        ((0.5,), (0.2, 0.2), "1 means and 2 deviations are given; give one of each"),
        ((), (), "0 means"),
        ((0.5,), (0.0,), "std=0.0 must be a finite number above zero"),
        ((0.5,), (-0.2,), "std=-0.2"),
        ((float("nan"),), (1,), "mean=nan must be a finite number"),
    ],
)
def test_numbers_that_normalise_nothing_are_refused(mean, std, said):
    with pytest.raises(ValueError, match=said):
        Normalised(mean, std, inner())


def test_images_of_other_channels_are_refused_and_not_spread_over_them():
    with pytest.raises(ValueError, match="images of 1 channels, normalised by 3 means; give one"):
        Normalised(MEAN, STD, inner())(X[:, :1])
