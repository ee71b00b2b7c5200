"""Files in parts small enough to travel, and put together again, verified: a data set, or what a
campaign made.
"""

import contextlib
import hashlib
import io
import json
import lzma
import os
import pathlib
import re
import tarfile
import tempfile

from .. import store
from ..checks import whole
from ..env import AnyPath
from ..files import mark_of, remove_dead
from ..rows import plain_name

PACK_BYTES = 2**28  # bytes of a pack, and of what it holds
PARTS = 1000  # of a pack
UNPACKING = ".unpacking-"  # how the folder begins in which files are laid before they move
# names inside a pack, which become files: letters, digits and -_.,+=@, none begins with a dot
FILE = r"\w[\w.,+=@-]*"
ANY_FILE = re.compile(rf"({FILE}/)*{FILE}", re.ASCII)
_ODD = "or damaged; pack its files again"


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
    plain_name("name", name)
    whole("size", size, 1)
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


def unpack(
    folder: AnyPath,
    target: AnyPath,
    name: str,
    known: re.Pattern = ANY_FILE,
    sums: dict | None = None,
) -> None:
    """Put folder/name.00, ... together and lay its files under `target`, all or none; everything
    is checked first. Names inside must match `known`; `sums` {name inside: MD5}: just these files.
    """
    files = _files(_tape(_whole(pathlib.Path(folder), name), name), name, known)
    if sums is not None:
        if lacking := sorted(sums.keys() - files):
            raise ValueError(f"the pack of {name} lacks {lacking[0]}; pack its files again")
        for inside, content in files.items():
            if hashlib.md5(content).hexdigest() != sums.get(inside):
                odd = f"the pack of {name} holds another {inside} than was published"
                raise ValueError(f"{odd}; pack the files of {name} again")
    _lay(files, pathlib.Path(target))


def _read(path, most=PACK_BYTES):
    """The bytes of a file, if it is one of at most `most`."""
    with open(path, "rb") as f:
        raw = f.read(most + 1)
    if len(raw) > most:
        raise ValueError(f"{path} is larger than {most:,} bytes; it is none of a pack")
    return raw


def _told(folder, name):
    """({part: its SHA-256} in their order, bytes and SHA-256 of the whole) as parts.json says."""
    path = folder / f"{name}.parts.json"
    if not path.is_file():
        raise ValueError(
            f"{folder} has no {name}.parts.json; name the folder with all parts of {name}"
        )
    try:
        told = json.loads(_read(path, 2**20))
        sums, size, sum_of_all = dict(told["parts"]), told["bytes"], told["sha256"]
        order = [f"{name}.{i:02}" for i in range(len(sums))]
        if type(size) is not int or not 0 < size <= PACK_BYTES or not 0 < len(sums) <= PARTS:
            raise ValueError(f"bytes={size!r:.40} in {len(sums)} parts")
        if odd := sums.keys() - order:
            raise ValueError(f"a part called {min(odd)!r:.80}")
        if not all(re.fullmatch("[0-9a-f]{64}", word) for word in (*sums.values(), sum_of_all)):
            raise ValueError("a sum is no SHA-256")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        why = f"{path} is damaged ({type(error).__name__}: {error})"
        raise ValueError(f"{why}; copy the parts again") from None
    return {part: sums[part] for part in order}, size, sum_of_all


def _whole(folder, name):
    """The bytes of all parts, checked against parts.json."""
    sums, size, sum_of_all = _told(folder, name)
    if missing := [part for part in sums if not (folder / part).is_file()]:
        raise ValueError(
            f"{folder} lacks {', '.join(missing)} of {len(sums)} parts; copy them there"
        )
    pieces = []
    for part in sums:
        left = size - sum(map(len, pieces))
        piece = _read(folder / part, left)
        if _sha256(piece) != sums[part]:
            raise ValueError(f"{folder / part} is damaged: its SHA-256 differs; copy it again")
        pieces.append(piece)
    raw = b"".join(pieces)
    if len(raw) != size or _sha256(raw) != sum_of_all:
        raise ValueError(f"the parts in {folder} do not make the whole; copy all of them again")
    return raw


