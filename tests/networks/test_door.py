"""The door: what a network answers, whether one can rely on it, and what is said where one cannot,
before the work.
"""

import contextlib
import copy
import functools
import types
from collections import OrderedDict

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn
from torch.utils.checkpoint import checkpoint

from rsnl_lib import data, geometry, networks, store, theorem, train
from rsnl_lib.geometry import boundary, steady
from rsnl_lib.measure import evaluate, toolbox
from rsnl_lib.networks import door, modules
from rsnl_lib.train.methods import base, supporting

CLEAN = [("clean", 0, "")]
TWICE = ["gradient_only", "robust", "target_zero", "shuffled", "matched", "direct"]
R = train.Recipe("test", 2, batch=8, tau=2.0, C1=1.0, epsilon=0.02, attack_steps=1, alpha=0.5)
R = R._replace(lr=1e-2, lr_conv=1e-2)


def images(n=24):
    g, y = torch.Generator().manual_seed(0), torch.arange(n) % 4
    x = torch.rand(4, 1, 6, 6, generator=g)[y] + 0.3 * torch.rand(n, 1, 6, 6, generator=g)
    return data.Data("few", 4, *(x / 1.3, y) * 3)


D = images()


def small(seed=0, norm=None):
    """A convolution, `norm` (of 4 channels) or nothing, and a dense layer."""
    torch.manual_seed(seed)
    middle = norm(4) if norm else nn.Identity()
    layers = [nn.Conv2d(1, 4, 3, 2, 1), middle, nn.Softplus(), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(36, 4))


class Around(nn.Module):
    """A network whose answer is `made` of its logits a, in images x, in mode m."""

    def __init__(self, made, seed=0, net=None):
        super().__init__()
        self.net, self.made = net or small(seed), made

    def forward(self, x):
        return self.made(self.net(x), x, self.training)


class OwnNorm(nn.Module):
    """Batch norm by hand, its statistics laid into new tensors."""

    def __init__(self, channels):
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))

    def forward(self, x):
        if self.training:
            now = x.mean((0, 2, 3))
            self.mean = 0.9 * self.mean + 0.1 * now.detach()
            return x - now[:, None, None]
        return x - self.mean[:, None, None]


T = small(9).eval()
HEADS = {
    "dict": lambda a, x, m: OrderedDict(logits=a),
    ".logits": lambda a, x, m: types.SimpleNamespace(logits=a, hidden=x),
    "tuple": lambda a, x, m: (a, 2 * a),
    "auxiliary": lambda a, x, m: (a, a + 1) if m else a,
    "list of a dict": lambda a, x, m: {"logits": [a, x]},
}


@pytest.mark.parametrize("kind", HEADS)
def test_the_main_head_trains_and_teaches_as_the_plain_network_does(kind):
    made = lambda seed: Around(HEADS[kind], seed)
    for method in ("kd", "robust", "fitnet", "bss", "ard", "adaad", "direct", "target_zero"):
        (one, two) = (
            train.fit(S, D, method, R._replace(epochs=1), teacher=G.eval()).last.state_dict()
            for S, G in ((made(0).net, small(9)), (made(0), made(9)))
        )
        for name, t in one.items():
            torch.testing.assert_close(two[f"net.{name}"], t, msg=method)
        assert not any(torch.equal(t, small().state_dict()[n]) for n, t in one.items())


@pytest.mark.parametrize("kind", HEADS)
def test_every_measure_takes_the_main_head(kind):
    net, plain = Around(HEADS[kind], 1).eval(), small(1).eval()
    x, y = D.x_test[:6], D.y_test[:6]
    asks = {
        "accuracy": lambda n: train.accuracy(n, x, y),
        "sweep": lambda n: evaluate.sweep({"a": n}, x, y, CLEAN),
        "margins": lambda n: theorem.margins(n, T, x[:2], y[:2], restarts=1, steps=2),
        "vectors": lambda n: [t.tolist() for t in boundary.vectors(n, x, y)],
        "search": lambda n: boundary.search(n, x, y, (y + 1) % 4, halvings=3).x.tolist(),
        "votes": lambda n: theorem.votes(n, T, x, y, 0.1, 20, 0.1, torch.Generator())[1].tolist(),
        "constants": lambda n: [t.tolist() for t in train.teacher_constants(n, x, y, 2.0, "logit")],
    }
    for name, ask in asks.items():
        torch.manual_seed(0)
        got = ask(net)
        torch.manual_seed(0)
        assert str(got) == str(ask(plain)), name
    assert not net._forward_hooks and not net.training


