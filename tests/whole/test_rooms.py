"""The rooms of the library: each says what lives there, and imports only from rooms below it; its
public names are annotated, and each stands for one thing.
"""

import ast
import pathlib

import pytest

from rsnl_lib.env import ROOT

FLOORS = (
    "checks",
    "env",
    "geometry",
    "networks",
    "rows",
    "files",
    "tables",
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
SHARED_NAMES = {
    "METHODS": "each file of methods ends with its own",
    "TERM_WORDS": "what a file of methods calls its terms",
    "score_loss": "a chapter's exercise and its checker have the name of what is asked for",
}


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


def defined(path):
    """{name: node} of what a file defines at its top, names with an underscore left out."""
    made = {}
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            made[node.name] = node
        elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for part in (p for target in targets for p in ast.walk(target)):
                if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                    made[part.id] = node
    return {name: node for name, node in made.items() if not name.startswith("_")}


def without_type(function):
    """What of a function has no annotation: arguments (but *args and **more), or `return`."""
    named = function.args.posonlyargs + function.args.args + function.args.kwonlyargs
    bare = [a.arg for a in named if a.annotation is None]
    return bare + ["return"] * (function.returns is None)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(LIBRARY)))
def test_public_functions_are_annotated(path):
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    bare = {n: without_type(f) for n, f in defined(path).items() if isinstance(f, functions)}
    bare = {name: lacking for name, lacking in bare.items() if lacking}
    assert not bare, f"{path.relative_to(LIBRARY)} lacks types of {bare}"


def test_a_public_name_stands_for_one_thing():
    homes = {}
    for path in FILES:
        for name in defined(path):
            homes.setdefault(name, []).append(str(path.relative_to(LIBRARY)))
    shared = {name: files for name, files in homes.items() if len(files) > 1}
    assert shared.keys() == SHARED_NAMES.keys(), shared


@pytest.mark.parametrize(
    "source, lacking",
    [
        ("def f(x: int) -> int: ...", []),
        ("def f(x, /, y: int, *rest, z, **more): ...", ["x", "z", "return"]),
        ("async def f(x: int = 1): ...", ["return"]),
    ],
)
def test_what_has_no_type_is_named(tmp_path, source, lacking):
    path = tmp_path / "made.py"
    path.write_text(f"A, (B, _C) = 1, (2, 3)\nD: int = 4\nclass E: ...\n{source}\n")
    assert list(defined(path)) == ["A", "B", "D", "E", "f"]
    assert without_type(defined(path)["f"]) == lacking
