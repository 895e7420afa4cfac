"""Dead letters that go back: where to, and which cannot."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner, Result

from streams import codec
from streams.cli.app import app
from streams.cli.context import Connection
from streams.client import DeadLetter
from streams.client.replay import place_of, why_not
from streams.config import Topic
from streams.model import ENGINE_VERSION, Act, Action, ContinueSlice, Invocation, Invoke, Record
from support.service.worker_world import PARTITIONS, World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A service in memory."""
    with closing(World(tmp_path)) as made:
        yield made


def _run(world: World, *words: str) -> Result:
    return CliRunner().invoke(app, ["dead-letters", *words], obj=Connection(world.settings, world.cluster))


def test_places_of_records_that_were_applied_are_passed_over(world: World) -> None:
    """The command says so, in words and in JSON, and has not failed; nothing is sent in their stead."""
    with world.broker_ahead_by(1 << 40):
        world.invoke(*(Invoke(Invocation(f"i{n}", "s", "h")) for n in range(9)))
        world.run_until_idle()
    world.run_until_idle()
    ends = [log.end for log in world.cluster.topics["t.commands"].logs]
    letters = world.published_count(Topic.DEAD_LETTERS)
    assert letters >= PARTITIONS
    told = _run(world, "replay", "--all", "--yes")
    assert (told.exit_code, "0 sent again, 0 refused" in told.output) == (0, True)
    assert f"{letters} passed over" in told.output
    told = _run(world, "replay", "0:0", "--yes", "--json")
    assert json.loads(told.stdout) == {"sent": [], "refused": {}, "passed_over": ["0:0"]}
    assert [log.end for log in world.cluster.topics["t.commands"].logs] == ends
    told = _run(world, "show", "0:0", "--json")
    shown = json.loads(told.stdout)
    assert shown["code"] == "clock_ahead"
    assert shown["source_last_offset"] >= shown["source_offset"]
    assert "applied" in shown["not_sent_again"]


def test_a_letter_goes_back_with_the_headers_that_its_record_had(world: World) -> None:
    """Those that say whose trace and whose tenant it is, in their order; what the dead letter added stays behind."""
    commands = world.settings.topic(Topic.COMMANDS)
    headers: list[tuple[str, bytes]] = [("traceparent", b"00-1"), ("tenant", b"gold"), ("tenant", b"\xff")]
    world.cluster.append((commands, 0), b"k", b"bad", headers)
    world.run_until_idle()
    result = _run(world, "replay", "--all", "--yes")
    assert result.exit_code == 0, result.output
    again = world.cluster.records(commands)[-1]
    assert (again.value, list(again.headers or ())) == (b"bad", headers)
