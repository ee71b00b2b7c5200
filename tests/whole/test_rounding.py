"""Outputs of cells tagged "computed": one in the last place of a decimal is forgiven, nothing
else.
"""

import pytest
import rounding


@pytest.mark.parametrize(
    "stored, made",
    [
        ("walk 2.0945, 40 of 40", "walk 2.0944, 40 of 40"),
        ("1.00", "0.99"),
        ("-0.05 and +0.05", "-0.04 and +0.06"),
        ("2.5e-05", "2.6e-05"),
        ("9.99e-05", "1.00e-04"),
        ("no number", "no number"),
        ("0.0 %", "-0.0 %"),
    ],
)
def test_one_in_the_last_place_is_the_same(stored, made):
    assert rounding.same(stored, made) and rounding.same(made, stored)


@pytest.mark.parametrize(
    "stored, made",
    [
        ("walk 2.0945", "walk 2.0943"),
        ("40 of 40", "39 of 40"),
        ("1.0", "1.00"),
        ("True", "False"),
        ("1.5 nats", "1.5 bits"),
        ("2.5e-05", "2.5e-06"),
        ("1.5 2.5", "1.5"),
        ("0.31", "0.33"),
        ("12", "13"),
        ("nan", "0.1"),
    ],
)
def test_anything_more_is_not(stored, made):
    assert not rounding.same(stored, made)


def compared(tags, stored, made, kind="text/plain"):
    class Cell:
        class cell:
            metadata = {"tags": tags}

    wrapped = rounding.forgiving(lambda self, test, ref, skip: test == ref)
    return wrapped(
        Cell(),
        [{"output_type": "display_data", "data": {kind: made}}, {"text": "x 1"}],
        [{"output_type": "display_data", "data": {kind: stored}}, {"text": "x 1"}],
    )


def test_only_cells_that_compute_are_forgiven():
    assert compared(["computed"], "1.25", "1.26") and compared(
        ["computed"], "<td>1.25</td>", "<td>1.26</td>", "text/html"
    )
    assert (
        not compared([], "1.25", "1.26")
        and not compared(["computed"], "1.25", "1.27")
        and not compared(["computed"], "7 of 9", "8 of 9")
    )


IMG = '<img alt="a lead of {}" src="data:image/png;base64,{}">'


def test_of_a_picture_the_words_are_compared_and_not_the_pixels():
    one, other = IMG.format("2.5", "iVBORw0KGgo"), IMG.format("2.5", "iVBORx9/+A==")
    assert compared([], one, one.replace("Ggo", "Abc"), "text/html")
    assert compared(["computed"], one.replace("2.5", "2.6"), other, "text/html")
    assert not compared([], one, one.replace("2.5", "2.6"), "text/html")


def test_a_live_widget_is_not_missed_in_what_is_stored():
    wrapped = rounding.forgiving(lambda self, test, ref, skip: test == ref)

    class Cell:
        class cell:
            metadata = {}

    live = {"output_type": "display_data", "data": {next(iter(rounding.WIDGET)): {"model_id": "1"}}}
    still = {"output_type": "display_data", "data": {"text/html": "a still"}}
    assert wrapped(Cell(), [live, dict(still)], [dict(still)])
    assert not wrapped(Cell(), [live], [dict(still)])
