"""What the teacher says of the training images, asked once and kept."""

import pathlib
import time

import torch
from torch import Tensor, nn

from .. import checks, geometry, store
from ..env import progress
from ..networks import door, fast, modules
from .steps import EVERY


def teacher_constants(
    teacher: nn.Module,
    x: Tensor,
    y: Tensor,
    tau: float,
    gradients: str,
    folder: str | pathlib.Path | None = None,
    chunk: int = 64,
    every: float = EVERY,
) -> tuple[Tensor, Tensor | None]:
    """(a_T, g_T): the teacher's logits (n, k) and input gradients (n, c, h, w), once for all
    epochs; of float32 images the gradients in half precision, in single where they are too large.

    `gradients` says of what: "tempered" (f_T at tau, Eq. 16), "logit", "probability", or "" for
    none. With `folder` the answer is kept in a file named by a hash of the question; until it is
    whole, pieces are, one every `every` seconds, and another call goes on after the last.
    """
    checks.some(checks.images(x), "ask the teacher about")
    checks.whole("chunk", chunk, 1)
    few = door.look("teacher", checks.network("teacher", teacher), x[:4])
    door.awake("teacher", teacher, x)
    _check_logits(few, y[:4])
    checks.true_class(few[:1].expand(len(x), -1), y)
    words = f"{tau} {gradients} {teacher}"
    weights = door.tensors(teacher)
    # two classes of one name and equal weights may answer differently
    name = store.digest(*weights, x, y, few, words=words)[:16]
    path = folder and pathlib.Path(folder) / f"teacher-{name}.safetensors"
    shapes = {"a": (None, few.shape[1]), **({"g": (None, *x.shape[1:])} if gradients else {})}
    if path and (held := _kept(path, shapes, len(x), x.device)):
        return held
    parts, pieces, begun = [], [], 0  # parts: one a piece, then one a chunk from image `begun` on
    while path and (held := _kept(_piece(path, begun), shapes, None, x.device)):
        if begun + len(held[0]) > len(x):
            break  # no piece of this answer
        parts.append(held)
        pieces.append(_piece(path, begun))
        begun += len(held[0])
    half = torch.half if x.dtype == torch.float else x.dtype
    last = time.monotonic()
    with door.answering(teacher), modules.frozen(teacher), fast.layers(teacher):
        for i in progress(range(begun, len(x), chunk), desc="teacher", leave=False):
            done = i + chunk
            a, g = _ask(teacher, x[i:done], y[i:done], tau, gradients)
            parts.append((a, _short(g, half) if gradients else None))
            if path and done < len(x) and time.monotonic() - last > every:
                new = len(pieces)
                parts[new:] = [_joined(parts[new:])]
                pieces.append(_piece(path, begun))
                _write_constants(pieces[-1], *parts[-1])
                begun = done
                last = time.monotonic()
    a, g = _joined(parts)
    _check_logits(a, y)
    if path:
        _write_constants(path, a, g)
        for piece in pieces:
            piece.unlink(missing_ok=True)
    return a, g


def _joined(parts):
    a, g = zip(*parts)
    return torch.cat(a), None if g[0] is None else torch.cat(g)


def _piece(path, first):
    """The file of the piece that begins with image number `first`."""
    return path.with_stem(f"{path.stem}.from-{first}")


def _short(g, half):
    """Gradients in the dtype `half`; as they are where it does not hold them."""
    if not g.isfinite().all():
        odd = "the teacher's input gradients hold NaN or infinite values"
        raise ValueError(f"{odd}; train it again or divide its logits by a number")
    short = g.to(half)
    return (short if short.isfinite().all() else g).contiguous()


def _check_logits(a, y):
    checks.true_class(a, y)
    if not a.isfinite().all():
        raise ValueError("the teacher's logits hold NaN or infinite values; train it again")
    checks.logits("teacher", a)


def _write_constants(path, a, g):
    store.keep(path, {"a": a.cpu()} if g is None else {"a": a.cpu(), "g": g.cpu()})


def _kept(path, shapes, n, device):
    """(a, g) of n images out of a file, of a piece with n None; g None where there is no such
    shape; None where there is no whole file.
    """
    shapes = {name: (n, *shape[1:]) for name, shape in shapes.items()}
    held = store.kept(path, shapes, (torch.half, torch.float, torch.double), device)
    if not held or any(len(t) != len(held["a"]) for t in held.values()):
        return None
    return held["a"], held.get("g")


def _ask(teacher, x, y, tau, gradients):
    """(a_T, g_T or None) of one batch."""
    if gradients:
        a, g = geometry.input_gradient(teacher, x, y, tau, space=gradients)
        return a.detach(), g
    with torch.no_grad():
        return teacher(x), None
