"""Virtual objects: one started invocation at a time each, the others in its inbox."""

from __future__ import annotations

from typing import Any

import pytest

from streams.engine.answers import PageSizes
from streams.engine.effects import UpdateRow
from streams.model import Act, Action, Filter, Invoke, OnTimeout, ReportTransition, SignalKind, StartBatch, Status
from support.tables.engine_rows import of
from support.tables.memory_cluster import MemoryCluster, invoke
from support.tables.memory_table import DEFAULT_SIZES

ENDS = (Status.COMPLETED, Status.FAILED, Status.CANCELLED)


def of_object(number: int, key: str = "k", **fields: Any) -> Invoke:
    """An `Invoke` of an object of the service `mail`."""
    return invoke(f"mail/{key}~{number}", object_key=key, **fields)


def full(count: int = 4, sizes: PageSizes = DEFAULT_SIZES, **fields: Any) -> MemoryCluster:
    """An object of which the first invocation is started and the others wait."""
    cluster = MemoryCluster(1, sizes)
    cluster.run(*(of_object(number, **fields) for number in range(count)))
    return cluster


def statuses(cluster: MemoryCluster) -> list[Status]:
    """Where the object's invocations stand, in order of seq."""
    return [row.status for row in cluster.tables[0].rows.values()]


def started(cluster: MemoryCluster) -> list[str]:
    """Ids in the order of their first START signals."""
    return [send.invocation_id for _, send in cluster.signals if (send.kind, send.attempt) == (SignalKind.START, 1)]


def test_the_first_of_an_object_starts_and_the_others_wait() -> None:
    """Only what was started has an attempt; another object, and what has none, goes its own way."""
    cluster = full(3)
    cluster.run(of_object(0, "l"), invoke("mail/k~unkeyed"))
    assert statuses(cluster) == [Status.READY, Status.PENDING, Status.PENDING, Status.READY, Status.READY]
    assert [row.attempt for row in cluster.tables[0].rows.values()] == [1, 0, 0, 1, 1]
    assert cluster.row("mail/k~1").started_seq is None


@pytest.mark.parametrize("end", ENDS)
def test_the_next_one_starts_when_an_executor_reports_an_end(end: Status) -> None:
    """In order of seq, its payload with its START, and its lease from then on."""
    cluster = full(3, lease_ms=700)
    cluster.now += 10
    cluster.run(ReportTransition("mail/k~0", 1, to=end))
    row = cluster.row("mail/k~1")
    assert statuses(cluster) == [end, Status.READY, Status.PENDING]
    assert (row.attempt, row.started_seq, row.due_at) == (1, 3, cluster.now + 700)
    assert cluster.signals[-1][1].payload == b"payload of mail/k~1"


@pytest.mark.parametrize("to", [Status.RUNNING, Status.SUSPENDED, Status.BACKING_OFF])
def test_what_has_not_ended_keeps_its_object(to: Status) -> None:
    """Whatever else its executor reports, and paused or being cancelled after it."""
    cluster = full(2)
    cluster.run(ReportTransition("mail/k~0", 1, to=to, retry_at=cluster.now + 9))
    cluster.run(Act("mail/k~0", Action.PAUSE))
    assert statuses(cluster) == [Status.PAUSED, Status.PENDING]
    cluster.run(Act("mail/k~0", Action.CANCEL, on_timeout=OnTimeout.LEAVE))
    cluster.tick(after_ms=60_000)
    assert statuses(cluster) == [Status.CANCELLING, Status.PENDING]
    cluster.run(ReportTransition("mail/k~0", 1, to=Status.CANCELLED))
    assert statuses(cluster) == [Status.CANCELLED, Status.READY]


def test_a_kill_and_the_end_of_a_grace_free_the_object() -> None:
    """The next one starts in the same command."""
    cluster = full(3)
    cluster.run(Act("mail/k~0", Action.KILL))
    assert statuses(cluster) == [Status.KILLED, Status.READY, Status.PENDING]
    cluster.run(Act("mail/k~1", Action.CANCEL, grace_ms=5))
    cluster.tick(after_ms=5)
    assert statuses(cluster) == [Status.KILLED, Status.KILLED, Status.READY]


@pytest.mark.parametrize("action", [Action.KILL, Action.CANCEL, Action.PAUSE])
def test_what_leaves_the_inbox_changes_no_order(action: Action) -> None:
    """The one behind it comes next."""
    cluster = full(3)
    cluster.run(Act("mail/k~1", action), ReportTransition("mail/k~0", 1, to=Status.COMPLETED))
    assert started(cluster) == ["mail/k~0", "mail/k~2"]


def test_a_resumed_one_takes_its_old_place() -> None:
    """Before those that came after it; it starts at once if nothing of its object is started."""
    cluster = full(3)
    cluster.run(Act("mail/k~1", Action.PAUSE), Act("mail/k~2", Action.PAUSE), of_object(3))
    cluster.run(Act("mail/k~1", Action.RESUME), ReportTransition("mail/k~0", 1, to=Status.COMPLETED))
    assert started(cluster) == ["mail/k~0", "mail/k~1"]
    cluster.run(Act("mail/k~3", Action.PAUSE), ReportTransition("mail/k~1", 1, to=Status.COMPLETED))
    cluster.run(Act("mail/k~2", Action.RESUME))
    assert started(cluster) == ["mail/k~0", "mail/k~1", "mail/k~2"]


def test_an_adopted_one_runs_whatever_its_object_does() -> None:
    """The object is free when none of both is started."""
    cluster = full(2)
    cluster.run(of_object(2, adopt=True), ReportTransition("mail/k~0", 1, to=Status.COMPLETED))
    assert statuses(cluster) == [Status.COMPLETED, Status.PENDING, Status.RUNNING]
    cluster.run(ReportTransition("mail/k~2", 1, to=Status.COMPLETED))
    assert statuses(cluster) == [Status.COMPLETED, Status.READY, Status.COMPLETED]


