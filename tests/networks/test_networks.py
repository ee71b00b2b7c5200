"""The networks by name: exact counts, their start, and the norms of their kernels."""

import pytest
import torch
import torchvision
from torch import nn

from rsnl_lib import networks
from rsnl_lib.data import catalogue, sets
from rsnl_lib.networks import modules, zoo

COUNTS = {  # weights without biases, multiplications for one image (Table VII's way of counting)
    "mnist_teacher": (360_816, 28_673_136),
    "mnist_student": (29_944, 5_310_648),
    "digits_teacher": (22_128, 858_048),
    "digits_student": (6_224, 212_288),
    "digits_mlp_teacher": (17_664, 17_664),
    "digits_mlp_student": (3_232, 3_232),
    "cifar_teacher": (9_044_360, 725_090_696),
    "cifar_student1": (249_576, 30_150_024),
    "cifar_student2": (861_928, 107_775_880),
    "cifar_student3": (1_503_304, 323_946_376),
    "cifar_student3_counts": (1_569_544, 391_776_136),
    "cifar_student4": (2_544_712, 381_749_128),
    "cifar_resnet8": (74_800, 12_239_488),
    "cifar_resnet14": (171_568, 26_395_264),
    "cifar_resnet20": (268_336, 40_551_040),
    "cifar_resnet26": (365_104, 54_706_816),
    "cifar_resnet18": (11_164_352, 555_422_720),
    "cifar_mobilenet": (2_202_560, 87_976_448),
}


def shape(name):
    return catalogue.SHAPES[name.split("_")[0]]


def test_every_network_is_counted_here():
    assert set(networks.NETWORKS) == set(COUNTS)


@pytest.mark.parametrize("name", COUNTS)
def test_exact_counts_and_the_shape_of_the_scores(name):
    net = networks.build(name).train()
    assert networks.count(net, shape(name)) == COUNTS[name]
    assert net.training and not any(
        m._forward_hooks for m in net.modules()
    )  # counting leaves no trace
    assert net(torch.rand(3, *shape(name))).shape == (3, 10)
    assert networks.build(name, 7)(torch.rand(3, *shape(name))).shape == (3, 7)


@pytest.mark.parametrize(
    "name, known", [("cifar_resnet20", 269_722), ("cifar_resnet18", 11_173_962)]
)
def test_the_neighbours_networks_have_the_published_number_of_parameters(name, known):
    assert sum(p.numel() for p in networks.build(name).parameters()) == known


def test_a_shortcut_is_the_identity_or_every_other_pixel_beside_zeros():
    block, x = zoo.Residual(2, 4, 2).eval(), torch.rand(1, 2, 6, 6)
    with torch.no_grad():
        for p in block.path.parameters():
            p.zero_()
    got = block(x)
    assert (
        got.shape == (1, 4, 3, 3)
        and torch.equal(got[:, 1:3], x[:, :, ::2, ::2])
        and not got[:, [0, 3]].any()
    )
    with pytest.raises(ValueError, match="width=0.5.*resnet18"):
        networks.build("cifar_resnet18@0.5")


def test_count_by_hand():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 5))  # 2 x 2 places
    assert networks.count(net, (1, 4, 4)) == (18 + 40, 18 * 4 + 40)


class Patches(nn.Module):
    """A small transformer: 16 patches, `inner` on their tokens, a dense layer on their mean."""

    def __init__(self, inner):
        super().__init__()
        self.patch, self.inner, self.head = nn.Conv2d(3, 16, 8, 8), inner, nn.Linear(16, 10)

    def forward(self, x):
        return self.head(self.inner(self.patch(x).flatten(2).transpose(1, 2)).mean(1))


@pytest.mark.parametrize("fused", [True, False])
def test_a_layer_counts_at_every_token_and_attention_counts_its_products(fused):
    patch, head = 16 * 3 * 64, 160
    dense = Patches(nn.Linear(16, 32, bias=False))
    dense.head = nn.Linear(32, 10)
    assert networks.count(dense, (3, 32, 32)) == (patch + 512 + 320, 16 * (patch + 512) + 320)
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    inside = 4 * 16 * 16 + 2 * 16 * 32  # in, out, and the two dense layers
    products = 2 * 16 * 16 * 16  # queries by keys, weights by values
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(fused)
    try:
        told = networks.count(Patches(layer), (3, 32, 32))
        assert torch.backends.mha.get_fastpath_enabled() == fused
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
    assert told == (patch + inside + head, 16 * (patch + inside) + products + head)


