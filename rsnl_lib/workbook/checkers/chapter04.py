"""The checkers of chapter 04's exercises."""

from collections.abc import Callable

import torch

from .base import need, of_a_function, one_number, shaped

# 04: the largest head start over a teacher at 0.98
ceiling = one_number(0.02, "the student's score is at most 1", abs_tol=1e-9)


@of_a_function
def point_ratio(function: Callable) -> None:
    """04: m / ||g_S - g_T||_2 image by image, 0 where m <= 0; function(m, g_S, g_T)."""
    m = torch.tensor([0.5, -1.0, 2.0])
    g_T = torch.tensor([3.0, 4.0]).expand(3, 1, 1, 2)
    got = function(m, torch.zeros(3, 1, 1, 2), g_T)
    need(shaped(got, m), "return one number an image, shape (n,)")
    negative = torch.allclose(got, m / 5)
    need(not negative, "where the teacher leads the ratio is 0, not negative")
    hint = f"for m = 0.5 and a gap of length 5 the ratio is 0.1, yours is {got[0]:.4g}"
    need(torch.allclose(got, m.relu() / 5), hint)
