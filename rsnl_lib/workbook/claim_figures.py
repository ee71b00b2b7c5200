"""What chapters 06 and 09 show: effects with their intervals, Fig. 2 as bands, the ledgers as
tables; each figure a closed matplotlib Figure.
"""

import html
import math
import textwrap

import numpy as np
from matplotlib.figure import Figure

from ..study import claims, jobs, paper
from ..study.claims import band, explored, family, runs
from . import palette

LOOKS = {  # a verdict looks the same everywhere: colour, mark, word
    "holds": dict(color="#0072B2", marker="o"),
    "fails": dict(color="#D55E00", marker="X"),
    "undecided": dict(color="#767676", marker="D"),
    "not run": dict(color="#999999", marker="s"),
}


def words(claim):
    """What a line compares: "robust - kd, trained on MNIST, gaussian 1 2 3 dB", for a reader who
    hovers or reads the table.
    """

    def side(s):
        return palette.style(claim[s])["label"].replace("$", "") + (
            f" (trained on {claim[f'train_noise_{s}']})" if claim.get(f"train_noise_{s}") else ""
        )

    where = claim["perturbation"] + (
        f" {' '.join(f'{v:g}' for v in claim['levels'])} {claim['unit']}"
        if claim["perturbation"] != "clean"
        else ""
    )
    return f"{side('a')} − {side('b')}, {where}"


def told(claim, done):
    """n, seeds, recipe, hardware and commits behind a line's effect, or what is lacking."""
    rows = [
        row
        for seed in claim["effects"]
        for side in "ab"
        for row in [jobs.of(claims.job_of(claim, side, seed), done)[claims.asked(claim)[0]]]
    ]
    if not rows:
        return f"{claim['dataset']}, no seed run yet"
    seeds = sorted(claim["effects"])
    return (
        f"{claim['dataset']}, recipe {claim.get('recipe', 'short')}, seeds"
        f" {', '.join(map(str, seeds))}, n {rows[0]['n']} a network and level,"
        f" {', '.join(sorted({r['hardware'] for r in rows}))}, commit"
        f" {', '.join(sorted({r['commit'] for r in rows}))}"
    )


def ledger(judged, done):
    """The claims as an HTML table: place, claim, comparison, n, effect with its interval, corrected
    p, verdict; hover for what is behind it.
    """
    from IPython.display import HTML

    heads = ("place", "claim", "comparison", "seeds", "effect (points)", "p, corrected", "verdict")
    lines = [
        '<table class="rsnl-table'
        f' rsnl-ledger"><tr>{"".join(f"<th scope=col>{h}</th>" for h in heads)}</tr>'
    ]
    for c in judged:
        effect = (
            ""
            if math.isnan(c["mean"])
            else f"{c['mean']:+.2f}"
            + ("" if math.isnan(c["low"]) else f" [{c['low']:+.2f}, {c['high']:+.2f}]")
        )
        p = (
            ""
            if math.isnan(c["p_corrected"])
            else f"{c['p_corrected']:.3f}"
            if c["p_corrected"] >= 0.001
            else "&lt; .001"
        )
        word = c["verdict"] + (
            f", could see {c['detectable']:.1f}" if c["verdict"] == "undecided" else ""
        )
        cells = (
            c["place"],
            c["says"],
            f"{c['dataset'].upper()}: {words(c)}",
            f"{c['n']} of {len(c['seeds'])}",
            effect,
            p,
        )
        mark = f'<td style="border-left:6px solid {LOOKS[c["verdict"]]["color"]}">{word}</td>'
        lines.append(
            f'<tr title="{html.escape(told(c, done))}">'
            + "".join(f"<td>{v if v.startswith('&') else html.escape(v)}</td>" for v in cells)
            + mark
            + "</tr>"
        )
    return HTML("".join(lines) + "</table>")


