"""The system's Chromium, and what tests of the page do with it over and over."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

CHROMIUM = shutil.which("chromium")
MISSING = "there is no Chromium: install the package chromium"
PATIENCE_MS = 20_000

_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_GRAVE = {"serious", "critical"}


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser with an empty profile."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(_ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


class Viewer:
    """Somebody in front of a browser of their own: its pages share cookies, storage and the stream of events.

    `complaints`: what the browser itself has complained of, such as a script that the page's policy forbids.
    """

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        self.url = url
        self.context: BrowserContext = browser.new_context(**options)
        self.context.set_default_timeout(PATIENCE_MS)
        self.complaints: list[str] = []

    def page(self, place: str = "#/batches") -> Page:
        """A new page at one of its places."""
        page = self.context.new_page()
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append(f"a dialog: {dialog.message}"))
        page.goto(f"{self.url}/{place}")
        page.wait_for_selector("h1")
        return page

    def _on_console(self, message: ConsoleMessage) -> None:
        # The browser also reports each answer that is an error; those are the page's to show.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.complaints.append(message.text)

    def close(self) -> None:
        """Close all of its pages."""
        self.context.close()


def grave_findings(page: Page, *rules: str) -> list[str]:
    """What axe finds serious or worse on a page as it is now, by all of its rules or by these."""
    only = {"runOnly": {"type": "rule", "values": list(rules)}} if rules else {}
    found = Axe().run(page, options={"resultTypes": ["violations"], **only}).response["violations"]
    return [
        f"{each['id']}: {[node['html'][:200] for node in each['nodes']]}" for each in found if each["impact"] in _GRAVE
    ]
