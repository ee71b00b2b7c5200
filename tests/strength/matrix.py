"""Any network, any images: is one step of the library the step that plain autograd takes?

`python tests/strength/matrix.py [--only NAME ...] [--uses student-kd ...] [--out FILE.csv]` puts
each network of `matrix_networks.py` to nine uses: as the student of kd, robust, fitnet, bss, ard,
and as the teacher of the first four. `train.fit` takes one step of SGD on 24 images in float64.
Verdicts:

- RIGHT: the terms of the loss and the student's weights afterwards are those of `matrix_plain.py`,
  to a relative 1e-10 of the loss and of the step.
- REFUSED: a ValueError that names the reason and a remedy, before 20 images were asked.
- WRONG: other numbers; numbers where there is no right one (a teacher that answers at random,
  layers that mix images under their gradients); a refusal that is late or has another reason.
- CRASHED: any other exception.

It needs the extra "matrix"; without it the networks of other projects are left out.
"""

import argparse
import collections
import contextlib
import copy
import csv
import functools
import importlib.util
import io
import pathlib
import re
import sys
import time
import traceback
import warnings
from typing import NamedTuple

import torch
from torch import nn

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE)]
sys.path.append(str(HERE.parents[1]))
import matrix_plain as plain  # noqa: E402
from matrix_networks import NETWORKS, SHAPE, cnn  # noqa: E402

from rsnl_lib import data, networks, train  # noqa: E402

USES = [f"student-{m}" for m in ("kd", "robust", "fitnet", "bss", "ard")]
USES += [f"teacher-{m}" for m in ("kd", "robust", "fitnet", "bss")]
IMAGES = 24
FEW = 20
BAD = ("WRONG", "CRASHED")
REMEDY = r"\b(use|let|pass|give|set|put|call|leave|take|train|make|replace|choose|freeze|remove"
REMEDY += r"|try)(s|ing)?\b"
LETTERS = dict(tau=2.0, lam=1.5, C1=3.0, C2=2.0, gamma=0.3, epsilon=0.05, alpha=0.6, step=0.5)
PLAIN_SGD = dict(optimiser="sgd", lr=2**-8, lr_conv=2**-8, weight_decay=0.0, one_cycle=False)


class Run(NamedTuple):
    """What one use of a network came to."""

    network: str
    use: str
    verdict: str
    asked: int  # images, of the network that was asked most
    loss: float  # largest relative difference of a term
    step: float  # relative difference of the step in weights
    boundary: int  # samples that bss made
    seconds: float
    words: str


class Pair(NamedTuple):
    """Student and teacher, one of them the network under test, and labels that both name."""

    S: nn.Module
    T: nn.Module
    labels: torch.Tensor


def images():
    """Smooth random images, their mirror images among them for validation."""
    g = torch.Generator().manual_seed(0)
    few = torch.rand(IMAGES, SHAPE[0], 5, 5, generator=g, dtype=torch.double)
    return nn.functional.interpolate(few, size=SHAPE[1:], mode="bilinear").clamp(0, 1)


def recipe(method, frozen_norm):
    """One step of plain SGD over all images."""
    return train.Recipe(
        "t",
        1,
        batch=IMAGES,
        clip=0.0,
        attack_steps=2,
        frozen_norm=frozen_norm,
        **PLAIN_SGD,
        **LETTERS,
    )


def fresh(name, in_plain=False):
    """The network in its first state, from one seed."""
    entry = NETWORKS[name]
    torch.manual_seed(0)
    return (in_plain and entry.plain or entry.make)()


slow = functools.lru_cache(maxsize=1)(fresh)  # those that are faster to copy


def built(name, side, in_plain=False):
    """The network under test, the same weights each time, for its side of the lesson."""
    copied = NETWORKS[name].large or NETWORKS[name].extras
    net = copy.deepcopy(slow(name)) if copied else fresh(name, in_plain)
    if side == "teacher":
        with contextlib.suppress(NotImplementedError):  # an exported network has one mode alone
            net.eval()
    return net


