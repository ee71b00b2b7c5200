"""Sphinx's settings for the site; rsnl_lib/workbook/site.py gathers the pages."""

import importlib.metadata
import pathlib
import re

from rsnl_lib.env import ROOT
from rsnl_lib.workbook.site import FINISHED

project = "The Robust Student workbook"
author = "The Robust Student workbook authors"
copyright = "text and figures CC BY 4.0, code MIT"
extensions = ["myst_nb", "sphinx.ext.autodoc"]
exclude_patterns = []
suppress_warnings = ["myst.header", "mystnb.unknown_mime_type", "misc.highlighting_failure"]

nb_execution_mode = "off"  # what is stored is what is shown
nb_merge_streams = True
nb_render_markdown_format = "myst"
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_dmath_double_inline = True
myst_heading_anchors = 3

add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
default_role = "code"

html_theme = "furo"
html_title = project
html_copy_source = False
html_show_sphinx = False
html_use_index = False
html_domain_indices = False
html_extra_path = [str(ROOT / name) for name in FINISHED]
# MathJax as one file with its letters inside, so that no page asks another place for anything
MATHJAX = importlib.metadata.distribution("sphinx-mathjax-offline")
html_static_path = [
    "static",
    str(MATHJAX.locate_file("sphinx-mathjax-offline/static/mathjax/tex-svg.js")),
]
mathjax_path = "tex-svg.js"
html_css_files = ["site.css"]
html_js_files = [("site.js", {"defer": "defer"})]


def plain(app, what, name, obj, options, lines):
    """Docstrings are words with `names` in backticks: no other sign means anything in them."""
    parts = re.split(r"(`[^`]*`)", "\n".join(lines))
    parts[::2] = (re.sub(r"([*|_\\])", r"\\\1", part) for part in parts[::2])
    parts[1::2] = (f"\\ {part}\\ " for part in parts[1::2])  # may stand within a word
    lines[:] = "".join(parts).split("\n")


def skip(app, what, name, obj, skipped, options):
    """Fields of named tuples stand in the signature already."""
    return True if (getattr(obj, "__doc__", "") or "").startswith("Alias for field") else None


# what the theme and the notebooks' tables leave out of a page for those who listen to it
MENDED = [
    (r'role="heading"><span class="caption-text"', 'role="heading" aria-level="2"><span'),
    (r'<aside class="sidebar-drawer"', '<aside class="sidebar-drawer" aria-label="All pages"'),
    (r'<aside class="toc-drawer', '<aside aria-label="This page" class="toc-drawer'),
    (r"<th([^>]*)>\s*(?:<p></p>)?\s*</th>", r"<td\1></td>"),
    (
        r'(?=<div id="search-results">)',
        "<h1>Search</h1><p>Type a word into the field in the menu, then Enter.</p>",
    ),
]


def mend(app, error):
    """Set the words of MENDED into every page."""
    for page in () if error else pathlib.Path(app.outdir).rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for old, new in MENDED * (page.name not in FINISHED):
            text = re.sub(old, new, text)
        page.write_text(text, encoding="utf-8")


def setup(app):
    app.connect("build-finished", mend)
    app.connect("autodoc-process-docstring", plain)
    app.connect("autodoc-skip-member", skip)
