"""Networks of other projects, and their like: what `matrix.py` teaches, and teaches by.

Each takes images (n, 3, 32, 32) to ten scores, has random weights and loads nothing.
"""

import functools
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
import torchvision.models as tv
from torch import nn
from torch.nn.utils import parametrizations, prune
from torch.utils.checkpoint import checkpoint
from torchvision.ops import StochasticDepth

SHAPE = (3, 32, 32)
MIXED = "mix|depend on|other images|companion|follow the images"
TWICE = "second derivative|twice"
UNSEEN = "script|trac|compil|export"
HEADS = r"logits|tensor|tuple|dict|head"


class Foreign(NamedTuple):
    """A network, the words that may refuse it, and the same one in plain modules."""

    make: Callable[[], nn.Module]
    why: str = ""
    plain: Callable[[], nn.Module] | None = None
    extras: bool = False  # needs the extra "matrix"
    large: bool = False  # slow to build, and can be copied
    near: float = 1e-10  # how near to plain autograd it must be


class Whole(nn.Module):
    """A network whose forward is `way(net, x)`."""

    def __init__(self, way, **parts):
        super().__init__()
        self.parts = nn.ModuleDict(parts)
        self.way = way

    def forward(self, x):
        return self.way(self.parts, x)


def cnn(norm=lambda c: nn.Identity(), act=nn.ReLU, pad="zeros", wrap=lambda m: m, more=()):
    """Three convolutions and a dense layer."""
    conv = lambda a, b, stride: wrap(nn.Conv2d(a, b, 3, stride, 1, padding_mode=pad))
    body = [conv(3, 8, 2), norm(8), act(), conv(8, 12, 2), norm(12), act()]
    body += [conv(12, 16, 1), norm(16), act(), nn.AdaptiveAvgPool2d(2), nn.Flatten()]
    return nn.Sequential(*body, *more, wrap(nn.Linear(64, 10)))


@torch.no_grad()
def settled(net):
    """The network with batch norm statistics of some images."""
    x = torch.rand(16, *SHAPE)
    net.train()
    for _ in range(5):
        net(x)
    return net


class OwnNorm(nn.Module):
    """Batch norm written by hand, of no class that torch knows."""

    def __init__(self, c):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(c))
        self.register_buffer("mean", torch.zeros(c))
        self.register_buffer("var", torch.ones(c))

    def forward(self, x):
        mean, var = self.mean, self.var
        if self.training:
            mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
            self.mean.mul_(0.9).add_(mean.detach(), alpha=0.1)
            self.var.mul_(0.9).add_(var.detach(), alpha=0.1)
        scale = self.weight / (var + 1e-5).sqrt()
        return (x - mean[:, None, None]) * scale[:, None, None]


class Once(torch.autograd.Function):
    """x^3, with one derivative."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, up):
        (x,) = ctx.saved_tensors
        return 3 * x**2 * up


class Cube(nn.Module):
    def forward(self, x):
        return Once.apply(x)


def tokens(p, x):
    return p["patch"](x).flatten(2).transpose(1, 2)


def encoder():
    way = lambda p, x: p["head"](p["a"](tokens(p, x)).mean(1))
    layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
    return Whole(way, patch=nn.Conv2d(3, 16, 8, 8), a=layer, head=nn.Linear(16, 10))


def hardsigmoid():
    def way(p, x):
        x = p["conv"](x)
        x = p["deep"](x * F.hardsigmoid(x))
        return p["head"](x.mean((2, 3)))

    conv = [nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 2, 1)]
    return Whole(way, conv=conv[0], deep=conv[1], head=nn.Linear(8, 10))


def transformer_of_space():
    def way(p, x):
        theta = p["where"](x).tanh().view(-1, 2, 3) / 8 + torch.eye(2, 3, dtype=x.dtype)
        return p["net"](F.grid_sample(x, F.affine_grid(theta, x.shape, False), align_corners=False))

    return Whole(way, where=nn.Sequential(nn.Flatten(), nn.Linear(3072, 6)), net=cnn())


def rows():
    way = lambda p, x: p["head"](p["lstm"](x.permute(0, 2, 1, 3).flatten(2))[0][:, -1])
    return Whole(way, lstm=nn.LSTM(96, 16, batch_first=True), head=nn.Linear(16, 10))


def checkpointed():
    way = lambda p, x: p["head"](checkpoint(p["body"], x, use_reentrant=True))
    net = cnn()
    return Whole(way, body=net[:-1], head=net[-1])


def in_place():
    return Whole(lambda p, x: p["net"](x.sub_(0.5).div_(0.5)), net=cnn())


def partly_frozen():
    net = settled(cnn(nn.BatchNorm2d))
    net[:2].eval().requires_grad_(False)
    return net


def tied():
    net = cnn(more=[nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU()])
    net[13].weight = net[11].weight
    return net


def pruned():
    net = cnn()
    for m in net:
        if hasattr(m, "weight"):
            prune.l1_unstructured(m, "weight", amount=0.5)
    return net


def lazy():
    body = [nn.LazyConv2d(8, 3, 2, 1), nn.ReLU(), nn.LazyConv2d(12, 3, 2, 1), nn.ReLU()]
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.LazyLinear(10))


def batch_normed():
    return settled(cnn(nn.BatchNorm2d))


def traced():
    return torch.jit.trace(cnn(), torch.rand(2, *SHAPE))


def exported():
    many = {"x": {0: torch.export.Dim("n", min=1, max=512)}}
    return torch.export.export(Named(cnn()), (torch.rand(2, *SHAPE),), dynamic_shapes=many).module()


class Named(nn.Module):
    """A network whose images are called x."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x)


