"""Boundary supporting samples against closed forms on linear networks; their loss; MagSim and
AngSim.
"""

import collections
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from rsnl_lib import data, env, networks, store, train
from rsnl_lib.data import sets
from rsnl_lib.geometry import boundary
from rsnl_lib.study import jobs
from rsnl_lib.train import losses, methods
from rsnl_lib.train.methods import supporting

D = torch.float64
NAN = math.nan
few = settings(max_examples=60, deadline=None, derandomize=True, database=None)
Batch = collections.namedtuple("Batch", "x y a_T teacher share")
R = train.Recipe("test", 40, tau=2.0)


def linear(weights, bias):
    net = nn.Sequential(nn.Flatten(), nn.Linear(len(weights[0]), len(weights))).to(D).eval()
    with torch.no_grad():
        net[1].weight.copy_(torch.tensor(weights, dtype=D))
        net[1].bias.copy_(torch.tensor(bias, dtype=D))
    return net


def images(*rows):
    return torch.tensor(rows, dtype=D).view(len(rows), 1, 1, -1)


def classes(*ks):
    return torch.tensor(ks)


# At the origin f = (2, 0, c); a walk from class 0 to class 1 goes along (3, 4) / 5, on which f_0 =
# 2, f_1 = 5 t and f_2 = slope t + c.
def three(slope=0.0, c=-100.0):
    return linear([[0, 0], [3, 4], [0.6 * slope, 0.8 * slope]], [2, 0, c])


ORIGIN, FROM, TO = images([0, 0]), classes(0), classes(1)
WAY = images([0.6, 0.8])


def relu_net(seed=0, hidden=16, inputs=6, out=4):
    torch.manual_seed(seed)
    return (
        nn.Sequential(nn.Flatten(), nn.Linear(inputs, hidden), nn.Tanh(), nn.Linear(hidden, out))
        .to(D)
        .eval()
    )


# The walk ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("eta, eps", [(0.3, 1e-4), (0.25, 0.01), (2.0, 0.5)])
def test_the_first_step_is_the_papers_and_crosses_the_line(eta, eps):
    s = boundary.search(three(), ORIGIN, FROM, TO, eta, eps)
    torch.testing.assert_close(s.x, eta * (2 + eps) * WAY)
    assert s.accepted.all() and s.steps.tolist() == [1]
    assert s.before.item() == 2 and s.after.item() == pytest.approx(2 - 5 * eta * (2 + eps))
    assert s.before > 0 > s.after and boundary.top_two(s.logits) <= -s.after
    assert s.x.flatten().norm() > 2 / 5  # where f_0 = f_1
    torch.testing.assert_close(s.logits, three()(s.x))


def test_short_steps_shrink_and_epsilon_carries_the_walk_across():
    s = boundary.search(
        three(), ORIGIN, FROM, TO, eta=0.1, eps=0.01
    )  # eta ||grad|| = 1/2: L becomes L / 2 - eps / 2
    assert s.accepted.all() and s.steps.tolist() == [8]
    assert (
        s.after.item() == pytest.approx(2 / 256 - 0.01 * (1 - 1 / 256))
        and 0 > s.after >= -0.1 * 0.01 * 5
    )
    late = boundary.search(three(), ORIGIN, FROM, TO, eta=0.1, eps=0.01, steps=7)
    assert (
        not late.accepted.any()
        and late.steps.tolist() == [7]
        and late.after.item() == pytest.approx(2 / 128 - 0.01 * (1 - 1 / 128))
    )
    assert boundary.search(three(), ORIGIN, FROM, TO, eta=0.1, eps=0.01, steps=8).accepted.all(), (
        "the last step counts"
    )
    assert boundary.search(
        three(), ORIGIN, FROM, TO, eta=0.1, eps=0.01, steps=7, rule="code"
    ).accepted.all(), "no filter"


def test_newtons_step_lands_on_the_line_whatever_the_scale():
    for scale in (1, 1000):
        net = linear([[0, 0], [3 * scale, 4 * scale], [0, 0]], [2 * scale, 0, -100 * scale])
        s = boundary.search(net, ORIGIN, FROM, TO, eta=None, eps=1e-4)
        torch.testing.assert_close(s.x, (2 * scale + 1e-4) / (5 * scale) * WAY)
        assert (
            s.accepted.all()
            and s.steps.tolist() == [1]
            and s.after.item() == pytest.approx(-1e-4, rel=1e-6)
        )


