"""The commands that measure trained networks: sweep, margins, attack, ladder, similarity,
slopes.
"""

from argparse import Namespace

import torch

from .. import env, geometry, store, theorem, train
from ..checks import finite, one_of, positive, whole
from ..geometry import boundary
from ..rows import row_key, same_run
from ..study import training
from ..study.jobs import Job, words
from ..study.results import Results, share_right
from .common import add_rows, checkpoints, five_digits, pairs, row_start, rows_file


def write_margins(args: Namespace) -> None:
    named = pairs(args, alone=True)
    file = rows_file(args, "margins.csv", store.MARGIN_COLUMNS)
    finite("snr", args.snr)
    one_of("sound", args.sound, ("none", *theorem.SOUND))
    whole("restarts", args.restarts, 1)
    whole("steps", args.steps, 1)
    for path, net, head, d, _, teacher in named:
        x, y = d.x_test[: args.images], d.y_test[: args.images]
        tau = train.recipe(head["recipe"], head["dataset"], head["method"]).tau
        dtype = torch.float32 if args.float32 else torch.float64
        search = (d.x_train[:1000], args.restarts, args.steps)
        found = theorem.margins(net, teacher, x, y, tau, args.snr, args.sound, *search, dtype=dtype)
        fixed = dict.fromkeys(store.MARGIN_COLUMNS, "") | row_start(head, store.MARGIN_COLUMNS)
        rows = [
            {**fixed, "snr": args.snr, "image": i, "label": int(y[i])}
            | {k: five_digits(v) for k, v in row.items()}
            for i, row in enumerate(found)
        ]
        add_rows(file, d, rows, store.MARGIN_COLUMNS, same_run)
        lead = [row["lead"] > 0 for row in found if "lead" in row]
        leads = f", the student leads on {sum(lead)}" if lead else ""
        print(f"{path.name}: {len(found)} images{leads}", flush=True)


def write_sweep(args: Namespace) -> None:
    whole("draws", args.draws, 1)
    named = checkpoints(args)
    for d in {d.name: d for _, _, _, d in named}.values():
        training.say_left_out(d)
    files = [rows_file(args, f"{d.name}.csv", store.COLUMNS) for _, _, _, d in named]
    new = {file for file in files if not file.is_file()}
    for (path, _, head, d), file in zip(named, files):
        run = {k: head.get(k, "") for k in store.RUN_COLUMNS}
        state = env.data_folder(args.folder) / "runs" / f"{path.stem}.sweep.state"
        place = (args.folder, state, _rows_there(file, head, file in new))
        rows = training.measure_checkpoint(path, run, d, args.draws, *place)
        add_rows(file, d, rows, store.COLUMNS, row_key)
        training.forget(state)
        ends = {(r["perturbation"], r["unit"]): r for r in rows if r["unit"] != "label"}
        said = []
        for (kind, unit), row in ends.items():
            level = f"{row['level']:g} {unit}" if unit else ""
            said.append(f"{words(kind, level)} {share_right(row):.1%}")
        print(f"{path.name}: {', '.join(said) or 'nothing new'}", flush=True)


def _rows_there(file, head, new):
    """{(perturbation, level, unit): row} of a checkpoint's run in the folder of `file`; in it alone
    if it is new, for it shall hold all that was asked.
    """
    known = store.lines(file, missing_ok=True) if new else store.result_rows(file.parent)
    return Results(known).get(tuple(head.get(k, "") for k in store.RUN_COLUMNS), {})


def write_attacks(args: Namespace) -> None:
    from ..measure import toolbox

    named = checkpoints(args, again=True)
    file = rows_file(args, "attacks.csv", store.COLUMNS)
    new = not file.is_file()
    plans = [toolbox.plan(head["dataset"], args.epsilon) for _, _, head, _ in named]
    for (path, net, head, d), plan in zip(named, plans):
        have = _rows_there(file, head, new)
        wanted = [entry for entry in plan if entry not in have and entry[0] in args.kinds]
        found = toolbox.rows(net, head, d.x_test[: args.images], d.y_test[: args.images], wanted)
        add_rows(file, d, found, store.COLUMNS, row_key)
        said = [f"{r['perturbation']} {r['level']:g} {r['correct'] / r['n']:.1%}" for r in found]
        print(f"{path.name}: {', '.join(said) or 'nothing new'}", flush=True)


