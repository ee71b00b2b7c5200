"""The neighbours: each loss by hand, each term to the student alone, delta carried as it should be,
the traps of published code, and runs that resume.
"""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import resnet18
from torchvision.models.resnet import BasicBlock, ResNet

from rsnl_lib import data, networks, train
from rsnl_lib.data import sets
from rsnl_lib.train import attacks, loop, recipes
from rsnl_lib.train.methods import METHODS, adversarial
from rsnl_lib.train.methods.adversarial import divergence, kl, trust
from rsnl_lib.train.methods.base import Batch

LN3 = math.log(3)
FULL = sets.digits()
D = FULL._replace(
    x_train=FULL.x_train[:90],
    y_train=FULL.y_train[:90],
    x_val=FULL.x_val[:40],
    y_val=FULL.y_val[:40],
)
R = train.Recipe(
    "test", 4, lr=1e-2, batch=40, tau=2.0, alpha=0.75, beta=0.5, attack_steps=3, step=0.5, begin=0.3
)
TERMS = {
    "pgd_at": {"ce_adv": 1.0},
    "trades": {"ce": 1.0, "self": 0.5},
    "ard": {"kl_adv": 3.0, "ce": 0.25},
    "fast_ard": {"kl_adv": 3.0, "ce": 0.25},
    "rslad": {"kl_adv": 0.75, "kl": 0.25},
    "iad": {"kl_adv": 3.0, "ce": 0.25, "self": 0.75},
    "adaad": {"kl_adv": 0.75, "kl": 0.25},
    "igdm": {"kl_adv": 0.75, "kl": 0.25, "igdm": 0.25},
}  # with R's alpha, beta and tau, at share 0.5
EACH = [(m, t) for m, terms in TERMS.items() for t in terms]


def student(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), networks.dense(64, 12), nn.Linear(12, 10)).train()


def guide():
    torch.manual_seed(9)
    return networks.build("digits_mlp_teacher").eval()


def batch(teacher, share=0.5, carry=None, n=16):
    with torch.no_grad():
        return Batch(
            D.x_train[:n], D.y_train[:n], teacher(D.x_train[:n]), None, 1.0, teacher, share, carry
        )


def spied(monkeypatch):
    """The (x', images) of each attack, as the methods are given them."""
    seen, true = [], adversarial.perturbed

    def spy(net, b, r, loss, **how):
        seen.append(true(net, b, r, loss, **how))
        return seen[-1]

    monkeypatch.setattr(adversarial, "perturbed", spy)
    return seen


# The losses, by hand ------------------------------------------------------------------------------


def test_kl_by_hand_is_a_mean_over_images_with_the_teacher_as_reference():
    a_S, a_T = (
        torch.tensor([[0, LN3], [0, 0]]),
        torch.tensor([[LN3, 0], [LN3, 0]]),
    )  # student 1/4, 3/4 and even; teacher 3/4, 1/4
    first = 3 / 4 * math.log(3) + 1 / 4 * math.log(1 / 3)
    second = 3 / 4 * math.log(3 / 2) + 1 / 4 * math.log(1 / 2)
    torch.testing.assert_close(divergence(a_S, a_T), torch.tensor([first, second]))
    assert kl(a_S, a_T).item() == pytest.approx((first + second) / 2)
    assert kl(2 * a_S, 2 * a_T, 2.0).item() == pytest.approx(
        (first + second) / 2
    )  # softened by t, not multiplied by t^2
    assert kl(a_S[1:], a_T[1:]).item() != pytest.approx(
        kl(a_T[1:], a_S[1:]).item(), rel=0.05
    )  # it has a direction
    assert kl(a_T, a_T).item() == 0 and divergence(a_S, a_T).min() > 0


def test_shapes_that_would_broadcast_are_refused():
    with pytest.raises(
        ValueError, match=r"student logits \(2, 3\) and teacher logits \(1, 3\) must have one shape"
    ):
        kl(torch.zeros(2, 3), torch.zeros(1, 3))


