"""Theorem 1: radii, certificates, searches for the smallest flip, image by image."""

from .bound import (  # noqa: F401
    Measured,
    both,
    capped_radius,
    curvature_radius,
    exact,
    fit_together,
    fixed_point,
    gaussian_flip_share,
    gradient,
    head_start,
    in_box,
    integral_radius,
    measure,
    printed_radius,
    profile_radii,
    right_answer,
)
from .certify import (  # noqa: F401
    SOUND,
    lipschitz,
    operator_norm,
    sound_radii,
    sound_spectral,
    votes,
)
from .examples import ladder, margins  # noqa: F401
from .interval import sound_interval, sound_lead  # noqa: F401
from .layers import linear_map  # noqa: F401
from .lipsdp import sound_lipsdp  # noqa: F401
from .planes import flip_in_plane, in_plane  # noqa: F401
from .search import (  # noqa: F401
    cheapest,
    estimate_ascent,
    estimate_sampling,
    on_segment,
    point_gap,
    smallest_flip,
)