def test_halving_the_last_step_brings_the_sample_back_to_the_line():
    far = boundary.search(
        three(), ORIGIN, FROM, TO, eta=1.0
    )  # at t = 2.0001; the line is at t = 0.4
    near = boundary.search(three(), ORIGIN, FROM, TO, eta=1.0, halvings=20)
    t = near.x.norm().item()
    assert (
        far.after.item() == pytest.approx(2 - 5 * 2.0001)
        and far.accepted.all()
        and near.accepted.all()
    )
    assert (
        0.4 < t < 0.4 + 2.1 / 2**20
        and -5 * 2.1 / 2**20 < near.after.item() < 0
        and boundary.top_two(near.logits) <= -near.after
    )
    torch.testing.assert_close(near.logits, three()(near.x))
    assert near.steps.tolist() == [1] and near.before.item() == 2
    once = boundary.search(three(), ORIGIN, FROM, TO, eta=1.0, halvings=1)
    torch.testing.assert_close(once.x, far.x / 2)
    for name in ("x", "accepted", "steps", "after"):  # one that never crossed is left alone
        assert torch.equal(
            getattr(boundary.search(three(), ORIGIN, FROM, TO, 0.01, steps=2, halvings=9), name),
            getattr(boundary.search(three(), ORIGIN, FROM, TO, 0.01, steps=2), name),
        )


def test_halving_takes_a_walk_that_began_close_to_the_line():
    net = linear([[0, 0], [3, 4]], [0.5, 0])  # the line is at t = 0.1
    near = boundary.search(net, ORIGIN, FROM, TO, eta=1.0, halvings=20)
    assert near.before.item() == 0.5 and near.x.norm().item() == pytest.approx(0.1, abs=1e-5)


def test_halving_rejects_a_sample_whose_border_lies_in_a_third_class():
    net = three(1, 1.9)  # f_2 = t + 1.9 leads at t = 0.4, where f_0 = f_1 = 2, and no more at t = 2
    assert boundary.search(net, ORIGIN, FROM, TO, eta=1.0).accepted.all()
    assert not boundary.search(net, ORIGIN, FROM, TO, eta=1.0, halvings=20).accepted.any()
    assert boundary.search(
        net, ORIGIN, FROM, TO, eta=1.0, rule="code", halvings=20
    ).accepted.all(), "no filter"


@pytest.mark.parametrize("eta, slope, c, sign", [(0.3, 10, -1, -1), (0.1, 10, 1, 1)])
def test_a_third_class_that_beats_both_ends_the_walk_and_only_the_papers_rule_rejects(
    eta, slope, c, sign
):
    net = three(slope, c)
    paper, code = (
        boundary.search(net, ORIGIN, FROM, TO, eta, rule=rule) for rule in boundary.RULES
    )
    assert (
        paper.after.sign().item() == sign
        and paper.logits.argmax() == 2
        and paper.steps.tolist() == [1]
    )
    assert not paper.accepted.any() and code.accepted.all()
    torch.testing.assert_close(paper.x, code.x)


def test_a_third_class_between_the_two_does_not_reject():
    s = boundary.search(three(4, 0.2), ORIGIN, FROM, TO)  # at t = 0.60003: f = 2, 3.0, 2.6
    assert s.logits.argsort(descending=True).tolist() == [[1, 2, 0]] and s.accepted.all()
    assert boundary.top_two(s.logits) < -s.after


def test_the_codes_rule_walks_on_while_the_base_class_leads_and_the_papers_while_no_third_does():
    net = three(5, 0.5)  # f_2 = 5 t + 0.5 stays above f_1 = 5 t, and crosses f_0 at t = 0.3
    paper, code = (
        boundary.search(net, ORIGIN, FROM, TO, 0.1, 0.01, rule=rule) for rule in boundary.RULES
    )
    assert (
        paper.steps.tolist() == code.steps.tolist() == [2]
        and not paper.accepted.any()
        and code.accepted.all()
    )
    low = three(0, 1.9)  # f_2 = 1.9 never beats f_0 = 2
    assert boundary.search(low, ORIGIN, FROM, TO, 0.1, 0.01).accepted.all()


def test_a_start_on_the_wrong_side_is_rejected_where_it_stands():
    at = images([3, 4], [0, 0], [0, 0])  # class 1 leads; class 2 leads; as it should be
    net = three(0, 2.5)
    s = boundary.search(net, at, classes(0, 0, 2), classes(1, 1, 1), steps=5)
    assert s.accepted.tolist()[:2] == [False, False] and s.steps.tolist()[:2] == [0, 0]
    assert torch.equal(s.x[:2], at[:2])


def test_without_a_slope_the_walk_stands_still_and_holds_no_nan():
    for eta in (0.3, None):
        s = boundary.search(linear([[0, 0]] * 3, [2, 0, -1]), ORIGIN, FROM, TO, eta)
        assert torch.equal(s.x, ORIGIN) and not s.accepted.any() and s.steps.tolist() == [10]


