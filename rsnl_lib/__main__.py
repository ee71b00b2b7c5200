"""`python -m rsnl_lib` (or `rsnl`): data, networks, train, margins, attack, ladder, similarity,
reproduce, register, page.
"""

import argparse
import pathlib
import sys

from .data.catalogue import DATASETS
from .env import CHECKPOINTS, RESULTS


def campaign(args):
    from .study import campaign

    campaign.campaign(args)


def show_register(args):
    from . import store
    from .study import jobs, mistakes, register

    folders = [pathlib.Path(f) for f in args.work]
    done = jobs.known(store.result_rows(RESULTS, *(f / "rows" for f in folders)))
    every = register.networks()
    left = register.left(done)
    told = mistakes.known(every, mistakes.FOLDER, *(f / "mistakes" for f in folders))
    whole = [t for t in register.TEACHERS if not left.keys() & set(register.networks([t]))]
    print(
        f"{len(every) - len(left)} of {len(every)} registered networks have their rows; whole"
        f" teachers: {', '.join(map(str, whole)) or 'none'}"
    )
    for line in register.judged(done, told):
        effect = (
            f"{line['mean']:+6.2f} [{line['low']:+.2f}, {line['high']:+.2f}] p {line['p']:.3f}"
            if line["n"]
            else ""
        )
        print(
            f"{line['family']} {line['line']:24} {line['n']} teachers  {effect:36} {line['word']}"
        )


def page(args):
    from .workbook.page import make as p

    print(p.write(args.out or p.OUT))


def show_data(args):
    from . import data, env
    from .data import sets
    from .study import parts

    if args.unpack:
        parts.unpack(args.unpack, env.data_folder(args.folder), args.name)
        data.files(args.name, args.folder)
        return print(f"{args.name}: put together and verified in {env.data_folder(args.folder)}")
    if args.pack:
        place, (_, inside, known) = data.files(args.name, args.folder), sets.FILES[args.name]
        made = parts.pack(
            {f"{inside}/{f}".strip("/"): place / inside / f for f in known}, args.pack, args.name
        )
        return print(*(f"{p} {p.stat().st_size / 2**20:.1f} MiB" for p in made), sep="\n")
    from . import store
    from .data import whiten
    from .workbook import figures, palette

    d = data.load(args.name, args.folder)
    for part in ("train", "val", "test"):
        x, y = getattr(d, f"x_{part}"), getattr(d, f"y_{part}")
        each = y.bincount(minlength=d.classes)
        print(
            f"{part:5} {len(x):6} images {tuple(x.shape[1:])}, {d.space}, mean {x.mean():.4f}, mean"
            f" square {x.square().mean():.4f}, per class"
            f" {each.tolist() if d.classes <= 20 else f'{each.min()} to {each.max()}'}"
        )
    x = (
        d.x_train[:60]
        if d.space.startswith("pixels")
        else whiten.picture(d.x_train[:60], d.x_train)
    )
    path = env.data_folder(args.folder) / f"{pathlib.Path(args.name).name}.png"
    store.write(
        path,
        palette.png(
            figures.picture_grid(x, d.y_train[:60], f"{d.name}, first training images"), colours=256
        ),
    )
    print(f"pictures: {path}")


