"""The methods: the paper's and its controls, adversarial ones, boundary-supporting samples.

Each file of this folder ends with its dict METHODS; one more file is one more entry in all of them.
"""

import importlib
import pkgutil

from .base import Batch, Method  # noqa: F401
from .paper import robust  # noqa: F401
from .supporting import bss  # noqa: F401

ORDER = ("paper", "controls", "adversarial", "supporting")  # that of legends; other files follow
METHODS: dict[str, Method] = {}
for _file in dict.fromkeys([*ORDER, *(m.name for m in pkgutil.iter_modules(__path__))]):
    _own = getattr(importlib.import_module(f".{_file}", __name__), "METHODS", {})
    if _twice := METHODS.keys() & _own.keys():
        raise ValueError(f"{_file}.py has a method {min(_twice)!r}, as another file has; rename it")
    METHODS |= _own
