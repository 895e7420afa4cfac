"""What a handful of records does to the gateway's table and to `batches`."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from streams import codec
from streams.gateway.merge import MergedChunk, NewerRecordError, SliceRecord, merge_chunk
from streams.gateway.progress import BatchRecords, dump_records, load_records
from streams.kafka.clients import MAX_RECORD_BYTES
from streams.model import BatchHeader, BatchState, SliceProgress, SliceState
from support.records.progress_records import header, slice_progress


def record(content: BatchHeader | SliceProgress) -> SliceRecord:
    """The content as it stands in the topic."""
    last = content.partition if isinstance(content, SliceProgress) else "lead"
    return SliceRecord(f"{content.batch_id}/{last}".encode(), codec.encode(content), 3, "place 0")


def tombstone(key: bytes) -> SliceRecord:
    """A tombstone."""
    return SliceRecord(key, None, 3, "place 0")


def folded(*records: SliceRecord, saved: dict[str, BatchRecords] | None = None) -> MergedChunk:
    """The records, on a table with these batches."""
    return merge_chunk(records, lambda batch_id: (saved or {}).get(batch_id, BatchRecords()))


def test_each_batch_is_published_once_with_all_of_its_records() -> None:
    """Many records of a batch make one progress record; batches do not mix."""
    found = folded(
        record(header(batch_id="a", partitions=1)),
        record(header(batch_id="b", partitions=1)),
        record(slice_progress(0, batch_id="a", revision=20, counters=(1, 0, 0, 0))),
        record(slice_progress(0, batch_id="a", revision=21, counters=(5, 0, 0, 0), state=SliceState.COMPLETED)),
    )
    states = {batch_id: (each.state, each.done) for batch_id, each in found.published if each is not None}
    assert states == {"a": (BatchState.COMPLETED, 5), "b": (BatchState.STARTING, 0)}
    assert len(found.published) == 2
    assert found.partitions == {"a": 3, "b": 3}


def test_records_join_what_the_table_holds() -> None:
    """A slice meets the header that was saved earlier, and the other way round."""
    with_header = folded(record(header()))
    found = folded(record(slice_progress(0, counters=(3, 0, 0, 0))), saved=with_header.batches)
    [(_, progress)] = found.published
    assert progress is not None
    assert progress.done == 3
    alone = folded(record(slice_progress(0, counters=(3, 0, 0, 0))))
    assert alone.published == []
    assert folded(record(header()), saved=alone.batches).published == found.published


def test_records_that_come_again_are_published_again() -> None:
    """After a crash nobody knows whether the progress was sent: it is sent again, though nothing has changed."""
    first = folded(record(header()), record(slice_progress(0)))
    again = folded(record(slice_progress(0)), saved=first.batches)
    assert again.published == first.published


def test_a_batch_of_many_partitions_and_long_ids_can_be_saved() -> None:
    """It fits a record, whatever ids the slices name; read again, no counter is lost and no sample that was shown."""
    long, partitions = "\N{GRINNING FACE}" * 250, 450
    ids = tuple(f"{long}{number:06}" for number in range(20))
    batch_id = ids[0]

    def of(partition: int, revision: int, done: int) -> SliceRecord:
        counters = (done, 1, 2, 20)
        found = slice_progress(
            partition, batch_id=batch_id, revision=revision, counters=counters, samples=ids, failures=ids[::-1]
        )
        return record(found)

    lead = record(header(batch_id=batch_id, partitions=partitions))
    first = folded(lead, *(of(partition, 20, partition) for partition in range(partitions)))
    saved = dump_records(first.batches[batch_id])
    assert len(saved) < MAX_RECORD_BYTES // 10
    again = folded(of(7, 21, 1007), saved={batch_id: load_records(saved)})
    for found, sum_done in ((first, sum(range(partitions))), (again, sum(range(partitions)) + 1000)):
        [(_, progress)] = found.published
        assert progress is not None
        assert (progress.done, progress.pending, progress.skipped) == (sum_done, partitions, 2 * partitions)
        assert (progress.failed, progress.matched) == (20 * partitions, sum_done + 23 * partitions)
        assert (progress.samples, progress.failures) == (ids, ids[::-1])
        assert progress.state is BatchState.RUNNING


def test_tombstone_of_a_header_is_answered_with_one() -> None:
    """The batch's progress is removed, also when the table knows nothing of it any more; its slices follow."""
    known = folded(record(header()), record(slice_progress(0)))
    found = folded(tombstone(b"b/lead"), tombstone(b"b/0"), saved=known.batches)
    assert found.published == [("b", None)]
    assert found.batches == {"b": BatchRecords()}
    assert folded(tombstone(b"b/lead")).published == [("b", None)]
    assert folded(tombstone(b"b/0")).published == []


def test_an_id_used_again_starts_afresh() -> None:
    """Readers see the tombstone before the first progress of the batch that has the id now."""
    known = folded(record(header(revision=50)), record(slice_progress(0, revision=60, counters=(9, 0, 0, 0))))
    found = folded(tombstone(b"b/lead"), record(header(revision=70)), saved=known.batches)
    assert [batch_id for batch_id, _ in found.published] == ["b", "b"]
    assert found.published[0][1] is None
    progress = found.published[1][1]
    assert progress is not None
    assert (progress.done, progress.revision) == (0, 71)


def test_what_is_no_progress_is_left_out_with_an_error_in_the_log() -> None:
    """A bad key, bytes that are no record and a record of another kind are named in the log; the others are merged."""
    other = codec.encode(header()).replace(codec.encode(header())[:10], b"\xc3\x01" + b"\x00" * 8)
    with capture_logs() as lines:
        found = folded(
            SliceRecord(b"nonsense", codec.encode(header()), 3, "place 1"),
            SliceRecord(b"b/lead", b"garbage", 3, "place 2"),
            SliceRecord(b"b/lead", b"", 3, "place 3"),
            record(header()),
        )
    assert [(each["log_level"], each["place"]) for each in lines] == [("error", f"place {n}") for n in (1, 2, 3)]
    assert [batch_id for batch_id, _ in found.published] == ["b"]
    with pytest.raises(NewerRecordError, match="place 4 was written by a newer version: upgrade this gateway"):
        folded(SliceRecord(b"b/lead", other, 3, "place 4"))
