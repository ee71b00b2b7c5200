"""A campaign's results packed into few files, and taken into the repository."""

import pathlib
import tempfile

from .. import env, store
from ..env import CHECKPOINTS, RESULTS
from ..store import result_rows
from . import mistakes, parts

BOX = 14 * 2**20  # bytes of a packed part
LARGEST = 6 * 2**20  # of a checkpoint shipped in the tree
FILES = 8  # packed files at most
ROW = store.COLUMNS[:14]  # what tells a result row from others
CURVE_ROW = store.CURVE_COLUMNS[:9]


def pack(work, out) -> None:
    """Rows, curves and as many checkpoints as fit into at most 8 files under 15 MiB in `out`, the
    rows first; what is left out is printed.
    """
    work = pathlib.Path(work)
    kinds = ("rows/*.csv", "curves/*.csv", "mistakes/*.npz")
    texts = [path for kind in kinds for path in sorted(work.glob(kind))]
    nets = sorted(
        (p for p in work.glob("*.safetensors") if (work / "rows" / f"{p.stem}.csv").is_file()),
        key=lambda p: (p.stat().st_size, p.name),
    )
    room = (FILES - 1) * BOX - 2**20 - sum(p.stat().st_size + 2048 for p in texts)
    chosen = []
    for path in nets:
        room -= path.stat().st_size + 2048
        if room < 0:
            print(f"left out, no room: {path.name}")
        else:
            chosen.append(path)
    inside = {str(p.relative_to(work)): p for p in (*texts, *chosen)}
    parts.pack(inside, out, "campaign", BOX, compress=False)
    print(f"packed {len(texts)} tables and {len(chosen)} checkpoints into {out}")


def merge(source, results=RESULTS, shipped=CHECKPOINTS, aside=None) -> tuple:
    """Take in a work folder, or what `pack` made of one: rows that are not there yet, curves,
    checkpoints. Returns (rows, checkpoints) added.

    Checkpoints of seed 0 up to 6 MB go among the shipped ones, others to the data folder. Where a
    row is here already, it stays as it is; how many of those left out say another number is
    printed.
    """
    source = pathlib.Path(source)
    if not source.is_dir():
        raise ValueError(f"there is no folder {source}; name the folder that a campaign left")
    with tempfile.TemporaryDirectory() as made:
        if (source / "campaign.parts.json").is_file():
            parts.unpack(source, made, "campaign")
            source = pathlib.Path(made)
        results = pathlib.Path(results)
        rows = _new_rows(source, results)
        curves = _new_curves(source, results)
        for dataset in dict.fromkeys(row["dataset"] for row in rows):
            mine = [row for row in rows if row["dataset"] == dataset]
            store.append(results / f"{dataset}.csv", mine)
        if curves:
            store.append(results / "curves.csv", curves, store.CURVE_COLUMNS)
        for path in sorted((source / "mistakes").glob("*.npz")):
            place = results / "mistakes" / path.name
            if not place.exists():
                mistakes.save_mistakes(place, mistakes.load_mistakes(path))
        aside = pathlib.Path(aside or env.data_folder() / "checkpoints")
        return len(rows), _take_checkpoints(source, pathlib.Path(shipped), aside)


def _new_rows(source, results):
    """The rows of a campaign that are not among the results."""
    fresh, differ = [], 0
    mine = {tuple(row[k] for k in ROW): row for row in result_rows(results)}
    for row in result_rows(source / "rows"):
        twin = mine.setdefault(tuple(row[k] for k in ROW), row)
        if twin is row:
            fresh.append(row)
        else:
            differ += (twin["n"], twin["correct"]) != (row["n"], row["correct"])
    if differ:
        print(f"{differ} rows say another number than the same row in {results} and were left out")
    return fresh


def _new_curves(source, results):
    """The curve rows of a campaign that are not among the results."""
    before = store.lines(results / "curves.csv", missing_ok=True)
    old = {tuple(row[k] for k in CURVE_ROW) for row in before}
    rows = [row for p in sorted((source / "curves").glob("*.csv")) for row in store.lines(p)]
    return [row for row in rows if tuple(row[k] for k in CURVE_ROW) not in old]


def _take_checkpoints(source, shipped, aside):
    """Copy the checkpoints of last epochs that are new; their number."""
    taken = 0
    for path in sorted(source.glob("*.safetensors")):
        if ".best." in path.name:
            continue
        _, head = store.load_checkpoint(path)
        first = head.get("seed") == "0" and not head.get("settings")
        place = (shipped if first and path.stat().st_size <= LARGEST else aside) / path.name
        if not place.exists():
            store.write(place, path.read_bytes())
            taken += 1
    return taken
