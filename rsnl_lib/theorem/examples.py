"""What the theorem says image by image: margins, gradients, radii, and the ladder of bounds."""

import math
import time

import torch

from .. import checks, geometry
from ..checks import one_of
from ..data import perturb
from ..geometry.gradient import score
from ..measure.evaluate import noise_generator
from . import bound, certify, interval, search


def margins(
    net_S,
    net_T,
    x,
    y,
    tau=1.0,
    snr=0.0,
    sound="none",
    seeds=None,
    restarts=6,
    steps=25,
    seed=0,
    dtype=torch.float64,
):
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
    x, n, nan = x.to(dtype), len(x), torch.full((len(x),), math.nan, dtype=dtype, device=x.device)
    net_S, seeds = bound.exact(net_S, dtype), None if seeds is None else seeds.to(x.device, dtype)
    net_T = None if net_T is None else bound.exact(net_T, dtype)
    bound.fit_together(net_S, net_S if net_T is None else net_T, x)
    generator = torch.Generator().manual_seed(seed)
    noisy = perturb.gaussian(x, snr, noise_generator(seed, "gaussian", f"{snr}dB", 0))
    attack = dict(seeds=seeds, restarts=restarts, steps=steps, generator=generator)

    def scores(net):
        with torch.no_grad():
            seen = net(noisy)
            return score(net(x), y), score(seen, y), geometry.height(seen, y)

    f_S, f_S_noisy, u_S_noisy = scores(net_S)
    here = bound.measure(net_S, net_S if net_T is None else net_T, x, y)
    out = {
        "f_S": f_S,
        "slope_S": here.slope_S,
        "f_S_noisy": f_S_noisy,
        "wrong": search.smallest_flip(bound.right_answer(net_S, y), x, **attack)[0],
    }
    if net_T is not None:
        f_T, f_T_noisy, u_T_noisy = scores(net_T)
        soft = bound.measure(net_S, net_T, x, y, "tempered", tau)
        out |= {
            "f_T": f_T,
            "lead": here.m,
            "slope_T": here.slope_T,
            "gap": here.gap,
            "gap_tau": soft.gap,
            "f_T_noisy": f_T_noisy,
            "lead_noisy": u_S_noisy - u_T_noisy,
        }
        ahead = here.m > 0
        part, labels = x[ahead], y[ahead]
        for key in ("flip", "estimate", "sound"):
            out[key] = torch.zeros_like(nan)
        if len(part):
            h = bound.head_start(net_S, net_T, labels)
            flip, point = search.smallest_flip(h, part, **attack)
            radii = (
                flip.nan_to_num(posinf=10.0)
                * torch.tensor([0.2, 0.4, 0.6, 0.8, 1.0], dtype=dtype, device=x.device)[:, None]
            )
            G = search.estimate_ascent(
                h, part, radii, flip=point, starts=1, steps=5, generator=generator
            )
            out["flip"][ahead], out["estimate"][ahead] = (
                flip,
                bound.profile_radii(here.m[ahead], radii, G)[1],
            )
            if sound != "none":
                out["sound"][ahead] = certify.sound_radii(net_S, net_T, part, labels, sound)[1].to(
                    dtype
                )
        if sound == "none":
            out["sound"] = nan
    return [{key: values[i].item() for key, values in out.items()} for i in range(n)]


def ladder(
    net_S,
    net_T,
    x,
    y,
    space="logit",
    p=2,
    box=False,
    sound=("spectral", "interval", "lipsdp"),
    sigma=0.05,
    draws=1000,
    seeds=None,
    restarts=12,
    steps=40,
    seed=0,
):
    """Every radius of Theorem 1 beside the smallest flip found: rows (dicts) of {certificate, kind,
    image, value, flip, seconds}.

    kind: "sound", "votes" (sound for the smoothed order), "estimate" or "no bound". Images where
    the teacher leads are left out; seconds are for all of them together. x is taken to float64.
    """
    for method in sound:
        one_of("sound", method, certify.SOUND)
    one_of("p", p, geometry.DUAL)
    x, kept = checks.images(x).double(), torch.Generator().manual_seed(seed)
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
    numbers, x, y = ahead.nonzero()[:, 0].tolist(), x[ahead], y[ahead]
    h, q, rows = bound.head_start(net_S, net_T, y, space), geometry.DUAL[p], []
    begun = time.perf_counter()

    def keep(certificate, kind, values):
        nonlocal begun
        took = time.perf_counter() - begun
        rows.extend(
            {
                "certificate": certificate,
                "kind": kind,
                "image": i,
                "value": v,
                "flip": r,
                "seconds": took,
            }
            for i, v, r in zip(numbers, values.tolist(), flip.tolist())
        )
        begun = time.perf_counter()

    flip, point = search.smallest_flip(h, x, q, box, restarts, steps, seeds, kept)
    with torch.no_grad():
        m = h(x)
    keep("smallest flip found", "flip", flip)
    keep("m / gap at x", "no bound", bound.printed_radius(m, search.point_gap(h, x, p)))
    keep(
        "samples, min(R, m/G)",
        "estimate",
        bound.capped_radius(m, search.estimate_sampling(h, x, flip, p, 200, box, kept), flip),
    )
    radii = flip * torch.linspace(0.1, 1, 10, dtype=x.dtype, device=x.device)[:, None]
    r_fp, r_int = bound.profile_radii(
        m, radii, search.estimate_ascent(h, x, radii, p, point, box=box, generator=kept)
    )
    keep("ascent, fixed point", "estimate", r_fp)
    keep("ascent, integral", "estimate", r_int)
    for method in sound:
        r_fp, r_int = certify.sound_radii(net_S, net_T, x, y, method, p, space, box=box)
        if method == "spectral":
            keep("product of norms", "sound", r_fp)
        else:
            name = {"interval": "interval Jacobian", "lipsdp": "LipSDP of the pair"}[method]
            keep(f"{name}, fixed point", "sound", r_fp)
            keep(f"{name}, integral", "sound", r_int)
    if space == "logit" and p == 2 and not box:
        keep(
            f"smoothing votes, sigma {sigma:g}",
            "votes",
            certify.votes(net_S, net_T, x, y, sigma, draws, generator=kept)[0],
        )
    return rows
