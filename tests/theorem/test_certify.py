"""Certificates hold: against gradients and flips that are found, exact arithmetic, brute force in
the plane, and closed forms.
"""

import copy
import decimal
import itertools
import math
from fractions import Fraction

import properties
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from rsnl_lib import geometry, networks, theorem
from rsnl_lib.networks.modules import Maxout
from rsnl_lib.theorem import jacobian, lipsdp

inf = math.inf
D = torch.float64
few = settings(max_examples=20, deadline=None, derandomize=True, database=None)
SEEDS = st.integers(0, 10_000)
KINDS = list(properties.BODIES)
SHAPE = (2, 4, 4)
QS = [1, 2, inf]


def t(*values):
    return torch.tensor(values, dtype=D)


def gen(seed=0):
    return torch.Generator().manual_seed(seed)


def pair(kind, other, seed=0, shape=SHAPE, classes=3, n=3, scale=1.5):
    torch.manual_seed(seed)
    S, T = (properties.network(k, shape, classes, scale) for k in (kind, other))
    return S, T, properties.images(n, shape), torch.arange(n) % classes


def linear(w, b):
    """The linear map with rows w and bias b, in float64."""
    layer = nn.Linear(len(w[0]), len(w)).double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(w, dtype=D))
        layer.bias.copy_(torch.tensor(b, dtype=D))
    return layer


def two_class(w, b):
    """A network of two classes with a_0 - a_1 = <w, x> + b."""
    return nn.Sequential(nn.Flatten(), linear([list(w), [0] * len(w)], [b, 0]))


# Bounds of the gradient gap ----------------------------------------------------------------------


@pytest.mark.parametrize("p", [1, 2, inf])
@pytest.mark.parametrize("kind", KINDS)
def test_the_interval_bound_is_above_every_gradient_that_sampling_and_ascent_find(kind, p):
    S, T, x, y = pair(kind, KINDS[(3 * KINDS.index(kind) + 2) % len(KINDS)], seed=KINDS.index(kind))
    for space, box in itertools.product(geometry.SPACES, (False, True)):
        h = theorem.head_start(S, T, y, space, 2.0)
        for size in (0.02, 0.3, 2.0):
            R = torch.full((3,), size, dtype=D)
            above = theorem.sound_interval(S, T, x, y, R, p, space, 2.0, box)
            seen = properties.seen_gap(h, x, R, p, box, 8)
            if not box:
                seen = torch.maximum(
                    seen,
                    theorem.estimate_ascent(h, x, R[None], p, starts=1, steps=3, generator=gen())[
                        0
                    ],
                )
            assert (seen <= above).all(), (space, box, size, seen / above)


@pytest.mark.parametrize("kind", KINDS)
def test_at_radius_zero_the_interval_bound_is_the_slope_at_x(kind):
    S, T, x, y = pair(kind, "softplus", seed=1)
    x = (
        x * 0.9 + 0.05 + 0.01 * torch.rand(x.shape, dtype=D)
    )  # no equal pixels: no ties in the pools
    for space, p in itertools.product(geometry.SPACES, (1, 2, inf)):
        want = theorem.point_gap(theorem.head_start(S, T, y, space, 3.0), x, p)
        got = theorem.sound_interval(S, T, x, y, torch.zeros(3, dtype=D), p, space, 3.0)
        torch.testing.assert_close(got, want, rtol=1e-6, atol=0)
        assert (got >= want).all()


@few
@given(seed=SEEDS, p=st.sampled_from([1, 2, inf]), data=st.data())
def test_in_a_box_only_feasible_directions_count_and_only_at_the_border(seed, p, data):
    kind = data.draw(st.sampled_from(KINDS))
    S, T, x, y = pair(kind, "maxout", seed, n=4)
    R, none = torch.full((4,), 0.1, dtype=D), torch.zeros(4, dtype=D)
    free, boxed = (theorem.sound_interval(S, T, x, y, R, p, box=box) for box in (False, True))
    assert (boxed <= free * (1 + 1e-12)).all()
    inside = x.clamp(0.01, 0.99)  # no pixel at 0 or 1: nothing is infeasible
    free, boxed = (theorem.sound_interval(S, T, inside, y, R, p, box=box) for box in (False, True))
    torch.testing.assert_close(boxed, free)
    want = properties.felt(theorem.gradient(theorem.head_start(S, T, y), x)[1], x, p, True)
    at_x = theorem.sound_interval(S, T, x, y, none, p, box=True)
    assert (at_x >= want - 1e-12).all()


def test_the_cone_of_the_box_by_hand():
    """h = 2 x_0 - 3 x_1 + x_2 + 9 falls with x_1: at x = (0, 1, .5) neither x_0 nor x_1 may go
    where h falls.
    """
    S, T, y = two_class((2, -3, 1), 9), two_class((0, 0, 0), 0), torch.tensor([0])
    x, one = t(0, 1, 0.5).view(1, 1, 1, 3), t(1)
    for p, free in ((1, 6), (2, math.sqrt(14)), (inf, 3)):
        assert theorem.sound_interval(S, T, x, y, one, p).item() == pytest.approx(free, rel=1e-6)
        assert theorem.sound_interval(S, T, x, y, one, p, box=True).item() == pytest.approx(
            1, rel=1e-6
        )
        assert theorem.sound_interval(
            S, T, x.clamp(1e-6, 1 - 1e-6), y, one, p, box=True
        ).item() == pytest.approx(free, rel=1e-6)


def test_neurons_far_from_their_threshold_keep_their_slope_and_near_ones_do_not():
    S = nn.Sequential(
        nn.Flatten(), linear([[1], [1]], [1, -1]), nn.ReLU(), linear([[3, 5], [0, 0]], [0, 0])
    )
    T, y, x = (
        two_class((0,), 0),
        torch.tensor([0]),
        t(0).view(1, 1, 1, 1),
    )  # relu(x + 1) and relu(x - 1)
    for R, want in ((0.99, 3), (1.01, 8)):  # beyond 1 the slope may be 0, 3 or 8
        assert theorem.sound_interval(S, T, x, y, t(R)).item() == pytest.approx(want, rel=1e-6)


@pytest.mark.parametrize("leak", [0.25, 0.0, -0.5, 2.0, 1.0])
def test_a_leaky_neuron_keeps_its_slope_until_it_can_switch(leak):
    """3 f(x) for f of slope 1 above zero and `leak` below, from x = 1 and from x = -1."""
    S = nn.Sequential(nn.Flatten(), nn.LeakyReLU(leak), linear([[3], [0]], [0, 0]))
    T, y = two_class((0,), 0), torch.tensor([0])
    for x, slope in ((1, 1), (-1, leak)):
        z = t(x).view(1, 1, 1, 1)
        m = theorem.sound_lead(S, T, z, y).item()
        assert m == pytest.approx(3 * slope * x, abs=1e-9) and m <= 3 * slope * x
        for R, want in ((0.99, abs(slope)), (1.01, max(1, abs(leak)))):
            got = theorem.sound_interval(S, T, z, y, t(R)).item()
            assert got == pytest.approx(3 * want, rel=1e-6, abs=1e-7) and got >= 3 * want
            joint = theorem.sound_lipsdp(S, T, z, y, t(R), steps=300, rate=0.1).item()
            assert joint == pytest.approx(3 * want, rel=3e-3, abs=1e-3) and joint >= 3 * want


