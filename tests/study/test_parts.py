"""Packing in parts: what goes in comes out, and any damage is named before a file is laid."""

import hashlib
import io
import json
import lzma
import os
import subprocess
import sys
import tarfile

import pytest

from rsnl_lib import files
from rsnl_lib.__main__ import main
from rsnl_lib.data import sets
from rsnl_lib.study import merge, parts


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


# Packs of strangers ------------------------------------------------------------------------------


def cut(folder, name, raw, **told):
    """A pack of `raw` whose sums are right, and `told` in place of what parts.json should say."""
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.00").write_bytes(raw)
    sha = hashlib.sha256(raw).hexdigest()
    says = {"bytes": len(raw), "sha256": sha, "parts": {f"{name}.00": sha}} | told
    (folder / f"{name}.parts.json").write_text(json.dumps(says))
    return folder


def tape(*members, **more):
    """The bytes of a tar of (name, content or what else its header says)."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", **more) as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
            else:
                for key, value in content.items():
                    setattr(member, key, value)
                tar.addfile(member)
    return raw.getvalue()


def sparse():
    """A tar of one file that says 8 TB, nothing of it written."""
    member = tarfile.TarInfo("a.bin")
    member.type, member.size = tarfile.GNUTYPE_SPARSE, 0
    raw = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    raw[483:495] = b"77777777777\0"
    raw[148:156] = b"%06o\0 " % tarfile.calc_chksums(raw[:512])[0]
    return bytes(raw) + bytes(10240 - 512)


def negative():
    """A tar of one file of -512 bytes."""
    raw = bytearray(tape(("a.bin", b"")))
    raw[124:136] = b"\xff" * 10 + b"\xfe\x00"
    raw[148:156] = b"%06o\0 " % tarfile.calc_chksums(raw[:512])[0]
    return bytes(raw)


GOOD = ("a.bin", b"good")
ODD_TARS = {
    "a name above": tape(GOOD, ("../x", b"bad")),
    "an absolute name": tape(GOOD, ("/tmp/x", b"bad")),
    "a name with a backslash": tape(GOOD, ("..\\x", b"bad")),
    "a drive": tape(GOOD, ("C:x", b"bad")),
    "a hidden name": tape(GOOD, (".profile", b"bad")),
    "a name above inside": tape(GOOD, ("deep/../../x", b"bad")),
    "an empty name": tape(GOOD, ("", b"bad")),
    "a name with a line end": tape(GOOD, ("x\ny", b"bad")),
    "a symbolic link": tape(GOOD, ("x", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"})),
    "a hard link": tape(GOOD, ("x", {"type": tarfile.LNKTYPE, "linkname": "/etc/passwd"})),
    "a device": tape(GOOD, ("x", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 5})),
    "a FIFO": tape(GOOD, ("x", {"type": tarfile.FIFOTYPE})),
    "a folder": tape(GOOD, ("x", {"type": tarfile.DIRTYPE})),
    "a file twice": tape(GOOD, ("a.bin", b"bad")),
    "a file of 8 TB": sparse(),
    "a negative size": negative(),
    "a cut end": tape(GOOD)[:1024],
    "a cut file": tape(("a.bin", bytes(5000)))[:2000],
    "a broken second header": tape(GOOD)[:1024] + b"x" * 512 + bytes(1024),
    "no tar": b"hello" * 1000,
    "gzip": b"\x1f\x8b" + bytes(100),
    "xz cut off": lzma.compress(os.urandom(9000))[:5000],
    "xz of no tar": lzma.compress(b"hello" * 1000),
    "two xz": lzma.compress(tape(GOOD)) + lzma.compress(tape(GOOD)),
    "300 MB out of 46 kB": lzma.compress(bytes(300 * 2**20), preset=0),
}


@pytest.mark.parametrize("raw", ODD_TARS.values(), ids=ODD_TARS)
def test_of_an_odd_pack_nothing_is_laid(raw, tmp_path):
    cut(tmp_path / "box", "set", raw)
    with pytest.raises(ValueError, match="the pack of set .*pack its files again"):
        parts.unpack(tmp_path / "box", tmp_path / "back", "set")
    assert [p.name for p in tmp_path.iterdir()] == ["box"]


SHA = "0" * 64
ODD_LISTS = {
    "a part elsewhere": {"parts": {"../set.00": SHA}},
    "an absolute part": {"parts": {"/etc/passwd": SHA}},
    "a part left out": {"parts": {"set.01": SHA}},
    "no parts": {"parts": {}},
    "a list of parts": {"parts": ["set.00"]},
    "parts of another kind": {"parts": 3},
    "a sum of another kind": {"parts": {"set.00": None}},
    "a short sum": {"sha256": "ab"},
    "a number as sum": {"sha256": 7},
    "negative bytes": {"bytes": -1},
    "no bytes": {"bytes": 0},
    "huge bytes": {"bytes": 10**30},
    "bytes as text": {"bytes": "10240"},
    "bytes as a float": {"bytes": 10240.0},
    "true bytes": {"bytes": True},
    "infinite bytes": {"bytes": float("inf")},
    "2,000 parts": {"parts": {f"set.{i:02}": SHA for i in range(2000)}},
}


@pytest.mark.parametrize("told", ODD_LISTS.values(), ids=ODD_LISTS)
def test_an_odd_list_of_parts_is_refused(told, tmp_path):
    cut(tmp_path / "box", "set", tape(GOOD), **told)
    with pytest.raises(ValueError, match="set.parts.json is damaged .*copy the parts again"):
        parts.unpack(tmp_path / "box", tmp_path / "back", "set")
    assert [p.name for p in tmp_path.iterdir()] == ["box"]


@pytest.mark.parametrize("text", ["[]", "7", "[" * 100_000, "{", "\0", "9" * 5000, "x" * 2**21])
def test_what_is_no_list_of_parts_is_refused(text, tmp_path):
    (cut(tmp_path / "box", "set", tape(GOOD)) / "set.parts.json").write_text(text)
    with pytest.raises(ValueError, match="set.parts.json is damaged"):
        parts.unpack(tmp_path / "box", tmp_path / "back", "set")


@pytest.mark.parametrize("size", [10239, 10241, 2**20])
def test_parts_of_another_length_than_told_are_refused(size, tmp_path):
    cut(tmp_path / "box", "set", tape(GOOD), bytes=size)
    with pytest.raises(ValueError, match="do not make the whole|larger than 10,239 bytes"):
        parts.unpack(tmp_path / "box", tmp_path / "back", "set")


def test_any_flipped_header_byte_is_refused_in_words_or_harmless(tmp_path):
    raw = tape(("a.bin", b"good" * 200), ("deep/b.bin", b"more"), format=tarfile.PAX_FORMAT)
    for i in (*range(0, 512), *range(1536, 2048, 3)):
        for value in (0, 0x2F, 0x80, 0xFF):
            odd = bytearray(raw)
            odd[i] = value
            start = i // 512 * 512
            if not 148 <= i % 512 < 156:  # a checksum that fits
                total = tarfile.calc_chksums(bytes(odd[start : start + 512]))[0]
                odd[start + 148 : start + 156] = b"%06o\0 " % total
            try:
                found = parts._files(bytes(odd), "set", parts.ANY_FILE)
                assert all(map(parts.ANY_FILE.fullmatch, found))
            except ValueError as error:
                assert "the pack of set" in str(error)


@pytest.fixture
def usps(tmp_path, monkeypatch):
    """A folder with the files of a small data set that stands for USPS."""
    content = {"usps.bz2": b"1" * 3000, "usps.t.bz2": bytes(range(256)) * 9}
    sums = {name: hashlib.md5(raw).hexdigest() for name, raw in content.items()}
    monkeypatch.setitem(sets.SOURCES, "USPS", sums)
    (tmp_path / "here").mkdir()
    return content, tmp_path / "here"


def everything(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    "change, says",
    [
        ({"usps.bz2": b"bad"}, "holds another usps.bz2 than was published"),
        ({"cache/zca-0.safetensors": b"planted"}, "another cache/zca-0.safetensors"),
        ({"runs/x.state": b"planted"}, "another runs/x.state"),
        ({"usps.t.bz2": None}, "lacks usps.t.bz2"),
    ],
)
def test_good_files_stay_and_others_than_the_data_sets_are_refused(usps, tmp_path, change, says):
    content, here = usps
    (here / "usps.bz2").write_bytes(b"MY GOOD FILE")
    inside = {name: raw for name, raw in (content | change).items() if raw is not None}
    cut(tmp_path / "box", "usps", tape(*inside.items()))
    with pytest.raises(SystemExit, match=f"{says}.*pack"):
        main(["data", "usps", "--folder", str(here), "--unpack", str(tmp_path / "box")])
    assert everything(here) == {"usps.bz2": b"MY GOOD FILE"}


def test_a_damaged_file_is_replaced_by_the_good_one_of_a_pack(usps, tmp_path):
    content, here = usps
    (here / "usps.bz2").write_bytes(b"damaged")
    cut(tmp_path / "box", "usps", tape(*content.items()))
    main(["data", "usps", "--folder", str(here), "--unpack", str(tmp_path / "box")])
    assert everything(here) == content
    assert sorted(p.name for p in here.iterdir()) == sorted(content)


def test_a_move_that_fails_is_taken_back(usps, tmp_path, monkeypatch):
    content, here = usps
    (here / "usps.bz2").write_bytes(b"MINE")
    cut(tmp_path / "box", "usps", tape(*content.items()))
    move = os.replace

    def full(source, place):
        if str(place).endswith("here/usps.t.bz2"):
            raise OSError(28, "No space left on device")
        move(source, place)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(SystemExit, match="usps.t.bz2 cannot be written .*nothing was changed"):
        main(["data", "usps", "--folder", str(here), "--unpack", str(tmp_path / "box")])
    assert everything(here) == {"usps.bz2": b"MINE"}


def test_what_a_killed_unpacking_left_goes_with_the_next_and_a_living_ones_stays(usps, tmp_path):
    content, here = usps
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    mine = files.mark_of(parts.UNPACKING)
    dead, living = (here / mine.replace(f".{os.getpid()}.", f".{n}.") for n in (gone.pid, 1))
    for left in (dead, living):
        left = left.with_name(f"{left.name}x.part")
        (left / "new").mkdir(parents=True)
        (left / "new/usps.bz2").write_bytes(b"half")
    cut(tmp_path / "box", "usps", tape(*content.items()))
    main(["data", "usps", "--folder", str(here), "--unpack", str(tmp_path / "box")])
    left = [p.name for p in here.iterdir() if p.name.startswith(parts.UNPACKING)]
    assert left == [f"{living.name}x.part"]


def test_a_folder_in_a_files_place_is_refused(usps, tmp_path):
    content, here = usps
    (here / "usps.t.bz2").mkdir()
    (here / "usps.t.bz2" / "mine").write_bytes(b"MINE")
    cut(tmp_path / "box", "usps", tape(*content.items()))
    with pytest.raises(SystemExit, match="usps.t.bz2 is a folder; name a file"):
        main(["data", "usps", "--folder", str(here), "--unpack", str(tmp_path / "box")])
    assert everything(here) == {"usps.t.bz2/mine": b"MINE"}


@pytest.mark.parametrize("name", ["digits", "../usps", "minst"])
def test_what_has_no_files_has_no_pack(name, tmp_path):
    with pytest.raises(SystemExit, match="is unknown; choose one of: mnist"):
        main(["data", name, "--folder", str(tmp_path), "--unpack", str(tmp_path)])


@pytest.mark.parametrize(
    "name", ["x.py", "rows/x.safetensors", "rows/deep/x.csv", "runs/x.state", "mistakes/x.csv"]
)
def test_of_a_campaign_only_what_merge_takes_is_unpacked(name, tmp_path):
    cut(tmp_path / "box", "campaign", tape((name, b"planted")))
    with pytest.raises(ValueError, match=f"holds '{name}', which is none of its files"):
        merge.merge(tmp_path / "box", tmp_path / "r", tmp_path / "s", tmp_path / "a")
    assert [p.name for p in tmp_path.iterdir()] == ["box"]


def test_a_file_of_an_odd_name_is_not_packed_and_said(tmp_path, capsys):
    (tmp_path / "work" / "rows").mkdir(parents=True)
    for name in ("my notes.csv", "good.csv"):
        (tmp_path / "work" / "rows" / name).write_bytes(b"")
    merge.pack_results(tmp_path / "work", tmp_path / "box")
    assert "left out, no name that a campaign gives: rows/my notes.csv" in capsys.readouterr().out
    parts.unpack(tmp_path / "box", tmp_path / "back", "campaign", merge.CAMPAIGN_FILE)
    assert everything(tmp_path / "back") == {"rows/good.csv": b""}


def test_what_an_old_torchvision_made_is_not_read(usps):
    content, here = usps
    for name, raw in content.items():
        (here / name).write_bytes(raw)
    assert sets.files("usps", here) == here
    (here / "USPS" / "processed").mkdir(parents=True)
    with pytest.raises(ValueError, match="processed is what an old torchvision made.*delete"):
        sets.files("usps", here)
