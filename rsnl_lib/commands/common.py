"""What several commands need: networks by file, the columns that tell a run, where rows go."""

import pathlib
from argparse import Namespace
from collections.abc import Callable

import torch

from .. import data, env, networks, store
from ..checks import one_of, whole
from ..data import own
from ..env import RESULTS, AnyPath
from ..networks import modules
from ..rows import check_run, plain_name
from ..study.jobs import Job
from ..study.training import same_network
from ..train.methods import METHODS
from ..train.recipes import RECIPES


def _place(args, name):
    """The file that rows go to: the one named, else data/results/`name`."""
    return pathlib.Path(args.rows or RESULTS / name)


def rows_file(args: Namespace, name: str, columns: list) -> pathlib.Path:
    """The file that rows with these columns go to, the one named or data/results/`name`; a bad one
    is said before the work.
    """
    file = _place(args, name)
    store.can_append(file, columns)
    return file


def use_threads(args: Namespace) -> None:
    """Let torch use --threads, 1 to 1,024."""
    if whole("threads", args.threads, 1) > 1024:
        raise ValueError(f"threads={args.threads} is more than any machine's; give 1 to 1024")
    torch.set_num_threads(args.threads)


def add_rows(
    path: pathlib.Path,
    d: data.Data,
    rows: list,
    columns: list,
    key: Callable[[dict], tuple] | None = None,
) -> None:
    """Append rows about images of `d` to a file, which says of which pictures they are."""
    claim_rows(path, d, keep=True)
    store.append(path, rows, columns, key)


def claim_rows(path: pathlib.Path, d: data.Data, keep: bool = False) -> None:
    """Refuse rows of a reader's pictures in a file or folder with rows of others of that name. With
    `keep` which they are is written down beside the file, as NAME.pictures.
    """
    if not d.pictures:
        return
    note = path.with_name(f"{d.name}.pictures")
    said = note.read_text(errors="replace").strip() if note.is_file() else ""
    have = any(row.get("dataset") == d.name for row in store.lines(path, missing_ok=True))
    if said != d.pictures and (said or have):
        other = f"{path.parent} has rows of other pictures in a folder {d.name!r}"
        raise ValueError(f"{other}; rename the folder, name another --rows, or remove {note}")
    if keep and not said:
        store.write(note, d.pictures.encode())


def checkpoints(args: Namespace, again: bool = False) -> list[tuple]:
    """[(path, network, header, its Data)] of the checkpoints made by `train` that a call names, all
    checked before the first is used.

    Of a run only the last epoch's is taken, for nothing in a row tells the best epoch's apart.
    """
    use_threads(args)
    whole("images", vars(args).get("images", 1), 1)
    args.network, args.teacher_network = map(_own_maker, (args.network, args.teacher_network))
    paths = [pathlib.Path(p) for p in args.checkpoints]
    for i, path in enumerate(paths):
        if not again and path.resolve() in [p.resolve() for p in paths[:i]]:
            raise ValueError(f"{path} is named twice; name each checkpoint once")
        if path.stem.endswith(".best"):
            last = path.with_suffix("").with_suffix(".safetensors")
            raise ValueError(f"{path} is the best epoch of its run, not the last; name {last}")
    found, sets = [], {}
    for path in paths:
        net, head = store.load_checkpoint(path)
        if lacking := {"dataset", "method", "network", "seed", "recipe"} - set(head):
            words = ", ".join(sorted(lacking))
            raise ValueError(f"{path} does not say its {words}; name one made by `rsnl train`")
        check_run(head, path)
        for word, known in (("method", METHODS), ("recipe", RECIPES)):
            one_of(f"{path}: {word}", head[word], known)
        name = head["dataset"]
        side = Job(name, head["method"], settings=head.get("settings", "")).side
        d = sets[name, side] = sets.get((name, side)) or data.load(name, args.folder, side=side)
        own.same_pictures(path, head, d, "work where the folder that it was trained on lies")
        claim_rows(_place(args, f"{d.name}.csv"), d)
        modules.try_on(path, net, d.x_test[:1])
        found.append((path, net, head, d))
    if args.network and args.network not in (told["network"] for _, _, told, _ in found):
        word = networks.maker_word(args.network)
        raise ValueError(f"none of these checkpoints was made by --network {word}; leave it out")
    return found


def _own_maker(word):
    """The name of the reader's own network that was typed as `word`, if anything was."""
    if word and ":" not in word:
        remedy = "rsnl's own networks are known by their files, leave it out"
        raise ValueError(f"network={word!r} is no module:maker; {remedy}")
    return word and networks.typed(word)


def pairs(args: Namespace, alone: bool = False) -> list[tuple]:
    """[(path, network, header, its Data, the teacher's file, the teacher)] of what `checkpoints`
    gives, teachers checked too; with `alone` a teacher has none (None, None).
    """
    found = []
    for path, net, head, d in checkpoints(args):
        if alone and head["method"] == "teacher":
            found.append((path, net, head, d, None, None))
            continue
        place = teacher_file(path, head, args.teacher)
        if args.teacher and place.resolve() == path.resolve():
            raise ValueError(f"{path} cannot be its own teacher; name another with --teacher")
        teacher, told = store.load_checkpoint(place)
        same_network(place, told, args.teacher_network)
        asked = modules.try_on(place, teacher, d.x_test[:1])
        own.same_set(place, told, d)
        if asked.shape != (1, d.classes):
            scores = f"the teacher {place} answers {tuple(asked.shape)} to an image"
            raise ValueError(f"{scores}, not {d.classes} scores; name another with --teacher")
        found.append((path, net, head, d, place, teacher))
    return found


def teacher_file(path: pathlib.Path, head: dict, named: AnyPath | None = None) -> pathlib.Path:
    """The file of the teacher of a checkpoint with this header: `named`, or what lies beside it."""
    if named:
        return pathlib.Path(named)
    if head.get("teacher_file"):
        return path.parent / plain_name("teacher_file", head["teacher_file"])
    network = head["network"].replace("student", "teacher")
    own, first = (
        Job(head["dataset"], "teacher", network, head["recipe"], seed=seed).path(path.parent)
        for seed in (head["seed"], 0)
    )
    return own if own.is_file() else first


def row_start(head: dict, columns: list) -> dict:
    """Those of a row's `columns` that tell a run, out of its checkpoint's header, and what measured
    it.
    """
    run = {k: head.get(k, "") for k in store.RUN_COLUMNS if k in columns}
    return {**run, "hardware": env.hardware(), "commit": env.commit()}


def five_digits(value: float) -> str:
    """A number as rows hold it: five digits, nothing for NaN."""
    return "" if value != value else f"{value:.5g}"
