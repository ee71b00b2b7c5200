"""Live: the readings of the paper and the verdicts (chapter 09)."""

import html
import math

import ipywidgets as W

from ...study import claims
from .base import stage


def readings(counts: dict, printed: tuple, rounding: tuple) -> None:
    """Table VIII live: counts {name: (weights, multiplications)} beside the printed pair."""

    def met(mine, theirs, step):
        return abs(mine - theirs) <= step / 2

    def draw(name):
        rows = ""
        named = zip(("weights", "multiplications"), counts[name], printed, rounding)
        for what, mine, theirs, step in named:
            word = "meets it" if met(mine, theirs, step) else "misses it"
            rows += (
                f"<tr><th scope='row'>{what}</th><td>{mine:,}</td><td>{theirs / 1e6:g} M</td>"
                f"<td>{word}</td></tr>"
            )
        return (
            '<table><tr><td></td><th scope="col">this reading</th><th scope="col">printed</th>'
            f"<td></td></tr>{rows}</table>"
        )

    both = [name for name, mine in counts.items() if all(map(met, mine, printed, rounding))]
    words = f"reading; both printed numbers are met by: {', '.join(both) or 'none'}"
    which = W.Dropdown(description="reading", options=list(counts))
    stage("readings", [which], draw, None, words, (80, 480))


def verdicts(lines: list[dict]) -> None:
    """The verdict of a claim against the smallest effect that matters; `lines` of judge_claims."""
    lines = [c for c in lines if not math.isnan(c["p_corrected"])]
    if not lines:
        raise ValueError(
            "no claim has all its seeds; run python -m rsnl_lib reproduce --for claims and merge"
            " its rows"
        )

    def draw(i, matters):
        c = lines[i]
        bounds = (c["low"], c["high"], c["mean"], c["p_corrected"])
        verdict = claims.verdict({**c, "matters": matters}, *bounds)
        seeds = ", ".join(f"seed {s}: {v:+.2f}" for s, v in c["effects"].items())
        return (
            f"<b>{verdict}</b> if {matters:.2f} points matter (the file"
            f" says {c['matters']:g}: {html.escape(c['verdict'])})<br>effect {c['mean']:+.2f} "
            f"[{c['low']:+.2f}, {c['high']:+.2f}] points, corrected p {c['p_corrected']:.3f};"
            f" {html.escape(seeds)}<br>"
            f"five seeds of this spread find an effect of {c['detectable']:.2f} points four times"
            " out of five"
        )

    names = {c["says"]: i for i, c in enumerate(lines)}
    which = W.Dropdown(description="claim", options=names)
    scale = {"min": -1.5, "max": 1, "step": 0.05, "readout_format": ".2f"}
    matters = W.FloatLogSlider(description="matters", value=lines[0]["matters"], **scale)

    def reset(change):
        matters.value = lines[change["new"]]["matters"]

    which.observe(reset, "value")
    verdicts = [c["verdict"] for c in lines]
    counted = ", ".join(f"{verdicts.count(v)} {v}" for v in dict.fromkeys(verdicts))
    words = f"claim, smallest effect that matters; {len(lines)} claims: {counted}"
    stage("verdicts", [which, matters], draw, None, words, (80, 720))
    matters.layout.width = "420px"