def test_trust_is_the_teachers_probability_of_the_true_class_to_the_power_beta():
    a = torch.tensor([[0, LN3], [0, LN3]])
    torch.testing.assert_close(
        trust(a, torch.tensor([1, 0]), 0.5), torch.tensor([math.sqrt(3) / 2, 0.5])
    )
    torch.testing.assert_close(trust(a, torch.tensor([1, 0]), 0.0), torch.ones(2))


def by_hand(method, net, teacher, b, x_):
    """The losses of a method at a given x', from the equations, with other functions than the
    library's.
    """
    S, T = (lambda x, t=1.0, n=n: torch.softmax(n(x) / t, 1) for n in (net, teacher))
    KL = lambda p, q: (p * (p / q).log()).sum(1)
    ce = lambda x: -S(x)[range(len(b.y)), b.y].log().mean()
    x, t = b.x, R.tau
    A = T(x_)[range(len(b.y)), b.y] ** R.beta
    differences = [torch.softmax(n(x_) - n(2 * x - x_), 1) for n in (teacher, net)]
    soft, same = (
        {"kl_adv": KL(T(x, t), S(x_, t)).mean(), "ce": ce(x)},
        {"kl_adv": KL(T(x_), S(x_)).mean(), "kl": KL(T(x), S(x)).mean()},
    )
    return {
        "pgd_at": lambda: {"ce_adv": ce(x_)},
        "trades": lambda: {"ce": ce(x), "self": KL(S(x), S(x_)).mean()},
        "ard": lambda: soft,
        "fast_ard": lambda: soft,
        "rslad": lambda: {"kl_adv": KL(T(x), S(x_)).mean(), "kl": same["kl"]},
        "iad": lambda: {**soft, "self": ((1 - A) * KL(S(x), S(x_))).mean()},
        "adaad": lambda: same,
        "igdm": lambda: {**same, "igdm": KL(*differences).mean()},
    }[method]()


