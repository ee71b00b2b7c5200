"""Small SVG plots as text: lines over an axis, and bars, one a class, 18 wide and 26 apart."""

import html

import numpy as np

from .. import palette


def svg(said: str, width: int, height: int, inside: str, more: str = "") -> str:
    """A picture of width x height pixels; `said` stands for it where pictures are read aloud."""
    size = f'width="{width}" height="{height}"'
    return f'<svg role="img" aria-label="{said}" {size}{more}>{inside}</svg>'


def text(x, y, words: str, colour: str = "currentColor", anchor: str = "") -> str:
    """Words, 11 pixels high, at (x, y)."""
    held = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text x="{x}" y="{y}"{held} font-size="11" fill="{colour}">{words}</text>'


def scaled(v, low: float, high: float, start: float, length: float):
    """Where v lies on an axis from `start`, where it is `low`, to `start + length`, for `high`."""
    return start + length * (v - low) / ((high - low) or 1)


def polyline(xs, ys, colour: str, more: str = "") -> str:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys))
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"{more}/>'


def graph(curves, marks=(), bands=(), x_range=(-1, 1), y_range=(0, 1), size=(520, 220), said=""):
    """A line plot: curves [(colour, dash, xs, ys)], marks [(x, colour, text)], bands [(from, to,
    colour)].
    """
    w, h = size

    def X(v):
        return scaled(np.asarray(v), *x_range, 40, w - 50)

    def Y(v):
        return scaled(np.clip(v, *y_range), *y_range, h - 25, 35 - h)

    parts = []
    for start, stop, colour in bands:
        start = max(start, x_range[0])
        stop = min(stop, x_range[1])
        if stop > start:
            parts.append(
                f'<rect x="{X(start):.1f}" y="10" width="{X(stop) - X(start):.1f}"'
                f' height="{h - 35}" fill="{colour}" opacity="0.15"/>'
            )
    for colour, dash, xs, ys in curves:
        parts.append(polyline(X(xs), Y(ys), colour, f' stroke-dasharray="{dash}"'))
    for at, colour, words in marks:
        parts.append(
            f'<line x1="{X(at):.1f}" x2="{X(at):.1f}" y1="10" y2="{h - 25}" stroke="{colour}"'
            ' stroke-width="1.5"/>'
        )
        parts.append(text(f"{X(at) + 3:.1f}", 20, html.escape(words), colour))
    for v in np.linspace(*x_range, 5):
        parts.append(text(f"{X(v):.1f}", h - 8, f"{v:.3g}", "#333", "middle"))
    for v in np.linspace(*y_range, 3):
        parts.append(text(36, f"{Y(v) + 4:.1f}", f"{v:.3g}", "#333", "end"))
    look = ' style="display:block;background:#fff"'
    return svg(html.escape(said), w, h, "".join(parts), look)


def lines(curves: dict, at: int, width: int = 330, height: int = 150) -> str:
    """{name: (path (k,), colour)} as lines over the steps 0 to k - 1, a bar at step `at`."""
    values = [v for path, _ in curves.values() for v in path]
    low = min(values)
    high = max(values)
    steps = len(next(iter(curves.values()))[0])

    def X(i):
        return scaled(i, 0, max(1, steps - 1), 20, width - 90)

    def Y(v):
        return scaled(v, high, low, 10, height - 30)

    ends = {}
    last = -12.0  # where the names stand, 12 apart at least
    for name, (path, _) in sorted(curves.items(), key=lambda item: -item[1][0][-1]):
        last = max(last + 12, round(Y(path[-1]), 1))
        ends[name] = last
    inside = f'<path d="M{X(at):.1f} 6V{height - 16}" stroke="#767676"/>'
    for name, (path, colour) in curves.items():
        inside += polyline(map(X, range(steps)), map(Y, path), colour)
        inside += text(width - 64, f"{ends[name]:.1f}", html.escape(name), colour)
    inside += text(width / 2 - 40, height - 3, f"step {at} of {steps - 1}")
    said = "; ".join(f"{name} {path[at]:+.2f}" for name, (path, _) in curves.items())
    return svg(html.escape(f"step {at}: {said}"), width, height, inside)


def bar_path(heights) -> str:
    """One path of bars standing on y = 54, `heights` in pixels."""
    return "".join(f"M{26 * i + 6} 54v{-h:.1f}h18V54z" for i, h in enumerate(heights))


def bars(method: str, p, clean, y, classes) -> str:
    """One network's scores: filled bars now, hollow ones on the clean image, a triangle under the
    true class y.

    `p` and `clean` are (k,) probabilities; `y` may be None for a picture whose class nobody told.
    """
    look = palette.style(method)
    top = int(p.argmax())
    said = f"says {classes[top]} at {p[top]:.2f}"
    true = ""
    if y is not None:
        said += f" · true class {classes[y]}: {p[y]:.2f} ({p[y] - clean[y]:+.2f} from clean)"
        true = f'<path class="rsnl-true" d="M{26 * y + 15} 70l6 10h-12z" fill="currentColor"/>'
    names = "".join(f'<tspan x="{26 * i + 15}">{c}</tspan>' for i, c in enumerate(classes))
    now, before = (bar_path([50 * v for v in scores.tolist()]) for scores in (p, clean))
    inside = (
        f'<path class="rsnl-now" d="{now}" fill="{look["color"]}"/>'
        f'<path class="rsnl-clean" d="{before}" fill="none" stroke="#767676"/>'
        '<text y="67" text-anchor="middle" font-size="11"'
        f' fill="currentColor">{names}</text>{true}'
    )
    label = look["label"]
    drawn = svg(f"{label} {said}", 26 * len(p) + 8, 84, inside, ' style="display:block"')
    return (
        f'<div style="margin:2px 0"><b>{label}</b> <span class="rsnl-said">{said}</span>'
        f"{drawn}</div>"
    )


def pull_bars(name: str, values, top: float, colour: str, classes) -> str:
    """One term's pull on every logit: bars up and down from a line, full height at `top`."""
    said = f"{name}: " + ", ".join(f"{c} {v:+.4f}" for c, v in zip(classes, values))
    k = len(values)
    inside = f'<path d="M4 40H{26 * k + 4}" stroke="currentColor"/>'
    for i, v in enumerate(values):
        inside += (
            f'<rect x="{26 * i + 6}" y="{40 - max(36 * v / top, 0):.1f}" width="18"'
            f' height="{abs(36 * v / top):.1f}" fill="{colour}"/>'
        )
        inside += text(26 * i + 15, 92, classes[i], anchor="middle")
    drawn = svg(html.escape(said), 26 * k + 8, 98, inside, ' style="display:block"')
    return f"<div><b>{html.escape(name)}</b> largest {max(values, key=abs):+.4f}{drawn}</div>"
