"""Chapters 06 and 09: effects with their intervals, Fig. 2 as bands, the claims as a table."""

import html
import math
import textwrap
from collections.abc import Callable, Sequence

from IPython.display import HTML
from matplotlib.figure import Figure

from ..study import claims, jobs, paper
from ..study.results import Results
from . import palette
from .paper_tables import cells_html, left

LOOKS = {  # a word of claims.effect_word looks the same everywhere
    "a gain": dict(color="#0072B2", marker="o"),
    "no worse": dict(color="#0072B2", marker="s"),
    "a loss": dict(color="#D55E00", marker="X"),
    "too small to matter": dict(color="#000000", marker="d"),
    "undecided": dict(color="#767676", marker="D"),
    "not run": dict(color="#999999", marker="s"),
}


def word_look(word: str) -> dict:
    """Colour and mark of a word, with or without "within the margin"."""
    return LOOKS[word.partition(",")[0]]


NOISE_WORDS = {"gaussian": "white noise", "poisson": "Poisson noise", "occlusion": "squares"}
TESTED_ON = {"clean": "clean images", "usps": "USPS's digits", "mnist": "MNIST's digits"}


def comparison(claim: dict) -> str:
    """What a line compares, in words: "robust − KD, white noise, 1 to 3 dB"."""
    sides = []
    for side in "ab":
        kind, _, level = claim.get(f"train_noise_{side}", "").partition(" ")
        trained = f" (trained in {NOISE_WORDS[kind]}, {level})" if kind else ""
        sides.append(palette.style(claim[side])["label"].replace("$", "") + trained)
    where = TESTED_ON.get(claim["perturbation"]) or NOISE_WORDS[claim["perturbation"]]
    if claim["perturbation"] in NOISE_WORDS:
        ends = [f"{v:g}" for v in dict.fromkeys((claim["levels"][0], claim["levels"][-1]))]
        where += f", {' to '.join(ends)} {claim['unit']}"
    lost = ", points lost less" if claim.get("measure") == "drop" else ""
    return f"{' − '.join(sides)}, {where}{lost}"


def evidence(claim: dict, done: Results) -> str:
    """n, seeds, recipe, hardware and commits behind a line's effect, or what is lacking."""
    seeds = sorted(claim["effects"])
    if not seeds:
        return f"{claim['dataset']}, no seed run yet"
    found = [claims.side_job(claim, side, seed) for seed in seeds for side in "ab"]
    rows = [done.find(job)[claims.conditions(claim)[0]] for job in found]
    hardware, commits = (", ".join(sorted({r[k] for r in rows})) for k in ("hardware", "commit"))
    return (
        f"{claim['dataset']}, recipe {claim.get('recipe', 'short')}, seeds"
        f" {', '.join(map(str, seeds))}, n {rows[0]['n']} a network and level, {hardware}, commit"
        f" {commits}"
    )


def _signed(c):
    """An effect with its interval, where they are there."""
    if math.isnan(c["mean"]):
        return ""
    span = "" if math.isnan(c["low"]) else f" [{c['low']:+.2f}, {c['high']:+.2f}]"
    return f"{c['mean']:+.2f}{span}"


def _p_value(p):
    if math.isnan(p):
        return ""
    return f"{p:.3f}" if p >= 0.001 else "< .001"


def threshold(claim: dict) -> str:
    """What would matter, in points, as the table has it."""
    sign = "−" if claim["decides"] == "no worse" else "±"
    return f"{sign}{claim['matters']:g}"


def claims_table(judged: Sequence[dict], done: Results) -> HTML:
    """The claims as a folded HTML table, a line each with the threshold of its word; hover for the
    evidence behind it.
    """
    heads = ("place", "claim", "comparison", "effect (points)", "would matter", "p", "word")
    out = f'<table class="rsnl-table rsnl-ledger"><tr>{cells_html(heads, "col")}</tr>'
    for c in judged:
        compared = f"{c['dataset'].upper()}: {comparison(c)}"
        if c["n"] < len(c["seeds"]):
            compared += f" ({c['n']} of {len(c['seeds'])} seeds)"
        texts = (c["place"], c["says"], compared, _signed(c), threshold(c))
        edge = f"text-align:left;border-left:6px solid {word_look(c['word'])['color']}"
        out += f'<tr title="{html.escape(evidence(c, done))}">'
        out += f"{cells_html((*texts, _p_value(c['p_corrected'])))}"
        out += f'<td style="{edge}">{html.escape(c["word"])}</td></tr>'
    fold = f"<details><summary>The {len(judged)} comparisons in numbers</summary>"
    return HTML(f"{fold}{left(out)}</table></details>")


def _draw_effect(ax, row, c, look):
    """One line of `forest`: interval and mean, each seed, and of a claim its word and ticks at what
    would matter.
    """
    colour = look["color"]
    several = c["n"] > 1
    mark = look | dict(ms=8, mfc=colour if several else "none")
    palette.draw_dot(ax, row, c["mean"], c["low"], c["high"], mark)
    if several:
        seed = dict(ls="", marker="|", color="#000000", ms=11, mew=0.8)
        ax.plot(list(c["effects"].values()), [row] * c["n"], **seed)
    if "matters" in c:
        ticks = [-c["matters"]] if c["decides"] == "no worse" else [-c["matters"], c["matters"]]
        for tick in ticks:
            ax.plot([tick, tick], [row - 0.35, row + 0.35], color="#000000", lw=1.2)
    if "word" in c:
        beside = dict(transform=ax.get_yaxis_transform(), va="center", fontsize=8)
        ax.text(1.01, row, c["word"], **beside, color=colour)