POOLINGS = [
    nn.MaxPool2d(2, 1, 1),
    nn.MaxPool2d((1, 2), (2, 1), (0, 1), ceil_mode=True),
    nn.MaxPool2d(3, 2, 1, ceil_mode=True),
    nn.AvgPool2d(2, 1, 1),
    nn.AvgPool2d((2, 1), (1, 2), (1, 0), ceil_mode=True),
    nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
    nn.AvgPool2d(2, divisor_override=-3),
    nn.AdaptiveAvgPool2d(1),
    nn.AdaptiveAvgPool2d((3, None)),
]


@pytest.mark.parametrize("pool", POOLINGS, ids=str)
def test_pools_with_strides_padding_and_ceil_mode_hold_on_a_grid_of_the_whole_ball(pool):
    """Every gradient and value on 9^4 points of a ball around an image of 2 x 2 pixels."""
    torch.manual_seed(2)
    body = [nn.Conv2d(1, 2, 1), nn.LeakyReLU(0.2), pool, nn.Flatten()]
    units = nn.Sequential(*body)(torch.zeros(1, 1, 2, 2)).shape[1]
    S = nn.Sequential(*body, nn.Linear(units, 2)).double().eval()
    T, x, y, R = two_class((0,) * 4, 0), torch.rand(1, 1, 2, 2, dtype=D), torch.tensor([0]), 0.6
    ticks = torch.linspace(-R, R, 9, dtype=D)
    z = x + torch.cartesian_prod(*[ticks] * 4).view(-1, 1, 2, 2)
    h = theorem.head_start(S, T, y.expand(len(z)))
    value, g = theorem.gradient(h, z)
    for space in geometry.SPACES:
        assert theorem.sound_lead(S, T, x, y, space) <= theorem.head_start(S, T, y, space)(x)
    assert theorem.sound_interval(S, T, x, y, t(R), 1).item() >= geometry.norm(g, 1).max().item()
    if (m := theorem.sound_lead(S, T, x, y)) > 0:
        _, r = theorem.sound_radii(S, T, x, y, "interval", 1)
        assert r > 0 and (value[(z - x).flatten(1).abs().amax(1) < r] > 0).all() and m > 0


def test_an_average_of_negative_divisor_keeps_the_width_of_its_slopes():
    """softplus(1 - relu(x_0) - relu(x_1)), x near both thresholds: each slope may be 0 or -.73."""
    average = nn.AvgPool2d((1, 2), divisor_override=-1)
    last = (linear([[1]], [1]), nn.Softplus(), linear([[1], [0]], [0, 0]))
    S = nn.Sequential(nn.ReLU(), average, nn.Flatten(), *last)
    T, x, y = two_class((0, 0), 0), t(0.01, 0.01).view(1, 1, 1, 2), torch.tensor([0])
    got = theorem.sound_interval(S, T, x, y, t(0.02), inf).item()
    want = 1 / (1 + math.exp(-1))
    assert want <= got == pytest.approx(want, rel=0.01)


def test_at_the_border_of_the_box_a_neuron_may_fall_though_its_pixel_cannot_rise():
    """5 x - 5 relu(x - 0.5) at x = 1: flat, until the pixel has fallen by 0.5."""
    S = nn.Sequential(
        nn.Flatten(), linear([[1], [1]], [-0.5, 1]), nn.ReLU(), linear([[-5, 5], [0, 0]], [0, 0])
    )
    T, y, x = two_class((0,), 0), torch.tensor([0]), t(1).view(1, 1, 1, 1)
    for R, want in ((0.4, 0), (0.6, 5)):
        assert theorem.sound_interval(S, T, x, y, t(R), box=True).item() == pytest.approx(
            want, rel=1e-6, abs=1e-8
        )


def test_a_maximum_keeps_every_piece_that_may_win():
    S = nn.Sequential(
        nn.Flatten(), Maxout(linear([[0], [3], [-2]], [1, 0, 0]), 3), linear([[1], [0]], [0, 0])
    )
    T, y, x = two_class((0,), 0), torch.tensor([0]), t(0).view(1, 1, 1, 1)  # max(1, 3 x, -2 x)
    for R, want in ((0.3, 0), (0.4, 3), (0.6, 3)):
        assert theorem.sound_interval(S, T, x, y, t(R)).item() == pytest.approx(
            want, rel=1e-6, abs=1e-8
        )
    pooled = nn.Sequential(
        nn.Unflatten(3, (1, 2)),
        nn.Flatten(1, 3),
        nn.Unflatten(1, (1, 1)),
        nn.MaxPool2d((1, 2)),
        nn.Flatten(),
        linear([[1], [0]], [0, 0]),
    )
    x = t(0, 1).view(1, 1, 1, 2)  # max(x_0, x_1): in B_1 they meet at R = 1
    for R, want in ((0.99, 1), (1.01, 1)):
        assert theorem.sound_interval(
            pooled, two_class((0, 0), 0), x, y, t(R), inf
        ).item() == pytest.approx(want, rel=1e-6)
    assert theorem.sound_interval(
        pooled, two_class((0, 0), 0), x, y, t(0.49), 1
    ).item() == pytest.approx(1, rel=1e-6)
    assert theorem.sound_interval(
        pooled, two_class((0, 0), 0), x, y, t(0.51), 1
    ).item() == pytest.approx(2, rel=1e-6)


def test_pool_windows_whose_slopes_are_uncertain_keep_every_value_that_may_win():
    """max(1, 0 + 2 relu(x - 0.1)) from x = 0: the second value reaches 1 at 0.6, and relu's slope
    at x says nothing of it.
    """
    S = nn.Sequential(
        nn.Flatten(),
        linear([[0], [1]], [1, -0.1]),
        nn.ReLU(),
        linear([[1, 0], [0, 2]], [0, 0]),
        nn.Unflatten(1, (1, 1, 2)),
        nn.MaxPool2d((1, 2)),
        nn.Flatten(),
        linear([[1], [0]], [0, 0]),
    )
    T, y, x = two_class((0,), 0), torch.tensor([0]), t(0).view(1, 1, 1, 1)
    for R, want in ((0.05, 0), (0.45, 0), (0.7, 2)):
        assert theorem.sound_interval(S, T, x, y, t(R)).item() == pytest.approx(
            want, rel=1e-6, abs=1e-8
        )