def test_an_attack_takes_the_main_head():
    pytest.importorskip("art")
    x, y = D.x_test[:8], D.y_test[:8]
    last = train.fit(small(), D, "standard", R._replace(epochs=6)).last
    both = [last, Around(HEADS["dict"], net=last)]
    one, two = (toolbox.survives(n, x, y, 0.2, restarts=1, steps=2) for n in both)
    assert torch.equal(one, two) and one.any() and not one.all()


def scripted_dict():
    class Net(nn.Module):
        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"logits": x.flatten(1)[:, :4]}

    return torch.jit.trace(Net(), D.x_test[:1], strict=False)


def awake(net, name):
    dict(net.eval().named_modules())[name].train()
    return net


def drops(net=None):
    return Around(lambda a, x, m: a + F.dropout(x.flatten(1)[:, :4], 0.5), net=net)


def mixes(a, x, m):
    return a - a.mean(0)


class NoModes(nn.Module):
    def train(self, mode=True):
        raise NotImplementedError("Calling train() is not supported yet.")

    def forward(self, x):
        return x.flatten(1)[:, :4]


AT_REST = {  # a network that no measure can rely on: what is said
    "nothing": (
        lambda: Around(lambda a, x, m: {"score": a}),
        "a dict of score, in which no logits",
    ),
    "two images make one": (lambda: Around(mixes), "its own forward (Around) mixes the images"),
    "statistics of the batch": (
        lambda: small(0, functools.partial(nn.BatchNorm2d, track_running_stats=False)),
        "its layer 1 (BatchNorm2d) mixes the images of a batch in evaluation mode",
    ),
    "behind zeros": (
        lambda: zeroed(small(0, functools.partial(nn.BatchNorm2d, track_running_stats=False))),
        "its layer 1 (BatchNorm2d) mixes",
    ),
    "dropout": (drops, "answers twice differently about one image: its own forward (Around)"),
    "dropout of a layer": (
        lambda: nn.Sequential(drops(), nn.Linear(4, 4)),
        "its layer 0 (Around) draws anew",
    ),
    "scripted": (scripted_dict, "is scripted and answers more than a tensor"),
    "exported": (NoModes, "of an exported program the one that it was made from"),
}


def zeroed(net):
    nn.init.zeros_(net[-1].weight)
    return net


@pytest.mark.parametrize("case", AT_REST)
def test_what_cannot_be_relied_on_is_refused_by_all(case):
    make, said = AT_REST[case]
    x, y = D.x_test[:6], D.y_test[:6]
    for name, ask in {
        "student": lambda n: train.fit(n, D, "kd", R, teacher=T),
        "teacher": lambda n: train.fit(small(), D, "kd", R, teacher=n),
        "constants": lambda n: train.teacher_constants(n, x, y, 2.0, ""),
        "accuracy": lambda n: train.accuracy(n, x, y),
        "sweep": lambda n: evaluate.sweep({"a": n}, x, y, CLEAN),
        "survives": lambda n: toolbox.survives(n, x, y, 0.1),
        "vectors": lambda n: boundary.vectors(n, x, y),
        "votes": lambda n: theorem.votes(n, T, x, y, 0.1, 20),
    }.items():
        net = make()
        if case != "exported":
            net.eval()
        elif name in ("survives", "sweep", "vectors", "votes", "teacher", "constants"):
            net.training = False
        if case in ("scripted", "exported", "nothing") and name in ("vectors", "survives", "sweep"):
            continue
        with pytest.raises(ValueError) as error:
            ask(net)
        assert said in str(error.value), name


def test_random_numbers_and_statistics_stay_as_they_were_where_a_network_is_looked_at():
    net = small(0, OwnNorm)
    before, random = copy.deepcopy(net.state_dict()), drops()
    torch.manual_seed(3)
    wanted = torch.rand(3)
    torch.manual_seed(3)
    assert steady.companions(net, D.x_train)[0] == ("1", "OwnNorm")
    door.look("network", nn.Sequential(net, nn.Dropout()), D.x_train[:2])
    with pytest.raises(ValueError):
        door.look("network", random, D.x_train[:2])
    assert torch.equal(torch.rand(3), wanted)
    assert all(torch.equal(t, before[n]) for n, t in net.state_dict().items()) and net.training