def test_each_image_walks_alone_and_the_path_holds_every_step():
    net, x = (
        relu_net(),
        torch.rand(12, 1, 2, 3, dtype=D, generator=torch.Generator().manual_seed(0)),
    )
    base = net(x).argmax(1)
    k = (base + torch.arange(1, 13) % 3 + 1) % 4
    s = boundary.search(net, x, base, k, eta=0.9, eps=0.01, path=True)
    assert len(set(s.steps.tolist())) > 2 and 0 < s.accepted.sum() < 12, "a mixed batch"
    assert s.path.shape == (11, *x.shape) and torch.equal(s.path[0], x)
    for i in range(12):
        alone = boundary.search(net, x[i : i + 1], base[i : i + 1], k[i : i + 1], eta=0.9, eps=0.01)
        torch.testing.assert_close(alone.x[0], s.x[i])
        assert (
            alone.accepted[0] == s.accepted[i]
            and alone.steps[0] == s.steps[i]
            and alone.path is None
        )
        torch.testing.assert_close(
            torch.stack([alone.before[0], alone.after[0]]), torch.stack([s.before[i], s.after[i]])
        )
        for j in range(10):
            z, ended = s.path[j, i : i + 1].clone().requires_grad_(), j >= s.steps[i]
            a = net(z)[0]
            (g,) = torch.autograd.grad(a[base[i]] - a[k[i]], z)
            step = 0.9 * ((a[base[i]] - a[k[i]]).item() + 0.01) * g[0] / g.norm()
            torch.testing.assert_close(
                s.path[j + 1, i], s.path[j, i] if ended else s.path[j, i] - step
            )
    a = net(s.x)
    torch.testing.assert_close(s.logits, a.detach())
    torch.testing.assert_close(s.after, (a[range(12), base] - a[range(12), k]).detach())


@pytest.mark.parametrize("box", [dict(high=0.3), dict(low=-1.0, high=0.3), dict(low=0.0, high=0.3)])
def test_pixels_are_clipped_from_above(box):
    s = boundary.search(three(), ORIGIN, FROM, TO, path=True, **box)
    torch.testing.assert_close(
        s.path[1], images([0.3, 0.3])
    )  # from (0.36, 0.48): there 3 x + 4 y = 2.1 > 2
    assert s.path.max() == 0.3 and s.accepted.all()


@pytest.mark.parametrize("box", [dict(low=0.2), dict(low=0.2, high=1.0)])
def test_pixels_are_clipped_from_below_and_a_walk_can_be_shut_in(box):
    s = boundary.search(three(), images([0.5, 0.5]), TO, FROM, path=True, **box)
    torch.testing.assert_close(s.path[1], images([0.5 - 0.18 * 1.5001, 0.2]))  # 0.14 without a clip
    assert s.accepted.all()
    shut = boundary.search(three(), images([0.5, 0.5]), TO, FROM, low=0.3)
    torch.testing.assert_close(shut.x, images([0.3, 0.3]))
    assert not shut.accepted.any() and shut.after.item() == pytest.approx(0.1)


def test_the_network_and_the_images_are_left_as_they_were():
    net, x = relu_net(), torch.rand(4, 1, 2, 3, dtype=D)
    before, seen = {k: v.clone() for k, v in net.state_dict().items()}, x.clone()
    base = net(x).argmax(1)
    with torch.no_grad():
        s = boundary.search(net, x, base, (base + 1) % 4, path=True)
    assert (
        not any(t.requires_grad for t in s)
        and not x.requires_grad
        and x.grad is None
        and torch.equal(x, seen)
    )
    assert all(p.requires_grad and p.grad is None for p in net.parameters()) and not net.training
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_autocast_around_the_search_does_not_make_it_coarse():
    net, x = relu_net().float(), torch.rand(4, 1, 2, 3)
    base = net(x).argmax(1)
    want = boundary.search(net, x, base, (base + 1) % 4)
    with torch.autocast("cpu", torch.bfloat16):
        got = boundary.search(net, x, base, (base + 1) % 4)
    torch.testing.assert_close(got.x, want.x)
    assert got.logits.dtype == torch.float32


# Where to start, where to go ---------------------------------------------------------------------

P_T = torch.tensor(
    [[0.9, 0.05, 0.05], [0.6, 0.39, 0.01], [0.2, 0.7, 0.1], [0.98, 0.01, 0.01], [0.8, 0.1, 0.1]]
)
P_S = torch.tensor(
    [[0.5, 0.25, 0.25], [0.6, 0.09, 0.31], [0.98, 0.01, 0.01], [0.1, 0.8, 0.1], [0.8, 0.1, 0.1]]
)


@pytest.mark.parametrize("count, want", [(1, [1]), (2, [1, 0]), (3, [0, 1, 4]), (64, [0, 1, 4])])
def test_base_samples_are_those_both_get_right_and_disagree_on_most(count, want):
    # right: 0, 1, 4. Off the true class they differ by 0.04 + 0.04, 0.09 + 0.09 and 0; on it by
    # 0.16, 0 and 0: that must not count.
    got = supporting.base_samples(P_T.log(), P_S.log(), torch.zeros(5, dtype=torch.long), count)
    assert got.tolist() == want


