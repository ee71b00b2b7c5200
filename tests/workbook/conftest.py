"""Fixtures of the page's tests."""

import contextlib
import os

import pytest
from page_tools import CHROMIUM, FILE, FIREFOX, still


def check(found, what):
    assert not found, f"{what}: {found}"


@pytest.fixture(scope="module")
def playwright():
    api = pytest.importorskip("playwright.sync_api", reason="no playwright")
    with api.sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def chromium(playwright):
    browser = playwright.chromium.launch(
        executable_path=CHROMIUM,
        args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
    )
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def firefox(playwright):
    """Playwright's Firefox, else that on PATH, if the two understand each other."""
    how = {}
    if not os.path.exists(playwright.firefox.executable_path):
        if FIREFOX is None:
            pytest.skip("no Firefox on PATH")
        how = {"channel": "moz-firefox", "executable_path": FIREFOX}
    browser = playwright.firefox.launch(**how)
    try:
        browser.new_context().close()
    except Exception as error:
        version = browser.version
        browser.close()
        pytest.skip(f"Firefox {version} and this playwright: {str(error).splitlines()[0]}")
    yield browser
    browser.close()


@pytest.fixture
def opened(request):
    """A function that opens the page from disk with the network cut; afterwards nothing was asked
    for and the console is clean. In Chromium, or where `both` says so.
    """
    browser = request.getfixturevalue(getattr(request, "param", "chromium"))
    with contextlib.ExitStack() as stack:

        def open_page(script="", clean=True, address="", file=FILE, **options):
            context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
            stack.callback(context.close)
            context.set_offline(True)
            context.add_init_script(script)
            page, asked, said = context.new_page(), [], []
            page.set_default_timeout(20_000)
            page.route(
                lambda url: not url.startswith(("file:", "blob:", "data:")),
                lambda route: (asked.append(route.request.url), route.abort()),
            )
            page.on(
                "request",
                lambda r: (
                    asked.append(r.url)
                    if not r.url.startswith(("blob:", "data:", file.as_uri()))
                    else None
                ),
            )
            page.on("console", lambda m: said.append(f"{m.type}: {m.text}"))
            page.on("pageerror", lambda e: said.append(f"uncaught: {e}"))
            page.goto(file.as_uri() + address)
            still(page)
            if clean:
                stack.callback(lambda: (check(asked, "requests"), check(said, "on the console")))
            return page

        yield open_page


@pytest.fixture
def page(opened):
    return opened()