def test_what_cannot_be_copied_is_asked_itself_and_put_back():
    net = torch.nn.utils.weight_norm(small(0, OwnNorm)[0])
    net = nn.Sequential(net, OwnNorm(4), nn.Flatten(), nn.Linear(36, 4))
    net(D.x_train[:2])
    assert steady.stand_in(net) is net
    before = copy.deepcopy(net.state_dict())
    assert steady.companions(net, D.x_train)[0] == ("1", "OwnNorm")
    with pytest.raises(ValueError, match="OwnNorm in training mode"):
        door.trainable(net, D.x_train, False, True, "")
    assert all(torch.equal(t, before[n]) for n, t in net.state_dict().items())
    assert net.training and net[1].mean is dict(net.named_buffers())["1.mean"]


class Counted(nn.Module):
    """A teacher that counts its images."""

    def __init__(self):
        super().__init__()
        self.net, self.asked = small(9), [0]

    def forward(self, x):
        COUNT[0] += len(x)
        return self.net(x)


COUNT = [0]


def hard(a, x, m):
    return a + F.hardsigmoid(x).flatten(1)[:, :4] * a


REFUSED = {  # a student, what the recipe changes, which methods refuse it, what is said
    "BatchNorm2d": (
        lambda: small(0, nn.BatchNorm2d), {}, TWICE,
        "BatchNorm2d in training mode mixes the images of a batch",
    ),
    "own norm": (
        lambda: small(0, OwnNorm), {}, TWICE, "call dict(net.named_modules())['1'].eval() before",
    ),
    "own norm, frozen": (
        lambda: small(0, OwnNorm), {"frozen_norm": True}, ["kd", "fitnet", "ard", "standard"],
        "frozen_norm=True does not reach 1.mean",
    ),
    "scripted": (
        lambda: torch.jit.script(small(0, nn.BatchNorm2d)), {"frozen_norm": True}, ["kd"],
        "frozen_norm=True does not reach 1.running_mean",
    ),
    "in a forward": (
        lambda: Around(lambda a, x, m: F.batch_norm(a, None, None, training=True) if m else a), {},
        TWICE, "Around in training mode mixes",
    ),
    "hardsigmoid": (
        lambda: Around(hard), {}, TWICE, "Hardsigmoid has no second derivative",
    ),
    "one image": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(36, 4), nn.BatchNorm1d(4)), {"batch": 23},
        ["standard", "kd", "mimic", "ard"],
        "24 images in batches of 23 leave a single one (set batch=22)",
    ),
    "frozen": (lambda: small().requires_grad_(False), {}, ["kd"], "every weight of the network is"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_student_that_cannot_be_trained_is_refused_before_the_teacher_is_asked(case):
    make, changes, methods, said = REFUSED[case]
    for method in methods:
        net, COUNT[0] = make(), 0
        with pytest.raises(ValueError) as error:
            train.fit(net, images(200) if "batch" not in changes else D, method,
                      R._replace(**changes), teacher=Counted().eval())  # fmt: skip
        assert said in str(error.value), method
        assert COUNT[0] <= 20, f"{method}: the teacher was shown {COUNT[0]} images"


def test_a_network_is_asked_20_images_at_most_before_it_is_refused():
    def counted(a, x, m):
        COUNT[0] += len(x)
        return hard(a, x, m)

    for changes in ({}, {"frozen_norm": True}, {"hint_epochs": 1}):
        COUNT[0] = 0
        with pytest.raises(ValueError, match="Hardsigmoid has no second derivative"):
            train.fit(Around(counted), D, "robust", R._replace(**changes), teacher=T)
        assert COUNT[0] <= 20, (changes, COUNT)


def test_scripted_networks_learn_under_attack_and_teach():
    G = torch.jit.script(small(9).eval())
    for method in ("kd", "robust", "bss", "ard", "adaad"):
        one, two = (
            train.fit(S, D, method, R._replace(epochs=1), teacher=guide).last.parameters()
            for S, guide in ((small(), T), (torch.jit.script(small()), G))
        )
        for p, q in zip(one, two):
            torch.testing.assert_close(p, q, msg=method)
        assert all(p.requires_grad and p.grad is None for p in G.parameters()), method
    assert all(p.is_leaf and p.requires_grad for p in steady.stand_in(G).parameters())


def test_an_exported_program_is_refused_for_what_it_is():
    net = torch.export.export(small(9), (D.x_test[:2],)).module()
    assert net.training
    for S, G in ((net, T), (small(), net)):
        with pytest.raises(ValueError, match="of an exported program the one that it was made"):
            train.fit(S, D, "kd", R, teacher=G)


class InPlace(nn.Module):
    def forward(self, x):
        return x.sub_(0.5)


def test_images_changed_in_place_are_refused_and_stay_as_they_are():
    x, y, before = D.x_test[:6], D.y_test[:6], D.x_test.clone()
    for ask in (
        lambda n: train.fit(n, D, "kd", R, teacher=T),
        lambda n: train.fit(small(), D, "kd", R, teacher=n),
        lambda n: train.accuracy(n, x, y),
        lambda n: evaluate.sweep({"a": n}, x, y, CLEAN),
        lambda n: toolbox.survives(n, x, y, 0.1),
        lambda n: boundary.vectors(n, x, y),
    ):
        with pytest.raises(ValueError, match=r"changes its images in place; put x - 0.5 in"):
            ask(nn.Sequential(InPlace(), small()).eval())
        assert torch.equal(D.x_test, before) and torch.equal(D.x_train, before)


def test_a_student_that_ends_in_softmax_is_refused_as_its_teacher_is():
    ends = lambda seed: nn.Sequential(small(seed), nn.Softmax(1))
    for who, S, G in (("network", ends(0), T), ("teacher", small(), ends(9).eval())):
        with pytest.raises(ValueError, match=f"the {who} gives probabilities .*softmax out"):
            train.fit(S, D, "kd", R, teacher=G)
    train.fit(small(), D, "standard", R._replace(hint_epochs=1), teacher=ends(9).eval())


def test_a_hint_that_reaches_nothing_or_has_no_layer_is_refused_early():
    flat = lambda: nn.Sequential(nn.Flatten(), nn.Linear(36, 4))
    start = small()
    start[0].requires_grad_(False)
    for S, G, said in (
        (start, Counted().eval(), "the hint reaches no weight of the network"),
        (flat(), Counted().eval(), "no middle layer to hint at, before the last; give"),
        (small(), nn.Sequential(Counted(), nn.Identity()).eval(), ""),
        (small(), flat().eval(), "no middle layer to hint at, before the last; give"),
    ):
        COUNT[0] = 0
        with pytest.raises(ValueError, match=said) if said else contextlib.nullcontext():
            train.fit(S, images(200), "fitnet", R._replace(epochs=1), teacher=G)
        assert (COUNT[0] <= 20) is bool(said), (said, COUNT)


def test_the_hint_stage_takes_double_precision():
    x = {f"x_{p}": getattr(D, f"x_{p}").double() for p in ("train", "val", "test")}
    for hint in ("regress", "classify"):
        r = R._replace(epochs=1, hint=hint)
        teacher = small(9).double().eval()
        run = train.fit(small().double(), D._replace(**x), "fitnet", r, teacher=teacher)
        a = run.last(x["x_test"])
        assert a.dtype == torch.double and a.isfinite().all()


class Checkpointed(nn.Module):
    """A checkpoint with use_reentrant=True; with `also` a weight beside the images makes it train
    what is under it.
    """

    def __init__(self, seed=0, also=False):
        super().__init__()
        self.net = small(seed)
        self.also = nn.Parameter(torch.zeros(())) if also else torch.zeros(())

    def forward(self, x):
        body = lambda z, _: self.net[:3](z)
        return self.net[3:](checkpoint(body, x, self.also, use_reentrant=True))


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
def test_reentrant_checkpoints_are_refused_where_they_give_no_gradients():
    fit = lambda S, method, G: train.fit(S, D, method, R._replace(epochs=1), teacher=G)
    for S, method, G, said in (
        (Checkpointed(), "kd", T, "would not be trained"),
        (Checkpointed(), "fitnet", T, "the hint reaches no weight"),
        (Checkpointed(also=True), "ard", T, "gives no input gradients"),
        (Checkpointed(also=True), "robust", T, "gives no input gradients"),
        (small(), "robust", Checkpointed(9).eval(), "gives no input gradients"),
        (small(), "bss", Checkpointed(9).eval(), "gives no input gradients"),
        (small(), "adaad", Checkpointed(9).eval(), "gives no input gradients"),
    ):
        with pytest.raises(ValueError, match=f"{said}.*give checkpoint use_reentrant=False"):
            fit(S, method, G)
    for S, method, G in (
        (Checkpointed(also=True), "kd", T),
        (small(), "iad", Checkpointed(9).eval()),
    ):
        before = S.state_dict()
        last = fit(S, method, G).last
        twin = fit(small(), method, T).last
        for p, q in zip([p for p in last.parameters() if p.dim()], twin.parameters()):
            torch.testing.assert_close(p, q)
        assert before.keys() == last.state_dict().keys()


class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, up):
        return 3 * ctx.saved_tensors[0] ** 2 * up