def forest(lines, title="", xlabel="effect (percentage points)", label=None, look=None):
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
    names = [textwrap.fill((label or (lambda c: c["says"]))(c), 58) for c in shown]
    fig = Figure(
        figsize=(9.2, 1.0 + 0.17 * sum(2 + name.count("\n") for name in names)),
        layout="constrained",
    )
    ax = fig.subplots()
    ax.axvline(0, color="#767676", lw=0.8)
    for at, c in enumerate(shown):
        own = look(c) if look else LOOKS[c["verdict"]] if "verdict" in c else palette.style(c["a"])
        if not math.isnan(c["low"]):
            ax.plot([c["low"], c["high"]], [at, at], color=own["color"], lw=2)
        ax.plot(
            [c["mean"]],
            [at],
            ls="",
            ms=8,
            color=own["color"],
            marker=own["marker"],
            mfc=own["color"] if c["n"] > 1 else "none",
        )
        if c["n"] > 1:
            ax.plot(
                list(c["effects"].values()),
                np.full(c["n"], at),
                ls="",
                marker="|",
                color="#000000",
                ms=5,
                mew=0.8,
            )
        if "matters" in c:
            ax.plot(
                [c["matters"] * (-1 if c["decides"] == "no worse" else 1)] * 2,
                [at - 0.35, at + 0.35],
                color="#000000",
                lw=1.2,
            )
        if "verdict" in c:
            ax.text(
                1.01,
                at,
                c["verdict"],
                transform=ax.get_yaxis_transform(),
                va="center",
                fontsize=8,
                color=own["color"],
            )
    ax.set_yticks(range(len(shown)), names, fontsize=8)
    ax.set(xlabel=xlabel, ylim=(len(shown) - 0.4, -0.6))
    fig.suptitle(title, fontsize=11)
    ax.spines[["top", "right"]].set_visible(False)
    return fig


def study(done, path=claims.STUDY):
    """The lines of data/study.csv with their effects over seeds, mean and 95 % interval; without a
    verdict: they explore.
    """
    return [explored(line, claims.effects(line, done)) for line in claims.read(path)]


