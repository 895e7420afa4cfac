"""Rules that stand at the door: what arrives while a batch stands is ended before anybody starts it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from streams.engine import header_of, progress_of
from streams.engine.answers import PageSizes
from streams.gateway import progress
from streams.model import (
    Action,
    BatchState,
    Cause,
    ControlBatch,
    ControlOperation,
    Ending,
    Exclusion,
    Filter,
    OnTimeout,
    ReportTransition,
    SignalKind,
    StartBatch,
    Status,
)
from support.tables.memory_cluster import MemoryCluster, invoke
from support.tables.standing_rules import BEGAN, UNTIL, counted, rule, told

if TYPE_CHECKING:
    from streams.model import BatchProgress

PAUSE, RESUME, ABORT = ControlOperation.PAUSE, ControlOperation.RESUME, ControlOperation.ABORT


def standing(action: Action = Action.KILL, partitions: int = 2, **fields: Any) -> MemoryCluster:
    """The batch `b`, which has found nothing and stands."""
    cluster = MemoryCluster(partitions)
    cluster.run(rule(action, **fields))
    return cluster


def shown(cluster: MemoryCluster, batch_id: str = "b") -> BatchProgress:
    """The batch as the gateway shows it."""
    tables = enumerate(cluster.tables)
    slices = {n: progress_of(table.slices[batch_id], n) for n, table in tables if batch_id in table.slices}
    merged = progress.batch_progress(progress.BatchRecords(header_of(cluster.batch(batch_id)), slices))
    assert merged is not None
    return merged


@pytest.mark.parametrize("scheduled_in", [None, 5_000])
@pytest.mark.parametrize(("action", "status"), [(Action.KILL, Status.KILLED), (Action.CANCEL, Status.CANCELLED)])
def test_what_arrives_is_ended_before_any_signal(action: Action, status: Status, scheduled_in: int | None) -> None:
    """It stands in the table as ended by the batch, which counts and samples it; nobody was told to start it."""
    cluster = standing(action, actor="ann", reason="bad deploy")
    cluster.run(invoke("a", scheduled_at=None if scheduled_in is None else cluster.now + scheduled_in, lease_ms=50))
    row = cluster.row("a")
    cause = Cause("b", None, "ann", "bad deploy")
    assert (row.status, row.ending) == (status, Ending(cause, counted_by="b"))
    assert (row.attempt, row.started_seq, row.due_at) == (0, None, None)
    cluster.tick(after_ms=10_000)
    assert told(cluster) == []
    assert counted(cluster) == (1, 1, 0, 0, 0)
    assert shown(cluster).samples == ("a",)


def test_it_ends_what_was_there_and_what_comes() -> None:
    """Pages go through the table up to the cut-off, the door has the rest; nothing falls between them."""
    cluster = MemoryCluster(2, PageSizes(2, 1))
    cluster.send(*(invoke(f"i{n}") for n in range(9)), rule())
    while len(slices := cluster.slices("b")) < 2 or not all(slice_.matched for slice_ in slices):
        cluster.step(cluster.waiting()[0])
    cluster.run(*(invoke(f"late{n}") for n in range(9)), *(invoke(f"bill{n}", service="bill") for n in range(9)))
    assert counted(cluster) == (18, 18, 0, 0, 0)
    assert {name for name, kind in told(cluster) if kind is SignalKind.START} == {
        *(f"i{n}" for n in range(9)),
        *(f"bill{n}" for n in range(9)),
    }
    progress = shown(cluster)
    assert (progress.scanned, progress.scan_total) == (9, 9), "the table's rows, of which the bar tells"


def test_an_adopted_invocation_is_ended_as_a_started_one() -> None:
    """Its executor runs it already and must hear of it: KILL at once, CANCEL with a grace that is waited for."""
    cluster = standing(Action.KILL)
    cluster.run(invoke("a", adopt=True))
    row = cluster.row("a")
    assert (row.status, row.attempt, told(cluster)) == (Status.KILLED, 1, [("a", SignalKind.KILL)])
    cluster = standing(Action.CANCEL, grace_ms=9_000, on_timeout=OnTimeout.LEAVE)
    for name in ("a", "b", "c"):
        cluster.run(invoke(name, adopt=True))
    row = cluster.row("a")
    assert (row.status, row.attempt, row.started_seq) == (Status.CANCELLING, 1, row.seq)
    assert (row.ending, row.due_at) == (
        Ending(Cause("b"), OnTimeout.LEAVE, BEGAN + 9_000, counted_by="b"),
        BEGAN + 5_000,
    )
    assert told(cluster) == [(name, SignalKind.CANCEL) for name in ("a", "b", "c")]
    assert counted(cluster) == (3, 0, 3, 0, 0)
    cluster.run(ReportTransition("a", 1, to=Status.CANCELLED), ReportTransition("b", 1, to=Status.COMPLETED))
    cluster.tick(after_ms=9_000)
    assert counted(cluster) == (3, 1, 0, 1, 1)
    assert shown(cluster).failures == ("c",)


def test_an_invoke_that_is_repeated_changes_nothing() -> None:
    """It is known, however it came to its end; other content under its id conflicts."""
    cluster = standing()
    cluster.run(invoke("a"), invoke("a"), invoke("a", handler="other"))
    assert (counted(cluster), cluster.counts["repeated_invoke"]) == ((1, 1, 0, 0, 0), 1)
    assert [refusal.code for refusal in cluster.refused] == ["conflicting_invoke"]


def test_it_runs_until_its_time_has_come_and_is_then_completed() -> None:
    """To the millisecond of the partition's clock, whether or not its lead has heard that the time is over."""
    cluster = standing()
    assert not any(table.meta.page_outstanding for table in cluster.tables), "no page goes round while it stands"
    cluster.now = UNTIL - 1
    cluster.run(invoke("a"))
    cluster.tick()
    assert cluster.batch("b").state is shown(cluster).state is BatchState.RUNNING
    cluster.now = UNTIL
    cluster.run(invoke("b"))
    assert (cluster.row("a").status, cluster.row("b").status) == (Status.KILLED, Status.READY)
    cluster.tick()
    assert cluster.batch("b").state is shown(cluster).state is BatchState.COMPLETED
    assert counted(cluster) == (1, 1, 0, 0, 0)


