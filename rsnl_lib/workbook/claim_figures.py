"""What chapters 06 and 09 show: effects with their intervals, Fig. 2 as bands, the ledgers as
tables; each figure a closed matplotlib Figure.
"""

import html
import math
import textwrap
from collections.abc import Callable, Sequence

from IPython.display import HTML
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from ..study import claims, jobs, paper
from ..study.claims import band, explored, family, runs
from . import palette

LOOKS = {  # a verdict looks the same everywhere: colour, mark, word
    "holds": dict(color="#0072B2", marker="o"),
    "fails": dict(color="#D55E00", marker="X"),
    "undecided": dict(color="#767676", marker="D"),
    "not run": dict(color="#999999", marker="s"),
}


def words(claim: dict) -> str:
    """What a line compares: "robust - kd, trained on MNIST, gaussian 1 2 3 dB", for a reader who
    hovers or reads the table.
    """

    def side(s):
        label = palette.style(claim[s])["label"].replace("$", "")
        noise = claim.get(f"train_noise_{s}")
        return f"{label} (trained on {noise})" if noise else label

    where = claim["perturbation"]
    if where != "clean":
        where += f" {' '.join(f'{v:g}' for v in claim['levels'])} {claim['unit']}"
    return f"{side('a')} − {side('b')}, {where}"


def told(claim: dict, done: dict) -> str:
    """n, seeds, recipe, hardware and commits behind a line's effect, or what is lacking."""
    seeds = sorted(claim["effects"])
    if not seeds:
        return f"{claim['dataset']}, no seed run yet"
    key = claims.asked(claim)[0]
    found = [claims.job_of(claim, side, seed) for seed in seeds for side in "ab"]
    rows = [jobs.of(job, done)[key] for job in found]

    def all_of(values):
        return ", ".join(map(str, sorted(set(values))))

    return (
        f"{claim['dataset']}, recipe {claim.get('recipe', 'short')}, seeds {all_of(seeds)},"
        f" n {rows[0]['n']} a network and level, {all_of(r['hardware'] for r in rows)},"
        f" commit {all_of(r['commit'] for r in rows)}"
    )


def _effect(c):
    if math.isnan(c["mean"]):
        return ""
    span = "" if math.isnan(c["low"]) else f" [{c['low']:+.2f}, {c['high']:+.2f}]"
    return f"{c['mean']:+.2f}{span}"


def _p(p):
    if math.isnan(p):
        return ""
    return f"{p:.3f}" if p >= 0.001 else "< .001"


def ledger(judged: Sequence[dict], done: dict) -> HTML:
    """The claims as an HTML table: place, claim, comparison, n, effect with its interval, corrected
    p, verdict; hover for what is behind it.
    """
    heads = ("place", "claim", "comparison", "seeds", "effect (points)", "p, corrected", "verdict")
    cells = "".join(f"<th scope=col>{head}</th>" for head in heads)
    lines = [f'<table class="rsnl-table rsnl-ledger"><tr>{cells}</tr>']
    for c in judged:
        verdict = c["verdict"]
        cells = (
            c["place"],
            c["says"],
            f"{c['dataset'].upper()}: {words(c)}",
            f"{c['n']} of {len(c['seeds'])}",
            _effect(c),
            _p(c["p_corrected"]),
        )
        could = f", could see {c['detectable']:.1f}" if verdict == "undecided" else ""
        lines.append(
            f'<tr title="{html.escape(told(c, done))}">'
            + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
            + f'<td style="border-left:6px solid {LOOKS[verdict]["color"]}">{verdict}{could}</td>'
            + "</tr>"
        )
    return HTML("".join(lines) + "</table>")


def _look(line):
    return LOOKS[line["verdict"]] if "verdict" in line else palette.style(line["a"])


