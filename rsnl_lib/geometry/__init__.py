"""Gradients of a score, balls of perturbations, and walks to a decision boundary."""

from .ball import DUAL, like, norm, onto_ball, random_in_ball, steepest  # noqa: F401
from .gradient import (  # noqa: F401
    SPACES,
    compare_slopes,
    height,
    input_gradient,
    score,
    slope,
    slopes,
    split_logits,
)