def test_the_weights_are_the_teachers_other_classes_and_the_draws_follow_them():
    a = torch.tensor([[1.0, 4.0, 2.0, 0.0]])
    q = a.softmax(1)[0]
    k, p = supporting.targets(a.expand(20_000, 4), torch.Generator().manual_seed(0))
    torch.testing.assert_close(p[0], (q / (1 - q[1])).index_fill(0, torch.tensor(1), 0))
    torch.testing.assert_close(p.sum(1), torch.ones(20_000))
    seen, expected = torch.bincount(k, minlength=4), p[0] * 20_000
    assert seen[1] == 0
    others = [0, 2, 3]
    assert ((seen - expected)[others] ** 2 / expected[others]).sum() < 13.8, (
        "chi-square, 2 degrees of freedom, 0.1 %"
    )


def test_a_saturated_teacher_still_has_weights():
    _, p = supporting.targets(torch.tensor([[300.0, 1.0, 0.0]]))
    torch.testing.assert_close(p, torch.tensor([[0, math.e / (1 + math.e), 1 / (1 + math.e)]]))


def test_the_draw_repeats_by_generator_and_by_the_global_seed():
    a = torch.zeros(50, 10)
    draw = lambda seed: (torch.manual_seed(seed), supporting.targets(a)[0])[1].tolist()
    assert draw(1) == draw(1) != draw(2)
    first, second = (
        supporting.targets(a, torch.Generator().manual_seed(3))[0].tolist() for _ in range(2)
    )
    assert first == second and 0 not in first


# The loss ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "share, alpha, beta", [(0, 4, 2), (0.5, 2.5, 2 / 3), (0.75, 1.75, 0), (0.99, 1.03, 0)]
)
def test_the_schedules(share, alpha, beta):
    assert supporting.schedule(share) == pytest.approx((alpha, beta), abs=1e-12)


def soft(a_T, a_S, tau=2.0):
    e_T, e_S = [math.exp(v / tau) for v in a_T], [math.exp(v / tau) for v in a_S]
    return -sum(t / sum(e_T) * math.log(s / sum(e_S)) for t, s in zip(e_T, e_S))


def test_the_loss_by_hand():
    teacher, student = (
        three(),
        linear([[0, 0], [1, 0], [0, 0]], [1, 0, -100]).train(),
    )  # class 2 is far off: the class to walk to is 1
    x, y = (
        images([0, 0], [0, 0], [3, 4]),
        classes(0, 1, 1),
    )  # the second both get wrong; at (3, 4) f_T = (2, 25), f_S = (1, 3)
    b = Batch(x, y, teacher(x).detach(), teacher, 0.25)
    got = methods.bss(student, b, R, eta=0.3, count=3)
    t, u = 0.3 * 2.0001, 0.3 * 23.0001  # from (0, 0) along (3, 4) / 5, from (3, 4) against it
    from_0, from_1 = soft((2, 5 * t), (1, 0.6 * t)), soft((2, 25 - 5 * u), (1, 3 - 0.6 * u))
    ce = lambda own, other: math.log(1 + math.exp(other - own))
    want = {
        "ce": (1, (ce(1, 0) + ce(0, 1) + ce(3, 1)) / 3),
        "kd": (3.25, (2 * soft((2, 0), (1, 0)) + soft((2, 25), (1, 3))) / 3),
        "bss": (4 / 3, (from_0 + from_1) / 2),
        "bss_share": (0, 2 / 3),
    }
    assert got.keys() == want.keys()
    for name, (weight, value) in want.items():
        assert got[name][0] == pytest.approx(weight), name
        assert got[name][1].item() == pytest.approx(value, rel=1e-6), name
    assert methods.bss(student, b, R, eta=0.3)["bss"][1].item() == pytest.approx(
        from_0, rel=1e-6
    )  # a quarter of three is one; p differ by 0.15 each there, by 0.12 here


def setting(share=0.25):
    """A student and a teacher that are right about most digits, and a batch of them."""
    path = {
        m: jobs.Job("digits", m, f"digits_mlp_{n}", "tau4").path()
        for m, n in (("teacher", "teacher"), ("kd", "student"))
    }
    teacher, student = (
        store.load_checkpoint(path["teacher"])[0],
        store.load_checkpoint(path["kd"])[0].train(),
    )
    d = sets.digits()
    x, y = d.x_train[:100], d.y_train[:100]
    with torch.no_grad():
        return student, teacher, Batch(x, y, teacher(x), teacher, share)


@pytest.mark.parametrize("rule", boundary.RULES)
@pytest.mark.parametrize("term", ["ce", "kd", "bss"])
def test_each_term_alone_reaches_the_student_and_never_the_teacher(term, rule):
    student, teacher, b = setting()
    before = [p.clone() for p in teacher.parameters()]
    weight, value = methods.bss(student, b, R, rule=rule)[term]
    assert weight > 0 and value > 0
    value.backward()
    for name, p in student.named_parameters():
        if name.endswith("weight"):
            assert p.grad is not None and p.grad.abs().sum() > 0, name
    assert all(
        p.grad is None and p.requires_grad and torch.equal(p, q)
        for p, q in zip(teacher.parameters(), before)
    )
    assert not teacher.training and student.training


