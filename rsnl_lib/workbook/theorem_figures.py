"""The figures of the theorem's chapters (01, 04); like `figures`, each returns a closed Figure.
Colours say what holds.
"""

import numpy as np

from .palette import panels, rank, style

# a bound, an estimate, and what is neither look different in every figure (colour, line, mark)
KINDS = {
    "sound": dict(color="#0072B2", ls="-", marker="o"),
    "votes": dict(color="#009E73", ls="-.", marker="D"),
    "estimate": dict(color="#B8860B", ls="--", marker="^"),
    "no bound": dict(color="#D55E00", ls=":", marker="x"),
    "flip": dict(color="#000000", ls="-", marker="s"),
}
WORDS = {
    "sound": "sound",
    "votes": "sound for the smoothed order",
    "estimate": "an estimate",
    "no bound": "not a bound",
    "flip": "found by attack",
}


def colours(kind):
    return {k: KINDS[kind][k] for k in ("color", "ls")}


def one_dimension(delta, f_S, f_T, ratio, slope):
    """Scores of student and teacher along a line of perturbations, the head start's linear floor,
    and what Eq. 7 prints.
    """
    fig, axes = panels(1, 6.2, 3.2)
    ax, h = axes[0, 0], f_S - f_T
    ax.plot(delta, f_S, color=style("robust")["color"], label="$f_S$, student")
    ax.plot(delta, f_T, color=style("teacher")["color"], label="$f_T$, teacher")
    ax.fill_between(delta, f_T, f_S, where=h > 0, color=style("robust")["color"], alpha=0.12, lw=0)
    m = np.interp(0, delta, h)
    floor = f_T + np.clip(m - slope * np.abs(delta), 0, None)
    inside = np.abs(delta) <= ratio
    ax.plot(
        delta[inside],
        floor[inside],
        **colours("sound"),
        lw=1.5,
        label="at least here: $f_T + h(0) - G|\\delta|$",
    )
    for sign in (-1, 1):
        ax.axvline(sign * ratio, color="#767676", lw=0.8)
    wrong = (np.abs(delta) >= ratio) & (h > 0)
    ax.fill_between(
        delta,
        0,
        1,
        where=wrong,
        facecolor="none",
        edgecolor=KINDS["no bound"]["color"],
        hatch="///",
        lw=0,
        alpha=0.5,
        label="Eq. 7 says the teacher leads; it does not",
    )
    ax.set(xlabel="perturbation $\\delta$", ylabel="score of the true class", ylim=(0, 1))
    fig.legend(loc="outside right upper", frameon=False, fontsize=8)
    return fig


def gap_profile(R, curves, marks, title=""):
    """m / G(R) against R for several bounds of G; a certificate is where a curve crosses the
    diagonal.

    curves: {name: (kind, values)}; marks: {name: radius}, drawn as vertical lines.
    """
    fig, axes = panels(1, 6.8, 3.8)
    ax = axes[0, 0]
    ax.plot(R, R, color="#767676", lw=0.8)
    for i, (name, (kind, values)) in enumerate(curves.items()):
        ax.plot(
            R,
            values,
            **colours(kind),
            marker="osv^Dx"[i % 6],
            ms=4,
            lw=1.2,
            label=f"{name} ({WORDS[kind]})",
        )
    for name, radius in marks.items():
        ax.axvline(radius, color="#000000", lw=1, ls=":")
        ax.text(
            radius,
            0.99,
            f" {name}",
            rotation=90,
            va="top",
            ha="right",
            fontsize=8,
            transform=ax.get_xaxis_transform(),
        )
    ax.set(
        xlabel="radius $R$ of the ball",
        ylabel="$m / G(R)$",
        xscale="log",
        yscale="log",
        title=title,
    )
    fig.legend(loc="outside right upper", frameon=False, fontsize=8)
    return fig


def ladder(rows, title=""):
    """Each certificate as a share of the smallest flip found, one box a certificate (10 to 90 %),
    the red zone beyond 1.
    """
    names = [n for n in dict.fromkeys(rows.certificate) if n != "smallest flip found"]
    fig, axes = panels(1, 7.2, 0.9 + 0.36 * len(names))
    ax = axes[0, 0]
    ax.axvspan(1, 3, color=KINDS["no bound"]["color"], alpha=0.1, lw=0)
    for i, name in enumerate(names):
        part = rows[rows.certificate == name]
        share, colour = (part.value / part.flip).to_numpy(), KINDS[part.kind.iloc[0]]["color"]
        low, middle, high = np.quantile(share, (0.1, 0.5, 0.9))
        ax.plot(
            [max(low, 0.01), min(high, 3)],
            [i, i],
            color=colour,
            lw=6,
            alpha=0.35,
            solid_capstyle="butt",
        )
        ax.plot(
            [max(middle, 0.01)], [i], marker=KINDS[part.kind.iloc[0]]["marker"], color=colour, ls=""
        )
        ax.text(
            3.2,
            i,
            f"{middle:.2f}"
            + (f"   {int((share > 1).sum())} of {len(share)} beyond" if (share > 1).any() else ""),
            va="center",
            fontsize=8,
        )
    ax.set(
        xscale="log",
        xlim=(0.01, 3),
        ylim=(len(names) - 0.5, -0.5),
        xlabel="radius / smallest flip found (bar: 10 to 90 %, mark: median)",
        yticks=range(len(names)),
        xticks=[0.01, 0.03, 0.1, 0.3, 1],
        xticklabels=["0.01", "0.03", "0.1", "0.3", "1"],
        title=title,
    )
    ax.set_yticklabels(names, fontsize=8)
    fig.legend(
        *_kind_handles(rows.kind.unique()),
        loc="outside lower center",
        ncols=4,
        frameon=False,
        fontsize=8,
    )
    return fig


