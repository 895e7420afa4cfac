"""What belongs to one place of the page, and what stays from one to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from support.service.browser import PATIENCE_MS
from support.service.pretend_api import PretendApi

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# A browser takes seconds to start: as what needs a broker, this is not in the quick loop.
pytestmark = pytest.mark.broker

expect.set_options(timeout=PATIENCE_MS)


def _ground(page: Page) -> str:
    """The colour behind everything."""
    return str(page.evaluate("getComputedStyle(document.documentElement).backgroundColor"))


def test_a_chosen_theme_is_kept_whatever_the_system_says(pages: Browser) -> None:
    """Unless one is chosen, the page follows the system."""
    page = PretendApi(0).page(pages, "#/batches")
    page.emulate_media(color_scheme="light")
    light = _ground(page)
    page.emulate_media(color_scheme="dark")
    dark = _ground(page)
    assert light != dark
    page.get_by_label("Colours").select_option("light")
    assert _ground(page) == light
    page.reload()
    page.wait_for_selector("h1")
    assert _ground(page) == light
    page.emulate_media(color_scheme="light")
    page.get_by_label("Colours").select_option("dark")
    assert _ground(page) == dark
