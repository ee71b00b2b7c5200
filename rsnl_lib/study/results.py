"""Result rows by run and condition: what is there of a job, and what is missing."""

import math
from collections import Counter

from ..data.catalogue import Condition
from ..rows import COLUMNS, RUN_COLUMNS
from .jobs import Job, Run


def share_right(row: dict) -> float:
    """Correct answers of a result row over its images."""
    return int(row["correct"]) / int(row["n"])


class Results(dict):
    """{Run: {Condition: row}} of result rows."""

    def __init__(self, rows=()):
        super().__init__()
        for row in rows:
            if lacking := {*RUN_COLUMNS, "perturbation", "level", "unit"} - row.keys():
                known = ", ".join(COLUMNS)
                raise ValueError(f"a row lacks {min(lacking)!r}; its columns are {known}")
            condition = Condition(row["perturbation"], float(row["level"]), row["unit"])
            self.setdefault(Run.of(row), {})[condition] = row

    def find(self, job: Job) -> dict:
        """{Condition: row} of one job."""
        return self.get(Run.of(job.row()), {})

    def share(self, job: Job, conditions: list) -> float:
        """Mean share of correct answers of a job over `conditions`; nan where a row is missing."""
        rows = self.find(job)
        if not rows.keys() >= set(conditions):
            return math.nan
        return sum(share_right(rows[c]) for c in conditions) / len(conditions)

    def index(self, seeds: int, conditions=(), **columns: str) -> dict:
        """{seed: {Condition: row}} of the runs below seed `seeds` with rows of all `conditions` and
        these `columns` (`guide`: the teacher without its seed).
        """
        found = {}
        for run, rows in self.items():
            same = all(getattr(run, name) == value for name, value in columns.items())
            if same and int(run.seed) < seeds and rows.keys() >= set(conditions):
                found[int(run.seed)] = rows
        return dict(sorted(found.items()))

    def missing(self, wanted) -> dict:
        """{job: how often} of the (job, conditions) pairs of which a row is not there."""
        return Counter(job for job, need in wanted if not self.find(job).keys() >= set(need))
