"""How much faster this library trains and evaluates than the same thing as it is usually written
(benchmarks/peer.py).

    python benchmarks/run.py --quick     about a minute of CPU time; without --quick about three
    python benchmarks/run.py --only kd-mnist data-cifar --rows FILE
Both sides run in one process on one thread, in turn, in a new random order every round; what counts
is CPU time (on a GPU the time between two events), and the ratio of two times of the same round:
median [10-90 %]. Exit status 1 if a line misses its floor. A line A/A times one thing twice: the
error of such a ratio. Images and weights are random, from a fixed seed. Both sides' steps end with
the gradients, without an optimiser; the epochs have one, the same on both. The teacher's constants
and the images as tensors are made beforehand and not counted, except in epoch-mnist: a tenth of the
constants, as in ten epochs, and in kd-cifar-20: a tenth of the scores, those of both flips over
twenty epochs. The lines cost-* count our robust step in stock cross-entropy steps of the peer:
their floor is a ceiling.
"""

import argparse
import copy
import os
import pathlib
import random
import subprocess
import sys
import time
from typing import NamedTuple

if __name__ == "__main__":  # before torch is loaded
    os.environ |= {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    sys.path.insert(1, str(pathlib.Path(__file__).resolve().parents[1]))

import numpy as np  # noqa: E402
import peer  # noqa: E402
import torch  # noqa: E402

from rsnl_lib import data, env, networks, store, train
from rsnl_lib.measure import evaluate
from rsnl_lib.networks import fast, modules
from rsnl_lib.train import constants, loop, recipes  # noqa: E402
from rsnl_lib.train import constants as constants_

COLUMNS = (
    "line peer_ms ours_ms ratio low high floor ok rounds load hardware torch commit date".split()
)
MEAN, STD = (
    {1: (0.1307,), 3: (0.4914, 0.4822, 0.4465)},
    {1: (0.3081,), 3: (0.2470, 0.2435, 0.2616)},
)  # by channels
PAIRS = {
    "mnist": ("mnist_student", "mnist_teacher", 1, 28, 128, "mnist"),
    "cifar": ("cifar_student1", "cifar_teacher", 3, 32, 64, "cifar10"),
}
DEVICE = env.device("auto")


class Line(NamedTuple):
    """time of `peer` / time of `ours` ({variant: weight}, of one group) is at least `floor`; with
    an `aim` ours / peer is at most that.
    """

    group: str
    peer: str
    ours: dict
    floor: float
    aim: float = 0


LINES = {
    "robust-mnist": Line("mnist", "peer robust", {"robust": 1}, 2.5),
    "robust-cifar": Line("cifar", "peer robust", {"robust": 1}, 5.5),
    "cost-mnist": Line("mnist", "stock", {"robust": 1}, 2.2, aim=1.3),
    "cost-cifar": Line("cifar", "stock", {"robust": 1}, 2.2, aim=1.3),
    "kd-mnist": Line("mnist", "peer kd", {"kd": 1}, 2.5),
    "kd-cifar": Line("cifar", "peer kd", {"kd": 1}, 5.0),
    "kd-cifar-20": Line("cifar", "peer kd", {"kd": 1, "scores": 0.1}, 2.5),
    "epoch-mnist": Line("epoch", "peer", {"ours": 1, "constants": 0.1}, 2.2),
    "epoch-mnist-cached": Line("epoch", "peer", {"ours": 1}, 2.2),
    "data-cifar": Line("data", "peer cifar", {"cifar": 1}, 15.0),
    "data-mnist": Line("data", "peer mnist", {"mnist": 1}, 30.0),
    "sweep-mnist": Line("sweep", "peer", {"ours": 1}, 1.7),
    "pgd-mnist": Line("pgd", "peer", {"ours": 1}, 1.25),
    "constants-cifar": Line("teacher", "plain constants", {"constants": 1}, 1.5),
    "teacher-cifar": Line("teacher", "direct step", {"step": 1}, 2.0),
    "kd-crop-cifar": Line("crop", "peer", {"ours": 1}, 1.2),
}
AGAIN = {
    "mnist": "kd",
    "cifar": "robust",
    "epoch": "ours",
    "data": "cifar",
    "sweep": "ours",
    "pgd": "ours",
    "teacher": "constants",
    "crop": "ours",
}  # what A/A times twice
ROUNDS = {
    "mnist": (11, 31),
    "cifar": (3, 15),
    "epoch": (5, 15),
    "data": (11, 31),
    "sweep": (5, 15),
    "pgd": (5, 15),
    "teacher": (3, 9),
    "crop": (3, 9),
}  # quick, else
PEERS = pathlib.Path(__file__).resolve().parent / "peers"
GET = (
    f"{pathlib.Path(sys.executable).name} -m pip install --no-deps --target benchmarks/peers"
    " torchattacks==3.5.1"
)


def clock(work, repeats=1):
    """Milliseconds of one `work()`: CPU time of this thread, on a GPU between two events."""
    if gpu := torch.cuda.is_available():
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
    begun = time.thread_time()
    for _ in range(repeats):
        work()
    if gpu:
        end.record()
        torch.cuda.synchronize()
    return (begin.elapsed_time(end) if gpu else (time.thread_time() - begun) * 1000) / repeats


def interleaved(variants, rounds, seed=0):
    """{name: one time a round} of variants {name: (work, repeats)}, after one call of each that is
    not timed.
    """
    names, order, times = list(variants), random.Random(seed), {name: [] for name in variants}
    for work, _ in variants.values():
        work()
    for _ in range(rounds):
        order.shuffle(names)
        for name in names:
            times[name].append(clock(*variants[name]))
    return times


def compared(name, peer_ms, ours_ms, floor="", aim=0):
    """A row of the table: two lists of times, the median and 10-90 % of their ratio round by round,
    and whether it keeps to its bound.
    """
    ratios = np.divide(ours_ms, peer_ms) if aim else np.divide(peer_ms, ours_ms)
    ratio, low, high = (float(v) for v in np.quantile(ratios, (0.5, 0.1, 0.9)))
    ok = abs(ratio - 1) <= 0.05 if floor == "" else ratio <= floor if aim else ratio >= floor
    return {
        "line": name,
        "peer_ms": float(np.median(peer_ms)),
        "ours_ms": float(np.median(ours_ms)),
        "ratio": ratio,
        "low": low,
        "high": high,
        "floor": floor,
        "ok": ok,
        "rounds": len(ratios),
    }


def table(group, names, times):
    """The rows of a group: its lines among `names`, and A/A."""
    rows = []
    for name in names:
        line = LINES[name]
        rows.append(
            compared(
                name,
                times[line.peer],
                sum(w * np.array(times[v]) for v, w in line.ours.items()),
                line.floor,
                line.aim,
            )
        )
    return [*rows, compared(f"A/A {group} {AGAIN[group]}", times[AGAIN[group]], times["again"])]


def shown(row):
    """A row of the table in words."""
    if line := LINES.get(row["line"]):
        word = (
            f"{'<=' if line.aim else '>='} {line.floor:<4g} {'PASS' if row['ok'] else 'FAIL'}"
            + f", aim {line.aim}" * bool(line.aim)
        )
    else:
        word = f"{100 * (row['ratio'] - 1):+.1f} %" + "  A/A outside 5 %: run it again" * (
            not row["ok"]
        )
    span = f"[{row['low']:.2f}-{row['high']:.2f}]"
    return (
        f"{row['line']:<18} {row['peer_ms']:9.2f} {row['ours_ms']:9.2f}   {row['ratio']:6.2f}"
        f" {span:<17} {word}"
    )


def pictures(n, channels, side, seed=0):
    """(uint8 images as numpy, (n, h, w) or (n, h, w, 3); labels): what the peer reads."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randint(256, (n, side, side, channels), generator=g, dtype=torch.uint8)
    return (x[..., 0] if channels == 1 else x).numpy(), torch.randint(10, (n,), generator=g)


def tensors(images, flip=False, normal=True):
    """(n, c, h, w) in float, normalised as the peer's, with `flip` followed by the mirror images:
    what we keep in memory, made once.
    """
    x = torch.from_numpy(images)
    x = (x[:, None] if x.dim() == 3 else x.permute(0, 3, 1, 2)).contiguous().float() / 255
    if normal:
        mean, std = (torch.tensor(v[x.shape[1]]).view(-1, 1, 1) for v in (MEAN, STD))
        x = (x - mean) / std
    return torch.cat([x, x.flip(-1)]) if flip else x


def network(name, dtype=torch.float, seed=0):
    """A network by name: weights from N(0, 1 / inputs), which keeps the mean square through a
    maxout of two pieces, biases from U(-0.01, 0.01).
    """
    net, g = networks.build(name), torch.Generator().manual_seed(seed)
    for p in net.parameters():
        if p.dim() > 1:
            torch.nn.init.kaiming_normal_(p, nonlinearity="linear", generator=g)
        else:
            torch.nn.init.uniform_(p, -0.01, 0.01, generator=g)
    return net.to(DEVICE, dtype)


def our_step(net, how, r, batch_of):
    """Gradients of one batch as train.fit takes them: the batch out of the tensors, the method's
    terms, the fast layers.
    """
    with fast.layers(net):
        loss = sum(weight * value for weight, value in how.terms(net, batch_of(), r).values())
        net.zero_grad()
        loss.backward()


def pair(student, teacher, channels, side, batch, kind, dtype=torch.float, C1=10.0):
    """({variant: step} of a student and a teacher, "stock" and of each method "peer kd" and "kd";
    the networks, ours and the peer's).
    """
    net, big, r, lam = (
        network(student, dtype).train(),
        network(teacher, dtype).eval(),
        train.recipe("short", kind, "robust", C1=C1),
        2.0,
    )
    images, y = pictures(batch, channels, side)
    x, y = tensors(images, r.flip).to(DEVICE, dtype), y.to(DEVICE)
    both, number = torch.cat([y, y]) if r.flip else y, torch.arange(batch, device=DEVICE)
    a_T, g_T = train.teacher_constants(big, x, both, r.tau, "tempered")
    pick = number + batch * (number % 2) * r.flip
    net_P, big_P, seen = peer.network(net), peer.network(big).requires_grad_(False), x[pick]
    variants = {"stock": lambda: peer.step(peer.cross_entropy, net_P, None, seen, y, r, lam)}

    def scores():
        with modules.frozen(big), fast.layers(big):
            constants._ask(big, seen, y, r.tau, "")

    variants["scores"] = scores
    for m in ("kd", "robust"):
        how = train.METHODS[m]
        variants[f"peer {m}"] = lambda loss_of=getattr(peer, m): peer.step(
            loss_of, net_P, big_P, seen, y, r, lam
        )
        variants[m] = lambda how=how: our_step(
            net,
            how,
            r,
            lambda: loop._batch(
                pick, x, both, a_T, g_T if how.gradients else None, lam, how, r, big
            ),
        )
    return variants, (net, net_P)


def difference(variants, nets, method):
    """The gradient of our step against the peer's: ||ours - peer|| / ||peer||, the worst
    parameter's.
    """
    variants[f"peer {method}"](), variants[method]()
    return max(
        ((p.grad - q.grad).norm() / q.grad.norm()).item()
        for p, q in zip(*(net.parameters() for net in nets))
    )


def gradients(name):
    """Print the differences of both sides' gradients on four images, C1 so large that L_G rules;
    True if at most 1e-10 in float64.
    """
    good, (student, teacher, channels, side, _, kind) = True, PAIRS[name]
    for dtype in (torch.double, torch.float):
        made = pair(student, teacher, channels, side, 4, kind, dtype, C1=1e6)
        found = {m: difference(*made, m) for m in ("kd", "robust")}
        word = ""
        if dtype == torch.double:
            good = max(found.values()) <= 1e-10
            word = f" (at most 1e-10) {'PASS' if good else 'FAIL'}"
        print(
            f"gradients on {name}, {str(dtype)[6:]}: ours differ from the peer's by",
            ", ".join(f"{v:.1e} ({m})" for m, v in found.items()) + word,
        )
    return good


def steps(name, repeats):
    """A pair's steps, `repeats` of them in one measurement; of the peer's with a teacher one."""
    return {
        k: (step, 1 if k.startswith("peer") else repeats)
        for k, step in pair(*PAIRS[name])[0].items()
    }


def epochs(n=384, held=77):
    """One epoch of the robust student on the MNIST networks, validation included: the peer's loop
    and train.fit's.
    """
    start, teacher = network("mnist_student"), network("mnist_teacher").eval()
    r, how = train.recipe("short", "mnist", "robust", epochs=1), train.METHODS["robust"]
    (images, y), (images_v, y_v) = pictures(n, 1, 28), pictures(held, 1, 28, seed=1)
    x, x_v, y_x, y_xv = (t.to(DEVICE) for t in (tensors(images), tensors(images_v), y, y_v))
    d = data.Data("mnist", 10, x, y_x, x_v, y_xv, x_v, y_xv, "normalised")
    batches, test = (
        peer.loader(i, l, MEAN[1], STD[1], r.batch) for i, l in ((images, y), (images_v, y_v))
    )
    plain, teacher_P = peer.network(start), peer.network(teacher).requires_grad_(False)
    a_T, g_T = train.teacher_constants(teacher, x, y_x, r.tau, how.gradients)

    def theirs():
        net = copy.deepcopy(plain)
        peer.epoch(net, teacher_P, batches, test, recipes.optimiser(net, r), r, 4.0, DEVICE)

    def ours():
        net = copy.deepcopy(start)
        with fast.layers(net):
            loop._epochs(net, loop.Task(d, "robust", how, r, 0, teacher, x, y_x, a_T, g_T))

    return {
        "peer": (theirs, 1),
        "ours": (ours, 1),
        "constants": (lambda: train.teacher_constants(teacher, x, y_x, r.tau, how.gradients), 1),
    }


def paths(n=2000, batch=128):
    """All images once in random order, batch by batch: pictures through transforms, and rows of
    tensors.
    """
    made = {}
    for name, channels, side, flip in (("cifar", 3, 32, True), ("mnist", 1, 28, False)):
        images, y = pictures(n, channels, side)
        x, both = tensors(images, flip).to(DEVICE), (torch.cat([y, y]) if flip else y).to(DEVICE)
        batches = peer.loader(images, y, MEAN[channels], STD[channels], batch, flip)

        def ours(
            x=x, both=both, flip=flip, r=train.recipe("short", name.replace("cifar", "cifar10"))
        ):
            order = torch.randperm(n)
            order = (order + n * torch.randint(2, (n,)) if flip else order).to(DEVICE)
            for pick in order.split(batch):
                loop._batch(pick, x, both, None, None, 1.0, train.METHODS["standard"], r, None)

        made |= {
            f"peer {name}": (lambda batches=batches: peer.read(batches, DEVICE), 1),
            name: (ours, 30),
        }
    return made


def sweeps(n=256, snrs=(9, 3)):
    """Five MNIST networks under noise: each by itself over pictures, and evaluate.sweep of all."""
    nets = {i: network("mnist_student" if i else "mnist_teacher", seed=i).eval() for i in range(5)}
    plain, (images, y) = [peer.network(net) for net in nets.values()], pictures(n, 1, 28)
    x, y_x, plan = (
        tensors(images, normal=False).to(DEVICE),
        y.to(DEVICE),
        [("gaussian", s, "dB") for s in snrs],
    )
    return {
        "peer": (lambda: peer.sweep(plain, images, y, snrs, DEVICE), 1),
        "ours": (lambda: evaluate.sweep(nets, x, y_x, plan, draws=1), 1),
    }


def attacked(batch=128):
    """A step of adversarial training on the MNIST student, ten steps of ascent: torchattacks' PGD
    in a plain loop, and ours.
    """
    sys.path.append(str(PEERS))
    try:
        import torchattacks
    except ImportError:
        return None
    net, how = network("mnist_student").train(), train.METHODS["pgd_at"]
    r = train.recipe("short", "mnist", "pgd_at", attack_steps=10, step=0.25)
    x, y = (
        torch.rand(batch, 1, 28, 28, generator=torch.Generator().manual_seed(0)).to(DEVICE),
        torch.arange(batch, device=DEVICE) % 10,
    )
    plain = peer.network(net)
    ascent = torchattacks.PGD(plain, eps=r.epsilon, alpha=r.step * r.epsilon, steps=r.attack_steps)
    ascent.set_model_training_mode(model_training=True)
    number = torch.arange(batch, device=DEVICE)
    return {
        "peer": (lambda: peer.step(peer.cross_entropy, plain, None, ascent(x, y), y, r, 0.0), 1),
        "ours": (
            lambda: our_step(
                net, how, r, lambda: loop._batch(number, x, y, None, None, 0.0, how, r, None)
            ),
            1,
        ),
    }


def teachers(batch=64):
    """The 9M teacher: score and input gradient of a batch against plain PyTorch with frozen
    weights; a training step with and without the transform.
    """
    net, r = network("cifar_teacher").eval(), train.recipe("short", "cifar10", "teacher")
    images, y = pictures(batch, 3, 32)
    x, y = tensors(images).to(DEVICE), y.to(DEVICE)
    plain, twin = peer.network(net).requires_grad_(False), copy.deepcopy(net).train()

    def constants():
        with modules.frozen(net), fast.layers(net):
            constants_._ask(net, x, y, r.tau, "tempered")

    def step(transform):
        with fast.layers(twin, transform):
            twin.zero_grad()
            torch.nn.functional.cross_entropy(twin(x), y).backward()

    return {
        "plain constants": (lambda: peer.constants(plain, x, y, r.tau), 1),
        "constants": (constants, 1),
        "direct step": (lambda: step(False), 1),
        "step": (lambda: step(True), 1),
    }


def crops(batch=64):
    """A KD step of Student 1 on random crops, the 9M teacher asked live: a peer's loop over
    tensors, and ours.
    """
    net, big, how = (
        network("cifar_student1").train(),
        network("cifar_teacher").eval(),
        train.METHODS["kd"],
    )
    r = train.recipe("short", "cifar10_pixels", "kd")
    images, y = pictures(batch, 3, 32)
    x, y, number = tensors(images).to(DEVICE), y.to(DEVICE), torch.arange(batch, device=DEVICE)
    net_P, big_P = peer.network(net), peer.network(big).requires_grad_(False)

    def ours():
        with modules.frozen(big), fast.layers(big):
            our_step(net, how, r, lambda: loop._batch(number, x, y, None, None, 2.0, how, r, big))

    return {
        "peer": (lambda: peer.step(peer.kd, net_P, big_P, peer.crop(x, r.crop), y, r, 2.0), 1),
        "ours": (ours, 1),
    }


def missing(most=1.0):
    """CPU seconds that `rsnl reproduce --missing` takes beyond importing torch, the least of three;
    printed, True if at most `most`.
    """

    def spent(*command):
        before = os.times()
        subprocess.run(
            [sys.executable, *command], check=True, stdout=subprocess.DEVNULL, cwd=PEERS.parents[1]
        )
        after = os.times()
        return (
            after.children_user
            + after.children_system
            - before.children_user
            - before.children_system
        )

    took = min(spent("-m", "rsnl_lib", "reproduce", "--missing") for _ in range(3)) - min(
        spent("-c", "import torch") for _ in range(3)
    )
    print(
        f"missing: {took:.2f} CPU seconds beyond importing torch, at most {most}"
        f" {'PASS' if took <= most else 'FAIL'}"
    )
    return took <= most


GROUPS = {
    "mnist": lambda: steps("mnist", 3),
    "cifar": lambda: steps("cifar", 2),
    "epoch": epochs,
    "data": paths,
    "sweep": sweeps,
    "pgd": attacked,
    "teacher": teachers,
    "crop": crops,
}


def main(argv=None):
    p = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], epilog=f"lines: {', '.join(LINES)}"
    )
    p.add_argument("--quick", action="store_true", help="fewer rounds")
    p.add_argument(
        "--only",
        nargs="+",
        metavar="LINE",
        choices=list(LINES),
        default=list(LINES),
        help="these lines alone",
    )
    p.add_argument("--rows", metavar="FILE", help="append the table to this CSV file")
    args = p.parse_args(argv)
    if args.rows:
        store.can_write(args.rows)
    torch.set_num_threads(1)
    wanted = {g: [name for name in args.only if LINES[name].group == g] for g in GROUPS}
    good, rows = all([gradients(name) for name in PAIRS if wanted[name]]), []
    print(f"\n{'line':<18} {'peer ms':>9} {'ours ms':>9}   {'ratio':>6} {'[10-90 %]':<17} floor")
    for g, names in wanted.items():
        if names:
            made = GROUPS[g]()
            if made is None:
                print(
                    f"{names[0]:<18} not timed: torchattacks is not here, put it beside this file"
                    f" with: {GET}"
                )
                continue
            needed = {
                AGAIN[g],
                *(v for name in names for v in (LINES[name].peer, *LINES[name].ours)),
            }
            variants = {k: v for k, v in made.items() if k in needed} | {"again": made[AGAIN[g]]}
            for row in table(g, names, interleaved(variants, ROUNDS[g][not args.quick])):
                rows.append(row)
                print(shown(row), flush=True)
    if args.only == list(LINES):
        good &= missing()
    load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else ""
    print(f"\nload average {load}, torch {torch.__version__}, {env.hardware()}")
    if args.rows:
        store.append(
            args.rows, [{**row, "load": load, **store.provenance()} for row in rows], COLUMNS
        )
    return 0 if good and all(row["ok"] for row in rows if row["line"] in LINES) else 1


if __name__ == "__main__":
    sys.exit(main())
