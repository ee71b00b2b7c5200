"""What a GPU would show, without one: on the meta device a mixture of devices is an error, and
whatever asks for a value has to wait.

`far_away` lets such a wait pass and counts it, so that whole measurements run through; shapes alone
are real there.
"""

import contextlib

import pytest
import torch
from torch import nn

from rsnl_lib import geometry, networks, theorem, train
from rsnl_lib.data import perturb
from rsnl_lib.measure import evaluate
from rsnl_lib.networks import fast, modules
from rsnl_lib.train import attacks, constants, loop, recipes
from rsnl_lib.train.methods import METHODS

META = torch.device("meta")
WAITING = ("bss",)  # walks whose length depends on the images: it waits at every step, and says so


class OneDevice(torch.overrides.TorchFunctionMode):
    """Refuses every call that is given tensors of both devices, in-place sums too, which the meta
    device alone lets pass; copies are allowed, and single numbers.
    """

    def __torch_function__(self, function, types, args=(), kwargs=None):
        flat = [
            t
            for v in (*args, *(kwargs or {}).values())
            for t in (v if isinstance(v, (tuple, list)) else (v,))
        ]
        where = {t.device.type for t in flat if isinstance(t, torch.Tensor) and t.dim()}
        name = getattr(function, "__name__", "")
        assert len(where) < 2 or name in (
            "copy_",
            "to",
            "cpu",
            "_has_compatible_shallow_copy_type",
            "__set__",
        ), f"{name} mixes {sorted(where)}"
        return function(*args, **(kwargs or {}))


@pytest.fixture(autouse=True)
def one_device():
    with OneDevice():
        yield


@pytest.fixture(autouse=True)
def no_autocast(monkeypatch):
    """PyTorch knows no autocast of the meta device."""
    on, real = torch.is_autocast_enabled, torch.autocast
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda kind=None: kind != "meta" and on(kind))
    monkeypatch.setattr(
        torch,
        "autocast",
        lambda kind, *more, **how: (
            contextlib.nullcontext() if kind == "meta" else real(kind, *more, **how)
        ),
    )


@contextlib.contextmanager
def far_away(monkeypatch):
    """Within this block tensors on the meta device answer what has to be waited for: every number
    is 1, every mask is full. Yields the list of waits.
    """
    waits = []

    def answer(name, value):
        real = getattr(torch.Tensor, name)

        def given(self, *args, **kwargs):
            if self.device != META:
                return real(self, *args, **kwargs)
            waits.append(name)
            return value(self)

        patch.setattr(torch.Tensor, name, given)

    def mask(index):
        return (
            isinstance(index, torch.Tensor) and index.dtype == torch.bool and index.device == META
        )

    real_get, real_set, real_to = (
        torch.Tensor.__getitem__,
        torch.Tensor.__setitem__,
        torch.Tensor.to,
    )

    def get(self, index):
        if not mask(index):
            return real_get(self, index)
        assert self.device == META, "a mask on the GPU cannot index a tensor on the CPU"
        waits.append("mask")
        return self.clone()

    def put(self, index, value):
        if not mask(index):
            return real_set(self, index, value)
        assert self.device == META and not (
            isinstance(value, torch.Tensor) and value.device != META and value.dim()
        ), "a mask on the GPU cannot index a tensor on the CPU"

    def to(self, *args, **kwargs):
        where = kwargs.get("device", args[0] if args else None)
        if self.device == META and where is not None and str(where) == "cpu":
            waits.append("to")
            return torch.ones(self.shape, dtype=self.dtype)
        return real_to(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        for name, value in (
            ("item", lambda t: 1),
            ("__int__", lambda t: 1),
            ("__float__", lambda t: 1.0),
            ("__bool__", lambda t: True),
            ("__index__", lambda t: 1),
            ("tolist", lambda t: torch.ones(t.shape).tolist()),
            ("cpu", lambda t: torch.ones(t.shape, dtype=t.dtype)),
            ("nonzero", lambda t: torch.zeros(t.numel(), t.dim(), dtype=torch.long, device=META)),
        ):
            answer(name, value)
        patch.setattr(torch.Tensor, "__getitem__", get)
        patch.setattr(torch.Tensor, "__setitem__", put)
        patch.setattr(torch.Tensor, "to", to)
        yield waits


def there(name="digits_student"):
    return networks.build(name).to(META)


def images(n=8, side=8):
    return torch.empty(n, 1, side, side, device=META), torch.empty(n, dtype=torch.long, device=META)


def step(method, net, teacher):
    """One step of a method, as `train._epochs` takes it."""
    r, (x, y) = train.recipe("short", "digits", method)._replace(attack_steps=2), images()
    how = METHODS[method]
    a_T, g_T = (teacher(x).detach(), torch.empty_like(x)) if how.scores else (None, None)
    order = torch.randperm(8).to(META)
    batch = loop._batch(order, x, y, a_T, g_T, 2.0, how, r, teacher)._replace(share=0.5, carry={})
    optimiser = recipes.optimiser(net, r)
    with modules.frozen(teacher), fast.layers(net.train()), fast.layers(teacher.eval()):
        terms = how.terms(net, batch, r)
        loss = sum(weight * value for weight, value in terms.values())
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), r.clip)
        optimiser.step()
        modules.clip_kernels_(net)
    return loss, [p.grad for p in net.parameters()]


