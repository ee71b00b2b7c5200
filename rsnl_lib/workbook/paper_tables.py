"""The paper's tables cell by cell: its number, ours with the interval over seeds, and one mark."""

import html
import math
import re

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


def number(value, cell):
    """A value as the paper prints that quantity."""
    if math.isnan(value):
        return ""
    unit = cell["printed"][-1]
    if unit in "KM":
        value /= {"K": 1e3, "M": 1e6}[unit]
    else:
        unit = ""
    places = len(cell["printed"].rstrip("KM").partition(".")[2])
    return f"{value:.{places}f}{unit}"


def view(cells, answers, rows, columns, name):
    """An HTML table: rows and columns are functions from a cell to its heading; paper above, ours
    below, hover for what is behind it.
    """
    heads, sides = dict.fromkeys(map(columns, cells)), dict.fromkeys(map(rows, cells))
    place = {(rows(c), columns(c)): (c, a) for c, a in zip(cells, answers)}
    parts = [
        f'<table class="rsnl-table"><caption>{html.escape(name)}</caption><tr><td></td>'
        + "".join(f'<th scope="col">{html.escape(h)}</th>' for h in heads)
        + "</tr>"
    ]
    for side in sides:
        parts.append(f'<tr><th scope="row">{html.escape(side)}</th>')
        for head in heads:
            if (side, head) not in place:
                parts.append("<td></td>")
                continue
            c, a = place[side, head]
            span = (
                "" if math.isnan(a["low"]) else f" [{number(a['low'], c)}, {number(a['high'], c)}]"
            )
            ours = (
                f"{number(a['ours'], c)}{span} {MARKS[a['mark']]}"
                if not math.isnan(a["ours"])
                else a["mark"]
            )
            kind = f" <i>{a['profile']}</i>" if a["profile"] else ""
            parts.append(
                f'<td title="{html.escape(a["told"])}">'
                f"{c['printed']}<br><small>{ours}{kind}</small></td>"
            )
        parts.append("</tr>")
    return "".join(parts) + "</table>"


def row_of(cell):
    """A cell's row in the paper's words, from its place; of Table II with the data set."""
    found = re.search(r"row (.+?), (?:column|accuracy)", cell["place"])
    row = found[1] if found else palette.style(cell["method"])["label"]
    return (
        f"{cell['dataset'].replace('cifar', 'CIFAR-')}, {row}"
        if cell["cell"].startswith("II.")
        else row
    )


def column_of(cell):
    found = re.search(r"column (.+)|row Teacher, (accuracy)$", cell["place"])
    return found[1] or found[2] if found else f"{cell['quantity']}, SNR {cell['level']}"


def show(name, done, speed=None):
    """Display one of the paper's tables (paper.TABLES) with our answers, and print how many cells
    have which mark.
    """
    from IPython.display import HTML, display

    cells = paper.cells(name)
    answers = [answer(c, done, speed=speed) for c in cells]
    display(
        HTML(
            view(
                cells,
                answers,
                row_of,
                column_of,
                f"Table {name}" if name != "2a" else "The numbers in the text on Fig. 2(a)",
            )
        )
    )
    marks = [a["mark"] for a in answers]
    print(", ".join(f"{marks.count(m)} {m}" for m in MARKS if m in marks))
    return answers


def ledger(entries):
    """paper.ledger() as an HTML table, a line an entry: where, what is wrong or open, what this
    project does.
    """
    from IPython.display import HTML

    lines = "".join(
        f"<tr><th scope='row'>{n}</th><td>{html.escape(e['where'])}</td>"
        f"<td>{html.escape(e['problem'])}</td><td>{html.escape(e['choice'])}</td></tr>"
        for n, e in entries.items()
    )
    return HTML(
        f"<details><summary>{len(entries)} entries</summary><table"
        ' class="rsnl-table"><tr><td></td><th scope="col">where</th><th scope="col">what</th><th'
        f' scope="col">here</th></tr>{lines}</table></details>'
    )