def show_networks(args):
    import time

    import torch

    from . import checks, networks, store
    from .data import catalogue
    from .study import paper

    checks.whole("repeats", args.repeats, 1)
    torch.set_num_threads(checks.whole("threads", args.threads, 1))
    print(
        f"{'network':22}{'layers':>7}{'weights':>11}{'multiplications':>17}"
        f"{'ms/image, batch 1':>19}{'batch 64':>10}{'speed-up':>10}"
        "   Table VII or VI: weights, multiplications, speed-up"
    )
    base, printed = {}, {(c["network"], c["quantity"]): c["printed"] for c in paper.cells()}
    for name in networks.NETWORKS:
        stem = name.split("_")[0]
        net, shape = networks.build(name).eval(), catalogue.SHAPES[stem]
        weights, mults = networks.count(net, shape)
        layers = sum(isinstance(m, (torch.nn.Conv2d, torch.nn.Linear)) for m in net.modules())
        took = {}
        with torch.no_grad():
            for n in (1, 64):
                x, runs = torch.rand(n, *shape), []
                for _ in range(args.repeats + 1):
                    begun = time.perf_counter()
                    net(x)
                    runs.append((time.perf_counter() - begun) * 1000 / n)
                took[n] = sorted(runs[1:])[len(runs[1:]) // 2]
        pair = "digits_mlp" if "mlp" in name else stem
        ratio = base.setdefault(pair, took[64]) / took[64]  # the teacher comes first
        if args.rows:
            store.append(
                args.rows,
                [
                    {
                        "network": name,
                        "batch": n,
                        "ms": f"{ms:.4f}",
                        "repeats": args.repeats,
                        "threads": args.threads,
                        **store.provenance(),
                    }
                    for n, ms in took.items()
                ],
                store.SPEED_COLUMNS,
            )
        print(
            f"{name:22}{layers:7}{weights:11,}{mults:17,}{took[1]:19.3f}{took[64]:10.3f}{ratio:10.2f}"
            + "".join(
                f"   {printed.get((name, q), '')}"
                for q in ("weights", "multiplications", "speed-up")
            ),
            flush=True,
        )


def train(args):
    import torch

    from . import checks, env, store, train
    from .data import catalogue
    from .study import jobs
    from .train import recipes

    torch.set_num_threads(checks.whole("threads", args.threads, 1))
    device = env.device(args.device)
    checks.one_of("method", args.method, train.METHODS)
    words = [f"{k}={v}" for k, v in map(recipes.setting, args.set)] + [f"init={args.init}"] * (
        args.init != "lsuv"
    )
    noise = f"{args.train_noise} {args.train_snr:g} dB" if args.train_noise else ""
    network = args.network or catalogue.network_for(
        f"{args.dataset}_mlp" if args.mlp else args.dataset, args.method
    )
    job = jobs.Job(
        args.dataset,
        args.method,
        network,
        args.recipe,
        " ".join(words),
        noise,
        args.seed,
        args.teacher_seed,
        args.teacher_network,
    )
    job.plan()
    name = pathlib.Path(args.dataset).name
    rows_file = pathlib.Path(args.rows or RESULTS / f"{name}.csv")
    curves_file = (
        pathlib.Path(args.rows.removesuffix(".csv") + "-curves.csv")
        if args.rows
        else RESULTS / "curves.csv"
    )
    for file, columns in (
        (rows_file, store.COLUMNS),
        (curves_file, store.CURVE_COLUMNS),
    ):  # a bad place is said before training, not after
        store.can_write(file)
        if file.exists():
            store.append(file, [], columns)
    store.can_write(pathlib.Path(args.out) / "checkpoint")
    rows, curves, state = jobs.do(job, args.out, args.folder, device, args.draws, args.teacher)
    store.append(rows_file, rows)
    store.append(curves_file, curves, store.CURVE_COLUMNS)
    state.unlink(missing_ok=True)
    state.with_suffix(".rows").unlink(missing_ok=True)
    best = max(
        ((float(c["value"]), c["epoch"]) for c in curves if c["quantity"] == "val_accuracy"),
        default=(0, 0),
    )[1]
    print(
        f"{state.stem}: test accuracy {rows[0]['correct'] / rows[0]['n']:.2%}, last of"
        f" {job.plan().epochs} epochs, best on validation: epoch {best}"
    )


def opened(path):
    """(network, header) of a checkpoint made by `train`."""
    from . import store

    net, head = store.load_checkpoint(path)
    if lacking := {"dataset", "method", "network", "seed", "recipe"} - set(head):
        raise ValueError(
            f"{path} does not say its {', '.join(sorted(lacking))}; this needs a checkpoint made by"
            " `rsnl train`"
        )
    return net, head


def guide(path, teacher=None):
    """(network, header, its teacher's file) of a checkpoint: `teacher`, or what lies beside it."""
    from .study import jobs

    path = pathlib.Path(path)
    net, head = opened(path)
    name, recipe = head["network"].replace("student", "teacher"), head["recipe"]
    own, first = (
        jobs.checkpoint_path(head["dataset"], "teacher", s, name, recipe, path.parent)
        for s in (head["seed"], 0)
    )
    return (
        net,
        head,
        pathlib.Path(
            teacher
            or (
                path.parent / head["teacher_file"]
                if head.get("teacher_file")
                else own
                if own.is_file()
                else first
            )
        ),
    )


def pupil(path, teacher=None):
    """(network, header, its teacher or None) of a checkpoint; the teacher's lies beside it unless
    `teacher` names the file.
    """
    from . import store

    net, head, place = guide(path, teacher)
    return net, head, None if head["method"] == "teacher" else store.load_checkpoint(place)[0]


def run_of(head):
    from . import env

    return {
        **{
            k: head.get(k, "")
            for k in ("dataset", "method", "network", "teacher", "recipe", "settings", "seed")
        },
        "hardware": env.hardware(),
        "commit": env.commit(),
    }


def last_epochs(paths):
    """The paths of checkpoints whose rows may be kept: of a run only its last epoch's, for nothing
    in a row tells the best epoch's apart.
    """
    for path in map(pathlib.Path, paths):
        if path.stem.endswith(".best"):
            raise ValueError(
                f"{path} is the best epoch of its run, and rows tell of the last; name"
                f" {path.with_suffix('').with_suffix('.safetensors')}"
            )
    return paths


def text(value):
    return "" if value != value else f"{value:.5g}"


def margins(args):
    import torch

    from . import checks, data, store, theorem, train

    torch.set_num_threads(checks.whole("threads", args.threads, 1))
    checks.whole("images", args.images, 1)
    for path in last_epochs(args.checkpoints):
        net, head, teacher = pupil(path, args.teacher)
        d = data.load(head["dataset"], args.folder)
        x, y = d.x_test[: args.images], d.y_test[: args.images]
        tau = train.recipe(head["recipe"], head["dataset"], head["method"]).tau
        found = theorem.margins(
            net,
            teacher,
            x,
            y,
            tau,
            args.snr,
            args.sound,
            d.x_train[:1000],
            args.restarts,
            args.steps,
            dtype=torch.float32 if args.float32 else torch.float64,
        )
        fixed = {**dict.fromkeys(store.MARGIN_COLUMNS, ""), **run_of(head), "snr": args.snr}
        store.append(
            args.rows or RESULTS / "margins.csv",
            [
                {**fixed, "image": i, "label": int(y[i]), **{k: text(v) for k, v in row.items()}}
                for i, row in enumerate(found)
            ],
            store.MARGIN_COLUMNS,
        )
        lead = [row["lead"] > 0 for row in found if "lead" in row]
        print(
            f"{pathlib.Path(path).name}: {len(found)} images"
            + (f", the student leads on {sum(lead)}" if lead else ""),
            flush=True,
        )


def attack(args):
    import torch

    from . import checks, data, store
    from .measure import toolbox
    from .study import jobs

    torch.set_num_threads(checks.whole("threads", args.threads, 1))
    checks.whole("images", args.images, 1)
    file = pathlib.Path(args.rows or RESULTS / "attacks.csv")
    store.can_write(file)
    for path in last_epochs(args.checkpoints):
        known = jobs.known(store.result_rows(file.parent)) if file.is_file() else {}
        net, head = opened(path)
        have = known.get(tuple(head.get(k, "") for k in store.RUN_COLUMNS), {})
        wanted = [
            entry
            for entry in toolbox.plan(head["dataset"])
            if entry not in have and entry[0] in args.kinds
        ]
        d = data.load(head["dataset"], args.folder)
        found = toolbox.rows(net, head, d.x_test[: args.images], d.y_test[: args.images], wanted)
        store.append(file, found)
        print(
            f"{pathlib.Path(path).name}: "
            + (
                ", ".join(
                    f"{r['perturbation']} {r['level']:g} {r['correct'] / r['n']:.1%}" for r in found
                )
                or "nothing new"
            ),
            flush=True,
        )


def ladder(args):
    import torch

    from . import checks, data, store, theorem

    torch.set_num_threads(checks.whole("threads", args.threads, 1))
    checks.whole("images", args.images, 1)
    net, head, teacher = pupil(args.checkpoint, args.teacher)
    if teacher is None:
        raise ValueError(f"{args.checkpoint} is a teacher; name a student's checkpoint")
    d = data.load(head["dataset"], args.folder)
    with torch.no_grad():
        lead = torch.cat(
            [
                theorem.head_start(net, teacher, y)(x) > 0
                for x, y in zip(d.x_test.split(100), d.y_test.split(100))
            ]
        )
    pick = lead.nonzero()[: args.images, 0]
    fixed = {**run_of(head), "p": args.p, "box": args.box}
    for space in args.spaces:
        rows = theorem.ladder(
            net,
            teacher,
            d.x_test[pick],
            d.y_test[pick],
            space,
            float(args.p),
            args.box,
            args.sound,
            args.sigma,
            seeds=d.x_train[:1000].double(),
            restarts=args.restarts,
            steps=args.steps,
        )
        flips = {row["image"]: row["flip"] for row in rows}
        print(
            f"{space} space, {len(flips)} of the first {int(pick[-1]) + 1} test images, p ="
            f" {args.p}; value / flip: 10 %, median, 90 %"
        )
        for name in dict.fromkeys(row["certificate"] for row in rows):
            part = [row for row in rows if row["certificate"] == name]
            share = torch.tensor([row["value"] / row["flip"] for row in part])
            low, middle, high = share.quantile(torch.tensor([0.1, 0.5, 0.9])).tolist()
            print(
                f"  {name:32} {part[0]['kind']:9} {low:6.3f} {middle:6.3f} {high:6.3f}   beyond the"
                f" flip: {int((share > 1).sum()):3}   {part[0]['seconds']:6.1f} s",
                flush=True,
            )
        store.append(
            args.rows or RESULTS / "ladder.csv",
            [
                {
                    **fixed,
                    "space": space,
                    **row,
                    "image": int(pick[row["image"]]),
                    "seconds": f"{row['seconds']:.1f}",
                    "value": text(row["value"]),
                    "flip": text(row["flip"]),
                }
                for row in rows
            ],
            store.LADDER_COLUMNS,
        )


def similarity(args):
    import torch

    from . import checks, data, env, store
    from .geometry import boundary

    torch.set_num_threads(checks.whole("threads", args.threads, 1))
    checks.whole("images", args.images, 1)
    kept = {}  # of each reference, where its boundary lies

    def walks(place, net, d):
        if place not in kept:
            kept[place] = boundary.vectors(
                net, d.x_test[: args.images], d.y_test[: args.images], eta=None
            )
        return kept[place]

    for path in last_epochs(args.checkpoints):
        net, head, place = guide(path, args.teacher)
        d = data.load(head["dataset"], args.folder)
        found = boundary.alike(
            walks(place, store.load_checkpoint(place)[0], d),
            boundary.vectors(net, d.x_test[: args.images], d.y_test[: args.images], eta=None),
        )
        row = {
            **{k: head.get(k, "") for k in store.RUN_COLUMNS},
            "reference": place.stem,
            **{k: text(v) if isinstance(v, float) else v for k, v in found.items()},
            "hardware": env.hardware(),
            "commit": env.commit(),
        }
        store.append(args.rows or RESULTS / "similarity.csv", [row], store.SIMILARITY_COLUMNS)
        print(
            f"{pathlib.Path(path).name} and {place.name}: MagSim {found['mag']:.3f}, AngSim"
            f" {found['ang']:.3f}, {found['n']} of {found['pairs']} pairs",
            flush=True,
        )


def main(argv=None):
    parser = argparse.ArgumentParser(prog="rsnl", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")

    def command(name, run, about, example):
        c = commands.add_parser(
            name, help=about, description=about, epilog=f"example: python -m rsnl_lib {example}"
        )
        c.set_defaults(run=run)
        return c

    c = command("data", show_data, "fetch a data set once and summarise it", "data mnist")
    c.add_argument(
        "name",
        help=f"{', '.join(DATASETS)}, or a folder with one folder of pictures for each class",
    )
    c.add_argument("--folder", help="where downloads go (default: RSNL_DATA, else data/downloads)")
    c.add_argument(
        "--pack",
        metavar="DIR",
        help="write the files as parts under 35 MiB, to be carried to a machine without network",
    )
    c.add_argument(
        "--unpack", metavar="DIR", help="put such parts together in the data folder, verified"
    )
    c = command(
        "networks",
        show_networks,
        "layers, weights, multiplications and milliseconds of every network, beside the paper's",
        "networks",
    )
    c.add_argument("--repeats", type=int, default=5, help="timed runs, the median counts")
    c.add_argument("--threads", type=int, default=1)
    c.add_argument(
        "--rows",
        metavar="FILE",
        help="append the milliseconds to this CSV file (data/results/speed.csv answers Table VII)",
    )
    c = command(
        "train",
        train,
        "train one network by Algorithm 1, test it, keep checkpoint and rows",
        "train --dataset digits --method robust --seed 1 --set C1=100",
    )
    c.add_argument(
        "--dataset",
        default="digits",
        help=f"{', '.join(DATASETS)}, or a folder with one folder of pictures for each class",
    )
    c.add_argument(
        "--network",
        help=(
            "of the student or teacher trained, e.g. cifar_student1 or cifar_teacher@0.25 (default:"
            " the data set's own)"
        ),
    )
    c.add_argument("--init", default="lsuv", help="lsuv, or uniform: the papers' U(+-0.005)")
    c.add_argument("--method", default="standard")
    c.add_argument("--recipe", default="short")
    c.add_argument("--seed", type=int, default=0)
    c.add_argument(
        "--set",
        nargs="*",
        default=[],
        metavar="KEY=VALUE",
        help="change the recipe, e.g. C1=100 epochs=3",
    )
    c.add_argument(
        "--mlp",
        action="store_true",
        help="digits: the fully connected pair instead of the convolutional one",
    )
    c.add_argument(
        "--teacher",
        metavar="FILE",
        help="the teacher's checkpoint (default: the data set's own, recipe and seed as said)",
    )
    c.add_argument("--teacher-seed", type=int, default=0, help="of the teacher")
    c.add_argument(
        "--teacher-network",
        default="",
        metavar="NAME",
        help="e.g. cifar_teacher@0.25 (default: the one that belongs to the network)",
    )
    c.add_argument(
        "--train-noise",
        choices=("gaussian", "poisson"),
        help="train on images with this noise (Table I)",
    )
    c.add_argument("--train-snr", type=float, default=10.0, metavar="DB", help="its SNR in dB")
    c.add_argument("--draws", type=int, default=2, help="noise draws per test image")
    c.add_argument("--device", default="auto")
    c.add_argument("--threads", type=int, default=1)
    c.add_argument("--folder", help="where downloads are (default: RSNL_DATA, else data/downloads)")
    c.add_argument("--out", default=CHECKPOINTS, help="folder of the checkpoints")
    c.add_argument("--rows", help="CSV file of the rows (default: data/results/DATASET.csv)")
    c = command(
        "margins",
        margins,
        "head start, gradient gap, bounds and flip distances, image by image, of trained networks",
        "margins data/checkpoints/digits_student-robust-short-s0.safetensors --images 20",
    )
    c.add_argument(
        "checkpoints",
        nargs="+",
        metavar="CHECKPOINT",
        help="made by `train`; its teacher lies beside it",
    )
    c.add_argument(
        "--teacher", metavar="FILE", help="the teacher's checkpoint, where it does not lie beside"
    )
    c.add_argument("--images", type=int, default=100, help="how many of the first test images")
    c.add_argument("--snr", type=float, default=0.0, help="white noise of the noisy scores, in dB")
    c.add_argument(
        "--sound", default="none", help="also a certificate: spectral, interval or lipsdp"
    )
    c.add_argument("--restarts", type=int, default=6, help="of the search for the smallest flip")
    c.add_argument("--steps", type=int, default=25, help="of each restart")
    c.add_argument(
        "--float32",
        action="store_true",
        help=(
            "search and estimate in single precision, three times as fast; certificates stay in"
            " double"
        ),
    )
    c.add_argument("--threads", type=int, default=1)
    c.add_argument("--folder", help="where downloads are (default: RSNL_DATA, else data/downloads)")
    c.add_argument("--rows", help="CSV file of the rows (default: data/results/margins.csv)")
    c = command(
        "attack",
        attack,
        "how many test images trained networks get right under attack, by the Adversarial"
        " Robustness Toolbox",
        "attack data/checkpoints/digits_student-kd-short-s0.safetensors --images 100",
    )
    c.add_argument("checkpoints", nargs="+", metavar="CHECKPOINT", help="made by `train`")
    c.add_argument(
        "--kinds",
        nargs="+",
        default=["pgd"],
        choices=("pgd", "pgd200", "autoattack"),
        help="20 steps from three starts on a grid of epsilon; 200 steps; or AutoAttack",
    )
    c.add_argument("--images", type=int, default=1000, help="how many of the first test images")
    c.add_argument("--threads", type=int, default=1)
    c.add_argument("--folder", help="where downloads are (default: RSNL_DATA, else data/downloads)")
    c.add_argument("--rows", help="CSV file of the rows (default: data/results/attacks.csv)")
    c = command(
        "ladder",
        ladder,
        "every radius of Theorem 1 beside the smallest flip found, for the first images on which"
        " the student leads",
        "ladder data/checkpoints/digits_mlp_student-robust-tau4-s0.safetensors --images 20",
    )
    c.add_argument("checkpoint", help="a student made by `train`; its teacher lies beside it")
    c.add_argument(
        "--teacher", metavar="FILE", help="the teacher's checkpoint, where it does not lie beside"
    )
    c.add_argument("--images", type=int, default=200)
    c.add_argument("--spaces", nargs="+", default=["logit", "probability"], metavar="SPACE")
    c.add_argument(
        "--p",
        default="2",
        choices=("1", "2", "inf"),
        help="norm of the gradients; perturbations are measured in its dual",
    )
    c.add_argument("--box", action="store_true", help="perturbed images stay in [0, 1]")
    c.add_argument(
        "--sound", nargs="*", default=["spectral", "interval", "lipsdp"], metavar="METHOD"
    )
    c.add_argument("--sigma", type=float, default=0.05, help="noise of the smoothing votes")
    c.add_argument("--restarts", type=int, default=12)
    c.add_argument("--steps", type=int, default=40)
    c.add_argument("--threads", type=int, default=1)
    c.add_argument("--folder", help="where downloads are (default: RSNL_DATA, else data/downloads)")
    c.add_argument("--rows", help="CSV file of the rows (default: data/results/ladder.csv)")
    c = command(
        "similarity",
        similarity,
        "MagSim and AngSim of trained students and their teachers: is their decision boundary the"
        " same?",
        "similarity data/checkpoints/digits_student-kd-short-s0.safetensors --images 100",
    )
    c.add_argument(
        "checkpoints",
        nargs="+",
        metavar="CHECKPOINT",
        help="made by `train`; its teacher lies beside it",
    )
    c.add_argument(
        "--teacher",
        metavar="FILE",
        help="the network to compare with, where it is not the teacher beside",
    )
    c.add_argument("--images", type=int, default=500, help="how many of the first test images")
    c.add_argument("--threads", type=int, default=1)
    c.add_argument("--folder", help="where downloads are (default: RSNL_DATA, else data/downloads)")
    c.add_argument("--rows", help="CSV file of the rows (default: data/results/similarity.csv)")
    c = command(
        "reproduce",
        campaign,
        "the paper's cells that have no rows yet: list them, or train and measure what is missing",
        "reproduce --table VI --budget 9m --jobs 2",
    )
    c.add_argument(
        "--missing",
        action="store_true",
        help="only list the work left, with its estimated time and what it needs",
    )
    c.add_argument(
        "--merge",
        metavar="DIR",
        help="take in the rows and checkpoints of a campaign's folder, packed or not",
    )
    c.add_argument(
        "--for",
        nargs="+",
        dest="lines",
        choices=("register", "cifar", "claims", "study", "neighbours"),
        help=(
            "instead of the paper's cells: the registered networks (data/claims), those of CIFAR-10"
            " (data/claims/cifar.csv), or the comparisons of that file in data/"
        ),
    )
    c.add_argument(
        "--teachers",
        metavar="RANGE",
        help="with --for register: only these teachers and their students, such as 3-5",
    )
    c.add_argument("--table", help="only this table: I to VII, or 2a for the text on Fig. 2(a)")
    c.add_argument("--dataset", help="only this data set")
    c.add_argument("--method", nargs="+", help="only these methods")
    c.add_argument(
        "--also",
        nargs="+",
        default=[],
        metavar="METHOD",
        help="methods beyond the paper's, on the same data sets",
    )
    c.add_argument("--seeds", type=int, default=1, help="how many seeds of each network")
    c.add_argument("--recipe", default="short")
    c.add_argument(
        "--set",
        nargs="*",
        default=[],
        metavar="KEY=VALUE",
        help="change the students' recipe; such rows fill no cell",
    )
    c.add_argument(
        "--teacher-set",
        nargs="*",
        default=[],
        metavar="KEY=VALUE",
        help="change the teachers' recipe; such rows fill no cell",
    )
    c.add_argument(
        "--network",
        default="",
        help="of the students, instead of the paper's; such rows fill no cell",
    )
    c.add_argument(
        "--teacher-network",
        default="",
        help="of the teachers, e.g. cifar_teacher@0.25; such rows fill no cell",
    )
    c.add_argument(
        "--budget",
        metavar="TIME",
        help="stop after 90s, 9m or 1.5h; what runs goes on in the next call",
    )
    c.add_argument(
        "--jobs",
        type=int,
        default=1,
        help="networks at a time, each on one thread (or sharing the GPU)",
    )
    c.add_argument(
        "--ray", metavar="ADDRESS", help="run on a Ray cluster ('local' starts one here)"
    )
    c.add_argument(
        "--gpus", type=float, default=0.0, help="with --ray: the share of a GPU each network takes"
    )
    c.add_argument("--draws", type=int, default=2, help="noise draws per test image")
    c.add_argument("--device", default="auto")
    c.add_argument("--folder", help="where downloads are (default: RSNL_DATA, else data/downloads)")
    c.add_argument(
        "--work",
        metavar="DIR",
        help=(
            "where rows, checkpoints and unfinished runs are kept (default: campaign in the data"
            " folder)"
        ),
    )
    c.add_argument(
        "--out",
        metavar="DIR",
        help="pack rows and checkpoints there at the end, at most 8 files under 15 MiB",
    )
    c = command(
        "register",
        show_register,
        "the registered study (data/claims): what has rows, and every line with its interval, p and"
        " word",
        "register",
    )
    c.add_argument(
        "--work",
        nargs="*",
        default=[],
        metavar="DIR",
        help="also the rows of campaigns that are not merged yet",
    )
    c = command(
        "page",
        page,
        "make figure3.html: Figure 3 with the shipped MNIST networks, in one file for any browser",
        "page",
    )
    c.add_argument(
        "--out", metavar="FILE", help="where it goes (default: figure3.html in the project)"
    )
    args = parser.parse_args(argv)
    try:
        args.run(args)
    except ModuleNotFoundError as error:
        name = error.name.partition(".")[0]
        sys.exit(f"rsnl: {name} is not installed; pip install 'rsnl-lib[workbook,attack]'")
    except (ValueError, OSError, FloatingPointError) as error:
        sys.exit(f"rsnl: {error}")


if __name__ == "__main__":
    main()
