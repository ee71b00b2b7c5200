#!/usr/bin/env python3
"""Set-up and tasks; needs nothing but Python 3.11 or newer.

python3 run.py demo            run every notebook into runs/, then serve JupyterLab (--no-lab: stop
before that) python3 run.py test [...]      run every test, the notebooks' cells included; more
arguments go to pytest python3 run.py lab             serve JupyterLab on this machine only python3
run.py render [NN ...] execute notebooks/src/NN_name.py into notebooks/NN_name.ipynb (all, or those
named) python3 run.py pull NN         take an edit made in JupyterLab back into
notebooks/src/NN_name.py python3 run.py lock            resolve pyproject.toml anew into
constraints.txt
"""

import concurrent.futures
import hashlib
import os
import pathlib
import secrets
import signal
import socket
import subprocess
import sys
import time
import venv

ROOT = pathlib.Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PY = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "installed"  # written last: what was installed
HALF = VENV / "installing"  # there only while an installation runs
LOG = ROOT / "runs" / "install.log"
NEEDED = (
    "torch torchvision numpy pandas sklearn matplotlib ipywidgets jupyterlab papermill pytest nbval"
    " xdist jupytext"
)
PROBE = """
import importlib.util, os, sys
for name in sys.argv[2:]:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.origin:
        sys.exit(1)
spec = importlib.util.find_spec("rsnl_lib")
home = spec and os.path.dirname(os.path.dirname(spec.origin))
sys.exit(home is None or not os.path.samefile(home, sys.argv[1]))
"""
ENV = {
    k: v
    for k, v in os.environ.items()
    if k not in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "MPLBACKEND")
}
ENV["JUPYTER_PREFER_ENV_PATH"] = "1"
if ENV.get("RSNL_DATA"):
    ENV["RSNL_DATA"] = os.path.abspath(ENV["RSNL_DATA"])  # kernels run in other folders
children = set()


def say(text):
    print(text, flush=True)


def call(command, **options):
    """Run a command to its end and return its exit status; it ends with us."""
    child = subprocess.Popen(
        [str(c) for c in command], cwd=ROOT, env=options.pop("env", ENV), **options
    )
    children.add(child)
    try:
        return child.wait()
    finally:
        children.discard(child)
        if child.poll() is None:
            stop(child)


