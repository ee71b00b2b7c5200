"""An attack written apart from the library, which it does not import: its own scores, gradients,
balls and random starts, all in float64. It looks for perturbations that let the teacher overtake.

By its own account of rounding it counts a flip only where the student is behind by more than that.
"""

import copy
import math

import torch
import torch.nn.functional as F
from torch import nn

FACTORS = (1 - 1e-6, 1.03, 1.5, 3.0)  # radii of the balls that are searched, in certified ones


def at_rest(net):
    """A float64 copy in evaluation mode; its softplus is the exact function to the last digit."""
    net = copy.deepcopy(net).double().eval()
    for m in net.modules():
        if isinstance(m, nn.Softplus):
            m.threshold = 40.0
        m.inplace = False
    return net


def ahead(a, y):
    """The true class's logit less the logsumexp of the others, (n,); the order of two networks by
    it is their order by softmax, too.
    """
    own = a.gather(1, y[:, None])[:, 0]
    return own - a.scatter(1, y[:, None], -math.inf).logsumexp(1)


def lead(S, T, z, y, tau=1.0):
    """By how much the student leads at images z, in logits of softmax(a / tau), (n,)."""
    return ahead(S(z) / tau, y) - ahead(T(z) / tau, y)


def size(m, t):
    """The most that the numbers inside a layer can add up to where its inputs are below t >= 0."""
    if isinstance(m, nn.Sequential):
        for layer in m:
            t = size(layer, t)
        return t
    if hasattr(m, "pieces"):
        return size(m.layer, t).unflatten(1, (m.pieces, -1)).amax(1)
    if isinstance(m, nn.Linear):
        return F.linear(t, m.weight.abs(), m.bias.abs())
    if isinstance(m, nn.Conv2d):
        return F.conv2d(t, m.weight.abs(), m.bias.abs(), m.stride, m.padding)
    if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)):
        scale = (m.weight / (m.running_var + m.eps).sqrt()).abs()
        shape = (1, -1, *[1] * (t.dim() - 2))
        return (t + m.running_mean.abs().view(shape)) * scale.view(shape) + m.bias.abs().view(shape)
    if isinstance(m, nn.LeakyReLU):
        return t * max(1, abs(m.negative_slope))
    return m(t).abs() + isinstance(m, nn.Softplus)


def rounding(S, T, x, R, tau):
    """A bound (n,) of the rounding error of `lead` at images within R (n,) of x."""
    t = x.abs() + R.view(-1, *[1] * (x.dim() - 1))
    return 1e-12 * (1 + (size(S, t).amax(1) + size(T, t).amax(1)) / tau)


def length(d, q):
    """The q-norm of each image's perturbation, (n,)."""
    return torch.linalg.vector_norm(d.flatten(1), q, dim=1)


def into_ball(d, R, q):
    """The nearest perturbation of q-norm at most R (n,): for q=2 and inf by scaling and clipping,
    for q=1 by taking one number off all sizes (Duchi et al. 2008).
    """
    flat, R = d.flatten(1), R[:, None]
    if q == math.inf:
        flat = torch.minimum(torch.maximum(flat, -R), R)
    elif q == 2:
        flat = flat * (R / flat.norm(dim=1, keepdim=True).clamp_min(1e-300)).clamp_max(1)
    else:
        sizes = flat.abs().sort(1, descending=True).values
        steps = torch.arange(1, flat.shape[1] + 1, dtype=flat.dtype)
        off = ((sizes.cumsum(1) - R) / steps).amax(1, keepdim=True).clamp_min(0)
        flat = flat.sign() * (flat.abs() - off).clamp_min(0)
    return flat.view_as(d)


def downhill(g, q, free):
    """The direction of q-norm 1 in which a function of gradient g falls fastest, among the pixels
    that are `free`; a random one where it is flat.
    """
    g = (g * free).flatten(1)
    flat = g.abs().amax(1, keepdim=True) == 0
    g = torch.where(flat, torch.randn_like(g), g)
    g = g / g.abs().amax(1, keepdim=True)
    if q == 1:
        return -g.sign() * F.one_hot(g.abs().argmax(1), g.shape[1])
    return -g.sign() if q == math.inf else -g / g.norm(dim=1, keepdim=True)


