"""The hint stage: the right layers, the right loss, the student's weights and no others, and
FitNets' two stages in order.
"""

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from rsnl_lib import networks, train
from rsnl_lib.data import sets
from rsnl_lib.networks import fast, modules
from rsnl_lib.train import hints, losses

D = sets.digits()._replace(
    **{k: v[:64] for k, v in sets.digits()._asdict().items() if isinstance(v, torch.Tensor)}
)
R = train.recipe("short", "digits", "fitnet", epochs=4, batch=32)


def pair(kind="digits"):
    torch.manual_seed(0)
    return networks.build(f"{kind}_student"), networks.build(f"{kind}_teacher").eval()


def test_the_guided_layer_lies_two_thirds_of_the_way_as_in_fitnets():
    student, teacher = networks.build("mnist_student"), networks.build("mnist_teacher")
    assert (
        networks.guided(student) is modules.blocks(student)[3] and len(modules.blocks(student)) == 6
    )
    assert (
        networks.guided(teacher) is modules.blocks(teacher)[1] and len(modules.blocks(teacher)) == 3
    )
    deep = nn.Sequential(*(nn.Conv2d(1, 1, 1) for _ in range(17)), nn.Flatten(), nn.Linear(64, 10))
    assert networks.guided(deep) is deep[10]
    mlp = networks.build("digits_mlp_teacher")
    assert networks.guided(mlp) is mlp[1]