@pytest.mark.parametrize("method", [m for m in METHODS if m not in WAITING])
def test_a_step_mixes_no_devices_and_waits_for_nothing(method):
    loss, gradients = step(method, there(), there("digits_teacher"))
    assert loss.device == META and all(g is not None and g.device == META for g in gradients)


def test_the_step_that_must_wait_is_known():
    with pytest.raises(RuntimeError, match="meta"):
        step("bss", there(), there("digits_teacher"))


def test_the_teachers_constants_of_every_space_wait_for_nothing():
    x, y = images()
    for space in ("tempered", "logit", "probability", ""):
        a, g = constants._ask(there("digits_teacher").eval(), x, y, 3.0, space)
        assert a.device == META and (g is None or g.shape == x.shape)


def test_a_random_crop_is_drawn_there():
    x, _ = images()
    assert perturb.random_crop(x, 2).shape == x.shape


def test_a_sweep_waits_once_a_level(monkeypatch):
    x, y = images()
    plan = [
        ("clean", 0, ""),
        ("gaussian", 3, "dB"),
        ("poisson", 3, "dB"),
        ("occlusion", 3, "pixels"),
    ]
    with far_away(monkeypatch) as waits:
        rows = evaluate.sweep({"one": there()}, x, y, plan, draws=2, chunk=4)
    assert len(rows) == 4 and waits == ["__int__"] * 4


def pair():
    torch.manual_seed(0)
    return (
        nn.Sequential(nn.Flatten(), networks.dense(64, 6), nn.Linear(6, 10)).to(META)
        for _ in range(2)
    )


def test_margins_are_measured_there(monkeypatch):
    x, y = images(4)
    with far_away(monkeypatch) as waits:
        found = theorem.margins(
            *pair(),
            x,
            y,
            3.0,
            0.0,
            "none",
            torch.empty(20, 1, 8, 8, device=META),
            restarts=2,
            steps=2,
        )
    assert len(found) == 4 and {"flip", "estimate", "wrong", "lead"} <= set(found[0]) and waits


@pytest.mark.parametrize("q", [1, 2, float("inf")])
def test_the_search_for_the_smallest_flip_stays_there(q, monkeypatch):
    x, y = images(3)
    with far_away(monkeypatch):
        r, point = theorem.smallest_flip(
            theorem.head_start(*pair(), y),
            x,
            q,
            restarts=2,
            steps=2,
            generator=torch.Generator().manual_seed(0),
        )
    assert r.device == point.device == META and point.shape == x.shape


def test_estimates_and_votes_stay_there(monkeypatch):
    x, y = images(3)
    S, T = pair()
    h, R = theorem.head_start(S, T, y), torch.empty(3, device=META)
    with far_away(monkeypatch):
        assert (
            geometry.random_in_ball(x, R, generator=torch.Generator()).device
            == geometry.random_in_ball(x, R).device
            == META
        )
        assert theorem.estimate_sampling(h, x, R, draws=3).shape == (3,)
        radius, low = theorem.votes(S, T, x, y, 0.1, draws=3, generator=torch.Generator())
    assert radius.shape == low.shape == (3,)


@pytest.mark.parametrize("norm", attacks.NORMS)
@pytest.mark.parametrize("start", attacks.STARTS)
def test_an_attack_waits_for_nothing(norm, start):
    x, y = images()
    assert (
        attacks.pgd(there(), x, attacks.cross_entropy(y), 0.1, 0.03, 2, norm, start).device == META
    )
    assert (
        attacks.pgd(
            there(),
            x,
            attacks.cross_entropy(y),
            0.1,
            0.03,
            2,
            norm,
            start,
            generator=torch.Generator(),
        ).device
        == META
    )


def test_scores_and_heights_wait_for_nothing():
    a, y = torch.empty(5, 10, device=META), torch.empty(5, dtype=torch.long, device=META)
    own, others = geometry.split_logits(a, y)
    assert own.shape == (5,) and others.shape == (5, 10)
    assert geometry.height(a, y).device == geometry.score(a, y).device == META


def test_numbers_of_a_gpu_are_single_precision_and_its_index_is_kept(monkeypatch):
    from rsnl_lib import env

    with monkeypatch.context() as m:
        m.setattr(torch.cuda, "is_available", lambda: True)
        m.setattr(torch.cuda, "device_count", lambda: 2)
        m.setattr(torch.backends.cudnn, "allow_tf32", True)
        assert str(env.device("cuda:1")) == "cuda:1" and not torch.backends.cudnn.allow_tf32
