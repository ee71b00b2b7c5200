"""Live views of the chapters."""

from .attacks import attacked, walk  # noqa: F401
from .base import alert, img, live, picture, show, stage, view, wide  # noqa: F401
from .claims import readings, verdicts  # noqa: F401
from .losses import pull, pulls  # noqa: F401
from .noise import explorer, look  # noqa: F401
from .planes import plane  # noqa: F401
from .svg import bar_path, bars, graph, lines, pull_bars  # noqa: F401
from .theory import examples, push  # noqa: F401