def test_softmax_weights_move_over_the_ball():
    """Three classes: far from x the class with the steep margin takes the whole weight."""
    S = nn.Sequential(nn.Flatten(), linear([[0], [0], [6]], [0, 0, -3]))
    T, y, x = (
        nn.Sequential(nn.Flatten(), linear([[0]] * 3, [0] * 3)),
        torch.tensor([0]),
        t(0).view(1, 1, 1, 1),
    )
    w = lambda s: 1 / (1 + math.exp(3 - 6 * s))
    for R in (0.0, 0.2, 0.5, 2.0):
        assert theorem.sound_interval(S, T, x, y, t(R)).item() == pytest.approx(6 * w(R), rel=1e-6)


def test_the_weights_sum_to_one_also_where_the_steep_class_is_improbable():
    """Widening the weights must not make room below the true gradient: seen while a class of slope
    1000 had weight 1e-12.
    """
    S = nn.Sequential(nn.Flatten(), linear([[0], [0], [1000]], [0, 0, -27.6]))
    T = nn.Sequential(nn.Flatten(), linear([[-5], [0], [0]], [0, 0, 0]))
    y, x = torch.tensor([0]), t(0).view(1, 1, 1, 1)
    for R in (1e-3, 3e-3, 5e-3, 7e-3):
        z = torch.linspace(-R, R, 501, dtype=D).view(-1, 1, 1, 1)
        seen = theorem.point_gap(theorem.head_start(S, T, y.expand(501)), z).max()
        assert theorem.sound_interval(S, T, x, y, t(R)) >= seen


@pytest.mark.parametrize("space", geometry.SPACES)
@pytest.mark.parametrize(
    "kind, other",
    [
        ("relu", "maxout"),
        ("softplus", "relu"),
        ("batch norm 1d", "conv"),
        ("unflatten", "average pool"),
        ("leaky", "adaptive average"),
        ("global average", "leaky"),
    ],
)
def test_lipsdp_is_above_every_gradient_that_sampling_and_ascent_find(kind, other, space):
    S, T, x, y = pair(kind, other, seed=5)
    h = theorem.head_start(S, T, y, space, 2.0)
    for size in (0.02, 0.3, 1.5):
        R = torch.full((3,), size, dtype=D)
        above = theorem.sound_lipsdp(S, T, x, y, R, space, 2.0, steps=15)
        seen = torch.maximum(
            properties.seen_gap(h, x, R, 2, False, 40),
            theorem.estimate_ascent(h, x, R[None], generator=gen())[0],
        )
        assert (seen <= above).all(), (size, seen / above)


def test_lipsdp_lets_cancel_what_the_pair_shares_and_beats_both_other_bounds():
    S, _, x, y = pair("relu", "relu", seed=3, classes=2)
    T = copy.deepcopy(S)
    with torch.no_grad():
        T[1].weight.add_(0.02 * torch.randn(T[1].weight.shape, dtype=D, generator=gen()))
    R = torch.full((3,), 5.0, dtype=D)
    joint = theorem.sound_lipsdp(S, T, x, y, R, steps=60)
    seen = theorem.estimate_ascent(theorem.head_start(S, T, y), x, R[None], generator=gen())[0]
    spectral = theorem.sound_spectral(S, T, y)
    assert (seen <= joint).all() and (joint <= 0.6 * spectral).all()
    assert (joint <= 0.65 * theorem.sound_interval(S, T, x, y, R)).all()


@pytest.mark.parametrize("steps", [1, 4, 40])
def test_lipsdp_stays_sound_wherever_its_descent_stops_and_improves(steps):
    S, T, x, y = pair("maxout", "softplus", seed=8)
    R = torch.full((3,), 0.8, dtype=D)
    got = theorem.sound_lipsdp(S, T, x, y, R, steps=steps, rate=0.5)
    assert (
        got >= properties.seen_gap(theorem.head_start(S, T, y), x, R, 2, False, 300)
    ).all() and got.isfinite().all()
    assert (got <= theorem.sound_lipsdp(S, T, x, y, R, steps=1) * (1 + 1e-9)).all()


def test_lipsdp_of_one_neuron_by_hand():
    """relu(x) near its threshold against 0.5 x: the gap is at most 0.5, and LipSDP says so."""
    S = nn.Sequential(nn.Flatten(), linear([[1]], [0]), nn.ReLU(), linear([[1], [0]], [1, 0]))
    T, x, y = two_class((0.5,), 0), t(0.1).view(1, 1, 1, 1), torch.tensor([0])
    assert theorem.sound_lipsdp(S, T, x, y, t(1), steps=300, rate=0.1).item() == pytest.approx(
        0.5, rel=1e-3
    )
    assert theorem.sound_lipsdp(S, T, x, y, t(0.05)).item() == pytest.approx(
        0.5, rel=2e-3
    )  # there the slope is 1
    assert theorem.sound_lipsdp(
        S, two_class((-0.5,), 0), x, y, t(1), steps=300, rate=0.1
    ).item() == pytest.approx(1.5, rel=1e-3)


@pytest.mark.parametrize("rate", [0.1, 0.15, 2.0])
@pytest.mark.parametrize("slope, want", [(-0.5, 1.5), (0, 1)])
def test_lipsdp_of_two_neurons_in_a_row_by_hand_also_where_its_steps_are_too_long(
    slope, want, rate
):
    """relu(relu(x) - 0.05) has slope 0 or 1; steps that leave the multipliers allowed must not
    count.
    """
    S = nn.Sequential(
        nn.Flatten(),
        linear([[1]], [0]),
        nn.ReLU(),
        linear([[1]], [-0.05]),
        nn.ReLU(),
        linear([[1], [0]], [1, 0]),
    )
    T, x, y = two_class((slope,), 0), t(0.1).view(1, 1, 1, 1), torch.tensor([0])
    got = theorem.sound_lipsdp(S, T, x, y, t(1), steps=100, rate=rate).item()
    assert want <= got <= want * 1.01


def test_lipsdp_adds_its_slack_to_what_it_found(monkeypatch):
    S, T = two_class((4, 3), 0), two_class((0, 0), 0)
    x, y = t(0, 0).view(1, 1, 1, 2), torch.tensor([0])
    found = []
    for slack in (0, 0.1):
        monkeypatch.setattr(lipsdp, "SLACK", slack)
        found.append(theorem.sound_lipsdp(S, T, x, y, t(0.1)).item())
    assert found[0] == pytest.approx(5, rel=0.01) and found[1] >= 1.1 * found[0]


def test_lipsdp_also_works_where_gradients_are_off():
    S, T, x, y = pair("relu", "relu", 0, (1, 2, 2), n=2)
    want = theorem.sound_radii(S, T, x, y, "lipsdp")
    with torch.no_grad():
        assert all(
            torch.equal(a, b) for a, b in zip(want, theorem.sound_radii(S, T, x, y, "lipsdp"))
        )


