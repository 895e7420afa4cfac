"""Take the pictures of the page in `docs/page/`: a real gateway, two workers and a broker, looked at by Chromium.

    PYTHONPATH=.:tests .venv/bin/python scripts/screenshots.py

The broker is the one that `BROKER` names, else the first that works here.
"""  # noqa: INP001 - a program, no package

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from streams import broker as brokers
from streams.model import Invocation, Invoke, ReportTransition, Status
from support.service import browser
from support.service.page_world import PageWorld
from support.service.workload import DAY_MS, now_ms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page, ViewportSize

    from streams.model import Record

PICTURES = Path(__file__).parents[1] / "docs" / "page"
WIDE: ViewportSize = {"width": 1200, "height": 760}
PHONE: ViewportSize = {"width": 360, "height": 740}
EMAILS, OTHERS = 24_000, 3_000

_TENANTS = ("acme", "globex", "initech", "umbrella")
_SETTLED_MS = 700


class Shop(PageWorld):
    """A shop at work: emails that wait, orders that run, some that have ended."""

    def commands(self) -> Iterator[Record]:
        """Invocations and a few reports."""
        later = now_ms() + DAY_MS
        for number in range(EMAILS):
            labels = {"tenant": _TENANTS[number % 4], "plan": "free" if number % 3 else "gold"}
            yield Invoke(
                Invocation(f"emails-{number:06d}", "emails", "send", deployment_id="mail-4.2", labels=labels), later
            )
        for number in range(OTHERS):
            name, flow = f"orders-{number:05d}", f"order-{4700 + number // 100}"
            labels = {"tenant": _TENANTS[number % 4]}
            service, handler = ("orders", "reserve") if number % 3 else ("billing", "charge")
            yield Invoke(Invocation(name, service, handler, flow_id=flow, labels=labels), adopt=True)
            match number % 10:
                case 1 | 2:
                    yield ReportTransition(name, 1, to=Status.COMPLETED)
                case 3:
                    yield ReportTransition(name, 1, to=Status.FAILED, error="PaymentError: card declined")
                case 4:
                    yield ReportTransition(name, 1, to=Status.SUSPENDED)

    def batches(self) -> None:
        """One batch that is over, one that waits for answers, one paused, one at work."""
        over = {"filter": {"services": ["emails"], "labels": {"plan": "gold"}}, "reason": "bad deploy of mail 4.2"}
        self.api("/batches", {"batch_id": "over", "action": "KILL", **over})
        asked = {"services": ["billing"], "labels": {"tenant": "globex"}, "exclude": {"statuses": ["SUSPENDED"]}}
        cancel = {"filter": asked, "grace_ms": 600_000, "reason": "their database is down"}
        self.api("/batches", {"batch_id": "asked", "action": "CANCEL", **cancel})
        self.start("held", "PAUSE", "orders", max_rate=120, reason="stock is being counted")
        work = {"filter": {"services": ["emails"], "labels_in": {"tenant": ["acme", "globex"]}}, "max_rate": 500}
        self.api("/batches", {"batch_id": "work", "action": "KILL", **work, "reason": "sent twice"})


def main() -> int:
    """Take all pictures; returns the exit code."""
    if browser.CHROMIUM is None:
        sys.stderr.write(f"error: {browser.MISSING}\n")
        return 1
    PICTURES.mkdir(exist_ok=True)
    with (
        brokers.start() as broker,
        tempfile.TemporaryDirectory() as folder,
        Shop(broker.bootstrap, Path(folder)) as shop,
        browser.chromium() as chromium,
    ):
        shop.batches()
        light = browser.Viewer(chromium, shop.url, timezone_id="UTC", viewport=WIDE)
        dark = browser.Viewer(chromium, shop.url, timezone_id="UTC", viewport=WIDE, color_scheme="dark")
        page = light.page("#/batches")
        page.wait_for_timeout(2_500)
        shop.api("/batch-controls", {"batch_id": "held", "operation": "PAUSE"})
        page.wait_for_selector("li.is-paused")
        _picture(page, "batches")
        _picture(light.page("#/batch/work"), "batch")
        _picture(
            _preview(light.page("#/new?action=CANCEL&service=orders&not_label=tenant%3Dacme&grace=2m")), "new-batch"
        )
        _picture(light.page("#/invocations?service=orders&service=billing"), "invocations")
        _picture(light.page(f"#/invocation/{quote('orders-00003')}"), "invocation")
        _picture(dark.page("#/flows"), "flows-dark")
        _picture(dark.page("#/system"), "system-dark")
        page.set_viewport_size(PHONE)
        _picture(page, "phone")
    return 0


def _preview(page: Page) -> Page:
    page.get_by_role("button", name="Preview").click()
    page.wait_for_selector(".found")
    page.locator(".found").scroll_into_view_if_needed()
    return page


def _picture(page: Page, name: str) -> None:
    page.wait_for_timeout(_SETTLED_MS)  # until its numbers are there and nothing moves
    page.screenshot(path=PICTURES / f"{name}.png", animations="disabled")


if __name__ == "__main__":
    sys.exit(main())
