"""The page of a made-up house in a browser, with what must never go wrong on it."""

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, expect

from tests.fakes.page_api import PageApi
from tests.fakes.page_server import PageServer
from tests.helpers.browser import WAIT_MS, Visitor, visitors

expect.set_options(timeout=WAIT_MS)

# what a closed camera, a missing login and an unreachable daemon answer
EXPECTED = ("409 /api/picture/", "401 /api/", "503 /api/", "422 /api/config")


EVENT = f"{59:032x}"
VIEWS = ("now", "events", f"events/{EVENT}", "teach", "device")


@contextmanager
def house(
    browser: Browser,
    api: PageApi,
    view: str = "now",
    size: str = "desktop",
    *,
    language: str = "en-GB",
    scheme: str = "light",
) -> Iterator[Visitor]:
    """Open a view of a made-up house during the block. Afterwards nothing went wrong in the browser."""
    server = PageServer(api)
    try:
        with visitors(browser, f"{server.url}#{view}", size, language=language, scheme=scheme) as visitor:
            yield visitor
            assert visitor.errors == []
            assert visitor.strangers == set()
            assert [each for each in visitor.failed if not each.startswith(EXPECTED)] == []
    finally:
        server.close()


def go(visitor: Visitor, view: str) -> None:
    """Go to a view, as its link does."""
    visitor.page.evaluate("view => { location.hash = view }", view)
