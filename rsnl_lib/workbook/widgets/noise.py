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

    def __init__(self, nets: dict, x: Tensor, y: Tensor, classes: list[str], snr: float = 0.0):
        checks.images(x[:1])
        self.snr = checks.finite("snr", snr)
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

    def original(self, i: int | None, content: bytes = b"", name: str = "") -> tuple:
        """(image, class, clean scores, doubts) of the gallery's image i, or (i None) of the bytes
        of a picture called `name`.
        """
        if i is None:
            side, channels = self.x.shape[2], self.x.shape[1]
            x = data.own_picture(content, side, name).expand(-1, channels, -1, -1)
            doubts = data.picture_doubts(data.own_picture(content, name=name))
            label = None
        else:
            x, label, doubts = self.x[i : i + 1], int(self.y[i]), []
        return x, label, self.look(x, i, "none", 0.0)[1], doubts

    def telling(self) -> int:
        """The first image that the networks name differently at `snr` dB in draw 0; else 0."""
        for i in torch.nonzero(self.x.flatten(1).isfinite().all(1)).flatten().tolist():
            scores = self.look(self.x[i : i + 1], i, "gaussian", self.snr)[1]
            if len({int(p.argmax()) for p in scores.values()}) > 1:
                return i
        return 0

    def view(self, image, kind, snr, draw, size, row, column, files) -> str:
        """The HTML: image, or reader's picture in `files`, clean and spoiled, and all bars."""
        i = None if files else image
        own = [(bytes(f["content"]), f["name"]) for f in files]
        x, label, clean, doubts = self.original(i, *(own[0] if own else ()))
        seen, scores = self.look(x, i, kind, snr, draw, size, row, column)
        if files:
            note = [f"your digit {own[0][1]} as the networks get it", *doubts]
        else:
            note = [f"a {self.classes[label]}"]
        if kind == "none":
            note.append("no noise")
        else:
            ratio = 10 ** (snr / 10)
            sigma = float((perturb.power(x) / ratio).sqrt())
            note.append(f"{kind} noise, SNR {snr:g} dB = ratio {ratio:.2f}")
            note.append(f"sigma {sigma:.2f} a pixel" + " on average" * (kind == "poisson"))
        if size:
            note.append(f"{size} x {size} pixels hidden")
        note.append("hollow bars: scores on the clean image")
        pictures = [(x[0], "clean image"), (seen[0], "what the networks see")]
        return score_view(pictures, "; ".join(note), scores, clean, label, self.classes)

    def still(self, i: int) -> Figure:
        """Image i, clean and at `snr` dB; ValueError where names miss a class."""
        x, label, clean, _ = self.original(i)
        seen, scores = self.look(x, i, "gaussian", self.snr)
        for method, p in clean.items():
            if len(p) != len(self.classes):
                raise ValueError(
                    f"{method} scores {len(p)} classes, but {len(self.classes)} names are given;"
                    " give one name a class"
                )
        both = {m: torch.stack([clean[m], scores[m]]).numpy() for m in self.nets}
        titles = ["clean", f"SNR {self.snr:g} dB"]
        return figures.score_bars([x[0], seen[0]], both, [label] * 2, self.classes, titles)


def explorer(
    nets: dict, x: Tensor, y: Tensor, classes: list[str] | None = None, snr: float = 0.0
) -> None:
    """Fig. 3 live: sliders for image, noise kind, SNR, draw, and an occluding square; an upload for
    the reader's own digit. It opens at `snr` dB (0: the noise is as strong as the image) on
    the first image that the networks name differently there.

    nets: {method: module}; x: gallery images (n, 1 or 3, h, w) in [0, 1]; y: their classes (n,).
    Shipped networks on the shipped gallery answer from a table (score_cache) at draw 0 without a
    square; everything else is computed.
    """
    here = Explorer(nets, x, y, classes or DIGITS, snr)
    first = here.telling()
    h, w = x.shape[2:]
    low, *_, high = score_cache.SNR
    upload = W.FileUpload(description="own digit", accept="image/*", multiple=False)
    controls = [  # in the order of Explorer.view
        W.IntSlider(description="image", value=first, min=0, max=len(x) - 1),
        W.Dropdown(description="noise", options=["gaussian", "poisson", "none"]),
        W.FloatSlider(description="SNR (dB)", value=here.snr, min=low, max=high, step=0.5),
        W.IntSlider(description="noise draw", min=0, max=99),
        W.IntSlider(description="occlusion size", min=0, max=min(h, w) // 2),
        W.IntSlider(description="row", value=h // 3, min=0, max=h - 1),
        W.IntSlider(description="column", value=w // 3, min=0, max=w - 1),
        upload,
    ]
    back = W.Button(description="back to the gallery")
    words = f"image, noise, SNR and occlusion sliders over the scores of: {', '.join(nets)}"
    how = {"sizes": (100, 340), "rows": [*controls[:-1], W.HBox([upload, back])], "beside": True}
    stage("explorer", controls, here.view, here.still(first), words, **how)
    upload.layout.width = back.layout.width = "166px"

    def clear(_):
        upload.value = ()

    back.on_click(clear)