def _kind_handles(kinds):
    from matplotlib.lines import Line2D

    kinds = [k for k in KINDS if k in set(kinds) - {"flip"}]
    return [
        Line2D([], [], color=KINDS[k]["color"], marker=KINDS[k]["marker"], ls="") for k in kinds
    ], [WORDS[k] for k in kinds]


def sorted_radii(rows, shown, title=""):
    """Radii of every example, sorted by the flip found: no sound mark may lie above the black
    line.
    """
    fig, axes = panels(1, 6.8, 3.2)
    ax = axes[0, 0]
    flips = rows[rows.certificate == "smallest flip found"].set_index("image").value.sort_values()
    for i, name in enumerate(shown):
        part = rows[rows.certificate == name].set_index("image").value.reindex(flips.index)
        kind = rows[rows.certificate == name].kind.iloc[0]
        ax.plot(
            range(len(flips)),
            part,
            color=KINDS[kind]["color"],
            marker="^osvD"[i % 5],
            ms=3,
            ls="",
            label=f"{name} ({WORDS[kind]})",
        )
    ax.plot(range(len(flips)), flips, color="#000000", lw=1.5, label="smallest flip found")
    ax.set(yscale="log", xlabel="test images, sorted", ylabel="L2 radius", title=title)
    fig.legend(loc="outside right upper", frameon=False, fontsize=8)
    return fig


def lines(x, curves, xlabel, ylabel, title="", log=False, ylim=None, invert=False):
    """Named curves, {name: (kind or method, values)}, over x."""
    fig, axes = panels(1, 6.2, 3.2)
    ax = axes[0, 0]
    for name, (kind, values) in curves.items():
        look = (
            KINDS[kind]
            if kind in KINDS
            else {**{k: style(kind)[k] for k in ("color", "marker")}, "ls": "-"}
        )
        ax.plot(x, values, **look, ms=4, lw=1.5, label=name)
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title, xscale="log" if log else "linear")
    if log:
        ax.set_xticks(x, [f"{v:g}" for v in x])
        ax.minorticks_off()
    if ylim:
        ax.set(ylim=ylim)
    if invert:
        ax.invert_xaxis()
    fig.legend(loc="outside right upper", frameon=False, fontsize=8)
    return fig


def plane(h, reach, ratio, circles, title=""):
    """The head start h (k, k) on a square of side 2 reach: who leads, discs {label: (kind,
    radius)}, hatched where Eq. 7 errs.
    """
    from matplotlib.patches import Circle, Patch

    fig, axes = panels(1, 6.4, 4.2)
    ax, k = axes[0, 0], len(h)
    ticks = np.linspace(-reach, reach, k)
    X, Y = np.meshgrid(ticks, ticks, indexing="ij")
    ax.contourf(X, Y, h > 0, levels=[-0.5, 0.5, 1.5], colors=["#d9d9d9", "#fbe3cd"])
    ax.contour(X, Y, h, levels=[0], colors=["#000000"], linewidths=1.2)
    wrong = ((h > 0) & (np.hypot(X, Y) >= ratio)).astype(float)
    if wrong.any():
        ax.contourf(X, Y, wrong, levels=[0.5, 1.5], colors="none", hatches=["///"])
    patches = [
        Patch(color="#fbe3cd", label="student leads"),
        Patch(color="#d9d9d9", label="teacher leads"),
        Patch(
            facecolor="none",
            hatch="///",
            edgecolor="#000000",
            lw=0,
            label="Eq. 7 says teacher: wrong",
        ),
    ]
    for name, (kind, radius) in circles.items():
        if radius == np.inf:
            continue
        patches.append(
            ax.add_patch(
                Circle(
                    (0, 0),
                    radius,
                    fill=False,
                    lw=1.8,
                    **colours(kind),
                    label=f"{name} {radius:.3f}",
                )
            )
        )
    ax.plot([0], [0], "k+")
    ax.set(
        aspect="equal",
        xlabel="first principal direction",
        ylabel="second",
        title=title,
        xlim=(-reach, reach),
        ylim=(-reach, reach),
    )
    fig.legend(handles=patches, loc="outside right upper", frameon=False, fontsize=8)
    return fig


