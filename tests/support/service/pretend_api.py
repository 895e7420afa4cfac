"""An API of the gateway that answers as a test says, for the page alone: no gateway, no broker, no stream of events."""

from __future__ import annotations

import json
import mimetypes
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page, Route

ORIGIN = "http://page.test"
ASSETS = Path(__file__).parents[3] / "streams" / "gateway" / "page"
CREATED = "2026-11-29T01:20:26.118Z"


def progress(batch_id: str, state: str = "COMPLETED", **more: Any) -> dict[str, Any]:
    """A batch as the API shows it."""
    counters = dict.fromkeys(("scan_total", "scanned", "matched", "done", "pending", "skipped", "failed"), 0)
    told = {"action": "KILL", "filter": {"services": ["mail"]}, "dry_run": False, "on_timeout": "KILL", "state": state}
    times = {"created_at": CREATED, "updated_at": CREATED, "revision": 1, "rate": 0.0}
    partitions = {"partitions_total": 1, "partitions_done": 0, "samples": [], "failures": []}
    return {"batch_id": batch_id, **told, **counters, **times, **partitions, **more}


class PretendApi:
    """`numbers`: what the dry runs find, one after the other, the last one again and again; None: it never ends.

    `batches`: what there is. `items`: what else is listed, by path. `posted`: (path, body) of each command. `lost`:
    number of answers to starts that are lost on the way, though the command was taken.
    """

    def __init__(self, *numbers: int | None, **batches: dict[str, Any]) -> None:
        self.numbers = list(numbers)
        self.batches = batches
        self.items: dict[str, list[dict[str, Any]]] = {}
        self.posted: list[tuple[str, dict[str, Any]]] = []
        self.lost = 0

    def page(self, browser: Browser | BrowserContext, place: str) -> Page:
        """A page of its own at a place."""
        page = browser.new_page()
        page.route(f"{ORIGIN}/**", self._answer)
        page.goto(f"{ORIGIN}/{place}")
        page.wait_for_selector("h1")
        return page

    def starts(self) -> list[dict[str, Any]]:
        """The batches that were started, without previews."""
        return [body for path, body in self.posted if path == "/batches" and not body.get("dry_run")]

    def _answer(self, route: Route) -> None:
        path = unquote(urlsplit(route.request.url).path)
        if not path.startswith("/api/v1"):
            _asset(route, path)
            return
        path = path.removeprefix("/api/v1")
        if route.request.method == "POST":
            self._post(route, path, json.loads(route.request.post_data or "{}"))
        elif path.startswith("/batches/"):
            found = self.batches.get(path.removeprefix("/batches/"))
            _json(route, {"detail": "unknown"} if found is None else {"slices": [], **found}, 200 if found else 404)
        else:
            _json(route, self._get(path))

    def _get(self, path: str) -> dict[str, Any]:
        match path:
            case "/me":
                return {"name": "ann", "role": "operator", "open": True, "engine_version": 5}
            case "/invocation-counts":
                counts = {"counts": {"RUNNING": 3}, "groups": [{"value": "mail", "counts": {"RUNNING": 3}}]}
                return {**counts, "exact": True, "as_of": CREATED, "missing_partitions": []}
            case "/batches":
                return {"items": list(self.batches.values())}
        items = self.items.get(path, [])
        return {"items": items, "total": len(items), "as_of": CREATED, "missing_partitions": []}

    def _post(self, route: Route, path: str, body: dict[str, Any]) -> None:
        self.posted.append((path, body))
        if path == "/batches":
            self._start(body)
            if not body.get("dry_run") and self.lost:
                self.lost -= 1
                route.abort()
                return
        _json(route, body, 202)

    def _start(self, body: dict[str, Any]) -> None:
        found, number = progress(**{**body, "state": "RUNNING"}), None
        if body.get("dry_run"):
            number = self.numbers.pop(0) if len(self.numbers) > 1 else self.numbers[0]
        if number is not None:
            found |= {"state": "COMPLETED", "matched": number, "done": number}
        self.batches[body["batch_id"]] = found


def _asset(route: Route, path: str) -> None:
    file = ASSETS / (path.removeprefix("/assets/") if path.startswith("/assets/") else "index.html")
    kind = mimetypes.guess_type(file.name)[0] or "text/plain"
    route.fulfill(body=file.read_bytes() if file.is_file() else b"", content_type=kind)


def _json(route: Route, body: dict[str, Any], status: int = 200) -> None:
    route.fulfill(status=status, body=json.dumps(body), content_type="application/json")