def timm(name, **how):
    import timm

    return settled(timm.create_model(name, num_classes=10, **how))


def mixer():
    from timm.models.mlp_mixer import MlpMixer

    return MlpMixer(num_classes=10, img_size=32, patch_size=8, num_blocks=3, embed_dim=32)


def evonorm():
    import timm.layers as layers

    return settled(cnn(layers.EvoNorm2dB0, nn.Identity))


def face(kind):
    """Hugging Face's ViT or ResNet, small."""
    import transformers as t

    if kind == "vit":
        small = dict(hidden_size=16, num_hidden_layers=3, num_attention_heads=2, num_labels=10)
        small |= dict(intermediate_size=32, image_size=32, patch_size=8)
        return t.ViTForImageClassification(t.ViTConfig(**small))
    small = dict(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], num_labels=10)
    return settled(t.ResNetForImageClassification(t.ResNetConfig(layer_type="basic", **small)))


def drop_path():
    """Residual blocks of which each image leaves out some by chance."""

    def way(p, x):
        x = p["stem"](x)
        for k in "abc":
            x = x + p["drop"](p[k](x).relu())
        return p["head"](x.mean((2, 3)))

    blocks = {k: nn.Conv2d(8, 8, 3, padding=1) for k in "abc"}
    ends = dict(stem=nn.Conv2d(3, 8, 3, 4, 1), head=nn.Linear(8, 10))
    return Whole(way, **ends, **blocks, drop=StochasticDepth(0.4, "row"))


