"""How alike two networks' input gradients are: by hand, and as the command writes it."""

import math

import pytest
import torch
from torch import nn

from rsnl_lib import __main__ as cli
from rsnl_lib import data, env, geometry, store
from rsnl_lib.train import losses

KD = env.CHECKPOINTS / "digits_student-kd-short-s0.safetensors"
ROBUST = env.CHECKPOINTS / "digits_student-robust-short-s0.safetensors"
TEACHER = env.CHECKPOINTS / "digits_teacher-teacher-short-s0.safetensors"


def test_by_hand():
    g_S = torch.tensor([[3.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
    g_T = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0]])
    found = geometry.compare_slopes(g_S, g_T)
    assert found == pytest.approx(
        {"square_S": 13 / 3, "square_T": 14 / 3, "L_G": 21 / 3, "cosine": 0.5}
    )
    assert found["L_G"] == pytest.approx(losses.gradient_loss(g_S, g_T).item())
    assert geometry.compare_slopes(g_S, -g_S)["cosine"] == pytest.approx(-1)
    assert math.isnan(geometry.compare_slopes(0 * g_S, g_T)["cosine"])


def test_a_slope_is_the_change_of_the_softened_score_whatever_the_chunk():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    x, y = torch.rand(5, 1, 2, 2, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 1])
    g = geometry.slopes(net, x, y, tau=3.0, chunk=2)
    assert g.shape == (5, 4)
    assert torch.allclose(g, geometry.slopes(net, x, y, tau=3.0), atol=1e-12)
    step = 1e-6 * torch.eye(4, dtype=torch.float64).reshape(4, 1, 1, 2, 2)
    up, down = (torch.stack([geometry.score(net(x + s), y, 3.0) for s in t]) for t in (step, -step))
    assert torch.allclose(g.T, (up - down) / 2e-6, atol=1e-8)


def test_the_command_compares_with_the_teacher_beside_and_with_one_that_is_named(tmp_path, capsys):
    file = tmp_path / "s.csv"
    rest = ["--images", "40", "--rows", str(file)]
    cli.main(["slopes", str(KD), str(ROBUST), *rest])
    cli.main(["slopes", str(KD), "--teacher", str(ROBUST), *rest])
    rows = store.lines(file)
    assert [r["reference"] for r in rows] == [TEACHER.stem] * 2 + [ROBUST.stem]
    assert [r["images"] for r in rows] == ["40"] * 3
    d = data.load("digits")
    x, y = d.x_test[:40], d.y_test[:40]
    g_S, g_T = (
        geometry.input_gradient(store.load_checkpoint(p)[0], x, y, 3.0)[1].flatten(1)
        for p in (KD, TEACHER)
    )
    assert float(rows[0]["square_S"]) == pytest.approx(g_S.square().sum(1).mean().item(), rel=1e-4)
    assert float(rows[0]["L_G"]) == pytest.approx((g_S - g_T).square().sum(1).mean().item(), 1e-4)
    each = torch.cosine_similarity(g_S, g_T)
    assert float(rows[0]["cosine"]) == pytest.approx(each.mean().item(), abs=1e-4)
    assert float(rows[1]["cosine"]) > float(rows[0]["cosine"])
    assert capsys.readouterr().out.count("L_G ") == 3


def test_the_temperature_is_the_runs_own(tmp_path):
    softer = tmp_path / "softer.safetensors"
    net, head = store.load_checkpoint(KD)
    own = {k: head[k] for k in ("dataset", "method", "network", "seed", "recipe", "classes")}
    store.save_checkpoint(softer, net, **own, settings="tau=6.0")
    rest = ["--teacher", str(TEACHER), "--images", "40", "--rows", str(tmp_path / "s.csv")]
    cli.main(["slopes", str(KD), str(softer), *rest])
    d, teacher = data.load("digits"), store.load_checkpoint(TEACHER)[0]
    for row, tau in zip(store.lines(tmp_path / "s.csv"), (3.0, 6.0)):
        g_T = geometry.slopes(teacher, d.x_test[:40], d.y_test[:40], tau)
        assert float(row["square_T"]) == pytest.approx(g_T.square().sum(1).mean().item(), rel=1e-4)
