"""The merge of a chunk of records of `batch-slices` into the table and `batches`, without Kafka."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import structlog

from streams import codec
from streams.errors import StreamsError
from streams.gateway.progress import BatchRecords, batch_progress, parse_key, pruned, with_record, with_tombstone
from streams.model import BatchHeader, SliceProgress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from streams.model import BatchProgress

log = structlog.get_logger("streams.gateway")


class NewerRecordError(StreamsError):
    """A record that only a newer version can read. This gateway must be upgraded."""


class SliceRecord(NamedTuple):
    """One record of `batch-slices`; `place` is its place in the topic, for messages."""

    key: bytes
    value: bytes | None
    partition: int
    place: str


class MergedChunk(NamedTuple):
    """The result of a chunk: what to save and what to publish.

    `batches` (pruned) and `partitions` (that of the records) are by batch id. `published` is in order; None is a
    tombstone.
    """

    batches: dict[str, BatchRecords]
    partitions: dict[str, int]
    published: list[tuple[str, BatchProgress | None]]


def merge_chunk(records: Iterable[SliceRecord], saved: Callable[[str], BatchRecords]) -> MergedChunk:
    """Merge the records. Each batch that they are about is published once, changed or not.

    Published even if unchanged: records come again after a crash, and their results may not have been published before
    it. A record that is not progress is skipped, with an error in the log.

    Raises:
        NewerRecordError: a record was written by a newer version; without it, its batch might never end.
    """
    batches: dict[str, BatchRecords] = {}
    partitions: dict[str, int] = {}
    published: list[tuple[str, BatchProgress | None]] = []
    for record in records:
        try:
            key = parse_key(record.key)
            content = None if record.value is None else _decode(record.value, record.place)
        except (ValueError, codec.BadRecordError) as error:
            log.error("not a progress record, it is left out", place=record.place, why=str(error))  # noqa: TRY400 - nothing to trace
            continue
        partitions[key.batch_id] = record.partition
        batch = batches[key.batch_id] if key.batch_id in batches else saved(key.batch_id)
        if content is not None:
            batches[key.batch_id] = with_record(batch, content)
            continue
        batches[key.batch_id] = with_tombstone(batch, key.partition)
        if key.partition is None:
            # Published in its place: the next record may use the id again, and readers start from scratch here.
            published.append((key.batch_id, None))
    after = [(batch_id, batch_progress(batch)) for batch_id, batch in batches.items()]
    return MergedChunk(
        {batch_id: pruned(batch) for batch_id, batch in batches.items()},
        partitions,
        published + [(batch_id, found) for batch_id, found in after if found is not None],
    )


def _decode(value: bytes, place: str) -> BatchHeader | SliceProgress:
    try:
        record = codec.decode(value)
    except codec.BadRecordError as error:
        if error.code == "unknown_schema":
            raise NewerRecordError(f"{place} was written by a newer version: upgrade this gateway") from error
        raise
    if not isinstance(record, BatchHeader | SliceProgress):
        raise ValueError(f"a {type(record).__name__} stands there")  # noqa: TRY004 - it is the record that is wrong
    return record