def _tape(raw, name):
    """The tar inside a pack, xz-compressed or not; what grows beyond reason is no pack of ours."""
    if not raw.startswith(b"\xfd7zXZ\0"):
        return raw
    most = min(PACK_BYTES, 2**24 + 20 * len(raw))
    try:
        box = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=2**27)
        tape = box.decompress(raw, most + 1)
    except lzma.LZMAError as error:
        raise ValueError(f"the pack of {name} is no xz file ({error}) {_ODD}") from None
    if len(tape) > most:
        grows = f"the pack of {name} has {len(raw):,} bytes and holds more than {most:,}"
        raise ValueError(f"{grows}: none of ours; pack its files again")
    if not box.eof or box.unused_data:
        raise ValueError(f"the pack of {name} does not end where it should; pack its files again")
    return tape


def _files(tape, name, known):
    """{name inside: bytes} of a tar that holds nothing but plain files of `known` names."""
    files = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(tape), mode="r:") as tar:
            for member in tar:
                if not known.fullmatch(member.name):
                    raise ValueError(f"it holds {member.name!r:.80}, which is none of its files")
                if member.type != tarfile.REGTYPE or member.issparse():
                    raise ValueError(f"{member.name} is no plain file")
                if not 0 <= member.size <= len(tape):
                    raise ValueError(f"{member.name} says {member.size:.3g} bytes")
                if member.name in files:
                    raise ValueError(f"{member.name} stands twice in it")
                files[member.name] = content = tar.extractfile(member).read()
                if len(content) != member.size:
                    raise ValueError(f"{member.name} is cut off")
            rest = tape[tar.offset :]
    # a made-up header may raise any of these in tarfile
    except (
        tarfile.TarError,
        ArithmeticError,
        LookupError,
        RecursionError,
        OSError,
        TypeError,
    ) as e:
        raise ValueError(f"the pack of {name} is no tar ({type(e).__name__}: {e}) {_ODD}") from None
    except ValueError as error:
        raise ValueError(f"the pack of {name} is refused: {error}; pack its files again") from None
    if len(rest) < 2 * tarfile.BLOCKSIZE or rest.strip(b"\0"):
        raise ValueError(f"the pack of {name} does not end where it should; pack its files again")
    return files


def _lay(files, target):
    """Write {name: bytes} under `target`: into a folder of its own there, then moved; all or none.
    A file that is there with the same bytes stays as it is.
    """
    places = {inside: target / inside for inside in files}
    for place in places.values():
        store.can_write(place)
        if place.exists() and not place.is_file():
            raise OSError(f"{place} is no file; move it away, or name another folder")
    target.mkdir(parents=True, exist_ok=True)
    how = dict(dir=target, prefix=mark_of(UNPACKING), suffix=".part")
    with tempfile.TemporaryDirectory(**how) as made:
        new, old = pathlib.Path(made, "new"), pathlib.Path(made, "old")
        for inside, content in files.items():
            store.write(new / inside, content)
        with contextlib.ExitStack() as back:
            for inside, place in places.items():
                if place.is_file() and place.read_bytes() == files[inside]:
                    continue
                try:
                    place.parent.mkdir(parents=True, exist_ok=True)
                    if place.exists():
                        (old / inside).parent.mkdir(parents=True, exist_ok=True)
                        os.replace(place, old / inside)
                        back.callback(os.replace, old / inside, place)
                    else:
                        back.callback(place.unlink, missing_ok=True)
                    os.replace(new / inside, place)
                except OSError as error:
                    why = f"{place} cannot be written ({error}); nothing was changed"
                    raise OSError(f"{why}: move it away, or name another folder") from error
            back.pop_all()
    remove_dead(target, UNPACKING)  # not before: it may hold the file that was to be replaced