def test_a_function_with_one_derivative_is_refused_where_two_are_needed():
    net = lambda: Around(lambda a, x, m: Once.apply(a))
    train.fit(net(), D, "ard", R, teacher=T)
    with pytest.raises(ValueError, match="marked once_differentiable.* leave the mark out"):
        train.fit(net(), D, "robust", R, teacher=T)


@pytest.mark.parametrize("most", [1, 2, 3])
def test_one_or_two_boundary_samples_are_left_out_where_batch_norm_sees_one_number(
    monkeypatch, most
):
    def found(*given, **how):
        return boundary.search(*given, **how)._replace(accepted=torch.arange(4) < most)

    monkeypatch.setattr(supporting, "search", found)
    monkeypatch.setattr(supporting, "base_samples", lambda *given: torch.arange(4))
    a_T = T(D.x_train).detach()
    b = base.Batch(D.x_train, a_T.argmax(1), a_T, None, 1.0, T)
    dense = nn.Sequential(nn.Flatten(), nn.Linear(36, 4), nn.BatchNorm1d(4))
    for net in (dense, small(0, nn.BatchNorm2d), small()):
        share = 0 if net is dense and most < 3 else most / 24
        terms = supporting.bss(net, b, R)
        assert float(terms["bss_share"][1]) == pytest.approx(share)
        assert (float(terms["bss"][1]) > 0) is bool(share)
        sum(weight * value for weight, value in terms.values()).backward()
    assert dense[2].num_batches_tracked == 1 + (most > 2), "what is left out moves no statistics"


