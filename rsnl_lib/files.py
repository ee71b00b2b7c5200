"""Files that are written whole or not at all, and tensors kept by their digest."""

import contextlib
import errno
import glob
import hashlib
import os
import pathlib
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .env import AnyPath

FULL = "the disk is full, or a limit on file sizes is met; make room, or name another folder"


def can_write(path: AnyPath) -> None:
    """Say now if `path` could not be written later: its nearest folder must be open to you."""
    path = pathlib.Path(path).absolute()
    if path.is_dir():
        raise OSError(f"{path} is a folder; name a file")
    if path.exists() and not os.access(path, os.W_OK):
        raise OSError(f"{path} is a file that you may not write to; name another")
    place = path.parent
    while not place.exists():
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        if full(error):
            raise _full_disk(path, error) from error
        raise OSError(
            f"{place} is no folder that you may write to; name another for {path}"
        ) from None


def full(error: Exception) -> bool:
    """Does an error of the system, or of safetensors, say that no more fits on the disk?"""
    told = re.search(r"\(os error (\d+)\)", str(error))
    code = int(told[1]) if told else getattr(error, "errno", None)
    return code in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)


def _full_disk(path, error):
    cause = getattr(error, "strerror", None) or error
    return OSError(f"{path} could not be written whole: {FULL} ({cause})")


def in_words(error: OSError) -> str:
    """An error of the system as one line: the user's file, what is wrong, the remedy."""
    if error.errno is None:
        return str(error)  # our own words
    if full(error):
        return f"{error.filename or 'a file'} could not be written whole: {FULL}"
    remedy = "name a file or folder that is there and that you may read and write"
    return f"{error.filename or 'a file'}: {error.strerror}; {remedy}"


@contextlib.contextmanager
def writing(path: pathlib.Path) -> Iterator[None]:
    """Makes the folder of a file that is written inside the block; says what fails, in words."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except (OSError, SafetensorError) as error:
        if full(error):
            raise _full_disk(path, error) from error
        remedy = "name a folder that you may write to"
        raise OSError(f"{path} cannot be written ({error}); {remedy}") from error


def write(path: AnyPath, content: bytes | dict) -> None:
    """Write bytes, or a dict of tensors as safetensors, to `path` through a temporary folder beside
    it: the old content stays whole until the new one is. What killed writes to it left goes.
    """
    path = pathlib.Path(path)
    if not isinstance(content, (bytes, dict)):
        raise ValueError(f"{path} takes bytes or a dict of tensors, not {type(content).__name__}")
    with writing(path):
        remove_dead(path.parent, f".{path.name}.")
        folder = tempfile.mkdtemp(".part", mark_of(f".{path.name}."), path.parent)
        part = pathlib.Path(folder, "new")
        try:
            if isinstance(content, dict):
                part.touch()
                rights = part.stat().st_mode
                save_file(content, part)  # without a copy of them all, but for its owner alone
                part.chmod(rights)
            else:
                part.write_bytes(content)
            os.replace(part, path)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def mark_of(name: str) -> str:
    """How temporary folders of this process begin: with `name`, this machine, its own number."""
    return f"{name}{platform.node()[:20]}.{os.getpid()}."


def remove_dead(folder: pathlib.Path, name: str) -> None:
    """Remove from `folder` what processes of this machine that have ended left under `mark_of`."""
    mark = mark_of(name).removesuffix(f"{os.getpid()}.")
    for half in folder.glob(f"{glob.escape(mark)}*.part"):
        if _ended(half.name.removeprefix(mark).split(".")[0]):
            shutil.rmtree(half, ignore_errors=True)


def _ended(number: str) -> bool:
    """Is there no process of this number on this machine? False where the system does not tell."""
    if os.name != "posix" or not number.isdecimal():
        return False
    try:
        os.kill(int(number), 0)  # asks, and sends nothing
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


def keep(path: AnyPath, tensors: dict) -> None:
    """`write` tensors that can be computed again, with a digest by which `kept` knows damage."""
    write(path, {**tensors, "sha256": _digits(tensors)})


def _digits(tensors):
    """The digest of a dict of tensors as a tensor of bytes."""
    ordered = [tensors[name] for name in sorted(tensors)]
    return torch.tensor(list(bytes.fromhex(digest(*ordered))), dtype=torch.uint8)


def kept(
    path: AnyPath, shapes: dict, kinds: tuple, device: str | torch.device = "cpu"
) -> dict | None:
    """Finite tensors of these `shapes`, by name, of one of the dtypes `kinds`, that `keep` wrote (a
    first size None: any); None where there is no such file, and a damaged one is removed. Files of
    old have no digest.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        return None
    try:
        with safe_open(path, "pt") as f:
            held = {name: f.get_tensor(name) for name in f.keys()}
    except (SafetensorError, OSError):
        held = {}
    digits = held.pop("sha256", None)
    whole = digits is None or digits.tolist() == _digits(held).tolist()
    for name, (first, *rest) in shapes.items():
        t = held.get(name, torch.empty(0))
        whole &= t.dim() > 0 and len(t) == (len(t) if first is None else first) > 0
        whole &= list(t.shape[1:]) == rest and t.dtype in kinds and bool(t.isfinite().all())
    if not whole:
        path.unlink(missing_ok=True)
        return None
    return {name: held[name].to(device) for name in shapes}


def digest(*tensors: Tensor, words: str = "") -> str:
    """sha256 over words and the bytes of tensors; those contiguous on the CPU are not copied."""
    h = hashlib.sha256(words.encode())
    for t in tensors:
        h.update(t.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return h.hexdigest()
