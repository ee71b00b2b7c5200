"""Checkpoints (safetensors with provenance); rows are read and written by `tables`."""

import contextlib
import datetime
import pathlib

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from . import checks, env, networks
from .env import AnyPath, commit, hardware
from .files import can_write, digest, keep, kept, write, writing  # noqa: F401
from .networks import door
from .rows import (  # noqa: F401
    COLUMNS,
    CURVE_COLUMNS,
    LADDER_COLUMNS,
    MARGIN_COLUMNS,
    RUN_COLUMNS,
    SCHEMAS,
    SIMILARITY_COLUMNS,
    SLOPE_COLUMNS,
    SPEED_COLUMNS,
)
from .tables import (  # noqa: F401
    append,
    can_append,
    frame,
    hold,
    lines,
    open_plain,
    pack_rows,
    result_rows,
    table,
)


def provenance() -> dict:
    """Where and when something is measured, as the last columns of its row."""
    today = datetime.date.today().isoformat()
    made = {"hardware": hardware(), "torch": torch.__version__}
    return {**made, "commit": commit(), "date": today}


def halved(t: Tensor) -> Tensor:
    """`t` in half precision; as it is where that would make a number infinite, or all of them 0."""
    half = t.half()
    fits = half.isfinite().all() and bool(half.any()) == bool(t.any())
    return half if fits else t


def save_checkpoint(path: AnyPath, net: nn.Module, half: bool = True, **header) -> None:
    """Write the network's tensors, all finite, under `header`, as text; by default in half
    precision, but for tensors that it does not hold.
    """
    checks.network("network", net)
    tensors = {}
    for name, v in door.unwrapped(net).state_dict().items():
        v = v.detach().cpu().clone()  # tied weights lie in one place, which no file may say
        if not v.float().isfinite().all():
            raise ValueError(f"{name} is too large for single precision; train with a smaller lr")
        tensors[name] = (halved(v) if half and v.is_floating_point() else v).contiguous()
    write(path, save(tensors, {k: str(v) for k, v in {**provenance(), **header}.items()}))


@contextlib.contextmanager
def _checkpoint(path):
    """A checkpoint open to read; ValueError where it is damaged."""
    if not pathlib.Path(path).is_file():
        remedy = "train it with: python -m rsnl_lib train, or name another (a teacher: --teacher)"
        raise FileNotFoundError(f"there is no checkpoint {path}; {remedy}")
    try:
        with safe_open(path, "pt") as f:
            yield f
    except (SafetensorError, OSError) as error:
        harm = f"{path} is damaged or no safetensors file ({error})"
        raise ValueError(f"{harm}; delete it and train or fetch it again") from None


def read_header(path: AnyPath) -> dict:
    """The header of a checkpoint alone, without a tensor read."""
    with _checkpoint(path) as f:
        return f.metadata() or {}


def load_checkpoint(path: AnyPath, net: nn.Module | None = None, device: str = "cpu") -> tuple:
    """(network in evaluation mode, header); `net` gets the weights, else the header's is built."""
    with _checkpoint(path) as f:
        header = f.metadata() or {}
        state = {k: f.get_tensor(k).float() for k in f.keys()}
    for key, t in state.items():
        if not t.isfinite().all():
            harm = f"{path} is no usable checkpoint: its {key} holds NaN or infinite values"
            raise ValueError(f"{harm}; train or fetch it again")
    name = header.get("network")
    if net is None:
        name, *size = networks.described(path, header)
        typed = networks.maker_word(name)
        try:
            with torch.device("cpu" if typed else "meta"):  # no file alone may ask for memory
                net = networks.build(name, *size)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        if not typed:
            _fill(net, state, path, name, assign=True)
            net = networks.build(name, *size)
    _fill(net, state, path, name)
    checks.network(f"network in {path}", net)
    return net.to(env.device(str(device))).eval(), header


def _bare(state, net):
    """The tensors by their names without what DataParallel and torch.compile put before all."""
    own = net.state_dict().keys()
    for prefix in ("_orig_mod.", "module.") * 2:
        if state and all(k.startswith(prefix) for k in state) and not own & state.keys():
            state = {k.removeprefix(prefix): t for k, t in state.items()}
    return state


def _fill(net, state, path, name, **how):
    """Lay the tensors of the file `path` into `net`, called `name` there."""
    net = door.unwrapped(net)
    state = _bare(state, net)
    before = {key: t.clone() for key, t in net.state_dict().items()}
    try:
        net.load_state_dict(state, **how)
    except RuntimeError as error:
        net.load_state_dict(before, **how)
        odd = f"{path} does not fit {name or type(net).__name__}: {error}"
        raise ValueError(f"{odd}; name the checkpoint of this network") from None
