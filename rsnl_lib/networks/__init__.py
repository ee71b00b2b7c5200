"""Networks by name, their layers and start, and layers that are fast."""

from .initial import lsuv_, start, uniform_  # noqa: F401
from .modules import (  # noqa: F401
    Maxout,
    conv,
    count,
    dense,
    guided,
    passed,
    pool,
    training,
    twice_differentiable,
)
from .zoo import NETWORKS, build  # noqa: F401
