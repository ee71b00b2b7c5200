"""README.md and RESULTS.md against the rows, by a count that shares nothing with the library: every
number of them is counted here again, stands in a chapter's output, or is defined.
"""

import functools
import re
import statistics

import numpy as np
import pytest
import recount as r
from scipy.stats import spearmanr

FRESH = (3, 4)  # the fresh teachers with every length of training
SIX = range(3, 9)
SQUARES = [("occlusion", float(side), "pixels") for side in (2, 4, 6, 8, 10)]
ARMS = ("target_zero", "shuffled", "matched")
LENGTHS = ("epochs=2", "", "images=6400", "epochs=24 images=6400")


@pytest.fixture(scope="module")
def rows():
    return r.counted()


def over_kd(rows, method, t, conditions=r.WHITE, settings="", weight=""):
    """Points of a registered arm over KD under teacher t."""
    words = " ".join(filter(None, [weight, settings]))
    a, b = (r.fresh("mnist", m, w, t) for m, w in ((method, words), ("kd", settings)))
    return r.mean(rows, a, conditions) - r.mean(rows, b, conditions)


def pair(rows, *args, **how):
    return [over_kd(rows, args[0], t, *args[1:], **how) for t in FRESH]


def there(values):
    return [v for v in values if v == v]


def ends(values):
    return np.min(values), np.max(values)  # nan where one is


def leads(rows):
    """Teacher minus a student on labels alone, clean: first teachers' mean, the fresh ones'."""
    first = [
        r.mean(rows, r.run("mnist", "teacher", s), r.CLEAN)
        - r.mean(rows, r.run("mnist", "standard", s), r.CLEAN)
        for s in range(3)
    ]
    fresh = [
        r.mean(rows, r.fresh("mnist", "teacher", "", t), r.CLEAN)
        - r.mean(rows, r.fresh("mnist", "standard", "", t), r.CLEAN)
        for t in FRESH
    ]
    return statistics.fmean(first), statistics.fmean(fresh)


def digits(rows, method, conditions, robust=False):
    """The mean over five seeds on digits, in %."""
    keys = [r.run("digits", method, s, s, robust=robust) for s in range(5)]
    return statistics.fmean(r.mean(rows, key, conditions) for key in keys)


UNDER_ATTACK = {"digits": [("pgd", 0.15, "linf")], "mnist": [("pgd", 0.1, "linf")]}


def attacked(rows, dataset, method, robust=False, conditions=None):
    """Accuracy under attack seed by seed; a robust MNIST teacher is seed 0's."""
    seeds = range(5 if dataset == "digits" else 3)
    keys = [
        r.run(dataset, method, s, 0 if robust and dataset == "mnist" else s, robust=robust)
        if method != "teacher"
        else r.run(dataset, method, s)
        for s in seeds
    ]
    return [r.mean(rows, key, conditions or UNDER_ATTACK[dataset]) for key in keys]


def versus(rows, dataset, a, b, conditions=None):
    """(mean, low, high) of paired differences under attack; a and b (method, robust teacher)."""
    sides = [attacked(rows, dataset, *side, conditions=conditions) for side in (a, b)]
    return r.t_interval([x - y for x, y in zip(*sides)])[:3]


def slopes(column, method, settings, other=False):
    """The mean over both teachers of a column of slopes.csv, by the own or the other teacher."""
    found = []
    for t in FRESH:
        key = dict(zip(r.RUN, r.fresh("mnist", method, settings, t)))
        guide = f"mnist_teacher-teacher-short-s{7 - t if other else t}-dropout=0.5"
        for row in r.lines(r.RESULTS / "slopes.csv"):
            same = all(row[c] == v for c, v in key.items() if c in row)
            if same and row["reference"] == guide:
                found.append(float(row[column]))
    assert len(found) == 2
    return statistics.fmean(found)


def shared(method, settings, teachers=FRESH):
    """The mean over teachers of the share of mistakes that are the own teacher's."""
    return statistics.fmean(r.agreement(method, settings, t, t) for t in teachers)


def excesses(method, settings):
    """Each teacher's share of mistakes that are its own student's minus the others' mean share."""
    return [r.excess(method, settings, t, SIX) for t in SIX]


