"""The paper's tables cell by cell: its number, ours with the interval over seeds, and one mark."""

import html
import math
import re
from collections.abc import Callable, Sequence

from IPython.display import HTML, display

from ..study import paper
from ..study.paper_jobs import answer
from . import palette

MARKS = {
    "agrees": "=",
    "differs": "≠",
    "too few seeds": "…",
    "not run": "",
    "quoted": "”",
    "counted": "#",
}


def number(value: float, cell: dict) -> str:
    """A value as the paper prints that quantity."""
    if math.isnan(value):
        return ""
    printed = cell["printed"].rstrip("KM")
    unit = cell["printed"].removeprefix(printed)
    places = len(printed.partition(".")[2])
    return f"{value / {'': 1, 'K': 1e3, 'M': 1e6}[unit]:.{places}f}{unit}"


def _cell(c, a):
    """One cell: paper above, ours below, hover for what is behind it."""
    ours = a["mark"]
    if not math.isnan(a["ours"]):
        ours = f"{number(a['ours'], c)} "
        if not math.isnan(a["low"]):
            ours += f"[{number(a['low'], c)}, {number(a['high'], c)}] "
        ours += MARKS[a["mark"]]
    if a["profile"]:
        ours += f" <i>{a['profile']}</i>"
    return f'<td title="{html.escape(a["told"])}">{c["printed"]}<br><small>{ours}</small></td>'


def view(
    cells: Sequence[dict],
    answers: Sequence[dict],
    rows: Callable[[dict], str],
    columns: Callable[[dict], str],
    name: str,
) -> str:
    """An HTML table: rows and columns are functions from a cell to its heading."""
    heads = dict.fromkeys(map(columns, cells))
    shown = {(rows(c), columns(c)): _cell(c, a) for c, a in zip(cells, answers)}
    parts = [
        f'<table class="rsnl-table"><caption>{html.escape(name)}</caption><tr><td></td>',
        *(f'<th scope="col">{html.escape(head)}</th>' for head in heads),
        "</tr>",
    ]
    for side in dict.fromkeys(map(rows, cells)):
        parts.append(f'<tr><th scope="row">{html.escape(side)}</th>')
        parts += [shown.get((side, head), "<td></td>") for head in heads]
        parts.append("</tr>")
    return "".join(parts) + "</table>"


def row_of(cell: dict) -> str:
    """A cell's row in the paper's words, from its place; of Table II with the data set."""
    found = re.search(r"row (.+?), (?:column|accuracy)", cell["place"])
    row = found[1] if found else palette.style(cell["method"])["label"]
    if cell["cell"].startswith("II."):
        return f"{cell['dataset'].replace('cifar', 'CIFAR-')}, {row}"
    return row


def column_of(cell: dict) -> str:
    """A cell's column in the paper's words, from its place."""
    found = re.search(r"column (.+)|row Teacher, (accuracy)$", cell["place"])
    return found[1] or found[2] if found else f"{cell['quantity']}, SNR {cell['level']}"


def show(name: str, done: dict, speed: dict | None = None) -> list[dict]:
    """Display one of the paper's tables (paper.TABLES) with our answers, and print how many cells
    have which mark.
    """
    cells = paper.cells(name)
    answers = [answer(c, done, speed=speed) for c in cells]
    title = "The numbers in the text on Fig. 2(a)" if name == "2a" else f"Table {name}"
    display(HTML(view(cells, answers, row_of, column_of, title)))
    marks = [a["mark"] for a in answers]
    print(", ".join(f"{marks.count(m)} {m}" for m in MARKS if m in marks))
    return answers


def ledger(entries: dict) -> HTML:
    """paper.ledger() as an HTML table, a line an entry: where, what is wrong or open, what this
    project does.
    """
    heads = "".join(f'<th scope="col">{head}</th>' for head in ("where", "what", "here"))
    parts = [
        f"<details><summary>{len(entries)} entries</summary>",
        f'<table class="rsnl-table"><tr><td></td>{heads}</tr>',
    ]
    for n, entry in entries.items():
        said = (html.escape(entry[column]) for column in ("where", "problem", "choice"))
        cells = "".join(f"<td>{text}</td>" for text in said)
        parts.append(f"<tr><th scope='row'>{n}</th>{cells}</tr>")
    return HTML("".join(parts) + "</table></details>")
