"""What a network withstands, by the toolbox: every start counts, more can only hurt, bounds are
kept; the rows and the command.
"""

import csv
import shutil

import numpy as np
import pytest
import torch
from torch import nn

from rsnl_lib import __main__ as cli
from rsnl_lib import env, store
from rsnl_lib.data import sets
from rsnl_lib.measure import toolbox
from rsnl_lib.study import jobs
from rsnl_lib.study.results import Results
from rsnl_lib.train import attacks

pytest.importorskip(
    "art", reason="no adversarial-robustness-toolbox, which the extra `test` installs"
)
D = sets.digits()
X, Y = D.x_test[:100], D.y_test[:100]
KD = env.CHECKPOINTS / "digits_student-kd-short-s0.safetensors"


@pytest.fixture(scope="module")
def net():
    return store.load_checkpoint(KD)[0]


def test_who_survives_a_larger_ball_survives_a_smaller_and_none_an_unbounded_one(net):
    with torch.no_grad():
        clean = net(X).argmax(1) == Y
    counts = [toolbox.survives(net, X, Y, e).sum().item() for e in (0.001, 0.05, 0.1, 0.15, 1.0)]
    assert clean.sum() >= counts[0] > counts[1] > counts[2] > counts[3] > counts[4] == 0
    assert not (toolbox.survives(net, X, Y, 0.05) & ~clean).any(), (
        "an image that was wrong before survives nothing"
    )


def test_an_image_that_was_wrong_survives_nothing_even_if_the_attack_sets_it_right():
    class Shy(nn.Module):
        def forward(self, x):
            still = ((x - 0.5).abs().amax((1, 2, 3)) < 1e-6).float()
            return torch.stack([1 - still, still], 1) + 0 * x.sum()

    x, y = torch.full((3, 1, 8, 8), 0.5), torch.tensor([0, 0, 1])
    assert toolbox.survives(Shy().eval(), x, y, 0.1).tolist() == [False] * 3


def test_every_start_counts(net):
    one, three = (toolbox.survives(net, X, Y, 0.1, steps=3, restarts=n) for n in (1, 3))
    assert not (three & ~one).any() and three.sum() < one.sum()


def test_ten_times_the_steps_and_autoattack_find_hardly_more(net):
    counts = {
        kind: toolbox.survives(net, X, Y, 0.1, kind).float().mean().item()
        for kind in toolbox.EFFORT
    }
    assert (
        abs(counts["pgd200"] - counts["pgd"]) <= 0.03
        and abs(counts["autoattack"] - counts["pgd"]) <= 0.03
    ), counts


def test_what_the_toolbox_hands_back_lies_in_the_ball_and_in_the_range(net, monkeypatch):
    from art.attacks import evasion

    seen, real = [], evasion.ProjectedGradientDescent.generate
    monkeypatch.setattr(
        evasion.ProjectedGradientDescent,
        "generate",
        lambda self, x, y: seen.append((x, real(self, x, y))) or seen[-1][1],
    )
    toolbox.survives(net, X, Y, 0.07)
    assert len(seen) == 3
    for x, z in seen:
        assert (
            np.abs(z - x).max() <= 0.07 + 1e-6
            and z.min() >= 0
            and z.max() <= 1
            and np.abs(z - x).max() > 0.069
        )


def test_a_flat_network_shows_masked_gradients_to_the_search_that_needs_none():
    """A step hides every gradient: PGD finds nothing, Square does."""

    class Stairs(nn.Module):
        def __init__(self, net):
            super().__init__()
            self.net = net

        def forward(self, x):
            return self.net((4 * x).round() / 4)

    stairs = Stairs(store.load_checkpoint(KD)[0]).eval()
    found = {
        kind: toolbox.survives(stairs, X, Y, 0.15, kind, steps=50).sum().item()
        for kind in ("pgd", "autoattack")
    }
    assert found["autoattack"] < found["pgd"] - 10, found


def test_the_answer_repeats_and_leaves_the_global_random_numbers_alone(net):
    np.random.seed(5), torch.manual_seed(5)
    want = np.random.rand(), torch.rand(1).item()
    np.random.seed(5), torch.manual_seed(5)
    first, again, other = (
        toolbox.survives(net, X, Y, 0.1, steps=2, restarts=1, seed=s) for s in (1, 1, 2)
    )
    assert (np.random.rand(), torch.rand(1).item()) == want
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_the_plan_holds_the_recipes_own_epsilon():
    for name, own in (("digits", 0.15), ("mnist", 0.1), ("cifar10_pixels", 8 / 255)):
        plan = toolbox.plan(name)
        assert {
            ("pgd", own, "linf"),
            ("pgd200", own, "linf"),
            ("autoattack", own, "linf"),
            ("pgd", 1.0, "linf"),
        } <= set(plan) and len(plan) == 8
    for epsilon in (None, 0.1):
        with pytest.raises(ValueError, match="dataset='cifar10' has no bounds.*digits.*a folder"):
            toolbox.plan("cifar10", epsilon)