# The product of norms ----------------------------------------------------------------------------


def matrices(layer, shape):
    """Every Jacobian a layer can have at some input: for maxout each choice of pieces, for max
    pooling some at random inputs.
    """
    eye = torch.eye(math.prod(shape), dtype=D).view(-1, *shape)
    if isinstance(layer, Maxout):
        whole = (
            (layer.layer(eye) - layer.layer(0 * eye)).flatten(1).T.unflatten(0, (layer.pieces, -1))
        )
        units = range(whole.shape[1])
        return [
            whole[list(choice), list(units)]
            for choice in itertools.product(range(layer.pieces), repeat=len(units))
        ]
    if isinstance(layer, nn.MaxPool2d):
        x = torch.rand(200, *shape, dtype=D, generator=gen())
        x[0] = 0
        x[0, ..., 1::2, 1::2] = 1  # one pixel wins in every window that holds it
        return list(
            torch.stack(
                [
                    torch.func.jacrev(lambda v: layer(v[None])[0].flatten())(v).flatten(1)
                    for v in x[:40]
                ]
            )
        )
    return [(layer(eye) - layer(0 * eye)).flatten(1).T]


def warm(norm_layer):
    for v in (norm_layer.running_mean, norm_layer.weight, norm_layer.bias):
        v.data.normal_(0, 2)
    norm_layer.running_var.uniform_(0.2, 3)
    return norm_layer


LAYERS = [  # layer, shape of its input, norms in which the bound is exact
    (nn.Linear(5, 4), (5,), QS),
    (Maxout(nn.Linear(3, 8), 2), (3,), [1, inf]),
    (Maxout(nn.Linear(2, 9), 3), (2,), [1, inf]),
    (nn.Conv2d(2, 3, 3, padding=1), (2, 4, 4), [1, inf]),
    (nn.Conv2d(1, 2, 2, stride=2), (1, 4, 4), [inf]),
    (nn.Conv2d(2, 2, 3, stride=2, padding=1), (2, 5, 5), []),
    (nn.Conv2d(2, 3, 1), (2, 3, 3), QS),
    (Maxout(nn.Conv2d(1, 4, 2), 2), (1, 2, 3), [inf]),
    (nn.AvgPool2d(2), (2, 4, 4), QS),
    (nn.AvgPool2d(3, 1, 1), (1, 5, 5), [1, inf]),
    (nn.AvgPool2d(3, 2), (1, 7, 7), [1, inf]),
    (nn.AvgPool2d(2, ceil_mode=True), (1, 3, 3), QS),
    (nn.AvgPool2d(2, padding=1, count_include_pad=False), (1, 2, 2), QS),
    (nn.AvgPool2d(2, divisor_override=1), (1, 4, 4), QS),
    (nn.AvgPool2d(2, divisor_override=-3), (1, 4, 4), QS),
    (nn.AdaptiveAvgPool2d(1), (2, 3, 3), [inf]),
    (nn.AdaptiveAvgPool2d((2, 3)), (1, 5, 4), [inf]),
    (nn.AdaptiveAvgPool2d((3, None)), (1, 1, 2), QS),
    (nn.AdaptiveAvgPool2d(4), (1, 3, 2), [inf]),
    (nn.MaxPool2d(2), (1, 4, 4), QS),
    (nn.MaxPool2d(3, 2, 1, ceil_mode=True), (1, 5, 5), [1, 2, inf]),
    (nn.MaxPool2d(2, 1), (1, 4, 4), [1, 2, inf]),
    (warm(nn.BatchNorm1d(4)), (4,), QS),
    (warm(nn.BatchNorm2d(3)), (3, 2, 2), QS),
    (networks.modules.ChannelScale((0.4, -0.2), (0.25, 2.0)), (2, 3, 3), QS),
    (nn.Flatten(), (2, 2, 2), QS),
    (nn.Unflatten(1, (2, 2)), (4,), QS),
    (nn.Dropout(0.5), (4,), QS),
    (nn.Identity(), (4,), QS),
]


@pytest.mark.parametrize("layer, shape, exact", LAYERS, ids=lambda v: str(v)[:40])
def test_the_norm_of_each_layer_is_no_less_than_that_of_its_matrices(layer, shape, exact):
    torch.manual_seed(1)
    layer = copy.deepcopy(layer).double().eval()
    for m in layer.modules():
        if hasattr(m, "weight") and isinstance(m, (nn.Linear, nn.Conv2d)):
            m.weight.data.normal_()
    Js = matrices(layer, shape)
    for q in QS:
        want = max(torch.linalg.matrix_norm(J, q).item() for J in Js)
        got = theorem.operator_norm(layer, q)
        assert got >= want * (1 - 1e-12), (q, got, want)
        if q in exact:
            assert got == pytest.approx(want, rel=1e-9), q


@pytest.mark.parametrize(
    "layer, size",
    [
        (nn.ReLU(), 1),
        (nn.Softplus(beta=7), 1),
        (nn.LeakyReLU(0.3), 1),
        (nn.LeakyReLU(2.5), 2.5),
        (nn.LeakyReLU(-3), 3),
    ],
)
def test_activations_have_the_norm_of_their_steepest_slope(layer, size):
    x = torch.linspace(-9, 9, 4001, dtype=D).requires_grad_()
    (slopes,) = torch.autograd.grad(layer(x).sum(), x)
    assert (
        slopes.abs().max().item() == pytest.approx(size, abs=1e-6)
        and [theorem.operator_norm(layer, q) for q in QS] == [size] * 3
    )


@pytest.mark.parametrize(
    "space, share", [("logit", 1), ("probability", 1 / 4), ("tempered", 1 / 12)]
)
def test_the_product_of_norms_by_hand(space, share):
    net = nn.Sequential(
        nn.Flatten(),
        linear([[3, 0], [0, -2]], [0, 0]),
        nn.ReLU(),
        linear([[1, 0], [0, 2], [0, 0]], [0, 0, 0]),
    )
    y = torch.tensor([0, 1, 2])
    root = math.sqrt(5)  # rows' differences: (1, -2), (1, 0), (0, 2)
    for p, size, steep in ((1, 3, (3, 3, 2)), (2, 3, (root, root, 2)), (inf, 3, (2, 2, 2))):
        want = torch.tensor(steep, dtype=D) * size * share
        torch.testing.assert_close(theorem.lipschitz(net, y, p, space, 3.0), want)
        torch.testing.assert_close(theorem.sound_spectral(net, net, y, p, space, 3.0), 2 * want)