def forest(
    lines: Sequence[dict],
    title: str = "",
    label: Callable = lambda c: c["says"],
    look: Callable = lambda c: word_look(c["word"]) if "word" in c else palette.style(c["a"]),
) -> Figure:
    """Effects of `lines` (claims.judge_claims or `explore`) with seeds: each seed's, mean and 95 %
    interval, and of a claim its word and ticks at the smallest effect that would matter.

    `look` gives a line's colour and mark (default: those of its word, or of method a).
    """
    shown = [c for c in lines if c["effects"]]
    if not shown:
        raise ValueError("no line has a seed with both sides; run: rsnl reproduce --for claims")
    names = [textwrap.fill(label(c), 58) for c in shown]
    height = 1.0 + 0.17 * sum(2 + name.count("\n") for name in names)
    fig, (ax,) = palette.panels(1, 9.2, height, title)
    ax.axvline(0, **palette.GUIDE)
    for row, c in enumerate(shown):
        _draw_effect(ax, row, c, look(c))
    palette.name_rows(ax, names)
    ax.set_xlabel("effect (percentage points)")
    return fig


def forest_panels(panels: dict[str, Sequence[dict]], title: str = "") -> Figure:
    """Lines as `forest` has them, a panel for each {words: lines}, a row a method a."""
    methods = list(dict.fromkeys(c["a"] for mine in panels.values() for c in mine))
    fig, axes = palette.panels(len(panels), 4.3, 0.9 + 0.3 * len(methods), title)
    for ax, (name, mine) in zip(axes, panels.items()):
        ax.axvline(0, **palette.GUIDE)
        for c in mine:
            if c["effects"]:
                _draw_effect(ax, methods.index(c["a"]), c, palette.style(c["a"]))
        labels = [palette.style(m)["label"] for m in methods] if ax is axes[0] else []
        palette.name_rows(ax, labels or [""] * len(methods))
        ax.set_title(name, fontsize=9)
        ax.set_xlabel("effect (percentage points)")
    return fig


def _draw_printed(ax, dataset):
    """The numbers in the text on Fig. 2(a), hollow; a drop is one from the clean accuracy."""
    clean = {c["method"]: c for c in paper.cells("III", dataset) if c["perturbation"] == "clean"}
    for c in paper.cells("2a", dataset):
        drop = c["quantity"] != "accuracy"
        value = clean[c["method"]]["value"] - c["value"] if drop else c["value"]
        ax.plot([c["level"]], [value], **palette.style(c["method"]) | palette.PAPER_HOLLOW)


def _seed_words(found):
    """How many seeds {method: runs} hold, in words."""
    counts = sorted(map(len, found.values()))
    if not counts:
        return "not run"
    span = f"{counts[0]} to {counts[-1]}" if counts[0] < counts[-1] else f"{counts[0]}"
    return "1 seed" if span == "1" else f"{span} seeds"


def _made(settings, teacher):
    """What sets students apart from the paper's own, in words: their recipe, their teacher."""
    told = [w.replace("epochs=", "") + " epochs" for w in settings.split() if "epochs=" in w]
    told += [w.replace("=", " ") for w in settings.split() if "epochs=" not in w]
    width = teacher.split()[0].partition("@")[2]
    told += [f"a teacher {float(width):.0%} as wide"] if width else [f"teacher {teacher}"]
    return ", ".join(told)


def figure2(
    done: Results, methods: Sequence[str] = ("teacher", "kd", "fitnet", "robust")
) -> Figure:
    """Fig. 2: accuracy against the SNR in dB, mean over seeds and the band of one more run; hollow:
    printed in the text. A panel for each data set with rows shows its `family`, named in the title
    if not the paper's; what has no rows stands in the title above.
    """
    places = {"(a) MNIST": "mnist", "(b) CIFAR-10": "cifar10", "(c) CIFAR-100": "cifar100"}
    panels, lacking = {}, []
    for title, dataset in places.items():
        settings, teacher = claims.family(done, dataset, methods)
        found = {}
        for method in palette.rank(methods):
            own = teacher.partition(" ")[2] if method == "teacher" else settings
            if mine := claims.runs(done, dataset, method, settings=own, teacher=teacher):
                found[method] = mine
        if not found:
            lacking.append(f"{title}: not run")
            continue
        title = f"{title}, {_seed_words(found)}"
        if (settings, teacher) != ("", jobs.Job(dataset, "kd").teacher().net):
            title += f"\n{_made(settings, teacher)}"
        panels[title] = (dataset, found)
    fig, axes = palette.panels(len(panels), 4.4, 3.4, "; ".join(lacking))
    for ax, (title, (dataset, found)) in zip(axes, panels.items()):
        _draw_bands(ax, found)
        low, high = ax.get_ylim()
        _draw_printed(ax, dataset)
        ax.set(xlim=ax.get_xlim()[::-1], ylim=(low, min(100.5, high)), xlabel="SNR (dB)")
        ax.set_title(title, fontsize=9)
    axes[0].set_ylabel("test accuracy (%)")
    palette.add_legend(fig, 4)
    return fig


def _draw_bands(ax, found):
    """{method: runs} as a mean and the band of one more run, down to three points below the lowest
    mean.
    """
    lowest = 100.0
    for method, mine in found.items():
        x, mean, low, high = claims.band(mine)
        ax.plot(x, mean, ms=4, lw=1.4, **palette.style(method))
        colour = palette.style(method)["color"]
        ax.fill_between(x, low, high, color=colour, alpha=0.18, lw=0)
        lowest = min(lowest, mean.min())
    ax.set_ylim(lowest - 3, None)
