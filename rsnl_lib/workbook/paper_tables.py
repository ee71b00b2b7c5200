"""The paper's tables cell by cell: its number, ours with the interval over seeds, and one mark."""

import html
import math
import re
from collections.abc import Iterable, Sequence

from IPython.display import HTML, display

from ..study import paper
from ..study.paper_jobs import answer
from ..study.results import Results
from .palette import style

MARKS = {"agrees": "=", "differs": "≠", "too few seeds": "…", "not run": ""}
MARKS |= {"quoted": "”", "counted": "#"}


def cells_html(texts: Iterable[str], scope: str = "") -> str:
    """The HTML of a row's cells: <td>, or with a scope ("col" or "row") <th>."""
    start, end = (f'<th scope="{scope}">', "</th>") if scope else ("<td>", "</td>")
    return "".join(f"{start}{html.escape(text)}{end}" for text in texts)


def print_form(value: float, cell: dict) -> str:
    """A value as the paper prints that quantity."""
    if math.isnan(value):
        return ""
    digits = cell["printed"].rstrip("KM")
    places = len(digits.partition(".")[2])
    return f"{value / paper.unit(cell['printed']):.{places}f}{cell['printed'].removeprefix(digits)}"


def _cell_html(c, a):
    """One cell: paper above, ours below, hover for what is behind it."""

    def form(value):
        return html.escape(print_form(value, c))

    ours = html.escape(a["mark"])
    if not math.isnan(a["ours"]):
        ours = f"{form(a['ours'])} "
        if not math.isnan(a["low"]):
            ours += f"[{form(a['low'])}, {form(a['high'])}] "
        ours += MARKS[a["mark"]]
    if a["profile"]:
        ours += f" <i>{html.escape(a['profile'])}</i>"
    printed = html.escape(c["printed"])
    return f'<td title="{html.escape(a["told"])}">{printed}<br><small>{ours}</small></td>'


def table_html(cells: Sequence[dict], answers: Sequence[dict], name: str) -> str:
    """An HTML table of cells and answers, in the paper's rows and columns."""
    heads = dict.fromkeys(map(column_of, cells))
    shown = {(row_of(c), column_of(c)): _cell_html(c, a) for c, a in zip(cells, answers)}
    out = f'<table class="rsnl-table"><caption>{html.escape(name)}</caption><tr><td></td>'
    out += cells_html(heads, "col") + "</tr>"
    for side in dict.fromkeys(map(row_of, cells)):
        mine = "".join(shown.get((side, head), "<td></td>") for head in heads)
        out += f"<tr>{cells_html([side], 'row')}{mine}</tr>"
    return out + "</table>"


def row_of(cell: dict) -> str:
    """A cell's row in the paper's words, from its place; of Table II with the data set."""
    found = re.search(r"row (.+?), (?:column|accuracy)", cell["place"])
    row = found[1] if found else style(cell["method"])["label"]
    if cell["cell"].startswith("II."):
        return f"{cell['dataset'].replace('cifar', 'CIFAR-')}, {row}"
    return row


def column_of(cell: dict) -> str:
    """A cell's column in the paper's words, from its place."""
    found = re.search(r"column (.+)|row Teacher, (accuracy)$", cell["place"])
    return found[1] or found[2] if found else f"{cell['quantity']}, SNR {cell['level']}"


def show_table(name: str, done: Results, speed: dict | None = None) -> list[dict]:
    """Display one of paper.TABLES, print how many cells have which mark; returns our answers."""
    cells = paper.cells(name)
    answers = [answer(c, done, speed=speed) for c in cells]
    title = "The numbers in the text on Fig. 2(a)" if name == "2a" else f"Table {name}"
    display(HTML(table_html(cells, answers, title)))
    marks = [a["mark"] for a in answers]
    print(", ".join(f"{marks.count(m)} {m}" for m in MARKS if m in marks))
    return answers


def ledger_table(entries: dict) -> HTML:
    """paper.ledger() as HTML: where, what is wrong or open, what this project does."""
    out = f"<details><summary>{len(entries)} entries</summary><table class='rsnl-table'>"
    out += f"<tr><td></td>{cells_html(('where', 'what', 'here'), 'col')}</tr>"
    for n, e in entries.items():
        said = cells_html((e["where"], e["problem"], e["choice"]))
        out += f"<tr>{cells_html([str(n)], 'row')}{said}</tr>"
    return HTML(out + "</table></details>")
