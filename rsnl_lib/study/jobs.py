"""One training run as a job: its name, where its checkpoint lies, and which rows are its own."""

import pathlib
from collections import namedtuple
from typing import NamedTuple

from .. import checks, env, train
from ..data.catalogue import network_for
from ..env import CHECKPOINTS, RESULTS
from ..store import RUN_COLUMNS, frame
from ..train import recipes

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
    "C1=100 epochs=3"; "init=uniform"; and "images=6400", the first of the training images alone.
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
    def init(self) -> str:
        return self.word("init", "lsuv")

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
        if "_student" in self.net:
            own = self.net.split("_student")[0] + "_teacher"
        else:
            own = network_for(self.dataset, "teacher")
        return Job(
            self.dataset,
            self.teacher_method or "teacher",
            self.teacher_network or own,
            self.recipe,
            self.teacher_settings,
            self.teacher_noise or self.train_noise,
            self.teacher_seed,
            self.teacher_seed,
        )

    def plan(self) -> recipes.Recipe:
        """Its Recipe."""
        mine = [w for w in self.settings.split() if not w.startswith(("init=", "images="))]
        changes = dict(map(recipes.setting, mine))
        return train.recipe(self.recipe, self.dataset, self.method, **changes)

    def path(self, folder=CHECKPOINTS) -> pathlib.Path:
        """Where its checkpoint lies in a folder."""
        path = checkpoint_path(self.dataset, self.method, self.seed, self.net, self.recipe, folder)
        parts = [path.stem, *self.settings.split()]
        if self.train_noise:
            parts += ["on", self.train_noise.replace(" ", "")]
        noise = self.teacher_noise.replace(" ", "")
        other = f"t{self.teacher_seed}" if self.teacher_seed != self.seed else ""
        by = words(self.teacher_network, self.teacher_method, self.teacher_settings, noise, other)
        if self.guided and by:
            parts += ["by", *by.split()]
        return path.with_stem("-".join(parts))

    def row(self) -> dict:
        """The columns of its result rows that tell it from other jobs."""
        noise = self.teacher_noise and f"on {self.teacher_noise}"
        other = f"seed {self.teacher_seed}" if self.teacher_seed != self.seed else ""
        guide = self.teacher().net
        teacher = words(guide, self.teacher_method, self.teacher_settings, noise, other)
        return {
            "dataset": pathlib.Path(self.dataset).name,
            "method": self.method,
            "network": self.net,
            "teacher": teacher if self.guided else "",
            "recipe": self.recipe,
            "settings": self.settings,
            "train_noise": self.train_noise,
            "seed": self.seed,
        }


def find(job: Job, *folders) -> pathlib.Path | None:
    """A job's checkpoint in `folders`, among those shipped, or among those kept in the data folder;
    None where there is none.
    """
    places = (*folders, CHECKPOINTS, env.data_folder() / "checkpoints")
    return next((p for p in map(job.path, places) if p.is_file()), None)


def called(job: Job) -> str:
    """A job in words."""
    noise = job.train_noise and f"on {job.train_noise}"
    guide = (job.teacher_method, job.teacher_settings, job.teacher_noise)
    by = [f"by {word}" for word in guide if word] if job.guided else []
    return words(job.dataset, job.method, job.net, job.settings, noise, f"seed {job.seed}", *by)


def who(row: dict) -> str:
    """The method of a row, its teacher told: "kd by pgd_at" is KD's student of the robust teacher,
    "robust_teacher" that teacher.
    """
    if row["network"].endswith("_teacher") and row["method"] == "pgd_at":
        return "robust_teacher"
    return row["method"] + (" by pgd_at" if "pgd_at" in row["teacher"] else "")


def registered(rows):
    """Which rows of a frame belong to the second register (data/claims), judged by itself: MNIST's
    and USPS's teachers from seed 3 on, students from seed 13 on.
    """
    teachers = rows.network.str.endswith("_teacher")
    return rows.dataset.isin(["mnist", "usps"]) & (
        (teachers & rows.seed.between(3, 10)) | (~teachers & (rows.seed >= 13))
    )


def _plain(rows, guides):
    """Which rows of a frame are by the recipe "short" unchanged, without noise, under one of the
    teachers `guides`, and not of the second register.
    """
    guide = rows.teacher.str.partition(" seed ")[0]
    ours = (rows.recipe == "short") & (rows.settings == "") & (rows.train_noise == "")
    return ours & guide.isin(guides) & ~registered(rows)


def everyone(dataset: str):
    """Every row, attacks included, of the networks of the recipe "short" unchanged, their teachers
    plain or robust, trained without noise; `method` as `who` tells it.
    """
    rows = frame(RESULTS / f"{dataset}.csv", RESULTS / "attacks.csv")
    own, student = f"{dataset}_teacher", f"{dataset}_student"
    mine = (rows.dataset == dataset) & rows.network.isin([own, student])
    rows = rows[mine & _plain(rows, ["", own, f"{own} pgd_at"])]
    return rows.assign(method=[who(r) for r in rows.to_dict("records")])


def shipped(dataset: str, methods):
    """The rows of the data set's own teachers and students on its own images: recipe "short"
    unchanged, trained without noise, as their teachers were.
    """
    rows = frame(RESULTS / f"{dataset}.csv")
    teacher = (rows.network == f"{dataset}_teacher") & (rows.method == "teacher")
    own = (rows.network == f"{dataset}_student") | teacher
    return rows[own & rows.method.isin(methods) & _plain(rows, ["", f"{dataset}_teacher"])]


def checkpoint_path(
    dataset: str,
    method: str,
    seed=0,
    network: str | None = None,
    recipe: str = "short",
    folder=CHECKPOINTS,
) -> pathlib.Path:
    """Where a checkpoint lies: folder/network-method-recipe-seed.safetensors, the data set before
    it if the network's name is not its own.
    """
    network = network or network_for(dataset, method)
    own = "" if network.startswith(dataset) else f"{pathlib.Path(dataset).name}-"
    return pathlib.Path(folder) / f"{own}{network}-{method}-{recipe}-s{seed}.safetensors"
