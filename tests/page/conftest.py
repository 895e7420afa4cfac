"""The browser that tests of the page share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from support.service import browser

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

expect.set_options(timeout=browser.PATIENCE_MS)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The system's Chromium; without one the test is skipped."""
    if browser.CHROMIUM is None:
        pytest.skip(browser.MISSING)
    with browser.chromium() as started:
        yield started


@pytest.fixture
def pages(chromium: Browser) -> Iterator[Browser]:
    """The browser; its pages are closed at the end."""
    yield chromium
    for context in chromium.contexts:
        context.close()
