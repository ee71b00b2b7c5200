"""The rooms of the library: each says what lives there, and imports only from rooms below it."""

import ast
import pathlib

import pytest

from rsnl_lib.env import ROOT

FLOORS = (
    "checks",
    "env",
    "geometry",
    "networks",
    "store",
    "data",
    "train",
    "measure",
    "theorem",
    "study",
    "workbook",
    "commands",
    "__main__",
)
FLOOR = {room: i for i, rooms in enumerate(FLOORS) for room in rooms.split()}
LIBRARY = ROOT / "rsnl_lib"
FILES = sorted(p for p in LIBRARY.rglob("*.py") if p != LIBRARY / "__init__.py")


def room(path):
    return pathlib.Path(path).relative_to(LIBRARY).parts[0].removesuffix(".py")


def imported(path):
    """The files and folders of the library that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            folder = path.parents[node.level - 1]
            for name in node.names:
                inside = folder.joinpath(*(node.module or "").split("."))
                file = inside.with_suffix(".py")
                yield file if node.module and file.is_file() else inside / name.name
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [a.name for a in node.names]
            assert not any(str(n).split(".")[0] == "rsnl_lib" for n in names), (
                f"{path}: the library imports itself by relative names"
            )


def test_every_room_has_its_floor_and_says_what_lives_there():
    assert {room(p) for p in FILES} == set(FLOOR)
    for path in FILES:
        words = ast.get_docstring(ast.parse(path.read_text()))
        assert words and len(words) > 20, f"{path} does not say what lives there"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(LIBRARY)))
def test_imports_point_down(path):
    for other in imported(path):
        down = FLOOR[room(path)] > FLOOR[room(other)] or room(path) == room(other)
        assert down, f"{path.relative_to(LIBRARY)} imports {room(other)}, which lies above it"


def test_no_file_imports_in_a_circle():
    arrows = {p: {q.with_suffix(".py") for q in imported(p)} & set(FILES) for p in FILES}
    while free := [p for p, below in arrows.items() if not below]:
        arrows = {p: below - set(free) for p, below in arrows.items() if p not in free}
    assert not arrows, f"a circle among {', '.join(str(p.relative_to(LIBRARY)) for p in arrows)}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(LIBRARY)))
def test_files_functions_and_lines_stay_short(path):
    source = path.read_text()
    assert source.count("\n") <= 350, f"{path} holds two ideas"
    assert max(map(len, source.splitlines()), default=0) <= 100
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            length = node.end_lineno - node.lineno + 1
            assert length <= 60, f"{path}: {node.name} has {length} lines"
