"""Sliders that redraw HTML and SVG in place, with a still picture for readers without a kernel."""

import functools

import ipywidgets as W
import torch

from ... import checks, data
from ...data import perturb
from .. import figures, palette, score_cache
from .base import alert, bars, live, picture, show


@torch.no_grad()
def look(nets, x, kind="gaussian", snr=3.0, size=0, row=0, column=0, draw=0, known=None):
    """(seen, {method: scores}) for one image x (1, 1, h, w): noise of `kind` ("none" for no noise)
    at `snr` dB, then a zero square.

    The noise pattern depends on `draw` alone, so moving the SNR rescales it and every network sees
    the same. known(kind, snr) may give the scores of draw 0 without a square; where it gives None
    the networks are asked.
    """
    h, w = x.shape[2:]
    seen = score_cache.noisy(x, kind, snr, draw)
    if size:
        seen = perturb.occlude(seen, size, at=(min(row, h - size), min(column, w - size)))
    scores = None if size or draw or not known else known(kind, snr)
    return seen, scores or {m: torch.softmax(net(seen), 1)[0] for m, net in nets.items()}


def view(x, y, seen, scores, clean, classes, note):
    """The explorer's HTML: clean and perturbed image, then every network's bars."""
    shown = "".join(
        picture(i[0, 0], a) for i, a in ((x, "clean image"), (seen, "what the networks see"))
    )
    rows = "".join(bars(m, p, clean[m], y, classes) for m, p in scores.items())
    return (
        '<div class="rsnl-view"><div'
        f' style="display:flex;gap:12px;align-items:end">{shown}</div><div'
        f' class="rsnl-note">{note}</div><div class="rsnl-bars"'
        ' style="display:grid;grid-template-columns:repeat(auto-fill,minmax(390px,1fr));gap:4px'
        f' 12px">{rows}</div></div>'
    )


def explorer(nets, x, y, classes=None):
    """Fig. 3 live: sliders for image, noise kind, SNR, draw, and an occluding square; an upload for
    the reader's own digit.

    nets: {method: module}; x: gallery images (n, 1, h, w) in [0, 1]; y: their classes (n,). Shipped
    networks on the shipped gallery answer from a table (score_cache) at draw 0 without a square;
    everything else is computed.
    """
    h, w = checks.images(x[:1]).shape[2:]
    classes = classes or [str(i) for i in range(10)]
    if not nets or len(x) != len(y):
        raise ValueError(
            f"{len(nets)} networks, {len(x)} images and {len(y)} labels make no explorer; give at"
            " least one network, and one label an image"
        )
    lookup = score_cache.find(nets, x)
    (_, first), (seen, noisy) = (
        look(nets, x[:1], kind, 3.0, known=functools.partial(lookup, 0))
        for kind in ("none", "gaussian")
    )
    for method, p in first.items():
        if len(p) != len(classes):
            raise ValueError(
                f"{method} scores {len(p)} classes, but {len(classes)} names are given; give one"
                " name a class"
            )
    wide = dict(style={"description_width": "110px"}, layout=W.Layout(width="420px"))
    image = W.IntSlider(description="image", min=0, max=len(x) - 1, **wide)
    kind = W.Dropdown(description="noise", options=["gaussian", "poisson", "none"], **wide)
    snr = W.FloatSlider(
        description="SNR (dB)",
        value=3,
        min=score_cache.SNR[0],
        max=score_cache.SNR[-1],
        step=0.5,
        **wide,
    )
    draw = W.IntSlider(description="noise draw", min=0, max=99, **wide)
    size = W.IntSlider(description="occlusion size", min=0, max=min(h, w) // 2, **wide)
    row = W.IntSlider(description="row", value=h // 3, min=0, max=h - 1, **wide)
    column = W.IntSlider(description="column", value=w // 3, min=0, max=w - 1, **wide)
    upload = W.FileUpload(
        description="own digit", accept="image/*", multiple=False, layout=W.Layout(width="200px")
    )
    back = W.Button(description="back to the gallery", layout=W.Layout(width="200px"))
    out = W.HTML()
    own, known = (
        [],
        {},
    )  # the reader's picture; scores on clean images, by image number (None: the reader's)

    def drawn():
        here, label = (
            (own[0], None) if own else (x[image.value : image.value + 1], int(y[image.value]))
        )
        key = None if own else image.value
        ask = functools.partial(lookup, key)
        if key not in known:
            known[key] = look(nets, here, "none", known=ask)[1]
        clean = known[key]
        seen, scores = look(
            nets, here, kind.value, snr.value, size.value, row.value, column.value, draw.value, ask
        )
        ratio = 10 ** (snr.value / 10)
        note = (
            f"{'your digit as the networks get it' if own else f'a {classes[label]}'}; "
            + (
                "no noise"
                if kind.value == "none"
                else f"{kind.value} noise, SNR {snr.value:g} dB = ratio {ratio:.2f}"
            )
            + (f"; {size.value} x {size.value} pixels hidden" if size.value else "")
            + "; hollow bars: scores on the clean image"
        )
        return view(here, label, seen, scores, clean, classes, note)

    def uploaded(change):
        if not change["new"]:
            return
        try:
            own[:] = [data.own_picture(bytes(change["new"][0]["content"]), h)]
        except ValueError as error:
            out.value = alert(error)
            return
        known.pop(None, None)
        redraw()

    def gallery(_):
        own.clear()
        redraw()

    redraw = live((image, kind, snr, draw, size, row, column), out, drawn)
    upload.observe(uploaded, "value")
    back.on_click(gallery)
    box = W.VBox(
        [
            W.HBox(
                [
                    W.VBox([image, kind, snr, draw]),
                    W.VBox([size, row, column, W.HBox([upload, back])]),
                ]
            ),
            out,
        ]
    )
    box.add_class("rsnl-explorer")
    still = figures.scores(
        [x[0, 0], seen[0, 0]],
        {m: torch.stack([first[m], noisy[m]]).numpy() for m in nets},
        [int(y[0])] * 2,
        classes,
        ["clean", "SNR 3 dB"],
    )
    show(
        box,
        palette.png(still),
        "[live: image, noise, SNR and occlusion sliders over the scores of: "
        + ", ".join(nets)
        + "]",
    )
