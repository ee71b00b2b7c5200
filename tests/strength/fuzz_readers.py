"""What fuzz.py reads: a reader each with the inputs drawn for it. An input is a small description
(edits of a shipped file, words, values) that Python can read back from its text.
"""

import hashlib
import io
import json
import pathlib
import struct
import tarfile
import zlib
from typing import NamedTuple
from unittest import mock

import numpy as np
from fuzz_inputs import (
    EDITS,
    JSON,
    NUMBERS,
    RAW,
    SCALARS,
    TABLE,
    TEXTS,
    edited,
    good_row,
    head,
    lay,
    packed,
    plain,
    table,
)
from hypothesis import strategies as st
from PIL import Image

from rsnl_lib import data, env, networks, store
from rsnl_lib.__main__ import main
from rsnl_lib.data import own, sets
from rsnl_lib.study import campaign, merge, mistakes, parts, register
from rsnl_lib.study.results import Results, share_right
from rsnl_lib.train import recipes
from rsnl_lib.workbook import chapter


class Reader(NamedTuple):
    """Inputs, and what reads one: its files are laid in the first folder, made in the second."""

    inputs: st.SearchStrategy
    read: object  # function of (input, inside, out)
    prepare: object = None  # function of out: what is there before


# result rows and curves
DIGITS, CURVES = env.RESULTS / "digits.csv", env.RESULTS / "curves.csv"


def rows(drawn, inside, out):
    how, change = drawn
    path = inside / "digits.csv"
    lay(inside, {path.name: table(DIGITS, *change)})
    if how == "append":
        store.append(path, [good_row(DIGITS)])
    elif how == "frame":
        store.frame(path)
    else:
        for found in Results(store.result_rows(inside)).values():
            for row in found.values():
                assert 0 <= share_right(row) <= 1, f"{row['correct']} of {row['n']} was let in"


def curves(drawn, inside, out):
    how, change = drawn
    path = inside / "curves.csv"
    lay(inside, (packed if how == "packed" else plain)(CURVES, *change))
    if how == "append":
        store.append(path, [good_row(CURVES)], store.CURVE_COLUMNS)
    elif how == "frame":
        store.frame(path)
    else:
        store.lines(path)


# checkpoints: (a header's keys changed, bytes of the header's JSON, bytes of the file)
NET = env.CHECKPOINTS / "digits_mlp_student-robust-tau4-s0.safetensors"
NETWORK_NAMES = ["cifar_teacher@500", "digits_mlp_student@1e9", "mnist_student@nan"]
HEADER = st.dictionaries(
    st.sampled_from("network classes dataset method seed settings recipe teacher epoch".split()),
    TEXTS | st.sampled_from([*NETWORK_NAMES, "1000000000"]),
    max_size=2,
)
CHECKPOINT = st.tuples(HEADER, EDITS | st.just([]), EDITS | st.just([]))
ONE_NET = st.one_of(
    st.tuples(HEADER, st.just([]), st.just([])),
    st.tuples(st.just({}), EDITS, st.just([])),
    st.tuples(st.just({}), st.just([]), EDITS),
    CHECKPOINT,
)


def checkpoint(drawn) -> bytes:
    changed, in_header, in_file = drawn
    raw = NET.read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    told = json.loads(raw[8 : 8 + size])
    told["__metadata__"] |= changed
    header = edited(json.dumps(told).encode(), in_header)
    return edited(struct.pack("<Q", len(header)) + header + raw[8 + size :], in_file)


def checkpoints(drawn, inside, out):
    how, change = drawn
    lay(inside, {"net.safetensors": checkpoint(change)})
    net = networks.build("digits_mlp_student") if how == "given" else None
    net, _ = store.load_checkpoint(inside / "net.safetensors", net)
    assert all(v.isfinite().all() for v in net.state_dict().values()), "NaN or inf was let in"


# a campaign's folder: one of its files changed, one perhaps renamed
STEM = NET.stem
PLACES = ("rows/{}.csv", "curves/{}.csv", "mistakes/{}.npz", "{}.safetensors")
STEMS = st.sampled_from([STEM, "x", "curves", ".x", "..x", "a b", "x" * 200, "-x", "é", "x\ny"])
CAMPAIGN = st.tuples(
    STEMS,
    st.one_of(
        st.tuples(st.just("rows"), TABLE),
        st.tuples(st.just("curves"), TABLE),
        st.tuples(st.just("mistakes"), EDITS),
        st.tuples(st.just("net"), ONE_NET),
    ),
)


def campaign_files(drawn) -> dict:
    stem, (which, change) = drawn
    said = io.BytesIO()
    np.savez_compressed(said, said=np.full((2, 9), mistakes.RIGHT, np.uint8))
    whole = ("bytes", [])
    made = {
        "rows": table(DIGITS, *(change if which == "rows" else whole)),
        "curves": table(CURVES, *(change if which == "curves" else whole)),
        "mistakes": edited(said.getvalue(), change if which == "mistakes" else []),
        "net": checkpoint(change if which == "net" else ({}, [], [])),
    }
    return {place.format(stem): raw for place, raw in zip(PLACES, made.values())}


