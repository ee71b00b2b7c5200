"""Names at the ends of lines, kept apart; one that had to move is tied to its line."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes


def spread(wanted: Sequence[float], gap: float, floor: float = -np.inf) -> list[float]:
    """Places at least `gap` apart and above `floor`, in the order of `wanted` (rising), each run of
    crowded ones centred where it wants to be.
    """
    runs = []  # [where the lowest stands, what its members want]

    def place(members):
        centred = float(np.mean(members)) - gap * (len(members) - 1) / 2
        return [max(floor, centred), members]

    for want in wanted:
        runs.append(place([want]))
        while len(runs) > 1 and runs[-2][0] + gap * len(runs[-2][1]) > runs[-1][0]:
            last = runs.pop()
            runs.append(place(runs.pop()[1] + last[1]))
    return [low + gap * i for low, members in runs for i in range(len(members))]


def name_ends(ax: Axes, ends: Sequence[tuple], aside: float, gap: float = 0.06) -> None:
    """Write the names of [(y, x, name, colour)] at the ends of their lines, `aside` from them, gap
    of the axis apart; where one had to move, all stand further out, each on a thin line to its end.
    """
    low, high = ax.get_ylim()
    ends = sorted(ends)
    places = spread([y for y, *_ in ends], gap * (high - low), low)
    moved = max(abs(at - y) for at, (y, *_) in zip(places, ends)) > 0.3 * gap * (high - low)
    for at, (y, x, name, colour) in zip(places, ends):
        look = dict(color=colour, fontsize=9, va="center", annotation_clip=False)
        if moved:
            look["arrowprops"] = dict(arrowstyle="-", color=colour, lw=0.7, shrinkA=0, shrinkB=0)
        place = (x + 5 * aside, at) if moved else (x + 2 * aside, y)
        ax.annotate(name, (x + aside, y), place, **look)
