"""Figures and tables of chapter 07, from rows: who breaks, and what robustness costs."""

import functools
from collections.abc import Sequence

from IPython.display import display
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from pandas import DataFrame, Series
from scipy.stats import spearmanr

from ..env import RESULTS
from ..measure.inference import paired
from ..store import frame, result_rows
from ..study import claims, jobs
from ..study.results import Results
from ..train.methods import METHODS
from . import figures, palette

NAMES = {"digits": "digits", "mnist": "MNIST"}
TRAINED_WITHIN = {"digits": 0.15, "mnist": 0.1}  # the radius of the attacks in training
KINDS = {  # what a network was trained on, and by whom
    "clean images": dict(color="#767676", marker="o"),
    "clean images, by the robust teacher": dict(color="#E69F00", marker="^"),
    "attacked images": dict(color="#0072B2", marker="s"),
}
CURVES = {  # who is drawn in which panel of `against_epsilon`
    "clean images": "teacher standard kd robust noise_augmented shuffled target_zero",
    "clean images, by the robust teacher": "kd robust target_zero",
    "attacked images": "robust_teacher pgd_at trades ard fast_ard",
}
SHORT = "PGD-AT, as short as Fast-ARD"
# accuracy in another place than under attack: its rows, by data set
PLACES = {
    "clean": {d: ("clean", 0, "") for d in TRAINED_WITHIN},
    "white noise": {"digits": ("gaussian", 3, "dB"), "mnist": ("gaussian", 1, "dB")},
    "Poisson noise": {"digits": ("poisson", 3, "dB"), "mnist": ("poisson", 1, "dB")},
    "a hidden square": {"digits": ("occlusion", 4, "pixels"), "mnist": ("occlusion", 10, "pixels")},
}


def kind_of(method: str) -> str:
    """Which of KINDS a method is; of "kd by pgd_at", KD's student of the robust teacher."""
    name, _, by = method.partition(" by ")
    if name == "robust_teacher" or "epsilon" in METHODS[name].settings:
        return "attacked images"
    return "clean images, by the robust teacher" if by else "clean images"


@functools.cache
def attack_shares(dataset: str) -> DataFrame:
    """`jobs.everyone` with `accuracy` in %."""
    rows = jobs.everyone(dataset)
    return rows.assign(accuracy=100 * rows.correct / rows.n)


def at_level(dataset: str, perturbation: str, level: float, unit: str = "linf") -> Series:
    """Accuracy in % of each network there, by method and seed."""
    rows = attack_shares(dataset)
    here = (rows.perturbation == perturbation) & (rows.level == level) & (rows.unit == unit)
    return rows[here].set_index(["method", "seed"]).accuracy


def under_attack(dataset: str) -> Series:
    """`at_level` of the plain attack at the radius of the training."""
    return at_level(dataset, "pgd", TRAINED_WITHIN[dataset])


def against_epsilon(dataset: str, title: str) -> Figure:
    """Accuracy against epsilon, a panel for each of KINDS, hollow the robust teacher's students; at
    the grey line the radius of the attacks in training.
    """
    rows = attack_shares(dataset)
    rows = rows[(rows.perturbation == "pgd") & (rows.level < 0.16)]
    seeds = rows.groupby("method").seed.nunique()
    about = f"{NAMES[dataset]}, first {rows.n.max()} test images, {seeds.max()} networks a method"
    one = seeds["robust_teacher"] == 1
    told = f"{title}\n{about}, {'one robust teacher' if one else 'each seed its own teachers'}"
    fig, axes = palette.panels(len(CURVES), 3.5, 3.8, told, sharey=True)
    for ax, (kind, methods) in zip(axes, CURVES.items()):
        found = {m: palette.style(m.partition(" by ")[0])["label"] for m in set(rows.method)}
        mine = [
            m for m in found if m.partition(" by ")[0] in methods.split() and kind_of(m) == kind
        ]
        ax.axvline(TRAINED_WITHIN[dataset], **palette.GUIDE)
        ax.set(ylim=(-3, 101))
        figures.draw_accuracy(ax, rows[rows.method.isin(mine)], "pgd", names=found)
        ax.set(xlabel="epsilon", xticks=[0.05, 0.1, 0.15])
        hollow = " (hollow)" if " by " in kind else ""
        ax.set_title(f"trained on {kind}{hollow}".replace(", ", ",\n"), fontsize=9)
    for ax in axes[1:]:
        ax.set_ylabel("")
    return fig


