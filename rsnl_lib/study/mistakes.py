"""Which wrong label a network gives to which noisy image, and how often that is its teacher's own
wrong label.
"""

import io
import pathlib

import numpy as np
import torch

from .. import env, store
from ..measure import evaluate
from ..networks import fast

RIGHT = 255  # in place of a label where the answer was right
LEVEL = {"mnist": ("gaussian", 1, "dB")}  # where mistakes are kept, by data set
FOLDER = env.RESULTS / "mistakes"


@torch.no_grad()
def find(
    net: torch.nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    kind: str,
    level: float,
    unit: str,
    draws: int = 2,
    chunk: int = 500,
) -> np.ndarray:
    """What `net` says of images x (n, c, h, w) under the draws of `evaluate.sweep`: (draws, n) of
    uint8, RIGHT where it is y.
    """
    said = np.full((draws, len(x)), RIGHT, np.uint8)
    with fast.layers(net.eval()):
        for draw in range(draws):
            for i, seen in evaluate.draws_of(x, kind, level, unit, draw, 0, chunk):
                guess = torch.cat([net(part).argmax(1) for part in seen.split(64)])
                wrong = guess != y[i : i + chunk]
                said[draw, i : i + chunk][wrong.cpu().numpy()] = guess[wrong].cpu().numpy()
    return said


def agreement(student: np.ndarray, teacher: np.ndarray) -> float:
    """Of a student's mistakes the share at which the teacher gives the same wrong label; arrays as
    `find` gives them. nan without mistakes.
    """
    wrong = student != RIGHT
    return float((teacher[wrong] == student[wrong]).mean()) if wrong.any() else float("nan")


def write(path, said: np.ndarray) -> None:
    """Keep an array as `find` gives it."""
    raw = io.BytesIO()
    np.savez_compressed(raw, said=said)
    store.write(path, raw.getvalue())


def read(path) -> np.ndarray:
    """An array that `write` kept."""
    path = pathlib.Path(path)
    try:
        with np.load(path, allow_pickle=False) as f:
            said = f["said"]
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"{path} holds no mistakes ({error}); delete it and measure the network again"
        ) from None
    if said.ndim != 2 or said.dtype != np.uint8:
        raise ValueError(
            f"{path} holds {said.dtype} {said.shape}; mistakes are uint8 (draws, images)"
        )
    return said


def known(jobs, *folders) -> dict:
    """{job: its mistakes} of those whose file lies in one of `folders` (default: the results)."""
    found = {}
    for job in jobs:
        places = [pathlib.Path(f) / f"{job.path().stem}.npz" for f in folders or (FOLDER,)]
        place = next((p for p in places if p.is_file()), None)
        if place:
            found[job] = read(place)
    return found
