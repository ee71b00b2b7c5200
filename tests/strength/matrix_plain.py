"""One step of five methods by plain autograd, from the papers' text: torch alone, nothing of the
library. `matrix.py` compares the library with it.

Images x are (n, c, h, w) in [0, 1], labels y (n,). S and T are the student and the teacher; `r` has
the letters of the papers, and the run draws as every run does: the order of the images from the
generator seeded with 0, the hint stage from 77, then each method in the order of its equations.
"""

import contextlib
import copy

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel


def head(out):
    """The logits of what a network answers: a tensor, its main head, or the first of several."""
    if isinstance(out, torch.Tensor):
        return out
    if hasattr(out, "logits"):
        return out.logits
    if isinstance(out, dict):
        return out.get("logits", next(iter(out.values())))
    return out[0]


def ask(net, x):
    """Logits; a network may change a copy of its images."""
    return head(net(x.clone()))


def train_mode(S, still, frozen_norm):
    """Training mode, but for the layers `still` and, if frozen, batch norms."""
    S.train()
    for m in S.modules():
        norm = isinstance(m, nn.modules.batchnorm._BatchNorm)
        if m in still or (frozen_norm and norm):
            m.training = False


def slope(net, x, y, tau, create_graph=False):
    """(a, gradient at x of softmax(a / tau)_y), each image by its own score."""
    x = x.detach().clone().requires_grad_()
    a = ask(net, x)
    f = F.softmax(a / tau, 1)[torch.arange(len(y)), y]
    (g,) = torch.autograd.grad(f.sum(), x, create_graph=create_graph)
    return a, g


def soft(a_S, a_T, tau):
    """H(tau(o_S), tau(o_T)), Eq. 3's second half."""
    return -(F.softmax(a_T / tau, 1) * F.log_softmax(a_S / tau, 1)).sum(1).mean()


def kd(S, T, x, y, r):
    """Eq. 3."""
    with torch.no_grad():
        a_T = ask(T, x)
    a_S = ask(S, x)
    return {"ce": (1.0, F.cross_entropy(a_S, y)), "kd": (r.lam, soft(a_S, a_T, r.tau))}


def robust(S, T, x, y, r):
    """Eq. 17."""
    a_T, g_T = slope(T, x, y, r.tau)
    a_T = a_T.detach()
    a_S, g_S = slope(S, x, y, r.tau, create_graph=True)
    f_S, f_T = (F.softmax(a, 1)[torch.arange(len(y)), y] for a in (a_S, a_T))
    return {
        "ce": (1.0, F.cross_entropy(a_S, y)),
        "kd": (r.lam, soft(a_S, a_T, r.tau)),
        "gradient": (r.C1, ((g_S - g_T) ** 2).sum((1, 2, 3)).mean()),
        "score": (r.C2, (r.gamma + f_T - f_S).clamp(min=0).mean()),
    }


def ard(S, T, x, y, r):
    """alpha t^2 KL(T^t(x) || S^t(x')) + (1 - alpha) CE(S(x)); x' by signed steps up CE."""
    with torch.no_grad():
        a_T = ask(T, x)
    start = torch.rand(x.shape, dtype=x.dtype)
    z = x + r.epsilon * (2 * start - 1)
    for _ in range(r.attack_steps):
        z = z.detach().requires_grad_()
        (g,) = torch.autograd.grad(F.cross_entropy(ask(S, z), y, reduction="sum"), z)
        z = z.detach() + r.step * r.epsilon * g.sign()
        z = (x + (z - x).clamp(-r.epsilon, r.epsilon)).clamp(0, 1)
    o = F.softmax(a_T / r.tau, 1)
    parts = o * (F.log_softmax(a_T / r.tau, 1) - F.log_softmax(ask(S, z.detach()) / r.tau, 1))
    clean = F.cross_entropy(ask(S, x), y)
    return {"kl_adv": (r.alpha * r.tau**2, parts.sum(1).mean()), "ce": (1 - r.alpha, clean)}


