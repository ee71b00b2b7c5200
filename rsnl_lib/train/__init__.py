"""Losses, methods, recipes and the loop that trains with them."""

from .constants import teacher_constants  # noqa: F401
from .loop import accuracy, fit  # noqa: F401
from .methods import METHODS, Batch, Method  # noqa: F401
from .recipes import Recipe, recipe  # noqa: F401
from .steps import Own  # noqa: F401
