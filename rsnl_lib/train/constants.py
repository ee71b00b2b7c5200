"""What the teacher says of the training images, asked once and kept."""

import pathlib

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from .. import checks, geometry, store
from ..checks import whole
from ..env import progress
from ..networks import fast, modules
from .steps import EVERY, Watch

Constants = tuple[torch.Tensor, torch.Tensor | None]


def teacher_constants(
    teacher: nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    tau: float,
    gradients: str,
    folder: str | pathlib.Path | None = None,
    chunk: int = 64,
    every: float = EVERY,
) -> Constants:
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
    words = f"{tau} {gradients} {teacher}"
    name = store.digest(*teacher.state_dict().values(), x, y, words=words)[:16]
    path = folder and pathlib.Path(folder) / f"teacher-{name}.safetensors"
    if path and (kept := _kept(path, gradients, x.device)):
        return kept
    a, g, pieces = _ask_all(teacher, x, y, tau, gradients, path, chunk, every)
    _check_logits(a, y)
    if path:
        _keep_constants(path, a, g)
        for piece in pieces:
            piece.unlink(missing_ok=True)
    return a, g


def _ask_all(teacher, x, y, tau, gradients, path, chunk, every):
    """(a_T, g_T, pieces): what the teacher says of all images, `chunk` of them at once; pieces are
    the files that hold parts of it, those of an earlier call among them.
    """
    half = torch.half if x.dtype == torch.float else x.dtype
    parts, pieces, done = [], [], 0
    while path and (kept := _kept(piece := _piece(path, done), gradients, x.device)):
        parts.append(kept)
        pieces.append(piece)
        done += len(kept[0])
    begun = done
    watch = Watch(every)
    with modules.frozen(teacher), fast.layers(teacher):
        chunks = range(done, len(x), whole("chunk", chunk, 1))
        for i in progress(chunks, desc="teacher", leave=False):
            a, g = _ask(teacher, x[i : i + chunk], y[i : i + chunk], tau, gradients)
            parts.append((a, g.to(half).contiguous() if gradients else g))
            done += len(a)
            if path and watch.due() and done < len(x):
                new = len(pieces)  # one entry a piece up to here
                parts[new:] = [_joined(parts[new:])]
                pieces.append(_piece(path, begun))
                _keep_constants(pieces[-1], *parts[-1])
                begun = done
                watch.restart()
    return *_joined(parts), pieces


def _joined(parts):
    a, g = zip(*parts)
    return torch.cat(a), None if g[0] is None else torch.cat(g)


def _piece(path, first):
    """The file of the piece that begins with image number `first`."""
    return path.with_stem(f"{path.stem}.from-{first}")


def _check_logits(a, y):
    """Refuse answers that are no logits of the classes y."""
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
