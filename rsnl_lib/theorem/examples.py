"""What the theorem says image by image: margins, gradients, radii, and the ladder of bounds."""

import math
import time

import torch
from torch import Tensor, nn

from ..checks import images, one_of
from ..data import perturb
from ..geometry import DUAL, height, norm, score
from ..geometry.steady import main_head
from ..measure.evaluate import noise_generator
from . import bound, certify, interval, search


def margins(
    net_S: nn.Module,
    net_T: nn.Module | None,
    x: Tensor,
    y: Tensor,
    tau: float = 1.0,
    snr: float = 0.0,
    sound: str = "none",
    seeds: Tensor | None = None,
    restarts: int = 6,
    steps: int = 25,
    dtype: torch.dtype = torch.float64,
) -> list[dict]:
    """Where Theorem 1 stands for each image of x (n, c, h, w), computed in `dtype` (certificates
    always in float64): a list of n dicts, NaN for what does not exist.

    f_S, f_T: scores; lead: u_S - u_T in logits; slope_S, slope_T, gap: ||grad u_S||, ||grad u_T||,
    ||grad u_S - grad u_T||_2; gap_tau: what L_G sees; flip: the smallest L2 perturbation found
    (from `seeds` too) that lets the teacher overtake (0 where it leads); estimate: integral radius,
    projected ascent (NOT sound); sound: a certificate (of `certify.SOUND`, or "none"); wrong: the
    smallest perturbation found that makes the student err; ..._noisy: in white noise at `snr` dB.
    With net_T None only f_S, slope_S, f_S_noisy and wrong.
    """
    one_of("sound", sound, ("none", *certify.SOUND))
    one_of("dtype", dtype, (torch.float32, torch.float64))
    if not len(images(x)):
        raise ValueError("there are no images to measure; x is empty")
    x = x.to(dtype)
    alone = net_T is None
    net_S, net_T = (bound.exact(net, dtype) for net in (net_S, net_S if alone else net_T))
    here = bound.eq7_terms(net_S, net_T, x, y)
    noisy = perturb.gaussian(x, snr, noise_generator(0, "gaussian", f"{snr}dB", 0))
    with torch.no_grad():
        a_S, a_T, noisy_S, noisy_T = (
            main_head(net(z)) for z in (x, noisy) for net in (net_S, net_T)
        )
    generator = torch.Generator().manual_seed(0)
    seeds = None if seeds is None else seeds.to(x)
    attack = dict(seeds=seeds, restarts=restarts, steps=steps, generator=generator)
    out = {
        "f_S": score(a_S, y),
        "slope_S": here.slope_S,
        "f_S_noisy": score(noisy_S, y),
        "wrong": search.smallest_flip(bound.right_answer(net_S, y), x, **attack)[0],
    }
    if not alone:
        out |= {
            "f_T": score(a_T, y),
            "lead": here.m,
            "slope_T": here.slope_T,
            "gap": here.gap,
            "gap_tau": bound.eq7_terms(net_S, net_T, x, y, "tempered", tau).gap,
            "f_T_noisy": score(noisy_T, y),
            "lead_noisy": height(noisy_S, y) - height(noisy_T, y),
            **_radii(net_S, net_T, x, y, here.m, sound, attack),
        }
    return [{key: values[i].item() for key, values in out.items()} for i in range(len(x))]


def _radii(net_S, net_T, x, y, m, sound, attack):
    """{"flip", "estimate", "sound"} of `margins`, each (n,): 0 where the teacher leads (m <= 0)."""
    out = {key: torch.zeros_like(m) for key in ("flip", "estimate")}
    out["sound"] = torch.full_like(m, math.nan if sound == "none" else 0.0)
    ahead = m > 0
    if not ahead.any():
        return out
    x, y, m = x[ahead], y[ahead], m[ahead]
    h = bound.head_start(net_S, net_T, y)
    flip, point = search.smallest_flip(h, x, **attack)
    shares = torch.tensor([0.2, 0.4, 0.6, 0.8, 1.0], dtype=x.dtype, device=x.device)
    radii = flip.nan_to_num(posinf=10.0) * shares[:, None]
    few = dict(starts=1, steps=5, generator=attack["generator"])
    G = search.estimate_ascent(h, x, radii, flip=point, **few)
    out["flip"][ahead] = flip
    out["estimate"][ahead] = bound.profile_radii(m, radii, G)[1]
    if sound != "none":
        out["sound"][ahead] = certify.sound_radii(net_S, net_T, x, y, sound)[1].to(x.dtype)
    return out


