"""The fast step is the plain step: float64 gradients of every method, every kind of convolution,
and a network left as it was.
"""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from rsnl_lib import geometry, networks, train
from rsnl_lib.data import perturb, sets
from rsnl_lib.geometry import gradient
from rsnl_lib.networks import fast
from rsnl_lib.train import constants, loop, losses, methods

D = sets.digits()
R = train.Recipe("test", 2, batch=40, hint_epochs=1)
STUDENT_METHODS = [m for m in train.METHODS if m != "teacher"]


@pytest.fixture(scope="module")
def pair():
    torch.manual_seed(0)
    student, teacher = networks.build("digits_student"), networks.build("digits_teacher")
    for net in (student, teacher):
        networks.lsuv_(net, D.x_train[:200], torch.Generator().manual_seed(1))
    return student.double().train(), teacher.double().eval()


def plain_gradient(net, teacher, x, y, method, r, lam):
    """The step as it is written down: live teacher, torch.maximum, PyTorch's own convolution and
    second derivative.
    """
    how, net = train.METHODS[method], copy.deepcopy(net)
    a_T, g_T = None, None
    if how.scores:
        with torch.no_grad():
            a_T = teacher(x)
    if how.gradients:
        x_ = x.clone().requires_grad_()
        f = geometry.height(teacher(x_), y, how.gradients, r.tau)
        (g_T,) = torch.autograd.grad(f.sum(), x_)
    torch.manual_seed(5)
    terms = how.terms(net, train.Batch(x, y, a_T, g_T, lam, teacher if how.live else None), r)
    sum(w * v for w, v in terms.values()).backward()
    return [p.grad for p in net.parameters()]


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("method", STUDENT_METHODS)
def test_the_fast_gradient_is_the_plain_one_in_float64(pair, method, flip, monkeypatch):
    """With and without flips, teacher's constants out of the cache against a live teacher: relative
    difference at most 1e-10.
    """
    student, teacher = pair
    how, r = train.METHODS[method], R._replace(flip=flip)
    x, y = D.x_train[:64].double(), D.y_train[:64]
    monkeypatch.setattr(
        networks.Maxout, "forward", lambda self, z: torch.maximum(*self.layer(z).chunk(2, 1))
    )
    pick = torch.arange(64) + 64 * (torch.arange(64) % 3 == 0) * flip
    both, labels = (torch.cat([x, x.flip(-1)]), torch.cat([y, y])) if flip else (x, y)
    a_T, g_T = (
        train.teacher_constants(teacher, both, labels, r.tau, how.gradients)
        if how.scores
        else (None, None)
    )
    assert not how.gradients or g_T.dtype == torch.float64
    net = copy.deepcopy(student)
    with fast.layers(net):
        torch.manual_seed(5)
        batch = loop._batch(pick, both, labels, a_T, g_T, 2.0, how, r, teacher)
        sum(w * v for w, v in how.terms(net, batch, r).values()).backward()
    seen = torch.where((pick >= 64)[:, None, None, None], x.flip(-1), x) if flip else x
    want = plain_gradient(student, teacher, seen, y, method, r, 2.0)
    for p, g in zip(net.parameters(), want):
        assert (p.grad - g).norm() <= 1e-10 * g.norm()
    assert sum(g.norm() for g in want) > 0.1


