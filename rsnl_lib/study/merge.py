"""A campaign's results packed into few files, and taken into the repository."""

import operator
import pathlib
import tempfile

from .. import env, store
from ..env import CHECKPOINTS, RESULTS, AnyPath
from ..store import result_rows
from . import mistakes, parts

BOX = 14 * 2**20  # bytes of a packed part
BOXES = 8  # packed files at most
SHIPPED_BYTES = 6 * 2**20  # of a checkpoint in the tree, at most
# what tells a result row from others, and a curve row
row_key = operator.itemgetter(*store.COLUMNS[:14])
curve_key = operator.itemgetter(*store.CURVE_COLUMNS[:9])


def pack_results(work: pathlib.Path, out: AnyPath) -> None:
    """Rows, curves and as many checkpoints as fit into at most 8 files under 15 MiB in `out`, the
    rows first; what is left out is printed.
    """
    kinds = ("rows/*.csv", "curves/*.csv", "mistakes/*.npz")
    texts = [path for kind in kinds for path in sorted(work.glob(kind))]
    nets = [p for p in work.glob("*.safetensors") if (work / f"rows/{p.stem}.csv").is_file()]
    room = (BOXES - 1) * BOX - 2**20 - sum(p.stat().st_size + 2048 for p in texts)
    chosen = []
    for path in sorted(nets, key=lambda p: (p.stat().st_size, p.name)):
        room -= path.stat().st_size + 2048
        if room < 0:
            print(f"left out, no room: {path.name}")
        else:
            chosen.append(path)
    inside = {str(p.relative_to(work)): p for p in (*texts, *chosen)}
    parts.pack(inside, out, "campaign", BOX, compress=False)
    print(f"packed {len(texts)} tables and {len(chosen)} checkpoints into {out}")


def merge(
    source: AnyPath,
    results: AnyPath = RESULTS,
    shipped: AnyPath = CHECKPOINTS,
    aside: AnyPath | None = None,
) -> tuple[int, int]:
    """Take in the new rows, curves and checkpoints of a work folder, or of what `pack_results` made
    of one. Returns (rows, checkpoints) added.

    Checkpoints of seed 0 up to 6 MB go among the shipped ones, others to the data folder. Where a
    row is here already, it stays; how many of those left out say another number is printed.
    """
    source = pathlib.Path(source)
    if not source.is_dir():
        raise ValueError(f"there is no folder {source}; name the folder that a campaign left")
    aside = pathlib.Path(aside or env.data_folder() / "checkpoints")
    with tempfile.TemporaryDirectory() as made:
        if (source / "campaign.parts.json").is_file():
            parts.unpack(source, made, "campaign")
            source = pathlib.Path(made)
        rows = _merge_rows(source, pathlib.Path(results))
        return rows, _merge_checkpoints(source, pathlib.Path(shipped), aside)


def _merge_rows(source, results):
    """Take in the rows, curves and mistakes that are new; the number of rows."""
    fresh, differ = [], 0
    mine = {row_key(row): row for row in result_rows(results)}
    for row in result_rows(source / "rows"):
        twin = mine.setdefault(row_key(row), row)
        if twin is row:
            fresh.append(row)
        else:
            differ += (twin["n"], twin["correct"]) != (row["n"], row["correct"])
    if differ:
        print(f"{differ} rows say another number than the same row in {results} and were left out")
    for dataset in dict.fromkeys(row["dataset"] for row in fresh):
        some = [row for row in fresh if row["dataset"] == dataset]
        store.append(results / f"{dataset}.csv", some)
    known = set(map(curve_key, store.lines(results / "curves.csv", missing_ok=True)))
    curves = [row for p in sorted(source.glob("curves/*.csv")) for row in store.lines(p)]
    if curves := [row for row in curves if curve_key(row) not in known]:
        store.append(results / "curves.csv", curves, store.CURVE_COLUMNS)
    for path in sorted(source.glob("mistakes/*.npz")):
        place = results / "mistakes" / path.name
        if not place.exists():
            mistakes.save_mistakes(place, mistakes.load_mistakes(path))
    return len(fresh)


def _merge_checkpoints(source, shipped, aside):
    """Copy the checkpoints of last epochs that are new; their number."""
    taken = 0
    for path in sorted(source.glob("*.safetensors")):
        if ".best." in path.name:
            continue
        _, head = store.load_checkpoint(path)
        first = head.get("seed") == "0" and not head.get("settings")
        place = (shipped if first and path.stat().st_size <= SHIPPED_BYTES else aside) / path.name
        if not place.exists():
            store.write(place, path.read_bytes())
            taken += 1
    return taken
