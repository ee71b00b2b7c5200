"""One look for all figures: colours, marks, labels, and how a figure becomes a picture."""

import base64
import io

from matplotlib.figure import Figure

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


def style(method):
    """Colour, mark and label of a method; of "kd by pgd_at", KD's student of the robust teacher,
    the mark is hollow.
    """
    name, _, by = method.partition(" by ")
    own = METHODS.get(name, dict(color="#BBBBBB", marker="x", label=name))
    return {**own, "label": f"{own['label']}, robust teacher", "mfc": "white"} if by else own


def look(method):
    """`style` without its label: colour and mark."""
    return {k: v for k, v in style(method).items() if k != "label"}


def rank(methods):
    """Methods in the workbook's order, unknown ones last."""
    order = list(METHODS)

    def place(m):
        return order.index(m) if m in order else len(order)

    return sorted(methods, key=lambda m: (place(m.partition(" by ")[0]), m))


def png(fig, dpi=100, colours=128):
    """A figure as small PNG bytes, the same bytes every time."""
    from PIL import Image

    raw, out = io.BytesIO(), io.BytesIO()
    fig.savefig(raw, format="png", dpi=dpi)
    Image.open(raw).convert("RGB").quantize(colours, dither=Image.Dither.NONE).save(
        out, "png", optimize=True
    )
    return out.getvalue()


def show(fig, alt):
    """Display a figure as a picture; `alt` says in words what it shows, for readers who cannot see
    it.
    """
    from IPython.display import display

    picture = base64.b64encode(png(fig)).decode()
    display(
        {"image/png": picture, "text/plain": f"[figure: {alt}]"},
        raw=True,
        metadata={"image/png": {"alt": alt}},
    )


def panels(columns, width, height):
    fig = Figure(figsize=(width * columns, height), layout="constrained")
    axes = fig.subplots(1, columns, squeeze=False)
    for ax in axes.flat:
        ax.spines[["top", "right"]].set_visible(False)
    return fig, axes


def table(rows, *columns):
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


def label_lines(ax, ends, gap):
    """Write each line's name at its right end, (x, y, method), moved apart to keep `gap` between
    them.
    """
    placed = []
    for x, y, method in sorted(ends, key=lambda e: e[1]):
        at = max(y, placed[-1] + gap) if placed else y
        placed.append(at)
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
