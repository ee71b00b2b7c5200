"""Do student and teacher share a decision boundary? Boundary supporting samples (BSS, arXiv
1805.05532), the loss on them, MagSim and AngSim.

From an image of class b one walks against the gradient of L_k = f_b - f_k, of logits, until class k
has overtaken. Images are (n, c, h, w) in the space that the network sees, logits a (n, classes),
classes (n,). A network is asked, never changed: it must be in evaluation mode, and neither its
weights nor their .grad are touched.
"""

import math
from typing import NamedTuple

import torch
from torch import nn

from .. import checks
from ..checks import one_of, positive, room, whole

# the paper's; ETA is of CIFAR pixels over 0.2, so 0.06 of pixels in [0, 1]
ETA = 0.3
EPS = 1e-4
STEPS = 10
RULES = ("paper", "code")


class Samples(NamedTuple):
    """What `search` finds for each of n images."""

    x: torch.Tensor  # (n, c, h, w) where the walk ended
    accepted: torch.Tensor  # (n,) bool: the rule keeps this sample
    steps: torch.Tensor  # (n,) steps taken, 0 to `steps`
    before: torch.Tensor  # (n,) f_b - f_k at the image
    after: torch.Tensor  # (n,) f_b - f_k where the walk ended: below zero beyond the boundary
    logits: torch.Tensor  # (n, classes) there
    # (steps + 1, n, c, h, w) the image and every point after it, the last one repeated
    path: torch.Tensor | None


