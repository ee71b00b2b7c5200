"""Does any file or word from outside end in a raw error?  python tests/strength/fuzz.py --minutes 1

Draws damaged and hostile inputs (fuzz_readers.py) for every reader in turn. A run may end in a
result, or in a ValueError or OSError in words; anything else is a crash: another error, a standard
library's words, a file outside the reader's folder, something half-written by a run that refused,
a hang. Each kind is printed once with the seed and its smallest input; --corpus keeps the files and
tries those kept there again. Ends with 1 if there are crashes.
"""

import argparse
import contextlib
import hashlib
import io
import os
import pathlib
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch  # noqa: E402
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings  # noqa: E402
from hypothesis.errors import Flaky  # noqa: E402

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import fuzz_readers  # noqa: E402
import fuzz_runs  # noqa: E402
from fuzz_inputs import OUTSIDE  # noqa: E402

import rsnl_lib  # noqa: E402

READERS = fuzz_readers.READERS | fuzz_runs.READERS
LIBRARY = str(pathlib.Path(rsnl_lib.__file__).parent)
MEMORY = 3 * 2**30  # bytes that may be asked for beyond what the start took
SECONDS = 60  # of one run
BATCH = 40  # runs of a seed
# what no message of ours says, and what it may say in parentheses, with its own words around
NEVER = ("<_io", "object at 0x", "PosixPath(")
RAW_WORDS = """
invalid literal for int|could not convert string|codec can't|null byte|null character|to unpack|
Exceeds the limit|not supported between|truth value|unhashable|out of range|Expecting value|
subscriptable|has no attribute|object is not|Traceback
""".replace("\n", "").split("|")
HOW = {"database": None, "deadline": None, "report_multiple_bugs": False, "print_blob": False}
HOW |= {"suppress_health_check": list(HealthCheck), "phases": (Phase.generate, Phase.shrink)}


class Hang(BaseException):
    """A run took longer than SECONDS."""


class CrashSeen(Exception):
    """What a drawn input did that it must not."""


