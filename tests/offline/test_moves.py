"""Commands that put an invocation into another table as it stands in this one."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from streams.engine.lifecycle import stands_at
from streams.engine.objects import holds, object_of
from streams.model import (
    TERMINAL,
    UNSTARTED,
    Act,
    Action,
    Cause,
    Command,
    Ending,
    Filter,
    Invocation,
    Invoke,
    OnTimeout,
    ReportTransition,
    Row,
    SignalKind,
    StartBatch,
    Status,
)
from streams.offline.moves import Terms, commands_for
from streams.protocol.validation import MAX_GRACE_MS
from support.effort import examples
from support.tables.histories import START, long_histories
from support.tables.memory_cluster import MemoryCluster

if TYPE_CHECKING:
    from streams.engine.answers import Object

HOUR = 3_600_000
INVOCATION = Invocation("a", "mail", "send", labels={"x": "y"})
TERMS = Terms(now=START, restart=False, no_start_before=START + HOUR)
RESTARTED = Terms(now=START, restart=True, no_start_before=START + HOUR)
CAUSE = Cause(batch_id="b", reason="why")


def _row(status: Status, paused_from: Status | None = None, **fields: Any) -> Row:
    known = {"due_at": None, "scheduled_at": None, "deployment_id": None, "ending": None} | fields
    return Row("a", b"", 9, 0, status, 3, 5, 1, 2, paused_from=paused_from, **known)


def _report(to: Status, retry_at: int | None = None, deployment_id: str | None = None) -> ReportTransition:
    return ReportTransition("a", 1, None, 0, to, retry_at, deployment_id)


ADOPTED = Invoke(INVOCATION, adopt=True, payload=b"p")
PAUSE = Act("a", Action.PAUSE)


def _at(when: int | None) -> Invoke:
    return Invoke(INVOCATION, when, payload=b"p")


@pytest.mark.parametrize(
    ("row", "commands"),
    [
        (_row(Status.PENDING), [_at(None)]),
        (_row(Status.SCHEDULED, scheduled_at=7), [_at(7)]),
        (_row(Status.READY), [ADOPTED]),
        (_row(Status.RUNNING, scheduled_at=7), [ADOPTED]),
        (_row(Status.RUNNING, deployment_id="d"), [ADOPTED, _report(Status.RUNNING, None, "d")]),
        (_row(Status.SUSPENDED, deployment_id="d"), [ADOPTED, _report(Status.SUSPENDED, None, "d")]),
        (_row(Status.BACKING_OFF, due_at=7), [ADOPTED, _report(Status.BACKING_OFF, 7)]),
        (_row(Status.PAUSED, Status.PENDING), [_at(START + HOUR), PAUSE]),
        (_row(Status.PAUSED, Status.SCHEDULED, scheduled_at=7), [_at(START + HOUR), PAUSE]),
        (_row(Status.PAUSED, Status.SCHEDULED, scheduled_at=START + 2 * HOUR), [_at(START + 2 * HOUR), PAUSE]),
        (_row(Status.PAUSED, Status.BACKING_OFF), [ADOPTED, PAUSE]),
        (_row(Status.PAUSED, Status.RUNNING, deployment_id="d"), [ADOPTED, _report(Status.RUNNING, None, "d"), PAUSE]),
        (
            _row(Status.CANCELLING, ending=Ending(CAUSE, OnTimeout.LEAVE, START + 500, 2, "b")),
            [ADOPTED, Act("a", Action.CANCEL, 500, OnTimeout.LEAVE, cause=CAUSE)],
        ),
        (
            _row(Status.CANCELLING, ending=Ending(CAUSE, OnTimeout.KILL, START - 500)),
            [ADOPTED, Act("a", Action.CANCEL, 0, cause=CAUSE)],
        ),
        (
            _row(Status.CANCELLING, ending=Ending(CAUSE, OnTimeout.KILL, START + 2 * MAX_GRACE_MS)),
            [ADOPTED, Act("a", Action.CANCEL, MAX_GRACE_MS, cause=CAUSE)],
        ),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Row) else "",
)
def test_each_status_has_its_commands(row: Row, commands: list[Command]) -> None:
    """What no command can say, attempt, seq and times, is not said."""
    assert commands_for(row, INVOCATION, b"p", TERMS) == commands


@pytest.mark.parametrize("status", [Status.READY, Status.RUNNING])
def test_what_executors_have_in_hand_is_invoked_again_as_at_first(status: Status) -> None:
    """The same content as the first `Invoke`: a producer that repeats that one changes nothing."""
    assert commands_for(_row(status, scheduled_at=7), INVOCATION, b"p", RESTARTED) == [_at(7)]


@settings(max_examples=examples(150))
@given(history=long_histories, restart=st.booleans())
def test_a_table_that_is_moved_always_stands_as_it_stood(
    *, history: list[Command | int | list[int]], restart: bool
) -> None:
    """Whatever has happened: two partitions become five, and nothing is started but what is due or restarted."""
    old, new = _played(history), MemoryCluster(5)
    new.now = old.now
    terms = Terms(old.now, restart, old.now + HOUR)
    expected: dict[str, Status] = {}
    taken: set[Object] = set()
    for table in old.tables:
        live = [row for row in table.rows.values() if row.status not in TERMINAL]
        for row in sorted(live, key=lambda row: (stands_at(row) in UNSTARTED, row.seq)):
            name = row.invocation_id
            expected[name] = _expected(row, terms, taken)
            new.send(*map(_logged, commands_for(row, table.invocations[name], table.payloads.get(name), terms)))
    new.run()
    assert new.refused == []
    assert {name: row.status for table in new.tables for name, row in table.rows.items()} == expected
    starts = Counter(send.invocation_id for _, send in new.signals if send.kind is SignalKind.START)
    assert starts == Counter(name for name, status in expected.items() if status is Status.READY)
    new.run(StartBatch("all", Action.KILL, Filter(match_all=True)))
    assert new.total("all")["done"] == len(expected)


def _played(history: list[Command | int | list[int]]) -> MemoryCluster:
    cluster = MemoryCluster(2)
    for move in history:
        if isinstance(move, int):
            cluster.tick(after_ms=move)
        elif not isinstance(move, list):
            cluster.run(move)
    return cluster


def _expected(row: Row, terms: Terms, taken: set[Object]) -> Status:
    """Where it stands afterwards; `taken`: objects of which one has been started there by now, this one added."""
    status, object_ = row.status, object_of(row)
    restarted = terms.restart and status in {Status.READY, Status.RUNNING}
    overdue = status is Status.SCHEDULED and row.scheduled_at is not None and row.scheduled_at <= terms.now
    if restarted or overdue or status is Status.PENDING:
        # Two of one object may have been started, one of them adopted: only one is started again. And what a batch held
        # is held no more, as the batch stays behind.
        status = Status.PENDING if object_ in taken else Status.READY
    elif status is Status.READY:
        status = Status.RUNNING
    if object_ is not None and (status is Status.READY or holds(row)):
        taken.add(object_)
    return status


def _logged(command: Command) -> Command:
    return replace(command, encoded=b"encoded") if isinstance(command, Invoke) else command
