"""Networks that know nothing of this library: torchvision's ResNet-18 teaches its MobileNetV3 by
every method, or is told why.
"""

import copy
import functools

import pytest
import torch
from torch import nn
from torchvision.models import MobileNetV3, mobilenet_v3_small, resnet18
from torchvision.models.mobilenetv3 import InvertedResidualConfig

from rsnl_lib import data, geometry, networks, train
from rsnl_lib.data import catalogue, sets
from rsnl_lib.measure import evaluate
from rsnl_lib.networks import modules
from rsnl_lib.train import hints, losses
from rsnl_lib.train.methods import METHODS
from rsnl_lib.train.methods.base import Batch

TWICE = [
    "gradient_only",
    "robust",
    "target_zero",
    "shuffled",
    "matched",
    "direct",
]  # they differentiate the student's input gradient
R = train.Recipe(
    "test",
    16,
    lr=5e-3,
    lr_conv=5e-3,
    batch=32,
    tau=2.0,
    gamma=0.1,
    C1=1.0,
    C2=1.0,
    sigma=0.05,
    epsilon=0.01,
    attack_steps=2,
    step=0.5,
    alpha=0.5,
)
NORM = functools.partial(nn.BatchNorm2d, momentum=0.3)  # few steps: statistics that follow


def images():
    """32 blurred colour patterns, 3x32x32, of ten classes."""
    g, y = torch.Generator().manual_seed(0), torch.arange(32) % 10
    x = torch.rand(10, 3, 4, 4, generator=g)[y] + 0.3 * torch.rand(32, 3, 4, 4, generator=g)
    return data.Data(
        "few", 10, *(nn.functional.interpolate(x, size=32, mode="bilinear") / 1.3, y) * 3
    )


D = images()


@torch.no_grad()
def warmed(net):
    """`net` with batch norm statistics of the images, as a network has that was trained before."""
    net.train()
    for _ in range(12):
        net(D.x_train)
    return net


@pytest.fixture(scope="module")
def teacher():
    torch.manual_seed(0)
    net = train.fit(
        resnet18(num_classes=10, norm_layer=NORM),
        D,
        "teacher",
        R._replace(epochs=10, lr=1e-3, lr_conv=1e-3),
    ).last
    assert train.accuracy(warmed(net), D.x_train, D.y_train) == 1.0
    net.zero_grad()
    return net.eval()


@functools.cache
def kept(kind):
    torch.manual_seed(1)
    if kind == "whole":
        return warmed(mobilenet_v3_small(num_classes=10, width_mult=0.35))
    block = lambda *args: InvertedResidualConfig(*args, 1, 1.0)  # its first five kinds of blocks
    blocks = [
        block(16, 3, 16, 16, True, "RE", 2),
        block(16, 3, 48, 24, False, "RE", 2),
        block(24, 3, 56, 24, False, "RE", 1),
        block(24, 5, 64, 32, True, "HS", 2),
        block(32, 5, 96, 32, True, "HS", 1),
    ]
    net = networks.twice_differentiable(MobileNetV3(blocks, 64, 10, norm_layer=NORM))
    return warmed(networks.lsuv_(warmed(net), D.x_train, torch.Generator().manual_seed(0)))


def student(kind="short"):
    """MobileNetV3: the first blocks alone, ready for every method; or "whole", 0.35 wide, as
    torchvision makes it.
    """
    return copy.deepcopy(kept(kind))


def batch(teacher, method, kind="tempered"):
    a_T, g_T = train.teacher_constants(
        teacher, D.x_train, D.y_train, R.tau, METHODS[method].gradients
    )
    return Batch(D.x_train, D.y_train, a_T, g_T if g_T is None else g_T.float(), 1.0, teacher, 0.5)