class Tokens(nn.Module):
    """A transformer of 16 patches and a class token, `depth` dense layers on the tokens."""

    def __init__(self, depth, width=8, side=8):
        super().__init__()
        self.patch = nn.Conv2d(1, width, side // 4, side // 4)
        self.first = nn.Parameter(torch.zeros(1, 1, width))
        self.inner = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.gate, self.head = nn.Linear(width, width), nn.Linear(width, 10)

    def forward(self, x):
        t = self.patch(x).flatten(2).transpose(1, 2)
        t = torch.cat([self.first.expand(len(t), -1, -1), t], 1)
        for layer in self.inner:
            t = t + F.gelu(layer(t))
        return self.head(torch.relu(self.gate(t[:, 0])))


def test_the_hint_of_a_transformer_lies_two_thirds_through_its_blocks():
    x = D.x_train[:2]
    net = Tokens(8)
    assert networks.guided(net, x) is net.inner[4]  # the patches' layer is the first of nine
    swin = torchvision.models.SwinTransformer([2, 2], 8, [2, 2], [1, 2], [2, 2], num_classes=10)
    layers = modules.blocks(swin, torch.rand(2, 3, 32, 32))
    names = {m: name for name, m in swin.named_modules()}
    told = [names[m] for m in layers]
    inner = [f"features.{stage}.{i}.mlp.{j}" for stage in (1, 3) for i in (0, 1) for j in (0, 3)]
    assert told == ["features.0.0", *inner[:4], "features.2.reduction", *inner[4:]]
    convs = [nn.Conv2d(1, 2, 3), nn.Conv2d(2, 2, 3), nn.Conv2d(2, 2, 1)]
    late = nn.Sequential(*convs, nn.Flatten(2), nn.Linear(16, 9), nn.Flatten(), nn.Linear(18, 10))
    assert networks.guided(late, x) is late[1]  # convolutions reach far enough: they alone


def test_tokens_become_a_map_without_their_class_token_and_channels_come_first():
    t = torch.rand(2, 17, 3)
    assert torch.equal(hints._as_map(t)[:, :, 1, 2], t[:, 1 + 4 + 2])
    assert torch.equal(hints._as_map(t[:, 1:]), hints._as_map(t))
    assert hints._as_map(t[:, :7]).shape == (2, 7, 3) and hints._as_map(t[:, 0]).shape == (2, 3)
    last = torch.rand(2, 4, 5, 3)
    assert torch.equal(hints._as_map(last), last.movedim(-1, 1))


@pytest.mark.parametrize("kind", ["digits", "tokens"])
@pytest.mark.parametrize("guide", ["digits", "tokens"])
def test_a_transformer_takes_and_gives_hints(kind, guide):
    torch.manual_seed(0)
    nets = {"digits": pair, "tokens": lambda: (Tokens(4), Tokens(6, 16).eval())}
    teacher = nets[guide]()[1]
    ends = []
    for n in (1, 12):
        ends.append(hints.hint_stage(nets[kind]()[0], teacher, D, R, n))
    assert ends[1] < 0.9 * ends[0]


def test_hint_loss_by_hand():
    a, b = (
        torch.tensor([[[[1.0, 2.0]]], [[[0.0, 0.0]]]]),
        torch.tensor([[[[0.0, 0.0]]], [[[3.0, 4.0]]]]),
    )
    assert losses.hint_loss(a, b) == pytest.approx((5 + 25) / 2 / 2)
    with pytest.raises(ValueError, match=r"regressed features \(2, 1\) and the teacher's \(2, 2\)"):
        losses.hint_loss(torch.zeros(2, 1), torch.zeros(2, 2))


@pytest.mark.parametrize("kind", ["digits", "digits_mlp"])
@pytest.mark.parametrize("how", ["regress", "classify"])
def test_the_stage_lowers_its_loss_and_moves_the_guided_layers_alone(kind, how):
    student, teacher = pair(kind)
    before = {n: p.clone() for n, p in student.named_parameters()}
    held = [p.clone() for p in teacher.state_dict().values()]
    losses_ = [
        hints.hint_stage(
            networks.lsuv_(networks.build(f"{kind}_student"), D.x_train),
            teacher,
            D,
            R._replace(hint=how),
            n,
        )
        for n in (1, 12)
    ]
    assert losses_[1] < 0.9 * losses_[0]
    hints.hint_stage(student, teacher, D, R._replace(hint=how), 1)
    last = list(before)[-2:]
    for name, p in student.named_parameters():
        if name in last:
            assert torch.equal(p, before[name]), f"{name} lies behind the guided layer"
    assert not torch.equal(list(student.parameters())[0], before[next(iter(before))])
    assert all(map(torch.equal, teacher.state_dict().values(), held)) and all(
        p.grad is None for p in teacher.parameters()
    )


@pytest.mark.parametrize("student, teacher", [((3, 8), (5, 4)), ((5, 4), (3, 8))])
def test_the_regressor_reaches_any_shape(student, teacher):
    S, T = torch.randn(2, *student, student[1]), torch.randn(2, *teacher, teacher[1])
    assert hints._regressor(S, T)(S).shape == T.shape
    flat = torch.randn(2, 7)
    assert (
        hints._regressor(flat, T)(flat).shape == T.shape
        and hints._regressor(S, flat)(S).shape == flat.shape
    )


def test_fitnet_is_the_hint_stage_and_then_kd():
    student, teacher = pair()
    run = train.fit(student, D, "fitnet", R._replace(hint_epochs=2), seed=1, teacher=teacher)
    other, _ = pair()
    with fast.layers(other):  # `fit` has it so: the same rounding
        hints.hint_stage(other, teacher, D, R._replace(hint_epochs=2), 2, seed=1)
    again = train.fit(other, D, "kd", R, seed=1, teacher=teacher)
    assert all(map(torch.equal, run.last.state_dict().values(), again.last.state_dict().values()))


def test_robust_takes_the_hint_stage_when_asked():
    ends = []
    for n in (0, 2):
        student, teacher = pair()
        ends.append(
            train.fit(
                student, D, "robust", R._replace(hint_epochs=n, epochs=1), teacher=teacher
            ).last
        )
    assert not torch.equal(ends[0][0].layer.weight, ends[1][0].layer.weight)


def test_a_network_without_a_middle_is_refused():
    with pytest.raises(ValueError, match="Sequential has no middle layer"):
        networks.guided(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)))
    with pytest.raises(ValueError, match="hint_epochs=2 needs a teacher"):
        train.fit(pair()[0], D, "standard", R._replace(hint_epochs=2))
