"""environment.yml, constraints.txt, requirements.txt and pyproject.toml say the same, and none of
them names a host.
"""

import ast
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tomllib

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
GROUPS = {
    name: [Requirement(r) for r in group if not r.startswith(PROJECT["name"])]
    for name, group in PROJECT["optional-dependencies"].items()
}
NEEDED = [Requirement(r) for r in PROJECT["dependencies"]]
EXTRA = [r for group in GROUPS.values() for r in group]
PIP_ALONE = {"playwright"}  # not on conda-forge


def test_conda_environment_lists_the_same():
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    conda = {r.name: r.specifier for r in (Requirement(d) for d in listed if isinstance(d, str))}
    assert str(conda.pop("python")) == PROJECT["requires-python"]
    conda.pop("pip")
    conda["torch"] = conda.pop("pytorch")
    wanted = [*NEEDED, *GROUPS["workbook"], *GROUPS["test"]]
    assert conda == {r.name: r.specifier for r in wanted if r.name not in PIP_ALONE}
    assert [d for d in listed if isinstance(d, dict)] == [{"pip": ["-e .[test]"]}]


def test_what_is_imported_is_declared():
    """Each package that the library imports is among its dependencies, the workbook's among the
    workbook's; `art` and `ray` are extras of their own.
    """
    names = {"PIL": "pillow", "sklearn": "scikit-learn", "IPython": "ipython"}
    names["art"] = "adversarial-robustness-toolbox"
    base = {r.name for r in NEEDED}
    for path in (ROOT / "rsnl_lib").rglob("*.py"):
        allowed = base | {r.name for k in ("attack", "ray") for r in GROUPS[k]}
        if "workbook" in path.parts:
            allowed |= {r.name for r in GROUPS["workbook"]}
        for node in ast.walk(ast.parse(path.read_text())):
            found = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                found = [node.module]
            for name in {n.split(".")[0] for n in found} - sys.stdlib_module_names:
                assert names.get(name, name) in allowed, f"{path.name} imports {name}"


def test_pins_satisfy_the_ranges():
    pins = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        pin = Requirement(line)
        pins.setdefault(canonicalize_name(pin.name), []).append(
            str(pin.specifier).removeprefix("==")
        )
    for need in NEEDED + EXTRA:
        versions = pins.get(canonicalize_name(need.name))
        assert versions, f"{need.name} has no pin: run.py lock"
        assert all(need.specifier.contains(v) for v in versions), (
            f"{need} against {versions}: run.py lock"
        )


def test_what_the_commands_install_has_hashes_and_the_same_pins():
    """requirements.txt holds all that the extras test and dev need, and what builds the library."""
    pins = set((ROOT / "constraints.txt").read_text().splitlines())
    locked = re.split(r"\n(?=\S)", (ROOT / "requirements.txt").read_text().rstrip())
    names = set()
    for entry in locked:
        pin, *hashes = entry.split(" \\\n    ")
        assert pin in pins and hashes, f"{pin}: run.py lock"
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", h) for h in hashes), pin
        names.add(canonicalize_name(Requirement(pin).name))
    apart = ("ray", "matrix", "site")
    for need in [*NEEDED, *(r for k in GROUPS if k not in apart for r in GROUPS[k])]:
        assert canonicalize_name(need.name) in names, f"{need.name} is not locked: run.py lock"
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert {Requirement(r).name for r in build} <= names


def test_what_the_site_installs_has_hashes_and_the_same_versions():
    """requirements-site.txt holds what the extra site needs; nothing in it moves what .venv has."""
    pins = {line.split(" ;")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()}
    locked = re.split(r"\n(?=\S)", (ROOT / "requirements-site.txt").read_text().rstrip())
    names = set()
    for entry in locked:
        pin, *hashes = entry.split(" \\\n    ")
        assert pin.split(" ;")[0] in pins and hashes, f"{pin}: run.py lock"
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", h) for h in hashes), pin
        names.add(canonicalize_name(Requirement(pin).name))
    assert {canonicalize_name(r.name) for r in GROUPS["site"]} <= names
    assert not names & {"torch", "torchvision"}, "the site's packages alone, not the library's"


def test_no_host_is_named():
    files = ("constraints.txt", "requirements.txt", "requirements-site.txt", "environment.yml")
    for name in (*files, "pyproject.toml"):
        text = (ROOT / name).read_text().replace("--hash=sha256:", "")
        assert "://" not in text and "--" not in text, name
    assert "uv.lock" in (ROOT / ".gitignore").read_text().split()


def test_the_library_alone_says_what_it_lacks(tmp_path):
    """A copy outside the checkout, without the workbook's packages: it trains, it finds the data
    when RSNL_ROOT names them, and it says what is missing.
    """
    shutil.copytree(ROOT / "rsnl_lib", tmp_path / "rsnl_lib")
    lacking = [r.name for k in ("workbook", "attack") for r in GROUPS[k] if r.name != "packaging"]
    lacking += ["IPython", "art"]
    code = f"import sys; sys.modules.update(dict.fromkeys({lacking})); sys.argv[0] = 'rsnl'"
    code += "; from rsnl_lib.__main__ import main; main(sys.argv[1:])"

    def rsnl(*words, **env):
        env = {**os.environ, "PYTHONPATH": str(tmp_path), "TQDM_DISABLE": "1", **env}
        return subprocess.run(
            [sys.executable, "-c", code, *words],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
        )

    words = "train --dataset digits --method standard --set epochs=1 --device cpu"
    done = rsnl(*words.split(), "--out", "o", "--rows", "r.csv")
    assert done.returncode == 0 and (tmp_path / "r.csv").is_file(), done.stderr
    assert "name it in RSNL_ROOT" in rsnl("reproduce", "--missing").stderr
    found = rsnl("reproduce", "--missing", RSNL_ROOT=str(ROOT))
    assert found.stdout.splitlines()[-1].endswith("of 180 cells"), found.stderr
    assert "holds no data/claims" in rsnl("register", RSNL_ROOT=str(tmp_path)).stderr
    assert "rsnl: matplotlib is not installed" in rsnl("page").stderr