def test_unknown_spaces_and_norms_are_named():
    net, y, x, R = two_class((1, 1), 0), torch.tensor([0]), torch.zeros(1, 1, 1, 2, dtype=D), t(1)
    for call in (
        lambda **k: theorem.sound_spectral(net, net, y, **k),
        lambda **k: theorem.sound_interval(net, net, x, y, R, **k),
        lambda **k: theorem.sound_radii(net, net, x, y, **k),
    ):
        with pytest.raises(ValueError, match="p=3 is unknown; choose one of: 1, 2, inf"):
            call(p=3)
        with pytest.raises(
            ValueError, match="space='odds' is unknown; choose one of: probability, logit, tempered"
        ):
            call(space="odds")


# Certificates ------------------------------------------------------------------------------------


@pytest.mark.parametrize("p, q", [(1, inf), (2, 2), (inf, 1)])
def test_for_two_linear_networks_the_certificate_is_the_distance(p, q):
    S, T = two_class((2, -1, 0.5), 0.4), two_class((-1, 1, 0.5), 0.1)
    x, y = t(0.1, 0.2, -0.1).view(1, 1, 1, 3), torch.tensor([0])
    want = (0.3 * 3 / 3 - 0.4 + 0.3 + 0) / {1: 5, 2: math.sqrt(13), inf: 3}[
        p
    ]  # gap (3, -2, 0), h(x) = .3 - .4 + .3
    for method in ("interval", "lipsdp") if p == 2 else ("interval",):
        for r in theorem.sound_radii(S, T, x, y, method, p):
            assert r.item() == pytest.approx(want, rel=1e-6) and r.item() <= want
    r, _ = theorem.smallest_flip(theorem.head_start(S, T, y), x, q, generator=gen())
    assert r.item() == pytest.approx(want, rel=1e-9)


@settings(few, max_examples=12)
@given(
    seed=SEEDS,
    kind=st.sampled_from(KINDS),
    pq=st.sampled_from([(1, inf), (2, 2), (inf, 1)]),
    box=st.booleans(),
    space=st.sampled_from(geometry.SPACES),
)
def test_no_certificate_is_longer_than_a_flip_and_the_radii_are_in_order(
    seed, kind, pq, box, space
):
    p, q = pq
    S, T, x, y = pair(kind, "relu", seed, n=6)
    h = theorem.head_start(S, T, y, space, 2.0)
    r, _ = theorem.smallest_flip(h, x, q, box, restarts=1, steps=6, generator=gen(seed))
    whole, same = theorem.sound_radii(S, T, x, y, "spectral", p, space, 2.0, box)
    fixed, integral = theorem.sound_radii(S, T, x, y, "interval", p, space, 2.0, box, parts=6)
    assert (integral <= r + 1e-9).all()
    assert (
        (whole <= fixed * (1 + 1e-9)).all()
        and (fixed <= integral).all()
        and (integral <= math.e * fixed * (1 + 1e-9)).all()
    )
    assert (same >= whole).all() and ((integral == 0) == (h(x) <= 0)).all()


def test_lipsdp_radii_are_the_longest_and_below_the_flips():
    S, T, x, y = pair("relu", "softplus", seed=11, n=8, classes=2)
    r, _ = theorem.smallest_flip(theorem.head_start(S, T, y), x, generator=gen())
    before = torch.zeros(8, dtype=D)
    for method in theorem.SOUND:
        fixed, integral = theorem.sound_radii(S, T, x, y, method)
        assert (before <= fixed * (1 + 1e-9)).all() and (integral <= r + 1e-9).all(), method
        before = fixed
    assert (before > 0).any()


def test_random_draws_of_pairs_images_norms_and_spaces_break_no_property():
    tally, done, ahead = properties.run(400, seed=1, effort=0.5)
    assert done == 400 and ahead > 200
    assert tally.violations() == 0, {k: v for k, v in tally.rows.items() if v[1]}
    assert sum(row[0] for row in tally.rows.values()) > 4000


def test_the_projects_convolutional_networks_are_known():
    torch.manual_seed(0)
    S, T = (networks.build(f"digits_{who}").double().eval() for who in ("student", "teacher"))
    x, y = torch.rand(2, 1, 8, 8, dtype=D), torch.tensor([3, 5])
    R = t(0.01, 0.01)
    above = theorem.sound_interval(S, T, x, y, R)
    assert (
        above
        >= theorem.estimate_sampling(theorem.head_start(S, T, y), x, R, draws=20, generator=gen())
    ).all()
    assert (above <= theorem.sound_spectral(S, T, y)).all()


class Custom(nn.Module):
    def forward(self, x):
        return x


class Residual(nn.Sequential):
    def forward(self, x):
        return x + super().forward(x)


class Doubled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


class Negated(Maxout):
    def forward(self, x):
        return -super().forward(x)


@pytest.mark.parametrize(
    "layer, said",
    [
        (
            nn.Sigmoid(),
            (
                "Sigmoid is no layer that the sound bounds know; they know nn.Sequential of Linear,"
                " Conv2d.*certify.votes"
            ),
        ),
        (nn.MultiheadAttention(4, 2), "MultiheadAttention is no layer"),
        (Custom(), "Custom is no layer"),
        (Residual(nn.Linear(4, 4)), "Residual is no layer"),
        (Doubled(4, 4), "Doubled is no layer"),
        (Negated(nn.Linear(4, 8)), "Negated is no layer"),
        (Maxout(Doubled(4, 8)), "Maxout is no layer"),
        (Maxout(nn.Bilinear(4, 4, 8)), "Maxout is no layer"),
        (nn.BatchNorm1d(4, track_running_stats=False), "BatchNorm1d without running statistics"),
    ],
)
def test_layers_that_no_bound_knows_are_named(layer, said):
    good = two_class((1, 1, 1, 1), 0)
    bad = nn.Sequential(nn.Flatten(), nn.Sequential(nn.Identity(), layer), nn.Linear(4, 2))
    x, y = torch.zeros(1, 1, 2, 2, dtype=D), torch.tensor([0])
    for S, T in ((bad, good), (good, bad)):
        for call in (
            lambda: theorem.sound_interval(S, T, x, y, t(1)),
            lambda: theorem.sound_spectral(S, T, y),
            lambda: theorem.sound_radii(S, T, x, y),
            lambda: theorem.sound_lipsdp(S, T, x, y, t(1)),
        ):
            with pytest.raises(ValueError, match=said):
                call()


