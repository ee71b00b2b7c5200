"""One training run as a job: its name, where its checkpoint lies, training it, and measuring it on
every level.
"""

import json
import pathlib
from typing import NamedTuple

import torch

from .. import checks, data, env, networks, store, train
from ..checks import whole
from ..data import catalogue, perturb
from ..data.catalogue import ELSEWHERE, network_for
from ..env import CHECKPOINTS, RESULTS
from ..measure import evaluate
from ..store import RUN_COLUMNS, frame
from ..train import recipes

ENTRY = ("perturbation", "level", "unit")  # what tells a row of one run
TEACHERS = 3  # teachers of a data set over which the students' seeds go round in a campaign


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
    teacher_noise: str = (
        ""  # what the teacher was trained on where the student was not, as "gaussian 10 dB"
    )
    teacher_method: str = ""  # how the teacher was trained, such as pgd_at; "": on the labels alone

    @property
    def net(self):
        return self.network or catalogue.network_for(self.dataset, self.method)

    @property
    def guided(self):
        """Does its method need a teacher?"""
        return train.METHODS[checks.one_of("method", self.method, train.METHODS)].scores

    def word(self, name, default=None):
        """What `settings` says after `name`=, for the words that are not the recipe's."""
        return dict(w.split("=", 1) for w in self.settings.split()).get(name, default)

    @property
    def init(self):
        return self.word("init", "lsuv")

    def teacher(self):
        """The job that trains its teacher."""
        own = (
            self.net.split("_student")[0] + "_teacher"
            if "_student" in self.net
            else catalogue.network_for(self.dataset, "teacher")
        )
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

    def plan(self):
        """Its Recipe."""
        changes = dict(
            recipes.setting(w)
            for w in self.settings.split()
            if not w.startswith(("init=", "images="))
        )
        return train.recipe(self.recipe, self.dataset, self.method, **changes)

    def path(self, folder=CHECKPOINTS):
        """Where its checkpoint lies in a folder."""
        path = checkpoint_path(self.dataset, self.method, self.seed, self.net, self.recipe, folder)
        by = [
            *filter(
                None,
                (
                    self.teacher_network,
                    self.teacher_method,
                    *self.teacher_settings.split(),
                    self.teacher_noise.replace(" ", ""),
                    f"t{self.teacher_seed}" * (self.teacher_seed != self.seed),
                ),
            )
        ]
        words = [
            *self.settings.split(),
            *(["on", self.train_noise.replace(" ", "")] if self.train_noise else []),
            *(["by", *by] if self.guided and by else []),
        ]
        return path.with_stem("-".join([path.stem, *words]))

    def row(self):
        """The columns of its result rows that tell it from other jobs."""
        teacher = (
            self.teacher().net,
            self.teacher_method,
            self.teacher_settings,
            self.teacher_noise and f"on {self.teacher_noise}",
            f"seed {self.teacher_seed}" * (self.teacher_seed != self.seed),
        )
        return {
            "dataset": pathlib.Path(self.dataset).name,
            "method": self.method,
            "network": self.net,
            "teacher": " ".join(filter(None, teacher)) if self.guided else "",
            "recipe": self.recipe,
            "settings": self.settings,
            "train_noise": self.train_noise,
            "seed": self.seed,
        }


def find(job, *folders):
    """A job's checkpoint in `folders`, among those shipped, or among those kept in the data folder;
    None where there is none.
    """
    places = (*folders, CHECKPOINTS, env.data_folder() / "checkpoints")
    return next((p for p in map(job.path, places) if p.is_file()), None)


def known(rows):
    """{what tells a job apart (`Job.row`): {(perturbation, level, unit): row}} of rows."""
    done = {}
    for row in rows:
        name = tuple(row[k] for k in RUN_COLUMNS)
        done.setdefault(name, {})[row["perturbation"], float(row["level"]), row["unit"]] = row
    return done


def of(job, done):
    """What `known` holds of one job."""
    return done.get(tuple(map(str, job.row().values())), {})


def called(job):
    return " ".join(
        filter(
            None,
            (
                job.dataset,
                job.method,
                job.net,
                job.settings,
                f"on {job.train_noise}" if job.train_noise else "",
                f"seed {job.seed}",
                *(
                    f"by {w}"
                    for w in (job.teacher_method, job.teacher_settings, job.teacher_noise)
                    if w and job.guided
                ),
            ),
        )
    )


