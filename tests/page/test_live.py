"""The page in a real browser, on a real gateway, real workers and a real broker."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from streams.gateway.access.callers import Role
from streams.gateway.access.tokens import line_of, new_secret
from support.service.browser import Viewer, grave_findings
from support.service.page_world import BILLING, FLOW, STRANGE, PageWorld, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Locator, Page

    from streams.broker import Broker

pytestmark = [pytest.mark.broker, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def world(chromium: Browser, broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageWorld]:
    """Asks for the browser first: without one, nothing is started."""
    assert chromium
    with PageWorld(broker.bootstrap, tmp_path_factory.mktemp("page")) as started:
        yield started


@pytest.fixture
def viewer(chromium: Browser, world: PageWorld) -> Iterator[Viewer]:
    """Somebody who looks; what their browser complains of fails the test."""
    made = Viewer(chromium, world.url)
    yield made
    made.close()
    assert made.complaints == []


def _button(where: Page | Locator, name: str) -> Locator:
    """The button whose label begins with this; one that cannot be used says so behind it."""
    return where.get_by_role("button", name=re.compile(f"^{re.escape(name)}"))


def _share(page: Page) -> int:
    """How far the first bar is, in percent."""
    return int(page.get_by_role("progressbar").first.get_attribute("aria-valuenow") or 0)


def _await_share(page: Page, least: int) -> None:
    page.wait_for_function(
        "(least) => Number(document.querySelector('[role=progressbar]')?.getAttribute('aria-valuenow')) >= least",
        arg=least,
    )


def _row(page: Page, batch_id: str) -> Locator:
    """A batch in the list."""
    return page.locator("li.batch", has=page.locator(f'a[href="#/batch/{batch_id}"]'))


def test_an_operator_kills_by_filter_looks_and_restarts_one(viewer: Viewer) -> None:
    """The whole way: filter, preview, confirmation, the bar, pause, rate, reload, what it ended, one restarted."""
    page = viewer.page("#/new")
    page.get_by_label("Kill", exact=True).check()
    page.get_by_label("Add a value of service").fill("billing")
    page.keyboard.press("Enter")
    page.get_by_label("A second").fill("3000")
    page.get_by_label("Why").fill("bad <deploy>")
    _button(page, "Preview").click()
    expect(page.get_by_role("heading", name=f"{BILLING:,} invocations would be killed")).to_be_visible()
    expect(page.locator(".found")).to_contain_text("scheduled")

    _button(page, "Kill 12,000 invocations").click()
    send = page.get_by_role("dialog").locator("button[type=submit]")
    expect(page.get_by_role("dialog")).to_contain_text("service billing")
    expect(send).to_have_attribute("aria-disabled", "true")
    page.keyboard.type("12000")
    send.click()
    page.wait_for_url("**/#/batch/**")

    _await_share(page, 10)
    _button(page, "Pause").click()
    expect(page.locator(".state .chip")).to_have_text("Paused")
    page.reload()
    expect(page.locator(".state .chip")).to_have_text("Paused")
    paused_at = _share(page)
    assert 10 <= paused_at < 100
    _button(page, "Rate").click()
    page.get_by_role("dialog").get_by_role("textbox").fill("6000")
    page.keyboard.press("Enter")
    expect(page.locator(".state")).to_contain_text("at most 6,000")
    _button(page, "Resume").click()
    _await_share(page, paused_at + 1)
    expect(page).to_have_title(re.compile("1 running"))
    expect(page.locator(".state .chip")).to_have_text("Completed")
    expect(page.locator(".legend").first).to_contain_text(f"done {BILLING:,}")
    expect(page.get_by_role("region", name="Partition by partition").locator("tbody tr")).to_have_count(2)

    page.get_by_role("link", name="What it ended", exact=True).click()
    first = page.locator("table.rows tbody tr").first
    expect(first).to_contain_text("Killed")
    first.get_by_role("link").first.click()
    expect(page.locator(".history")).to_contain_text("bad <deploy>")
    _button(page, "Restart").click()
    page.get_by_role("dialog").locator("button[type=submit]").click()
    expect(page.locator(".state .chip")).to_have_text("Scheduled")


def test_two_pages_do_opposite_things(world: PageWorld, chromium: Browser) -> None:
    """Both show what the log has decided; what is over stays over, and its controls say so."""
    batch = world.start("two-pages", "KILL", "mail", max_rate=50)
    one, two = (Viewer(chromium, world.url) for _ in range(2))
    pages = [one.page(), two.page()]
    rows = [_row(page, batch) for page in pages]
    for row, name in zip(rows, ("Pause", "Rate"), strict=True):
        _button(row, name).click()
    pages[1].get_by_role("dialog").get_by_role("textbox").fill("80")
    pages[1].keyboard.press("Enter")
    for row in rows:
        expect(row.locator(".chip")).to_have_text("Paused")
        expect(row).to_contain_text("at most 80")
    _button(rows[0], "Resume").click()
    _button(rows[1], "Abort").click()
    pages[1].get_by_role("button", name="Abort the kill").click()
    for row in rows:
        expect(row.locator(".chip")).to_have_text("Aborted")
        for name in ("Pause", "Rate", "Abort"):
            expect(_button(row, name)).to_have_attribute("title", "it is over: aborted")
    _button(rows[0], "Abort").click(force=True)
    expect(pages[0].locator(".messages")).to_contain_text("it is over: aborted")
    assert world.api(f"/batches/{batch}")["state"] == "ABORTED"
    for viewer in (one, two):
        viewer.close()
        assert viewer.complaints == []


def test_it_says_when_it_is_not_connected_and_comes_back(world: PageWorld, viewer: Viewer) -> None:
    """The gateway restarts, a worker stops meanwhile: the page says what it cannot know, and goes on by itself."""
    batch = world.start("outage", "PAUSE", "letters", max_rate=40)
    page = viewer.page(f"#/batch/{batch}")
    expect(page.locator(".state .chip")).to_have_text("Running")
    world.gateway.terminate()
    expect(page.get_by_text("Not connected")).to_be_visible()
    before = _share(page)
    world.gateway.start()
    expect(page.get_by_text("Not connected")).to_be_hidden()
    world.workers[1].kill9()
    listing = viewer.page("#/invocations?service=letters")
    expect(listing.get_by_text("No answer from")).to_be_visible()
    world.workers[1].start()
    world.await_served()
    _button(listing, "Refresh").click()
    expect(listing.get_by_text("No answer from")).to_be_hidden()
    _await_share(page, before + 1)
    _button(page, "Abort").click()
    page.get_by_role("button", name="Abort the pause").click()
    expect(page.locator(".state .chip")).to_have_text("Aborted")


def test_eight_tabs_share_one_stream(world: PageWorld, viewer: Viewer, chromium: Browser) -> None:
    """A browser opens six connections to a host: with a stream for each tab, the seventh could ask nothing."""
    pages = [viewer.page() for _ in range(8)]
    batch = world.start("eight-tabs", "PAUSE", "orders")
    for page in pages:
        expect(_row(page, batch).locator(".chip")).to_have_text("Completed")
        assert page.evaluate("() => fetch('/api/v1/me').then((answer) => answer.status)") == 200
    targets = chromium.new_browser_cdp_session().send("Target.getTargets")["targetInfos"]
    assert [each["type"] for each in targets].count("shared_worker") == 1


def test_ids_of_any_kind_are_text_and_have_an_address(viewer: Viewer) -> None:
    """No id becomes markup, and each is found by its link; dots, which no path carries, too."""
    page = viewer.page("#/invocations?service=strange")
    expect(page.locator("table.rows tbody tr")).to_have_count(len(STRANGE))
    for each in STRANGE:
        page.goto(f"{viewer.url}/#/invocations?service=strange")
        page.get_by_role("link", name=each, exact=True).first.click()
        expect(page.locator("h1 code")).to_have_text(each)
        expect(page.locator(".facts")).to_contain_text(f"<b>key</b>={each}")
    assert page.locator("img, main b b").count() == 0


def test_a_flow_is_cancelled(viewer: Viewer) -> None:
    """With a policy, from its own screen; its numbers follow."""
    page = viewer.page("#/flows")
    page.get_by_role("link", name=FLOW).click()
    expect(page.locator(".legend").first).to_contain_text("live 20")
    _button(page, "Cancel the flow").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Whom").select_option("CANCEL_ALL")
    dialog.get_by_label("Why").fill("left")
    dialog.locator("button[type=submit]").click()
    expect(page.locator(".state .chip")).to_have_text("Cancelled")
    expect(page.locator(".legend").first).to_contain_text("ended 20")
    expect(page.locator(".facts")).to_contain_text("left")


PLACES = {
    "batches": "#/batches",
    "new": "#/new?action=KILL&service=notes&not_label=tenant%3Dacme&created_until=2027-01-01T00:00:00.000Z",
    "batch": "#/batch/looked-at",
    "invocations": "#/invocations?service=notes",
    "invocation": f"#/invocation/{quote('notes-000001', safe='')}",
    "flows": "#/flows",
    "flow": f"#/flow/{quote(FLOW, safe='')}",
    "system": "#/system",
}


def test_every_screen_is_accessible_and_fits_a_phone(world: PageWorld, viewer: Viewer) -> None:
    """Nothing that axe calls serious, in light and dark colours; at 360 px nothing sticks out."""
    world.start("looked-at", "KILL", "notes", max_rate=50)
    page = viewer.page()
    for name, place in PLACES.items():
        page.emulate_media(color_scheme="light")
        page.set_viewport_size({"width": 1440, "height": 900})
        page.goto(f"{viewer.url}/{place}")
        expect(page.get_by_text("Loading ...")).to_have_count(0)
        if name == "new":
            _button(page, "Preview").click()
            page.wait_for_selector(".found")
        assert grave_findings(page) == [], name
        page.emulate_media(color_scheme="dark")
        assert grave_findings(page, "color-contrast") == [], f"{name}, dark"
        page.set_viewport_size({"width": 360, "height": 740})
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, name


def test_who_may_only_look_sees_why(world: PageWorld, chromium: Browser) -> None:
    """A viewer logs in, comes back to the place that was asked for, and can change nothing; then logs out."""
    secret = new_secret()
    tokens = world.folder / "tokens"
    tokens.write_text(line_of("vera", Role.VIEWER, secret) + "\n", encoding="utf-8")
    tokens.chmod(0o600)
    port = free_port()
    gateway = world.start_gateway("guarded", port, STREAMS_GATEWAY_TOKENS_FILE=str(tokens))
    gateway.await_event("serving metrics and health")
    viewer = Viewer(chromium, f"http://127.0.0.1:{port}")
    page = viewer.page("#/invocation/mail-000001")
    page.get_by_label("Token").fill(secret)
    page.keyboard.press("Enter")
    expect(page.locator("h1 code")).to_have_text("mail-000001")
    expect(_button(page, "Kill")).to_have_attribute("title", "your role, viewer, may only look")
    page.goto(f"{viewer.url}/#/new?action=KILL&service=mail")
    expect(_button(page, "Preview")).to_have_attribute("aria-disabled", "true")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Token")).to_be_visible()
    viewer.close()
    assert viewer.complaints == []
    gateway.terminate()


def test_it_is_used_by_keyboard_alone(viewer: Viewer) -> None:
    """Every control is reached by Tab, a dialog closes by Escape, and the focus is on what is new."""
    page = viewer.page("#/new?action=PAUSE&service=strange&limit=1")
    page.get_by_role("button", name="Preview").focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Pause 1 invocation").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Leave them")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Leave them")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/#/batch/**")
    expect(page.locator("h1")).to_be_focused()
