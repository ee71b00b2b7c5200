"""Checkpoints (safetensors with provenance) and result rows (CSV, appended, never edited)."""

import contextlib
import csv
import datetime
import hashlib
import io
import os
import pathlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save, save_file
from torch import Tensor, nn

from . import networks
from .env import AnyPath, commit, hardware

if TYPE_CHECKING:
    from pandas import DataFrame

# what tells a run from others, what tells a run on its own images, and what ends a row
RUN_COLUMNS = "dataset method network teacher recipe settings train_noise seed".split()
_OWN = [c for c in RUN_COLUMNS if c != "train_noise"]
_MADE = "hardware torch commit date".split()
COLUMNS = [*RUN_COLUMNS, *"perturbation level unit space draws n correct".split(), *_MADE]
MARGIN_COLUMNS = [*_OWN, *"image label f_S f_T lead slope_S slope_T gap gap_tau flip".split()]
MARGIN_COLUMNS += "estimate sound wrong f_S_noisy f_T_noisy lead_noisy snr hardware commit".split()
LADDER_COLUMNS = [*_OWN, *"space p box certificate kind image value flip seconds".split()]
LADDER_COLUMNS += ["hardware", "commit"]
CURVE_COLUMNS = [*_OWN, *"epoch quantity value hardware commit".split()]
SIMILARITY_COLUMNS = [*RUN_COLUMNS, *"reference images pairs n undefined rate rate_T".split()]
SIMILARITY_COLUMNS += "rate_S mag ang hardware commit".split()
SPEED_COLUMNS = [*"network batch ms repeats threads".split(), *_MADE]


def can_write(path: AnyPath) -> None:
    """Say now if `path` could not be written later: its nearest folder must be open to you."""
    place = pathlib.Path(path).absolute().parent
    while not place.exists():
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise OSError(f"{place} is no folder that you may write to; name another for {path}")


@contextlib.contextmanager
def _writing(path):
    """Makes the folder of a file that is written inside the block; says what fails, in words."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except (OSError, SafetensorError) as error:
        remedy = "name a folder that you may write to"
        raise OSError(f"{path} cannot be written ({error}); {remedy}") from error


def write(path: AnyPath, content: bytes | dict) -> None:
    """Write bytes, or a dict of tensors as safetensors, to `path` through a temporary file beside
    it: the old content stays whole until the new one is.
    """
    path = pathlib.Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with _writing(path):
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
            part.unlink(missing_ok=True)


def digest(*tensors: Tensor, words: str = "") -> str:
    """sha256 over words and the bytes of tensors; those contiguous on the CPU are not copied."""
    h = hashlib.sha256(words.encode())
    for t in tensors:
        h.update(t.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return h.hexdigest()


def provenance() -> dict:
    """Where and when something is measured, as the last columns of its row."""
    today = datetime.date.today().isoformat()
    made = {"hardware": hardware(), "torch": torch.__version__}
    return {**made, "commit": commit(), "date": today}


def save_checkpoint(path: AnyPath, net: nn.Module, half: bool = True, **header) -> None:
    """Write the network's tensors, in half precision by default, under `header`, as text."""
    tensors = {}
    for name, v in net.state_dict().items():
        v = v.detach().cpu()
        tensors[name] = (v.half() if half and v.is_floating_point() else v).contiguous()
    write(path, save(tensors, {k: str(v) for k, v in {**provenance(), **header}.items()}))


def load_checkpoint(path: AnyPath, net: nn.Module | None = None, device: str = "cpu") -> tuple:
    """(network in evaluation mode, header); `net` gets the weights, else the header's is built."""
    path = pathlib.Path(path)
    if not path.is_file():
        remedy = "train it with: python -m rsnl_lib train"
        raise FileNotFoundError(f"there is no checkpoint {path}; {remedy}")
    try:
        with safe_open(path, "pt") as f:
            header = f.metadata() or {}
            state = {k: f.get_tensor(k).float() for k in f.keys()}
    except (SafetensorError, OSError) as error:
        harm = f"{path} is damaged or no safetensors file ({error})"
        raise ValueError(f"{harm}; delete it and train or fetch it again") from None
    name, classes = header.get("network"), header.get("classes", "10")
    if net is None:
        if name is None:
            raise ValueError(f"{path} names no network in its header; pass the module as `net`")
        if not classes.isdecimal():
            raise ValueError(f"{path} says classes={classes!r}, no whole number; train it again")
        net = networks.build(name, int(classes))
    try:
        net.load_state_dict(state)
    except RuntimeError as error:
        odd = f"{path} does not fit {name or type(net).__name__}: {error}"
        raise ValueError(f"{odd}; name the checkpoint of this network") from None
    return net.to(device).eval(), header


