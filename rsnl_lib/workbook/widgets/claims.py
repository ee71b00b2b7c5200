"""Live: the readings of the paper and the verdicts (chapter 09)."""

import html
import math

import ipywidgets as W

from .base import live


def readings(counts, printed, rounding):
    """Table VIII live: pick a reading; counts {name: (weights, multiplications)} beside the printed
    pair, each met if it rounds to it.
    """
    which = W.Dropdown(
        description="reading",
        options=list(counts),
        style={"description_width": "80px"},
        layout=W.Layout(width="480px"),
    )
    out = W.HTML()

    def drawn():
        rows = "".join(
            f"<tr><th scope='row'>{what}</th><td>{mine:,}</td><td>{theirs / 1e6:g}"
            f" M</td><td>{'meets it' if abs(mine - theirs) <= step / 2 else 'misses it'}</td></tr>"
            for what, mine, theirs, step in zip(
                ("weights", "multiplications"), counts[which.value], printed, rounding
            )
        )
        return (
            '<div class="rsnl-view"><table><tr><td></td><th scope="col">this reading</th><th'
            f' scope="col">printed</th><td></td></tr>{rows}</table></div>'
        )

    live((which,), out, drawn)
    box = W.VBox([which, out])
    box.add_class("rsnl-readings")
    met = [
        name
        for name, mine in counts.items()
        if all(abs(a - b) <= step / 2 for a, b, step in zip(mine, printed, rounding))
    ]
    from IPython.display import display

    display(
        {
            **dict(box._repr_mimebundle_()),
            "text/plain": (
                f"[live: reading; both printed numbers are met by: {', '.join(met) or 'none'}]"
            ),
        },
        raw=True,
    )


def verdicts(lines):
    """The verdict of a claim live: pick one, move the smallest effect that would matter; `lines` as
    claims.judged gives them, those with all seeds.
    """
    from ...study import claims

    lines = [c for c in lines if not math.isnan(c["p_corrected"])]
    if not lines:
        raise ValueError(
            "no claim has all its seeds; run python -m rsnl_lib reproduce --for claims and merge"
            " its rows"
        )
    which = W.Dropdown(
        description="claim",
        options={c["says"]: i for i, c in enumerate(lines)},
        style={"description_width": "80px"},
        layout=W.Layout(width="720px"),
    )
    matters = W.FloatLogSlider(
        description="matters",
        value=lines[0]["matters"],
        min=-1.5,
        max=1,
        step=0.05,
        readout_format=".2f",
        style={"description_width": "80px"},
        layout=W.Layout(width="420px"),
    )
    out = W.HTML()

    def drawn():
        c = lines[which.value]
        said = claims.verdict(
            {**c, "matters": matters.value}, c["low"], c["high"], c["mean"], c["p_corrected"]
        )
        seeds = ", ".join(f"seed {s}: {v:+.2f}" for s, v in c["effects"].items())
        return (
            f'<div class="rsnl-view"><b>{said}</b> if {matters.value:.2f} points matter (the file'
            f" says {c['matters']:g}: {c['verdict']})<br>effect {c['mean']:+.2f} "
            f"[{c['low']:+.2f}, {c['high']:+.2f}] points, corrected p {c['p_corrected']:.3f};"
            f" {html.escape(seeds)}<br>"
            f"five seeds of this spread find an effect of {c['detectable']:.2f} points four times"
            " out of five</div>"
        )

    which.observe(lambda _: setattr(matters, "value", lines[which.value]["matters"]), "value")
    live((which, matters), out, drawn)
    box = W.VBox([which, matters, out])
    box.add_class("rsnl-verdicts")
    from IPython.display import display

    count = [c["verdict"] for c in lines]
    display(
        {
            **dict(box._repr_mimebundle_()),
            "text/plain": (
                f"[live: claim, smallest effect that matters; {len(lines)} claims: "
                + ", ".join(f"{count.count(v)} {v}" for v in dict.fromkeys(count))
                + "]"
            ),
        },
        raw=True,
    )
