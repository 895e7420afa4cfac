"""The corrections of Faust: they rely on names inside Faust, and on what these do."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest
from aiokafka.producer.sender import InitPIDHandler, Sender
from faust.tables.base import Collection
from faust.tables.recovery import Recovery
from faust.transport.consumer import Consumer as AnyConsumer
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Producer
from mode.utils.queues import FlowControlEvent, ThrowableQueue

from streams.gateway import faust_fixes
from streams.gateway.faust_fixes import AskingThread, AwaitableTable, OrderedConsumer, PromptTables


@pytest.mark.parametrize(
    ("base", "name"),
    [
        (AIOKafkaConsumerThread, "_highwaters"),
        (AIOKafkaConsumerThread, "_ensure_consumer"),
        (AIOKafkaConsumerThread, "_create_worker_consumer"),
        (Consumer, "_new_consumer_thread"),
        (Consumer, "position"),
        (Consumer, "seek_wait"),
        (AnyConsumer, "_new_offset"),
        (AnyConsumer, "_add_gap"),
        (Collection, "partition_for_key"),
        (Collection, "send_changelog"),
        (Producer, "_new_producer"),
        (Sender, "_do_add_partitions_to_txn"),
        (Sender, "_do_add_offsets_to_txn"),
        (Sender, "_find_coordinator"),
        (InitPIDHandler, "handle_response"),
    ],
)
def test_what_is_overridden_exists(base: type, name: str) -> None:
    """A Faust that has renamed one of these would quietly go its own way again."""
    assert callable(getattr(base, name))


class Committing(OrderedConsumer):
    """Only what the book-keeping of offsets needs, without a transport."""

    def __init__(self) -> None:
        self._acked = defaultdict(list)
        self._acked_index = defaultdict(set)


def test_offsets_are_committed_up_to_the_last_acknowledged() -> None:
    """Markers between the records are passed over; without anything new there is nothing to commit."""
    consumer: Any = Committing()
    assert consumer._new_offset("partition") is None
    consumer._acked["partition"] += [0, 2, 4, 9]
    consumer._acked_index["partition"] |= {0, 2, 4, 9}
    asyncio.run(consumer._add_gap("partition", 10, 90))
    assert consumer._new_offset("partition") == 10
    assert consumer._new_offset("partition") is None
    assert consumer._acked_index["partition"] == set()
    consumer._acked["partition"].append(11)
    assert consumer._new_offset("partition") == 12


def test_end_of_the_changelog_is_asked_for() -> None:
    """What an earlier fetch has told, or has not yet, is of no interest."""

    class Client:
        async def end_offsets(self, partitions: list[str]) -> dict[str, int]:
            return dict.fromkeys(partitions, 7)

    class Thread(AskingThread):
        def __init__(self) -> None:
            pass

        def _ensure_consumer(self) -> Any:
            return Client()

    assert asyncio.run(Thread()._highwaters(["p"])) == {"p": 7}


def _tables() -> PromptTables:
    """With a queue of their own, open to what is put into it."""
    app: Any = SimpleNamespace(
        FlowControlQueue=partial(ThrowableQueue, flow_control=FlowControlEvent()),
        conf=SimpleNamespace(stream_buffer_maxsize=10),
    )
    tables = PromptTables(app)
    tables.changelog_queue._flow_control.resume()
    return tables


def test_whoever_waits_for_the_changelogs_next_record_soon_looks_where_its_end_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not after five seconds; a record that is there is taken, and an error is passed on."""
    monkeypatch.setattr(faust_fixes, "_IN_VAIN_S", 0.01)

    async def story() -> tuple[str, bool]:
        tables = _tables()
        queue = tables.changelog_queue
        assert tables.changelog_queue is queue
        await queue.put("record")
        taken = await queue.get()
        try:
            await asyncio.wait_for(queue.get(), timeout=60.0)
        except TimeoutError:
            await queue.throw(KeyError())
        with pytest.raises(KeyError):
            await queue.get()
        return taken, queue.empty()

    assert asyncio.run(story()) == ("record", True)


class Positioned(OrderedConsumer):
    """A consumer whose thread answers what the test tells it."""

    def __init__(self, *positions: int | None) -> None:
        self._positions = {}
        self._thread: Any = SimpleNamespace(position=AsyncMock(side_effect=positions), seek_wait=AsyncMock())


