"""Figure 3 as one HTML file: the shipped MNIST networks, the gallery and what the rows say, set
into template.html with its scripts.

Made by: python -m rsnl_lib page
"""

import html
import pathlib
from collections.abc import Collection

import numpy as np
from pandas import DataFrame

from ... import data, store
from ...env import CHECKPOINTS, RESULTS, ROOT
from ...study import claims, jobs, register
from ...study.results import Results
from .. import palette, paper_tables, score_cache
from . import photograph
from .pack import (
    bytes64,
    colour_rules,
    network_rows,
    packed,
    page_file,
    page_name,
    percents,
    pooled_accuracy,
    shown_rows,
    signed_colours,
    trained,
)

OUT = ROOT / "figure3.html"
SHOWN = ("teacher", "standard", "kd", "robust", "target_zero")  # at first; the others by a tick
SCRIPTS = ("noise", "networks", "pad", "address", "theorem", "frames", "page")  # in this order
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


def trainings(rows: DataFrame, methods: Collection[str]) -> str:
    """How many training runs the rows of these methods are of: "5 training runs", or "3 to 6" where
    methods differ.
    """
    runs = rows[rows.method.isin(methods)].groupby("method").seed.nunique()
    low, high = runs.agg(["min", "max"])
    if low < high:
        return f"{low} to {high} training runs"
    return f"{high} training run{'s' if high > 1 else ''}"


def register_words(done: Results) -> str:
    """What the second register says so far of the main claim, white noise against KD."""
    family = [c for c in claims.read_lines("claims/lines") if c["family"] == "A"]
    (judged,) = [c for c in register.judge_lines(done, lines=family) if c["line"] == "white-kd"]
    by_teacher = zip(*register.differences(judged, done, fewest=1).values())
    ahead = [np.median(column) > 0 for column in by_teacher]
    word = f"the registered study calls it {judged['word']}"
    if judged["word"] == "not run":
        word = f"a registered study judges from {register.FEWEST} on"
    return (
        f"In white noise the robust student is ahead of KD’s under {sum(ahead)} of {len(ahead)}"
        f" fresh teachers, which do not trail a student on labels alone ({word})"
    )


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
    layers, weights = packed(loaded)
    labels = {page_name(m): palette.style(m)["label"].replace("$", "") for m in paths}
    tested = shown_rows(jobs.everyone("mnist"))
    tested = tested.assign(method=tested.method.map(page_name))
    tests = percents(tested, layers)
    x, y = data.gallery("mnist")
    words = {
        **claim_words(rows),
        "fresh": register_words(Results(store.result_rows(RESULTS))),
        **trained(loaded),
        "mnist_runs": trainings(rows["mnist"], SHOWN),
        "digits_runs": trainings(rows["digits"], SHOWN),
        "all_runs": trainings(tested, layers),
        "count": str(len(layers)),
        "images": f"{tested.n.min():,}",
        "draws": str(tested.draws.max()),
        "weights": f"{len(weights):,}",
        "gallery": "Forty test images, four of each class, unselected",
        "colours": colour_rules(paths),
        "tries": links_to_try(),
        "rows": network_rows(loaded, labels, tests, (1, 28, 28)),
    }
    facts = {
        "item": "digit",
        "set": "MNIST",
        "shape": [28, 1],
        "look": [1, 0],  # ink on paper
        "names": [str(c) for c in range(10)],
        "start": {"digit": 5, "snr": 1},
        "networks": layers,
        "labels": labels,
        "shown": SHOWN,
        "colours": signed_colours(),
        "tests": tests,
        "classes": y.tolist(),
        "count": "forty",
        "gallery": bytes64(x),
    }
    return facts, weights, words


def page_bytes() -> bytes:
    """The page's bytes."""
    return page_file(SCRIPTS, *page_parts())


def save_page(path: pathlib.Path = OUT) -> str:
    """Make both pages, the photographs' beside the digits', and write them; a line for each that
    says where and how large.
    """
    said = []
    for place, content in (
        (path, page_bytes()),
        (path.with_name(photograph.PHOTOGRAPH.name), photograph.photograph_bytes()),
    ):
        store.write(place, content)
        said.append(f"{place}: {len(content) / 1e6:.2f} MB, opens in any browser")
    return "\n".join(said)
