"""What the pages share: networks as worker.js runs them, colours, rows in percent, and a page as
one file: template.html with its scripts, words and facts.
"""

import base64
import hashlib
import html
import json
import pathlib
import re
from collections.abc import Collection

import numpy as np
import torch
from pandas import DataFrame, Series
from torch import Tensor, nn

from ... import networks
from .. import palette

HERE = pathlib.Path(__file__).parent
DAY, NIGHT = (255, 255, 255), (24, 28, 34)  # what the colours stand on, as in template.html


def page_name(method: str) -> str:
    """A method's name in the page, without blanks: "kd by pgd_at" is "kd-by-pgd_at"."""
    return method.replace(" ", "-")


def text64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def pack_layers(net: nn.Sequential, at: int = 0) -> tuple[list[dict], np.ndarray]:
    """(layers, weights): a network as worker.js runs it, weights in half precision in the order of
    conv.ts, `at` floats before them.
    """
    layers = []
    parts = []
    c = 1

    def add(kind, *tensors, **shape):
        layers.append({"kind": kind, "at": at + sum(map(len, parts)), **shape})
        parts.extend(t.detach().half().numpy().ravel() for t in tensors)

    for m in net:
        if isinstance(m, networks.Maxout) and isinstance(m.layer, nn.Conv2d):
            both, c, k, _ = m.layer.weight.shape
            weight = m.layer.weight.view(2, both // 8, 4, c, k, k).permute(1, 4, 5, 3, 0, 2)
            bias = m.layer.bias.view(2, both // 8, 4).permute(1, 0, 2)
            add("conv", weight, bias, c=c, k=k, units=both // 2, pad=m.layer.padding[0])
            c = both // 2
        elif isinstance(m, nn.MaxPool2d):
            add("pool", c=c, size=m.kernel_size, stride=m.stride)
        elif isinstance(end := getattr(m, "layer", m), nn.Linear):
            out, width = end.weight.shape
            weight = end.weight.view(out, c, -1).permute(0, 2, 1)
            add("dense", weight, end.bias, **{"in": width, "out": out}, maxout=end is not m)
            c = 1
        elif not isinstance(m, (nn.Dropout, nn.Flatten)):
            raise ValueError(
                f"{type(m).__name__} is no layer that the page can run; it knows maxout"
                " convolutions, pools and dense layers"
            )
    return layers, np.concatenate(parts)


def contrast(a: tuple, b: tuple) -> float:
    """The contrast ratio of two colours (r, g, b), as WCAG defines it."""
    v = np.array([a, b]) / 255
    linear = np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)
    low, high = sorted(linear @ (0.2126, 0.7152, 0.0722))
    return float((high + 0.05) / (low + 0.05))


def readable_colour(ground: tuple, method: str) -> str:
    """The method's colour, moved away from the ground to a contrast of 3; black is the text's."""
    colour = bytes.fromhex(palette.style(method)["color"][1:])
    if not any(colour):
        return "var(--ink)"
    away = 0 if ground == DAY else 255
    for share in np.linspace(0, 1, 101):
        moved = [round(c + share * (away - c)) for c in colour]
        if contrast(moved, ground) >= 3:
            return "#" + bytes(moved).hex()


def colour_rules(methods: Collection[str]) -> str:
    """The CSS rules that give each method its colour, by day and at night."""
    day, night = (
        "".join(f".{page_name(m)}{{--c:{readable_colour(ground, m)}}}" for m in methods)
        for ground in (DAY, NIGHT)
    )
    taught = [page_name(m) for m in methods if " by " in m]
    hollow = "".join(f".{m} .key{{background:none}}" for m in taught)
    return f"{day}@media (prefers-color-scheme:dark){{{night}}}{hollow}"


def pooled_accuracy(rows: DataFrame) -> Series:
    """Accuracy in percent by method, perturbation and level, all seeds and draws pooled."""
    sums = rows.groupby(["method", "perturbation", "level"])[["correct", "n"]].sum()
    return 100 * sums.correct / sums.n


def packed(
    loaded: dict[str, tuple[nn.Sequential, dict]],
) -> tuple[dict[str, list[dict]], np.ndarray]:
    """({name: layers}, all weights, one network after another) of {name: network and its head}."""
    layers = {}
    weights = np.empty(0, np.float16)
    for m, (net, _) in loaded.items():
        layers[m], part = pack_layers(net, len(weights))
        weights = np.concatenate([weights, part])
    return layers, weights


def shown_rows(rows: DataFrame) -> DataFrame:
    """The rows of what a page can show: SNR in dB, no attacks."""
    kinds = ["clean", "gaussian", "poisson", "occlusion"]
    return rows[(rows.unit != "ratio") & rows.perturbation.isin(kinds)]


def percents(rows: DataFrame, methods: Collection[str]) -> dict[str, dict[str, str]]:
    """{method: {"kind level": accuracy in %}}, all seeds and draws pooled."""
    found = {}
    for (m, kind, level), percent in pooled_accuracy(rows[rows.method.isin(methods)]).items():
        found.setdefault(m, {})[f"{kind} {level:g}"] = f"{percent:.2f}"
    return found


def network_rows(loaded: dict, labels: dict, tests: dict, shape: tuple) -> str:
    """The networks as lines of a table: weights, multiplications, accuracy on clean images."""
    lines = ""
    for m, (net, _) in loaded.items():
        count, multiplications = networks.count(net, shape)
        lines += (
            f'<tr class="{html.escape(m)}"><th scope="row"><span class="key"></span>'
            f"{html.escape(labels[m])}</th>"
            f"<td>{count:,}</td><td>{multiplications / 1e6:.1f}</td>"
            f"<td>{tests.get(m, {}).get('clean 0', '–')}</td></tr>"
        )
    return lines


def trained(loaded: dict) -> dict[str, str]:
    """What the networks' heads say of their training, for the template."""
    heads = [head for _, head in loaded.values()]
    return {
        "commit": html.escape(", ".join(sorted({h["commit"] for h in heads}))),
        "recipe": html.escape(", ".join(sorted({h["recipe"] for h in heads}))),
        "epochs": " or ".join(map(str, sorted({int(h["epochs"]) for h in heads}))),
    }


def bytes64(x: Tensor) -> str:
    """Images (n, c, h, w) in [0, 1] as bytes, channels last."""
    return text64((x * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy())


def signed_colours() -> dict[str, list[int]]:
    """The colours of a signed picture's ends, as in the chapters."""
    ends = (("up", 1.0), ("down", 0.0))
    return {s: [int(v) for v in palette.DIVERGING(e, bytes=True)[:3]] for s, e in ends}


def page_file(scripts: Collection[str], facts: dict, weights: np.ndarray, words: dict) -> bytes:
    """A page's bytes: of the template what stands between marks of another kind is left out."""

    def read(name):
        return (HERE / name).read_text("utf-8")

    words = words | {
        "item": facts["item"],
        "side": str(facts["shape"][0]),
        "last": str(facts["shape"][0] - 1),
        "data": json.dumps(facts, separators=(",", ":")).replace("<", "\\u003c"),
        "weights64": text64(weights.astype("<f2").tobytes()),
        "wasm64": text64((HERE / "conv.wasm").read_bytes()),
        "worker": read("common.js") + read("worker.js"),
        "page": "\n".join(read(f"{name}.js") for name in ("common", *scripts)),
    }
    template = re.sub(
        r"<!--(\w+)-->(.*?)<!--/\1-->",
        lambda m: m[2] if m[1] == facts["item"] else "",
        read("template.html"),
        flags=re.S,
    )
    page = re.sub(r"\{\{(\w+)\}\}", lambda m: words[m[1]], template)
    for kind in ("script", "style"):
        inside = re.search(f"<{kind}>(.*?)</{kind}>", page, re.S)[1]
        digest = text64(hashlib.sha256(inside.encode()).digest())
        page = page.replace(f"[{kind}]", f"'sha256-{digest}'", 1)
    return page.encode()