def images(job, folder=None, device="cpu"):
    """The Data that a job trains on."""
    d = data.load(job.dataset, folder, device)
    if job.word("images"):
        few = whole("images", int(job.word("images")), 1)
        if few > len(d.x_train):
            raise ValueError(
                f"images={few} is more than the {len(d.x_train)} training images of {d.name}"
            )
        d = d._replace(x_train=d.x_train[:few], y_train=d.y_train[:few])
    if not job.train_noise:
        return d
    kind, snr, unit = job.train_noise.split()
    return perturb.noisy_training_set(d, kind, float(snr), job.seed, unit)


def do(job, out, folder=None, device="cpu", draws=2, teacher_file=None, runs=None):
    """Train a job (or go on with it), keep its checkpoint under `out`, measure it: (rows, curve
    rows, state file).

    The teacher's checkpoint is `teacher_file`, else that of the teacher's job in `out`, else where
    `find` finds it. The state file lies under `runs` (default: the data folder's) and is the
    caller's to delete once the rows are safe: with it, a second call ends at once with the same
    rows.
    """
    whole("draws", draws, 1)
    r, d, path, head, teacher, header = (
        job.plan(),
        images(job, folder, device),
        job.path(out),
        job.row(),
        None,
        {},
    )
    head["dataset"] = d.name
    if job.guided:
        wanted = job.teacher().path(out)
        teacher_file = teacher_file or find(job.teacher(), out) or wanted
        teacher, header = store.load_checkpoint(teacher_file, device=device)
        if pathlib.Path(teacher_file).name != wanted.name:
            path = path.with_stem(f"{path.stem}-by-{pathlib.Path(teacher_file).stem}")
            head["teacher"] = " ".join(
                filter(
                    None, (header.get("network", type(teacher).__name__), header.get("settings"))
                )
            )
    state = pathlib.Path(runs or env.data_folder(folder) / "runs") / f"{path.stem}.state"
    run = train.fit(
        networks.start(job.net, d, job.seed, job.init),
        d,
        job.method,
        r,
        job.seed,
        teacher,
        state,
        env.data_folder(folder) / "cache",
    )
    keep = {
        **head,
        "teacher_file": pathlib.Path(teacher_file).name if job.guided else "",
        "classes": d.classes,
        "train_images": len(d.x_train),
        "epochs": r.epochs,
    }
    for net, epoch, place in (
        (run.last, r.epochs, path),
        (run.best, run.best_epoch, path.with_suffix(".best.safetensors")),
    ):
        store.save_checkpoint(
            place, net, epoch=epoch, val_accuracy=run.history[epoch - 1]["val_accuracy"], **keep
        )
    made = store.provenance()
    words = " ".join(filter(None, (job.settings, job.train_noise and f"on {job.train_noise}")))
    curves = [
        {
            **{k: head[k] for k in store.CURVE_COLUMNS if k in head},
            "settings": words,
            "epoch": h["epoch"],
            "quantity": q,
            "value": f"{v:.6g}",
            "hardware": made["hardware"],
            "commit": made["commit"],
        }
        for h in run.history
        for q, v in h.items()
        if q != "epoch"
    ]
    net, _ = store.load_checkpoint(
        path, device=device
    )  # the last epoch, in half precision: what is kept is what is measured
    return (
        [
            {**head, "space": d.space, **row, **made}
            for row in measure(net, d, draws, folder, kept=state.with_suffix(".rows"))
        ],
        curves,
        state,
    )


