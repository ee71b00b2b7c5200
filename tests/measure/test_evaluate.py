"""Counting: every network sees the same noise, and the counts are what they should be."""

import pytest
import torch
from torch import nn

from rsnl_lib import networks
from rsnl_lib.data import catalogue, sets
from rsnl_lib.geometry import boundary
from rsnl_lib.measure import evaluate, inference

D = sets.digits()
X, Y = D.x_test[:120], D.y_test[:120]
PLAN = [
    ("clean", 0, ""),
    ("gaussian", 3, "dB"),
    ("gaussian", 3, "ratio"),
    ("poisson", 3, "dB"),
    ("occlusion", 3, "pixels"),
]


class Recorder(nn.Module):
    """Calls every image a `digit` and keeps what it saw."""

    def __init__(self, digit=0):
        super().__init__()
        self.digit, self.seen = digit, []

    def forward(self, x):
        self.seen.append(x.clone())
        return torch.eye(10)[self.digit].expand(len(x), 10)


def test_all_networks_see_the_same_images():
    one, two = Recorder(), Recorder()
    evaluate.sweep({"one": one, "two": two}, X, Y, PLAN, draws=2, chunk=50)
    assert len(one.seen) == 3 * (1 + 4 * 2) and all(map(torch.equal, one.seen, two.seen))
    alone = Recorder()
    evaluate.sweep({"alone": alone}, X, Y, PLAN, draws=2, chunk=50)
    assert all(map(torch.equal, one.seen, alone.seen))


def test_one_network_under_two_names_gets_equal_counts():
    net = networks.build("digits_student")
    rows = evaluate.sweep({"a": net, "b": net}, X, Y, PLAN)
    assert [r["key"] for r in rows] == ["a", "b"] * 5
    assert [r["correct"] for r in rows[::2]] == [r["correct"] for r in rows[1::2]]
    assert len({r["correct"] for r in rows}) > 1 and net.training


def test_counts_of_a_constant_answer_and_n_is_images_times_draws():
    rows = evaluate.sweep({"seven": Recorder(7)}, X, Y, PLAN, draws=3, chunk=50)
    right = (Y == 7).sum().item()
    assert right > 0
    assert [(r["correct"], r["n"], r["draws"]) for r in rows] == [(right, 120, 1)] + [
        (3 * right, 360, 3)
    ] * 4
    assert [(r["perturbation"], r["level"], r["unit"]) for r in rows] == PLAN


def test_the_noise_has_the_level_unit_and_kind_of_its_row():
    net = Recorder()
    x, y = torch.rand(4, 1, 150, 150) + 0.2, torch.zeros(4, dtype=torch.int64)
    evaluate.sweep({"net": net}, x, y, PLAN, draws=1)
    clean, dB, ratio, poisson, block = net.seen
    snr = [(x.square().mean() / (seen - x).square().mean()).item() for seen in (dB, ratio, poisson)]
    assert snr == pytest.approx([10**0.3, 3, 10**0.3], rel=0.04)
    assert torch.equal(clean, x) and (block == 0).sum() == 4 * 9


def test_draws_seeds_and_levels_differ_but_each_repeats():
    def first(*key):
        return torch.rand(3, generator=evaluate.noise_generator(*key)).tolist()

    keys = [
        (0, "gaussian", 3, 0),
        (1, "gaussian", 3, 0),
        (0, "poisson", 3, 0),
        (0, "gaussian", 2, 0),
        (0, "gaussian", 3, 1),
    ]
    assert len({tuple(first(*k)) for k in keys}) == len(keys)
    assert all(first(*k) == first(*k) for k in keys)
    zero, again, one = Recorder(), Recorder(), Recorder()
    for net, seed in ((zero, 0), (again, 0), (one, 1)):
        evaluate.sweep({"net": net}, X, Y, PLAN[1:2], draws=2, seed=seed)
    assert torch.equal(zero.seen[0], again.seen[0])
    assert not torch.equal(zero.seen[0], one.seen[0]) and not torch.equal(
        zero.seen[0], zero.seen[1]
    )


