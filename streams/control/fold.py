"""What a handful of records of `batch-slices` does to the table and to `batches`; no Kafka in it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from streams import codec
from streams.control.merge import Merge, add, forget, parse_key, progress
from streams.errors import StreamsError
from streams.model import BatchHeader, SliceProgress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from streams.model import BatchProgress

log = logging.getLogger(__name__)


class NewerRecordError(StreamsError):
    """A record that only a newer version can read: this gateway must be upgraded."""


class SliceRecord(NamedTuple):
    """One record of `batch-slices`; `place` says where it stands, for messages."""

    key: bytes
    value: bytes | None
    partition: int
    place: str


class Folded(NamedTuple):
    """What is to be saved and what is to be published.

    `merges` and `partitions`, the partition of the records, are by batch id. `published` is in order, None a tombstone.
    """

    merges: dict[str, Merge]
    partitions: dict[str, int]
    published: list[tuple[str, BatchProgress | None]]


def fold(records: Iterable[SliceRecord], saved: Callable[[str], Merge]) -> Folded:
    """Merge the records; each batch they are about is published once, whether or not they changed it.

    Published even if unchanged: records come again after a crash, and it is not known whether what they had led to was
    published before it. A record that is no progress is left out, with an error in the log.

    Raises:
        NewerRecordError: a record written by a newer version; leaving it out could leave its batch without an end.
    """
    merges: dict[str, Merge] = {}
    partitions: dict[str, int] = {}
    published: list[tuple[str, BatchProgress | None]] = []
    for record in records:
        try:
            key = parse_key(record.key)
            content = None if record.value is None else _decode(record.value, record.place)
        except (ValueError, codec.BadRecordError) as error:
            log.error("%s is no progress and is left out: %s", record.place, error)  # noqa: TRY400 - nothing to trace
            continue
        partitions[key.batch_id] = record.partition
        merge = merges[key.batch_id] if key.batch_id in merges else saved(key.batch_id)
        if content is not None:
            merges[key.batch_id] = add(merge, content)
            continue
        merges[key.batch_id] = forget(merge, key.partition)
        if key.partition is None:
            # Published at its place: the id may be used anew in the next record, and readers start afresh here.
            published.append((key.batch_id, None))
    after = [(batch_id, progress(merge)) for batch_id, merge in merges.items()]
    return Folded(merges, partitions, published + [(batch_id, found) for batch_id, found in after if found is not None])


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
