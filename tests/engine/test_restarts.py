"""RESTART: what has ended lives again, at its old place, with its payload and its next attempt."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from streams.engine.answers import PageSizes
from streams.engine.counters import SKIPPED_ACT
from streams.engine.effects import PutDelta, Send, UpdateRow
from streams.model import (
    ENGINE_VERSION,
    TERMINAL,
    Act,
    Action,
    Cause,
    ContinueSlice,
    ControlBatch,
    ControlOperation,
    Ending,
    Filter,
    ReportTransition,
    Row,
    Slice,
    SliceState,
    StartBatch,
    Status,
)
from support.tables.engine_rows import AT, NOW, SEQ, applied, of, row_at, table_with
from support.tables.guards import ALL, guarded, slice_of
from support.tables.memory_cluster import RETENTION_MS, MemoryCluster, invoke
from support.tables.memory_table import MemoryTable

ENDED = pytest.mark.parametrize("status", sorted(TERMINAL))
RESTART = Act("a", Action.RESTART)


@ENDED
def test_an_ended_invocation_starts_again_with_its_payload_and_its_next_attempt(status: Status) -> None:
    """Its end is gone, its number, creation and deployment stay; it counts as first started now."""
    row = row_at(status, last_report_no=7, ending=Ending(Cause(batch_id="k"), error="boom"), deployment_id="d1")
    update, start = applied(RESTART, table := table_with(row))
    again = replace(
        row,
        status=Status.READY,
        attempt=2,
        last_report_no=-1,
        modified_at=NOW,
        started_seq=AT.offset,
        ending=None,
    )
    assert update == UpdateRow(again)
    assert isinstance(start, Send)
    assert (start.kind, start.seq, start.attempt, start.payload, start.cause) == ("START", SEQ, 2, b"payload", None)
    assert table.rows["a"] == again


def test_what_was_killed_before_its_start_begins_with_its_first_attempt() -> None:
    """No executor has seen it."""
    table = table_with(row_at(Status.KILLED, attempt=0, started_seq=None))
    (start,) = of(Send, applied(RESTART, table))
    assert (start.attempt, table.rows["a"].attempt) == (1, 1)


def test_a_lease_begins_again() -> None:
    """As with any start."""
    applied(RESTART, table := table_with(row_at(Status.FAILED, lease_ms=50)))
    assert table.rows["a"].due_at == NOW + 50


@pytest.mark.parametrize(("scheduled_at", "status"), [(NOW + 1, Status.SCHEDULED), (NOW, Status.READY)])
def test_what_is_scheduled_waits_if_its_time_is_still_to_come(scheduled_at: int, status: Status) -> None:
    """A kill before its time is undone as if it had not been."""
    row = row_at(Status.KILLED, scheduled_at=scheduled_at, attempt=0, started_seq=None)
    effects = applied(RESTART, table := table_with(row))
    assert (table.rows["a"].status, table.rows["a"].due_at) == (
        status,
        scheduled_at if status is Status.SCHEDULED else None,
    )
    assert bool(of(Send, effects)) == (status is Status.READY)


@pytest.mark.parametrize("by_batch", [False, True])
@pytest.mark.parametrize("status", sorted(set(Status) - TERMINAL))
def test_what_has_not_ended_is_left_alone(status: Status, *, by_batch: bool) -> None:
    """An act skips it, a batch does not even match it."""
    row = row_at(status, paused_from=Status.RUNNING if status is Status.PAUSED else None)
    table = table_with(row)
    if by_batch:
        guarded(table, slice_of(action=Action.RESTART))
        applied(ContinueSlice(ENGINE_VERSION, 0, "b", 1, 10, 10), table)
        assert table.slices["b"].matched == 0
    else:
        assert applied(RESTART, table) == [SKIPPED_ACT]
    assert table.rows["a"] == row


@ENDED
def test_what_was_adopted_is_skipped_and_stays_so(status: Status) -> None:
    """It ran elsewhere: nothing here can start it."""
    row = row_at(status, adopted=True)
    table = table_with(row)
    assert applied(RESTART, table) == [SKIPPED_ACT]
    guarded(table, slice_of(action=Action.RESTART))
    applied(ContinueSlice(ENGINE_VERSION, 0, "b", 1, 10, 10), table)
    slice_ = table.slices["b"]
    assert (slice_.matched, slice_.done, slice_.skipped) == (1, 0, 1)
    assert table.rows["a"] == row


def test_an_adopted_row_is_known_by_its_invoke() -> None:
    """Whatever becomes of it, even a start by its lease."""
    world = MemoryCluster(1)
    world.run(invoke("a", adopt=True, lease_ms=10), invoke("b"))
    world.tick(20)
    assert (world.row("a").adopted, world.row("a").attempt, world.row("b").adopted) == (True, 2, False)
    world.run(Act("a", Action.KILL), RESTART)
    assert world.row("a").status is Status.KILLED


def test_only_unstarted_skips_what_was_ever_started() -> None:
    """As with any act."""
    started = row_at(Status.KILLED)
    assert applied(Act("a", Action.RESTART, only_unstarted=True), table_with(started)) == [SKIPPED_ACT]
    applied(
        Act("a", Action.RESTART, only_unstarted=True),
        table := table_with(replace(started, started_seq=None, attempt=0)),
    )
    assert table.rows["a"].status is Status.READY


def test_a_report_of_the_attempt_that_was_ended_is_late() -> None:
    """Its executor may not have heard of the kill."""
    world = MemoryCluster(1)
    world.run(invoke("a"), Act("a", Action.KILL), RESTART, ReportTransition("a", 1, to=Status.COMPLETED))
    assert world.row("a").status is Status.READY
    world.run(ReportTransition("a", 2, to=Status.COMPLETED))
    assert world.row("a").status is Status.COMPLETED


# --- objects ---


def _keyed(number: int) -> str:
    return f"mail/k~{number}"


def test_restarted_invocations_of_an_object_run_in_their_old_order() -> None:
    """One at a time, before those that came later, whatever the order in which they are restarted."""
    world = MemoryCluster(1)
    names = [_keyed(number) for number in range(4)]
    world.run(*(invoke(name, object_key="k") for name in names[:3]), StartBatch("k", Action.KILL, ALL))
    world.run(invoke(names[3], object_key="k"))
    assert world.row(names[3]).status is Status.READY
    world.run(*(Act(name, Action.RESTART) for name in (names[2], names[0], names[1])))
    assert [world.row(name).status for name in names] == [Status.PENDING] * 3 + [Status.READY]
    world.signals.clear()
    for name in (names[3], *names[:3]):
        world.run(ReportTransition(name, world.row(name).attempt, to=Status.COMPLETED))
    assert [send.invocation_id for _, send in world.signals] == names[:3]
    assert [world.row(name).attempt for name in names] == [2, 1, 1, 1]


def test_a_restart_of_a_free_object_starts_the_first_alone() -> None:
    """By an act as by a page of a batch."""
    for by_batch in (False, True):
        world = MemoryCluster(1)
        world.run(*(invoke(_keyed(number), object_key="k") for number in range(3)), StartBatch("k", Action.KILL, ALL))
        undo = (
            [StartBatch("u", Action.RESTART, ALL)] if by_batch else [Act(_keyed(n), Action.RESTART) for n in range(3)]
        )
        world.run(*undo)
        assert [world.row(_keyed(number)).status for number in range(3)] == [
            Status.READY,
            Status.PENDING,
            Status.PENDING,
        ]


# --- guards ---


def test_what_a_running_kill_would_end_is_skipped_and_stays_as_it_is() -> None:
    """By an act and by a page; it is not held, so nothing starts it when the kill is over."""
    row = row_at(Status.KILLED)
    table = guarded(table_with(row), slice_of(batch_id="kill"))
    assert applied(RESTART, table) == [SKIPPED_ACT]
    guarded(table, slice_of(action=Action.RESTART), slice_of(batch_id="kill", max_rate=1.0, due_at=NOW + 9))
    applied(ContinueSlice(ENGINE_VERSION, 0, "b", 1, 10, 10), table)
    assert (table.slices["b"].done, table.slices["b"].skipped) == (0, 1)
    assert table.rows["a"] == row


AS_IT_WOULD_STAND = {
    "READY, and it is": (slice_of(Filter(match_all=True)), row_at(Status.KILLED), True),
    "KILLED, and it is not any more": (slice_of(Filter(batch_ids=("k",))), row_at(Status.KILLED), False),
    "READY, but started after the cut-off": (slice_of(Filter(statuses=(Status.READY,))), row_at(Status.KILLED), False),
    "SCHEDULED, and it is": (
        slice_of(Filter(statuses=(Status.SCHEDULED,))),
        row_at(Status.KILLED, scheduled_at=NOW + 9, started_seq=None),
        True,
    ),
    "changed before now, and it is changed now": (
        slice_of(Filter(modified_until=NOW)),
        row_at(Status.KILLED, scheduled_at=NOW + 9, started_seq=None),
        False,
    ),
    "paused": (slice_of(state=SliceState.PAUSED), row_at(Status.KILLED), False),
    "behind its cursor": (slice_of(cursor=SEQ), row_at(Status.KILLED), False),
}


@pytest.mark.parametrize(("slice_", "row", "skipped"), AS_IT_WOULD_STAND.values(), ids=AS_IT_WOULD_STAND)
def test_a_guard_is_asked_about_the_row_as_it_would_stand(slice_: Slice, row: Row, *, skipped: bool) -> None:
    """Not about the ended row, which no KILL ever matches."""
    row = replace(row, ending=Ending(Cause(batch_id="k")))
    applied(RESTART, table := guarded(table_with(row), slice_))
    assert (table.rows["a"] == row) is skipped


# --- batches ---


def _undone(world: MemoryCluster, **options: object) -> dict[str, int]:
    world.run(StartBatch("undo", Action.RESTART, Filter(batch_ids=("kill",)), **options))  # type: ignore[arg-type]
    return world.total("undo")


def _killed(count: int, partitions: int = 3, sizes: PageSizes = PageSizes(4, 3)) -> MemoryCluster:  # noqa: B008
    world = MemoryCluster(partitions, sizes)
    world.run(*(invoke(f"i{number}") for number in range(count)))
    world.run(Act("i0", Action.KILL), StartBatch("kill", Action.KILL, ALL))
    return world


def test_a_batch_restarts_what_another_has_ended_and_nothing_else() -> None:
    """`batch_ids` finds them; each is started once."""
    world = _killed(30)
    world.signals.clear()
    assert _undone(world) == {"matched": 29, "done": 29, "pending": 0, "skipped": 0, "failed": 0}
    assert world.row("i0").status is Status.KILLED
    assert sorted(send.invocation_id for _, send in world.signals) == sorted(f"i{n}" for n in range(1, 30))
    assert {(send.kind, send.attempt, send.payload) for _, send in world.signals} == {
        ("START", 2, f"payload of i{n}".encode()) for n in range(1, 30)
    }


def test_a_dry_run_of_a_restart_counts_and_changes_nothing() -> None:
    """It says what the run does."""
    world = _killed(12)
    rows = [dict(table.rows) for table in world.tables]
    assert _undone(world, dry_run=True)["done"] == 11
    assert [table.rows for table in world.tables] == rows


def test_a_limit_and_a_rate_hold_for_restarts() -> None:
    """As for any action."""
    world = _killed(30)
    assert _undone(world, limit=7)["done"] == 7
    slow = _killed(30)
    assert _undone(slow, max_rate=3.0)["done"] < 10
    while slow.batch("undo").state != "COMPLETED":
        slow.tick(after_ms=1_000)
    assert slow.total("undo")["done"] == 29


def test_a_restart_that_is_aborted_leaves_the_rest_ended() -> None:
    """What lives again goes on."""
    world = _killed(30)
    _undone(world, max_rate=3.0)
    world.tick(after_ms=2_000)
    world.run(ControlBatch("undo", ControlOperation.ABORT))
    statuses = [row.status for table in world.tables for row in table.rows.values()]
    assert statuses.count(Status.READY) == world.total("undo")["done"] < 29
    assert set(statuses) == {Status.READY, Status.KILLED}


def test_a_restart_does_not_stand() -> None:
    """It is refused with the name of the field."""
    world = MemoryCluster(1)
    world.run(StartBatch("undo", Action.RESTART, ALL, standing_until=world.now + 5))
    assert (world.batch("undo").error or "").startswith("invalid_standing_until: ")


def test_what_was_restarted_may_be_killed_again() -> None:
    """It counts in the new batch alone, and a restart by that batch finds it."""
    world = _killed(9)
    _undone(world)
    world.run(StartBatch("again", Action.KILL, ALL))
    assert world.total("again")["done"] == 8
    assert world.total("kill")["done"] == 8
    world.run(StartBatch("u2", Action.RESTART, Filter(batch_ids=("kill",))))
    assert world.total("u2")["matched"] == 0
    world.run(StartBatch("u3", Action.RESTART, Filter(batch_ids=("again",))))
    assert world.total("u3")["done"] == 8


# --- retention ---


def test_what_lives_again_is_not_forgotten_and_its_payload_is_kept() -> None:
    """Its retention begins with its next end."""
    world = _killed(6, partitions=1)
    world.tick(RETENTION_MS - 1_000)
    _undone(world)
    world.tick(RETENTION_MS)
    (table,) = world.tables
    assert {row.status for row in table.rows.values()} == {Status.READY}
    assert set(table.rows) == set(table.payloads) == {f"i{n}" for n in range(1, 6)}


def test_a_restarted_row_rests_on_no_page_any_longer() -> None:
    """Its own record says where it stands."""
    world = _killed(3, partitions=1)
    (table,) = world.tables
    assert isinstance(table, MemoryTable)
    assert table.rows["i1"].delta is not None
    world.send(Act("i1", Action.RESTART))
    assert not of(PutDelta, world.step(0))
    assert table.rows["i1"].delta is None
