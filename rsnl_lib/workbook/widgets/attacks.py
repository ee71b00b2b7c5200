"""Live: attacks and walks to the boundary (chapters 07 and 08)."""

import functools
import html

import ipywidgets as W
import torch
from torch import Tensor

from ...geometry import boundary
from ...train import attacks
from .. import figures, palette
from ..boundary_figures import CLASS_COLOURS
from .base import DIGITS, GRID, grey_image, probabilities, score_view, side_by_side, stage
from .svg import step_plot

WALK_STEPS = 10  # of a walk to the boundary


def attacked(nets: dict, x: Tensor, y: Tensor, epsilon: float = 0.15, steps: int = 20) -> None:
    """An attack live: pick the network under attack, the image, epsilon and steps; its adversarial
    image, the difference magnified, everyone's scores.

    nets: {method: module}; x: images (n, 1 or 3, h, w) in [0, 1]; y: their classes. The attack is
    the workbook's own (attacks.pgd from the image itself).
    """
    labels = {m: palette.style(m)["label"] for m in nets}
    controls = [
        W.Dropdown(description="attacked", options={label: m for m, label in labels.items()}),
        W.IntSlider(description="image", min=0, max=len(x) - 1),
        W.FloatSlider(description="epsilon", value=epsilon, min=0, max=0.5, step=0.01),
        W.IntSlider(description="steps", value=steps, min=1, max=50),
    ]

    def both_views(method, i, e, count):
        """An image and its adversarial image, and what all say of each."""
        here = x[i : i + 1]
        loss = attacks.cross_entropy(y[i : i + 1])
        how = {"start": "zero", "mode": "eval"}
        z = attacks.pgd(nets[method], here, loss, e, max(e, 1e-9) / 4, count, **how)
        return torch.cat([here, z]), probabilities(nets, here), probabilities(nets, z)

    def draw(method, i, e, count):
        both, clean, p = both_views(method, i, e, count)
        label = int(y[i])
        d = both[1] - both[0]
        magnified = 0.5 + d / (2 * max(e, 1e-9))
        words = ("clean image", "adversarial image", "difference, magnified")
        pictures = list(zip((*both, magnified), words))
        right = [labels[m] for m in nets if int(p[m].argmax()) == label]
        note = (
            f"a {label}; at most {e:g} a pixel, {float(d.norm()):.2f} in length, found by {count}"
            f" steps against {labels[method]}; still right: {', '.join(right) or 'none'}; right:"
            " the difference, grey is none; hollow bars: scores on the clean image"
        )
        return score_view(pictures, note, p, clean, label, classes)

    both, clean, p = both_views(next(iter(nets)), 0, epsilon, steps)
    scores = {m: torch.stack([clean[m], p[m]]).numpy() for m in nets}
    classes = [str(c) for c in range(len(next(iter(clean.values()))))]
    names = ["clean", f"epsilon {epsilon:g}"]
    still = figures.score_bars(both, scores, [int(y[0])] * 2, classes, names)
    words = f"attacked network, image, epsilon and steps over the scores of: {', '.join(nets)}"
    stage("attacked", controls, draw, still, words)


@torch.no_grad()
def _walk_row(net, method: str, s, b: int, k: int, at: int) -> str:
    """One network's walk s from class b to k at step `at`: words, picture, both logits."""
    a = net(s.path[:, 0])
    z = s.path[at, 0]
    curves = {
        f"f_b, {b}": (a[:, b].tolist(), CLASS_COLOURS[0]),
        f"f_k, {k}": (a[:, k].tolist(), CLASS_COLOURS[1]),
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