def pair(name, side, in_plain=False):
    """The network under test with a partner whose classes are turned until both agree most."""
    x = images()
    net, other = built(name, side, in_plain), partner()
    with torch.no_grad():
        torch.manual_seed(5)
        torn = built(name, side, True)
        said = plain.ask(torn, x).argmax(1)
        own = other(x).argmax(1)
        turn = max(range(10), key=lambda k: int(((own + k) % 10 == said).sum()))
        for t in other[-1].parameters():
            t.copy_(t.roll(turn, 0))
    labels = ((own + turn) % 10).clone()
    labels[::6] = torch.arange(len(labels[::6]))  # a few that the teacher gets wrong
    S, T = (net, other) if side == "student" else (other, net)
    other.train(side == "teacher")
    return Pair(S, T, labels)


def partner():
    """A small network that any network can teach or learn from."""
    torch.manual_seed(3)
    net = cnn()
    with torch.no_grad():
        net[-1].weight.mul_(8)
        net[-1].bias.sub_(net(images()).mean(0))
    return net


@contextlib.contextmanager
def counted(*nets):
    """How many images each network was asked, where hooks can tell."""
    asked = collections.Counter()
    with contextlib.ExitStack() as stack:
        for i, net in enumerate(nets):
            note = lambda m, x, i=i: asked.update({i: len(x[0])})
            with contextlib.suppress(Exception):
                stack.callback(net.register_forward_pre_hook(note).remove)
        yield asked


def fitted(two, method, r):
    """The terms that `train.fit` logs after its one step on the pair."""
    x, y = images(), two.labels
    set_ = data.Data("few", 10, x, y, x[:4].flip(-1), y[:4], x[:4], y[:4])
    torch.manual_seed(5)
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        (row,) = train.fit(two.S, set_, method, r, teacher=two.T).history
    if not torch.equal(x, images()):
        raise AssertionError("the user's images were changed")
    return row


def no_answer(name, side, method, r):
    """Why there is no right number, if there is none: the network mixes images or wavers."""
    x = images()
    make = lambda: built(name, side, True)
    twice = method == "robust" and side == "student"
    torch.manual_seed(5)
    if side == "teacher" and plain.wavers(make(), x):
        return "the teacher answers twice differently"
    if (side == "teacher" or twice) and plain.mixes(make, x, r.frozen_norm, side == "student"):
        return "its layers mix the images of a batch"
    return ""


def by_hand(name, side, method, r, shake=0.0):
    """(terms, weights before, weights after) of the same step by plain autograd, which of them can
    be compared, and why its hint lies too early, if so; pixels may be shaken by a share of them.
    """
    two = pair(name, side, True)
    x, early, names = images() * (1 + shake), "", None
    for net in two[:2]:  # lazy layers draw their weights from this seed
        modes = [(m, m.training) for m in net.modules()]
        torch.manual_seed(5)
        plain.ask(net.eval(), x[:2])
        for m, training in modes:
            m.training = training
    if method == "fitnet":
        names, early = hints(pair(name, side, True), x)
    before = weights(two.S)
    terms, firm = plain.step(method, two.S, two.T, x, two.labels, r, names)
    return terms, before, weights(two.S), firm, early


def hints(two, x):
    """Names of the layers that the library would have hint at one another, and what is odd."""
    found, early = [], ""
    for net in two[:2]:
        layer = networks.guided(net, x[:2])
        found.append(next(n for n, m in net.named_modules() if m is layer))
        way = plain.passed(net, x)
        if len(way) > 3 and found[-1] == way[0]:
            early = f"the hint lies at {way[0]}, the first of {len(way)} layers"
    return found, early


def weights(net):
    return [p.detach().clone() for p in net.parameters()]


def apart(own, before, after, firm):
    """||own - after|| / ||after - before|| over the weights that can be compared."""
    length = lambda a, b: sum(float(((p - q) * f).square().sum()) for p, q, f in zip(a, b, firm))
    return (length(own, after) / max(length(after, before), 1e-300)) ** 0.5