def write_ladder(args: Namespace) -> None:
    named = pairs(args, alone=True)
    file = rows_file(args, "ladder.csv", store.LADDER_COLUMNS)
    for name, known in (("spaces", geometry.SPACES), ("sound", theorem.SOUND)):
        for word in getattr(args, name):
            one_of(name, word, known)
    positive("sigma", args.sigma)
    whole("restarts", args.restarts, 1)
    whole("steps", args.steps, 1)
    picks = [_where_it_leads(*one) for one in named]
    for (_, net, head, d, _, teacher), pick in zip(named, picks):
        pick = pick[: args.images]
        pair = (net, teacher, d.x_test[pick], d.y_test[pick])
        search = {"restarts": args.restarts, "steps": args.steps}
        search["seeds"] = d.x_train[:1000].double()
        fixed = {**row_start(head, store.LADDER_COLUMNS), "p": args.p, "box": args.box}
        for space in args.spaces:
            how = (space, float(args.p), args.box, args.sound, args.sigma)
            rows = theorem.ladder(*pair, *how, **search)
            some = f"{len({row['image'] for row in rows})} of the first {int(pick[-1]) + 1}"
            print(
                f"{space} space, {some} test images, p = {args.p}; value / flip: 10 %, median, 90 %"
            )
            _print_rungs(rows)
            for row in rows:
                row |= {"image": int(pick[row["image"]]), "seconds": f"{row['seconds']:.1f}"}
                row |= {k: five_digits(row[k]) for k in ("value", "flip")}
            told = [{**fixed, "space": space, **row} for row in rows]
            add_rows(file, d, told, store.LADDER_COLUMNS, same_run)


@torch.no_grad()
def _where_it_leads(path, net, head, d, place, teacher):
    """The indices of the test images on which a student leads its teacher; none is refused."""
    if teacher is None:
        raise ValueError(f"{path} is a teacher; name a student's checkpoint")
    parts = zip(d.x_test.split(100), d.y_test.split(100))
    lead = torch.cat([theorem.head_start(net, teacher, y)(x) > 0 for x, y in parts])
    if not lead.any():
        raise ValueError(
            f"{path} leads {place} on none of the {len(lead)} test images; name another teacher"
        )
    return lead.nonzero()[:, 0]


def _print_rungs(rows):
    """Print each certificate's values as shares of the smallest flip."""
    for name in dict.fromkeys(row["certificate"] for row in rows):
        part = [row for row in rows if row["certificate"] == name]
        share = torch.tensor([row["value"] / row["flip"] for row in part])
        shares = share.quantile(torch.tensor([0.1, 0.5, 0.9])).tolist()
        print(
            f"  {name:32} {part[0]['kind']:9}",
            *(f"{v:6.3f}" for v in shares),
            f"  beyond the flip: {int((share > 1).sum()):3}   {part[0]['seconds']:6.1f} s",
            flush=True,
        )


def write_similarity(args: Namespace) -> None:
    named = pairs(args)
    file = rows_file(args, "similarity.csv", store.SIMILARITY_COLUMNS)
    walks = {}  # of each reference, where its boundary lies
    for path, net, head, d, place, teacher in named:
        part = (d.x_test[: args.images], d.y_test[: args.images])
        if place not in walks:
            walks[place] = boundary.vectors(teacher, *part, eta=None)
        found = boundary.similarity(walks[place], boundary.vectors(net, *part, eta=None))
        row = row_start(head, store.SIMILARITY_COLUMNS) | {"reference": place.stem}
        row |= {k: five_digits(v) if isinstance(v, float) else v for k, v in found.items()}
        add_rows(file, d, [row], store.SIMILARITY_COLUMNS, same_run)
        near = f"MagSim {found['mag']:.3f}, AngSim {found['ang']:.3f}"
        count = f"{found['n']} of {found['pairs']} pairs"
        print(f"{path.name} and {place.name}: {near}, {count}", flush=True)


def write_slopes(args: Namespace) -> None:
    named = pairs(args)
    file = rows_file(args, "slopes.csv", store.SLOPE_COLUMNS)
    kept = {}  # a reference's gradients, for the next student of the same
    for path, net, head, d, place, teacher in named:
        x, y = d.x_test[: args.images], d.y_test[: args.images]
        told = Job(head["dataset"], head["method"], head["network"], head["recipe"])
        tau = told._replace(settings=head.get("settings", "")).plan().tau
        if (place, tau) not in kept:
            kept = {(place, tau): geometry.slopes(teacher, x, y, tau)}
        found = geometry.compare_slopes(geometry.slopes(net, x, y, tau), kept[place, tau])
        row = row_start(head, store.SLOPE_COLUMNS) | {"reference": place.stem, "images": len(x)}
        row |= {k: five_digits(v) for k, v in found.items()}
        add_rows(file, d, [row], store.SLOPE_COLUMNS, same_run)
        print(f"{path.name}: L_G {row['L_G']}, cosine {row['cosine']}", flush=True)
