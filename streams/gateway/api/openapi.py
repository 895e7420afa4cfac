"""The OpenAPI document."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from streams import __version__
from streams.gateway.api import bodies
from streams.gateway.api.operations import EVENTS, ID, OPERATIONS, TIME
from streams.gateway.api.problems import MEDIA
from streams.gateway.api.schemas import Schemas, ref
from streams.listing.views import InvocationView
from streams.model import (
    Action,
    BatchHeader,
    BatchProgress,
    BatchState,
    ControlBatch,
    FlowProgress,
    FlowState,
    SliceProgress,
    Status,
)

if TYPE_CHECKING:
    from streams.gateway.api.operations import Operation

_ANY: Final = (401, 403, 429)
_MEANINGS: Final = {
    400: "The body is not JSON, or the host is not this one.",
    401: "No token, or a wrong one.",
    403: "The caller may not do this.",
    404: "There is none.",
    409: "It contradicts what is there; the problem names it.",
    413: "The body is too large.",
    415: "The body is not said to be application/json.",
    422: "What was asked breaks a rule; all faults are named.",
    429: "Too many requests; Retry-After says when.",
    503: "Not now: the broker or a worker does not answer. Says whether a command was accepted.",
}


@cache
def document() -> dict[str, Any]:
    """The document."""
    paths: dict[str, dict[str, Any]] = {}
    for each in OPERATIONS:
        paths.setdefault(each.path, {})[each.method] = _described(each)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "streams",
            "version": __version__,
            "description": "Cancel or kill a large, filtered set of invocations with one command.",
        },
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}, {}],
    }


def _described(each: Operation) -> dict[str, Any]:
    status, schema, says = each.answer
    content = {"type": "string"} if each.media == EVENTS else ref(schema)
    responses: dict[str, Any] = {str(status): {"description": says, "content": {each.media: {"schema": content}}}}
    for code in sorted({*each.problems, *_ANY}):
        problem = {"schema": ref("Problem")}
        responses[str(code)] = {"description": _MEANINGS[code], "content": {MEDIA: problem}}
    described: dict[str, Any] = {
        "operationId": each.name,
        "tags": [each.tag],
        "summary": each.says.partition(".")[0] + ".",
        "description": each.says,
        "responses": responses,
    }
    if each.parameters:
        described["parameters"] = list(each.parameters)
    if each.body is not None:
        examples = {name: {"value": value} for name, value in each.examples.items()}
        described["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": ref(each.body), "examples": examples}},
        }
    return described


def _schemas() -> dict[str, Any]:
    made = Schemas()
    made.body(bodies.StartBatchBody)
    made.body(bodies.ControlBatchBody)
    made.body(bodies.ActBody)
    made.body(bodies.CancelFlowBody)
    made.body(bodies.ReplayBody)
    made.body(bodies.InvokeBody)
    made.found["Invocation"]["required"].remove("invocation_id")
    for kind in (BatchProgress, BatchHeader, SliceProgress, FlowProgress, InvocationView, ControlBatch):
        made.answer(kind)
    for symbols in (Action, BatchState, FlowState, Status):
        made.found.setdefault(symbols.__name__, {"type": "string", "enum": [str(each) for each in symbols]})
    return {**made.found, **_OWN}


def _object(required: tuple[str, ...], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": properties}


def _list(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": item}


_NUMBERS: Final = {"type": "array", "items": {"type": "integer"}}
_COUNTS: Final = {"type": "object", "additionalProperties": {"type": "integer", "minimum": 0}}
_LOGGED: Final = _object(("partition", "offset"), partition={"type": "integer"}, offset={"type": "integer"})
_WORD: Final = {"type": "string"}
_FAULT: Final = _object(("field", "rule"), field=_WORD, rule=_WORD)
_WHERE: Final = {"as_of": TIME, "missing_partitions": _NUMBERS}
_OWN: Final[dict[str, Any]] = {
    "Problem": _object(
        ("type", "title", "status", "detail"),
        type=_WORD,
        title=_WORD,
        status={"type": "integer"},
        detail=_WORD,
        field={"type": "string", "description": "The first field that breaks a rule."},
        rule=_WORD,
        faults={"type": "array", "items": _FAULT, "description": "All of them."},
        accepted={"type": ["boolean", "null"], "description": "Whether the command was accepted; null: not known."},
    ),
    "StartedBatch": {
        "description": "The batch; only its id where it is not known yet.",
        "anyOf": [ref("BatchProgress"), {**_object(("batch_id",), batch_id=ID), "additionalProperties": False}],
    },
    "WholeBatch": {
        "allOf": [
            ref("BatchProgress"),
            _object(
                ("header", "slices", "conflicts"),
                header=ref("BatchHeader"),
                slices=_list(ref("SliceProgress")),
                conflicts=_list(
                    _object(
                        ("dead_letter", "timestamp"),
                        dead_letter=_WORD,
                        timestamp=TIME,
                        actor=_WORD,
                        differs=_list(_WORD),
                    )
                ),
            ),
        ]
    },
    "BatchPage": _object(("items",), items=_list(ref("BatchProgress")), next_cursor=_WORD),
    "FlowPage": _object(("items",), items=_list(ref("FlowProgress")), next_cursor=_WORD),
    "InvocationPage": _object(
        ("items", "as_of", "missing_partitions"), items=_list(ref("InvocationView")), next_cursor=_WORD, **_WHERE
    ),
    "OneInvocation": {"allOf": [ref("InvocationView"), _object(("as_of",), as_of=TIME)]},
    "InvocationCounts": _object(
        ("total", "counts", "exact", "as_of", "missing_partitions"),
        total={"type": "integer"},
        counts=_COUNTS,
        exact={"type": "boolean"},
        group_by=_WORD,
        groups=_list(_object(("counts",), value=_WORD, counts=_COUNTS)),
        **_WHERE,
    ),
    "Invoked": _object(("invocation_id", "logged"), invocation_id=ID, logged=_LOGGED),
    "Acted": _object(("invocation_id", "action", "logged"), invocation_id=ID, action=ref("Action"), logged=_LOGGED),
    "FlowCancelled": _object(("flow_id", "action", "policy", "logged"), flow_id=ID, logged=_LOGGED),
    "DeadLetters": _object(
        ("items", "total"),
        total={"type": "integer"},
        items=_list(
            _object(
                ("place", "timestamp", "code", "message"),
                place=_WORD,
                timestamp=TIME,
                code=_WORD,
                message=_WORD,
                key={"type": ["string", "object"], "description": "`{base64: ...}` where its bytes are not text."},
                source_topic=_WORD,
                source_partition={"type": "integer"},
                source_offset={"type": "integer"},
                source_last_offset={"type": "integer"},
                source_timestamp=TIME,
                truncated_from={"type": "integer", "description": "Bytes of its value, of which a part is kept."},
                not_sent_again=_WORD,
                record={"type": "object"},
            )
        ),
    ),
    "Replayed": _object(
        ("sent", "refused", "passed_over"),
        sent=_list(_WORD),
        passed_over=_list(_WORD),
        refused={"type": "object", "additionalProperties": _WORD},
    ),
    "Me": _object(
        ("name", "role", "open", "engine_version"),
        name=_WORD,
        role={"type": "string", "enum": ["viewer", "operator"]},
        open={"type": "boolean"},
        engine_version={"type": "integer"},
    ),
    "Partitions": _object(
        ("items", "missing_partitions"),
        missing_partitions=_NUMBERS,
        items=_list(
            _object(
                ("partition",),
                partition={"type": "integer"},
                url=_WORD,
                worker_id=_WORD,
                since=TIME,
                engine_version={"type": "integer"},
                lag={"type": "integer"},
                clock=TIME,
                rows=_COUNTS,
            )
        ),
    ),
}
