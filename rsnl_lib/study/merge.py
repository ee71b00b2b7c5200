"""A campaign's results packed into few files, and taken into the repository."""

import pathlib
import re
import tempfile

from .. import env, store
from ..env import CHECKPOINTS, RESULTS, AnyPath
from ..rows import COLUMNS, CURVE_COLUMNS, check_run, curve_key, plain_name, row_key
from . import mistakes, parts

BOX = 14 * 2**20  # bytes of a packed part
BOXES = 8  # packed files at most
# what a campaign leaves, by its name in the work folder
CAMPAIGN_FILE = re.compile(
    rf"((rows|curves)/{parts.FILE}\.csv|mistakes/{parts.FILE}\.npz|{parts.FILE}\.safetensors)",
    re.ASCII,
)
LEFT = ("rows/*.csv", "curves/*.csv", "mistakes/*.npz")
SHIPPED_BYTES = 6 * 2**20  # of a checkpoint in the tree, at most


def pack_results(work: pathlib.Path, out: AnyPath) -> None:
    """Rows, curves and as many checkpoints as fit into at most 8 files under 15 MiB in `out`, the
    rows first; what is left out is printed.
    """
    texts = [path for kind in LEFT for path in sorted(work.glob(kind))]
    nets = [p for p in work.glob("*.safetensors") if (work / f"rows/{p.stem}.csv").is_file()]
    room = (BOXES - 1) * BOX - 2**20 - sum(p.stat().st_size + 2048 for p in texts)
    chosen = []
    for path in sorted(nets, key=lambda p: (p.stat().st_size, p.name)):
        room -= path.stat().st_size + 2048
        if room < 0:
            print(f"left out, no room: {path.name}")
        else:
            chosen.append(path)
    inside = {p.relative_to(work).as_posix(): p for p in (*texts, *chosen)}
    for odd in [name for name in inside if not CAMPAIGN_FILE.fullmatch(name)]:
        del inside[odd]
        print(f"left out, no name that a campaign gives: {odd}")
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

    Everything is checked before the first byte is written. Checkpoints of seed 0 up to 6 MB go
    among the shipped ones, others to the data folder. Where a row is here already, it stays; how
    many of those left out say another number is printed.
    """
    source, results = pathlib.Path(source), pathlib.Path(results)
    if not source.is_dir():
        raise ValueError(f"there is no folder {source}; name the folder that a campaign left")
    aside = pathlib.Path(aside or env.data_folder() / "checkpoints")
    with tempfile.TemporaryDirectory() as made:
        if (source / "campaign.parts.json").is_file():
            parts.unpack(source, made, "campaign", CAMPAIGN_FILE)
            source = pathlib.Path(made)
        elif not any(next(source.glob(kind), None) for kind in (*LEFT, "*.safetensors")):
            raise ValueError(f"{source} holds no campaign; name the folder that a campaign left")
        rows = _new_rows(source, results)
        curves = [
            row
            for p in _files(source, "curves/*.csv")
            for row in store.lines(p, False, CURVE_COLUMNS)
        ]
        told = {p.name: mistakes.load_mistakes(p) for p in _files(source, "mistakes/*.npz")}
        nets = _new_checkpoints(source, pathlib.Path(shipped), aside)
        files = {
            name: results / f"{name}.csv" for name in dict.fromkeys(r["dataset"] for r in rows)
        }
        for file in files.values():
            store.can_append(file)
        store.can_append(results / "curves.csv", CURVE_COLUMNS)
        for place in [*nets, *(results / "mistakes" / name for name in told)]:
            store.can_write(place)
        added = 0
        for name, file in files.items():
            some = [row for row in rows if row["dataset"] == name]
            added += len(store.append(file, some, COLUMNS, row_key))
        if curves:
            store.append(results / "curves.csv", curves, CURVE_COLUMNS, curve_key)
        for name, said in told.items():
            if not (results / "mistakes" / name).exists():
                mistakes.save_mistakes(results / "mistakes" / name, said)
        for place, path in nets.items():
            store.write(place, path.read_bytes())
        return added, len(nets)


def _files(source, pattern):
    """The files of a campaign's folder, sorted; a link or an odd name is refused."""
    for path in sorted(source.glob(pattern)):
        plain_name("file", path.name)
        if path.is_symlink() or not path.is_file():
            raise ValueError(f"{path} is a link or no plain file; put the file itself there")
        yield path


def _new_rows(source, results):
    """The rows that `results` lack; prints how many of the others say another number."""
    fresh, differ = [], 0
    mine = {row_key(row): row for row in store.result_rows(results)}
    found = [row for p in _files(source, "rows/*.csv") for row in store.lines(p, False, COLUMNS)]
    for row in found:
        twin = mine.setdefault(row_key(row), row)
        if twin is row:
            fresh.append(row)
        else:
            differ += (twin["n"], twin["correct"]) != (row["n"], row["correct"])
    if differ:
        print(f"{differ} rows say another number than the same row in {results} and were left out")
    return fresh


def _new_checkpoints(source, shipped, aside):
    """{where it goes: checkpoint} of the last epochs that are new; each is read and its file's name
    must be that of the run in its header.
    """
    found = {}
    for path in _files(source, "*.safetensors"):
        if ".best." in path.name:
            continue
        _, head = store.load_checkpoint(path)
        check_run(head, path)
        run = "{network}-{method}-{recipe}-s{seed}".format(**head)
        named = path.stem.removeprefix(f"{head['dataset']}-")
        if named != run and not named.startswith(f"{run}-"):
            raise ValueError(f"{path} holds {run} by its header; name it so or leave it out")
        first = head.get("seed") == "0" and not head.get("settings")
        place = (shipped if first and path.stat().st_size <= SHIPPED_BYTES else aside) / path.name
        if not place.exists():
            found[place] = path
    return found
