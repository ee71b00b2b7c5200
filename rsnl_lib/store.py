"""Checkpoints (safetensors with provenance) and result rows (CSV, appended, never edited)."""

import csv
import datetime
import hashlib
import io
import os
import pathlib

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save, save_file

from . import networks
from .env import commit, hardware

COLUMNS = (
    "dataset method network teacher recipe settings train_noise seed perturbation level unit space"
    " draws n correct hardware torch commit date"
).split()
MARGIN_COLUMNS = (
    "dataset method network teacher recipe settings seed image label f_S f_T lead slope_S slope_T"
    " gap gap_tau flip estimate sound wrong f_S_noisy f_T_noisy lead_noisy snr hardware commit"
).split()
LADDER_COLUMNS = (
    "dataset method network teacher recipe settings seed space p box certificate kind image value"
    " flip seconds hardware commit"
).split()
CURVE_COLUMNS = (
    "dataset method network teacher recipe settings seed epoch quantity value hardware commit"
).split()
SIMILARITY_COLUMNS = (
    "dataset method network teacher recipe settings train_noise seed reference images pairs n"
    " undefined rate rate_T rate_S mag ang hardware commit"
).split()
# what tells a run from others
RUN_COLUMNS = "dataset method network teacher recipe settings train_noise seed".split()
SPEED_COLUMNS = "network batch ms repeats threads hardware torch commit date".split()


def can_write(path) -> None:
    """Say now, in words, if `path` could not be written later: its nearest existing folder must be
    one that you may write to.
    """
    place = pathlib.Path(path).absolute().parent
    while not place.exists():
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise OSError(
            f"{path} cannot be written: {place} is no folder that you may write to; name another"
            " place"
        )


def write(path, content: bytes | dict) -> None:
    """Write bytes, or a dict of tensors as safetensors, to `path` through a temporary file beside
    it: the old content stays whole until the new one is.
    """
    path = pathlib.Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            if isinstance(content, dict):
                part.touch()
                rights = part.stat().st_mode
                # without a copy of them all in memory, but for its owner alone
                save_file(content, part)
                part.chmod(rights)
            else:
                part.write_bytes(content)
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    except (OSError, SafetensorError) as error:
        raise OSError(
            f"{path} cannot be written ({error}); name a folder that is one and that you may"
            " write to"
        ) from error


