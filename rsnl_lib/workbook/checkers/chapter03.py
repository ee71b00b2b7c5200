"""The checkers of chapter 03's exercises."""

from collections.abc import Callable
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn

from ... import env, networks, store, train
from ...data import sets
from ...train import losses, recipes
from .base import exercise, need, of_a_function, several


@of_a_function
def score_loss(function: Callable) -> None:
    """03: Eq. 15; function(f_S, f_T, gamma)."""
    f_S = torch.tensor([0.9, 0.2, 0.5])
    f_T = torch.tensor([0.7, 0.7, 0.5])
    want, swapped = (losses.score_loss(*pair, 0.1) for pair in ((f_S, f_T), (f_T, f_S)))
    got = function(f_S, f_T, 0.1)
    asked = "for f_S 0.9, 0.2, 0.5, f_T 0.7, 0.7, 0.5 and gamma 0.1 the mean hinge is 0.2333"
    need(isinstance(got, Tensor), f"{asked}, yours is {got}")
    need(got.dim() == 0, f"{asked}, yours has a number for each image: take the mean")
    hint = "student and teacher are swapped: the student pays when the teacher is ahead"
    need(not torch.isclose(got, swapped), hint)
    hint = "without the max with zero an image that is far ahead pays for one that is behind"
    need(not torch.isclose(got, (0.1 + f_T - f_S).mean()), hint)
    need(torch.isclose(got, want), f"{asked}, yours is {got:.4f}")


@exercise
def which_term(answer: Any) -> None:
    """03: with the student equal to the teacher, which terms are not zero?"""
    need(several(answer), "give a list of two of 'kd', 'score', 'gradient'")
    need("gradient" not in answer, "L_G compares two equal gradients: it is exactly zero")
    hint = "one is right, one is missing: look at what the hinge says to a draw, and at the"
    need(set(answer) == {"kd", "score"}, f"{hint} cross-entropy of a distribution with itself")


@of_a_function
def own_method(terms: Callable) -> None:
    """03: a method of the reader's own, KD and one term more; terms(net, b, r)."""
    d = sets.digits()
    x, y = d.x_train[:256], d.y_train[:256]
    name = "digits_mlp_teacher-teacher-tau4-s0.safetensors"
    teacher = store.load_checkpoint(env.CHECKPOINTS / name)[0]
    r = train.recipe("short", "digits", "robust", epochs=15)
    a_T, g_T = train.teacher_constants(teacher, x, y, r.tau, "tempered")
    batch = train.Batch(x, y, a_T, g_T.float(), r.lam, teacher)
    net = networks.start("digits_mlp_student", d, 0).train()
    _check_terms(terms(net, batch, r), net, teacher)
    right = train.accuracy(_trained(terms, net, batch, r), d.x_val, d.y_val)
    told = f"trained on 256 images it is right about {right:.0%} of the validation images"
    need(right > 0.5, f"{told}: your term drowns the labels; give it a smaller weight")


def _check_terms(found: Any, net: nn.Module, teacher: nn.Module) -> None:
    """Is it {name: (weight, loss)} with a term beside KD's that reaches the student alone?"""
    want = "return a dict {name: (weight, loss)}"
    need(isinstance(found, dict), f"your method returns a {type(found).__name__}; {want}")
    for name, pair in found.items():
        pair = pair if isinstance(pair, tuple) else ()
        need(len(pair) == 2, f"{name!r} is no pair; {want}")
        _check_term(name, *pair, net, teacher)
    more = found.keys() - {"ce", "kd"}
    need(more, "these are KD's terms alone; add one of another name")


def _check_term(name, weight, loss, net, teacher):
    need(isinstance(weight, Real), f"{name!r} has no number as its weight; the weight comes first")
    need(weight > 0, f"{name!r} has the weight {weight}: it would only be logged")
    cut = f"{name!r} does not reach the student: .detach(), .item() or torch.no_grad() cuts the"
    cut = f"{cut} way back, or it is made of b.a_T and b.g_T alone, which are constants"
    need(isinstance(loss, Tensor), cut)
    need(loss.dim() == 0, f"{name!r} has the shape {tuple(loss.shape)}: take the mean")
    need(loss.requires_grad, cut)
    sides = [list(side.parameters()) for side in (teacher, net)]
    grads = torch.autograd.grad(loss, sum(sides, []), retain_graph=True, allow_unused=True)
    to_teacher, to_student = grads[: len(sides[0])], grads[len(sides[0]) :]
    hint = "reaches the teacher, which then learns to be easy; use b.a_T, or ask it under no_grad"
    need(all(g is None for g in to_teacher), f"{name!r} {hint}")
    need(any(g is not None and g.abs().max() > 0 for g in to_student), cut)


def _trained(terms, net, batch, r):
    """The network after r.epochs of plain steps on the batch in parts."""
    step = recipes.optimiser(net, r)
    torch.manual_seed(0)
    for epoch in range(r.epochs):
        for pick in torch.randperm(len(batch.y)).split(r.batch):
            parts = (t[pick] for t in batch[:4])
            part = train.Batch(*parts, recipes.lam_at(r, epoch), batch.teacher)
            loss = sum(weight * value for weight, value in terms(net, part, r).values())
            step.zero_grad()
            loss.backward()
            step.step()
    return net.eval()
