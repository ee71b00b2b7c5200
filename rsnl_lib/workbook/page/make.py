"""Figure 3 as one HTML file: the shipped MNIST networks, the gallery and what the rows say, set
into template.html with its scripts.

Made by: python -m rsnl_lib page
"""

import base64
import hashlib
import json
import pathlib
import re

import numpy as np
import torch
from torch import nn

from ... import data, networks, store
from ...data import catalogue
from ...env import ROOT
from ...study import jobs
from .. import palette, score_cache

HERE = pathlib.Path(__file__).parent
OUT = ROOT / "figure3.html"
SHOWN = ("teacher", "standard", "kd", "robust", "target_zero")  # at first; the others by a tick
PAPER, NIGHT = (255, 255, 255), (24, 28, 34)  # what the colours stand on, as in template.html


def text64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def packed(net, at: int = 0) -> tuple[list[dict], np.ndarray]:
    """(layers, weights): a network as worker.js runs it, weights in half precision in the order of
    conv.ts, `at` floats before them.
    """
    layers = []
    parts = []
    c = 1

    def kept(kind, *tensors, **shape):
        layers.append({"kind": kind, "at": at + sum(map(len, parts)), **shape})
        parts.extend(t.detach().half().numpy().ravel() for t in tensors)

    for m in net:
        if isinstance(m, networks.Maxout) and isinstance(m.layer, nn.Conv2d):
            both, c, k, _ = m.layer.weight.shape
            weight = m.layer.weight.view(2, both // 8, 4, c, k, k).permute(1, 4, 5, 3, 0, 2)
            bias = m.layer.bias.view(2, both // 8, 4).permute(1, 0, 2)
            kept("conv", weight, bias, c=c, k=k, units=both // 2, pad=m.layer.padding[0])
            c = both // 2
        elif isinstance(m, nn.MaxPool2d):
            kept("pool", c=c, size=m.kernel_size, stride=m.stride)
        elif isinstance(m, nn.Linear):
            classes, width = m.weight.shape
            weight = m.weight.view(classes, c, -1).permute(0, 2, 1)
            kept("dense", weight, m.bias, **{"in": width, "out": classes})
        elif not isinstance(m, (nn.Dropout, nn.Flatten)):
            raise ValueError(
                f"{type(m).__name__} is no layer that the page can run; it knows maxout"
                " convolutions, pools and a dense end"
            )
    return layers, np.concatenate(parts)


def contrast(a, b) -> float:
    """The contrast ratio of two colours (r, g, b), as WCAG defines it."""

    def light(colour):
        v = np.array(colour) / 255
        linear = np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)
        return float(linear @ (0.2126, 0.7152, 0.0722))

    low, high = sorted((light(a), light(b)))
    return (high + 0.05) / (low + 0.05)


def seen_on(ground, method: str) -> str:
    """The method's colour, moved away from the ground until it stands out from it by 3 to 1; black
    is the colour of the text.
    """
    colour = [int(palette.style(method)["color"][i : i + 2], 16) for i in (1, 3, 5)]
    if not any(colour):
        return "var(--ink)"
    away = 0 if ground == PAPER else 255
    for share in np.linspace(0, 1, 101):
        moved = [round(c + share * (away - c)) for c in colour]
        if contrast(moved, ground) >= 3:
            return "#" + "".join(f"{c:02x}" for c in moved)


def colours(methods) -> str:
    """The CSS rules that give each method its colour, on paper and at night."""
    paper, night = (
        "".join(f".{m}{{--c:{seen_on(ground, m)}}}" for m in methods) for ground in (PAPER, NIGHT)
    )
    return f"{paper}@media (prefers-color-scheme:dark){{{night}}}"


def rate(rows, method: str, perturbation: str, level: float = 0.0, unit: str | None = None):
    """Accuracy in percent of one method at one perturbation, all seeds and draws pooled."""
    at = rows[
        (rows.method == method)
        & (rows.perturbation == perturbation)
        & (rows.level == level)
        & ((rows.unit == unit) if unit else True)
    ]
    return 100 * at.correct.sum() / at.n.sum()


def trainings(rows, methods) -> str:
    """How many training runs the rows of these methods are of: "5 training runs", or "3 to 6" where
    methods differ.
    """
    runs = rows[rows.method.isin(methods)].groupby("method").seed.nunique()
    low, high = runs.agg(["min", "max"])
    if low < high:
        return f"{low} to {high} training runs"
    return f"{high} training run{'s' if high > 1 else ''}"


NOISES = (
    ("MNIST, white noise, 1 dB", "mnist", "gaussian", 1, "dB"),
    ("MNIST, Poisson noise, 1 dB", "mnist", "poisson", 1, "dB"),
    ("MNIST, 10 × 10 hidden", "mnist", "occlusion", 10, "pixels"),
    ("digits, white noise, 0 dB", "digits", "gaussian", 1, "ratio"),
)


def ahead(rows) -> str:
    """Of how many seeds the robust student is ahead of KD's under white noise at a ratio of 1."""
    at = rows[(rows.perturbation == "gaussian") & (rows.level == 1) & (rows.unit == "ratio")]
    at = at[at.method.isin(["robust", "kd"])]
    seeds = at.pivot(index="seed", columns="method", values="correct")
    return f"{int((seeds.robust > seeds.kd).sum())} of {len(seeds)}"


def found(rows: dict) -> dict[str, str]:
    """{name: words} for the template: what {data set: rows} say about the claim; the verdict
    follows from the numbers.
    """
    held = {name: {m: rate(rows[d], m, *at) for m in SHOWN} for name, d, *at in NOISES}
    copies = all(
        (r["robust"] > r["kd"]) == (r["teacher"] > r["kd"])
        for r in held.values()
        if abs(r["robust"] - r["kd"]) > 1
    )
    smooth = all(r["target_zero"] >= r["robust"] for r in held.values())
    copying = (
        "makes a student more like its teacher, for better and for worse"
        if copies
        else "changes a student, but does not make it more like its teacher"
    )
    *most, last = (
        f"{r['robust']:.1f} and {r['kd']:.1f} % ({name})"
        for name, r in held.items()
        if "hidden" not in name
    )
    verdicts = ""
    for name, r in held.items():
        numbers = "".join(f"<td>{r[m]:.1f}</td>" for m in SHOWN)
        verdicts += f'<tr><th scope="row">{name}</th>{numbers}</tr>'
    return {
        "verdict": (
            f"matching the teacher’s gradient {copying};"
            " a control that asks for a gradient of zero instead of the teacher’s does"
            f" {'at least as well' if smooth else 'less well somewhere'}"
        ),
        "short": f"{', '.join(most)} and {last}",
        "wins": ahead(rows["digits"]),
        "heads": "".join(f'<th scope="col">{palette.style(m)["label"]}</th>' for m in SHOWN),
        "verdicts": verdicts,
    }


def accuracies(rows, methods) -> dict[str, dict[str, str]]:
    """{method: {"perturbation level": percent}} of the rows."""
    tests = {}
    for m, part in rows.groupby("method"):
        if m in methods:
            asked = sorted(set(zip(part.perturbation, part.level)))
            tests[m] = {f"{p} {v:g}": f"{rate(rows, m, p, v).round(2):.2f}" for p, v in asked}
    return tests


def told(heads: list[dict]) -> dict[str, str]:
    """What the checkpoints' headers say of their training."""
    epochs = sorted({int(h["epochs"]) for h in heads})
    return {
        "commit": ", ".join(sorted({h["commit"] for h in heads})),
        "recipe": ", ".join(sorted({h["recipe"] for h in heads})),
        "epochs": " or ".join(map(str, epochs)),
    }


def network_row(method: str, label: str, net, clean: str) -> str:
    """A line of the table of networks: weights, millions of multiplications, clean accuracy."""
    weights, multiplications = networks.count(net, catalogue.SHAPES["mnist"])
    return (
        f'<tr class="{method}"><th scope="row"><span class="key"></span>{label}</th>'
        f"<td>{weights:,}</td><td>{multiplications / 1e6:.1f}</td><td>{clean}</td></tr>"
    )


def gathered() -> tuple[dict, np.ndarray, dict[str, str]]:
    """(data for the scripts, float16 weights, words for the template) from the shipped checkpoints,
    gallery and rows.
    """
    rows = {d: jobs.shipped(d, list(palette.METHODS)) for d in ("mnist", "digits")}
    shipped = score_cache.shipped("mnist")
    loaded = {m: store.load_checkpoint(shipped[m].path) for m in palette.rank(shipped)}
    layers = {}
    weights = np.empty(0, np.float16)
    for m, (net, _) in loaded.items():
        layers[m], part = packed(net, len(weights))
        weights = np.concatenate([weights, part])
    labels = {m: palette.style(m)["label"].replace("$", "") for m in layers}
    kinds = ["clean", "gaussian", "poisson", "occlusion"]
    tested = rows["mnist"]
    tested = tested[(tested.unit != "ratio") & tested.perturbation.isin(kinds)]
    tests = accuracies(tested, layers)
    words = {
        **found(rows),
        **told([head for _, head in loaded.values()]),
        "mnist_runs": trainings(rows["mnist"], SHOWN),
        "digits_runs": trainings(rows["digits"], SHOWN),
        "all_runs": trainings(rows["mnist"], layers),
        "count": str(len(layers)),
        "images": f"{tested.n.min():,}",
        "draws": str(tested.draws.max()),
        "weights": f"{len(weights):,}",
        "colours": colours(layers),
        "rows": "".join(
            network_row(m, labels[m], net, tests.get(m, {}).get("clean 0", "–"))
            for m, (net, _) in loaded.items()
        ),
    }
    x, y = data.gallery("mnist")
    facts = {
        "networks": layers,
        "labels": labels,
        "shown": SHOWN,
        "tests": tests,
        "classes": y.tolist(),
        "gallery": text64((x * 255).round().to(torch.uint8).numpy().tobytes()),
    }
    return facts, weights, words


def made() -> bytes:
    """The page's bytes."""
    facts, weights, words = gathered()
    words |= {
        "data": json.dumps(facts, separators=(",", ":")),
        "weights64": text64(weights.astype("<f2").tobytes()),
        "wasm64": text64((HERE / "conv.wasm").read_bytes()),
        **{name: (HERE / f"{name}.js").read_text("utf-8") for name in ("page", "worker")},
    }
    template = (HERE / "template.html").read_text("utf-8")
    page = re.sub(r"\{\{(\w+)\}\}", lambda m: words[m[1]], template)
    for kind in ("script", "style"):
        inside = re.search(f"<{kind}>(.*?)</{kind}>", page, re.S)[1]
        digest = text64(hashlib.sha256(inside.encode()).digest())
        page = page.replace(f"[{kind}]", f"'sha256-{digest}'", 1)
    return page.encode()


def write(path: pathlib.Path = OUT) -> str:
    """Make the page and write it; a line that says where and how large."""
    content = made()
    store.write(path, content)
    return f"{path}: {len(content) / 1e6:.2f} MB, opens in any browser"
