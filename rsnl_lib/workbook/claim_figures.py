"""Chapters 06 and 09: effects with their intervals, Fig. 2 as bands, the claims as a table."""

import html
import math
import textwrap
from collections.abc import Callable, Sequence

from IPython.display import HTML
from matplotlib.figure import Figure
from pandas import DataFrame
from scipy.stats import spearmanr

from ..data.catalogue import CLEAN
from ..study import claims, jobs, paper
from ..study.results import Results
from . import palette
from .paper_tables import cells_html

LOOKS = {  # a verdict looks the same everywhere
    "holds": dict(color="#0072B2", marker="o"),
    "fails": dict(color="#D55E00", marker="X"),
    "undecided": dict(color="#767676", marker="D"),
    "not run": dict(color="#999999", marker="s"),
}


def comparison(claim: dict) -> str:
    """What a line compares, in words: "robust - kd, trained on MNIST, gaussian 1 2 3 dB"."""
    sides = []
    for side in "ab":
        noise = claim.get(f"train_noise_{side}")
        trained = f" (trained on {noise})" if noise else ""
        sides.append(palette.style(claim[side])["label"].replace("$", "") + trained)
    where = claim["perturbation"]
    if where != "clean":
        where += f" {' '.join(f'{v:g}' for v in claim['levels'])} {claim['unit']}"
    return f"{' − '.join(sides)}, {where}"


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


def claims_table(judged: Sequence[dict], done: Results) -> HTML:
    """The claims as an HTML table, a line each; hover for the evidence behind it."""
    heads = ("place", "claim", "comparison", "seeds", "effect (points)", "p, corrected", "verdict")
    out = f'<table class="rsnl-table rsnl-ledger"><tr>{cells_html(heads, "col")}</tr>'
    for c in judged:
        compared = f"{c['dataset'].upper()}: {comparison(c)}"
        seeds = f"{c['n']} of {len(c['seeds'])}"
        texts = (c["place"], c["says"], compared, seeds, _signed(c), _p_value(c["p_corrected"]))
        verdict = c["verdict"]
        could = f", could see {c['detectable']:.1f}" if verdict == "undecided" else ""
        edge = f"border-left:6px solid {LOOKS[verdict]['color']}"
        out += f'<tr title="{html.escape(evidence(c, done))}">{cells_html(texts)}'
        out += f'<td style="{edge}">{verdict}{could}</td></tr>'
    return HTML(out + "</table>")


def _draw_effect(ax, row, c, look):
    """One line of `forest`: interval and mean, each seed, and of a claim tick and verdict."""
    colour = look["color"]
    several = c["n"] > 1
    mark = look | dict(ms=8, mfc=colour if several else "none")
    palette.draw_dot(ax, row, c["mean"], c["low"], c["high"], mark)
    if several:
        seed = dict(ls="", marker="|", color="#000000", ms=5, mew=0.8)
        ax.plot(list(c["effects"].values()), [row] * c["n"], **seed)
    if "matters" in c:
        tick = -c["matters"] if c["decides"] == "no worse" else c["matters"]
        ax.plot([tick, tick], [row - 0.35, row + 0.35], color="#000000", lw=1.2)
    if "verdict" in c:
        beside = dict(transform=ax.get_yaxis_transform(), va="center", fontsize=8)
        ax.text(1.01, row, c["verdict"], **beside, color=colour)