def correlations(rows):
    """Rank correlation of a teacher's lead over KD with a student's, over 28 levels."""
    levels = [("clean", 0.0, "")]
    levels += [(k, float(v), "dB") for k in ("gaussian", "poisson") for v in range(10, 0, -1)]
    levels += [("occlusion", float(side), "pixels") for side in range(2, 15, 2)]
    found = []
    for method in ("robust", "target_zero"):
        sides = []
        for name in ("teacher", method):
            gain = [
                [r.first(rows, "mnist", name, s, [c]) - r.first(rows, "mnist", "kd", s, [c])]
                for c in levels
                for s in range(1, 6)
            ]
            sides.append(np.reshape(gain, (-1, 5)).mean(1))
        found.append(spearmanr(*sides)[0])
    return (*found, len(levels))


@functools.cache
def margins():
    """{run: {column: its numbers}} of margins.csv on digits."""
    found = {}
    for row in r.lines(r.RESULTS / "margins.csv"):
        if row["dataset"] == "digits" and row["method"] != "teacher":
            key = tuple(row.get(c, "") for c in r.RUN)
            for column in ("estimate", "wrong"):
                if row[column]:
                    kept = found.setdefault(key, {}).setdefault(column, [])
                    kept.append(float(row[column]))
    return found


def bound_and_noise(rows, network, column):
    """(rank correlation of the median of a column with accuracy at 0 dB, how many students)."""
    kept = {k: v for k, v in margins().items() if k[2] == network}
    accuracy = [rows[k]["gaussian", 1.0, "ratio"] for k in kept]
    medians = [statistics.median(v[column]) for v in kept.values()]
    return spearmanr(medians, accuracy)[0], len(kept)


def mean_bound(method):
    kept = [v["estimate"] for k, v in margins().items() if k[1:3] == (method, "digits_student")]
    return statistics.fmean(statistics.fmean(v) for v in kept)


def trial(rows, method):
    """(clean, 4 dB) of the CIFAR-10 trial over KD's student."""
    teacher = "cifar_teacher@0.25 epochs=10"
    told = ("cifar10", method, "cifar_student1", teacher, "short", "epochs=10", "", "0")
    base = (*told[:1], "kd", *told[2:])
    return [
        r.mean(rows, told, c) - r.mean(rows, base, c) for c in (r.CLEAN, [("gaussian", 4.0, "dB")])
    ]


def angles(method):
    """The mean AngSim of an MNIST student with its own plain teacher."""
    kept = [
        float(row["ang"])
        for row in r.lines(r.RESULTS / "similarity.csv")
        if (row["dataset"], row["method"], row["recipe"], row["settings"])
        == ("mnist", method, "short", "")
        and row["teacher"].split(" seed")[0] == "mnist_teacher"
    ]
    return statistics.fmean(kept)