def test_logits_far_apart_are_attacked_as_those_of_usual_size():
    pytest.importorskip("art")
    x, y = D.x_test[:8], D.y_test[:8]
    last = train.fit(small(), D, "standard", R._replace(epochs=6)).last
    k = 10 / float(boundary.top_two(last(x)).max())
    for kind in ("pgd", "autoattack"):
        one, two = (
            toolbox.survives(Around(lambda a, x, m: n * a, net=last), x, y, 0.2, kind, 10, 1)
            for n in (k, k * 1e5)
        )
        assert torch.equal(one, two), kind
    assert not one.all()


def test_survives_and_sweep_leave_modes_and_gradients():
    pytest.importorskip("art")
    x, y = D.x_test[:6], D.y_test[:6]
    for ask in (
        lambda n: toolbox.survives(n, x, y, 0.2, steps=1, restarts=1),
        lambda n: evaluate.sweep({"a": n}, x, y, CLEAN),
    ):
        net = nn.Sequential(small(), nn.Dropout(0.5)).eval()
        net[1].train()
        first, second, *rest = net.parameters()
        first.grad = torch.ones_like(first)
        second.requires_grad_(False)
        ask(net)
        assert [m.training for m in net.modules()].count(True) == 1 and net[1].training
        assert first.grad is not None and bool((first.grad == 1).all())
        assert all(p.grad is None for p in [second, *rest])
        assert [p.requires_grad for p in net.parameters()].count(False) == 1


def test_remedies_work():
    net = small(0, OwnNorm)
    dict(net.named_modules())["1"].eval()
    train.fit(net, D, "robust", R, teacher=T)
    assert not net[1].mean.any()
    net = torch.jit.script(small(0, nn.BatchNorm2d))
    dict(net.named_modules())["1"].eval()
    before = {n: b.clone() for n, b in net.named_buffers()}
    train.fit(net, D, "robust", R._replace(frozen_norm=True), teacher=T)
    assert all(torch.equal(b, before[n]) for n, b in net.named_buffers())
    net = nn.Sequential(nn.Flatten(), nn.Linear(36, 4), nn.BatchNorm1d(4))
    train.fit(net, D, "standard", R._replace(batch=22))


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.cut = nn.Conv2d(1, 8, 3, 3)
        self.mix = nn.TransformerEncoderLayer(8, 2, 8, dropout=0.0, batch_first=True)
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        return self.head(self.mix(self.cut(x).flatten(2).transpose(1, 2)).mean(1))


