"""Every number of the verdict counted again from the files of rows alone: nothing of the library is
used, so that a mistake of the library would have to be made twice.
"""

import csv
import io
import lzma
import math
import pathlib
import statistics
import zipfile
from collections import defaultdict

import numpy as np
from register_twice import judge
from scipy import stats

ROOT = pathlib.Path(__file__).resolve().parents[2]
RESULTS = ROOT / "data" / "results"
NAN = float("nan")
RUN = "dataset method network teacher recipe settings train_noise seed".split()
WHITE = [("gaussian", level, "dB") for level in (1.0, 2.0, 3.0)]
POISSON = [("poisson", level, "dB") for level in (1.0, 2.0, 3.0)]
CLEAN = [("clean", 0.0, "")]
FOLDED = {"few": ("", "C1=1"), "mnist": ("", "C1=1", "C1=3"), "usps": ("", "C1=1")}


def lines(path):
    """The rows of a CSV file, those packed beside it (NAME.csv.xz) first."""
    packed = path.with_name(f"{path.name}.xz")
    text = lzma.decompress(packed.read_bytes()).decode() if packed.is_file() else ""
    more = path.read_text("utf-8")
    text += more.partition("\n")[2] if text else more
    return list(csv.DictReader(io.StringIO(text, newline="")))


def counted(files=("mnist", "usps", "digits", "cifar10", "attacks"), folder=RESULTS):
    """{run: {(perturbation, level, unit): share of right answers}}."""
    found = defaultdict(dict)
    for file in files:
        for row in lines(folder / f"{file}.csv"):
            key = (row["perturbation"], float(row["level"]), row["unit"])
            found[tuple(row[c] for c in RUN)][key] = int(row["correct"]) / int(row["n"])
    return found


def run(dataset, method, seed, guide=None, settings="", noise="", robust=False, own=""):
    """The key of a run by the recipe "short": `guide` its teacher's seed, `robust` a robust
    teacher, `own` the settings of its teacher.
    """
    base = "mnist" if dataset == "usps" else dataset
    taught = method not in ("teacher", "standard", "pgd_at", "trades")
    network = f"{base}_teacher" if method == "teacher" or guide == "itself" else f"{base}_student"
    words = [f"{base}_teacher", "pgd_at" if robust else "", own]
    words += [f"seed {guide}"] if guide not in (None, seed) else []
    teacher = " ".join(filter(None, words)) if taught else ""
    return (dataset, method, network, teacher, "short", settings, noise, str(seed))


def mean(rows, key, conditions):
    """The mean share (%) of a run over conditions; nan where one is missing."""
    mine = rows.get(key, {})
    if not all(c in mine for c in conditions):
        return NAN
    return 100 * statistics.fmean(mine[c] for c in conditions)


def first(rows, dataset, method, seed, conditions, noise=""):
    """The mean share (%) of a network of the first register."""
    guide = seed if dataset == "digits" else seed % 3
    if method == "teacher":
        return mean(rows, run(dataset, "teacher", guide), conditions)
    return mean(rows, run(dataset, method, seed, guide, noise=noise), conditions)


def t_interval(d):
    """(mean, low, high, p) of paired differences by Student's t."""
    n, m = len(d), statistics.fmean(d)
    error = statistics.stdev(d) / math.sqrt(n)
    reach = stats.t.ppf(0.975, n - 1) * error
    return m, m - reach, m + reach, 2 * stats.t.sf(abs(m) / error, n - 1)


def holm(ps):
    """Holm's correction."""
    out, worst = [0.0] * len(ps), 0.0
    for place, i in enumerate(sorted(range(len(ps)), key=lambda k: ps[k])):
        worst = max(worst, min(1.0, (len(ps) - place) * ps[i]))
        out[i] = worst
    return out


def plain_word(decides, margin, m, low, high, p):
    """A word by chapter 09's rule."""
    if decides == "no worse":
        if low > -margin:
            return "no worse"
        return "a loss" if high < -margin else "undecided"
    small = low > -margin and high < margin
    if p <= 0.05:
        return ("a gain" if m > 0 else "a loss") + (", within the margin" if small else "")
    return "too small to matter" if small else "undecided"


def levels_of(line):
    """A line's conditions."""
    return [(line["perturbation"], float(v), line["unit"]) for v in line["levels"].split()]


