"""`python -m rsnl_lib` (or `rsnl`): data, networks, train, sweep, margins, attack, ladder,
similarity, slopes, reproduce, register, verify, page.
"""

import argparse
import functools
import importlib
import os
import sys
from typing import TextIO

LARGEST = 10**9  # no number given here has a use beyond it, and torch takes no seed of any size


def number(kind: type, text: str) -> int | float:
    """The number of a `kind` that an option's text is, at most LARGEST away from zero."""
    try:
        value = kind(text)
    except ValueError:
        what = "whole number" if kind is int else "number"
        raise argparse.ArgumentTypeError(f"{text!r} is no {what}") from None
    if LARGEST < abs(value) < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is too large; give a number up to {LARGEST:,}")
    return value


class Once(argparse.Action):
    """Takes each option once, and each word of a list: argparse alone would let the last win."""

    def __call__(self, parser, args, values, flag=None):
        words = values if isinstance(values, list) else []
        if again := [word for word in words if words.count(word) > 1]:
            parser.error(f"{again[0]} stands twice after {flag or self.dest}; name it once")
        args.given = getattr(args, "given", frozenset())
        if self.dest in args.given:
            parser.error(f"{flag} is given twice; give it once, with all that belongs to it")
        args.given |= {self.dest}
        setattr(args, self.dest, values)


def option(flag: str, default: object = None, help: str | None = None, **more) -> tuple[str, dict]:
    """What `add_argument` needs for one option; its default tells its type."""
    if isinstance(default, bool):
        return flag, {"action": "store_true", "help": help}
    if isinstance(default, (int, float)):
        more["type"] = functools.partial(number, type(default))
    return flag, {"default": default, "help": help, **more}


SEED = functools.partial(number, int)
EPSILON = functools.partial(number, float)
A_SET = "mnist, say (a wrong name lists them), or a folder with one folder of pictures a class"
FIRST = "how many of the first test images"
ATTACK_HELP = "20 steps from three starts on a grid of epsilon; 200 steps; or AutoAttack"
EPSILON_HELP = "this one alone, of pixels in [0, 1] (default: a grid of the data set's)"
FOR_HELP = "instead of cells: registered networks, CIFAR-10's, or that file's comparisons"
FOR_CHOICES = ("register", "cifar", "claims", "study", "neighbours")
NO_CELL = "; such rows fill no cell"
CHANGES = {"nargs": "*", "metavar": "KEY=VALUE"}
# options that several commands share
THREADS = option("--threads", 1)
DEVICE = option("--device", "auto")
DOWNLOADS = option("--folder", None, "of downloads (default: RSNL_DATA, else data/downloads)")
DRAWS = option("--draws", 2, "noise draws per test image")
ROWS = option("--rows", None, "of the rows (default: in data/results)", metavar="FILE")
TEACHER = option("--teacher", None, "where it does not lie beside", metavar="FILE")
RECIPE = option("--recipe", "short")
A_NETWORK = (
    "e.g. cifar_student1 or cifar_teacher@0.25; or your own, e.g. nets:make for the function make"
    " of nets.py here or of an installed package, called as make(), make(classes) or"
    " make(channels, classes)"
)
TEACHER_NETWORK = option("--teacher-network", "", "e.g. cifar_teacher@0.25", metavar="NAME")
MANY = ("checkpoints", {"nargs": "+", "metavar": "CHECKPOINT", "help": "by `train`"})
A_MAKER = "by which your own {} was made, e.g. nets:make for the function make of nets.py"
OWN_NETWORKS = (
    option("--network", None, A_MAKER.format("network"), metavar="MODULE:MAKER"),
    option("--teacher-network", None, A_MAKER.format("teacher"), metavar="MODULE:MAKER"),
)
MEASURED = (MANY, THREADS, DOWNLOADS, ROWS, *OWN_NETWORKS)