@pytest.mark.parametrize("method", TERMS)
def test_each_method_is_its_equation_with_the_recipes_weights_at_the_attacked_images(
    method, monkeypatch
):
    net, teacher, seen = student(), guide(), spied(monkeypatch)
    b = batch(teacher, carry={"delta": torch.full((16, 1, 8, 8), 0.05)})
    terms = METHODS[method].terms(net, b, R)
    x_ = seen[0] if seen else (b.x + 0.05).clamp(0, 1)
    assert 0.04 < (x_ - b.x).abs().max() <= 0.1 + 1e-6
    hand = by_hand(method, net, teacher, b, x_)
    assert terms.keys() == hand.keys() and {k: w for k, (w, _) in terms.items()} == TERMS[method]
    for name, value in hand.items():
        torch.testing.assert_close(
            terms[name][1], value, rtol=1e-4, atol=1e-6, msg=lambda m: f"{name}: {m}"
        )
        for got, want in zip(
            *(
                torch.autograd.grad(v, list(net.parameters()), retain_graph=True)
                for v in (terms[name][1], value)
            )
        ):
            torch.testing.assert_close(got, want, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("method, term", EACH)
def test_each_term_alone_reaches_every_student_weight_and_no_teacher_weight(method, term):
    net, teacher = student(), guide()
    next(teacher.parameters()).requires_grad_(False)
    wanted = [p.requires_grad for p in teacher.parameters()]
    weight, value = METHODS[method].terms(
        net, batch(teacher, carry={"delta": torch.full((16, 1, 8, 8), 0.05)}), R
    )[term]
    assert weight > 0 and value > 0 and all(p.grad is None for p in net.parameters())
    value.backward()
    assert all(
        p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters() if p.dim() > 1
    ), "of biases a difference of logits loses the last"
    assert (
        all(p.grad is None for p in teacher.parameters())
        and [p.requires_grad for p in teacher.parameters()] == wanted
    )
    assert net.training and not teacher.training


def test_with_alpha_one_the_clean_term_and_its_pass_are_left_out():
    teacher = guide()
    for method in ("ard", "fast_ard", "rslad", "adaad", "igdm", "iad"):
        b, passes, net = batch(teacher, share=0.0), [], student()
        net.register_forward_hook(lambda m, i, o: passes.append(len(i[0])))
        terms = METHODS[method].terms(net, b, R._replace(alpha=1.0))
        assert list(terms) == ["kl_adv"] + ["igdm"] * (method == "igdm")
        assert len(passes) == {"fast_ard": 1, "igdm": 5}.get(method, 4), (
            "three steps of the attack, and x'"
        )


def test_iad_listens_to_the_student_once_begin_is_over():
    teacher = guide()
    for share, listens in ((0.0, False), (0.29, False), (0.3, True), (0.9, True)):
        assert ("self" in METHODS["iad"].terms(student(), batch(teacher, share), R)) == listens


def test_igdm_grows_with_the_share_of_the_epochs():
    assert [
        METHODS["igdm"].terms(student(), batch(guide(), s), R._replace(beta=20.0))["igdm"][0]
        for s in (0.0, 0.25, 0.9)
    ] == [0.0, 5.0, 18.0]


# What the attacks climb, and what they see --------------------------------------------------------

CLIMBS = {
    "pgd_at": "ce",
    "ard": "ce",
    "iad": "ce",
    "trades": "self",
    "rslad": "clean",
    "adaad": "both",
    "igdm": "both",
}


@pytest.mark.parametrize("method", CLIMBS)
def test_each_attack_climbs_its_own_loss_from_its_own_start_in_its_own_mode(method, monkeypatch):
    calls, true = [], attacks.pgd
    monkeypatch.setattr(
        attacks,
        "pgd",
        lambda net, x, loss, *args, **how: (
            calls.append((loss, args, how)),
            true(net, x, loss, *args, **how),
        )[1],
    )
    net, teacher = student(), guide()
    b = batch(teacher)
    METHODS[method].terms(
        net, b, R._replace(epsilon=0.2, step=0.3, attack_steps=2, attack_norm="2")
    )
    ((loss, args, how),) = calls
    assert args == (0.2, pytest.approx(0.06), 2, "2") and (how.pop("low"), how.pop("high")) == (
        0.0,
        1.0,
    )
    assert how == ({} if CLIMBS[method] == "ce" else {"start": "normal", "mode": "eval"})
    x_ = (b.x + 0.1 * torch.rand(b.x.shape)).requires_grad_()
    S, T = (lambda x, n=n: torch.softmax(n(x), 1) for n in (net, teacher))
    KL = lambda p, q: (p * (p / q).log()).sum()
    want = {
        "ce": lambda: F.cross_entropy(net(x_), b.y, reduction="sum"),
        "self": lambda: KL(S(b.x), S(x_)),
        "clean": lambda: KL(T(b.x), S(x_)),
        "both": lambda: KL(T(x_), S(x_)),
    }[CLIMBS[method]]()
    got = loss(net(x_), x_).sum()
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(
        *(torch.autograd.grad(v, x_)[0] for v in (got, want)), rtol=1e-3, atol=1e-6
    )


def test_without_bounds_the_attacked_images_may_leave_the_unit_interval(monkeypatch):
    teacher = guide()
    for method in TERMS:
        seen, net, b = (
            [],
            student(),
            batch(teacher, carry={"delta": torch.full((16, 1, 8, 8), -0.05)}),
        )
        hook = net.register_forward_pre_hook(
            lambda m, x: seen.append((x[0].min().item(), x[0].max().item()))
        )
        METHODS[method].terms(net, b, R._replace(clamp=False))
        assert min(low for low, _ in seen) < -0.01, method
        hook.remove()


def test_ards_teacher_sees_the_clean_image_alone_and_the_others_ask_at_the_attacked(monkeypatch):
    seen = spied(monkeypatch)
    for method, asked in {
        "ard": 0,
        "rslad": 0,
        "fast_ard": 0,
        "iad": 1,
        "adaad": 4,
        "igdm": 5,
    }.items():
        teacher, images = guide(), []
        b = batch(teacher)
        hook = teacher.register_forward_pre_hook(lambda m, x: images.append(x[0].detach()))
        METHODS[method].terms(student(), b, R)
        assert len(images) == asked, method
        assert not asked or any(torch.equal(x, seen[-1]) for x in images)
        hook.remove()
    assert torch.equal(images[-1], 2 * b.x - seen[-1]), "igdm's second point lies on the other side"


@pytest.mark.parametrize("method", ["iad", "adaad", "igdm"])
def test_a_method_that_needs_the_teacher_itself_says_so(method):
    with pytest.raises(
        ValueError,
        match=(
            "b.teacher=None: this method asks the teacher at attacked images; give the teacher"
            " itself"
        ),
    ):
        METHODS[method].terms(student(), batch(guide())._replace(teacher=None), R)


# Fast-ARD -----------------------------------------------------------------------------------------


def fast(carry, net, teacher, b, r=R):
    """One step of training on a batch; gives x' and the gradient there, recorded from outside."""
    seen = []
    hook = net.register_forward_pre_hook(lambda m, x: seen.append(x[0]))
    terms = METHODS["fast_ard"].terms(net, b._replace(carry=carry), r)
    hook.remove()
    sum(w * v for w, v in terms.values()).backward()
    return seen[0].detach(), seen[0].grad


def test_delta_moves_one_step_up_the_objective_and_stays_in_its_ball():
    net, teacher, carry, delta = student(), guide(), {}, torch.zeros(16, 1, 8, 8)
    b = batch(teacher)
    for _ in range(4):
        x_, g = fast(carry, net, teacher, b, R._replace(epsilon=0.1, step=0.4))
        assert torch.equal(x_, (b.x + delta).clamp(0, 1)) and g.abs().sum() > 0
        again = x_.clone().requires_grad_()
        objective = 3.0 * kl(net(again), b.a_T, 2.0)
        torch.testing.assert_close(g, torch.autograd.grad(objective, again)[0])
        delta = (delta + 0.04 * g.sign()).clamp(-0.1, 0.1)
        torch.testing.assert_close(carry["delta"], delta)
    assert carry["delta"].abs().max() == pytest.approx(0.1)


def test_delta_in_the_euclidean_ball():
    net, teacher, carry = student(), guide(), {}
    for _ in range(6):
        _, g = fast(
            carry, net, teacher, batch(teacher), R._replace(epsilon=0.5, step=0.3, attack_norm="2")
        )
    lengths = carry["delta"].flatten(1).norm(dim=1)
    assert lengths.max() <= 0.5 + 1e-6 and lengths.max() > 0.4 and g.abs().sum() > 0


def test_delta_raises_the_loss_that_the_student_lowers():
    net, teacher, carry = student(), guide(), {}
    b, plain = batch(teacher), None
    for i in range(5):
        x_, _ = fast(carry, net, teacher, b, R._replace(step=1.0))
        value = kl(net(x_), b.a_T, R.tau).item()
        plain = value if plain is None else plain
    assert value > 1.2 * plain


def test_delta_is_carried_over_replays_and_batches_of_an_epoch_and_emptied_before_the_next(
    monkeypatch,
):
    """Three batches of 40, 40 and 10, three replays, two epochs: what the student sees is the image
    plus what the step before left.
    """
    seen, passes, terms = [], [], METHODS["fast_ard"].terms

    def spy(net, b, r):
        seen.append((b, b.carry.get("delta", torch.zeros(40, 1, 8, 8)).clone()))
        return terms(net, b, r)

    monkeypatch.setitem(METHODS, "fast_ard", METHODS["fast_ard"]._replace(terms=spy))
    net = student()
    net.register_forward_hook(
        lambda m, i, o: passes.append(len(i[0])) if torch.is_grad_enabled() else None
    )
    net.register_full_backward_hook(lambda m, i, o: passes.append(-len(o[0])))
    train.fit(
        net, D, "fast_ard", R._replace(epochs=2, replays=3, alpha=1.0, step=0.5), teacher=guide()
    )
    assert [len(b.y) for b, _ in seen] == [40, 40, 40, 40, 40, 40, 10, 10, 10] * 2
    assert passes[:2] == [2, -2], "two images are rehearsed"
    assert passes[2:] == [p for b, _ in seen for p in (len(b.y), -len(b.y))], (
        "one pass there and one back a replay, none for an attack"
    )
    for i in (0, 3, 6):
        assert all(torch.equal(seen[i][0].x, b.x) for b, _ in seen[i : i + 3]), (
            "a replay is the same batch"
        )
    deltas = [d for _, d in seen]
    assert not deltas[0].any() and not deltas[9].any(), "zero before each epoch"
    for i in (*range(8), *range(9, 17)):
        rows = len(seen[i][0].y)
        moved = (deltas[i + 1] - deltas[i]).abs().amax((1, 2, 3))
        assert (moved[:rows] > 0.04).all() and not moved[rows:].any(), (
            "each step moves the rows of its batch and no others"
        )
        assert moved.max() <= 0.05 + 1e-6 and deltas[i + 1].abs().max() <= 0.1 + 1e-6


def test_with_one_replay_no_image_meets_its_own_perturbation(monkeypatch):
    net, teacher, carry = student(), guide(), {}
    b = batch(teacher, n=32)
    one, two = (Batch(b.x[s], b.y[s], b.a_T[s], None, 1.0) for s in (slice(16), slice(16, 32)))
    first, g = fast(carry, net, teacher, one)
    second, _ = fast(carry, net, teacher, two)
    assert torch.equal(first, one.x), "the first batch of an epoch is clean"
    torch.testing.assert_close(second, (two.x + (0.05 * g.sign()).clamp(-0.1, 0.1)).clamp(0, 1))


def test_a_pixel_at_its_bound_can_turn():
    net, teacher = student(), guide()
    b = batch(teacher)
    carry = {"delta": torch.full((16, 1, 8, 8), -0.1)}
    x_, g = fast(carry, net, teacher, b, R._replace(step=0.5))
    stuck = (b.x == 0) & (g > 0)
    assert stuck.any() and torch.equal(x_[stuck], torch.zeros_like(x_[stuck]))
    torch.testing.assert_close(carry["delta"][stuck], torch.full_like(x_[stuck], -0.05))


def test_replays_divide_the_epochs_of_the_recipe_and_are_counted_in_its_schedule(monkeypatch):
    r = train.recipe("short", "digits", "fast_ard", replays=4)
    assert (r.epochs, r.replays) == (15, 4) and train.recipe(
        "short", "digits", "fast_ard", replays=7
    ).epochs == 9
    assert (
        train.recipe("short", "digits", "fast_ard", replays=4, epochs=50).epochs == 50
        and train.recipe("short", "digits").replays == 1
    )
    asked, true = [], recipes.rate_at
    monkeypatch.setattr(
        loop,
        "rate_at",
        lambda r, step, steps: (asked.append((step, steps)), true(r, step, steps))[1],
    )
    (row,) = train.fit(
        student(),
        D,
        "standard",
        R._replace(epochs=1, replays=2, lr=1e-9, lr_conv=1e-9),
        teacher=guide(),
    ).history
    assert asked == [(i, 6) for i in range(6)], "three batches, twice each"
    assert row["ce"] == pytest.approx(
        F.cross_entropy(student()(D.x_train), D.y_train).item(), rel=1e-3
    ), "a mean over replays too"


# The traps of published code ----------------------------------------------------------------------


@pytest.mark.parametrize("classes", [10, 100])
def test_the_default_mean_of_kldivloss_is_smaller_by_the_number_of_classes(classes):
    """ARD's, RSLAD's and AdaAD's code divides by images times classes: with (1 - alpha) CE beside
    it, the distillation is as good as switched off.
    """
    torch.manual_seed(0)
    a_S, a_T = torch.randn(8, classes, requires_grad=True), 3 * torch.randn(8, classes)
    with pytest.warns(UserWarning, match="reduction: 'mean' divides"):
        theirs = nn.KLDivLoss()(F.log_softmax(a_S, 1), F.softmax(a_T, 1))
    ours = kl(a_S, a_T)
    assert (ours / theirs).item() == pytest.approx(classes, rel=1e-4)
    slopes = [torch.autograd.grad(v, a_S)[0].norm().item() for v in (ours, theirs)]
    assert slopes[0] / slopes[1] == pytest.approx(classes, rel=1e-4)


def test_a_second_drop_taken_from_the_base_rate_is_no_second_drop():
    """ARD's and IAD's schedule multiplies the rate it was given, not the one in force: after epoch
    150 the rate stays at 0.01.
    """

    def rates(from_base):
        at, rate = [], 0.1
        for epoch in range(200):
            if epoch in (100, 150):
                rate = (0.1 if from_base else rate) * 0.1
            at.append(rate)
        return at

    meant, published = rates(False), rates(True)
    assert [meant[e] for e in (99, 100, 149, 150, 199)] == pytest.approx(
        [0.1, 0.01, 0.01, 0.001, 0.001]
    )
    assert published[:150] == meant[:150] and published[150:] == pytest.approx([0.01] * 50)
    r = train.Recipe("test", 1)
    assert min(recipes.rate_at(r, s, 200) for s in range(200)) < 1e-3, (
        "our own schedule is a function of the step, with no rate in force to lose"
    )


# Training -----------------------------------------------------------------------------------------


def rows(run):
    return [{k: v for k, v in row.items() if k != "ms_per_image"} for row in run.history]


@pytest.mark.parametrize("method", ["pgd_at", "fast_ard", "igdm"])
def test_a_resumed_run_equals_the_uninterrupted_one(method, tmp_path, monkeypatch):
    fit = lambda net, **more: train.fit(
        net, D, method, R._replace(replays=2 if method == "fast_ard" else 1), 3, guide(), **more
    )
    whole, state, calls, accuracy = fit(student()), tmp_path / "run.state", [], train.accuracy

    def fails(*args):
        calls.append(1)
        if len(calls) > 2:
            raise KeyboardInterrupt
        return accuracy(*args)

    monkeypatch.setattr(loop, "accuracy", fails)
    with pytest.raises(KeyboardInterrupt):
        fit(student(), state=state)
    monkeypatch.setattr(loop, "accuracy", accuracy)
    resumed = fit(student(5), state=state)
    assert rows(resumed) == rows(whole) and len(whole.history) == 4
    assert all(
        map(torch.equal, resumed.last.state_dict().values(), whole.last.state_dict().values())
    )
    assert rows(fit(student())) == rows(whole), "a seed repeats"


@pytest.mark.parametrize("method", [*TERMS, "bss"])
def test_training_gives_each_method_what_it_needs_and_leaves_the_teacher_as_it_was(
    method, monkeypatch
):
    seen, terms, teacher = [], METHODS[method].terms, guide()
    monkeypatch.setitem(
        METHODS,
        method,
        METHODS[method]._replace(
            terms=lambda n, b, r: (
                seen.append((b, [p.requires_grad for p in teacher.parameters()])),
                terms(n, b, r),
            )[1]
        ),
    )
    next(teacher.parameters()).requires_grad_(False)
    before, wanted = (
        copy.deepcopy(teacher.state_dict()),
        [p.requires_grad for p in teacher.parameters()],
    )
    train.fit(student(), D, method, R, teacher=teacher)
    live = method in ("iad", "adaad", "igdm", "bss")
    assert [b.share for b, _ in seen] == [e / 4 for e in range(4) for _ in range(3)]
    assert all((b.teacher is teacher) == live and not any(taking) == live for b, taking in seen)
    assert len({id(b.carry) for b, _ in seen}) == 4 and all(
        b.carry is seen[0][0].carry for b, _ in seen[:3]
    )
    assert (seen[0][0].a_T is None) == (method in ("pgd_at", "trades"))
    assert [p.requires_grad for p in teacher.parameters()] == wanted and all(
        p.grad is None for p in teacher.parameters()
    )
    assert (
        all(torch.equal(v, before[k]) for k, v in teacher.state_dict().items())
        and not teacher.training
    )


def test_the_teacher_takes_gradients_again_after_a_run_that_failed(monkeypatch):
    teacher = guide()
    monkeypatch.setitem(METHODS, "adaad", METHODS["adaad"]._replace(terms=lambda *_: 1 / 0))
    with pytest.raises(ZeroDivisionError):
        train.fit(student(), D, "adaad", R, teacher=teacher)
    assert all(p.requires_grad for p in teacher.parameters())


def test_a_student_that_shares_its_teachers_weights_is_refused():
    net = student()
    with pytest.raises(
        ValueError, match="the teacher and the student share weights; give the student a copy"
    ):
        train.fit(net, D, "adaad", R, teacher=net.eval())
    with pytest.raises(ValueError, match="method='adaad' needs a teacher"):
        train.fit(net, D, "adaad", R)


@pytest.mark.parametrize("method", ["pgd_at", "ard", "fast_ard"])
def test_a_short_run_buys_robustness(method):
    """150 images, 15 epochs: against PGD the student stands better than one trained on the same
    images without an attack.
    """
    d = FULL._replace(x_train=FULL.x_train[:150], y_train=FULL.y_train[:150])
    x, y = FULL.x_val[:150], FULL.y_val[:150]
    make = lambda: networks.start("digits_mlp_student", d)
    r = train.Recipe("test", 15, batch=30, lr=1e-2, alpha=0.9, attack_steps=5, step=0.4, tau=2.0)
    teacher = train.fit(networks.start("digits_mlp_teacher", d), d, "pgd_at", r).last
    extra = {"replays": 3, "epochs": 8, "step": 1.0} if method == "fast_ard" else {}
    nets = [
        train.fit(make(), d, m, r._replace(**more), 0, teacher).last
        for m, more in (("standard", {}), (method, extra))
    ]
    held = [
        train.accuracy(
            n, attacks.pgd(n, x, attacks.cross_entropy(y), 0.1, 0.02, 10, start="zero"), y
        )
        for n in nets
    ]
    assert held[1] > held[0] + 0.1 and train.accuracy(nets[1], x, y) > 0.65, held


# Torchvision's networks ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair():
    torch.manual_seed(0)
    x, y = torch.rand(24, 3, 16, 16), torch.arange(24) % 10
    teacher, net = resnet18(num_classes=10), ResNet(BasicBlock, [1, 1, 1, 1], num_classes=10)
    return data.Data("few", 10, x, y, x[:8], y[:8], x[:8], y[:8]), teacher.eval(), net


@pytest.mark.parametrize("method", [*TERMS, "bss"])
@pytest.mark.parametrize("frozen_norm", [False, True])
def test_every_method_trains_a_residual_network_with_batch_norm(pair, method, frozen_norm):
    d, teacher, net = pair[0], pair[1], copy.deepcopy(pair[2])
    before, held = copy.deepcopy(net.state_dict()), copy.deepcopy(teacher.state_dict())
    r = R._replace(
        epochs=2, batch=12, attack_steps=1, lr=1e-3, lr_conv=1e-3, frozen_norm=frozen_norm
    )
    run = train.fit(net, d, method, r, teacher=teacher)
    assert all(math.isfinite(v) for row in run.history for v in row.values())
    moved = {k for k, v in net.state_dict().items() if not torch.equal(v, before[k])}
    assert {n for n, _ in net.named_parameters() if n.endswith("weight")} <= moved
    assert any(k.endswith("running_mean") for k in moved) != frozen_norm
    assert (
        all(torch.equal(v, held[k]) for k, v in teacher.state_dict().items())
        and not teacher.training
    )


@pytest.mark.parametrize("quick", [False, True])
def test_the_attack_of_a_method_is_the_same_with_the_fast_layers_of_training(quick, monkeypatch):
    """igdm differentiates through both networks: x' in float64 agrees with plain autograd's."""
    torch.manual_seed(0)
    net, teacher = (
        networks.build("digits_student").double(),
        networks.build("digits_teacher").double().eval(),
    )
    d = D._replace(**{k: getattr(D, k).double() for k in ("x_train", "x_val")})
    seen = spied(monkeypatch)
    train.fit(
        net,
        d,
        "igdm",
        R._replace(epochs=1, batch=90, attack_norm="2"),
        teacher=teacher,
        quick=quick,
    )
    b = Batch(d.x_train, d.y_train, teacher(d.x_train).detach(), None, 1.0, teacher)
    torch.manual_seed(0)
    other = networks.build("digits_student").double()
    with torch.random.fork_rng():
        torch.manual_seed(0)  # seed 0, epoch 0
        order = torch.randperm(90)
        b = b._replace(x=b.x[order], y=b.y[order], a_T=b.a_T[order])
        want = attacks.pgd(
            other.train(),
            b.x,
            lambda a, x_: divergence(a, teacher(x_)),
            0.1,
            0.05,
            3,
            "2",
            "normal",
            mode="eval",
        )
    assert (seen[0] - want).abs().max() < 1e-9 and (want - b.x).abs().max() > 0.01


# Recipes ------------------------------------------------------------------------------------------


def test_recipes_hold_the_published_settings_and_those_chosen_here():
    make = train.recipe
    for dataset, epsilon in {
        "digits": 0.15,
        "mnist": 0.1,
        "usps": 0.1,
        "cifar10": 8 / 255,
        "cifar100": 8 / 255,
    }.items():
        r = make("short", dataset, "pgd_at")
        steps, step = (5, 0.5) if dataset == "mnist" else (10, 0.25)
        assert (r.epsilon, r.step, r.attack_steps, r.attack_norm, r.clamp) == (
            epsilon,
            step,
            steps,
            "inf",
            "cifar" not in dataset,
        )
    assert make("short", "mnist", "fast_ard").step == 1.0, (
        "its own step stands above the data set's"
    )
    assert (
        make("short", "digits", "trades").beta == 6
        and make("short", "digits", "rslad").alpha == 5 / 6
    )
    assert (
        make("short", "digits", "iad").tau,
        make("short", "digits", "iad").beta,
        make("short", "digits", "iad").begin,
    ) == (1.0, 0.1, 0.3)
    assert all(
        make("short", d, m).tau == (30 if d == "cifar10" else 1) and make("short", d, m).alpha == 1
        for d in ("cifar10", "digits", "mnist")
        for m in ("ard", "fast_ard")
    )
    assert make("short", "digits", "fast_ard").step == 1.0
    assert make("short", "digits", "kd") == make("short", "digits", "robust"), (
        "the neighbours' letters are theirs alone"
    )
    assert recipes.setting("attack_norm=2") == ("attack_norm", "2") and recipes.setting(
        "epsilon=0.2"
    ) == ("epsilon", 0.2)


@pytest.mark.parametrize(
    "change, said",
    [
        ({"epsilon": -0.1}, "epsilon=-0.1 must be zero or a finite number above it"),
        ({"step": 0}, "step=0 must be a finite number above zero"),
        ({"attack_steps": 0}, "attack_steps=0 must be a whole number of at least 1"),
        ({"attack_norm": "1"}, "attack_norm='1' is unknown; choose one of: inf, 2"),
        ({"alpha": 1.5}, "alpha=1.5 must lie between 0 and 1"),
        ({"alpha": -1}, "alpha=-1 must be zero or"),
        ({"begin": 2}, "begin=2 must lie between 0 and 1"),
        ({"beta": math.nan}, "beta=nan must be"),
        ({"replays": 0}, "replays=0 must be a whole number of at least 1"),
        ({"clamp": 1}, "clamp=1 must be True or False"),
    ],
)
def test_bad_settings_are_named_with_what_would_be_right(change, said):
    with pytest.raises(ValueError, match=said):
        train.recipe("short", "digits", "ard", **change)
