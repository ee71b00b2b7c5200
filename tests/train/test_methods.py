"""Each term alone: does it reach the student, never the teacher, with the weight the recipe gives
it?
"""

import pytest
import torch
from torch import nn

from rsnl_lib import data, networks, train
from rsnl_lib.data import sets
from rsnl_lib.networks import zoo
from rsnl_lib.train import losses
from rsnl_lib.train.methods import METHODS
from rsnl_lib.train.methods.base import Batch
from rsnl_lib.train.methods.controls import random_directions

FULL = ("ce", "kd", "gradient", "score")
TERMS = [
    (m, t)
    for m, terms in {
        "kd": FULL[:2],
        "robust": FULL,
        "target_zero": FULL,
        "shuffled": FULL,
        "matched": FULL,
        "gradient_only": FULL[:3],
        "score_only": ("ce", "kd", "score"),
        "mimic": ("ce", "mimic"),
        "noise_augmented": FULL[:2],
        "direct": ("ce", "kd", "direct"),
    }.items()
    for t in terms
]
R = train.Recipe("test", 40, lr=1e-2, lr_conv=1e-2, batch=32, tau=2.0, gamma=0.9, C1=7.0, C2=3.0)


def relu_net(hidden=32):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, 10))


def setting(make=relu_net):
    """A student, a teacher and one batch of digits with the teacher's constants."""
    torch.manual_seed(0)
    d = sets.digits()
    x, y = d.x_train[:16], d.y_train[:16]
    student, teacher = make().train(), networks.build("digits_mlp_teacher").eval()
    a_T, g_T = train.teacher_constants(teacher, x, y, R.tau, "tempered")
    return student, teacher, Batch(x, y, a_T, g_T.float(), 2.5)


@pytest.mark.parametrize(
    "make", [relu_net, zoo.NETWORKS["digits_mlp_student"], zoo.NETWORKS["digits_student"]]
)
@pytest.mark.parametrize("method, term", TERMS)
def test_each_term_alone_reaches_every_student_weight_and_no_teacher_weight(method, term, make):
    student, teacher, batch = setting(make)
    assert not batch.a_T.requires_grad and not batch.g_T.requires_grad
    weight, value = METHODS[method].terms(student, batch, R)[term]
    assert value.requires_grad and weight > 0 and value > 0
    value.backward()
    for name, p in student.named_parameters():
        if name.endswith("weight"):
            assert p.grad is not None and p.grad.abs().sum() > 0, name
    assert all(p.grad is None for p in teacher.parameters())


@pytest.mark.parametrize("method", ["kd", "robust", "target_zero"])
@pytest.mark.parametrize("tau_squared", [False, True])
def test_weights_are_those_of_the_recipe(method, tau_squared):
    student, _, batch = setting()
    terms = METHODS[method].terms(student, batch, R._replace(tau_squared=tau_squared))
    want = {
        "ce": 1.0,
        "kd": 2.5 * (4 if tau_squared else 1),
        "gradient": 7.0,
        "score": 3.0,
        "score_floor": 0.0,
    }
    assert {k: w for k, (w, _) in terms.items()} == {k: want[k] for k in terms}
    assert len(terms) == (2 if method == "kd" else 5)


def test_robust_is_equation_17():
    student, teacher, batch = setting()
    x = batch.x.clone().requires_grad_()
    a_S, a_T = student(x), teacher(x)
    g_S, g_T = (
        torch.autograd.grad(
            torch.softmax(a / R.tau, 1)[range(16), batch.y].sum(), x, retain_graph=True
        )[0]
        for a in (a_S, a_T)
    )
    f_S, f_T = (torch.softmax(a, 1)[range(16), batch.y] for a in (a_S, a_T))
    hand = {
        "ce": -f_S.log().mean(),
        "kd": -(torch.softmax(a_T / 2, 1) * torch.log_softmax(a_S / 2, 1)).sum(1).mean(),
        "gradient": (g_S - g_T).pow(2).sum((1, 2, 3)).mean(),
        "score": (0.9 + f_T - f_S).clamp(min=0).mean(),
    }
    got = METHODS["robust"].terms(student, batch, R)
    for name, value in hand.items():
        torch.testing.assert_close(
            got[name][1], value, rtol=2e-3, atol=1e-6, msg=lambda m: f"{name}: {m}"
        )
    total = sum(w * v for w, v in METHODS["kd"].terms(student, batch, R).values())
    torch.testing.assert_close(total, losses.kd_loss(a_S, batch.a_T, batch.y, 2.5, R.tau))


def test_target_zero_is_robust_with_a_teacher_gradient_of_zero():
    student, _, batch = setting()
    zero = METHODS["target_zero"].terms(student, batch._replace(g_T=None), R)
    robust = METHODS["robust"].terms(student, batch._replace(g_T=torch.zeros_like(batch.x)), R)
    assert zero.keys() == robust.keys()
    for name in robust:
        torch.testing.assert_close(zero[name], robust[name])
    assert not torch.allclose(
        zero["gradient"][1], METHODS["robust"].terms(student, batch, R)["gradient"][1]
    )


