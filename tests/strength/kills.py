"""Does a killed command end, when it is run again, like one left alone?

`python tests/strength/kills.py --seed 0` kills train, reproduce, merge, unpack, page and render
with SIGKILL at 50 drawn moments, each in a folder of its own with little work: every second time
all its processes before a drawn change of a file, else the command alone at a drawn time of its
work. It is run again; what lies there must be what a run left alone leaves: the same bytes, dates
and milliseconds apart, and no other file. Prints a table; ends with 1 if anything differs.
"""

import argparse
import csv
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEACHER = "digits_teacher-teacher-short-s0.safetensors"
# every process of a run imports this: it counts changes of files, and kills at the one drawn
SITECUSTOMIZE = """
import os, sys
place, counter, at = os.environ["RSNL_KILL"].split("|")
CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod", "os.link")
def seen(event, args):
    if event != "open" and event not in CHANGES:
        return
    path = args[0]
    if not isinstance(path, (str, os.PathLike)) or not os.path.abspath(path).startswith(place):
        return
    if event == "open" and not (args[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        return
    f = os.open(counter, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(f, b".")
    size = os.fstat(f).st_size
    os.close(f)
    if size == int(at):
        os.killpg(0, 9)
sys.addaudithook(seen)
"""
NOTEBOOK = """# %%
import base64
from IPython.display import Image
print(sum(range(10)))

# %%
Image(base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsUPf1gAAAABJRU5E"))
"""
UNPACK = """
import hashlib, pathlib, sys
from rsnl_lib.__main__ import main
from rsnl_lib.data import sets
names = ("usps.bz2", "usps.t.bz2")
bytes_of = lambda name: name.encode() * 400_000
sets.SOURCES["USPS"] = {name: hashlib.md5(bytes_of(name)).hexdigest() for name in names}
if sys.argv[1] == "--pack":
    for name in names:
        (pathlib.Path(sys.argv[4]) / name).write_bytes(bytes_of(name))
main(["data", "usps", *sys.argv[1:5]])
"""
MADE = ("date", "commit")
LIBRARY = ("-m", "rsnl_lib")
CAMPAIGN = """
import sys
from rsnl_lib.__main__ import main
from rsnl_lib.study import campaign
from rsnl_lib.study.jobs import Job
few = "epochs=2 batch=250"
student = Job("digits", "robust", settings=few, teacher_settings=few)
jobs = [student.teacher(), student]
campaign.wanted_jobs = lambda args, cells, done, work: {j: 1 for j in jobs if not done.find(j)}
main(["reproduce", "--draws", "1", "--device", "cpu", *sys.argv[1:]])
"""


def small_root(place):
    """A checkout's data without results."""
    shutil.copytree(ROOT / "data" / "claims", place / "root/data/claims")
    for path in (ROOT / "data").glob("*.csv"):
        shutil.copy(path, place / "root/data")
    (place / "root/data/results").mkdir()
    (place / "root/data/checkpoints").mkdir()


def before_train(place):
    (place / "out").mkdir()
    shutil.copy(ROOT / "data/checkpoints" / TEACHER, place / "out")


def before_merge(place):
    small_root(place)
    run(place, ["-c", CAMPAIGN, "--work", place / "work", "--out", place / "box"])
    shutil.rmtree(place / "work")


def before_unpack(place):
    (place / "here").mkdir()
    run(place, ["-c", UNPACK, "--pack", place / "box", "--folder", place / "here"])


def before_render(place):
    small_root(place)
    (place / "root/notebooks/src").mkdir(parents=True)
    (place / "root/notebooks/src/00_start_here.py").write_text(NOTEBOOK)


