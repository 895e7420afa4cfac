"""The JSON form of every record, both ways, and all that may be wrong with it."""

from __future__ import annotations

import json
from types import NoneType
from typing import Any, get_args, get_type_hints

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.codec import schemas
from streams.codec.json_form import MOST_SHOWN, Fault, JsonFaultsError, from_json, time_text, to_json
from streams.model import (
    Act,
    Action,
    CancelFlow,
    Change,
    Exclusion,
    Filter,
    Invocation,
    Invoke,
    PageDelta,
    Record,
    StartBatch,
    Status,
)
from support.records.record_values import TODAY, any_record

IDS = ("invocation_id", "batch_id", "flow_id", "parent_id", "deployment_id", "service", "handler", "object_key")
AT = 1_795_915_226_118
AT_TEXT = "2026-11-29T01:20:26.118Z"


def sensible(value: Any) -> Any:
    """The record with no empty id, and no empty list where one may be absent: these are refused on the way back."""
    if not isinstance(value, Record):
        return tuple(map(sensible, value)) if isinstance(value, tuple) else value
    hints = get_type_hints(type(value))
    changes: dict[str, Any] = {}
    for name, hint in hints.items():
        field = sensible(getattr(value, name))
        if name in IDS and field == "":
            field = "x"
        if name.removesuffix("s") in IDS and isinstance(field, tuple):
            field = tuple(each or "x" for each in field)
        if NoneType in get_args(hint) and (field in ((), {}) or (isinstance(field, dict) and () in field.values())):
            field = None
        changes[name] = field
    return msgspec.structs.replace(value, **changes)


@settings(deadline=None)
@given(any_record().map(sensible))
def test_a_record_comes_back_from_its_json(record: Record) -> None:
    """Through text, as it goes over the wire."""
    assert from_json(type(record), json.loads(msgspec.json.encode(to_json(record)))) == record


def _leaves(schema: Any, value: Any) -> Any:  # noqa: PLR0911 - one for each kind of schema
    """A record's plain values as its schema says that they are shown."""
    match schema:
        case {"logicalType": "timestamp-millis"}:
            return time_text(value)
        case {"type": "record", "fields": fields}:
            named = {field["name"]: (field["type"], getattr(value, field["name"])) for field in fields}
            return {name: _leaves(kind, part) for name, (kind, part) in named.items() if part is not None}
        case {"type": "array", "items": part}:
            return [_leaves(part, each) for each in value]
        case {"type": "map", "values": part}:
            return {key: _leaves(part, each) for key, each in value.items()}
        case [*branches]:
            return None if value is None else _leaves(branches[-1], value)
        case str() if schema in PARTS:
            return _leaves(PARTS[schema], value)
        case "double":
            return value if abs(value) < float("inf") else "Infinity" if value > 0 else "-Infinity"
        case "bytes":
            return msgspec.to_builtins(value)
        case _:
            return value


PARTS = {f"invocations.{part['name']}": part for schema in TODAY.values() for part in schemas.definitions(schema)}


@settings(deadline=None)
@given(any_record())
def test_the_form_is_that_of_the_schema(record: Record) -> None:
    """Names, symbols and times are the schema's; nothing is left out but what is absent."""
    assert to_json(record) == _leaves(TODAY[type(record).__name__], record)


def test_absent_fields_are_left_out_and_bytes_are_base64() -> None:
    """What the schema does not have is left out, too."""
    invoke = Invoke(Invocation("i", "s", "h"), scheduled_at=AT, payload=b"\xff", encoded=b"bytes")
    assert to_json(invoke) == {
        "invocation": {"invocation_id": "i", "service": "s", "handler": "h", "labels": {}},
        "scheduled_at": AT_TEXT,
        "adopt": False,
        "payload": "/w==",
    }


@pytest.mark.parametrize(
    ("written", "at"),
    [
        (AT_TEXT, AT),
        ("2026-11-29t01:20:26.118z", AT),
        ("2026-11-29 02:20:26.118999+01:00", AT),
        ("1970-01-01T00:00:00Z", 0),
        ("1969-12-31T23:59:59.999Z", -1),
        (AT, AT),
        (-5, -5),
    ],
)
def test_times_are_read_as_text_or_as_milliseconds(written: str | int, at: int) -> None:
    """Digits beyond milliseconds are cut."""
    assert from_json(Filter, {"created_from": written}) == Filter(created_from=at)


