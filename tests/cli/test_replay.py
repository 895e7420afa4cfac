"""Dead letters that go back: where to, and which cannot."""

from __future__ import annotations

from typing import Any

import pytest

from streams import codec
from streams.cli.replay import place_of, why_not
from streams.client import DeadLetter
from streams.model import ENGINE_VERSION, Act, Action, ContinueSlice, Invocation, Invoke, Record

BY_KEY = -1


def _letter(value: bytes | Record | None, **changes: Any) -> DeadLetter:
    fields: dict[str, Any] = {
        "partition": 0,
        "offset": 7,
        "timestamp": 1,
        "source_topic": "commands",
        "source_partition": 3,
        "source_offset": 9,
        "source_timestamp": 1,
        "code": "c",
        "message": "m",
        "key": b"as it was",
        "value": codec.encode(value) if isinstance(value, Record) else value,
    }
    return DeadLetter(**(fields | changes))


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (Invoke(Invocation("service/key~1", "service", "h")), (b"service/key", BY_KEY)),
        (Act("i", Action.KILL), (b"i", BY_KEY)),
        (ContinueSlice(ENGINE_VERSION, 2, "b", 1, 1, 1), (b"as it was", 2)),
        (b"garbage", (b"as it was", 3)),
        (None, (b"as it was", 3)),
    ],
)
def test_a_command_goes_where_its_value_says_and_all_else_where_it_stood(
    value: bytes | Record | None, place: tuple[bytes, int]
) -> None:
    """A key that somebody chose otherwise is put right."""
    assert place_of(_letter(value)) == place


def test_what_was_cut_or_has_lost_its_origin_cannot_go_back() -> None:
    """Half a record is none."""
    assert why_not(_letter(b"x")) is None
    assert "was cut, of 3,000,000 bytes" in (why_not(_letter(b"x", truncated=3_000_000)) or "")
    assert "source-partition is missing" in (why_not(_letter(b"x", source_partition=None)) or "")
