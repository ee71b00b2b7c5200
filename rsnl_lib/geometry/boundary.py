"""Do student and teacher share a boundary? Boundary supporting samples, MagSim and AngSim (arXiv
1805.05532).

From an image of class b one walks against the gradient of L_k = f_b - f_k, of logits, until class k
has overtaken. Images are (n, c, h, w) in the space that the network sees, logits a (n, classes),
classes (n,). The network must be in evaluation mode; neither weights nor their .grad are touched.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..checks import images, network, one_of, positive, room, scores, some, true_class, whole
from .ball import like, norm
from .gradient import slope
from .steady import main_head, steady

# the paper's; ETA is of CIFAR pixels over 0.2, so 0.06 of pixels in [0, 1]
ETA = 0.3
EPS = 1e-4
STEPS = 10
RULES = ("paper", "code")


class Samples(NamedTuple):
    """What `search` finds for each of n images."""

    x: Tensor  # (n, c, h, w) where the walk ended
    accepted: Tensor  # (n,) bool: the rule keeps this sample
    steps: Tensor  # (n,) steps taken, 0 to `steps`
    before: Tensor  # (n,) f_b - f_k at the image
    after: Tensor  # (n,) f_b - f_k where the walk ended: below zero beyond the boundary
    logits: Tensor  # (n, classes) there
    path: Tensor | None  # (steps + 1, n, c, h, w) every point, the image first, the last repeated


def gap(a: Tensor, base: Tensor, target: Tensor) -> Tensor:
    """L_k = f_b - f_k, (n,): class `base` less class `target`; zero on their boundary."""
    for name, k in (("base", base), ("target", target)):
        try:
            true_class(a, k)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    if (base == target).any():
        i = int((base == target).nonzero()[0])
        raise ValueError(f"target={int(target[i])} of image {i} is its base class; name another")
    return (a.gather(1, base[:, None]) - a.gather(1, target[:, None]))[:, 0]


def top_two(a: Tensor) -> Tensor:
    """The largest logit minus the second largest, (n,): the decision's distance in logits."""
    return -scores("network", a).topk(2).values.diff(dim=1)[:, 0]


def _startable(net, x):
    """The images x, of which there are some, if `net` answers the same every time."""
    if any(m.training for m in net.modules()):
        raise ValueError(f"the {type(net).__name__} is in training mode; call net.eval()")
    network("network", net)
    return some(images(x), "start from").detach()


def search(
    net: nn.Module,
    x: Tensor,
    base: Tensor,
    target: Tensor,
    eta: float | None = ETA,
    eps: float = EPS,
    steps: int = STEPS,
    rule: str = "paper",
    low: float | None = None,
    high: float | None = None,
    path: bool = False,
    halvings: int = 0,
) -> Samples:
    """Walk from images x of class `base` across the boundary to class `target` (arXiv 1805.05532,
    Sec. 3) by -eta (L_k + eps) grad L_k / ||grad L_k||_2, pixels clipped to low and high.

    eta is in pixels per logit; None (ours) is 1 / ||grad L_k||, Newton's step. To first order,
    where eta ||grad L_k|| < 1 steps shrink and eps carries the walk across, to -after <= eta eps
    ||grad L_k||; above 1 the first step lands (eta ||grad L_k|| - 1) L_k beyond. `halvings` (ours)
    of the last step bring an accepted sample, but not its path, back to just beyond the boundary;
    where a third class leads there, it is rejected. rule "paper": the walk ends once L_k < 0
    (accepted), a third class beats both (rejected), or after `steps` (rejected, as is a start with
    L_k <= 0); of the accepted, top_two(logits) <= -after. rule "code", the authors': it ends once
    `base` is not the largest logit, and every sample is kept.
    """
    whole("steps", steps, 1)
    whole("halvings", halvings)
    one_of("rule", rule, RULES)
    positive("eps", eps, zero=True)
    if eta is not None:
        positive("eta", eta)
    room(low, high)
    x = _startable(net, x)
    bounds = (-math.inf if low is None else low, math.inf if high is None else high)
    precise = torch.autocast(x.device.type, enabled=False)  # under bfloat16 eps would be lost
    with torch.enable_grad(), precise:
        s, inside = _follow(net, x, base, target, eta, eps, steps, rule, bounds, path)
    over = (s.accepted & (s.before > 0) & (s.after < 0)).nonzero()[:, 0]
    if halvings and len(over):
        b, k, near, far = base[over], target[over], inside[over], s.x[over]
        with torch.no_grad(), precise:
            for _ in range(halvings):
                middle = (near + far) / 2
                beyond = like(gap(main_head(net(middle)), b, k) < 0, middle)
                near = torch.where(beyond, near, middle)
                far = torch.where(beyond, middle, far)
            a = main_head(net(far))
        s.x[over], s.logits[over], s.after[over] = far, a, gap(a, b, k)
        s.accepted[over] &= (a.argmax(1) == k) | (rule == "code")
    return s


