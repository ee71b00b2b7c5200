"""Before the first step: do images, networks, method and recipe fit? A few images are asked."""

import contextlib
import math
import re
import warnings

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parameter import is_lazy

from .. import checks, geometry
from ..data.catalogue import Data, in_space
from ..geometry.steady import stand_in, unmoved
from ..networks import door, modules
from . import hints
from .constants import _ask
from .methods.base import Method
from .recipes import Recipe


def check(
    net: nn.Module,
    data: Data,
    method: str,
    how: Method,
    r: Recipe,
    teacher: nn.Module | None,
    hint_epochs: int,
) -> None:
    """Stop before the first step if images, student and teacher do not fit each other or r."""
    if not isinstance(data, Data):
        raise ValueError(f"data are a {type(data).__name__}; give what data.load makes")
    for part, use in (("train", "train on"), ("val", "validate with")):
        x, y = getattr(data, f"x_{part}"), getattr(data, f"y_{part}")
        if not len(checks.images(x)):
            raise ValueError(f"{data.name} has no images to {use}; x_{part} is empty")
        checks.labels(torch.empty(len(x), data.classes), y)
        low, high = map(int, y.aminmax())
        if low < 0 or high >= data.classes:
            raise ValueError(
                f"labels run from {low} to {high}; {data.name} has classes 0 to {data.classes - 1}"
            )
    in_space(data)
    if how.scores and teacher is None:
        raise ValueError(
            f"method={method!r} needs a teacher; pass one, such as store.load_checkpoint(FILE)[0]"
        )
    if hint_epochs and teacher is None:
        raise ValueError(f"hint_epochs={hint_epochs} needs a teacher; pass one, or set it to 0")
    x = data.x_train
    asked = bool(how.scores or hint_epochs)
    if asked:
        _meet("teacher", teacher, data, how.scores)
        _can_teach(teacher, x, how)
    _meet("network", net, data, True)
    own, seen = ((t[0].shape, t.dtype) for t in (data.x_train, data.x_val))
    if own != seen:
        given = " and ".join(f"{tuple(shape)} {dtype}" for shape, dtype in (own, seen))
        raise ValueError(f"training and validation images {given} must be of one size and dtype")
    if how.live and {*net.parameters()} & {*teacher.parameters()}:
        raise ValueError(
            "the teacher and the student share weights; give the student a copy (copy.deepcopy)"
        )
    if hint_epochs:
        hints.reaches(net, teacher, x[:2])
    door.trainable(net, x, r.frozen_norm, how.twice, _single(len(x), r.batch))


def _meet(who, net, data, scores):
    """Look at a network, and where its `scores` are wanted whether they are logits that fit."""
    x = data.x_train[:2]
    if any(map(is_lazy, [*checks.module(who, net).parameters(), *net.buffers()])):
        modules.try_on(f"the {who}", net, x)  # lazy layers take their shape
    a = door.look(who, checks.network(who, net), x)
    if not scores:
        return
    got = tuple(a.shape)
    if got != (len(x), data.classes):
        has = f"scores {got[1]} classes" if len(got) == 2 else f"answers {got} to two images"
        raise ValueError(
            f"the {who} {has}, {data.name} has {data.classes}; it must give logits (n, classes)"
        )
    checks.logits(who, a)


def _can_teach(teacher, x, how):
    """Refuse a teacher in training mode, or without the input gradients that a method needs."""
    door.awake("teacher", teacher, x)
    packed = any("quantized" in type(m).__module__ for m in teacher.modules())
    if packed and (how.gradients or how.live):
        raise ValueError(
            "the teacher is quantised and has no input gradients; give the network that it was"
            " made from, or a method that asks for its scores alone, such as kd"
        )


def _single(n, batch):
    """What to say of a batch of one image among n; "" where there is none."""
    if (n % batch or batch) != 1:
        return ""
    other = next((b for b in range(batch - 1 or 2, n + 1) if n % b != 1 and b > 1), 2)
    return f"{n} images in batches of {batch} leave a single one (set batch={other})"


def say_too_short(n: int, r: Recipe) -> None:
    """Print that a run of one step learns nothing."""
    if r.one_cycle and r.epochs * math.ceil(n / r.batch) * r.replays == 1:
        print(
            f"one step learns nothing: its rate is 0 ({n} images, batch={r.batch},"
            " epochs=1); give more epochs, a smaller batch, or one_cycle=False"
        )


