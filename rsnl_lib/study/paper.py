"""Every number that arXiv 1807.11158 prints in Tables I to VII, and the five its text gives for
Fig. 2(a), keyed like our rows.

Nothing is read off a picture. `data/paper.csv` holds the numbers, `data/ledger.csv` what
contradicts itself or stays open in the paper and what this project does about it; data/README.md
explains their columns.
"""

import csv

from ..checks import finite, one_of
from ..env import ROOT

FOLDER = ROOT / "data"
TABLES = ("I", "II", "III", "IV", "V", "VI", "VII", "2a")  # 2a: the text on Fig. 2(a), Sec. V-B
DATASETS = ("cifar10", "cifar100", "mnist", "usps")
KINDS = ("measured", "counted", "timed", "quoted")
KEY = ("dataset", "method", "network", "train_noise", "perturbation", "level", "unit")
COLUMNS = (
    *("cell", "place", *KEY),
    *("quantity", "value", "printed", "printed_unit", "bold", "kind", "ledger"),
)
LEDGER_COLUMNS = ("entry", "where", "problem", "choice")
NEIGHBOUR_COLUMNS = tuple("place method teacher network dataset perturbation value read_at".split())


def _read(name, columns, count, convert):
    """The `count` rows (dicts) of data/`name`, each through `convert`; an error that names file,
    row and remedy if it is not whole.
    """
    path = FOLDER / name
    remedy = f"bring it back with: git restore data/{name}"
    if not path.is_file() and not (ROOT / "data" / "claims").is_dir():
        raise FileNotFoundError(
            f"there is no {path}: the numbers lie in a checkout of the workbook; stand in one, or"
            " name it in RSNL_ROOT"
        )
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}, it belongs to the project; {remedy}")
    try:
        text = path.read_bytes().decode()
        header, *rows = [*csv.reader(text.splitlines(), strict=True)] or [[]]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is damaged ({error}); {remedy}") from None
    if header != list(columns):
        raise ValueError(f"{path} is damaged: its columns are not {', '.join(columns)}; {remedy}")
    if len(rows) != count or not text.endswith("\n"):
        raise ValueError(
            f"{path} is damaged: it has {len(rows)} rows, the last maybe cut, and not {count} whole"
            f" ones; {remedy}"
        )
    made = []
    for i, row in enumerate(rows, 2):
        try:
            made.append(convert(dict(zip(columns, row, strict=True))))
        except ValueError as error:
            raise ValueError(f"{path} is damaged in line {i} ({error}); {remedy}") from None
    return made


def _number(text):
    return int(text) if text.isdecimal() else finite("number", float(text))


def _cell(row):
    one_of("dataset", row["dataset"], DATASETS)
    one_of("kind", row["kind"], KINDS)
    one_of("bold", row["bold"], "01")
    return {
        **row,
        "level": _number(row["level"]) if row["level"] else None,
        "value": float(_number(row["value"])),
        "bold": row["bold"] == "1",
        "ledger": [int(n) for n in row["ledger"].split()],
    }


def unit(printed: str) -> float:
    """What a printed count is in: 1000 for "361K"."""
    return {"K": 1e3, "M": 1e6}.get(printed[-1], 1)


def table_of(cell: dict) -> str:
    """The one of TABLES that a cell stands in."""
    return cell["cell"].split(".")[0].removeprefix("fig")


def cells(table: str | None = None, dataset: str | None = None) -> list:
    """The printed cells as dicts with the keys COLUMNS, in the paper's order; of one of TABLES, of
    one of DATASETS, or all 189.

    value: a float in % (accuracy 0 to 100, error), in points (drop), a plain number (layers,
    weights, multiplications of one image) or a ratio to the teacher (speed-up, compression);
    printed: the same as it stands there. level: a number, None for a count. bold: True or False.
    ledger: the entries of `ledger()` that touch this cell, a list of ints. kind: "measured" (a
    network must be trained for it), "counted" (follows from its layers), "timed", or "quoted" by
    the paper from others. Raises ValueError for an unknown table or data set and for a damaged
    file, FileNotFoundError for a missing one.
    """
    if table is not None:
        one_of("table", table, TABLES)
    if dataset is not None:
        one_of("dataset", dataset, DATASETS)
    return [
        c
        for c in _read("paper.csv", COLUMNS, 189, _cell)
        if table in (None, table_of(c)) and dataset in (None, c["dataset"])
    ]


def ledger() -> dict:
    """{entry 1 to 38: {"where": place in the paper, "problem": ..., "choice": what this project
    does}}; errors as `cells` has them.
    """
    rows = _read("ledger.csv", LEDGER_COLUMNS, 38, lambda row: {**row, "entry": int(row["entry"])})
    return {row.pop("entry"): row for row in rows}


def neighbours() -> list:
    """Accuracies (%) that the papers of ARD and BSS, and reruns of their code, print for CIFAR-10,
    as dicts with the keys NEIGHBOUR_COLUMNS.

    perturbation: "clean", or "pgd" of L-inf 8/255; read_at: where the number was read, for none was
    read in the paper itself.
    """

    def convert(row):
        return {**row, "value": float(_number(row["value"]))}

    return _read("neighbour_cells.csv", NEIGHBOUR_COLUMNS, 33, convert)


def key(cell: dict) -> tuple:
    """(dataset, method, network, train_noise, perturbation, level, unit): the columns KEY of the
    result rows that answer a measured cell.

    Besides `evaluate.levels` a perturbation may be "usps" or "mnist" (unit "test"): the test images
    of a data set that the network was not trained on; or "class" (unit "label"): the clean test
    images of the CIFAR-10 label `level`, 0 to 9. Several cells have one key where the paper prints
    a number again. No row answers a cell that is counted, timed or quoted.
    """
    return tuple(cell[name] for name in KEY)


def as_printed(cell: dict, share: float, clean: float | None = None) -> float:
    """Our share of correct answers, 0 to 1, as the cell's quantity: accuracy in %, error in %, or
    drop in points.

    A drop also needs `clean`, the same network's share on clean images; it is negative where noise
    helps. The other quantities ignore `clean`. Raises ValueError for a share outside 0 to 1, a drop
    without `clean`, or a cell that is no share.
    """
    quantity = one_of("quantity", cell["quantity"], ("accuracy", "error", "drop"))
    if quantity == "drop" and clean is None:
        raise ValueError(
            f"{cell['cell']} is a drop; give the share of correct answers on clean images as"
            " `clean`"
        )
    asked = {"share": share, "clean": clean} if quantity == "drop" else {"share": share}
    for name, value in asked.items():
        if not 0 <= finite(name, value) <= 1:
            raise ValueError(
                f"{name}={value!r} must lie between 0 and 1: correct answers over images"
            )
    if quantity == "drop":
        return 100 * float(clean - share)
    return 100 * float(share if quantity == "accuracy" else 1 - share)