def test_the_order_of_evaluation_and_the_global_seed_change_nothing():
    forth, back = Recorder(), Recorder()
    torch.manual_seed(0)
    evaluate.sweep({"net": forth}, X, Y, PLAN, draws=1)
    torch.manual_seed(1)
    evaluate.sweep({"net": back}, X, Y, PLAN[::-1], draws=1)
    parts = len(forth.seen) // len(PLAN)  # the batches of one level, in their order
    levels = [
        torch.cat(seen[i : i + parts])
        for seen in (forth.seen, back.seen)
        for i in range(0, len(seen), parts)
    ]
    assert len(levels) == 2 * len(PLAN) and all(
        map(torch.equal, levels[: len(PLAN)], levels[: len(PLAN) - 1 : -1])
    )


@pytest.mark.parametrize(
    "dataset, count", [("digits", 1 + 13 + 6 + 13 + 5), ("mnist", 1 + 10 + 6 + 10 + 7)]
)
def test_the_levels_of_a_data_set(dataset, count):
    plan = catalogue.levels(dataset)
    assert len(set(plan)) == len(plan) == count and plan[0] == ("clean", 0, "")


@pytest.mark.parametrize(
    "correct, n, low, high",
    [
        (95, 100, 0.8882, 0.9785),
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (5, 10, 0.2366, 0.7634),
    ],
)
def test_wilson_against_published_values(correct, n, low, high):
    assert inference.wilson(correct, n) == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize(
    "x, plan, draws, said",
    [
        (X[:0], PLAN, 1, "no images to evaluate"),
        (X, PLAN, 0, "draws=0 must be a whole number of at least 1"),
        (X, [("fog", 1, "")], 1, "perturbation='fog' is unknown"),
        (X, [("gaussian", 1, "db")], 1, "unit='db' is unknown"),
    ],
)
def test_bad_input_is_refused(x, plan, draws, said):
    with pytest.raises(ValueError, match=said):
        evaluate.sweep({"net": Recorder()}, x, Y, plan, draws)


class Odd(nn.Module):
    """NaN where an image is dark, though every weight is finite."""

    def forward(self, x):
        sizes = x.flatten(1).sum(1, keepdim=True)
        return (sizes / sizes).expand(-1, 10)


def test_a_network_of_nan_is_refused_before_anything_is_counted():
    d = sets.digits()
    good, bad = networks.build("digits_mlp_student"), networks.build("digits_mlp_student")
    bad[1].layer.weight.data[0, 0] = float("nan")
    with pytest.raises(ValueError, match="1.layer.weight of the network 'bad' holds NaN"):
        evaluate.sweep({"good": good, "bad": bad}, d.x_test, d.y_test, [("clean", 0.0, "")])
    x = torch.cat([d.x_test[:70], 0 * d.x_test[:1]])
    with pytest.raises(ValueError, match="logits of the network hold NaN"):
        evaluate.sweep({"odd": Odd()}, x, d.y_test[:71], [("clean", 0.0, "")])
    with pytest.raises(ValueError, match="images hold NaN"):
        evaluate.sweep({"good": good}, x * float("inf"), d.y_test[:71], [("clean", 0.0, "")])


def test_nan_and_one_class_are_no_boundary():
    d = sets.digits()
    bad = networks.build("digits_mlp_student").eval()
    bad[1].layer.weight.data[0, 0] = float("nan")
    x, y = d.x_test[:5], d.y_test[:5]
    for call in (
        lambda net: boundary.vectors(net, x, y),
        lambda net: boundary.search(net, x, y, (y + 1) % 10),
    ):
        with pytest.raises(ValueError, match="1.layer.weight of the network holds NaN"):
            call(bad)
        with pytest.raises(ValueError, match="logits of the network hold NaN"):
            x[0] = 0
            call(Odd().eval())
