"""draws.py sees a radius that is a little too long, a NaN and a hook that is let through."""

import ast
import math
import pathlib

import attack_apart
import draws
import pytest
import torch
from torch import nn

from rsnl_lib import theorem

D = torch.float64
SOURCE = pathlib.Path(attack_apart.__file__).read_text()


def two_class(w, b):
    """A network of two classes with a_0 - a_1 = <w, x> + b, in float64."""
    layer = nn.Linear(len(w), 2).double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([list(w), [0.0] * len(w)], dtype=D))
        layer.bias.copy_(torch.tensor([b, 0.0], dtype=D))
    return nn.Sequential(nn.Flatten(), layer)


PAIR = two_class((3.0, -4.0, 1.0), 2.3), two_class((1.0, 1.0, 1.0), 0.5)
X = torch.full((6, 1, 1, 3), 0.5, dtype=D)
Y = torch.zeros(6, dtype=torch.int64)


def row(tally, name):
    return dict(zip(draws.COLUMNS, tally[name]))


@pytest.mark.parametrize("box", [False, True])
@pytest.mark.parametrize("q", [1, 2, math.inf])
def test_a_radius_5_percent_too_long_is_seen_and_the_right_one_holds(q, box):
    torch.manual_seed(0)
    S, T = PAIR
    _, r = theorem.sound_radii(S, T, X, Y, "interval", draws.DUAL[q], box=box)
    for factor, bad in ((1, 0), (1.05, 6)):
        tally = draws.Tally()
        draws.judge(tally, "radius", (S, T), X, Y, r * factor, "here", q=q, box=box)
        got = row(tally, "radius")
        assert (got["positive"], got["violations"], got["within_1.03"]) == (6, bad, 6)
        assert tally.broken == ["radius: here"] * bool(bad)


def test_nan_and_negative_radii_are_seen_and_zero_is_no_promise():
    tally = draws.Tally()
    draws.judge(tally, "radius", PAIR, X, Y, torch.tensor([math.nan, -1, 0, 0, 0, 0]), q=2)
    got = row(tally, "radius")
    assert (got["NaN"], got["violations"], got["positive"]) == (1, 1, 0) and tally.broken


def test_the_command_ends_with_status_1_at_a_radius_too_long_and_at_a_hook_let_through(
    monkeypatch, capsys
):
    right = theorem.sound_radii

    def careless(S, T, *rest):
        for net in (S, T):
            for m in net.modules():
                m._forward_hooks.clear()
        r_fp, r_int = right(S, T, *rest)
        return r_fp, r_int * 3

    monkeypatch.setattr(draws.theorem, "sound_radii", careless)
    monkeypatch.setattr(draws.torch, "set_num_threads", lambda n: None)
    with pytest.raises(SystemExit) as end:
        draws.main(["--draws", "500"])
    out = capsys.readouterr().out
    assert end.value.code == 1 and "interval: --seed 0 --from" in out
    tally = draws.Tally()
    draws.hooked(tally, *PAIR, X, Y)
    assert row(tally, "hooks are refused")["violations"] == 6


def test_a_run_is_clean_and_the_same_in_two_parts():
    parts = (400, 3), (200, 3), (200, 3, 200)
    whole, a, b = ([*draws.run(*part)][-1][1] for part in parts)
    assert not whole.broken and sum(row(whole, "interval").values()) > 0
    none = [0] * len(draws.COLUMNS)
    for name in {*whole, *a, *b}:
        assert whole[name] == [m + n for m, n in zip(a.get(name, none), b.get(name, none))]


def test_a_run_that_is_stopped_says_what_it_saw_and_where_to_go_on(monkeypatch, capsys):
    def stopped(tally, seed, at):
        if at == 400:
            raise KeyboardInterrupt
        tally.add("interval", draws=100)

    monkeypatch.setattr(draws, "one_pair", stopped)
    monkeypatch.setattr(draws.torch, "set_num_threads", lambda n: None)
    with pytest.raises(SystemExit) as end:
        draws.main(["--draws", "500", "--from", "200", "--seed", "4"])
    out = capsys.readouterr().out
    assert end.value.code == 130 and "go on with --seed 4 --from 400" in out
    assert draws.table({"interval": [200, *[0] * 7]})[1] in out


def test_the_attack_knows_the_share_of_draws_of_a_linear_pair():
    torch.manual_seed(1)
    S, T, r = two_class((2.0, 0, 0), -0.5), two_class((0, 0, 0), 0), torch.full((6,), 0.4, dtype=D)
    want = torch.special.ndtr(torch.tensor((0.25 - 0.4) / 0.3, dtype=D))  # 0.25 from the flip
    least = attack_apart.fewest_wins(S, T, X, Y, r, 0.3)
    assert (least - want).abs().max() < 0.08


def test_the_nearest_point_of_each_ball():
    d = torch.tensor([[3.0, -1.0, 0.5], [0.1, 0.2, -0.1]], dtype=D)
    R = torch.ones(2, dtype=D)
    want = {
        1: [[1, 0, 0], [0.1, 0.2, -0.1]],
        2: [(d[0] / d[0].norm()).tolist(), [0.1, 0.2, -0.1]],
        math.inf: [[1, -1, 0.5], [0.1, 0.2, -0.1]],
    }
    for q, points in want.items():
        torch.testing.assert_close(attack_apart.into_ball(d, R, q), torch.tensor(points, dtype=D))


def test_the_attack_imports_nothing_of_the_library():
    modules = set()
    for node in ast.walk(ast.parse(SOURCE)):
        if isinstance(node, ast.Import):
            modules |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add(node.module.split(".")[0])
    assert modules == {"copy", "math", "torch"}
