"""The page of methods: a row for each, made of what the methods say of themselves."""

from collections.abc import Iterable
from typing import Any

from ..train.methods import METHODS, Method
from .palette import rank

HEAD = ("method", "loss of one image", "what the student is told", "passes", "source")


def _row(name: str, how: Method) -> tuple:
    passes = f"{how.passes:g}" + " + attack" * how.attacks
    source = how.source
    if source.startswith("arXiv "):
        source = f"[{source}](https://arxiv.org/abs/{source.removeprefix('arXiv ')})"
    loss = f"${how.loss}$" if how.loss else ""
    label = how.label or name
    if label != name:
        label = f"{label}, `{name}`"
    return label, loss, how.sees, passes, source


def markdown(names: Iterable[str] = ()) -> str:
    """The table as Markdown text: of these methods, or of all."""
    rows = [_row(name, METHODS[name]) for name in rank(names or METHODS)]
    lines = [HEAD, ["---"] * len(HEAD), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def method_table(names: Iterable[str] = ()) -> Any:
    """The table as a notebook shows it: JupyterLab, nbconvert and GitHub typeset its formulas."""
    from IPython.display import Markdown

    return Markdown(markdown(names))
