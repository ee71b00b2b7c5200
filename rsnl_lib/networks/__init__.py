"""Networks by name, their layers and start, and layers that are fast."""
# ruff: noqa: F401

from .makers import EXAMPLE, maker_word, typed
from .modules import (
    Committee,
    Maxout,
    Normalised,
    conv,
    count,
    dense,
    guided,
    pool,
    training,
    twice_differentiable,
)
from .zoo import NETWORKS, build, described, lsuv_, start