def test_at_its_end_a_cancel_waits_for_what_it_asked() -> None:
    """DRAINING, then COMPLETED."""
    cluster = standing(Action.CANCEL, grace_ms=90_000)
    cluster.run(invoke("a", adopt=True))
    cluster.tick(after_ms=60_000)
    assert cluster.batch("b").state is shown(cluster).state is BatchState.DRAINING
    cluster.run(ReportTransition("a", 1, to=Status.CANCELLED))
    assert cluster.batch("b").state is shown(cluster).state is BatchState.COMPLETED


def test_pages_go_on_when_the_rule_has_ended() -> None:
    """The rows below the cut-off are ended however long it takes."""
    cluster = MemoryCluster(1, PageSizes(1, 1))
    cluster.run(*(invoke(f"i{n}") for n in range(5)))
    cluster.send(rule())
    for _ in range(3):
        cluster.step(0)
    cluster.tick(after_ms=60_000)
    assert cluster.batch("b").state is BatchState.COMPLETED
    assert counted(cluster) == (5, 5, 0, 0, 0)


def test_a_pause_opens_the_door_and_a_resume_closes_it() -> None:
    """What came in meanwhile stays."""
    cluster = standing()
    cluster.run(ControlBatch("b", PAUSE))
    assert cluster.batch("b").state is shown(cluster).state is BatchState.PAUSED
    cluster.run(invoke("a"))
    cluster.run(ControlBatch("b", RESUME))
    assert cluster.batch("b").state is shown(cluster).state is BatchState.RUNNING
    cluster.run(invoke("b"))
    assert (cluster.row("a").status, cluster.row("b").status) == (Status.READY, Status.KILLED)
    assert not any(table.meta.page_outstanding for table in cluster.tables)


def test_a_paused_rule_ends_with_its_time() -> None:
    """Nothing is left of it to resume; pages that are left are still paused."""
    cluster = standing()
    cluster.run(ControlBatch("b", PAUSE))
    cluster.tick(after_ms=60_000)
    assert cluster.batch("b").state is shown(cluster).state is BatchState.COMPLETED
    cluster = MemoryCluster(1)
    cluster.run(invoke("a"))
    cluster.run(rule(), ControlBatch("b", PAUSE))
    cluster.tick(after_ms=60_000)
    assert cluster.batch("b").state is BatchState.PAUSED
    cluster.run(invoke("late"), ControlBatch("b", RESUME))
    assert (cluster.row("a").status, cluster.row("late").status) == (Status.KILLED, Status.READY)
    assert cluster.batch("b").state is BatchState.COMPLETED


@pytest.mark.parametrize("before", [None, PAUSE])
def test_an_abort_opens_the_door_for_good(before: ControlOperation | None) -> None:
    """It has stopped something, so the batch is ABORTED."""
    cluster = standing()
    if before is not None:
        cluster.run(ControlBatch("b", before))
    cluster.run(ControlBatch("b", ABORT))
    cluster.run(invoke("a"))
    assert cluster.row("a").status is Status.READY
    assert cluster.batch("b").state is shown(cluster).state is BatchState.ABORTED
    assert cluster.batch("b").error is None
    cluster.tick(after_ms=60_000)
    assert cluster.batch("b").state is BatchState.ABORTED


@pytest.mark.parametrize(
    ("expires_in", "state", "error"),
    [
        (59_000, BatchState.ABORTED, "expired"),
        (60_000, BatchState.COMPLETED, None),
        (61_000, BatchState.COMPLETED, None),
    ],
)
def test_whichever_time_comes_first_ends_it(expires_in: int, state: BatchState, error: str | None) -> None:
    """An expiry aborts what still stands; a rule that ended with its time, pages done, cannot expire."""
    cluster = standing(expires_at=BEGAN + expires_in)
    for _ in range(61):
        cluster.tick(after_ms=1_000)
    batch = cluster.batch("b")
    assert (batch.state, batch.error, shown(cluster).state) == (state, error, state)


