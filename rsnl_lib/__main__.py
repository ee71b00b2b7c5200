"""`python -m rsnl_lib` (or `rsnl`): data, networks, train, margins, attack, ladder, similarity,
reproduce, register, page.
"""

import argparse
import importlib
import sys

from .data.catalogue import DATASETS
from .env import CHECKPOINTS

A_SET = f"{', '.join(DATASETS)}, or a folder with one folder of pictures for each class"
CHANGED = {"nargs": "*", "default": [], "metavar": "KEY=VALUE"}


def options(*names):
    """Parsers of options that several commands share."""
    shared = {
        "threads": ("--threads", {"type": int, "default": 1}),
        "device": ("--device", {"default": "auto"}),
        "folder": ("--folder", {"help": "of downloads (default: RSNL_DATA, else data/downloads)"}),
        "draws": ("--draws", {"type": int, "default": 2, "help": "noise draws per test image"}),
        "rows": ("--rows", {"metavar": "FILE", "help": "of the rows (default: in data/results)"}),
        "images": ("--images", {"type": int, "help": "how many of the first test images"}),
        "teacher": ("--teacher", {"metavar": "FILE", "help": "where it does not lie beside"}),
        "many": ("checkpoints", {"nargs": "+", "metavar": "CHECKPOINT", "help": "by `train`"}),
    }
    found = []
    for name in names:
        flag, more = shared[name]
        found.append(argparse.ArgumentParser(add_help=False))
        found[-1].add_argument(flag, **more)
    return found


def of_data(command):
    c = command("data", "look.show_data", "fetch a data set once and summarise it", "data mnist")
    c.add_argument("name", help=A_SET)
    c.add_argument("--folder", help="where downloads go (default: RSNL_DATA, else data/downloads)")
    c.add_argument("--pack", metavar="DIR", help="write the files as parts under 35 MiB, to carry")
    c.add_argument("--unpack", metavar="DIR", help="put such parts together, verified")


def of_networks(command):
    about = "layers, weights, multiplications and milliseconds of networks, beside the paper's"
    c = command("networks", "look.show_networks", about, "networks", "threads", "rows")
    c.add_argument("--repeats", type=int, default=5, help="timed runs, the median counts")


def of_train(command):
    about = "train one network by Algorithm 1, test it, keep checkpoint and rows"
    example = "train --dataset digits --method robust --seed 1 --set C1=100"
    shared = ("draws", "device", "threads", "folder", "rows")
    c = command("train", "train.train", about, example, *shared)
    c.add_argument("--dataset", default="digits", help=A_SET)
    c.add_argument("--network", help="e.g. cifar_student1 or cifar_teacher@0.25")
    c.add_argument("--init", default="lsuv", help="lsuv, or uniform: the papers' U(+-0.005)")
    c.add_argument("--method", default="standard")
    c.add_argument("--recipe", default="short")
    c.add_argument("--seed", type=int, default=0)
    c.add_argument("--set", **CHANGED, help="change the recipe, e.g. C1=100 epochs=3")
    c.add_argument("--mlp", action="store_true", help="digits: the fully connected pair")
    c.add_argument("--teacher", metavar="FILE", help="its checkpoint (default: the data set's own)")
    c.add_argument("--teacher-seed", type=int, default=0, help="of the teacher")
    c.add_argument("--teacher-network", default="", metavar="NAME", help="cifar_teacher@0.25, say")
    c.add_argument("--train-noise", choices=("gaussian", "poisson"), help="on the training images")
    c.add_argument("--train-snr", type=float, default=10.0, metavar="DB", help="its SNR in dB")
    c.add_argument("--out", default=CHECKPOINTS, help="folder of the checkpoints")


def of_margins(command):
    about = "head start, gradient gap, bounds and flip distances, image by image"
    example = "margins data/checkpoints/digits_student-robust-short-s0.safetensors --images 20"
    shared = ("many", "teacher", "images", "threads", "folder", "rows")
    c = command("margins", "measure.margins", about, example, *shared, images=100)
    c.add_argument("--snr", type=float, default=0.0, help="white noise of the noisy scores, in dB")
    c.add_argument("--sound", default="none", help="a certificate: spectral, interval or lipsdp")
    c.add_argument("--restarts", type=int, default=6, help="of the search for the smallest flip")
    c.add_argument("--steps", type=int, default=25, help="of each restart")
    c.add_argument("--float32", action="store_true", help="three times as fast; not certificates")


def of_attack(command):
    about = "test images that networks get right under attack (Adversarial Robustness Toolbox)"
    example = "attack data/checkpoints/digits_student-kd-short-s0.safetensors --images 100"
    shared = ("many", "images", "threads", "folder", "rows")
    c = command("attack", "measure.attack", about, example, *shared, images=1000)
    kinds = ("pgd", "pgd200", "autoattack")
    words = "20 steps from three starts on a grid of epsilon; 200 steps; or AutoAttack"
    c.add_argument("--kinds", nargs="+", default=["pgd"], choices=kinds, help=words)