def shipped(out):
    """Results that hold the first row of the campaign's four already."""
    lay(out, {"results/digits.csv": head(DIGITS, 2)})


def take_in(inside, out):
    merge.merge(inside, out / "results", out / "checkpoints", out / "aside")
    assert {p.name for p in out.iterdir()} <= {"results", "checkpoints", "aside"}, "stray"
    curves = out / "results" / "curves.csv"
    wanted = ",".join(store.CURVE_COLUMNS).encode()
    assert not curves.exists() or curves.read_bytes().startswith(wanted), "rows among the curves"


def campaigns(drawn, inside, out):
    lay(inside, campaign_files(drawn))
    take_in(inside, out)


# packs: their bytes changed, what parts.json says, or a strange tar with right sums
MEMBERS = st.lists(
    st.tuples(
        TEXTS | st.sampled_from(["rows/x.csv", "usps.bz2", "usps.t.bz2", "cache/zca.safetensors"]),
        st.sampled_from([tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE])
        | st.sampled_from([tarfile.FIFOTYPE, tarfile.CHRTYPE, b"Z"]),
        TEXTS,  # where a link leads
        st.sampled_from([0, 9, 9_000_000]),  # bytes of zeros
    ),
    max_size=3,
)
TOLD = st.dictionaries(st.sampled_from(["bytes", "sha256", "parts"]), JSON, min_size=1, max_size=2)
TOLD |= st.dictionaries(TEXTS, TEXTS, min_size=1, max_size=2).map(lambda sums: {"parts": sums})
PACK = st.one_of(
    st.tuples(st.just("part"), EDITS),
    st.tuples(st.just("json"), EDITS),
    st.tuples(st.just("told"), TOLD),
    st.tuples(st.just("tar"), MEMBERS),
    st.tuples(st.just("no tar"), EDITS),
)


def pack(name, files, drawn, inside) -> None:
    """A pack of `files` ({name: bytes}) in `inside`, changed as drawn."""
    which, change = drawn
    tape = io.BytesIO()
    members = [(k, tarfile.REGTYPE, "", v) for k, v in files.items()]
    members = change if which == "tar" else members
    with tarfile.open(fileobj=tape, mode="w:xz" if name == "usps" else "w") as tar:
        for inner, kind, link, content in members:
            content = bytes(content) if kind == tarfile.REGTYPE else b""
            one = tarfile.TarInfo(inner)
            one.type, one.linkname, one.size = kind, link, len(content)
            tar.addfile(one, io.BytesIO(content))
    raw = tape.getvalue()
    raw = edited(raw, change) if which == "no tar" else raw
    sums = {f"{name}.00": parts._sha256(raw)}
    told = {"bytes": len(raw), "sha256": parts._sha256(raw), "parts": sums}
    told = json.dumps(told | (change if which == "told" else {})).encode()
    raw = edited(raw, change) if which == "part" else raw
    told = edited(told, change) if which == "json" else told
    lay(inside, {f"{name}.00": raw, f"{name}.parts.json": told})


def packed_campaigns(drawn, inside, out):
    pack("campaign", campaign_files(("x", ("mistakes", []))), drawn, inside)
    take_in(inside, out)


USPS = {"usps.bz2": b"one" * 99, "usps.t.bz2": b"two" * 99}  # stand for the large ones
SUMS = {"USPS": {name: hashlib.md5(raw).hexdigest() for name, raw in USPS.items()}}


def packed_sets(drawn, inside, out):
    pack("usps", USPS, drawn, inside)
    with mock.patch.dict(sets.SOURCES, SUMS):
        main(["data", "usps", "--unpack", str(inside), "--folder", str(out)])
    assert {p.name: p.read_bytes() for p in out.iterdir()} == USPS, "other files were laid"


# pictures
def _png(edits) -> bytes:
    """Chunks of a PNG edited, their checksums right again, so that the decoder sees the edits."""
    raw, made = _picture("PNG", "RGBA"), b"\x89PNG\r\n\x1a\n"
    at, number = 8, 0
    while at < len(raw):
        size = struct.unpack(">I", raw[at : at + 4])[0]
        kind, body = raw[at + 4 : at + 8], raw[at + 8 : at + 8 + size]
        body = edited(body, [e[1:] for e in edits if e[0] == number])
        made += struct.pack(">I", len(body)) + kind + body
        made += struct.pack(">I", zlib.crc32(kind + body))
        at, number = at + 12 + size, number + 1
    return made


def _picture(kind, mode) -> bytes:
    raw = io.BytesIO()
    ink = np.add.outer(np.arange(12), np.arange(12)) * 10
    Image.fromarray(ink.astype(np.uint8)).convert(mode).save(raw, kind)
    return raw.getvalue()


