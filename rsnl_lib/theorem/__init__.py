"""Theorem 1: radii, certificates, searches for the smallest flip, image by image."""

# ruff: noqa: F401
# isort: off
from .bound import capped_radius, curvature_radius, eq7_terms, exact, fixed_point
from .bound import gaussian_flip_share, gradient, head_start, in_box, integral_radius
from .bound import printed_radius, profile_radii, right_answer
from .certify import SOUND, lipschitz, operator_norm, sound_radii, sound_spectral, votes
from .examples import ladder, margins
from .interval import sound_interval, sound_lead
from .lipsdp import sound_lipsdp
from .search import cheapest, estimate_ascent, estimate_sampling, flip_in_plane, in_plane
from .search import point_gap, smallest_flip
