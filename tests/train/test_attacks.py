"""The inner attack: in its ball and its range, up the loss, the step one would write by hand, a
network left as it was; and a library's answer beside it.
"""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from rsnl_lib import env, geometry, networks, store
from rsnl_lib.data import catalogue, sets
from rsnl_lib.networks import fast
from rsnl_lib.train import attacks

D = sets.digits()
X, Y = D.x_test[:24], D.y_test[:24]  # many of their pixels are exactly 0 or 1
CE = attacks.cross_entropy(Y)


@pytest.fixture(scope="module")
def net():
    return store.load_checkpoint(env.CHECKPOINTS / "digits_student-kd-short-s0.safetensors")[0]


def small(*more):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), *more, nn.Flatten(), nn.Linear(144, 10))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def distance(z, norm):
    return (z - X).abs().amax((1, 2, 3)) if norm == "inf" else (z - X).flatten(1).norm(dim=1)


@pytest.mark.parametrize("clamp_start", [False, True])
@pytest.mark.parametrize("start", attacks.STARTS)
@pytest.mark.parametrize("norm, epsilon", [("inf", 0.03), ("inf", 0.3), ("2", 0.2), ("2", 3.0)])
def test_the_attack_stays_in_its_ball_and_in_its_range_and_raises_the_loss(
    net, norm, epsilon, start, clamp_start
):
    loss = lambda z: F.cross_entropy(net(z), Y, reduction="none")
    for low, high in ((0.0, 1.0), (None, None), (0.0, None)):
        z = attacks.pgd(
            net,
            X,
            CE,
            epsilon,
            epsilon / 4,
            10,
            norm,
            start,
            low,
            high,
            clamp_start,
            generator=seeded(),
        )
        assert (distance(z, norm) <= epsilon * (1 + 1e-5)).all() and z.shape == X.shape
        assert (distance(z, norm) > 0.9 * epsilon).any(), "it uses the ball"
        assert (low is None or z.min() >= 0) and (high is None or z.max() <= 1)
        assert low is not None or z.min() < -epsilon / 10 / X[0].numel() ** 0.5, (
            "unbounded images may leave [0, 1]"
        )
        assert high is not None or z.max() > 1
        with torch.no_grad():
            assert (loss(z) > loss(X)).float().mean() > 0.9 and loss(z).mean() > 1.2 * loss(
                X
            ).mean()


def test_one_step_from_the_image_is_the_fast_gradient_sign_method(net):
    """In float64, where no sign hangs on a rounding."""
    net, x = copy.deepcopy(net).double(), X.double().requires_grad_()
    F.cross_entropy(net(x), Y).backward()
    z = attacks.pgd(net, X.double(), CE, 0.1, 0.1, 1, start="zero")
    assert (
        torch.equal(z, (X.double() + 0.1 * x.grad.sign()).clamp(0, 1))
        and (x.grad != 0).double().mean() > 0.99
    )
    free = attacks.pgd(net, X.double(), CE, 0.5, 0.2, 1, "2", "zero", None, None)
    for i in range(len(X)):
        torch.testing.assert_close(free[i], X[i].double() + 0.2 * x.grad[i] / x.grad[i].norm())


def test_ten_steps_are_the_loop_written_down(net):
    """ARD's: a uniform start that is not clamped, then a step of 2/255 by the sign, back into the
    ball, back into [0, 1]; in float64.
    """
    net, x, eps = copy.deepcopy(net).double(), X.double(), 8 / 255
    z = x + (torch.rand(x.shape, generator=seeded(3), dtype=torch.float64) * 2 - 1) * eps
    assert z.min() < 0 and z.max() > 1
    for _ in range(10):
        z = z.detach().requires_grad_()
        F.cross_entropy(net(z), Y).backward()
        z = torch.min(torch.max(z + 2 / 255 * z.grad.sign(), x - eps), x + eps).clamp(0, 1)
    net.zero_grad()
    got = attacks.pgd(net, x, CE, eps, 2 / 255, generator=seeded(3))
    assert (got - z).abs().max() < 1e-12 and not got.requires_grad


def test_clamp_start_moves_the_start_alone(net):
    seen = []
    hook = net.register_forward_pre_hook(lambda m, x: seen.append(x[0].detach()))
    for clamp_start in (False, True):
        attacks.pgd(net, X, CE, 0.2, 0.05, 2, clamp_start=clamp_start, generator=seeded())
    hook.remove()
    raw, _, clamped, _ = seen
    assert raw.min() < -0.1 and raw.max() > 1.1
    assert torch.equal(clamped, raw.clamp(0, 1))


