"""What users of other projects stumbled over, tried here: `python tests/strength/field_cases.py`.

Each case names its source, project and issue, and returns True where the library is right, else
what it does. A refusal in words (ValueError) is right where the case says so. Ends
with 1 if one fails.
"""

import sys

import torch
from torch import nn

from rsnl_lib import data, measure, theorem, train
from rsnl_lib.geometry import boundary
from rsnl_lib.measure import toolbox
from rsnl_lib.theorem import bound, search
from rsnl_lib.train import attacks
from rsnl_lib.train.methods import adversarial

R = train.Recipe("t", 1, lr=1e-3, lr_conv=1e-3, batch=16, tau=2.0, frozen_norm=True)


def few(n=32):
    """Smooth images of ten classes."""
    g = torch.Generator().manual_seed(0)
    y = torch.arange(n) % 10
    x = torch.rand(10, 3, 4, 4, generator=g)[y] + 0.3 * torch.rand(n, 3, 4, 4, generator=g)
    return data.Data("few", 10, *(nn.functional.interpolate(x, size=16) / 1.3, y) * 3)


def cnn(seed=0, norm=lambda c: nn.Identity(), act=nn.ReLU):
    torch.manual_seed(seed)
    body = [nn.Conv2d(3, 8, 3, 2, 1), norm(8), act(), nn.Conv2d(8, 12, 3, 2, 1), act()]
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(48, 10))


D = few()
T = train.fit(cnn(9), D, "teacher", R._replace(epochs=30, lr=5e-3, lr_conv=5e-3)).best.eval()
T.zero_grad()


class After(nn.Module):
    """A network and a function of what it answers."""

    def __init__(self, net, way):
        super().__init__()
        self.net = net
        self.way = way

    def forward(self, x):
        return self.way(self.net(x))


def refused(action, *words):
    """True if the action is refused in these words, else what came instead."""
    try:
        action()
    except ValueError as error:
        return any(w in str(error) for w in words) or f"refused in other words: {error}"
    except Exception as error:  # noqa: BLE001
        return f"{type(error).__name__}: {str(error)[:120]}"
    return "taken without a word"


def flat_gradient():
    """BorealisAI/advertorch#63, cleverhans#350: logits 10,000 times those of leads about 10 answer
    the same classes, but cross-entropy is flat in float32, and attacks find nothing.
    """
    x, y = D.x_test[:10], D.y_test[:10]
    kept = [
        float(toolbox.survives(net.eval(), x, y, 0.15, steps=8, restarts=1).double().mean())
        for net in (After(T, lambda a: a * 10), After(T, lambda a: a * 1e5))
    ]
    return (
        kept[0] == kept[1] or f"{kept[0]:.0%} survive, of the same classes times 1e4 {kept[1]:.0%}"
    )


@torch.no_grad()
def batch_of_one():
    """yaodongyu/TRADES#3: the answer to an image depends on what else is in its batch."""
    net = cnn(0, lambda c: nn.BatchNorm2d(c, track_running_stats=False)).eval()
    net[-1].bias.sub_(net(D.x_test).mean(0))
    x, y = D.x_test, net(D.x_test).argmax(1)
    try:
        a, b = (train.accuracy(net, x, y, chunk) for chunk in (32, 2))
    except ValueError:
        return True
    return a == b or f"accuracy {a:.0%} in batches of 32, {b:.0%} of 2"


def one_layer_awake():
    """bethgelab/foolbox#74: attacks on a network in training mode; here one dropout of it is. Asked
    in evaluation mode, and left as it was; or refused.
    """
    x, y = D.x_test[:4], D.y_test[:4]
    clean = [("clean", 0, "")]
    uses = {
        "survives": lambda net: toolbox.survives(net, x, y, 0.1, steps=2, restarts=1),
        "sweep": lambda net: measure.evaluate.sweep({"a": net}, x, y, clean),
        "accuracy": lambda net: train.accuracy(net, x, y),
        "search": lambda net: boundary.search(net, x, y, (y + 1) % 10),
        "teacher_constants": lambda net: train.teacher_constants(net, x, y, 2.0, ""),
    }
    odd = []
    for name, use in uses.items():
        net = nn.Sequential(T, nn.Dropout(0.5)).eval()
        net[1].train()
        refusal = refused(lambda: use(net), "training")
        if refusal is not True and name in ("search", "teacher_constants"):
            odd.append(f"{name}: {refusal}")
        elif not net[1].training:
            odd.append(f"{name} leaves the layer in another mode")
    return not odd or "; ".join(odd)


def cold_kl():
    """MakazhanAlpamys/Soup#719: KL with both sides learning gives NaN gradients at a low
    temperature, though the loss is finite.
    """
    for t in (1.0, 0.05, 0.01):
        a = [(s * torch.randn(8, 10)).requires_grad_() for s in (50.0, 50.0)]
        adversarial.kl(*a, t).backward()
        if not all(v.grad.isfinite().all() for v in a):
            return f"NaN or infinite at t={t}"
    return True


def modes_after():
    """Harry24k/adversarial-attacks-pytorch#21: after an attack the model is in another mode."""
    net = cnn(0, nn.BatchNorm2d).train()
    net[1].eval()
    before = [m.training for m in net.modules()]
    attacks.pgd(net, D.x_test[:4], attacks.cross_entropy(D.y_test[:4]), 0.1, 0.05, 2, mode="eval")
    first = before == [m.training for m in net.modules()]
    train.accuracy(net, D.x_test, D.y_test)
    return (first and before == [m.training for m in net.modules()]) or "other modes"


