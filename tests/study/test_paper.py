"""The printed numbers: all there, consistent with one another, keyed as our rows are; the ledger;
and our shares in the paper's units.
"""

import csv
import shutil
from collections import Counter

import pytest
from torch import nn

from rsnl_lib import networks, store, train
from rsnl_lib.data import catalogue
from rsnl_lib.study import paper

CELLS = {c["cell"]: c for c in paper.cells()}
MEASURED = [c for c in CELLS.values() if c["kind"] == "measured"]
STUDENTS = ("student1", "student2", "student3", "student4")
SUMS = {
    "I": 2455.87,
    "II": 2916.96,
    "III": 1412.16,
    "IV": 1087.43,
    "V": 3648.9,
    "VI": 5.37,
    "VII": 817.56,
    "2a": 116.53,
}


def value(cell):
    return CELLS[cell]["value"]


def half_step(printed):
    """Half of the last digit of "250K", "1.6M" or "90.25", as a plain number."""
    digits, factor = (
        (printed[:-1], {"K": 1e3, "M": 1e6}[printed[-1]]) if printed[-1] in "KM" else (printed, 1)
    )
    return 0.5 * factor / 10 ** len(digits.partition(".")[2])


def test_189_cells_each_once_and_how_many_by_table_data_set_and_kind():
    assert len(paper.cells()) == len(CELLS) == 189
    assert {t: len(paper.cells(t)) for t in paper.TABLES} == {
        "I": 28,
        "II": 40,
        "III": 15,
        "IV": 14,
        "V": 40,
        "VI": 13,
        "VII": 34,
        "2a": 5,
    }
    assert {d: len(paper.cells(dataset=d)) for d in paper.PAPER_SETS} == {
        "cifar10": 129,
        "cifar100": 27,
        "mnist": 25,
        "usps": 8,
    }
    assert Counter(c["kind"] for c in CELLS.values()) == {
        "measured": 150,
        "counted": 25,
        "quoted": 9,
        "timed": 5,
    }
    assert [c["cell"] for c in paper.cells("III", "usps")][:2] == [
        "III.teacher.usps-usps",
        "III.teacher.usps-mnist",
    ]
    assert not paper.cells("V", "mnist")


@pytest.mark.parametrize(
    "cell, printed, number, place, key",
    [
        (
            "I.kd.G/P",
            "82.14",
            82.14,
            "Table I, row KD, column G/P",
            ("cifar10", "kd", "cifar_student4", "gaussian 10 dB", "poisson", 10, "dB"),
        ),
        (
            "I.robust.G/P",
            "90.50",
            90.5,
            "Table I, row Robust, column G/P",
            ("cifar10", "robust", "cifar_student4", "", "poisson", 10, "dB"),
        ),
        (
            "II.cifar100.robust.10",
            "55.11",
            55.11,
            "Table II, CIFAR100, row Robust, column 10x10 block",
            ("cifar100", "robust", "cifar_student4", "", "occlusion", 10, "pixels"),
        ),
        (
            "III.teacher.usps-mnist",
            "86.88",
            86.88,
            "Table III, row Teacher, USPS2MNIST, column MNIST",
            ("usps", "teacher", "mnist_teacher", "", "mnist", 0, "test"),
        ),
        (
            "IV.nin.cifar10",
            "91.20",
            91.2,
            "Table IV, row Network in Network, column CIFAR-10",
            ("cifar10", "nin", "nin", "", "clean", 0, ""),
        ),
        (
            "V.kd.cat",
            "84.4",
            84.4,
            "Table V, row KD, column cat",
            ("cifar10", "kd", "cifar_student4", "", "class", 3, "label"),
        ),
        (
            "VI.robust.error",
            "0.45",
            0.45,
            "Table VI, row Robust, column Misclass",
            ("mnist", "robust", "mnist_student", "", "clean", 0, ""),
        ),
        (
            "VI.teacher.weights",
            "361K",
            361_000,
            "Table VI, row Teacher, column #params",
            ("mnist", "", "mnist_teacher", "", "", None, ""),
        ),
        (
            "VII.student2.speed-up",
            "4.56",
            4.56,
            "Table VII, row Student 2, column Speed-up Ratio",
            ("cifar10", "", "cifar_student2", "", "", None, ""),
        ),
        (
            "VII.teacher.multiplications",
            "725M",
            725e6,
            "Table VII, row Teacher, column #mult",
            ("cifar10", "", "cifar_teacher", "", "", None, ""),
        ),
        (
            "VII.robust.student3.accuracy",
            "91.50",
            91.5,
            "Table VII, row Student 3, column Robust",
            ("cifar10", "robust", "cifar_student3_counts", "", "clean", 0, ""),
        ),
        (
            "fig2a.robust.accuracy",
            "98.17",
            98.17,
            "Sec. V-B, text on Fig. 2(a)",
            ("mnist", "robust", "mnist_student", "", "gaussian", 2, "dB"),
        ),
        (
            "fig2a.kd.drop",
            "7.25",
            7.25,
            "Sec. V-B, text on Fig. 2(a)",
            ("mnist", "kd", "mnist_student", "", "gaussian", 1, "dB"),
        ),
    ],
)
def test_a_cell_of_each_table_by_hand(cell, printed, number, place, key):
    c = CELLS[cell]
    assert (c["printed"], c["value"], c["place"], paper.key(c)) == (printed, number, place, key)
    assert type(c["value"]) is float and type(c["bold"]) is bool