@pytest.mark.parametrize(
    "layer, shape",
    [
        (nn.Conv2d(1, 4, 5), (3, 1, 9, 9)),
        (nn.Conv2d(1, 4, 3, padding=2), (3, 1, 7, 8)),
        (nn.Conv2d(3, 6, 3, padding=1), (2, 3, 8, 8)),
        (nn.Conv2d(4, 6, 3, stride=2, padding=1), (2, 4, 9, 9)),
        (nn.Conv2d(4, 6, 3, dilation=2), (2, 4, 9, 9)),
        (nn.Conv2d(1, 2, 3, stride=2), (2, 1, 9, 9)),
        (nn.Conv2d(4, 8, (3, 1), groups=2, bias=False), (2, 4, 6, 6)),
        (nn.Conv2d(6, 6, 1), (2, 6, 4, 4)),
    ],
    ids=str,
)
def test_first_and_second_derivatives_of_every_kind_of_convolution(layer, shape):
    """Against PyTorch's own in float64: output, input gradient under create_graph, and the gradient
    of its square.
    """
    torch.manual_seed(0)
    layer = layer.double()
    x = torch.randn(shape, dtype=torch.float64)

    def all_of(quick):
        net = nn.Sequential(
            copy.deepcopy(layer), nn.Tanh(), nn.Flatten(), nn.LazyLinear(3).double()
        )
        z = x.clone().requires_grad_()
        torch.manual_seed(1)
        net(z)
        nn.init.normal_(net[3].weight, generator=torch.Generator().manual_seed(2))
        with fast.layers(net) if quick else torch.enable_grad():
            assert (type(net[0]) is fast.Conv2d) == quick
            out = net(z)
            (g,) = torch.autograd.grad(out.square().sum(), z, create_graph=True)
            (g.square().sum() + out.sum()).backward()
        return [out, g, *(p.grad for p in net[0].parameters())]

    for got, want in zip(all_of(True), all_of(False)):
        assert (got - want).norm() <= 1e-12 * want.norm() and want.norm() > 0


def test_gradcheck_of_the_convolution_and_its_gradient():
    x = torch.randn(2, 2, 5, 5, dtype=torch.float64, requires_grad=True)
    w = torch.randn(4, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    up = torch.randn(2, 4, 5, 5, dtype=torch.float64, requires_grad=True)
    how = ((1, 1), (1, 1), (1, 1), 1)
    assert torch.autograd.gradcheck(lambda x, w: fast._Conv.apply(x, w, None, how), (x, w))
    assert torch.autograd.gradcheck(
        lambda up, w: fast._InputGradient.apply(up, w, x.detach(), how), (up, w)
    )


def test_a_plain_input_gradient_inside_the_block_is_right():
    """An attack that differentiates once, without create_graph, gets the images' gradient."""
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))
    x = D.x_train[:5].clone().requires_grad_()
    (want,) = torch.autograd.grad(F.cross_entropy(net(x), D.y_train[:5]), x)
    with fast.layers(net):
        F.cross_entropy(net(x), D.y_train[:5]).backward()
    assert x.grad is not None and torch.allclose(x.grad, want, atol=1e-6) and want.abs().sum() > 0


def test_a_tie_gives_all_to_the_second_piece():
    z = torch.tensor([[1.0, 2.0, 1.0, 3.0]], requires_grad=True)
    out = fast._Larger.apply(z)
    out.sum().backward()
    assert out.tolist() == [[1, 3]] and z.grad.tolist() == [[0, 0, 1, 1]]


def test_the_block_leaves_the_network_as_it_was():
    net = networks.build("digits_student")
    state, kinds = copy.deepcopy(net.state_dict()), [type(m) for m in net.modules()]
    with pytest.raises(RuntimeError), fast.layers(net):
        assert type(net[0]) is fast.MaxoutPair and type(net[0].layer) is fast.Conv2d
        assert net[1].layer.weight.is_contiguous(memory_format=torch.channels_last)
        raise RuntimeError
    assert [type(m) for m in net.modules()] == kinds
    assert all(
        torch.equal(a, b) and b.is_contiguous()
        for a, b in zip(state.values(), net.state_dict().values())
    )


def test_convolutions_it_cannot_do_stay_as_they_are():
    class Own(nn.Conv2d):
        pass

    net = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding="same"),
        nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"),
        Own(2, 2, 3),
        nn.Conv2d(2, 2, 3),
        networks.Maxout(nn.Conv2d(2, 9, 1), pieces=3),
    )
    with fast.layers(net):
        assert [type(m).__module__ for m in net] == ["torch.nn.modules.conv"] * 2 + [
            __name__,
            "rsnl_lib.networks.fast",
            "rsnl_lib.networks.modules",
        ]
        assert net(torch.rand(1, 1, 8, 8)).shape == (1, 3, 4, 4)


