"""The gateway's merge: one batch's records into one progress record."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict, replace

from streams.gateway import progress as merging
from streams.gateway.progress import (
    BatchRecords,
    SliceKey,
    batch_progress,
    dump_records,
    load_records,
    parse_key,
    pruned,
    with_record,
    with_tombstone,
)
from streams.kafka.clients import MAX_RECORD_BYTES
from streams.model import BatchHeader, BatchState, Filter, SliceProgress, SliceState
from support.records.progress_records import CREATED, header, slice_progress

if TYPE_CHECKING:
    from collections.abc import Iterable


def merged(*records: BatchHeader | SliceProgress) -> BatchRecords:
    """All of the records, in this order."""
    batch = BatchRecords()
    for record in records:
        batch = with_record(batch, record)
    return batch


def state_of(header_state: BatchState, *states: SliceState, partitions: int = 2) -> BatchState:
    """State of the batch with this header and these slices."""
    slices = [slice_progress(partition, state=state) for partition, state in enumerate(states)]
    found = batch_progress(merged(header(state=header_state, partitions=partitions), *slices))
    assert found is not None
    return found.state


def test_state_follows_the_header_when_it_is_rejected_or_paused() -> None:
    """REJECTED and PAUSED come from the header, whatever the slices are."""
    assert state_of(BatchState.REJECTED) is BatchState.REJECTED
    assert state_of(BatchState.PAUSED, SliceState.RUNNING) is BatchState.PAUSED
    assert state_of(BatchState.PAUSED, SliceState.PAUSED, SliceState.PAUSED) is BatchState.PAUSED


@pytest.mark.parametrize(
    ("slices", "expected"),
    [
        ((), BatchState.STARTING),
        ((SliceState.COMPLETED,), BatchState.STARTING),
        ((SliceState.RUNNING, SliceState.COMPLETED), BatchState.RUNNING),
        ((SliceState.WAITING, SliceState.COMPLETED), BatchState.RUNNING),
        ((SliceState.PAUSED, SliceState.DRAINING), BatchState.RUNNING),
        ((SliceState.DRAINING, SliceState.ABORTED), BatchState.DRAINING),
        ((SliceState.DRAINING, SliceState.COMPLETED), BatchState.DRAINING),
        ((SliceState.ABORTED, SliceState.COMPLETED), BatchState.ABORTED),
        ((SliceState.COMPLETED, SliceState.COMPLETED), BatchState.COMPLETED),
    ],
)
def test_state_is_the_least_advanced_of_the_slices(slices: tuple[SliceState, ...], expected: BatchState) -> None:
    """STARTING while one is missing, then RUNNING, DRAINING, ABORTED, COMPLETED, whatever the header says."""
    for own in (BatchState.STARTING, BatchState.RUNNING, BatchState.DRAINING, BatchState.COMPLETED):
        assert state_of(own, *slices) is expected


def test_counters_are_summed_and_samples_cut() -> None:
    """Counters are sums over the slices; samples and failures are the first twenty in order of partitions."""
    many = tuple(f"i-{number}" for number in range(15))
    found = batch_progress(
        merged(
            slice_progress(1, counters=(1, 2, 3, 4), scanned=40, samples=many, failures=("f",)),
            slice_progress(0, counters=(10, 20, 30, 40), scanned=50, samples=("first",) * 15, scan_total=60),
            header(),
        )
    )
    assert found is not None
    assert (found.done, found.pending, found.skipped, found.failed, found.matched) == (11, 22, 33, 44, 110)
    assert (found.scanned, found.scan_total) == (90, 160)
    assert found.samples == ("first",) * 15 + many[:5]
    assert found.failures == ("f",)
    assert (found.filter, found.reason, found.actor, found.partitions_total) == (header().filter, "why", "who", 2)


def test_slices_wait_for_their_header() -> None:
    """Slices known before their header are kept: nothing is published, then all of it at once."""
    early = merged(slice_progress(0, counters=(3, 0, 0, 0)), slice_progress(1))
    assert batch_progress(early) is None
    found = batch_progress(with_record(early, header()))
    assert found is not None
    assert found.done == 3
    assert found.revision == 11 + 21 + 21


def test_rate_and_eta_are_means_over_the_life_of_the_batch() -> None:
    """300 rows acted on in 2 s are 150 a second; 400 of 1,000 rows looked at in 2 s leave 3 s for the others."""
    first = slice_progress(0, counters=(200, 50, 25, 50), scanned=400, scan_total=900, updated_at=CREATED + 2000)
    second = slice_progress(1, scanned=0, scan_total=100, updated_at=CREATED + 1000)
    found = batch_progress(merged(header(), first, second))
    assert found is not None
    assert found.rate == pytest.approx(150.0)
    assert found.eta_ms == 3000


@pytest.mark.parametrize(
    "records",
    [
        (header(),),
        (header(), slice_progress(0, scanned=50)),
        (header(), slice_progress(0), slice_progress(1)),
        (header(limit=5), slice_progress(0, scanned=50), slice_progress(1, scanned=50)),
        (header(), slice_progress(0, scanned=100), slice_progress(1, scanned=100)),
        (header(state=BatchState.PAUSED), slice_progress(0, scanned=50), slice_progress(1, scanned=50)),
    ],
)
def test_no_eta_where_it_would_say_nothing(records: tuple[BatchHeader | SliceProgress, ...]) -> None:
    """Before all slices have begun, before a row was looked at, with a limit, at the end and while paused."""
    found = batch_progress(merged(*records))
    assert found is not None
    assert found.eta_ms is None


def test_end_is_when_the_last_slice_ended() -> None:
    """A header published after the last slice has ended does not move `finished_at`."""
    slices = [
        slice_progress(0, state=SliceState.COMPLETED, updated_at=CREATED + 5),
        slice_progress(1, state=SliceState.ABORTED, updated_at=CREATED + 9),
    ]
    found = batch_progress(merged(header(updated_at=CREATED + 50), *slices))
    assert found is not None
    assert (found.finished_at, found.updated_at, found.partitions_done) == (CREATED + 9, CREATED + 50, 2)
    refused = batch_progress(
        merged(header(state=BatchState.REJECTED, error="invalid_filter: empty", updated_at=CREATED + 1))
    )
    assert refused is not None
    assert (refused.finished_at, refused.error) == (CREATED + 1, "invalid_filter: empty")
    running = batch_progress(merged(header(), *slices[:1]))
    assert running is not None
    assert running.finished_at is None


def test_tombstone_of_the_header_forgets_the_batch() -> None:
    """The header's tombstone takes the slices along; the slices' own tombstones then find nothing."""
    batch = with_tombstone(merged(header(), slice_progress(0), slice_progress(1)), None)
    assert batch == BatchRecords()
    assert with_tombstone(batch, 0) == BatchRecords()


def test_tombstone_of_a_slice_acts_only_without_a_header() -> None:
    """A late tombstone of an old slice leaves the batch that now has its id alone."""
    anew = merged(header(revision=99), slice_progress(0, revision=100))
    assert with_tombstone(anew, 0) is anew
    orphans = merged(slice_progress(0), slice_progress(1))
    assert with_tombstone(orphans, 1) == merged(slice_progress(0))
    assert with_tombstone(with_tombstone(orphans, 1), 0) == BatchRecords()


def test_keys_are_taken_apart() -> None:
    """A batch id may hold slashes; anything that is no key is refused."""
    assert parse_key(b"b/lead") == SliceKey("b", None)
    assert parse_key(b"a/b/lead/12") == SliceKey("a/b/lead", 12)
    for bad in (b"b", b"/lead", b"b/", b"b/-1", b"b/leader", b"", b"\xff/lead"):
        with pytest.raises(ValueError, match=r"key|decode"):
            parse_key(bad)


counts = st.integers(0, 10_000)
headers = st.builds(
    header,
    state=st.sampled_from(BatchState),
    revision=st.integers(0, 50),
    partitions=st.just(3),
    limit=st.none() | st.integers(1, 9),
    updated_at=st.integers(CREATED, CREATED + 100),
)
slices_ = st.builds(
    slice_progress,
    st.integers(0, 2),
    state=st.sampled_from(SliceState),
    revision=st.integers(0, 50),
    counters=st.tuples(counts, counts, counts, counts),
    scanned=counts,
    scan_total=counts,
    samples=st.lists(st.text(max_size=3), max_size=20).map(tuple),
    failures=st.lists(st.text(max_size=3), max_size=20).map(tuple),
    updated_at=st.integers(CREATED - 5, CREATED + 100),
)


def one_per_revision(
    records: Iterable[BatchHeader | SliceProgress],
) -> list[BatchHeader | SliceProgress]:
    """Records as workers write them: a revision of a key stands for one content."""
    unique = {(getattr(each, "partition", None), each.revision): each for each in records}
    return list(unique.values())


histories = st.lists(headers | slices_, max_size=12).map(one_per_revision)


@given(history=histories, data=st.data())
def test_order_and_repetition_of_records_never_matter(
    history: list[BatchHeader | SliceProgress], data: st.DataObject
) -> None:
    """Whatever order the records come in, and however often, the progress at the end is the same."""
    repeated = history + data.draw(st.lists(st.sampled_from(history), max_size=6) if history else st.just([]))
    shuffled = data.draw(st.permutations(repeated))
    assert batch_progress(merged(*shuffled)) == batch_progress(merged(*history))


@given(history=histories)
def test_progress_is_always_truthful_and_never_goes_back(history: list[BatchHeader | SliceProgress]) -> None:
    """In every record published matched = done + pending + skipped + failed, and the revision never falls."""
    batch, revision = BatchRecords(), -1
    for record in history:
        after = with_record(batch, record)
        found = batch_progress(after)
        if found is not None:
            assert found.matched == found.done + found.pending + found.skipped + found.failed
            assert len(found.samples) <= merging.MAX_SAMPLES
            assert len(found.failures) <= merging.MAX_SAMPLES
            assert found.revision >= revision
            # A newer record always shows: readers go by the revision alone.
            assert after is batch or found.revision > revision
            revision = found.revision
        batch = after


@given(history=histories)
def test_table_always_gives_back_what_was_saved(history: list[BatchHeader | SliceProgress]) -> None:
    """A batch survives the gateway's table unchanged."""
    batch = merged(*history)
    assert load_records(dump_records(batch)) == batch


