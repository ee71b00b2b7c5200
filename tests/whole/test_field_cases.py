"""What trips whoever brings networks and pictures of their own: 31 cases, a small test each, of the
right answer or the refusal. The rooms' own tests ask the same of more kinds.
"""

import collections

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from torch.nn.utils import prune

from rsnl_lib import data, networks, store, theorem, train
from rsnl_lib.measure import evaluate, toolbox
from rsnl_lib.workbook import figures

K = 4
R = train.Recipe("test", 1, lr=1e-2, lr_conv=1e-2, batch=8, tau=2.0, C1=1.0, alpha=0.5)
R = R._replace(epsilon=0.02, attack_steps=1)


def pictures(n=24):
    """n patterns (3, 8, 8) in [0, 1] of four classes, to train, to validate and to test."""
    g = torch.Generator().manual_seed(0)
    y = torch.arange(n) % K
    x = torch.rand(K, 3, 8, 8, generator=g)[y] + 0.3 * torch.rand(n, 3, 8, 8, generator=g)
    return data.Data("few", K, *(x / 1.3, y) * 3)


D = pictures()
X, Y = D.x_test[:4], D.y_test[:4]
CLEAN = [("clean", 0, "")]
SHORT = {"restarts": 1, "steps": 2}


def conv_net(seed=0, norm=nn.Identity):
    torch.manual_seed(seed)
    layers = [nn.Conv2d(3, 6, 3, 2, 1), norm(6), nn.ReLU(), nn.Conv2d(6, 6, 1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(96, K))


class Changed(nn.Module):
    """A network behind what is done to its images, before what is done to its logits."""

    def __init__(self, out=lambda a, training: a, into=lambda x: x, seed=0):
        super().__init__()
        self.net = conv_net(seed)
        self.out = out
        self.into = into

    def forward(self, x):
        return self.out(self.net(self.into(x)), self.training)


class Patches(nn.Module):
    """Four tokens of a picture, `blocks` that change them, a head on their mean."""

    def __init__(self, *blocks):
        super().__init__()
        self.cut = nn.Conv2d(3, 8, 4, 4)
        self.blocks = nn.ModuleList(blocks)
        self.head = nn.Linear(8, K)

    def forward(self, x):
        tokens = self.cut(x).flatten(2).transpose(1, 2)
        for block in self.blocks:
            tokens = block(tokens)
        return self.head(tokens.mean(1))


def attention():
    torch.manual_seed(0)
    return Patches(nn.TransformerEncoderLayer(8, 2, 8, dropout=0.0, batch_first=True))


T = conv_net(9).eval()


def trained(net, method="kd", r=R, d=D, teacher=T, **more):
    """Is a weight of `net` another one after training?"""
    before = [p.clone() for p in net.parameters()]
    assert len(train.fit(net, d, method, r, teacher=teacher, **more).history) == r.epochs
    return not all(map(torch.equal, net.parameters(), before))


# Answers that are no tensor ----------------------------------------------------------------------


def test_a_network_that_answers_a_dict_trains_teaches_and_is_measured():
    named = lambda seed=0: Changed(lambda a, training: {"logits": a}, seed=seed)
    assert trained(named()) and trained(conv_net(), teacher=named(9).eval())
    (row,), (plain,) = (evaluate.sweep({"a": n}, X, Y, CLEAN) for n in (named(), conv_net()))
    assert row["correct"] == plain["correct"]


def test_an_attack_asks_a_dict_for_its_logits():
    pytest.importorskip("art", reason="no adversarial-robustness-toolbox (extra `test`)")
    named = Changed(lambda a, training: {"logits": a}, seed=9)
    kept = [toolbox.survives(n, X, Y, 0.01, **SHORT) for n in (named, T)]
    assert torch.equal(*kept)


@pytest.mark.parametrize("method", ["kd", "robust", "fitnet", "bss", "ard"])
def test_auxiliary_heads_in_training_leave_the_main_one_to_train(method):
    Heads = collections.namedtuple("Heads", "logits aux")
    assert trained(Changed(lambda a, training: Heads(a, -a) if training else a), method)


# Second derivatives ------------------------------------------------------------------------------


def test_attention_has_the_second_derivative_that_it_needs():
    assert trained(attention(), "robust")
    S, x = theorem.exact(attention().eval()), X.double()
    h = theorem.head_start(S, theorem.exact(T), Y)
    steep = theorem.estimate_ascent(h, x, torch.full((1, 4), 0.1).double(), starts=1, steps=2)
    assert (steep >= theorem.point_gap(h, x)).all()
    assert len(theorem.margins(attention(), T, X, Y, **SHORT)) == 4


def test_a_function_without_a_second_derivative_is_named_as_its_module_is():
    with pytest.raises(ValueError, match="Hardsigmoid has no second derivative.*F.relu6"):
        trained(Changed(lambda a, training: a * F.hardsigmoid(a)), "robust")


def test_a_compiled_student_is_trained_on_its_input_gradients():
    assert trained(torch.compile(conv_net(), backend="eager"), "robust")


def test_a_student_that_cannot_be_trained_costs_the_teacher_a_few_images():
    shown = []
    teacher = Changed(into=lambda x: shown.append(len(x)) or x).eval()
    with pytest.raises(ValueError, match="BatchNorm2d in training mode.*frozen_norm=True"):
        trained(conv_net(norm=nn.BatchNorm2d), "robust", d=pictures(400), teacher=teacher)
    assert 0 < sum(shown) < 20


# Batch norm and modes ----------------------------------------------------------------------------


def test_a_last_batch_of_one_image_is_refused_where_batch_norm_cannot_take_it():
    net = nn.Sequential(nn.Conv2d(3, 4, 8), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, K))
    with pytest.raises(ValueError, match=r"25 images in batches of 8 .*\(set batch=7\), too few"):
        trained(net, d=pictures(25))
    assert trained(net, d=pictures(25), r=R._replace(batch=7))


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.* is deprecated")
def test_statistics_of_a_scripted_network_do_not_move_unseen():
    net = torch.jit.script(conv_net(norm=nn.BatchNorm2d))
    with pytest.raises(ValueError, match="does not reach 1.running_mean.*'1'.*eval"):
        trained(net, "robust", R._replace(frozen_norm=True))
    dict(net.named_modules())["1"].eval()
    before = [b.clone() for b in net.buffers()]
    assert trained(net, "robust", R._replace(frozen_norm=True))
    assert all(map(torch.equal, net.buffers(), before))


