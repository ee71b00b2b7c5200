"""figure3.html: Figure 3 with live networks in one file."""

from .make import write  # noqa: F401
