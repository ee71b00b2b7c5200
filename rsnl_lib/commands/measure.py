"""The commands that measure trained networks: margins, attack, ladder, similarity."""

import pathlib

import torch

from .. import data, store, theorem, train
from ..geometry import boundary
from ..study.results import Results
from .common import guide, last_epochs, opened, pupil, ready, rows_file, run_of, text


def margins(args):
    ready(args)
    for path in last_epochs(args.checkpoints):
        net, head, teacher = pupil(path, args.teacher)
        d = data.load(head["dataset"], args.folder)
        x, y = d.x_test[: args.images], d.y_test[: args.images]
        tau = train.recipe(head["recipe"], head["dataset"], head["method"]).tau
        dtype = torch.float32 if args.float32 else torch.float64
        search = (d.x_train[:1000], args.restarts, args.steps)
        found = theorem.margins(net, teacher, x, y, tau, args.snr, args.sound, *search, dtype=dtype)
        fixed = {**dict.fromkeys(store.MARGIN_COLUMNS, ""), **run_of(head), "snr": args.snr}
        rows = [
            {**fixed, "image": i, "label": int(y[i]), **{k: text(v) for k, v in row.items()}}
            for i, row in enumerate(found)
        ]
        store.append(rows_file(args, "margins.csv"), rows, store.MARGIN_COLUMNS)
        lead = [row["lead"] > 0 for row in found if "lead" in row]
        leads = f", the student leads on {sum(lead)}" if lead else ""
        print(f"{pathlib.Path(path).name}: {len(found)} images{leads}", flush=True)


def attack(args):
    from ..measure import toolbox

    ready(args)
    file = rows_file(args, "attacks.csv")
    store.can_write(file)
    for path in last_epochs(args.checkpoints):
        known = Results(store.result_rows(file.parent) if file.is_file() else ())
        net, head = opened(path)
        have = known.get(tuple(head.get(k, "") for k in store.RUN_COLUMNS), {})
        plan = toolbox.plan(head["dataset"])
        wanted = [entry for entry in plan if entry not in have and entry[0] in args.kinds]
        d = data.load(head["dataset"], args.folder)
        found = toolbox.rows(net, head, d.x_test[: args.images], d.y_test[: args.images], wanted)
        store.append(file, found)
        said = [f"{r['perturbation']} {r['level']:g} {r['correct'] / r['n']:.1%}" for r in found]
        print(f"{pathlib.Path(path).name}: {', '.join(said) or 'nothing new'}", flush=True)


def ladder(args):
    ready(args)
    net, head, teacher = pupil(args.checkpoint, args.teacher)
    if teacher is None:
        raise ValueError(f"{args.checkpoint} is a teacher; name a student's checkpoint")
    d = data.load(head["dataset"], args.folder)
    with torch.no_grad():
        parts = zip(d.x_test.split(100), d.y_test.split(100))
        lead = torch.cat([theorem.head_start(net, teacher, y)(x) > 0 for x, y in parts])
    pick = lead.nonzero()[: args.images, 0]
    x, y = d.x_test[pick], d.y_test[pick]
    fixed = {**run_of(head), "p": args.p, "box": args.box}
    for space in args.spaces:
        rows = theorem.ladder(
            net,
            teacher,
            x,
            y,
            space,
            float(args.p),
            args.box,
            args.sound,
            args.sigma,
            seeds=d.x_train[:1000].double(),
            restarts=args.restarts,
            steps=args.steps,
        )
        print(
            f"{space} space, {len({row['image'] for row in rows})} of the first"
            f" {int(pick[-1]) + 1} test images, p = {args.p}; value / flip: 10 %, median, 90 %"
        )
        _say_rungs(rows)
        whole = [
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
        ]
        store.append(rows_file(args, "ladder.csv"), whole, store.LADDER_COLUMNS)


def _say_rungs(rows):
    """Print each certificate's values as shares of the smallest flip."""
    for name in dict.fromkeys(row["certificate"] for row in rows):
        part = [row for row in rows if row["certificate"] == name]
        share = torch.tensor([row["value"] / row["flip"] for row in part])
        low, middle, high = share.quantile(torch.tensor([0.1, 0.5, 0.9])).tolist()
        print(
            f"  {name:32} {part[0]['kind']:9} {low:6.3f} {middle:6.3f} {high:6.3f}   beyond the"
            f" flip: {int((share > 1).sum()):3}   {part[0]['seconds']:6.1f} s",
            flush=True,
        )


def similarity(args):
    ready(args)
    kept = {}  # of each reference, where its boundary lies

    def walks(net, d):
        return boundary.vectors(net, d.x_test[: args.images], d.y_test[: args.images], eta=None)

    for path in last_epochs(args.checkpoints):
        net, head, place = guide(path, args.teacher)
        d = data.load(head["dataset"], args.folder)
        if place not in kept:
            kept[place] = walks(store.load_checkpoint(place)[0], d)
        found = boundary.compare(kept[place], walks(net, d))
        row = {
            **run_of(head, store.RUN_COLUMNS),
            "reference": place.stem,
            **{k: text(v) if isinstance(v, float) else v for k, v in found.items()},
        }
        store.append(rows_file(args, "similarity.csv"), [row], store.SIMILARITY_COLUMNS)
        print(
            f"{pathlib.Path(path).name} and {place.name}: MagSim {found['mag']:.3f}, AngSim"
            f" {found['ang']:.3f}, {found['n']} of {found['pairs']} pairs",
            flush=True,
        )