def test_the_value_is_the_printed_figure_and_the_unit_goes_with_the_quantity():
    units = {
        "accuracy": "%",
        "error": "%",
        "drop": "points",
        "speed-up": "x",
        "compression": "x",
        "layers": "",
        "weights": "",
        "multiplications": "",
    }
    kinds = {
        "speed-up": "timed",
        "compression": "counted",
        "layers": "counted",
        "weights": "counted",
        "multiplications": "counted",
    }
    for c in CELLS.values():
        factor = {"K": 1e3, "M": 1e6}.get(c["printed"][-1], 1)
        assert c["value"] == pytest.approx(float(c["printed"].rstrip("KM")) * factor, rel=1e-12), c
        assert c["printed_unit"] == units[c["quantity"]], c
        assert c["kind"] == kinds.get(
            c["quantity"],
            "quoted" if c["method"] in ("maxout_published", "nin", "dsn") else "measured",
        ), c


def test_the_sums_of_the_printed_rates():
    """A changed digit changes a sum; these were added up from the paper's tables, not from the
    file.
    """
    rates = ("accuracy", "error", "drop")
    sums = {
        t: round(sum(c["value"] for c in paper.cells(t) if c["quantity"] in rates), 2)
        for t in paper.TABLES
    }
    assert sums == SUMS


def test_what_is_bold_in_table_one_and_in_the_columns_of_two():
    robust = {f"I.robust.{k}" for k in ("C/C", "C/G", "C/P", "G/P", "P/G")}
    assert {c["cell"] for c in paper.cells("I") if c["bold"]} == robust | {
        "I.fitnet.G/G",
        "I.fitnet.P/P",
    }
    for dataset in ("cifar10", "cifar100"):
        for size in (2, 4, 6, 8, 10):
            column = [c for c in paper.cells("II", dataset) if c["level"] == size]
            assert [c["bold"] for c in column] == [
                c["value"] == max(d["value"] for d in column) for c in column
            ], (dataset, size)
    assert sum(c["bold"] for c in CELLS.values()) == 7 + 10 + 2 + 4 + 0 + 2 + 1


def test_name_place_and_key_of_a_cell_say_the_same():
    labels = "plane car bird cat deer dog frog horse ship truck".split()
    row = {"teacher": "Teacher", "kd": "KD", "fitnet": "FitNet", "robust": "Robust"}
    for c in paper.cells("II"):
        assert c["cell"] == f"II.{c['dataset']}.{c['method']}.{c['level']}"
        assert (
            c["place"] == f"Table II, {c['dataset'].upper()}, row {row[c['method']]}, column"
            f" {c['level']}x{c['level']} block"
        )
    for c in paper.cells("III"):
        seen = c["dataset"] if c["perturbation"] == "clean" else c["perturbation"]
        assert c["cell"] == f"III.{c['method']}.{c['dataset']}-{seen}"
        assert (
            c["place"] == f"Table III, row {row[c['method']]},"
            f" {'MNIST2USPS' if c['dataset'] == 'mnist' else 'USPS2MNIST'}, column"
            f" {seen.upper()}"
        )
    for c in paper.cells("V"):
        assert (
            c["cell"] == f"V.{c['method']}.{labels[c['level']]}"
            and c["place"] == f"Table V, row {row[c['method']]}, column {labels[c['level']]}"
        )
    for c in paper.cells("I"):
        assert (
            c["place"] == f"Table I, row {row[c['method']]}, column {c['cell'].split('.')[2]}"
            and c["cell"].split(".")[1] == c["method"]
        )
    assert len({c["place"] for c in CELLS.values()}) == 189 - 4  # the five of the text share one


