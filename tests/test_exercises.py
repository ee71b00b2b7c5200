"""Every exercise: the stub is told what is missing, the folded solution passes its checker."""

import re

import pytest
import torch

from rsnl_lib import check, losses, perturb, settings

CELLS = re.compile(r"^# %%.*$", re.M)


def exercises():
    for path in sorted((settings.ROOT / "notebooks" / "src").glob("*.py")):
        cells = CELLS.split(path.read_text())
        for stub, fold in zip(cells, cells[1:]):
            if call := re.search(r"^check\.(\w+)\(.*\)$", stub, re.M):
                solution = re.search(r"^# ```python\n(.*?)^# ```", fold, re.M | re.S)
                code = solution and re.sub(r"^# ?", "", solution.group(1), flags=re.M)
                yield pytest.param(stub, code, call.group(), id=f"{path.stem}-{call.group(1)}")


ALL = list(exercises())


def run(code):
    exec(code, {"check": check, "torch": torch, "losses": losses, "perturb": perturb})


def test_every_chapter_has_exercises():
    chapters = {p.id[:2] for p in ALL}
    assert chapters == {p.name[:2] for p in (settings.ROOT / "notebooks" / "src").glob("*.py")}


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
        (check.snr_ratio, lambda db: 10 ** (db / 20), "amplitudes"),
        (
            check.noise,
            lambda x, ratio, g: (
                x
                + torch.randn(x.shape, generator=g, dtype=x.dtype)
                * (x.var(dim=(1, 2, 3), keepdim=True) / ratio).sqrt()
            ),
            "variance",
        ),
        (
            check.noise,
            lambda x, ratio, g: x + torch.randn(x.shape, generator=g, dtype=x.dtype),
            "by itself",
        ),
        (check.noise, lambda x, ratio, g: None, "tensor"),
        (check.score_loss, lambda f_S, f_T, gamma: torch.relu(gamma + f_S - f_T).mean(), "swapped"),
        (check.which_term, ["gradient"], "exactly zero"),
        (check.predict_scores, ["nobody"], "'nobody'"),
        (
            check.project,
            lambda d, epsilon: (
                d / d.flatten(1).norm(dim=1).clamp_min(1e-12).view(-1, 1, 1, 1) * epsilon
            ),
            "stretched",
        ),
        (
            check.project,
            lambda d, epsilon: (
                d
                * (epsilon / d.flatten(1).norm(dim=1).view(-1, 1, 1, 1)).clamp_max(1)
                * (d != 0)
                / (d != 0)
            ),
            "length is zero",
        ),
        (check.project, lambda d, epsilon: d.clamp(-epsilon, epsilon), "shortened to length 1"),
        (check.attack_passes, 20, "trains out"),
        (check.attack_passes, 11, "a forward and a backward"),
        (check.newton, lambda L, g: L / g.norm() ** 2 * g, "wrong direction"),
        (check.newton, lambda L, g: -L / g.norm() * g, "square of the gradient"),
        (check.newton, lambda L, g: torch.tensor([-L / g.sum(), -L / g.sum()]), "detour"),
        (check.similar, 1.5, "at most 1"),
    ],
)
def test_typical_mistakes_are_explained(checker, answer, hint, capsys):
    checker(answer)
    out = capsys.readouterr().out
    assert out.startswith("Not yet") and hint in out
