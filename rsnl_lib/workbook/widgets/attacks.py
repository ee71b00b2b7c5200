"""Live: attacks and walks to the boundary (chapters 07 and 08)."""

import functools
import html
from collections.abc import Sequence

import ipywidgets as W
import torch
from torch import Tensor

from ...geometry import boundary
from ...train import attacks
from .. import figures, palette
from ..boundary_figures import CLASS_COLOURS
from .base import DIGITS, GRID, grey_image, probabilities, side_by_side, stage
from .svg import bars, step_plot

PICTURE = 224  # pixels across, of an image under attack
WALK_STEPS = 10  # of a walk to the boundary


def _attack_view(pictures: list, note: str, scores: str) -> str:
    """Large pictures [(image, words)], each above its words, a note, and cards in two columns."""
    shown = (
        f"<div>{grey_image(image, words, PICTURE)}"
        f'<div style="width:{PICTURE}px">{html.escape(words)}</div></div>'
        for image, words in pictures
    )
    return (
        f"{side_by_side(*shown, align='start')}"
        f'<div class="rsnl-note">{html.escape(note)}</div>'
        f'<div class="rsnl-bars" style="{GRID.format(390)}">{scores}</div>'
    )


def _both_views(nets, method, here, label, e, count):
    """An image (1, c, h, w) and its adversarial image, and what all say of each."""
    size = (e, max(e, 1e-9) / 4, count)
    z = attacks.pgd(
        nets[method], here, attacks.cross_entropy(label), *size, start="zero", mode="eval"
    )
    return torch.cat([here, z]), probabilities(nets, here), probabilities(nets, z)


def attacked(
    nets: dict,
    x: Tensor,
    y: Tensor,
    epsilon: float = 0.15,
    steps: int = 20,
    first: Sequence[str] = (),
) -> None:
    """An attack live: pick the network under attack, the image, epsilon and steps; its adversarial
    image, the difference magnified, the scores of those in `first` (default: four) or of all.

    nets: {method: module}; x: images (n, 1 or 3, h, w) in [0, 1]; y: their classes. The attack is
    the workbook's own (attacks.pgd from the image itself).
    """
    labels = {m: palette.style(m)["label"] for m in nets}
    few = [m for m in nets if m in first] or list(nets)[:4]
    every = {f"all {len(nets)} networks": list(nets)}
    some = {} if len(few) == len(nets) else {f"{len(few)} networks": few}
    controls = [
        W.Dropdown(description="attacked", options={labels[m]: m for m in (*few, *nets)}),
        W.IntSlider(description="image", min=0, max=len(x) - 1),
        W.FloatSlider(description="epsilon", value=epsilon, min=0, max=0.5, step=0.01),
        W.IntSlider(description="steps", value=steps, min=1, max=50),
        W.Dropdown(description="scores of", options=list((some | every).items())),
    ]

    def draw(method, i, e, count, shown):
        both, clean, p = _both_views(nets, method, x[i : i + 1], y[i : i + 1], e, count)
        label = int(y[i])
        d = both[1] - both[0]
        told = (
            f"clean: a {label}",
            f"attacked: at most {e:g} a pixel, {float(d.norm()):.2f} in length",
            "the difference, magnified: grey none, dark more, light less",
        )
        pictures = list(zip((*both, 0.5 + d / (2 * max(e, 1e-9))), told))
        right = [labels[m] for m in nets if int(p[m].argmax()) == label]
        note = (
            f"{count} step{'s' * (count != 1)} against {labels[method]};"
            f" still right: {' · '.join(right) or 'none'}; hollow bars: scores on the clean image"
        )
        cards = [m for m in nets if m in shown or m == method]
        return _attack_view(
            pictures, note, "".join(bars(m, p[m], clean[m], label, classes) for m in cards)
        )

    both, clean, p = _both_views(nets, few[0], x[:1], y[:1], epsilon, steps)
    scores = {m: torch.stack([clean[m], p[m]]).numpy() for m in few}
    classes = [str(c) for c in range(len(next(iter(clean.values()))))]
    names = ["clean", f"attack on {labels[few[0]]}, {epsilon:g}"]
    still = figures.score_bars(both, scores, [int(y[0])] * 2, classes, names)
    words = f"attacked network, image, epsilon and steps over the scores of: {', '.join(nets)}"
    wrap = W.Layout(flex_flow="row wrap")
    rows = [W.HBox(controls[:2], layout=wrap), W.HBox(controls[2:4], layout=wrap), controls[4]]
    stage("attacked", controls, draw, still, words, rows=rows)


@torch.no_grad()
def _walk_row(net, method: str, s, b: int, k: int, at: int) -> str:
    """One network's walk s from class b to k at step `at`: words, picture, both logits."""
    a = net(s.path[:, 0])
    z = s.path[at, 0]
    curves = {
        f"a_b, {b}": (a[:, b].tolist(), CLASS_COLOURS[0]),
        f"a_k, {k}": (a[:, k].tolist(), CLASS_COLOURS[1]),
    }
    steps = int(s.steps[0])
    said = (
        f"length {float((z - s.path[0, 0]).norm()):.3f}, gap {float(a[at, b] - a[at, k]):+.3f},"
        f" says {int(a[at].argmax())}; the walk took {steps} {'step' if steps == 1 else 'steps'},"
        f" {'accepted' if s.accepted[0] else 'rejected'}"
    )
    image = grey_image(z[0], f"the image after {at} steps", 112)
    return (
        f"<div><b>{html.escape(palette.style(method)['label'])}</b>"
        f' <span class="rsnl-said">{said}</span>'
        f"{side_by_side(image, step_plot(curves, at), align='center')}</div>"
    )


def walk(nets: dict, x: Tensor, y: Tensor) -> None:
    """The walk to the boundary live: pick image, class and step; every network walks from the same
    image, its picture, its two logits crossing.

    nets: {method: module}; x: images (n, 1, h, w) in [0, 1], y: their classes.
    """

    @functools.cache
    def walks(i, k):
        where = (x[i : i + 1], y[i : i + 1], torch.tensor([k]))
        how = {"eta": None, "steps": WALK_STEPS, "path": True}
        return {m: boundary.search(net, *where, **how) for m, net in nets.items()}

    def draw(i, target, at):
        b = int(y[i])
        k = int(target)
        if b == k:
            return f"a {b}: choose another class to walk to"
        rows = "".join(_walk_row(nets[m], m, s, b, k, at) for m, s in walks(i, k).items())
        image = side_by_side(grey_image(x[i, 0], f"a {b}", 112))
        return f'{image}<div style="{GRID.format(470)}">{rows}</div>'

    with torch.no_grad():
        a = next(iter(nets.values()))(x[:1])[0]
    second = int(a.scatter(0, y[:1], -torch.inf).argmax())  # the first network's second choice
    controls = [
        W.IntSlider(description="image", min=0, max=len(x) - 1),
        W.Dropdown(description="towards", options=DIGITS, value=str(second)),
        W.IntSlider(description="step", value=3, min=0, max=WALK_STEPS),
    ]
    ends = walks(0, second)
    still = figures.picture_grid(
        torch.cat([x[:1], *(s.x for s in ends.values())]),
        ["the image", *(palette.style(m)["label"] for m in ends)],
        f"an image, and where each network's walk to {second} ends",
        columns=1 + len(ends),
        size=1.2,
    )
    words = f"image, class and step over the walks of: {', '.join(nets)}"
    stage("walk", controls, draw, still, words)