def digest(*tensors: torch.Tensor, words: str = "") -> str:
    """sha256 over words and the bytes of tensors, of which no copy is made where they lie
    contiguous on the CPU.
    """
    h = hashlib.sha256(words.encode())
    for t in tensors:
        h.update(t.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return h.hexdigest()


def provenance() -> dict:
    return {
        "hardware": hardware(),
        "torch": torch.__version__,
        "commit": commit(),
        "date": datetime.date.today().isoformat(),
    }


def save_checkpoint(path, net: torch.nn.Module, half: bool = True, **header) -> None:
    """Write the network's tensors, in half precision by default, under `header` (all values become
    text).
    """
    tensors = {k: v.detach().cpu() for k, v in net.state_dict().items()}
    if half:
        tensors = {k: v.half() if v.is_floating_point() else v for k, v in tensors.items()}
    told = {k: str(v) for k, v in {**provenance(), **header}.items()}
    write(path, save({k: v.contiguous() for k, v in tensors.items()}, told))


def load_checkpoint(path, net: torch.nn.Module | None = None, device: str = "cpu") -> tuple:
    """(network in evaluation mode, header) from a checkpoint; `net` receives the weights, else the
    header's network is built.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no checkpoint {path}; train it with: python -m rsnl_lib train --help"
        )
    try:
        with safe_open(path, "pt") as f:
            header = f.metadata() or {}
            state = {k: f.get_tensor(k).float() for k in f.keys()}
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{path} is damaged or no safetensors file ({error}); delete it and train or fetch it"
            " again"
        ) from None
    if net is None:
        if "network" not in header:
            raise ValueError(
                f"{path} names no network in its header; pass the module that its weights belong to"
                " as `net`"
            )
        if not header.get("classes", "10").isdecimal():
            raise ValueError(
                f"{path} says classes={header['classes']!r} in its header; it must be a whole"
                " number, train it again"
            )
        net = networks.build(header["network"], int(header.get("classes", 10)))
    try:
        net.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(
            f"{path} does not fit {header.get('network', type(net).__name__)}: {error}; name the"
            " checkpoint of this network, or pass its module as `net`"
        ) from None
    return net.to(device).eval(), header


def table(rows: list, columns: list = COLUMNS) -> bytes:
    """Rows (dicts) as the bytes of a CSV file with its header."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _cells(path):
    """The rows of a CSV file as lists of text, its header first."""
    with open(path, newline="", errors="replace") as f:
        yield from csv.reader(f)


def append(path, rows: list, columns: list = COLUMNS) -> None:
    """Append rows (dicts) to a CSV file with a fixed header, in one write; a failed write is taken
    back.
    """
    path = pathlib.Path(path)
    rows = list(rows)
    for row in rows:
        if odd := set(row) ^ set(columns):
            raise ValueError(
                f"a row for {path.name} lacks or adds {sorted(odd)}; its columns are"
                f" {', '.join(columns)}"
            )
    if path.is_file() and path.stat().st_size:
        if next(_cells(path)) != list(columns):
            raise ValueError(
                f"{path} has other columns than {', '.join(columns)}; name another file"
            )
        if path.read_bytes()[-1:] != b"\n":
            raise ValueError(
                f"{path} ends in the middle of a row; delete that row, or name another file"
            )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "ab", buffering=0)
    except OSError as error:
        raise OSError(
            f"{path} cannot be written ({error}); name a folder that is one and that you may"
            " write to"
        ) from error
    with file as f:  # unbuffered: closing must not write what was taken back
        size = f.tell()
        content = table(rows, columns)
        if size:
            content = content[content.index(b"\n") + 1 :]
        try:
            if f.write(content) != len(content):
                raise OSError(f"{path} could not be written whole; is the disk full?")
        except OSError:
            os.truncate(path, size)
            raise


def frame(*paths):
    """The rows of CSV files as one pandas frame; a row that stands twice counts once."""
    import pandas as pd

    missing = [str(p) for p in paths if not pathlib.Path(p).is_file()]
    if missing:
        raise FileNotFoundError(
            f"there are no results {missing[0]}; make them with: python -m rsnl_lib train --help"
        )
    for p in paths:
        lengths = [len(line) for line in _cells(p)] or [0]
        odd = next((i for i, n in enumerate(lengths) if n != lengths[0] or not n), None)
        if odd is not None:
            raise ValueError(
                f"{p} is no table of results: row {odd + 1} has {lengths[odd]} cells, its header"
                f" {lengths[0]}; delete that row, or make the file again"
            )
    numbers = MARGIN_COLUMNS[MARGIN_COLUMNS.index("f_S") : -2]  # they may be missing
    how = {
        "keep_default_na": False,
        "na_values": dict.fromkeys(numbers, [""]),
        "dtype": {"settings": str, "teacher": str, "commit": str},
    }
    rows = pd.concat([pd.read_csv(p, **how) for p in paths], ignore_index=True)
    return rows.drop_duplicates(ignore_index=True)


def lines(path, missing_ok: bool = False) -> list:
    """The rows of a CSV file as dicts of text; with `missing_ok` none where there is no file."""
    if missing_ok and not pathlib.Path(path).is_file():
        return []
    with open(path, newline="") as f:
        return list(csv.DictReader(f))


def result_rows(*folders) -> list:
    """All rows (dicts of text) of the result files in `folders`, each once; a file of another kind
    or cut off is left out.
    """
    rows = {}
    for folder in folders:
        for path in sorted(pathlib.Path(folder).glob("*.csv")):
            found = _cells(path)
            if next(found, None) == COLUMNS:
                rows.update(dict.fromkeys(tuple(c) for c in found if len(c) == len(COLUMNS)))
    return [dict(zip(COLUMNS, row)) for row in rows]