def walk(T, x, b, k, steps=10, eps=1e-4):
    """(where, logits) of one image's walk from class b over its boundary to k by Newton's steps, or
    None where a third class or the last step comes first.
    """
    z = x.detach().clone()
    for i in range(steps + 1):
        z.requires_grad_()
        a = ask(T, z[None])[0]
        L = a[b] - a[k]
        others = [a[j] for j in range(len(a)) if j not in (b, k)]
        if max(others) > max(a[b], a[k]) or (i == 0 and L <= 0):
            return None
        if L < 0:
            return z.detach(), a.detach()
        (g,) = torch.autograd.grad(L, z)
        if i < steps:
            z = (z - (L + eps) * g / (g**2).sum()).detach()
    return None


def lone(S, x):
    """Can the student be trained on one image? Not where a batch norm sees one number of it."""
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            ask(copy.deepcopy(S), x[None])
    except ValueError:
        return False
    except RuntimeError:  # old-style weight_norm cannot be copied in a step, and is no batch norm
        return True
    return True


def bss(S, T, x, y, r):
    """CE + 4 KD + 2 L_BS, the weights of a first epoch; no tau^2."""
    with torch.no_grad():
        a_T = ask(T, x)
    a_S = ask(S, x)
    both = [i for i in range(len(y)) if a_T[i].argmax() == y[i] == a_S[i].argmax()]
    apart = (F.softmax(a_T, 1) - F.softmax(a_S.detach(), 1)) ** 2
    apart = [float(apart[i].sum() - apart[i, y[i]]) for i in range(len(y))]
    most = -(-len(y) // 4)
    if len(both) > most:
        both = sorted(both, key=lambda i: -apart[i])[:most]
    found = []
    if both:
        q = a_T[both].clone()
        q[torch.arange(len(both)), y[both]] = -torch.inf
        to = torch.multinomial(F.softmax(q, 1), 1)[:, 0]
        found = [walk(T, x[i], int(y[i]), int(k)) for i, k in zip(both, to)]
        found = [one for one in found if one]
        if 0 < len(found) < 3 and not lone(S, found[0][0]):
            found = []
    made, share = a_S.new_zeros(()), len(found) / len(y)
    if found:
        found = found * 2 if len(found) == 1 else found  # batch norm wants two
        at, a = map(torch.stack, zip(*found))
        made = soft(ask(S, at), a, r.tau)
    terms = {"ce": (1.0, F.cross_entropy(a_S, y)), "kd": (4.0, soft(a_S, a_T, r.tau))}
    return {**terms, "bss": (2.0, made), "bss_share": (0.0, a_S.new_tensor(share))}


METHODS = {"kd": kd, "robust": robust, "fitnet": kd, "bss": bss, "ard": ard}


def layer(net, name):
    """A layer by its name, if the images pass it."""
    return dict(net.named_modules())[name]


def passed(net, x):
    """Names of convolutions and dense layers in the order in which images pass them."""
    seen = []
    kinds = (nn.Conv2d, nn.Linear)
    with contextlib.ExitStack() as stack:
        for name, m in net.named_modules():
            if isinstance(m, kinds):
                note = lambda m, i, o, name=name: seen.append(name)
                stack.callback(m.register_forward_hook(note).remove)
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            net(x.clone())
    return list(dict.fromkeys(seen))


def as_map(m, out):
    """Tokens and images with channels last, of a dense layer, as maps (n, d, h, w)."""
    if not isinstance(m, nn.Linear) or out.dim() < 3:
        return out
    if out.dim() == 4:
        return out.permute(0, 3, 1, 2)
    side = int(out.shape[1] ** 0.5)
    if out.shape[1] - side * side > 1:
        return out
    return out[:, -side * side :].reshape(len(out), side, side, -1).permute(0, 3, 1, 2)


def hint(S, T, x, y, r, names, still):
    """FitNets' first stage: one step of AdamW on half the squared distance of features. Returns
    which weights' slopes are more than rounding: AdamW's first step divides a slope by its size.
    """
    held = {}
    hooks = [
        layer(net, name).register_forward_hook(lambda m, i, o, k=k: held.update({k: as_map(m, o)}))
        for k, net, name in zip("ST", (S, T), names)
    ]
    S.eval()
    torch.manual_seed(77)
    with torch.no_grad():
        S(x[:2].clone())
        T(x[:2].clone())
    a, b = held["S"], held["T"]
    if a.dim() == b.dim() == 4:
        spare = [p - q for p, q in zip(a.shape[2:], b.shape[2:])]
        grow = nn.Conv2d(a.shape[1], 2 * b.shape[1], [max(s + 1, 1) for s in spare])
        fit = (lambda z: F.adaptive_avg_pool2d(z, b.shape[2:])) if min(spare) < 0 else lambda z: z
        regress = lambda z: fit(torch.maximum(*grow(z).chunk(2, 1)))
    else:
        grow = nn.Linear(a[0].numel(), 2 * b[0].numel())
        regress = lambda z: torch.maximum(*grow(z.flatten(1)).chunk(2, 1)).view(
            len(z), *b.shape[1:]
        )
    nn.Linear(b[0].numel(), 10)  # a classifier is drawn too, and not used here
    train_mode(S, still, r.frozen_norm)
    order = torch.randperm(len(x))
    weights = [*grow.parameters(), *S.parameters()]
    step = torch.optim.AdamW(weights, r.lr, weight_decay=0.0)
    with torch.no_grad():
        T(x[order].clone())
    S(x[order].clone())
    half = ((regress(held["S"]) - held["T"]) ** 2).flatten(1).sum(1).mean() / 2
    half.backward()
    step.step()
    reached = [float(p.grad.abs().max()) for p in S.parameters() if p.grad is not None]
    if not reached:
        raise ValueError("the hint reaches no weight of the student")
    most = max(reached)
    firm = [p.grad is None or p.grad.abs() > 1e-10 * most for p in S.parameters()]
    for hook in hooks:
        hook.remove()
    for p in S.parameters():
        p.grad = None
    return firm


def step(method, S, T, x, y, r, names=None):
    """One epoch of one step, in place: the terms of the loss, numbers by their names, and which
    weights can be compared.
    """
    firm = [True for _ in S.parameters()]
    still = [m for m in S.modules() if not m.training]
    with sdpa_kernel(SDPBackend.MATH):
        if method == "fitnet":
            firm = hint(S, T, x, y, r, names, still)
        train_mode(S, still, r.frozen_norm)
        torch.manual_seed(0)
        order = torch.randperm(len(x))
        terms = METHODS[method](S, T, x[order], y[order], r)
        loss = sum(weight * value for weight, value in terms.values() if weight)
        learned = [p for p in S.parameters() if p.requires_grad]
        slopes = torch.autograd.grad(loss, learned, allow_unused=True)
    with torch.no_grad():
        for p, g in zip(learned, slopes):
            if g is not None:
                p -= r.lr * g
    return {name: value.item() for name, (_, value) in terms.items()}, firm


def mixes(make, x, frozen_norm, training):
    """Does the answer to the first image depend on its companions? `make` gives equal networks."""
    answers = []
    for images in (x, torch.cat([x[:1], x[1:].flip(0, -1) / 2])):
        net = make()
        train_mode(net, [], frozen_norm) if training else net.eval()
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(1)
            answers.append(ask(net, images)[0])
    a, b = answers
    return bool((a - b).norm() > 1e-6 * a.norm())


def wavers(T, x):
    """Does a network at rest answer twice differently?"""
    with torch.no_grad():
        return not torch.equal(ask(T, x), ask(T, x))
