"""Chapters 06 and 09: every number stands in a row, a printed cell or a definition; every cell says
what is behind it; claims are older than their rows.
"""

import csv
import functools
import html
import re
import subprocess

import nbformat
import pytest
from rounding import PIXELS

from rsnl_lib import env, store
from rsnl_lib.study import claims, jobs, paper, paper_jobs
from rsnl_lib.study.results import Results
from rsnl_lib.workbook import claim_figures, paper_tables, render

BOOKS = ("06_tables", "07_adversarial", "08_boundary", "09_claims")
# numbers of the prose that no row answers for: conventions of this project, sizes, names of papers
DEFINED = {
    "06_tables": {
        "95",
        "100",
        "500",
        "96-192-192",
        "1302.4389",
        "1412.6550",
        "3 x 3",
        "64-64-64-64",
        "32-48-64-64",
        "29,944",
        "9,044,360",
        "249,576",
    },
    "07_adversarial": {
        "1706.06083",
        "1807.01069",
        "1901.08573",
        "1904.12843",
        "1905.09747",
        "2003.01690",
        "2023",
        "2106.04928",
        "2108.07969",
        "2312.03286",
    },
    "08_boundary": {"1805.05532", "1901.08573"},
    "09_claims": {
        "95",
        ".05",
        "23",
        "0.4",
        "0.3",
        "1.1",
        "1412.6550",
        "1503.02531",
        "1803.00443",
        "1706.04859",
        "1705.08475",
        "1905.09747",
        "1912.05699",
        "2110.12072",
        "2019",
        "10.1109",
        "1905.11468",
        "1910.05057",
        "2001.06057",
        "1901.10513",
        "2004.05704",
        "2106.05945",
        "2510.12615",
        "2205.16004",
        "2312.03286",
    },
}
NUMBER = re.compile(r"(?<![\w.-])-?\d+(?:[.,]\d+)*")


@functools.cache
def done():
    return Results(store.result_rows(env.RESULTS))


@pytest.fixture(scope="module", params=BOOKS)
def book(request):
    return request.param, nbformat.read(render.BOOKS / f"{request.param}.ipynb", as_version=4)


def said(nb):
    """All text that the code cells put out."""
    out = []
    for cell in nb.cells:
        for o in cell.get("outputs", []):
            out.append(o.get("text", ""))
            out += [o.get("data", {}).get(kind, "") for kind in ("text/plain", "text/html")]
    return html.unescape(PIXELS.sub("", "\n".join(out)))


def test_every_number_in_the_prose_is_computed_printed_or_defined(book):
    name, nb = book
    shown = {n.lstrip("+-") for n in re.findall(r"[-+]?\d+(?:[.,]\d+)*", said(nb))} | {
        c["printed"].rstrip("KM") for c in paper.cells()
    }
    defined = {n for text in DEFINED[name] for n in (text, *NUMBER.findall(text))}
    lost = []
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            prose = re.sub(r"```.*?```|`[^`]*`|\$[^$]*\$|\]\([^)]*\)", " ", cell.source, flags=re.S)
            lost += [
                n
                for n in NUMBER.findall(prose)
                if n.lstrip("-") not in shown | defined
                and ("." in n or int(n.replace(",", "")) > 12)
            ]
    assert not lost, f"{name}: {lost} are in the prose and in no output"


def test_no_cell_without_what_is_behind_it():
    timed = paper_jobs.timed()
    for name in paper.TABLES:
        cells = paper.cells(name)
        answers = [paper_jobs.answer(c, done(), speed=timed) for c in cells]
        shown = paper_tables.table_html(cells, answers, name)
        assert shown.count("<td title=") == len(cells)
        for c, a in zip(cells, answers):
            if c["kind"] == "measured" and a["seeds"]:
                assert (
                    re.search(
                        r"recipe short, \d+ seeds? \([\d, ]+\), n \d+ each, .*CPU.*, commit \w",
                        a["told"],
                    )
                    and a["profile"] == "short"
                )
            else:
                assert a["told"] and a["profile"] == ""


def test_no_claim_without_what_is_behind_it():
    judged = claims.judge_claims(done())
    shown = claim_figures.claims_table(judged, done()).data
    assert shown.count("<tr title=") == len(judged)
    for c in judged:
        told = claim_figures.evidence(c, done())
        assert html.escape(told) in shown
        assert all(
            word in told
            for word in (
                ("recipe", "seeds", "n ", "CPU", "commit") if c["n"] else ("no seed run yet",)
            )
        )


def git(*words):
    return subprocess.run(["git", *words], cwd=env.ROOT, capture_output=True, text=True)


