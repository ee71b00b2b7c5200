"""The site is made without a network, holds every chapter, has no broken link or mute picture, asks
no other place for anything, and axe finds nothing in it, wide and narrow, light and dark.
"""

import importlib.util
import os
import pathlib
import re
import subprocess
import sys
import urllib.parse

import pytest
from bs4 import BeautifulSoup
from test_browser import CHROMIUM

from rsnl_lib.train.methods import METHODS
from rsnl_lib.workbook import render, site

LACKING = [m for m in ("sphinx", "myst_nb", "furo") if importlib.util.find_spec(m) is None]
pytestmark = pytest.mark.skipif(bool(LACKING), reason=f"no {', '.join(LACKING)}: extra site")
ROOT = pathlib.Path(__file__).resolve().parents[2]
CHAPTERS = [f"notebooks/{source.stem}.html" for source in render.chosen([])]
AXE = "async () => (await axe.run({resultTypes: ['violations']})).violations"
OFFLINE = """
import socket

def refuse(*args):
    raise OSError("no network in this test")

socket.socket.connect = socket.getaddrinfo = refuse
"""


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """The site's folder, made by a process that reaches no network."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "sitecustomize.py").write_text(OFFLINE)
    env = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "GITHUB_REPOSITORY": "me/it"}
    command = [sys.executable, "-m", "rsnl_lib.workbook.site", str(folder / "html")]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr, done.stderr
    return folder / "html"


@pytest.fixture(scope="session")
def pages(made):
    """{path from the site's root: page}."""
    found = sorted(made.rglob("*.html"))
    return {
        p.relative_to(made).as_posix(): BeautifulSoup(p.read_text(), "html.parser") for p in found
    }


def test_every_chapter_room_and_text_has_its_page(pages):
    texts = [page.replace(".md", ".html") for page in site.pages()]
    wanted = {"index.html", "methods.html", "api.html", "search.html", *site.FINISHED, *CHAPTERS}
    wanted |= {*texts[1:], *(f"api/{room}.html" for room in site.ROOMS)}
    assert wanted <= pages.keys(), wanted - pages.keys()
    shown = {a["href"] for a in pages["index.html"].select(".sidebar-tree a")}
    assert {*CHAPTERS, "methods.html", "api.html"} <= shown


def test_the_page_of_methods_has_a_row_for_each(pages):
    rows = pages["methods.html"].select("article tbody tr")
    assert len(rows) == len(METHODS)
    assert sum(bool(row.select(".math")) for row in rows) > len(METHODS) / 2
    told = pages["notebooks/03_training.html"].select(".cell_output table .math")
    assert len(told) > len(METHODS) / 2, "chapter 03 shows the page without its formulas"


def test_rooms_are_all_rooms():
    files = {p.stem for p in (ROOT / "rsnl_lib").glob("*.py")}
    rooms = {p.parent.name for p in (ROOT / "rsnl_lib").glob("*/__init__.py")}
    assert set(site.ROOMS) == {name for name in files | rooms if not name.startswith("__")}


def targets(page):
    """Every place that a page's links, pictures, scripts and styles name."""
    for tag, key in (("a", "href"), ("img", "src"), ("script", "src"), ("link", "href")):
        yield from (str(e[key]) for e in page.find_all(tag) if e.get(key))


def test_no_link_or_picture_is_broken(made, pages):
    broken = []
    ids = {name: {e["id"] for e in page.select("[id]")} for name, page in pages.items()}
    for name, page in pages.items():
        for target in targets(page) if name not in site.FINISHED else ():
            url = urllib.parse.urlsplit(target)
            if url.scheme:
                continue
            path = urllib.parse.unquote(url.path)
            path = os.path.normpath(os.path.join(os.path.dirname(name), path)) if path else name
            if not (made / path).is_file():
                broken.append((name, target))
            elif url.fragment and url.fragment not in ids.get(path, {url.fragment}):
                broken.append((name, target))
    assert not broken, broken


def test_every_picture_has_its_words(pages):
    images = [(name, i) for name, page in pages.items() for i in page.select("img")]
    mute = [(name, str(i)[:80]) for name, i in images if not i.get("alt", "").strip()]
    assert len(images) >= sum(len(pages[c].select("img")) for c in CHAPTERS) > 40
    assert not [m for m in mute if m[0] not in site.FINISHED], mute


def test_the_search_index_knows_the_chapters_and_the_functions(made):
    index = (made / "searchindex.js").read_text()
    for word in ("notebooks/05_noise_and_occlusion", "api/theorem", "sound_radii", "occlus"):
        assert word in index, word


def test_a_chapter_names_colab_and_binder_and_what_colab_needs(pages):
    for name in CHAPTERS:
        text = pages[name].get_text()
        book = pathlib.Path(name).with_suffix(".ipynb").name
        links = [a["href"] for a in pages[name].select("article a[href]")]
        assert any(
            f"colab.research.google.com/github/me/it/blob/HEAD/notebooks/{book}" in a for a in links
        )
        assert any(f"mybinder.org/v2/gh/me/it/HEAD?labpath=notebooks/{book}" in a for a in links)
        assert "we have run neither" in text and "git clone" in text
    assert not site.buttons("00_start_here", "")


@pytest.mark.parametrize(
    "text, shown",
    [
        ("see [five](05_b.ipynb) here", "see [five](05_b.ipynb) here"),
        ("[all](../README.md#x)", "[all](../index.md#x)"),
        ("[rows](../data/README.md)", "[rows](../data/README.md)"),
        ("[below](#Why-logits?)", "[below](#why-logits)"),
        ("![a one](05_b.ipynb#The-end)", "![a one](05_b.ipynb#the-end)"),
        ("[try it](../figure3.html)", '<a href="../figure3.html">try it</a>'),
        ("[`rows`](../data/rows.csv)", "`rows`"),
        ("`nets[m](x)` and [a](https://b.c/d)", "`nets[m](x)` and [a](https://b.c/d)"),
        ("```python\nnets[m](x)\n```", "```python\nnets[m](x)\n```"),
    ],
)
def test_links_hold_or_go(text, shown):
    known = {"notebooks/05_b.ipynb", "README.md", "data/README.md"}
    assert site.relinked(text, "notebooks/00_a.ipynb", known) == shown


def test_links_to_other_files_lead_to_the_repository_where_it_is_named():
    there = site.relinked("[rows](data/rows.csv)", "README.md", set(), "me/it")
    assert there == "[rows](https://github.com/me/it/blob/HEAD/data/rows.csv)"


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium on PATH")
    api = pytest.importorskip("playwright.sync_api", reason="no playwright")
    with api.sync_playwright() as playwright:
        yield playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
        )