def of_ladder(command):
    about = "every radius of Theorem 1 beside the smallest flip, on images where the student leads"
    example = "ladder data/checkpoints/digits_mlp_student-robust-tau4-s0.safetensors --images 20"
    shared = ("teacher", "images", "threads", "folder", "rows")
    c = command("ladder", "measure.ladder", about, example, *shared, images=200)
    c.add_argument("checkpoint", help="a student made by `train`; its teacher lies beside it")
    c.add_argument("--spaces", nargs="+", default=["logit", "probability"], metavar="SPACE")
    c.add_argument("--p", default="2", choices=("1", "2", "inf"), help="norm of the gradients")
    c.add_argument("--box", action="store_true", help="perturbed images stay in [0, 1]")
    sound = ["spectral", "interval", "lipsdp"]
    c.add_argument("--sound", nargs="*", default=sound, metavar="METHOD")
    c.add_argument("--sigma", type=float, default=0.05, help="noise of the smoothing votes")
    c.add_argument("--restarts", type=int, default=12)
    c.add_argument("--steps", type=int, default=40)


def of_similarity(command):
    about = "MagSim and AngSim of students and teachers: is their decision boundary the same?"
    example = "similarity data/checkpoints/digits_student-kd-short-s0.safetensors --images 100"
    shared = ("many", "teacher", "images", "threads", "folder", "rows")
    command("similarity", "measure.similarity", about, example, *shared, images=500)


def of_reproduce(command):
    about = "the paper's cells that have no rows yet: list them, or train and measure the missing"
    example = "reproduce --table VI --budget 9m --jobs 2"
    c = command("reproduce", "campaign", about, example, "draws", "device", "folder")
    c.add_argument("--missing", action="store_true", help="only list the work left and its time")
    c.add_argument("--merge", metavar="DIR", help="take in a campaign's folder, packed or not")
    names = ("register", "cifar", "claims", "study", "neighbours")
    words = "instead of cells: registered networks, CIFAR-10's, or that file's comparisons"
    c.add_argument("--for", nargs="+", dest="lines", choices=names, help=words)
    c.add_argument("--teachers", metavar="RANGE", help="with --for register: only these, as 3-5")
    c.add_argument("--table", help="only this table: I to VII, or 2a for the text on Fig. 2(a)")
    c.add_argument("--dataset", help="only this data set")
    c.add_argument("--method", nargs="+", help="only these methods")
    c.add_argument("--also", nargs="+", default=[], metavar="METHOD", help="beyond the paper's")
    c.add_argument("--seeds", type=int, default=1, help="how many seeds of each network")
    c.add_argument("--recipe", default="short")
    c.add_argument("--set", **CHANGED, help="the students' recipe; such rows fill no cell")
    c.add_argument("--teacher-set", **CHANGED, help="the teachers'; such rows fill no cell")
    c.add_argument("--network", default="", help="of the students; such rows fill no cell")
    c.add_argument("--teacher-network", default="", help="of the teachers, e.g. cifar_teacher@0.25")
    c.add_argument("--budget", metavar="TIME", help="stop after 90s, 9m or 1.5h, to go on later")
    c.add_argument("--jobs", type=int, default=1, help="networks at a time, each on one thread")
    c.add_argument("--ray", metavar="ADDRESS", help="a Ray cluster ('local' starts one here)")
    c.add_argument("--gpus", type=float, default=0.0, help="with --ray: share of a GPU a network")
    words = "rows, checkpoints and unfinished runs (default: campaign in the data folder)"
    c.add_argument("--work", metavar="DIR", help=words)
    c.add_argument("--out", metavar="DIR", help="pack them there at the end, 8 files under 15 MiB")


def of_register(command):
    about = "the registered study: what has rows, and every line with interval, p and word"
    c = command("register", "look.show_register", about, "register")
    words = "also the rows of campaigns that are not merged yet"
    c.add_argument("--work", nargs="*", default=[], metavar="DIR", help=words)


def of_page(command):
    about = "make figure3.html: Figure 3 with the shipped MNIST networks, in one file"
    c = command("page", "look.make_page", about, "page")
    c.add_argument("--out", metavar="FILE", help="where it goes (default: figure3.html)")


def run(name, args):
    """Run a command by its name, "module.function" of `commands`, or a campaign."""
    if name == "campaign":
        from .study import campaign

        return campaign.campaign(args)
    module, _, function = name.partition(".")
    return getattr(importlib.import_module(f".commands.{module}", __package__), function)(args)


def main(argv=None):
    parser = argparse.ArgumentParser(prog="rsnl", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")

    def command(name, target, about, example, *shared, images=None):
        words = f"example: python -m rsnl_lib {example}"
        c = commands.add_parser(
            name, help=about, description=about, epilog=words, parents=options(*shared)
        )
        c.set_defaults(run=target)
        if images:
            c.set_defaults(images=images)
        return c

    for add in (of_data, of_networks, of_train, of_margins, of_attack, of_ladder):
        add(command)
    for add in (of_similarity, of_reproduce, of_register, of_page):
        add(command)
    args = parser.parse_args(argv)
    try:
        run(args.run, args)
    except ModuleNotFoundError as error:
        name = error.name.partition(".")[0]
        sys.exit(f"rsnl: {name} is not installed; pip install 'rsnl-lib[workbook,attack]'")
    except (ValueError, OSError, FloatingPointError) as error:
        sys.exit(f"rsnl: {error}")


if __name__ == "__main__":
    main()
