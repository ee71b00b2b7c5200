"""Global contrast normalisation and ZCA whitening as arXiv 1302.4389 prepared CIFAR (Sec. V-A names
them without constants).
"""

import hashlib
import pathlib

import torch
from safetensors import SafetensorError, safe_open

from ..env import progress
from ..store import write

SCALE = 55.0
BIAS = 0.1


def gcn(x: torch.Tensor, scale: float = SCALE) -> torch.Tensor:
    """Images 0-255 (n, c, h, w) -> float64 (n, d): each minus its mean over all values, over (its
    L2 norm / scale).
    """
    v = x.flatten(1).double()
    v = v - v.mean(1, keepdim=True)
    return v.div_((v.norm(dim=1, keepdim=True) / scale).clamp_min(1e-8))


def zca(v, bias: float = BIAS) -> tuple:
    """(mean (d,), P (d, d)) of the whitening P (v - mean), P = V diag(1 / sqrt(eigenvalue + bias))
    V^T, float64, fitted on v: (n, d), or pieces of it.
    """
    n, total, squares = 0, 0.0, None
    for piece in [v] if isinstance(v, torch.Tensor) else v:
        n += len(piece)
        total = total + piece.sum(0)
        squares = piece.T @ piece if squares is None else squares.addmm_(piece.T, piece)
    mean = total / n
    values, V = torch.linalg.eigh(squares.div_(n).sub_(torch.outer(mean, mean)))
    return mean, (V * (values.clamp_min(0) + bias).rsqrt()) @ V.T


def gcn_zca(x: torch.Tensor, x_test: torch.Tensor, folder, chunk: int = 2000) -> tuple:
    """Training and test images 0-255 (n, c, h, w) after GCN and the ZCA fitted on the training
    images: float32, the same shapes.

    Computed in float64 once and kept under `folder` in a file named by a hash of the images and
    constants: the matrix differs from platform to platform in its last digits, so keep the file
    where numbers must repeat.
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
    mean, P = zca(
        gcn(x[i : i + chunk])
        for i in progress(range(0, len(x), chunk), desc="covariance", leave=False)
    )
    done = []
    for t in (x, x_test):
        out = torch.empty(t.shape, dtype=torch.float32)
        for i in progress(range(0, len(t), chunk), desc="whiten", leave=False):
            out[i : i + chunk] = ((gcn(t[i : i + chunk]) - mean) @ P).view(-1, *t.shape[1:]).float()
        done.append(out)
    write(path, {"train": done[0], "test": done[1], "mean": mean, "P": P})
    return done[0], done[1]


def picture(x: torch.Tensor, x_train: torch.Tensor) -> torch.Tensor:
    """Whitened images x (n, c, h, w) as pictures for the eye: each stretched to [0, 1] between the
    0.5 and 99.5 percentiles of x_train.
    """
    low, high = (torch.quantile(x_train[:200].flatten().double(), q) for q in (0.005, 0.995))
    return ((x.double() - low) / (high - low)).clamp(0, 1).float()