def _draw_line(ax, at, c, look):
    """One line of `forest` in the row `at`."""
    colour = look["color"]
    several = c["n"] > 1
    if not math.isnan(c["low"]):
        ax.plot([c["low"], c["high"]], [at, at], color=colour, lw=2)
    mark = dict(ls="", ms=8, color=colour, marker=look["marker"])
    ax.plot([c["mean"]], [at], **mark, mfc=colour if several else "none")
    if several:
        seed = dict(ls="", marker="|", color="#000000", ms=5, mew=0.8)
        ax.plot(list(c["effects"].values()), [at] * c["n"], **seed)
    if "matters" in c:
        tick = -c["matters"] if c["decides"] == "no worse" else c["matters"]
        ax.plot([tick, tick], [at - 0.35, at + 0.35], color="#000000", lw=1.2)
    if "verdict" in c:
        side = ax.get_yaxis_transform()
        ax.text(1.01, at, c["verdict"], transform=side, va="center", fontsize=8, color=colour)


def forest(
    lines: Sequence[dict],
    title: str = "",
    xlabel: str = "effect (percentage points)",
    label: Callable[[dict], str] | None = None,
    look: Callable[[dict], dict] | None = None,
) -> Figure:
    """A line each: every seed's effect as a dot, mean and 95 % interval, and of a claim its verdict
    and the smallest effect that would matter as a tick.

    `lines` as claims.judged or `explored` give them; `label` names a line (default: what it says),
    `look` gives its colour and mark (default: those of the verdict, or of method a). Lines without
    seeds are left out.
    """
    shown = [c for c in lines if c["effects"]]
    if not shown:
        raise ValueError(
            "none of the lines has a seed with rows of both sides; run python -m rsnl_lib reproduce"
            " --for claims"
        )
    names = [textwrap.fill(label(c) if label else c["says"], 58) for c in shown]
    height = 1.0 + 0.17 * sum(2 + name.count("\n") for name in names)
    fig, ax = palette.panel(9.2, height)
    ax.axvline(0, **palette.GUIDE)
    for at, c in enumerate(shown):
        _draw_line(ax, at, c, (look or _look)(c))
    ax.set_yticks(range(len(shown)), names, fontsize=8)
    ax.set(xlabel=xlabel, ylim=(len(shown) - 0.4, -0.6))
    fig.suptitle(title, fontsize=11)
    return fig


def study(done: dict, path=claims.STUDY) -> list[dict]:
    """The lines of data/study.csv with their effects over seeds, mean and 95 % interval; without a
    verdict: they explore.
    """
    return [explored(line, claims.effects(line, done)) for line in claims.read(path)]


def epochs(done: dict, lines: Sequence[dict], title: str = "") -> Figure:
    """Accuracy on clean images and in the lines' noise against the epochs trained: both sides of
    the lines of data/study.csv that change nothing else.
    """
    sides = {side: {} for side in "ab"}  # {side: {epochs: (accuracy clean, in noise) in %}}
    for line in lines:
        for side, points in sides.items():
            job = claims.job_of(line, side, line["seeds"][0])
            clean = claims.share(done, job, [("clean", 0, "")])
            noisy = claims.share(done, job, claims.asked(line))
            if clean is not None and noisy is not None:
                points[job.plan().epochs] = (100 * clean, 100 * noisy)
    first = lines[0]
    levels = first["levels"]
    noise = f"white noise, {levels[0]:g} to {levels[-1]:g} {first['unit']}"
    ticks = sorted({e for points in sides.values() for e in points})
    fig, axes = palette.panels(2, 3.6, 2.9)
    for i, (ax, name) in enumerate(zip(axes[0], ("clean images", noise))):
        for side, points in sides.items():
            x = sorted(points)
            kw = dict(palette.style(first[side]), ms=6)
            ax.plot(x, [points[e][i] for e in x], **kw)
        ax.set(title=name, xscale="log", xlabel="epochs", xticks=ticks, xticklabels=ticks)
        ax.minorticks_off()
    axes[0, 0].set_ylabel("test accuracy (%)")
    palette.legend_below(fig, 2)
    fig.suptitle(title, fontsize=10)
    return fig


def _printed(ax, dataset):
    """The numbers in the text on Fig. 2(a), hollow; a drop is one from the clean accuracy."""
    clean = {c["method"]: c for c in paper.cells("III", dataset) if c["perturbation"] == "clean"}
    for c in paper.cells("2a"):
        if c["dataset"] == dataset:
            value = c["value"]
            if c["quantity"] != "accuracy":
                value = clean[c["method"]]["value"] - value
            ax.plot([c["level"]], [value], **palette.PAPER_HOLLOW, **palette.look(c["method"]))


