"""The benchmark's timer, its judgement, and that both of its sides do the same work: same
gradients, same images, same answers.
"""

import csv
import importlib.util
import sys

import numpy as np
import pytest
import torch

from rsnl_lib import env, train
from rsnl_lib.measure import evaluate

FOLDER = env.ROOT / "benchmarks"


def loaded(name, called):
    """A file of benchmarks/ as a module."""
    spec = importlib.util.spec_from_file_location(called, FOLDER / f"{name}.py")
    sys.modules[called] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[called])
    return sys.modules[called]


peer = loaded("peer", "peer")
bench = loaded("run", "benchmarks_run")


def work(n):
    return lambda: sum(i * i for i in range(n))


def test_the_timer_sees_twice_the_work_and_the_same_work():
    times = bench.interleaved(
        {"one": (work(60_000), 1), "two": (work(120_000), 1), "again": (work(60_000), 1)}, 15
    )
    assert {len(t) for t in times.values()} == {15} and min(map(min, times.values())) > 0
    assert 1.5 < bench.compared("", times["two"], times["one"])["ratio"] < 2.7
    assert 0.75 < bench.compared("", times["one"], times["again"])["ratio"] < 1.33


def test_a_time_is_that_of_one_call_and_in_milliseconds():
    calls, begun = [], bench.time.thread_time()
    one = bench.clock(lambda: (calls.append(1), work(60_000)()), repeats=5)
    assert len(calls) == 5 and 0 < one * 5 <= 1000 * (bench.time.thread_time() - begun)


def test_every_round_calls_each_once_in_an_order_of_its_own():
    seen = []
    bench.interleaved({k: (lambda k=k: seen.append(k), 1) for k in "abc"}, 20)
    rounds = [tuple(seen[i : i + 3]) for i in range(3, len(seen), 3)]
    assert (
        seen[:3] == list("abc")
        and len(rounds) == 20
        and all(set(r) == set("abc") for r in rounds)
        and len(set(rounds)) > 2
    )


def test_ratios_are_taken_within_a_round():
    """Times that rise tenfold from round to round, for both: the ratio is 3 in each."""
    ours = [1.0, 10.0, 100.0, 1000.0, 10000.0]
    row = bench.compared("x", [3 * t for t in ours], ours, 2.5)
    assert [row[k] for k in ("peer_ms", "ours_ms", "ratio", "low", "high")] == pytest.approx(
        [300, 100, 3, 3, 3]
    ) and row["rounds"] == 5
    row = bench.compared("x", [4, 5, 6, 7, 8], [1] * 5)
    assert (row["low"], row["ratio"], row["high"]) == pytest.approx((4.4, 6, 7.6))


def test_floor_ceiling_and_the_five_percent():
    assert (
        bench.compared("x", [5], [2], 2.5)["ok"] and not bench.compared("x", [4.9], [2], 2.5)["ok"]
    )
    row = bench.compared("x", [2], [4.4], 2.2, aim=1.3)
    assert (
        row["ok"]
        and row["ratio"] == 2.2
        and not bench.compared("x", [2], [4.5], 2.2, aim=1.3)["ok"]
    )
    for ratio, word in ((1.04, False), (1.06, True), (0.94, True)):
        assert (
            "A/A outside 5 %: run it again" in bench.shown(bench.compared("A/A", [ratio], [1]))
        ) == word
    low = bench.shown(bench.compared("kd-mnist", [2], [1], 2.5))
    assert (
        ">= 2.5" in low
        and "FAIL" in low
        and "PASS" in bench.shown(bench.compared("cost-cifar", [2], [4], 2.2, 1.3))
    )


def test_the_constants_count_a_tenth():
    rows = bench.table(
        "epoch",
        ["epoch-mnist", "epoch-mnist-cached"],
        {"peer": [300.0], "ours": [100.0], "constants": [500.0], "again": [99.0]},
    )
    assert [r["line"] for r in rows] == ["epoch-mnist", "epoch-mnist-cached", "A/A epoch ours"]
    assert [r["ours_ms"] for r in rows[:2]] == [150, 100] and [
        r["ratio"] for r in rows
    ] == pytest.approx([2, 3, 100 / 99])
    assert [r["ok"] for r in rows] == [False, True, True]


