"""The paper's tables cell by cell: its number, ours with the interval over seeds, and one mark."""

import html
import math
import re

from . import claims, figures, networks, paper
from .reproduce import answers, asked, enough

MARKS = {
    "agrees": "=",
    "differs": "≠",
    "too few seeds": "…",
    "not run": "",
    "quoted": "”",
    "counted": "#",
}


def answer(cell, done, recipe="short", speed=None):
    """What we have on one cell: {mark, ours, low, high, seeds, profile, told}; ours and the
    interval in the paper's unit, `told` the words behind it.

    profile: "short" for rows by our recipe, "full" for the paper's own, "" for what needs no
    training; a smoke run leaves no rows.

    The interval is where one more run would fall in 95 of 100 cases (mean ± t s sqrt(1 + 1/n) over
    seeds): the paper's number is one run too, so inside it *agrees*, outside it *differs*. Below
    three seeds nothing is judged. `speed`: {network: ms} for speed-ups.
    """
    out = dict(
        mark="not run",
        ours=math.nan,
        low=math.nan,
        high=math.nan,
        seeds=[],
        profile="",
        told=f"{cell['place']}: not run; python -m rsnl_lib reproduce --missing tells its cost",
    )
    if cell["kind"] == "quoted":
        return out | dict(mark="quoted", told=f"{cell['place']}: quoted by the paper from others")
    if cell["kind"] == "counted":
        ours = counted(cell)
        same = abs(ours - cell["value"]) <= rounding(cell["printed"]) / 2
        return out | dict(
            mark="agrees" if same else "differs",
            ours=ours,
            seeds=[0],
            told=f"{cell['place']}: counted from the layers of {cell['network']}",
        )
    if cell["kind"] == "timed":
        if not speed or cell["network"] not in speed:
            return out
        return out | dict(
            mark="counted",
            ours=speed["cifar_teacher"] / speed[cell["network"]],
            seeds=[0],
            told=f"{cell['place']}: our milliseconds, another machine than theirs",
        )
    found = answers(cell, done, recipe)
    seeds = list(found)
    if not seeds:
        return out
    values, rows = [], []
    for mine in found.values():
        share = {
            level: int(mine[level]["correct"]) / int(mine[level]["n"]) for level in asked(cell)
        }
        level = paper.key(cell)[-3:]
        values.append(paper.as_printed(cell, share[level], share.get(("clean", 0, ""))))
        rows.append(mine[level])
    mean, reach = claims.one_more(values)
    judged = len(values) >= enough(cell, 3)
    told = (
        f"{cell['place']}: recipe {recipe}, {len(values)} seed{'s' * (len(values) > 1)}"
        f" ({', '.join(map(str, seeds))}), n {rows[0]['n']} each,"
        f" {', '.join(sorted({r['hardware'] for r in rows}))}, commit"
        f" {', '.join(sorted({r['commit'] for r in rows}))}"
    )
    return out | dict(
        mark=(
            "too few seeds"
            if not judged
            else "agrees"
            if abs(mean - cell["value"]) <= reach
            else "differs"
        ),
        ours=mean,
        low=mean - reach,
        high=mean + reach,
        seeds=seeds,
        profile={"paper": "full"}.get(recipe, recipe),
        told=told,
    )


def rounding(printed):
    """The width of what rounds to a printed number: 1000 for "361K", 0.1 for "1.6M" times a
    million, 0.01 for "90.25".
    """
    unit = {"K": 1e3, "M": 1e6}.get(printed[-1], 1)
    digits = printed.rstrip("KM")
    return unit * 10 ** -len(digits.partition(".")[2])


def counted(cell):
    """Layers, weights, multiplications, or compression against the teacher, from the network's own
    layers.
    """
    stem = cell["network"].split("_")[0]
    net = networks.build(cell["network"])
    weights, mults = networks.count(net, networks.SHAPES[stem])
    if cell["quantity"] == "compression":
        return networks.count(networks.build(f"{stem}_teacher"), networks.SHAPES[stem])[0] / weights
    layers = sum(isinstance(m, (networks.nn.Conv2d, networks.nn.Linear)) for m in net.modules())
    return {"layers": layers, "weights": weights, "multiplications": mults}[cell["quantity"]]


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
    row = found[1] if found else figures.style(cell["method"])["label"]
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