def _dots(ax, points, named):
    """A mark of its kind for each {method: (x, y)}, the names of `named` beside theirs."""
    for method, (x, y) in points.items():
        ax.plot([x], [y], ls="", ms=6, **KINDS[kind_of(method)])
        if method in named:
            right = dict(xytext=(7, -5)) if x < 70 else dict(xytext=(-8, 3), ha="right")
            name = palette.style(method)["label"]
            ax.annotate(name, (x, y), **right, textcoords="offset points", fontsize=8)


def _kinds_legend(fig):
    handles = [Line2D([], [], ls="", label=f"trained on {k}", **look) for k, look in KINDS.items()]
    palette.add_legend(fig, 3, handles)


def second_opinion(fell: float = 5) -> Figure:
    """The plain attack against AutoAttack's parts, one network (seed 0) a method; named are those
    that lose more than `fell` points to the second.
    """
    told = "Below the line AutoAttack's parts find more than the plain attack"
    told += "\nfirst 500 test images, one network a method"
    fig, axes = palette.panels(len(TRAINED_WITHIN), 4.2, 4.0, told)
    for ax, (dataset, at) in zip(axes, TRAINED_WITHIN.items()):
        first, second = (
            at_level(dataset, kind, at).xs(0, level=1) for kind in ("pgd", "autoattack")
        )
        points = {m: (first[m], second[m]) for m in palette.rank(second.index)}
        ax.plot([0, 100], [0, 100], **palette.GUIDE)
        _dots(ax, points, [m for m, (x, y) in points.items() if x - y > fell])
        ax.set(xlabel="accuracy under the plain attack (%)", xlim=(0, 100), ylim=(0, 100))
        ax.set_title(f"{NAMES[dataset]}, epsilon {at:g}", fontsize=9)
    axes[0].set_ylabel("under AutoAttack's parts (%)")
    _kinds_legend(fig)
    return fig


def elsewhere(dataset: str) -> DataFrame:
    """Accuracy in % of each kind of student under attack and in PLACES, mean over its networks."""
    attacked = under_attack(dataset)
    table = {"under attack": attacked}
    table |= {name: at_level(dataset, *where[dataset]) for name, where in PLACES.items()}
    students = DataFrame(table).loc[attacked.index].groupby("method").mean()
    return students.drop(index=["teacher", "robust_teacher"])


def attack_and_noise(tables: dict[str, DataFrame]) -> Figure:
    """{data set: `elsewhere`}: a row of panels each, a mark a kind of student, Spearman's rank
    correlation above each panel.
    """
    fig = Figure(figsize=(9.6, 2.6 * len(tables) + 0.5), layout="constrained")
    told = "On digits who resists attack resists noise; on MNIST less so"
    fig.suptitle(f"{told}\neach mark the mean of 5 networks on digits, 3 on MNIST", fontsize=10)
    axes = fig.subplots(len(tables), len(PLACES), squeeze=False)
    for row, (dataset, table) in zip(axes, tables.items()):
        attacked = table["under attack"]
        for ax, (place, where) in zip(row, PLACES.items()):
            _dots(ax, dict(zip(table.index, zip(table[place], attacked))), ())
            together = spearmanr(table[place], attacked)[0]
            level, unit = where[dataset][1:]
            told = f"{place}, {level} {unit}" if unit else place
            ax.set_title(f"{told}\nrank correlation {together:+.2f}", fontsize=9)
            low, high = ax.get_xlim()
            short = max(0, 4 - (high - low))  # hundredths are no cliffs
            ax.set_xlim(low - 0.9 * short, high + 0.1 * short)
            ax.set_xlabel("accuracy there (%)", fontsize=8)
            ax.tick_params(labelsize=8)
            ax.spines[["top", "right"]].set_visible(False)
        about = f"{NAMES[dataset]}, {len(table)} kinds of students\nunder attack (%)"
        row[0].set_ylabel(about, fontsize=9)
    _kinds_legend(fig)
    return fig


