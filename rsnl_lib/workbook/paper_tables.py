"""The paper's tables cell by cell: its number, ours with the interval over seeds, and one mark."""

import html
import math
import re
from collections.abc import Iterable, Sequence

from IPython.display import HTML, display

from ..study import cost, paper, paper_jobs
from ..study.results import Results
from .palette import style

MARKS = {"agrees": "=", "differs": "≠", "no answer": "?", "too few seeds": "…"}
MARKS |= {"timed": "#", "quoted": "”", "not run": "not run"}
LEGEND = {  # what a mark says
    "agrees": "the printed number is in the interval of one more run, or is the count",
    "differs": "the printed number is outside, or is not the count",
    "no answer": "the interval holds every method's printed number: too wide to answer",
    "too few seeds": "fewer runs than an interval needs",
    "timed": "ours, without a verdict: another machine than the paper's",
    "quoted": "quoted by the paper from others",
    "not run": "no network of ours yet",
}


def cells_html(texts: Iterable[str], scope: str = "") -> str:
    """The HTML of a row's cells: <td>, or with a scope ("col" or "row") <th>."""
    start, end = (f'<th scope="{scope}">', "</th>") if scope else ("<td>", "</td>")
    return "".join(f"{start}{html.escape(text)}{end}" for text in texts)


def left(table: str) -> str:
    """A table's HTML with its text set to the left and top, where JupyterLab would not."""
    table = table.replace("<th ", '<th style="text-align:left;vertical-align:top" ')
    return table.replace("<td>", '<td style="text-align:left;vertical-align:top">')


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

    ours = ""
    if not math.isnan(a["ours"]):
        ours = f"{form(a['ours'])} "
        if not math.isnan(a["low"]):
            ours += f"[{form(a['low'])}, {form(a['high'])}] "
    ours += html.escape(MARKS.get(a["mark"], a["mark"]))
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


def named(mark: str) -> str:
    """A mark's word with its sign."""
    return mark if MARKS[mark] == mark else f"{mark} ({MARKS[mark]})"


def legend_html(marks: Iterable[str]) -> str:
    """What the marks beside a table's numbers say, those alone that stand in it."""
    said = [f"<b>{MARKS[m]}</b> {html.escape(LEGEND[m])}" for m in MARKS if m in set(marks)]
    return f"<p><small>Printed above, ours below. {'; '.join(said)}.</small></p>"


def lacking_line(title: str, cells: Sequence[dict], done: Results) -> str:
    """What a table without rows lacks, in one line: networks, and their time as multiplications
    reckon it (study.cost); `rsnl reproduce --missing` knows a machine's own.
    """
    jobs = paper_jobs.cell_jobs(cells, done)
    hours = sum(cost.seconds(job, {}) for job in jobs) / 3600
    numbers = sum(c["kind"] == "measured" for c in cells)
    lacks = f"{title}: none of {numbers} numbers has rows; lacking are {len(jobs)} networks"
    return f"{lacks}, about {hours:.0f} hours of one core"


def show_table(name: str, done: Results, speed: dict | None = None) -> list[dict]:
    """Display one of paper.TABLES with its legend, print how many cells have which mark; a table
    without rows is one line. Returns our answers.
    """
    cells = paper.cells(name)
    answers = [paper_jobs.answer(c, done, speed=speed) for c in cells]
    title = "The numbers in the text on Fig. 2(a)" if name == "2a" else f"Table {name}"
    marks = [a["mark"] for a in answers]
    if set(marks) <= {"not run", "quoted"}:
        print(lacking_line(title, cells, done))
        return answers
    display(HTML(table_html(cells, answers, title) + legend_html(marks)))
    print(", ".join(f"{marks.count(m)} {named(m)}" for m in MARKS if m in marks))
    return answers


def ledger_table(entries: dict, groups: dict, told: dict | None = None) -> HTML:
    """paper.ledger() as HTML, {heading: entry numbers} one group after another: what is wrong or
    open, what this project does, or where a chapter says so (`told`: {entry: "chapter 05"}).
    """
    out = "<table class='rsnl-table'><tr><td></td>"
    out += cells_html(("where", "in the paper", "here"), "col") + "</tr>"
    for heading, numbers in groups.items():
        out += f"<tr><th colspan='4' scope='colgroup'>{html.escape(heading)}</th></tr>"
        for n in numbers:
            e = entries[n]
            place = (told or {}).get(n)
            said = (e["where"], e["problem"], f"See {place}." if place else e["choice"])
            out += f"<tr>{cells_html([str(n)], 'row')}{cells_html(said)}</tr>"
    return HTML(left(out) + "</table>")
