"""What a batch held and did not end is let go, page by page, and of an object no more than one starts."""

from __future__ import annotations

from itertools import pairwise

import pytest
from msgspec.structs import replace

from streams.engine.answers import PageSizes
from streams.engine.counters import STALE_RELEASE
from streams.engine.effects import SetRelease, UpdateRow
from streams.engine.release import _ROWS_A_PAGE
from streams.model import (
    ENGINE_VERSION,
    Act,
    Action,
    Command,
    ContinueSlice,
    ControlBatch,
    ControlOperation,
    ControlSlice,
    Filter,
    ReleaseHeld,
    SignalKind,
    SliceOperation,
    StartBatch,
    Status,
)
from support.tables.engine_rows import AT, NOW, applied, of, row_at, table_with
from support.tables.guards import ALL, guarded, slice_of
from support.tables.memory_cluster import MemoryCluster, invoke

TIME = 100_000_000


DUE = {
    "schedule": row_at(Status.SCHEDULED, due_at=NOW),
    "retry": row_at(Status.BACKING_OFF, due_at=NOW),
    "lease of READY": row_at(Status.READY, due_at=NOW, lease_ms=5),
    "lease of RUNNING": row_at(Status.RUNNING, due_at=NOW, lease_ms=5),
}


# --- letting go ---


def test_the_end_of_a_slice_lets_go_too() -> None:
    """Though its pages have ended whatever it held, pages look for what is left."""
    table = table_with(row_at(Status.SCHEDULED, "z", seq=AT.offset, held=True))
    guarded(table, slice_of())
    effects = applied(ContinueSlice(ENGINE_VERSION, 0, "b", 1, 10, 10), table)
    assert of(SetRelease, effects) == [SetRelease(1, outstanding=True, again=False)]


def test_a_page_lets_go_only_of_what_no_slice_guards() -> None:
    """Each goes on from where it stood."""
    rows = [
        replace(row, invocation_id=name, seq=place, held=True) for place, (name, row) in enumerate(DUE.items(), start=1)
    ]
    paused = row_at(Status.PAUSED, "paused", Status.RUNNING, seq=8, held=True)
    table = guarded(table_with(*rows, paused), slice_of(Filter(invocation_ids=("retry",)), cursor=0))
    table.meta = replace(table.meta, release_no=3, release_outstanding=True)
    effects = applied(ReleaseHeld(ENGINE_VERSION, 0, 3, -1, 10), table)
    assert [name for name, row in table.rows.items() if row.held] == ["retry"]
    assert {row.status for name, row in table.rows.items() if name != "retry"} == {Status.READY}
    assert of(SetRelease, effects) == [SetRelease(3, outstanding=False, again=False)]


def test_pages_are_bounded_and_follow_one_another_in_the_log() -> None:
    """Each looks at up to that many held rows behind the one before."""
    rows = [row_at(Status.SCHEDULED, f"i{number}", seq=number, held=True, due_at=5) for number in range(7)]
    cluster = MemoryCluster()
    cluster.tables[0] = table_with(*rows)
    cluster.tables[0].meta = replace(cluster.tables[0].meta, release_no=1, release_outstanding=True)
    cluster.run(ReleaseHeld(ENGINE_VERSION, 0, 1, -1, 3))
    pages = [command for _, command in cluster.logs[0] if isinstance(command, ReleaseHeld)]
    assert [(page.release_no, page.after, page.max_rows) for page in pages] == [(1, -1, 3), (2, 2, 3), (3, 5, 3)]
    assert not any(row.held for row in cluster.tables[0].rows.values())
    assert not cluster.tables[0].meta.release_outstanding


@pytest.mark.parametrize(("number", "outstanding"), [(2, True), (4, True), (3, False)])
def test_a_page_already_done_is_a_no_op(number: int, outstanding: bool) -> None:  # noqa: FBT001
    """Only the outstanding one acts."""
    table = table_with(row_at(Status.READY, held=True))
    table.meta = replace(table.meta, release_no=3, release_outstanding=outstanding)
    assert applied(ReleaseHeld(ENGINE_VERSION, 0, number, -1, 10), table) == [STALE_RELEASE]


