"""Files in parts small enough to travel, and put together again, verified: a data set, or what a
campaign made.
"""

import hashlib
import io
import json
import pathlib
import tarfile

from .. import store
from ..env import AnyPath


def _sha256(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def pack(
    files: dict, folder: AnyPath, name: str, size: int = 34 * 2**20, compress: bool = True
) -> list:
    """Write `files` ({name inside: path}) as one tar, xz-compressed or not, in folder/name.00,
    name.01, ... of at most `size` bytes, and name.parts.json with every SHA-256.

    Returns the parts' paths; parts of an earlier, longer pack are removed.
    """
    folder = pathlib.Path(folder)
    for path in files.values():
        if not pathlib.Path(path).is_file():
            raise ValueError(f"{path} is missing and cannot be packed")
    tape = io.BytesIO()
    with tarfile.open(fileobj=tape, mode="w:xz" if compress else "w") as tar:
        for inside, path in files.items():
            tar.add(path, inside)
    raw = tape.getvalue()
    sums = {}
    for i, start in enumerate(range(0, len(raw), size)):
        part, piece = f"{name}.{i:02}", raw[start : start + size]
        store.write(folder / part, piece)
        sums[part] = _sha256(piece)
    told = {"bytes": len(raw), "sha256": _sha256(raw), "parts": sums}
    store.write(folder / f"{name}.parts.json", json.dumps(told, indent=1).encode())
    for old in folder.glob(f"{name}.[0-9][0-9]"):
        if old.name not in sums:
            old.unlink()
    return [folder / part for part in sums]


def unpack(folder: AnyPath, target: AnyPath, name: str) -> None:
    """Put folder/name.00, ... together and lay its files under `target`; every part is checked
    first, and none is laid if one is wrong.
    """
    folder = pathlib.Path(folder)
    try:
        told = json.loads((folder / f"{name}.parts.json").read_bytes())
        sums, sum_of_all = dict(told["parts"]), told["sha256"]
    except OSError:
        raise ValueError(
            f"{folder} has no {name}.parts.json; name the folder with all parts of {name}"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{folder / name}.parts.json is damaged; copy the parts again") from None
    if missing := [part for part in sums if not (folder / part).is_file()]:
        raise ValueError(
            f"{folder} lacks {', '.join(missing)} of {len(sums)} parts; copy them there"
        )
    pieces = [(folder / part).read_bytes() for part in sums]
    for part, piece in zip(sums, pieces):
        if _sha256(piece) != sums[part]:
            raise ValueError(f"{folder / part} is damaged: its SHA-256 differs; copy it again")
    raw = b"".join(pieces)
    if _sha256(raw) != sum_of_all:
        raise ValueError(f"the parts in {folder} do not make the whole; copy all of them again")
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        tar.extractall(target, filter="data")
