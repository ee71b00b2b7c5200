"""Damaged bytes, cells, names and numbers for fuzz_readers.py, and how an edit is applied."""

import csv
import functools
import io
import lzma

from hypothesis import strategies as st

from rsnl_lib import store

OUTSIDE = "@OUTSIDE@"  # stands for a folder that nothing may be written to
NUMBERS = "0 -0 1 -1 -5 900 1.5 1e9 1e400 nan inf -inf 0x10 1_000 ١ ² 1000000000".split()
NUMBERS += ["9" * 30, "9" * 5000, "2025-1", " 1", "1 ", ""]
NAMES = "../x ../../x ../../../x . .. / a/b a\\b .x x~ curves mistakes attacks digits mnist".split()
NAMES += [f"{OUTSIDE}/x", "x" * 300, "CON", "C:x", "-x", "a b", "é", "x\u202ey", "\x00", "\n", "\r"]
WORDS = [
    "<img src=x onerror=alert(1)>",
    "=1+1",
    '"',
    "'",
    ",",
    ",,",
    "\ufeff",
    "None",
    "True",
    "{}",
]
TEXTS = st.sampled_from([*NUMBERS, *NAMES, *WORDS]) | st.text(max_size=6)
RAW = st.sampled_from([t.encode() for t in (*NUMBERS, *NAMES, *WORDS)] + [b"\xff\xfe", b"\xe9"])
RAW |= st.binary(max_size=8)
# (where, in thousandths of the file; how many bytes go; what comes)
EDITS = st.lists(
    st.tuples(st.integers(0, 1000), st.sampled_from([0, 1, 2, 4, 8, 100, 10**9]), RAW),
    min_size=1,
    max_size=3,
)
CELLS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 19), TEXTS), min_size=1, max_size=3)
NAMED = st.tuples(st.integers(1, 4), st.integers(0, 2), st.sampled_from(NAMES)).map(lambda c: [c])
TABLE = st.tuples(st.just("cells"), CELLS | NAMED) | st.tuples(st.just("bytes"), EDITS)
SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | TEXTS
JSON = st.recursive(
    SCALARS, lambda v: st.lists(v, max_size=2) | st.dictionaries(TEXTS, v, max_size=2), max_leaves=3
)


def edited(raw: bytes, edits) -> bytes:
    for where, gone, come in edits:
        at = len(raw) * where // 1000
        raw = raw[:at] + come + raw[at + gone :]
    return raw


@functools.cache
def head(path, lines=5) -> bytes:
    """The first lines of a CSV file, those that lie packed beside it first."""
    rows = store.lines(path)[: lines - 1]
    return store.table(rows, list(rows[0]))


@functools.cache
def good_row(path) -> dict:
    return next(csv.DictReader(io.StringIO(head(path).decode())))


def table(path, how, edits) -> bytes:
    """The first five lines of a shipped CSV file, edited by bytes or by cells (row, column)."""
    raw = head(path)
    if how == "bytes":
        return edited(raw, edits)
    rows = list(csv.reader(io.StringIO(raw.decode())))
    for i, j, text in edits:
        rows[i][j : j + 1] = [text]  # beyond the last one it is one more
    made = io.StringIO(newline="")
    csv.writer(made, lineterminator="\n").writerows(rows)
    return made.getvalue().encode(errors="surrogatepass")


def plain(path, how, edits) -> dict:
    """`table` as {name: bytes}."""
    return {path.name: table(path, how, edits)}


def packed(path, how, edits) -> dict:
    """The same with its rows packed beside it; an edit by bytes is one of the archive."""
    whole = ("bytes", []) if how == "bytes" else (how, edits)
    archive = edited(lzma.compress(table(path, *whole)), edits if how == "bytes" else [])
    return {path.name: head(path).split(b"\n")[0] + b"\n", f"{path.name}.xz": archive}


def lay(folder, files) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