@given(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 253_402_300_799_999))
def test_a_time_comes_back(at: int) -> None:
    """One beyond the calendar stays a number."""
    assert from_json(Filter, to_json(Filter(created_from=at))).created_from == at
    assert isinstance(time_text(at), str) == (0 <= at <= 253_402_300_799_999)


BATCH = {"batch_id": "b", "action": "KILL", "filter": {"match_all": True}}
FLOW_CANCEL = {"flow_id": "f", "action": "CANCEL", "policy": "CANCEL_ALL"}
NO_TIME = "write a time like 2026-01-31T18:00:00.000Z, or milliseconds since 1970"


@pytest.mark.parametrize(
    ("kind", "body", "field", "rule"),
    [
        (StartBatch, [], "", "is a list: write an object, the fields of StartBatch"),
        (StartBatch, None, "", "is null: write an object, the fields of StartBatch"),
        (StartBatch, BATCH | {"filter": None}, "filter", "is missing"),
        (StartBatch, {**BATCH, "reson": "why"}, "reson", "is not a field of StartBatch: did you mean reason?"),
        (StartBatch, {**BATCH, "filter": {"service": ["s"]}}, "filter.service", "did you mean services?"),
        (StartBatch, {**BATCH, "filter": {"exclude": {"label": {}}}}, "filter.exclude.label", "did you mean labels?"),
        (StartBatch, {**BATCH, "encoded": "aGk="}, "encoded", "is not a field of StartBatch"),
        (Invoke, {"encoded": "aGk="}, "encoded", "is not a field of Invoke, which has invocation, scheduled_at, "),
        (Act, {"invocation_id": "i", "action": "EXPLODE"}, "action", "is 'EXPLODE', not an Action: write CANCEL, "),
        (Act, {"invocation_id": "i", "action": "kil"}, "action", "is 'kil', not an Action: did you mean KILL?"),
        (Act, {"invocation_id": "i", "action": 5}, "action", "is 5, not an Action: write CANCEL, "),
        (Act, {"invocation_id": "", "action": "KILL"}, "invocation_id", "is empty: write one of at least one"),
        (Act, {"invocation_id": 5, "action": "KILL"}, "invocation_id", "is a number: write a text"),
        (Act, {"invocation_id": "\ud800", "action": "KILL"}, "invocation_id", "holds half a surrogate pair"),
        (Act, {"invocation_id": "i", "action": "KILL", "only_unstarted": "yes"}, "only_unstarted", "write true"),
        (Act, {"invocation_id": "i", "action": "KILL", "cause": "me"}, "cause", "is a text: write an object"),
        (Act, {"invocation_id": "i", "action": "KILL", "grace_ms": 1.5}, "grace_ms", "is 1.5: write a whole number"),
        (Act, {"invocation_id": "i", "action": "KILL", "grace_ms": True}, "grace_ms", "is true: write a whole number"),
        (Act, {"invocation_id": "i", "action": "KILL", "grace_ms": 2**63}, "grace_ms", "does not fit in 64 bits"),
        (CancelFlow, FLOW_CANCEL | {"grace_ms": 1.5}, "grace_ms", "is 1.5: write a whole number"),
        (CancelFlow, FLOW_CANCEL | {"grace_ms": 0.5}, "grace_ms", "is 0.5: write a whole number"),
        (StartBatch, {**BATCH, "grace_ms": 1.5}, "grace_ms", "is 1.5: write a whole number"),
        (StartBatch, {**BATCH, "max_rate": "fast"}, "max_rate", "is 'fast': write a number"),
        (StartBatch, {**BATCH, "max_rate": 10**400}, "max_rate", "is too large for a number"),
        (StartBatch, {**BATCH, "expires_at": "2h"}, "expires_at", f"is '2h': {NO_TIME}"),
        (StartBatch, {**BATCH, "expires_at": "2026-11-29T01:20:26"}, "expires_at", NO_TIME),
        (StartBatch, {**BATCH, "expires_at": "2026-02-31T01:20:26Z"}, "expires_at", NO_TIME),
        (StartBatch, {**BATCH, "expires_at": "9999-12-31T23:59:59-23:59"}, "expires_at", NO_TIME),
        (StartBatch, {**BATCH, "expires_at": 1.0}, "expires_at", NO_TIME),
        (StartBatch, {**BATCH, "expires_at": 2**63}, "expires_at", "does not fit in 64 bits"),
        (Invoke, {"invocation": {}, "payload": "%"}, "payload", "is '%': write bytes in base64"),
        (Filter, {"services": []}, "services", "is an empty list: name at least one, or leave the field out"),
        (Filter, {"services": [""]}, "services[0]", "is empty"),
        (Filter, {"services": "mail"}, "services", "is a text: write a list"),
        (Filter, {"services": ["a", None]}, "services[1]", "is null: write a text"),
        (Filter, {"statuses": ["RUNNING", "PAUSE"]}, "statuses[1]", "is 'PAUSE', not a Status: did you mean PAUSED?"),
        (Filter, {"labels": {}}, "labels", "is empty: name at least one, or leave the field out"),
        (Filter, {"labels": ["a"]}, "labels", "is a list: write an object of keys and values"),
        (Filter, {"labels": {"a": 1}}, "labels.a", "is a number: write a text"),
        (Filter, {"labels_in": {"a": []}}, "labels_in.a", "is an empty list"),
        (Exclusion, {"object_keys": []}, "object_keys", "is an empty list"),
    ],
)  # fmt: skip
def test_a_fault_names_its_field_and_the_rule(kind: type[Record], body: Any, field: str, rule: str) -> None:
    """A misspelt field or an empty list must never mean all."""
    with pytest.raises(JsonFaultsError) as caught:
        from_json(kind, body)
    found = {fault.field: fault.rule for fault in caught.value.faults}
    assert rule in found[field]