def first_register(rows):
    """{claim: (effects by seed, mean, low, high, corrected p, word)} of data/claims.csv."""
    told, found = lines(ROOT / "data" / "claims.csv"), {}
    for line in told:
        d = []
        for seed in range(1, 6):
            sides = []
            for side in "ab":
                get = (rows, line["dataset"], line[side], seed)
                value = first(*get, levels_of(line), line[f"train_noise_{side}"])
                if line["measure"] == "drop":
                    value -= first(*get, CLEAN)
                sides.append(value)
            d.append(sides[0] - sides[1])
        found[line["claim"]] = (d, *t_interval(d))
    corrected = holm([v[4] for v in found.values()])
    for line, p in zip(told, corrected):
        d, m, low, high, _ = found[line["claim"]]
        said = plain_word(line["decides"], float(line["matters"]), m, low, high, p)
        found[line["claim"]] = (d, m, low, high, p, said)
    return found


def fresh(dataset, method, settings, t):
    """The key of a registered network under teacher t."""
    own = "dropout=0.5" if dataset == "mnist" else ""
    if method == "teacher":
        return run(dataset, "teacher", t, settings=own)
    return run(dataset, method, t + 10, t, settings, own=own)


def wrong_labels(method, settings, t):
    """What a registered MNIST network answered wrongly at 1 dB (255: right); None if not kept."""
    words = "".join(f"-{w}" for w in settings.split())
    name = f"mnist_student-{method}-short-s{t + 10}{words}-by-dropout=0.5-t{t}"
    if method == "standard":
        name = f"mnist_student-standard-short-s{t + 10}{words}"
    if method == "teacher":
        name = f"mnist_teacher-teacher-short-s{t}-dropout=0.5"
    path = RESULTS / "mistakes" / f"{name}.npz"
    if not path.is_file():
        return None
    with zipfile.ZipFile(path) as box:
        return np.load(io.BytesIO(box.read("said.npy")))


def agreement(method, settings, t, guide):
    """The share (%) of a student's mistakes that teacher `guide` makes too."""
    mine, theirs = wrong_labels(method, settings, t), wrong_labels("teacher", "", guide)
    if mine is None or theirs is None:
        return NAN
    wrong = mine != 255
    return 100 * float((mine[wrong] == theirs[wrong]).sum() / wrong.sum())


def excess(method, settings, t, teachers):
    """Agreement with the own teacher minus that with the others on average."""
    others = [agreement(method, settings, t, g) for g in teachers if g != t]
    return agreement(method, settings, t, t) - statistics.fmean(others)


def registered(rows, line, weight, t, teachers):
    """One teacher's a minus b of a line of data/claims/lines.csv at a weight of robust."""

    def side(which, settings):
        method = line[which]
        words = " ".join(filter(None, [weight if method == "robust" else "", settings]))
        if line["measure"] == "mistakes":
            return excess(method, words, t, teachers)
        key = fresh(line["dataset"], method, words, t)
        value = mean(rows, key, levels_of(line))
        return value - mean(rows, key, CLEAN) if line["measure"] == "drop" else value

    d = side("a", line["settings"]) - side("b", line["settings"])
    if line["minus"]:
        d -= side("a", line["minus"]) - side("b", line["minus"])
    return d


def weights_of(line):
    """The weights over which a line's median goes."""
    if "robust" not in (line["a"], line["b"]):
        return ("",)
    if line["b"] in ("target_zero", "shuffled", "matched"):
        return ("",)
    return FOLDED["few" if "images" in line["settings"] else line["dataset"]]


def second_register(rows):
    """({line: {weight: differences under the first eight, seven or six whole teachers, or none}},
    {line: verdict by `register_twice`}).
    """
    told, by = lines(ROOT / "data" / "claims" / "lines.csv"), {}
    for line in told:
        by[line["line"]] = {w: [] for w in weights_of(line)}
        for n in (8, 7, 6):
            teachers = range(3, 3 + n)
            d = {
                w: [registered(rows, line, w, t, teachers) for t in teachers]
                for w in by[line["line"]]
            }
            if not any(math.isnan(v) for column in d.values() for v in column):
                by[line["line"]] = d
                break
    verdicts = {}
    for family in "AB":
        mine = [line for line in told if line["family"] == family]
        asked = [
            {**line, "margin": float(line["margin"]), "by_weight": by[line["line"]]}
            for line in mine
        ]
        verdicts |= judge(asked)
    return by, verdicts
