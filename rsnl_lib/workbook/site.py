"""The site: chapters as they are stored, the methods, the library and the other pages, as Sphinx
makes them of what the repository holds: `python3 run.py site`, or, where the packages of the extra
`site` are installed, `python -m rsnl_lib.workbook.site [FOLDER]`. Nothing is executed.
"""

import html
import importlib.util
import os
import pathlib
import pkgutil
import re
import shutil
import subprocess
import sys
import tempfile

import nbformat

from ..env import ROOT
from . import methods_page, render

SITE = ROOT / "runs" / "site"
SPHINX = ROOT / "docs" / "site"
TEXTS = ("RESULTS.md", "docs/*.md", "data/README.md", "data/claims/README.md")
TEXTS += ("benchmarks/README.md", "CONTRIBUTING.md", "CHANGELOG.md")
ROOMS = "checks env geometry networks rows files tables store data train measure theorem study"
ROOMS = (*ROOMS.split(), "workbook", "commands")
LINK = re.compile(r"```.*?```|`[^`]*`|(!?)\[((?:`[^`]*`|[^\]`])*)\]\(([^)\s]+)\)", re.S)
FINISHED = ("figure3.html", "photograph.html")  # pages that are finished as they are
START = "README.md"  # becomes index


def pages() -> list[str]:
    """The repository's texts that become pages, README first, as paths from its root."""
    found = [p.relative_to(ROOT).as_posix() for text in TEXTS for p in sorted(ROOT.glob(text))]
    return [START, *found]


def relinked(text: str, here: str, known: set[str], repository: str = "") -> str:
    """Markdown of the page `here` with links that hold on the site: to what is `known` as they are,
    to other files of the repository ("owner/name") there, or, where that is not named, none.
    """

    def link(found):
        picture, words, target = found.groups()
        if not target or re.match(r"\w+:", target):
            return found[0]
        path, hash_, place = target.partition("#")
        place = hash_ + re.sub(r"[^\w-]", "", place.lower())  # JupyterLab keeps capitals
        if not path:
            return f"[{words}]({place})"
        path = os.path.normpath(os.path.join(os.path.dirname(here), path)).replace(os.sep, "/")
        if path in FINISHED:
            return f'<a href="{html.escape(target)}">{words}</a>'
        if path in known:
            target, _, _ = target.partition("#")
            if path == START:
                target = target.replace(START, "index.md")
            return f"{picture}[{words}]({target}{place})"
        if not repository:
            return words
        return f"[{words}](https://github.com/{repository}/blob/HEAD/{path})"

    return LINK.sub(link, text)


def buttons(name: str, repository: str) -> str:
    """Markdown that opens a chapter of the repository elsewhere, and what Colab needs first."""
    if not repository:
        return ""
    book = f"notebooks/{name}.ipynb"
    colab = f"https://colab.research.google.com/github/{repository}/blob/HEAD/{book}"
    binder = f"https://mybinder.org/v2/gh/{repository}/HEAD?labpath={book}"
    lines = [
        f"!git clone -q --depth 1 https://github.com/{repository} /content/rsnl",
        '%pip install -q -e "/content/rsnl[workbook]"',
        "%cd /content/rsnl/notebooks",
        "import sys; sys.path.insert(0, '/content/rsnl')",
    ]
    return (
        f"[Open in Colab]({colab}) · [Open in Binder]({binder}) (we have run neither)\n\n"
        "<details><summary>Colab needs this as its first cell</summary>\n\n```python\n"
        + "\n".join(lines)
        + "\n```\n\n</details>\n"
    )


def chapter_page(source: pathlib.Path, known: set[str], repository: str) -> str:
    """A stored notebook as the site shows it: links made good, the buttons below its title."""
    nb = nbformat.read(render.stored(source), as_version=4)
    here = f"notebooks/{source.stem}.ipynb"
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            cell.source = relinked(cell.source, here, known, repository)
    title, _, rest = nb.cells[0].source.partition("\n")
    nb.cells[0].source = f"{title}\n\n{buttons(source.stem, repository)}{rest}"
    return nbformat.writes(nb)


def room_page(room: str) -> str:
    """reStructuredText that asks Sphinx for the docstrings of a room, module by module."""
    names = [f"rsnl_lib.{room}"]
    folder = ROOT / "rsnl_lib" / room
    if folder.is_dir():
        names += [m.name for m in pkgutil.walk_packages([str(folder)], f"rsnl_lib.{room}.")]
    parts = [f"{room}\n{'=' * len(room)}\n"]
    for name in names:
        if name != names[0]:
            parts.append(f"{name.removeprefix('rsnl_lib.')}\n{'-' * len(name)}\n")
        parts.append(f".. automodule:: {name}\n   :members:\n")
    return "\n".join(parts)


def toctree(caption: str, names: list[str]) -> str:
    """A part of the navigation."""
    listed = "\n".join(names)
    return f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{listed}\n```\n"


def sources(folder: pathlib.Path, repository: str = "") -> None:
    """Write everything that Sphinx reads into a folder."""
    chapters = render.chosen([])
    front = "notebooks/00_start_here.png"
    known = {*pages(), front, *(f"notebooks/{s.stem}.ipynb" for s in chapters)}
    made = {f"notebooks/{s.stem}.ipynb": chapter_page(s, known, repository) for s in chapters}
    for page in pages():
        made[page] = relinked((ROOT / page).read_text(), page, known, repository)
    made |= {f"api/{room}.rst": room_page(room) for room in ROOMS}
    made["methods.md"] = f"# The methods\n\n{methods_page.markdown()}\n"
    made["api.md"] = (
        "# The library\n\nWhat each room's functions do, in their own words. A room imports only"
        " from rooms before it.\n" + toctree("Rooms", [f"api/{room}" for room in ROOMS])
    ).replace(":hidden:\n:caption: Rooms\n", ":maxdepth: 1\n")
    others = [page.removesuffix(".md") for page in pages()[1:]]
    made["index.md"] = made.pop(START) + "".join(
        [
            toctree("Chapters", [f"notebooks/{s.stem}" for s in chapters]),
            toctree("Look up", ["methods", "api", "RESULTS"]),
            toctree("More", [name for name in others if name != "RESULTS"]),
        ]
    )
    for name, text in made.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    shutil.copy(ROOT / front, folder / front)


def make_site(out: pathlib.Path = SITE, repository: str = "") -> int:
    """Make the site in a folder, in which an older one is replaced; Sphinx's exit status."""
    if (out / ".buildinfo").is_file():
        shutil.rmtree(out)
    with tempfile.TemporaryDirectory(prefix="rsnl-site-") as folder:
        sources(pathlib.Path(folder), repository)
        command = [sys.executable, "-m", "sphinx", "-q", "-E", "-b", "html"]
        command += ["-d", f"{folder}/.doctrees", "-c", str(SPHINX), folder, str(out)]
        return subprocess.call(command, env={**os.environ, "RSNL_ROOT": str(ROOT)})


if __name__ == "__main__":
    if importlib.util.find_spec("sphinx") is None:
        sys.exit("the site needs Sphinx: python3 run.py site, or pip install -e .[site]")
    place = pathlib.Path(*sys.argv[1:2] or [SITE]).resolve()
    failed = make_site(place, os.environ.get("GITHUB_REPOSITORY", ""))
    print(f"{place}/index.html" if not failed else "the site was not made")
    sys.exit(failed)