def compared(name, side, method, r, two, row):
    """(verdict, loss, step, words) of a run that came through."""
    if why := no_answer(name, side, method, r):
        return "WRONG", 0.0, 0.0, f"trained, though {why}"
    try:
        terms, before, after, firm, early = by_hand(name, side, method, r)
    except Exception as error:  # noqa: BLE001
        return "WRONG", 0.0, 0.0, f"trained, plain autograd cannot: {said(error)}"
    loss = max(abs(row[k] - v) / max(abs(v), 1e-12) for k, v in terms.items())
    own = weights(two.S)
    if len(own) != len(after):
        return "WRONG", loss, 0.0, f"{len(own)} weights, {len(after)} by hand"
    step = apart(own, before, after, firm)
    near = NETWORKS[name].near
    if loss < near and step < near:
        return "WRONG" if early else "RIGHT", loss, step, early
    shaken = apart(by_hand(name, side, method, r, 1e-15)[2], before, after, firm)
    words = f"plain autograd moves by {shaken:.0e} too when pixels do by 1e-15"
    return "WRONG", loss, step, words if shaken > near / 10 else ""


def said(error):
    """An exception in one line, with the last place in the library that it came through."""
    places = [f for f in traceback.extract_tb(error.__traceback__) if "rsnl_lib" in f.filename]
    at = f" at {pathlib.Path(places[-1].filename).name}:{places[-1].lineno}" if places else ""
    return f"{type(error).__name__}{at}: {' '.join(str(error).split())[:300]}"


def judge_refusal(name, side, method, r, error):
    """(verdict, asked, words) of a ValueError: in time, for the true reason, with a remedy?"""
    two = pair(name, side)
    words = " ".join(str(error).split())
    with counted(two.S, two.T) as asked, contextlib.suppress(Exception):
        fitted(two, method, r)
    most = max(asked.values(), default=0)
    why = NETWORKS[name].why
    if most > FEW:
        return "WRONG", most, f"refused late: {words}"
    if not why or not re.search(why, words, re.I):
        return "WRONG", most, f"refused for another reason: {words}"
    if not re.search(REMEDY, words, re.I):
        return "WRONG", most, f"refused without a remedy: {words}"
    return "REFUSED", most, words


def judge(name, use):
    """One Run."""
    side, method = use.split("-")
    r = recipe(method, method == "robust")
    begun = time.perf_counter()
    two = pair(name, side)
    asked, loss, step, row = 0, 0.0, 0.0, {}
    try:
        row = fitted(two, method, r)
        verdict, loss, step, words = compared(name, side, method, r, two, row)
    except ValueError as error:
        verdict, asked, words = judge_refusal(name, side, method, r, error)
    except AssertionError as error:
        verdict, words = "WRONG", str(error)
    except Exception as error:  # noqa: BLE001
        verdict, words = "CRASHED", said(error)
    made = round(row.get("bss_share", 0) * IMAGES)
    seconds = time.perf_counter() - begun
    return Run(name, use, verdict, asked, loss, step, made, seconds, words[:400])


def known(names):
    """Those of the networks that can be built here."""
    have = all(map(importlib.util.find_spec, ("timm", "transformers")))
    if not have and (left := [n for n in names if NETWORKS[n].extras]):
        print(f"without the extra 'matrix' left out: {', '.join(left)}")
    return [n for n in names if have or not NETWORKS[n].extras]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--uses", nargs="+", choices=USES, default=USES)
    parser.add_argument("--out", type=pathlib.Path, help="a CSV for the verdicts")
    asked = parser.parse_args(arguments)
    torch.set_default_dtype(torch.double)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    runs = []
    print(f"{'':19}" + " ".join(f"{use.replace('-', ' '):>14}" for use in asked.uses))
    for name in known(asked.only):
        mine = [judge(name, use) for use in asked.uses]
        runs += mine
        print(f"{name:19}" + " ".join(f"{run.verdict:>14}" for run in mine), flush=True)
        keep(runs, asked.out)
    for run in runs:
        if run.verdict in BAD:
            numbers = f"loss {run.loss:.0e} step {run.step:.0e} boundary {run.boundary}"
            print(f"{run.network} {run.use} {run.verdict} {run.words or numbers}")
    print(dict(collections.Counter(run.verdict for run in runs)), "of", len(runs))
    return runs


def keep(runs, path):
    """All runs so far as a CSV."""
    if path:
        with path.open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(Run._fields)
            rows.writerows(runs)


if __name__ == "__main__":
    sys.exit(any(run.verdict in BAD for run in main()))
