"""Do notebooks and tests come out the same on another processor?

python tests/whole/kernels.py [--only
NAME ...] [pytest's arguments]

Runs `pytest --nbval` (or what is named) once under each set of kernels below: those that PyTorch,
oneDNN, MKL and OpenBLAS would choose on an older processor, two threads, and "noise", which moves
what every convolution and matrix product gives by up to a millionth of itself, the same number
always by the same: more than another processor's rounding, so what passes there keeps a margin on
those that nobody here has. Prints a line each; ends with 1 unless all pass.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

from rsnl_lib.workbook.render import FIXED, FOLDERS

ROOT = pathlib.Path(__file__).resolve().parents[2]
KERNELS = {
    "native": {},
    "sse": {
        "ATEN_CPU_CAPABILITY": "default",
        "DNNL_MAX_CPU_ISA": "SSE41",
        "MKL_CBWR": "COMPATIBLE",
        "OPENBLAS_CORETYPE": "Nehalem",
    },
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "DNNL_MAX_CPU_ISA": "AVX2",
        "MKL_CBWR": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
    },
    "avx2 convolutions": {"DNNL_MAX_CPU_ISA": "AVX2"},
    "sse convolutions": {"DNNL_MAX_CPU_ISA": "SSE41"},
    "plain loops": {"ATEN_CPU_CAPABILITY": "default"},
    "two threads": {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "PASSIVE"},
    "noise": {"RSNL_NOISE": "1e-6"},
    "other noise": {"RSNL_NOISE": "1e-6", "RSNL_NOISE_SEED": "12345"},
}
NOISE = """
import os
if os.environ.get("RSNL_NOISE"):
    import torch, torch.nn.functional as F
    size, salt = float(os.environ["RSNL_NOISE"]), int(os.environ.get("RSNL_NOISE_SEED", "0"))
    def shaken(f):
        def g(*args, **kwargs):
            out = f(*args, **kwargs)
            if not isinstance(out, torch.Tensor) or out.dtype != torch.float32:
                return out
            if out.device.type != "cpu":
                return out
            bits = out.detach().contiguous().view(torch.int32).to(torch.int64)
            bits = (bits * 2654435761 + salt) % 2 ** 32
            return out * (1 + size * (bits.float() / 2 ** 31 - 1))
        return g
    F.conv2d, F.linear = shaken(F.conv2d), shaken(F.linear)
    torch.bmm, torch.matmul = shaken(torch.bmm), shaken(torch.matmul)
"""


def home(folder):
    """What `nbtools.environment` sets up, in `folder`, with a start-up file for every kernel that
    shakes its sums where RSNL_NOISE asks for it.
    """
    for name in FOLDERS:
        (folder / name).mkdir()
    start = folder / "IPYTHONDIR" / "profile_default" / "startup"
    start.mkdir(parents=True)
    (start / "00-noise.py").write_text(NOISE)
    places = {name: str(folder / name) for name in FOLDERS}
    return {**FIXED, **places, "RSNL_HOME": str(folder)}


def run(name, args):
    """(failures in words, pytest's last line) of one set of kernels."""
    with tempfile.TemporaryDirectory(prefix="rsnl-kernels-") as folder:
        env = (
            {k: v for k, v in os.environ.items() if k != "MPLBACKEND"}
            | home(pathlib.Path(folder))
            | KERNELS[name]
        )
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "--nbval",
                "-q",
                "-rfE",
                "--color=no",
                "-p",
                "no:cacheprovider",
                *args,
            ],
            cwd=ROOT,
            env=env,
            capture_output=True,
            text=True,
        )
    return done.returncode, done.stdout


def main(argv):
    names = list(KERNELS)
    if argv[:1] == ["--only"]:
        names = [n for n in argv[1:] if n in KERNELS]
        argv = [a for a in argv[1:] if a not in KERNELS]
        if not names:
            sys.exit(f"--only wants names of: {', '.join(KERNELS)}")
    bad = 0
    for name in names:
        began = time.time()
        code, said = run(name, argv or ["-n", "2", "--dist", "loadfile"])
        if os.environ.get("RSNL_KERNELS_LOG"):
            pathlib.Path(
                os.environ["RSNL_KERNELS_LOG"], f"{name.replace(' ', '-')}.log"
            ).write_text(said)
        failed = re.findall(r"^(?:FAILED|ERROR) (\S+(?:::Cell \d+)?)", said, re.M)
        last = next(
            (
                line
                for line in reversed(said.splitlines())
                if re.search(r"\d+ (passed|failed|error)", line)
            ),
            "no word from pytest",
        ).strip("= ")
        print(
            f"{name:18} {time.time() - began:5.0f} s  {last}"
            + "".join(f"\n    {f}" for f in failed),
            flush=True,
        )
        bad += code != 0
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