def measure(net, d, draws=2, folder=None, but=(), kept=None):
    """Result rows of one network on the levels that its data set needs, class by class, and on the
    other digits (Table III).

    perturbation "class" has the label as its level; "usps", "usps_resized" and "mnist" are that
    data set's test images (unit "test") or, of USPS, all its images ("all"). `but` holds the
    (perturbation, level, unit) that are not wanted. `kept` is a file that holds what is measured so
    far: a call that finds it there goes on after it; whoever has the rows safe deletes it.
    """
    known, name = {}, store.digest(*net.state_dict().values(), words=f"{draws} {d.name}")
    if kept and pathlib.Path(kept).is_file():
        before = json.loads(pathlib.Path(kept).read_text())
        known = (
            {tuple(row[k] for k in ENTRY): row for row in before["rows"]}
            if before["net"] == name
            else {}
        )
    rows = []

    def take(kind, level, unit, ask):
        """Add the row of one entry: the one that is kept, or what `ask` measures."""
        if (kind, level, unit) in but:
            return
        if (kind, level, unit) not in known:
            known[kind, level, unit] = {**ask(), "perturbation": kind, "level": level, "unit": unit}
            if kept:
                store.write(kept, json.dumps({"net": name, "rows": list(known.values())}).encode())
        rows.append(known[kind, level, unit])

    def clean(x, y):
        return _sweep(net, x, y, ("clean", 0, ""), 1)

    for entry in catalogue.needed(d.name):
        take(*entry, lambda: _sweep(net, d.x_test, d.y_test, entry, draws))
    if d.classes <= 20 and d.name not in ELSEWHERE:
        for k in range(d.classes):
            take(
                "class", k, "label", lambda: clean(d.x_test[d.y_test == k], d.y_test[d.y_test == k])
            )
    for place in ELSEWHERE.get(d.name, ()):
        parts = ("test",) if place == "mnist" else ("train", "val", "test")
        units = ("test",) if place == "mnist" else ("test", "all")
        if all((place, 0, unit) in but or (place, 0, unit) in known for unit in units):
            other = None
        else:
            try:
                other = data.load(place, folder, d.x_test.device)
            except OSError as error:
                print(f"{place}: not measured, its images are not here ({error})")
                continue
        for unit in units:
            take(
                place,
                0,
                unit,
                lambda: clean(
                    *(
                        torch.cat(
                            [
                                getattr(other, f"{t}_{part}")
                                for part in (parts if unit == "all" else ("test",))
                            ]
                        )
                        for t in "xy"
                    )
                ),
            )
    return rows


def _sweep(net, x, y, entry, draws):
    """`evaluate.sweep` of one network at one (perturbation, level, unit): its row."""
    (row,) = evaluate.sweep({"net": net}, x, y, [entry], draws)
    return {k: v for k, v in row.items() if k != "key"}


def who(row):
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


def everyone(dataset):
    """Every row, attacks included, of the networks of the recipe "short" unchanged, their teachers
    plain or robust, trained without noise; `method` as `who` tells it.
    """
    rows = frame(RESULTS / f"{dataset}.csv", RESULTS / "attacks.csv")
    own, guide = f"{dataset}_teacher", rows.teacher.str.partition(" seed ")[0]
    rows = rows[
        (rows.dataset == dataset)
        & rows.network.isin([own, f"{dataset}_student"])
        & (rows.recipe == "short")
        & (rows.settings == "")
        & (rows.train_noise == "")
        & guide.isin(["", own, f"{own} pgd_at"])
    ]
    rows = rows[~registered(rows)]
    return rows.assign(method=[who(r) for r in rows.to_dict("records")])


def shipped(dataset, methods):
    """The rows of the data set's own teachers and students on its own images: recipe "short"
    unchanged, trained without noise, as their teachers were.
    """
    rows = frame(RESULTS / f"{dataset}.csv")
    guide = rows.teacher.str.partition(" seed ")[0]
    rows, guide = rows[~registered(rows)], guide[~registered(rows)]
    own = (rows.network == f"{dataset}_student") | (rows.network == f"{dataset}_teacher") & (
        rows.method == "teacher"
    )
    return rows[
        own
        & rows.method.isin(methods)
        & (rows.recipe == "short")
        & (rows.settings == "")
        & (rows.train_noise == "")
        & guide.isin(["", f"{dataset}_teacher"])
    ]


def checkpoint_path(dataset, method, seed=0, network=None, recipe="short", folder=CHECKPOINTS):
    """Where a checkpoint lies: folder/network-method-recipe-seed.safetensors, the data set before
    it if the network's name is not its own.
    """
    network = network or network_for(dataset, method)
    own = "" if network.startswith(dataset) else f"{pathlib.Path(dataset).name}-"
    return pathlib.Path(folder) / f"{own}{network}-{method}-{recipe}-s{seed}.safetensors"
