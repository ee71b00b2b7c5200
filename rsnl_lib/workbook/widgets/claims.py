"""Live: the readings of the paper and the verdicts (chapter 09)."""

import html
import math

import ipywidgets as W

from ...study import claims
from .base import stage, wide


def met(mine: float, printed: float, step: float) -> bool:
    """Does a number round, in steps of `step`, to the printed one?"""
    return abs(mine - printed) <= step / 2


def readings(counts: dict, printed, rounding) -> None:
    """Table VIII live: pick a reading; counts {name: (weights, multiplications)} beside the printed
    pair, each met if it rounds to it.
    """
    which = W.Dropdown(description="reading", options=list(counts), **wide(80, 480))

    def drawn(name):
        rows = ""
        named = zip(("weights", "multiplications"), counts[name], printed, rounding)
        for what, mine, theirs, step in named:
            rows += (
                f"<tr><th scope='row'>{what}</th><td>{mine:,}</td><td>{theirs / 1e6:g} M</td>"
                f"<td>{'meets it' if met(mine, theirs, step) else 'misses it'}</td></tr>"
            )
        return (
            '<div class="rsnl-view"><table><tr><td></td><th scope="col">this reading</th><th'
            f' scope="col">printed</th><td></td></tr>{rows}</table></div>'
        )

    both = [name for name, mine in counts.items() if all(map(met, mine, printed, rounding))]
    words = f"reading; both printed numbers are met by: {', '.join(both) or 'none'}"
    stage("readings", [which], drawn, None, words)


def judged(c: dict, matters: float) -> str:
    """The HTML of one claim where `matters` points are the smallest effect that would matter."""
    said = claims.verdict(
        {**c, "matters": matters}, c["low"], c["high"], c["mean"], c["p_corrected"]
    )
    seeds = ", ".join(f"seed {s}: {v:+.2f}" for s, v in c["effects"].items())
    return (
        f'<div class="rsnl-view"><b>{said}</b> if {matters:.2f} points matter (the file'
        f" says {c['matters']:g}: {c['verdict']})<br>effect {c['mean']:+.2f} "
        f"[{c['low']:+.2f}, {c['high']:+.2f}] points, corrected p {c['p_corrected']:.3f};"
        f" {html.escape(seeds)}<br>"
        f"five seeds of this spread find an effect of {c['detectable']:.2f} points four times"
        " out of five</div>"
    )


def verdicts(lines: list[dict]) -> None:
    """The verdict of a claim live: pick one, move the smallest effect that would matter; `lines` as
    claims.judge_claims gives them, those with all seeds.
    """
    lines = [c for c in lines if not math.isnan(c["p_corrected"])]
    if not lines:
        raise ValueError(
            "no claim has all its seeds; run python -m rsnl_lib reproduce --for claims and merge"
            " its rows"
        )
    which = W.Dropdown(
        description="claim", options={c["says"]: i for i, c in enumerate(lines)}, **wide(80, 720)
    )
    matters = W.FloatLogSlider(
        description="matters",
        value=lines[0]["matters"],
        min=-1.5,
        max=1,
        step=0.05,
        readout_format=".2f",
        **wide(80),
    )

    def reset(change):
        matters.value = lines[change["new"]]["matters"]

    which.observe(reset, "value")
    found = [c["verdict"] for c in lines]
    counted = ", ".join(f"{found.count(v)} {v}" for v in dict.fromkeys(found))
    words = f"claim, smallest effect that matters; {len(lines)} claims: {counted}"
    stage("verdicts", [which, matters], lambda i, size: judged(lines[i], size), None, words)