@pytest.mark.parametrize(
    "layers, said",
    [
        ([nn.Conv2d(2, 4, 1, padding_mode="circular")], "Conv2d with padding_mode='circular'"),
        ([Maxout(nn.Conv2d(2, 4, 1, groups=2))], "Maxout of Conv2d with groups=2"),
        ([nn.MaxPool2d(2, dilation=2)], "MaxPool2d with dilation=2"),
        ([nn.MaxPool2d(2, return_indices=True)], "MaxPool2d with return_indices=True"),
        ([nn.LeakyReLU(math.nan)], "LeakyReLU with negative_slope=nan"),
        ([nn.Softplus(beta=-1)], "Softplus with beta=-1"),
        ([nn.Softplus(threshold=0.1)], "Softplus with threshold=0.1: .* 20 or more"),
        ([nn.Linear(3, 3)], r"Linear on features of shape \(2, 3, 3\).*nn.Flatten"),
    ],
)
def test_options_of_layers_that_no_bound_knows_are_named(layers, said):
    S = nn.Sequential(*layers, nn.Flatten())
    x, y = torch.rand(1, 2, 3, 3, dtype=D), torch.tensor([0])
    calls = [lambda: theorem.sound_interval(S, S, x, y, t(1)), lambda: theorem.lipschitz(S, y)]
    for call in calls[: 1 if "Linear" in said else 2]:  # what a dense layer gets, images tell
        with pytest.raises(ValueError, match=said):
            call()


def test_layers_that_work_in_place_leave_the_images_as_they_are():
    x, y = t(-1, 0.5).view(1, 1, 1, 2), torch.tensor([0])
    for layer in (nn.ReLU(inplace=True), nn.LeakyReLU(0.5, inplace=True)):
        S = nn.Sequential(layer, *two_class((1, 1), 2))
        theorem.sound_radii(S, two_class((0, 0), 0), x, y)
        assert x.flatten().tolist() == [-1, 0.5]


def test_lipsdp_and_the_certificates_refuse_what_they_cannot_do():
    S, T, x, y = pair("max pool", "relu")
    three = pair("maxout of 3", "relu")[0]
    with pytest.raises(
        ValueError, match="MaxPool2d is no layer that LipSDP knows here; use sound_interval"
    ):
        theorem.sound_radii(S, T, x, y, "lipsdp")
    with pytest.raises(
        ValueError,
        match="Maxout with 3 pieces is no layer that LipSDP knows here; it knows 2 pieces",
    ):
        theorem.sound_lipsdp(three, T, x, y, t(1, 1, 1))
    with pytest.raises(
        ValueError,
        match="method='lipsdp' is for p=2 without a box, not p=1, box=False; use 'interval'",
    ):
        theorem.sound_radii(T, T, x, y, "lipsdp", p=1)
    with pytest.raises(ValueError, match="p=2, box=True"):
        theorem.sound_radii(T, T, x, y, "lipsdp", box=True)
    with pytest.raises(
        ValueError, match="method='crown' is unknown; choose one of: spectral, interval, lipsdp"
    ):
        theorem.sound_radii(T, T, x, y, "crown")
    with pytest.raises(ValueError, match="Conv2d with groups=2"):
        theorem.operator_norm(nn.Conv2d(2, 2, 1, groups=2), 2)


@pytest.mark.parametrize(
    "change, said",
    [
        ({"p": 3}, "p=3 is unknown"),
        ({"space": "odds"}, "space='odds' is unknown"),
        ({"tau": 0}, "tau=0 must be a finite number above zero"),
        ({"tau": -1.0, "space": "tempered"}, "tau=-1.0"),
        (
            {"x": torch.full((3, *SHAPE), 1.25), "box": True},
            r"pixels run from 1.25 to 1.25; with box=True they must lie in \[0, 1\]",
        ),
        ({"x": torch.full((3, *SHAPE), -0.5), "box": True}, "pixels run from -0.5"),
        ({"y": torch.zeros(3)}, "float32; they must be torch.int64"),
    ],
)
def test_bad_input_to_the_bounds_is_named(change, said):
    S, T, x, y = pair("relu", "relu")
    with pytest.raises(ValueError, match=said):
        theorem.sound_interval(**{"net_S": S, "net_T": T, "x": x, "y": y, "R": t(1, 1, 1)} | change)


# Float64, rounding, modes ------------------------------------------------------------------------


def test_float32_networks_and_images_are_certified_in_float64():
    S, T, x, y = pair("batch norm 2d", "maxout conv", seed=2)
    S, T, x = S.float(), T.float(), x.float()
    double = copy.deepcopy(S).double(), copy.deepcopy(T).double(), x.double(), y
    R = torch.full((3,), 0.2)
    for got, want in (
        (theorem.sound_interval(S, T, x, y, R), theorem.sound_interval(*double, R.double())),
        (theorem.sound_lead(S, T, x, y), theorem.sound_lead(*double)),
        (theorem.sound_spectral(S, T, y), theorem.sound_spectral(double[0], double[1], y)),
        *zip(theorem.sound_radii(S, T, x, y), theorem.sound_radii(*double)),
        (
            theorem.sound_lipsdp(S, S, x, y, R),
            theorem.sound_lipsdp(double[0], double[0], x.double(), y, R.double()),
        ),
    ):
        assert got.dtype == D and torch.equal(got, want)
    assert all(v.dtype == torch.float32 for net in (S, T) for v in net.parameters())


def test_where_float32_sees_a_lead_that_is_none_nothing_is_certified():
    """2^24 + 1 is no float32: there the student's margin reads 0.5, and is -0.5."""
    first = linear([[-(2.0**24), -1], [2.0**24, 0]], [0, 0])
    S, T = (
        nn.Sequential(nn.Flatten(), first, linear([[1, 1], [0, 0]], [0, -0.5])).float(),
        two_class((0, 0), 0).float(),
    )
    x, y = torch.ones(1, 1, 1, 2), torch.tensor([0])
    assert theorem.head_start(S, T, y)(x).item() == 0.5
    assert theorem.sound_lead(S, T, x, y).item() == pytest.approx(-0.5, abs=0.01)
    for method in theorem.SOUND:
        assert [r.item() for r in theorem.sound_radii(S, T, x, y, method)] == [0, 0]


def exact_logits(net, x, part=lambda a: a):
    """The logits of a Flatten / Linear / ReLU / Maxout network in rational numbers; `part` of its
    weights and pixels, such as abs for the size of the sums.
    """
    v = [part(Fraction(a)) for a in x.flatten().tolist()]
    for m in net:
        if isinstance(m, (nn.Linear, Maxout)):
            inner, pieces = (m.layer, m.pieces) if isinstance(m, Maxout) else (m, 1)
            rows = zip(inner.weight.tolist(), inner.bias.tolist())
            v = [
                sum((part(Fraction(w)) * a for w, a in zip(row, v)), part(Fraction(b)))
                for row, b in rows
            ]
            units = len(v) // pieces
            v = [max(v[u::units]) for u in range(units)]
        elif isinstance(m, nn.ReLU):
            v = [max(a, Fraction(0)) for a in v]
    return v


