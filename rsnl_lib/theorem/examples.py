"""What the theorem says image by image: margins, gradients, radii, and the ladder of bounds."""

import itertools
import math
import time

import torch
from torch import nn

from .. import checks, geometry
from ..checks import one_of
from ..data import perturb
from ..geometry.gradient import score
from ..measure.evaluate import noise_generator
from . import bound, certify, interval, search


def margins(
    net_S: nn.Module,
    net_T: nn.Module | None,
    x: torch.Tensor,
    y: torch.Tensor,
    tau: float = 1.0,
    snr: float = 0.0,
    sound: str = "none",
    seeds: torch.Tensor | None = None,
    restarts: int = 6,
    steps: int = 25,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> list[dict]:
    """Where Theorem 1 stands for each image of x (n, c, h, w), computed in `dtype` (certificates
    always in float64): a list of n dicts, NaN for what does not exist.

    f_S, f_T: scores; lead: u_S - u_T in logits; slope_S, slope_T, gap: ||grad u_S||, ||grad u_T||,
    ||grad u_S - grad u_T||_2; gap_tau: what L_G sees; flip: the smallest L2 perturbation found that
    lets the teacher overtake (0 where it leads), `seeds` being images to start from; estimate:
    integral radius from projected ascent (NOT sound); sound: a certificate by the method named
    (`certify.SOUND`, or "none"); wrong: smallest perturbation found that makes the student err; and
    scores and lead with white noise at `snr` dB. With net_T None only f_S, slope_S, wrong and the
    noisy score.
    """
    one_of("sound", sound, ("none", *certify.SOUND))
    if not len(checks.images(x)):
        raise ValueError("there are no images to measure; x is empty")
    x = x.to(dtype)
    seeds = None if seeds is None else seeds.to(x.device, dtype)
    net_S = bound.exact(net_S, dtype)
    net_T = None if net_T is None else bound.exact(net_T, dtype)
    other = net_S if net_T is None else net_T
    bound.fit_together(net_S, other, x)
    noisy = perturb.gaussian(x, snr, noise_generator(seed, "gaussian", f"{snr}dB", 0))
    generator = torch.Generator().manual_seed(seed)
    attack = dict(seeds=seeds, restarts=restarts, steps=steps, generator=generator)
    here = bound.measure(net_S, other, x, y)
    f_S, f_S_noisy, u_S_noisy = _scores(net_S, x, noisy, y)
    out = {
        "f_S": f_S,
        "slope_S": here.slope_S,
        "f_S_noisy": f_S_noisy,
        "wrong": search.smallest_flip(bound.right_answer(net_S, y), x, **attack)[0],
    }
    if net_T is not None:
        f_T, f_T_noisy, u_T_noisy = _scores(net_T, x, noisy, y)
        out |= {
            "f_T": f_T,
            "lead": here.m,
            "slope_T": here.slope_T,
            "gap": here.gap,
            "gap_tau": bound.measure(net_S, net_T, x, y, "tempered", tau).gap,
            "f_T_noisy": f_T_noisy,
            "lead_noisy": u_S_noisy - u_T_noisy,
            **_radii(net_S, net_T, x, y, here.m, sound, attack),
        }
    return [{key: values[i].item() for key, values in out.items()} for i in range(len(x))]


@torch.no_grad()
def _scores(net, x, noisy, y):
    """f at images x, f and u at the noisy ones, each (n,)."""
    seen = net(noisy)
    return score(net(x), y), score(seen, y), geometry.height(seen, y)


def _radii(net_S, net_T, x, y, m, sound, attack):
    """{"flip", "estimate", "sound"} of `margins`, each (n,): 0 where the teacher leads (m <= 0)."""
    out = {key: torch.zeros_like(m) for key in ("flip", "estimate", "sound")}
    if sound == "none":
        out["sound"] += math.nan
    ahead = m > 0
    if not ahead.any():
        return out
    x, y, m = x[ahead], y[ahead], m[ahead]
    h = bound.head_start(net_S, net_T, y)
    flip, point = search.smallest_flip(h, x, **attack)
    shares = torch.tensor([0.2, 0.4, 0.6, 0.8, 1.0], dtype=x.dtype, device=x.device)
    radii = flip.nan_to_num(posinf=10.0) * shares[:, None]
    how = dict(flip=point, starts=1, steps=5, generator=attack["generator"])
    G = search.estimate_ascent(h, x, radii, **how)
    out["flip"][ahead] = flip
    out["estimate"][ahead] = bound.profile_radii(m, radii, G)[1]
    if sound != "none":
        out["sound"][ahead] = certify.sound_radii(net_S, net_T, x, y, sound)[1].to(x.dtype)
    return out


def ladder(
    net_S: nn.Module,
    net_T: nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    space: str = "logit",
    p: float = 2,
    box: bool = False,
    sound: tuple[str, ...] = certify.SOUND,
    sigma: float = 0.05,
    draws: int = 1000,
    seeds: torch.Tensor | None = None,
    restarts: int = 12,
    steps: int = 40,
    seed: int = 0,
) -> list[dict]:
    """Every radius of Theorem 1 beside the smallest flip found: rows (dicts) of {certificate, kind,
    image, value, flip, seconds}.

    kind: "sound", "votes" (sound for the smoothed order), "estimate" or "no bound". Images where
    the teacher leads are left out; seconds are for all of them together. x is taken to float64.
    """
    for method in sound:
        one_of("sound", method, certify.SOUND)
    one_of("p", p, geometry.DUAL)
    x = checks.images(x).double()
    generator = torch.Generator().manual_seed(seed)
    net_S, net_T = bound.exact(net_S), bound.exact(net_T)
    bound.fit_together(net_S, net_T, x)
    with torch.no_grad():
        bound.head_start(net_S, net_T, y, space)(x)  # the labels fit
    ahead = interval.sound_lead(net_S, net_T, x, y, space) > 0
    if not ahead.any():
        raise ValueError(
            f"the student leads on none of the {len(x)} images, so there is no radius; give images"
            " where it leads"
        )
    numbers = ahead.nonzero()[:, 0].tolist()
    x, y = x[ahead], y[ahead]
    h = bound.head_start(net_S, net_T, y, space)
    rows = []
    begun = time.perf_counter()
    flip, point = search.smallest_flip(
        h, x, geometry.DUAL[p], box, restarts, steps, seeds, generator
    )
    smoothed = space == "logit" and p == 2 and not box
    rungs = itertools.chain(
        [("smallest flip found", "flip", flip)],
        _estimates(h, x, flip, point, p, box, generator),
        _certificates(net_S, net_T, x, y, sound, space, p, box),
        _votes(net_S, net_T, x, y, sigma, draws, generator) if smoothed else (),
    )
    for certificate, kind, values in rungs:
        took = time.perf_counter() - begun
        for i, v, r in zip(numbers, values.tolist(), flip.tolist()):
            row = {"certificate": certificate, "kind": kind, "image": i, "value": v, "flip": r}
            rows.append(row | {"seconds": took})
        begun = time.perf_counter()
    return rows


def _estimates(h, x, flip, point, p, box, generator):
    """The rungs (certificate, kind, values (n,)) of `ladder` that are no bounds."""
    with torch.no_grad():
        m = h(x)
    yield "m / gap at x", "no bound", bound.printed_radius(m, search.point_gap(h, x, p))
    G = search.estimate_sampling(h, x, flip, p, 200, box, generator)
    yield "samples, min(R, m/G)", "estimate", bound.capped_radius(m, G, flip)
    radii = flip * torch.linspace(0.1, 1, 10, dtype=x.dtype, device=x.device)[:, None]
    G = search.estimate_ascent(h, x, radii, p, point, box=box, generator=generator)
    r_fp, r_int = bound.profile_radii(m, radii, G)
    yield "ascent, fixed point", "estimate", r_fp
    yield "ascent, integral", "estimate", r_int


def _certificates(net_S, net_T, x, y, sound, space, p, box):
    """The rungs that are bounds."""
    names = {"interval": "interval Jacobian", "lipsdp": "LipSDP of the pair"}
    for method in sound:
        r_fp, r_int = certify.sound_radii(net_S, net_T, x, y, method, p, space, box=box)
        if method == "spectral":
            yield "product of norms", "sound", r_fp
        else:
            yield f"{names[method]}, fixed point", "sound", r_fp
            yield f"{names[method]}, integral", "sound", r_int


def _votes(net_S, net_T, x, y, sigma, draws, generator):
    """The rung that bounds the smoothed order."""
    radius, _ = certify.votes(net_S, net_T, x, y, sigma, draws, generator=generator)
    yield f"smoothing votes, sigma {sigma:g}", "votes", radius
