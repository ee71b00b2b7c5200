"""The skeleton of every live view, and the images in it."""

import base64
import html
import io
from collections.abc import Callable, Sequence

import ipywidgets as W
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from torch import Tensor

from .. import palette
from .svg import bars

DIGITS = [str(i) for i in range(10)]
GUARD = """<style>
.jp-OutputArea:has(.rsnl-stage) .jp-OutputArea-child:has(.rsnl-still) { display: none }
.rsnl-stage > .rsnl-lost { display: none; order: -1; flex: none; width: 100%; height: auto }
.rsnl-stage.jupyter-widgets-disconnected > .rsnl-lost { display: block }
.rsnl-stage.jupyter-widgets-disconnected::before { content: none }
.rsnl-stage .jupyter-widgets-disconnected::before { content: none }
</style><p role="status">The controls are dead: their kernel was restarted or is gone.
Run all cells again (menu Run).</p>"""
GRID = (
    "display:grid;grid-template-columns:repeat(auto-fill,minmax(min({}px,100%),1fr));gap:4px 12px"
)
# ipywidgets names no slider's handle: in the box that holds this each gets its label as its name,
# now and when the box changes
NAMED_SLIDERS = """<style onload="
const box = this.closest('.rsnl-stage');
const name = () => box.querySelectorAll('.widget-slider').forEach((slider) =>
    slider.querySelector('[role=slider]')?.setAttribute('aria-label',
        slider.querySelector('.widget-label').textContent));
name();
box.named ??= (new MutationObserver(name).observe(box, {childList: true, subtree: true}), true);
">.rsnl-view { line-height: 1.4 }</style>"""


def show_widget(widget: W.Widget, still: bytes | None, text: str) -> None:
    """Display a widget, and after it what a reader without its kernel sees: the PNG bytes `still`,
    or `text`. A widget that lives hides that (GUARD).
    """
    from IPython.display import display

    live = widget._repr_mimebundle_()
    display({kind: live[kind] for kind in live if kind != "text/plain"}, raw=True)
    words = text.removeprefix("[live: ").removesuffix("]")
    seen = f"<p>Run the notebook to see a live view here: {html.escape(words)}.</p>"
    if still is not None:
        seen = palette.picture_html(still, f"Still picture of a live view: {words}")
        seen += "<p><small>A still picture; run the notebook and it moves.</small></p>"
    seen = f'<div class="rsnl-still">{seen}</div>'
    display({"text/html": seen, "text/plain": text}, raw=True)


def stage(
    name: str,
    controls: list,
    draw: Callable,
    still: Figure | None,
    text: str,
    sizes: tuple[int, int] = (110, 420),
    rows: list | None = None,
    beside: bool = False,
) -> None:
    """Show a live view: a box of class rsnl-`name`, controls above the HTML that draw(*their
    values) makes, or why it cannot: the front end would swallow that.

    `still` is a Figure (or None) and `text` words for readers without a kernel; `sizes` are a
    control's pixels, of its label and in all; `rows` arranges the controls; `beside` puts them at
    the right of the view, or below it in a narrow window.
    """
    label, width = sizes
    out = W.HTML()

    def redraw(_=None):
        try:
            out.value = f'<div class="rsnl-view">{draw(*(c.value for c in controls))}</div>'
        except Exception as error:
            out.value = f'<div class="rsnl-view" role="alert">{html.escape(str(error))}</div>'

    for control in controls:
        control.style.description_width = f"{label}px"
        control.layout.width = f"{width}px"
        control.observe(redraw, "value")
    redraw()
    names = W.HTML(NAMED_SLIDERS, layout=W.Layout(display="none"))
    lost = W.HTML(GUARD)
    lost.add_class("rsnl-lost")
    if beside:
        box = _beside(out, rows or controls, width, [lost, names])
    else:
        box = W.VBox([*(rows or controls), out, lost, names])
    box.add_class("rsnl-stage")
    box.add_class(f"rsnl-{name}")
    show_widget(box, None if still is None else palette.png(still), f"[live: {text}]")


def _beside(out: W.HTML, controls: list, width: int, more: list) -> W.Box:
    """The view, the controls where there is room (at its right, else below it), and `more`."""
    for control in controls:
        control.layout.flex = "0 0 auto"
    wrap = {"flex_flow": "row wrap", "align_items": "flex-start"}
    panel = W.HBox(controls, layout=W.Layout(flex=f"1 1 {width + 8}px", **wrap))
    out.layout = W.Layout(flex="100 1 560px", min_width="0")
    return W.HBox([out, panel, *more], layout=W.Layout(**wrap))


@torch.no_grad()
def probabilities(nets: dict, z: Tensor) -> dict:
    """{method: (k,)}: what networks {method: module} say of one image z (1, c, h, w)."""
    return {m: torch.softmax(net(z), 1)[0] for m, net in nets.items()}


def score_view(
    pictures: list, note: str, scores: dict, clean: dict, y: int | None, classes: Sequence[str]
) -> str:
    """Pictures [(image, words)] as grey_image has them, a note, and every network's bars: `scores`
    and `clean` are {method: (k,)}, y the true class or None.
    """
    rows = "".join(bars(m, p, clean[m], y, classes) for m, p in scores.items())
    seen = "".join(grey_image(*each, side=140) for each in pictures)
    return (
        '<div style="display:flex;flex-wrap:wrap;gap:8px 12px;align-items:center">'
        f'{seen}<div class="rsnl-note" style="flex:1 1 200px">{html.escape(note)}</div></div>'
        f'<div class="rsnl-bars" style="{GRID.format(max(268, 26 * len(classes) + 8))}">{rows}'
        "</div>"
    )


def side_by_side(*parts: str, gap: int = 12, align: str = "end") -> str:
    """HTML parts in a row, `gap` pixels apart, in more rows where the page is narrow."""
    look = f"display:flex;flex-wrap:wrap;gap:{gap}px;align-items:{align}"
    return f'<div style="{look}">{"".join(parts)}</div>'


def grey_image(pixels: ArrayLike, alt: str, side: int = 168) -> str:
    """An <img> of a grey image (h, w) or (1, h, w), 0 white to 1 black, or of an RGB one (3, h, w);
    beyond is clipped for the eye only.
    """
    ink = np.clip(np.asarray(pixels), 0, 1)
    if ink.ndim == 3 and len(ink) == 3:
        return img((255 * ink.transpose(1, 2, 0)).round().astype(np.uint8), alt, side)
    ink = ink.reshape(ink.shape[-2:])
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