def test_a_position_is_told_when_what_was_read_until_there_has_been_handed_over() -> None:
    """The answer before last: none at first, nor after a seek, nor while the consumer has none itself."""

    async def story() -> list[int]:
        consumer = Positioned(10, 10, 4, 4, None, 12, 12)
        told = [await consumer.position("p"), await consumer.position("p"), await consumer.position("p")]
        await consumer.seek_wait({"p": 0})
        return [*told, *[await consumer.position("p") for _ in range(4)]]

    assert asyncio.run(story()) == [-1, 10, 4, -1, -1, -1, 12]


def _recovery(tables: PromptTables, consumer: Positioned, seen: list[int]) -> Any:
    """Faust's recovery of one partition, whose changelog ends at offset 8, without a transport."""
    table = Mock(recovery_buffer_size=1, on_changelog_event=AsyncMock())
    table.apply_changelog_batch.side_effect = lambda buffer: seen.extend(event.message.offset for event in buffer)
    recovery: Any = SimpleNamespace(
        should_stop=False,
        tables=tables,
        app=SimpleNamespace(in_transaction=True, consumer=consumer),
        tp_to_table={"p": table},
        buffers={table: []},
        buffer_sizes={},
        active_tps={"p"},
        standby_tps=set(),
        active_offsets={"p": 3},
        active_highwaters={"p": 8},
        standby_offsets={},
        _active_events_received_at={},
        _standby_events_received_at={},
        _processing_times=deque(),
        _actives_span=None,
        _standbys_span=None,
        _last_active_event_processed_at=None,
        num_samples_required_for_estimate=10,
        in_recovery=True,
        signal_recovery_end=asyncio.Event(),
        ended=asyncio.Event(),
        standby_remaining_total=lambda: 1,
    )
    for name in ("need_recovery", "active_remaining", "flush_buffers"):
        setattr(recovery, name, partial(getattr(Recovery, name), recovery))
    recovery._set_recovery_ended = recovery.ended.set
    return recovery


def test_tables_do_not_end_their_recovery_before_records_that_are_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    """After some waits in vain: the consumer's position is at the end before its last record has been handed over."""
    monkeypatch.setattr(faust_fixes, "_IN_VAIN_S", 0.01)

    async def story() -> tuple[list[int], int]:
        asked, seen = asyncio.Event(), list[int]()

        async def position(_: str) -> int:
            asked.set()
            return 8

        consumer: Any = Positioned()
        consumer._thread.position = position
        tables = _tables()
        recovery = _recovery(tables, consumer, seen)
        reading = asyncio.ensure_future(Recovery._slurp_changelogs.fun(recovery))
        async with asyncio.timeout(10):
            await asked.wait()
            await tables.changelog_queue.put(SimpleNamespace(message=SimpleNamespace(tp="p", offset=5)))
            await recovery.ended.wait()
        reading.cancel()
        return seen, recovery.active_offsets["p"]

    assert asyncio.run(story()) == ([5], 8)


class Sending(AwaitableTable):
    """A table without an app; changelog records are futures that the test completes."""

    def __init__(self) -> None:
        self._partition = 0
        self._unsent = []
        self.held: dict[bytes, bytes] = {}
        self.sends: list[tuple[int, bytes, bytes | None]] = []

    def __contains__(self, key: object) -> bool:
        return key in self.held

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self.held[key] = value
        self._sent_to(key, value)

    def __delitem__(self, key: bytes) -> None:
        del self.held[key]
        self._sent_to(key, None)

    def _sent_to(self, key: bytes, value: bytes | None) -> None:
        self.sends.append((self.partition_for_key(key), key, value))
        self._unsent.append(asyncio.get_running_loop().create_future())


def test_changes_go_to_the_partition_they_are_told() -> None:
    """Each change of a chunk to its own; a key that is not there is not removed again."""

    async def put() -> list[tuple[int, bytes, bytes | None]]:
        table = Sending()
        table.put(b"a", b"1", 2)
        table.put(b"b", b"2", 3)
        table.put(b"a", None, 2)
        table.put(b"never", None, 1)
        return table.sends

    assert asyncio.run(put()) == [(2, b"a", b"1"), (3, b"b", b"2"), (2, b"a", None)]


def test_sent_waits_for_every_change_and_raises_what_went_wrong() -> None:
    """It returns when the last one has arrived, not before."""

    async def wait() -> None:
        table = Sending()
        table.put(b"a", b"1", 0)
        table.put(b"b", b"1", 0)
        first, second = table._unsent
        waiting = asyncio.ensure_future(table.sent())
        first.set_result(None)
        await asyncio.sleep(0.01)
        assert not waiting.done()
        second.set_exception(ConnectionError("gone"))
        with pytest.raises(ConnectionError, match="gone"):
            await waiting

    asyncio.run(wait())
