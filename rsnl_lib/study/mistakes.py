"""Which wrong label a network gives to a noisy image, and how often that is its teacher's."""

import io
import math
import pathlib
import zipfile
import zlib

import numpy as np
import torch
from torch import Tensor, nn

from .. import env, store
from ..checks import whole
from ..data.catalogue import Condition
from ..env import AnyPath
from ..measure import evaluate
from ..networks import fast

RIGHT = 255  # in place of a label where the answer was right
LEVEL = {"mnist": Condition("gaussian", 1, "dB")}  # where mistakes are kept, by data set
MISTAKES = env.RESULTS / "mistakes"
MOST_BYTES = 2**26  # bytes of an array of mistakes; a file that would unpack to more is refused


@torch.no_grad()
def wrong_labels(
    net: nn.Module, x: Tensor, y: Tensor, noise: Condition, draws: int, chunk: int = 500
) -> np.ndarray:
    """What `net` says of images x (n, c, h, w) under the draws of `evaluate.sweep`: uint8 (draws,
    n), RIGHT where it is y.
    """
    said = np.full((whole("draws", draws, 1), len(x)), RIGHT, np.uint8)
    with fast.layers(net.eval()):
        for draw in range(draws):
            for i, seen in evaluate.draws_of(x, *noise, draw, 0, chunk):
                guess = torch.cat([net(part).argmax(1) for part in seen.split(64)])
                wrong = guess != y[i : i + chunk]
                said[draw, i : i + chunk][wrong.cpu().numpy()] = guess[wrong].cpu().numpy()
    return said


def agreement(student: np.ndarray, teacher: np.ndarray) -> float:
    """Of a student's `wrong_labels` the share that the teacher gives too; nan without mistakes."""
    if student.shape != teacher.shape:
        raise ValueError(f"mistakes {student.shape} and {teacher.shape} must be of one shape")
    wrong = student != RIGHT
    return float((teacher[wrong] == student[wrong]).mean()) if wrong.any() else float("nan")


def save_mistakes(path: AnyPath, said: np.ndarray) -> None:
    """Keep an array of `wrong_labels`."""
    if said.dtype != np.uint8 or said.ndim != 2:
        raise ValueError(f"mistakes are {said.dtype} {said.shape}; give uint8 (draws, images)")
    raw = io.BytesIO()
    np.savez_compressed(raw, said=said)
    store.write(path, raw.getvalue())


def load_mistakes(path: AnyPath) -> np.ndarray:
    """An array that `save_mistakes` kept: uint8 (draws, images), not empty, at most MOST_BYTES."""
    broken = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)
    try:
        with zipfile.ZipFile(path) as box:
            if box.namelist() != ["said.npy"] or (size := box.infolist()[0].file_size) > MOST_BYTES:
                raise ValueError(f"{path} must hold one array of at most {MOST_BYTES} bytes")
            with box.open("said.npy") as f:
                raw = io.BytesIO(f.read(size + 1))
        version = np.lib.format.read_magic(raw)
        shape, by_columns, dtype = np.lib.format.read_array_header_1_0(raw)
        fits = len(shape) == 2 and 0 < math.prod(shape) == size - raw.tell()
        if version != (1, 0) or dtype != np.uint8 or not fits:
            raise ValueError(f"{dtype} {shape} is not uint8 (draws, images)")
        said = np.frombuffer(raw.read(), np.uint8).reshape(shape, order="CF"[by_columns])
    except (OSError, ValueError, KeyError, *broken) as error:
        raise ValueError(
            f"{path} holds no mistakes ({error}); delete it and measure the network again"
        ) from None
    return said.copy()


def collect(jobs: list, *folders: pathlib.Path) -> dict:
    """{job: its mistakes} of those whose file lies among the results or in one of `folders`."""
    found = {}
    for job in jobs:
        places = [folder / f"{job.path().stem}.npz" for folder in (MISTAKES, *folders)]
        if place := next((p for p in places if p.is_file()), None):
            found[job] = load_mistakes(place)
    return found
