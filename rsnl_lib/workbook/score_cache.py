"""Scores of the shipped networks on the gallery at every stop of the explorer's noise sliders,
looked up instead of computed.

Made by: python -m rsnl_lib.workbook.score_cache
"""

import hashlib
import io
import itertools
import pathlib
from collections.abc import Callable

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from .. import data, store
from ..data import perturb
from ..env import CHECKPOINTS, GALLERY

SNR = tuple(k / 2 for k in range(-12, 41))  # dB: the slider's stops
STOPS = [("none", 0.0), *itertools.product(("gaussian", "poisson"), SNR)]  # a table's columns
SCORE_TABLES = GALLERY / "scores"
LATER = ("bss", "pgd_at", "trades")  # shown in chapters 07 and 08


def short_hash(tensors: dict) -> str:
    """16 hexadecimal digits that stand for {name: tensor}: names, shapes and values as float32."""
    digest = hashlib.sha256()
    for name, v in sorted(tensors.items()):
        digest.update(f"{name} {tuple(v.shape)} ".encode())
        digest.update(v.detach().cpu().float().numpy().tobytes())
    return digest.hexdigest()[:16]


def noisy(x: Tensor, kind: str, snr: float, draw: int = 0) -> Tensor:
    """x (n, 1, h, w) with noise of `kind` ("none" for no noise) at `snr` dB; the pattern depends on
    `draw` alone.
    """
    if kind == "none":
        return x
    return perturb.apply(kind, x, float(snr), torch.Generator().manual_seed(draw))


class Waiting(nn.Module):
    """The network of a checkpoint, built when it first has to answer."""

    def __init__(self, path: pathlib.Path):
        super().__init__()
        self.path = path
        self.built = []  # a list, so that the network's weights are not this module's
        self.eval()

    def state_dict(self) -> dict:
        """The network's weights, without building it."""
        return load_file(self.path)

    def forward(self, x: Tensor) -> Tensor:
        if not self.built:
            self.built.append(store.load_checkpoint(self.path)[0])
        return self.built[0](x)


def shipped_networks(dataset: str) -> dict[str, Waiting]:
    """{method: network} of a data set's shipped teacher and students but LATER, recipe "short",
    seed 0; none is built before it has to answer.
    """
    paths = sorted(CHECKPOINTS.glob(f"{dataset}_teacher-teacher-short-s0.safetensors"))
    paths += sorted(CHECKPOINTS.glob(f"{dataset}_student-*-short-s0.safetensors"))
    return {m: Waiting(p) for p in paths if (m := p.stem.split("-")[1]) not in LATER}


@torch.no_grad()
def make(dataset: str) -> pathlib.Path:
    """Write the table of a data set's shipped networks and gallery; its path.

    Its scores (networks, images, stops, classes) are softmax's, in steps of 1/2048.
    """
    x, _ = data.gallery(dataset)
    nets = shipped_networks(dataset).values()
    scores = []
    for stop in STOPS:
        seen = torch.cat([noisy(image, *stop) for image in x.split(1)])
        scores.append(torch.stack([torch.softmax(net(seen), 1) for net in nets]))
    content = io.BytesIO()
    np.savez_compressed(
        content,
        scores=(torch.stack(scores, 2) * 2048).round().div(2048).half().numpy(),
        networks=[short_hash(net.state_dict()) for net in nets],
        images=[short_hash({"": i}) for i in x],
    )
    path = SCORE_TABLES / f"{dataset}.npz"
    store.write(path, content.getvalue())
    return path


def _table(names: set) -> dict | None:
    """{"networks", "images", "scores"} of the table that holds all the networks named, or None."""
    for path in sorted(SCORE_TABLES.glob("*.npz")):
        with np.load(path, allow_pickle=False) as table:
            if names <= set(table["networks"]):
                return dict(table)


def lookup(nets: dict, x: Tensor) -> Callable:
    """A function (i, kind, snr) -> {method: scores (k,)} of image x[i], or None where it takes live
    networks.

    A table answers for {method: module} `nets` only if it names the weights of all, in evaluation
    mode and unchanged since.
    """
    names = {m: short_hash(net.state_dict()) for m, net in nets.items()}
    table = _table(set(names.values()))
    if table is None:
        return lambda i, kind, snr: None
    asked = [short_hash({"": image}) for image in x]
    networks, images = (table[name].tolist() for name in ("networks", "images"))

    def stamp():
        """What a new weight or image changes, or one written in place (not through .data)."""
        weights = (itertools.chain(n.parameters(), n.buffers()) for n in nets.values())
        return [(id(t), t.is_inference() or t._version) for t in itertools.chain([x], *weights)]

    def known(i, kind, snr):
        stop = (kind, 0.0 if kind == "none" else snr)
        if i is None or asked[i] not in images or stop not in STOPS:
            return None
        if stamp() != before or any(n.training for n in nets.values()):
            return None
        scores = torch.from_numpy(table["scores"][:, images.index(asked[i]), STOPS.index(stop)])
        return {m: scores[networks.index(name)].float() for m, name in names.items()}

    before = stamp()
    return known


if __name__ == "__main__":
    for name in ("digits", "mnist"):
        path = make(name)
        print(f"{path.name}: {path.stat().st_size:,} bytes")
