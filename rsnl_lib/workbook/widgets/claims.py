"""Live: the readings of the paper and the verdicts (chapter 09)."""

import html
import math

import ipywidgets as W

from ...study import claims
from .. import claim_figures
from .base import stage
from .svg import axis_place, svg, svg_label


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


def effect_picture(c: dict, matters: float, word: str) -> str:
    """A claim's seeds, mean and interval on one axis, over the band of what would not matter."""
    ends = [*c["effects"].values(), c["low"], c["high"], -matters, matters]
    low, high = min(ends), max(ends)
    spare = 0.05 * (high - low)

    def x(v):
        return f"{axis_place(v, low - spare, high + spare, 10, 620):.1f}"

    colour = claim_figures.word_look(word)["color"]
    across = f'y="14" width="{float(x(matters)) - float(x(-matters)):.1f}" height="52"'
    inside = f'<rect x="{x(-matters)}" {across} fill="#000" opacity="0.1"/>'
    if c["decides"] == "no worse":
        inside = f'<path d="M{x(-matters)} 10V70" stroke="#000" stroke-dasharray="4"/>'
    inside += f'<path d="M{x(0)} 10V70" stroke="#767676"/>'
    inside += f'<path d="M{x(c["low"])} 40H{x(c["high"])}" stroke="{colour}" stroke-width="8"/>'
    inside += f'<circle cx="{x(c["mean"])}" cy="40" r="7" fill="{colour}" stroke="#fff"/>'
    for v in c["effects"].values():
        inside += f'<path d="M{x(v)} 26V34" stroke="#000" stroke-width="2"/>'
    for v in (low, 0, high):
        inside += svg_label(x(v), 86, f"{v:+.1f}", "#333", "middle")
    said = f"effect {c['mean']:+.2f}, interval {c['low']:+.2f} to {c['high']:+.2f}: {word}"
    return svg(said, 640, 92, inside, ' style="display:block;background:#fff"')


def verdicts(lines: list[dict]) -> None:
    """The word of a claim against the smallest effect that matters; `lines` of judge_claims."""
    lines = [c for c in lines if not math.isnan(c["p_corrected"])]
    if not lines:
        raise ValueError(
            "no claim has all its seeds; run python -m rsnl_lib reproduce --for claims and merge"
            " its rows"
        )

    def draw(i, matters):
        c = lines[i]
        found = (c["mean"], c["low"], c["high"], c["p_corrected"])
        word = claims.effect_word(c["decides"], matters, *found)
        return (
            f"<b>{word}</b> if {matters:.2f} points matter (the file says {c['matters']:g}:"
            f" {html.escape(c['word'])}){effect_picture(c, matters, word)}"
            "<i>dot and bar: mean and interval; ticks: seeds; grey or dashed: what would not"
            " matter</i><br>"
            f"effect {c['mean']:+.2f} [{c['low']:+.2f}, {c['high']:+.2f}] points, corrected p"
            f" {c['p_corrected']:.3f}; five seeds of this spread find an effect of"
            f" {c['detectable']:.2f} points four times out of five"
        )

    names = {c["says"]: i for i, c in enumerate(lines)}
    which = W.Dropdown(description="claim", options=names)
    scale = {"min": -1.5, "max": 1, "step": 0.05, "readout_format": ".2f"}
    matters = W.FloatLogSlider(description="matters", value=lines[0]["matters"], **scale)

    def reset(change):
        matters.value = lines[change["new"]]["matters"]

    which.observe(reset, "value")
    words = [c["word"] for c in lines]
    counted = ", ".join(f"{words.count(v)} {v}" for v in dict.fromkeys(words))
    told = f"claim, smallest effect that matters; {len(lines)} claims: {counted}"
    stage("verdicts", [which, matters], draw, None, told, (80, 720))
    matters.layout.width = "420px"