@pytest.mark.parametrize(
    "name", ["mnist_student", "cifar_student1", "cifar_resnet8", "digits_mlp_student"]
)
def test_layers_of_ones_own_networks_are_counted_as_torchs_counter_counts_them(name, monkeypatch):
    net, shape = networks.build(name), catalogue.SHAPES[name.split("_")[0]]
    with monkeypatch.context() as m:
        m.setattr(modules, "_counted", None)  # slow to load, and not asked
        plain = networks.count(net, shape)
    monkeypatch.setattr(modules, "_of_plain_layers", lambda net: False)
    assert networks.count(net, shape) == plain


def test_torchs_own_counter_agrees_on_windows_of_tokens_and_a_share_weighs_its_layer():
    from torch.utils.flop_counter import FlopCounterMode

    swin = torchvision.models.SwinTransformer([4, 4], 8, [1, 1], [1, 2], [2, 2], num_classes=3)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        swin.eval()(torch.zeros(1, 3, 32, 32))
    mults = networks.count(swin, (3, 32, 32))[1]
    assert mults == counter.get_total_flops() // 2
    stem = 8 * 3 * 16 * 64
    shared = networks.count(swin, (3, 32, 32), lambda m: 0.5 if isinstance(m, nn.Conv2d) else 1)
    assert shared[1] == mults - stem / 2


@pytest.mark.parametrize("name", ["digits_teacher", "digits_student", "digits_mlp_student"])
def test_lsuv_gives_every_layer_unit_variance_and_small_biases(name):
    x, spread = sets.digits().x_train[:500], []
    net = networks.lsuv_(networks.build(name), x, torch.Generator().manual_seed(0))
    assert net.training
    layers = [m for m in net.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    for m in layers:
        m.register_forward_hook(lambda m, i, o: spread.append(o.std().item()))
        assert 0 < m.bias.abs().max() <= 0.01
        w = m.weight.flatten(1)  # orthogonal up to one factor
        gram = w @ w.T if len(w) <= w.shape[1] else w.T @ w
        torch.testing.assert_close(gram / gram[0, 0], torch.eye(len(gram)), rtol=0, atol=1e-4)
    net.eval()(x)
    assert len(spread) == len(layers) and all(abs(s - 1) < 0.06 for s in spread), spread


def test_the_start_depends_on_the_seed_alone():
    d = sets.digits()
    torch.manual_seed(1)
    one = networks.start("digits_student", d, 3)
    drawn = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), drawn)  # the caller's random state is kept
    same, other = networks.start("digits_student", d, 3), networks.start("digits_student", d, 4)
    for a, b, c in zip(one.parameters(), same.parameters(), other.parameters()):
        assert torch.equal(a, b) and not torch.equal(a, c)


def test_long_kernels_are_cut_to_their_limit_and_short_ones_kept():
    net = networks.build("mnist_teacher")
    limits = [m.max_norm for m in net.modules() if isinstance(m, networks.Maxout)]
    assert limits == [0.9, 1.9365, 1.9365]
    layers = [m.layer for m in net.modules() if isinstance(m, networks.Maxout)]
    last = net[-1].weight
    with torch.no_grad():
        for layer in layers:
            layer.weight.copy_(
                torch.nn.functional.normalize(layer.weight.flatten(1)).view_as(layer.weight) * 5
            )
            layer.weight[0] *= 0.1  # length 0.5, within every limit
        last *= 1000
    short, head = [m.weight[0].clone() for m in layers], last.clone()
    modules.clip_kernels_(net)
    for layer, limit, kept in zip(layers, limits, short):
        norms = layer.weight.flatten(1).norm(dim=1)
        torch.testing.assert_close(norms[1:], torch.full_like(norms[1:], limit), rtol=1e-4, atol=0)
        torch.testing.assert_close(layer.weight[0], kept)
    assert torch.equal(last, head)  # a layer without a limit


@pytest.mark.parametrize(
    "call, said",
    [
        (
            lambda: networks.build("mnist_studnet"),
            "network='mnist_studnet' is unknown; choose one of: digits_mlp_teacher",
        ),
        (
            lambda: networks.build("digits_student", 1),
            "classes=1 must be a whole number of at least 2",
        ),
        (lambda: networks.build("digits_student", "10"), "classes='10'"),
    ],
)
def test_unknown_names_are_refused_with_the_known_ones(call, said):
    with pytest.raises(ValueError, match=said):
        call()