def test_training_quick_or_not_ends_alike(pair):
    """Two epochs of the robust student in float32: validation scores of both ways agree."""
    teacher = copy.deepcopy(pair[1]).float()
    d = D._replace(x_train=D.x_train[:200], y_train=D.y_train[:200])
    runs = [
        train.fit(copy.deepcopy(pair[0]).float(), d, "robust", R, teacher=teacher, quick=quick)
        for quick in (True, False)
    ]
    logits = [run.last(d.x_val).detach() for run in runs]
    assert (logits[0] - logits[1]).abs().max() < 1e-2 * logits[1].abs().max()
    assert not torch.equal(*logits)  # rounding differs: the two ways are two ways


def test_the_step_does_not_wait_for_the_device(pair, monkeypatch):
    """No number is read back inside an epoch: .item(), float() and the like are called once an
    epoch, not once a step.
    """
    read = []
    for name in ("item", "tolist", "__bool__", "__float__", "__int__"):
        old = getattr(torch.Tensor, name)
        monkeypatch.setattr(
            torch.Tensor, name, lambda t, *a, old=old, name=name: (read.append(name), old(t, *a))[1]
        )
    for module in (gradient, losses):
        monkeypatch.setattr(module, "true_class", lambda a, y: y)  # asked on a CPU alone
    # asked for each piece of the teacher's gradients, before the first step
    monkeypatch.setattr(constants, "_short", lambda g, half: g.to(half))
    counts = []
    for n in (80, 200):
        d = D._replace(x_train=D.x_train[:n], y_train=D.y_train[:n])
        read.clear()
        train.fit(
            copy.deepcopy(pair[0]).float(),
            d,
            "robust",
            R._replace(epochs=1, hint_epochs=0, clip=0, optimiser="sgd"),
            teacher=copy.deepcopy(pair[1]).float(),
        )
        counts.append(len(read))
    assert counts[0] == counts[1] > 0


def test_flips_show_each_image_or_its_mirror_image(pair):
    """Over an epoch each image is seen once, about half of them mirrored, with that image's own
    constants of the teacher.
    """
    student, teacher = copy.deepcopy(pair[0]).float(), copy.deepcopy(pair[1]).float()
    seen = []

    def spy(net, b, r):
        seen.append(b)
        return methods.robust(net, b, r)

    d = D._replace(x_train=D.x_train[:120], y_train=D.y_train[:120])
    train.METHODS["spy"] = train.Method(spy, scores=True, gradients="tempered")
    try:
        train.fit(student, d, "spy", R._replace(epochs=1, flip=True), seed=3, teacher=teacher)
    finally:
        del train.METHODS["spy"]
    x, a, g = (torch.cat([getattr(b, k) for b in seen]) for k in ("x", "a_T", "g_T"))
    straight = (x[:, None] == d.x_train).flatten(2).all(2)
    mirrored = (x[:, None] == d.x_train.flip(-1)).flatten(2).all(2)
    assert (
        len(x) == 120 and (straight | mirrored).any(1).all() and (straight | mirrored).any(0).all()
    )
    assert 35 < (mirrored & ~straight).any(1).sum() < 85
    y = torch.cat([b.y for b in seen])
    want_a, want_g = geometry.input_gradient(teacher, x, y, R.tau)
    assert torch.allclose(a, want_a, atol=1e-4) and torch.allclose(g, want_g, atol=1e-3)