def results_numbers(rows):
    """(the words of RESULTS.md with places for numbers, the numbers)."""
    past = r.first_register(rows)
    first, fresh = leads(rows)
    ranks = correlations(rows)
    noisy = [("gaussian", 1.0, "ratio")]
    controls = [over_kd(rows, m, t, r.POISSON) for m in ARMS for t in SIX]
    hidden = [over_kd(rows, m, t, SQUARES) for m in ARMS for t in SIX]
    behind = {m: [over_kd(rows, "robust", t) - over_kd(rows, m, t) for t in SIX] for m in ARMS}
    lengths = [[over_kd(rows, "robust", t, settings=s) for t in SIX] for s in LENGTHS[:2]]
    alone = [there(over_kd(rows, m, t) for t in SIX) for m in ("score_only", "noise_augmented")]
    smooth = ("robust", "kd", *ARMS)
    square = {m: [slopes("square_S", m, s) for s in ("epochs=2", "")] for m in smooth}
    small = [ends([square[m][i] for m in ARMS]) for i in (0, 1)]
    cosine = [slopes("cosine", "robust", s) for s in ("epochs=2", "")]
    met = [slopes("cosine", "robust", s, other=True) for s in ("epochs=2", "")]
    wrong = {m: [shared(m, s) for s in LENGTHS] for m in ("robust", *ARMS)}
    met_by_six = {m: [shared(m, s, SIX) for s in LENGTHS[:2]] for m in ("robust", "kd")}
    own = [excesses("robust", s) for s in LENGTHS[:2]]
    grown = [statistics.fmean(v) for v in own]
    others = [m - e for m, e in zip(met_by_six["robust"], grown)]
    assert [v > 0 for v in own[1]].count(True) == 4
    rest = [statistics.fmean(excesses(m, "")) for m in ("kd", *ARMS)]
    auto = [("autoattack", 0.1, "linf")]
    plain = ("teacher", "kd", "robust", "shuffled", "target_zero", "pgd_at")
    told = {m: statistics.fmean(attacked(rows, "mnist", m)) for m in plain}
    taught = ("robust", "fast_ard", "ard")
    by = {m: statistics.fmean(attacked(rows, "mnist", m, True)) for m in taught}
    kd_auto, robust_auto = (
        statistics.fmean(attacked(rows, "mnist", m, conditions=auto)) for m in ("kd", "robust")
    )
    bss = [statistics.fmean(attacked(rows, "mnist", "bss", robust)) for robust in (False, True)]
    guide = r.mean(rows, r.run("mnist", "pgd_at", 0, "itself"), UNDER_ATTACK["mnist"])
    conv = [bound_and_noise(rows, "digits_student", c) for c in ("estimate", "wrong")]
    dense = [bound_and_noise(rows, "digits_mlp_student", c) for c in ("estimate", "wrong")]
    gain = {m: digits(rows, m, noisy) - digits(rows, "kd", noisy) for m in ("direct", "robust")}
    words = [v[5] for v in past.values()]
    counts = [words.count(w) for w in ("a loss", "too small to matter", "no worse", "undecided")]
    return [
        ("alone ({:+.2f} points on clean images)", [first]),
        ("five seeds at C1 = 10: {:+.2f} [{:+.2f}, {:+.2f}]", past["white-kd"][1:4]),
        ("which do lead ({:+.2f})", [fresh]),
        ("all six teachers (C1 = 10: {:+.1f} to {:+.1f};", ends(lengths[0])),
        ("after 8: {:+.1f} to {:+.1f})", ends(lengths[1])),
        *(
            (f"*{m.replace('_', ' ')}* " + ", ".join(["{:+.1f}"] * 6), behind[m])
            for m in ("shuffled", "target_zero", "matched")
        ),
        ("every control gains too (teachers 3 to 8, {:+.1f} to {:+.1f})", ends(controls)),
        ("behind squares as well ({:+.1f} to {:+.1f});", ends(hidden)),
        ("L_S alone in white noise " + ", ".join(["{:+.1f}"] * len(alone[0])), alone[0]),
        ("on noisy images " + ", ".join(["{:+.1f}"] * len(alone[1])), alone[1]),
        ("of the robust student is {:.3f} and", square["robust"][:1]),
        ("controls {:.3f} to {:.3f}, of KD {:.3f};", [*small[0], square["kd"][0]]),
        ("{:.3f}, {:.3f} to {:.3f} and {:.3f}.", [square["robust"][1], *small[1], square["kd"][1]]),
        ("gradient rises from {:.2f} to {:.2f}", cosine),
        ("never met from {:.2f} to {:.2f})", met),
        ("end at {:.2f} to {:.2f}.", ends([slopes("cosine", m, "") for m in ARMS])),
        ("3 to 8, {:.0f} % of its wrong labels at 1 dB are its", met_by_six["robust"][:1]),
        ("and {:.0f} % after 8 (of the", met_by_six["robust"][1:]),
        ("other teachers': {:.0f} and {:.0f} %)", others),
        ("of KD's {:.0f} and {:.0f} %", met_by_six["kd"]),
        ("grows from {:+.1f} to {:+.1f} points, but", grown),
        ("controls it is {:+.1f} at most", [max(rest)]),
        ("8 to 24 epochs: {:.0f} to {:.0f} %", wrong["robust"][2:]),
        ("controls end at {:.0f} to {:.0f} %", ends([wrong[m][3] for m in ARMS])),
        ("loses {:.1f} points more)", [-past["white-drop"][1]]),
        ("behind *shuffled* ({:+.1f})", past["control-shuffled"][1:2]),
        ("KD on noisy images ({:+.1f})", past["control-noise"][1:2]),
        ("Poisson noise ({:+.1f} over KD)", past["poisson-kd"][1:2]),
        ("hidden squares ({:+.1f}) point", past["occlusion-kd"][1:2]),
        ("clean accuracy ({:+.1f} against KD)", past["clean-kd"][1:2]),
        ("FitNet in white noise ({:+.1f})", past["white-fitnet"][1:2]),
        ("no gain, {} a loss, {} too small to matter, {} no worse, {} undecided", counts),
        ("({} comparisons, five seeds", [len(past)]),
        ("all {} leaves, in either", [len(past)]),
        ("correlation {:+.3f} over {} levels", ranks[::2]),
        ("*target zero* reaches {:+.3f}", ranks[1:2]),
        ("({:.1f} against {:.1f} % at", [digits(rows, m, noisy) for m in ("robust", "kd")]),
        ("noisy images ({:.1f} %)", [digits(rows, "noise_augmented", noisy)]),
        ("zero* ({:.1f} %) and", [digits(rows, "target_zero", noisy)]),
        ("*shuffled* ({:.1f} %,", [digits(rows, "shuffled", noisy)]),
        ("({:+.1f} points on clean images, {:+.1f} at 4 dB)", trial(rows, "robust")),
        ("(*target zero*: {:+.1f}, {:+.1f})", trial(rows, "target_zero")),
        (
            "(KD: {:+.1f} points [{:+.1f}, {:+.1f}])",
            versus(rows, "digits", ("kd", True), ("kd", False)),
        ),
        ("gains {:.1f} over", versus(rows, "digits", ("robust", True), ("kd", True))[:1]),
        ("zero*: {:+.1f} by", versus(rows, "digits", ("target_zero", True), ("kd", True))[:1]),
        (
            "difference of {:.1f} [{:+.1f}, {:+.1f}]",
            versus(rows, "digits", ("robust", True), ("target_zero", True)),
        ),
        ("; {:+.1f} by the", versus(rows, "digits", ("target_zero", False), ("kd", False))[:1]),
        ("keeps {:.1f} %, as much", [digits(rows, "shuffled", UNDER_ATTACK["digits"], True)]),
        ("by it ({:.1f} %)", [digits(rows, "robust", UNDER_ATTACK["digits"], True)]),
        ("direction, {:.1f} %", [digits(rows, "matched", UNDER_ATTACK["digits"], True)]),
        (
            "({:+.1f} [{:+.1f}, {:+.1f}]); Fast-ARD",
            versus(rows, "digits", ("ard", True), ("pgd_at", False)),
        ),
        ("up {:.1f} points to", [-versus(rows, "digits", ("fast_ard", True), ("ard", True))[0]]),
        ("teachers keep {:.1f} %, KD", [told["teacher"]]),
        ("student {:.1f} %, *robust* {:.1f} %", [told["kd"], told["robust"]]),
        ("KD keeps {:.1f} % and *robust* {:.1f} %", [kd_auto, robust_auto]),
        (
            "({:+.1f} [{:+.1f}, {:+.1f}]). By",
            versus(rows, "mnist", ("robust", False), ("kd", False), auto),
        ),
        ("which keeps {:.1f} %, *robust* keeps {:.1f} %", [guide, by["robust"]]),
        ("plain ones {:.1f} % and *target zero* {:.1f} %", [told["shuffled"], told["target_zero"]]),
        ("Fast-ARD keeps {:.1f} %", [by["fast_ard"]]),
        ("training {:.1f} %, ARD {:.1f} %.", [told["pgd_at"], by["ard"]]),
        ("keeps {:.1f} %, by the robust teacher {:.1f} %", bss),
        ("{:+.2f} over {} convolutional", conv[0]),
        ("{:+.2f} over {} fully", dense[0]),
        ("misclassification does ({:+.2f}, {:+.2f})", [conv[1][0], dense[1][0]]),
        ("gains {:.1f} points at 0 dB where *robust* gains {:.1f}", gain.values()),
    ]


