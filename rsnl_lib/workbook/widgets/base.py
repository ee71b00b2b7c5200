"""The skeleton of every live view, and the images in it."""

import base64
import html
import io

import ipywidgets as W
import numpy as np

from .. import palette
from .svg import bars

DIGITS = [str(i) for i in range(10)]


def show(widget: W.Widget, still: bytes | None, text: str) -> None:
    """Display a widget; without a kernel (on a web page, before a run) readers see the PNG bytes
    `still`, or `text`.
    """
    from IPython.display import display

    bundle = dict(widget._repr_mimebundle_())
    if still is not None:
        bundle["image/png"] = base64.b64encode(still).decode()
    display({**bundle, "text/plain": text}, raw=True)


def alert(error: Exception) -> str:
    """What went wrong, where the reader looks: the front end would swallow it."""
    return f'<div class="rsnl-view" role="alert">{html.escape(str(error))}</div>'


def wide(label: int = 110, whole: int = 420) -> dict:
    """How a control is laid out: pixels for its label, and for all of it."""
    return {
        "style": {"description_width": f"{label}px"},
        "layout": W.Layout(width=f"{whole}px"),
    }


def live(controls, out: W.HTML, draw):
    """Show draw(*the controls' values) in `out` now and whenever a control moves, or why it could
    not be drawn; returns that redraw.
    """

    def redraw(_=None):
        try:
            out.value = draw(*(control.value for control in controls))
        except Exception as error:
            out.value = alert(error)

    for control in controls:
        control.observe(redraw, "value")
    redraw()
    return redraw


def stage(name: str, controls, draw, still, text: str, rows=None):
    """Show a live view: a box of class rsnl-`name`, controls above the HTML that they redraw.

    `still` is a Figure (or None) and `text` words for readers without a kernel; `rows` arranges
    the controls. Returns the HTML widget and its redraw.
    """
    out = W.HTML()
    redraw = live(controls, out, draw)
    box = W.VBox([*(rows or controls), out])
    box.add_class(f"rsnl-{name}")
    show(box, None if still is None else palette.png(still), f"[live: {text}]")
    return out, redraw


def view(pictures, note: str, scores: dict, clean: dict, y, classes) -> str:
    """Pictures [(image (h, w), words)], a note, and every network's bars: `scores` and `clean` are
    {method: (k,)}, y the true class or None.
    """
    shown = "".join(picture(pixels, words) for pixels, words in pictures)
    rows = "".join(bars(m, p, clean[m], y, classes) for m, p in scores.items())
    return (
        '<div class="rsnl-view"><div'
        f' style="display:flex;gap:12px;align-items:end">{shown}</div><div'
        f' class="rsnl-note">{note}</div><div class="rsnl-bars"'
        ' style="display:grid;grid-template-columns:repeat(auto-fill,minmax(390px,1fr));gap:4px'
        f' 12px">{rows}</div></div>'
    )


def picture(pixels, alt: str, side: int = 168) -> str:
    """An <img> of one grey image (h, w) in ink-on-paper grey: 0 is white, 1 black, beyond is
    clipped for the eye only.
    """
    ink = np.clip(np.asarray(pixels), 0, 1)
    return img((255 * (1 - ink)).round().astype(np.uint8), alt, side)


def img(pixels: np.ndarray, alt: str, side: int) -> str:
    """An <img> of 8-bit pixels, grey (h, w) or colour (h, w, 3), with the PNG inside."""
    from PIL import Image

    raw = io.BytesIO()
    Image.fromarray(pixels).save(raw, "png", compress_level=1)
    return (
        f'<img class="rsnl-image" alt="{html.escape(alt)}" width="{side}" height="{side}" '
        'style="image-rendering:pixelated;border:1px solid #767676;margin:0" '
        f'src="data:image/png;base64,{base64.b64encode(raw.getvalue()).decode()}">'
    )