def beginnings(x, R, q, starts):
    """(starts, n, ...) perturbations to begin from: none, then random ones on the rim and inside,
    dense, of signs, or of one pixel.
    """
    d = torch.randn(starts, *x.shape, dtype=x.dtype).flatten(2)
    kind = torch.arange(starts) % 4
    d[kind == 0] = 0
    d[kind == 2] = d[kind == 2].sign()
    d[kind == 3] *= d[kind == 3].abs() == d[kind == 3].abs().amax(2, keepdim=True)
    d = d / torch.linalg.vector_norm(d, q, dim=2, keepdim=True).clamp_min(1e-300)
    share = torch.where(torch.rand(d.shape[:2]) < 0.5, 1.0, torch.rand(d.shape[:2]))
    return (d * (R * share)[..., None]).view(starts, *x.shape)


def shortest_flip(S, T, x, y, r, q, tau=1.0, box=False, starts=4, steps=16):
    """The shortest perturbation (n,), in the q-norm, at which the teacher was seen in front, inf if
    nowhere: descents in balls of `FACTORS` times r (n,) > 0, in [0, 1] with a `box`.

    S and T are from `at_rest`, x in float64; an infinite radius is searched up to 1e4 times x.
    """
    x, y, r, tau = x.detach(), y, r.clamp_max(1e4 * (1 + x.abs().max())), float(tau)
    R = (r[None] * torch.tensor(FACTORS, dtype=x.dtype)[:, None]).flatten()
    X = x.repeat(len(FACTORS), *[1] * (x.dim() - 1))
    d = beginnings(X, R, q, starts).flatten(0, 1)
    noise = rounding(S, T, X, R, tau).repeat(starts)
    X, R, many = X.repeat(starts, *[1] * (x.dim() - 1)), R.repeat(starts), starts * len(FACTORS)
    labels, best = y.repeat(many), torch.full_like(R, math.inf)
    for k in range(steps + 1):
        z = X + into_ball(d, R, q)
        z = (z.clamp(0, 1) if box else z).requires_grad_()
        u = lead(S, T, z, labels, tau)
        d = z.detach() - X
        best = torch.where(u.detach() < -noise, torch.minimum(best, length(d, q)), best)
        if k < steps:
            (g,) = torch.autograd.grad(u.sum(), z)
            g = g.nan_to_num(0.0, 0.0, 0.0)
            free = ~(((z <= 0) & (g > 0)) | ((z >= 1) & (g < 0))) if box else 1.0
            pace = R * 2 * 0.8**k
            d = d + (pace[:, None] * downhill(g, q, free)).view_as(d)
    return best.view(many, -1).amin(0)


@torch.no_grad()
def fewest_wins(S, T, x, y, r, sigma, draws=1000):
    """The least share (n,) of N(z, sigma^2) in which the student leads, of centres z at distance
    0.999 r (n,) from x: one towards where it loses around x, and random ones.
    """
    n, shape = len(x), x.shape[1:]
    noise = torch.randn(draws, *shape, dtype=x.dtype)

    def wins(centre):
        z = (centre[:, None] + sigma * noise).flatten(0, 1)
        return (lead(S, T, z, y.repeat_interleave(draws)) > 0).view(n, draws)

    lost = (~wins(x)).double() @ noise.flatten(1)
    least = torch.ones(n, dtype=x.dtype)
    for way in (lost, *torch.randn(3, *lost.shape, dtype=x.dtype)):
        way = way / way.norm(dim=1, keepdim=True).clamp_min(1e-300)
        centre = x + (0.999 * r[:, None] * way).view_as(x)
        least = torch.minimum(least, wins(centre).double().mean(1))
    return least
