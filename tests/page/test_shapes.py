"""Nothing is cut off, squeezed or without a word, whatever there is to show, on a wide screen and on a phone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from support.service.pretend_api import CREATED, PretendApi, progress

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, ViewportSize

# A browser takes seconds to start: as what needs a broker, this is not in the quick loop.
pytestmark = pytest.mark.broker

WIDE: ViewportSize = {"width": 1440, "height": 900}
PHONE: ViewportSize = {"width": 360, "height": 740}
SCREENS = {
    "#/batches": "li.batch",
    "#/batch/long": "[data-name='looked at']",
    "#/invocations": "td[data-name=labels] .value",
    "#/flows": "li.flow",
    "#/system": "[data-name=code]",
    "#/new?action=CANCEL&service=mail": ".condition",
}
"""The screens, and what each of them shows once it has been loaded."""
LONG = "a-name-without-a-place-to-break-it" + "x" * 80


def _crowded() -> PretendApi:
    """All that is shown is long, and there is much of it."""
    labels = {"tenant": LONG, "plan": "gold", "region": "eu-central-1", "a": "b"}
    row = {"invocation_id": f"i/{LONG}", "service": "inventory-service", "handler": "reserve", "labels": labels}
    times = {"created_at": CREATED, "modified_at": CREATED, "updated_at": CREATED, "since": CREATED}
    times["timestamp"] = CREATED
    counters = dict.fromkeys(("scan_total", "scanned", "matched", "done", "pending", "skipped", "failed"), 1_234_567)
    slices = [{"partition": number, "state": "RUNNING", **counters} for number in range(3)]
    flow = dict.fromkeys(("members", "live", "pending", "ended", "kept", "failed"), 1_234_567)
    reason = "because of this and that " * 30
    chosen = {"services": [f"service-{number}" for number in range(30)], "labels": {"tenant": LONG}}
    batch = progress("long", "RUNNING", filter=chosen, reason=reason, actor="ann", **counters) | {"slices": slices}
    api = PretendApi(0, long=batch)
    api.items["/invocations"] = [{**row, **times, "status": "BACKING_OFF", "attempt": 1, "partition": 0, "seq": 1}]
    api.items["/flows"] = [{"flow_id": LONG, "state": "PARTIALLY_CANCELLED", "revision": 1, **flow, **times}]
    served = {"worker_id": LONG, "url": "http://worker-0.streams.svc.cluster.local:8080", "lag": 1, "engine_version": 5}
    api.items["/partitions"] = [{"partition": 0, **served, **times, "rows": {"RUNNING": 7}}]
    api.items["/dead-letters"] = [{"place": "0:1", "code": "not_avro", "key": LONG, "message": reason, **times}]
    return api


def _cut(page: Page) -> list[str]:
    """What is wider than the element that it is in."""
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll("main *, .top *")]
            .filter((each) => each.clientWidth > 1 && getComputedStyle(each).overflowX !== "visible")
            .filter((each) => each.scrollWidth > each.clientWidth + 1)
            .map((each) => `${each.tagName} ${each.className}: ${each.textContent.slice(0, 60)}`)"""
    )
    return found


@pytest.mark.parametrize(("place", "shown"), SCREENS.items())
def test_nothing_sticks_out_of_a_phone_or_has_to_be_scrolled_aside(pages: Browser, place: str, shown: str) -> None:
    """Tables become cards, long names are broken."""
    page = _crowded().page(pages, place)
    page.set_viewport_size(PHONE)
    expect(page.locator(shown).first).to_be_visible()
    assert _cut(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    edge = page.locator("nav a").last.evaluate("(link) => link.getBoundingClientRect().right")
    assert edge <= PHONE["width"]


def test_labels_have_room(pages: Browser) -> None:
    """In a table they are not squeezed to a letter a line; on a phone all stand beside the name of their column."""
    page = _crowded().page(
        pages, "#/invocations?columns=id,service,handler,status,modified,created,attempt,labels,flow"
    )
    labels = page.locator("td[data-name=labels]")
    page.set_viewport_size(WIDE)
    expect(labels.locator(".value")).to_have_count(4)
    wide = _boxes(labels.locator(".value"))
    assert max(each["width"] for each in wide) > 150
    page.set_viewport_size(PHONE)
    narrow = _boxes(labels.locator(".value"))
    assert min(each["x"] for each in narrow) > 90


def _boxes(values: Any) -> list[dict[str, float]]:
    return [values.nth(place).bounding_box() for place in range(values.count())]


def test_a_reason_of_any_length_leaves_room_for_other_batches(pages: Browser) -> None:
    """Three lines of it, and all on the batch's own screen."""
    api = _crowded()
    page = api.page(pages, "#/batches")
    page.set_viewport_size(PHONE)
    expect(page.locator(".who")).to_have_count(1)
    [box] = _boxes(page.locator(".who"))
    assert box["height"] < 80
    page.goto(page.url.replace("#/batches", "#/batch/long"))
    expect(page.locator(".facts")).to_contain_text(api.batches["long"]["reason"].strip())


def test_a_batch_that_matched_nothing_says_so(pages: Browser) -> None:
    """An empty bar and an empty chart could be anything."""
    page = PretendApi(0, none=progress("none")).page(pages, "#/batches")
    expect(page.locator("li.batch")).to_contain_text("nothing matched")
    page.goto(page.url.replace("#/batches", "#/batch/none"))
    expect(page.locator(".state")).to_contain_text("nothing matched")


def test_a_field_that_cannot_be_read_is_marked_and_says_why(pages: Browser) -> None:
    """Each of them, not the first alone."""
    page = PretendApi(0).page(pages, "#/new?action=CANCEL&service=mail&grace=soon&limit=0&max_rate=fast")
    for label, said in (("Grace", "30s, 2m or 1h"), ("At most", "a whole number above 0"), ("A second", "above 0")):
        expect(page.get_by_label(label)).to_have_attribute("aria-invalid", "true")
        expect(page.locator(".field.wrong", has_text=label)).to_contain_text(said)
    expect(page.get_by_role("button", name="Preview")).to_have_attribute("aria-disabled", "true")
