"""Each equation against values worked out by hand, and input gradients against finite
differences.
"""

import math

import pytest
import torch
from torch import nn

from rsnl_lib import geometry
from rsnl_lib.train import attacks, losses

LN3 = math.log(3)
NET = nn.Sequential(nn.Flatten(), nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))


def smooth_net():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    return net, torch.randn(6, 1, 2, 2, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 1, 2])


def test_score_is_the_softened_probability_of_the_true_class():
    a, y = torch.tensor([[0, LN3], [4 * LN3, 0]]), torch.tensor([1, 0])
    torch.testing.assert_close(geometry.score(a, y), torch.tensor([3 / 4, 81 / 82]))
    root = math.sqrt(3)
    torch.testing.assert_close(
        geometry.score(a, y, tau=2), torch.tensor([root / (1 + root), 9 / 10])
    )


def test_soft_cross_entropy_takes_the_teacher_as_target():
    student, teacher = torch.tensor([[0, 2 * LN3]]), torch.tensor([[2 * LN3, 0]])
    want = -(
        3 / 4 * math.log(1 / 4) + 1 / 4 * math.log(3 / 4)
    )  # tau 2: student 1/4, 3/4; teacher 3/4, 1/4
    assert losses.soft_cross_entropy(student, teacher, 2).item() == pytest.approx(want)
    even = torch.zeros(1, 2)
    assert losses.soft_cross_entropy(even, teacher, 2).item() == pytest.approx(math.log(2))
    assert losses.soft_cross_entropy(teacher, even, 2).item() == pytest.approx(math.log(16 / 3) / 2)


@pytest.mark.parametrize(
    "lam, tau_squared, soft", [(0, False, 0), (1, False, 1), (3, False, 3), (3, True, 12)]
)
def test_kd_loss_adds_lambda_times_the_soft_half_and_no_tau_squared_unless_asked(
    lam, tau_squared, soft
):
    a_S, a_T, y = torch.tensor([[0, 2 * LN3]]), torch.zeros(1, 2), torch.tensor([0])
    want = math.log(10) + soft * math.log(16 / 3) / 2  # hard half at tau 1: -ln(1/10)
    assert losses.kd_loss(a_S, a_T, y, lam, 2.0, tau_squared).item() == pytest.approx(want)


@pytest.mark.parametrize("gamma, want", [(0, 0.25), (0.1, 0.3), (1, 1.05)])
def test_score_loss_asks_the_student_to_lead_by_gamma(gamma, want):
    f_S, f_T = torch.tensor([0.9, 0.2]), torch.tensor([0.5, 0.7])
    assert losses.score_loss(f_S, f_T, gamma).item() == pytest.approx(want)


def test_gradient_loss_is_a_mean_of_squared_lengths():
    g_S = torch.tensor([[1.0, 2], [0, 0]]).view(2, 1, 1, 2)
    g_T = torch.tensor([[0.0, 0], [3, 4]]).view(2, 1, 1, 2)
    assert losses.gradient_loss(g_S, g_T).item() == pytest.approx((5 + 25) / 2)
    assert losses.gradient_loss(g_S, 3 * g_S).item() == pytest.approx((20 + 0) / 2)


@pytest.mark.parametrize("tau", [1.0, 3.0])
def test_input_gradient_agrees_with_finite_differences(tau):
    net, x, y = smooth_net()
    a, g = geometry.input_gradient(net, x, y, tau)
    torch.testing.assert_close(a, net(x))
    h, slopes = 1e-5, torch.zeros_like(x)
    for k in range(4):
        move = torch.zeros(4, dtype=x.dtype).index_fill(0, torch.tensor(k), h).view(1, 1, 2, 2)
        ahead, behind = (geometry.score(net(x + s * move), y, tau) for s in (1, -1))
        slopes.view(6, 4)[:, k] = ((ahead - behind) / (2 * h)).detach()
    torch.testing.assert_close(g, slopes, rtol=1e-6, atol=1e-9)


def test_one_sum_for_the_batch_equals_a_loop_over_its_images():
    net, x, y = smooth_net()
    _, together = geometry.input_gradient(net, x, y, 2.0)
    alone = [
        geometry.input_gradient(net, x[i : i + 1], y[i : i + 1], 2.0)[1] for i in range(len(x))
    ]
    torch.testing.assert_close(together, torch.cat(alone))


def test_input_gradient_is_differentiable_only_when_asked_and_leaves_no_trace():
    net, x, y = smooth_net()
    assert geometry.input_gradient(net, x, y, create_graph=True)[1].requires_grad
    with torch.no_grad():
        assert not geometry.input_gradient(net, x, y)[1].requires_grad
    assert not x.requires_grad and x.grad is None
    assert all(p.grad is None for p in net.parameters())


def test_batch_norm_in_training_mode_is_refused_by_name():
    net, x, y = (
        nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(4, 3)),
        torch.rand(5, 1, 2, 2),
        torch.arange(5) % 3,
    )
    with pytest.raises(ValueError, match="BatchNorm2d in training mode.*eval"):
        geometry.input_gradient(net, x, y)
    assert geometry.input_gradient(net.eval(), x, y)[1].shape == x.shape