def test_the_key_is_made_of_columns_of_our_rows():
    assert set(paper.KEY) < set(store.COLUMNS)


def test_measured_cells_are_keyed_to_methods_networks_and_levels_that_exist():
    assert len(MEASURED) == 150
    for name, dataset in {(c["network"], c["dataset"]) for c in MEASURED}:
        networks.build(name, 100 if dataset == "cifar100" else 10)
    for c in MEASURED:
        assert c["method"] in train.METHODS, c
        if not c["cell"].startswith("VII."):
            assert c["network"] == catalogue.network_for(c["dataset"], c["method"]), c
        if c["perturbation"] in ("clean", "gaussian", "poisson", "occlusion"):
            assert (c["perturbation"], c["level"], c["unit"]) in catalogue.levels(c["dataset"]), c
        elif c["perturbation"] == "class":
            assert c["dataset"] == "cifar10" and c["level"] in range(10) and c["unit"] == "label", c
        else:
            assert {c["dataset"], c["perturbation"]} == {"mnist", "usps"} and (
                c["level"],
                c["unit"],
            ) == (0, "test"), c


def test_training_noise_is_that_of_table_ones_first_letter_but_for_the_robust_row():
    letter = {"C": "clean", "G": "gaussian", "P": "poisson"}
    for c in paper.cells("I"):
        before, after = (letter[k] for k in c["cell"].split(".")[2].split("/"))
        assert c["perturbation"] == after and c["level"] == (0 if after == "clean" else 10), c
        assert c["train_noise"] == (
            "" if before == "clean" or c["method"] == "robust" else f"{before} 10 dB"
        ), c
    assert not any(c["train_noise"] for c in CELLS.values() if not c["cell"].startswith("I."))


def test_cells_of_one_key_and_quantity_print_one_number():
    seen = {}
    for c in CELLS.values():
        assert seen.setdefault((paper.key(c), c["quantity"]), c["value"]) == c["value"], c
    assert (
        len(seen) == 189 - 4 - 4 - 3 - 3
    )  # again: robust G/G to P/G of Table I, its C/C in IV, three of these in VII, 30K in VI


@pytest.mark.parametrize("method", ["teacher", "kd", "fitnet", "robust"])
def test_clean_accuracies_agree_between_tables(method):
    ten = [c["value"] for c in paper.cells("V") if c["method"] == method]
    assert len(ten) == 10 and sum(ten) / 10 == pytest.approx(
        value(f"IV.{method}.cifar10"), abs=1e-9
    )  # 1,000 images a class: one decimal is exact
    assert value(f"I.{method}.C/C") == value(f"IV.{method}.cifar10")
    if method != "kd":
        assert value(
            "VII.teacher.accuracy" if method == "teacher" else f"VII.{method}.student4.accuracy"
        ) == value(f"IV.{method}.cifar10")
    assert value(f"VI.{method}.error") == pytest.approx(
        100 - value(f"III.{method}.mnist-mnist"), abs=1e-9
    )


def test_compression_is_the_ratio_of_the_printed_weights():
    for net in ("teacher", *STUDENTS):
        ratio = value("VII.teacher.weights") / value(f"VII.{net}.weights")
        assert (
            abs(ratio - value(f"VII.{net}.compression"))
            <= half_step(CELLS[f"VII.{net}.compression"]["printed"]) + 1e-9
        )