@few
@given(
    seed=SEEDS,
    kind=st.sampled_from(["relu", "maxout", "maxout of 3"]),
    scale=st.sampled_from([1.0, 30.0, 1e4]),
)
def test_the_sound_lead_is_below_the_rational_one_and_close_to_it(seed, kind, scale):
    S, T, x, y = pair(kind, "relu", seed, (1, 2, 2), 2, 2, scale)
    lead = theorem.sound_lead(S, T, x, y)
    for i in range(2):
        own, other = y[i].item(), 1 - y[i].item()
        a, b = exact_logits(S, x[i]), exact_logits(T, x[i])
        exact = a[own] - a[other] - b[own] + b[other]
        assert Fraction(lead[i].item()) <= exact
        size = (
            1 + max(exact_logits(S, x[i], abs)) + max(exact_logits(T, x[i], abs))
        )  # of the terms that are summed, which may cancel
        assert exact - Fraction(lead[i].item()) <= Fraction(1e-10) * size


def test_the_sound_lead_is_below_the_rational_one_under_cancellation():
    for seed in range(40):
        g = gen(seed)
        big = 10.0 ** (seed % 12) * torch.randn(1, 6, dtype=D, generator=g)
        first = linear(
            torch.cat([big + torch.rand(1, 6, dtype=D, generator=g), big]).tolist(), [0.1, 0.3]
        )
        S = nn.Sequential(nn.Flatten(), first, linear([[1, -1], [0, 0]], [0, 0]))
        T, x, y = (
            two_class([0] * 6, 0),
            torch.rand(1, 1, 1, 6, dtype=D, generator=g),
            torch.tensor([0]),
        )
        a = exact_logits(S, x[0])
        lead = Fraction(theorem.sound_lead(S, T, x, y).item())
        assert lead <= a[0] - a[1] and a[0] - a[1] - lead <= Fraction(1e-8) * (
            1 + Fraction(big.abs().max().item())
        )


def test_the_sound_lead_knows_that_a_batch_norms_mean_and_bias_may_cancel():
    mean, weight = 1e6 + 1 / 3, 1.1
    norm = nn.BatchNorm1d(1).double().eval()
    with torch.no_grad():
        for v, value in (
            (norm.running_mean, mean),
            (norm.weight, weight),
            (norm.bias, mean * weight / math.sqrt(1 + 1e-5)),
        ):
            v.fill_(value)
    net, flat = nn.Sequential(nn.Flatten(), norm, linear([[1], [0]], [0, 0])), two_class((0,), 0)
    x, y = t(0).view(1, 1, 1, 1), torch.tensor([0])
    with decimal.localcontext() as context:
        context.prec = 50
        exact = (
            decimal.Decimal(norm.bias.item())
            - decimal.Decimal(mean) * decimal.Decimal(weight) / (1 + decimal.Decimal(1e-5)).sqrt()
        )
        assert decimal.Decimal(theorem.sound_lead(net, flat, x, y).item()) <= exact
        assert decimal.Decimal(theorem.sound_lead(flat, net, x, y).item()) <= -exact


@pytest.mark.parametrize("space", geometry.SPACES)
@pytest.mark.parametrize("scale", [0.5, 5.0])
def test_the_sound_lead_is_below_that_of_fifty_digits_for_many_classes(space, scale):
    S, T, x, y = pair("relu", "maxout", 4, (1, 2, 2), 4, 12, scale)
    lead = theorem.sound_lead(S, T, x, y, space, 3.0)

    def height(net, i):
        a = [
            decimal.Decimal(v.numerator) / decimal.Decimal(v.denominator)
            for v in exact_logits(net, x[i])
        ]
        a = [v / 3 for v in a] if space == "tempered" else a
        own = a.pop(y[i].item())
        others = sum((v - own).exp() for v in a)
        return -others.ln() if space == "logit" else 1 / (1 + others)

    with decimal.localcontext() as context:
        context.prec = 50
        for i in range(12):
            exact = height(S, i) - height(T, i)
            assert decimal.Decimal(lead[i].item()) <= exact
            assert exact - decimal.Decimal(lead[i].item()) < decimal.Decimal(1e-7) * (
                1 + abs(exact)
            )


def test_certificates_take_networks_at_rest_and_leave_mode_and_weights_as_they_were():
    S, T, x, y = pair("batch norm 2d", "relu", 9, (1, 3, 3), n=2)
    want = [theorem.sound_radii(S, T, x, y, method)[1] for method in theorem.SOUND]
    S.train(), T.train()
    before = [{k: v.clone() for k, v in net.state_dict().items()} for net in (S, T)]
    got = [theorem.sound_radii(S, T, x, y, method)[1] for method in theorem.SOUND]
    assert all(torch.equal(a, b) for a, b in zip(got, want))
    for net, kept in zip((S, T), before):
        assert all(m.training for m in net.modules()) and all(
            torch.equal(v, kept[k]) for k, v in net.state_dict().items()
        )
        assert all(p.grad is None and p.requires_grad for p in net.parameters())


# Votes -------------------------------------------------------------------------------------------


def test_votes_where_all_are_won_by_hand():
    S, T, y = two_class((0, 0), 1), two_class((0, 0), 0), torch.tensor([0])
    x = torch.zeros(1, 1, 1, 2)
    for n, alpha in ((1000, 0.001), (50, 0.05)):
        radius, low = theorem.votes(S.float(), T.float(), x, y, 0.5, n, alpha, gen())
        assert low.item() == pytest.approx(alpha ** (1 / n), rel=1e-9)
        assert 0.5 * math.erfc(-radius.item() / 0.5 / math.sqrt(2)) == pytest.approx(
            alpha ** (1 / n), rel=1e-9
        )


def test_votes_give_the_clopper_pearson_bound_of_the_share_that_was_won():
    """P(Binomial(n, low) >= wins) = alpha."""
    S, T, y, n, alpha = two_class((1, 0), 0.8), two_class((0, 0), 0), torch.tensor([0]), 200, 0.01
    x, sigma = torch.zeros(1, 1, 1, 2, dtype=D), 1.0
    _, low = theorem.votes(S, T, x, y, sigma, n, alpha, gen(3))
    low, g = low.item(), gen(3)
    wins = sum(bool(torch.randn(1, 1, 1, 2, dtype=D, generator=g)[..., 0] > -0.8) for _ in range(n))
    tail = sum(math.comb(n, k) * low**k * (1 - low) ** (n - k) for k in range(wins, n + 1))
    assert 0 < wins < n and tail == pytest.approx(alpha, rel=1e-6) and low < wins / n


def test_votes_without_a_majority_certify_nothing():
    y, x = (
        torch.zeros(3, dtype=torch.int64),
        torch.tensor([-2.0, 0.0, 0.05], dtype=D).view(3, 1, 1, 1),
    )
    radius, low = theorem.votes(
        two_class((1,), 0), two_class((0,), 0), x, y, 0.5, 300, generator=gen()
    )
    assert (low < 0.5).all() and low.min() >= 0 and torch.equal(radius, torch.zeros(3, dtype=D))
    never = theorem.votes(two_class((0,), -1), two_class((0,), 0), x, y, 0.5, 50)
    assert torch.equal(never[1], torch.zeros(3, dtype=D)) and torch.equal(never[0], never[1])


