"""figure3.html in a browser, from disk, with the network cut."""

import os
import pathlib
import shutil

import pytest

from rsnl_lib import store
from rsnl_lib.workbook.page import make as maker

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FILE = pathlib.Path(os.environ.get("RSNL_PAGE") or maker.OUT)  # mutate_page.py names another
browsing = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH")]


def still(page):
    """Wait until the page has drawn and counted what its controls say."""
    page.wait_for_function("() => shown && !due && !running")


def shots(page, name):
    if folder := os.environ.get("RSNL_SHOTS"):
        page.screenshot(path=pathlib.Path(folder) / f"page-{name}.png")


def each(frame):
    """A browser test."""
    for mark in browsing:
        frame = mark(frame)
    return frame


def page_networks():
    """{name in the page: network in PyTorch}, in the page's order."""
    paths = maker.network_paths()
    return {maker.page_name(m): store.load_checkpoint(path)[0] for m, path in paths.items()}