def _follow(net, x, b, k, eta, eps, steps, rule, bounds, path):
    """(Samples, the points before the last)."""
    z, inside, walked = x.clone(), x.clone(), [x]
    now = torch.arange(len(x), device=x.device)  # numbers of those still walking
    taken = torch.zeros_like(now)
    accepted = torch.full((len(x),), rule == "code", device=x.device)
    for i in range(steps + 1):
        at = z[now].requires_grad_()
        a = main_head(net(at))
        L = gap(a, b, k)
        if i == 0:
            scores("network", a)
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
        g = slope(L[on].sum(), at)
        now, b, k, g, L = (t[on] for t in (now, b, k, g, L.detach()))
        length = norm(g)
        inverse = torch.where(length > 0, 1 / length, 0)  # no slope, no step
        inside[now] = z[now]
        move = like((inverse if eta is None else eta) * (L + eps) * inverse, g) * g
        z[now] = (z[now] - move).clamp(*bounds)
        taken[now] += 1
        if path:
            walked.append(z.clone())
    walked += walked[-1:] * (steps + 1 - len(walked))
    path = torch.stack(walked) if path else None
    return Samples(z, accepted, taken, before, after, logits, path), inside


def mag_ang(u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """(MagSim, AngSim) of each pair of vectors (n, d), in float64, NaN where a length is zero: the
    ratio of their lengths in [0, 1]; <u, v> / (||u|| ||v||) in [-1, 1], exactly 1 for u = v.
    """
    if u.dim() != 2 or u.shape != v.shape:
        raise ValueError(f"vectors {tuple(u.shape)} and {tuple(v.shape)} must both be (n, d)")
    zero = (u == 0).all(1) | (v == 0).all(1)
    long_u, long_v = (norm(w.double()).masked_fill(zero, math.nan) for w in (u, v))
    apart = u / long_u[:, None] - v / long_v[:, None]
    mag = torch.minimum(long_u, long_v) / torch.maximum(long_u, long_v)
    return mag, (1 - apart.square().sum(1) / 2).clamp_min(-1)


def vectors(
    net: nn.Module, x: Tensor, y: Tensor, chunk: int = 500, **how
) -> tuple[Tensor, Tensor, Tensor]:
    """From images x of classes y to every other class: sample minus image (n, classes, d), and, (n,
    classes) bool, the pairs asked for (the network is right, the class not y) and those accepted by
    `search`, which `how` goes to.
    """
    with torch.no_grad():
        parts = _startable(net, x).split(whole("chunk", chunk, 1))
        steady("network", net, x)
        a = torch.cat([main_head(net(part)) for part in parts])
    right = scores("network", a).argmax(1) == true_class(a, y)
    asked = right[:, None] & (torch.arange(a.shape[1], device=a.device) != y[:, None])
    v, accepted = x.new_zeros(*a.shape, x[0].numel()), torch.zeros_like(asked)
    for i, k in (pairs.T for pairs in asked.nonzero().split(chunk) if len(pairs)):
        s = search(net, x[i], y[i], k, **how)
        v[i, k], accepted[i, k] = (s.x - x[i]).flatten(1), s.accepted
    return v, asked, accepted


def similarity(T: tuple, S: tuple) -> dict:
    """MagSim and AngSim (arXiv 1805.05532) of two networks from their `vectors` on the same images.

    `mag` and `ang` are means (NaN without a pair) over the `n` pairs (image, other class) accepted
    for both; `undefined` more had a vector of length zero. `pairs` were asked for, on `images` that
    both classify correctly; `rate` of them accepted for both, `rate_T` and `rate_S` for each. With
    one eta for both networks, MagSim depends on the logits' scale as well.
    """
    (u, asked_T, accepted_T), (v, asked_S, accepted_S) = T, S
    if u.shape != v.shape:
        raise ValueError(f"vectors {tuple(u.shape)} and {tuple(v.shape)} must be of equal shape")
    asked, accepted = asked_T & asked_S, accepted_T & accepted_S
    both = asked & accepted
    mag, ang = mag_ang(u[both], v[both])
    kept = ~mag.isnan()
    return {
        "mag": mag[kept].mean().item(),
        "ang": ang[kept].mean().item(),
        "n": int(kept.sum()),
        "undefined": int((~kept).sum()),
        "pairs": int(asked.sum()),
        "images": int(asked.any(1).sum()),
        "rate": accepted[asked].double().mean().item(),
        "rate_T": accepted_T[asked].double().mean().item(),
        "rate_S": accepted_S[asked].double().mean().item(),
    }
