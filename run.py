#!/usr/bin/env python3
"""Set-up and tasks; needs nothing but Python 3.11 or newer, and takes uv where it is there.

python3 run.py demo             run every notebook into runs/, then serve JupyterLab
python3 run.py demo --no-lab    stop before that
python3 run.py test [...]       run every test and the notebooks' cells; more goes to pytest
python3 run.py lab [...]        serve JupyterLab on this machine only
python3 run.py render [NN ...]  execute notebooks/src/NN_name.py into notebooks/NN_name.ipynb
python3 run.py pull NN          take an edit made in JupyterLab back into notebooks/src/NN_name.py
python3 run.py site [FOLDER]    make the site of what is stored, in runs/site or FOLDER
python3 run.py lock [...]       resolve pyproject.toml anew into constraints.txt and, with hashes,
                                requirements.txt and requirements-site.txt; needs uv, more goes to
                                uv pip compile
"""

import hashlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import venv

ROOT = pathlib.Path(__file__).resolve().parent
RUNS = ROOT / "runs"
VENV = ROOT / ".venv"
PY = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "installed"  # where and what was installed; empty while an installation runs
UV = shutil.which("uv")
JOBS = min(2, os.cpu_count() or 1)
NEEDED = "torch torchvision sklearn matplotlib ipywidgets jupyterlab papermill nbval jupytext"
PROBE = f"import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, {NEEDED.split()})))"
CLEAN = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "MPLBACKEND")
ENV = {k: v for k, v in os.environ.items() if k not in CLEAN}
ENV["JUPYTER_PREFER_ENV_PATH"] = "1"
if ENV.get("RSNL_DATA"):
    ENV["RSNL_DATA"] = os.path.abspath(ENV["RSNL_DATA"])  # kernels run in other folders


def say(text):
    print(text, flush=True)


def call(*command, **more):
    """Run a command to its end and return its exit status."""
    return subprocess.call([str(c) for c in command], cwd=ROOT, env={**ENV, **more})


def runs(code):
    """Does the environment's Python run this code?"""
    try:
        quiet = {"stderr": subprocess.DEVNULL, "timeout": 120}
        return subprocess.run([PY, "-I", "-c", code], env=ENV, **quiet).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def setup():
    """Make .venv what requirements.txt holds; one half-made, broken or moved is made again."""
    content = (ROOT / "pyproject.toml").read_bytes() + (ROOT / "requirements.txt").read_bytes()
    wanted = [str(ROOT), hashlib.sha256(content).hexdigest()]
    made = STAMP.read_text().splitlines() if STAMP.is_file() else None
    if made is None:
        keep = runs("import pip")  # the reader's own: install into it
    else:
        keep = made[:1] == wanted[:1] and runs(PROBE)
    if keep and made == wanted:
        return
    if keep:
        say("bringing .venv up to date")
    else:
        say("installing into .venv (on Linux about 3 GB to load, 6 GB on disk)")
        try:
            venv.create(VENV, with_pip=True, clear=True)
        except (OSError, subprocess.CalledProcessError) as error:
            sys.exit(f"cannot make {VENV} ({error}); on Debian try: apt install python3-venv")
    STAMP.write_text("")
    # what is locked, each file checked by its hash, then this library without a build
    install("--require-hashes", "-r", "requirements.txt")
    install("--no-deps", "--no-build-isolation", "-e", ".")
    STAMP.write_text("\n".join(wanted))