def readme_numbers(rows):
    """The same of README.md."""
    by, verdicts = r.second_register(rows)
    white = verdicts["white-kd"]
    one, *five = sorted(map(statistics.median, zip(*by["white-kd"].values())))
    assert -0.2 < one < 0.2 and len(five) == 5 and five[0] > 0.5 and white["word"] == "open"
    for line in ("white-fitnet", "white-teacher", "poisson-kd"):
        assert verdicts[line]["word"] == "supported"
    past = r.first_register(rows)
    return [
        ("is {:.1f} points *below*", [-past["white-kd"][1]]),
        ("and {:.1f} *above* it under six", [statistics.fmean(by["white-kd"][""])]),
        ("over three weights {:.1f} (five", [white["mean"]]),
    ]


# what a chapter's output says, which another processor may print a digit apart
IN_CHAPTERS = {
    "34 dB": ("01_theorem", "noise at 34 dB"),
    "201 test images": ("01_theorem", "digits, 201 images"),
    ".90 on digits": ("08_boundary", "walk's length +0.90"),
    ".98 on MNIST": ("08_boundary", "walk's length +0.98"),
}
NO_NUMBERS = (r"```.*?```", r"[Cc]hapters? \[?\d\d(?: and \d\d)?", r"\]\([^)]*\)")
NO_NUMBERS += (r"`[^`]*`", r"\$[^$]*\$", r"C1 = \d+")  # names, code, formulas, settings
ANGLES = ["KD .283, BSS .482"]
# numbers that are no finding: sizes, settings, levels, how much was looked at
DEFINED = {
    "README.md": "1 3 2 1807.11158 -3 3.11 10 0 2018 15 16 7 4.0",
    "RESULTS.md": "1 2 3 4 6 8 24 10 20 50,000 6,400 10,000 500 0 1.0 0.15 0.1 5 20,000 100 360,816"
    " 29,944 1805.05532 1905.09747 1912.05699",
}


