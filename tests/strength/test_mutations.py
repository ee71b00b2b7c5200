"""The mutants of mutations.py can be applied: each pattern stands once in its file. The command
itself breaks the library and is run by hand.
"""

import ast
import functools
import pathlib

HERE = pathlib.Path(__file__).resolve().parent


@functools.cache
def unparsed(file):
    return ast.unparse(ast.parse((HERE.parents[1] / "rsnl_lib" / f"{file}.py").read_text()))


def test_every_mutant_stands_once_and_still_parses():
    source = (HERE / "mutations.py").read_text()
    listed = next(
        node.value
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "MUTANTS"
    )
    mutants = ast.literal_eval(listed)
    assert len(mutants) > 200 and len({name for name, *_ in mutants}) == len(mutants)
    for name, file, old, new, _ in mutants:
        assert unparsed(file).count(old) == 1, (
            f"{name}: {old!r} stands {unparsed(file).count(old)} times in {file}.py"
        )
        ast.parse(unparsed(file).replace(old, new))
