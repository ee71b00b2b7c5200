"""What the rows of results may say: their columns, what a cell may hold, what fits each other."""

import functools
import math
import re
from collections.abc import Iterable

from .env import AnyPath

# what tells a run from others, what tells a run on its own images, and what ends a row
RUN_COLUMNS = "dataset method network teacher recipe settings train_noise seed".split()
_OWN = [c for c in RUN_COLUMNS if c != "train_noise"]
_MADE = "hardware torch commit date".split()
COLUMNS = [*RUN_COLUMNS, *"perturbation level unit space draws n correct".split(), *_MADE]
MARGIN_COLUMNS = [*_OWN, *"image label f_S f_T lead slope_S slope_T gap gap_tau flip".split()]
MARGIN_COLUMNS += "estimate sound wrong f_S_noisy f_T_noisy lead_noisy snr hardware commit".split()
LADDER_COLUMNS = [*_OWN, *"space p box certificate kind image value flip seconds".split()]
LADDER_COLUMNS += ["hardware", "commit"]
CURVE_COLUMNS = [*_OWN, *"epoch quantity value hardware commit".split()]
SIMILARITY_COLUMNS = [*RUN_COLUMNS, *"reference images pairs n undefined rate rate_T".split()]
SIMILARITY_COLUMNS += "rate_S mag ang hardware commit".split()
SLOPE_COLUMNS = [*_OWN, *"reference images square_S square_T L_G cosine".split()]
SLOPE_COLUMNS += ["hardware", "commit"]
SPEED_COLUMNS = [*"network batch ms repeats threads".split(), *_MADE]
SCHEMAS = [COLUMNS, MARGIN_COLUMNS, LADDER_COLUMNS, CURVE_COLUMNS, SIMILARITY_COLUMNS]
SCHEMAS += [SLOPE_COLUMNS, SPEED_COLUMNS]  # of files whose every cell is checked
# names of files among the results, which no data set may have
TAKEN = "attacks benchmarks clock curves ladder margins similarity slopes speed".split()
UNITS = {  # of each perturbation
    "clean": ("",),
    "gaussian": ("dB", "ratio"),
    "poisson": ("dB", "ratio"),
    "occlusion": ("pixels",),
    "class": ("label",),
    "usps": ("test", "all"),
    "usps_resized": ("test", "all"),
    "mnist": ("test",),
    **dict.fromkeys(("pgd", "pgd200", "autoattack"), ("linf",)),
}
_FINITE = r"-?\d+(\.\d*)?([eE][+-]?\d+)?"
_WORD = r"[^\W\d_][\w.@+=:,-]*"
_KINDS = {  # {columns: (what a cell is, in a pattern and in words)}
    "method network recipe quantity perturbation": (
        _WORD,
        "a plain name: a letter, then letters, digits and _.@+=:,-",
    ),
    "teacher settings train_noise": (
        rf"|{_WORD}( [\w.@+=:,-]+)*",
        "plain words with single spaces, or nothing",
    ),
    "seed n correct epoch label image images pairs undefined batch repeats threads": (
        r"0|[1-9]\d{0,17}",
        "a whole number of at least 0, in digits",
    ),
    "draws": (r"|[1-9]\d{0,17}", "a whole number of at least 1"),
    "level ms": (_FINITE, "a finite number"),
    " ".join(["value p seconds rate rate_T rate_S mag ang", *MARGIN_COLUMNS[9:-2]])
    + " square_S square_T L_G cosine": (
        rf"|-?inf|nan|{_FINITE}",
        "a number, or nothing",
    ),
    "box": ("True|False", "True or False"),
    "date": (r"|\d{4}-\d\d-\d\d", "a day such as 2026-11-21"),
}
_TEXT = (re.compile(r"[^<>]{0,300}"), "one line of at most 300 characters without < and >")
_RULES = {
    column: (re.compile(pattern, 0 if _WORD in pattern else re.ASCII), words)
    for columns, (pattern, words) in _KINDS.items()
    for column in columns.split()
}


