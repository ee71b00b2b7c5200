"""Live: attacks and walks to the boundary (chapters 07 and 08)."""

import html

import ipywidgets as W
import torch

from .. import figures, palette
from .base import bars, live, picture, show


def attacked(nets, x, y, epsilon=0.15, steps=20, classes=None):
    """An attack live: pick the network under attack, the image, epsilon and steps; its adversarial
    image, the difference magnified, everyone's scores.

    nets: {method: module}; x: images (n, 1, h, w) in [0, 1]; y: their classes. The attack is the
    workbook's own (attacks.pgd from the image itself).
    """
    from ...train import attacks

    classes = classes or [str(i) for i in range(10)]
    wide = dict(style={"description_width": "110px"}, layout=W.Layout(width="420px"))
    which = W.Dropdown(
        description="attacked", options={palette.style(m)["label"]: m for m in nets}, **wide
    )
    image = W.IntSlider(description="image", min=0, max=len(x) - 1, **wide)
    size = W.FloatSlider(description="epsilon", value=epsilon, min=0, max=0.5, step=0.01, **wide)
    count = W.IntSlider(description="steps", value=steps, min=1, max=50, **wide)
    out = W.HTML()

    @torch.no_grad()
    def scores(z):
        return {m: torch.softmax(net(z), 1)[0] for m, net in nets.items()}

    def drawn():
        i, label, e = image.value, int(y[image.value]), size.value
        here = x[i : i + 1]
        z = attacks.pgd(
            nets[which.value],
            here,
            attacks.cross_entropy(y[i : i + 1]),
            e,
            max(e, 1e-9) / 4,
            count.value,
            start="zero",
            mode="eval",
        )
        d = (z - here)[0, 0]
        shown = "".join(
            picture(p, a)
            for p, a in (
                (here[0, 0], "clean image"),
                (z[0, 0], "adversarial image"),
                (0.5 + d / (2 * max(e, 1e-9)), "difference, magnified"),
            )
        )
        now, before = scores(z), scores(here)
        right = [palette.style(m)["label"] for m, p in now.items() if int(p.argmax()) == label]
        note = (
            f"a {classes[label]}; at most {e:g} a pixel, {float(d.norm()):.2f} in length, found by"
            f" {count.value} steps against {palette.style(which.value)['label']}; still right:"
            f" {', '.join(right) or 'none'}; right: the difference, grey is none; hollow bars:"
            " scores on the clean image"
        )
        rows = "".join(bars(m, p, before[m], label, classes) for m, p in now.items())
        return (
            '<div class="rsnl-view"><div'
            f' style="display:flex;gap:12px;align-items:end">{shown}</div><div'
            f' class="rsnl-note">{html.escape(note)}</div><div class="rsnl-bars"'
            ' style="display:grid;grid-template-columns:repeat(auto-fill,minmax(390px,1fr));gap:4px'
            f' 12px">{rows}</div></div>'
        )

    live((which, image, size, count), out, drawn)
    box = W.VBox([which, image, size, count, out])
    box.add_class("rsnl-attacked")
    z = torch.cat(
        [
            x[:1],
            attacks.pgd(
                next(iter(nets.values())),
                x[:1],
                attacks.cross_entropy(y[:1]),
                epsilon,
                epsilon / 4,
                steps,
                start="zero",
                mode="eval",
            ),
        ]
    )
    with torch.no_grad():
        still = figures.scores(
            z[:, 0],
            {m: torch.softmax(net(z), 1).numpy() for m, net in nets.items()},
            [int(y[0])] * 2,
            classes,
            ["clean", f"epsilon {epsilon:g}"],
        )
    show(
        box,
        palette.png(still),
        "[live: attacked network, image, epsilon and steps over the scores of: "
        + ", ".join(nets)
        + "]",
    )