def test_each_term_alone_is_robust_without_the_other():
    student, _, batch = setting()
    robust = METHODS["robust"].terms(student, batch, R)
    for method, lost in (("gradient_only", {"score", "score_floor"}), ("score_only", {"gradient"})):
        alone = METHODS[method].terms(student, batch, R)
        assert set(robust) - set(alone) == lost
        for name, (weight, value) in alone.items():
            assert weight == robust[name][0]
            torch.testing.assert_close(value, robust[name][1])


def test_the_floor_is_logged_and_never_trained_on():
    student, _, batch = setting()
    weight, floor = METHODS["robust"].terms(student, batch, R)["score_floor"]
    f_T = torch.softmax(batch.a_T, 1)[range(16), batch.y]
    assert weight == 0 and floor == pytest.approx(
        (0.9 + f_T - 1).clamp(min=0).mean().item(), abs=1e-6
    )
    assert 0 < floor <= METHODS["robust"].terms(student, batch, R)["score"][1]


def test_shuffled_deals_the_gradients_anew_within_each_class():
    student, _, batch = setting()
    batch = batch._replace(
        y=torch.tensor([0, 1, 2, 3] * 4),
        g_T=torch.arange(16.0).view(16, 1, 1, 1).expand(16, 1, 8, 8).contiguous(),
    )
    kept = []
    sees = METHODS["shuffled"].terms.__globals__["robust"]
    METHODS["shuffled"].terms.__globals__["robust"] = lambda net, b, r: (
        kept.append(b.g_T[:, 0, 0, 0]) or {}
    )
    try:
        torch.manual_seed(0)
        for _ in range(20):
            METHODS["shuffled"].terms(student, batch, R)
    finally:
        METHODS["shuffled"].terms.__globals__["robust"] = sees
    for g in kept:
        assert sorted(g.tolist()) == list(range(16)), "a permutation"
        assert (g.long() % 4 == batch.y).all(), "within the class"
    assert len({tuple(g.tolist()) for g in kept}) > 10, "anew each time"


def test_matched_keeps_each_gradients_length_and_nothing_of_its_direction():
    _, _, batch = setting()
    g_T = torch.cat([batch.g_T] * 25).half()
    g_T[3] = 0
    made = random_directions(g_T, 5, chunk=7)
    assert made.dtype == torch.half and made.shape == g_T.shape and not made[3].any()
    flat, own = made.float().flatten(1), g_T.float().flatten(1)
    torch.testing.assert_close(flat.norm(dim=1), own.norm(dim=1), rtol=2e-3, atol=1e-6)
    cosine = torch.cosine_similarity(flat, own)
    assert abs(cosine.mean()) < 4 / 8 / 20 and 0.5 < cosine.std() * 8 < 1.5, (
        "uniform: mean 0, sd 1 / sqrt(64 pixels)"
    )
    assert torch.equal(made, random_directions(g_T, 5, chunk=7)) and not torch.equal(
        made, random_directions(g_T, 6, chunk=7)
    )


def test_matched_sees_one_direction_an_image_in_every_epoch_and_after_a_resume(
    tmp_path, monkeypatch
):
    d = sets.digits()
    d = d._replace(x_train=d.x_train[:64], y_train=d.y_train[:64])
    teacher, seen = networks.build("digits_mlp_teacher").eval(), []
    how = METHODS["matched"]

    def terms(net, b, r):
        seen.append({tuple(x.flatten()[:40].tolist()): g for x, g in zip(b.x, b.g_T)})
        return how.terms(net, b, r)

    monkeypatch.setitem(METHODS, "matched", how._replace(terms=terms))
    train.fit(
        networks.start("digits_student", d),
        d,
        "matched",
        R._replace(epochs=2),
        1,
        teacher,
        tmp_path / "state",
    )
    first, second = ({k: g for part in seen[i : i + 2] for k, g in part.items()} for i in (0, 2))
    assert len(first) == 64 and all(torch.equal(first[k], second[k]) for k in first)
    with pytest.raises(
        ValueError, match="'matched' draws its target once an image, and crop=1 .*set crop=0"
    ):
        train.fit(networks.start("digits_student", d), d, "matched", R._replace(crop=1), 1, teacher)


def test_mimic_is_equation_2():
    student, _, batch = setting()
    a_S = student(batch.x)
    hand = {
        "logits": (a_S - batch.a_T).pow(2).sum(1).mean(),
        "probabilities": (a_S.softmax(1) - batch.a_T.softmax(1)).pow(2).sum(1).mean(),
    }
    for on, value in hand.items():
        weight, got = METHODS["mimic"].terms(student, batch, R._replace(mimic_on=on))["mimic"]
        assert weight == 2.5 / 2
        torch.testing.assert_close(got, value)