TRAIN = "train --dataset digits --method robust --set epochs=2 batch=250 --draws 1 --device cpu"
KINDS = {  # (what lies there before, the command in a folder)
    "train": (
        before_train,
        lambda p: [*LIBRARY, *TRAIN.split(), "--out", p / "out", "--rows", p / "rows.csv"],
    ),
    "campaign": (small_root, lambda p: ["-c", CAMPAIGN, "--work", p / "work"]),
    "merge": (before_merge, lambda p: [*LIBRARY, "reproduce", "--merge", p / "box"]),
    "unpack": (
        before_unpack,
        lambda p: ["-c", UNPACK, "--unpack", p / "box", "--folder", p / "data"],
    ),
    "page": (lambda p: None, lambda p: [*LIBRARY, "page", "--out", p / "page.html"]),
    "render": (before_render, lambda p: ["-m", "rsnl_lib.workbook.render", "render", "00"]),
}


def start(place, words, at=0):
    """A Python command, its folders all in `place`, in a process group of its own; it is killed at
    the `at`th change of a file there.
    """
    (place / "tmp").mkdir(exist_ok=True)
    root = place / "root" if (place / "root").is_dir() else ROOT
    env = {k: v for k, v in os.environ.items() if not k.startswith(("RSNL", "PYTHON"))}
    env |= {"RSNL_ROOT": str(root), "RSNL_DATA": str(place / "data"), "TMPDIR": str(place / "tmp")}
    env |= {"PYTHONPATH": f"{place.parent}/hook:{ROOT}", "PYTHONDONTWRITEBYTECODE": "1"}
    env |= {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    env["RSNL_KILL"] = f"{place}/|{counter(place)}|{at}"
    counter(place).unlink(missing_ok=True)
    how = {"cwd": place, "env": env, "text": True, "start_new_session": True}
    said = open(f"{place}.said", "w+")
    command = [sys.executable, *map(str, words)]
    return subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, **how)


def counter(place):
    return pathlib.Path(f"{place}.changes")


def changes(place):
    return counter(place).stat().st_size if counter(place).exists() else 0


def run(place, words):
    """Run a command to its end, which must be a good one; (changes, seconds after the first)."""
    process, first = start(place, words), None
    while process.poll() is None:
        first = first or (changes(place) and time.monotonic())
        time.sleep(0.01)
    if process.returncode:
        said = pathlib.Path(f"{place}.said").read_text()[-2000:]
        raise RuntimeError(f"{' '.join(map(str, words))} ended with {process.returncode}:\n{said}")
    return changes(place), time.monotonic() - (first or time.monotonic())


def orphans(place):
    """The processes that a killed command has left, by number."""
    mark = f"RSNL_KILL={place}/|".encode()
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            pass
    return found


def kill(place, words, how, moment) -> bool:
    """Start a command and kill it; False where it ended before. Waits for its other processes."""
    process = start(place, words, moment if how == "change" else 0)
    if how == "time":
        while process.poll() is None and not changes(place):
            time.sleep(0.01)
        time.sleep(moment)
        process.kill()
    killed = process.wait() == -signal.SIGKILL
    until = time.monotonic() + 60
    while orphans(place) and time.monotonic() < until:
        time.sleep(0.1)
    for number in orphans(place):
        print(f"process {number} outlived its command by 60 s", flush=True)
        os.kill(number, signal.SIGKILL)
    return killed


def content(path: pathlib.Path):
    """What of a file must be the same: all but dates, commits, milliseconds; of a log nothing."""
    raw = path.read_bytes()
    if path.suffix == ".log" or path.name == "lock":
        return None
    if path.suffix == ".safetensors":
        size = struct.unpack("<Q", raw[:8])[0]
        told = json.loads(raw[8 : 8 + size])
        head = {k: v for k, v in told.pop("__metadata__", {}).items() if k not in MADE}
        return head, told, hashlib.sha256(raw[8 + size :]).hexdigest()
    if path.suffix == ".csv":
        rows = list(csv.DictReader(raw.decode().splitlines()))
        rows = [row for row in rows if row.get("quantity") != "ms_per_image"]
        return [{k: v for k, v in row.items() if k not in MADE} for row in rows]
    if path.suffix == ".00" or path.name.endswith(".parts.json"):
        return None  # holds rows with dates
    return hashlib.sha256(raw).hexdigest()


