"""What a training step of each method costs, in milliseconds of CPU time on one thread.

    python benchmarks/clock.py                    digits, about a minute; --dataset mnist about five
    python benchmarks/clock.py --rows data/results/clock.csv --rounds 7
The methods take turns, in a new random order every round; of a round counts the CPU time of one
call of `train.fit` over eight batches, the teacher's constants made beforehand, divided by the
steps taken. The student is at its start, the teacher is the shipped one.
"""

import argparse
import os
import pathlib
import random
import statistics
import sys
import tempfile
import time

if __name__ == "__main__":  # before torch is loaded
    os.environ |= {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    sys.path.insert(1, str(pathlib.Path(__file__).resolve().parents[1]))

from rsnl_lib import checks, data, networks, store, train
from rsnl_lib.workbook import chapter  # noqa: E402

COLUMNS = "dataset network method steps ms low high rounds load hardware torch commit date".split()
METHODS = (
    "standard",
    "kd",
    "robust",
    "bss",
    "pgd_at",
    "trades",
    "ard",
    "fast_ard",
    "rslad",
    "iad",
    "adaad",
    "igdm",
)
BATCHES = 8


def once(d, method, teacher, cache):
    """Milliseconds of CPU time a step of `method` takes on the images d, and how many steps its
    recipe takes on all of them.
    """
    plan = train.recipe("short", d.name, method)
    r = plan._replace(epochs=1, begin=0.0)  # iad: from the first epoch as it is from `begin` on
    few = d._replace(
        **{f"{v}_train": getattr(d, f"{v}_train")[: BATCHES * r.batch] for v in "xy"},
        **{f"{v}_val": getattr(d, f"{v}_val")[:8] for v in "xy"},
    )
    net = networks.start(f"{d.name}_student", d)
    begun = time.process_time()
    train.fit(net, few, method, r, teacher=teacher, cache=cache)
    spent = time.process_time() - begun
    return 1000 * spent / (BATCHES * r.replays), plan.epochs * plan.replays * -(
        -len(d.x_train) // plan.batch
    )


def rows(dataset, methods=METHODS, rounds=5, folder=None):
    """A dict of COLUMNS for each method: median, least and most of the rounds, after one that does
    not count.
    """
    d, teacher = data.load(dataset, folder), chapter.load_or_train(dataset, "teacher", 0, "read")
    found = {m: [] for m in methods}
    with tempfile.TemporaryDirectory() as cache:
        for i in range(checks.whole("rounds", rounds, 1) + 1):
            for m in random.Random(i).sample(methods, len(methods)):
                found[m].append(once(d, m, teacher, cache))
    told = {
        "dataset": dataset,
        "network": f"{dataset}_student",
        "rounds": rounds,
        "load": round(os.getloadavg()[0], 2),
        **store.provenance(),
    }
    ms = {m: [v for v, _ in found[m][1:]] for m in methods}
    return [
        {
            **told,
            "method": m,
            "steps": found[m][0][1],
            "ms": round(statistics.median(v), 3),
            "low": round(min(v), 3),
            "high": round(max(v), 3),
        }
        for m, v in ms.items()
    ]


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--dataset", choices=("digits", "mnist"), default="digits")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--folder", help="where downloads are (default: RSNL_DATA, else data/downloads)")
    p.add_argument("--rows", help="append the rows to this CSV file")
    args = p.parse_args()
    import torch

    torch.set_num_threads(1)
    found = rows(args.dataset, rounds=args.rounds, folder=args.folder)
    for row in found:
        print(
            f"{row['method']:10} {row['ms']:8.2f} ms a step [{row['low']:.2f}, {row['high']:.2f}],"
            f" {row['steps']:6} steps, {row['ms'] * row['steps'] / 60_000:6.2f} min in all"
        )
    if args.rows:
        store.append(args.rows, found, COLUMNS)


if __name__ == "__main__":
    main()
