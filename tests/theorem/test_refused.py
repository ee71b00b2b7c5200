"""What no certificate and no search may take: networks that are not what they look like, numbers
that are none.
"""

import types

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from rsnl_lib import networks, theorem
from rsnl_lib.geometry import boundary
from rsnl_lib.measure import evaluate
from rsnl_lib.theorem import search

INF, NAN = float("inf"), float("nan")
X = torch.rand(6, 1, 2, 3, generator=torch.Generator().manual_seed(0))
Y = torch.arange(6) % 3


def net(seed=0, classes=3):
    torch.manual_seed(seed)
    body = nn.Sequential(nn.Linear(6, 8), nn.ReLU())
    return nn.Sequential(nn.Flatten(), body, nn.Linear(8, classes)).eval()


def with_norm(variance):
    torch.manual_seed(0)
    made = nn.Sequential(nn.Flatten(), nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)).eval()
    made[2].running_var.fill_(variance)
    return made


def changed(change):
    made = net()
    change(made)
    return made


class OwnCall(nn.Linear):
    def __call__(self, x):
        return 5 * super().__call__(x)


class OwnConvolution(nn.Conv2d):
    def _conv_forward(self, *args):
        return 5 * super()._conv_forward(*args)


class NeverAtRest(nn.BatchNorm1d):
    def train(self, mode=True):
        return super().train(True)


class Blind(nn.Module):
    def forward(self, x):
        return torch.ones(len(x), 3, dtype=x.dtype)


def hooked(made, kind):
    getattr(made, f"register_forward_{kind}")(lambda m, *values: values[-1])


def old_weight_norm(made):
    with pytest.warns(FutureWarning):
        torch.nn.utils.weight_norm(made[2])


FLATTEN = nn.Flatten()
DISGUISED = {
    "hook": (changed(lambda n: hooked(n[1][0], "hook")), "layer 1.0 (Linear) has hooks"),
    "pre-hook": (changed(lambda n: hooked(n[2], "pre_hook")), "layer 2 (Linear) has hooks"),
    "hook of a container": (changed(lambda n: hooked(n[1], "hook")), "layer 1 (Sequential) has"),
    "hook of the network": (changed(lambda n: hooked(n, "hook")), "layer at the top (Sequential)"),
    "patched forward": (
        changed(lambda n: setattr(n[2], "forward", types.MethodType(lambda m, x: 5 * x, n[2]))),
        "layer 2 (Linear) has its own forward",
    ),
    "patched container": (
        changed(lambda n: setattr(n[1], "forward", lambda x: x)),
        "layer 1 (Sequential) has its own forward",
    ),
    "own __call__": (
        nn.Sequential(FLATTEN, OwnCall(6, 3)),
        "layer 1 (OwnCall) has its own __call__",
    ),
    "own convolution": (
        nn.Sequential(OwnConvolution(1, 2, 2), FLATTEN, nn.Linear(4, 3)),
        "layer 0 (OwnConvolution) has its own _conv_forward",
    ),
    "batch norm never at rest": (
        nn.Sequential(FLATTEN, NeverAtRest(6), nn.Linear(6, 3)),
        "layer 1 (NeverAtRest) has its own train",
    ),
    "layer inside a maxout": (
        nn.Sequential(FLATTEN, networks.Maxout(OwnCall(6, 6))),
        "layer 1.layer (OwnCall) has its own __call__",
    ),
    "old spectral_norm": (
        changed(lambda n: torch.nn.utils.spectral_norm(n[2])),
        "layer 2 (Linear) has hooks",
    ),
    "prune": (changed(lambda n: prune.random_unstructured(n[2], "weight", 0.5)), "prune.remove"),
    "old weight_norm": (changed(old_weight_norm), "remove_weight_norm"),
    "weight that is no parameter": (
        changed(lambda n: (delattr(n[2], "weight"), setattr(n[2], "weight", torch.ones(3, 8)))),
        "its own weight",
    ),
}


@pytest.mark.parametrize("made, said", DISGUISED.values(), ids=DISGUISED)
def test_a_network_that_is_not_what_its_layers_say_gets_no_certificate(made, said):
    for call in (
        lambda: theorem.sound_radii(made, net(1), X, Y),
        lambda: theorem.sound_radii(net(1), made, X, Y, "spectral"),
        lambda: theorem.lipschitz(made, Y),
        lambda: theorem.in_plane(made, X[:1], X[:2]),
    ):
        with pytest.raises(ValueError) as error:
            call()
        assert said in str(error.value)


def test_hooks_of_every_module_are_seen():
    for register in (
        nn.modules.module.register_module_forward_hook,
        nn.modules.module.register_module_forward_pre_hook,
    ):
        handle = register(lambda m, *values: None)
        try:
            with pytest.raises(ValueError, match="registered for every module"):
                theorem.sound_radii(net(), net(1), X, Y)
        finally:
            handle.remove()
    theorem.sound_radii(net(), net(1), X, Y)


NOT_FINITE = {
    "NaN bias": (changed(lambda n: nn.init.constant_(n[2].bias, NAN)), "2.bias of the"),
    "infinite weight": (changed(lambda n: n[1][0].weight.data[0].fill_(INF)), "1.0.weight of the"),
    "negative variance": (with_norm(-1.0), "2.running_var of the"),
    "NaN variance": (with_norm(NAN), "2.running_var of the"),
    "one class": (net(0, 1), "1 class"),
}


