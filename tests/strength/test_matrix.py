"""A small part of matrix.py: six networks in three uses; and it notices what it is there for."""

import pathlib
import sys

import pytest
import torch

from rsnl_lib import train
from rsnl_lib.train import losses

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import matrix  # noqa: E402
import matrix_networks  # noqa: E402
import matrix_plain  # noqa: E402

SIX = list(matrix_networks.NETWORKS)[:6]
THREE = ("student-kd", "student-robust", "teacher-kd")


@pytest.fixture(autouse=True)
def in_double():
    torch.set_default_dtype(torch.double)
    yield
    torch.set_default_dtype(torch.float)


@pytest.mark.parametrize("name", SIX)
def test_six_networks_are_right_or_refused_in_words(name):
    for use in THREE:
        run = matrix.judge(name, use)
        assert run.verdict in ("RIGHT", "REFUSED"), run


def test_the_plain_step_knows_nothing_of_the_library():
    text = (HERE / "matrix_plain.py").read_text() + (HERE / "matrix_networks.py").read_text()
    assert "rsnl" not in text


def test_a_gradient_that_is_off_by_a_billionth_is_wrong(monkeypatch):
    true = losses.gradient_loss
    monkeypatch.setattr(losses, "gradient_loss", lambda *g: true(*g) * (1 + 1e-9))
    run = matrix.judge("batch_norm", "student-robust")
    assert run.verdict == "WRONG" and 1e-10 < max(run.loss, run.step) < 1e-8, run


@pytest.mark.parametrize(
    "error, verdict, words",
    [
        (RuntimeError("derivative for aten::own is not implemented"), "CRASHED", "RuntimeError"),
        (ValueError("it has no middle layer; give another"), "WRONG", "another reason"),
        (ValueError("its layers mix the images of a batch"), "WRONG", "without a remedy"),
        (ValueError("its layers mix the images of a batch; freeze them"), "REFUSED", "freeze"),
    ],
)
def test_a_refusal_needs_its_true_reason_and_a_remedy(monkeypatch, error, verdict, words):
    def fit(*given, **more):
        raise error

    monkeypatch.setattr(train, "fit", fit)
    run = matrix.judge("own_norm", "student-robust")
    assert run.verdict == verdict and words in run.words, run


def test_a_refusal_after_all_images_is_late(monkeypatch):
    def fit(net, data, method, r, teacher):
        teacher(data.x_train)
        raise ValueError("its layers mix the images of a batch; freeze them")

    monkeypatch.setattr(train, "fit", fit)
    run = matrix.judge("own_norm", "student-robust")
    assert run.verdict == "WRONG" and run.asked == matrix.IMAGES and "late" in run.words, run


def test_each_method_reaches_its_own_terms():
    """bss finds samples on the boundary, and each term of the plain step is above zero."""
    assert matrix.judge("group_norm", "student-bss").boundary > 0
    for method in ("kd", "robust", "bss", "ard"):
        two = matrix.pair("group_norm", "student")
        r = matrix.recipe(method, False)
        terms, firm = matrix_plain.step(method, *two[:2], matrix.images(), two.labels, r)
        assert all(value > 0 for value in terms.values()), (method, terms)