def text_of(name):
    return (r.ROOT / name).read_text("utf-8")


def without_tables(text):
    return "\n".join(line for line in text.splitlines() if not line.startswith("|"))


BOTH = [("README.md", readme_numbers), ("RESULTS.md", results_numbers)]


@pytest.mark.parametrize("name, counted", BOTH)
def test_every_number_is_counted_again_or_defined(name, counted, rows):
    text = without_tables(text_of(name))
    for words, values in counted(rows):
        told = words.format(*values)
        assert text.count(told) >= 1, f"{name} does not say: {told}"
        text = text.replace(told, " ")
    for words, (book, output) in IN_CHAPTERS.items() if name == "RESULTS.md" else ():
        notebook = text_of(f"notebooks/{book}.ipynb")
        assert words in text and output in notebook, words
        text = text.replace(words, " ")
    for words in ANGLES:
        text = text.replace(words, " ")
    for pattern in NO_NUMBERS:
        text = re.sub(pattern, " ", text, flags=re.S)
    left = re.findall(r"(?<![\w.])[-+]?\d*\.?\d[\d,]*(?:\.\d+)?", text)
    odd = [n for n in left if n.rstrip(",").lstrip("+") not in DEFINED[name].split()]
    assert not odd, f"{name}: {odd} are counted nowhere"


def test_angles_of_results():
    told = [f"{angles(m):.3f}".lstrip("0") for m in ("kd", "bss")]
    assert ANGLES == ["KD {}, BSS {}".format(*told)] and ANGLES[0] in text_of("RESULTS.md")


def test_the_table_of_lengths(rows):
    (table,) = re.findall(r"^\| epochs, images \|.*?(?=\n\n)", text_of("RESULTS.md"), re.M | re.S)
    lines = [[c.strip() for c in row.strip("| ").split("|")] for row in table.splitlines()[2:]]
    arms = [("robust", ""), ("robust", "C1=3"), ("robust", "C1=1"), *((m, "") for m in ARMS)]
    for cells, settings in zip(lines, LENGTHS, strict=True):
        for cell, (method, weight) in zip(cells[1:], arms, strict=True):
            d = pair(rows, method, settings=settings, weight=weight)
            assert cell == ("" if d[0] != d[0] else f"{d[0]:+.1f}, {d[1]:+.1f}")


