"""Every number that arXiv 1807.11158 prints in Tables I to VII and in its text on Fig. 2(a).

Nothing is read off a picture. `data/paper.csv` holds the numbers, `data/ledger.csv` what
contradicts itself or stays open in the paper; data/README.md explains their columns.
"""

import csv
from collections.abc import Callable

from ..checks import finite, one_of
from ..env import ROOT

DATA = ROOT / "data"
TABLES = ("I", "II", "III", "IV", "V", "VI", "VII", "2a")  # 2a: the text on Fig. 2(a), Sec. V-B
PAPER_SETS = ("cifar10", "cifar100", "mnist", "usps")
CELL_KINDS = ("measured", "counted", "timed", "quoted")
KEY = ("dataset", "method", "network", "train_noise", "perturbation", "level", "unit")
CELL_COLUMNS = ["cell", "place", *KEY]
CELL_COLUMNS += "quantity value printed printed_unit bold kind ledger".split()
LEDGER_COLUMNS = ["entry", "where", "problem", "choice"]
NEIGHBOUR_COLUMNS = "place method teacher network dataset perturbation value read_at".split()


def _read(name: str, columns: list[str], count: int, convert: Callable) -> list:
    """The `count` rows of data/`name` through `convert`; an error tells file, line and remedy."""
    path = DATA / name
    remedy = f"bring it back with: git restore data/{name}"
    if not path.is_file():
        if not (ROOT / "data" / "claims").is_dir():
            remedy = "stand in a checkout of the workbook, or name it in RSNL_ROOT"
        raise FileNotFoundError(f"there is no {path}; {remedy}")
    where = ""
    made = []
    try:
        text = path.read_bytes().decode()
        header, *rows = csv.reader(text.splitlines(), strict=True)
        if header != columns:
            raise ValueError(f"its columns are not {', '.join(columns)}")
        if len(rows) != count or not text.endswith("\n"):
            raise ValueError(f"it has {len(rows)} rows, maybe cut, and not {count} whole ones")
        for i, row in enumerate(rows, 2):
            where = f" in line {i}"
            made.append(convert(dict(zip(columns, row, strict=True))))
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{path} is damaged{where} ({error}); {remedy}") from None
    return made


def _number(text):
    return int(text) if text.isdecimal() else finite("number", float(text))


def _convert(row):
    one_of("dataset", row["dataset"], PAPER_SETS)
    one_of("kind", row["kind"], CELL_KINDS)
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


def cells(table: str | None = None, dataset: str | None = None) -> list[dict]:
    """The printed cells (CELL_COLUMNS) in the paper's order, of a table or data set, or all 189.

    value: in % (accuracy, error), points (drop), a plain number (layers, weights, multiplications
    of one image) or a ratio to the teacher (speed-up, compression). level: None for a count. kind:
    "measured" (needs a trained network), "counted" (from its layers), "timed" or "quoted".
    """
    if table is not None:
        one_of("table", table, TABLES)
    if dataset is not None:
        one_of("dataset", dataset, PAPER_SETS)
    return [
        c
        for c in _read("paper.csv", CELL_COLUMNS, 189, _convert)
        if table in (None, table_of(c)) and dataset in (None, c["dataset"])
    ]


def ledger() -> dict[int, dict]:
    """{entry 1 to 38: {"where" in the paper, "problem", "choice" of this project}}."""
    return dict(_read("ledger.csv", LEDGER_COLUMNS, 38, lambda row: (int(row.pop("entry")), row)))


def neighbours() -> list[dict]:
    """Accuracies (%) that the papers of ARD and BSS, and reruns of their code, print for CIFAR-10,
    clean or under "pgd" of L-inf 8/255; none was read in the paper itself, but at `read_at`.
    """
    rows = _read("neighbour_cells.csv", NEIGHBOUR_COLUMNS, 33, dict)
    return [{**row, "value": float(_number(row["value"]))} for row in rows]


def key(cell: dict) -> tuple:
    """The columns KEY of the result rows that answer a measured cell. A perturbation may also be
    "usps" or "mnist" (unit "test"), the test images of another data set, or "class" (unit "label"),
    the clean test images of the CIFAR-10 label `level`, 0 to 9.
    """
    return tuple(cell[name] for name in KEY)


def as_printed(cell: dict, share: float, clean: float | None = None) -> float:
    """Our share of correct answers, 0 to 1, as the cell's quantity: accuracy or error in %, or drop
    in points from `clean`, the same network's share on clean images; negative where noise helps.
    """
    quantity = one_of("quantity", cell["quantity"], ("accuracy", "error", "drop"))
    clean = clean if quantity == "drop" else 0
    if clean is None:
        raise ValueError(
            f"{cell['cell']} is a drop; give the share of correct answers on clean images as"
            " `clean`"
        )
    for name, value in (("share", share), ("clean", clean)):
        if not 0 <= finite(name, value) <= 1:
            raise ValueError(f"{name}={value!r} must lie between 0 and 1: a share of the images")
    ours = {"accuracy": share, "error": 1 - share, "drop": clean - share}
    return 100 * float(ours[quantity])
