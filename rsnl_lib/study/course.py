"""What length of training, weight and number of images do to a registered student: accuracy in
noise, input gradients, mistakes.
"""

import statistics
from collections.abc import Iterable

from pandas import DataFrame

from ..train.methods import METHODS
from . import claims, mistakes, register
from .jobs import Job
from .results import Results

SLOPES_TOLD = ("square_S", "L_G", "cosine")  # of results/slopes.csv
IMAGES = 50_000  # MNIST's training images


def _guide(teacher):
    return register.job("mnist", "teacher", "", teacher)


def _errors(one, own, others, told):
    """How many of a student's mistakes are its own teacher's, and other teachers' on average."""
    if not told.keys() >= {one, own, *others}:
        return {}
    met, *rest = (100 * mistakes.agreement(told[one], told[t]) for t in (own, *others))
    return {"own_mistakes": met, "other_mistakes": statistics.fmean(rest)}


def _slopes(one, own, others, slopes):
    """What `slopes`, {(row of the run, reference): row}, says of a student and of each teacher."""
    run = tuple(str(v) for k, v in one.row().items() if k != "train_noise")
    found = [slopes.get((run, t.path().stem)) for t in (own, *others)]
    if None in found:
        return {}
    met, *rest = found
    other = statistics.fmean(float(row["cosine"]) for row in rest)
    return {k: float(met[k]) for k in SLOPES_TOLD} | {"other_cosine": other}


def by_run(rows: Iterable[dict]) -> dict[tuple, dict]:
    """Rows of results/slopes.csv by run and reference, as `course` wants them."""
    columns = [c for c in Job("mnist", "kd").row() if c != "train_noise"]
    return {(tuple(row[c] for c in columns), row["reference"]): row for row in rows}


def course(teachers: Iterable[int], done: Results, told: dict, slopes: dict) -> DataFrame:
    """A row for each registered MNIST student of these teachers, at least two: method, C1 ("" if it
    has none), images, epochs, teacher; accuracy (%) in white noise of 1 to 3 dB; own_mistakes and
    other_mistakes (% of its wrong labels at 1 dB that are its own teacher's, and the others' on
    average); square_S, L_G (of Eq. 16), cosine and other_cosine (to the own teacher's gradient, and
    the others'). nan where it was not measured; `told` as mistakes.collect, `slopes` as `by_run`.
    """
    teachers = list(teachers)
    if len(teachers) < 2:
        raise ValueError(f"teachers {teachers} are too few; one never met is asked too, so name 2")
    line = claims.compare("mnist", "robust", "kd")
    rows = []
    for t in teachers:
        others = [_guide(other) for other in teachers if other != t]
        for one in register.networks([t]):
            if one.dataset != "mnist" or one.method == "teacher":
                continue
            weight = one.word("C1", "10") if "C1" in METHODS[one.method].settings else ""
            images, epochs = int(one.word("images", IMAGES)), one.plan().epochs
            row = {"method": one.method, "C1": weight, "images": images, "epochs": epochs}
            row |= {"teacher": t, "accuracy": 100 * claims.line_share(line, one, done)}
            row |= _errors(one, _guide(t), others, told) | _slopes(one, _guide(t), others, slopes)
            rows.append(row)
    names = ("own_mistakes", "other_mistakes", *SLOPES_TOLD, "other_cosine")
    return DataFrame(rows).reindex(columns=[*rows[0]] + [n for n in names if n not in rows[0]])