def test_the_draws_of_a_run_repeat_and_only_accepted_samples_count():
    student, _, b = setting()

    def terms(seed):
        torch.manual_seed(seed)
        return {name: value.item() for name, (_, value) in methods.bss(student, b, R).items()}

    assert terms(0) == terms(0) and terms(0)["bss"] != terms(1)["bss"]
    assert 0.05 < terms(0)["bss_share"] <= 25 / 100
    with torch.no_grad():
        torch.manual_seed(0)
        pick = supporting.base_samples(b.a_T, student(b.x), b.y, 25)
        s = boundary.search(
            b.teacher,
            b.x[pick],
            b.a_T[pick].argmax(1),
            supporting.targets(b.a_T[pick])[0],
            eta=None,
        )
        kept = losses.soft_cross_entropy(student(s.x[s.accepted]), s.logits[s.accepted], R.tau)
    assert len(pick) == 25 and 0 < s.accepted.sum() < len(pick)
    assert terms(0)["bss_share"] == pytest.approx(s.accepted.sum().item() / 100) and terms(0)[
        "bss"
    ] == pytest.approx(kept.item())


class Silent(nn.Module):
    def forward(self, x):
        raise AssertionError("the teacher was asked")


@pytest.mark.parametrize("why", ["nothing accepted", "nothing right", "beta is zero"])
def test_where_no_sample_is_made_the_term_is_zero_and_can_still_be_trained_on(why):
    student, teacher, b = setting(0.75 if why == "beta is zero" else 0.0)
    if why == "nothing right":
        b = b._replace(y=(b.a_T.argmax(1) + 1) % 10)
    if why != "nothing accepted":
        b = b._replace(teacher=Silent().eval())
    terms = methods.bss(student, b, R, eta=1e-9 if why == "nothing accepted" else 0.3)
    assert terms["bss"][1].item() == 0 and terms["bss_share"][1].item() == 0 and terms["ce"][1] > 0
    assert terms["bss"][0] == (0 if why == "beta is zero" else 2)
    terms["bss"][1].backward()
    assert all(p.grad is None or not p.grad.any() for p in student.parameters())
    loss = sum(
        weight * value
        for weight, value in methods.bss(
            student, b, R, eta=1e-9 if why == "nothing accepted" else 0.3
        ).values()
    )
    loss.backward()
    assert all(p.grad.isfinite().all() for p in student.parameters())


# MagSim and AngSim -------------------------------------------------------------------------------


def mag_sim(u, v):
    return boundary.mag_ang(u, v)[0]


def ang_sim(u, v):
    return boundary.mag_ang(u, v)[1]


def similarity(net_T, net_S, x, y, **how):
    return boundary.similarity(*(boundary.vectors(net, x, y, **how) for net in (net_T, net_S)))


@pytest.mark.parametrize(
    "u, v, mag, ang",
    [
        ((3, 4), (4, 3), 1, 24 / 25),
        ((1, 0), (0, 2), 1 / 2, 0),
        ((1, 1), (-3, -3), 1 / 3, -1),
        ((2, 0), (1, 1), 0.5**0.5, 0.5**0.5),
    ],
)
def test_mag_and_ang_by_hand(u, v, mag, ang):
    u, v = torch.tensor([u], dtype=D), torch.tensor([v], dtype=D)
    assert mag_sim(u, v).item() == pytest.approx(mag, abs=1e-12)
    assert ang_sim(u, v).item() == pytest.approx(ang, abs=1e-12)


@few
@given(
    seed=st.integers(0, 10_000),
    d=st.integers(1, 40),
    n=st.integers(1, 20),
    exponent=st.floats(-15, 15),
    single=st.booleans(),
)
def test_both_are_symmetric_bounded_and_one_for_equal_vectors(seed, d, n, exponent, single):
    g = torch.Generator().manual_seed(seed)
    u, v = (torch.randn(n, d, generator=g, dtype=torch.float32 if single else D) for _ in range(2))
    v = v * 10**exponent
    v[0] = u[0] * (-1) ** seed
    mag, ang = mag_sim(u, v), ang_sim(u, v)
    assert torch.equal(mag, mag_sim(v, u)) and torch.equal(ang, ang_sim(v, u))
    assert (
        (mag > 0).all()
        and (mag <= 1).all()
        and (ang >= -1).all()
        and (ang <= 1).all()
        and mag.shape == ang.shape == (n,)
    )
    assert (mag_sim(v, v) == 1).all() and (ang_sim(v, v) == 1).all()
    torch.testing.assert_close(ang_sim(u, -v), -ang, atol=1e-12, rtol=0)
    torch.testing.assert_close(ang_sim(7 * u, v), ang, atol=1e-6 if single else 1e-12, rtol=0)
    torch.testing.assert_close(
        ang, torch.cosine_similarity(u.double(), v.double(), eps=1e-300), atol=1e-12, rtol=0
    )
    torch.testing.assert_close(
        mag_sim(3 * u, u), torch.full((n,), 1 / 3, dtype=D), atol=1e-6, rtol=0
    )