def test_an_epsilon_of_zero_gives_the_images_back(net):
    for norm in attacks.NORMS:
        assert torch.equal(attacks.pgd(net, X, CE, 0, 0.1, 3, norm), X)
    assert torch.equal(attacks.pgd(net, X, CE, 0, 0.1, 1, start="normal"), X)
    assert attacks.pgd(net, X[:0], attacks.cross_entropy(Y[:0]), 0.1, 0.1).shape == (0, 1, 8, 8)


def test_each_image_is_attacked_by_itself_whether_the_loss_is_a_sum_or_one_number_an_image(net):
    for norm in attacks.NORMS:
        together = attacks.pgd(net, X, CE, 0.1, 0.03, 5, norm, "zero")
        each = attacks.pgd(
            net, X, lambda a, _: F.cross_entropy(a, Y, reduction="none"), 0.1, 0.03, 5, norm, "zero"
        )
        assert torch.equal(together, each)
        alone = torch.cat(
            [
                attacks.pgd(
                    net,
                    X[i : i + 1],
                    attacks.cross_entropy(Y[i : i + 1]),
                    0.1,
                    0.03,
                    5,
                    norm,
                    "zero",
                )
                for i in range(8)
            ]
        )
        assert ((alone - together[:8]).abs() < 1e-4).float().mean() > 0.99


def test_the_loss_sees_the_attacked_images_and_is_climbed_through_them():
    net = small()
    z = attacks.pgd(
        net,
        X,
        lambda a, x_: (x_ * torch.arange(64.0).view(8, 8) - 31.5 * x_).sum() + 0 * a.sum(),
        0.1,
        0.1,
        1,
        start="zero",
        low=None,
        high=None,
    )
    want = X + 0.1 * torch.where(torch.arange(64).view(8, 8) < 32, -1.0, 1.0)
    torch.testing.assert_close(z, want)


@pytest.mark.parametrize("norm", attacks.NORMS)
def test_a_gradient_of_zero_is_no_step_and_a_tiny_one_a_whole_step(norm):
    flat = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with torch.no_grad():
        flat[1].weight.zero_()
    assert torch.equal(attacks.pgd(flat, X, CE, 0.1, 0.1, 3, norm, "zero"), X)
    g = torch.randn(3, 1, 8, 8, generator=seeded()) * torch.tensor([1e-35, 0.0, 1e30]).view(
        3, 1, 1, 1
    )
    moves = geometry.steepest(g, attacks.NORMS[norm])
    size = moves.abs().amax((1, 2, 3)) if norm == "inf" else moves.flatten(1).norm(dim=1)
    torch.testing.assert_close(size, torch.tensor([1.0, 0.0, 1.0]))


def test_the_nearest_point_of_the_ball():
    d = torch.tensor([[3.0, -4.0], [0.3, 0.4], [0.0, 0.0]]).view(3, 1, 1, 2)
    assert torch.equal(
        geometry.onto_ball(d, 1.0, math.inf).view(3, 2),
        torch.tensor([[1.0, -1.0], [0.3, 0.4], [0.0, 0.0]]),
    )
    torch.testing.assert_close(
        geometry.onto_ball(d, 1.0).view(3, 2), torch.tensor([[0.6, -0.8], [0.3, 0.4], [0.0, 0.0]])
    )


def test_starts_fill_the_ball_evenly():
    x, g = torch.zeros(4000, 1, 1, 2), seeded()
    d = attacks.first(x, 0.3, "inf", "uniform", g)
    assert (
        d.abs().max() <= 0.3
        and abs(d.mean()) < 0.01
        and d.std().item() == pytest.approx(0.3 / math.sqrt(3), rel=0.02)
    )
    r = attacks.first(x, 0.3, "2", "uniform", g).flatten(1).norm(dim=1)
    assert r.max() <= 0.3 and (r < 0.15).float().mean().item() == pytest.approx(
        1 / 4, abs=0.03
    )  # area grows as r^2
    assert attacks.first(x, 0.3, "inf", "normal", g).std().item() == pytest.approx(0.001, rel=0.05)
    assert not attacks.first(x, 0.3, "inf", "zero").any()


