"""The rows that a batch waits for: whoever ends them, each is counted once."""

from __future__ import annotations

import pytest

from streams.model import (
    Act,
    Action,
    BatchState,
    Cause,
    Ending,
    Filter,
    OnTimeout,
    ReportTransition,
    SignalKind,
    StartBatch,
    Status,
)
from support.tables.memory_cluster import MemoryCluster, invoke

ALL = Filter(match_all=True)


def cancelling(on_timeout: OnTimeout = OnTimeout.KILL) -> MemoryCluster:
    """One partition on which batch `b` waits for `a` and `z`."""
    cluster = MemoryCluster(1)
    cluster.run(invoke("a"), invoke("z"))
    cluster.run(StartBatch("b", Action.CANCEL, ALL, grace_ms=20_000, on_timeout=on_timeout))
    assert cluster.batch("b").state is BatchState.DRAINING
    return cluster


@pytest.mark.parametrize(
    ("end", "outcome"),
    [
        (ReportTransition("a", 1, to=Status.CANCELLED), "done"),
        (ReportTransition("a", 1, to=Status.COMPLETED), "skipped"),
        (ReportTransition("a", 1, to=Status.FAILED), "skipped"),
        (Act("a", Action.KILL), "skipped"),
        (StartBatch("k", Action.KILL, Filter(invocation_ids=("a",))), "skipped"),
    ],
)
def test_whoever_ends_a_row_the_batch_that_waits_counts_it_once(end: ReportTransition | Act, outcome: str) -> None:
    """Done if the cancel was answered, skipped if something else came first; never twice."""
    cluster = cancelling()
    cluster.run(end)
    cluster.run(end, ReportTransition("a", 1, to=Status.CANCELLED))
    assert cluster.total("b") == {"matched": 2, "done": 0, "pending": 1, "skipped": 0, "failed": 0} | {outcome: 1}
    assert cluster.batch("b").state is BatchState.DRAINING
    cluster.run(ReportTransition("z", 1, to=Status.CANCELLED))
    assert cluster.batch("b").state is BatchState.COMPLETED


def test_a_kill_that_takes_all_from_a_cancel_completes_both() -> None:
    """The first batch skipped them, the second ended them: each row is counted done once."""
    cluster = cancelling()
    cluster.run(StartBatch("k", Action.KILL, ALL))
    assert cluster.total("b") == {"matched": 2, "done": 0, "pending": 0, "skipped": 2, "failed": 0}
    assert cluster.total("k") == {"matched": 2, "done": 2, "pending": 0, "skipped": 0, "failed": 0}
    assert cluster.batch("b").state is cluster.batch("k").state is BatchState.COMPLETED
    assert cluster.row("a").ending == Ending(Cause(batch_id="k"))


def test_a_second_cancel_skips_what_the_first_waits_for() -> None:
    """The executor is asked once, and the first batch counts the end."""
    cluster = cancelling()
    cluster.run(StartBatch("c", Action.CANCEL, ALL))
    assert cluster.total("c") == {"matched": 2, "done": 0, "pending": 0, "skipped": 2, "failed": 0}
    assert len([send for _, send in cluster.signals if send.kind is SignalKind.CANCEL]) == 2


def test_grace_over_with_kill_counts_as_done() -> None:
    """The batch's own kill ended them."""
    cluster = cancelling()
    cluster.tick(after_ms=20_000)
    assert cluster.total("b")["done"] == 2
    assert cluster.batch("b").state is BatchState.COMPLETED
    assert cluster.row("a").status is Status.KILLED
    assert cluster.row("a").ending == Ending(Cause(batch_id="b"), OnTimeout.KILL, 1_020_000)
    assert len([send for _, send in cluster.signals if send.kind is SignalKind.KILL]) == 2


def test_grace_over_with_leave_counts_as_failed() -> None:
    """They stay CANCELLING and are named; what they do later changes no counter."""
    cluster = cancelling(OnTimeout.LEAVE)
    cluster.tick(after_ms=20_000)
    assert cluster.batch("b").state is BatchState.COMPLETED
    row = cluster.row("a")
    assert (row.status, row.due_at) == (Status.CANCELLING, None)
    cluster.run(ReportTransition("a", 1, to=Status.CANCELLED), Act("z", Action.KILL))
    assert cluster.total("b") == {"matched": 2, "done": 0, "pending": 0, "skipped": 0, "failed": 2}
    assert cluster.slices("b")[0].failures == ("a", "z")
    assert cluster.row("a").status is Status.CANCELLED
    assert cluster.row("z").status is Status.KILLED


def test_a_later_cancel_asks_those_again_whom_the_first_has_left() -> None:
    """A new grace and the next repeat of the signal; the later batch counts what comes of it, the first stays."""
    cluster = cancelling(OnTimeout.LEAVE)
    cluster.tick(after_ms=20_000)
    dry = StartBatch("d", Action.CANCEL, ALL, dry_run=True)
    cluster.run(dry, StartBatch("c", Action.CANCEL, ALL, grace_ms=5_000))
    assert cluster.total("d") == {"matched": 2, "done": 2, "pending": 0, "skipped": 0, "failed": 0}
    assert cluster.total("c") == {"matched": 2, "done": 0, "pending": 2, "skipped": 0, "failed": 0}
    grace_until = cluster.now + 5_000
    assert cluster.row("a").ending == Ending(Cause(batch_id="c"), OnTimeout.KILL, grace_until, 1, "c")
    asked = [(send.invocation_id, send.repeat) for _, send in cluster.signals if send.kind is SignalKind.CANCEL]
    assert asked[-2:] == [("a", 1), ("z", 1)]
    cluster.run(StartBatch("e", Action.CANCEL, ALL))
    assert cluster.total("e")["skipped"] == 2
    cluster.run(ReportTransition("a", 1, to=Status.CANCELLED))
    cluster.tick(after_ms=5_000)
    assert cluster.total("c") == {"matched": 2, "done": 2, "pending": 0, "skipped": 0, "failed": 0}
    assert cluster.total("b") == {"matched": 2, "done": 0, "pending": 0, "skipped": 0, "failed": 2}
    assert (cluster.row("z").status, cluster.batch("c").state) == (Status.KILLED, BatchState.COMPLETED)


def test_failures_stop_at_twenty() -> None:
    """All are counted, the first are named."""
    cluster = MemoryCluster()
    cluster.run(*(invoke(f"i{number:02}") for number in range(25)))
    cluster.run(StartBatch("b", Action.CANCEL, ALL, grace_ms=0, on_timeout=OnTimeout.LEAVE))
    cluster.tick()
    slice_ = cluster.slices("b")[0]
    assert slice_.failed == 25
    assert slice_.failures == tuple(f"i{number:02}" for number in range(20))
