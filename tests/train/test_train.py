"""Algorithm 1: the same run twice, the same run in two halves, and what stops a run."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from rsnl_lib import geometry, networks, train
from rsnl_lib.data import sets
from rsnl_lib.geometry import gradient
from rsnl_lib.train import constants, loop, recipes, steps
from rsnl_lib.workbook import chapter

FULL = sets.digits()
D = FULL._replace(
    x_train=FULL.x_train[:96],
    y_train=FULL.y_train[:96],
    x_val=FULL.x_val[:60],
    y_val=FULL.y_val[:60],
)
R = train.Recipe("test", 4, lr=1e-2, batch=40)


def student(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), networks.dense(64, 8), nn.Dropout(0.2), nn.Linear(8, 10))


def teacher():
    torch.manual_seed(9)
    return networks.build("digits_mlp_teacher").eval()


def fit(method="robust", seed=0, r=R, net=None, d=D, **more):
    return train.fit(net or student(), d, method, r, seed, teacher(), **more)


def same(a, b):
    """Are two runs equal bit for bit: last and best weights, and every row but its time?"""

    def rows(run):
        return [{k: v for k, v in row.items() if k != "ms_per_image"} for row in run.history]

    return (
        rows(a) == rows(b)
        and a.best_epoch == b.best_epoch
        and all(
            torch.equal(p, q)
            for one, two in ((a.last, b.last), (a.best, b.best))
            for p, q in zip(one.state_dict().values(), two.state_dict().values(), strict=True)
        )
    )


def stopped(state, monkeypatch, after=2, **more):
    """Run `after` epochs, then fall over while measuring the next one."""
    calls, accuracy = [], train.accuracy

    def fails(*args):
        calls.append(1)
        if len(calls) > after:
            raise KeyboardInterrupt
        return accuracy(*args)

    monkeypatch.setattr(loop, "accuracy", fails)
    with pytest.raises(KeyboardInterrupt):
        fit(state=state, **more)
    monkeypatch.undo()


@pytest.mark.parametrize("r", [R, R._replace(optimiser="sgd", momentum=0.9, one_cycle=False)])
def test_a_resumed_run_equals_the_uninterrupted_one(tmp_path, monkeypatch, r):
    whole, state = fit(r=r), tmp_path / "new" / "run.state"
    stopped(state, monkeypatch, r=r)
    resumed = fit(r=r, state=state, net=student(5))  # its own start is overwritten
    assert len(whole.history) == 4 and same(whole, resumed)
    assert same(whole, fit(r=r, state=state, net=student(6)))  # a finished run is only read back
    assert [p.name for p in state.parent.iterdir()] == ["run.state"]


def test_a_seed_repeats_and_another_differs():
    one = fit()
    torch.rand(5)  # the global random state is not part of the run
    assert same(one, fit())
    assert not torch.equal(one.last[3].weight, fit(seed=1).last[3].weight)
    net, guide = student(), teacher()
    before = torch.random.get_rng_state()
    train.fit(net, D, "robust", R, 0, guide)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("other", [{"seed": 1}, {"method": "kd"}, {"r": R._replace(C1=1.0)}])
def test_the_state_of_another_run_is_refused_and_kept(tmp_path, other):
    state = tmp_path / "run.state"
    fit(state=state)
    content = state.read_bytes()
    with pytest.raises(
        ValueError,
        match=(
            r"run.state belongs to another run \(robust, seed 0, \d+ images of \w+, its own teacher"
            r" and images\); delete it or name another"
        ),
    ):
        fit(**{"state": state, **other})
    assert state.read_bytes() == content


@pytest.mark.parametrize(
    "harm", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"no state at all"]
)
def test_a_damaged_state_is_named_with_the_remedy(tmp_path, harm):
    state = tmp_path / "run.state"
    fit(state=state)
    state.write_bytes(harm(state.read_bytes()))
    with pytest.raises(
        ValueError, match="run.state is damaged and cannot be resumed .*delete it to start again"
    ):
        fit(state=state)


def test_teacher_constants_are_logits_and_softened_gradients_in_any_chunks():
    net = teacher()
    a, g = train.teacher_constants(net, D.x_train, D.y_train, 3.0, "tempered", chunk=33)
    want_a, want_g = geometry.input_gradient(net, D.x_train, D.y_train, 3.0)
    torch.testing.assert_close(a, want_a)
    torch.testing.assert_close(g, want_g.half())
    assert g.abs().max() > 1e-3 and not a.requires_grad and not g.requires_grad
    a, g = train.teacher_constants(net, D.x_train, D.y_train, 3.0, "")
    torch.testing.assert_close(a, want_a.detach())
    assert g is None and not a.requires_grad


def test_the_teacher_cache_is_used_equal_and_renewed_when_damaged_or_of_another_question(
    tmp_path, monkeypatch
):
    def ask(tau=3.0, net=None):
        return train.teacher_constants(
            net or teacher(), D.x_train, D.y_train, tau, "tempered", tmp_path
        )

    fresh, (file,) = ask(), list(tmp_path.iterdir())
    whole = file.read_bytes()
    with monkeypatch.context() as m:
        m.setattr(gradient, "input_gradient", None)  # only the file can answer now
        assert all(map(torch.equal, ask(), fresh))
    for harm in (whole[:-7], b"", b"foreign"):
        file.write_bytes(harm)
        assert all(map(torch.equal, ask(), fresh)) and file.read_bytes() == whole
    assert not torch.equal(ask(tau=1.0)[1], fresh[1]) and len(list(tmp_path.iterdir())) == 2
    relu, tanh = (
        nn.Sequential(nn.Flatten(), nn.Linear(64, 10), f).eval() for f in (nn.ReLU(), nn.Tanh())
    )
    tanh.load_state_dict(relu.state_dict())
    assert not torch.equal(ask(net=relu)[0], ask(net=tanh)[0])  # same weights, another network


def test_the_recipe_paper_has_two_rates_and_its_momentum():
    r = train.recipe("paper")
    net = networks.build("digits_student")
    step = recipes.optimiser(net, r)
    conv, linear = step.param_groups
    assert isinstance(step, torch.optim.SGD)
    assert (conv["lr"], linear["lr"], conv["momentum"], linear["momentum"]) == (
        0.0085,
        0.17,
        0.35,
        0.35,
    )
    assert [p.shape for p in linear["params"]] == [(10, 32), (10,)]
    assert {id(p) for g in (conv, linear) for p in g["params"]} == {id(p) for p in net.parameters()}
    assert (r.epochs, r.batch, r.one_cycle, r.tau_squared, r.weight_decay, r.clip) == (
        500,
        128,
        False,
        False,
        0,
        0,
    )


def test_lambda_falls_linearly_and_the_rate_warms_up_and_ends_at_zero():
    r = train.Recipe("test", 100, lam=4.0, lam_end=1.0)
    at = [recipes.lam_at(r, e) for e in range(100)]
    assert at[:2] == [4.0, 4.0] and at[80:] == [1.0] * 20 and at == sorted(at, reverse=True)
    assert recipes.lam_at(r, 40.5) == pytest.approx(2.5)
    rate = [recipes.rate_at(r, s, 50) for s in range(50)]
    assert (
        rate[0] == pytest.approx(0.1)
        and max(rate) == rate[9] == 1
        and rate[-1] == pytest.approx(0, abs=1e-12)
    )
    assert rate[:10] == sorted(rate[:10]) and rate[9:] == sorted(rate[9:], reverse=True)
    assert {recipes.rate_at(train.recipe("paper"), s, 50) for s in range(50)} == {1.0}


def test_a_run_uses_its_lambda_and_reports_each_term_by_itself(monkeypatch):
    seen = []
    kd = train.METHODS["kd"]
    monkeypatch.setitem(
        train.METHODS,
        "kd",
        kd._replace(terms=lambda n, b, r: (seen.append(b.lam), kd.terms(n, b, r))[1]),
    )
    run = fit("kd")
    assert (
        seen == [recipes.lam_at(R, e) for e in range(4) for _ in range(3)]
        and seen[0] == 4.0
        and seen[-1] < 2
    )
    assert set(run.history[0]) == {"epoch", "ce", "kd", "ms_per_image", "val_accuracy"}
    best = max(row["val_accuracy"] for row in run.history)
    assert (
        run.history[run.best_epoch - 1]["val_accuracy"]
        == best
        == train.accuracy(run.best, D.x_val, D.y_val)
    )
    assert not run.last.training and not run.best.training


def test_kernels_keep_their_limit_while_training():
    net = nn.Sequential(networks.conv(1, 4, 3, 1, 0.3), nn.Flatten(), nn.Linear(256, 10))
    fit("standard", net=net)
    assert net[0].layer.weight.flatten(1).norm(dim=1).max() <= 0.3 + 1e-5


def test_a_diverged_run_stops_and_says_what_to_lower():
    with pytest.raises(
        FloatingPointError, match="standard diverged in epoch 1.*lower lr, C1 or C2"
    ):
        fit("standard", r=R._replace(optimiser="sgd", lr=1e30, one_cycle=False, clip=0))


@pytest.mark.parametrize(
    "change, said",
    [
        ({"y_train": D.y_train + 1}, "labels run from 1 to 10; digits has classes 0 to 9"),
        ({"y_train": D.y_train - 1}, "labels run from -1 to 8"),
        ({"y_train": D.y_train.float()}, "float32; they must be torch.int64"),
        ({"y_train": D.y_train[:, None]}, r"labels \(96, 1\)"),
        ({"classes": 11}, "the teacher scores 10 classes, digits has 11"),
    ],
)
def test_labels_and_teachers_that_do_not_fit_are_refused_before_training(change, said):
    net = student()
    before = net[3].weight.clone()
    with pytest.raises(ValueError, match=said):
        fit(net=net, d=D._replace(**change))
    assert torch.equal(net[3].weight, before)


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda: train.fit(student(), D, "kd", R), "method='kd' needs a teacher"),
        (
            lambda: train.fit(student(), D, "robst", R),
            "method='robst' is unknown; choose one of: teacher, standard, mimic, kd",
        ),
        (
            lambda: train.fit(student(), D, "kd", R, teacher=teacher().train()),
            r"training mode; call teacher.eval\(\)",
        ),
        (
            lambda: recipes.optimiser(student(), R._replace(optimiser="adma")),
            "optimiser='adma' is unknown",
        ),
        (
            lambda: train.recipe("long"),
            "recipe='long' is unknown; choose one of: short, paper, tau4",
        ),
        (lambda: train.recipe("short", C3=1), "recipe setting='C3' is unknown"),
        (lambda: train.recipe("short", tau=0), "tau=0 must be a finite number above zero"),
        (lambda: train.recipe("short", C1=-1), "C1=-1 must be zero or"),
        (lambda: train.recipe("short", epochs=0), "epochs=0 must be a whole number of at least 1"),
        (
            lambda: chapter.load_or_train("digits", "kd", profile="quick"),
            "profile='quick' is unknown",
        ),
    ],
)
def test_bad_input_is_refused_with_what_is_allowed(call, said):
    with pytest.raises(ValueError, match=said):
        call()


def test_the_profile_smoke_really_trains(capsys):
    net = chapter.load_or_train("digits", "teacher", 0, "smoke", FULL, network="digits_mlp_teacher")
    start = networks.start("digits_mlp_teacher", FULL)
    was, now = (train.accuracy(n, FULL.x_val, FULL.y_val) for n in (start, net))
    assert was < 0.4 and now > 0.7, (was, now)
    assert (
        "teacher: trained here (smoke), 4 epochs on 512 images, seed 0" in capsys.readouterr().out
    )


def test_the_profile_full_can_train_one_method_with_two_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("RSNL_DATA", str(tmp_path))
    nets = [
        chapter.load_or_train(
            "digits", "robust", 0, "full", D, teacher(), "digits_mlp_student", epochs=1, C1=C1
        )
        for C1 in (0.0, 100.0)
    ]
    assert len(list((tmp_path / "runs").iterdir())) == 2
    assert not torch.equal(*(next(n.parameters()) for n in nets))


def test_the_profile_read_names_a_checkpoint_that_is_not_there():
    with pytest.raises(
        FileNotFoundError, match="digits_student-kd-short-s987.safetensors; train it with"
    ):
        chapter.load_or_train("digits", "kd", 987)


def test_shipped_networks_take_no_changes():
    with pytest.raises(ValueError, match="cannot change C1; use profile='smoke' or 'full'"):
        chapter.load_or_train("digits", "robust", C1=100.0)


def test_a_share_of_the_dropout_is_what_training_drops_and_the_network_keeps_its_own_rates(
    monkeypatch,
):
    net, seen = torch.nn.Sequential(torch.nn.Dropout(0.5), *networks.build("digits_student")), []
    ask = train.METHODS["standard"].terms
    monkeypatch.setitem(
        train.METHODS,
        "standard",
        train.METHODS["standard"]._replace(
            terms=lambda n, b, r: seen.append(net[0].p) or ask(n, b, r)
        ),
    )
    for share in (1.0, 0.5, 0.0):
        train.fit(net, D, "standard", train.Recipe("test", 1, dropout=share))
    assert set(seen) == {0.5, 0.25, 0.0} and net[0].p == 0.5
    with pytest.raises(ValueError, match="dropout=1.5 must lie between 0 and 1"):
        train.recipe("short", "digits", dropout=1.5)


class Stop(Exception):
    pass


@pytest.mark.parametrize(
    "method", ["robust", "fitnet", "noise_augmented", "fast_ard", "bss", "matched"]
)
def test_a_run_stopped_anywhere_in_an_epoch_or_the_hint_stage_ends_as_if_it_never_had(
    method, tmp_path, monkeypatch
):
    """A state after every step; stopped after every third write, however many runs that takes."""
    d = D._replace(
        x_train=D.x_train[:96], y_train=D.y_train[:96], x_val=D.x_val[:50], y_val=D.y_val[:50]
    )
    r = R._replace(
        epochs=2,
        batch=32,
        hint_epochs=2 * (method == "fitnet"),
        flip=True,
        replays=2 if method == "fast_ard" else 1,
    )
    begin = lambda: torch.nn.Sequential(torch.nn.Dropout(0.2), *networks.start("digits_student", d))
    whole, state = train.fit(begin(), d, method, r, 1, teacher()), tmp_path / "run.state"
    write, left, runs = steps.RunFile.keep, [0], 0

    def written(*args):
        write(*args)
        left[0] -= 1
        if left[0] == 0:
            raise Stop

    monkeypatch.setattr(steps.RunFile, "keep", written)
    again = None
    while again is None:
        left[0], runs = 3, runs + 1
        try:
            again = train.fit(begin(), d, method, r, 1, teacher(), state, every=-1)
        except Stop:
            pass
    assert runs > 2 and same(whole, again)


def test_the_teachers_constants_are_kept_in_pieces_and_go_on_after_the_last(tmp_path, monkeypatch):
    net, asked, ask = teacher(), [], constants._ask
    whole = train.teacher_constants(net, D.x_train, D.y_train, 3.0, "tempered", chunk=16)

    def count(*args):
        asked.append(len(args[1]))
        if len(asked) == 5:
            raise Stop
        return ask(*args)

    monkeypatch.setattr(constants, "_ask", count)
    with pytest.raises(Stop):
        train.teacher_constants(
            net, D.x_train, D.y_train, 3.0, "tempered", tmp_path, chunk=16, every=-1
        )
    assert len(list(tmp_path.iterdir())) == 4, "a piece a chunk"
    again = train.teacher_constants(
        net, D.x_train, D.y_train, 3.0, "tempered", tmp_path, chunk=16, every=-1
    )
    assert sum(asked[5:]) == len(D.x_train) - 4 * 16 and len(list(tmp_path.iterdir())) == 1, (
        "goes on after the last piece, and clears them away"
    )
    assert all(map(torch.equal, whole, again)) and all(
        map(
            torch.equal,
            whole,
            train.teacher_constants(net, D.x_train, D.y_train, 3.0, "tempered", tmp_path, chunk=16),
        )
    )
    damaged = next(tmp_path.iterdir())
    damaged.write_bytes(damaged.read_bytes()[:100])
    assert all(
        map(
            torch.equal,
            whole,
            train.teacher_constants(net, D.x_train, D.y_train, 3.0, "tempered", tmp_path, chunk=16),
        )
    )


@pytest.mark.parametrize("change", ["teacher", "images"])
def test_a_state_knows_its_teacher_and_its_images(change, tmp_path):
    state, guide, d = tmp_path / "run.state", teacher(), D
    train.fit(student(), d, "kd", R, 0, guide, state)
    if change == "teacher":
        guide[-1].weight.data += 1e-3
    else:
        d = d._replace(x_train=d.x_train.flip(-1))
    with pytest.raises(
        ValueError,
        match=(
            "run.state belongs to another run .*its own teacher and images.*; delete it or name"
            " another"
        ),
    ):
        train.fit(student(), d, "kd", R, 0, guide, state)


def test_a_setting_has_the_type_that_the_recipe_gives_it():
    """clip is a number of its own, though the paper's recipe has none of it."""
    assert recipes.setting("clip=0.5") == ("clip", 0.5)
    assert recipes.setting("epochs=3") == ("epochs", 3)
    assert recipes.setting("flip=True") == ("flip", True)
    assert recipes.setting("hint=classify") == ("hint", "classify")
    for text in ("epochs=0.5", "clip=x", "flip=1", "colour=2", "clip"):
        with pytest.raises(ValueError, match="is no setting; write KEY=VALUE"):
            recipes.setting(text)


