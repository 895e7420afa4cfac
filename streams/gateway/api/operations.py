"""Every route of the API: what it takes and what it answers, for its OpenAPI document."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from streams.gateway.api import batches, dead_letters, flows
from streams.gateway.api.queries import FILTER
from streams.gateway.api.schemas import ref
from streams.listing.query import MAX_LIMIT, GroupBy

_LOOKING: Final = (422, 503)
_CHANGING: Final = (400, 413, 415, 422, 503)
ID: Final = {"type": "string", "minLength": 1, "maxLength": 256}
TIME: Final = ref("Time")


class Operation(NamedTuple):
    """One route. `answer`: status, schema and words. `problems`: besides those that any route may have."""

    method: str
    path: str
    name: str
    tag: str
    says: str
    answer: tuple[int, str, str]
    problems: tuple[int, ...]
    parameters: tuple[dict[str, Any], ...] = ()
    body: str | None = None
    examples: dict[str, Any] = {}  # noqa: RUF012 - a named tuple's default, never changed
    media: str = "application/json"


def _in_path(name: str, says: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "description": says, "schema": ID}


def _query(name: str, schema: dict[str, Any], says: str = "", *, many: bool = False) -> dict[str, Any]:
    schema = {"type": "array", "items": schema} if many else schema
    return {"name": name, "in": "query", "required": False, "description": says, "schema": schema, "explode": True}


def _whole(least: int, most: int, default: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": least, "maximum": most, "default": default}


def _pages(most: int) -> tuple[dict[str, Any], ...]:
    return (
        _query("limit", _whole(1, most, 50), "Most items of the page."),
        _query("cursor", {"type": "string"}, "`next_cursor` of the page before, with the same other parameters."),
    )


_SYMBOLS: Final = {"status": ref("Status"), "not_status": ref("Status")}


def _of_filter(name: str) -> dict[str, Any]:
    if name in {"label", "not_label"}:
        text = {"type": "string", "pattern": r"^([^\\=]|\\[\s\S])+=", "maxLength": 3_003}
        return _query(name, text, r"`key=value`; `\=` is an `=` of the key.", many=True)
    if name.removeprefix("not_").startswith(("created_", "modified_")):
        return _query(name, TIME)
    return _query(name, _SYMBOLS.get(name, ID), many=True)


_FILTER: Final = tuple(_of_filter(each) for each in FILTER)
_BATCH_ID: Final = _in_path("batch_id", "The batch, percent-encoded as one segment.")
_FLOW_ID: Final = _in_path("flow_id", "The flow, percent-encoded as one segment.")
_SEEN: Final = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "description": "The revision that was seen last.",
    "schema": {"type": "string"},
}
_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The batch's id, another way to give `batch_id`.",
    "schema": ID,
}
_CREATED: Final = (_query("created_from", TIME), _query("created_until", TIME))
_KILL: Final = {
    "action": "KILL",
    "filter": {"services": ["emails"], "labels": {"tenant": "acme"}},
    "reason": "bad deploy",
}
EVENTS: Final = "text/event-stream"

OPERATIONS: Final = (
    Operation(
        "post",
        "/api/v1/batches",
        "startBatch",
        "batches",
        "Starts a batch: one action on all invocations that a filter matches. Sent again with the same id and content "
        "it changes nothing. Waits up to 2 s for the batch to be known: then the answer is its state, else its id "
        "alone with Retry-After.",
        (202, "StartedBatch", "Accepted."),
        (*_CHANGING, 409),
        (_KEY,),
        "StartBatchBody",
        {"kill": _KILL, "preview": {"action": "CANCEL", "dry_run": True, "filter": {"statuses": ["RUNNING"]}}},
    ),
    Operation(
        "get",
        "/api/v1/batches",
        "listBatches",
        "batches",
        "Batches, newest first.",
        (200, "BatchPage", "A page."),
        _LOOKING,
        (
            _query("state", ref("BatchState"), many=True),
            _query("action", ref("Action"), many=True),
            _query("actor", {"type": "string"}, many=True),
            _query("batch_id", ID, "For an id that a path cannot carry.", many=True),
            _query("dry_run", {"type": "boolean"}),
            *_CREATED,
            *_pages(batches.MOST),
        ),
    ),
    Operation(
        "get",
        "/api/v1/batches/{batch_id}",
        "showBatch",
        "batches",
        "One batch with its header, slices and conflicts.",
        (200, "WholeBatch", "The batch."),
        (404, *_LOOKING),
        (_BATCH_ID,),
    ),
    Operation(
        "post",
        "/api/v1/batch-controls",
        "controlBatch",
        "batches",
        "Pauses, resumes, aborts or throttles a batch; 409 when it is over, saying in which state.",
        (202, "ControlBatch", "Accepted."),
        (*_CHANGING, 404, 409),
        (),
        "ControlBatchBody",
        {
            "pause": {"batch_id": "b-7", "operation": "PAUSE"},
            "rate": {"batch_id": "b-7", "operation": "SET_RATE", "max_rate": 100},
        },
    ),
    Operation(
        "get",
        "/api/v1/batches/{batch_id}/events",
        "followBatch",
        "events",
        "The newest state first, then each newer one, to the end. `id` is the revision, `event` is `batch`.",
        (200, "Events", "Server-sent events."),
        (404, *_LOOKING),
        (_BATCH_ID, _SEEN),
        media=EVENTS,
    ),
    Operation(
        "get",
        "/api/v1/events",
        "followAll",
        "events",
        "All batches and flows: first what is not over and the newest 200, then each change. With an id: that one.",
        (200, "Events", "Server-sent events."),
        (404, *_LOOKING),
        (_query("batch_id", ID), _query("flow_id", ID), _SEEN),
        media=EVENTS,
    ),
    Operation(
        "post",
        "/api/v1/invocations",
        "invoke",
        "invocations",
        "Brings an invocation into the table. Sent again with the same id and content it changes nothing.",
        (202, "Invoked", "Accepted."),
        _CHANGING,
        (),
        "InvokeBody",
        {
            "plain": {
                "invocation": {"service": "emails", "handler": "send", "labels": {"tenant": "acme"}},
                "payload": "eyJ0byI6ImFkYSJ9",
            }
        },
    ),
    Operation(
        "get",
        "/api/v1/invocations",
        "listInvocations",
        "invocations",
        "Invocations that the filter matches, newest first. Fields are ANDed, values of one ORed; not_ leaves out.",
        (200, "InvocationPage", "A page."),
        _LOOKING,
        (*_FILTER, *_pages(MAX_LIMIT)),
    ),
    Operation(
        "get",
        "/api/v1/invocations/{invocation_id}",
        "showInvocation",
        "invocations",
        "One invocation: where it stands, who ended it and why, what holds it.",
        (200, "OneInvocation", "The invocation."),
        (404, *_LOOKING),
        (
            _in_path("invocation_id", "The rest of the path, percent-encoded or not."),
            _query("payload", {"type": "boolean"}, "With its payload; for operators."),
        ),
    ),
    Operation(
        "get",
        "/api/v1/invocation-counts",
        "countInvocations",
        "invocations",
        "Numbers of invocations by status, and by a field.",
        (200, "InvocationCounts", "The numbers."),
        _LOOKING,
        (*_FILTER, _query("group_by", {"type": "string", "enum": [each.value for each in GroupBy]})),
    ),
    Operation(
        "post",
        "/api/v1/acts",
        "act",
        "invocations",
        "One action on one invocation.",
        (202, "Acted", "Accepted."),
        _CHANGING,
        (),
        "ActBody",
        {"cancel": {"invocation_id": "i-1", "action": "CANCEL", "grace_ms": 5_000, "reason": "asked by its owner"}},
    ),
    Operation(
        "get",
        "/api/v1/flows",
        "listFlows",
        "flows",
        "Named flows, newest first.",
        (200, "FlowPage", "A page."),
        _LOOKING,
        (
            _query("state", ref("FlowState"), many=True),
            _query("actor", {"type": "string"}, many=True),
            _query("flow_id", ID, "For an id that a path cannot carry.", many=True),
            *_CREATED,
            *_pages(flows.MOST),
        ),
    ),
    Operation(
        "get",
        "/api/v1/flows/{flow_id}",
        "showFlow",
        "flows",
        "One named flow.",
        (200, "FlowProgress", "The flow."),
        (404, *_LOOKING),
        (_FLOW_ID,),
    ),
    Operation(
        "get",
        "/api/v1/flows/{flow_id}/events",
        "followFlow",
        "events",
        "The newest state first, then each newer one, until the flow is forgotten. `event` is `flow`.",
        (200, "Events", "Server-sent events."),
        (404, *_LOOKING),
        (_FLOW_ID, _SEEN),
        media=EVENTS,
    ),
    Operation(
        "post",
        "/api/v1/flow-cancels",
        "cancelFlow",
        "flows",
        "Cancels a flow and its members. An unknown flow is created, cancelled.",
        (202, "FlowCancelled", "Accepted."),
        _CHANGING,
        (),
        "CancelFlowBody",
        {"cancel": {"flow_id": "checkout-4711", "reason": "the order is void"}},
    ),
    Operation(
        "get",
        "/api/v1/dead-letters",
        "listDeadLetters",
        "dead letters",
        "The newest dead letters, newest first; the records in them only for operators.",
        (200, "DeadLetters", "The dead letters."),
        _LOOKING,
        (_query("code", {"type": "string"}, many=True), _query("limit", _whole(1, dead_letters.MOST, 100))),
    ),
    Operation(
        "post",
        "/api/v1/dead-letters/replay",
        "replayDeadLetters",
        "dead letters",
        "Sends the originals again; the dead letters stay where they are. Say which in one of three ways.",
        (202, "Replayed", "Sent."),
        _CHANGING,
        (),
        "ReplayBody",
        {"by code": {"codes": ["unknown_schema"]}, "one": {"places": ["0:17"]}},
    ),
    Operation(
        "get",
        "/api/v1/me",
        "me",
        "system",
        "Who calls.",
        (200, "Me", "The caller."),
        (422,),
    ),
    Operation(
        "get",
        "/api/v1/partitions",
        "listPartitions",
        "system",
        "Each partition: its worker, its lag, its rows by status.",
        (200, "Partitions", "The partitions."),
        _LOOKING,
    ),
)