def _held_by(*batches: StartBatch) -> MemoryCluster:
    """Invocations that have come due behind the cursors of these batches."""
    cluster = MemoryCluster(1, PageSizes(1, 1))
    cluster.run(*(invoke(f"i{number}", scheduled_at=TIME) for number in range(6)))
    cluster.send(*batches)
    while len(cluster.tables[0].slices) < len(batches):
        cluster.step(0)
    cluster.now = TIME
    cluster.send(cluster.next_tick(0, cluster.tables[0]))
    return cluster


def _until(cluster: MemoryCluster, kind: type[Command]) -> None:
    """Apply the log up to the first command of this kind, with it."""
    while not isinstance(cluster.logs[0][cluster.applied[0]][1], kind):
        cluster.step(0)
    cluster.step(0)


@pytest.mark.parametrize("operation", [ControlOperation.PAUSE, ControlOperation.ABORT])
def test_a_batch_stopped_half_way_lets_all_go_that_it_has_not_ended(operation: ControlOperation) -> None:
    """Each is ended or started, once."""
    cluster = _held_by(StartBatch("b", Action.KILL, ALL))
    cluster.send(ControlBatch("b", operation))
    cluster.run()
    rows = cluster.tables[0].rows.values()
    assert {row.status for row in rows} == {Status.KILLED, Status.READY}
    assert not any(row.held for row in rows)
    sent = [send.invocation_id for _, send in cluster.signals]
    assert sorted(sent) == sorted(row.invocation_id for row in rows if row.status is Status.READY)


def test_a_batch_that_goes_to_its_end_lets_nothing_go() -> None:
    """All are ended, no executor heard of them, and no pages were needed."""
    cluster = _held_by(StartBatch("b", Action.KILL, ALL))
    cluster.run()
    assert {row.status for row in cluster.tables[0].rows.values()} == {Status.KILLED}
    assert not cluster.signals


def test_what_two_batches_hold_is_let_go_when_neither_does() -> None:
    """Aborted one after the other, while the pages of the first are under way."""
    cluster = _held_by(StartBatch("b", Action.KILL, ALL), StartBatch("c", Action.KILL, Filter(services=("mail",))))
    cluster.send(ControlBatch("b", ControlOperation.ABORT))
    _until(cluster, ReleaseHeld)
    assert not any(row.status is Status.READY for row in cluster.tables[0].rows.values())
    assert any(row.held for row in cluster.tables[0].rows.values())
    cluster.send(ControlBatch("c", ControlOperation.ABORT))
    cluster.run()
    assert not any(row.held or row.status is Status.SCHEDULED for row in cluster.tables[0].rows.values())
    assert any(row.status is Status.READY for row in cluster.tables[0].rows.values())


def test_pages_begin_again_for_a_slice_that_lets_go_behind_them() -> None:
    """What the first pages passed because the second slice held it is let go by the next."""
    rows = [row_at(Status.SCHEDULED, f"i{number}", seq=number, held=True, due_at=5) for number in range(6)]
    cluster = MemoryCluster()
    table = cluster.tables[0] = guarded(table_with(*rows), slice_of(max_rate=1.0, due_at=NOW + 9))
    cluster.logs[0] = [(NOW, Act("nobody", Action.KILL))] * AT.offset
    cluster.applied = [AT.offset]
    table.meta = replace(table.meta, release_no=1, release_outstanding=True, page_outstanding=False)
    cluster.send(ReleaseHeld(ENGINE_VERSION, 0, 1, -1, 2))
    cluster.step(0)
    assert all(row.held for row in table.rows.values())
    table.slices["b"] = slice_of(max_rate=1.0, due_at=NOW + 9)
    cluster.run(_pause("b"))
    assert not any(row.held for row in table.rows.values())
    assert not table.meta.release_outstanding
    assert not table.meta.release_again


def _pause(batch_id: str) -> Command:
    return ControlSlice(ENGINE_VERSION, 0, batch_id, SliceOperation.PAUSE)


# --- objects ---


def _object(count: int, handler: str = "send", first: int = 0, key: str = "k") -> list[Command]:
    return [invoke(f"mail/{key}~{number}", object_key=key, handler=handler) for number in range(first, first + count)]


