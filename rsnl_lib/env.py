"""Where things lie, which machine this is, and the progress bar."""

import functools
import os
import pathlib
import platform
import subprocess
from collections.abc import Iterable

import torch

from .checks import one_of


def _root():
    """RSNL_ROOT, else the checkout that holds this library or in which one stands, else the folder
    above the library.
    """
    if named := os.environ.get("RSNL_ROOT"):
        if not (pathlib.Path(named) / "data" / "claims").is_dir():
            raise ValueError(f"RSNL_ROOT={named!r} holds no data/claims; name a checkout")
        return pathlib.Path(named).resolve()
    above, here = pathlib.Path(__file__).resolve().parents[1], pathlib.Path.cwd()
    places = (above, here, *here.parents)
    return next((p for p in places if (p / "data" / "claims").is_dir()), above)


ROOT = _root()
RESULTS = ROOT / "data" / "results"
CHECKPOINTS = ROOT / "data" / "checkpoints"
GALLERY = ROOT / "data" / "gallery"
AnyPath = str | os.PathLike  # where a function opens or names a file or folder


def data_folder(folder: AnyPath | None = None) -> pathlib.Path:
    """The folder of downloads: `folder`, else RSNL_DATA, else data/downloads (git-ignored)."""
    return pathlib.Path(folder or os.environ.get("RSNL_DATA") or ROOT / "data" / "downloads")


def progress(items: Iterable, **kwargs) -> Iterable:
    """A progress bar with the time left; silent where TQDM_DISABLE is set (tests, rendering)."""
    from tqdm.auto import tqdm

    return tqdm(items, disable=bool(os.environ.get("TQDM_DISABLE")), **kwargs)


def device(name: str = "auto") -> torch.device:
    """The torch device called `name`; "auto" takes a GPU where there is one, which then computes in
    single precision, not in TF32's ten bits.
    """
    gpu = torch.cuda.is_available()
    if name == "auto":
        name = "cuda" if gpu else "cpu"
    if str(name).startswith("cuda") and not gpu:
        raise ValueError(f"device={name!r}: torch sees no GPU here; use 'cpu' or 'auto'")
    kind, colon, number = str(name).partition(":")
    one_of("device", kind, ("cpu", "cuda"))
    cards = torch.cuda.device_count() if kind == "cuda" else 0
    if colon and not (number.isdecimal() and int(number) < cards):
        highest = f"; after cuda: give 0 to {cards - 1}" if cards else ""
        words = "write 'auto', 'cpu', 'cuda' or 'cuda:0'"
        raise ValueError(f"device={name!r} is not here; {words}{highest}")
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    return torch.device(name)


def generators(device: torch.device) -> list:
    """What torch's random numbers will be from here on, on the CPU and on a GPU."""
    on_gpu = [torch.cuda.get_rng_state(device)] if device.type == "cuda" else []
    return [torch.get_rng_state(), *on_gpu]


def set_generators(states: list, device: torch.device) -> None:
    """Put the random numbers back to where `generators` found them."""
    torch.set_rng_state(states[0].cpu())
    if device.type == "cuda" and len(states) > 1:
        torch.cuda.set_rng_state(states[1].cpu(), device)


@functools.cache
def processor() -> str:
    """The processor by name, family and model, where the system tells; else the architecture."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
        told = dict([part.strip() for part in line.split(":", 1)] for line in lines if ":" in line)
        return f"{told['model name']} (family {told['cpu family']}, model {told['model']})"
    except (OSError, KeyError):
        return platform.processor() or f"{platform.machine()} CPU"


def hardware() -> str:
    """The machine in words for a result row: the GPU, else the processor and how many threads."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    threads = torch.get_num_threads()
    return f"{processor()}, {threads} thread" + "s" * (threads > 1)


def commit() -> str:
    """The git commit, twelve digits, a + where rsnl_lib/ has changes; "unknown" outside git."""

    def git(*args):
        how = {"cwd": ROOT, "capture_output": True, "text": True, "check": True}
        return subprocess.run(["git", *args], **how).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--", "rsnl_lib")
        return git("rev-parse", "--short=12", "HEAD") + "+" * bool(changed)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
