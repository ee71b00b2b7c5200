"""The checkers of chapter 09's exercises."""

import math
from collections.abc import Callable

import numpy as np

from .base import need, of_a_function


@of_a_function
def holm(function: Callable) -> None:
    """09: Holm's step-down correction; function(ps) -> corrected ps in the same order."""

    def alike(got, want):
        return len(got) == len(want) and np.allclose(got, want, rtol=1e-9, atol=0)

    bonferroni = (
        "that is Bonferroni's rule, which multiplies every p by the number of tests;"
        " Holm's multiplies the second smallest by one less"
    )
    cases = {(0.01, 0.04, 0.03): [0.03, 0.06, 0.06], (0.6, 0.9): [1, 1], (0.2, 0.001): [0.2, 0.002]}
    for ps, want in cases.items():
        got = list(function(list(ps)))
        naive = [min(1, len(ps) * p) for p in ps]
        need(alike(got, want) or not alike(got, naive), bonferroni)
        need(alike(got, want), f"for {list(ps)} it is {want}, yours is {got}")


WORDS = ("a gain", "a loss", "too small to matter", "undecided")
WORDS += tuple(f"{word}, within the margin" for word in WORDS[:2])
B = [96.0, 98.0, 97.0, 95.0, 99.0]  # accuracies that scatter more than the differences
JUDGED = {  # differences by seed, what would matter: the word
    ((1.1, 0.9, 1.2, 0.8, 1.0), 0.5): "a gain",
    ((-1.1, -0.9, -1.2, -0.8, -1.0), 0.5): "a loss",
    ((0.1, -0.2, 0.15, -0.1, 0.05), 0.5): "too small to matter",
    ((1.4, -0.6, 0.9, -0.3, 0.6), 0.5): "undecided",
    ((0.3, 0.2, 0.25, 0.2, 0.3), 0.5): "a gain, within the margin",
}


def _wrong_interval(got, d, a, t):
    """Why an interval (low, high) of differences d is not the paired one; "" where it is."""
    n, mean = len(d), float(np.mean(d))
    reaches = {
        "": np.std(d, ddof=1) / math.sqrt(n),
        "is unpaired: it has the scatter of a and of b, which the seeds share; take the differences"
        " seed by seed first": math.sqrt((np.var(a, ddof=1) + np.var(B, ddof=1)) / n),
        "holds one more seed, not the mean: divide s by the root of n": np.std(d, ddof=1),
        "divides by n in s; from so few differences it is n - 1": np.std(d) / math.sqrt(n),
    }
    for why, error in reaches.items():
        if np.allclose(got, (mean - t * error, mean + t * error), rtol=1e-6, atol=1e-9):
            return why
        if np.allclose(got, (-mean - t * error, -mean + t * error), rtol=1e-6, atol=1e-9):
            return "is of b - a; a positive effect shall mean that a is better"
    low, high = mean - t * reaches[""], mean + t * reaches[""]
    return f"shall be [{low:.3f}, {high:.3f}]"


def _wrong_word(word, want):
    """Why a word is not the one wanted."""
    if "within" in want or "small" in want:
        return "what would matter is forgotten: the whole interval lies inside it"
    if want == "undecided":
        return "the interval holds zero and reaches beyond what would matter: nothing is decided"
    return "the interval leaves zero out: that is an effect, and its sign says which"


@of_a_function
def judge_claim(function: Callable) -> None:
    """09: a paired test and its word; function(a, b, matters, t) -> (low, high, word)."""
    t = 2.776
    for (d, matters), want in JUDGED.items():
        a = [x + v for x, v in zip(B, d)]
        got = function(list(a), list(B), matters, t)
        need(isinstance(got, (tuple, list)) and len(got) == 3, "return low, high and a word")
        *ends, word = got
        asked = f"for the differences {list(d)}, with {matters:g} points that matter, your"
        why = _wrong_interval(ends, d, a, t)
        need(not why, f"{asked} interval [{ends[0]:.3f}, {ends[1]:.3f}] {why}")
        need(word in WORDS, f"{asked} word {word!r} is none of {', '.join(WORDS[:4])}")
        need(word == want, f"{asked} word is {word!r}: {_wrong_word(word, want)}")