def install(*what):
    """Install into .venv, by uv where it is there and does it, else by pip."""
    uv = [UV, "pip", "install", "--python", PY, "--compile-bytecode"]
    pip = [PY, "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    if not (UV and call(*uv, *what) == 0) and call(*pip, *what):
        sys.exit("installing failed: check the network and free disk space (6 GB), run this again")


def demo(args):
    if odd := [word for word in args if word != "--no-lab"]:
        sys.exit(f"demo takes --no-lab alone, not {odd[0]!r}; give lab the words for JupyterLab")
    books = sorted((ROOT / "notebooks").glob("*.ipynb"))
    RUNS.mkdir(exist_ok=True)
    say(f"running {len(books)} notebooks, {JOBS} at a time, into runs/")
    begun, failed, waiting, running = time.time(), [], list(books), {}
    try:
        while waiting or running:
            while waiting and len(running) < JOBS:
                book = waiting.pop(0)
                running[book] = start(book), time.time()
            time.sleep(0.2)
            for book, (child, since) in list(running.items()):
                if child.poll() is not None:
                    del running[book]
                    word = "FAILED" if child.returncode else "ok"
                    say(f"{book.stem:28} {word:6} {time.time() - since:5.0f} s")
                    failed += [book.stem] * (child.returncode != 0)
    finally:
        for child, _ in running.values():
            child.terminate()
    done = len(books) - len(failed)
    say(f"{done} of {len(books)} notebooks ran in {time.time() - begun:.0f} s")
    for name in failed:
        tail = (RUNS / f"{name}.log").read_text(errors="replace").rstrip().splitlines()[-12:]
        say(f"--- {name} failed; the end of runs/{name}.log:\n" + "\n".join(tail))
    if failed or "--no-lab" in args:
        return int(bool(failed))
    return lab(args)


def start(book):
    """The process that runs one notebook with its default parameters."""
    command = [PY, "-m", "papermill", book, RUNS / book.name, "--cwd", book.parent]
    command += ["-k", "python3", "--no-progress-bar", "--log-level", "WARNING"]
    env = {"OMP_NUM_THREADS": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1", **ENV}
    with open(RUNS / f"{book.stem}.log", "w") as log:
        return subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=subprocess.STDOUT)


def lab(args):
    command = [str(PY), "-m", "jupyterlab", f"--ServerApp.root_dir={ROOT}", "--ip=127.0.0.1"]
    command.append("--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb")
    command.append("--Application.log_level=WARN")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if not screen and sys.platform not in ("darwin", "win32"):
        command.append("--no-browser")
    config = str(ROOT / "jupyter")
    if os.name == "nt":
        return call(*command, *args, JUPYTER_CONFIG_PATH=config)
    os.chdir(ROOT)
    # the server takes this process's place, so Ctrl-C reaches it
    os.execve(command[0], [*command, *args], {**ENV, "JUPYTER_CONFIG_PATH": config})


def test(args):
    side = ["-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"] if JOBS > 1 else []
    return call(PY, "-m", "pytest", "--nbval", "-q", *side, *args)


def render(args):
    return call(PY, "-m", "rsnl_lib.workbook.render", "render", *args)


def pull(args):
    return call(PY, "-m", "rsnl_lib.workbook.render", "pull", *args)


def site(args):
    install("--require-hashes", "-r", "requirements-site.txt")
    return call(PY, "-m", "rsnl_lib.workbook.site", *args)


def lock(args):
    import tomllib  # here, so that an older Python gets as far as main's words

    if not UV:
        sys.exit("lock needs uv; install it with: pip install uv")
    resolve = [UV, "pip", "compile", "-q", "--universal", "--python-version", "3.11"]
    resolve += ["--no-header", "--no-annotate", *args]
    hashed = ["--generate-hashes", "-c", "constraints.txt", "--upgrade"]
    ours = ["pyproject.toml", "--extra", "test", "--extra", "dev"]
    pins = ["pyproject.toml", "--upgrade", "--all-extras", "-o", "constraints.txt"]
    failed = call(*resolve, *pins)
    failed = failed or call(*resolve, *ours, *hashed, "-o", "requirements.txt")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    with tempfile.TemporaryDirectory() as folder:  # of the extra alone, without the library's own
        site = pathlib.Path(folder, "site.in")
        site.write_text("\n".join(project["optional-dependencies"]["site"]))
        return failed or call(*resolve, site, *hashed, "-o", "requirements-site.txt")


TASKS = {f.__name__: f for f in (demo, test, lab, render, pull, site, lock)}


def main(argv):
    if sys.version_info < (3, 11):  # noqa: UP036
        sys.exit("Python 3.11 or newer is needed; this is Python " + sys.version.split()[0])
    if argv in (["--help"], ["-h"]):
        return say(__doc__)
    if not argv or argv[0] not in TASKS:
        named = f"{argv[0]!r} is unknown" if argv else "no task is named"
        sys.exit(f"{__doc__}\n{named}; choose one of: {', '.join(TASKS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        if argv[0] != "lock":
            setup()
        return TASKS[argv[0]](argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
