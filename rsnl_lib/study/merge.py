"""A campaign's results packed into few files, and taken into the repository."""

import pathlib
import tempfile

from .. import env, store
from ..env import CHECKPOINTS, RESULTS
from ..store import result_rows
from . import mistakes, parts

BOX, LARGEST, FILES = (
    14 * 2**20,
    6 * 2**20,
    8,
)  # bytes of a packed part; of a checkpoint shipped in the tree; packed files at most


def pack(work, out):
    """Rows, curves and as many checkpoints as fit into at most 8 files under 15 MiB in `out`, the
    rows first; what is left out is printed.
    """
    work = pathlib.Path(work)
    texts = (
        sorted(work.glob("rows/*.csv"))
        + sorted(work.glob("curves/*.csv"))
        + sorted(work.glob("mistakes/*.npz"))
    )
    nets = sorted(
        (p for p in work.glob("*.safetensors") if (work / "rows" / f"{p.stem}.csv").is_file()),
        key=lambda p: (p.stat().st_size, p.name),
    )
    room, chosen = (FILES - 1) * BOX - 2**20 - sum(p.stat().st_size + 2048 for p in texts), []
    for path in nets:
        room -= path.stat().st_size + 2048
        if room < 0:
            print(f"left out, no room: {path.name}")
        else:
            chosen.append(path)
    parts.pack(
        {str(p.relative_to(work)): p for p in (*texts, *chosen)},
        out,
        "campaign",
        BOX,
        compress=False,
    )
    print(f"packed {len(texts)} tables and {len(chosen)} checkpoints into {out}")


def merge(source, results=RESULTS, shipped=CHECKPOINTS, aside=None):
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
        fresh, differ = {}, 0
        mine = {tuple(row[k] for k in store.COLUMNS[:14]): row for row in result_rows(results)}
        for row in result_rows(source / "rows"):
            twin = mine.setdefault(tuple(row[k] for k in store.COLUMNS[:14]), row)
            if twin is row:
                fresh.setdefault(row["dataset"], []).append(row)
            else:
                differ += (twin["n"], twin["correct"]) != (row["n"], row["correct"])
        if differ:
            print(
                f"{differ} rows say another number than the same row in {results} and were left out"
            )
        curves = []
        old = {
            tuple(row[k] for k in store.CURVE_COLUMNS[:9])
            for row in store.lines(pathlib.Path(results) / "curves.csv", missing_ok=True)
        }
        for path in sorted((source / "curves").glob("*.csv")):
            curves += [
                row
                for row in store.lines(path)
                if tuple(row[k] for k in store.CURVE_COLUMNS[:9]) not in old
            ]
        for dataset, rows in fresh.items():
            store.append(pathlib.Path(results) / f"{dataset}.csv", rows)
        if curves:
            store.append(pathlib.Path(results) / "curves.csv", curves, store.CURVE_COLUMNS)
        for path in sorted((source / "mistakes").glob("*.npz")):
            place = pathlib.Path(results) / "mistakes" / path.name
            if not place.exists():
                mistakes.write(place, mistakes.read(path))
        taken, aside = 0, pathlib.Path(aside or env.data_folder() / "checkpoints")
        for path in sorted(source.glob("*.safetensors")):
            if ".best." not in path.name:
                _, head = store.load_checkpoint(path)
                small = (
                    head.get("seed") == "0"
                    and not head.get("settings")
                    and path.stat().st_size <= LARGEST
                )
                place = (pathlib.Path(shipped) if small else aside) / path.name
                if not place.exists():
                    store.write(place, path.read_bytes())
                    taken += 1
    return sum(map(len, fresh.values())), taken
