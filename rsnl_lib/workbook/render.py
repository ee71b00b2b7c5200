"""Notebooks and their sources: `python3 run.py render [NN ...]` and `python3 run.py pull NN`.

notebooks/src/NN_name.py (percent format) is what one edits and reviews; notebooks/NN_name.ipynb is
that source executed, with its figures, and without anything that differs from one run to the next.
"""

import atexit
import base64
import os
import pathlib
import re
import shutil
import sys
import tempfile

import jupytext
import nbformat
from nbformat import NotebookNode

from .. import store
from ..env import ROOT

BOOKS = ROOT / "notebooks"
CHAPTER_FILES = BOOKS / "src"
FRONT = BOOKS / "00_start_here.png"  # the README's first picture: the first figure of that notebook
# What JupyterLab would write on opening a notebook under this Python; under another one
# jupyter/jupyter_server_config.py puts its version in.
LANGUAGE = {
    "codemirror_mode": {"name": "ipython", "version": 3},
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "name": "python",
    "nbconvert_exporter": "python",
    "pygments_lexer": "ipython3",
    "version": "3.11.7",
}
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
METADATA = {"kernelspec": KERNEL, "language_info": LANGUAGE}
WIDGET = "application/vnd.jupyter.widget-view+json"
STORED_PICTURE = re.compile(r'<img [^>]*src="data:image/png;base64,([^"]+)"')
FLAGS = "TQDM_DISABLE OMP_NUM_THREADS PYDEVD_DISABLE_FILE_VALIDATION JUPYTER_PREFER_ENV_PATH"
FIXED = {"PYTHONHASHSEED": "0", "TZ": "UTC", "LC_ALL": "C.UTF-8", "COLUMNS": "80"}
FIXED |= dict.fromkeys(FLAGS.split(), "1")
FOLDERS = ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR")  # HOME need not be writable


def fix_environment() -> None:
    """Set what every kernel inherits, so that no output depends on the machine."""
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
    return BOOKS / f"{source.stem}.ipynb"


def canonical(nb: NotebookNode, stem: str) -> NotebookNode:
    """The notebook without what differs from run to run: metadata, ids, widgets' ids."""
    nb.metadata = nbformat.from_dict(METADATA)
    nb.nbformat = 4
    nb.nbformat_minor = 5
    for i, cell in enumerate(nb.cells):
        tags = cell.metadata.get("tags")
        cell.id = f"{stem}-{i:02d}"
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(WIDGET, None)
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs if output.get("data", True)]
    return nb


def from_source(source: pathlib.Path) -> NotebookNode:
    """A source file as a notebook without outputs."""
    return canonical(jupytext.read(source, fmt="py:percent"), source.stem)


def pictures(cells: list[NotebookNode]) -> list[bytes]:
    """The PNG bytes of all figures that cells have put out, in order."""
    outputs = (o.get("data", {}).get("text/html", "") for c in cells for o in c.get("outputs", []))
    return [base64.b64decode(code) for text in outputs for code in STORED_PICTURE.findall(text)]


def render(source: pathlib.Path) -> None:
    """Execute a source file into its stored notebook."""
    fix_environment()
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    print("render", source.stem, flush=True)
    nb = from_source(source)
    client = NotebookClient(nb, timeout=1800, kernel_name="python3", store_widget_state=False)
    client.coalesce_streams = True
    client.extra_arguments = ["--IPKernelApp.log_level=ERROR"]
    client.resources = {"metadata": {"path": str(BOOKS)}}
    try:
        client.execute()
    except CellExecutionError as error:
        sys.exit(f"{source.name}: a cell failed, the stored notebook stays as it was\n{error}")
    nbformat.validate(canonical(nb, source.stem))
    store.write(stored(source), (nbformat.writes(nb).rstrip("\n") + "\n").encode())
    if source.stem == FRONT.stem:
        store.write(FRONT, pictures(nb.cells)[0])


def cell_parts(nb: NotebookNode) -> list[tuple]:
    """Kind, source and tags of each cell."""
    return [(c.cell_type, c.source, c.metadata.get("tags", [])) for c in nb.cells]


def take_back(source: pathlib.Path) -> None:
    """Take the cells of the stored notebook back into its source file."""
    again = f"run: python3 run.py render {source.stem.split('_')[0]}"
    if not stored(source).is_file():
        sys.exit(f"there is no {stored(source).name} yet; {again}")
    nb = nbformat.read(stored(source), as_version=4)
    nb.cells = [c for c in nb.cells if c.source.strip()]
    if cell_parts(canonical(nb, source.stem)) == cell_parts(from_source(source)):
        print(f"{source.name} has these cells already")
        return
    filters = {"notebook_metadata_filter": "-all", "cell_metadata_filter": "tags,-all"}
    nb.metadata = nbformat.from_dict({"jupytext": filters})
    store.write(source, (jupytext.writes(nb, fmt="py:percent").rstrip("\n") + "\n").encode())
    print(f"{source.name} has the edit; now {again}")


def chosen(names: list[str]) -> list[pathlib.Path]:
    """Source files for names such as 05 or 05_noise_and_occlusion; all of them for none."""
    every = {s: {s.stem, s.stem.split("_")[0]} for s in sorted(CHAPTER_FILES.glob("*.py"))}
    for name in names:
        if name not in set().union(*every.values()):
            stems = ", ".join(s.stem for s in every)
            sys.exit(f"there is no notebook {name!r}; choose from: {stems}")
    return [s for s, called in every.items() if not names or called & set(names)]


if __name__ == "__main__":
    task, *names = sys.argv[1:] or [""]
    if task not in ("render", "pull") or (task == "pull" and not names):
        sys.exit("usage: python3 run.py render [NN ...]  or  python3 run.py pull NN")
    for source in chosen(names):
        if task == "render":
            render(source)
        else:
            take_back(source)