def test_asking_for_the_accuracy_changes_the_mode_of_no_layer():
    net = conv_net(norm=nn.BatchNorm2d)
    net[1].eval()
    train.accuracy(net, X, Y)
    assert net.training and not net[1].training and net[2].training


def test_a_teacher_that_draws_is_refused():
    awake = nn.Sequential(nn.Dropout(), conv_net(9)).eval()
    awake[0].train()
    always = Changed(into=lambda x: F.dropout(x, 0.3)).eval()
    for net, said in ((awake, "its layer 0 .*teacher.eval"), (always, "answers twice differently")):
        with pytest.raises(ValueError, match=said):
            train.teacher_constants(net, X, Y, 2.0, "")
        with pytest.raises(ValueError, match=said):
            trained(conv_net(), teacher=net)


# Ranges and noise --------------------------------------------------------------------------------

WIDE = D._replace(**{f"x_{part}": (D.x_test - 0.5) / 0.1 for part in ("train", "val", "test")})


@pytest.mark.parametrize("method", ["fast_ard", "ard"])
def test_normalised_images_are_not_cut_to_the_unit_interval(method):
    with pytest.raises(ValueError, match="outside low=0.0 and high=1.0; .*clamp=False"):
        trained(conv_net(), method, d=WIDE._replace(space="normalised"))