class Bent(nn.Module):
    """A teacher whose forward can be another under the same name and weights."""

    def __init__(self, bend):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(64, 10)
        self.bend = bend

    def forward(self, x):
        return self.bend(self.layer(x.flatten(1))) * 5


def test_teachers_of_one_name_and_equal_weights_share_no_cache(tmp_path):
    def ask(bend, folder=tmp_path):
        net = Bent(bend).eval()
        return train.teacher_constants(net, D.x_train, D.y_train, 3.0, "tempered", folder)

    for bend in (torch.relu, torch.tanh, lambda a: a * 1.001):
        assert all(map(torch.equal, ask(bend), ask(bend, None)))
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize(
    "change",
    [
        lambda held: {**held, "a": torch.zeros(3, 10)},
        lambda held: {**held, "a": held["a"] * float("nan")},
        lambda held: {**held, "a": held["a"][:, :7].contiguous()},
        lambda held: {**held, "g": held["g"][:, :, :4].contiguous()},
        lambda held: {"a": held["a"]},
        lambda held: {**held, "a": held["a"] + 1e-3},
    ],
)
def test_a_teacher_cache_of_another_shape_or_changed_is_made_again(tmp_path, change):
    def ask():
        return train.teacher_constants(
            teacher(), D.x_train, D.y_train, 3.0, "tempered", tmp_path, chunk=16, every=1e9
        )

    fresh, (file,) = ask(), list(tmp_path.iterdir())
    whole = file.read_bytes()
    odd = change({k: v for k, v in load_file(file).items()})
    save_file(odd, file)
    assert all(map(torch.equal, ask(), fresh)) and file.read_bytes() == whole
    save_file(odd, file.with_stem(f"{file.stem}.from-0"))
    file.unlink()
    assert all(map(torch.equal, ask(), fresh)) and file.read_bytes() == whole


