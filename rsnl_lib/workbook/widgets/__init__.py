"""Live views of the chapters."""

from .attacks import attacked, lines, walk  # noqa: F401
from .base import alert, bar_path, bars, img, live, picture, show  # noqa: F401
from .claims import readings, verdicts  # noqa: F401
from .losses import pull, pull_bars, pulls  # noqa: F401
from .noise import explorer, look, view  # noqa: F401
from .theory import examples, graph, plane, push  # noqa: F401