def test_our_networks_have_the_printed_counts():
    for c in CELLS.values():
        if c["quantity"] in ("layers", "weights", "multiplications"):
            net = networks.build(c["network"])
            weights, mults = networks.count(net, catalogue.SHAPES[c["network"].split("_")[0]])
            layers = sum(isinstance(m, (nn.Conv2d, nn.Linear)) for m in net.modules())
            ours = {"layers": layers, "weights": weights, "multiplications": mults}[c["quantity"]]
            assert abs(ours - c["value"]) <= half_step(c["printed"]) * (
                c["quantity"] != "layers"
            ), (c["cell"], ours)


def test_the_speed_ups_by_hand():
    assert [c["value"] for c in paper.cells("VII") if c["quantity"] == "speed-up"] == [
        1,
        13.17,
        4.56,
        1.40,
        1.58,
    ]


def test_the_ledger_has_38_entries_in_words_and_every_number_a_cell_names():
    entries = paper.ledger()
    assert list(entries) == list(range(1, 39))
    for n, e in entries.items():
        assert (
            set(e) == {"where", "problem", "choice"}
            and e["where"]
            and e["problem"].endswith(".")
            and e["choice"].endswith(".")
        ), n
    assert {n for c in CELLS.values() for n in c["ledger"]} == set(range(16, 37))


@pytest.mark.parametrize(
    "entry, cells",
    [
        (20, [c for c in CELLS if ".student3." in c]),
        (21, [c for c in CELLS if c.endswith("speed-up")]),
        (27, ["I.teacher.C/G", "I.teacher.C/P"]),
        (23, ["III.robust.mnist-mnist", "VI.robust.error"]),
        (24, ["III.kd.mnist-mnist", "VI.kd.error"]),
        (28, [c for c in CELLS if c.startswith("I.") and not c.endswith("C/C")]),
        (30, [c for c in CELLS if c.endswith(".drop")]),
        (32, [c for c in CELLS if c.startswith("II.")]),
    ],
)
def test_which_cells_an_entry_touches(entry, cells):
    assert cells and [c for c in CELLS if entry in CELLS[c]["ledger"]] == cells


@pytest.mark.parametrize(
    "cell, share, clean, printed",
    [
        ("I.kd.G/P", 0.8214, None, 82.14),
        ("V.kd.cat", 1, None, 100),
        ("VI.robust.error", 0.9955, None, 0.45),
        ("VI.kd.error", 0, None, 100),
        ("fig2a.kd.drop", 0.9210, 0.9935, 7.25),
        ("fig2a.robust.drop", 0.99, 0.98, -1),
        ("I.kd.C/C", 0.5, 0.9, 50),
    ],
)
def test_as_printed_by_hand(cell, share, clean, printed):
    assert paper.as_printed(CELLS[cell], share, clean) == pytest.approx(printed, abs=1e-9)


@pytest.mark.parametrize(
    "cell, words, said",
    [
        ("I.kd.C/C", (91.07,), "share=91.07 must lie between 0 and 1"),
        ("VI.kd.error", (-0.1,), "share=-0.1 must lie"),
        ("I.kd.C/C", (float("nan"),), "share=nan must be a finite number"),
        ("I.kd.C/C", ("0.9",), "share='0.9' must be a finite number"),
        (
            "fig2a.kd.drop",
            (0.9,),
            "fig2a.kd.drop is a drop; give the share of correct answers on clean images as `clean`",
        ),
        ("fig2a.kd.drop", (0.9, 99.35), "clean=99.35 must lie between 0 and 1"),
        (
            "VII.student2.speed-up",
            (0.5,),
            "quantity='speed-up' is unknown; choose one of: accuracy, error, drop",
        ),
    ],
)
def test_what_is_no_share_is_refused(cell, words, said):
    with pytest.raises(ValueError) as error:
        paper.as_printed(CELLS[cell], *words)
    assert said in str(error.value)


@pytest.mark.parametrize(
    "words, said",
    [
        (("VIII",), "table='VIII' is unknown; choose one of: I, II, III, IV, V, VI, VII, 2a"),
        ((1,), "table=1 is unknown"),
        (("",), "table='' is unknown"),
        (
            (None, "digits"),
            "dataset='digits' is unknown; choose one of: cifar10, cifar100, mnist, usps",
        ),
        (("I", "CIFAR10"), "dataset='CIFAR10' is unknown"),
    ],
)
def test_an_unknown_table_or_data_set_is_named_with_the_choices(words, said):
    with pytest.raises(ValueError) as error:
        paper.cells(*words)
    assert said in str(error.value)