def test_crops_ask_the_teacher_live_and_say_so(pair, capsys):
    student, teacher = copy.deepcopy(pair[0]).float(), copy.deepcopy(pair[1]).float()
    torch.manual_seed(0)
    how, r = train.METHODS["robust"], R._replace(crop=2)
    b = loop._batch(torch.arange(30), D.x_train, D.y_train, None, None, 1.0, how, r, teacher)
    want_a, want_g = geometry.input_gradient(teacher, b.x, b.y, r.tau)
    assert (
        not torch.equal(b.x, D.x_train[:30])
        and torch.equal(b.a_T, want_a)
        and torch.equal(b.g_T, want_g)
    )
    d = D._replace(x_train=D.x_train[:80], y_train=D.y_train[:80])
    train.fit(student, d, "kd", r._replace(epochs=1), teacher=teacher)
    assert "crop=2 shows images that no cache holds" in capsys.readouterr().out


def test_a_random_crop_moves_and_fills_with_zeros():
    torch.manual_seed(0)
    x = torch.arange(1.0, 26).view(1, 1, 5, 5).expand(400, 1, 5, 5)
    out = perturb.random_crop(x, 2)
    moves = {tuple(out[i, 0].flatten().tolist()) for i in range(400)}
    assert len(moves) == 25 and tuple(x[0, 0].flatten().tolist()) in moves
    big = F.pad(x[:1], [2] * 4)[0, 0]
    assert moves == {
        tuple(big[i : i + 5, j : j + 5].flatten().tolist()) for i in range(5) for j in range(5)
    }
    assert torch.equal(perturb.random_crop(x[:3], 0), x[:3])


def test_bf16_points_the_same_way_and_is_off_by_default(pair):
    assert not any(
        train.recipe(n, d).bf16 for n in ("short", "paper") for d in ("mnist", "cifar10")
    )
    net, teacher = copy.deepcopy(pair[0]).float(), copy.deepcopy(pair[1]).float()
    x, y = D.x_train[:64], D.y_train[:64]
    a_T, g_T = geometry.input_gradient(teacher, x, y, 3.0)
    got = []
    for on in (False, True):
        net.zero_grad()
        with fast.layers(net), torch.autocast("cpu", torch.bfloat16, enabled=on):
            terms = methods.robust(net, train.Batch(x, y, a_T.detach(), g_T, 2.0), R)
            sum(w * v for w, v in terms.values()).backward()
        got.append(torch.cat([p.grad.flatten() for p in net.parameters()]))
    assert F.cosine_similarity(*got, dim=0) > 0.99 and not torch.equal(*got)


def test_flips_are_for_cifar_alone():
    assert [
        train.recipe("short", d).flip for d in ("digits", "mnist", "usps", "cifar10", "cifar100")
    ] == [False] * 3 + [True] * 2
    assert train.recipe("paper", "cifar10").flip


@pytest.mark.parametrize("padding", [0, 2])
def test_the_first_order_gradient_of_one_channel_is_pytorchs(padding):
    torch.manual_seed(3)
    net = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=padding), nn.Flatten(), nn.LazyLinear(3)
    ).double()
    x = torch.rand(7, 1, 9, 11, dtype=torch.float64, requires_grad=True)
    ask = lambda: torch.autograd.grad(net(x).square().sum(), [x, *net.parameters()])
    plain = ask()
    with fast.layers(net):
        quick = ask()
    for a, b in zip(plain, quick):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_a_frozen_teacher_gives_its_constants_without_a_weight_gradient(monkeypatch):
    torch.manual_seed(0)
    teacher, asked, back = networks.build("cifar_teacher@0.05").double().eval(), [], fast._back
    monkeypatch.setattr(fast, "_back", lambda *args: (asked.append(args[-1]), back(*args))[1])
    x, y = torch.rand(4, 3, 32, 32, dtype=torch.float64), torch.arange(4)
    a, g = train.teacher_constants(teacher, x, y, 3.0, "tempered")
    assert (
        asked
        and not any(weight or bias for _, weight, bias in asked)
        and all(p.requires_grad for p in teacher.parameters())
    )
    want_a, want_g = geometry.input_gradient(teacher, x, y, 3.0)
    (
        torch.testing.assert_close(a, want_a.detach()),
        torch.testing.assert_close(g, want_g, rtol=1e-9, atol=1e-12),
    )
