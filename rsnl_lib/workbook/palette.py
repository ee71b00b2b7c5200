"""One look for all figures: colours, marks, labels, and how a figure becomes a picture."""

import base64
import html
import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from pandas import DataFrame, concat

from ..train.methods import METHODS

# how a printed number is drawn; the label keeps it out of the legends
PAPER_HOLLOW = dict(ls="", mfc="none", ms=9, mew=1.5, label="_printed")
GUIDE = dict(color="#767676", lw=0.8)  # a line to compare with: zero, a diagonal
# of signed pixels, everywhere: purple lowers a score, white leaves it, orange raises it
DIVERGING = LinearSegmentedColormap.from_list("diverging", ["#5E3C99", "#FFFFFF", "#E66101"])


def styles() -> dict[str, dict]:
    """Colour, mark and label of each method, and of the robust teacher, in the workbook's order."""
    own = {m: dict(color=h.colour, marker=h.marker, label=h.label) for m, h in METHODS.items()}
    return own | {"robust_teacher": dict(color="#806000", marker="8", label="robust teacher")}


def style(method: str) -> dict:
    """Colour, mark and label of a method; of "kd by pgd_at", KD's student of the robust teacher,
    the mark is hollow.
    """
    name, _, by = method.partition(" by ")
    own = styles().get(name, dict(color="#BBBBBB", marker="x", label=name))
    return {**own, "label": f"{own['label']}, robust teacher", "mfc": "white"} if by else own


def rank(methods: Iterable[str]) -> list[str]:
    """Methods in the workbook's order, unknown ones last."""
    order = list(styles())

    def place(method):
        name = method.partition(" by ")[0]
        return (order.index(name) if name in order else len(order), method)

    return sorted(methods, key=place)


def terms() -> dict[str, str]:
    """What figures call the columns of a history; the first method that has a word decides."""
    words = {"val_accuracy": "validation accuracy"}
    for how in METHODS.values():
        words |= {key: word for key, word in how.words.items() if key not in words}
    return words


def term(quantity: str, method: str = "") -> str:
    """What a column of a history is called in a figure, of this method if it has its own word."""
    own = METHODS[method].words if method in METHODS else {}
    return own.get(quantity) or terms().get(quantity, quantity)


def png(fig: Figure, dpi: int = 100) -> bytes:
    """A figure as small PNG bytes, the same bytes every time."""
    from PIL import Image

    raw = io.BytesIO()
    fig.savefig(raw, format="png", dpi=dpi)
    return squeezed(Image.open(raw).convert("RGB"))


def squeezed(picture: Any) -> bytes:
    """A Pillow RGB picture as PNG bytes: in 256 colours of its own, which makes it three times
    smaller, if no pixel's red, green or blue then moves by more than 24 of 255; else as it is.
    """
    from PIL import Image

    few = picture.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    moved = np.asarray(few.convert("RGB"), dtype=int) - np.asarray(picture, dtype=int)
    out = io.BytesIO()
    (few if np.abs(moved).max() <= 24 else picture).save(out, "png", optimize=True)
    return out.getvalue()


def picture_html(picture: bytes, alt: str) -> str:
    """PNG bytes as an <img>: the one form whose words JupyterLab and nbconvert keep both."""
    code = base64.b64encode(picture).decode()
    return f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{code}">'


def show(fig: Figure, alt: str) -> None:
    """Display a figure as a picture; `alt` says what it shows to readers who cannot see it."""
    from IPython.display import display

    bundle = {"text/html": picture_html(png(fig), alt), "text/plain": f"[figure: {alt}]"}
    display(bundle, raw=True)


def panels(columns: int, width: float, height: float, title: str = "", **more) -> tuple:
    """A figure and its row of axes, each of that size in inches; `more` for Figure.subplots."""
    if not columns:
        raise ValueError("0 panels: there is nothing to draw; choose rows of known quantities")
    fig = Figure(figsize=(width * columns, height), layout="constrained")
    if title:
        fig.suptitle(title, fontsize=10)
    axes = fig.subplots(1, columns, squeeze=False, **more)[0]
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    return fig, axes


def add_legend(fig: Figure, columns: int = 0, handles: Sequence = (), **more) -> None:
    """Name `handles` (default: all lines, each name once) in columns below a figure, or beside."""
    lines = [line for ax in fig.axes for line in ax.get_legend_handles_labels()[0]]
    named = {line.get_label(): line for line in handles or lines}
    place = dict(loc="outside right upper")
    if columns:
        place = dict(loc="outside lower center", ncols=columns)
    look = dict(handles=list(named.values()), frameon=False, fontsize=8)
    fig.legend(**place | look | more)