def ladder(
    net_S: nn.Module,
    net_T: nn.Module,
    x: Tensor,
    y: Tensor,
    space: str = "logit",
    p: float = 2,
    box: bool = False,
    sound: tuple[str, ...] = certify.SOUND,
    sigma: float = 0.05,
    draws: int = 1000,
    seed: int = 0,
    **attack,
) -> list[dict]:
    """Every radius of Theorem 1 beside the smallest flip found (`attack`: seeds, restarts, steps of
    `search.smallest_flip`): rows {certificate, kind, image, value, flip, seconds}, in float64.

    kind: "flip", "sound", "votes" (sound for the smoothed order), "estimate" or "no bound". Images
    where the teacher leads are left out; seconds are for all images together.
    """
    for method in sound:
        one_of("sound", method, certify.SOUND)
    one_of("p", p, DUAL)
    if "lipsdp" in sound and (p != 2 or box):
        given = f"p={p!r}, box={box!r}"
        raise ValueError(f"sound='lipsdp' is for p=2 without a box, not {given}; leave it out")
    x = images(x).double()
    net_S, net_T = bound.exact(net_S), bound.exact(net_T)
    bound.fit_together(net_S, net_T, x)
    with torch.no_grad():
        bound.head_start(net_S, net_T, y, space)(x)  # the labels fit
    ahead = interval.sound_lead(net_S, net_T, x, y, space) > 0
    if not ahead.any():
        none = f"the student leads on none of the {len(x)} images"
        raise ValueError(f"{none}, so there is no radius; give images where it leads")
    numbers = ahead.nonzero()[:, 0].tolist()
    generator = torch.Generator().manual_seed(seed)
    pair = (net_S, net_T, x[ahead], y[ahead])
    attack = {"restarts": 12, "steps": 40} | attack
    rungs = _rungs(*pair, space, p, box, sound, sigma, draws, generator, attack)
    rows = []
    begun = time.perf_counter()
    for certificate, kind, values in rungs:
        if kind == "flip":
            flip = values.tolist()
        took = time.perf_counter() - begun
        for i, v, r in zip(numbers, values.tolist(), flip):
            row = {"certificate": certificate, "kind": kind, "image": i, "value": v, "flip": r}
            rows.append(row | {"seconds": took})
        begun = time.perf_counter()
    return rows


def _rungs(net_S, net_T, x, y, space, p, box, sound, sigma, draws, generator, attack):
    """Each (certificate, kind, values (n,)) of `ladder`, the smallest flip first."""
    h = bound.head_start(net_S, net_T, y, space)
    common = dict(box=box, generator=generator)
    flip, point = search.smallest_flip(h, x, DUAL[p], **common, **attack)
    yield "smallest flip found", "flip", flip
    m, g = bound.gradient(h, x)
    yield "m / gap at x", "no bound", bound.printed_radius(m, norm(g, p))
    G = search.estimate_sampling(h, x, flip, p, 200, **common)
    yield "samples, min(R, m/G)", "estimate", bound.capped_radius(m, G, flip)
    radii = flip * torch.linspace(0.1, 1, 10, dtype=x.dtype, device=x.device)[:, None]
    G = search.estimate_ascent(h, x, radii, p, point, **common)
    r_fp, r_int = bound.profile_radii(m, radii, G)
    yield "ascent, fixed point", "estimate", r_fp
    yield "ascent, integral", "estimate", r_int
    for method in sound:
        r_fp, r_int = certify.sound_radii(net_S, net_T, x, y, method, p, space, box=box)
        if method == "spectral":
            yield "product of norms", "sound", r_fp
        else:
            name = {"interval": "interval Jacobian", "lipsdp": "LipSDP of the pair"}[method]
            yield f"{name}, fixed point", "sound", r_fp
            yield f"{name}, integral", "sound", r_int
    if space == "logit" and p == 2 and not box:
        radius, _ = certify.votes(net_S, net_T, x, y, sigma, draws, generator=generator)
        yield f"smoothing votes, sigma {sigma:g}", "votes", radius