def rehearse(net: nn.Module, data: Data, how: Method, r: Recipe, teacher: nn.Module | None) -> None:
    """The passes of a step, on two images, of which nothing stays: what the networks cannot do is
    refused before the teacher is asked about all images.
    """
    x, y = (torch.cat([t[:2]] * 2)[:2] for t in (data.x_train, data.y_train))
    net = stand_in(net)
    weights = [p for p in net.parameters() if p.requires_grad]
    if not weights:
        raise ValueError("every weight of the network is frozen; call net.requires_grad_() first")
    told = how.gradients or ("tempered" if how.through else "")
    with contextlib.ExitStack() as stack:
        for block in (unmoved(net), modules.standing(net), door.answering(net)):
            stack.enter_context(block)
        stack.enter_context(door.twice(how.twice))
        stack.enter_context(modules.put_back(weights, "grad"))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")  # of hooks: they belong to the steps
        warnings.filterwarnings("error", "None of the inputs have requires_grad")  # of checkpoints
        modules.training(net, r.frozen_norm)
        try:
            if told:
                _ask(teacher, x, y, r.tau, told)
            _pass(net, weights, x, y, how, r)
        except (RuntimeError, UserWarning) as error:
            raise ValueError(_why(str(error))) from None
    with unmoved(net), modules.standing(net), door.answering(net):
        modules.training(net, r.frozen_norm)
        _say_dull(net, data.x_train[:8])


def _pass(net, weights, x, y, how, r):
    """The student's pass, back to its weights."""
    for p in weights:
        p.grad = None
    with torch.enable_grad():
        if how.twice:
            a, g = geometry.input_gradient(net, x, y, r.tau, create_graph=True)
            (a.sum() + g.square().sum()).backward()
            return
        if how.attacks:
            z = x.clone().requires_grad_()
            geometry.slope(net(z).square().sum(), z)
        net(x).sum().backward()


@torch.no_grad()
def _say_dull(net, x):
    """Print that batch norms at rest, of statistics that hardly saw an image, let none through."""
    norms = [(name, m) for name, m in net.named_modules() if isinstance(m, _BatchNorm)]
    rest = [name for name, m in norms if not m.training]
    if not rest:
        return
    with modules.standing(net, "eval"):
        a = net(x)
    if (a - a[:1]).abs().max() < 1e-4:  # in logits
        print(
            f"the network answers all images alike: its batch norms at rest ({rest[0]}) have seen"
            " too few; start from one that was trained before, its norms in training mode"
        )


MEANT = {  # part of an error of PyTorch's: what it means here
    "requires_grad=True. Gradients will be None": "a part of the network under checkpoint would not"
    " be trained, for its images take no gradient; give checkpoint use_reentrant=False",
    "use_reentrant": "torch.utils.checkpoint gives no input gradients with use_reentrant=True, and"
    " this method needs them; give checkpoint use_reentrant=False",
    "once_differentiable": "a torch.autograd.Function of the network is marked once_differentiable,"
    " and training on input gradients differentiates twice; make its backward of PyTorch's"
    " functions and leave the mark out",
    "does not require grad": "no weight of the network moves its logits; leave detach and no_grad"
    " out of its forward",
    "leaf Variable that requires grad": "the network changes its images in place; let its forward"
    " begin with x = x.clone()",
}


def _why(error):
    """An error of PyTorch's in the first step, in words."""
    for part, words in MEANT.items():
        if part in error:
            return words
    lacking = re.search(r"derivative for aten::_*(\w+?)_backward", error)
    if not lacking:
        return f"the networks cannot be trained like this ({error.splitlines()[0]})"
    name = lacking[1].capitalize()
    remedy = "put a function in its place that has"
    if name == "Hardsigmoid":
        remedy = (
            "networks.twice_differentiable(net), which a maker may return, puts the same function"
            " in the place of modules; in a forward of your own write F.relu6(x + 3) / 6"
        )
    return (
        f"{name} has no second derivative in PyTorch, which training on input gradients needs;"
        f" {remedy}"
    )
