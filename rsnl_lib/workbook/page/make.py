"""Figure 3 as one HTML file: the shipped MNIST networks, the gallery and what the rows say, set
into template.html with its scripts.

Made by: python -m rsnl_lib page
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
from torch import nn

from ... import data, networks, store
from ...data import catalogue
from ...env import CHECKPOINTS, ROOT
from ...study import jobs
from .. import palette, paper_tables, score_cache

HERE = pathlib.Path(__file__).parent
OUT = ROOT / "figure3.html"
SHOWN = ("teacher", "standard", "kd", "robust", "target_zero")  # at first; the others by a tick
DAY, NIGHT = (255, 255, 255), (24, 28, 34)  # what the colours stand on, as in template.html
SCRIPTS = ("noise", "networks", "pad", "address", "theorem", "page")  # joined in this order
# networks of a robust teacher (trained on attacked images), and one that was trained so itself
ROBUSTLY_TAUGHT = {
    "robust_teacher": "mnist_teacher-pgd_at-short-s0",
    "pgd_at": "mnist_student-pgd_at-short-s0",
    "kd by pgd_at": "mnist_student-kd-short-s0-by-pgd_at",
    "robust by pgd_at": "mnist_student-robust-short-s0-by-pgd_at",
    "ard by pgd_at": "mnist_student-ard-short-s0-by-pgd_at",
}
ATTACKED = "nets=teacher,standard,kd,robust,target_zero,robust_teacher,pgd_at,ard-by-pgd_at"
# States of the figure, each the mildest and first of the gallery of which the sentence is true:
# white noise from 1 dB down in whole steps, an attack from 0.05 up in such steps, draw 1.
STATES_TO_TRY = (
    ("Poisson noise: KD loses the digit, robust keeps it", "digit=5&noise=poisson&snr=1"),
    (
        "White noise: robust follows its teacher into a mistake, KD does not",
        "digit=4&noise=gaussian&snr=-1",
    ),
    (
        "A control does as well: KD wrong, robust and target zero right",
        "digit=36&noise=gaussian&snr=-1&why=robust,target_zero",
    ),
    ("Everything breaks: all five wrong", "digit=36&noise=gaussian&snr=-4"),
    (
        "An attack on KD carries over to the plain networks; ARD’s student holds",
        f"digit=12&noise=none&attack=kd,0.05&{ATTACKED}&why=kd,ard-by-pgd_at",
    ),
)
NOISES = (
    ("MNIST, white noise, 1 dB", "mnist", "gaussian", 1, "dB"),
    ("MNIST, Poisson noise, 1 dB", "mnist", "poisson", 1, "dB"),
    ("MNIST, 10 × 10 hidden", "mnist", "occlusion", 10, "pixels"),
    ("digits, white noise, 0 dB", "digits", "gaussian", 1, "ratio"),
)


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
        elif isinstance(m, nn.Linear):
            classes, width = m.weight.shape
            weight = m.weight.view(classes, c, -1).permute(0, 2, 1)
            add("dense", weight, m.bias, **{"in": width, "out": classes})
        elif not isinstance(m, (nn.Dropout, nn.Flatten)):
            raise ValueError(
                f"{type(m).__name__} is no layer that the page can run; it knows maxout"
                " convolutions, pools and a dense end"
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
    hollow = ",".join(f".{page_name(m)} .key" for m in methods if " by " in m)
    return f"{day}@media (prefers-color-scheme:dark){{{night}}}{hollow}{{background:none}}"


def pooled_accuracy(rows: DataFrame) -> Series:
    """Accuracy in percent by method, perturbation and level, all seeds and draws pooled."""
    sums = rows.groupby(["method", "perturbation", "level"])[["correct", "n"]].sum()
    return 100 * sums.correct / sums.n


def trainings(rows: DataFrame, methods: Collection[str]) -> str:
    """How many training runs the rows of these methods are of: "5 training runs", or "3 to 6" where
    methods differ.
    """
    runs = rows[rows.method.isin(methods)].groupby("method").seed.nunique()
    low, high = runs.agg(["min", "max"])
    if low < high:
        return f"{low} to {high} training runs"
    return f"{high} training run{'s' if high > 1 else ''}"


def claim_words(rows: dict[str, DataFrame]) -> dict[str, str]:
    """{name: words} for the template: what {data set: rows} say about the claim."""
    percent = {}
    for name, dataset, perturbation, level, unit in NOISES:
        part = rows[dataset][rows[dataset].unit == unit]
        percent[name] = pooled_accuracy(part)[:, perturbation, level]
    table = DataFrame(percent).T  # a line for each of NOISES, a column for each method
    apart = table[(table.robust - table.kd).abs() > 1]
    copying = "changes a student, but does not make it more like its teacher"
    if ((apart.robust > apart.kd) == (apart.teacher > apart.kd)).all():
        copying = "makes a student more like its teacher, for better and for worse"
    smooth = (table.target_zero >= table.robust).all()
    pairs = zip(table.index, table.robust, table.kd)
    *most, last = (
        f"{r:.1f} and {k:.1f} % ({name})" for name, r, k in pairs if "hidden" not in name
    )
    lines = ""
    for name, r in table.iterrows():
        numbers = "".join(f"<td>{r[m]:.1f}</td>" for m in SHOWN)
        lines += f'<tr><th scope="row">{name}</th>{numbers}</tr>'
    noisy = rows["digits"].query("perturbation == 'gaussian' and level == 1 and unit == 'ratio'")
    noisy = noisy[noisy.method.isin(["robust", "kd"])]
    seeds = noisy.pivot(index="seed", columns="method", values="correct")
    return {
        "verdict": (
            f"matching the teacher’s gradient {copying};"
            " a control that asks for a gradient of zero instead of the teacher’s does"
            f" {'at least as well' if smooth else 'less well somewhere'}"
        ),
        "short": f"{', '.join(most)} and {last}",
        "wins": f"{int((seeds.robust > seeds.kd).sum())} of {len(seeds)}",
        "heads": paper_tables.cells_html((palette.style(m)["label"] for m in SHOWN), "col"),
        "verdicts": lines,
    }


def network_paths() -> dict[str, pathlib.Path]:
    """{method: its shipped checkpoint} of the page's networks, in the page's order."""
    shipped = score_cache.shipped_networks("mnist")
    plain = {m: shipped[m].path for m in palette.rank(shipped)}
    return plain | {m: CHECKPOINTS / f"{s}.safetensors" for m, s in ROBUSTLY_TAUGHT.items()}


def links_to_try() -> str:
    """The states of STATES_TO_TRY as a list of links."""
    links = (f'<a href="#{html.escape(at)}">{said}</a>' for said, at in STATES_TO_TRY)
    return "".join(f"<li>{link}</li>" for link in links)


def page_parts() -> tuple[dict, np.ndarray, dict[str, str]]:
    """(data for the scripts, float16 weights, words for the template) from what is shipped."""
    rows = {d: jobs.shipped(d, list(palette.styles())) for d in ("mnist", "digits")}
    paths = network_paths()
    loaded = {page_name(m): store.load_checkpoint(path) for m, path in paths.items()}
    layers = {}
    weights = np.empty(0, np.float16)
    for m, (net, _) in loaded.items():
        layers[m], part = pack_layers(net, len(weights))
        weights = np.concatenate([weights, part])
    labels = {page_name(m): palette.style(m)["label"].replace("$", "") for m in paths}
    tested = jobs.everyone("mnist")
    tested = tested.assign(method=tested.method.map(page_name))
    kinds = ["clean", "gaussian", "poisson", "occlusion"]
    tested = tested[(tested.unit != "ratio") & tested.perturbation.isin(kinds)]
    tests = {}
    percents = pooled_accuracy(tested[tested.method.isin(layers)]).round(2)
    for (m, kind, level), percent in percents.items():
        tests.setdefault(m, {})[f"{kind} {level:g}"] = f"{percent:.2f}"
    table = ""
    for m, (net, _) in loaded.items():
        count, multiplications = networks.count(net, catalogue.SHAPES["mnist"])
        table += (
            f'<tr class="{html.escape(m)}"><th scope="row"><span class="key"></span>'
            f"{html.escape(labels[m])}</th>"
            f"<td>{count:,}</td><td>{multiplications / 1e6:.1f}</td>"
            f"<td>{tests.get(m, {}).get('clean 0', '–')}</td></tr>"
        )
    heads = [head for _, head in loaded.values()]
    words = {
        **claim_words(rows),
        "commit": html.escape(", ".join(sorted({h["commit"] for h in heads}))),
        "recipe": html.escape(", ".join(sorted({h["recipe"] for h in heads}))),
        "epochs": " or ".join(map(str, sorted({int(h["epochs"]) for h in heads}))),
        "mnist_runs": trainings(rows["mnist"], SHOWN),
        "digits_runs": trainings(rows["digits"], SHOWN),
        "all_runs": trainings(tested, layers),
        "count": str(len(layers)),
        "images": f"{tested.n.min():,}",
        "draws": str(tested.draws.max()),
        "weights": f"{len(weights):,}",
        "colours": colour_rules(paths),
        "tries": links_to_try(),
        "rows": table,
    }
    x, y = data.gallery("mnist")
    facts = {
        "networks": layers,
        "labels": labels,
        "shown": SHOWN,
        "colours": {
            side: [int(v) for v in palette.DIVERGING(end, bytes=True)[:3]]
            for side, end in (("up", 1.0), ("down", 0.0))
        },
        "tests": tests,
        "classes": y.tolist(),
        "gallery": text64((x * 255).round().to(torch.uint8).numpy().tobytes()),
    }
    return facts, weights, words


def page_bytes() -> bytes:
    """The page's bytes."""
    facts, weights, words = page_parts()
    words |= {
        "data": json.dumps(facts, separators=(",", ":")).replace("<", "\\u003c"),
        "weights64": text64(weights.astype("<f2").tobytes()),
        "wasm64": text64((HERE / "conv.wasm").read_bytes()),
        "worker": (HERE / "worker.js").read_text("utf-8"),
        "page": "\n".join((HERE / f"{name}.js").read_text("utf-8") for name in SCRIPTS),
    }
    template = (HERE / "template.html").read_text("utf-8")
    page = re.sub(r"\{\{(\w+)\}\}", lambda m: words[m[1]], template)
    for kind in ("script", "style"):
        inside = re.search(f"<{kind}>(.*?)</{kind}>", page, re.S)[1]
        digest = text64(hashlib.sha256(inside.encode()).digest())
        page = page.replace(f"[{kind}]", f"'sha256-{digest}'", 1)
    return page.encode()


def save_page(path: pathlib.Path = OUT) -> str:
    """Make the page and write it; a line that says where and how large."""
    content = page_bytes()
    store.write(path, content)
    return f"{path}: {len(content) / 1e6:.2f} MB, opens in any browser"
