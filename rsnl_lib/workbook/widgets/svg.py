"""Small SVG plots as text: lines over an axis, and bars, one a class."""

import html
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from .. import palette

BLOCK = ' style="display:block"'


def svg(said: str, width: int, height: int, inside: str, more: str = "") -> str:
    """A picture of width x height pixels; `said` stands for it where pictures are read aloud."""
    size = f'width="{width}" height="{height}"'
    return f'<svg role="img" aria-label="{html.escape(said)}" {size}{more}>{inside}</svg>'


def svg_label(
    x: float | str, y: float | str, words: str, colour: str = "currentColor", anchor: str = ""
) -> str:
    """Words, 11 pixels high, at (x, y), escaped."""
    held = f' text-anchor="{anchor}"' if anchor else ""
    said = html.escape(words)
    return f'<text x="{x}" y="{y}"{held} font-size="11" fill="{colour}">{said}</text>'


def axis_place(v: ArrayLike, low: float, high: float, start: float, length: float) -> ArrayLike:
    """Where v lies on an axis from `start`, where it is `low`, to `start + length`, for `high`."""
    return start + length * (v - low) / ((high - low) or 1)


def _polyline(xs, ys, colour: str, more: str = "") -> str:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys))
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"{more}/>'


def graph(
    said: str,
    curves: Iterable[tuple],
    x_range: tuple[float, float],
    y_range: tuple[float, float] = (0, 1),
    h: int = 220,
    delta: float | None = None,
    bands: Iterable[tuple] = (),
    names: tuple[str, str] = ("", ""),
) -> str:
    """A plot: curves [(colour, dash, xs, ys)], a mark at `delta`, bands [(from, to, colour)]; the
    names of both axes.
    """
    low, high = x_range

    def X(v):
        return axis_place(np.asarray(v), low, high, 40, 470)

    def Y(v):
        return axis_place(np.clip(v, *y_range), *y_range, h - 25, 35 - h)

    inside = ""
    for start, stop, colour in bands:
        left, right = X(np.clip([start, stop], low, high))
        if right > left:
            inside += (
                f'<rect x="{left:.1f}" y="10" width="{right - left:.1f}"'
                f' height="{h - 35}" fill="{colour}" opacity="0.15"/>'
            )
    for colour, dash, xs, ys in curves:
        inside += _polyline(X(xs), Y(ys), colour, f' stroke-dasharray="{dash}"')
    if delta is not None:
        at = X(delta)
        ends = f'x1="{at:.1f}" x2="{at:.1f}" y1="10" y2="{h - 25}"'
        inside += f'<line {ends} stroke="#333" stroke-width="1.5"/>'
        inside += svg_label(f"{at + 3:.1f}", 20, "delta", "#333")
    for v in np.linspace(low, high, 5):
        inside += svg_label(f"{X(v):.1f}", h - 8, f"{v:.3g}", "#333", "middle")
    for v in np.linspace(*y_range, 3):
        inside += svg_label(36, f"{Y(v) + 4:.1f}", f"{v:.3g}", "#333", "end")
    inside += svg_label(275, h + 8, names[0], "#333", "middle") + svg_label(
        46, 20, names[1], "#333"
    )
    tall = h + 14 if names[0] else h
    return svg(said, 535, tall, inside, ' style="display:block;background:#fff"')


def step_plot(curves: dict, at: int) -> str:
    """{name: (path (k,), colour)} as lines over the steps 0 to k - 1, a bar at step `at`."""
    values = [v for path, _ in curves.values() for v in path]
    steps = len(next(iter(curves.values()))[0])

    def X(i):
        return axis_place(i, 0, max(1, steps - 1), 20, 240)

    def Y(v):
        return axis_place(v, max(values), min(values), 10, 120)

    ends = {}
    last = -12.0  # where the names stand, 12 apart at least
    for name, (path, _) in sorted(curves.items(), key=lambda item: -item[1][0][-1]):
        last = max(last + 12, round(Y(path[-1]), 1))
        ends[name] = last
    inside = f'<path d="M{X(at):.1f} 6V134" stroke="#767676"/>'
    for name, (path, colour) in curves.items():
        inside += _polyline(map(X, range(steps)), map(Y, path), colour)
        inside += svg_label(266, f"{ends[name]:.1f}", name, colour)
    inside += svg_label(125.0, 147, f"step {at} of {steps - 1}")
    said = "; ".join(f"{name} {path[at]:+.2f}" for name, (path, _) in curves.items())
    return svg(f"step {at}: {said}", 330, 150, inside)


def bars(method: str, p: Tensor, clean: Tensor, y: int | None, classes: Sequence[str]) -> str:
    """One network's scores p (k,), hollow on the clean image, a triangle under class y if known."""
    look = palette.style(method)
    top = int(p.argmax())
    said = f"says {classes[top]} at {p[top]:.2f}"
    true = ""
    if y is not None:
        change = round(float(p[y] - clean[y]), 2) + 0.0  # no -0.00
        said += f" · true class {classes[y]}: {p[y]:.2f} ({change:+.2f} from clean)"
        true = f'<path class="rsnl-true" d="M{26 * y + 15} 70l6 10h-12z" fill="currentColor"/>'
    names = "".join(
        f'<tspan x="{26 * i + 15}">{html.escape(c)}</tspan>' for i, c in enumerate(classes)
    )
    now, before = (
        "".join(f"M{26 * i + 6} 54v{-50 * v:.1f}h18V54z" for i, v in enumerate(scores.tolist()))
        for scores in (p, clean)
    )
    inside = (
        f'<path class="rsnl-now" d="{now}" fill="{look["color"]}"/>'
        f'<path class="rsnl-clean" d="{before}" fill="none" stroke="#767676"/>'
        '<text y="67" text-anchor="middle" font-size="11"'
        f' fill="currentColor">{names}</text>{true}'
    )
    drawn = svg(f"{look['label']} {said}", 26 * len(p) + 8, 84, inside, BLOCK)
    return (
        f'<div style="margin:2px 0"><b>{html.escape(look["label"])}</b>'
        f' <span class="rsnl-said">{html.escape(said)}</span>'
        f"{drawn}</div>"
    )


def term_bars(name: str, values: list, top: float, colour: str) -> str:
    """One term's pull on every logit: bars up and down from a line, full height at `top`."""
    width = 22 * len(values)
    inside = f'<path d="M4 40H{width + 4}" stroke="currentColor"/>'
    for i, v in enumerate(values):
        inside += (
            f'<rect x="{22 * i + 6}" y="{40 - max(36 * v / top, 0):.1f}" width="16"'
            f' height="{abs(36 * v / top):.1f}" fill="{colour}"/>'
        )
        inside += svg_label(22 * i + 14, 92, str(i), anchor="middle")
    said = f"{name}: " + ", ".join(f"{i} {v:+.4f}" for i, v in enumerate(values))
    drawn = svg(said, width + 8, 98, inside, BLOCK)
    return f"<div><b>{html.escape(name)}</b><br>largest {max(values, key=abs):+.4f}{drawn}</div>"
