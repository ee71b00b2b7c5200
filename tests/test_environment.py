"""environment.yml, constraints.txt and pyproject.toml say the same, and none of them names a
host.
"""

import pathlib
import tomllib

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = pathlib.Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NEEDED = [Requirement(r) for r in PROJECT["dependencies"]]
EXTRA = [Requirement(r) for group in PROJECT["optional-dependencies"].values() for r in group]


def test_conda_environment_lists_the_same():
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    conda = {r.name: r.specifier for r in (Requirement(d) for d in listed if isinstance(d, str))}
    assert str(conda.pop("python")) == PROJECT["requires-python"]
    conda.pop("pip")
    conda["torch"] = conda.pop("pytorch")
    assert conda == {r.name: r.specifier for r in NEEDED}
    assert [d for d in listed if isinstance(d, dict)] == [{"pip": ["-e ."]}]


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


def test_no_host_is_named():
    for name in ("constraints.txt", "environment.yml", "pyproject.toml"):
        text = (ROOT / name).read_text()
        assert "://" not in text and "--" not in text, name
    assert "uv.lock" in (ROOT / ".gitignore").read_text().split()
