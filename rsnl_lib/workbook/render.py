"""Notebooks and their sources: `python3 run.py render [NN ...]` and `python3 run.py pull NN`.

notebooks/src/NN_name.py (percent format) is what one edits and reviews; notebooks/NN_name.ipynb is
that source executed, with its figures, and without anything that differs from one run to the next.
"""

import atexit
import base64
import os
import pathlib
import shutil
import sys
import tempfile

from ..env import ROOT

BOOKS = ROOT / "notebooks"
SOURCES = BOOKS / "src"
FRONT = BOOKS / "00_start_here.png"  # the README's first picture: the first figure of that notebook
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
WIDGET = "application/vnd.jupyter.widget-view+json"
FIXED = {
    "PYTHONHASHSEED": "0",
    "TZ": "UTC",
    "LC_ALL": "C.UTF-8",
    "COLUMNS": "80",
    "TQDM_DISABLE": "1",
    "OMP_NUM_THREADS": "1",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    "JUPYTER_PREFER_ENV_PATH": "1",
}
FOLDERS = ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR")  # HOME need not be writable


def environment() -> None:
    """Set what every kernel inherits, in tests and when rendering, so that no output depends on the
    machine.
    """
    if "RSNL_HOME" in os.environ:  # a parent process did it
        return
    home = pathlib.Path(tempfile.mkdtemp(prefix="rsnl-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    os.environ.pop("MPLBACKEND", None)  # "agg" would swallow every figure
    os.environ.update(FIXED, RSNL_HOME=str(home))
    for name in FOLDERS:
        (home / name).mkdir()
        os.environ[name] = str(home / name)
    if os.environ.get("RSNL_DATA"):
        os.environ["RSNL_DATA"] = os.path.abspath(os.environ["RSNL_DATA"])
    # builds the font cache here, not on a cell's stderr
    import matplotlib.font_manager  # noqa: F401


def stored(source: pathlib.Path) -> pathlib.Path:
    """The notebook that belongs to a source file."""
    return source.parents[1] / f"{source.stem}.ipynb"


def plain(nb, stem: str):
    """The notebook with fixed metadata: of a cell only its tags, and an id made of the file's name
    and a number.
    """
    import nbformat

    nb.metadata = nbformat.from_dict(METADATA)
    nb.nbformat = 4
    nb.nbformat_minor = 5
    for i, cell in enumerate(nb.cells):
        tags = cell.metadata.get("tags")
        cell.id = f"{stem}-{i:02d}"
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
    return nb


def from_source(source: pathlib.Path):
    """A source file as a notebook without outputs."""
    import jupytext

    return plain(jupytext.read(source, fmt="py:percent"), source.stem)


def canonical(nb, stem: str):
    """The executed notebook without what differs from run to run: widgets' ids and state, timings,
    versions.
    """
    for cell in plain(nb, stem).cells:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(WIDGET, None)
    return nb


def render(source: pathlib.Path) -> None:
    """Execute a source file into its stored notebook."""
    import nbformat
    from nbclient import NotebookClient

    from ..store import write

    nb = from_source(source)
    NotebookClient(
        nb,
        timeout=1800,
        kernel_name="python3",
        store_widget_state=False,
        coalesce_streams=True,
        extra_arguments=["--IPKernelApp.log_level=ERROR"],
        resources={"metadata": {"path": str(stored(source).parent)}},
    ).execute()
    nbformat.validate(canonical(nb, source.stem))
    write(stored(source), (nbformat.writes(nb).rstrip("\n") + "\n").encode())
    if source.stem == FRONT.stem:
        write(FRONT, first_picture(nb))


def first_picture(nb) -> bytes:
    """The PNG bytes of a notebook's first figure."""
    return next(
        base64.b64decode(o.data["image/png"])
        for c in nb.cells
        for o in c.get("outputs", [])
        if "image/png" in o.get("data", {})
    )


def cells(nb) -> list[tuple]:
    return [(c.cell_type, c.source, c.metadata.get("tags", [])) for c in nb.cells]


def pull(source: pathlib.Path) -> bool:
    """Take the cells of the stored notebook back into its source file; True if that changed
    anything.
    """
    import jupytext
    import nbformat

    from ..store import write

    nb = nbformat.read(stored(source), as_version=4)
    nb.cells = [c for c in nb.cells if c.source.strip()]
    if cells(plain(nb, source.stem)) == cells(from_source(source)):
        return False
    nb.metadata = nbformat.from_dict(
        {"jupytext": {"notebook_metadata_filter": "-all", "cell_metadata_filter": "tags,-all"}}
    )
    write(source, (jupytext.writes(nb, fmt="py:percent").rstrip("\n") + "\n").encode())
    return True


def chosen(names: list[str]) -> list[pathlib.Path]:
    """Source files for names such as 05 or 05_noise_and_occlusion; all of them for none."""
    every = {s: {s.stem, number(s)} for s in sorted(SOURCES.glob("*.py"))}
    for name in names:
        if not any(name in called for called in every.values()):
            sys.exit(
                f"there is no notebook {name!r}; choose from: {', '.join(s.stem for s in every)}"
            )
    return [s for s, called in every.items() if not names or called & set(names)]


def number(source: pathlib.Path) -> str:
    return source.stem.split("_")[0]


def pull_all(names: list[str]) -> None:
    for source in chosen(names):
        again = f"run: python3 run.py render {number(source)}"
        if not stored(source).is_file():
            sys.exit(f"there is no {stored(source).name} yet; {again}")
        if pull(source):
            print(f"{source.name} has the edit; now {again}")
        else:
            print(f"{source.name} has these cells already")


def render_all(names: list[str]) -> None:
    environment()
    from nbclient.exceptions import CellExecutionError

    for source in chosen(names):
        print("render", source.stem, flush=True)
        try:
            render(source)
        except CellExecutionError as error:
            sys.exit(f"{source.name}: a cell failed, the stored notebook stays as it was\n{error}")


def main(argv: list[str]) -> None:
    task = argv[:1]
    names = argv[1:]
    if task == ["pull"] and names:
        pull_all(names)
    elif task == ["render"]:
        render_all(names)
    else:
        sys.exit("usage: python3 run.py render [NN ...]  or  python3 run.py pull NN")


if __name__ == "__main__":
    main(sys.argv[1:])