def _bands(ax, found):
    """Mean and band of one more run, for {method: runs}; returns the lowest mean."""
    lowest = 100.0
    for method, mine in found.items():
        x, mean, low, high = band(mine)
        look = palette.look(method)
        ax.plot(x, mean, ms=4, lw=1.4, label=palette.style(method)["label"], **look)
        ax.fill_between(x, low, high, color=look["color"], alpha=0.18, lw=0)
        lowest = min(lowest, mean.min())
    return lowest


def _seeds(found):
    """How many seeds {method: runs} hold, in words."""
    counts = [len(mine) for mine in found.values()]
    if not counts:
        return "not run"
    if min(counts) < max(counts):
        return f"{min(counts)} to {max(counts)} seeds"
    return "1 seed" if counts[0] == 1 else f"{counts[0]} seeds"


def figure2(done: dict, methods: Sequence[str] = ("teacher", "kd", "fitnet", "robust")) -> Figure:
    """Fig. 2: accuracy against the SNR in dB, a panel a data set, mean over seeds and the band of
    one more run; hollow marks: printed in the text.

    A panel shows the family of networks that has rows of the most methods, the paper's own if it is
    one of them; another one's settings stand in the title, for its rows fill no cell.
    """
    places = {"(a) MNIST": "mnist", "(b) CIFAR-10": "cifar10", "(c) CIFAR-100": "cifar100"}
    fig, axes = palette.panels(3, 3.6, 3.2)
    for ax, (title, dataset) in zip(axes[0], places.items()):
        settings, teacher = family(done, dataset, methods)
        found = {}
        for method in palette.rank(methods):
            own = teacher.partition(" ")[2] if method == "teacher" else settings
            if mine := runs(done, dataset, method, settings=own, teacher=teacher):
                found[method] = mine
        lowest = _bands(ax, found)
        _printed(ax, dataset)
        title = f"{title}, {_seeds(found)}"
        paper_teacher = jobs.Job(dataset, "kd").teacher().net
        if found and (settings, teacher) != ("", paper_teacher):
            title += f"\n{settings or 'recipe as it stands'}, by {teacher}"
        ax.set(xlabel="SNR (dB)")
        ax.set_title(title, fontsize=9)
        if found:
            ax.set(xlim=ax.get_xlim()[::-1], ylim=(lowest - 3, min(100.5, ax.get_ylim()[1])))
        else:
            ax.set(xticks=[], yticks=[])
    axes[0, 0].set_ylabel("test accuracy (%)")
    palette.legend_below(fig, 5)
    return fig


def inheritance(points: dict) -> Figure:
    """What a student gains against how far its teacher is ahead of KD's student, a mark a level;
    points {data set: `leads`}; colour: data set, mark: what is done to the image.

    The title holds Spearman's rank correlation by data set.
    """
    fig, ax = palette.panel(6.4, 3.8)
    ax.axhline(0, **palette.GUIDE)
    ax.axvline(0, **palette.GUIDE)
    ahead = [p[3] for found in points.values() for p in found]
    ends = [min(ahead), max(ahead)]
    ax.plot(ends, ends, **palette.GUIDE, ls=":", label="as if it were the teacher")
    marks = {"gaussian": "o", "poisson": "^", "occlusion": "s", "clean": "*"}
    said = []
    for (dataset, found), colour in zip(points.items(), ("#E69F00", "#0072B2", "#000000")):
        for kind, mark in marks.items():
            mine = [p[3:] for p in found if p[0] == kind]
            if mine:
                kw = dict(ls="", marker=mark, ms=6, color=colour, alpha=0.8)
                name = kind.replace("gaussian", "white noise")
                ax.plot(*zip(*mine), **kw, label=f"{dataset}, {name}")
        said.append(f"{dataset} {spearmanr([p[3:] for p in found])[0]:+.3f}")
    ax.set(
        xlabel="teacher ahead of KD's student by (points)",
        ylabel="gain over KD's student (points)",
    )
    ax.set_title(f"rank correlation: {', '.join(said)}", fontsize=10)
    palette.legend_beside(fig)
    return fig