def test_the_table_of_the_register(rows):
    (table,) = re.findall(r"^\| claim \| points.*?(?=\n\n)", text_of("RESULTS.md"), re.M | re.S)
    told = [[c.strip() for c in row.strip("| ").split("|")] for row in table.splitlines()[2:]]
    by, verdicts = r.second_register(rows)
    text = text_of("data/claims/README.md")
    power = dict(re.findall(r"^\| ([\w-]+) \| [\d.]+ \| ([\d.]+) \|", text, re.M))
    every = r.lines(r.ROOT / "data" / "claims" / "lines.csv")
    judged = [line for line in every if verdicts[line["line"]]["word"] != "not run"]
    for cells, line in zip(told, judged, strict=True):
        key, said = line["line"], line["says"]
        found, d = verdicts[key], by[key]
        weights = ("", "C1=3", "C1=1") if len(d) > 1 else ()
        each = [f"{statistics.fmean(d[w]):+.2f}" if w in d else "–" for w in weights]
        effect = "{mean:+.2f} [{low:+.2f}, {high:+.2f}]".format(**found)
        wanted = [said[0].upper() + said[1:], effect, f"{found['p']:.3f}", found["word"]]
        assert cells == [*wanted, ", ".join(each), power[key]]


def near(told, value):
    """Is a printed number the value rounded to its digits, a tie either way?"""
    return abs(float(told) - value) <= 0.5 * 10 ** -len(told.split(".")[1]) + 1e-9


def test_the_table_of_networks(rows):
    (table,) = re.findall(r"^\| test accuracy, % \|.*?(?=\n\n)", text_of("RESULTS.md"), re.M | re.S)
    keys = [r.CLEAN, *([("gaussian", v, "dB")] for v in (3.0, 1.0)), [("poisson", 1.0, "dB")]]
    keys.append([("occlusion", 10.0, "pixels")])
    names = {"MNIST teacher": "teacher", "standard": "standard", "KD": "kd", "FitNet": "fitnet"}
    names |= {"robust": "robust", "*target zero*": "target_zero", "*shuffled*": "shuffled"}
    names |= {"*noise augmented*": "noise_augmented", "mimic": "mimic", "*direct*": "direct"}
    lines = table.splitlines()[2:]
    assert len(lines) == len(names)
    for line in lines:
        name, n, *cells = [c.strip() for c in line.strip("| ").split("|")]
        method = next(m for start, m in names.items() if name.startswith(start))
        for cell, conditions in zip(cells, keys, strict=True):
            mine = [r.first(rows, "mnist", method, s, conditions) for s in range(int(n))]
            mean, _, spread = cell.partition(" ")
            assert near(mean, statistics.fmean(mine)), (name, cell)
            if spread:
                assert near(spread.strip("()"), statistics.stdev(mine)), (name, cell)


def test_the_bound_of_direct_is_six_times_kds(rows):
    assert 5.5 < mean_bound("direct") / mean_bound("kd") < 6.5


@pytest.mark.parametrize("change", ["a row", "a sign", "a digit of the text"])
def test_a_change_is_seen(change, rows, monkeypatch):
    other = {k: dict(v) for k, v in rows.items()}
    if change == "a row":
        del other[r.fresh("mnist", "kd", "", 4)]["poisson", 2.0, "dB"]
    elif change == "a sign":
        a, b = (r.fresh("mnist", m, "", 3) for m in ("robust", "kd"))
        other[a], other[b] = other[b], other[a]
    else:
        text = text_of("RESULTS.md").replace("-1.94 [", "-1.95 [")
        monkeypatch.setitem(globals(), "text_of", lambda name: text)
    with pytest.raises(AssertionError, match="does not say"):
        test_every_number_is_counted_again_or_defined("RESULTS.md", results_numbers, other)