@pytest.mark.parametrize("method", [m for m in METHODS if m != "teacher"])
def test_every_method_teaches_a_mobilenet_32_images_and_leaves_the_resnet_as_it_was(
    teacher, method, tmp_path_factory
):
    before = [t.clone() for t in teacher.state_dict().values()]
    r, net = R._replace(frozen_norm=method in TWICE), student()
    for name, (weight, value) in (
        METHODS[method].terms(networks.training(net, True), batch(teacher, method), r).items()
    ):
        assert value.isfinite() and (
            value > 0 and weight > 0 or name in ("score_floor", "bss", "bss_share")
        ), name
    net = student()  # the other's batch norms would stay as they were put
    run = train.fit(
        net, D, method, r, teacher=teacher, cache=tmp_path_factory.getbasetemp() / "foreign"
    )
    reached = [row["val_accuracy"] for row in run.history]
    assert reached[-1] == 1.0, reached
    assert all(map(torch.equal, teacher.state_dict().values(), before)) and not teacher.training
    assert all(p.grad is None for p in teacher.parameters())


@pytest.mark.parametrize("method", TWICE)
def test_input_gradients_through_batch_norm_in_training_are_refused_with_the_remedy_that_works(
    teacher, method
):
    net = networks.twice_differentiable(student("whole"))
    with pytest.raises(
        ValueError,
        match=r"BatchNorm2d in training mode mixes the images of a batch.*frozen_norm=True",
    ):
        train.fit(net, D, method, R._replace(epochs=1), teacher=teacher)
    held = {n: b.clone() for n, b in net.named_buffers()}
    before = {n: p.clone() for n, p in net.named_parameters()}
    train.fit(net, D, method, R._replace(epochs=2, frozen_norm=True), teacher=teacher)
    assert all(torch.equal(b, held[n]) for n, b in net.named_buffers()), (
        "frozen_norm keeps the statistics"
    )
    assert all((p != before[n]).any() for n, p in net.named_parameters() if n.endswith("weight")), (
        "every weight learns"
    )


@pytest.mark.parametrize("method", TWICE)
def test_a_hardsigmoid_is_refused_with_the_remedy_where_it_must_be_differentiated_twice(
    teacher, method
):
    with pytest.raises(
        (ValueError, RuntimeError),
        match=r"Hardsigmoid has no second derivative.*twice_differentiable\(net\)",
    ):
        train.fit(
            student("whole"), D, method, R._replace(epochs=1, frozen_norm=True), teacher=teacher
        )


@pytest.mark.parametrize("method", [m for m in METHODS if m not in TWICE])
def test_the_other_methods_take_a_mobilenet_as_it_is(teacher, method):
    (row,) = train.fit(student("whole"), D, method, R._replace(epochs=1), teacher=teacher).history
    assert all(
        0 < v < 100
        for k, v in row.items()
        if k not in ("score_floor", "val_accuracy", "bss", "bss_share")
    )


def test_the_replaced_hardsigmoid_is_the_same_function_under_the_same_names():
    net, other = student("whole").eval(), networks.twice_differentiable(student("whole")).eval()
    assert not any(isinstance(m, nn.Hardsigmoid) for m in other.modules())
    assert net.state_dict().keys() == other.state_dict().keys()
    for a, b in zip(*(geometry.input_gradient(n, D.x_train, D.y_train) for n in (net, other))):
        torch.testing.assert_close(a, b)
    x = torch.linspace(-5, 5, 201, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(modules.Hardsigmoid()(x), nn.functional.hardsigmoid(x))
    at = torch.tensor([-4.0, 0.5, 4.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda z: modules.Hardsigmoid()(z) ** 2, at)


def test_layers_that_work_in_place_change_no_gradient_and_no_second_gradient():
    ends, net = [], student()
    assert any(getattr(m, "inplace", False) for m in net.modules() if isinstance(m, nn.Hardswish))
    for inplace in (True, False):
        for m in net.modules():
            if hasattr(m, "inplace"):
                m.inplace = inplace
        a, g = geometry.input_gradient(net.eval(), D.x_train, D.y_train, 2.0, create_graph=True)
        second = torch.autograd.grad(g.square().sum() + a.sum(), list(net.parameters()))
        ends.append((a, g, *second))
    for a, b in zip(*ends):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-7)
    assert sum(g.abs().sum() > 0 for g in ends[0][2:]) > 0.9 * len(ends[0][2:])


def test_the_second_gradient_of_a_mobilenet_agrees_with_finite_differences():
    net = student().double().eval()
    x, y = D.x_train[:4].double(), D.y_train[:4]
    weight = net.features[3].block[0][0].weight
    gap = lambda: losses.gradient_loss(
        geometry.input_gradient(net, x, y, 2.0, create_graph=True)[1], torch.zeros_like(x)
    )
    way = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0), dtype=weight.dtype)
    slope = (torch.autograd.grad(gap(), weight)[0] * way).sum()
    ends = []
    for h in (1e-6, -2e-6):
        weight.data += h * way
        ends.append(gap().item())
    assert slope.item() == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-4) and abs(slope) > 0