@pytest.mark.parametrize("tau", [0, -1.0, math.nan, math.inf, "3", None, True])
def test_bad_tau_is_named(tau):
    a, y = torch.zeros(1, 2), torch.tensor([0])
    for call in (
        lambda: geometry.score(a, y, tau),
        lambda: losses.soft_cross_entropy(a, a, tau),
        lambda: losses.kd_loss(a, a, y, 1.0, tau),
        lambda: geometry.input_gradient(NET, torch.zeros(1, 1, 2, 2), y, tau),
    ):
        with pytest.raises(ValueError) as error:
            call()
        assert f"tau={tau!r}" in str(error.value) and "above zero" in str(error.value)


@pytest.mark.parametrize("value", [-0.1, math.nan, "much"])
def test_bad_gamma_and_lambda_are_named(value):
    a, y = torch.zeros(1, 2), torch.tensor([0])
    with pytest.raises(ValueError, match="gamma="):
        losses.score_loss(a[:, 0], a[:, 0], value)
    with pytest.raises(ValueError, match="lam="):
        losses.kd_loss(a, a, y, value, 1.0)


@pytest.mark.parametrize(
    "a, y, said",
    [
        (torch.zeros(2, 3), torch.tensor([0]), r"\(2, 3\) and labels \(1,\)"),
        (torch.zeros(3), torch.tensor([0, 1, 2]), r"want \(n, classes\)"),
        (torch.zeros(2, 3), torch.zeros(2), "float32; they must be torch.int64"),
        (torch.zeros(2, 3), torch.zeros(2, dtype=torch.int32), "int32; they must be torch.int64"),
    ],
)
def test_labels_that_do_not_fit_are_refused(a, y, said):
    with pytest.raises(ValueError, match=said):
        geometry.score(a, y)
    with pytest.raises(ValueError, match=said):
        losses.kd_loss(a, a, y, 1.0, 1.0)


def test_shapes_that_would_broadcast_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 3\) and teacher logits \(1, 3\)"):
        losses.soft_cross_entropy(torch.zeros(2, 3), torch.zeros(1, 3), 1.0)
    with pytest.raises(ValueError, match=r"\(2, 1, 4, 4\) and teacher gradients \(1, 1, 4, 4\)"):
        losses.gradient_loss(torch.zeros(2, 1, 4, 4), torch.zeros(1, 1, 4, 4))


@pytest.mark.parametrize(
    "call",
    [
        lambda a, y, f, x: losses.kd_loss(a, a, y, 1.0, 2.0),
        lambda a, y, f, x: losses.mimic_loss(a, a),
        lambda a, y, f, x: losses.hint_loss(x, x),
        lambda a, y, f, x: losses.score_loss(f, f, 0.1),
        lambda a, y, f, x: losses.score_floor(f, 0.1),
        lambda a, y, f, x: losses.gradient_loss(x, x),
        lambda a, y, f, x: losses.direct_loss(f, f, x, x, 0.1, 0.1),
    ],
)
def test_an_empty_batch_has_no_loss(call):
    empty = torch.zeros(0, 3), torch.zeros(0).long(), torch.zeros(0), torch.zeros(0, 1, 2, 2)
    with pytest.raises(ValueError, match="an empty batch has no mean"):
        call(*empty)


def test_a_network_that_ignores_its_images_and_a_single_class_have_no_gradient():
    net, x, y = smooth_net()
    one = nn.Linear(3, 3).double()
    for blind in (
        lambda x: torch.ones(len(x), 3, dtype=x.dtype),
        lambda x: one(torch.ones(len(x), 3, dtype=x.dtype)),
        lambda x: net(x.detach()),
    ):
        module = nn.Module()
        module.forward = blind
        with pytest.raises(ValueError, match="ignores its images"):
            geometry.input_gradient(module, x, y)
        with pytest.raises(ValueError, match="ignores its images"):
            attacks.pgd(module, x, attacks.cross_entropy(y), 0.1, 0.1, low=None, high=None)
    with pytest.raises(ValueError, match="1 class; margins want at least 2"):
        geometry.height(torch.zeros(2, 1), torch.zeros(2).long())


@pytest.mark.parametrize("R", [-1.0, float("nan"), torch.tensor([1.0, -1.0])])
@pytest.mark.parametrize("q", [1, 2, math.inf])
def test_a_ball_of_a_negative_radius_is_refused(R, q):
    d = torch.ones(2, 1, 2, 2)
    with pytest.raises(ValueError, match="must be a length: zero or above"):
        geometry.onto_ball(d, R, q)
    with pytest.raises(ValueError, match="must be a length: zero or above"):
        geometry.random_in_ball(d, R, q)
    assert not geometry.onto_ball(d, 0.0, q).any()
    assert torch.equal(geometry.onto_ball(d, math.inf, q), d)