def epochs(done, lines, title=""):
    """Accuracy on clean images and in the lines' noise against the epochs trained: both sides of
    the lines of data/study.csv that change nothing else.
    """
    sides = {side: {} for side in "ab"}
    for line in lines:
        for side in "ab":
            job = claims.job_of(line, side, line["seeds"][0])
            found = [
                claims.share(done, job, keys) for keys in ([("clean", 0, "")], claims.asked(line))
            ]
            if None not in found:
                sides[side][job.plan().epochs] = [100 * v for v in found]
    fig, axes = palette.panels(2, 3.6, 2.9)
    for side, points in sides.items():
        look = palette.style(lines[0][side])
        for ax, values in zip(axes[0], zip(*(points[e] for e in sorted(points)))):
            ax.plot(
                sorted(points),
                values,
                ms=6,
                color=look["color"],
                marker=look["marker"],
                label=look["label"],
            )
    ticks = sorted({e for points in sides.values() for e in points})
    for ax, name in zip(
        axes[0],
        (
            "clean images",
            (
                f"white noise, {lines[0]['levels'][0]:g} to {lines[0]['levels'][-1]:g}"
                f" {lines[0]['unit']}"
            ),
        ),
    ):
        ax.set(title=name, xscale="log", xlabel="epochs", xticks=ticks, xticklabels=ticks)
        ax.minorticks_off()
    axes[0, 0].set_ylabel("test accuracy (%)")
    fig.legend(
        *axes[0, 0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=2,
        frameon=False,
        fontsize=8,
    )
    fig.suptitle(title, fontsize=10)
    return fig


def figure2(done, methods=("teacher", "kd", "fitnet", "robust")):
    """Fig. 2: accuracy against the SNR in dB, a panel a data set, mean over seeds and the band of
    one more run; hollow marks: printed in the text.

    A panel shows the family of networks that has rows of the most methods, the paper's own if it is
    one of them; another one's settings stand in the title, for its rows fill no cell.
    """
    fig, axes = palette.panels(3, 3.6, 3.2)
    for ax, (title, dataset) in zip(
        axes[0],
        {"(a) MNIST": "mnist", "(b) CIFAR-10": "cifar10", "(c) CIFAR-100": "cifar100"}.items(),
    ):
        words, teacher = family(done, dataset, methods)
        seen, lowest = [], 100.0
        for method in palette.rank(methods):
            mine = runs(
                done,
                dataset,
                method,
                settings=teacher.partition(" ")[2] if method == "teacher" else words,
                teacher=teacher,
            )
            if mine:
                x, mean, low, high = band(mine)
                lowest = min(lowest, mean.min())
                look = palette.look(method)
                ax.plot(x, mean, ms=4, lw=1.4, label=palette.style(method)["label"], **look)
                ax.fill_between(x, low, high, color=look["color"], alpha=0.18, lw=0)
                seen.append(len(mine))
        clean = paper.cells("III", dataset)
        for c in (c for c in paper.cells("2a") if c["dataset"] == dataset):
            value = (
                c["value"]
                if c["quantity"] == "accuracy"
                else next(
                    k["value"]
                    for k in clean
                    if k["method"] == c["method"] and k["perturbation"] == "clean"
                )
                - c["value"]
            )
            ax.plot([c["level"]], [value], **palette.PAPER_HOLLOW, **palette.look(c["method"]))
        note = (
            f"{min(seen)} to {max(seen)} seeds"
            if seen and min(seen) < max(seen)
            else f"{seen[0]} seed{'s' * (seen[0] > 1)}"
            if seen
            else "not run"
        )
        ax.set(
            title=f"{title}, {note}"
            + (
                f"\n{words or 'recipe as it stands'}, by {teacher}"
                if (words, teacher) != ("", jobs.Job(dataset, "kd").teacher().net) and seen
                else ""
            ),
            xlabel="SNR (dB)",
        )
        ax.title.set_fontsize(9)
        if seen:
            ax.set(xlim=ax.get_xlim()[::-1], ylim=(lowest - 3, min(100.5, ax.get_ylim()[1])))
        else:
            ax.set(xticks=[], yticks=[])
    axes[0, 0].set_ylabel("test accuracy (%)")
    fig.legend(
        *axes[0, 0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=5,
        frameon=False,
        fontsize=8,
    )
    return fig


def inheritance(points):
    """What a student gains against how far its teacher is ahead of KD's student, a mark a level;
    points {data set: `leads`}; colour: data set, mark: what is done to the image.

    The title holds Spearman's rank correlation by data set.
    """
    from scipy.stats import spearmanr

    fig, axes = palette.panels(1, 6.4, 3.8)
    ax = axes[0, 0]
    ax.axhline(0, color="#767676", lw=0.8), ax.axvline(0, color="#767676", lw=0.8)
    ends = [f(p[3] for v in points.values() for p in v) for f in (min, max)]
    ax.plot(ends, ends, color="#767676", lw=0.8, ls=":", label="as if it were the teacher")
    for dataset, colour in zip(points, ("#E69F00", "#0072B2", "#000000")):
        for kind, mark in (("gaussian", "o"), ("poisson", "^"), ("occlusion", "s"), ("clean", "*")):
            mine = [(x, y) for k, _, _, x, y in points[dataset] if k == kind]
            if mine:
                ax.plot(
                    *zip(*mine),
                    ls="",
                    marker=mark,
                    ms=6,
                    color=colour,
                    alpha=0.8,
                    label=f"{dataset}, {kind.replace('gaussian', 'white noise')}",
                )
    said = ", ".join(
        f"{d} {spearmanr([p[3] for p in v], [p[4] for p in v])[0]:+.3f}" for d, v in points.items()
    )
    ax.set(
        xlabel="teacher ahead of KD's student by (points)",
        ylabel="gain over KD's student (points)",
        title=f"rank correlation: {said}",
    )
    ax.title.set_fontsize(10)
    fig.legend(loc="outside right upper", frameon=False, fontsize=8)
    return fig