def test_noise_augmented_is_kd_on_noisy_images_of_that_strength():
    student, _, batch = setting()
    seen = []
    hook = student.register_forward_pre_hook(lambda m, x: seen.append(x[0]))
    torch.manual_seed(3)
    METHODS["noise_augmented"].terms(student, batch, R._replace(sigma=0.3))
    hook.remove()
    assert (seen[0] - batch.x).std() == pytest.approx(0.3, rel=0.1) and len(seen) == 1


def test_direct_is_the_theorem_to_first_order():
    student, teacher, batch = setting()
    u = lambda net, x: (
        (a := net(x))[range(16), batch.y]
        - a.masked_fill(torch.nn.functional.one_hot(batch.y, 10).bool(), -torch.inf).logsumexp(1)
    )
    x = batch.x.clone().requires_grad_()
    h = u(student, x) - u(teacher, x)
    gap = torch.autograd.grad(h.sum(), x)[0].flatten(1).norm(dim=1)
    want = (1.5 - h + 0.2 * gap).clamp(min=0).mean()
    g_T = train.teacher_constants(teacher, batch.x, batch.y, R.tau, "logit")[1].float()
    got = METHODS["direct"].terms(
        student, batch._replace(g_T=g_T), R._replace(gamma_u=1.5, rho=0.2)
    )["direct"]
    assert got[0] == 1.0
    torch.testing.assert_close(got[1], want, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("middle", [nn.Tanh(), networks.Maxout(nn.Linear(4, 8))])
def test_parameter_gradient_of_L_G_agrees_with_finite_differences(middle):
    torch.manual_seed(1)
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 4), middle, nn.Linear(4, 3)).double().train()
    x, y = torch.randn(5, 1, 2, 2, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 1])
    g_T, a_T = torch.randn_like(x), torch.zeros(5, 3, dtype=torch.float64)

    def L_G():
        return METHODS["robust"].terms(net, Batch(x, y, a_T, g_T, 1.0), R)["gradient"][1]

    assert L_G().requires_grad
    exact = torch.autograd.grad(L_G(), list(net.parameters()), allow_unused=True)
    h = 1e-6
    for p, g in zip(net.parameters(), exact):
        slopes = torch.zeros_like(p)
        for i in range(p.numel()):
            ends = []
            for s in (h, -2 * h):
                p.data.view(-1)[i] += s
                ends.append(L_G().item())
            p.data.view(-1)[i] += h
            slopes.view(-1)[i] = (ends[0] - ends[1]) / (2 * h)
        torch.testing.assert_close(
            torch.zeros_like(p) if g is None else g, slopes, rtol=1e-5, atol=1e-8
        )


@pytest.mark.parametrize("pieces", [2, 3])
def test_maxout_is_the_same_function_in_training_and_in_evaluation(pieces):
    torch.manual_seed(0)
    net, x = networks.Maxout(nn.Linear(6, 4 * pieces), pieces), torch.randn(50, 6)
    outs, grads = [], []
    for mode in (True, False):
        at = x.clone().requires_grad_()
        outs.append(net.train(mode)(at))
        grads.append(torch.autograd.grad(outs[-1].square().sum(), at)[0])
    torch.testing.assert_close(outs[1], net.layer(x).view(50, pieces, 4).amax(1))
    torch.testing.assert_close(*outs)
    torch.testing.assert_close(*grads)


def few():
    d = sets.digits()
    return data.Data("few", 10, *(d.x_train[:32], d.y_train[:32]) * 3)


def test_every_method_learns_32_images_by_heart_with_any_module():
    torch.manual_seed(0)
    d, start = few(), relu_net().state_dict()
    r = R._replace(epochs=80, gamma=0.1, C1=1.0, C2=1.0)
    teacher = None
    for method in METHODS:  # "teacher" comes first
        student = relu_net()
        student.load_state_dict(start)
        run = train.fit(student, d, method, r, teacher=teacher)
        assert train.accuracy(run.last, d.x_train, d.y_train) == 1.0, method
        teacher = teacher or run.last


def test_teacher_is_bit_identical_after_training_its_students():
    d, teacher = few(), networks.build("digits_mlp_teacher").eval()
    before = [p.clone() for p in teacher.state_dict().values()]
    for method in list(METHODS)[1:]:
        train.fit(relu_net(), d, method, R._replace(epochs=2), teacher=teacher)
        assert all(map(torch.equal, teacher.state_dict().values(), before)), method
        assert all(p.grad is None for p in teacher.parameters()) and not teacher.training, method


def test_robust_without_its_own_terms_is_kd_and_with_them_is_not():
    d, teacher, ends = few(), networks.build("digits_mlp_teacher").eval(), {}
    for method, C in (("kd", 0.0), ("robust", 0.0), ("robust", 5.0)):
        torch.manual_seed(0)
        net = relu_net()
        train.fit(net, d, method, R._replace(epochs=2, C1=C, C2=C), teacher=teacher)
        ends[method, C] = net[1].weight
    torch.testing.assert_close(ends["robust", 0.0], ends["kd", 0.0], rtol=1e-4, atol=1e-5)
    assert (ends["robust", 5.0] - ends["kd", 0.0]).abs().max() > 1e-3