def forest(
    lines: Sequence[dict],
    title: str = "",
    label: Callable = lambda c: c["says"],
    look: Callable = lambda c: LOOKS[c["verdict"]] if "verdict" in c else palette.style(c["a"]),
) -> Figure:
    """Effects of `lines` (claims.judge_claims or `explore`) with seeds: each seed's, mean and 95 %
    interval, and of a claim its verdict and a tick at the smallest effect that would matter.

    `look` gives a line's colour and mark (default: those of its verdict, or of method a).
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


def epochs(done: Results, lines: Sequence[dict], title: str = "") -> Figure:
    """Accuracy on clean images and in noise against the epochs trained, of both sides of lines of
    data/study.csv that change nothing else.
    """
    first = lines[0]
    levels = first["levels"]
    noise = f"white noise, {levels[0]:g} to {levels[-1]:g} {first['unit']}"
    fig, axes = palette.panels(2, 3.6, 2.9, title)
    sides = {s: [claims.side_job(line, s, line["seeds"][0]) for line in lines] for s in "ab"}
    ticks = sorted({job.plan().epochs for trained in sides.values() for job in trained})
    for ax, name, keys in zip(axes, ("clean images", noise), ([CLEAN], claims.conditions(first))):
        for side, trained in sides.items():
            shares = {job.plan().epochs: done.share(job, keys) for job in trained}
            points = [
                (e, 100 * share) for e, share in sorted(shares.items()) if not math.isnan(share)
            ]
            ax.plot(*zip(*points), **palette.style(first[side]), ms=6)
        ax.set(title=name, xscale="log", xlabel="epochs", xticks=ticks, xticklabels=ticks)
        ax.minorticks_off()
    axes[0].set_ylabel("test accuracy (%)")
    palette.add_legend(fig, 2)
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


def figure2(
    done: Results, methods: Sequence[str] = ("teacher", "kd", "fitnet", "robust")
) -> Figure:
    """Fig. 2: accuracy against the SNR in dB, mean over seeds and the band of one more run; hollow:
    printed in the text. A panel shows a data set's `family`, named in the title if not the paper's.
    """
    places = {"(a) MNIST": "mnist", "(b) CIFAR-10": "cifar10", "(c) CIFAR-100": "cifar100"}
    fig, axes = palette.panels(3, 3.6, 3.2)
    for ax, (title, dataset) in zip(axes, places.items()):
        settings, teacher = claims.family(done, dataset, methods)
        found = {}
        for method in palette.rank(methods):
            own = teacher.partition(" ")[2] if method == "teacher" else settings
            if mine := claims.runs(done, dataset, method, settings=own, teacher=teacher):
                found[method] = mine
        lowest = 100.0
        for method, mine in found.items():
            x, mean, low, high = claims.band(mine)
            ax.plot(x, mean, ms=4, lw=1.4, **palette.style(method))
            colour = palette.style(method)["color"]
            ax.fill_between(x, low, high, color=colour, alpha=0.18, lw=0)
            lowest = min(lowest, mean.min())
        _draw_printed(ax, dataset)
        title = f"{title}, {_seed_words(found)}"
        if found and (settings, teacher) != ("", jobs.Job(dataset, "kd").teacher().net):
            title += f"\n{settings or 'recipe as it stands'}, by {teacher}"
        ax.set_xlabel("SNR (dB)")
        ax.set_title(title, fontsize=9)
        if found:
            ax.set(xlim=ax.get_xlim()[::-1], ylim=(lowest - 3, min(100.5, ax.get_ylim()[1])))
        else:
            ax.set(xticks=[], yticks=[])
    axes[0].set_ylabel("test accuracy (%)")
    palette.add_legend(fig, 5)
    return fig


def inheritance(points: dict) -> Figure:
    """What a student gains against how far its teacher is ahead of KD's student, a mark a level,
    points {data set: claims.leads}; above, Spearman's rank correlations.
    """
    import seaborn as sns

    rows = DataFrame(
        [(d, p[0].replace("gaussian", "white noise"), *p[3:]) for d in points for p in points[d]],
        columns=["data set", "image", "ahead", "gain"],
    )
    fig, (ax,) = palette.panels(1, 6.4, 3.8)
    ax.axhline(0, **palette.GUIDE)
    ax.axvline(0, **palette.GUIDE)
    ends = [rows.ahead.min(), rows.ahead.max()]
    ax.plot(ends, ends, **palette.GUIDE, ls=":", label="as if it were the teacher")
    marks = {"white noise": "o", "poisson": "^", "occlusion": "s", "clean": "*"}
    colours = dict(zip(points, ("#E69F00", "#0072B2", "#000000")))
    look = dict(hue="data set", palette=colours, style="image", markers=marks, s=50, alpha=0.8)
    sns.scatterplot(rows, x="ahead", y="gain", **look, ax=ax)
    found = [f"{d} {spearmanr([p[3:] for p in points[d]])[0]:+.3f}" for d in points]
    ax.set_title(f"rank correlation: {', '.join(found)}", fontsize=10)
    ax.set_xlabel("teacher ahead of KD's student by (points)")
    ax.set_ylabel("gain over KD's student (points)")
    sns.move_legend(ax, "upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize=8)
    return fig