@pytest.mark.parametrize("sigma", [0.1, 0.5])
def test_the_vote_radius_of_an_affine_head_start_is_below_its_distance(sigma):
    S, T = two_class((3, -4), 0.25), two_class((0, 0), 0)
    x = torch.rand(40, 1, 1, 2, dtype=D, generator=gen()) - 0.5
    y = torch.zeros(40, dtype=torch.int64)
    h = theorem.head_start(S, T, y)(x).detach()
    radius, low = theorem.votes(S, T, x, y, sigma, 400, generator=gen(1))
    same, _ = theorem.votes(S, T, x, y, sigma, 400, generator=gen(1))
    other, _ = theorem.votes(S, T, x, y, sigma, 400, generator=gen(2))
    assert torch.equal(radius, same) and not torch.equal(radius, other)
    assert (radius <= (h / 5).clamp_min(0)).all() and (radius > 0).any()
    assert (low <= torch.special.ndtr(h / 5 / sigma)).all()


@pytest.mark.parametrize(
    "sigma, draws, said",
    [
        (0, 10, "sigma=0 must be a finite number above zero"),
        (-1.0, 10, "sigma=-1.0"),
        (1.0, 0, "draws=0 must be a whole number of at least 1"),
    ],
)
def test_bad_votes_are_named(sigma, draws, said):
    with pytest.raises(ValueError, match=said):
        theorem.votes(
            two_class((1,), 0),
            two_class((1,), 0),
            torch.zeros(1, 1, 1, 1, dtype=D),
            torch.tensor([0]),
            sigma,
            draws,
        )


# Exact in the plane ------------------------------------------------------------------------------


def plain(net):
    return nn.Sequential(*jacobian.known_layers(net))


@pytest.mark.parametrize("q", QS)
def test_in_the_plane_the_flip_of_an_affine_pair_is_its_distance(q):
    p = {1: inf, 2: 2, inf: 1}[q]
    for w, b in (((3.0, -4.0), 1.5), ((0.7, 0.7), 0.33), ((-5.0, 0.2), 0.01)):
        S, T, y = two_class(w, b + 1), two_class((0, 0), 1), torch.tensor([0])
        want = b / torch.linalg.vector_norm(t(*w), p).item()
        low, high = theorem.flip_in_plane(plain(S), plain(T), y, q)
        assert low <= want * (1 + 1e-9) and want <= high * (1 + 1e-9) and high - low <= 1e-3 * high
    assert theorem.flip_in_plane(plain(two_class((0.1, 0), 3)), plain(T), y, q) == (1.0, inf)
    assert theorem.flip_in_plane(plain(two_class((0.1, 0), 0)), plain(T), y, q) == (0, 0)


def polar(S, T, y, q, reach, angles=720, radii=1000):
    """The smallest flip on a grid of rays, and the grid's step along them."""
    turn = torch.arange(angles, dtype=D) * 2 * math.pi / angles
    way = torch.stack([turn.cos(), turn.sin()], 1)
    way = way / torch.linalg.vector_norm(way, q, dim=1, keepdim=True)
    r = torch.linspace(0, reach, radii + 1, dtype=D)[1:]
    z = (way[:, None] * r[:, None]).flatten(0, 1)
    with torch.no_grad():
        flipped = (theorem.head_start(S, T, y.expand(len(z)))(z) <= 0).view(angles, radii)
    return r[flipped.any(0)].min().item() if flipped.any() else inf, reach / radii


@pytest.mark.parametrize("q", QS)
@pytest.mark.parametrize("seed", [0, 1])
def test_in_the_plane_the_flip_of_a_maxout_pair_is_that_of_a_fine_polar_grid(seed, q):
    torch.manual_seed(seed)
    S, T = (nn.Sequential(Maxout(nn.Linear(2, 16), 2), nn.Linear(8, 3)).double() for _ in "ST")
    y, x = torch.tensor([0]), torch.zeros(1, 2, dtype=D)
    with torch.no_grad():
        for net in (S, T):
            net[0].layer.weight.mul_(4)
        S[1].bias[0] += 0.3 - theorem.head_start(S, T, y)(x).item()
    want, step = polar(S, T, y, q, 1.0)
    low, high = theorem.flip_in_plane(S, T, y, q)
    assert want < inf and high - low <= 1e-3 * high
    assert low <= want and high >= want - step - 2e-3 * want, (low, high, want)
    assert high <= want * (1 + 1e-3) + 1e-9


def test_in_the_plane_a_thin_wedge_between_the_first_cells_centres_is_not_missed():
    """h = x + 30 |y| + 0.3 is below zero in a wedge with its tip at (-0.3, 0), nowhere as wide as a
    first cell.
    """
    S = nn.Sequential(Maxout(linear([[1, 30], [1, -30]], [0, 0]), 2), linear([[1], [0]], [0.3, 0]))
    for q in QS:
        low, high = theorem.flip_in_plane(S, plain(two_class((0, 0), 0)), torch.tensor([0]), q)
        assert low <= 0.3 <= high * (1 + 1e-9) and high <= 0.3 * 1.0011


@pytest.mark.parametrize("space", geometry.SPACES)
def test_the_certificate_in_the_plane_is_below_the_exact_flip_in_every_space(space):
    torch.manual_seed(6)
    S, T = (
        nn.Sequential(nn.Linear(2, 6), nn.Softplus(beta=4), nn.Linear(6, 3)).double()
        for _ in range(2)
    )
    y, x = torch.tensor([0]), torch.zeros(1, 2, dtype=D)
    with torch.no_grad():
        S[2].bias[0] += 0.1 - (theorem.head_start(S, T, y)(x)).item()
    low, high = theorem.flip_in_plane(S, T, y, 2, space, 2.0, reach=3.0)
    fixed, integral = theorem.sound_radii(S, T, x, y, space=space, tau=2.0)
    found = theorem.smallest_flip(theorem.head_start(S, T, y, space, 2.0), x, generator=gen())[
        0
    ].item()
    assert 0 < fixed.item() <= integral.item() <= high and low <= found * (1 + 1e-9)
    assert high < inf and found <= 1.05 * high


def test_in_plane_gives_the_network_at_x_and_along_the_axes():
    S, _, x, _ = pair("overlapping max", "relu", n=1)
    axes = torch.randn(2, *SHAPE, dtype=D, generator=gen())
    flat = theorem.in_plane(S, x, axes)
    torch.testing.assert_close(flat(torch.zeros(1, 2, dtype=D)), S(x))
    torch.testing.assert_close(flat(t(0.3, -2)[None]), S(x + 0.3 * axes[:1] - 2 * axes[1:]))
    assert torch.equal(x, pair("overlapping max", "relu", n=1)[2])