def test_a_vector_of_length_zero_has_no_angle_and_no_ratio():
    u, v = (
        torch.tensor([[0.0, 0], [1, 0], [0, 0], [1, 0]]),
        torch.tensor([[1.0, 0], [0, 0], [0, 0], [2, 0]]),
    )
    for sim, last in ((mag_sim, 0.5), (ang_sim, 1.0)):
        assert sim(u, v).tolist() == pytest.approx([NAN, NAN, NAN, last], nan_ok=True)


@pytest.mark.parametrize("eta", [1.0, 3.0, None])
@pytest.mark.parametrize("rule", boundary.RULES)
def test_a_network_is_exactly_like_itself(eta, rule):
    net, x = relu_net(), torch.rand(20, 1, 2, 3, dtype=D)
    got = similarity(net, net, x, net(x).argmax(1), eta=eta, rule=rule, chunk=7)
    assert got["mag"] == got["ang"] == 1.0 and got["images"] == 20 and got["pairs"] == 60
    assert 0 < got["n"] == round(60 * got["rate"]) and got["rate"] == got["rate_T"] == got["rate_S"]
    assert got == similarity(net, net, x, net(x).argmax(1), eta=eta, rule=rule)


def test_doubled_logits_move_the_samples_but_not_the_boundary():
    once, twice = three(), linear([[0, 0], [6, 8], [0, 0]], [4, 0, -200])
    y, to = classes(0), (torch.arange(3) == 1)[None]
    T, S = (
        (v, asked & to, accepted)
        for v, asked, accepted in (boundary.vectors(net, ORIGIN, y) for net in (once, twice))
    )
    got = boundary.similarity(T, S)  # one long step each, of length eta (L + eps)
    assert (
        got["mag"] == pytest.approx((2 + 1e-4) / (4 + 1e-4))
        and got["ang"] == pytest.approx(1)
        and got["n"] == 1
    )
    newton = boundary.similarity(
        *(
            (v, asked & to, accepted)
            for v, asked, accepted in (
                boundary.vectors(net, ORIGIN, y, eta=None) for net in (once, twice)
            )
        )
    )
    assert newton["mag"] == pytest.approx((2 + 1e-4 / 2) / (2 + 1e-4)) and newton["n"] == 1
    short = similarity(
        once, twice, ORIGIN, y, eta=0.02, eps=0.001, steps=100
    )  # eta ||grad|| = 0.1 and 0.2
    assert 0.999 < short["mag"] < 1 and short["n"] == 1


def test_vectors_are_sample_minus_image_towards_every_other_class():
    v, asked, accepted = boundary.vectors(
        three(), images([0.2, 0.1], [3, 4]), classes(0, 2)
    )  # L = 1 there; the second is of class 1
    assert asked.tolist() == [[False, True, True], [False] * 3] and accepted.tolist() == [
        [False, True, False],
        [False] * 3,
    ]
    torch.testing.assert_close(v[0, 1], 0.3 * 1.0001 * WAY.flatten())
    assert not v[0, 0].any() and not v[0, 2].any() and not v[1].any()


def test_only_images_that_both_get_right_and_pairs_accepted_for_both_count():
    T, S = (
        three(0, -0.2),
        linear([[0, 0], [0, 5], [0, 0]], [2, 0, -100]),
    )  # towards (3, 4) / 5; towards (0, 1)
    x, y = (
        images([0, 0], [0, 0], [3, -1]),
        classes(0, 1, 0),
    )  # both right; both wrong; T names 1, S is right
    got = similarity(T, S, x, y)
    assert got["images"] == 1 and got["pairs"] == 2 and got["n"] == 1 and got["undefined"] == 0
    assert (
        got["rate"] == got["rate_T"] == got["rate_S"] == 0.5
    )  # class 2 does not move: no slope towards it
    assert got["mag"] == pytest.approx(1) and got["ang"] == pytest.approx(4 / 5)


def test_compare_counts_by_hand():
    yes, no = True, False
    v = torch.tensor([[[0, 0], [1, 0], [0, 2]], [[5, 5], [0, 0], [1, 1.0]]])
    w = torch.tensor([[[0, 0], [2, 0], [2, 0]], [[5, 5], [0, 0], [1, 1.0]]])
    T = (
        v,
        torch.tensor([[no, yes, yes], [yes, no, yes]]),
        torch.tensor([[no, yes, yes], [no, no, yes]]),
    )
    S = w, torch.tensor([[no, yes, yes], [no, no, no]]), torch.tensor([[no, yes, no], [no, no, no]])
    assert boundary.similarity(T, S) == {
        "mag": 0.5,
        "ang": 1.0,
        "n": 1,
        "undefined": 0,
        "pairs": 2,
        "images": 1,
        "rate": 0.5,
        "rate_T": 1.0,
        "rate_S": 0.5,
    }
    still = (
        w * (torch.arange(3) == 1)[:, None],
        S[1],
        T[2],
    )  # accepted towards class 2 as well, without moving
    assert boundary.similarity(T, still) == {
        "mag": 0.5,
        "ang": 1.0,
        "n": 1,
        "undefined": 1,
        "pairs": 2,
        "images": 1,
        "rate": 1.0,
        "rate_T": 1.0,
        "rate_S": 1.0,
    }