def test_pixels_outside_the_unit_interval_do_not_go_by_that_name():
    with pytest.raises(ValueError, match=r"space='pixels \[0,1\]'.*Normalised"):
        trained(conv_net(), d=WIDE)
    assert trained(conv_net(), d=WIDE._replace(space="normalised"))


def test_pictures_of_ones_own_are_attacked_within_an_epsilon_of_ones_own():
    assert ("pgd", 0.07, "linf") in toolbox.plan("pics", 0.07)
    assert {level for _, level, _ in toolbox.plan("pics", 0.07)} == {0.07, 1.0}


# Pictures of one's own ---------------------------------------------------------------------------


def lay(place, count=6, side=12):
    """`count` pictures of noise, side x side, in the new folder `place`; no two alike anywhere."""
    place.mkdir(parents=True)
    draw = np.random.default_rng(list(str(place).encode()))
    for i in range(count):
        pixels = draw.integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"{i}.png")


def test_folders_of_train_and_val_are_the_split(tmp_path):
    for part in ("train", "val"):
        for kind in ("cat", "dog"):
            lay(tmp_path / "pics" / part / kind)
    d = data.load(tmp_path / "pics")
    assert d.classes == 2 and len(d.x_val) == 12 and len(d.x_train) + len(d.x_test) == 12


def test_no_picture_in_a_folder_of_a_class_is_left_out(tmp_path):
    for place in ("cat", "cat/indoors", "dog", "dog/a/b"):
        lay(tmp_path / "pics" / place, 5)
    d = data.load(tmp_path / "pics")
    assert len(d.x_train) + len(d.x_val) + len(d.x_test) == 20


def test_the_side_of_large_pictures_is_said_or_chosen(tmp_path, capsys):
    for kind in ("cat", "dog"):
        lay(tmp_path / "large" / kind, 3, 80)
    assert data.load(tmp_path / "large").x_train.shape[-1] == 64
    assert "large: pictures of 80 x 80 become 64 x 64" in capsys.readouterr().out
    assert data.load(tmp_path / "large", side=80).x_train.shape[-1] == 80


def test_the_squares_fit_small_pictures(tmp_path):
    for kind in ("cat", "dog"):
        lay(tmp_path / "pics" / kind, 6, 8)
    d = data.load(tmp_path / "pics")
    plan = data.fitting(d)
    assert max(c.level for c in plan if c.perturbation == "occlusion") <= 8
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
    assert len(evaluate.sweep({"a": net}, d.x_test, d.y_test, plan, draws=1)) == len(plan)


def test_classes_keep_the_names_of_their_folders(tmp_path):
    for kind in ("dog", "cat"):
        lay(tmp_path / "pics" / kind)
    assert data.load(tmp_path / "pics").names == ("cat", "dog")


def test_the_letters_of_a_folder_decide_nothing():
    for method in ("kd", "ard"):
        assert train.recipe("short", "cifar10-mine", method) == train.recipe("short", "me", method)


# Keeping, going on, counting ---------------------------------------------------------------------


def test_a_variance_too_large_for_half_precision_comes_back(tmp_path):
    net = conv_net(norm=nn.BatchNorm2d)
    net[1].running_var.fill_(1e5)
    store.save_checkpoint(tmp_path / "a.safetensors", net)
    again, _ = store.load_checkpoint(tmp_path / "a.safetensors", conv_net(norm=nn.BatchNorm2d))
    assert torch.equal(again[1].running_var, net[1].running_var)


@pytest.mark.parametrize(
    "net, teacher", [(conv_net(), conv_net(7).eval()), (conv_net(norm=nn.BatchNorm2d), T)]
)
def test_a_run_goes_on_with_its_own_teacher_and_network_alone(tmp_path, net, teacher):
    path = tmp_path / "a.state"
    trained(conv_net(), state=path)
    with pytest.raises(ValueError, match="belongs to another run") as error:
        trained(net, teacher=teacher, state=path)
    assert "damaged" not in str(error.value)


