"""Fixtures of the page's tests."""

import contextlib

import pytest
from page_tools import CHROMIUM, FILE, still


def check(found, what):
    assert not found, f"{what}: {found}"


@pytest.fixture(scope="module")
def chromium():
    api = pytest.importorskip("playwright.sync_api", reason="no playwright")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
        )
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium):
    """A function that opens the page from disk with the network cut; afterwards nothing was asked
    for and the console is clean.
    """
    with contextlib.ExitStack() as stack:

        def open_page(script="", clean=True, address="", file=FILE, **options):
            context = chromium.new_context(
                **{"viewport": {"width": 1280, "height": 900}, **options}
            )
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