def test_nothing_to_average_is_nan_and_counted():
    flat, net = linear([[0, 0]] * 3, [2, 0, -1]), three()
    got = similarity(flat, flat, ORIGIN, FROM, rule="code")  # all kept, none moved
    assert (
        math.isnan(got["mag"])
        and math.isnan(got["ang"])
        and (got["n"], got["undefined"], got["rate"]) == (0, 2, 1.0)
    )
    got = similarity(net, net, ORIGIN, FROM, eta=1e-9)  # none accepted
    assert (
        math.isnan(got["mag"])
        and math.isnan(got["ang"])
        and (got["n"], got["undefined"], got["rate"], got["pairs"]) == (0, 0, 0.0, 2)
    )
    got = similarity(net, net, ORIGIN, TO)  # none right
    assert (
        math.isnan(got["mag"])
        and math.isnan(got["rate"])
        and (got["n"], got["pairs"], got["images"]) == (0, 0, 0)
    )


def test_the_samples_of_a_real_teacher_lie_on_its_boundary():
    teacher, x, y = (
        store.load_checkpoint(jobs.Job("digits", "teacher").path())[0],
        *data.gallery("digits"),
    )
    with torch.no_grad():
        a = teacher(x)
    right = a.argmax(1) == y
    s = boundary.search(
        teacher,
        x[right],
        y[right],
        supporting.targets(a[right], torch.Generator().manual_seed(0))[0],
        eta=None,
    )
    ok = s.accepted
    assert ok.float().mean() > 0.7 and (s.after[ok] < 0).all() and (s.before > 0).all()
    assert boundary.top_two(s.logits[ok]).median() < 0.01 * boundary.top_two(a[right]).median()
    assert (boundary.top_two(s.logits[ok]) <= -s.after[ok]).all()


# Bad input ---------------------------------------------------------------------------------------

X2 = images([0, 0], [1, 1])


@pytest.mark.parametrize(
    "given_, said",
    [
        (dict(target=classes(1, 0)), "target=0 of image 1 is its base class"),
        (dict(target=classes(1, 3)), "target: labels run from 1 to 3.*labels 0 to 2"),
        (dict(base=classes(-1, 0)), "base: labels run from -1 to 0"),
        (dict(target=classes(1)), r"target: .*\(2, 3\) and labels \(1,\)"),
        (dict(base=classes(0, 0, 0)), r"base: .*labels \(3,\)"),
        (dict(target=[1, 1]), "target: labels are a list; they must be a torch.Tensor"),
        (dict(target=torch.ones(2)), "target: labels are torch.float32; they must be torch.int64"),
        (
            dict(x=X2[0]),
            r"images must be a float tensor \(n, channels, height, width\), not \(1, 1, 2\)",
        ),
        (dict(x=X2 * NAN), "NaN"),
        (dict(x=X2[:0], base=classes(), target=classes()), "x is empty"),
        (dict(eta=0), "eta=0 must be a finite number above zero"),
        (dict(eta=-0.3), "eta=-0.3 must be"),
        (dict(eps=-1e-4), "eps=-0.0001 must be zero or"),
        (dict(steps=0), "steps=0 must be a whole number of at least 1"),
        (dict(steps=2.5), "steps=2.5 must be"),
        (dict(halvings=-1), "halvings=-1 must be"),
        (dict(rule="papers"), "rule='papers' is unknown; choose one of: paper, code"),
        (dict(low=1.0, high=0.0), "low=1.0 and high=0.0 leave no room"),
        (
            dict(net=nn.Sequential(nn.Flatten(), nn.Dropout(0.5)).train()),
            r"training mode; call net.eval\(\)",
        ),
    ],
)
def test_a_bad_search_is_refused_by_name_and_value(given_, said):
    good = dict(net=three(), x=X2, base=classes(0, 0), target=classes(1, 1))
    with pytest.raises(ValueError, match=said):
        boundary.search(**{**good, **given_})


