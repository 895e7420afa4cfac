"""The Faust app: reads `batch-slices`, keeps each batch's records in a table, writes `batches`."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import faust

from streams import codec
from streams.config import Topic
from streams.gateway.faust_fixes import AwaitableTable, OrderedConsumer, PromptTables, RenewingProducer
from streams.gateway.faust_gathering import gathered
from streams.gateway.faust_options import app_options
from streams.gateway.merge import SliceRecord, merge_chunk
from streams.gateway.progress import BatchRecords, dump_records, load_records
from streams.kafka.clients import MAX_RECORD_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from streams.config import Settings
    from streams.gateway.observer import GatewayObserver

CHUNK = 1_000
"""Most records merged at once."""
CHUNK_S = 0.2
"""Time between two merges, for which records are gathered: a batch is published at most five times a second, seconds.

What comes after a quiet time is merged at once.
"""

_HEARTBEATS_A_SESSION = 3
_HEARTBEAT_S = 1.0
"""Longest time between two heartbeats: a member learns of a rebalance by the answer to one."""
_REQUEST_S = 90.0
# By default, brokers refuse shorter ones, and Faust then waits forever.
_SHORTEST_SESSION_S = 6.0


class SliceTopic(NamedTuple):
    """Properties of `batch-slices` that the app uses for its own topic."""

    partitions: int
    replicas: int


def app_id(settings: Settings) -> str:
    """Name of the app and its consumer group, and prefix of its changelog's name."""
    return f"{settings.topic_prefix}gateway"


def changelog_name(settings: Settings) -> str:
    """Name of the topic in which Faust keeps the table."""
    return f"{app_id(settings)}-progress-changelog"


def _options(settings: Settings, source: SliceTopic, scratch: Path) -> dict[str, Any]:
    """Options of the app: brokers, transactions and sizes of records."""
    session_s = max(_SHORTEST_SESSION_S, settings.session_timeout_ms / 1000)
    return {
        "producer_linger": 0,
        **app_options(settings.kafka_properties()),
        "broker_heartbeat_interval": min(_HEARTBEAT_S, session_s / _HEARTBEATS_A_SESSION),
        # Faust refuses a session timeout longer than that of a request.
        "broker_request_timeout": max(_REQUEST_S, session_s),
        "broker_session_timeout": session_s,
        "consumer_max_fetch_size": 2 * MAX_RECORD_BYTES,
        "datadir": scratch,
        "key_serializer": "raw",
        "processing_guarantee": "exactly_once",
        "producer_max_request_size": MAX_RECORD_BYTES,
        "store": "memory://",
        # If it waited, Faust would commit twice on a stop, and the second commit would fail without a transaction.
        "stream_wait_empty": False,
        "TableManager": PromptTables,
        "topic_disable_leader": True,
        "topic_replication_factor": source.replicas,
        "value_serializer": "raw",
        "web_enabled": False,
    }


def build_app(
    settings: Settings,
    source: SliceTopic,
    scratch: Path,
    failed: Callable[[BaseException], None],
    observer: GatewayObserver,
) -> Any:
    """Make the app; it must be called inside the event loop that is to run it.

    `scratch` is a folder that Faust needs but leaves empty, since tables are in memory. `failed` is called with the
    error that ended the merging; that chunk of input is then not acknowledged. `observer` hears of each merge.

    Raises:
        ConfigError: the settings hold a property that Faust cannot honour.
    """
    app = faust.App(app_id(settings), **_options(settings, source, scratch))
    # Faust's own command line sets this; without it, neither exactly_once nor reading only committed records is on.
    app.in_worker = True
    app.transport.Consumer = OrderedConsumer  # type: ignore[misc] # Faust reads it from the instance
    app.transport.Producer = RenewingProducer  # type: ignore[misc] # likewise
    table = AwaitableTable(
        app,
        name="progress",
        beacon=app.tables.beacon,
        key_type=bytes,
        value_type=bytes,
        partitions=source.partitions,
        extra_topic_configs={"max.message.bytes": str(MAX_RECORD_BYTES), "segment.bytes": str(16 * 1024 * 1024)},
    )
    app.tables.add(table)
    batches = app.topic(settings.topic(Topic.BATCHES), allow_empty=True)

    def current(event: Any) -> bool:
        return bool(event.message.generation_id == app.consumer_generation_id)

    async def merge_slices(stream: Any) -> None:
        try:
            async for events in gathered(stream, CHUNK, CHUNK_S):
                # Records read before a rebalance are read again after it, by whichever gateway has the partition then.
                began = time.perf_counter()
                published = await _merge_and_publish([event for event in events if current(event)], table, batches)
                observer.merged(len(events), published, time.perf_counter() - began)
                for event in events:
                    if current(event):
                        await stream.ack(event)
        except Exception as error:  # noqa: BLE001 - passed to the code that ends the app; Faust would try again forever
            failed(error)

    app.agent(app.topic(settings.topic(Topic.BATCH_SLICES), allow_empty=True), name="merge_slices")(merge_slices)
    return app


async def _merge_and_publish(events: Sequence[Any], table: AwaitableTable, batches: Any) -> int:
    """Merge the events; returns the number of resulting records of `batches`, once all have reached the broker."""

    def saved(batch_id: str) -> BatchRecords:
        value = table.get(batch_id.encode())
        return BatchRecords() if value is None else load_records(value)

    merged = merge_chunk([_record(event.message) for event in events], saved)
    sends = [
        await batches.send(key=batch_id.encode(), value=None if found is None else codec.encode(found))
        for batch_id, found in merged.published
    ]
    await asyncio.gather(*sends)
    for batch_id, batch in merged.batches.items():
        table.put(
            batch_id.encode(), None if batch == BatchRecords() else dump_records(batch), merged.partitions[batch_id]
        )
    await table.sent()
    return len(sends)


def _record(message: Any) -> SliceRecord:
    place = f"{message.topic}, partition {message.partition}, offset {message.offset}"
    return SliceRecord(message.key or b"", message.value, message.partition, place)