def test_all_faults_are_named_at_once() -> None:
    """A person mends them in one go."""
    body = {"action": "STOP", "filter": {"servces": ["s"], "statuses": [], "labels": {"a": 1}}, "limit": "5"}
    with pytest.raises(JsonFaultsError) as caught:
        from_json(StartBatch, body)
    assert [fault.field for fault in caught.value.faults] == [
        "batch_id",
        "action",
        "filter.servces",
        "filter.statuses",
        "filter.labels.a",
        "limit",
    ]
    assert str(caught.value).startswith("batch_id is missing\naction is 'STOP', not an Action: write CANCEL, ")
    assert str(Fault("", "is null")) == "the body is null"


def test_null_is_an_absent_field() -> None:
    """As programs write it that have no other word for it."""
    body = {"batch_id": "b", "action": "KILL", "filter": {"services": None, "match_all": True}, "limit": None}
    assert from_json(StartBatch, body) == StartBatch("b", Action.KILL, Filter(match_all=True))


def _ids(count: int) -> tuple[str, ...]:
    return tuple(f"i-{number}" for number in range(count))


def test_long_lists_are_counted_where_a_record_is_not_whole() -> None:
    """Up to the limit they are shown."""
    few, many = _ids(MOST_SHOWN), _ids(MOST_SHOWN + 1)
    chosen = Filter(services=few, invocation_ids=many, labels_in={"few": few, "many": many})
    assert to_json(StartBatch("b", Action.KILL, chosen), whole=False)["filter"] == {
        "services": list(few),
        "invocation_ids_count": len(many),
        "labels_in": {"few": list(few)},
        "labels_in_count": {"many": len(many)},
        "match_all": False,
    }
    whole = to_json(chosen)
    assert (whole["invocation_ids"], whole["labels_in"]["many"]) == (list(many), list(many))


def test_lists_within_lists_are_counted_likewise() -> None:
    """A page delta may hold thousands of rows."""
    delta = PageDelta(AT, None, (Change(Status.KILLED, seqs=tuple(range(1_000))),))
    change = {"status": "KILLED", "seqs_count": 1_000}
    assert to_json(delta, whole=False) == {"modified_at": AT_TEXT, "changes": [change]}


class _View(Record, frozen=True):
    """A view, which has no schema, made of fields that have one."""

    invocation_id: str
    as_of: int
    filter: Filter | None = None
    due_at: int | None = None
    more: Any = None


def test_a_view_without_a_schema_has_the_form_of_its_fields() -> None:
    """A field's name says whether it is a time."""
    view = _View("i", AT, due_at=AT)
    shown = {"invocation_id": "i", "as_of": AT_TEXT, "due_at": AT_TEXT}
    assert to_json(view) == shown
    assert from_json(_View, shown) == view
