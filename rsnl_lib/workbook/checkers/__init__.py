"""Checkers of the exercises, a file a chapter: right, or what to look at again."""

from .base import NotYet, exercise, near, need, of_a_function  # noqa: F401
from .chapter00 import *  # noqa: F401, F403
from .chapter01 import *  # noqa: F401, F403
from .chapter02 import *  # noqa: F401, F403
from .chapter03 import *  # noqa: F401, F403
from .chapter04 import *  # noqa: F401, F403
from .chapter05 import *  # noqa: F401, F403
from .chapter06 import *  # noqa: F401, F403
from .chapter07 import *  # noqa: F401, F403
from .chapter08 import *  # noqa: F401, F403
from .chapter09 import *  # noqa: F401, F403
