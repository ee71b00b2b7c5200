"""Every exercise: the stub is told what is missing, the folded solution passes its checker."""

import re

import numpy as np
import pytest
import torch

from rsnl_lib import data, env, geometry, measure, networks, theorem
from rsnl_lib.data import perturb
from rsnl_lib.train import attacks, losses
from rsnl_lib.workbook import checkers

CELLS = re.compile(r"^# %%.*$", re.M)


def exercises():
    for path in sorted((env.ROOT / "notebooks" / "src").glob("*.py")):
        cells = CELLS.split(path.read_text())
        for stub, fold in zip(cells, cells[1:]):
            if call := re.search(r"^checkers\.(\w+)\(.*\)$", stub, re.M):
                solution = re.search(r"^# ```python\n(.*?)^# ```", fold, re.M | re.S)
                code = solution and re.sub(r"^# ?", "", solution.group(1), flags=re.M)
                yield pytest.param(stub, code, call.group(), id=f"{path.stem}-{call.group(1)}")


ALL = list(exercises())


# what a chapter has imported where its exercises stand
IMPORTED = dict(checkers=checkers, torch=torch, np=np, losses=losses, perturb=perturb)
IMPORTED |= dict(attacks=attacks, data=data, geometry=geometry, measure=measure)
IMPORTED |= dict(networks=networks, theorem=theorem)


def run(code):
    exec(code, dict(IMPORTED))


def test_every_chapter_has_exercises():
    chapters = {p.id[:2] for p in ALL}
    assert chapters == {p.name[:2] for p in (env.ROOT / "notebooks" / "src").glob("*.py")}


@pytest.mark.parametrize("stub, solution, call", ALL)
def test_stub_fails_and_solution_passes(stub, solution, call, capsys):
    assert solution, "the cell after the stub has no solution in a ```python block"
    run(stub)
    assert capsys.readouterr().out.startswith("Not yet: ")
    run(solution + "\n" + call)
    assert capsys.readouterr().out == "Right.\n"


@pytest.mark.parametrize(
    "checker, answer, hint",
    [
        (checkers.decibels, lambda db: 10 ** (db / 20), "amplitudes"),
        (
            checkers.noise,
            lambda x, ratio, g: (
                x
                + torch.randn(x.shape, generator=g, dtype=x.dtype)
                * (x.var(dim=(1, 2, 3), keepdim=True) / ratio).sqrt()
            ),
            "variance",
        ),
        (
            checkers.noise,
            lambda x, ratio, g: x + torch.randn(x.shape, generator=g, dtype=x.dtype),
            "by itself",
        ),
        (checkers.noise, lambda x, ratio, g: None, "tensor"),
        (
            checkers.score_loss,
            lambda f_S, f_T, gamma: torch.relu(gamma + f_S - f_T).mean(),
            "swapped",
        ),
        (checkers.which_term, ["gradient"], "exactly zero"),
        (checkers.predict_scores, ["nobody"], "'nobody'"),
        (
            checkers.project,
            lambda d, epsilon: (
                d / d.flatten(1).norm(dim=1).clamp_min(1e-12).view(-1, 1, 1, 1) * epsilon
            ),
            "stretched",
        ),
        (
            checkers.project,
            lambda d, epsilon: (
                d
                * (epsilon / d.flatten(1).norm(dim=1).view(-1, 1, 1, 1)).clamp_max(1)
                * (d != 0)
                / (d != 0)
            ),
            "length is zero",
        ),
        (checkers.project, lambda d, epsilon: d.clamp(-epsilon, epsilon), "shortened to length 1"),
        (checkers.attack_passes, 20, "trains out"),
        (checkers.attack_passes, 11, "a forward and a backward"),
        (checkers.similar, (1.5, 0), "at most 1"),
    ],
)
def test_typical_mistakes_are_explained(checker, answer, hint, capsys):
    checker(answer)
    out = capsys.readouterr().out
    assert out.startswith("Not yet") and hint in out
