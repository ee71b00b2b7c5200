"""Live: digits under noise and a square, scored by every network (chapters 00 and 05)."""

import functools

import ipywidgets as W
import torch

from ... import checks, data
from ...data import perturb
from .. import figures, score_cache
from .base import DIGITS, alert, stage, view, wide


@torch.no_grad()
def look(nets: dict, x, kind="gaussian", snr=3.0, size=0, row=0, column=0, draw=0, known=None):
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


class Explorer:
    """Gallery images x (n, 1, h, w) of classes y (n,), or the reader's own picture, as networks
    {method: module} see and score them.
    """

    def __init__(self, nets: dict, x, y, classes: list[str]):
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
        self.lookup = score_cache.find(nets, x)
        self.own = None  # the reader's picture (1, 1, h, w)
        self.clean = {}  # scores on clean images by number; None is the reader's own

    def look(self, i: int | None, *how):
        """`look` at image i, or for None at the reader's."""
        here = self.own if i is None else self.x[i : i + 1]
        return look(self.nets, here, *how, known=functools.partial(self.lookup, i))

    def view(self, image, kind, snr, draw, size, row, column) -> str:
        """The HTML: clean and perturbed image, then every network's bars."""
        i = image if self.own is None else None
        if i not in self.clean:
            self.clean[i] = self.look(i, "none")[1]
        seen, scores = self.look(i, kind, snr, size, row, column, draw)
        if i is None:
            here = self.own
            label = None
            note = "your digit as the networks get it; "
        else:
            here = self.x[i : i + 1]
            label = int(self.y[i])
            note = f"a {self.classes[label]}; "
        if kind == "none":
            note += "no noise"
        else:
            note += f"{kind} noise, SNR {snr:g} dB = ratio {10 ** (snr / 10):.2f}"
        if size:
            note += f"; {size} x {size} pixels hidden"
        note += "; hollow bars: scores on the clean image"
        pictures = [(here[0, 0], "clean image"), (seen[0, 0], "what the networks see")]
        return view(pictures, note, scores, self.clean[i], label, self.classes)

    def still(self):
        """The first image, clean and at 3 dB, as a Figure; ValueError where names miss a class."""
        _, first = self.look(0, "none")
        seen, noisy = self.look(0, "gaussian", 3.0)
        for method, p in first.items():
            if len(p) != len(self.classes):
                raise ValueError(
                    f"{method} scores {len(p)} classes, but {len(self.classes)} names are given;"
                    " give one name a class"
                )
        return figures.score_bars(
            [self.x[0, 0], seen[0, 0]],
            {m: torch.stack([first[m], noisy[m]]).numpy() for m in self.nets},
            [int(self.y[0])] * 2,
            self.classes,
            ["clean", "SNR 3 dB"],
        )


def sliders(n: int, h: int, w: int) -> list:
    """The controls, in the order of Explorer.view, for n images of h x w pixels."""
    look = wide()
    low, *_, high = score_cache.SNR
    kinds = ["gaussian", "poisson", "none"]
    return [
        W.IntSlider(description="image", min=0, max=n - 1, **look),
        W.Dropdown(description="noise", options=kinds, **look),
        W.FloatSlider(description="SNR (dB)", value=3, min=low, max=high, step=0.5, **look),
        W.IntSlider(description="noise draw", min=0, max=99, **look),
        W.IntSlider(description="occlusion size", min=0, max=min(h, w) // 2, **look),
        W.IntSlider(description="row", value=h // 3, min=0, max=h - 1, **look),
        W.IntSlider(description="column", value=w // 3, min=0, max=w - 1, **look),
    ]


def explorer(nets: dict, x, y, classes: list[str] | None = None) -> None:
    """Fig. 3 live: sliders for image, noise kind, SNR, draw, and an occluding square; an upload for
    the reader's own digit.

    nets: {method: module}; x: gallery images (n, 1, h, w) in [0, 1]; y: their classes (n,). Shipped
    networks on the shipped gallery answer from a table (score_cache) at draw 0 without a square;
    everything else is computed.
    """
    here = Explorer(nets, x, y, classes or DIGITS)
    h, w = x.shape[2:]
    controls = sliders(len(x), h, w)
    button = W.Layout(width="200px")
    upload = W.FileUpload(description="own digit", accept="image/*", multiple=False, layout=button)
    back = W.Button(description="back to the gallery", layout=button)
    left = W.VBox(controls[:4])
    right = W.VBox([*controls[4:], W.HBox([upload, back])])
    words = f"image, noise, SNR and occlusion sliders over the scores of: {', '.join(nets)}"
    rows = [W.HBox([left, right])]
    out, redraw = stage("explorer", controls, here.view, here.still(), words, rows)

    def uploaded(change):
        if not change["new"]:
            return
        try:
            here.own = data.own_picture(bytes(change["new"][0]["content"]), h)
        except ValueError as error:
            out.value = alert(error)
            return
        here.clean.pop(None, None)
        redraw()

    def gallery(_):
        here.own = None
        redraw()

    upload.observe(uploaded, "value")
    back.on_click(gallery)
