"""The commands that show what there is: data, networks, register, page."""

import pathlib
import statistics
import timeit
from argparse import Namespace

import torch
from torch import nn

from .. import checks, data, env, networks, store
from ..data import catalogue, sets, whiten
from ..study import mistakes, paper, parts, register
from ..study.results import Results
from . import common


def show_data(args: Namespace) -> None:
    folder = env.data_folder(args.folder)
    if args.pack and args.unpack:
        raise ValueError("--pack and --unpack undo each other; ask for one of them")
    if args.unpack:
        parts.unpack(args.unpack, folder, args.name, sums=sets.checksums(args.name))
        data.files(args.name, args.folder)
        return print(f"{args.name}: put together and verified in {folder}")
    if args.pack:
        place = data.files(args.name, args.folder)
        files = {f: place / f for f in sets.checksums(args.name)}
        made = parts.pack(files, args.pack, args.name)
        return print(*(f"{p} {p.stat().st_size / 2**20:.1f} MiB" for p in made), sep="\n")
    from ..workbook import figures, palette

    d = data.load(args.name, args.folder)
    for part in ("train", "val", "test"):
        x, y = getattr(d, f"x_{part}"), getattr(d, f"y_{part}")
        each = y.bincount(minlength=d.classes)
        of_a_class = each.tolist() if d.classes <= 20 else f"{each.min()} to {each.max()}"
        if d.names and d.classes <= 20:
            of_a_class = dict(zip(d.names, of_a_class))
        told = f"mean {x.mean():.4f}, mean square {x.square().mean():.4f}, per class {of_a_class}"
        print(f"{part:5} {len(x):6} images {tuple(x.shape[1:])}, {d.space}, {told}")
    x = d.x_train[:60]
    x = x if d.space.startswith("pixels") else whiten.stretch(x, d.x_train)
    path = folder / f"{d.name}.png"
    names = [name.replace("$", "\\$") for name in d.names]  # no formulas
    y = [names[k] for k in d.y_train[:60]] if names else d.y_train[:60]
    grid = figures.picture_grid(x, y, f"{d.name}, first training images")
    store.write(path, palette.png(grid))
    print(f"pictures: {path}")


@torch.no_grad()
def show_networks(args: Namespace) -> None:
    checks.whole("repeats", args.repeats, 1)
    common.use_threads(args)
    file = args.rows and common.rows_file(args, "", store.SPEED_COLUMNS)
    line = "{:22}{:>7}{:>11}{:>17}{:>19}{:>10}{:>10}   {}"
    names = ("network", "layers", "weights", "multiplications", "ms/image, batch 1", "batch 64")
    print(line.format(*names, "speed-up", "Table VII or VI: weights, multiplications, speed-up"))
    base, printed = {}, {(c["network"], c["quantity"]): c["printed"] for c in paper.cells()}
    for name in networks.NETWORKS:
        stem = name.split("_")[0]
        net, shape = networks.build(name).eval(), catalogue.SHAPES[stem]
        weights, mults = networks.count(net, shape)
        layers = sum(isinstance(m, (nn.Conv2d, nn.Linear)) for m in net.modules())
        ms = {}  # of an image, the median of the runs after a first one
        for batch in (1, 64):
            x = torch.rand(batch, *shape)
            took = timeit.repeat(lambda: net(x), number=1, repeat=args.repeats + 1)
            ms[batch] = statistics.median(took[1:]) * 1000 / batch
        pair = "digits_mlp" if "mlp" in name else stem
        ratio = base.setdefault(pair, ms[64]) / ms[64]  # the teacher comes first
        if file:
            fixed = {"network": name, "repeats": args.repeats, "threads": args.threads}
            fixed |= store.provenance()
            rows = [{**fixed, "batch": n, "ms": f"{v:.4f}"} for n, v in ms.items()]
            store.append(file, rows, store.SPEED_COLUMNS)
        theirs = [printed.get((name, q), "") for q in ("weights", "multiplications", "speed-up")]
        took = (f"{ms[1]:.3f}", f"{ms[64]:.3f}", f"{ratio:.2f}")
        counts = (name, layers, f"{weights:,}", f"{mults:,}")
        print(line.format(*counts, *took, "   ".join(theirs)), flush=True)


def show_register(args: Namespace) -> None:
    folders = [pathlib.Path(f) for f in args.work]
    if lacking := next((f for f in folders if not f.is_dir()), None):
        raise ValueError(f"--work {lacking} is no folder; name one that a campaign worked in")
    done = Results(store.result_rows(common.RESULTS, *(f / "rows" for f in folders)))
    every, left = register.networks(), register.network_jobs(done)
    told = mistakes.collect(every, *(f / "mistakes" for f in folders))
    whole = map(str, register.whole_teachers(left))
    print(
        f"{len(every) - len(left)} of {len(every)} registered networks have their rows; whole"
        f" teachers: {', '.join(whole) or 'none'}"
    )
    for line in register.judge_lines(done, told):
        effect = ""
        if line["n"]:
            interval = f"[{line['low']:+.2f}, {line['high']:+.2f}]"
            effect = f"{line['mean']:+6.2f} {interval} p {line['p']:.3f}"
        name = f"{line['family']} {line['line']:24}"
        print(f"{name} {line['n']} teachers  {effect:36} {line['word']}")


def make_page(args: Namespace) -> None:
    from ..workbook.page import make

    path = pathlib.Path(args.out or make.OUT)
    store.can_write(path)
    if path.suffix != ".html":
        raise ValueError(f"--out {path} is no name of a page; name a file that ends in .html")
    print(make.save_page(path))
