"""Chapter 09: the second register teacher by teacher, in figures and a table; what training does to
its students.
"""

import html
import math
import statistics
from collections.abc import Sequence

from IPython.display import HTML
from matplotlib.figure import Figure
from pandas import DataFrame

from ..study import register
from . import palette
from .claim_figures import comparison, forest, word_look
from .paper_tables import cells_html, left

LIKE = {"supported": "a gain", "contradicted": "a loss", "open": "undecided"}
LIKE |= {"depends on C1": "undecided"}  # a word of the register looks like one of chapter 09's own
PANELS = {  # a quantity of study.course, and what is drawn hollow beside it: title and unit
    "accuracy": ("accuracy in white noise", "% right, 1 to 3 dB", ""),
    "square_S": ("squared length of the input gradient", "mean (Eq. 16's unit)", ""),
    "cosine": ("its direction: cosine to the teacher's", "mean cosine", "other_cosine"),
    "own_mistakes": ("mistakes that are the teacher's", "% of the mistakes", "other_mistakes"),
}


def line_words(line: dict) -> str:
    """A registered line in words: what is compared, and with which images and epochs."""
    told = [line["settings"].replace("=", " ")] if line["settings"] else []
    if line["measure"] == "mistakes":
        told = ["mistakes that are the own teacher's"]
        told += [f"minus the same at {line['minus'].replace('=', ' ')}"] if line["minus"] else []
    return ", ".join([comparison(line), *told]).replace("L_G", "$L_G$").replace("L_S", "$L_S$")


def with_dots(judged: Sequence[dict], found: dict[str, dict]) -> list[dict]:
    """Judged lines as `forest` draws them; one that is not judged yet with the mean over the
    teachers it has (`found`, {line: register.differences with fewer of them}).
    """
    shown = []
    for line in judged:
        d, word = line["d"], line["word"]
        if not d:
            d = [statistics.median(column) for column in zip(*found[line["line"]].values())]
            word = f"not run, {len(d)} of {register.FEWEST} teachers"
        line = line | {"effects": dict(enumerate(d)), "n": len(d), "word": word}
        mean = statistics.fmean(d) if d else math.nan
        shown.append(line | {"mean": mean, "matters": line["margin"]})
    return shown


def line_look(line: dict) -> dict:
    """Colour and mark of a line's word."""
    word = line["word"].partition(",")[0]
    return word_look(LIKE.get(word, word))


def register_forest(shown: Sequence[dict], title: str = "") -> Figure:
    """Lines of `with_dots` in rows: teachers as ticks, mean, interval and word where judged."""
    return forest(shown, title, label=line_words, look=line_look)


def _signed(values):
    return ", ".join(f"{v:+.2f}" for v in values)


def register_table(shown: Sequence[dict], found: dict[str, dict]) -> HTML:
    """The lines as a folded table: place, comparison, each weight's differences teacher by teacher,
    effect, margin, the chances beforehand, word.
    """
    heads = ("family", "place", "comparison", "by C1: teacher by teacher (points)", "effect")
    heads += ("margin", "chance to see 1 point", "chance to call none small", "word")
    chances = register.printed_chances()
    out = f'<table class="rsnl-table rsnl-ledger"><tr>{cells_html(heads, "col")}</tr>'
    for line in shown:
        weights = found[line["line"]].items()
        each = "; ".join(f"{w.replace('C1=', '') or '10'}: {_signed(d)}" for w, d in weights)
        if len(weights) == 1:
            each = each.partition(": ")[2]
        effect = f"{line['mean']:+.2f}"
        if line["d"]:
            effect += f" [{line['low']:+.2f}, {line['high']:+.2f}], p {line['p']:.3f}"
        told, small = chances[line["line"]]
        texts = (line["family"], line["place"], line_words(line).replace("$", ""), each, effect)
        texts += (f"{line['margin']:g}", f"{told:.2f}", f"{small:.2f}")
        edge = f"text-align:left;border-left:6px solid {line_look(line)['color']}"
        out += f'<tr title="{html.escape(line["says"])}">{cells_html(texts)}'
        out += f'<td style="{edge}">{html.escape(line["word"])}</td></tr>'
    fold = f"<details><summary>The {len(shown)} registered lines in numbers</summary>"
    return HTML(f"{fold}{left(out)}</table></details>")


def course_panels(table: DataFrame, title: str = "") -> Figure:
    """The rows of study.course at the recipe's weight against the epochs trained: a panel a
    quantity, a line a method through its mean, dots the teachers, hollow a teacher never met.
    """
    fig, axes = palette.panels(len(PANELS), 3.1, 3.3, title)
    table = table[table.C1.isin(["", "10"])]
    ticks = sorted(table.epochs.unique())
    for ax, (quantity, (name, unit, hollow)) in zip(axes, PANELS.items()):
        for method in palette.rank(table.method.unique()):
            mine = table[table.method == method]
            style = palette.style(method)
            own = mine.groupby("epochs")[quantity].mean()
            ax.plot(own.index, own, **style, ms=6)
            ax.plot(mine.epochs, mine[quantity], ls="", marker=".", ms=4, color=style["color"])
            if hollow:
                met = mine.groupby("epochs")[hollow].mean()
                other = style | dict(label="_", ls=":", mfc="white")
                ax.plot(met.index, met, **other, ms=6)
        ax.set(xscale="log", xticks=ticks, xticklabels=ticks, xlabel="epochs")
        ax.minorticks_off()
        ax.margins(x=0.15)
        ax.set_title(name, fontsize=9)
        ax.set_ylabel(unit, fontsize=8)
    palette.add_legend(fig, 6)
    return fig