def test_a_batch_whose_pages_last_longer_than_its_rule_may_still_expire() -> None:
    """Both times act, one after the other."""
    cluster = MemoryCluster(1)
    cluster.run(invoke("a"))
    cluster.run(rule(expires_at=UNTIL + 5), ControlBatch("b", PAUSE))
    cluster.tick(after_ms=60_000)
    assert cluster.batch("b").lifted
    cluster.tick(after_ms=5)
    assert (cluster.batch("b").state, cluster.batch("b").error) == (BatchState.ABORTED, "expired")


def test_a_dry_run_does_not_stand() -> None:
    """It counts what is there now, and is over."""
    cluster = MemoryCluster(2)
    cluster.run(invoke("a"))
    cluster.run(rule(dry_run=True))
    cluster.run(invoke("b"))
    assert cluster.batch("b").state is BatchState.COMPLETED
    assert counted(cluster) == (1, 1, 0, 0, 0)
    assert cluster.row("b").status is Status.READY


def test_of_several_rules_the_one_that_began_first_counts() -> None:
    """Each invocation is ended by exactly one; when the first is paused the next one does it."""
    cluster = standing()
    cluster.run(rule(batch_id="c", filter=Filter(match_all=True)))
    cluster.run(invoke("a"), invoke("x", service="bill"))
    cluster.run(ControlBatch("b", PAUSE))
    cluster.run(invoke("b"))
    cluster.run(ControlBatch("b", RESUME))
    cluster.run(invoke("d"))
    assert (counted(cluster, "b")[0], counted(cluster, "c")[0]) == (2, 2)
    assert told(cluster) == []


def test_other_batches_take_their_turns_beside_it() -> None:
    """A rule that stands needs no page, and keeps nobody from one."""
    cluster = standing(partitions=1)
    cluster.run(*(invoke(f"x{n}", service="bill") for n in range(300)))
    cluster.run(StartBatch("c", Action.KILL, Filter(services=("bill",))))
    assert cluster.batch("c").state is BatchState.COMPLETED
    assert counted(cluster, "c") == (300, 300, 0, 0, 0)
    assert not cluster.tables[0].meta.page_outstanding


def test_a_rule_takes_no_rate() -> None:
    """Neither at its start nor later: the dead letter names the field."""
    cluster = standing()
    cluster.run(ControlBatch("b", ControlOperation.SET_RATE, max_rate=5.0))
    assert [refusal.code for refusal in cluster.refused] == ["invalid_max_rate"]
    assert cluster.batch("b").max_rate is None


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"action": Action.PAUSE}, "PAUSE"),
        ({"action": Action.RESUME}, "RESUME"),
        ({"action": Action.PURGE}, "PURGE"),
        ({"filter": Filter(statuses=(Status.READY,))}, "filter.statuses"),
        ({"filter": Filter(modified_from=5)}, "filter.modified_from"),
        ({"filter": Filter(modified_until=5)}, "filter.modified_until"),
        ({"filter": Filter(invocation_ids=("a",))}, "filter.invocation_ids"),
        ({"filter": Filter(batch_ids=("a",))}, "filter.batch_ids"),
        ({"filter": Filter(match_all=True, exclude=Exclusion(statuses=(Status.READY,)))}, "filter.exclude.statuses"),
        ({"filter": Filter(match_all=True, exclude=Exclusion(modified_from=5))}, "filter.exclude.modified_from"),
        ({"filter": Filter(match_all=True, exclude=Exclusion(modified_until=5))}, "filter.exclude.modified_until"),
        ({"filter": Filter(match_all=True, exclude=Exclusion(batch_ids=("a",)))}, "filter.exclude.batch_ids"),
        ({"limit": 5}, "limit"),
        ({"max_rate": 5.0}, "max_rate"),
    ],
)
def test_what_says_nothing_of_an_arrival_is_refused_with_a_rule(change: dict[str, Any], named: str) -> None:
    """The batch is REJECTED with the field's name, and stands nowhere."""
    cluster = standing(**change)
    error = cluster.batch("b").error
    assert error is not None
    assert error.startswith("invalid_standing_until: standing_until is set ")
    assert f"with {named}: " in error
    assert not cluster.slices("b")


def test_what_the_pages_held_is_let_go_though_the_rule_still_stands() -> None:
    """A rule guards no start of what came before it: only the pages did, and they are done."""
    cluster = MemoryCluster(1, PageSizes(2, 2))
    cluster.run(*(invoke(f"i{n}", scheduled_at=BEGAN + 5) for n in range(6)))
    cluster.send(rule(filter=Filter(deployment_ids=("old",))))
    cluster.run()
    held = replace(cluster.row("i5"), held=True)
    cluster.tables[0].rows["i5"] = held
    cluster.send(StartBatch("c", Action.KILL, Filter(services=("other",)), standing_until=UNTIL))
    cluster.run()
    assert cluster.batch("b").state is cluster.batch("c").state is BatchState.RUNNING
    assert not cluster.row("i5").held
    cluster.tick(after_ms=5)
    assert {cluster.row(f"i{n}").status for n in range(6)} == {Status.READY}