def test_a_schedule_that_fires_is_an_arrival_at_its_old_seq() -> None:
    """Of several due at once one starts, and one that is due later stands before those that came after it."""
    cluster = MemoryCluster()
    soon = cluster.now + 10
    cluster.run(*(of_object(number, scheduled_at=soon + number // 2) for number in range(3)))
    cluster.tick(after_ms=10)
    assert statuses(cluster) == [Status.READY, Status.PENDING, Status.SCHEDULED]
    cluster.run(of_object(3))
    cluster.tick(after_ms=1)
    assert statuses(cluster) == [Status.READY, Status.PENDING, Status.PENDING, Status.PENDING]
    for number in range(3):
        cluster.run(ReportTransition(f"mail/k~{number}", 1, to=Status.COMPLETED))
    assert started(cluster) == [f"mail/k~{number}" for number in range(4)]


def test_a_schedule_resumed_in_time_is_scheduled_again() -> None:
    """An overdue one goes to the inbox."""
    cluster = full(1)
    at = cluster.now + 10
    cluster.run(of_object(1, scheduled_at=at), Act("mail/k~1", Action.PAUSE), Act("mail/k~1", Action.RESUME))
    assert (cluster.row("mail/k~1").status, cluster.row("mail/k~1").due_at) == (Status.SCHEDULED, at)
    cluster.run(Act("mail/k~1", Action.PAUSE))
    cluster.now = at
    cluster.run(Act("mail/k~1", Action.RESUME))
    assert (cluster.row("mail/k~1").status, cluster.row("mail/k~1").due_at) == (Status.PENDING, None)


@pytest.mark.parametrize("action", [Action.KILL, Action.CANCEL, Action.PAUSE])
def test_a_page_looks_at_each_object_once(action: Action) -> None:
    """However many rows of it the page has ended: what waits behind them starts when the object is free, and alone."""
    cluster = full(5)
    cluster.run(of_object(5, handler="other"), of_object(6, handler="other"))
    cluster.run(StartBatch("b", action, Filter(handlers=("send",)), grace_ms=60_000))
    free = action is Action.KILL
    assert cluster.row("mail/k~5").status is (Status.READY if free else Status.PENDING)
    assert cluster.row("mail/k~6").status is Status.PENDING
    assert started(cluster) == ["mail/k~0", *(["mail/k~5"] if free else [])]


def test_a_kill_of_all_running_ends_none_that_it_promoted_itself() -> None:
    """Full inboxes: one of each object is ended, and the next one runs."""
    cluster = MemoryCluster(3, PageSizes(3, 2))
    cluster.run(*(of_object(number, f"o{key}") for number in range(5) for key in range(9)))
    cluster.run(*(ReportTransition(f"mail/o{key}~0", 1) for key in range(9)))
    batch = StartBatch("b", Action.KILL, Filter(statuses=(Status.READY, Status.RUNNING)))
    cluster.run(batch)
    assert cluster.total("b")["done"] == 9
    for key in range(9):
        found = [cluster.row(f"mail/o{key}~{number}").status for number in range(5)]
        assert found == [Status.KILLED, Status.READY, *[Status.PENDING] * 3]


def test_pages_that_resume_fill_the_inbox_again_in_order() -> None:
    """The first starts, once; what was started goes on beside nothing."""
    cluster = full(5, PageSizes(2, 2))
    cluster.run(StartBatch("p", Action.PAUSE, Filter(match_all=True)))
    assert statuses(cluster) == [Status.PAUSED] * 5
    cluster.run(ReportTransition("mail/k~0", 1, to=Status.COMPLETED))
    cluster.run(StartBatch("r", Action.RESUME, Filter(match_all=True)))
    assert statuses(cluster) == [Status.COMPLETED, Status.READY, *[Status.PENDING] * 3]
    assert started(cluster) == ["mail/k~0", "mail/k~1"]


def test_a_page_writes_an_update_for_each_object_and_no_more() -> None:
    """The ended rows go by one delta."""
    cluster = MemoryCluster(1, PageSizes(100, 100))
    cluster.run(*(of_object(number, f"o{key}", handler=f"h{number // 4}") for number in range(5) for key in range(3)))
    cluster.send(StartBatch("b", Action.KILL, Filter(handlers=("h0",))))
    effects = []
    while cluster.waiting():
        effects += cluster.step(0)
    assert [effect.row.invocation_id for effect in of(UpdateRow, effects)] == [f"mail/o{key}~4" for key in range(3)]


@pytest.mark.parametrize(
    "invocation_id", ["a", "mail/k", "mail/k~", "mail/l~1", "bill/k~1", "mail/k~1~2", "k~1", "mail~1", "~1"]
)
def test_an_id_of_an_object_names_it(invocation_id: str) -> None:
    """So that all of an object's invocations share a partition."""
    cluster = MemoryCluster(1)
    cluster.run(invoke(invocation_id, object_key="k"))
    assert [refusal.code for refusal in cluster.refused] == ["invalid_invocation_id"]
    assert not cluster.tables[0].rows


def test_a_key_may_hold_what_parts_an_id() -> None:
    """The last `~` is the one that counts, and services are told apart by more than their text."""
    cluster = MemoryCluster(1)
    cluster.run(invoke("a/b/c~1", service="a/b", object_key="c"), invoke("a/b/c~2", service="a", object_key="b/c"))
    cluster.run(invoke("mail/x~y~1", object_key="x~y"), invoke("mail/x~y~2", object_key="x~y"))
    assert statuses(cluster) == [Status.READY, Status.READY, Status.READY, Status.PENDING]