@pytest.mark.parametrize("method", TWICE)
def test_attention_is_trained_on_its_input_gradients(method):
    torch.manual_seed(0)
    net = Attention()
    before = copy.deepcopy(net.mix.self_attn.in_proj_weight)
    (row, _) = train.fit(net, D, method, R, teacher=T).history
    assert not torch.equal(net.mix.self_attn.in_proj_weight, before)


def test_the_gap_of_gradients_climbs_through_attention():
    S, x = theorem.exact(Attention()), D.x_test[:2].double()
    h = theorem.head_start(S, theorem.exact(T), D.y_test[:2])
    best = theorem.estimate_ascent(h, x, torch.ones(1, 2).double(), starts=1, steps=3)
    assert (best >= theorem.point_gap(h, x)).all()


def test_what_torch_compiled_is_trained_inside():
    net = torch.compile(small(), backend="eager")
    plain = train.fit(small(), D, "robust", R, teacher=T).last
    run = train.fit(net, D, "robust", R, teacher=torch.compile(small(9).eval(), backend="eager"))
    assert all(map(torch.equal, run.last.parameters(), plain.parameters()))
    assert all(map(torch.equal, net.parameters(), plain.parameters()))


def test_layers_in_evaluation_mode_stay_so():
    for method in ("standard", "fitnet", "ard", "robust"):
        net = small(0, lambda c: nn.Sequential(nn.BatchNorm2d(c), nn.BatchNorm2d(c)))
        net[1][0].eval()
        if method == "robust":
            net[1][1].eval()
        held = [b.clone() for b in net[1][0].buffers()]
        run = train.fit(net, D, method, R, teacher=T)
        assert all(map(torch.equal, net[1][0].buffers(), held)), method
        assert method == "robust" or net[1][1].running_mean.any(), "the other one follows"
        assert not run.last.training and not run.last[1][1].training
    net.train()[1][0].eval()
    train.accuracy(net, D.x_test, D.y_test)
    assert [m.training for m in net.modules()].count(False) == 1
    train.fit(net.eval(), D, "standard", R)
    assert net[1][0].running_mean.any(), "a network all in evaluation mode is all trained"


def test_a_layer_of_the_teacher_in_training_mode_is_named_where_it_matters():
    for net, name in (
        (nn.Sequential(nn.Dropout(), small(9)), "0"),
        (small(9, nn.BatchNorm2d), "1"),
        (nn.utils.parametrizations.spectral_norm(small(9)[0]), "parametrizations.weight.0"),
    ):
        if name.startswith("param"):
            net = nn.Sequential(net, nn.Flatten(), nn.Linear(36, 4))
            name = f"0.{name}"
        for ask in (
            lambda n: train.teacher_constants(n, D.x_train, D.y_train, 2.0, ""),
            lambda n: train.fit(small(), D, "kd", R, teacher=n),
        ):
            with pytest.raises(ValueError, match=f"training mode: its layer {name} .*eval"):
                ask(awake(net, name))
    train.fit(small(), D, "kd", R, teacher=awake(nn.Sequential(nn.Dropout(0.0), small(9)), "0"))


def test_a_quantised_teacher_gives_scores_and_no_gradients(tmp_path):
    net = torch.ao.quantization.quantize_dynamic(small(9).eval(), {nn.Linear}, torch.qint8)
    many = dict(teacher=net, cache=tmp_path, state=tmp_path / "a.state")
    run = train.fit(small(), D, "kd", R, **many)
    assert len(run.history) == 2 and len(list(tmp_path.glob("teacher-*.safetensors"))) == 1
    other = torch.ao.quantization.quantize_dynamic(small(8).eval(), {nn.Linear}, torch.qint8)
    one, two = ([t for t in door.tensors(n) if t.shape == (4, 36)] for n in (net, other))
    assert len(one) == 1 and not torch.equal(*one, *two)
    for method in ("robust", "bss", "adaad"):
        with pytest.raises(ValueError, match="the teacher is quantised and has no input gradients"):
            train.fit(small(), D, method, R, teacher=net)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "_orig_mod.module."])
