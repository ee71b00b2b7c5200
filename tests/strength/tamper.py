"""Does nbval notice a changed digit?  python tests/strength/tamper.py [NN ...]

Changes one digit (by five) in one stored, compared output of a copy of each notebook and runs
`pytest --nbval` on it: red, as it should be, if exactly that cell fails; green if nothing does.
Ends with 1 unless all are red.
"""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import nbformat

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "workbook"))
from test_notebooks import compared  # noqa: E402

from rsnl_lib.workbook import render  # noqa: E402


def change(nb):
    """Change the last digit of the middle compared output with a digit; (cell's number, old text,
    new text).
    """
    places = []
    for number, cell in enumerate(c for c in nb.cells if c.cell_type == "code"):
        for output in cell.outputs if compared(cell) else []:
            for holder, key in ((output, "text"), (output.get("data", {}), "text/plain")):
                if re.search(r"\d", holder.get(key, "")):
                    places.append((number, holder, key))
    number, holder, key = places[len(places) // 2]
    old = holder[key]
    at = max(m.start() for m in re.finditer(r"\d", old))
    holder[key] = old[:at] + str((int(old[at]) + 5) % 10) + old[at + 1 :]
    return number, old[max(0, at - 20) : at + 1], holder[key][max(0, at - 20) : at + 1]


def tamper(path):
    """The word for one notebook: red, green, or what else went wrong."""
    with tempfile.TemporaryDirectory(prefix="rsnl-tamper-") as folder:
        copy = pathlib.Path(folder)
        for name in (
            "conftest.py",
            "pyproject.toml",
            "tests/whole/nbval_sanitize.cfg",
            "tests/whole/rounding.py",
        ):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
        nb = nbformat.read(path, as_version=4)
        number, old, new = change(nb)
        (copy / "notebooks").mkdir()
        nbformat.write(nb, copy / "notebooks" / path.name)
        run = subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "--nbval",
                "-q",
                "-rf",
                "-p",
                "no:cacheprovider",
                "notebooks",
            ],
            cwd=copy,
            capture_output=True,
            text=True,
        )
    failed = set(re.findall(r"^FAILED .*::Cell (\d+)", run.stdout, re.M))
    what = f"cell {number}: ...{old!r} -> ...{new!r}"
    if run.returncode == 0:
        return f"green  NOT noticed, {what}"
    if failed == {str(number)}:
        return f"red    noticed, {what}"
    return f"broken cells {sorted(failed)} failed instead of {what}\n{run.stdout[-1500:]}"


if __name__ == "__main__":
    render.fix_environment()
    words = []
    for source in render.chosen(sys.argv[1:]):
        words.append(tamper(render.stored(source)))
        print(f"{source.stem:28} {words[-1]}", flush=True)
    sys.exit(not all(w.startswith("red") for w in words))
