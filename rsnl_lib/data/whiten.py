"""Global contrast normalisation and ZCA whitening as arXiv 1302.4389 prepared CIFAR (Sec. V-A names
them without constants).
"""

import hashlib
import pathlib
from collections.abc import Iterable

import torch
from torch import Tensor

from ..checks import points, some, whole
from ..env import AnyPath, progress
from ..store import keep, kept

SCALE = 55.0
BIAS = 0.1


def gcn(x: Tensor, scale: float = SCALE) -> Tensor:
    """Images 0-255 (n, c, h, w) -> float64 (n, d): minus its mean, over (its L2 norm / scale)."""
    v = points(x.flatten(1).double())
    v = v - v.mean(1, keepdim=True)
    return v.div_((v.norm(dim=1, keepdim=True) / scale).clamp_min(1e-8))


def zca(pieces: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """(mean (d,), P (d, d)) of the whitening P (v - mean), P = V diag(1 / sqrt(eigenvalue + BIAS))
    V^T, float64, fitted on v (n, d), which comes in pieces.
    """
    n, total, squares = 0, 0.0, None
    for piece in pieces:
        n += len(piece)
        total = total + piece.sum(0)
        squares = piece.T @ piece if squares is None else squares.addmm_(piece.T, piece)
    if not n:
        raise ValueError("there are no images to fit the whitening on; give at least one")
    mean = total / n
    values, V = torch.linalg.eigh(squares.div_(n).sub_(torch.outer(mean, mean)))
    return mean, (V * (values.clamp_min(0) + BIAS).rsqrt()) @ V.T


def gcn_zca(x: Tensor, x_test: Tensor, folder: AnyPath, chunk: int = 2000) -> tuple[Tensor, Tensor]:
    """Training and test images 0-255 (n, c, h, w) after GCN and the ZCA fitted on the training
    images, float32. Computed in float64 once and kept under `folder`, in a file named by a hash of
    images and constants: the matrix differs in its last digits from platform to platform.
    """
    some(x, "fit the whitening on")
    whole("chunk", chunk, 1)
    if x.shape[1:] != x_test.shape[1:]:
        sizes = f"training images {tuple(x.shape[1:])}, test images {tuple(x_test.shape[1:])}"
        raise ValueError(f"{sizes}: they must be of one size")
    h = hashlib.sha256(f"gcn {SCALE} zca {BIAS}".encode())
    for t in (x, x_test):
        h.update(f"{tuple(t.shape)}".encode())
        h.update(t.contiguous().numpy())
    path = pathlib.Path(folder) / f"zca-{h.hexdigest()[:16]}.safetensors"
    if held := kept(path, {"train": x.shape, "test": x_test.shape}, (torch.float,)):
        return held["train"], held["test"]
    mean, P = zca(map(gcn, progress(x.split(chunk), desc="covariance", leave=False)))
    made = []
    for t in (x, x_test):
        pieces = progress(t.split(chunk), desc="whiten", leave=False)
        flat = torch.cat([((gcn(piece) - mean) @ P).float() for piece in pieces])
        made.append(flat.view(t.shape))
    keep(path, {"train": made[0], "test": made[1], "mean": mean, "P": P})
    return made[0], made[1]


def eye_range(x_train: Tensor) -> tuple[float, float]:
    """Percentiles 0.5 and 99.5 of whitened images: black and white for the eye."""
    some(x_train, "take percentiles of")
    v = x_train[:200].flatten().double()
    return torch.quantile(v, 0.005).item(), torch.quantile(v, 0.995).item()


def stretch(x: Tensor, x_train: Tensor) -> Tensor:
    """Whitened images x (n, c, h, w) for the eye: `eye_range` of x_train as [0, 1]."""
    low, high = eye_range(x_train)
    return ((x.double() - low) / (high - low)).clamp(0, 1).float()