def test_prefixes_of_wrappers_are_taken_off_checkpoints(tmp_path, prefix):
    path, held = tmp_path / "a.safetensors", small(3).state_dict()
    save_file({prefix + k: t.clone() for k, t in held.items()}, path)
    for net in (small(), torch.compile(small(), backend="eager")):
        found, _ = store.load_checkpoint(path, net)
        assert all(map(torch.equal, found.parameters(), held.values()))
    wrapped = nn.Sequential(OrderedDict(module=small()))
    if prefix == "module.":
        store.load_checkpoint(path, wrapped)
        assert all(map(torch.equal, wrapped.parameters(), held.values()))
    store.save_checkpoint(path, torch.compile(small(3), backend="eager"), half=False)
    assert all(
        map(torch.equal, store.load_checkpoint(path, small())[0].parameters(), held.values())
    )


def test_tied_weights_are_kept(tmp_path):
    net, other = (nn.Sequential(nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 3)) for _ in range(2))
    for n in (net, other):
        n[1].weight = n[0].weight
    for half in (True, False):
        store.save_checkpoint(tmp_path / "a.safetensors", net, half=half)
        store.load_checkpoint(tmp_path / "a.safetensors", other)
        torch.testing.assert_close(other[0].weight, net[0].weight, atol=1e-3, rtol=0)


def test_a_run_of_one_step_says_that_it_learns_nothing(capsys):
    said = "one step learns nothing: its rate is 0 (24 images, batch=24, epochs=1)"
    for r, own, speaks in (
        (R._replace(epochs=1, batch=24), None, True),
        (R._replace(epochs=2, batch=24), None, False),
        (R._replace(epochs=1, batch=24, one_cycle=False), None, False),
        (R._replace(epochs=1, batch=24), train.Own(rate=lambda step, steps: 1.0), False),
    ):
        net = train.fit(small(), D, "standard", r, own=own).last
        assert (said in capsys.readouterr().out) is speaks
        assert torch.equal(net[0].weight, small()[0].weight) is speaks


def test_fresh_statistics_at_rest_that_let_no_image_through_are_said(capsys):
    """As MobileNetV3's, each of whose blocks makes the image's share of what it sees smaller."""
    frozen, said = (
        R._replace(frozen_norm=True),
        "answers all images alike: its batch norms at rest (1)",
    )

    def faint(scale=1e-6):
        net = small(0, functools.partial(nn.BatchNorm2d, eps=1e-20, momentum=1.0))
        net[0].weight.data *= scale
        return net

    rested = faint()
    rested[1].eval()
    warm = faint()
    warm(D.x_train)
    for net, r, speaks in (
        (faint(), frozen, True),
        (rested, R, True),
        (faint(), R, False),
        (faint(1), frozen, False),
        (warm, frozen, False),
    ):
        train.fit(net, D, "kd", r, teacher=T)
        assert (said in capsys.readouterr().out) is speaks


def test_bfloat16_logits_are_summed_in_single_precision():
    seen = []

    def hard_loss(a, y):
        seen.append(a.dtype)
        return F.cross_entropy(a, y)

    for bf16 in (False, True):
        train.fit(small(), D, "kd", R._replace(bf16=bf16), teacher=T, own=train.Own(hard=hard_loss))
    assert set(seen) == {torch.float32}


# Functions of the user's own ---------------------------------------------------------------------


def test_an_optimiser_and_a_schedule_of_ones_own():
    seen, net = [], small()

    def rate(step, steps):
        seen.append((step, steps))
        return 0.5 if step else 0.0

    make = lambda net: torch.optim.SGD(net.parameters(), lr=0.25)
    train.fit(net, D, "standard", R._replace(clip=0), own=train.Own(optimiser=make, rate=rate))
    assert seen == [(i, 6) for i in range(6)]
    r = R._replace(clip=0, optimiser="sgd", lr=0.125, lr_conv=0.125, weight_decay=0.0)
    same = train.Own(rate=lambda step, steps: float(step > 0))
    other = train.fit(small(), D, "standard", r, own=same).last
    assert all(map(torch.equal, net.parameters(), other.parameters()))


