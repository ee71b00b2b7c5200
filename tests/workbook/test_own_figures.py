"""From one's own networks to a figure in one line: runs, sweeps, margins, gradients, pictures."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from rsnl_lib import theorem, train
from rsnl_lib.data import Data
from rsnl_lib.measure import evaluate
from rsnl_lib.workbook import figures, palette, theorem_figures

K = 3
R = train.recipe("short", "digits", "standard", epochs=2, batch=16)


def few(n=32):
    g = torch.Generator().manual_seed(0)
    y = torch.arange(n) % K
    x = torch.rand(K, 3, 6, 6, generator=g)[y] * 0.8 + 0.2 * torch.rand(n, 3, 6, 6, generator=g)
    return Data("few", K, *(x, y) * 3)


D = few()
PLAN = [("clean", 0, ""), ("gaussian", 3, "dB"), ("gaussian", 0, "dB"), ("occlusion", 2, "pixels")]


def net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(108, 8), nn.GELU(), nn.Linear(8, K)).eval()


def test_a_run_is_drawn_as_it_is():
    run = train.fit(net(), D, "standard", R)
    other = train.fit(net(1), D, "standard", R)
    for given in (run, run.history, {"kd": run}, {"kd": [run, other]}):
        fig = figures.learning_curves(given)
        assert [ax.get_title() for ax in fig.axes] == ["validation accuracy", "cross-entropy"]
        drawn = fig.axes[0].lines[0].get_ydata()
        seeds = [run, other] if given == {"kd": [run, other]} else [run]
        told = np.mean([[h["val_accuracy"] for h in one.history] for one in seeds], axis=0)
        assert drawn == pytest.approx(told)
    labels = [t.get_text() for t in figures.learning_curves({"kd": run}).legends[0].get_texts()]
    assert labels == ["KD"]
    assert len(figures.cost_bars({"kd": run, "robust": other}).axes[0].patches) == 2


def test_a_sweep_is_drawn_as_it_is_a_panel_for_each_kind():
    nets = {"kd": net(), "mine": net(1)}
    rows = evaluate.sweep(nets, D.x_test, D.y_test, PLAN)
    noise, blocks = figures.accuracy_curves(rows).axes
    assert (noise.get_title(), blocks.get_title()) == ("gaussian", "occlusion")
    assert noise.get_xlabel() == figures.X_LABELS["dB"] and noise.xaxis_inverted()
    assert blocks.get_xlabel() == figures.X_LABELS["pixels"] and not blocks.xaxis_inverted()
    share = {(r["key"], r["level"]): 100 * r["correct"] / r["n"] for r in rows if r["unit"] == "dB"}
    drawn = [line for line in noise.lines if len(line.get_xdata()) == 2]
    assert list(drawn[0].get_ydata()) == pytest.approx([share["kd", 0], share["kd", 3]])
    assert {t.get_text() for t in noise.texts} == {"KD", "mine"}
    table = pd.DataFrame(rows).rename(columns={"key": "method"})
    only = table[table.unit == "dB"]
    assert palette.png(figures.accuracy_curves(only)) == palette.png(
        figures.accuracy_curves([r for r in rows if r["perturbation"] in ("clean", "gaussian")])
    )
    with pytest.raises(ValueError, match="gaussian in dB, occlusion in pixels.*give those of one"):
        figures.accuracy_curves(rows, [(3, 90, "kd")])


def test_clean_rows_alone_are_drawn():
    rows = evaluate.sweep({"kd": net()}, D.x_test, D.y_test, PLAN[:1])
    assert [t.get_text() for t in figures.accuracy_curves(rows).axes[0].texts] == ["KD"]


def test_margins_are_drawn_example_by_example():
    S, T = net(), net(1)
    rows = theorem.margins(S, T, D.x_test[:4], D.y_test[:4], restarts=1, steps=2)
    ax = theorem_figures.score_pairs({"kd": rows}).axes[0]
    logit = [np.log(r["f_T"] / (1 - r["f_T"])) for r in rows]
    assert list(ax.lines[2].get_xdata()) == pytest.approx(logit)
    assert list(ax.lines[2].get_ydata()) == pytest.approx(
        [u + r["lead"] for u, r in zip(logit, rows)]
    )
    assert theorem_figures.score_pairs(rows).axes[0].get_title() == "this network"
    assert palette.as_table({"kd": rows}, "gap", "slope_S").method.eq("kd").all()


def test_the_input_gradients_of_own_networks_are_drawn():
    S = net()
    S[2].train()
    x, y = D.x_test[:2], D.y_test[:2]
    fig = figures.input_gradients({"kd": S, "mine": net(1)}, x, y)
    assert [ax.get_ylabel() for ax in fig.axes[2:6:2]] == ["KD", "mine"]
    z = x.clone().requires_grad_()
    a = S(z)
    others = a.scatter(1, y[:, None], -torch.inf).logsumexp(1)
    (a.gather(1, y[:, None])[:, 0] - others).sum().backward()
    assert np.allclose(fig.axes[3].images[0].get_array(), z.grad[1].mean(0), atol=1e-6)
    assert S[2].training and not S[1].training


def test_rgb_pictures_are_drawn():
    S, x, y = net(), D.x_test[:2].clone(), D.y_test[:2]
    x[0, 0, 0, 0] = 1.5  # noise leaves the range of a screen
    p = S(x).softmax(1).detach()
    fig = figures.score_bars(list(x), {"kd": p}, y)
    assert np.allclose(fig.axes[0].images[0].get_array(), x[0].clamp(0, 1).permute(1, 2, 0))
    assert palette.png(figures.score_bars(x[:, :1], {"kd": p}, y)) == palette.png(
        figures.score_bars(x[:, 0], {"kd": p}, y)
    )


@pytest.mark.parametrize(
    "call, said",
    [
        (
            lambda: figures.score_bars([torch.rand(2, 4, 4)], {"kd": torch.rand(1, 3)}, [0]),
            "2, 4, 4",
        ),
        (lambda: figures.learning_curves(3), "int holds no rows to draw; give a table"),
        (lambda: figures.learning_curves({"kd": "run"}), "str holds no rows"),
        (lambda: figures.accuracy_curves([]), "there are 0 rows to draw"),
        (lambda: figures.accuracy_curves(R_HISTORY), "the rows lack perturbation"),
        (lambda: figures.input_gradients({}, D.x_test, D.y_test), "0 networks, 32 images; give"),
        (lambda: figures.input_gradients({"kd": 3}, D.x_test, D.y_test), "network 'kd' is a int"),
        (lambda: theorem_figures.score_pairs(R_HISTORY), "lack f_T, lead"),
    ],
)
def test_what_cannot_be_drawn_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()


R_HISTORY = [{"epoch": 1, "ce": 0.5, "val_accuracy": 0.5}]