@pytest.mark.parametrize("peer_ms, status", [(160.0, 0), (140.0, 1)])
def test_a_missed_floor_is_the_exit_status(peer_ms, status, monkeypatch, capsys, tmp_path):
    """data-cifar with fabricated times, 16 and 14 times ours; the rows land in a file."""
    monkeypatch.setattr(bench.torch, "set_num_threads", lambda n: None)
    monkeypatch.setitem(
        bench.GROUPS,
        "data",
        lambda: {"peer cifar": (None, 1), "cifar": (None, 1), "mnist": (None, 1)},
    )
    monkeypatch.setattr(
        bench,
        "interleaved",
        lambda variants, rounds: {k: [peer_ms if "peer" in k else 10.0] * rounds for k in variants},
    )
    assert (
        bench.main(["--quick", "--only", "data-cifar", "--rows", str(tmp_path / "rows.csv")])
        == status
    )
    out = capsys.readouterr().out
    assert (
        ("FAIL" if status else "PASS") in out
        and f"torch {torch.__version__}" in out
        and "A/A data cifar" in out
    )
    rows = list(csv.DictReader(open(tmp_path / "rows.csv", newline="")))
    assert list(rows[0]) == bench.COLUMNS and [r["line"] for r in rows] == [
        "data-cifar",
        "A/A data cifar",
    ]
    assert [rows[0][k] for k in ("ratio", "floor", "ok", "rounds")] == [
        str(v) for v in (peer_ms / 10, 15.0, not status, bench.ROUNDS["data"][0])
    ]


def test_a_wrong_gradient_is_the_exit_status(monkeypatch, capsys):
    monkeypatch.setattr(bench.torch, "set_num_threads", lambda n: None)
    monkeypatch.setitem(
        bench.PAIRS, "mnist", ("digits_student", "digits_teacher", 1, 8, 16, "digits")
    )
    monkeypatch.setattr(
        bench,
        "interleaved",
        lambda variants, rounds: {k: [9.0 if "peer" in k else 1.0] for k in variants},
    )
    assert (
        bench.main(["--only", "robust-mnist"]) == 0
        and "(at most 1e-10) PASS" in capsys.readouterr().out
    )
    right = peer.robust
    monkeypatch.setattr(
        peer,
        "robust",
        lambda net, teacher, x, y, r, lam: right(
            net, teacher, x, y, r._replace(C1=r.C1 * (1 + 1e-8)), lam
        ),
    )
    assert (
        bench.main(["--only", "robust-mnist"]) == 1
        and "(at most 1e-10) FAIL" in capsys.readouterr().out
    )


@pytest.mark.parametrize("kind", ["digits", "cifar10"])
@pytest.mark.parametrize("method, C1", [("kd", 10.0), ("robust", 10.0), ("robust", 1e6)])
def test_the_peers_gradient_is_ours_in_float64(method, C1, kind):
    """With and without mirror images; C1 = 1e6 makes L_G all of the robust gradient."""
    variants, nets = bench.pair(
        "digits_student", "digits_teacher", 1, 8, 16, kind, torch.double, C1
    )
    assert bench.difference(variants, nets, method) <= 1e-10
    ours, theirs = ([p.grad.clone() for p in net.parameters()] for net in nets)
    assert min(g.norm() for g in ours + theirs) > 1e-3
    variants["peer kd" if method == "robust" else "stock"]()  # another loss has another gradient
    assert max((p.grad - g).norm() / g.norm() for p, g in zip(nets[1].parameters(), ours)) > 1e-3


def test_a_large_C1_leaves_L_G_alone():
    """What `gradients` judges: nine tenths of the gradient are that of L_G, so an error there
    shows.
    """
    variants, nets = bench.pair(
        "digits_student", "digits_teacher", 1, 8, 16, "digits", torch.double, 1e6
    )
    norms = []
    for m in ("kd", "robust"):
        variants[m]()
        norms.append(torch.cat([p.grad.flatten() for p in nets[0].parameters()]).norm().item())
    assert norms[0] < 0.1 * norms[1]