def test_a_state_knows_how_its_teacher_answers_and_the_validation_images(tmp_path):
    state, guide = tmp_path / "run.state", Bent(torch.relu).eval()
    train.fit(student(), D, "kd", R, 0, guide, state)
    before = state.read_bytes()
    bent = Bent(torch.tanh).eval()
    other = nn.Sequential(nn.Flatten(), networks.dense(64, 8), nn.Tanh(), nn.Linear(8, 10))
    thin = D._replace(x_train=D.x_train.view(-1, 1, 4, 16), x_val=D.x_val.view(-1, 1, 4, 16))
    for net, d, T in (
        (student(), D, bent),
        (student(), D._replace(y_val=D.y_val.roll(1)), guide),
        (student(), thin, guide),
        (other, D, guide),
    ):
        with pytest.raises(ValueError, match="run.state belongs to another run .*; delete it"):
            train.fit(net, d, "kd", R, 0, T, state)
        assert state.read_bytes() == before


def test_a_state_knows_the_teacher_of_its_hints(tmp_path):
    state, r = tmp_path / "run.state", R._replace(hint_epochs=1)
    train.fit(student(), D, "standard", r, 0, teacher(), state)
    other = teacher()
    other[1].layer.weight.data += 1e-3
    with pytest.raises(ValueError, match="run.state belongs to another run"):
        train.fit(student(), D, "standard", r, 0, other, state)


