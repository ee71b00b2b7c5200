"""Shipped rows measured again from shipped checkpoints: do they agree to the count?"""

import pathlib
import random
from collections import Counter
from collections.abc import Iterable

from torch import nn

from ..data import Data, catalogue
from ..data.catalogue import CLEAN, Condition
from ..env import AnyPath
from ..measure import evaluate, toolbox
from . import training
from .jobs import Run

ELSEWHERE = ("test", "all")  # units of rows about another data set's images
IMAGES_FOR_ONE = 2000  # another processor may decide one image in so many otherwise, and one more


def checkable(rows: Iterable[dict], heads: dict) -> list[tuple]:
    """[(path, row)] of the rows whose run has a checkpoint; `heads` {path: header}."""
    runs = {path: Run.of({k: head.get(k, "") for k in Run._fields}) for path, head in heads.items()}
    times = Counter(runs.values())
    path_of = {run: path for path, run in runs.items() if times[run] == 1}
    return [(path_of[Run.of(row)], row) for row in rows if Run.of(row) in path_of]


def entry_of(row: dict) -> Condition:
    """What a row's images were: perturbation, level, unit."""
    level = float(row["level"])
    whole = int(level) if level.is_integer() else level
    return Condition(row["perturbation"], whole, row["unit"])


def passes(row: dict) -> int:
    """How many images go through the network, there and back counted as three, for a row."""
    steps, starts = toolbox.EFFORT.get(row["perturbation"], (0, 1))
    return int(row["n"]) * (1 + 3 * steps * starts)


def in_order(pairs: list[tuple], sizes: dict, seed: int) -> list[tuple]:
    """(path, row) pairs drawn by a seed: a row of each checkpoint, then a second of each, digits
    and the smallest network first; `sizes` {path: multiplications}.
    """
    drawn = sorted(pairs, key=lambda pair: (str(pair[0]), *pair[1].values()))
    random.Random(seed).shuffle(drawn)
    turns, placed = Counter(), []
    for path, row in drawn:
        attack = row["perturbation"] in toolbox.EFFORT
        place = (attack, turns[path, attack], row["dataset"] != "digits", sizes[path])
        turns[path, attack] += 1
        placed.append((place, path, row))
    return [(path, row) for _, path, row in sorted(placed, key=lambda item: item[0])]


def measure_again(
    row: dict, head: dict, net: nn.Module, d: Data, folder: AnyPath | None = None
) -> tuple[int, int]:
    """(n, correct) of a row's network on the row's images, drawn as they were."""
    entry = entry_of(row)
    if entry.perturbation in toolbox.EFFORT:
        n = int(row["n"])
        (made,) = toolbox.rows(net, head, d.x_test[:n], d.y_test[:n], [entry])
        return made["n"], made["correct"]
    x, y = d.x_test, d.y_test
    if entry.unit == "label":
        x, y = x[y == entry.level], y[y == entry.level]
    elif entry.unit in ELSEWHERE:
        others = {(s, 0, u) for s in catalogue.about(d.name).elsewhere for u in ELSEWHERE}
        views = {seen: part for seen, *part in training.views(d, folder, others - {entry})}
        if entry not in views:
            raise ValueError(
                f"the images of {entry.perturbation} are not here: rsnl data {entry[0]}"
            )
        x, y = views[entry]
    seen = CLEAN if entry.unit in ("label", *ELSEWHERE) else entry
    (made,) = evaluate.sweep({"net": net}, x, y, [seen], int(row["draws"]))
    return made["n"], made["correct"]


def judge(row: dict, n: int, correct: int, hardware: str) -> dict:
    """A row beside what was measured again: difference, the largest allowed, and a word. To the
    count on the processor that made the row; on another, n / IMAGES_FOR_ONE and one more.
    """
    allowed = 0 if row["hardware"] == hardware else 1 + int(row["n"]) // IMAGES_FOR_ONE
    apart = correct - int(row["correct"])
    word = "agrees" if apart == 0 else "within range" if abs(apart) <= allowed else "DIFFERS"
    if n != int(row["n"]):
        word = "DIFFERS"
    return {**row, "n_again": n, "again": correct, "apart": apart, "allowed": allowed, "word": word}


def told_line(told: dict, path: pathlib.Path) -> str:
    """What `judge` found, as one line that names the row's condition and its checkpoint."""
    seen = f"{told['perturbation']} {told['level']} {told['unit']}".strip()
    counts = f"{told['correct']} of {told['n']}, again {told['again']} of {told['n_again']}"
    range_ = f"{told['apart']:+d}, expected within {told['allowed']}" if told["apart"] else ""
    return f"{told['word']:12} {seen:20} {counts:38} {path.stem} {range_}".rstrip()