def grown(partition: int, revision: int) -> SliceProgress:
    """A slice at this revision: its lists only grow, as those of the workers do."""
    ids = tuple(f"i-{partition}-{number}" for number in range(merging.MAX_SAMPLES))
    return slice_progress(
        partition,
        revision=revision,
        counters=(revision, 0, 1, 2),
        samples=ids[:revision],
        failures=ids[: revision // 2],
    )


growing = st.lists(headers | st.builds(grown, st.integers(0, 3), st.integers(0, 22)), max_size=20).map(one_per_revision)


@given(history=growing)
def test_progress_is_the_same_when_the_batch_is_pruned_after_each_record(
    history: list[BatchHeader | SliceProgress],
) -> None:
    """Counters, samples, failures, revision: whatever is pruned is never missed later."""
    whole = saved = BatchRecords()
    for record in history:
        whole = with_record(whole, record)
        saved = load_records(dump_records(pruned(with_record(saved, record))))
        assert batch_progress(saved) == batch_progress(whole)
        assert sum(len(each.samples) for each in saved.slices.values()) <= merging.MAX_SAMPLES
        assert sum(len(each.failures) for each in saved.slices.values()) <= merging.MAX_SAMPLES


def test_a_pruned_batch_of_ten_thousand_partitions_fits_a_record() -> None:
    """Also with the largest numbers, the longest ids and the largest filter."""
    long, largest = "\N{GRINNING FACE}" * 256, 2**63 - 1
    ids = (long,) * merging.MAX_SAMPLES
    slice_ = slice_progress(batch_id=long, samples=ids, failures=ids)
    numbers = {name: largest for name, value in asdict(slice_).items() if isinstance(value, int)}
    batch = BatchRecords(
        replace(header(batch_id=long, partitions=10_000), filter=Filter(services=("s" * 1_023,) * 256)),
        {partition: replace(slice_, **numbers | {"partition": partition}) for partition in range(10_000)},
    )
    assert len(dump_records(pruned(batch))) < MAX_RECORD_BYTES
