"""What the page asks before it sends, and what it shows until the log has answered."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from support.service.pretend_api import PretendApi, progress

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# A browser takes seconds to start: as what needs a broker, this is not in the quick loop.
pytestmark = pytest.mark.broker

KILL = "#/new?action=KILL&service=mail&reason=why"


def _preview(page: Page) -> None:
    page.get_by_role("button", name="Preview").click()
    page.wait_for_selector(".found")


def _submit(page: Page) -> None:
    page.get_by_role("dialog").locator("button[type=submit]").click()


def _later(page: Page) -> None:
    """So much later that what was counted is counted again."""
    page.evaluate("() => { const now = Date.now; Date.now = () => now() + 3600_000; }")


def test_nothing_is_said_plainly_and_nothing_is_sent(pages: Browser) -> None:
    """A filter that matches none has no button to go on."""
    api = PretendApi(0)
    page = api.page(pages, KILL)
    _preview(page)
    expect(page.get_by_role("heading", name="0 invocations")).to_be_visible()
    expect(page.get_by_text("Nothing to kill: change the filter.")).to_be_visible()
    assert page.locator(".found .button").count() == 0
    assert api.starts() == []


def test_a_large_number_is_typed(pages: Browser) -> None:
    """Above 10,000; any other number does not do."""
    api = PretendApi(10_001)
    page = api.page(pages, KILL)
    _preview(page)
    page.get_by_role("button", name="Kill 10,001 invocations").click()
    send = page.get_by_role("dialog").locator("button[type=submit]")
    expect(send).to_have_attribute("title", "type the number first")
    page.keyboard.type("1001")
    expect(send).to_have_attribute("aria-disabled", "true")
    page.get_by_role("dialog").get_by_role("textbox").fill("10 001")
    send.click()
    page.wait_for_url("**/#/batch/**")
    assert [body["filter"] for body in api.starts()] == [{"services": ["mail"]}]


def test_ten_thousand_are_not_typed_and_a_small_change_is_no_question(pages: Browser) -> None:
    """It is counted again where the preview is old; a tenth more is what was meant."""
    api = PretendApi(10_000, 11_000)
    page = api.page(pages, KILL)
    _preview(page)
    page.get_by_role("button", name="Kill 10,000 invocations").click()
    assert page.get_by_role("dialog").get_by_role("textbox").count() == 0
    _later(page)
    _submit(page)
    page.wait_for_url("**/#/batch/**")
    assert len(api.starts()) == 1


def test_a_number_that_has_changed_is_asked_again(pages: Browser) -> None:
    """By more than a tenth, up or down: nothing is sent before it is confirmed."""
    api = PretendApi(100, 88, 88)
    page = api.page(pages, KILL)
    _preview(page)
    page.get_by_role("button", name="Kill 100 invocations").click()
    _later(page)
    _submit(page)
    expect(page.get_by_role("dialog")).to_contain_text("has changed from 100 to 88")
    assert api.starts() == []
    _submit(page)
    page.wait_for_url("**/#/batch/**")
    assert len(api.starts()) == 1


def test_one_may_go_on_without_a_number_and_is_told_so(pages: Browser) -> None:
    """When counting takes long."""
    api = PretendApi(None)
    page = api.page(pages, KILL)
    page.get_by_role("button", name="Preview").click()
    page.get_by_role("button", name="Go on without counting").click()
    expect(page.get_by_role("dialog")).to_contain_text("you do not know how many it will be")
    _submit(page)
    page.wait_for_url("**/#/batch/**")
    assert len(api.starts()) == 1


def test_a_start_whose_answer_was_lost_is_sent_again_as_the_same_batch(pages: Browser) -> None:
    """With its id, which makes it one batch whatever became of the first."""
    api = PretendApi(5)
    api.lost = 1
    page = api.page(pages, KILL)
    _preview(page)
    page.get_by_role("button", name="Kill 5 invocations").click()
    _submit(page)
    expect(page.get_by_role("dialog")).to_contain_text("The gateway does not answer")
    _submit(page)
    page.wait_for_url("**/#/batch/**")
    first, second = api.starts()
    assert first == second


def test_no_batch_on_more_than_is_shown_is_offered(pages: Browser) -> None:
    """An action that looks at none of the statuses chosen would have none left to go by, and take all of the rest."""
    page = PretendApi(0).page(pages, "#/invocations?service=mail&status=COMPLETED&status=KILLED")
    page.get_by_text("Act on all of these").click()
    for name in ("Cancel", "Kill", "Pause", "Resume"):
        button = page.get_by_role("button", name=re.compile(f"^{name}"))
        expect(button).to_have_attribute("title", "none of these statuses is one that it looks at")
    page.get_by_role("link", name="Restart").click()
    page.wait_for_url("**/#/new?**")
    assert page.url.partition("#")[2] == "/new?action=RESTART&service=mail&status=COMPLETED&status=KILLED"
    page.goto(page.url.partition("#")[0] + "#/invocations?service=mail&not_status=COMPLETED")
    page.get_by_text("Act on all of these").click()
    page.get_by_role("link", name="Kill").click()
    page.wait_for_url("**/#/new?**")
    assert page.url.partition("#")[2] == "/new?action=KILL&service=mail"


def test_a_control_is_asked_until_the_log_has_answered(pages: Browser) -> None:
    """The answer to the request says no more than that the command is in the log."""
    api = PretendApi(1, b=progress("b", "RUNNING"))
    page = api.page(pages, "#/batches")
    with page.expect_response("**/batch-controls"):
        page.get_by_role("button", name="Pause").click()
    asked = page.get_by_role("button", name=re.compile("^Pause: asked"))
    expect(asked).to_have_attribute("aria-disabled", "true")
    assert api.posted == [("/batch-controls", {"batch_id": "b", "operation": "PAUSE"})]
    page.evaluate(
        """async (text) => {
            const { store } = await import("/assets/lib/store.js");
            for (const batch of JSON.parse(text)) store.take("batch", [batch]);
        }""",
        json.dumps([progress("b", "PAUSED", revision=3), progress("b", "RUNNING", revision=2)]),
    )
    expect(asked).to_have_count(0)
    expect(page.locator("li.batch .chip")).to_have_text("Paused")
    expect(page.get_by_role("button", name="Resume")).to_be_enabled()


def test_what_is_typed_survives_what_arrives(pages: Browser) -> None:
    """The list changes several times a second while somebody types."""
    api = PretendApi(1, b=progress("b", "RUNNING"))
    page = api.page(pages, "#/batches")
    page.get_by_label("Who").type("an")
    page.evaluate(
        """async (text) => {
            const { store } = await import("/assets/lib/store.js");
            store.take("batch", JSON.parse(text));
        }""",
        json.dumps([progress("b", "RUNNING", revision=2, matched=7)]),
    )
    expect(page.locator("li.batch .legend")).to_contain_text("matched 7")
    page.get_by_label("Who").type("n")
    expect(page.get_by_label("Who")).to_have_value("ann")
    expect(page.get_by_text("Not connected")).to_be_visible()
