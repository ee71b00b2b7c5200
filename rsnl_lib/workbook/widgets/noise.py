"""Live: digits under noise and a square, scored by every network (chapters 00 and 05)."""

import functools

import ipywidgets as W
import torch
from matplotlib.figure import Figure
from torch import Tensor

from ... import checks, data
from ...data import perturb
from .. import figures, score_cache
from .base import DIGITS, probabilities, score_view, stage


def spoil_and_score(
    nets: dict,
    x: Tensor,
    kind: str = "gaussian",
    snr: float = 3.0,
    draw: int = 0,
    size: int = 0,
    row: int = 0,
    column: int = 0,
    known: dict | None = None,
) -> tuple[Tensor, dict]:
    """(seen, {method: scores}) for one image x (1, 1, h, w): noise of `kind` ("none" for no noise)
    at `snr` dB, then a zero square.

    The noise pattern depends on `draw` alone, so moving the SNR rescales it and every network sees
    the same. `known` may hold the scores of draw 0 without a square; else the networks are asked.
    """
    h, w = x.shape[2:]
    seen = score_cache.noisy(x, kind, snr, draw)
    if size:
        seen = perturb.occlude(seen, size, at=(min(row, h - size), min(column, w - size)))
    if size or draw or not known:
        known = probabilities(nets, seen)
    return seen, known


class Explorer:
    """Gallery images x (n, 1, h, w) of classes y (n,), or the reader's picture, seen by `nets`."""

    def __init__(self, nets: dict, x: Tensor, y: Tensor, classes: list[str]):
        checks.images(x[:1])
        if not nets or len(x) != len(y):
            raise ValueError(
                f"{len(nets)} networks, {len(x)} images and {len(y)} labels make no explorer; give"
                " at least one network, and one label an image"
            )
        self.nets = nets
        self.x = x
        self.y = y
        self.classes = classes
        self.lookup = score_cache.lookup(nets, x)
        self.original = functools.lru_cache(64)(self.original)

    def look(self, x: Tensor, i: int | None, kind: str, snr: float, *how) -> tuple[Tensor, dict]:
        """`spoil_and_score` of x, the gallery's image i (None: the reader's own)."""
        return spoil_and_score(self.nets, x, kind, snr, *how, known=self.lookup(i, kind, snr))

    def original(self, i: int | None, content: bytes | None = None) -> tuple:
        """(image, class, clean scores) of the gallery's image i, or of a picture's bytes."""
        if content is not None:
            x = data.own_picture(content, self.x.shape[2]).expand(-1, self.x.shape[1], -1, -1)
            label = None
        else:
            x = self.x[i : i + 1]
            label = int(self.y[i])
        return x, label, self.look(x, i, "none", 0.0)[1]

    def view(self, image, kind, snr, draw, size, row, column, files) -> str:
        """The HTML: image, or reader's picture in `files`, clean and spoiled, and all bars."""
        i = None if files else image
        x, label, clean = self.original(i, *(bytes(f["content"]) for f in files))
        seen, scores = self.look(x, i, kind, snr, draw, size, row, column)
        note = "your digit as the networks get it" if files else f"a {self.classes[label]}"
        if kind == "none":
            note += "; no noise"
        else:
            note += f"; {kind} noise, SNR {snr:g} dB = ratio {10 ** (snr / 10):.2f}"
        if size:
            note += f"; {size} x {size} pixels hidden"
        note += "; hollow bars: scores on the clean image"
        pictures = [(x[0], "clean image"), (seen[0], "what the networks see")]
        return score_view(pictures, note, scores, clean, label, self.classes)

    def still(self) -> Figure:
        """The first image, clean and at 3 dB; ValueError where names miss a class."""
        x, label, clean = self.original(0)
        seen, scores = self.look(x, 0, "gaussian", 3.0)
        for method, p in clean.items():
            if len(p) != len(self.classes):
                raise ValueError(
                    f"{method} scores {len(p)} classes, but {len(self.classes)} names are given;"
                    " give one name a class"
                )
        both = {m: torch.stack([clean[m], scores[m]]).numpy() for m in self.nets}
        titles = ["clean", "SNR 3 dB"]
        return figures.score_bars([x[0], seen[0]], both, [label] * 2, self.classes, titles)


def explorer(nets: dict, x: Tensor, y: Tensor, classes: list[str] | None = None) -> None:
    """Fig. 3 live: sliders for image, noise kind, SNR, draw, and an occluding square; an upload for
    the reader's own digit.

    nets: {method: module}; x: gallery images (n, 1 or 3, h, w) in [0, 1]; y: their classes (n,).
    Shipped networks on the shipped gallery answer from a table (score_cache) at draw 0 without a
    square; everything else is computed.
    """
    here = Explorer(nets, x, y, classes or DIGITS)
    h, w = x.shape[2:]
    low, *_, high = score_cache.SNR
    upload = W.FileUpload(description="own digit", accept="image/*", multiple=False)
    controls = [  # in the order of Explorer.view
        W.IntSlider(description="image", min=0, max=len(x) - 1),
        W.Dropdown(description="noise", options=["gaussian", "poisson", "none"]),
        W.FloatSlider(description="SNR (dB)", value=3, min=low, max=high, step=0.5),
        W.IntSlider(description="noise draw", min=0, max=99),
        W.IntSlider(description="occlusion size", min=0, max=min(h, w) // 2),
        W.IntSlider(description="row", value=h // 3, min=0, max=h - 1),
        W.IntSlider(description="column", value=w // 3, min=0, max=w - 1),
        upload,
    ]
    back = W.Button(description="back to the gallery")
    right = W.VBox([*controls[4:7], W.HBox([upload, back])])
    rows = [W.HBox([W.VBox(controls[:4]), right])]
    words = f"image, noise, SNR and occlusion sliders over the scores of: {', '.join(nets)}"
    stage("explorer", controls, here.view, here.still(), words, rows=rows)
    upload.layout = back.layout = W.Layout(width="200px")

    def clear(_):
        upload.value = ()

    back.on_click(clear)
