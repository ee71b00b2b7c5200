"""Gradients of a score, balls of perturbations, and walks to a decision boundary."""

from .ball import DUAL, like, norm, onto_ball, random_in_ball, steepest  # noqa: F401
from .gradient import SPACES, height, input_gradient, score, slope, split_logits  # noqa: F401