# name: (its function, what it does, its options)
COMMANDS = {
    "data": (
        "commands.look.show_data",
        "fetch a data set once and summarise it",
        ("name", {"help": A_SET}),
        DOWNLOADS,
        option("--pack", None, "write the files as parts under 35 MiB, to carry", metavar="DIR"),
        option("--unpack", None, "put such parts together, verified", metavar="DIR"),
    ),
    "networks": (
        "commands.look.show_networks",
        "layers, weights, multiplications and milliseconds of networks, beside the paper's",
        THREADS,
        ROWS,
        option("--repeats", 5, "timed runs, the median counts"),
    ),
    "train": (
        "commands.train.train",
        "train one network by Algorithm 1, test it, keep checkpoint and rows",
        *(DRAWS, DEVICE, THREADS, DOWNLOADS, ROWS, RECIPE),
        option("--dataset", "digits", A_SET),
        option("--network", None, A_NETWORK, metavar="NAME"),
        option("--side", None, "of a folder's pictures (default: at most 64)", type=SEED),
        option("--init", "lsuv", "lsuv, or uniform: the papers' U(+-0.005)"),
        option("--method", "standard"),
        option("--seed", 0),
        option("--set", [], "change the recipe, e.g. C1=100 epochs=3", **CHANGES),
        option("--teacher", None, "its checkpoint (default: the data set's own)", metavar="FILE"),
        option("--teacher-network", "", "its name, as --network's", metavar="NAME"),
        option("--teacher-seed", 0, "of the teacher"),
        option("--train-noise", None, "on its images", choices=("gaussian", "poisson")),
        option("--train-snr", 10.0, "SNR of that noise in dB", metavar="DB"),
        option("--out", None, "folder of the checkpoints (default: data/checkpoints)"),
    ),
    "sweep": (
        "commands.measure.write_sweep",
        "test images that networks get right in noise and behind squares, at every level",
        *(*MEASURED, DRAWS),
    ),
    "margins": (
        "commands.measure.write_margins",
        "head start, gradient gap, bounds and flip distances, image by image",
        *(*MEASURED, TEACHER),
        option("--images", 100, FIRST),
        option("--snr", 0.0, "white noise of the noisy scores, in dB"),
        option("--sound", "none", "a certificate: spectral, interval or lipsdp"),
        option("--restarts", 6, "of the search for the smallest flip"),
        option("--steps", 25, "of each restart"),
        option("--float32", False, "three times as fast; not certificates"),
    ),
    "attack": (
        "commands.measure.write_attacks",
        "test images that networks get right under attack (Adversarial Robustness Toolbox)",
        ("checkpoints", {**MANY[1], "action": "store"}),  # one named again has nothing new
        *(THREADS, DOWNLOADS, ROWS, *OWN_NETWORKS),
        option("--images", 1000, FIRST),
        option("--epsilon", None, EPSILON_HELP, type=EPSILON),
        option("--kinds", ["pgd"], ATTACK_HELP, nargs="+", choices=("pgd", "pgd200", "autoattack")),
    ),
    "ladder": (
        "commands.measure.write_ladder",
        "every radius of Theorem 1 beside the smallest flip, on images where the student leads",
        *(*MEASURED, TEACHER),
        option("--images", 200, FIRST),
        option("--spaces", ["logit", "probability"], nargs="+", metavar="SPACE"),
        option("--p", "2", "norm of the gradients", choices=("1", "2", "inf")),
        option("--box", False, "perturbed images stay in [0, 1]"),
        option("--sound", ["spectral", "interval", "lipsdp"], nargs="*", metavar="METHOD"),
        option("--sigma", 0.05, "noise of the smoothing votes"),
        option("--restarts", 12),
        option("--steps", 40),
    ),
    "similarity": (
        "commands.measure.write_similarity",
        "MagSim and AngSim of students and teachers: is their decision boundary the same?",
        *(*MEASURED, TEACHER),
        option("--images", 500, FIRST),
    ),
    "slopes": (
        "commands.measure.write_slopes",
        "input gradients of students and teachers: how long, how far apart (L_G), how aligned?",
        *(*MEASURED, TEACHER),
        option("--images", 10_000, FIRST),
    ),
    "reproduce": (
        "study.campaign.campaign",
        "the paper's cells that have no rows yet: list them, or train and measure the missing",
        *(DRAWS, DEVICE, DOWNLOADS, RECIPE, TEACHER_NETWORK),
        option("--missing", False, "only list the work left and its time"),
        option("--merge", None, "take in a campaign's folder, packed or not", metavar="DIR"),
        option("--for", None, FOR_HELP, dest="lines", nargs="+", choices=FOR_CHOICES),
        option("--teachers", None, "with --for register: only these, as 3-5", metavar="RANGE"),
        option("--table", None, "only this table: I to VII, or 2a for the text on Fig. 2(a)"),
        option("--dataset", None, "only this data set"),
        option("--method", None, "only these methods", nargs="+"),
        option("--also", [], "methods beyond the paper's", nargs="+", metavar="METHOD"),
        option("--seeds", 1, "how many seeds of each network"),
        option("--set", [], "the students' recipe" + NO_CELL, **CHANGES),
        option("--teacher-set", [], "the teachers'" + NO_CELL, **CHANGES),
        option("--network", "", "of the students" + NO_CELL),
        option("--budget", None, "stop after 90s, 9m or 1.5h, to go on later", metavar="TIME"),
        option("--jobs", 1, "networks at a time, each on one thread"),
        option("--ray", None, "a Ray cluster ('local' starts one here)", metavar="ADDRESS"),
        option("--gpus", 0.0, "with --ray: share of a GPU a network"),
        option("--work", None, "of what is made (default: campaign in --folder)", metavar="DIR"),
        option("--out", None, "pack it there at the end, 8 files under 15 MiB", metavar="DIR"),
    ),
    "register": (
        "commands.look.show_register",
        "the registered study: what has rows, and every line with interval, p and word",
        option("--work", [], "also rows not merged yet", nargs="*", metavar="DIR"),
    ),
    "verify": (
        "commands.verify.verify_rows",
        "shipped rows measured again from shipped checkpoints: do they agree to the count?",
        THREADS,
        DOWNLOADS,
        option("--all", False, "every row, attacks too (hours)"),
        option("--seconds", 40.0, "how long a sample is measured"),
        option("--seed", None, "of the sample (default: drawn, and printed)", type=SEED),
    ),
    "page": (
        "commands.look.make_page",
        "make figure3.html and photograph.html: Figure 3 live, each in one file",
        option("--out", None, "where figure3.html goes, the other beside it", metavar="FILE"),
    ),
}