@pytest.mark.parametrize("channels, side, flip", [(1, 28, False), (3, 32, True)])
def test_both_data_paths_show_the_same_images(channels, side, flip):
    """Same normalisation, and the same mirror images where the coins fall alike: one torch.rand(1)
    an image.
    """
    n = 40
    images, y = bench.pictures(n, channels, side)
    x = bench.tensors(images, flip)
    assert len(x) == n * (1 + flip) and images.dtype == np.uint8
    pictures = peer.loader(images, y, bench.MEAN[channels], bench.STD[channels], flip=flip).dataset
    torch.manual_seed(3)
    theirs, labels = zip(*(pictures[i] for i in range(n)))
    torch.manual_seed(3)
    coin = torch.cat([torch.rand(1) for _ in range(n)]) < 0.5
    assert (
        torch.allclose(torch.stack(theirs), x[torch.arange(n) + n * coin * flip], atol=1e-6)
        and list(labels) == y.tolist()
    )
    assert not flip or (0 < coin.sum() < n and not torch.allclose(x[:n], x[n:]))


def test_an_epoch_shows_each_image_once_on_both_sides():
    images, y = bench.pictures(300, 3, 32)
    batches = list(peer.loader(images, y, bench.MEAN[3], bench.STD[3], 128, flip=True))
    assert [len(x) for x, _ in batches] == [128, 128, 44]
    assert torch.equal(torch.cat([y for _, y in batches]).bincount(), y.bincount())


def test_the_peers_networks_and_noise_are_ours():
    """Same logits from the same weights; almost without noise the same counts of right answers;
    noise of the power asked for.
    """
    nets = {i: bench.network("mnist_student", seed=i).eval() for i in range(2)}
    plain, (images, y) = [peer.network(net) for net in nets.values()], bench.pictures(64, 1, 28)
    x = bench.tensors(images, normal=False)
    assert all(torch.allclose(a(x), b(x), atol=1e-5) for a, b in zip(plain, nets.values()))
    rows = evaluate.sweep(nets, x, y, [("gaussian", 120, "dB")], draws=1)
    assert peer.sweep(plain, images, y, [120], "cpu") == [r["correct"] / 64 for r in rows]
    seen = []
    noisy = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10))
    noisy.register_forward_pre_hook(lambda m, inputs: seen.append(inputs[0]))
    torch.manual_seed(0)
    peer.sweep([noisy], images, y, [3], "cpu")
    noise = torch.cat(seen) - x
    assert (x.square().mean((1, 2, 3)) / noise.square().mean((1, 2, 3))).log10().mul(10).sub(
        3
    ).abs().max() < 1


def test_the_peers_epoch_learns():
    """Four epochs on one batch of eight pictures, each class its own brightness: the loss falls and
    the log holds numbers.
    """
    y = torch.arange(8) % 2
    images = (y.numpy()[:, None, None] * 200 + np.zeros((8, 8, 8))).astype(np.uint8)
    batches = peer.loader(images, y, (0.5,), (0.5,), 8)
    r = bench.recipes.recipe("short", "digits", "robust", epochs=1)
    net, teacher = (
        peer.network(bench.network("digits_student")),
        peer.network(bench.network("digits_teacher", seed=1).eval()),
    )
    step = bench.recipes.optimiser(net, r)
    logs = [peer.epoch(net, teacher, batches, batches, step, r, 1.0, "cpu") for _ in range(4)]
    assert logs[-1][0][0] < logs[0][0][0] and all(
        0 <= v <= 1 for log, held in logs for v in (log[1], held)
    )
    assert logs[-1][1] == train.accuracy(
        net, torch.stack([batches.dataset[i][0] for i in range(8)]), y
    )


def test_the_clock_of_the_methods_counts_steps_and_sees_an_attack():
    told = {
        row["method"]: row
        for row in loaded("clock", "benchmarks_clock").rows(
            "digits", ("standard", "pgd_at", "fast_ard"), rounds=1
        )
    }
    assert {tuple(row) for row in told.values()} == {tuple(told["standard"])} and set(
        told["standard"]
    ) == set(sys.modules["benchmarks_clock"].COLUMNS)
    assert [told[m]["steps"] for m in told] == [60 * 16] * 3, "replays are steps too"
    assert (
        told["pgd_at"]["ms"] > 3 * told["standard"]["ms"]
        and told["pgd_at"]["ms"] > 3 * told["fast_ard"]["ms"]
    )