def draw_image(ax: Axes, image: ArrayLike, top: float | None = None, **more) -> None:
    """An image (h, w), (1, h, w) or RGB (3, h, w) of pixels in [0, 1], in grey 1 in black; with
    `top` one of signed values in [-top, top], of channels their mean.
    """
    image = np.asarray(image)
    if image.ndim == 3 and len(image) in (1, 3):
        drawn = image.clip(0, 1).transpose(1, 2, 0) if len(image) == 3 else image[0]
        image = drawn if top is None else image.mean(0)
    elif image.ndim != 2:
        raise ValueError(f"a picture is {image.shape}; give (h, w), (1, h, w) or RGB (3, h, w)")
    scale = dict(cmap="gray_r", vmin=0, vmax=1)
    if top is not None:
        scale = dict(cmap=DIVERGING, vmin=-top, vmax=top)
    ax.imshow(image, **dict(interpolation="nearest") | scale | more)
    ax.set(xticks=[], yticks=[])


def signed_pixels(values: ArrayLike, top: float) -> np.ndarray:
    """Signed values (h, w) as 8-bit colours (h, w, 3) of `DIVERGING`, full at +-`top`."""
    share = Normalize(-max(top, 1e-12), max(top, 1e-12), clip=True)(np.asarray(values))
    return DIVERGING(share, bytes=True)[..., :3]


def signed_bar(fig: Figure, axes: Sequence[Axes], label: str) -> None:
    """The bar that explains `DIVERGING` beside these axes, from -1 to 1 of what `label` says."""
    scale = ScalarMappable(Normalize(-1, 1), DIVERGING)
    bar = fig.colorbar(scale, ax=list(axes), shrink=0.8, aspect=30)
    bar.set_ticks([-1, 0, 1], labels=["-1\nlowers", "0", "1\nraises"], fontsize=8)
    bar.set_label(label, fontsize=8)


def name_rows(ax: Axes, names: Sequence[str]) -> None:
    """Name the rows 0, 1, ... of a panel, the first on top."""
    ax.set_yticks(range(len(names)), names, fontsize=8)
    ax.set_ylim(len(names) - 0.5, -0.5)


def draw_dot(ax: Axes, row: int, value: float, low: float, high: float, look: dict) -> None:
    """A mark at `value` in a row over its interval; no interval where its ends are nan."""
    if not np.isnan(low):
        bar = dict(color=look["color"], lw=4, alpha=0.4, solid_capstyle="butt")
        ax.plot([low, high], [row, row], **bar)
    ax.plot([value], [row], **look | {"ls": ""})


def as_table(rows: Any, *columns: str) -> DataFrame:
    """What a figure draws, with these columns: a table as it is; rows (dicts) of `evaluate.sweep`,
    whose key is the method, or of `theorem.margins`; a run of `train.fit`, its history, or a list
    of runs, a seed each; {method: one of these}. ValueError where a column or every row lacks.
    """
    table = _tidied(rows)
    wanted = ", ".join(columns)
    if not len(table):
        raise ValueError("there are 0 rows to draw; choose methods and data sets that have some")
    if lacking := ", ".join(c for c in columns if c not in table):
        raise ValueError(f"the rows lack {lacking}; this figure needs the columns {wanted}")
    return table


def _tidied(rows):
    if isinstance(rows, DataFrame):
        return rows
    if isinstance(rows, dict) and rows:
        parts = [_tidied(part).assign(method=method) for method, part in rows.items()]
        return concat(parts, ignore_index=True)
    if isinstance(rows, list) and rows and all(hasattr(run, "history") for run in rows):
        parts = [_tidied(run).assign(seed=i) for i, run in enumerate(rows)]
        return concat(parts, ignore_index=True)
    rows = getattr(rows, "history", rows)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        told = f"{type(rows).__name__} holds no rows to draw"
        raise ValueError(
            f"{told}; give a table, a list of dicts, a run or {{method: one of these}}"
        )
    table = DataFrame(rows).rename(columns={"key": "method"})
    if "method" not in table:
        table["method"] = "this network"
    if "epoch" in table and "quantity" not in table:
        table = table.melt(["method", "epoch"], var_name="quantity")
    return table
