"""Headers that the client library cannot read: other programs may write such records."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from streams import codec
from streams.config import Topic
from streams.kafka.headers import UNREADABLE
from support.kafka.raw_produce import produce
from support.service import oracle
from support.service.workload import invoke

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.service.harness import Service

pytestmark = [pytest.mark.broker, pytest.mark.durable]

HEADERS = [(b"\xff\xfe", b"x"), (b"trace", None), (b"", b"")]
MANY = 30
"""More than it takes until Python runs a call in its fast way."""


def test_header_names_that_are_no_text_stop_nobody(make_service: Callable[..., Service]) -> None:
    """Such records are applied where they stand, forwarded, or dead letters; other headers of theirs are lost."""
    service = make_service(partitions=2)
    worker = service.worker("a")

    def write(value: bytes, partition: int) -> None:
        topic = service.settings.topic(Topic.COMMANDS)
        produce(service.settings.bootstrap_servers, topic, partition, value, HEADERS)

    ids = [f"i-{number}" for number in range(MANY)]
    for number, invocation_id in enumerate(ids):
        write(b"bad", number % 2)
        write(codec.encode(invoke(invocation_id)), number % 2)
    service.settle()
    table = oracle.fold(service.read(Topic.CHANGELOG))
    assert sorted(row.invocation.invocation_id for row in table.rows.values()) == sorted(ids)
    letters = service.read(Topic.DEAD_LETTERS)
    assert len(letters) == MANY
    assert all(letter.headers[f"original.{UNREADABLE}"] == "" for letter in letters)
    assert worker.running
    for command in (["dead-letters", "list"], ["tail", "commands"]):
        done = service.command(*command)
        assert done.returncode == 0, done.stderr
    service.verify()
