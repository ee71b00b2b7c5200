"""The pieces that every live view is made of."""

import base64
import html
import io

import numpy as np

from .. import palette


def show(widget, still, text):
    """Display a widget; without a kernel (on a web page, before a run) readers see the PNG bytes
    `still`, or `text`.
    """
    from IPython.display import display

    bundle = dict(widget._repr_mimebundle_())
    display({**bundle, "image/png": base64.b64encode(still).decode(), "text/plain": text}, raw=True)


def alert(error):
    """What went wrong, where the reader looks: the front end would swallow it."""
    return f'<div class="rsnl-view" role="alert">{html.escape(str(error))}</div>'


def live(controls, out, draw):
    """Show draw() in the HTML widget `out` now and whenever a control moves, or why it could not be
    drawn; returns that redraw.
    """

    def redraw(_=None):
        try:
            out.value = draw()
        except Exception as error:
            out.value = alert(error)

    for control in controls:
        control.observe(redraw, "value")
    redraw()
    return redraw


def picture(pixels, alt, side=168):
    """An <img> of one grey image (h, w) in ink-on-paper grey: 0 is white, 1 black, beyond is
    clipped for the eye only.
    """
    return img((255 * (1 - np.clip(np.asarray(pixels), 0, 1))).round().astype(np.uint8), alt, side)


def img(pixels, alt, side):
    """An <img> of 8-bit pixels, grey (h, w) or colour (h, w, 3), with the PNG inside."""
    from PIL import Image

    raw = io.BytesIO()
    Image.fromarray(pixels).save(raw, "png", compress_level=1)
    return (
        f'<img class="rsnl-image" alt="{html.escape(alt)}" width="{side}" height="{side}" '
        'style="image-rendering:pixelated;border:1px solid #767676;margin:0" '
        f'src="data:image/png;base64,{base64.b64encode(raw.getvalue()).decode()}">'
    )


def bar_path(heights):
    """One SVG path of bars 18 wide, 26 apart, standing on y = 54, `heights` in pixels."""
    return "".join(f"M{26 * i + 6} 54v{-h:.1f}h18V54z" for i, h in enumerate(heights))


def bars(method, p, clean, y, classes):
    """One network's scores as SVG: filled bars now, hollow ones on the clean image, a triangle
    under the true class y.

    `p` and `clean` are (k,) probabilities; `y` may be None for a picture whose class nobody told.
    """
    k, label, colour = len(p), palette.style(method)["label"], palette.style(method)["color"]
    top = int(p.argmax())
    said = f"says {classes[top]} at {p[top]:.2f}"
    if y is not None:
        said += f" · true class {classes[y]}: {p[y]:.2f} ({p[y] - clean[y]:+.2f} from clean)"
    names = "".join(f'<tspan x="{26 * i + 15}">{c}</tspan>' for i, c in enumerate(classes))
    true = (
        ""
        if y is None
        else f'<path class="rsnl-true" d="M{26 * y + 15} 70l6 10h-12z" fill="currentColor"/>'
    )
    return (
        f'<div style="margin:2px 0"><b>{label}</b> <span class="rsnl-said">{said}</span><svg'
        f' role="img" aria-label="{label} {said}" width="{26 * k + 8}" height="84"'
        ' style="display:block"><path class="rsnl-now"'
        f' d="{bar_path([50 * v for v in p.tolist()])}" fill="{colour}"/><path class="rsnl-clean"'
        f' d="{bar_path([50 * v for v in clean.tolist()])}" fill="none" stroke="#767676"/><text'
        ' y="67" text-anchor="middle" font-size="11"'
        f' fill="currentColor">{names}</text>{true}</svg></div>'
    )