def test_the_hint_lies_on_the_way_of_the_images_and_never_in_a_squeeze_and_excitation(teacher):
    net = student("whole")
    assert networks.guided(net) not in modules.blocks(
        net, D.x_train[:2]
    )  # by the list alone: a gate
    names = {m: n for n, m in net.named_modules()}
    way = [names[m] for m in modules.blocks(net, D.x_train[:2])]
    assert len(way) == 1 + 2 + 7 * 3 + 1 and not any(
        "fc" in n for n in way
    )  # from the tenth block on maps have one place
    assert (
        way[16] == "features.6.block.1.0" and names[networks.guided(net, D.x_train[:2])] == way[16]
    )

    class Turned(nn.Module):
        """Lists its layers in another order than images pass them."""

        def __init__(self):
            super().__init__()
            self.last, self.c, self.b, self.a = (
                nn.Linear(36, 10),
                nn.Conv2d(1, 1, 2),
                nn.Conv2d(1, 1, 2),
                nn.Conv2d(1, 1, 1),
            )

        def forward(self, x):
            return self.last(self.c(self.b(self.a(x))).flatten(1))

    turned = Turned()
    assert modules.blocks(turned, torch.rand(2, 1, 8, 8)) == [turned.a, turned.b, turned.c]


def test_the_hint_stage_keeps_frozen_statistics_and_refuses_a_teacher_in_training(teacher):
    net = student()
    held = [b.clone() for b in net.buffers()]
    hints.hint_stage(net, teacher, D, R._replace(frozen_norm=True), 1)
    assert all(map(torch.equal, net.buffers(), held))
    noisy = copy.deepcopy(teacher).train()
    held = [t.clone() for t in noisy.state_dict().values()]
    with pytest.raises(ValueError, match=r"the teacher is in training mode; call teacher.eval\(\)"):
        train.fit(net, D, "standard", R._replace(hint_epochs=1), teacher=noisy)
    assert all(map(torch.equal, noisy.state_dict().values(), held))


def test_a_sweep_takes_foreign_networks(teacher):
    net = student("whole")
    rows = evaluate.sweep(
        {"T": teacher, "S": net}, D.x_test, D.y_test, catalogue.levels("cifar10"), draws=1
    )
    assert len(rows) == 2 * len(catalogue.levels("cifar10")) and net.training
    assert [r["correct"] for r in rows[:2]] == [
        32,
        round(32 * train.accuracy(net, D.x_test, D.y_test)),
    ]
    assert all(0 <= r["correct"] <= r["n"] == 32 for r in rows)


def tanh_net():
    torch.manual_seed(2)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.Tanh(), nn.Linear(12, 10))


def digits(n=32):
    d = sets.digits()
    return d._replace(
        x_train=d.x_train[:n], y_train=d.y_train[:n], x_val=d.x_val[:8], y_val=d.y_val[:8]
    )