@pytest.mark.parametrize("made, said", NOT_FINITE.values(), ids=NOT_FINITE)
def test_a_network_of_no_finite_numbers_is_refused_before_it_is_measured(made, said):
    y = Y * 0
    for call in (
        lambda: theorem.sound_radii(made, net(1), X, Y),
        lambda: theorem.sound_radii(made, made, X, y, "spectral"),
        lambda: theorem.votes(made, made, X, y, 0.1, 5),
        lambda: theorem.margins(made, made, X, y),
        lambda: theorem.ladder(made, made, X, y),
        lambda: evaluate.sweep({"a": made}, X, y, [("clean", 0.0, "")]),
        lambda: boundary.vectors(made, X, y),
    ):
        with pytest.raises(ValueError) as error:
            call()
        assert said in str(error.value)


def test_a_parametrised_weight_that_is_nan_is_named():
    made = net()
    nn.init.zeros_(made[2].weight)
    torch.nn.utils.parametrizations.weight_norm(made[2])  # 0/0
    with pytest.raises(ValueError, match="the weight of layer 2|logits of the student"):
        theorem.sound_radii(made, net(1), X, Y)


@pytest.mark.parametrize("method", theorem.SOUND)
@pytest.mark.parametrize("space", ["logit", "probability"])
def test_constant_networks_without_a_lead_get_radius_0_and_with_one_infinity(method, space):
    S = net()
    nn.init.zeros_(S[2].weight)
    nn.init.zeros_(S[2].bias)
    for T, lead in ((S, 0.0), (net(), -1.0), (net(), 1.0)):
        if lead:
            nn.init.zeros_(T[2].weight)
            T[2].bias.data = torch.tensor([-lead, 0.0, 0.0])
        for r in theorem.sound_radii(S, T, X, Y * 0, method, space=space):
            assert not r.isnan().any()
            assert (r == 0).all() if lead <= 0 else (r > 1e6).all()


@pytest.mark.parametrize("method", theorem.SOUND)
@pytest.mark.parametrize("scale", [1e30, 1e100, 1e200])
def test_where_float64_overflows_there_is_no_nan(method, scale):
    S, T = net().double(), net(1).double()
    S[1][0].weight.data *= scale
    S[2].weight.data *= scale
    try:
        radii = theorem.sound_radii(S, T, X, Y, method)
    except ValueError as error:
        assert "logits of the student" in str(error)
    else:
        assert not torch.stack(radii).isnan().any()


def test_the_search_for_a_flip_refuses_nan_and_nothing():
    made = NOT_FINITE["NaN bias"][0]
    for h in (theorem.right_answer(made, Y), theorem.head_start(made, net(), Y)):
        with pytest.raises(ValueError, match="h is NaN at image 0"):
            search.smallest_flip(h, X)
        with pytest.raises(ValueError, match="NaN at image 0"):
            search.estimate_sampling(h, X, 0.1)
        with pytest.raises(ValueError, match="NaN at image 0"):
            search.estimate_ascent(h, X, torch.ones(2, 6))
    with pytest.raises(ValueError, match="x is empty"):
        search.smallest_flip(theorem.right_answer(net(), Y[:0]), X[:0])


def test_votes_refuse_training_mode_and_nan_images():
    loud = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(6, 3))
    with pytest.raises(ValueError, match=r"student is in training mode: 1 \(Dropout\); call eval"):
        theorem.votes(loud.train(), net(), X, Y, 0.1, 5)
    with pytest.raises(ValueError, match="teacher is in training mode"):
        theorem.votes(net(), with_norm(1.0).train(), X, Y, 0.1, 5)
    with pytest.raises(ValueError, match="NaN or infinite"):
        theorem.votes(net(), net(), X * NAN, Y, 0.1, 5)


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda: theorem.sound_radii(net(), net(1), X[:0], Y[:0]), "x is empty"),
        (lambda: theorem.lipschitz(net(), Y[:0]), "empty"),
        (lambda: theorem.sound_radii(net(), net(1), X[..., :2], Y), "(1, 2, 2)"),
        (lambda: theorem.sound_interval(net(), net(1), X, Y, -torch.ones(6)), "R="),
        (lambda: theorem.sound_interval(net(), net(1), X, Y, torch.ones(2)), "one radius for each"),
        (lambda: theorem.sound_lipsdp(net(), net(1), X, Y, NAN * torch.ones(6)), "R="),
        (lambda: theorem.sound_lead(net(), net(1), X, Y + 1), "labels run from 1 to 3"),
        (lambda: theorem.eq7_terms(Blind(), net(1), X, Y), "ignores its images"),
        (lambda: theorem.margins(net(), Blind(), X, Y), "ignores its images"),
        (lambda: theorem.capped_radius(torch.ones(2), torch.ones(2), -1.0), "R=-1.0"),
        (lambda: theorem.fixed_point(torch.ones(2), lambda s: s, R=NAN), "R=nan"),
        (
            lambda: theorem.estimate_sampling(theorem.right_answer(net(), Y), X, -0.1, draws=2),
            "R=-0.1",
        ),
        (
            lambda: theorem.estimate_ascent(theorem.right_answer(net(), Y), X, -torch.ones(1, 6)),
            "radii=",
        ),
    ],
)
def test_empty_batches_other_sizes_and_negative_radii_are_refused_in_words(call, said):
    with pytest.raises(ValueError) as error:
        call()
    assert said in str(error.value)


def test_the_printed_radius_is_0_without_a_lead_and_slope():
    m, G = torch.tensor([0.0, -1.0, 1.0, 2.0]), torch.tensor([0.0, 0.0, 0.0, 4.0])
    assert theorem.printed_radius(m, G).tolist() == [0.0, 0.0, INF, 0.5]