def state(place) -> dict:
    """{file: its content} of a folder, but for what lies in TMPDIR."""
    files = [p for p in place.rglob("*") if p.is_file() and place / "tmp" not in p.parents]
    return {str(p.relative_to(place)): content(p) for p in files}


def differs(name, wanted, found) -> str:
    """Where two contents of a file part, in words."""
    a, b = wanted[name], found[name]
    if isinstance(a, list) and isinstance(b, list):
        if len(a) != len(b):
            return f"{name} has {len(b)} rows instead of {len(a)}"
        a, b = next((one, other) for one, other in zip(a, b) if one != other)
        return f"{name}: {[(k, a[k], b.get(k)) for k in a if a[k] != b.get(k)]}"
    return f"differs: {name}"


def prepared(scratch, kind):
    """A folder as it is before a command, its state after it, and how many changes and seconds."""
    before, command = KINDS[kind]
    fresh = scratch / f"{kind}-fresh"
    fresh.mkdir()
    before(fresh)
    shutil.rmtree(fresh / "tmp", ignore_errors=True)
    alone = scratch / f"{kind}-alone"
    shutil.copytree(fresh, alone)
    count, seconds = run(alone, command(alone))
    return fresh, state(alone), count, seconds


def one_kill(scratch, kind, number, made, draw):
    """(how, moment, of how much, what is wrong, how many more files TMPDIR holds) of one kill and
    the run after it.
    """
    fresh, wanted, count, seconds = made
    place = scratch / f"{kind}-{number}"
    killed = False
    while not killed:  # a time may come too late
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(fresh, place)
        words = KINDS[kind][1](place)
        how = ("change", "time")[number % 2]
        moment = draw.randint(1, count) if how == "change" else draw.uniform(0, 0.9 * seconds)
        killed = kill(place, words, how, moment)
    wrong = []
    try:
        run(place, words)
        found = state(place)
        wrong += [f"left {name}" for name in sorted(found.keys() - wanted.keys())]
        wrong += [f"lacks {name}" for name in sorted(wanted.keys() - found.keys())]
        both = sorted(found.keys() & wanted.keys())
        wrong += [differs(name, wanted, found) for name in both if found[name] != wanted[name]]
    except RuntimeError as error:
        wrong.append(str(error))
    left = len(os.listdir(place / "tmp")) - len(os.listdir(scratch / f"{kind}-alone/tmp"))
    shutil.rmtree(place)
    return how, moment, count if how == "change" else seconds, wrong, left


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--kills", type=int, default=50, help="in all, the same number of each kind"
    )
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    args = parser.parse_args()
    draw, bad, done = random.Random(args.seed), 0, 0
    print("kind      kill  moment         more in TMPDIR  after the run that follows", flush=True)
    with tempfile.TemporaryDirectory(prefix="rsnl-kills-") as scratch:
        scratch = pathlib.Path(scratch)
        (scratch / "hook").mkdir()
        (scratch / "hook" / "sitecustomize.py").write_text(SITECUSTOMIZE)
        made = {kind: prepared(scratch, kind) for kind in args.kinds}
        while done < args.kills:
            kind = args.kinds[done % len(args.kinds)]
            number = done // len(args.kinds)
            how, moment, most, wrong, left = one_kill(scratch, kind, number, made[kind], draw)
            unit = "change" if how == "change" else "second"
            told = f"{unit} {moment:.4g} of {most:.4g}"
            print(
                f"{kind:9} {number:4}  {told:24} {left:2}  {'; '.join(wrong) or 'equal'}",
                flush=True,
            )
            bad += bool(wrong)
            done += 1
    print(f"seed {args.seed}: {done} kills, {done - bad} equal, {bad} not")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