@pytest.fixture
def copy(tmp_path, monkeypatch):
    for name in ("paper.csv", "ledger.csv"):
        shutil.copy(paper.DATA / name, tmp_path)
    monkeypatch.setattr(paper, "DATA", tmp_path)
    return tmp_path


@pytest.mark.parametrize("name, read", [("paper.csv", paper.cells), ("ledger.csv", paper.ledger)])
def test_a_missing_or_damaged_file_is_named_with_the_remedy(copy, name, read):
    path, whole = copy / name, (copy / name).read_bytes()
    lines = whole.splitlines(keepends=True)
    for harm in (
        b"",
        b"\x89PNG\r\n\x1a\n" * 9,
        whole[:-9],
        whole[: len(whole) // 2],
        b"".join(lines[:-1]),
        whole + lines[-1],
        whole.replace(lines[0].split(b",")[0], b"other", 1),
        whole.replace(lines[3], lines[3].replace(b",", b";"), 1),
        whole[:40] + b'"' + whole[40:],
    ):
        path.write_bytes(harm)
        with pytest.raises(ValueError) as error:
            read()
        assert f"{path} is damaged" in str(
            error.value
        ) and f"bring it back with: git restore data/{name}" in str(error.value), harm[:60]
    path.unlink()
    with pytest.raises(FileNotFoundError) as error:
        read()
    assert f"there is no {path}" in str(error.value) and f"git restore data/{name}" in str(
        error.value
    )


@pytest.mark.parametrize(
    "old, new, said",
    [
        (",90.25,90.25,", ",9O.25,90.25,", "line 2 (could not convert string to float: '9O.25')"),
        (",90.25,90.25,", ",nan,90.25,", "line 2 (number=nan must be a finite"),
        (
            "cifar10,teacher",
            "cifar,teacher",
            "line 2 (dataset='cifar' is unknown; choose one of: cifar10,",
        ),
        (",%,0,measured", ",%,0,meazured", "line 2 (kind='meazured'"),
        (",%,0,measured", ",%,x,measured", "line 2 (bold='x'"),
        ("17 19 34 35", "17 19 34;35", "line 2 (invalid literal"),
        (",clean,0,,", ",clean,zero,,", "line 2 (could not"),
    ],
)
def test_a_bad_entry_of_the_numbers_is_named_with_its_line(copy, old, new, said):
    text = (copy / "paper.csv").read_text()
    (copy / "paper.csv").write_text(text.replace(old, new, 1))
    with pytest.raises(ValueError) as error:
        paper.cells()
    assert f"paper.csv is damaged in {said}" in str(error.value)


def test_the_files_are_plain_csv_with_the_columns_that_the_module_names():
    for name, columns in (("paper.csv", paper.CELL_COLUMNS), ("ledger.csv", paper.LEDGER_COLUMNS)):
        content = (paper.DATA / name).read_bytes()
        assert content.isascii() and b"\r" not in content
        assert {len(row) for row in csv.reader(content.decode().splitlines())} == {len(columns)}


def test_the_neighbours_cells_are_whole_and_each_says_where_it_was_read():
    rows = paper.neighbours()
    assert len(rows) == 33 and round(sum(r["value"] for r in rows), 2) == 2330.01
    for r in rows:
        assert (
            r["method"] in train.METHODS
            and r["perturbation"] in ("clean", "pgd")
            and 0 < r["value"] < 100
            and r["read_at"]
            and ("1905.09747" in r["place"] or "1805.05532" in r["place"])
        )
    by = {(r["place"], r["method"], r["network"], r["perturbation"]): r["value"] for r in rows}
    assert (
        by["arXiv 1905.09747, Table 3", "kd", "MobileNetV2", "pgd"] == 38.21
        and by["rerun of arXiv 1905.09747", "kd", "MobileNetV2", "pgd"] == 11.6
    )
    assert by["arXiv 1805.05532, Table 1", "bss", "ResNet8", "clean"] == 87.32
