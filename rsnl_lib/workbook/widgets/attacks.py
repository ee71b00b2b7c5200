"""Live: attacks and walks to the boundary (chapters 07 and 08)."""

import html

import ipywidgets as W
import torch

from ...geometry import boundary
from ...train import attacks
from .. import figures, palette
from .base import DIGITS, picture, stage, view, wide
from .svg import lines


def attack(net, x, y, epsilon: float, steps: int) -> torch.Tensor:
    """One image x (1, 1, h, w) of class y (1,) and its adversarial image, (2, 1, h, w)."""
    loss = attacks.cross_entropy(y)
    step = max(epsilon, 1e-9) / 4
    z = attacks.pgd(net, x, loss, epsilon, step, steps, start="zero", mode="eval")
    return torch.cat([x, z])


@torch.no_grad()
def scored(nets: dict, z) -> dict:
    """{method: (n, k)}: every network's probabilities on images z (n, 1, h, w)."""
    return {m: torch.softmax(net(z), 1) for m, net in nets.items()}


def attacked(nets: dict, x, y, epsilon: float = 0.15, steps: int = 20, classes=None) -> None:
    """An attack live: pick the network under attack, the image, epsilon and steps; its adversarial
    image, the difference magnified, everyone's scores.

    nets: {method: module}; x: images (n, 1, h, w) in [0, 1]; y: their classes. The attack is the
    workbook's own (attacks.pgd from the image itself).
    """
    classes = classes or DIGITS
    look = wide()
    labels = {m: palette.style(m)["label"] for m in nets}
    methods = {label: m for m, label in labels.items()}
    controls = (
        W.Dropdown(description="attacked", options=methods, **look),
        W.IntSlider(description="image", min=0, max=len(x) - 1, **look),
        W.FloatSlider(description="epsilon", value=epsilon, min=0, max=0.5, step=0.01, **look),
        W.IntSlider(description="steps", value=steps, min=1, max=50, **look),
    )

    def drawn(method, i, e, count):
        before, now = attack(nets[method], x[i : i + 1], y[i : i + 1], e, count)
        label = int(y[i])
        d = (now - before)[0]
        pictures = [
            (before[0], "clean image"),
            (now[0], "adversarial image"),
            (0.5 + d / (2 * max(e, 1e-9)), "difference, magnified"),
        ]
        p, clean = ({m: v[0] for m, v in scored(nets, z[None]).items()} for z in (now, before))
        right = [labels[m] for m in nets if int(p[m].argmax()) == label]
        note = (
            f"a {classes[label]}; at most {e:g} a pixel, {float(d.norm()):.2f} in length, found by"
            f" {count} steps against {labels[method]}; still right:"
            f" {', '.join(right) or 'none'}; right: the difference, grey is none; hollow bars:"
            " scores on the clean image"
        )
        return view(pictures, html.escape(note), p, clean, label, classes)

    both = attack(next(iter(nets.values())), x[:1], y[:1], epsilon, steps)
    still = figures.score_bars(
        both[:, 0],
        {m: p.numpy() for m, p in scored(nets, both).items()},
        [int(y[0])] * 2,
        classes,
        ["clean", f"epsilon {epsilon:g}"],
    )
    words = f"attacked network, image, epsilon and steps over the scores of: {', '.join(nets)}"
    stage("attacked", controls, drawn, still, words)


class Walks:
    """Walks of networks {method: module} from images x (n, 1, h, w) of classes y (n,); kept, so
    that a slider only redraws.
    """

    def __init__(self, nets: dict, x, y, eta: float | None, steps: int, classes: list[str]):
        self.nets = nets
        self.x = x
        self.y = y
        self.how = {"eta": eta, "steps": steps, "path": True}
        self.classes = classes
        self.known = {}

    def to(self, i: int, k: int) -> dict:
        """{method: walk} from image i towards class k."""
        if (i, k) not in self.known:
            x = self.x[i : i + 1]
            y = self.y[i : i + 1]
            self.known[i, k] = {
                m: boundary.search(net, x, y, torch.tensor([k]), **self.how)
                for m, net in self.nets.items()
            }
        return self.known[i, k]

    def row(self, method: str, s, i: int, k: int, at: int) -> str:
        """One network's walk s at step `at`: in words, the picture, its two logits crossing."""
        b = int(self.y[i])
        with torch.no_grad():
            a = self.nets[method](s.path[:, 0])
        curves = {
            f"f_b, {self.classes[b]}": (a[:, b].tolist(), palette.style("kd")["color"]),
            f"f_k, {self.classes[k]}": (a[:, k].tolist(), palette.style("robust")["color"]),
        }
        said = (
            f"length {float((s.path[at, 0] - self.x[i]).norm()):.3f},"
            f" gap {float(a[at, b] - a[at, k]):+.3f}, says"
            f" {self.classes[int(a[at].argmax())]}; the walk took {int(s.steps[0])} steps,"
            f" {'accepted' if s.accepted[0] else 'rejected'}"
        )
        return (
            f'<div><b>{palette.style(method)["label"]}</b> <span class="rsnl-said">{said}</span>'
            '<div style="display:flex;gap:12px;align-items:center">'
            f"{picture(s.path[at, 0, 0], f'the image after {at} steps', 112)}"
            f"{lines(curves, at)}</div></div>"
        )

    def view(self, i: int, target: str, at: int) -> str:
        """The HTML for image i, the name of the class to walk to, and a step."""
        k = self.classes.index(target)
        b = int(self.y[i])
        name = self.classes[b]
        if b == k:
            return f'<div class="rsnl-view">a {name}: choose another class to walk to</div>'
        rows = "".join(self.row(m, s, i, k, at) for m, s in self.to(i, k).items())
        return (
            '<div class="rsnl-view"><div style="display:flex;gap:12px;align-items:end">'
            f"{picture(self.x[i, 0], f'a {name}', 112)}</div><div"
            ' style="display:grid;grid-template-columns:repeat(auto-fill,minmax(470px,1fr));gap:4px'
            f' 12px">{rows}</div></div>'
        )


def walk(nets: dict, x, y, eta: float | None = None, steps: int = 10, classes=None) -> None:
    """The walk to the boundary live: pick image, class and step; every network walks from the same
    image, its picture, its two logits crossing.

    nets: {method: module}; x: images (n, 1, h, w) in [0, 1], y: their classes.
    """
    classes = classes or DIGITS
    here = Walks(nets, x, y, eta, steps, classes)
    with torch.no_grad():
        a = next(iter(nets.values()))(x[:1])[0]
    second = int(a.scatter(0, y[:1], -torch.inf).argmax())  # the first network's second choice
    look = wide()
    controls = (
        W.IntSlider(description="image", min=0, max=len(x) - 1, **look),
        W.Dropdown(description="towards", options=classes, value=classes[second], **look),
        W.IntSlider(description="step", value=min(3, steps - 1), min=0, max=steps, **look),
    )
    found = here.to(0, second)
    still = figures.picture_grid(
        torch.cat([x[:1], *(s.x for s in found.values())]),
        ["the image", *(palette.style(m)["label"] for m in found)],
        f"an image, and where each network's walk to {classes[second]} ends",
        columns=1 + len(found),
        size=1.2,
    )
    words = f"image, class and step over the walks of: {', '.join(nets)}"
    stage("walk", controls, here.view, still, words)
