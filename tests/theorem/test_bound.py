"""Theorem 1 corrected, against closed forms, the counterexamples to what is printed, and flips
found by brute force.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from torch import nn

from rsnl_lib import geometry, theorem
from rsnl_lib.theorem import search

inf = math.inf
D = torch.float64
LN3 = math.log(3)
few = settings(max_examples=20, deadline=None, derandomize=True, database=None)
fewer = settings(few, max_examples=10)
SEEDS = st.integers(0, 10_000)
PQ = [(1, inf), (2, 2), (inf, 1)]
QS = [1, 2, inf]


def t(*values):
    return torch.tensor(values, dtype=D)


def gen(seed=0):
    return torch.Generator().manual_seed(seed)


def point(*values):
    return t(*values).view(1, 1, 1, -1)


class Net(nn.Module):
    """A network of two classes whose logit(f) of class 0 is u(z), z (n, pixels)."""

    def __init__(self, u):
        super().__init__()
        self.u = u

    def forward(self, z):
        u = self.u(z.flatten(1))
        return torch.stack([u, torch.zeros_like(u)], 1)


HALF = Net(lambda z: 0 * z.sum(1))
LOGISTIC = Net(lambda z: z[:, 0])
ZERO = torch.tensor([0])


def lead(S, T=HALF, space="probability"):
    return lambda z: theorem.head_start(S, T, torch.zeros(len(z), dtype=torch.int64), space)(z)


def affine(w, b):
    w = torch.as_tensor(w, dtype=D)
    return lead(Net(lambda z: z @ w + b), space="logit")


def sigma(u):
    return 1 / (1 + math.exp(-u))


def slope(u):
    return sigma(u) * sigma(-u)


# The head start ----------------------------------------------------------------------------------


def test_height_in_the_three_spaces_by_hand():
    a, y = t(LN3, 0, 0).expand(2, 3), torch.tensor([0, 1])
    torch.testing.assert_close(geometry.height(a, y, "probability"), t(3 / 5, 1 / 5))
    torch.testing.assert_close(geometry.height(a, y, "logit"), t(math.log(3 / 2), math.log(1 / 4)))
    root = math.sqrt(3)
    torch.testing.assert_close(
        geometry.height(a, y, "tempered", 2), t(root / (root + 2), 1 / (root + 2))
    )


@few
@given(seed=SEEDS, k=st.integers(2, 6), tau=st.floats(0.3, 9))
def test_the_logit_is_that_of_the_probability_and_tempered_that_of_softened_logits(seed, k, tau):
    a, y = (
        3 * torch.randn(5, k, dtype=D, generator=gen(seed)),
        torch.randint(k, (5,), generator=gen(seed)),
    )
    torch.testing.assert_close(geometry.height(a, y), geometry.height(a, y, "probability").logit())
    torch.testing.assert_close(
        geometry.height(a, y, "tempered", tau), geometry.height(a / tau, y, "probability")
    )


def test_the_logit_tells_saturated_scores_apart():
    a = t(60, 0, 0)[None]
    assert geometry.height(a, ZERO).item() == pytest.approx(60 - math.log(2), rel=1e-14)
    assert geometry.height(a, ZERO, "probability") == 1


def test_the_head_start_is_student_less_teacher_and_the_right_answer_is_the_margin():
    S, T = (nn.Sequential(nn.Flatten(), nn.Linear(2, 3)).double() for _ in range(2))
    x, y = torch.randn(4, 1, 1, 2, dtype=D, generator=gen()), torch.tensor([0, 1, 2, 0])
    want = geometry.height(S(x), y) - geometry.height(T(x), y)
    torch.testing.assert_close(theorem.head_start(S, T, y)(x), want)
    margin = theorem.right_answer(S, y)(x)
    assert torch.equal(margin > 0, S(x).argmax(1) == y)
    for i in range(4):
        a = S(x)[i].tolist()
        own = a.pop(y[i])
        assert margin[i].item() == pytest.approx(own - max(a))


@pytest.mark.parametrize("space", geometry.SPACES)
@pytest.mark.parametrize("p", [1, 2, inf])
def test_eq7_terms_hold_the_scores_the_lead_and_the_three_slopes(space, p):
    S, T = Net(lambda z: z @ t(3.0, -4.0) + 0.5), Net(lambda z: z @ t(1.0, 0.0))
    x, tau = torch.stack([t(0.2, -0.1), t(0.0, 0.3)]).view(2, 1, 1, 2), 2.0
    got = theorem.eq7_terms(S, T, x, torch.zeros(2, dtype=torch.int64), space, tau, p=p)
    length = lambda *w: geometry.norm(t(*w)[None], p).item()
    for i, (u_S, u_T) in enumerate(((1.5, 0.2), (-0.7, 0.0))):
        f, c = {
            "logit": (lambda u: u, lambda u: 1),
            "probability": (sigma, slope),
            "tempered": (lambda u: sigma(u / tau), lambda u: slope(u / tau) / tau),
        }[space]
        want = (
            f(u_S),
            f(u_T),
            f(u_S) - f(u_T),
            length(3 * c(u_S) - c(u_T), -4 * c(u_S)),
            length(3, -4) * c(u_S),
            c(u_T),
        )
        assert [v[i].item() for v in got] == pytest.approx(list(want), rel=1e-12)


def test_exact_is_a_copy_at_rest_in_float64():
    net = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(4, 3)).train()
    twin = theorem.exact(net)
    assert net.training and net[2].weight.dtype == torch.float32
    assert not any(m.training for m in twin.modules()) and twin[2].weight.dtype == D
    assert (
        torch.equal(twin[2].weight, net[2].weight.double()) and twin[2].weight is not net[2].weight
    )


def test_gradient_is_one_an_image_and_is_differentiable_only_when_asked():
    h = lambda z: (z.flatten(1) ** 2).sum(1)
    x = torch.randn(3, 1, 2, 2, dtype=D, generator=gen())
    with torch.no_grad():
        value, g = theorem.gradient(h, x)
    torch.testing.assert_close(g, 2 * x)
    torch.testing.assert_close(value, h(x))
    assert not value.requires_grad and not g.requires_grad and not x.requires_grad
    assert theorem.gradient(h, x, create_graph=True)[1].requires_grad


# The ball ----------------------------------------------------------------------------------------


def test_norms_by_hand():
    v = point(3, -4, 0)
    assert [geometry.norm(v, p).item() for p in (1, 2, inf)] == [7, 5, 4]
    assert geometry.DUAL == {1: inf, 2: 2, inf: 1}


def test_steepest_and_projection_by_hand():
    w = point(3, -4, 0)
    torch.testing.assert_close(geometry.steepest(w, 2), point(0.6, -0.8, 0))
    torch.testing.assert_close(geometry.steepest(w, inf), point(1, -1, 0))
    torch.testing.assert_close(geometry.steepest(w, 1), point(0, -1, 0))
    torch.testing.assert_close(geometry.onto_ball(w, t(1), 2), point(0.6, -0.8, 0))
    torch.testing.assert_close(geometry.onto_ball(w, t(3.5), inf), point(3, -3.5, 0))
    torch.testing.assert_close(geometry.onto_ball(w, t(1), 1), point(0, -1, 0))
    torch.testing.assert_close(geometry.onto_ball(w, t(4), 1), point(1.5, -2.5, 0))
    for q in QS:
        assert torch.equal(geometry.onto_ball(w, t(0), q).abs(), point(0, 0, 0))


@pytest.mark.parametrize("q", QS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_tiny_gradient_is_a_whole_step_and_none_is_none(q, dtype):
    """Squares of 1e-25 vanish in float32: the length of the step must not hang on them."""
    w = torch.tensor([1e-25, 0.0, 1e-35], dtype=dtype).view(3, 1, 1, 1).expand(3, 1, 2, 2)
    size = geometry.norm(geometry.steepest(w.contiguous(), q), q)
    torch.testing.assert_close(size, torch.tensor([1, 0, 1], dtype=dtype))


@few
@given(seed=SEEDS, pq=st.sampled_from(PQ), d=st.integers(1, 9))
def test_the_steepest_direction_has_length_one_and_reaches_the_dual_norm(seed, pq, d):
    p, q = pq
    w = torch.randn(6, 1, 1, d, dtype=D, generator=gen(seed))
    v = geometry.steepest(w, q)
    torch.testing.assert_close(geometry.norm(v, q), torch.ones(6, dtype=D))
    torch.testing.assert_close((w * v).flatten(1).sum(1), geometry.norm(w, p))
    other = geometry.random_in_ball(w, torch.ones(6, dtype=D), q, gen(seed + 1))
    assert ((w * other).flatten(1).sum(1) <= geometry.norm(w, p) + 1e-12).all()


@few
@given(seed=SEEDS, q=st.sampled_from(QS), d=st.integers(1, 9), R=st.floats(0.01, 5))
def test_projection_stays_in_the_ball_repeats_itself_and_is_nearest(seed, q, d, R):
    v, R = 2 * torch.randn(6, 1, 1, d, dtype=D, generator=gen(seed)), torch.full((6,), R, dtype=D)
    on = geometry.onto_ball(v, R, q)
    assert (geometry.norm(on, q) <= R * (1 + 1e-12)).all()
    torch.testing.assert_close(geometry.onto_ball(on, R, q), on, rtol=0, atol=1e-12)
    inside = geometry.norm(v, q) <= R
    torch.testing.assert_close(on[inside], v[inside], rtol=0, atol=1e-14)
    for k in range(20):
        other = geometry.random_in_ball(v, R, q, gen(seed + k))
        assert (geometry.norm(v - on) <= geometry.norm(v - other) + 1e-12).all()


@few
@given(seed=SEEDS, q=st.sampled_from(QS))
def test_random_perturbations_fill_the_ball(seed, q):
    d = geometry.random_in_ball(
        torch.zeros(2000, 1, 1, 2, dtype=D), torch.full((2000,), 3.0, dtype=D), q, gen(seed)
    )
    size = geometry.norm(d, q)
    assert size.max() <= 3 * (1 + 1e-12) and size.min() < 0.3
    assert ((size / 3) ** 2).mean().item() == pytest.approx(0.5, abs=0.05)  # uniform in r^d


@few
@given(seed=SEEDS, pq=st.sampled_from(PQ), d=st.integers(1, 8), c=st.floats(0.01, 4))
def test_the_cheapest_step_meets_the_plane_with_the_least_norm(seed, pq, d, c):
    p, q = pq
    w, c = torch.randn(5, 1, 1, d, dtype=D, generator=gen(seed)), torch.full((5,), c, dtype=D)
    step = theorem.cheapest(w, c, q, None, None)
    torch.testing.assert_close((w * step).flatten(1).sum(1), -c)
    torch.testing.assert_close(geometry.norm(step, q), c / geometry.norm(w, p))


@pytest.mark.parametrize(
    "q, c, want", [(1, 5, (-0.5, 0, 0.5)), (2, 5.5, (-0.5, 0.3, 0.4)), (inf, 7.2, (-0.5, 0.6, 0.6))]
)
def test_the_cheapest_step_in_a_box_by_hand(q, c, want):
    """The first pixel gives 6 * 0.5 = 3 and may go no farther; the others bring the rest, 2, 2.5 or
    4.2.
    """
    step = theorem.cheapest(point(6, -3, -4), t(c), q, point(-0.5, -1, -1), point(1, 1, 1))
    torch.testing.assert_close(step, point(*want), rtol=0, atol=1e-9)


@few
@given(seed=SEEDS, q=st.sampled_from(QS), share=st.floats(0.05, 0.95), dead=st.booleans())
def test_the_cheapest_step_in_a_box_is_exact_and_no_other_is_shorter(seed, q, share, dead):
    g = gen(seed)
    w = torch.randn(4, 1, 1, 3, dtype=D, generator=g)
    if dead:
        w[..., 0] = 0
    x = torch.rand(4, 1, 1, 3, dtype=D, generator=g)
    low, high = -x, 1 - x
    reach = -(w * torch.where(w > 0, low, high)).flatten(1).sum(1)
    c = share * reach
    step = theorem.cheapest(w, c, q, low, high)
    assert (step >= low - 1e-15).all() and (step <= high + 1e-15).all()
    torch.testing.assert_close((w * step).flatten(1).sum(1), -c, rtol=0, atol=1e-9)
    others = torch.rand(3000, 4, 1, 1, 3, dtype=D, generator=g) - x
    others = geometry.onto_ball(
        others.flatten(0, 1), geometry.norm(step, q).repeat(3000) * (1 - 1e-6), q
    ).unflatten(0, (3000, 4))
    assert ((w * others).flatten(2).sum(2) > -c - 1e-9).all()


def test_where_the_box_is_too_small_the_cheapest_step_goes_as_far_as_it_can():
    w, low, high = point(1, -2), point(-0.25, -1), point(1, 0.5)
    for q in QS:
        torch.testing.assert_close(theorem.cheapest(w, t(9), q, low, high), point(-0.25, 0.5))


# Radii in closed form ----------------------------------------------------------------------------

LOGIT_TABLE = [(1, 0.926, 0.924), (2, 0.794, 0.762), (4, 0.691, 0.482), (8, 0.720, 0.250)]


def logistic(u):
    """(m, G) of f_S = sigmoid, f_T = 1/2 at u > 0 in probabilities: G(s) is the slope at the point
    nearest to 0.
    """
    return t(sigma(u) - 0.5), lambda s: (lambda v: torch.sigmoid(v) * torch.sigmoid(-v))(
        (u - s).clamp_min(0)
    )


@pytest.mark.parametrize("u, fixed, whole", LOGIT_TABLE)
def test_logistic_family_fixed_point_and_global_fractions(u, fixed, whole):
    m, G = logistic(u)
    got = theorem.fixed_point(m, G, steps=200).item()
    want = brentq(lambda s: s * slope(max(u - s, 0)) - (sigma(u) - 0.5), 0, 2 * u, xtol=1e-14)
    assert got == pytest.approx(want, rel=1e-9) and got / u == pytest.approx(fixed, abs=6e-4)
    everywhere = theorem.printed_radius(m, t(0.25)).item()
    assert everywhere == pytest.approx(
        4 / (1 + math.exp(-u)) - 2, rel=1e-9
    ) and everywhere / u == pytest.approx(whole, abs=6e-4)
    assert everywhere <= got < u


@pytest.mark.parametrize("u, naive", [(1, 1.18), (2, 1.81), (4, 6.8), (8, 186)])
def test_the_ratio_with_the_slope_at_x_is_no_bound_on_the_logistic_family(u, naive):
    m, _ = logistic(u)
    g = theorem.point_gap(lead(LOGISTIC), point(u))
    assert theorem.printed_radius(m, g).item() / u == pytest.approx(naive, rel=0.01)
    assert lead(LOGISTIC)(point(0.0)) <= 0  # the flip is at distance u


@pytest.mark.parametrize("u", [1, 2, 4, 8])
def test_the_integral_radius_is_exact_on_the_logistic_family(u):
    m, G = logistic(u)
    slack = [
        u - theorem.integral_radius(m, G, t(u), steps).item() for steps in (50, 100, 1000, 8000)
    ]
    assert all(0 <= s <= 1.2 * u / n for s, n in zip(slack, (50, 100, 1000, 8000)))
    assert slack[3] < slack[2] < slack[1] < slack[0] and slack[3] < 2e-4 * u
    assert theorem.printed_radius(t(u), t(1)).item() == u  # in logits the fixed point is exact too


@pytest.mark.parametrize("p, q", PQ)
def test_for_an_affine_head_start_the_ratio_is_the_distance_in_every_norm(p, q):
    w, b = t(1, -2, 0.5), 0.75
    h, x = affine(w, b), point(0.1, -0.2, 0.3)
    m, G = theorem.gradient(h, x)
    r = theorem.printed_radius(m, geometry.norm(G, p))
    assert m.item() == pytest.approx(0.1 + 0.4 + 0.15 + 0.75) and r.item() == pytest.approx(
        1.4 / geometry.norm(w[None], p).item()
    )
    v = geometry.steepest(w.view(1, 1, 1, 3), q)
    assert h(x - v * r).item() == pytest.approx(0, abs=1e-12) and h(x - v * r * 0.999) > 0
    gap = lambda s: geometry.norm(G, p)
    assert theorem.fixed_point(m, gap).item() == pytest.approx(r.item(), rel=1e-9)
    assert theorem.integral_radius(m, gap, 2 * r, 7).item() == pytest.approx(r.item(), rel=1e-9)
    assert (
        theorem.capped_radius(m, geometry.norm(G, p), 10.0).item() == r.item()
        and theorem.capped_radius(m, gap(0), 0.1).item() == 0.1
    )


@pytest.mark.parametrize("c, ratio", [(0.1, 0.960), (1, 0.844), (10, 0.754), (1e6, math.sqrt(0.5))])
def test_curvature_family_integral_and_second_order_radius_exact_fixed_point_by_formula(c, ratio):
    kappa, m = 2.0, t(c / 2)
    true = (math.sqrt(1 + 2 * c) - 1) / kappa
    assert (m - true - kappa * true**2 / 2).item() == pytest.approx(0, abs=1e-9 * c)
    assert theorem.curvature_radius(m, t(1), kappa).item() == pytest.approx(true, rel=1e-9)
    G = lambda s: 1 + kappa * s
    fixed = theorem.fixed_point(m, G, steps=100).item()
    assert fixed / true == pytest.approx(
        (math.sqrt(1 + 4 * c) - 1) / (2 * (math.sqrt(1 + 2 * c) - 1)), rel=1e-9
    )
    assert fixed / true == pytest.approx(ratio, abs=1e-3)
    integral = theorem.integral_radius(m, G, t(true), 4000).item()
    assert integral <= true and integral == pytest.approx(true, rel=5e-4)


def test_a_badly_fixed_radius_costs_more_than_the_fixed_point():
    for c, left in ((10, 0.25), (1e4, 0.007)):
        true = math.sqrt(1 + 2 * c) - 1  # kappa = g = 1
        assert theorem.capped_radius(t(c), t(2.0), 1.0).item() / true == pytest.approx(
            min(1, c / 2) / true
        )
        assert 1 / true == pytest.approx(left, abs=0.03 if c == 10 else 5e-4)


@pytest.mark.parametrize("k, share", [(0.9, 0.39), (0.999, 0.14)])
def test_flattening_is_invisible_to_every_bound_of_the_slope(k, share):
    h = lambda z: 1 - (1 - (-k * z.flatten(1)[:, 0]).exp()) / k
    true = -math.log(1 - k) / k
    assert h(point(true)).item() == pytest.approx(0, abs=1e-12)
    r = theorem.integral_radius(
        t(1), lambda s: torch.exp(0 * s), t(3.0), 30
    ).item()  # sup of the slope on [0, s] is 1
    assert r == pytest.approx(1) and r / true == pytest.approx(share, abs=0.006)


@few
@given(
    rates=st.lists(st.floats(0, 6), min_size=1, max_size=4),
    powers=st.lists(st.floats(0, 8), min_size=4, max_size=4),
    m=st.floats(0.01, 5),
)
def test_the_integral_radius_lies_between_the_fixed_point_and_e_times_it(rates, powers, m):
    m, G = t(m), lambda s: 0.05 + sum(a * s**k for a, k in zip(rates, powers))
    fixed = theorem.fixed_point(m, G, steps=200)
    whole = theorem.integral_radius(m, G, math.e * fixed, 400)
    assert fixed * (1 - 1e-2) <= whole <= math.e * fixed
    assert (fixed * G(fixed)).item() == pytest.approx(m.item(), rel=1e-6)
    assert theorem.integral_radius(m, G, 2 * math.e * fixed, 400) <= math.e * fixed


@pytest.mark.parametrize("k", [1, 2, 5])
def test_power_laws_gain_what_the_closed_form_says(k):
    m, G = t(0.7), lambda s: s**k
    fixed = theorem.fixed_point(m, G, start=t(1), steps=200)
    assert fixed.item() == pytest.approx(0.7 ** (1 / (k + 1)), rel=1e-9)
    whole = theorem.integral_radius(m, G, 2 * fixed, 20_000)
    assert (whole / fixed).item() == pytest.approx((k + 1) ** (1 / (k + 1)), rel=1e-3)


def test_the_factor_e_is_reached_by_a_slope_that_waits():
    """G = 0 up to r_fp, then m / s: int_{r}^{e r} m / s ds = m."""
    r, m = 0.4, t(1.3)
    G = lambda s: torch.where(s < r, 0, m / s)
    fine = theorem.integral_radius(m, G, t(2.0), 40_000).item()
    assert fine == pytest.approx(math.e * r, rel=1e-3) and fine <= math.e * r


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 20])
def test_the_fixed_point_is_sound_at_whatever_step_it_stops(steps):
    for G in (lambda s: 1 + s, lambda s: 1 + s**6, lambda s: torch.where(s > 0.5, 9.0, 0.1).to(D)):
        m = t(0.3, 1.0, 20.0)
        exact = theorem.fixed_point(m, G, steps=300)
        got = theorem.fixed_point(m, G, steps=steps)
        assert (got <= exact * (1 + 1e-12)).all() and (got > 0).all()
        assert (got <= torch.maximum(got, m / G(got)) + 1e-12).all()
        for start in (t(1e-3, 1e-3, 1e-3), t(50, 50, 50)):
            assert (
                theorem.fixed_point(m, G, start=start, steps=steps) <= exact * (1 + 1e-12)
            ).all()
    assert theorem.fixed_point(t(5), lambda s: 1 + s, R=0.25, steps=steps).item() == 0.25


def test_integral_and_profile_are_right_end_sums():
    G = lambda s: 1 + s
    assert theorem.integral_radius(t(2.5), G, t(1), 2).item() == 1  # 0.5 (1.5 + 2) = 1.75 < 2.5
    assert theorem.integral_radius(t(1), G, t(1), 2).item() == pytest.approx(0.5 + 0.25 / 2)
    r_fp, r_int = theorem.profile_radii(
        t(2, 2), torch.stack([t(1, 1), t(2, 2)]), torch.stack([t(1, 4), t(2, 4)])
    )
    torch.testing.assert_close(r_fp, t(1, 0.5))
    torch.testing.assert_close(r_int, t(1.5, 0.5))


@few
@given(m=st.floats(0.01, 5), a=st.floats(0, 5), parts=st.integers(1, 30))
def test_right_end_sums_stay_below_the_exact_integral(m, a, parts):
    exact = theorem.curvature_radius(t(m), t(0.5), a).item()  # G = .5 + a s
    G = lambda s: 0.5 + a * s
    assert theorem.integral_radius(t(m), G, t(1.5 * exact), parts).item() <= exact * (1 + 1e-12)
    radii = torch.linspace(0, 1.5 * exact, parts + 1, dtype=D)[1:, None]
    r_fp, r_int = theorem.profile_radii(t(m), radii, G(radii))
    assert r_fp <= r_int and r_int.item() <= exact * (1 + 1e-12)


def test_where_the_teacher_leads_every_radius_is_zero():
    m, one = t(-0.5, 0), lambda s: torch.ones_like(s)
    zero = t(0, 0)
    for r in (
        theorem.printed_radius(m, t(1, 1)),
        theorem.capped_radius(m, t(1, 1), 3.0),
        theorem.fixed_point(m, one),
        theorem.integral_radius(m, one, t(1, 1)),
        theorem.curvature_radius(m, t(1, 1), 1),
        *theorem.profile_radii(m, t(1, 2)[:, None].expand(2, 2), torch.ones(2, 2, dtype=D)),
    ):
        torch.testing.assert_close(r, zero)


# What is printed, and where it fails -------------------------------------------------------------


def test_counterexample_1_beyond_the_printed_radius_the_student_still_leads():
    h, x = lead(LOGISTIC), point(1.0)
    m = h(x)
    G = theorem.estimate_ascent(h, x, t(1)[:, None], generator=gen())[0]
    ratio = theorem.printed_radius(m, t(0.25))
    assert m.item() == pytest.approx(math.tanh(0.5) / 2, abs=1e-9) and round(m.item(), 4) == 0.2311
    assert G.item() == pytest.approx(0.25, abs=1e-3) and G <= 0.25
    assert (
        ratio.item() == pytest.approx(2 * math.tanh(0.5), abs=1e-9)
        and round(ratio.item(), 4) == 0.9242
    )
    for sign, short in ((1, 0.373), (-1, 0.019)):
        want = sigma(1 + sign * 2 * math.tanh(0.5)) - 0.5
        assert h(point(1 + sign * ratio)).item() == pytest.approx(
            want, abs=1e-9
        ) and want == pytest.approx(short, abs=6e-4)
    assert (h(torch.linspace(1e-9, 500, 999, dtype=D).view(-1, 1, 1, 1)) > 0).all()


def test_counterexample_2_a_finite_ratio_where_nothing_ever_flips():
    w = t(1.0, -2.0)
    h = lead(Net(lambda z: z @ w + 1), Net(lambda z: z @ w))
    x = point(0.3, 0.1)
    m = h(x)
    assert m.item() == pytest.approx(sigma(1.1) - sigma(0.1), abs=1e-9)
    G = theorem.estimate_sampling(h, x, t(1), generator=gen())
    assert 0 < theorem.printed_radius(m, G) < inf
    far = 30 * torch.randn(5000, 1, 1, 2, dtype=D, generator=gen())
    assert (
        lead(Net(lambda z: z @ w + 1), Net(lambda z: z @ w), "logit")(far) - 1
    ).abs().max() < 1e-9
    r, z = theorem.smallest_flip(
        lead(Net(lambda z: z @ w + 1), Net(lambda z: z @ w), "logit"), x, generator=gen()
    )
    assert r.item() == inf and torch.equal(z, x)


def test_counterexample_3_another_image_of_the_class_farther_than_the_ratio():
    h = lead(LOGISTIC)
    here, there = point(1.0), point(3.0)
    ratio = theorem.printed_radius(h(here), t(0.25)).item()
    assert (
        (there - here).abs().item() >= ratio
        and h(here) > 0
        and h(there).item() == pytest.approx(sigma(3) - 0.5, abs=1e-9)
    )


def test_counterexample_4_without_the_cap_the_ratio_passes_the_flip():
    bend = Net(lambda z: 1 - 4 * torch.relu(z[:, 0] - 1))
    h, x = lead(bend), point(0.0)
    G = theorem.estimate_ascent(h, x, t(1)[:, None], generator=gen())[0]
    m = h(x)
    assert G.item() == 0 and theorem.printed_radius(m, G).item() == inf
    flip = theorem.smallest_flip(h, x, seeds=point(2.0), generator=gen())[0].item()
    assert flip == pytest.approx(1.25, abs=1e-9) and h(point(1.25)).item() == pytest.approx(
        0, abs=1e-12
    )
    assert (
        theorem.capped_radius(m, G, 1.0).item() == 1 <= flip < theorem.printed_radius(m, G).item()
    )


def test_counterexample_4_smooth():
    soft = nn.Softplus(beta=100)
    h, x = lead(Net(lambda z: 1 - 4 * soft(z[:, 0] - 1))), point(0.0)
    m, G = h(x), theorem.point_gap(h, point(0.9))  # the slope grows up to 0.9 and beyond
    near = torch.linspace(-0.9, 0.9, 2001, dtype=D).view(-1, 1, 1, 1)
    assert (theorem.point_gap(h, near) <= G * (1 + 1e-12)).all()
    f = sigma(1 - 0.04 * math.log1p(math.exp(-10)))
    assert G.item() == pytest.approx(f * (1 - f) * 4 * sigma(-10), rel=1e-9)
    ratio = theorem.printed_radius(m, G).item()
    assert ratio == pytest.approx(
        (sigma(1 - 0.04 * math.log1p(math.exp(-100))) - 0.5) / G.item(), rel=1e-9
    )
    assert ratio == pytest.approx(6.5e3, rel=0.01)
    flip = brentq(
        lambda z: 1 - 4 * (z - 1 + math.log1p(math.exp(-100 * (z - 1))) / 100), 1, 2, xtol=1e-13
    )
    assert flip == pytest.approx(1.25, abs=1e-9)
    found = theorem.smallest_flip(h, x, seeds=point(2.0), generator=gen())[0].item()
    assert (
        found == pytest.approx(flip, abs=1e-9)
        and theorem.capped_radius(m, G, 0.9).item() == 0.9 < found < ratio
    )


@pytest.mark.parametrize("d", [4, 64])
def test_counterexample_5_the_printed_ball_is_the_wrong_one_for_p_1(d):
    bend = Net(lambda z: 1 - 4 * torch.relu(z.sum(1) - 1))
    h, x, p, q = lead(bend, space="logit"), torch.zeros(1, 1, 1, d, dtype=D), 1, inf
    wrong = torch.cat(
        [
            x
            + geometry.random_in_ball(
                x.expand(500, -1, -1, -1), torch.ones(500, dtype=D), 1, gen()
            ),
            torch.eye(d, dtype=D).view(d, 1, 1, d) * 0.999,
        ]
    )
    assert theorem.point_gap(h, wrong, p).max().item() == 0  # in B_1(x, 1) nothing bends
    r, z = theorem.smallest_flip(h, x, q, seeds=torch.ones(1, 1, 1, d, dtype=D), generator=gen())
    assert (
        r.item() == pytest.approx(1.25 / d, abs=1e-9)
        and h(z).item() <= 0
        and geometry.norm(z, q).item() == r.item()
    )
    assert theorem.capped_radius(h(x), t(0.0), 1.0).item() > r.item()  # the wrong ball promises 1
    G = theorem.estimate_sampling(h, x, t(1), p, 2000, generator=gen()).item()
    assert G == 4 * d and theorem.capped_radius(h(x), t(G), 1.0).item() == 1 / (4 * d) < r.item()


def test_counterexample_6_temperature_turns_the_order_of_the_scores():
    S, T = t(0, -0.1, -10)[None], t(0, -1, -1)[None]
    both = lambda a: (
        geometry.height(a, ZERO, "probability").item(),
        geometry.height(a, ZERO, "tempered", 10).item(),
    )
    f = {"S": both(S), "T": both(T)}
    assert f["S"][0] == pytest.approx(1 / (1 + math.exp(-0.1) + math.exp(-10)), abs=1e-9)
    assert f["T"][0] == pytest.approx(1 / (1 + 2 * math.exp(-1)), abs=1e-9)
    assert f["S"][1] == pytest.approx(1 / (1 + math.exp(-0.01) + math.exp(-1)), abs=1e-9)
    assert f["T"][1] == pytest.approx(1 / (1 + 2 * math.exp(-0.1)), abs=1e-9)
    assert [round(v, 3) for v in (*f["S"], *f["T"])] == [0.525, 0.424, 0.576, 0.356]
    assert f["S"][0] < f["T"][0] and f["S"][1] > f["T"][1]


# Estimates of G ----------------------------------------------------------------------------------


def test_estimates_come_from_below_and_the_ascent_finds_the_top():
    h, x = lead(LOGISTIC), torch.tensor([1.0, 2.0, 4.0], dtype=D).view(3, 1, 1, 1)
    true = lambda s: torch.tensor([slope(max(u - s, 0)) for u in (1, 2, 4)], dtype=D)
    radii = torch.tensor([0.3, 0.9, 2.5], dtype=D)[:, None].expand(3, 3)
    got = theorem.estimate_ascent(h, x, radii, generator=gen())
    for row, R in zip(got, (0.3, 0.9, 2.5)):
        assert (row <= true(R) * (1 + 1e-12)).all()
        torch.testing.assert_close(row, true(R), rtol=2e-3, atol=0)
        some = theorem.estimate_sampling(
            h, x, torch.full((3,), R, dtype=D), draws=30, generator=gen()
        )
        assert (some <= true(R) * (1 + 1e-12)).all() and (some >= theorem.point_gap(h, x)).all()
    assert (got.diff(dim=0) >= 0).all()


@pytest.mark.parametrize("p, q", PQ)
def test_estimates_look_only_inside_the_ball_and_the_box(p, q):
    seen = []

    def h(z):
        seen.append(z.detach())
        return (z.flatten(1) ** 3).sum(1) + z.flatten(1).prod(1)

    x, R = torch.rand(5, 1, 1, 3, dtype=D, generator=gen()), torch.full((5,), 0.4, dtype=D)
    for box in (False, True):
        seen.clear()
        theorem.estimate_sampling(h, x, R, p, 40, box, gen())
        theorem.estimate_ascent(
            h, x, R[None], p, flip=1 - x, starts=2, steps=6, box=box, generator=gen()
        )
        for z in seen:
            assert (geometry.norm(z - x, q) <= R * (1 + 1e-9)).all()
            assert not box or (z.min() >= 0 and z.max() <= 1)


def test_a_flip_given_to_the_ascent_keeps_its_fixed_point_below_that_flip():
    """A narrow bump of slope that no random start meets: by the mean value theorem the segment to
    the flip does.
    """
    h = lambda z: 1 - 1.5 * torch.sigmoid(200 * (z.flatten(1).sum(1) - 3))
    x, flip = torch.zeros(1, 1, 1, 2, dtype=D), point(1.6, 1.6)
    assert h(flip) <= 0
    R = geometry.norm(flip).expand(1, 1)
    blind = theorem.estimate_ascent(h, x, R, starts=0, steps=2, generator=gen())
    sharp = theorem.estimate_ascent(h, x, R, flip=flip, starts=0, steps=2, generator=gen())
    assert theorem.profile_radii(h(x), R, blind)[0] >= R[0]
    assert sharp[0] >= h(x) / R[0] and theorem.profile_radii(h(x), R, sharp)[0] <= R[0]


# Noise -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("m, sigma", [(0.5, 0.2), (0.5, 1.0), (-0.3, 0.5), (0.0, 1.0)])
def test_the_gaussian_law_is_exact_for_an_affine_head_start(m, sigma):
    w = t(1.0, -2.0, 2.0)
    h = affine(w, m)
    x = torch.zeros(1, 1, 1, 3, dtype=D)
    law = theorem.gaussian_flip_share(h(x), theorem.point_gap(h, x), sigma).item()
    assert law == pytest.approx(0.5 * math.erfc(m / (3 * sigma) / math.sqrt(2)), rel=1e-9)
    n = 200_000
    drawn = (
        (h(sigma * torch.randn(n, 1, 1, 3, dtype=D, generator=gen())) <= 0).double().mean().item()
    )
    assert abs(drawn - law) < 4.5 * math.sqrt(law * (1 - law) / n)


# The smallest flip -------------------------------------------------------------------------------


@fewer
@given(seed=SEEDS, pq=st.sampled_from(PQ), d=st.integers(1, 12))
def test_the_smallest_flip_of_an_affine_head_start_is_its_distance(seed, pq, d):
    p, q = pq
    w, x = (
        torch.randn(d, dtype=D, generator=gen(seed)),
        torch.randn(4, 1, 1, d, dtype=D, generator=gen(seed + 1)),
    )
    h = affine(w, (w.abs().sum() * 3).item() - (x.flatten(1) @ w).min().item())
    r, z = theorem.smallest_flip(h, x, q, restarts=2, steps=5, generator=gen(seed))
    torch.testing.assert_close(r, h(x) / geometry.norm(w[None], p), rtol=1e-9, atol=0)
    assert (h(z) <= 0).all()
    torch.testing.assert_close(geometry.norm(z - x, q), r, rtol=1e-12, atol=0)


@fewer
@given(seed=SEEDS, q=st.sampled_from(QS))
def test_in_a_box_the_smallest_flip_agrees_with_brute_force_on_the_line(seed, q):
    g = gen(seed)
    w, x = (
        torch.randn(2, dtype=D, generator=g),
        torch.rand(3, 1, 1, 2, dtype=D, generator=g).round(decimals=1),
    )
    low, high = w.clamp_max(0).sum().item(), w.clamp_min(0).sum().item()  # of <w, z> over the box
    level = low + 0.3 * (high - low)
    h = affine(w, -level)
    r, z = theorem.smallest_flip(h, x, q, box=True, restarts=1, steps=4, generator=g)
    ticks = torch.linspace(0, 1, 20_001, dtype=D)
    line = torch.cat(
        [
            torch.stack([ticks, (level - w[0] * ticks) / w[1]], 1),
            torch.stack([(level - w[1] * ticks) / w[0], ticks], 1),
        ]
    )
    line = line[((line >= 0) & (line <= 1)).all(1)]
    want = torch.linalg.vector_norm(line - x.view(3, 1, 2), q, dim=2).amin(1)
    want[h(x) <= 0] = 0
    assert (r >= want - 1e-4).all() and (
        r <= want * 1.02 + 1e-4
    ).all()  # the attack oversteps by 2 %
    assert (h(z) <= 0).all() and z.min() >= 0 and z.max() <= 1


@fewer
@given(seed=SEEDS, q=st.sampled_from(QS), box=st.booleans())
def test_flips_flip_and_stay_in_the_box(seed, q, box):
    torch.manual_seed(seed)
    S, T = (
        nn.Sequential(nn.Flatten(), nn.Linear(5, 9), nn.ReLU(), nn.Linear(9, 3)).double()
        for _ in range(2)
    )
    x, y = torch.rand(6, 1, 1, 5, dtype=D).mul(1.4).sub(0.2).clamp(0, 1), torch.randint(3, (6,))
    h = theorem.head_start(S, T, y)
    r, z = theorem.smallest_flip(h, x, q, box, restarts=2, steps=8, generator=gen(seed))
    flipped = r.isfinite()
    with torch.no_grad():
        assert (h(z)[flipped] <= 0).all() and ((h(x) <= 0) == (r == 0)).all()
    torch.testing.assert_close(geometry.norm(z - x, q)[flipped], r[flipped], rtol=1e-12, atol=1e-15)
    assert torch.equal(z[~flipped], x[~flipped])
    assert not box or (z.min() >= 0 and z.max() <= 1)


def test_a_flip_that_is_there_already_has_radius_zero_and_moves_nothing():
    x = torch.stack([t(-1.0), t(0.0), t(1.0)]).view(3, 1, 1, 1)
    h = lambda z: z.flatten(1)[:, 0]
    r, z = theorem.smallest_flip(h, x, generator=gen())
    torch.testing.assert_close(r, t(0, 0, 1))
    torch.testing.assert_close(z.flatten(), t(-1, 0, 0), rtol=0, atol=1e-9)


def test_in_a_box_too_small_for_any_flip_there_is_none():
    x = point(0.5, 0.5)
    h = affine((1.0, 1.0), 0.1)
    assert theorem.smallest_flip(h, x, 2, True, generator=gen())[0].item() == inf
    assert theorem.smallest_flip(h, x, 2, False, generator=gen())[0].item() == pytest.approx(
        1.1 / math.sqrt(2), rel=1e-9
    )


def test_seeds_show_a_flip_that_no_gradient_points_to():
    here = lambda z: 1 - 2 * torch.exp(-400 * ((z.flatten(1) - 2) ** 2).sum(1))
    x = torch.zeros(1, 1, 1, 4, dtype=D)
    assert theorem.smallest_flip(here, x, restarts=2, generator=gen())[0].item() == inf
    r, z = theorem.smallest_flip(
        here, x, restarts=1, seeds=torch.cat([x + 9, x + 2, x - 1]), generator=gen()
    )
    assert r.item() == pytest.approx(4 - math.sqrt(math.log(2) / 400), rel=1e-6) and here(z) <= 0


def test_attack_and_estimates_repeat_with_a_generator_and_leave_the_networks_alone():
    torch.manual_seed(0)
    S, T = (
        nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.Softplus(), nn.Linear(8, 3)).double()
        for _ in range(2)
    )
    x, y = torch.rand(4, 1, 2, 2, dtype=D), torch.tensor([0, 1, 2, 0])
    h, kept = theorem.head_start(S, T, y), x.clone()
    runs = [
        (
            theorem.smallest_flip(h, x, restarts=2, generator=gen(s))[0],
            theorem.estimate_sampling(h, x, t(1, 1, 1, 1), draws=9, generator=gen(s)),
            theorem.estimate_ascent(h, x, torch.ones(1, 4, dtype=D), generator=gen(s)),
        )
        for s in (3, 3)
    ]
    assert all(torch.equal(a, b) for a, b in zip(*runs))
    alike = theorem.smallest_flip(lambda z: h(z), x, restarts=2, generator=gen(3))[
        0
    ]  # any function of images does
    torch.testing.assert_close(alike, runs[0][0], rtol=1e-6, atol=0)
    assert torch.equal(x, kept) and all(p.grad is None for net in (S, T) for p in net.parameters())


# Bad input ---------------------------------------------------------------------------------------

X = torch.zeros(1, 1, 1, 2, dtype=D)
H = affine((1.0, 1.0), 1.0)


@pytest.mark.parametrize(
    "call, said",
    [
        (
            lambda: geometry.height(t(1, 2)[None], ZERO, "probabilities"),
            "space='probabilities' is unknown; choose one of: probability",
        ),
        (
            lambda: geometry.height(t(1, 2)[None], ZERO, "tempered", 0),
            "tau=0 must be a finite number above zero",
        ),
        (lambda: geometry.height(t(1, 2)[None], ZERO, "tempered", -2.0), "tau=-2.0"),
        (
            lambda: geometry.height(t(1, 2)[None], torch.tensor([0.0])),
            "float32; they must be torch.int64",
        ),
        (lambda: geometry.height(t(1, 2)[None], torch.tensor([0, 1])), r"labels \(2,\) do not fit"),
        (
            lambda: theorem.right_answer(LOGISTIC, torch.tensor([0, 1]))(X),
            r"labels \(2,\) do not fit",
        ),
        (lambda: geometry.norm(X, 3), "p=3 is unknown; choose one of: 1, 2, inf"),
        (lambda: theorem.point_gap(H, X, "2"), "p='2' is unknown"),
        (lambda: theorem.estimate_sampling(H, X, t(1), 0), "p=0 is unknown"),
        (
            lambda: theorem.estimate_sampling(H, X, t(1), draws=0),
            "draws=0 must be a whole number of at least 1",
        ),
        (lambda: geometry.onto_ball(X, t(1), 3), "q=3 is unknown"),
        (lambda: geometry.steepest(X, 1.5), "q=1.5 is unknown"),
        (lambda: theorem.smallest_flip(H, X, 7), "q=7 is unknown"),
        (lambda: theorem.smallest_flip(H, X, restarts=0), "restarts=0"),
        (
            lambda: theorem.smallest_flip(H, X - 0.25, box=True),
            r"pixels run from -0.25 to -0.25; with box=True .* \[0, 1\].*segment",
        ),
        (lambda: theorem.smallest_flip(H, X + 1.5, box=True), "pixels run from 1.5 to 1.5"),
        (
            lambda: theorem.gaussian_flip_share(t(1), t(1), 0),
            "sigma=0 must be a finite number above zero",
        ),
        (lambda: theorem.gaussian_flip_share(t(1), t(1), -1.0), "sigma=-1.0"),
        (
            lambda: theorem.fixed_point(t(1), lambda s: s, steps=0),
            "steps=0 must be a whole number of at least 1",
        ),
        (lambda: theorem.integral_radius(t(1), lambda s: s, t(1), 0), "steps=0"),
        (lambda: theorem.integral_radius(t(1), lambda s: s, t(1), 2.5), "steps=2.5"),
    ],
)
def test_bad_input_is_named(call, said):
    with pytest.raises(ValueError, match=said):
        call()


def test_the_search_inside_the_ball_takes_fifteen_shorter_and_shorter_steps(monkeypatch):
    """Down h = 9 + 3 x_1 from the ball's edge at x_0: steps of half the radius, then less."""
    x, inside, seen = torch.zeros(1, 1, 1, 2, dtype=D), t(0.8), []
    h = lambda z: 9 + 3 * z[:, 0, 0, 1]  # noqa: E731
    search_from = search._Flips(h, x, 2, False)
    monkeypatch.setattr(search_from, "offer", lambda z: seen.append(z.flatten().clone()))
    search_from.descend(x + t(0.8, 0).view(1, 1, 1, 2), inside)
    z = t(0.8, 0)
    for j, found in enumerate(seen):
        z = z - t(0, 0.4 * (15 - j) / 15)
        z = z * (0.8 / max(0.8, z.norm().item()))
        torch.testing.assert_close(found, z)
    assert len(seen) == 15


def test_a_point_beyond_the_best_flip_is_drawn_back_to_its_distance():
    h = lambda z: 0.3 - z[:, 0, 0, 0]  # noqa: E731
    flips = search._Flips(h, point(0, 0), 2, False)
    flips.offer(point(0.3, 0))
    assert flips.r.item() == pytest.approx(0.3)
    torch.testing.assert_close(flips.offer(point(0, 0.6)), point(0, 0.3))
    torch.testing.assert_close(flips.offer(point(0, 0.2)), point(0, 0.2))
    assert flips.r.item() == pytest.approx(0.3) and flips.z.flatten().tolist() == [0.3, 0]
