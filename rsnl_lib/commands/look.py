"""The commands that show what there is: data, networks, register, page."""

import pathlib
import time

import torch

from .. import checks, data, env, networks, store
from ..data import catalogue, sets, whiten
from ..study import mistakes, paper, parts, register
from ..study.results import Results
from . import common


def show_data(args):
    folder = env.data_folder(args.folder)
    if args.unpack:
        parts.unpack(args.unpack, folder, args.name)
        data.files(args.name, args.folder)
        return print(f"{args.name}: put together and verified in {folder}")
    if args.pack:
        place, (_, inside, known) = data.files(args.name, args.folder), sets.FILES[args.name]
        files = {f"{inside}/{f}".strip("/"): place / inside / f for f in known}
        made = parts.pack(files, args.pack, args.name)
        return print(*(f"{p} {p.stat().st_size / 2**20:.1f} MiB" for p in made), sep="\n")
    from ..workbook import figures, palette

    d = data.load(args.name, args.folder)
    for part in ("train", "val", "test"):
        x, y = getattr(d, f"x_{part}"), getattr(d, f"y_{part}")
        each = y.bincount(minlength=d.classes)
        of_a_class = each.tolist() if d.classes <= 20 else f"{each.min()} to {each.max()}"
        print(
            f"{part:5} {len(x):6} images {tuple(x.shape[1:])}, {d.space}, mean {x.mean():.4f}, mean"
            f" square {x.square().mean():.4f}, per class {of_a_class}"
        )
    x = d.x_train[:60]
    x = x if d.space.startswith("pixels") else whiten.picture(x, d.x_train)
    path = folder / f"{pathlib.Path(args.name).name}.png"
    grid = figures.picture_grid(x, d.y_train[:60], f"{d.name}, first training images")
    store.write(path, palette.png(grid, colours=256))
    print(f"pictures: {path}")


def show_networks(args):
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
        took = {n: milliseconds(net, torch.rand(n, *shape), args.repeats) for n in (1, 64)}
        pair = "digits_mlp" if "mlp" in name else stem
        ratio = base.setdefault(pair, took[64]) / took[64]  # the teacher comes first
        if args.rows:
            fixed = {"network": name, "repeats": args.repeats, "threads": args.threads}
            fixed |= store.provenance()
            rows = [{**fixed, "batch": n, "ms": f"{ms:.4f}"} for n, ms in took.items()]
            store.append(args.rows, rows, store.SPEED_COLUMNS)
        theirs = [printed.get((name, q), "") for q in ("weights", "multiplications", "speed-up")]
        print(
            f"{name:22}{layers:7}{weights:11,}{mults:17,}{took[1]:19.3f}{took[64]:10.3f}"
            f"{ratio:10.2f}   {'   '.join(theirs)}",
            flush=True,
        )


@torch.no_grad()
def milliseconds(net, x, repeats):
    """Median milliseconds an image that `net` takes for the batch x, after a first run."""
    runs = []
    for _ in range(repeats + 1):
        begun = time.perf_counter()
        net(x)
        runs.append((time.perf_counter() - begun) * 1000 / len(x))
    return sorted(runs[1:])[len(runs[1:]) // 2]


def show_register(args):
    folders = [pathlib.Path(f) for f in args.work]
    done = Results(store.result_rows(common.RESULTS, *(f / "rows" for f in folders)))
    every, left = register.networks(), register.network_jobs(done)
    told = mistakes.collect(every, *(f / "mistakes" for f in folders))
    whole = [t for t in register.REGISTERED if not left.keys() & set(register.networks([t]))]
    print(
        f"{len(every) - len(left)} of {len(every)} registered networks have their rows; whole"
        f" teachers: {', '.join(map(str, whole)) or 'none'}"
    )
    for line in register.judge_lines(done, told):
        effect = ""
        if line["n"]:
            effect = f"{line['mean']:+6.2f} [{line['low']:+.2f}, {line['high']:+.2f}]"
            effect += f" p {line['p']:.3f}"
        n, word = line["n"], line["word"]
        print(f"{line['family']} {line['line']:24} {n} teachers  {effect:36} {word}")


def make_page(args):
    from ..workbook.page import make

    print(make.save_page(args.out or make.OUT))
