"""Reading dead letters, and following topics without blocking an event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from functools import partial
from itertools import islice

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streams import codec
from streams.client import BatchTimeoutError, DeadLetterReader, ProgressReader, TopicMissingError
from streams.config import Topic
from streams.kafka.tail import Tail
from streams.model import Act, Action, BatchProgress, BatchState, Filter, OnTimeout
from support.kafka.fake_consumer import FakeConsumer
from support.service.client_world import ClientWorld, all_threads_gone

HEADERS = [
    ("source-topic", b"t.commands"),
    ("source-partition", b"3"),
    ("source-offset", b"17"),
    ("source-timestamp", b"1700000000000"),
    ("error-code", b"invalid_service"),
    ("error-message", "service is empty: é".encode()),
]

PLACES = [TopicPartition("t", 0)]


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fake consumer never waits; whoever follows one would spin."""
    consume = FakeConsumer.consume

    def waits(self: FakeConsumer, count: int = 1, timeout: float = -1) -> object:
        found = consume(self, count, timeout)
        if not found and timeout > 0:
            time.sleep(0.005)
        return found

    monkeypatch.setattr(FakeConsumer, "consume", waits)


def write_progress(world: ClientWorld, revision: int, state: BatchState = BatchState.RUNNING) -> None:
    """One more record of batch b."""
    record = BatchProgress(
        "b", Action.KILL, Filter(match_all=True), False, None, None, None, OnTimeout.KILL, None, None, None, None, None,
        state, None, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0.0, None, (), (), revision, 1, 1,
    )  # fmt: skip
    world.write(Topic.BATCHES, "b", codec.encode(record))


def test_a_dead_letter_says_where_it_stood_and_what_it_was() -> None:
    """Headers decoded, key and value as they were, and the record where it can be read."""
    world = ClientWorld()
    world.write(Topic.DEAD_LETTERS, "k", codec.encode(Act("a", Action.KILL)), HEADERS)
    world.write(Topic.DEAD_LETTERS, "cut", b"\0" * 10, [*HEADERS, ("value-truncated", b"5000000")])
    world.write(Topic.DEAD_LETTERS, "strange", None, [("source-offset", b"x")])
    first, cut, strange = DeadLetterReader(world.settings, world.cluster).all()
    assert (first.source_topic, first.source_partition, first.source_offset) == ("t.commands", 3, 17)
    assert (first.source_timestamp, first.code) == (1_700_000_000_000, "invalid_service")
    assert first.message == "service is empty: é"
    assert (first.partition, first.offset, first.timestamp) == (0, 0, world.cluster.now)
    assert (first.key, first.decoded, first.truncated) == (b"k", Act("a", Action.KILL), None)
    assert (cut.decoded, cut.truncated, cut.value) == (None, 5_000_000, b"\0" * 10)
    assert (strange.source_topic, strange.source_offset, strange.code, strange.value) == (None, None, "", None)


def test_dead_letters_are_followed() -> None:
    """Those that are there, then those that come."""
    world = ClientWorld()
    world.write(Topic.DEAD_LETTERS, "0", b"", HEADERS)
    following = DeadLetterReader(world.settings, world.cluster).follow()
    assert next(following).key == b"0"
    for number in range(1, 4):
        world.write(Topic.DEAD_LETTERS, f"{number}", b"", HEADERS)
    assert [each.key for each in islice(following, 3)] == [b"1", b"2", b"3"]


def test_a_batch_is_followed_by_async_for() -> None:
    """As by the sync one, while the loop goes on; its thread and its connection end with it."""
    world = ClientWorld()
    before = threading.active_count()
    write_progress(world, 1)

    async def main() -> list[int]:
        seen = []
        async for each in ProgressReader(world.settings, world.cluster).follow_async("b"):
            seen.append(each.revision)
            state = BatchState.COMPLETED if each.revision == 2 else BatchState.RUNNING
            asyncio.get_running_loop().call_later(0.02, partial(write_progress, world, each.revision + 1, state))
        return seen

    assert asyncio.run(main()) == [1, 2, 3]
    assert all_threads_gone(before)


def test_following_may_be_given_up_at_any_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """By `break`, by cancelling the task, by its own timeout: the connection is closed each time."""
    world, before = ClientWorld(), threading.active_count()
    closed: list[FakeConsumer] = []
    close = FakeConsumer.close

    def noted_close(consumer: FakeConsumer) -> None:
        closed.append(consumer)
        close(consumer)

    monkeypatch.setattr(FakeConsumer, "close", noted_close)
    write_progress(world, 1)
    reader = ProgressReader(world.settings, world.cluster)

    async def follow(*, stop: bool) -> None:
        following = reader.follow_async("b", timeout=0.1 if not stop else None)
        async for _ in following:
            if stop:
                break
        await following.aclose()

    async def main() -> None:
        await follow(stop=True)
        with pytest.raises(BatchTimeoutError):
            await follow(stop=False)
        task = asyncio.create_task(follow(stop=False))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert all_threads_gone(before)
    assert len(closed) == 3


def test_dead_letters_are_followed_by_async_for() -> None:
    """Without end, until it is left."""
    world = ClientWorld()
    world.write(Topic.DEAD_LETTERS, "0", b"", HEADERS)

    async def main() -> bytes | None:
        async for letter in DeadLetterReader(world.settings, world.cluster).follow_async():
            return letter.key
        raise AssertionError("it ended")

    assert asyncio.run(main()) == b"0"


def test_a_missing_topic_is_named_to_the_async_reader() -> None:
    """The error comes out of `async for`."""
    world = ClientWorld()
    world.cluster.delete_topic(world.settings.topic(Topic.BATCHES))

    async def main() -> None:
        async for _ in ProgressReader(world.settings, world.cluster).follow_async("b"):
            raise AssertionError("nothing can be there")

    with pytest.raises(TopicMissingError, match=r"t\.batches does not exist"):
        asyncio.run(main())


def test_only_errors_that_pass_are_waited_out() -> None:
    """Any other ends the reading."""

    class Failing:
        """A consumer with one message, an error."""

        def __init__(self, error: KafkaError) -> None:
            self.error = error

        def assign(self, _places: object) -> None:
            """Take anything."""

        def consume(self, count: int, _wait: float) -> list[object]:
            """The error, once."""
            return [type("Message", (), {"error": lambda _: self.error})()] if count == 1 else []

    assert list(Tail(Failing(KafkaError(KafkaError._TRANSPORT, "x", False, True)), PLACES).poll()) == []
    with pytest.raises(KafkaException):
        list(Tail(Failing(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)), PLACES).poll())