def plain_name(name: str, value: str) -> str:
    """`value` if a file may be called so and lies where one looks for it: it begins with a letter
    or digit and has no separator, no reserved character and at most 200 bytes.
    """
    fits = re.fullmatch(r"[^\W_][^/\\<>:\"|?*]*", value) and value.isprintable()
    if not fits or value[-1] in " ." or len(value.encode()) > 200:
        raise ValueError(f"{name}={value[:80]!r} is no plain name; rename it to letters and digits")
    return value


@functools.lru_cache(2**16)
def _check_cell(column, text):
    """Refuse a cell that does not fit the rule of its column."""
    if column == "dataset":
        if plain_name(column, text).casefold() in TAKEN:
            raise ValueError(f"dataset={text!r} is the name of a file among the results; rename it")
        return
    pattern, words = _RULES.get(column, _TEXT)
    if not pattern.fullmatch(text) or not text.isprintable() or len(text) > 300:
        raise ValueError(f"{column}={text[:80]!r} must be {words}")
    if column in ("level", "ms") and not math.isfinite(float(text)):
        raise ValueError(f"{column}={text[:80]!r} must be {words}")


@functools.lru_cache(2**12)
def _check_condition(kind, level, unit):
    """Refuse a perturbation that is unknown, or a unit or level that does not fit it."""
    if kind not in UNITS:
        raise ValueError(f"perturbation={kind!r} is unknown; choose one of: {', '.join(UNITS)}")
    if unit not in UNITS[kind]:
        known = " or ".join(map(repr, UNITS[kind]))
        raise ValueError(f"unit={unit!r} does not fit perturbation={kind!r}, which wants {known}")
    number = float(level)
    if unit in ("", "test", "all") and number:
        raise ValueError(f"level={level!r} must be 0: {kind} has no levels")
    if unit != "dB" and number < 0:
        raise ValueError(f"level={level!r} must be at least 0 in unit={unit!r}")
    if unit in ("label", "pixels") and number % 1:
        raise ValueError(f"level={level!r} must be a whole number in unit={unit!r}")


def check_row(row: dict[str, str]) -> None:
    """Refuse a row, as text, with a cell that its column cannot have or cells that do not fit each
    other: `correct` of `n` images, perturbation, level and unit; a value of a curve is finite.
    """
    for column, text in row.items():
        _check_cell(column, text)
    if "correct" in row:
        if not 0 < int(row["n"]) >= int(row["correct"]):
            counts = f"correct={row['correct']} of n={row['n']}"
            raise ValueError(f"{counts} cannot be: n is above 0 and correct at most n")
        _check_condition(row["perturbation"], row["level"], row["unit"])
    if "quantity" in row and not math.isfinite(float(row["value"] or "nan")):
        raise ValueError(f"value={row['value']!r} of a curve must be a finite number")


def check_all(rows: Iterable[dict], where: AnyPath, first: int, remedy: str) -> None:
    """`check_row` of each; an error says where and in which row, counted from `first`."""
    for i, row in enumerate(rows, first):
        try:
            check_row(row)
        except ValueError as error:
            raise ValueError(f"{where}, row {i}: {error}; {remedy}") from None


def check_run(row: dict, where: AnyPath) -> None:
    """Refuse names of a run (RUN_COLUMNS) that its rows could not have; `where` is told."""
    try:
        check_row({c: str(row.get(c, "")) for c in RUN_COLUMNS})
    except ValueError as error:
        raise ValueError(f"{where} tells no run: {error}") from None


def row_key(row: dict) -> tuple:
    """What tells a result row, as text, from others; a level of 3 is one of 3.0."""
    return tuple(float(row[c]) if c == "level" else row[c] for c in COLUMNS[:14])


def curve_key(row: dict) -> tuple:
    """What tells a row of a curve, as text, from others."""
    return tuple(row[c] for c in CURVE_COLUMNS[:9])


def same_run(row: dict) -> tuple:
    """What two calls at once of one command have in common of a row: all but its day and its
    seconds, and of a time its value.
    """
    varying = {"date", "seconds"} | ({"value"} if row.get("quantity") == "ms_per_image" else set())
    return tuple(v for k, v in row.items() if k not in varying)