@contextlib.contextmanager
def bounded():
    """No words on the screen, and a Hang after SECONDS."""

    def stop(*_):
        raise Hang(f"it took more than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def fault(error: BaseException) -> str:
    """What is wrong with an error as a refusal, in words; "" where nothing is."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if f.filename.startswith(LIBRARY)]
    at = f" at {pathlib.Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else ""
    said = f"{type(error).__name__}{at}"
    if isinstance(error, SystemExit):
        text = str(error.code or "")
        good = error.code in (None, 0, 2) or text.startswith("rsnl: ")
        said = f"SystemExit{at}: {text[:60]}"
    else:
        text = str(error)
        good = isinstance(error, (ValueError, OSError)) and not isinstance(error, UnicodeError)
        good &= bool(ours) and frames[-1] is ours[-1] or bool(getattr(error, "filename", None))
    if isinstance(error, (AssertionError, Hang)):
        return f"{text}{at}"
    own = re.sub(r"\(.*\)", "", text, flags=re.DOTALL)
    raw = [word for word in NEVER if word in text] + [word for word in RAW_WORDS if word in own]
    if good and not raw:
        return ""
    return said + (f", in raw words: {raw[0]}" if good else "")


def contents(folder: pathlib.Path) -> dict:
    """{path: bytes, or None for what is no file} of all that lies under a folder."""
    return {
        str(p.relative_to(folder)): p.read_bytes() if p.is_file() and not p.is_symlink() else None
        for p in folder.rglob("*")
    }


def placed(value, place):
    """A drawn input with the folder that nothing may be written to in place of its stand-in."""
    if isinstance(value, str):
        return value.replace(OUTSIDE, str(place))
    if isinstance(value, bytes):
        return value.replace(OUTSIDE.encode(), str(place).encode())
    if isinstance(value, dict):
        return {placed(k, place): placed(v, place) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(placed(v, place) for v in value)
    return value


def verdict(reader, value, place: pathlib.Path) -> str:
    """What a reader did wrong on a drawn input, all in an empty folder `place`; "" for nothing."""
    shutil.rmtree(place, ignore_errors=True)
    inside, out = place / "a/b/c/in", place / "a/b/c/out"
    for folder in (inside, out, place / "tmp"):
        folder.mkdir(parents=True)
    if reader.prepare:
        reader.prepare(out)
    before, tempfile.tempdir = contents(out), str(place / "tmp")
    os.chdir(place / "a/b/c")
    refused, wrong = False, ""
    try:
        with bounded():
            reader.read(placed(value, place), inside, out)
    except (Exception, Hang, SystemExit) as error:
        refused = not (isinstance(error, SystemExit) and error.code in (None, 0))
        wrong = fault(error)
    finally:
        tempfile.tempdir = None
        os.chdir(LIBRARY)
    kept = ("a/b/c/in/", "a/b/c/out/")
    frame = {"a", "a/b", "a/b/c", "a/b/c/in", "a/b/c/out", "tmp"}
    if stray := [p for p in contents(place) if p not in frame and not p.startswith(kept)]:
        return f"left a file outside its folder: {pathlib.Path(stray[0]).parent}"
    if refused and not wrong and contents(out) != before:
        return "refused, but had written something"
    return wrong


class Tally:
    """Runs of one reader and its crashes: {what: [how often, seed, smallest input]}."""

    def __init__(self, reader, place):
        self.reader = reader
        self.place = place
        self.runs = 0
        self.crashes = {}

    def run(self, value, number) -> str:
        self.runs += 1
        if what := verdict(self.reader, value, self.place):
            one = self.crashes.setdefault(what, [0, number, value])
            one[0] += 1
            if len(repr(value)) < len(repr(one[2])):
                one[2] = value
        return what

    def batch(self, number, until) -> None:
        """BATCH inputs of one seed; at a kind of crash not seen before the input is made small."""
        known = set(self.crashes)

        @seed(number)
        @settings(max_examples=BATCH, verbosity=Verbosity.quiet, **HOW)
        @given(self.reader.inputs)
        def one(value):
            if time.monotonic() < until:
                what = self.run(value, number)
                if what and what not in known and not what.startswith("it took"):
                    raise CrashSeen(what)

        with contextlib.suppress(CrashSeen, Flaky):
            one()


def keep(corpus, name, tally) -> None:
    """The smallest input of each kind of crash in a folder of its own: its text and its files."""
    for what, (_, number, value) in tally.crashes.items():
        key = hashlib.sha256(what.encode()).hexdigest()[:8]
        place = corpus / f"{name.replace(' ', '-')}-{key}"
        verdict(tally.reader, value, tally.place)
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(tally.place / "a/b/c/in", place / "input", symlinks=True)
        (place / "input.txt").write_text(repr(value), "utf-8", "surrogatepass")
        (place / "what.txt").write_text(f"{name}, seed {number}: {what}\n")


def kept_inputs(corpus, name) -> list:
    """The inputs that earlier runs kept for a reader."""
    files = sorted(corpus.glob(f"{name.replace(' ', '-')}-????????/input.txt")) if corpus else []
    texts = (path.read_text("utf-8", "surrogatepass") for path in files)
    return [eval(text, {"nan": float("nan"), "inf": float("inf")}) for text in texts]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=1, help="for all readers together")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the first batch; then one more each"
    )
    parser.add_argument("--readers", nargs="+", choices=READERS, default=list(READERS))
    parser.add_argument("--corpus", type=pathlib.Path, help="folder that keeps crashes")
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    corpus = args.corpus and args.corpus.resolve()
    used = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY,) * 2)
    bad = 0
    with tempfile.TemporaryDirectory(prefix="rsnl-fuzz-") as place:
        for name in args.readers:
            tally = Tally(READERS[name], pathlib.Path(place) / "x")
            until = time.monotonic() + 60 * args.minutes / len(args.readers)
            for value in kept_inputs(corpus, name):
                tally.run(value, "kept")
            number = args.seed
            while time.monotonic() < until:
                tally.batch(number, until)
                number += 1
            bad += len(tally.crashes)
            seeds = f"seeds {args.seed} to {number - 1}"
            print(f"{name:17} {tally.runs:7,} runs, {seeds}: {len(tally.crashes)} kinds of crash")
            for what, (count, born, value) in tally.crashes.items():
                print(f"    {what} ({count} times, first at seed {born}): {repr(value)[:300]}")
            sys.stdout.flush()
            if corpus:
                keep(corpus, name, tally)
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
