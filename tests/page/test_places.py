"""What belongs to one place of the page, and what stays from one to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from support.service.pretend_api import CREATED, PretendApi

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# A browser takes seconds to start: as what needs a broker, this is not in the quick loop.
pytestmark = pytest.mark.broker


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


def test_what_was_asked_of_one_flow_is_not_shown_with_another(pages: Browser) -> None:
    """Each id is a place of its own, and begins without what was said or done at the last."""
    api = PretendApi(0)
    page = api.page(pages, "#/flow/x")
    page.evaluate(
        """async () => {
            const { store } = await import("/assets/lib/store.js");
            const numbers = { members: 1, live: 1, pending: 0, ended: 0, kept: 0, failed: 0, revision: 1 };
            const at = "2026-11-29T01:20:26.118Z";
            const flow = (flow_id) => ({ flow_id, state: "OPEN", created_at: at, updated_at: at, ...numbers });
            store.take("flow", [flow("x"), flow("y")]);
        }"""
    )
    page.get_by_role("button", name="Cancel the flow").click()
    with page.expect_response("**/flow-cancels"):
        page.get_by_role("dialog").locator("button[type=submit]").click()
    expect(page.get_by_text("cancel: asked")).to_be_visible()
    assert [(path, body["flow_id"]) for path, body in api.posted] == [("/flow-cancels", "x")]
    page.evaluate("location.hash = '#/flow/y'")
    expect(page.locator("h1 code")).to_have_text("y")
    expect(page.get_by_text("cancel: asked")).to_have_count(0)
    expect(page.locator("h1")).to_be_focused()


def test_the_system_shows_dead_letters_as_the_api_tells_of_them(pages: Browser) -> None:
    """When, and with which key: one that is not text is shown as base64."""
    api = PretendApi(0)
    letter = {"place": "0:17", "timestamp": CREATED, "code": "unknown_schema", "message": "m", "key": "i-1"}
    api.items["/dead-letters"] = [{**letter, "place": "0:18", "key": {"base64": "/w=="}}, letter]
    page = api.page(pages, "#/system")
    rows = page.get_by_role("region", name="Dead letters").locator("tbody tr")
    expect(rows.locator("[data-name=key]")).to_have_text(["/w==", "i-1"])
    expect(rows.locator("time")).to_have_count(2)
    assert rows.locator("time").first.get_attribute("datetime") == CREATED


def test_an_answer_that_ends_too_soon_is_none(pages: Browser) -> None:
    """Whoever leaves while it comes is left alone; half of it is a fault, and a refusal may be without words."""
    page = PretendApi(0).page(pages, "#/batches")
    told = page.evaluate(
        """async () => {
            const { get } = await import("/assets/lib/api.js");
            const ends = [];
            const half = (signal) => new ReadableStream({
                start(body) {
                    body.enqueue(new TextEncoder().encode('{"counts": '));
                    signal?.addEventListener("abort", () => body.error(signal.reason));
                    if (!signal) body.close();
                },
            });
            const ask = async (response, signal) => {
                window.fetch = async () => response;
                const ended = ({ name, status, message }) => ends.push([name, status, message]);
                await get("/half", [], signal).then(ended, ended);
            };
            const leaving = new AbortController();
            const left = ask(new Response(half(leaving.signal)), leaving.signal);
            await new Promise((resolve) => setTimeout(resolve));
            leaving.abort();
            await left;
            await ask(new Response(half()));
            await ask(new Response("<html>", { status: 502 }));
            return ends;
        }"""
    )
    assert [each[0] for each in told] == ["AbortError", "Error", "Error"]
    assert told[1][1:] == [0, "the gateway's answer ended too soon"]
    assert told[2][1:] == [502, "the gateway answered 502"]
