"""Pictures in stored notebooks: their words reach the reader, and their colours are right."""

import io

import ipywidgets as W
import numpy as np
import pytest
from bs4 import BeautifulSoup
from matplotlib.figure import Figure
from nbconvert import HTMLExporter
from PIL import Image

from rsnl_lib.workbook import palette, render
from rsnl_lib.workbook.widgets import base

BOOKS = [render.stored(source) for source in render.chosen([])]


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


@pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.stem)
def test_nbconvert_writes_every_picture_with_its_words(book):
    page, _ = HTMLExporter().from_filename(str(book))
    images = BeautifulSoup(page, "html.parser").select(".jp-OutputArea img")
    assert len(images) >= len(render.pictures(render.nbformat.read(book, as_version=4).cells)) > 0
    mute = [i["src"][-30:] for i in images if len(i.get("alt", "")) < 20]
    mute += [i["alt"] for i in images if i.get("alt", "").startswith("No description")]
    assert not mute, f"python3 run.py render {book.stem}"


def test_words_of_a_picture_may_hold_quotes_and_signs():
    shown = palette.picture_html(b"\x89PNG", 'scores "f" < 1 & falling')
    image = BeautifulSoup(shown, "html.parser").img
    assert image["alt"] == 'scores "f" < 1 & falling'
    assert image["src"] == "data:image/png;base64,iVBORw=="


def test_a_figure_of_many_colours_keeps_its_orange_and_purple():
    fig = Figure(figsize=(9, 4.5))
    map_, lines = fig.subplots(1, 2)
    signs = np.zeros((28, 28))
    signs[3, 4], signs[20, 9] = 1, -1  # as in an input gradient: few strong pixels among weak ones
    signs += np.random.default_rng(0).normal(scale=0.1, size=signs.shape)
    palette.draw_image(map_, signs, top=1)
    for row, look in enumerate(palette.styles().values()):
        lines.plot([0, 1], [row, row + 0.3], **look)
    raw = io.BytesIO()
    fig.savefig(raw, format="png", dpi=100)
    drawn, stored = pixels(raw.getvalue()), pixels(palette.png(fig))
    assert np.abs(drawn - stored).max() <= 24
    ends = [np.array(palette.DIVERGING(end, bytes=True)[:3], dtype=int) for end in (0.0, 1.0)]
    far = [np.abs(stored - colour).max(axis=-1).min() for colour in ends]
    assert max(far) <= 24, "the strongest pixels are neither orange nor purple"
    assert len(palette.png(fig)) < 0.6 * len(raw.getvalue())


def test_a_picture_with_too_many_colours_for_a_palette_is_stored_as_it_is():
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert (pixels(palette.squeezed(Image.fromarray(noise))) == noise).all()


def test_a_live_view_is_followed_by_what_is_left_without_its_kernel(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda bundle, raw: shown.append(bundle))
    for still in (b"\x89PNG", None):
        base.show_widget(W.IntSlider(), still, "[live: a slider over <scores>]")
    live, picture, _, words = shown
    assert [*live] == [render.WIDGET], "a second form would stand in the still's place"
    image = BeautifulSoup(picture["text/html"], "html.parser").select_one(".rsnl-still img")
    assert image["alt"] == "Still picture of a live view: a slider over <scores>"
    assert "run the notebook" in picture["text/html"]
    assert "Run the notebook" in words["text/html"] and "&lt;scores&gt;" in words["text/html"]
    assert picture["text/plain"] == words["text/plain"] == "[live: a slider over <scores>]"


def test_of_a_live_view_only_what_is_left_without_its_kernel_is_stored():
    new = render.nbformat.v4
    view, still = {render.WIDGET: {"model_id": "1"}}, {"text/html": "<img>"}
    outputs = [new.new_output("display_data", data) for data in (view, still)]
    cells = [new.new_code_cell("stage()", outputs=outputs), new.new_code_cell("1")]
    kept = render.canonical(new.new_notebook(cells=cells), "book").cells
    assert [[o.data for o in c.outputs] for c in kept] == [[still], []]