def stop(child):
    child.terminate()
    try:
        child.wait(10)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def wanted():
    digest = hashlib.sha256()
    for name in ("pyproject.toml", "constraints.txt"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def starts(*code):
    """Does the environment's Python run this code?"""
    try:
        return (
            subprocess.run(
                [PY, "-I", "-c", *code],
                env=ENV,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=120,
            ).returncode
            == 0
        )
    except (OSError, subprocess.TimeoutExpired):
        return False


def setup():
    """Make .venv what pyproject.toml and constraints.txt ask for; a half-made, broken or moved one
    is made again.
    """
    made = STAMP.is_file()
    whole = made and not HALF.exists() and starts(PROBE, str(ROOT), *NEEDED.split())
    if whole and STAMP.read_text() == wanted():
        return
    began = time.time()
    # A readable .venv without our mark is the reader's own (say, with a CPU build of torch):
    # install into it.
    keep = whole or (not made and not HALF.exists() and starts("import pip"))
    if keep:
        say("bringing .venv up to date")
    else:
        if VENV.exists():
            say(".venv is half-made, broken or was moved: making it again")
        say("first run: installing into .venv (on Linux about 3 GB to load, 6 GB on disk)")
        try:
            venv.create(VENV, with_pip=True, clear=True)
        except (OSError, subprocess.CalledProcessError) as error:
            sys.exit(
                f"cannot make {VENV} ({error}); on Debian or Ubuntu try: apt install python3-venv"
            )
    HALF.touch()
    STAMP.unlink(missing_ok=True)
    install()
    STAMP.write_text(wanted())
    HALF.unlink()
    say(f"installed in {time.time() - began:.0f} s")


def install():
    LOG.parent.mkdir(exist_ok=True)
    pip = [
        PY,
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--no-input",
        "--retries",
        "2",
    ]
    what = ["-c", "constraints.txt", "-e", ".[test]"]
    with open(LOG, "w") as log:

        def run(command):
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                job = pool.submit(call, command, stdout=log, stderr=subprocess.STDOUT)
                began = time.time()
                try:
                    while not concurrent.futures.wait([job], timeout=20).done:
                        say(f"  still installing, {time.time() - began:.0f} s")
                except BaseException:
                    stop_all()
                    raise
                return job.result() == 0

        uv = run([*pip, "uv>=0.8"])
        if uv and run(
            [PY, "-m", "uv", "pip", "install", "--python", PY, "--compile-bytecode", *what]
        ):
            return
        if run([*pip, *what]):
            return
    sys.exit(
        "Installing failed with uv and with pip: check the network (and free disk space, 6 GB) and"
        f" run this again; what they said is in {LOG.relative_to(ROOT)}"
    )


def stop_all():
    for child in list(children):
        stop(child)


def cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_notebook(path):
    """(name, exit status, seconds) of one notebook run with its default parameters."""
    began = time.time()
    log = ROOT / "runs" / f"{path.stem}.log"
    with open(log, "w") as out:
        status = call(
            [
                PY,
                "-m",
                "papermill",
                path,
                ROOT / "runs" / path.name,
                "--cwd",
                path.parent,
                "-k",
                "python3",
                "--no-progress-bar",
                "--log-level",
                "WARNING",
            ],
            env={"OMP_NUM_THREADS": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1", **ENV},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    if status == 0:
        log.unlink()
    return path.stem, status, time.time() - began


def demo(args):
    books = sorted((ROOT / "notebooks").glob("*.ipynb"))
    (ROOT / "runs").mkdir(exist_ok=True)
    jobs, began, took, failed = min(2, cores()), time.time(), [], []
    say(f"running {len(books)} notebooks, {jobs} at a time, into runs/")
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        try:
            for i, job in enumerate(
                concurrent.futures.as_completed([pool.submit(run_notebook, b) for b in books]), 1
            ):
                name, status, seconds = job.result()
                say(
                    f"[{i:2}/{len(books)}] {name:28} {'FAILED' if status else 'ok':6}"
                    f" {seconds:5.0f} s"
                )
                took.append((seconds, name))
                failed += [name] * bool(status)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            stop_all()
            raise
    say(
        f"{len(books) - len(failed)} of {len(books)} notebooks ran in {time.time() - began:.0f} s;"
        " longest first: "
        + ", ".join(f"{name} {seconds:.0f} s" for seconds, name in sorted(took, reverse=True))
    )
    for name in failed:
        tail = (
            (ROOT / "runs" / f"{name}.log").read_text(errors="replace").rstrip().splitlines()[-12:]
        )
        say(f"--- {name} failed; the end of runs/{name}.log:\n" + "\n".join(tail))
    if failed or "--no-lab" in args:
        return int(bool(failed))
    return lab([a for a in args if a != "--no-lab"])


def lab(args):
    port = 8888
    while True:
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                break
            except OSError:
                port += 1
    token = secrets.token_hex(24)
    first = "/lab/tree/notebooks/00_start_here.ipynb"
    screen = (
        os.environ.get("DISPLAY")
        or os.environ.get("WAYLAND_DISPLAY")
        or sys.platform in ("darwin", "win32")
    )
    command = [
        str(PY),
        "-m",
        "jupyterlab",
        f"--ServerApp.root_dir={ROOT}",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        f"--LabApp.default_url={first}",
        "--Application.log_level=WARN",
    ]
    command += ["--allow-root"] if getattr(os, "geteuid", lambda: 1)() == 0 else []
    command += [] if screen else ["--no-browser"]
    env = {**ENV, "JUPYTER_TOKEN": token, "JUPYTER_CONFIG_PATH": str(ROOT / "jupyter")}
    say(f"JupyterLab: http://127.0.0.1:{port}{first}?token={token}\nCtrl-C ends it")
    if os.name == "nt":
        return call(command + args, env=env)
    os.chdir(ROOT)
    os.execve(
        command[0], command + args, env
    )  # the server takes this process's place, so Ctrl-C reaches it


def test(args):
    side = ["-n", "2", "--dist", "loadfile"] if cores() > 1 else []
    return call([PY, "-m", "pytest", "--nbval", "-q", *side, *args])


def render(args):
    return call([PY, "-m", "rsnl_lib.workbook.render", "render", *args])


def pull(args):
    return call([PY, "-m", "rsnl_lib.workbook.render", "pull", *args])


def lock(args):
    return call(
        [
            PY,
            "-m",
            "uv",
            "pip",
            "compile",
            "-q",
            "--universal",
            "--upgrade",
            "--python-version",
            "3.11",
            "--all-extras",
            "--no-header",
            "--no-annotate",
            "pyproject.toml",
            "-o",
            "constraints.txt",
            *args,
        ]
    )


TASKS = {f.__name__: f for f in (demo, test, lab, render, pull, lock)}


def main(argv):
    if sys.version_info < (3, 11):  # noqa: UP036
        sys.exit("Python 3.11 or newer is needed; this is Python " + sys.version.split()[0])
    if not argv or argv[0] not in TASKS:
        sys.exit(__doc__)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        setup()
        return TASKS[argv[0]](argv[1:])
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    finally:
        stop_all()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