@pytest.fixture
def tab(browser):
    """A tab that keeps what it asks for elsewhere, and what goes wrong."""
    page = browser.new_page()
    page.set_default_timeout(60_000)
    page.elsewhere, page.errors = [], []
    page.route(re.compile("^https?:"), lambda route: route.abort())
    page.on("request", lambda r: re.match("file:|data:|blob:", r.url) or page.elsewhere.append(r))
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    yield page
    page.close()


def shown(tab, path):
    tab.goto(path.as_uri())
    tab.evaluate("() => window.MathJax?.startup?.promise")


def test_axe_finds_nothing_wide_or_narrow_light_or_dark(made, pages, tab, record_property):
    axe = (ROOT / "tests/vendor/axe.min.js").read_text()
    found = []
    for name in pages.keys() - set(site.FINISHED):  # which tests/workbook looks at
        shown(tab, made / name)
        tab.evaluate(axe)
        for width in (1440, 700):
            tab.set_viewport_size({"width": width, "height": 900})
            for scheme in ("light", "dark"):
                tab.emulate_media(color_scheme=scheme)
                tab.wait_for_timeout(50)
                said = tab.evaluate(AXE)
                found += [(name, width, scheme, v["id"], v["nodes"][0]["html"][:90]) for v in said]
        assert not tab.elsewhere and not tab.errors, (name, tab.elsewhere, tab.errors)
    record_property("site", f"{len(pages)} pages, axe: {len(found)} violations")
    assert not found, found


def test_no_page_scrolls_sideways(made, pages, tab):
    wide = []
    for name in pages.keys() - set(site.FINISHED):
        shown(tab, made / name)
        for width in (1920, 1440, 1380, 1024, 700, 360):
            tab.set_viewport_size({"width": width, "height": 900})
            if tab.evaluate("document.documentElement.scrollWidth") > width:
                wide.append((name, width))
    assert not wide, wide


def test_formulas_are_typeset_and_the_search_finds(made, tab):
    shown(tab, made / "notebooks/02_losses.html")
    tab.locator("mjx-container svg").first.wait_for()
    assert not tab.locator("mjx-merror, [data-mjx-error]").count()
    tab.goto((made / "search.html").as_uri() + "?q=occlusion")
    tab.locator("#search-results li a").first.wait_for()
    assert not tab.elsewhere
    assert set(tab.errors) <= {"Failed to fetch"}  # the summaries, which a disk does not hand out
