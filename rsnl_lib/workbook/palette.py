"""One look for all figures: colours, marks, labels, and how a figure becomes a picture."""

import base64
import io
from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame

# the only place where colours, marks and the order of methods are chosen (colour-blind safe on
# white)
METHODS = {
    "teacher": dict(color="#000000", marker="s", label="teacher"),
    "standard": dict(color="#767676", marker="v", label="standard"),
    "mimic": dict(color="#56B4E9", marker="<", label="mimic"),
    "kd": dict(color="#009E73", marker="^", label="KD"),
    "fitnet": dict(color="#882255", marker=">", label="FitNet"),
    "robust": dict(color="#D55E00", marker="o", label="robust"),
    "gradient_only": dict(color="#E69F00", marker="P", label="$L_G$ only"),
    "score_only": dict(color="#CC79A7", marker="X", label="$L_S$ only"),
    "target_zero": dict(color="#0072B2", marker="D", label="target zero"),
    "shuffled": dict(color="#332288", marker="p", label="shuffled"),
    "matched": dict(color="#999933", marker="d", label="matched"),
    "noise_augmented": dict(color="#44AA99", marker="*", label="noise augmented"),
    "direct": dict(color="#AA4499", marker="h", label="direct"),
    "pgd_at": dict(color="#5D4037", marker="+", label="PGD-AT"),
    "trades": dict(color="#556B2F", marker="|", label="TRADES"),
    "ard": dict(color="#004488", marker="1", label="ARD"),
    "fast_ard": dict(color="#5790FC", marker="2", label="Fast-ARD"),
    "rslad": dict(color="#A04000", marker="3", label="RSLAD"),
    "iad": dict(color="#A96B59", marker="4", label="IAD"),
    "adaad": dict(color="#6A5ACD", marker=(4, 1, 0), label="AdaAD"),
    "igdm": dict(color="#4A235A", marker=(8, 2, 0), label="IGDM"),
    "bss": dict(color="#994455", marker="H", label="BSS"),
    "robust_teacher": dict(color="#806000", marker="8", label="robust teacher"),
}
TERMS = {
    "ce": "cross-entropy",
    "kd": "soft cross-entropy",
    "gradient": "$L_G$",
    "score": "$L_S$",
    "score_floor": "floor of $L_S$",
    "mimic": "mimic",
    "direct": "direct",
    "ce_adv": "cross-entropy at $x'$",
    "kl_adv": "KL at $x'$",
    "kl": "KL",
    "self": "KL to itself",
    "igdm": "KL of differences",
    "bss": "soft cross-entropy at BSS",
    "bss_share": "BSS per image",
}
PAPER_HOLLOW = dict(ls="", mfc="none", ms=9, mew=1.5)
GUIDE = dict(color="#767676", lw=0.8)  # a line to compare with: zero, a diagonal


def style(method: str) -> dict:
    """Colour, mark and label of a method; of "kd by pgd_at", KD's student of the robust teacher,
    the mark is hollow.
    """
    name, _, by = method.partition(" by ")
    own = METHODS.get(name, dict(color="#BBBBBB", marker="x", label=name))
    return {**own, "label": f"{own['label']}, robust teacher", "mfc": "white"} if by else own


def look(method: str) -> dict:
    """`style` without its label: colour and mark."""
    return {k: v for k, v in style(method).items() if k != "label"}


def rank(methods: Iterable[str]) -> list[str]:
    """Methods in the workbook's order, unknown ones last."""
    order = list(METHODS)

    def place(method):
        name = method.partition(" by ")[0]
        return (order.index(name) if name in order else len(order), method)

    return sorted(methods, key=place)


def term(quantity: str) -> str:
    """What a column of a history is called in a figure."""
    return {"val_accuracy": "validation accuracy", **TERMS}.get(quantity, quantity)


def png(fig: Figure, dpi: int = 100, colours: int = 128) -> bytes:
    """A figure as small PNG bytes, the same bytes every time."""
    from PIL import Image

    raw = io.BytesIO()
    fig.savefig(raw, format="png", dpi=dpi)
    small = Image.open(raw).convert("RGB").quantize(colours, dither=Image.Dither.NONE)
    out = io.BytesIO()
    small.save(out, "png", optimize=True)
    return out.getvalue()


def show(fig: Figure, alt: str) -> None:
    """Display a figure as a picture; `alt` says what it shows to readers who cannot see it."""
    from IPython.display import display

    picture = base64.b64encode(png(fig)).decode()
    bundle = {"image/png": picture, "text/plain": f"[figure: {alt}]"}
    display(bundle, raw=True, metadata={"image/png": {"alt": alt}})


def panels(columns: int, width: float, height: float) -> tuple[Figure, np.ndarray]:
    """A figure and its (1, columns) axes, each of that size in inches."""
    fig = Figure(figsize=(width * columns, height), layout="constrained")
    axes = fig.subplots(1, columns, squeeze=False)
    for ax in axes.flat:
        ax.spines[["top", "right"]].set_visible(False)
    return fig, axes


def panel(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of one panel, and the panel."""
    fig, axes = panels(1, width, height)
    return fig, axes[0, 0]


def legend_beside(fig: Figure, handles: Sequence | None = None) -> None:
    """Name `handles` (by default all lines) to the right of the figure."""
    fig.legend(handles=handles, loc="outside right upper", frameon=False, fontsize=8)


def legend_below(fig: Figure, columns: int, handles: Sequence | None = None, **more) -> None:
    """Name `handles` (by default the lines of the first panel) below the figure."""
    if handles is None:
        handles = fig.axes[0].get_legend_handles_labels()[0]
    kw = dict(frameon=False, fontsize=8) | more
    fig.legend(handles=handles, loc="outside lower center", ncols=columns, **kw)


def draw_image(ax: Axes, image, top: float | None = None, colours: str = "gray_r", **more) -> None:
    """An image of pixels in [0, 1], 1 in black; with `top` one of signed values in [-top, top]."""
    low, high = (0, 1) if top is None else (-top, top)
    kw = dict(interpolation="nearest") | more
    ax.imshow(np.asarray(image), cmap=colours, vmin=low, vmax=high, **kw)


def mean_bar(ax: Axes, values, at: float, colour: str) -> None:
    """An upright bar at the mean of `values`, in the row `at`."""
    mean = values.mean()
    ax.plot([mean, mean], [at - 0.3, at + 0.3], color=colour, lw=2)


def table(rows: DataFrame, *columns: str) -> DataFrame:
    """`rows` if the frame has these columns and at least one row, else a ValueError."""
    if lacking := [c for c in columns if c not in rows]:
        raise ValueError(
            f"the rows lack {', '.join(lacking)}; this figure needs the columns"
            f" {', '.join(columns)}"
        )
    if not len(rows):
        raise ValueError(
            "there are 0 rows to draw; choose methods and data sets that the file holds"
        )
    return rows


def label_lines(ax: Axes, ends: list, gap: float) -> None:
    """Write each line's name at its end (x, y, method), at least `gap` above the one below."""
    at = -np.inf
    for x, y, method in sorted(ends, key=lambda e: e[1]):
        at = max(y, at + gap)
        ax.annotate(
            style(method)["label"],
            (x, y),
            xytext=(x, at),
            textcoords=ax.transData,
            va="center",
            color=style(method)["color"],
            fontsize=9,
            annotation_clip=False,
        )
