"""Objects cost the table a few steps each, however many of their invocations wait or have ended."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from streams.codec import encode_invocation
from streams.engine import apply
from streams.engine.answers import At, PageSizes
from streams.engine.effects import Append
from streams.model import (
    Act,
    Action,
    Cause,
    Command,
    ContinueSlice,
    Filter,
    Invocation,
    Invoke,
    OnTimeout,
    ReportTransition,
    StartSlice,
    Status,
)
from streams.state.store import Store
from streams.state.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.engine.effects import Effect

PAGE = 100
ROWS = 1_500


class Counted:
    """A table whose SQLite counts its steps, in hundreds."""

    def __init__(self) -> None:
        self.store = Store.open(Path(":memory:"), 0)
        self.table = Table(self.store, 0, 1, PageSizes(PAGE, PAGE))
        self.offset = 0
        self.steps = 0
        self.store.db.set_progress_handler(self._count, 100)

    def turn(self, *commands: Command) -> tuple[list[Effect], int]:
        """Apply them and commit; the effects, and the steps that took."""
        before, effects = self.steps, []
        self.table.begin()
        for command in commands:
            at = At(0, self.offset, 1_000)
            done = apply(command, at, self.table)
            self.table.absorb(done, at)
            effects += done
            self.offset += 1
        self.table.flush()
        self.table.commit(0, 0)
        return effects, self.steps - before

    def _count(self) -> int:
        self.steps += 1
        return 0


@pytest.fixture
def counted() -> Iterator[Counted]:
    """An object with a full inbox."""
    made = Counted()
    made.turn(*map(_invoke, range(ROWS)))
    with closing(made.store.db):
        yield made


def _invoke(number: int) -> Invoke:
    handler = "last" if number == ROWS - 1 else "send"
    invocation = Invocation(f"mail/k~{number}", "mail", handler, "k")
    return Invoke(invocation, encoded=encode_invocation(invocation))


@pytest.mark.parametrize("action", [Action.KILL, Action.CANCEL, Action.PAUSE])
def test_pages_over_one_full_inbox_all_cost_the_same(counted: Counted, action: Action) -> None:
    """The last no more than the first, and each but a few steps a row."""
    filter_ = Filter(handlers=("send",))
    start = StartSlice(1, 0, "b", 0, action, filter_, False, 10, OnTimeout.KILL, Cause())
    effects, _ = counted.turn(start)
    costs = []
    while pages := [e.command for e in effects if isinstance(e, Append) and isinstance(e.command, ContinueSlice)]:
        effects, steps = counted.turn(*pages)
        costs.append(steps)
    full = costs[: ROWS // PAGE - 1]
    assert len(full) == ROWS // PAGE - 1
    assert max(full) < 2 * min(full)
    assert min(full) < PAGE * 2
    row = counted.table.row(f"mail/k~{ROWS - 1}")
    assert row is not None
    assert row.status is (Status.READY if action is Action.KILL else Status.PENDING)


def test_one_after_the_other_each_end_costs_the_same(counted: Counted) -> None:
    """However many have ended before, and however many wait."""
    costs = []
    for number in range(0, ROWS - 1, 2):
        _, steps = counted.turn(
            ReportTransition(f"mail/k~{number}", 1, to=Status.COMPLETED), Act(f"mail/k~{number + 1}", Action.KILL)
        )
        costs.append(steps)
    assert sum(costs[-100:]) < 2 * sum(costs[:100])
    assert counted.table.meta.counts == {"COMPLETED": ROWS // 2, "KILLED": ROWS // 2}


def test_a_turn_full_of_arrivals_asks_once(counted: Counted) -> None:
    """The turn's own rows are known without the store."""
    statements: list[str] = []
    counted.store.db.set_trace_callback(statements.append)
    counted.turn(*(_other(number) for number in range(500)))
    assert sum("json_extract" in statement for statement in statements) == 1
    assert counted.table.meta.counts == {"READY": 1, "PENDING": ROWS + 499}


def _other(number: int) -> Invoke:
    invocation = Invocation(f"mail/k~more-{number}", "mail", "send", "k")
    return Invoke(invocation, encoded=encode_invocation(invocation))