def help_of_train(command: argparse.ArgumentParser, file: TextIO | None = None) -> None:
    """Its options, and each method's own settings; torch is loaded when this is asked for."""
    from .train.recipes import own_settings

    print(command.format_help(), own_settings(), sep="\n", file=file)


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line as a Namespace; `given` in it holds the names of what was given."""
    example = "example: rsnl train --dataset digits --method robust --seed 1 --set C1=100"
    parser = argparse.ArgumentParser(prog="rsnl", description=__doc__, epilog=example)
    commands = parser.add_subparsers(required=True, metavar="command")
    for name, (function, about, *options) in COMMANDS.items():
        command = commands.add_parser(name, help=about, description=about)
        command.register("action", None, Once)
        command.set_defaults(function=function, given=frozenset())
        for flag, how in options:
            command.add_argument(flag, **how)
        if name == "train":
            command.print_help = functools.partial(help_of_train, command)
    for word in sys.argv[1:] if argv is None else argv:
        # rows and headers are text of one line
        if word != word.encode(errors="replace").decode() or set(word) & set("\0\n\r"):
            parser.error(f"{word!r} holds bytes that are no text; name or rename it without them")
        if not word or (word.startswith("--") and word.endswith("=")):
            parser.error(f"{word!r} gives no value; write one, or leave its option out")
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> None:
    """Do a command; what is wrong with its words or files ends it with one line."""
    module, _, function = args.function.rpartition(".")
    try:
        getattr(importlib.import_module(f".{module}", __package__), function)(args)
        sys.stdout.flush()
    except ModuleNotFoundError as error:
        name = error.name.partition(".")[0]
        sys.exit(f"rsnl: {name} is not installed; pip install 'rsnl-lib[workbook,attack,ray]'")
    except BrokenPipeError:  # the reader of our words has gone, as in `rsnl networks | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        from .files import in_words

        sys.exit(f"rsnl: {in_words(error)}")
    except MemoryError:
        sys.exit("rsnl: the memory does not suffice; ask for less, or for a smaller network")
    except (ValueError, FloatingPointError) as error:
        sys.exit(f"rsnl: {error}")
    except Exception as error:
        if os.environ.get("RSNL_DEBUG"):
            raise
        what = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        sys.exit(f"rsnl: {what}; rsnl should have said this better: RSNL_DEBUG=1 shows where")


def main(argv: list[str] | None = None) -> None:
    try:
        run(parse(argv))
    except KeyboardInterrupt:
        print("rsnl: stopped", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