def teacher_untouched():
    """lightly-ai/lightly-train#434, torchdistill#333: what the teacher's parameters ask for, and
    their gradients, are after training as they were before.
    """
    T.zero_grad()  # the toolbox's attacks leave some
    for p, wanted in zip(T.parameters(), (True, False) * 9):
        p.requires_grad_(wanted)
    before = [p.requires_grad for p in T.parameters()]
    for method in ("kd", "robust", "bss", "adaad", "fitnet"):
        train.fit(cnn(), D, method, R._replace(attack_steps=1), teacher=T)
        if before != [p.requires_grad for p in T.parameters()]:
            return f"{method}: other parameters ask for gradients"
        if any(p.grad is not None for p in T.parameters()):
            return f"{method}: the teacher has gradients"
    return True


def frozen_scale():
    """idstcv/SoftTriple#4: a batch norm is frozen, but its scale is trained or decays."""
    net = cnn(0, nn.BatchNorm2d)
    net[1].requires_grad_(False)
    held = [t.clone() for t in net[1].state_dict().values()]
    train.fit(net, D, "robust", R._replace(weight_decay=0.5, lr=0.1), teacher=T)
    return all(map(torch.equal, held, net[1].state_dict().values())) or "scale or statistics moved"


def one_relu_twice():
    """meta-pytorch/captum#1082, openai/CLIP#239: one ReLU object stands in two places."""

    def mlp(seed):
        torch.manual_seed(seed)
        relu = nn.ReLU()
        layers = [nn.Linear(12, 16), relu, nn.Linear(16, 16), relu, nn.Linear(16, 3)]
        return nn.Sequential(nn.Flatten(), *layers).eval()

    return _sound(mlp(1), mlp(2), torch.rand(6, 3, 2, 2))


def other_padding():
    """NeuralNetworkVerification/Marabou#825, alpha-beta-CROWN#103: bounds of another network than
    the one that runs; here convolutions that reflect at the border or have holes.
    """
    for how in (dict(padding_mode="reflect"), dict(dilation=2), dict(groups=3)):

        def net(seed):
            torch.manual_seed(seed)
            conv = nn.Conv2d(3, 6, 3, padding=1, **how)
            n = 6 * (4 if "dilation" in how else 6) ** 2
            return nn.Sequential(conv, nn.ReLU(), nn.Flatten(), nn.Linear(n, 3)).eval()

        try:
            said = _sound(net(1), net(2), torch.rand(4, 3, 6, 6))
        except ValueError:
            continue
        if said is not True:
            return f"{how}: {said}"
    return True


def _sound(A, B, x):
    """Are certified radii below the smallest flip that is found?"""
    y = (A(x).softmax(1) - B(x).softmax(1)).argmax(1)
    r = theorem.sound_radii(A, B, x, y)[1]
    h = bound.head_start(bound.exact(A), bound.exact(B), y)
    flip = search.smallest_flip(h, x.double(), restarts=3, steps=30)[0]
    return bool((r <= flip + 1e-9).all()) or f"{int((r > flip).sum())} radii exceed a flip"


def probabilities():
    """fra31/auto-attack#102: a network ends in softmax; its probabilities are taken for logits."""
    net = After(cnn(), lambda a: a.softmax(1))
    words = ("probabilities", "softmax")
    said = {
        "teacher": refused(lambda: train.fit(cnn(), D, "kd", R, teacher=net.eval()), *words),
        "student": refused(lambda: train.fit(net.train(), D, "kd", R, teacher=T), *words),
    }
    odd = [f"{who}: {what}" for who, what in said.items() if what is not True]
    return not odd or "; ".join(odd)


def doubles():
    """kornia/kornia#3908: float64 images and networks; every layer that the library adds
    must be of their kind.
    """
    double = D._replace(
        **{f"x_{p}": getattr(D, f"x_{p}").double() for p in ("train", "val", "test")}
    )
    odd = []
    for method in ("kd", "robust", "fitnet", "bss", "ard", "fast_ard", "igdm"):
        try:
            train.fit(cnn().double(), double, method, R, teacher=cnn(9).double().eval())
        except Exception as error:  # noqa: BLE001
            odd.append(f"{method}: {type(error).__name__} {str(error)[:60]}")
    return not odd or "; ".join(odd)


def changed_images():
    """pytorch/vision#680: a network normalises its images in place; the user's change."""
    net = After(nn.Identity(), lambda x: cnn()(x.sub_(0.5)))
    net = nn.Sequential(net, nn.Linear(10, 10))
    before = D.x_train.clone()
    try:
        train.fit(net, D, "kd", R, teacher=T)
        said = True
    except ValueError:
        said = True
    except Exception as error:  # noqa: BLE001
        said = f"{type(error).__name__}: {str(error)[:80]}"
    kept = torch.equal(before, D.x_train)
    D.x_train.copy_(before)
    return said if kept else "the user's images were changed"


CASES = [flat_gradient, batch_of_one, one_layer_awake, cold_kl, modes_after, teacher_untouched]
CASES += [frozen_scale, one_relu_twice, other_padding, probabilities]
CASES += [doubles, changed_images]


def main():
    torch.set_num_threads(1)
    failed = 0
    for case in CASES:
        try:
            said = case()
        except Exception as error:  # noqa: BLE001
            said = f"{type(error).__name__}: {str(error)[:150]}"
        failed += said is not True
        source = " ".join(case.__doc__.split(":")[0].split())
        print(f"{case.__name__:22} {'PASS' if said is True else f'FAIL {said}'}  [{source}]")
    return failed


if __name__ == "__main__":
    sys.exit(bool(main()))