def score_pairs(rows, title=""):
    """The student's logit(f) against the teacher's, a panel a method: above the diagonal the
    student leads; clean, and (grey) noisy.

    Scores are stored to five digits, so beyond a logit of 11 the teacher's are drawn at 11; the
    lead above it is exact.
    """
    methods = [m for m in rank(rows.method.unique()) if m != "teacher"]
    fig, axes = panels(len(methods), 2.3, 2.7)

    def u_T(f):
        return np.log(f.clip(1e-7, 1 - 1.67e-5) / (1 - f.clip(1e-7, 1 - 1.67e-5)))

    for ax, method in zip(axes[0], methods):
        part = rows[rows.method == method]
        ax.plot([-9, 20], [-9, 20], color="#767676", lw=0.8)
        for f, lead, look in (
            (part.f_T_noisy, part.lead_noisy, dict(color="#767676", marker=".", alpha=0.6)),
            (part.f_T, part.lead, {k: style(method)[k] for k in ("color", "marker")}),
        ):
            ax.plot(u_T(f), u_T(f) + lead, ls="", ms=3, **look)
        ax.set(
            title=style(method)["label"],
            xlabel="teacher, logit $f_T$",
            xlim=(-9, 12),
            ylim=(-9, 20),
        )
    axes[0, 0].set_ylabel("student, logit $f_S$")
    fig.suptitle(title)
    return fig


def quantity_dots(table, quantities, title=""):
    """One panel a quantity {column: label}: a dot a network, by method, a bar for the mean (table:
    a row a network).
    """
    methods = rank(table.method.unique())
    fig, axes = panels(len(quantities), 2.1, 0.9 + 0.3 * len(methods))
    for j, (column, label) in enumerate(quantities.items()):
        ax = axes[0, j]
        for i, method in enumerate(methods):
            values = table[table.method == method][column].dropna()
            ax.plot(
                values,
                np.full(len(values), i),
                ls="",
                marker=style(method)["marker"],
                color=style(method)["color"],
                ms=4,
                alpha=0.7,
            )
            if len(values):
                ax.plot([values.mean()] * 2, [i - 0.3, i + 0.3], color=style(method)["color"], lw=2)
        ax.set(
            title=label,
            ylim=(len(methods) - 0.5, -0.5),
            yticks=range(len(methods)),
            yticklabels=[style(m)["label"] for m in methods] if j == 0 else [],
        )
        ax.title.set_fontsize(9)
        ax.tick_params(labelsize=8)
    fig.suptitle(title, fontsize=10)
    return fig


def against_accuracy(table, quantities, title=""):
    """Noise accuracy of every student against each quantity {column: label}, with Spearman's rank
    correlation.
    """
    from scipy.stats import spearmanr

    fig, axes = panels(len(quantities), 2.6, 2.9)
    methods = rank(table.method.unique())
    for ax, (column, label) in zip(axes[0], quantities.items()):
        for method in methods:
            part = table[table.method == method]
            ax.plot(
                part[column],
                part.accuracy,
                ls="",
                ms=4,
                alpha=0.8,
                label=style(method)["label"],
                **{k: style(method)[k] for k in ("color", "marker")},
            )
        ax.set(
            xlabel=label,
            title=(
                "rank correlation"
                f" {spearmanr(table[column], table.accuracy, nan_policy='omit')[0]:+.2f}"
            ),
        )
        ax.title.set_fontsize(9)
        ax.tick_params(labelsize=7, which="both")
    axes[0, 0].set_ylabel("accuracy in noise (%)")
    fig.legend(
        *axes[0, 0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=7,
        frameon=False,
        fontsize=8,
    )
    fig.suptitle(title, fontsize=10)
    return fig


def example(picture, g_S, g_T, t, f, method):
    """One image, the input gradients of student and teacher and their gap on one scale, and both
    logits f (k, 2) along the worst way.
    """
    fig, axes = panels(5, 2.1, 2.3)
    picture, g_S, g_T, t, f = map(np.asarray, (picture, g_S, g_T, t, f))
    scale = max(abs(g_S).max(), abs(g_T).max())
    axes[0, 0].imshow(picture, cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
    for ax, g, title in zip(
        axes[0, 1:4],
        (g_S, g_T, g_S - g_T),
        ("student's gradient", "teacher's gradient", "their gap"),
    ):
        ax.imshow(g, cmap="RdBu_r", vmin=-scale, vmax=scale, interpolation="nearest")
        ax.set_title(title, fontsize=9)
    for ax in axes[0, :4]:
        ax.set(xticks=[], yticks=[])
    for i, who in enumerate((method, "teacher")):
        axes[0, 4].plot(
            t,
            f[:, i],
            color=style(who)["color"],
            ls="--" if who == "teacher" else "-",
            label=style(who)["label"],
        )
    axes[0, 4].set(xlabel="length of the push")
    axes[0, 4].set_title("logit of the true score", fontsize=9)
    axes[0, 4].legend(frameon=False, fontsize=8)
    return fig
