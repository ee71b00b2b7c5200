"""One training run as a job: its name, where its checkpoint lies, and which rows are its own."""

import pathlib
import re
from collections import namedtuple
from typing import TYPE_CHECKING, NamedTuple

from .. import checks, env, networks, train
from ..data.catalogue import DATASETS, name_of, network_for
from ..env import CHECKPOINTS, RESULTS
from ..store import RUN_COLUMNS, frame
from ..train import recipes

if TYPE_CHECKING:
    from pandas import DataFrame, Series

TEACHERS = 3  # teachers of a data set over which the students' seeds go round in a campaign


def words(*parts: str) -> str:
    """The parts that are not empty, with spaces between them."""
    return " ".join(filter(None, parts))


class Run(namedtuple("Run", RUN_COLUMNS)):
    """What a result row says of its run, as text; the columns of RUN_COLUMNS."""

    @classmethod
    def of(cls, row: dict) -> "Run":
        return cls(*(str(row[k]) for k in RUN_COLUMNS))

    @property
    def guide(self) -> str:
        """Its teacher without the seed."""
        return self.teacher.partition(" seed ")[0]


class Job(NamedTuple):
    """A run: everything that decides its numbers. `settings` holds changes of the recipe as words,
    "C1=100 epochs=3"; "init=uniform"; "images=6400", the first of the training images alone; and
    "side=224", of a folder's pictures.
    """

    dataset: str
    method: str
    network: str = ""  # "": the data set's own
    recipe: str = "short"
    settings: str = ""
    train_noise: str = ""  # as "gaussian 10 dB"
    seed: int = 0
    teacher_seed: int = 0  # of the teacher, which was trained on the same images
    teacher_network: str = ""  # "": the full-size one that belongs to the network
    teacher_settings: str = ""  # changes of the teacher's recipe
    teacher_noise: str = ""  # what the teacher was trained on where the student was not
    teacher_method: str = ""  # how the teacher was trained, such as pgd_at; "": on the labels alone

    @property
    def net(self) -> str:
        return self.network or network_for(self.dataset, self.method)

    @property
    def guided(self) -> bool:
        """Does its method need a teacher?"""
        return train.METHODS[checks.one_of("method", self.method, train.METHODS)].scores

    def word(self, name: str, default=None):
        """What `settings` says after `name`=, for the words that are not the recipe's."""
        return dict(w.split("=", 1) for w in self.settings.split()).get(name, default)

    @property
    def side(self) -> int | None:
        """The side of a folder's pictures, None where it is not said."""
        told = self.word("side")
        if told is not None and not re.fullmatch("[1-9][0-9]{0,3}", told):
            raise ValueError(f"side={told!r} must be a whole number of pixels, 1 to 9999")
        return told and int(told)

    def at(self, seed: int, guide: int, **teacher: str) -> "Job":
        """This job at a seed, under teacher seed `guide` with the columns `teacher`; a teacher is
        seed `guide` itself.
        """
        if self.method == "teacher":
            return self._replace(seed=guide, teacher_seed=guide)
        if not self.guided:
            return self._replace(seed=seed, teacher_seed=seed)
        return self._replace(seed=seed, teacher_seed=guide, **teacher)

    def teacher(self) -> "Job":
        """The job that trains its teacher."""
        own = network_for(self.dataset, "teacher")
        if "_student" in self.net and not networks.maker_word(self.net):
            own = self.net.split("_student")[0] + "_teacher"
        job = Job(self.dataset, self.teacher_method or "teacher", self.teacher_network or own)
        noise = self.teacher_noise or self.train_noise
        told = words(self.teacher_settings, self.side and f"side={self.side}")  # of the same images
        job = job._replace(recipe=self.recipe, settings=told, train_noise=noise)
        return job._replace(seed=self.teacher_seed, teacher_seed=self.teacher_seed)

    def plan(self) -> recipes.Recipe:
        """Its Recipe."""
        others = ("init=", "images=", "side=")
        mine = [w for w in self.settings.split() if not w.startswith(others)]
        changes = recipes.changes_of(mine)
        return train.recipe(self.recipe, self.dataset, self.method, **changes)

    def path(self, folder=CHECKPOINTS) -> pathlib.Path:
        """Where its checkpoint lies in a folder: network-method-recipe-seed.safetensors, the data
        set before it if the network's name is not its own, and what else tells it from others.
        """
        told = self.dataset in DATASETS and self.net.startswith(self.dataset)
        told = told and not networks.maker_word(self.net)
        own = "" if told else f"{name_of(self.dataset)}-"
        name = f"{own}{self.net}-{self.method}-{self.recipe}-s{self.seed}"
        parts = [name, *self.settings.split()]
        if self.train_noise:
            parts += ["on", self.train_noise.replace(" ", "")]
        noise = self.teacher_noise.replace(" ", "")
        other = f"t{self.teacher_seed}" if self.teacher_seed != self.seed else ""
        by = words(self.teacher_network, self.teacher_method, self.teacher_settings, noise, other)
        if by and self.guided:
            parts += ["by", *by.split()]
        return pathlib.Path(folder) / f"{'-'.join(parts)}.safetensors"

    def row(self) -> dict:
        """The columns of its result rows that tell it from other jobs."""
        noise = self.teacher_noise and f"on {self.teacher_noise}"
        other = f"seed {self.teacher_seed}" if self.teacher_seed != self.seed else ""
        guide = self.teacher().net
        teacher = words(guide, self.teacher_method, self.teacher_settings, noise, other)
        own = {"dataset": name_of(self.dataset), "network": self.net}
        told = {**self._asdict(), **own, "teacher": teacher if self.guided else ""}
        return {k: told[k] for k in RUN_COLUMNS}

    def title(self) -> str:
        """The job in words."""
        noise = self.train_noise and f"on {self.train_noise}"
        guide = (self.teacher_method, self.teacher_settings, self.teacher_noise)
        by = [f"by {word}" for word in guide if word and self.guided]
        own = (self.dataset, self.method, self.net, self.settings)
        return words(*own, noise, f"seed {self.seed}", *by)