def test_each_claim_was_committed_before_its_rows():
    if git("rev-parse", "--is-shallow-repository").stdout.strip() != "false":
        pytest.skip("no whole git history here")
    asked = {
        text.split(")", 1)[1].strip().split(",")[0]: text.split()[0].lstrip("^")
        for text in git("blame", "-l", "data/claims.csv").stdout.splitlines()
    }
    seen = done()
    rows = {}
    for c in claims.read_lines():
        for seed in c["seeds"]:
            for side in "ab":
                job = claims.side_job(c, side, seed)
                if (
                    job.method != "teacher"
                    # two of them were measured before, as chapter 09 says; what is judged are
                    # students
                ):
                    found = seen.find(job)
                    for key in claims.conditions(c):
                        if key in found:
                            rows.setdefault((c["claim"], found[key]["commit"]), key)
    for (name, commit), _ in rows.items():
        assert not commit.endswith("+"), (
            f"{name}: rows of {commit}, with changes that were not committed"
        )
        assert git("merge-base", "--is-ancestor", asked[name], commit).returncode == 0, (
            f"{name} was changed in {asked[name]}, after its rows of {commit}"
        )


def first(rows, **want):
    return next(i for i, r in enumerate(rows) if all(r[k] == v for k, v in want.items()))


def test_a_row_changed_by_hand_changes_a_cell():
    rows = store.result_rows(env.RESULTS)
    cell = next(c for c in paper.cells("VI") if c["cell"] == "VI.kd.error")
    before = paper_jobs.answer(cell, Results(rows))
    i = first(
        rows,
        dataset="mnist",
        method="kd",
        network="mnist_student",
        recipe="short",
        settings="",
        train_noise="",
        perturbation="clean",
        seed="0",
    )
    rows[i] = {**rows[i], "correct": str(int(rows[i]["correct"]) - 300)}
    after = paper_jobs.answer(cell, Results(rows))
    assert (before["ours"], before["mark"]) != (after["ours"], after["mark"])


def test_a_seed_taken_away_changes_a_verdict_or_its_n():
    rows = store.result_rows(env.RESULTS)
    before = [(c["claim"], c["n"], c["verdict"]) for c in claims.judge_claims(Results(rows))]
    seeds = {c["seed"] for c in rows if c["dataset"] == "mnist" and c["method"] == "robust"}
    fewer = [
        r
        for r in rows
        if not (r["dataset"] == "mnist" and r["method"] == "robust" and r["seed"] == max(seeds))
    ]
    after = [(c["claim"], c["n"], c["verdict"]) for c in claims.judge_claims(Results(fewer))]
    assert (before != after) == (max(seeds) != "0")


def test_what_was_copied_is_in_the_papers_cells():
    with open(env.ROOT / "data" / "copied.csv", newline="") as f:
        rows = list(csv.DictReader(f))
    known = claims.copied(paper.cells())
    assert (
        len(rows) == len(known) == len({r["cell"] for r in rows}) == 51
        and sum(same for _, same in known) == 37
    )
    assert {
        c["cell"]
        for c, same in known
        if same and c["cell"].startswith("VI.") and c["kind"] == "measured"
    } == {f"VI.{m}.error" for m in ("teacher", "standard", "kd", "fitnet")}


def test_what_cannot_be_tested_names_its_cells():
    names = {
        t for row in store.lines(env.ROOT / "data" / "untested.csv") for t in row["tables"].split()
    }
    assert names == {"I", "II", "IV", "V", "VII"} and all(
        row["why"] and row["says"] for row in store.lines(env.ROOT / "data" / "untested.csv")
    )


def test_the_big_table_of_results_is_what_the_rows_say():
    table = (
        (env.ROOT / "RESULTS.md")
        .read_text()
        .split("| digits | clean |")[1]
        .split("\n\n")[0]
        .splitlines()[2:]
    )
    names = {
        "teacher": "teacher",
        "standard": "standard",
        "KD": "kd",
        "FitNet": "fitnet",
        "BSS": "bss",
        "robust": "robust",
        "*target zero*": "target_zero",
        "*noise augmented*": "noise_augmented",
        "adversarial training": "pgd_at",
        "TRADES": "trades",
        "robust teacher": "robust_teacher",
        "KD by it": "kd by pgd_at",
        "robust by it": "robust by pgd_at",
        "ARD by it": "ard by pgd_at",
        "Fast-ARD by it": "fast_ard by pgd_at",
    }
    rows = jobs.everyone("digits")
    columns = (
        ("clean", 0, ""),
        ("gaussian", 3, "dB"),
        ("poisson", 3, "dB"),
        ("occlusion", 4, "pixels"),
        ("pgd", 0.15, "linf"),
    )
    alike = [
        r
        for r in store.lines(env.RESULTS / "similarity.csv")
        if r["dataset"] == "digits" and r["recipe"] == "short" and not r["settings"]
    ]
    assert len(table) == len(names)
    for line in table:
        cells = [c.strip() for c in line.strip("| ").split("|")]
        name = names[cells[0].split(" (")[0]]
        mine = rows[rows.method == name]
        for told, (kind, level, unit) in zip(cells[1:6], columns, strict=True):
            some = mine[(mine.perturbation == kind) & (mine.level == level) & (mine.unit == unit)]
            assert (
                some.seed.nunique() == 5 and told == f"{100 * (some.correct / some.n).mean():.1f}"
            ), f"{name}, {kind}: {told}"
        angles = [float(r["ang"]) for r in alike if jobs.who(r) == name]
        assert cells[6].split()[0] == f"{sum(angles) / len(angles):.3f}"[1:] and len(angles) >= 4, (
            f"{name}: AngSim {cells[6]}"
        )