def table(rows: Iterable[dict], columns: list = COLUMNS) -> bytes:
    """Rows as the bytes of a CSV file with its header."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def append(path: AnyPath, rows: Iterable[dict], columns: list = COLUMNS) -> None:
    """Append rows to a CSV file with a fixed header, in one write; a failed write is taken back."""
    path = pathlib.Path(path)
    rows = list(rows)
    known = ", ".join(columns)
    for row in rows:
        if odd := sorted(set(row) ^ set(columns)):
            raise ValueError(f"a row for {path.name} lacks or adds {odd}; its columns are {known}")
    content = table(rows, columns)
    if path.is_file() and path.stat().st_size:
        if next(_cells(path)) != list(columns):
            raise ValueError(f"{path} has other columns than {known}; name another file")
        if path.read_bytes()[-1:] != b"\n":
            raise ValueError(f"{path} ends in the middle of a row; delete that row")
        content = content[content.index(b"\n") + 1 :]
    # unbuffered: closing must not write what was taken back
    with _writing(path), open(path, "ab", buffering=0) as f:
        size = f.tell()
        try:
            if f.write(content) != len(content):
                raise OSError("it could not be written whole; is the disk full?")
        except OSError:
            os.truncate(path, size)
            raise


def _cells(path) -> Iterator[list]:
    """The rows of a CSV file as lists of text, its header first."""
    with open(path, newline="", errors="replace") as f:
        yield from csv.reader(f)


def lines(path: AnyPath, missing_ok: bool = False) -> list[dict]:
    """The rows of a CSV file as dicts of text; with `missing_ok` none where there is no file."""
    if missing_ok and not pathlib.Path(path).is_file():
        return []
    cells = _cells(path)
    header = next(cells, [])
    return [dict(zip(header, row)) for row in cells]


def result_rows(*folders: AnyPath) -> list[dict]:
    """All rows of the result files in `folders`, once; others, and rows cut off, are left out."""
    rows = {}
    for folder in folders:
        for path in sorted(pathlib.Path(folder).glob("*.csv")):
            found = _cells(path)
            if next(found, None) == COLUMNS:
                rows.update(dict.fromkeys(tuple(c) for c in found if len(c) == len(COLUMNS)))
    return [dict(zip(COLUMNS, row)) for row in rows]


def frame(*paths: AnyPath) -> "DataFrame":
    """The rows of CSV files as one pandas frame; a row that stands twice counts once."""
    import pandas as pd

    for path in paths:
        if not pathlib.Path(path).is_file():
            remedy = "make them with: python -m rsnl_lib train"
            raise FileNotFoundError(f"there are no results {path}; {remedy}")
        lengths = [len(row) for row in _cells(path)] or [0]
        for i, n in enumerate(lengths, 1):
            if n != lengths[0] or not n:
                odd = f"row {i} has {n} cells, its header {lengths[0]}"
                raise ValueError(
                    f"{path} is no table: {odd}; delete that row or make the file again"
                )
    numbers = MARGIN_COLUMNS[MARGIN_COLUMNS.index("f_S") : -2]  # they may be missing
    how = {"keep_default_na": False, "na_values": dict.fromkeys(numbers, [""])}
    how["dtype"] = dict.fromkeys(("settings", "teacher", "commit"), str)
    rows = pd.concat([pd.read_csv(p, **how) for p in paths], ignore_index=True)
    return rows.drop_duplicates(ignore_index=True)
