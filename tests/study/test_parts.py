"""Packing in parts: what goes in comes out, and any damage is named before a file is laid."""

import json

import pytest

from rsnl_lib.data import sets
from rsnl_lib.study import parts


@pytest.fixture
def packed(tmp_path):
    (tmp_path / "in").mkdir()
    files = {}
    for name, content in (
        ("a.bin", bytes(range(256)) * 40),
        ("deep/b.bin", b"b" * 5000),
        ("empty", b""),
    ):
        path = tmp_path / "in" / name.replace("/", "_")
        path.write_bytes(content)
        files[name] = path
    made = parts.pack(files, tmp_path / "out", "set", size=1500, compress=False)
    return files, tmp_path / "out", made


def test_what_goes_in_comes_out_in_small_parts(packed, tmp_path):
    files, out, made = packed
    assert (
        len(made) > 5
        and all(p.stat().st_size <= 1500 for p in made)
        and [p.name for p in made[:2]] == ["set.00", "set.01"]
    )
    parts.unpack(out, tmp_path / "back", "set")
    assert {
        str(p.relative_to(tmp_path / "back")): p.read_bytes()
        for p in (tmp_path / "back").rglob("*")
        if p.is_file()
    } == {name: p.read_bytes() for name, p in files.items()}


def test_a_shorter_pack_leaves_no_old_part(packed):
    files, out, made = packed
    again = parts.pack({"empty": files["empty"]}, out, "set", size=20_000, compress=False)
    assert sorted(p.name for p in out.iterdir()) == ["set.00", "set.parts.json"] and len(again) == 1


def damage(out, made):
    piece = bytearray(made[1].read_bytes())
    piece[7] ^= 1
    made[1].write_bytes(piece)


def swap(out, made):
    told = json.loads((out / "set.parts.json").read_text())
    told["sha256"] = "0" * 64
    (out / "set.parts.json").write_text(json.dumps(told))


@pytest.mark.parametrize(
    "harm, says",
    [
        (damage, "set.01 is damaged: its SHA-256"),
        (lambda out, made: made[2].unlink(), "lacks set.02 of"),
        (swap, "do not make the whole"),
        (lambda out, made: (out / "set.parts.json").unlink(), "has no set.parts.json"),
        (lambda out, made: (out / "set.parts.json").write_text("{}"), "damaged"),
    ],
)
def test_damage_is_named_and_nothing_is_laid(packed, tmp_path, harm, says):
    _, out, made = packed
    harm(out, made)
    with pytest.raises(ValueError, match=says):
        parts.unpack(out, tmp_path / "back", "set")
    assert not (tmp_path / "back").exists()


def test_a_missing_file_cannot_be_packed(tmp_path):
    with pytest.raises(ValueError, match="nothing is missing"):
        parts.pack({"x": tmp_path / "nothing"}, tmp_path, "set")
    assert list(tmp_path.iterdir()) == []


def test_a_data_set_travels_in_parts(tmp_path, monkeypatch, capsys):
    """`rsnl data NAME --pack` and `--unpack`, and the files' own checksums at the end; a small data
    set stands for the large ones.
    """
    import hashlib

    from rsnl_lib.__main__ import main

    content = {"one": b"1" * 3000, "two": bytes(range(256)) * 9}
    monkeypatch.setitem(
        sets.SOURCES,
        "USPS",
        {f"inside/{k}": hashlib.md5(v).hexdigest() for k, v in content.items()},
    )
    (tmp_path / "here" / "inside").mkdir(parents=True)
    for name, raw in content.items():
        (tmp_path / "here" / "inside" / name).write_bytes(raw)
    main(["data", "usps", "--folder", str(tmp_path / "here"), "--pack", str(tmp_path / "box")])
    main(["data", "usps", "--folder", str(tmp_path / "there"), "--unpack", str(tmp_path / "box")])
    assert {p.name: p.read_bytes() for p in (tmp_path / "there" / "inside").iterdir()} == content
    assert "put together and verified" in capsys.readouterr().out
