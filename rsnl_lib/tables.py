"""Tables of rows: CSV files, appended by one process at a time, never edited; one reader, one
writer. Older rows may lie packed beside a file.
"""

import codecs
import csv
import errno
import io
import lzma
import os
import pathlib
import stat
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from .env import AnyPath
from .files import can_write, write, writing
from .rows import COLUMNS, MARGIN_COLUMNS, SCHEMAS, TAKEN, check_all

PACKED_MOST = 10**8  # bytes of the rows of a table that lie packed

if TYPE_CHECKING:
    from pandas import DataFrame


def table(rows: Iterable[dict], columns: list = COLUMNS) -> bytes:
    """Rows as the bytes of a CSV file with its header."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def hold(handle: io.IOBase, wait: bool = True) -> None:
    """Hold an open file for this process alone until it is closed (on Windows unguarded); without
    `wait` another holder is a BlockingIOError.
    """
    try:
        import fcntl
    except ImportError:
        return
    fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


def open_plain(path: AnyPath) -> io.FileIO:
    """The file `path`, made if need be, to append to, unbuffered: closing must not write what was
    taken back. A link, symbolic or hard, and what is no file are refused.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
    odd = f"{path} is a link or no plain file; name a file of one name"
    if os.path.islink(path):
        raise ValueError(odd)
    file = os.fdopen(os.open(path, flags, 0o666), "ab", buffering=0)
    told = os.fstat(file.fileno())
    if not stat.S_ISREG(told.st_mode) or told.st_nlink > 1:
        file.close()
        raise ValueError(odd)
    return file


def append(
    path: AnyPath,
    rows: Iterable[dict],
    columns: list = COLUMNS,
    key: Callable[[dict], tuple] | None = None,
) -> list[dict]:
    """Append rows to a CSV file with a fixed header, one process at a time, in one write that is
    taken back if it fails. With a `key` of rows, those whose key is there already are left out.
    Returns what was appended, as text.
    """
    path = pathlib.Path(path)
    rows = list(rows)
    known = ", ".join(columns)
    for i, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise ValueError(f"row {i} for {path.name} is {row!r}; give a dict of {known}")
        if odd := sorted(set(row) ^ set(columns)):
            raise ValueError(f"a row for {path.name} lacks or adds {odd}; its columns are {known}")
        rows[i - 1] = {c: "" if row[c] is None else str(row[c]) for c in columns}
    if list(columns) in SCHEMAS:
        check_all(rows, f"rows for {path}", 1, "make that row again")
    with writing(path), open_plain(path) as f:
        hold(f)
        if not os.path.samestat(os.fstat(f.fileno()), os.lstat(path)):
            raise ValueError(f"{path} was replaced just now; call again")
        size = os.fstat(f.fileno()).st_size
        old = lines(path, columns=columns)
        if key:
            there = set(map(key, old))
            rows = [row for row in rows if not (key(row) in there or there.add(key(row)))]
        content = table(rows, columns)
        if size:
            content = content[content.index(b"\n") + 1 :]
        try:
            if f.write(content) != len(content):
                raise OSError(errno.ENOSPC, "written in part")
        except OSError:
            os.truncate(path, size)
            raise
    return rows


def can_append(path: AnyPath, columns: list = COLUMNS) -> None:
    """Say now if rows of these columns could not be appended to `path` later."""
    can_write(path)
    if os.path.lexists(path):
        append(path, [], columns)


def _packed(path):
    """Where the older rows of a table may lie packed: beside it, under its name and .xz."""
    return path.with_name(f"{path.name}.xz")


def _content(path):
    """The bytes of a CSV file; rows that lie packed beside it stand first."""
    path = pathlib.Path(path)
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is no plain file; name a file of rows")
    raw, old = path.read_bytes(), _packed(path)
    if not old.is_file():
        return raw
    again = f"fetch {old} again, or delete it"
    reader = lzma.LZMADecompressor(lzma.FORMAT_XZ, 2**27)
    try:
        packed = reader.decompress(old.read_bytes(), PACKED_MOST)
    except (lzma.LZMAError, EOFError) as error:
        raise ValueError(f"{old} is damaged ({error}); {again}") from None
    if not reader.eof or reader.unused_data:
        raise ValueError(f"{old} is cut off, or holds more than {PACKED_MOST} bytes; {again}")
    header, _, rest = raw.removeprefix(codecs.BOM_UTF8).partition(b"\n")
    if header.rstrip() != packed.partition(b"\n")[0] and raw:
        raise ValueError(f"{old} has other columns than {path.name}; {again}")
    return packed + rest