@pytest.mark.parametrize(
    "call, said",
    [
        (
            lambda: supporting.base_samples(P_T, P_S[:, :2], torch.zeros(5, dtype=torch.long), 1),
            r"\(5, 2\) and teacher logits \(5, 3\)",
        ),
        (
            lambda: supporting.base_samples(P_T, P_S, torch.zeros(5, dtype=torch.long), 0),
            "count=0 must be",
        ),
        (
            lambda: supporting.base_samples(P_T, P_S, torch.full((5,), 3), 1),
            "labels run from 3 to 3",
        ),
        (lambda: supporting.targets(torch.zeros(4, 1)), r"logits \(4, 1\) leave no other class"),
        (lambda: supporting.targets(torch.zeros(4)), r"logits \(4,\) leave"),
        (lambda: supporting.schedule(1.5), "share=1.5 must lie between 0 and 1"),
        (lambda: supporting.schedule(-0.1), "share=-0.1 must lie"),
        (lambda: supporting.schedule(NAN), "share=nan must be a finite number"),
        (
            lambda: methods.bss(three(), Batch(ORIGIN, FROM, three()(ORIGIN), None, 0.0), R),
            "b.teacher=None",
        ),
        (
            lambda: methods.bss(
                three(), Batch(ORIGIN, FROM, three()(ORIGIN), three().train(), 0.0), R
            ),
            "training mode",
        ),
        (
            lambda: mag_sim(torch.zeros(2, 3), torch.zeros(1, 3)),
            r"\(2, 3\) and \(1, 3\) must both be \(n, d\)",
        ),
        (lambda: ang_sim(torch.zeros(3), torch.zeros(3)), r"\(3,\) and \(3,\)"),
        (lambda: boundary.vectors(three(), ORIGIN, classes(3)), "labels run from 3 to 3"),
        (lambda: boundary.vectors(three(), ORIGIN, FROM, chunk=0), "chunk=0"),
        (lambda: boundary.vectors(three().train(), ORIGIN, FROM), "training mode"),
        (
            lambda: similarity(three(), linear([[0, 0]] * 2, [1, 0]), ORIGIN, FROM),
            r"\(1, 3, 2\) and \(1, 2, 2\)",
        ),
        (lambda: similarity(three(), three(), ORIGIN, FROM, eta=0), "eta=0"),
    ],
)
def test_other_bad_input_is_refused_by_name_and_value(call, said):
    with pytest.raises(ValueError, match=said):
        call()


def test_networks_of_the_library_are_walked_on_in_evaluation_mode():
    net, x = networks.build("digits_teacher").eval(), data.gallery("digits")[0]
    base = net(x).argmax(1)
    assert boundary.search(net, x, base, (base + 1) % 10).x.shape == x.shape


def test_the_command_compares_with_the_teacher_beside_and_with_one_that_is_named(tmp_path, capsys):
    from rsnl_lib import __main__ as cli

    pair = {
        m: env.CHECKPOINTS / f"digits_{n}-{m}-short-s0.safetensors"
        for m, n in (("teacher", "teacher"), ("kd", "student"), ("robust", "student"))
    }
    cli.main(
        [
            "similarity",
            *map(str, pair.values()),
            "--images",
            "40",
            "--rows",
            str(tmp_path / "s.csv"),
        ]
    )
    cli.main(
        [
            "similarity",
            str(pair["kd"]),
            "--teacher",
            str(pair["robust"]),
            "--images",
            "40",
            "--rows",
            str(tmp_path / "s.csv"),
        ]
    )
    rows = store.lines(tmp_path / "s.csv")
    assert [r["reference"] for r in rows] == [pair["teacher"].stem] * 3 + [
        pair["robust"].stem
    ] and rows[0]["mag"] == rows[0]["ang"] == "1"
    d = sets.digits()
    with torch.no_grad():
        want = similarity(
            *(store.load_checkpoint(pair[m])[0] for m in ("teacher", "kd")),
            d.x_test[:40],
            d.y_test[:40],
            eta=None,
        )
    assert (
        float(rows[1]["ang"]) == pytest.approx(want["ang"], rel=1e-4)
        and int(rows[1]["n"]) == want["n"] < int(rows[1]["pairs"]) == want["pairs"]
    )


@pytest.mark.parametrize("places", [4, 1])
def test_a_single_sample_is_no_trouble_to_batch_norm_in_training(places):
    """It is shown twice where batch norm sees maps of several places, and left out where it sees
    one number of each: two equal ones, normalised, are 0 whatever they were.
    """
    student, teacher, b = setting()
    side = {4: 4, 1: 8}[places]
    body = [nn.Conv2d(1, 12, side, side), nn.BatchNorm2d(12), nn.ReLU(), nn.Flatten()]
    normed = nn.Sequential(*body, nn.Linear(12 * places, 10)).train()
    with torch.no_grad():
        normed[-1].bias.zero_().add_(
            10 * nn.functional.one_hot(b.y[:1], 10)[0]
        )  # says the first image's class of every image
    shares = []
    for seed in range(20):
        torch.manual_seed(seed)
        terms = methods.bss(normed, b, R, count=1)
        assert all(value.isfinite() for _, value in terms.values())
        shares.append(terms["bss_share"][1].item())
        assert (terms["bss"][1] > 0) == (shares[-1] > 0)
    assert max(shares) == pytest.approx(1 / 100 if places > 1 else 0)