def lines(curves, at, classes, width=330, height=150):
    """{name: (path (k,), colour)} as SVG lines over the steps 0 to k - 1, a bar at step `at`."""
    values = [v for path, _ in curves.values() for v in path]
    low, high, steps = min(values), max(values), len(next(iter(curves.values()))[0])

    def place(i, v):
        right = 20 + (width - 90) * i / max(1, steps - 1)
        down = 10 + (height - 30) * (high - v) / ((high - low) or 1)
        return f"{right:.1f},{down:.1f}"

    ends, last = {}, -12.0  # where the names stand, 12 apart at least
    for name, (path, _) in sorted(curves.items(), key=lambda item: -item[1][0][-1]):
        ends[name] = last = max(last + 12, float(place(0, path[-1]).split(",")[1]))
    drawn = "".join(
        f'<polyline points="{" ".join(place(i, v) for i, v in enumerate(path))}" fill="none"'
        f' stroke="{colour}" stroke-width="2"/><text x="{width - 64}" y="{ends[name]:.1f}"'
        f' font-size="11" fill="{colour}">{html.escape(name)}</text>'
        for name, (path, colour) in curves.items()
    )
    x = place(at, low).split(",")[0]
    said = "; ".join(f"{name} {path[at]:+.2f}" for name, (path, _) in curves.items())
    return (
        f'<svg role="img" aria-label="{html.escape(f"step {at}: {said}")}" width="{width}"'
        f' height="{height}"><path d="M{x} 6V{height - 16}" stroke="#767676"/>{drawn}<text'
        f' x="{width / 2 - 40}" y="{height - 3}" font-size="11" fill="currentColor">step {at} of'
        f" {steps - 1}</text></svg>"
    )


def walk(nets, x, y, eta=None, steps=10, classes=None):
    """The walk to the boundary live: pick image, class and step; every network walks from the same
    image, its picture, its two logits crossing.

    nets: {method: module}; x: images (n, 1, h, w) in [0, 1], y: their classes.
    """
    from ...geometry import boundary

    classes = classes or [str(i) for i in range(10)]
    wide = dict(style={"description_width": "110px"}, layout=W.Layout(width="420px"))
    image = W.IntSlider(description="image", min=0, max=len(x) - 1, **wide)
    with torch.no_grad():
        second = int(
            next(iter(nets.values()))(x[:1])[0].scatter(0, y[:1], -torch.inf).argmax()
        )  # the first network's second choice
    target = W.Dropdown(description="towards", options=classes, value=classes[second], **wide)
    step = W.IntSlider(description="step", value=min(3, steps - 1), min=0, max=steps, **wide)
    out, known = W.HTML(), {}

    def walked(i, k):
        if (i, k) not in known:
            known[i, k] = {
                m: boundary.search(
                    net, x[i : i + 1], y[i : i + 1], torch.tensor([k]), eta, steps=steps, path=True
                )
                for m, net in nets.items()
            }
        return known[i, k]

    def drawn():
        i, k, at = image.value, classes.index(target.value), step.value
        b = int(y[i])
        if b == k:
            return f'<div class="rsnl-view">a {classes[b]}: choose another class to walk to</div>'
        rows = []
        for m, s in walked(i, k).items():
            with torch.no_grad():
                a = nets[m](s.path[:, 0])
            curves = {
                f"f_b, {classes[b]}": (a[:, b].tolist(), palette.style("kd")["color"]),
                f"f_k, {classes[k]}": (a[:, k].tolist(), palette.style("robust")["color"]),
            }
            far = float((s.path[at, 0] - x[i]).norm())
            said = (
                f"length {far:.3f}, gap {float(a[at, b] - a[at, k]):+.3f}, says"
                f" {classes[int(a[at].argmax())]}; the walk took {int(s.steps[0])} steps,"
                f" {'accepted' if s.accepted[0] else 'rejected'}"
            )
            rows.append(
                f'<div><b>{palette.style(m)["label"]}</b> <span class="rsnl-said">{said}</span><div'
                ' style="display:flex;gap:12px;align-items:center">'
                f"{picture(s.path[at, 0, 0], f'the image after {at} steps', 112)}"
                f"{lines(curves, at, classes)}</div></div>"
            )
        return (
            '<div class="rsnl-view"><div style="display:flex;gap:12px;align-items:end">'
            + picture(x[i, 0], f"a {classes[b]}", 112)
            + "</div><div"
            ' style="display:grid;grid-template-columns:repeat(auto-fill,minmax(470px,1fr));gap:4px'
            ' 12px">' + "".join(rows) + "</div></div>"
        )

    live((image, target, step), out, drawn)
    box = W.VBox([image, target, step, out])
    box.add_class("rsnl-walk")
    found = walked(0, second)
    still = figures.picture_grid(
        torch.cat([x[:1], *(s.x for s in found.values())]),
        ["the image", *(palette.style(m)["label"] for m in found)],
        f"an image, and where each network's walk to {classes[second]} ends",
        columns=1 + len(found),
        size=1.2,
    )
    show(
        box,
        palette.png(still),
        "[live: image, class and step over the walks of: " + ", ".join(nets) + "]",
    )