def pack_rows(path: AnyPath) -> None:
    """Pack the rows of a CSV file into NAME.csv.xz beside it, which every reader reads first; only
    its header stays. For a file of the tree that has grown: nothing else writes to it meanwhile.
    """
    path = pathlib.Path(path)
    rows = list(_cells(path))
    if not rows:
        raise ValueError(f"{path} is empty; name a file of rows")
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    content = text.getvalue().encode()
    if len(content) > PACKED_MOST:
        raise ValueError(f"{path} holds more than {PACKED_MOST} bytes; split it")
    write(_packed(path), lzma.compress(content, preset=9 | lzma.PRESET_EXTREME))
    write(path, content[: content.index(b"\n") + 1])


def _cells(path) -> Iterator[list]:
    """The rows of a CSV file as lists of text, its header first, none of an empty file; one that
    is no whole table in UTF-8 (with or without byte-order mark) is refused with its row.
    """
    return _parsed(path, _content(path))


def _parsed(path, raw):
    """The rows that `_cells` gives, of these bytes of the file."""
    try:
        text = raw.decode("utf-8-sig")
        bad = raw.find(b"\0")
    except UnicodeDecodeError as error:
        bad = error.start
    if bad >= 0:
        where = f"row {raw[:bad].count(10) + 1} holds bytes that are no text in UTF-8"
        raise ValueError(f"{path} is no table: {where}; save it as UTF-8 or make the file again")
    if text and text[-1] not in "\r\n":
        raise ValueError(f"{path} ends in the middle of a row; delete that row, its last")
    remedy = "delete that row or make the file again"
    found = csv.reader(io.StringIO(text, newline=""), strict=True)
    header = None
    try:
        for i, row in enumerate(found, 1):
            header = header or row
            if len(row) != len(header) or not row:
                odd = f"row {i} has {len(row)} cells, its header {len(header)}"
                raise ValueError(f"{path} is no table: {odd}; {remedy}")
            if i > 1 and row == header:
                raise ValueError(f"{path} is no table: row {i} is its header again; {remedy}")
            yield row
    except csv.Error as error:
        odd = f"{error} in line {found.line_num}"
        raise ValueError(f"{path} is no table: {odd}; {remedy}") from None


def lines(path: AnyPath, missing_ok: bool = False, columns: list | None = None) -> list[dict]:
    """The rows of a CSV file as dicts of text; with `missing_ok` none where there is no file. Of a
    file with `columns` no others are taken; rows of known columns are checked.
    """
    if missing_ok and not os.path.lexists(path):
        return []
    cells = _cells(path)
    header = next(cells, columns or [])
    if columns and header != list(columns):
        known = ", ".join(columns)
        raise ValueError(f"{path} has other columns than {known}; name another file")
    return _below(path, header, cells)


def _below(path, header, cells):
    """The rows below a header as dicts; of known columns they are checked."""
    if len(set(header)) < len(header):
        raise ValueError(f"{path} has a column twice; make the file again")
    rows = [dict(zip(header, row)) for row in cells]
    if header in SCHEMAS:
        check_all(rows, path, 2, "delete that row or make the file again")
    return rows


def result_rows(*folders: AnyPath) -> list[dict]:
    """All rows of the result files in `folders`, once; a file of unknown columns is named and left
    out.
    """
    rows = {}
    for folder in folders:
        for path in sorted(pathlib.Path(folder).glob("*.csv")):
            cells = _cells(path)
            header = next(cells, COLUMNS)
            if header == COLUMNS:
                found = _below(path, header, cells)
                rows.update(dict.fromkeys(tuple(row.values()) for row in found))
            elif header not in SCHEMAS and path.stem not in TAKEN:
                print(f"left out: {path}, its columns are not {', '.join(COLUMNS)}")
    return [dict(zip(COLUMNS, row)) for row in rows]


def frame(*paths: AnyPath) -> "DataFrame":
    """The rows of CSV files as one pandas frame; a row that stands twice counts once."""
    import pandas as pd

    if not paths:
        raise ValueError("there are no files to read; name at least one")
    first, found = None, []
    for path in paths:
        if not os.path.lexists(path):
            remedy = "make them with: python -m rsnl_lib train"
            raise FileNotFoundError(f"there are no results {path}; {remedy}")
        found.append(_content(path))
        cells = _parsed(path, found[-1])
        header = next(cells, None)
        if header is None:
            raise ValueError(f"{path} is no table: it is empty; make the file again")
        if set(header) != set(first := first or header):
            raise ValueError(f"{path} has other columns than {paths[0]}; name another file")
        _below(path, header, cells)
    numbers = MARGIN_COLUMNS[MARGIN_COLUMNS.index("f_S") : -2]  # they may be missing
    how = {"keep_default_na": False, "na_values": dict.fromkeys(numbers, [""])}
    how["dtype"] = dict.fromkeys(("settings", "teacher", "commit"), str)
    how["encoding"] = "utf-8-sig"
    tables = [pd.read_csv(io.BytesIO(raw), **how) for raw in found]
    rows = pd.concat(tables, ignore_index=True)
    return rows.drop_duplicates(ignore_index=True)
