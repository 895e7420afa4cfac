"""Every record to bytes and back, held against another Avro library."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams import codec
from streams.codec import schemas
from streams.codec.records import Records
from streams.model import Act, Action, Invocation, InvocationRow, Invoke, Meta, Record, Row, Signal
from support.effort import examples
from support.records.record_values import KINDS, TODAY, any_record, other_body, other_value, plain, records

HEADER = 10
ROW_FIELDS = InvocationRow.__struct_fields__[1:]


def with_encoded(record: Record) -> Record:
    """The record as decoding gives it back."""
    if isinstance(record, Invoke):
        return msgspec.structs.replace(record, encoded=codec.encode_invocation(record.invocation))
    return record


def row_of(record: InvocationRow) -> Row:
    """The same row with the invocation's bytes instead of the invocation."""
    invocation = record.invocation
    values: dict[str, Any] = {name: getattr(record, name) for name in ROW_FIELDS}
    encoded = codec.encode_invocation(invocation)
    names = ("lease_ms", "object_key", "flow_id", "parent_id")
    carried: dict[str, Any] = {name: getattr(invocation, name) for name in names}
    return Row(invocation.invocation_id, encoded, **carried, **values)


@settings(deadline=None)
@given(any_record())
def test_what_is_encoded_is_decoded(record: Record) -> None:
    """Every record comes back as it was, and an Invoke with the bytes of its invocation."""
    assert codec.decode(codec.encode(record)) == with_encoded(record)


@settings(deadline=None)
@given(any_record())
def test_bytes_are_those_of_another_library(record: Record) -> None:
    """Fastavro writes the same bytes, and reads the same values from them."""
    schema = TODAY[type(record).__name__]
    data = codec.encode(record)
    assert data[HEADER:] == other_body(schema, plain(record))
    assert other_value(schema, schema, data[HEADER:]) == plain(record)


@settings(deadline=None)
@given(records(InvocationRow), st.booleans())
def test_a_row_is_its_invocation_row(record: InvocationRow, new: bool) -> None:  # noqa: FBT001
    """A Row, new or not, has the bytes of the InvocationRow it stands for, and comes back with its invocation."""
    if new:
        record = msgspec.structs.replace(record, modified_at=record.created_at)
    row = row_of(record)
    assert codec.encode_row(row) == codec.encode(record)
    assert codec.decode_row(codec.encode(record)) == (row, record.invocation)


@settings(deadline=None)
@given(records(Signal))
def test_a_signal_around_encoded_bytes_is_a_signal(signal: Signal) -> None:
    """A signal made from an invocation's bytes has the bytes of the signal made from the invocation."""
    encoded = codec.encode_invocation(signal.invocation)
    rest = (signal.seq, signal.attempt, signal.repeat, signal.at, signal.payload, signal.cause)
    assert codec.encode_signal(signal.kind, encoded, *rest) == codec.encode(signal)


@settings(deadline=None)
@given(records(Signal), st.lists(st.tuples(st.integers(0, 2**62), st.integers(0, 2**31 - 1)), max_size=5))
def test_a_page_of_signals_is_its_signals(signal: Signal, rows: list[tuple[int, int]]) -> None:
    """Signals made together have the bytes of those made one by one."""
    encoded = codec.encode_invocation(signal.invocation)
    together = codec.encode_signals(
        signal.kind, [(seq, encoded, attempt) for seq, attempt in rows], signal.at, signal.cause
    )
    assert together == [
        codec.encode_signal(signal.kind, encoded, seq, attempt, 0, signal.at, None, signal.cause)
        for seq, attempt in rows
    ]


@settings(deadline=None)
@given(records(Invocation))
def test_an_invocation_is_decoded_from_its_bare_body(invocation: Invocation) -> None:
    """The bytes carried in rows hold the invocation and nothing else."""
    body = codec.encode_invocation(invocation)
    assert codec.decode_invocation(body) == invocation
    with pytest.raises(codec.BadRecordError):
        codec.decode_invocation(body + b"\0")


def older(schema: dict[str, Any], data: st.DataObject) -> dict[str, Any]:
    """The schema as it may have been before some of its fields and symbols were added."""
    schema = copy.deepcopy(schema)
    text = str(schema)
    for part in list(schemas.definitions(schema)):
        if part["type"] == "enum":
            part["symbols"] = part["symbols"][: data.draw(st.integers(2, len(part["symbols"])))]
        else:
            part["fields"] = [
                field
                for field in part["fields"]
                if "default" not in field
                or any(f"'invocations.{inner['name']}'" in text for inner in schemas.definitions(field["type"]))
                or data.draw(st.booleans())
            ]
    return schema


def has_symbols(schema: dict[str, Any], value: Any) -> bool:
    """Whether the older schema can hold the value."""
    try:
        other_body(schema, value)
    except (ValueError, KeyError):
        return False
    return True


@settings(max_examples=examples(50), deadline=None)
@given(any_record(), st.data())
def test_what_an_older_schema_wrote_is_read(record: Record, data: st.DataObject) -> None:
    """Fields that an older schema lacks take today's defaults, exactly as fastavro resolves them."""
    name = type(record).__name__
    written = older(TODAY[name], data)
    if not has_symbols(written, plain(record)):
        return
    body = other_body(written, plain(record))
    decoded = Records([TODAY, {name: written}]).decode(schemas.header(written) + body)
    resolved = msgspec.convert(other_value(written, TODAY[name], body), KINDS[name])
    assert decoded == with_encoded(resolved)


def test_an_older_row_carries_todays_bytes() -> None:
    """An invocation written with an older schema is encoded again, so that what is carried is always today's."""
    written = copy.deepcopy(TODAY["InvocationRow"])
    invocation = written["fields"][0]["type"]
    invocation["fields"] = [field for field in invocation["fields"] if field["name"] != "lease_ms"]
    record = InvocationRow(Invocation("i-1", "s", "h"), 1, 2, "READY", 1, -1, 3, 4)  # type: ignore[arg-type]
    data = schemas.header(written) + other_body(written, plain(record))
    row, found = Records([TODAY, {"InvocationRow": written}]).decode_row(data)
    assert found == record.invocation
    assert row.encoded == codec.encode_invocation(found)


def test_only_commands_are_commands() -> None:
    """A record that has no place in the command log is refused by name."""
    act = Act("i-1", Action.KILL)
    assert codec.decode_command(codec.encode(act)) == act
    with pytest.raises(codec.BadRecordError, match="Meta has no place in the command log") as caught:
        codec.decode_command(codec.encode(Meta()))
    assert caught.value.code == "not_a_command"


def test_only_rows_are_rows() -> None:
    """Another record where a row is expected is refused by name."""
    with pytest.raises(codec.BadRecordError, match="Meta stands where an InvocationRow is expected"):
        codec.decode_row(codec.encode(Meta()))


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 2**70])
def test_a_number_beyond_64_bits_is_not_encoded(number: int) -> None:
    """A number that no long holds is an error of the caller, never a wrong number in the log."""
    with pytest.raises(ValueError, match="does not fit in 64 bits"):
        codec.encode(Meta(next_offset=number))


def test_unknown_is_not_encoded() -> None:
    """No value outside an enum can be written, UNKNOWN included."""
    with pytest.raises(KeyError):
        codec.encode(Act("i-1", "UNKNOWN"))  # type: ignore[arg-type]
