"""The part of the gateway's API that looks at invocations, over rows that a test makes."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

import httpx
from rich.console import Console

from streams.codec.json_form import time_text, to_json
from streams.listing.views import InvocationView
from streams.model import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

AS_OF = "2026-11-29T01:20:26.118Z"


def view(invocation_id: str, status: Status = Status.RUNNING, **more: Any) -> InvocationView:
    """An invocation of `mail/send` that has its status since 1970, first attempt."""
    fields: dict[str, Any] = {
        "partition": 0,
        "seq": 0,
        "service": "mail",
        "handler": "send",
        "attempt": 1,
        "last_report_no": -1,
        "created_at": 1_000,
        "modified_at": 2_000,
        "content_hash": 1,
    }
    return InvocationView(invocation_id=invocation_id, status=status, **(fields | more))


class InvocationsApi:
    """Answers like the API; of a filter it knows ids, services, statuses and batches. `asked`: the requests so far."""

    def __init__(self, *views: InvocationView, missing: Sequence[int] = (), slices: Sequence[Any] = ()) -> None:
        self.views = sorted(views, key=lambda each: -each.created_at)
        self.asked: list[httpx.Request] = []
        self._missing = list(missing)
        self._slices = list(slices)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """The answer to a request."""
        self.asked.append(request)
        path = request.url.raw_path.decode().partition("?")[0].partition("/api/v1/")[2]
        query = parse_qs(request.url.query.decode(), strict_parsing=bool(request.url.query))
        end = {"as_of": AS_OF, "missing_partitions": self._missing}
        match path.split("/"):
            case ["invocations"]:
                return httpx.Response(200, json=self._page(query) | end)
            case ["invocation-counts"]:
                return httpx.Response(200, json=self._counts(query) | end)
            case ["invocations", name]:
                return self._one(unquote(name), query)
            case ["batches", _]:
                return httpx.Response(200, json={"slices": self._slices})
        return problem(404, "no such path")

    def _chosen(self, query: dict[str, list[str]]) -> list[InvocationView]:
        fields = {"invocation_id": "invocation_id", "service": "service", "status": "status", "batch_id": "batch_id"}
        asked = {fields[name]: values for name, values in query.items() if name in fields}
        return [each for each in self.views if all(getattr(each, name) in said for name, said in asked.items())]

    def _page(self, query: dict[str, list[str]]) -> dict[str, Any]:
        found = self._chosen(query)
        begin, limit = int(query.get("cursor", ["0"])[0]), int(query["limit"][0])
        end = min(begin + limit, len(found))
        # A place that does not move any more is that of partitions without an answer.
        more = {"next_cursor": str(end)} if end < len(found) or self._missing else {}
        return {"items": [to_json(each, whole=False) for each in found[begin : begin + limit]]} | more

    def _counts(self, query: dict[str, list[str]]) -> dict[str, Any]:
        found = self._chosen(query)
        body: dict[str, Any] = {
            "total": len(found),
            "counts": Counter(str(each.status) for each in found),
            "exact": not self._missing,
        }
        if "group_by" in query:
            field = query["group_by"][0]
            values = {getattr(each, field) for each in found}
            body["group_by"] = field
            body["groups"] = [
                {"counts": Counter(str(each.status) for each in found if getattr(each, field) == value)}
                | ({} if value is None else {"value": value})
                for value in values
            ]
        return body

    def _one(self, name: str, query: dict[str, list[str]]) -> httpx.Response:
        found = [each for each in self.views if each.invocation_id == name]
        if not found:
            return problem(404, f"there is no invocation {name}")
        shown = to_json(found[0]) | {"as_of": time_text(5_000)}
        if "payload" not in query:
            shown.pop("payload", None)
        return httpx.Response(200, json=shown)


def asked(api: InvocationsApi) -> list[str]:
    """The requests after /api/v1/."""
    return [request.url.raw_path.decode().partition("/api/v1/")[2] for request in api.asked]


def printed_lines(table: Table, width: int) -> list[str]:
    """The lines of a table as it is printed at that width."""
    console = Console(width=width, highlight=False)
    with console.capture() as captured:
        console.print(table)
    return [line.rstrip() for line in captured.get().splitlines()]


def problem(status: int, detail: str, **headers: str) -> httpx.Response:
    """A refusal in the API's form."""
    body = {"type": "urn:streams:problem:x", "title": "x", "status": status, "detail": detail}
    return httpx.Response(status, content=json.dumps(body), headers=headers)


def nobody(request: httpx.Request) -> httpx.Response:
    """No gateway: nothing listens at its address."""
    raise httpx.ConnectError("[Errno 111] Connection refused", request=request)
