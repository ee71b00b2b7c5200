"""Where things lie, which device, which seeds, and whether a notebook's parameters make sense."""

import functools
import math
import numbers
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[1]
RESULTS = ROOT / "data" / "results"
CHECKPOINTS = ROOT / "data" / "checkpoints"
GALLERY = ROOT / "data" / "gallery"
PROFILES = ("read", "smoke", "full")
DATASETS = ("digits", "mnist", "usps", "usps_resized", "cifar10", "cifar10_pixels", "cifar100")


def data_folder(folder=None):
    """The folder of downloads: the argument, else RSNL_DATA, else data/downloads in the project
    (git-ignored).
    """
    return pathlib.Path(folder or os.environ.get("RSNL_DATA") or ROOT / "data" / "downloads")


def progress(items, **kwargs):
    """A progress bar with the time left; silent where TQDM_DISABLE is set (tests, rendering)."""
    from tqdm.auto import tqdm

    return tqdm(items, disable=bool(os.environ.get("TQDM_DISABLE")), **kwargs)


def one_of(name, value, choices):
    """`value` if it is one of `choices`, else a ValueError that lists them."""
    if value not in list(choices):
        raise ValueError(
            f"{name}={value!r} is unknown; choose one of: {', '.join(map(str, choices))}"
        )
    return value


def positive(name, value, zero=False):
    """`value` as a float if it is a finite number above zero (or zero, with `zero=True`), else a
    ValueError.
    """
    rule = "zero or a finite number above it" if zero else "a finite number above zero"
    try:
        number = None if isinstance(value, (str, bool)) else float(value)
    except (TypeError, ValueError, RuntimeError):
        number = None
    if number is None:
        raise ValueError(f"{name}={value!r} is no number; it must be {rule}")
    if not math.isfinite(number) or number < 0 or (number == 0 and not zero):
        raise ValueError(f"{name}={value!r} must be {rule}")
    return number


def finite(name, value):
    """`value` as a float if it is a finite number, else a ValueError."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise ValueError(f"{name}={value!r} must be a finite number")
    return float(value)


def whole(name, value, low=0):
    """`value` if it is an integer of at least `low`, else a ValueError."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < low:
        raise ValueError(f"{name}={value!r} must be a whole number of at least {low}")
    return value


def device(name="auto"):
    """The torch device called `name`; "auto" takes a GPU where there is one, which then computes in
    single precision, not in TF32's ten bits.
    """
    import torch

    gpu = torch.cuda.is_available()
    if name == "auto":
        name = "cuda" if gpu else "cpu"
    if str(name).startswith("cuda") and not gpu:
        raise ValueError(f"device={name!r}: torch sees no GPU here; use 'cpu' or 'auto'")
    one_of("device", str(name).split(":")[0], ("cpu", "cuda"))
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    return torch.device(name)


def generators(device):
    """What torch's random numbers will be from here on, on the CPU and on a GPU."""
    import torch

    return [
        torch.get_rng_state(),
        *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else []),
    ]


def set_generators(states, device):
    """Put the random numbers back to where `generators` found them."""
    import torch

    torch.set_rng_state(states[0].cpu())
    if device.type == "cuda" and len(states) > 1:
        torch.cuda.set_rng_state(states[1].cpu(), device)


@functools.cache
def processor():
    """The processor by name, with family and model where the name alone says little; else the
    architecture.
    """
    import platform

    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
        told = dict([part.strip() for part in line.split(":", 1)] for line in lines if ":" in line)
        return f"{told['model name']} (family {told['cpu family']}, model {told['model']})"
    except (OSError, KeyError):
        return platform.processor() or f"{platform.machine()} CPU"


def hardware():
    """The machine in words for a result row: the GPU's name, else the processor's, and how many
    threads.
    """
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    threads = torch.get_num_threads()
    return f"{processor()}, {threads} thread" + "s" * (threads > 1)


def commit():
    """The library's git commit, twelve digits, with a + where rsnl_lib/ has changes; "unknown"
    outside git.
    """

    def git(*args):
        return subprocess.run(
            ["git", *args], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + "+" * bool(
            git("status", "--porcelain", "--", "rsnl_lib")
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


CHECKS = {
    "profile": lambda v: one_of("profile", v, PROFILES),
    "dataset": lambda v: one_of("dataset", v, DATASETS),
    "seed": lambda v: whole("seed", v),
    "epochs": lambda v: whole("epochs", v),
    "tau": lambda v: positive("tau", v),
    "gamma": lambda v: positive("gamma", v, zero=True),
    "C1": lambda v: positive("C1", v, zero=True),
    "C2": lambda v: positive("C2", v, zero=True),
    "snr": lambda v: finite("snr", v),
    "device": device,
}


def injected(sources):
    """Names that papermill's injected cell assigns, from the sources of the cells that ran."""
    import ast

    return [
        t.id
        for s in sources
        if s.startswith("# Parameters")
        for node in ast.parse(s).body
        if isinstance(node, ast.Assign)
        for t in node.targets
    ]


def room(low, high):
    """Refuse bounds of pixels with nothing between them; None is no bound."""
    if low is not None and high is not None and not finite("low", low) < finite("high", high):
        raise ValueError(
            f"low={low!r} and high={high!r} leave no room for pixels; low must be the smaller"
        )


def parameters(given, **used):
    """Check a notebook's parameters and make the run repeatable.

    `given` is the notebook's globals(), `used` its parameters by name. Papermill takes a misspelt
    name for one more variable and only warns; here it is an error, and so is a bad value. Sets
    torch's seed and one thread (OMP_NUM_THREADS changes that); prints the run in one line.
    """
    import torch

    for name in injected(given.get("In", [])):
        if name not in used:
            raise ValueError(f"unknown parameter {name!r}; this notebook has: {', '.join(used)}")
    for name, value in used.items():
        CHECKS.get(name, lambda v: v)(value)
    torch.manual_seed(used.get("seed", 0))
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    print(" · ".join(f"{n} {v}" for n, v in used.items()))


def environment():
    """Print one line a needed package, [OK] or what to do."""
    from importlib import metadata

    from packaging.requirements import Requirement

    for need in map(Requirement, metadata.requires("rsnl-lib") or []):
        if need.marker:
            continue
        try:
            good = need.specifier.contains(metadata.version(need.name), prereleases=True)
        except metadata.PackageNotFoundError:
            good = False
        print(
            f"[OK]   {need}"
            if good
            else f"[FAIL] {need}: run `python3 run.py demo` again, it repairs the environment"
        )