FORMATS = [("PNG", "L"), ("PNG", "P"), ("PNG", "I;16"), ("JPEG", "RGB"), ("JPEG", "CMYK")]
FORMATS += [("GIF", "P"), ("TIFF", "L"), ("BMP", "RGB"), ("WEBP", "RGB"), ("ICO", "RGBA")]
CHUNKS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 1000), st.sampled_from([0, 1, 4]), RAW),
    min_size=1,
    max_size=3,
)
PICTURE = st.tuples(st.sampled_from(FORMATS), EDITS) | st.tuples(st.just(("PNG", "")), CHUNKS)


def pictures(drawn, inside, out):
    how, (form, edits) = drawn
    raw = edited(_picture(*form), edits) if form[1] else _png(edits)
    if how == "bytes":
        lay(inside, {"picture": raw})
        found = own.own_picture(raw)
        assert found.isfinite().all() and 0 <= found.min() <= found.max() <= 1.001, "no ink"
        return
    good = {
        f"set/{c}/{i}.bmp": _picture("BMP", "L") + bytes([c, i]) for c in (0, 1) for i in (1, 2)
    }
    lay(inside, good | {f"set/{c}/0": raw + bytes([c]) for c in (0, 1)})
    own.own_folder(inside / "set")


# a notebook's parameters: (the injected cell, or what stands in its place; values as Python text)
VALUES = SCALARS.map(repr) | st.sampled_from(["[1]", "{}", "(1, 2)", "b'x'", "1j", "10**30", "-1"])
CELL = st.sampled_from(["seed = 1", "sede = 1", "!ls", "%time", "seed=", "x, seed = 1, 2", "a.b=1"])
CELL |= st.text(max_size=9)
GIVEN = CELL.map(lambda text: ["", f"# Parameters\n{text}"]) | JSON
USED = st.dictionaries(st.sampled_from([*chapter.CHECKS, "other"]), VALUES, max_size=3)


def notebook_parameters(drawn, inside, out):
    given, used = drawn
    names = {"nan": float("nan"), "inf": float("inf"), "__builtins__": {}}
    chapter.parameters({"In": given}, **{k: eval(v, names) for k, v in used.items()})


# the command line's words
def _setting(text):
    key, value = recipes.setting(text)
    recipes.recipe("short", "digits", "robust", **{key: value})


PARSERS = {
    "setting": _setting,
    "budget": campaign.budget,
    "teachers": register.teachers,
    "network": networks.build,
    "device": env.device,
    "folder": data.load,
}
SETTING = st.tuples(st.sampled_from(list(recipes.SETTINGS)), TEXTS).map("=".join)
NUMBER = st.tuples(st.sampled_from(NUMBERS), st.sampled_from("smh-")).map("".join)
WIDTH = st.tuples(st.sampled_from(list(networks.NETWORKS)), st.sampled_from("@+"), TEXTS)
TEXT = TEXTS | SETTING | NUMBER | WIDTH.map("".join) | st.sampled_from(["cuda:99", "meta", "mps"])
LINES = [
    "train --dataset nosuch --set {}",
    "train --dataset nosuch --method {}",
    "train --dataset nosuch --recipe {}",
    "train --dataset nosuch --network {}",
    "train --dataset nosuch --seed {}",
    "train --dataset nosuch --device {}",
    "train --dataset nosuch --init {}",
    "train --dataset nosuch --train-noise gaussian --train-snr {}",
    "train --dataset nosuch --out {}",
    "train --dataset nosuch --rows {}",
    "margins {}",
    "attack {} --kinds pgd",
    "similarity --threads {} x",
    "ladder --images {} x",
    "reproduce --merge {}",
    "reproduce --missing --budget {}",
]


def parsers(drawn, inside, out):
    which, text = drawn
    if which in PARSERS:
        if text not in sets.DATASETS:
            PARSERS[which](text)
        return
    first, _, rest = which.partition("{}")
    with mock.patch.object(env, "data_folder", lambda folder=None: pathlib.Path(out)):
        main([*first.split(), text, *rest.split()])


def with_how(change, *how):
    return st.tuples(st.sampled_from(how), change)


READERS = {
    "rows": Reader(with_how(TABLE, "results", "frame", "append"), rows),
    "curves": Reader(with_how(TABLE, "lines", "frame", "append", "packed"), curves),
    "checkpoints": Reader(with_how(ONE_NET, "built", "given"), checkpoints),
    "campaigns": Reader(CAMPAIGN, campaigns, shipped),
    "packed campaigns": Reader(PACK, packed_campaigns, shipped),
    "packed sets": Reader(PACK, packed_sets, lambda out: lay(out, USPS)),
    "pictures": Reader(with_how(PICTURE, "bytes", "folder"), pictures),
    "parameters": Reader(st.tuples(GIVEN, USED), notebook_parameters),
    "parsers": Reader(st.tuples(st.sampled_from([*PARSERS, *LINES]), TEXT), parsers),
}