def find(job: Job, *folders) -> pathlib.Path | None:
    """A job's checkpoint in `folders`, among those shipped, or among those kept in the data folder;
    None where there is none.
    """
    places = (*folders, CHECKPOINTS, env.data_folder() / "checkpoints")
    return next((p for p in map(job.path, places) if p.is_file()), None)


def who(row: dict) -> str:
    """The method of a row, its teacher told: "kd by pgd_at" is KD's student of the robust teacher,
    "robust_teacher" that teacher.
    """
    if row["network"].endswith("_teacher") and row["method"] == "pgd_at":
        return "robust_teacher"
    return row["method"] + (" by pgd_at" if "pgd_at" in row["teacher"] else "")


def in_register(rows: "DataFrame") -> "Series":
    """Which rows of a frame belong to the second register (data/claims), judged by itself: MNIST's
    and USPS's teachers from seed 3 on, students from seed 13 on.
    """
    teachers = rows.network.str.endswith("_teacher")
    seeds = (teachers & rows.seed.between(3, 10)) | (~teachers & (rows.seed >= 13))
    return rows.dataset.isin(["mnist", "usps"]) & seeds


def _own_rows(dataset, guides, *files):
    """The rows in `files` of a data set's own teacher and student by the recipe "short" unchanged,
    without noise, under one of the teachers `guides`, and not of the second register.
    """
    rows = frame(*(RESULTS / file for file in files))
    own = rows.network.isin([f"{dataset}_teacher", f"{dataset}_student"])
    guide = rows.teacher.str.partition(" seed ")[0]
    ours = (rows.recipe == "short") & (rows.settings == "") & (rows.train_noise == "")
    mine = (rows.dataset == dataset) & own & ours & guide.isin(guides)
    return rows[mine & ~in_register(rows)]


def everyone(dataset: str) -> "DataFrame":
    """Every row, attacks included, of the networks of the recipe "short" unchanged, their teachers
    plain or robust, trained without noise; `method` as `who` tells it.
    """
    own = f"{dataset}_teacher"
    rows = _own_rows(dataset, ["", own, f"{own} pgd_at"], f"{dataset}.csv", "attacks.csv")
    return rows.assign(method=[who(r) for r in rows.to_dict("records")])


def shipped(dataset: str, methods: list) -> "DataFrame":
    """The rows of the data set's own teachers and students on its own images: recipe "short"
    unchanged, trained without noise, as their teachers were.
    """
    own = f"{dataset}_teacher"
    rows = _own_rows(dataset, ["", own], f"{dataset}.csv")
    plain = (rows.network != own) | (rows.method == "teacher")
    return rows[plain & rows.method.isin(methods)]
