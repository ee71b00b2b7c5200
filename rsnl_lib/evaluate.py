"""Networks x perturbations x levels -> counts, in one pass where all see the same noise; and
margins, image by image.
"""

import contextlib
import math
import time
import zlib

import torch

from . import bound, certify, fast, perturb
from .losses import correct, score
from .settings import one_of, progress, whole

SNR_DB = {"digits": range(9, -4, -1), "cifar10": range(20, 3, -2), "cifar100": range(20, 3, -2)}
SNR_RATIO = {"digits": (9, 5, 3, 2, 1, 0.5), "cifar10": (12, 11, 10), "cifar100": (12, 11, 10)}
BLOCKS = {"digits": range(1, 6), "cifar10": range(2, 12, 2), "cifar100": range(2, 12, 2)}


def levels(dataset):
    """Every (perturbation, level, unit) the rows of a data set are made at; what is not named above
    is taken as MNIST is (Fig. 2(a), and 10 dB as in Table I).
    """
    db, ratio = SNR_DB.get(dataset, range(10, 0, -1)), SNR_RATIO.get(dataset, (9, 7, 5, 3, 2, 1))
    return (
        [("clean", 0, "")]
        + [("gaussian", s, "dB") for s in db]
        + [("gaussian", s, "ratio") for s in ratio]
        + [("poisson", s, "dB") for s in db]
        + [("occlusion", s, "pixels") for s in BLOCKS.get(dataset, range(2, 16, 2))]
    )


POISSON = {"mnist": (10, 3, 2, 1), "cifar10": (10, 4), "cifar100": (10, 4)}


def needed(dataset):
    """Of `levels` those that a cell, a claim or a figure asks for: of USPS its clean images, of
    MNIST and CIFAR no ratios and few of Poisson noise.
    """
    if dataset.startswith("usps"):
        return [("clean", 0, "")]
    return [
        (kind, level, unit)
        for kind, level, unit in levels(dataset)
        if dataset not in POISSON
        or unit != "ratio"
        and (kind != "poisson" or level in POISSON[dataset])
        and (kind != "occlusion" or level <= 10)
    ]


def noise_generator(seed, kind, level, draw):
    """The generator of one draw: the same for every network, machine and order of evaluation."""
    return torch.Generator().manual_seed(zlib.crc32(f"{seed} {kind} {level} {draw}".encode()))


@torch.no_grad()
def sweep(nets, x, y, plan, draws=2, seed=0, chunk=500):
    """Rows (dicts) of correct counts for each network of `nets` ({key: module}) under each (kind,
    level, unit) of `plan`.

    A row's n is images x draws. All networks see the same perturbed images, so their differences
    are paired.
    """
    whole("draws", draws, 1), whole("chunk", chunk, 1)
    if not isinstance(nets, dict) or not nets:
        raise ValueError(
            f"nets is {'an empty dict' if nets == {} else f'a {type(nets).__name__}'}; give a dict"
            " of networks such as {'robust': net}"
        )
    if not len(x) or len(x) != len(y):
        raise ValueError(
            "there are no images to evaluate; x is empty"
            if not len(x)
            else f"{len(x)} images and {len(y)} labels do not fit: give one label an image"
        )
    for net in nets.values():
        net.eval()
    rows = []
    with contextlib.ExitStack() as stack:
        for net in nets.values():
            stack.enter_context(fast.layers(net))
        for kind, level, unit in progress(plan, desc="evaluate", leave=False):
            repeats = 1 if kind == "clean" else draws
            right = dict.fromkeys(nets, 0)
            for draw in range(repeats):
                generator = noise_generator(seed, kind, f"{level:g}{unit}", draw)
                for i in range(0, len(x), chunk):
                    seen = perturb.apply(kind, x[i : i + chunk], level, generator, unit or "dB")
                    for key, net in nets.items():
                        for part, labels in zip(seen.split(64), y[i : i + chunk].split(64)):
                            right[key] += correct(net(part), labels)
            rows += [
                {
                    "key": key,
                    "perturbation": kind,
                    "level": level,
                    "unit": unit,
                    "draws": repeats,
                    "n": len(x) * repeats,
                    "correct": int(count),
                }
                for key, count in right.items()
            ]
    return rows


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
    if not len(perturb.images(x)):
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
            return score(net(x), y), score(seen, y), bound.height(seen, y)

    f_S, f_S_noisy, u_S_noisy = scores(net_S)
    here = bound.measure(net_S, net_S if net_T is None else net_T, x, y)
    out = {
        "f_S": f_S,
        "slope_S": here.slope_S,
        "f_S_noisy": f_S_noisy,
        "wrong": bound.smallest_flip(bound.right_answer(net_S, y), x, **attack)[0],
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
            flip, point = bound.smallest_flip(h, part, **attack)
            radii = (
                flip.nan_to_num(posinf=10.0)
                * torch.tensor([0.2, 0.4, 0.6, 0.8, 1.0], dtype=dtype, device=x.device)[:, None]
            )
            G = bound.estimate_ascent(
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
    one_of("p", p, bound.DUAL)
    x, kept = perturb.images(x).double(), torch.Generator().manual_seed(seed)
    net_S, net_T = bound.exact(net_S), bound.exact(net_T)
    bound.fit_together(net_S, net_T, x)
    with torch.no_grad():
        bound.head_start(net_S, net_T, y, space)(x)  # the labels fit
    ahead = certify.sound_lead(net_S, net_T, x, y, space) > 0
    if not ahead.any():
        raise ValueError(
            f"the student leads on none of the {len(x)} images, so there is no radius; give images"
            " where it leads"
        )
    numbers, x, y = ahead.nonzero()[:, 0].tolist(), x[ahead], y[ahead]
    h, q, rows = bound.head_start(net_S, net_T, y, space), bound.DUAL[p], []
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

    flip, point = bound.smallest_flip(h, x, q, box, restarts, steps, seeds, kept)
    with torch.no_grad():
        m = h(x)
    keep("smallest flip found", "flip", flip)
    keep("m / gap at x", "no bound", bound.printed_radius(m, bound.point_gap(h, x, p)))
    keep(
        "samples, min(R, m/G)",
        "estimate",
        bound.capped_radius(m, bound.estimate_sampling(h, x, flip, p, 200, box, kept), flip),
    )
    radii = flip * torch.linspace(0.1, 1, 10, dtype=x.dtype, device=x.device)[:, None]
    r_fp, r_int = bound.profile_radii(
        m, radii, bound.estimate_ascent(h, x, radii, p, point, box=box, generator=kept)
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


def wilson(correct, n, z=1.96):
    """95 % interval (low, high) of a share by Wilson's formula."""
    if not 0 <= correct <= n or not n > 0:
        raise ValueError(f"{correct} correct of {n} is no share; it must be 0 to n of at least 1")
    p, shrink = correct / n, 1 + z * z / n
    middle, half = (
        (p + z * z / (2 * n)) / shrink,
        z / shrink * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)),
    )
    return middle - half, middle + half