def gap(a: torch.Tensor, base: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """L_k = f_b - f_k, (n,): how many logits class `base` leads class `target` by; zero on their
    boundary.
    """
    for name, k in (("base", base), ("target", target)):
        try:
            checks.true_class(a, k)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    same = base == target
    if same.any():
        i = int(same.nonzero()[0])
        raise ValueError(
            f"target={int(target[i])} of image {i} is its base class; a boundary lies between two"
            " different classes"
        )
    return (a.gather(1, base[:, None]) - a.gather(1, target[:, None]))[:, 0]


def top_two(a: torch.Tensor) -> torch.Tensor:
    """The largest logit minus the second largest, (n,): how far, in logits, the decision is from
    its boundary.
    """
    return -a.topk(2).values.diff(dim=1)[:, 0]


def _asked(net, x):
    """The images x if there are any and one can walk from them, and if `net` answers the same every
    time.
    """
    if any(m.training for m in net.modules()):
        raise ValueError(
            f"the {type(net).__name__} is in training mode; call net.eval(), a boundary must hold"
            " still"
        )
    if not len(checks.images(x)):
        raise ValueError("there are no images to start from; x is empty")
    return x.detach()


def search(
    net: nn.Module,
    x: torch.Tensor,
    base: torch.Tensor,
    target: torch.Tensor,
    eta: float | None = ETA,
    eps: float = EPS,
    steps: int = STEPS,
    rule: str = "paper",
    low: float | None = None,
    high: float | None = None,
    path: bool = False,
    halvings: int = 0,
) -> Samples:
    """Walk from images x of class `base` across the boundary to class `target`: Samples (arXiv
    1805.05532, Sec. 3).

    A step is -eta (L_k + eps) grad L_k / ||grad L_k||_2, then pixels are clipped to low and high if
    given; eta is in pixels per logit. The answer is the walk's first point beyond the boundary: of
    the accepted, top_two(logits) <= -after. To first order, where eta ||grad L_k|| < 1 steps shrink
    and eps carries the walk across, to -after <= eta eps ||grad L_k||; above 1 the first step lands
    (eta ||grad L_k|| - 1) L_k beyond. eta=None (ours) is 1 / ||grad L_k||, Newton's step: the
    logits' scale then hardly matters. `halvings` (ours) of the last step bring a sample that was
    accepted back to just beyond the boundary, the path does not show them; where a third class
    leads there, it is rejected after all. rule "paper": the walk ends once L_k < 0 (accepted), a
    third class beats both, whatever L_k (rejected), or after `steps` (rejected, as is a start with
    L_k <= 0). rule "code", the authors': it ends once `base` is not the largest logit, and every
    sample is kept. ValueError: classes equal or out of range, no images, eta <= 0, steps < 1, low
    >= high, a network in training mode.
    """
    whole("steps", steps, 1)
    whole("halvings", halvings)
    one_of("rule", rule, RULES)
    positive("eps", eps, zero=True)
    if eta is not None:
        positive("eta", eta)
    room(low, high)
    x = _asked(net, x)
    walked = [x] * (steps + 1) if path else []
    bounds = (-math.inf if low is None else low, math.inf if high is None else high)
    # under bfloat16 eps would be lost
    with torch.enable_grad(), torch.autocast(x.device.type, enabled=False):
        s, inside = _walk(net, x, base, target, eta, eps, steps, rule, bounds, walked)
    over = (s.accepted & (s.before > 0) & (s.after < 0)).nonzero()[:, 0]
    if halvings and len(over):
        b, k = base[over], target[over]
        s.x[over], s.logits[over] = _halved(net, inside[over], s.x[over], b, k, halvings)
        s.after[over] = gap(s.logits[over], b, k)
        s.accepted[over] &= (s.logits[over].argmax(1) == k) | (rule == "code")
    return s._replace(path=torch.stack(walked) if path else None)


def _walk(net, x, base, target, eta, eps, steps, rule, bounds, walked):
    """(Samples without a path, the points before the last); what `walked` holds, one batch of
    points a step, is renewed from the second on.
    """
    z, inside = x.clone(), x.clone()
    b, k = base, target
    now = torch.arange(len(x), device=x.device)  # numbers of those still walking, from b towards k
    taken = torch.zeros_like(now)
    accepted = torch.full((len(x),), rule == "code", device=x.device)
    for i in range(steps + 1):
        at = z[now].requires_grad_()
        a = net(at)
        L = gap(a, b, k)
        if i == 0:
            logits, before, after = (t.detach().clone() for t in (a, L, L))
        logits[now], after[now] = a.detach(), L.detach()
        if rule == "paper":
            pair = torch.stack([b, k], 1)
            third = a.scatter(1, pair, -math.inf).amax(1) > a.gather(1, pair).amax(1)
            accepted[now] = (before[now] > 0) & (L < 0) & ~third
            on = (L >= 0) & ~third
        else:
            on = a.argmax(1) == b
        if i == steps or not on.any():
            break
        (g,) = torch.autograd.grad(L[on].sum(), at)
        now, b, k = now[on], b[on], k[on]
        inside[now] = z[now]
        z[now] = (z[now] - _move(g[on], L.detach()[on], eta, eps)).clamp(*bounds)
        taken[now] += 1
        walked[i + 1 :] = [z.clone()] * len(walked[i + 1 :])
    return Samples(z, accepted, taken, before, after, logits, None), inside


def _move(g, L, eta, eps):
    """eta (L + eps) g / ||g||_2, with eta=None Newton's step; without a slope g there is none."""
    length = torch.linalg.vector_norm(g.flatten(1), dim=1)
    inverse = torch.where(length > 0, 1 / length, 0)
    return ((inverse if eta is None else eta) * (L + eps) * inverse).view(-1, 1, 1, 1) * g


@torch.no_grad()
def _halved(net, inside, outside, base, target, halvings):
    """(x, logits) just beyond the boundary on the straight line from `inside` to `outside`, which
    lies beyond.
    """
    with torch.autocast(inside.device.type, enabled=False):
        for _ in range(halvings):
            middle = (inside + outside) / 2
            beyond = (gap(net(middle), base, target) < 0).view(-1, 1, 1, 1)
            inside = torch.where(beyond, inside, middle)
            outside = torch.where(beyond, middle, outside)
        return outside, net(outside)


def _lengths(u, v):
    """||u|| and ||v|| of pairs of vectors (n, d), in float64; NaN where one of the two is zero."""
    if u.dim() != 2 or u.shape != v.shape:
        raise ValueError(f"vectors {tuple(u.shape)} and {tuple(v.shape)} must both be (n, d)")
    zero = (u == 0).all(1) | (v == 0).all(1)
    return [torch.linalg.vector_norm(w.double(), dim=1).masked_fill(zero, math.nan) for w in (u, v)]


def mag_sim(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """min(||u||, ||v||) / max(||u||, ||v||) of each pair of vectors (n, d): (n,) in [0, 1]; NaN
    where a length is zero.
    """
    long_u, long_v = _lengths(u, v)
    return torch.minimum(long_u, long_v) / torch.maximum(long_u, long_v)


def ang_sim(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """<u, v> / (||u|| ||v||) of each pair of vectors (n, d), as 1 - ||u/||u|| - v/||v||||^2 / 2:
    (n,) in [-1, 1], exactly 1 for u = v; NaN where a length is zero.
    """
    long_u, long_v = _lengths(u, v)
    return (1 - (u / long_u[:, None] - v / long_v[:, None]).square().sum(1) / 2).clamp_min(-1)


def vectors(
    net: nn.Module, x: torch.Tensor, y: torch.Tensor, chunk: int = 500, **how
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(v, asked, accepted) from images x of classes y to every other class: sample minus image (n,
    classes, d), which pairs were asked for (the network is right, the class is not y) and which of
    them `search` accepted, (n, classes) bool. `how` goes to `search`.
    """
    with torch.no_grad():
        a = torch.cat([net(part) for part in _asked(net, x).split(whole("chunk", chunk, 1))])
    right = a.argmax(1) == checks.true_class(a, y)
    asked = right[:, None] & (torch.arange(a.shape[1], device=a.device) != y[:, None])
    v, accepted = x.new_zeros(*a.shape, x[0].numel()), torch.zeros_like(asked)
    for i, k in (pairs.T for pairs in asked.nonzero().split(chunk) if len(pairs)):
        s = search(net, x[i], y[i], k, **how)
        v[i, k], accepted[i, k] = (s.x - x[i]).flatten(1), s.accepted
    return v, asked, accepted


def alike(T: tuple, S: tuple) -> dict:
    """`similarity` of two networks from what `vectors` says of each for the same images."""
    (u, asked_T, accepted_T), (v, asked_S, accepted_S) = T, S
    if u.shape != v.shape:
        raise ValueError(
            f"vectors {tuple(u.shape)} and {tuple(v.shape)} must be of the same images and classes"
        )
    asked = asked_T & asked_S
    both = asked & accepted_T & accepted_S
    total = int(asked.sum())
    mag, ang = mag_sim(u[both], v[both]), ang_sim(u[both], v[both])
    kept = ~mag.isnan()
    rates = {
        name: int((asked & t).sum()) / total if total else math.nan
        for name, t in (("rate", both), ("rate_T", accepted_T), ("rate_S", accepted_S))
    }
    return {
        "mag": mag[kept].mean().item(),
        "ang": ang[kept].mean().item(),
        "n": int(kept.sum()),
        "undefined": int((~kept).sum()),
        "pairs": total,
        "images": int(asked.any(1).sum()),
        **rates,
    }


def similarity(
    net_T: nn.Module, net_S: nn.Module, x: torch.Tensor, y: torch.Tensor, chunk: int = 500, **how
) -> dict:
    """MagSim and AngSim (arXiv 1805.05532) of two networks on images x of classes y, a dict: the
    means `mag` in [0, 1] and `ang` in [-1, 1] (NaN without a pair) over `n` pairs (image, other
    class) accepted for both; `undefined` more had a vector of length zero. `pairs` were asked for,
    on `images` that both classify correctly; `rate` of them accepted for both, `rate_T` and
    `rate_S` for each.

    With one eta for both, MagSim depends on the scale of the logits as well as on the boundary (see
    `search`). `how` goes to `search`.
    """
    return alike(vectors(net_T, x, y, chunk, **how), vectors(net_S, x, y, chunk, **how))
