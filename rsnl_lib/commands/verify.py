"""The command that measures shipped rows again."""

import random
import sys
import time
from argparse import Namespace
from collections import Counter

from .. import checks, data, env, networks, store
from ..env import CHECKPOINTS
from ..study import verify
from . import common

FIRST_PACE = 3e8  # multiplications a second, until the first rows are measured


def _due(pairs, sizes, seconds):
    """The pairs in their order for which there is time left."""
    begun, done, pace = time.monotonic(), 0, FIRST_PACE
    for path, row in pairs:
        work = sizes[path] * verify.passes(row)
        gone = time.monotonic() - begun
        if done:
            pace = done / gone
        if gone + work / pace > seconds:
            continue
        yield path, row
        done += work


def _of_a_reader(path):
    """Is a checkpoint of a reader's own network or pictures? Then only they can measure it."""
    head = store.read_header(path)
    return bool(networks.maker_word(head.get("network", "")) or head.get("pictures"))


def verify_rows(args: Namespace) -> None:
    """Print each row measured again and its word; exit 1 if some differ by more than expected."""
    common.use_threads(args)
    seconds = checks.positive("seconds", args.seconds)
    if args.all and "seconds" in getattr(args, "given", ()):
        raise ValueError("--all measures every row and --seconds a sample; leave one of them out")
    if args.seed is not None:
        checks.whole("seed", args.seed)
    seed = random.SystemRandom().randrange(10**6) if args.seed is None else args.seed
    paths = [p for p in sorted(CHECKPOINTS.glob("*.safetensors")) if not _of_a_reader(p)]
    loaded = {path: store.load_checkpoint(path) for path in paths}
    rows = store.result_rows(common.RESULTS)
    pairs = verify.checkable(rows, {path: head for path, (_, head) in loaded.items()})
    here = {p for p, (_, head) in loaded.items() if data.has_files(head["dataset"], args.folder)}
    sizes = {path: networks.count(loaded[path][0], _shape(loaded[path][1]))[1] for path in here}
    ready = [(path, row) for path, row in pairs if path in here]
    if not ready:
        raise ValueError(f"no row of {common.RESULTS} has a checkpoint in {CHECKPOINTS}")
    if len(ready) < len(pairs):
        print(f"left out: {len(pairs) - len(ready)} rows of data sets whose files are not here")
    pairs = verify.in_order(ready, sizes, seed)
    words, sets = Counter(), {}
    for path, row in pairs if args.all else _due(pairs, sizes, seconds):
        net, head = loaded[path]
        name = head["dataset"]
        sets[name] = sets.get(name) or data.load(name, args.folder)
        again = verify.measure_again(row, head, net, sets[name], args.folder)
        told = verify.judge(row, *again, env.hardware())
        words[told["word"]] += 1
        print(verify.told_line(told, path), flush=True)
    counts = ", ".join(f"{n} {word}" for word, n in sorted(words.items()))
    print(f"seed {seed}: {sum(words.values())} of {len(pairs)} rows measured again: {counts}")
    if words["DIFFERS"]:
        sys.exit(1)


def _shape(head):
    """The shape of an image that a checkpoint's network takes."""
    return data.catalogue.SHAPES[head["network"].split("_")[0]]