DENSE = dict(growth_rate=8, block_config=(2, 2, 2, 2), num_init_features=16, num_classes=10)
SWIN = dict(img_size=32, embed_dim=16, depths=(2, 2, 1), num_heads=(1, 2, 4), window_size=4)
VIT = dict(img_size=32, patch_size=8, embed_dim=32, depth=4, num_heads=2)
GOOGLE = dict(num_classes=10, aux_logits=True, init_weights=False)
PARTIAL = functools.partial
old = torch.nn.utils
NETWORKS = {  # first those that the suite asks: no extras
    "batch_norm": Foreign(batch_normed),
    "own_norm": Foreign(lambda: settled(cnn(OwnNorm)), MIXED),
    "dict": Foreign(lambda: Whole(lambda p, x: OrderedDict(logits=p["n"](x)), n=cnn()), HEADS),
    "encoder": Foreign(encoder, f"attention|{TWICE}|middle layer|hint"),
    "hardsigmoid": Foreign(hardsigmoid, "ardsigmoid"),
    "scripted": Foreign(lambda: torch.jit.script(cnn()), UNSEEN, cnn),
    "tuple": Foreign(lambda: Whole(lambda p, x: (p["n"](x), x), n=cnn()), HEADS),
    "group_norm": Foreign(lambda: cnn(lambda c: nn.GroupNorm(2, c))),
    "instance_norm": Foreign(lambda: cnn(nn.InstanceNorm2d)),
    "spectral": Foreign(lambda: cnn(wrap=parametrizations.spectral_norm)),
    "weight_norm": Foreign(lambda: cnn(wrap=parametrizations.weight_norm)),
    "old_spectral": Foreign(lambda: cnn(wrap=old.spectral_norm), "old-style|spectral_norm"),
    "old_weight_norm": Foreign(lambda: cnn(wrap=old.weight_norm), "old-style|weight_norm"),
    "pruned": Foreign(pruned, "prun"),
    "lazy": Foreign(lazy, "lazy|uninitialized"),
    "parallel": Foreign(lambda: nn.DataParallel(cnn())),
    "space_transformer": Foreign(transformer_of_space, f"grid_sampl|{TWICE}"),
    "dropout": Foreign(lambda: cnn(more=[nn.Dropout(0.5)])),
    "reflect": Foreign(lambda: cnn(pad="reflect")),
    "traced": Foreign(traced, UNSEEN, cnn),
    "compiled": Foreign(lambda: torch.compile(cnn(), backend="aot_eager"), UNSEEN, cnn),
    "exported": Foreign(exported, UNSEEN, lambda: Named(cnn())),
    "resnet18": Foreign(lambda: settled(tv.resnet18(num_classes=10)), large=True),
    "densenet": Foreign(lambda: settled(tv.DenseNet(**DENSE))),
    "squeezenet": Foreign(lambda: tv.squeezenet1_1(num_classes=10), large=True),
    "shufflenet": Foreign(lambda: settled(tv.shufflenet_v2_x0_5(num_classes=10)), large=True),
    "googlenet": Foreign(lambda: settled(tv.googlenet(**GOOGLE)), f"aux|{HEADS}", large=True),
    "resnet10t": Foreign(PARTIAL(timm, "resnet10t"), extras=True),
    "convnext_atto": Foreign(PARTIAL(timm, "convnext_atto", depths=(1, 1, 2, 1)), extras=True),
    "swin": Foreign(
        PARTIAL(timm, "swin_tiny_patch4_window7_224", **SWIN), "hint|attention", None, True
    ),
    "regnety_002": Foreign(PARTIAL(timm, "regnety_002"), extras=True),
    "mobilenetv3": Foreign(PARTIAL(timm, "mobilenetv3_small_050"), "ardsigmoid", None, True),
    "ghostnet": Foreign(PARTIAL(timm, "ghostnet_050"), "ardsigmoid", None, True),
    "vit_tiny": Foreign(PARTIAL(timm, "vit_tiny_patch16_224", **VIT), "hint|attention", None, True),
    "deit": Foreign(PARTIAL(timm, "deit_tiny_patch16_224", **VIT), "hint|attention", None, True),
    "mixer": Foreign(mixer, "hint", None, True),
    "efficientnet_lite0": Foreign(PARTIAL(timm, "efficientnet_lite0"), extras=True),
    "evonorm": Foreign(evonorm, MIXED, extras=True, near=1e-5),  # single precision inside
    "face_vit": Foreign(PARTIAL(face, "vit"), f"hint|attention|{HEADS}", None, True),
    "face_resnet": Foreign(PARTIAL(face, "resnet"), HEADS, None, True),
    # twelve more
    "drop_path": Foreign(drop_path),
    "lstm": Foreign(rows, "middle layer|hint"),
    "checkpointed": Foreign(checkpointed, f"checkpoint|reentrant|{TWICE}"),
    "once": Foreign(lambda: cnn(act=Cube), f"once_diff|{TWICE}"),
    "stateless_norm": Foreign(
        lambda: cnn(PARTIAL(nn.BatchNorm2d, track_running_stats=False)), MIXED
    ),
    "always_dropout": Foreign(
        lambda: Whole(lambda p, x: p["n"](F.dropout(x, 0.3)), n=cnn()), "twice|random|dropout|draw"
    ),
    "in_place": Foreign(in_place, "in place|in-place|changes its images|inplace"),
    "partly_frozen": Foreign(partly_frozen),
    "tied": Foreign(tied),
    "mobilevit": Foreign(PARTIAL(timm, "mobilevit_xxs"), "attention", None, True),
    "xcit": Foreign(
        PARTIAL(timm, "xcit_nano_12_p16_224", img_size=32, depth=3, embed_dim=32),
        "hint|attention",
        None,
        True,
    ),
    "lcnet": Foreign(PARTIAL(timm, "lcnet_050"), "ardsigmoid", None, True),
}