def inherited(methods: Sequence[str], title: str) -> Figure:
    """Accuracy under attack of `methods`: a dot a network, a bar for the mean."""
    found = {}
    for dataset, at in TRAINED_WITHIN.items():
        attacked = under_attack(dataset).reset_index("seed")
        guides = attacked.index.value_counts()["robust_teacher"]
        attacked = attacked[attacked.index.isin(methods)]
        told = f"{attacked.seed.nunique()} networks a method, robust teachers: {guides}"
        found[f"{NAMES[dataset]}, epsilon {at:g}\n{told}"] = attacked.accuracy
    told = "accuracy under attack (%), first 500 test images, a dot a network"
    fig = figures.method_dots(found, f"{title}\n{told}")
    fig.set_size_inches(8, 3.8)
    for ax in fig.axes:
        ax.set(xlim=(0, 100), xlabel="")
        ax.grid(axis="x", color="#DDDDDD", lw=0.6)
    return fig


def neighbour_effects(questions: Sequence[str]) -> DataFrame:
    """The lines of data/neighbours.csv on `questions`: means and 95 % intervals over seeds, points
    of accuracy; a column a data set.
    """
    done = Results(result_rows(RESULTS))
    table = {}
    for c in claims.explore(claims.read_lines("neighbours"), done):
        if c["question"] in questions and c["effects"]:
            told = f"{c['mean']:+.1f} [{c['low']:+.1f}, {c['high']:+.1f}]"
            table.setdefault(f"{NAMES[c['dataset']]}, {c['n']} seeds", {})[c["setting"]] = told
    return DataFrame(table).fillna("")


def folded(table: DataFrame, words: str) -> None:
    """Show a table folded under these words."""
    inside = f"<details><summary>{words}</summary>{table.to_html()}</details>"
    display({"text/html": inside, "text/plain": table.to_string()}, raw=True)


def prices(methods: Sequence[str]) -> DataFrame:
    """On digits, of the students `methods`: training time in multiples of KD's, accuracy under
    attack with its 95 % interval over seeds; SHORT is adversarial training of 8 epochs, not 60.
    """
    clock = frame(RESULTS / "clock.csv")
    ms = clock[clock.dataset == "digits"].set_index("method").ms
    rows = frame(RESULTS / "digits.csv", RESULTS / "attacks.csv")
    rows = rows[
        (rows.dataset == "digits") & (rows.method == "pgd_at") & (rows.perturbation == "pgd")
    ]
    rows = rows[(rows.settings == "epochs=8") & (rows.level == TRAINED_WITHIN["digits"])]
    attacked = under_attack("digits")
    table = {}
    for method in methods:
        epochs, found = 60, attacked.get(method)
        if method == SHORT:
            epochs, found = 8, 100 * rows.correct / rows.n
        name = "pgd_at" if method == SHORT else method.partition(" by ")[0]
        table[method] = ms[name] * epochs / ms["kd"] / 60, *paired(list(found))[:3]
    return DataFrame(table, index=["times KD", "attacked", "low", "high"]).T


def price_dots(found: DataFrame, title: str) -> Figure:
    """`prices`: training time on the left, accuracy under attack on the right."""
    told = f"{title}\ndigits, epsilon 0.15, first 500 test images, 5 networks a method"
    told += ", each seed its own teacher"
    fig, (time, gain) = palette.panels(2, 4.2, 1.1 + 0.3 * len(found), told, sharey=True)
    names = []
    for at, (method, p) in enumerate(found.iterrows()):
        look = palette.style("pgd_at" if method == SHORT else method.partition(" by ")[0])
        names.append(method if method == SHORT else look["label"])
        time.barh(at, p["times KD"], color=look["color"], height=0.6)
        time.annotate(f" {p['times KD']:.1f}", (p["times KD"], at), va="center", fontsize=8)
        mark = look | dict(marker="o", ms=5)
        palette.draw_dot(gain, at, p["attacked"], p["low"], p["high"], mark)
    palette.name_rows(time, names)
    time.set_title("training time, in multiples of KD's", fontsize=9)
    gain.set_title("accuracy under attack (%), 95 % bars", fontsize=9)
    gain.set_xlim(0, 75)
    gain.grid(axis="x", color="#DDDDDD", lw=0.6)
    return fig