def test_augmented_images_are_what_student_and_teacher_see():
    shown = {"student": [], "teacher": []}

    def double(x):
        return 2 * x + 0.1 * torch.rand(len(x), 1, 1, 1)

    for method in ("kd", "robust"):
        student, teacher = small(), small(9).eval()
        run = []
        for key, net in (("student", student), ("teacher", teacher)):
            net.register_forward_hook(lambda m, i, o, key=key: shown[key].append(i[0].detach()))
        for _ in range(2):
            own = train.Own(augment=double)
            run.append(train.fit(copy.deepcopy(student), D, method, R, teacher=teacher, own=own))
        assert run[0].history[0]["kd"] == run[1].history[0]["kd"], "seed and epoch alone decide"
        first, last = ([x for x in seen if len(x) == 8][-1] for seen in shown.values())
        assert last.max() > 1.2 and any(torch.equal(last, x) for x in shown["student"])
    for augment, said in (
        (lambda x: x[:, :, 1:], r"augment made \(8, 1, 5, 6\)"), (lambda x: None, "NoneType"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=said):
            train.fit(small(), D, "standard", R, own=train.Own(augment=augment))
    with pytest.raises(ValueError, match="augment shows images anew each time; leave it out"):
        train.fit(small(), D, "matched", R, teacher=T, own=train.Own(augment=double))


@pytest.mark.parametrize("method", ["standard", "kd", "mimic", "pgd_at", "trades", "ard"])
def test_class_weights_and_smoothing_stand_in_the_place_of_cross_entropy(method):
    weights = torch.tensor([1.0, 0.0, 0.0, 0.0])
    hard_loss = functools.partial(F.cross_entropy, weight=weights, label_smoothing=0.2)
    r, own = R._replace(lr=1e-9, lr_conv=1e-9, epochs=1, batch=24), train.Own(hard=hard_loss)
    plain, row = (
        train.fit(small(), D, method, r, teacher=T, own=o).history[0] for o in (None, own)
    )
    key = "ce_adv" if method == "pgd_at" else "ce"
    assert row[key] != pytest.approx(plain[key], rel=1e-3)
    if key == "ce" and method != "trades":
        a = small()(D.x_train)
        assert row[key] == pytest.approx(hard_loss(a, D.y_train).item(), rel=1e-4)


@pytest.mark.parametrize("method", ["rslad", "adaad", "fast_ard", "bss"])
def test_a_loss_of_labels_that_no_term_asks_for_is_refused(method):
    net, own = small(), train.Own(hard=F.cross_entropy)
    with pytest.raises(ValueError, match=f"method='{method}' with these settings never asks"):
        train.fit(net, D, method, R._replace(alpha=1.0), teacher=T, own=own)
    assert torch.equal(net[0].weight, small()[0].weight)


def test_a_run_goes_on_only_with_the_functions_that_it_began_with(tmp_path):
    path = tmp_path / "a.state"
    smooth = lambda s: train.Own(hard=functools.partial(F.cross_entropy, label_smoothing=s))
    train.fit(small(), D, "kd", R, teacher=T, state=path, own=smooth(0.1))
    train.fit(small(), D, "kd", R, teacher=T, state=path, own=smooth(0.1))
    for own in (None, smooth(0.2)):
        with pytest.raises(ValueError, match="belongs to another run"):
            train.fit(small(), D, "kd", R, teacher=T, state=path, own=own)


def test_several_teachers_teach_their_mean():
    x, y, tau = D.x_train, D.y_train, 2.0
    guides = [small(s).eval() for s in (7, 8, 9)]
    for g in guides:
        nn.init.orthogonal_(g[-1].weight, 4.0)
    both = networks.Committee(guides, tau)
    a, g = geometry.input_gradient(both, x, y, tau)
    each = [geometry.input_gradient(n, x, y, tau) for n in guides]
    mean = torch.stack([(b / tau).softmax(1) for b, _ in each]).mean(0)
    torch.testing.assert_close((a / tau).softmax(1), mean)
    torch.testing.assert_close(g, torch.stack([h for _, h in each]).mean(0))
    one, two = (train.fit(small(), D, "robust", R, teacher=t).last for t in (both, guides))
    assert all(map(torch.equal, one.parameters(), two.parameters()))
    with pytest.raises(ValueError, match="the teacher is in training mode"):
        train.fit(small(), D, "kd", R, teacher=[guides[0], guides[1].train()])
    with pytest.raises(ValueError, match="Committee has no one middle layer"):
        modules.guided(both, x[:2])


def test_the_best_network_has_the_layers_that_it_was_given():
    S = networks.build("digits_student", 10)
    d = data.Data("few", 10, *(torch.rand(20, 1, 8, 8), torch.arange(20) % 10) * 3)
    run = train.fit(S, d, "standard", R)
    for net in (run.last, run.best):
        assert [type(m) for m in net.modules()] == [
            type(m) for m in networks.build("digits_student").modules()
        ]
        assert not net._forward_hooks