def test_a_state_of_old_still_resumes(tmp_path, monkeypatch):
    """One that says neither how the teacher answers nor what the validation images are."""
    whole = fit()
    state = tmp_path / "run.state"
    stopped(state, monkeypatch)
    held = torch.load(state, weights_only=True)
    del held["answers"]
    held["run"] = held["run"][:6]
    torch.save(held, state)
    assert same(whole, fit(state=state)) and len(held["history"]) < R.epochs
    held["run"][5] = "a teacher 0123456789ab"
    torch.save(held, state)
    with pytest.raises(ValueError, match="belongs to another run"):
        fit(state=state)


@pytest.mark.parametrize("lacking", ["step", "best", "run"])
def test_a_state_without_a_part_is_refused_in_words(tmp_path, lacking):
    state = tmp_path / "run.state"
    fit(state=state)
    held = torch.load(state, weights_only=True)
    torch.save({k: v for k, v in held.items() if k != lacking}, state)
    with pytest.raises(ValueError, match="run.state is damaged.*; delete it"):
        fit(state=state)


class Blind(nn.Module):
    def forward(self, x):
        return torch.ones(len(x), 10)


def nan_teacher():
    net = teacher()
    net[1].layer.bias.data.fill_(float("nan"))
    return net


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda: fit(r=R._replace(epochs=None)), "epochs=None must be a whole number"),
        (lambda: fit(r=R._replace(batch=0)), "batch=0"),
        (lambda: fit(r=R._replace(lr=float("nan"))), "lr=nan"),
        (lambda: fit(r=R._replace(C1="many")), "C1='many'"),
        (lambda: train.fit(student(), D, "robust", R, 0, Blind().eval()), "ignores its images"),
        (lambda: train.fit(student(), D, "kd", R, 0, nan_teacher()), "of the teacher holds NaN"),
        (lambda: train.fit(student(), D, "kd", R, 0, teacher().train()), "in training mode"),
        (
            lambda: train.fit(nan_teacher(), D, "standard", R),
            "1.layer.bias of the network holds NaN",
        ),
        (
            lambda: train.teacher_constants(nan_teacher(), D.x_train, D.y_train, 3.0, ""),
            "1.layer.bias of the teacher holds NaN",
        ),
        (
            lambda: train.teacher_constants(teacher(), D.x_train[..., 1:], D.y_train, 3.0, ""),
            "(1, 8, 7)",
        ),
        (
            lambda: train.teacher_constants(teacher(), D.x_train, D.y_train[1:], 3.0, ""),
            "do not fit",
        ),
        (lambda: loop.accuracy(nan_teacher(), D.x_val, D.y_val), "logits of the network hold NaN"),
    ],
)
def test_networks_recipes_and_teachers_of_no_use_are_refused(call, said):
    with pytest.raises(ValueError) as error:
        call()
    assert said in str(error.value)


