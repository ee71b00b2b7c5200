"""Live views of the chapters."""

from .attacks import attacked, walk  # noqa: F401
from .claims import readings, verdicts  # noqa: F401
from .losses import pull, pulls  # noqa: F401
from .noise import explorer, spoil_and_score  # noqa: F401
from .planes import plane  # noqa: F401
from .svg import bars, step_plot  # noqa: F401
from .theory import examples, push  # noqa: F401