def pruned():
    net = conv_net()
    prune.l1_unstructured(net[0], "weight", amount=0.5)
    return net


def normed():
    net = conv_net()
    torch.nn.utils.weight_norm(net[0])
    net(X)
    return net


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated")
@pytest.mark.parametrize("made, remedy", [(pruned, "prune.remove"), (normed, "remove_weight_norm")])
def test_what_cannot_be_copied_is_refused_with_the_remedy_that_works(made, remedy):
    for ask in (
        lambda n: theorem.margins(n, T, X, Y, **SHORT),
        lambda n: theorem.ladder(n, T, X, Y, sound=(), draws=20, **SHORT),
        lambda n: theorem.sound_radii(n, T, X, Y),
    ):
        with pytest.raises(ValueError, match=remedy):
            ask(made())
    net = made()
    (prune.remove if made is pruned else torch.nn.utils.remove_weight_norm)(net[0], "weight")
    assert len(theorem.margins(net, T, X, Y, **SHORT)) == 4


@pytest.mark.filterwarnings("ignore:.*quantize.*deprecated")
def test_a_quantised_teacher_distils_its_scores():
    quantised = torch.ao.quantization.quantize_dynamic(conv_net(9).eval(), {nn.Linear}, torch.qint8)
    assert trained(conv_net(), teacher=quantised)


def test_shared_weights_are_kept_in_full_precision(tmp_path):
    made = [nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)) for _ in range(2)]
    for net in made:
        net[1].weight = net[0].weight
    store.save_checkpoint(tmp_path / "a.safetensors", made[0], half=False)
    store.load_checkpoint(tmp_path / "a.safetensors", made[1])
    assert (
        torch.equal(made[1][0].weight, made[0][0].weight) and made[1][0].weight is made[1][1].weight
    )


def test_a_dense_layer_is_counted_at_every_token():
    weights, mults = networks.count(Patches(nn.Linear(8, 8)), (3, 8, 8))
    cut, block, head = 3 * 16 * 8, 64, 8 * K
    assert (weights, mults) == (cut + block + head, 4 * (cut + block) + head)


def test_the_hint_of_a_transformer_is_inside_its_blocks():
    net = Patches(*(nn.Linear(8, 8) for _ in range(6)))
    assert networks.guided(net, X) in list(net.blocks)[2:]


def test_a_run_of_one_step_says_that_it_learns_nothing(capsys):
    assert not trained(conv_net(), "standard", R._replace(batch=24))
    assert "one step learns nothing: its rate is 0" in capsys.readouterr().out


def test_a_hook_inside_a_network_gets_no_certificate():
    net = conv_net()
    net[0].register_forward_hook(lambda layer, inputs, out: 6 * out)
    for method in theorem.SOUND:
        with pytest.raises(ValueError, match="layer 0 .*has hooks"):
            theorem.sound_radii(net, T, X, Y, method)


# Figures -----------------------------------------------------------------------------------------


def test_pictures_in_colour_are_drawn_above_their_scores():
    fig = figures.score_bars(X, {"teacher": T(X).softmax(1).detach()}, Y)
    assert np.allclose(fig.axes[0].images[0].get_array(), X[0].permute(1, 2, 0))


def test_a_run_and_a_sweep_are_drawn_without_reshaping():
    run = train.fit(conv_net(), D, "standard", R)
    (point,) = figures.learning_curves(run.history).axes[0].lines[0].get_ydata()
    assert point == run.history[0]["val_accuracy"]
    rows = evaluate.sweep({"mine": run.last}, X, Y, [*CLEAN, ("gaussian", 3, "dB")])
    assert [t.get_text() for t in figures.accuracy_curves(rows).axes[0].texts] == ["mine"]
