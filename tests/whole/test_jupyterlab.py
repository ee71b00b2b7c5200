"""JupyterLab opens the stored notebooks: none is changed by that, each picture has its words, and a
live view without its kernel shows its still.
"""

import json
import shutil

import nbformat
import pytest
from test_browser import ROOT, jupyterlab, page, pytestmark  # noqa: F401

BOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NOW = "window.jupyterapp.shell.currentWidget"
IMAGES = """() => [...document.querySelectorAll('.jp-OutputArea img')]
    .map(i => ({alt: i.alt, wide: i.naturalWidth}))"""
TINY = """
import ipywidgets as W
from matplotlib.figure import Figure
from rsnl_lib.workbook.widgets.base import stage
fig = Figure(figsize=(2, 1))
fig.subplots()
stage("tiny", [W.IntSlider(description="push", max=3)], str, fig, "a slider over its number")
"""
STILL = ".rsnl-still img"
LOST = ".rsnl-lost p"


@pytest.fixture
def folder(tmp_path):
    """A folder for JupyterLab with copies of all notebooks; one says that another Python made
    it.
    """
    (tmp_path / "notebooks").mkdir()
    for book in BOOKS:
        shutil.copy(book, tmp_path / "notebooks")
    first = tmp_path / "notebooks" / BOOKS[0].name
    text = first.read_text()
    version = json.loads(text)["metadata"]["language_info"]["version"]
    first.write_text(text.replace(f'"version": "{version}"', '"version": "3.9.1"'))
    return tmp_path


def open_book(page, place, name):  # noqa: F811
    """A notebook in JupyterLab, with a kernel that is ready; it is given time to be changed."""
    address, token = place
    page.goto(f"{address}/lab/tree/notebooks/{name}?token={token}&reset")
    page.locator(".jp-Notebook").wait_for()
    page.evaluate("window.jupyterapp.restored.then(() => true)")
    idle(page)
    page.wait_for_timeout(1500)


def idle(page):  # noqa: F811
    page.wait_for_function(
        f"() => {NOW}?.context?.isReady && {NOW}.sessionContext?.session?.kernel?.status === 'idle'"
    )


def test_opening_changes_nothing_and_every_picture_has_its_words(folder, page, record_property):  # noqa: F811
    dirty, mute, seen = [], [], 0
    with jupyterlab(folder) as place:
        for book in BOOKS:
            open_book(page, place, book.name)
            dirty += [book.stem] * page.evaluate(f"{NOW}.context.model.dirty")
            images = page.evaluate(IMAGES)
            seen += len(images)
            mute += [(book.stem, i) for i in images if len(i["alt"]) < 20 or not i["wide"]]
            page.evaluate(f"{NOW}.sessionContext.shutdown()")
        page.close()
    assert not dirty, f"changed by being opened: {dirty}"
    assert seen >= len(BOOKS) and not mute, mute
    record_property("JupyterLab", f"{len(dirty)} of {len(BOOKS)} changed, {seen} pictures named")


def test_a_view_without_its_kernel_shows_its_still_and_says_so(folder, page):  # noqa: F811
    cells = [nbformat.v4.new_code_cell(TINY)]
    metadata = nbformat.read(BOOKS[0], as_version=4).metadata
    tiny = folder / "notebooks" / "tiny.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), tiny)
    with jupyterlab(folder) as place:
        open_book(page, place, tiny.name)
        page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
        page.locator(".rsnl-tiny .rsnl-view").wait_for()
        assert not page.locator(STILL).is_visible() and not page.locator(LOST).is_visible()
        page.evaluate(f"{NOW}.sessionContext.session.kernel.restart()")
        page.locator(LOST).wait_for()
        assert "kernel" in page.locator(LOST).inner_text()
        page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
        page.wait_for_function(f"() => !{NOW}.context.model.dirty")
        page.evaluate(f"{NOW}.sessionContext.shutdown()")
        open_book(page, place, tiny.name)
        page.locator(STILL).wait_for()
        assert page.locator(STILL).evaluate("i => i.naturalWidth") == 200
        assert "slider over its number" in page.locator(STILL).get_attribute("alt")
        page.close()