def test_own_pictures_have_bounds_and_an_epsilon_of_ones_own():
    usual = toolbox.plan("pictures")
    assert usual == toolbox.plan("cifar10_pixels") and ("pgd", 8 / 255, "linf") in usual
    for name in ("pictures", "digits"):
        grid = [("pgd", 0.2, "linf"), ("pgd", 1.0, "linf")]
        checks = [("pgd200", 0.2, "linf"), ("autoattack", 0.2, "linf")]
        assert toolbox.plan(name, 0.2) == grid + checks
    assert [e for kind, e, _ in toolbox.plan("pictures", 1.0) if kind == "pgd"] == [1.0]
    for epsilon, said in ((1.5, "more than pixels"), (0.0, "above zero")):
        with pytest.raises(ValueError, match=f"epsilon={epsilon}.*{said}"):
            toolbox.plan("pictures", epsilon)


def test_the_command_adds_rows_that_the_campaign_knows_and_only_new_ones(
    tmp_path, capsys, monkeypatch
):
    file = tmp_path / "attacks.csv"
    monkeypatch.setattr(toolbox, "EPSILONS", (0.1, 0.15))
    ask = lambda *more: cli.main(["attack", str(KD), "--images", "40", "--rows", str(file), *more])
    ask()
    assert "pgd 0.1 " in capsys.readouterr().out
    done = Results(store.result_rows(tmp_path))
    mine = done.find(jobs.Job("digits", "kd", "digits_student"))
    assert set(mine) == {("pgd", 0.1, "linf"), ("pgd", 0.15, "linf"), ("pgd", 1.0, "linf")} and {
        r["n"] for r in mine.values()
    } == {"40"}
    net = store.load_checkpoint(KD)[0]
    assert (
        int(mine["pgd", 0.15, "linf"]["correct"])
        == toolbox.survives(net, D.x_test[:40], D.y_test[:40], 0.15).sum()
    )
    ask()
    assert "nothing new" in capsys.readouterr().out
    ask("--kinds", "autoattack")
    with open(file, newline="") as f:
        assert [r["perturbation"] for r in csv.DictReader(f)] == ["pgd", "pgd", "pgd", "autoattack"]


def test_a_network_named_twice_is_measured_once_and_the_best_epoch_never(
    tmp_path, capsys, monkeypatch
):
    file, best = tmp_path / "rows.csv", tmp_path / "kd.best.safetensors"
    shutil.copy(KD, best)
    monkeypatch.setattr(toolbox, "EPSILONS", ())
    cli.main(["attack", str(KD), str(KD), "--images", "20", "--rows", str(file)])
    assert [line.count("nothing new") for line in capsys.readouterr().out.splitlines()] == [
        0,
        1,
    ] and len(file.read_text().splitlines()) == 2
    for command in ("sweep", "attack", "similarity", "slopes", "margins", "ladder"):
        to = file if command in ("sweep", "attack") else tmp_path / f"{command}.csv"
        with pytest.raises(
            SystemExit,
            match="kd.best.safetensors is the best epoch of its run.*name .*kd.safetensors",
        ):
            cli.main([command, str(KD), str(best), "--rows", str(to)])
    assert len(file.read_text().splitlines()) == 2


def test_a_new_file_holds_every_network_that_is_named_whatever_lies_beside(tmp_path, monkeypatch):
    monkeypatch.setattr(toolbox, "EPSILONS", ())
    robust = env.CHECKPOINTS / "digits_student-robust-short-s0.safetensors"
    ask = ["attack", str(KD), str(robust), "--images", "5", "--rows"]
    for name in ("first.csv", "second.csv"):
        cli.main([*ask, str(tmp_path / name)])
        methods = [row["method"] for row in store.lines(tmp_path / name)]
        assert methods == ["kd", "robust"], name


@pytest.mark.parametrize(
    "kw, said",
    [
        (dict(epsilon=0), "epsilon=0"),
        (dict(epsilon=0.1, kind="fgsm"), "kind='fgsm'.*autoattack"),
        (dict(epsilon=0.1, steps=0), "steps=0"),
        (dict(epsilon=0.1, x=X[:0], y=Y[:0]), "no images"),
    ],
)
def test_bad_values_are_named(net, kw, said):
    with pytest.raises(ValueError, match=said):
        toolbox.survives(net, kw.pop("x", X), kw.pop("y", Y), **kw)


def test_our_own_attack_is_no_stronger_than_the_toolbox_on_the_network_it_shaped(net):
    z = attacks.pgd(
        net, X, attacks.cross_entropy(Y), 0.1, 0.025, 20, generator=torch.Generator().manual_seed(0)
    )
    with torch.no_grad():
        ours = (net(z).argmax(1) == Y).float().mean().item()
    assert toolbox.survives(net, X, Y, 0.1).float().mean().item() <= ours + 0.003


def test_a_network_of_nan_withstands_nothing_and_is_refused():
    bad = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    nn.init.constant_(bad[1].bias, float("nan"))
    with pytest.raises(ValueError, match="1.bias of the network holds NaN"):
        toolbox.survives(bad, X[:2], Y[:2], 0.1)