@pytest.mark.parametrize("action", [Action.KILL, Action.CANCEL])
def test_of_an_object_that_is_ended_as_a_whole_nothing_starts(action: Action) -> None:
    """However many pages that takes."""
    cluster = MemoryCluster(1, PageSizes(3, 3))
    cluster.run(*_object(20))
    cluster.run(StartBatch("b", action, ALL, grace_ms=0))
    cluster.tick()
    assert cluster.total("b")["done"] == 20
    assert [send.kind for _, send in cluster.signals].count(SignalKind.START) == 1


def test_what_is_not_matched_waits_for_the_matched_head_and_no_longer() -> None:
    """It starts in the very page that ends the last matched one before it."""
    cluster = MemoryCluster(1, PageSizes(2, 2))
    cluster.run(*_object(5), *_object(1, "other", 5), *_object(4, first=6))
    cluster.send(StartBatch("b", Action.KILL, Filter(handlers=("send",)), max_rate=None))
    seen: list[tuple[Status, Status]] = []
    while cluster.waiting():
        cluster.step(0)
        head = cluster.row("mail/k~4").status, cluster.row("mail/k~5").status
        seen += [head] if not seen or seen[-1] != head else []
    assert seen == [
        (Status.PENDING, Status.PENDING),
        (Status.KILLED, Status.READY),
    ]
    assert [cluster.row(f"mail/k~{number}").status for number in range(6, 10)] == [Status.KILLED] * 4


def test_only_the_head_of_an_inbox_is_held() -> None:
    """Promotion looks no further, so a full inbox costs one mark, and its pages move the mark on."""
    cluster = MemoryCluster(1, PageSizes(4, 4))
    cluster.run(*_object(12))
    cluster.send(StartBatch("b", Action.KILL, ALL))
    marks = []
    while cluster.waiting():
        effects = cluster.step(0)
        assert len(of(UpdateRow, effects)) <= 1
        marks.append([row.invocation_id for row in cluster.tables[0].rows.values() if row.held])
    assert [name for (name,), following in pairwise(filter(None, marks)) if [name] != following] == ["mail/k~4"]


def test_an_abort_half_way_leaves_each_object_with_pending_work_exactly_one_started() -> None:
    """What was not ended goes on, in order; what was ended never started."""
    cluster = MemoryCluster(2, PageSizes(7, 7))
    cluster.run(*(each for key in range(40) for each in _object(10, key=f"o{key}")))
    before = {send.invocation_id for _, send in cluster.signals}
    cluster.send(StartBatch("b", Action.KILL, ALL))
    while cluster.total("b")["done"] < 150:
        for partition in cluster.waiting():
            cluster.step(partition)
    assert {send.invocation_id for _, send in cluster.signals if send.kind is SignalKind.START} == before
    cluster.run(ControlBatch("b", ControlOperation.ABORT))
    for key in range(40):
        rows = [cluster.row(f"mail/o{key}~{number}") for number in range(10)]
        left = [row for row in rows if row.status is not Status.KILLED]
        assert [row.status for row in left] == [Status.READY, *[Status.PENDING] * 9][: len(left)]
    assert 150 <= cluster.total("b")["done"] < 400
    sent = [send.seq for _, send in cluster.signals if send.kind is SignalKind.START]
    killed = {row.invocation_id for table in cluster.tables for row in table.rows.values() if row.status == "KILLED"}
    later = {send.invocation_id for _, send in cluster.signals if send.kind is SignalKind.START} - before
    assert not later & killed
    assert sent


def test_letting_go_starts_no_more_than_one_of_an_object() -> None:
    """Many objects, more than a page holds."""
    objects = _ROWS_A_PAGE + 50
    cluster = MemoryCluster(1, PageSizes(10_000, 10_000))
    cluster.run(*(each for number in range(2) for key in range(objects) for each in _object(1, "h", number, f"o{key}")))
    cluster.send(StartBatch("b", Action.KILL, ALL, max_rate=1.0))
    while not cluster.tables[0].slices:
        cluster.step(0)
    cluster.run(*(Act(f"mail/o{key}~0", Action.KILL) for key in range(objects)))
    assert sum(row.held for row in cluster.tables[0].rows.values()) == objects
    cluster.run(ControlBatch("b", ControlOperation.PAUSE))
    pages = [command for _, command in cluster.logs[0] if isinstance(command, ReleaseHeld)]
    assert len(pages) == 2
    assert not any(row.held for row in cluster.tables[0].rows.values())
    assert sum(row.status is Status.READY for row in cluster.tables[0].rows.values()) == objects
