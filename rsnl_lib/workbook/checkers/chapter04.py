"""The checkers of chapter 04's exercises."""

from collections.abc import Callable

import torch

from ...geometry import input_gradient, score
from .base import need, of_a_function, one_number, shaped, small_pair

# 04: the largest head start over a teacher at 0.98
ceiling = one_number(0.02, "the head start is f_S - f_T, and f_S is at most 1", abs_tol=1e-9)


@of_a_function
def point_ratio(function: Callable) -> None:
    """04: (f_S - f_T) / ||grad f_S - grad f_T||_2, 0 where the teacher leads; function(net_S,
    net_T, x, y).
    """
    net_S, net_T, x, y = small_pair()
    pair = (input_gradient(net, x, y, space="probability") for net in (net_S, net_T))
    (a_S, g_S), (a_T, g_T) = pair
    m = (score(a_S, y) - score(a_T, y)).detach()
    lead, gap = m.clamp_min(0), g_S - g_T
    long_S, long_T, G = (g.flatten(1).norm(dim=1) for g in (g_S, g_T, gap))
    got = function(net_S, net_T, x.clone(), y)
    need(shaped(got, m), "return one number an image, shape (n,)")
    got = got.detach().double()
    need(not torch.allclose(got, m), "that is m itself: divide it by the gap")
    wrong = {
        "where the teacher leads the ratio is 0, not negative": m / G,
        "the gap is the length of a difference, not a difference of lengths": (
            lead / (long_S - long_T).abs()
        ),
        "divide by the gap, not by the student's own slope": lead / long_S,
        "the gap is a length, not a squared length: take the root": lead / G.square(),
        "one gap an image: flatten(1) before the norm": lead / gap.norm(),
    }
    for hint, value in wrong.items():
        need(not torch.allclose(got, value), hint)
    want = lead / G
    asked = f"for the check's images the ratios are {[round(v, 4) for v in want.tolist()]}"
    told = f"{asked}, yours {[round(v, 4) for v in got.tolist()]}"
    need(torch.allclose(got, want), told)