def test_the_random_numbers_are_those_of_the_seed_or_of_the_generator(net):
    def ask(**how):
        return attacks.pgd(net, X, CE, 0.1, 0.03, 2, **how)

    torch.manual_seed(5)
    one = ask()
    assert not torch.equal(one, ask()), "another start every time"
    torch.manual_seed(5)
    assert torch.equal(one, ask())
    before = torch.random.get_rng_state()
    assert torch.equal(ask(generator=seeded(1)), ask(generator=seeded(1))) and not torch.equal(
        ask(generator=seeded(1)), ask(generator=seeded(2))
    )
    ask(start="zero")
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("mode", [None, "train", "eval"])
def test_the_mode_holds_during_the_attack_and_every_layer_is_put_back(mode):
    net = networks.training(small(nn.BatchNorm2d(4), nn.Dropout(0.5)), frozen_norm=True)
    net[0].eval()
    before, seen = [m.training for m in net.modules()], []
    net[1].register_forward_hook(lambda m, i, o: seen.append([m.training for m in net.modules()]))
    attacks.pgd(net, X, CE, 0.1, 0.03, 2, mode=mode)
    assert [m.training for m in net.modules()] == before and len(set(before)) == 2
    assert seen == [before if mode is None else [mode == "train"] * len(before)] * 2
    with pytest.raises(ZeroDivisionError):
        attacks.pgd(net, X, lambda a, x: 1 / 0, 0.1, 0.03, 2, mode=mode)
    assert [m.training for m in net.modules()] == before and all(
        p.requires_grad for p in net.parameters()
    )


def test_batch_norm_follows_the_attacked_images_in_training_and_not_in_evaluation():
    for mode, moved in (("eval", False), ("train", True), (None, True)):
        net = small(nn.BatchNorm2d(4)).train()
        attacks.pgd(net, X, CE, 0.1, 0.03, 4, mode=mode)
        assert net[1].num_batches_tracked == 4 * moved and bool(net[1].running_mean.any()) == moved


def test_weights_gradients_and_graphs_are_left_alone():
    net, held = small(), torch.ones(())
    net[0].bias.requires_grad_(False)
    net[0].weight.grad = torch.full_like(net[0].weight, 7.0)
    before, x = copy.deepcopy(net.state_dict()), X.clone()
    waiting = F.cross_entropy(net(X), Y)  # a graph from before the attack
    with torch.no_grad():
        z = attacks.pgd(net, x, lambda a, x_: CE(a, x_) * held, 0.1, 0.03, 2)
    assert (
        z.grad_fn is None
        and not z.requires_grad
        and torch.equal(x, X)
        and not x.requires_grad
        and x.grad is None
    )
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert (net[0].weight.grad == 7).all() and all(
        p.grad is None for p in [net[0].bias, *net[2].parameters()]
    )
    assert [p.requires_grad for p in net.parameters()] == [True, False, True, True]
    waiting.backward()
    assert (
        (net[0].weight.grad != 7).any()
        and net[2].weight.grad.abs().sum() > 0
        and net[0].bias.grad is None
    )


@pytest.mark.parametrize("channels, images_asked", [(1, 0), (3, 3)])
def test_no_weight_gradient_is_computed_for_an_attack(channels, images_asked, monkeypatch):
    """Under `fast.layers` a weight gradient would cost a third of every step; the images' own, of
    one channel, is a product and a fold.
    """
    asked, back = [], fast._back
    monkeypatch.setattr(fast, "_back", lambda *args: (asked.append(args[-1]), back(*args))[1])
    torch.manual_seed(0)
    net, x = (
        nn.Sequential(nn.Conv2d(channels, 4, 3), nn.Flatten(), nn.Linear(144, 10)),
        X.expand(-1, channels, -1, -1),
    )
    with fast.layers(net):
        attacks.pgd(net, x, CE, 0.1, 0.03, 3)
        assert asked == [(True, False, False)] * images_asked
        CE(net(x), x).backward()
        assert asked[-1] == (False, True, True)
        net[0].bias.requires_grad_(False)
        CE(net(x), x).backward()
        assert asked[-1] == (False, True, False)


@pytest.mark.parametrize("name", ["digits_student", "digits_teacher", "mnist_student"])
def test_attacks_within_fast_layers_are_the_plain_ones(name):
    torch.manual_seed(1)
    net = networks.build(name).double().train()
    net = nn.Sequential(*(m for m in net if not isinstance(m, nn.Dropout)))
    x = torch.rand(
        6, 1, *catalogue.SHAPES[name.split("_")[0]][1:], generator=seeded(), dtype=torch.float64
    )
    y = torch.arange(6)
    ask = lambda norm: attacks.pgd(
        net, x, attacks.cross_entropy(y), 0.1, 0.03, 4, norm, generator=seeded()
    )
    for norm in attacks.NORMS:
        plain = ask(norm)
        with fast.layers(net):
            quick = ask(norm)
        assert (plain - x).abs().max() > 0.01 and (quick - plain).abs().max() < 1e-9