def test_gradients_too_large_for_half_precision_are_kept_in_single(tmp_path):
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval()
    net[1].weight.data *= 1e7
    fresh = train.teacher_constants(net, D.x_train, D.y_train, 3.0, "logit", tmp_path)
    _, want = geometry.input_gradient(net, D.x_train, D.y_train, 3.0, space="logit")
    assert fresh[1].dtype == torch.float and fresh[1].abs().max() > 65504
    torch.testing.assert_close(fresh[1], want)
    again = train.teacher_constants(net, D.x_train, D.y_train, 3.0, "logit", tmp_path)
    assert all(map(torch.equal, fresh, again)) and len(list(tmp_path.iterdir())) == 1


class Cliff(nn.Module):
    """Logits that are finite and have no slope."""

    def forward(self, x):
        return x.flatten(1)[:, :10] + (0 * x.flatten(1)[:, :10]).sqrt()


def test_gradients_that_are_no_numbers_are_refused_at_the_first_batch(tmp_path, monkeypatch):
    asked, ask = [], constants._ask
    monkeypatch.setattr(constants, "_ask", lambda *args: asked.append(1) or ask(*args))
    with pytest.raises(ValueError, match="input gradients hold NaN.*train it again or divide"):
        train.teacher_constants(Cliff().eval(), D.x_train, D.y_train, 3.0, "logit", tmp_path, 16)
    assert asked == [1] and not list(tmp_path.iterdir())
