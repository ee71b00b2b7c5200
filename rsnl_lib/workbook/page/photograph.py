"""photograph.html: Figure 3 in colour, the trial's CIFAR-10 networks on photographs. Template and
scripts are those of figure3.html, less the pad, the attack and the theorem.
"""

import numpy as np
import torch
from pandas import DataFrame

from ... import data, store
from ...data import whiten
from ...env import GALLERY, RESULTS, ROOT
from ...study import jobs
from .. import palette
from .pack import (
    bytes64,
    colour_rules,
    network_rows,
    packed,
    page_file,
    percents,
    shown_rows,
    signed_colours,
    text64,
    trained,
)

PHOTOGRAPH = ROOT / "photograph.html"
PHOTO_SCRIPTS = ("noise", "networks", "address", "frames", "page")  # in this order
TRIAL = jobs.Job(
    "cifar10",
    "kd",
    network="cifar_student1",
    settings="epochs=10",
    teacher_network="cifar_teacher@0.25",
    teacher_settings="epochs=10",
)
CLASS_WORDS = (
    "plane car bird cat deer dog frog horse ship truck".split()
)  # CIFAR-10's, in its order
OPENING = {"digit": 6, "snr": 4}  # the first that all name right when clean and differently here


def trial_jobs() -> dict[str, jobs.Job]:
    """{method: job} of the networks of the trial, in the page's order."""
    students = {m: TRIAL._replace(method=m) for m in ("kd", "robust", "target_zero")}
    return {"teacher": TRIAL.teacher(), **students}


def trial_rows() -> DataFrame:
    """The rows of just these networks."""
    rows = store.frame(RESULTS / "cifar10.csv")
    own = [jobs.Run.of(job.row()) for job in trial_jobs().values()]
    return rows[[jobs.Run.of(r) in own for r in rows.to_dict("records")]]


def photograph_bytes() -> bytes:
    """The page's bytes."""
    loaded = {m: store.load_checkpoint(job.path()) for m, job in trial_jobs().items()}
    layers, weights = packed(loaded)
    labels = {m: palette.style(m)["label"] for m in loaded}
    tested = shown_rows(trial_rows())
    tests = percents(tested, layers)
    x, y = data.gallery("cifar10")
    with np.load(GALLERY / "cifar10.npz", allow_pickle=False) as f:
        photos = torch.from_numpy(f["x"][np.argsort(f["y"], kind="stable")]) / 255
    facts = {
        "item": "image",
        "set": "CIFAR-10",
        "shape": [32, 3],
        "look": whiten.eye_range(x),
        "names": CLASS_WORDS,
        "start": OPENING,
        "networks": layers,
        "labels": labels,
        "shown": list(loaded),
        "colours": signed_colours(),
        "tests": tests,
        "classes": y.tolist(),
        "count": "twenty",
        "gallery": bytes64(photos),
        "seen": text64(x.permute(0, 2, 3, 1).contiguous().numpy().astype("<f4").tobytes()),
    }
    words = {
        **trained(loaded),
        "snr": str(OPENING["snr"]),
        "images": f"{tested.n.min():,}",
        "weights": f"{len(weights):,}",
        "gallery": "Twenty test images, two of each class, unselected",
        "colours": colour_rules(loaded),
        "rows": network_rows(loaded, labels, tests, (3, 32, 32)),
    }
    return page_file(PHOTO_SCRIPTS, facts, weights, words)
