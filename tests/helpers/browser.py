"""Debian's Chromium, driven by Playwright. It reaches this machine only, and tells everything that goes wrong in it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Error, Page, Request, Response, sync_playwright

CHROMIUM = "/usr/bin/chromium"

# no name is looked up, and nothing but loopback is reached
HOSTS = "MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1"

OPTIONS = (
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--autoplay-policy=no-user-gesture-required",
    f"--host-resolver-rules={HOSTS}",
)

SIZES = {"desktop": (1280, 800), "phone": (390, 844), "narrow": (360, 640)}

# the rules of WCAG, levels A and AA
TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")

# Where nothing is promised of the time; only a failure takes so long.
WAIT_MS = 60_000


@dataclass
class Visitor:
    """One window of a browser with its own cookies, and what was wrong in it so far.

    `errors` are messages of the console and errors of scripts. `strangers` are the hosts that were asked beside the
    page's own, and `failed` answers with a status of 400 and more, unless a test takes them out.
    """

    context: BrowserContext
    page: Page
    errors: list[str] = field(default_factory=list)
    strangers: set[str] = field(default_factory=set)
    failed: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Begin to note what goes wrong."""
        self.page.on("console", self._hear)
        self.page.on("pageerror", self._take)
        self.page.on("request", self._note)
        self.page.on("response", self._check)

    def _hear(self, message: ConsoleMessage) -> None:
        # what fails to load is in `failed`
        if message.type in ("error", "warning") and not message.text.startswith("Failed to load resource"):
            self.errors.append(f"{message.type}: {message.text} ({message.location.get('url', '')})")

    def _note(self, request: Request) -> None:
        host = urlsplit(request.url).hostname
        if host not in (None, "127.0.0.1", "localhost"):
            self.strangers.add(str(host))

    def _take(self, error: Error) -> None:
        self.errors.append(str(error))

    def _check(self, answer: Response) -> None:
        if answer.status >= 400:
            self.failed.append(f"{answer.status} {urlsplit(answer.url).path}")

    def shot(self, directory: Path, name: str) -> None:
        """Keep a picture of the whole page."""
        directory.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=directory / f"{name}.png", full_page=True)

    def is_too_wide(self) -> bool:
        """Return whether the page must be scrolled sideways."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth > window.innerWidth"))

    def violations(self) -> list[str]:
        """Return what axe-core finds against levels A and AA: the rule, and the elements."""
        # in the test's own world, where the page's policy does not apply
        self.page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8"))
        options = {"runOnly": {"type": "tag", "values": list(TAGS)}}
        found = self.page.evaluate("options => axe.run(document, options)", options)
        return [
            f"{rule['id']}: {', '.join(' '.join(map(str, node['target'])) for node in rule['nodes'])}; {rule['help']}"
            for rule in found["violations"]
        ]


@contextmanager
def browsers() -> Iterator[Browser]:
    """Run Chromium during the block."""
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*OPTIONS, *sandbox])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def visitors(
    browser: Browser, url: str, size: str = "desktop", *, language: str = "en-GB", scheme: str = "light"
) -> Iterator[Visitor]:
    """Open a window at `url` during the block. `size` is one of SIZES."""
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        has_touch=size != "desktop",
        locale=language,
        color_scheme="dark" if scheme == "dark" else "light",
    )
    context.set_default_timeout(WAIT_MS)
    visitor = Visitor(context, context.new_page())
    visitor.watch()
    try:
        visitor.page.goto(url)
        yield visitor
    finally:
        context.close()
