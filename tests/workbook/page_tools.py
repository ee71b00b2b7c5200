"""The pages in a browser, from disk, with the network cut."""

import math
import os
import pathlib
import shutil
import statistics

import numpy as np
import pytest

from rsnl_lib import store
from rsnl_lib.workbook.page import make as maker

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FIREFOX = shutil.which("firefox") or shutil.which("firefox-esr")
FILE = pathlib.Path(os.environ.get("RSNL_PAGE") or maker.OUT)  # mutate_page.py names another
PHOTOGRAPH = FILE.with_name("photograph.html")
AXE = pathlib.Path(__file__).parents[1] / "vendor/axe.min.js"
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


def both(frame):
    """A test in Chromium and in Firefox."""
    return pytest.mark.parametrize("opened", ["chromium", "firefox"], indirect=True)(each(frame))


def page_networks():
    """{name in the page: network in PyTorch}, in the page's order."""
    paths = maker.network_paths()
    return {maker.page_name(m): store.load_checkpoint(path)[0] for m, path in paths.items()}


def axe(page):
    """[what axe's rules find broken, how many rules passed]."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text("utf-8"))
    return page.evaluate(
        "axe.run({resultTypes: ['violations', 'passes']}).then((r) => [r.violations.map((v)"
        " => v.id + ': ' + v.nodes.map((n) => n.html).join(' ')), r.passes.length])"
    )


# From the key's own time stamp to the first frame that shows a new picture and new bars for the
# slider's value, and to that frame's end.
WATCH = """() => { window.moves = []; window.pending = false;
    const now = () => [...document.querySelectorAll('.card:not([hidden]) .now')];
    const state = () => $('seen').toDataURL() + now().map((p) => p.getAttribute('d')).join();
    document.addEventListener('keydown', (e) => {
        const old = state(), start = e.timeStamp, since = () => performance.now() - start;
        window.pending = true;
        const look = () => {
            if (shown.s.snr !== +$('snr').value || state() === old)
                return requestAnimationFrame(look);
            const frame = since(), end = new MessageChannel();
            end.port1.onmessage = () => {
                window.moves.push([frame, since()]);
                window.pending = false; };
            end.port2.postMessage(0); };
        requestAnimationFrame(look); }, true); }"""


def within(values, share):
    return sorted(values)[math.ceil(share * len(values)) - 1]


def time_moves(page):
    """(95th percentile in ms, that and more in words) of 50 moves of the SNR by key, each move in
    its best of three runs: what else the machine does is not the page's.
    """
    page.evaluate(WATCH)
    page.locator("#snr").focus()
    runs = []
    for _ in range(3):
        page.evaluate("() => { window.moves = []; }")
        for i in range(50):
            page.keyboard.press("ArrowRight" if i // 5 % 2 == 0 else "ArrowLeft")
            page.wait_for_function("() => !window.pending")
        runs.append(page.evaluate("window.moves"))  # it ends where it began
    frames, painted = (np.array([[m[i] for m in run] for run in runs]) for i in (0, 1))
    best = frames.min(0)
    said = (
        f"median {statistics.median(best):.0f} ms, p95 {within(best, 0.95):.0f} ms (50 moves, each"
    )
    said += f" the best of three; all 150: p95 {within(frames.ravel(), 0.95):.0f} ms; load"
    said += f" {os.getloadavg()[0]:.1f}), painted p95 {within(painted.min(0), 0.95):.0f} ms"
    return within(best, 0.95), said