BAD = [
    ("epsilon", -0.1, "epsilon=-0.1 must be zero or a finite number above it"),
    ("epsilon", math.nan, "epsilon=nan"),
    ("epsilon", "8/255", "epsilon='8/255' is no number"),
    ("step", -1, "step=-1 must be zero or"),
    ("steps", 0, "steps=0 must be a whole number of at least 1"),
    ("steps", 2.5, "steps=2.5"),
    ("norm", "1", "norm='1' is unknown; choose one of: inf, 2"),
    ("start", "rnd", "start='rnd' is unknown; choose one of: uniform, normal, zero"),
    ("mode", "test", "mode='test' is unknown; choose one of: train, eval"),
    ("low", 1.0, r"low=1.0 and high=1.0 leave no room for pixels; low must be the smaller"),
    ("high", math.inf, "high=inf must be a finite number"),
    (
        "high",
        0.5,
        (
            r"pixels run from 0 to 1, outside low=0.0 and high=0.5; .*or None for images without"
            r" one.*clamp=False"
        ),
    ),
    ("low", 0.1, "pixels run from 0 to 1, outside low=0.1"),
    ("x", X[0], r"images must be a float tensor \(n, channels"),
    ("x", X.long(), "int64"),
    ("x", X.clone().fill_(math.nan), "NaN or infinite"),
    ("x", X.permute(0, 2, 3, 1), "channels came last"),
    ("x", None, "not NoneType"),
]


@pytest.mark.parametrize("name, value, said", BAD)
def test_bad_values_are_named_with_what_would_be_right(name, value, said):
    net = small(nn.Dropout())
    with pytest.raises(ValueError, match=said):
        attacks.pgd(**{"net": net, "x": X, "loss": CE, "epsilon": 0.1, "step": 0.03, name: value})
    assert net.training and all(p.requires_grad for p in net.parameters())


def test_numbers_for_the_norm_and_whitened_images_are_taken(net):
    assert torch.equal(*(attacks.pgd(net, X, CE, 0.5, 0.2, 2, norm, "zero") for norm in (2, "2")))
    assert torch.equal(
        *(attacks.pgd(net, X, CE, 0.1, 0.03, 2, norm, "zero") for norm in (math.inf, "inf"))
    )
    white = 4 * X - 2
    assert (
        distance(
            attacks.pgd(net, white, CE, 0.1, 0.03, 2, low=None, high=None) - white + X, "inf"
        ).max()
        < 0.1 + 1e-5
    )
    attacks.pgd(net, X - 3e-8, CE, 0.1, 0.03, 2)  # rounding is no mistake


@pytest.mark.parametrize("norm, epsilon", [("inf", 0.1), ("inf", 0.2), ("2", 0.5), ("2", 1.0)])
def test_a_library_finds_what_we_find(net, norm, epsilon):
    """PGD from the image itself, 20 steps: accuracy within 0.3 points and mean loss within 1 % of
    the Adversarial Robustness Toolbox.
    """
    art = pytest.importorskip(
        "art.attacks.evasion",
        reason="no adversarial-robustness-toolbox, which the extra `test` installs",
    )
    from art.estimators.classification import PyTorchClassifier

    x, y = D.x_test, D.y_test
    judge = PyTorchClassifier(
        net, nn.CrossEntropyLoss(), (1, 8, 8), 10, clip_values=(0.0, 1.0), device_type="cpu"
    )
    theirs = art.ProjectedGradientDescent(
        judge,
        math.inf if norm == "inf" else 2,
        epsilon,
        epsilon / 8,
        max_iter=20,
        batch_size=len(x),
        verbose=False,
    )
    found = [
        torch.from_numpy(theirs.generate(x.numpy(), y.numpy())),
        attacks.pgd(
            net, x, attacks.cross_entropy(y), epsilon, epsilon / 8, 20, norm, "zero", mode="eval"
        ),
    ]
    with torch.no_grad():
        logits = [net.eval()(z) for z in found]
    accuracy, loss = (
        [f(a).item() for a in logits]
        for f in (lambda a: (a.argmax(1) == y).float().mean(), lambda a: F.cross_entropy(a, y))
    )
    assert abs(accuracy[0] - accuracy[1]) <= 0.003 and loss[1] == pytest.approx(
        loss[0], rel=0.01
    ), (accuracy, loss)
    with torch.no_grad():
        assert accuracy[1] < (net(x).argmax(1) == y).float().mean() - 0.1, "the attack bites"
