"""The checkers of chapter 07's exercises."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from ... import store
from ...data.sets import gallery
from ...study.jobs import Job
from ...train.attacks import pgd
from .base import exercise, need, of_a_function, shaped


@of_a_function
def project(function: Callable) -> None:
    """07: the nearest point of the L2 ball, image by image; function(d, epsilon)."""
    d = torch.tensor([[3.0, -4.0], [0.3, 0.4], [0.0, 0.0]]).view(3, 1, 1, 2)
    want = torch.tensor([[0.6, -0.8], [0.3, 0.4], [0.0, 0.0]])
    got = function(d.clone(), 1.0)
    need(shaped(got, d), "return a tensor of the perturbation's shape")
    hint = "where there is no perturbation the length is zero, and something is divided by it"
    need(not got.isnan().any(), hint)
    got = got.view(3, 2)
    hint = "a perturbation inside the ball stays as it is; yours is stretched to its edge"
    need(not torch.allclose(got[1], torch.tensor([0.6, 0.8]), atol=1e-5), hint)
    yours = [round(v, 3) for v in got[0].tolist()]
    hint = f"(3, -4) shortened to length 1 is (0.6, -0.8), yours is {yours}"
    need(torch.allclose(got, want, atol=1e-5), hint)


@exercise
def attack_passes(answer: Any) -> None:
    """07: the passes, forward or backward, of a step of training with ten attack steps."""
    need(answer != 20, "that leaves the step that trains out")
    need(answer not in (11, 12), "each attack step is a forward and a backward pass")
    need(answer == 22, "count the passes of one attack step, then of the step that trains")


def _one_step(function, net, x, k, epsilon):
    """Refuse a first step that is no step of epsilon / 4 down the cross-entropy to class k."""
    moved = function(net, x.clone(), k, epsilon, 1).detach() - x
    sizes = moved.abs()[moved.abs() > 1e-7]
    need(len(sizes), "one step moves no pixel")
    hint = "one step moves some pixels more than others: take the gradient's sign"
    need((sizes.median() - sizes).abs().max() < 1e-4, hint)
    hint = f"one step moves a pixel by {sizes.median():.3g}; epsilon / 4 is {epsilon / 4:.3g}"
    need((sizes.median() - epsilon / 4).abs() < 1e-4, hint)
    down = (moved.sign() == -_slope(net, x, k).sign()).float().mean()
    need(down > 0.1, "your steps climb the cross-entropy to k; they shall go down")
    hint = "your gradient is of something else: take the cross-entropy to k, at the image"
    need(down > 0.95, hint)


def _slope(net, x, k):
    """The gradient of the cross-entropy to class k at images x."""
    z = x.clone().requires_grad_()
    loss = F.cross_entropy(net(z), torch.full((len(x),), k), reduction="sum")
    return torch.autograd.grad(loss, z)[0]


def _seen(net, z, k):
    """In how many images does the network see class k?"""
    with torch.no_grad():
        return int((net(z).argmax(1) == k).sum())


@of_a_function
def aimed(function: Callable) -> None:
    """07: PGD towards a class, on the digits' KD; function(net, x, k, epsilon, steps)."""
    net = store.load_checkpoint(Job("digits", "kd").path())[0]
    x = gallery("digits")[0]
    k, epsilon, steps = 3, 0.15, 10
    got = function(net, x.clone(), k, epsilon, steps)
    need(shaped(got, x), "return a tensor of the images' shape")
    got = got.detach()
    need(not torch.equal(got, x), "the images come back as they were: nothing was pushed")
    hint = "a pixel left [0, 1], as no picture does: clamp after each step"
    need(got.min() >= 0 and got.max() <= 1, hint)
    far = float((got - x).abs().max())
    hint = f"a pixel moved by {far:.2f}, beyond epsilon = {epsilon}: clamp z - x after each step"
    need(far < epsilon + 1e-5, hint)
    _one_step(function, net, (0.25 + x / 2), k, epsilon)
    first = (x - epsilon * _slope(net, x, k).sign()).clamp(0, 1)
    hint = "all your steps go the same way: take the gradient anew, at the image you have reached"
    need((got - first).abs().max() > 1e-4, hint)
    goal = torch.full((len(x),), k)
    size = (epsilon, epsilon / 4, steps)
    ours = pgd(net, x, lambda a, _: -F.cross_entropy(a, goal, reduction="sum"), *size, start="zero")
    mine, best = _seen(net, got, k), _seen(net, ours, k)
    need(mine > 0.9 * best, f"KD sees a {k} in {mine} of your {len(x)} images, in {best} of ours")
