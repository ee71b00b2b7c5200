"""Files in parts small enough to travel, and put together again, verified: a data set, or what a
campaign made.
"""

import hashlib
import json
import pathlib
import tarfile
import tempfile

from .. import store
from ..checks import whole


def pack(files: dict, folder, name: str, size: int = 34 * 2**20, compress: bool = True) -> list:
    """Write `files` ({name inside: path}) as folder/name.00, name.01, ... of at most `size` bytes,
    and name.parts.json with every SHA-256.

    One tar, xz-compressed or not. Returns the parts' paths; parts of an earlier, longer pack are
    removed.
    """
    folder = pathlib.Path(folder)
    whole("size", size, 1)
    for path in files.values():
        if not pathlib.Path(path).is_file():
            raise ValueError(f"{path} is missing and cannot be packed")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile() as tape:
        with tarfile.open(fileobj=tape, mode="w:xz" if compress else "w") as tar:
            for inside, path in files.items():
                tar.add(path, inside)
        length = tape.tell()
        sums = {}
        everything = hashlib.sha256()
        tape.seek(0)
        for i in range(-(-length // size)):
            piece = tape.read(size)
            store.write(folder / f"{name}.{i:02}", piece)
            sums[f"{name}.{i:02}"] = hashlib.sha256(piece).hexdigest()
            everything.update(piece)
    told = {"bytes": length, "sha256": everything.hexdigest(), "parts": sums}
    store.write(folder / f"{name}.parts.json", json.dumps(told, indent=1).encode())
    for old in folder.glob(f"{name}.[0-9][0-9]"):
        if old.name not in sums:
            old.unlink()
    return [folder / part for part in sums]


def unpack(folder, target, name: str) -> None:
    """Put folder/name.00, ... together and lay its files under `target`; every part is checked
    first, and none is laid if one is wrong.
    """
    folder, target = pathlib.Path(folder), pathlib.Path(target)
    try:
        told = json.loads((folder / f"{name}.parts.json").read_bytes())
        sums = dict(told["parts"])
        length = int(told["bytes"])
        all_of_it = str(told["sha256"])
    except OSError:
        raise ValueError(
            f"{folder} has no {name}.parts.json; name the folder that holds all parts of {name}"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{folder / name}.parts.json is damaged; copy the parts again") from None
    if missing := [part for part in sums if not (folder / part).is_file()]:
        raise ValueError(
            f"{folder} lacks {', '.join(missing)} of {len(sums)} parts of {name}; copy them there"
        )
    with tempfile.TemporaryFile() as tape:
        everything = hashlib.sha256()
        for part, known in sums.items():
            piece = (folder / part).read_bytes()
            if hashlib.sha256(piece).hexdigest() != known:
                raise ValueError(
                    f"{folder / part} is damaged: its SHA-256 is not the one in {name}.parts.json;"
                    " copy it again"
                )
            everything.update(piece)
            tape.write(piece)
        if tape.tell() != length or everything.hexdigest() != all_of_it:
            raise ValueError(
                f"the parts of {name} in {folder} do not make the whole; copy all of them again"
            )
        tape.seek(0)
        with tempfile.TemporaryDirectory() as made, tarfile.open(fileobj=tape) as tar:
            tar.extractall(made, filter="data")
            for path in sorted(p for p in pathlib.Path(made).rglob("*") if p.is_file()):
                store.write(target / path.relative_to(made), path.read_bytes())
