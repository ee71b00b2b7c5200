"""What nbval does not see: stored notebooks are current, canonical, really compared, small, and
readable.
"""

import re
import statistics
import tempfile

import nbformat
import pytest

from rsnl_lib.workbook import render

NAMES = [s.stem for s in sorted(render.CHAPTER_FILES.glob("*.py"))]


def lines(cell):
    return sum(bool(line.strip()) for line in cell.source.splitlines())


def tags(cell):
    return cell.metadata.get("tags", [])


def compared(cell):
    """Does nbval compare some text of this cell's output?"""
    if {"nbval-ignore-output", "nbval-skip"} & set(tags(cell)) or "NBVAL_" in cell.source:
        return False
    texts = [o.get("text", "") or o.get("data", {}).get("text/plain", "") for o in cell.outputs]
    return any(t.strip() and not t.startswith(("<Figure", "<IPython")) for t in texts)


def test_every_source_has_its_notebook_and_the_other_way_round():
    assert NAMES, "no sources in notebooks/src"
    assert NAMES == [p.stem for p in sorted(render.BOOKS.glob("*.ipynb"))], (
        "python3 run.py render makes missing notebooks"
    )


@pytest.fixture(scope="module", params=NAMES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def path(name):
    path = render.BOOKS / f"{name}.ipynb"
    if not path.is_file():
        pytest.fail(f"{path.name} is missing: python3 run.py render {name}")
    return path


@pytest.fixture(scope="module")
def nb(path):
    return nbformat.read(path, as_version=4)


@pytest.fixture(scope="module")
def code(nb):
    return [c for c in nb.cells if c.cell_type == "code"]


def test_stored_is_the_rendered_source(nb, name):
    nbformat.validate(nb)
    source = render.from_source(render.CHAPTER_FILES / f"{name}.py")
    assert [(c.id, *part) for c, part in zip(nb.cells, render.cell_parts(nb))] == [
        (c.id, *part) for c, part in zip(source.cells, render.cell_parts(source))
    ], f"stale: python3 run.py render {name}"


def test_canonical(nb, path, name):
    again = render.canonical(nbformat.read(path, as_version=4), name)
    assert nbformat.writes(again) == nbformat.writes(nb), (
        f"volatile metadata: python3 run.py render {name}"
    )


def test_run_from_top_to_bottom_without_complaint(code):
    assert [c.execution_count for c in code] == list(range(1, len(code) + 1)), (
        "nbval compares no cell without a count"
    )
    bad = [
        o for c in code for o in c.outputs if o.output_type == "error" or o.get("name") == "stderr"
    ]
    assert not bad, bad


def test_most_cells_are_compared(code):
    unchecked = [c.source.splitlines()[0] for c in code if not compared(c)]
    assert len(unchecked) <= 0.4 * len(code), (
        f"{len(unchecked)} of {len(code)} print nothing to compare: {unchecked}"
    )


def test_small_and_free_of_machine_paths(path):
    text = path.read_text()
    assert len(text.encode()) < 600_000
    for place in (
        str(render.BOOKS.parent),
        tempfile.gettempdir() + "/",
        "site-packages",
        "/home/",
        "/Users/",
    ):
        assert place not in text, place


def test_leaves_the_environment_alone(code):
    for cell in code:
        assert not re.search(r"^\s*[%!]\s*(pip|conda)|os\.chdir|^\s*%cd", cell.source, re.M), (
            cell.source
        )


def test_one_parameters_cell(nb):
    assert sum("parameters" in tags(c) for c in nb.cells) == 1


def test_cells_are_short(code):
    sizes = [lines(c) for c in code]
    assert statistics.median(sizes) <= 8 and max(sizes) <= 40, sizes


def test_figures_are_there_and_are_read(nb, code):
    assert render.pictures(code), "no figure"
    for cell, after in zip(nb.cells, [*nb.cells[1:], None]):
        if render.pictures([cell]):
            assert after is not None and after.cell_type == "markdown", (
                f"no words after the figure of: {cell.source}"
            )


def test_the_readme_shows_the_first_notebooks_figure():
    nb = nbformat.read(
        render.stored(render.CHAPTER_FILES / f"{render.FRONT.stem}.py"), as_version=4
    )
    assert render.FRONT.read_bytes() == render.pictures(nb.cells)[0], (
        "stale: python3 run.py render 00"
    )
    assert f"notebooks/{render.FRONT.name}" in (render.BOOKS.parent / "README.md").read_text()
