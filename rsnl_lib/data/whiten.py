"""Global contrast normalisation and ZCA whitening as arXiv 1302.4389 prepared CIFAR (Sec. V-A names
them without constants).
"""

import hashlib
import pathlib
from collections.abc import Iterable

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..env import AnyPath, progress
from ..store import write

SCALE = 55.0
BIAS = 0.1


def gcn(x: Tensor, scale: float = SCALE) -> Tensor:
    """Images 0-255 (n, c, h, w) -> float64 (n, d): minus its mean, over (its L2 norm / scale)."""
    v = x.flatten(1).double()
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
    mean = total / n
    values, V = torch.linalg.eigh(squares.div_(n).sub_(torch.outer(mean, mean)))
    return mean, (V * (values.clamp_min(0) + BIAS).rsqrt()) @ V.T


def gcn_zca(x: Tensor, x_test: Tensor, folder: AnyPath, chunk: int = 2000) -> tuple[Tensor, Tensor]:
    """Training and test images 0-255 (n, c, h, w) after GCN and the ZCA fitted on the training
    images, float32. Computed in float64 once and kept under `folder`, in a file named by a hash of
    images and constants: the matrix differs in its last digits from platform to platform.
    """
    h = hashlib.sha256(f"gcn {SCALE} zca {BIAS}".encode())
    for t in (x, x_test):
        h.update(f"{tuple(t.shape)}".encode())
        h.update(t.contiguous().numpy())
    path = pathlib.Path(folder) / f"zca-{h.hexdigest()[:16]}.safetensors"
    if path.is_file():
        try:
            with safe_open(path, "pt") as f:
                return f.get_tensor("train"), f.get_tensor("test")
        except SafetensorError:
            path.unlink()  # damaged: compute it again
    mean, P = zca(map(gcn, progress(x.split(chunk), desc="covariance", leave=False)))
    made = []
    for t in (x, x_test):
        pieces = progress(t.split(chunk), desc="whiten", leave=False)
        flat = torch.cat([((gcn(piece) - mean) @ P).float() for piece in pieces])
        made.append(flat.view(t.shape))
    write(path, {"train": made[0], "test": made[1], "mean": mean, "P": P})
    return made[0], made[1]


def stretch(x: Tensor, x_train: Tensor) -> Tensor:
    """Whitened images x (n, c, h, w) for the eye: percentiles 0.5 to 99.5 of x_train as [0, 1]."""
    low, high = (torch.quantile(x_train[:200].flatten().double(), q) for q in (0.005, 0.995))
    return ((x.double() - low) / (high - low)).clamp(0, 1).float()
