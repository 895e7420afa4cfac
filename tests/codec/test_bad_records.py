"""Bytes that are not a record: one typed error, whatever they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streams import codec
from streams.codec import schemas
from streams.model import Act, Action, Filter, Invocation, Invoke, Record, StartBatch, Status, Tick
from support.records.record_values import TODAY, any_record, other_value, plain

if TYPE_CHECKING:
    from collections.abc import Callable

HEADER = 10
ACT = codec.encode(Act("i-1", Action.KILL))
BATCH = codec.encode(StartBatch("b-1", Action.KILL, Filter(services=("orders",), statuses=(Status.READY,))))
DELTA, BATCH_RECORD, ROW = (schemas.header(TODAY[name]) for name in ("PageDelta", "Batch", "InvocationRow"))
HUGE = b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"
"""The largest long."""
MOST_NEGATIVE = b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"


def refusal(data: bytes | None) -> tuple[str, str]:
    """Code and message of the error that decoding raises."""
    with pytest.raises(codec.BadRecordError) as caught:
        codec.decode(data)
    assert str(caught.value) == caught.value.message
    return caught.value.code, caught.value.message


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A record with a few bytes changed, taken out or put in, or its end cut off."""
    data = bytearray(codec.encode(draw(any_record())))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(HEADER, len(data)))
        taken = draw(st.integers(0, 3))
        data[at : at + taken] = draw(st.binary(max_size=3) | st.sampled_from([HUGE, MOST_NEGATIVE]))
    return bytes(data[: draw(st.integers(HEADER, len(data)) | st.just(len(data)))])


ANY_BODY = st.builds(
    lambda name, body: schemas.header(TODAY[name]) + body, st.sampled_from(sorted(TODAY)), st.binary(max_size=60)
)


@settings(deadline=None)
@given(st.binary(max_size=40) | ANY_BODY | damaged())
@example(DELTA + b"\x00\x00" + HUGE)
@example(DELTA + b"\x00\x00" + MOST_NEGATIVE)
@example(DELTA + b"\x00\x00\x02\x04\x00\x00" + HUGE)
@example(DELTA + b"\x00\x00\x02\x04\x00\x00" + MOST_NEGATIVE + HUGE)
@example(schemas.header(TODAY["Payload"]) + HUGE)
@example(schemas.header(TODAY["Payload"]) + MOST_NEGATIVE)
def test_any_bytes_are_a_record_or_a_bad_record(data: bytes) -> None:
    """Whatever arrives, decoding gives a record that fastavro reads too, or a BadRecordError; nothing else happens."""
    for decode in (codec.decode, codec.decode_command, codec.decode_row):
        try:
            decoded = decode(data)
        except codec.BadRecordError:
            continue
        if isinstance(decoded, Record):
            schema = TODAY[type(decoded).__name__]
            assert repr(plain(decoded)) == repr(other_value(schema, schema, data[HEADER:]))


@settings(deadline=None)
@given(any_record(), st.data())
def test_a_cut_record_is_never_a_record(record: Record, data: st.DataObject) -> None:
    """A record without its end is malformed, wherever it was cut."""
    encoded = codec.encode(record)
    if len(encoded) > HEADER:
        cut = data.draw(st.integers(HEADER, len(encoded) - 1))
        assert refusal(encoded[:cut])[0] == "malformed"


@settings(deadline=None)
@given(any_record(), st.binary(min_size=1, max_size=5))
def test_bytes_after_a_record_are_malformed(record: Record, more: bytes) -> None:
    """A record and something after it are not a record."""
    code, message = refusal(codec.encode(record) + more)
    assert code == "malformed"
    assert message == f"{type(record).__name__}: {len(more)} bytes follow its end"


@pytest.mark.parametrize("data", [None, b""])
def test_no_bytes(data: bytes | None) -> None:
    """A tombstone in the command log is named as such."""
    assert refusal(data) == ("empty_value", "the value is empty")


@pytest.mark.parametrize("data", [b"{}", b"\xc3", b"\xc3\x01", ACT[:9], b"\x00" + ACT])
def test_bytes_that_are_not_avro(data: bytes) -> None:
    """What does not begin as a single object is told from an object of an unknown schema."""
    assert refusal(data)[0] == "not_avro"