def test_fitnet_alone_takes_a_quarter_of_its_epochs_for_the_hints(monkeypatch):
    asked = []
    monkeypatch.setattr(
        hints, "hint_stage", lambda net, teacher, d, r, epochs, seed, *state: asked.append(epochs)
    )
    guide = networks.build("digits_mlp_teacher").eval()
    for method, epochs, own in (("fitnet", 8, 0), ("fitnet", 2, 0), ("fitnet", 4, 3), ("kd", 8, 0)):
        train.fit(
            tanh_net(), digits(), method, R._replace(epochs=epochs, hint_epochs=own), teacher=guide
        )
    assert asked == [2, 1, 3]


def test_noise_augmented_is_kd_and_its_noise_is_another_in_every_image_and_call():
    d, net, seen = digits(), tanh_net(), []
    b = Batch(
        d.x_train,
        d.y_train,
        torch.randn(32, 10, generator=torch.Generator().manual_seed(0)),
        None,
        2.5,
    )
    kd, still = (
        METHODS[m].terms(net, b, R._replace(sigma=1e-9)) for m in ("kd", "noise_augmented")
    )
    assert still.keys() == kd.keys()
    for name in kd:
        torch.testing.assert_close(still[name], kd[name])
    net.register_forward_pre_hook(lambda m, x: seen.append(x[0] - b.x))
    torch.manual_seed(0)
    for _ in range(2):
        METHODS["noise_augmented"].terms(net, b, R._replace(sigma=0.5))
    noise = torch.cat(seen).flatten(1)
    assert abs(noise.mean()) < 0.03 and noise.std() == pytest.approx(0.5, rel=0.05)
    assert (torch.corrcoef(noise) - torch.eye(64)).abs().max() < 0.6


def test_score_only_compares_plain_scores_and_not_softened_ones():
    d, net = digits(), tanh_net()
    a_T = 4 * torch.randn(32, 10, generator=torch.Generator().manual_seed(0))
    f_S, f_T = (a.softmax(1)[range(32), d.y_train] for a in (net(d.x_train), a_T))
    terms = METHODS["score_only"].terms(
        net, Batch(d.x_train, d.y_train, a_T, None, 1.0), R._replace(tau=4.0, C2=3.0)
    )
    assert terms["score"][0] == 3.0
    assert terms["score"][1].item() == pytest.approx(
        (0.1 + f_T - f_S).clamp(min=0).mean().item(), rel=1e-5
    )


def test_direct_is_trained_on_the_teachers_gradient_of_the_logit_and_through_the_students():
    d, net, guide = digits(), tanh_net().double(), tanh_net()
    torch.nn.init.orthogonal_(guide[1].weight, 3.0)
    r = R._replace(epochs=1, gamma_u=1.5, rho=0.4)
    (row,) = train.fit(tanh_net(), d, "direct", r, teacher=guide.eval()).history
    x, own = d.x_train.double().requires_grad_(), nn.functional.one_hot(d.y_train, 10).bool()

    def hand(n):
        h = [
            (a := m(x))[own] - a.masked_fill(own, -torch.inf).logsumexp(1)
            for m in (n, copy.deepcopy(guide).double())
        ]
        gap = (
            torch.autograd.grad((h[0] - h[1]).sum(), x, create_graph=True)[0].flatten(1).norm(dim=1)
        )
        return (1.5 - (h[0] - h[1]) + 0.4 * gap).clamp(min=0).mean()

    assert row["direct"] == pytest.approx(
        hand(net).item(), rel=1e-3
    )  # the teacher's are in half precision
    a_T, g_T = train.teacher_constants(
        copy.deepcopy(guide).double(), x.detach(), d.y_train, 1.0, "logit"
    )
    ours = METHODS["direct"].terms(net, Batch(x.detach(), d.y_train, a_T, g_T.double(), 1.0), r)[
        "direct"
    ][1]
    for a, b in zip(
        *(
            torch.autograd.grad(value, list(net.parameters()), allow_unused=True)
            for value in (ours, hand(net))
        )
    ):
        torch.testing.assert_close(a, b, rtol=5e-3, atol=1e-5)
