"""What the teacher says of the training images, asked once and kept."""

import pathlib
import time

import torch
from safetensors import SafetensorError, safe_open

from .. import checks, geometry, store
from ..checks import whole
from ..env import progress
from ..networks import fast, modules

EVERY = 300  # seconds between two states that a run keeps of itself, wherever it is


def teacher_constants(teacher, x, y, tau, gradients, folder=None, chunk=64, every=EVERY):
    """(a_T, g_T): the teacher's logits (n, k) and input gradients (n, c, h, w), once for all
    epochs; of float32 images the gradients in half precision.

    `gradients` says of what: "tempered" (f_T at tau, Eq. 16), "logit", "probability", or "" for
    none. With `folder` the answer is kept in a file named by a hash of layers, weights, images,
    labels and tau; until it is whole, pieces of it are, one every `every` seconds, and another call
    goes on after the last.
    """
    if teacher.training:
        raise ValueError(
            "the teacher is in training mode; call teacher.eval(), its scores must not change"
        )
    if not len(checks.images(x)):
        raise ValueError("there are no images for the teacher; x is empty")
    name = store.digest(*teacher.state_dict().values(), x, y, words=f"{tau} {gradients} {teacher}")[
        :16
    ]
    path = folder and pathlib.Path(folder) / f"teacher-{name}.safetensors"
    if path and (kept := _kept(path, gradients, x.device)):
        return kept
    a, g, half = [], [], torch.half if x.dtype == torch.float else x.dtype
    pieces, begun, last, done = [], 0, time.monotonic(), 0
    while path and (
        kept := _kept(piece := path.with_stem(f"{path.stem}.from-{done}"), gradients, x.device)
    ):
        a.append(kept[0]), g.append(kept[1]), pieces.append(piece)
        begun = done = done + len(kept[0])
    with modules.frozen(teacher), fast.layers(teacher):
        for i in progress(
            range(done, len(x), whole("chunk", chunk, 1)), desc="teacher", leave=False
        ):
            logits, grad = _ask(teacher, x[i : i + chunk], y[i : i + chunk], tau, gradients)
            a.append(logits)
            g.append(grad.to(half).contiguous() if gradients else grad)
            done += len(logits)
            if path and time.monotonic() - last > every and done < len(x):
                pieces.append(path.with_stem(f"{path.stem}.from-{begun}"))
                new = len(pieces) - 1  # one entry a piece from here on
                a[new:], g[new:] = [torch.cat(a[new:])], [torch.cat(g[new:]) if gradients else None]
                _keep_constants(pieces[-1], a[-1], g[-1])
                begun, last = done, time.monotonic()
    a, g = torch.cat(a), torch.cat(g) if gradients else None
    checks.true_class(a, y)
    if not a.isfinite().all():
        raise ValueError(
            "the teacher's logits hold NaN or infinite values; train it again, or give another"
        )
    if a.min() >= 0 and (a.sum(1) - 1).abs().max() < 1e-3:
        raise ValueError(
            "the teacher's answers are probabilities (each row sums to 1, the first is"
            f" {[round(v, 3) for v in a[0].tolist()[:3]]}...); it must give logits: leave its"
            " softmax out"
        )
    if path:
        _keep_constants(path, a, g)
        for piece in pieces:
            piece.unlink(missing_ok=True)
    return a, g


def _keep_constants(path, a, g):
    store.write(path, {"a": a.cpu(), **({} if g is None else {"g": g.cpu()})})


def _kept(path, gradients, device):
    """(a, g) out of a file of the teacher's constants, g None without `gradients`; None where there
    is no whole file.
    """
    if not path.is_file():
        return None
    try:
        with safe_open(path, "pt", device=str(device)) as f:
            return f.get_tensor("a"), f.get_tensor("g") if gradients else None
    except SafetensorError:
        path.unlink()  # damaged: compute it again
        return None


def _ask(teacher, x, y, tau, gradients):
    """(a_T, g_T or None): what `teacher_constants` keeps, of one batch."""
    if gradients:
        a, g = geometry.input_gradient(teacher, x, y, tau, space=gradients)
        return a.detach(), g
    with torch.no_grad():
        return teacher(x), None