@pytest.mark.parametrize("decode", [codec.decode, codec.decode_command, codec.decode_row])
def test_a_schema_registrys_framing_is_named(decode: Callable[[bytes], object]) -> None:
    """00 and four bytes: where they are, the registry's number of the schema is told too."""
    with pytest.raises(codec.BadRecordError, match=r"Confluent framing \(00, then schema id 258\)") as caught:
        decode(b"\0" + (258).to_bytes(4, "big") + ACT[HEADER:])
    assert caught.value.code == "not_avro"
    assert "Confluent" in refusal(b"\0\0\0\0\1")[1]


@pytest.mark.parametrize("data", [b"\0", b"\0\0\0\1", b"\1\0\0\0\1" + ACT, b'{"a": 1}'])
def test_no_framing_is_guessed_from_less(data: bytes) -> None:
    """A hint that is wrong leads astray."""
    assert refusal(data) == ("not_avro", "the value does not begin with C3 01 and the fingerprint of a schema")


def test_an_unknown_schema() -> None:
    """A fingerprint that no version knows is named, so that one can look it up."""
    code, message = refusal(b"\xc3\x01" + bytes(range(8)) + b"anything")
    assert code == "unknown_schema"
    assert "0001020304050607" in message


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (ACT[:HEADER] + b"\x06i-1" + b"\x00", "Act.action: UNKNOWN is not a value"),
        (ACT[:HEADER] + b"\x06i-1" + b"\x7e", "Act.action: no value has the byte 126"),
        (ACT[:HEADER] + b"\x06i-1", "Act.action: the record ends here, too early"),
        (ACT[:HEADER] + b"\x06i-1\x04\x00\x02\x03", "Act.only_unstarted: no value has the byte 3"),
        (ACT[:HEADER] + b"\x06i-1\x04\x01", "Act.grace_ms: neither absent nor present (branch byte 1)"),
        (ACT[:HEADER] + b"\x05i-1", "Act.invocation_id: a length of -3"),
        (ACT[:HEADER] + b"\x06i-1\x04\x02" + b"\xff" * 10 + b"\x01", "Act.grace_ms: a number of more than 64 bits"),
        (ACT[:HEADER] + b"\x06i-1\x04\x02" + b"\xff" * 9 + b"\x02", "Act.grace_ms: a number of more than 64 bits"),
        (ACT[:HEADER] + b"\x06i-1\x04\x02" + b"\xff" * 9, "Act.grace_ms: the record ends here, too early"),
        (ACT[:-2], "Act.cause.reason: the record ends here, too early"),
        (BATCH.replace(b"orders", b"order\xff"), "StartBatch.filter.services: 'utf-8' codec can't decode byte 0xff"),
        (BATCH.replace(b"\x02\x02\x06\x00", b"\x02\x02\x00\x00"), "StartBatch.filter.statuses: UNKNOWN is not a value"),
        (DELTA + b"\x00\x00\x80\x00", "PageDelta.changes: a block count of 0 in more than one byte"),
        (BATCH[:HEADER] + b"\x7eb", "StartBatch.action: the record ends here, too early"),
    ],
)
def test_a_malformed_record_names_field_and_rule(data: bytes, message: str) -> None:
    """The message of a dead letter says which field of which record breaks which rule."""
    code, found = refusal(data)
    assert code == "malformed"
    assert found.startswith(message)


def test_a_text_cut_within_is_malformed() -> None:
    """A last field that is shorter than it says is not taken for a shorter value."""
    data = codec.encode(Invoke(Invocation("i-1", "s", "h"), payload=b"payload"))
    assert refusal(data[:-1]) == ("malformed", "Invoke: it ends too early")


def test_numbers_in_more_bytes_than_needed_are_read() -> None:
    """Other writers may pad their numbers; the value counts."""
    tick = Tick(1, 2, 3, 4, 5, 6, 7, 8)
    data = codec.encode(tick)
    assert codec.decode(data[:HEADER] + b"\x82\x80\x00" + data[HEADER + 1 :]) == tick
