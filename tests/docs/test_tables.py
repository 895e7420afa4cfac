"""The page of tables says what the engine does: every command is applied to an invocation of every status."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from streams.engine import content_hash
from streams.engine.effects import Count, Effect, RemoveRow, Send, SendAll
from streams.model import (
    ENGINE_VERSION,
    ON_ENDED,
    TERMINAL,
    UNSTARTED,
    Act,
    Action,
    Cause,
    Ending,
    Filter,
    Invocation,
    Invoke,
    OnTimeout,
    ReportTransition,
    Row,
    StartBatch,
    Status,
    Tick,
)
from streams.protocol.validation import CommandRefusedError
from support.service.programs import script
from support.tables.engine_rows import NOW, applied, of, row_at, table_with
from support.tables.memory_cluster import MemoryCluster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.tables.memory_table import MemoryTable


PAGE = script("tables_page")
STANDINGS = pytest.mark.parametrize("standing", PAGE.STANDINGS, ids=lambda standing: standing.name)


def _rows(standing: Any) -> Iterator[Row]:
    """Every kind of row that a line of the table speaks of."""
    for place in sorted(standing.stands_at):
        paused_from = place if standing.paused_from else None
        for scheduled_at in (NOW - 1, NOW + 1) if place in {*UNSTARTED, *TERMINAL} else (None,):
            yield row_at(standing.status, paused_from=paused_from, scheduled_at=scheduled_at)


def _found(row: Row, do: Callable[[MemoryTable], list[Effect]], nothing: str) -> str:
    """What became of the row, as the page would say it."""
    table = table_with(row)
    effects = do(table)
    if of(RemoveRow, effects):
        assert "a" not in table.rows
        return "removed"
    sent = [*of(Send, effects), *(send for each in of(SendAll, effects) for send in each.each())]
    after = table.rows["a"]
    if after is row:
        assert not sent
        return nothing
    assert after.attempt == row.attempt + (after.status is Status.READY)
    return " + ".join([after.status, *(send.kind for send in sent)])


def _outcomes(standing: Any, do: Callable[[MemoryTable], list[Effect]], nothing: str) -> str:
    return " or ".join(sorted({_found(row, do, nothing) for row in _rows(standing)}, key=lambda each: "START" in each))


def _cells(heading: str) -> dict[tuple[str, str], str]:
    """Cells of the page's table under a heading, by line and column."""
    section = PAGE.PAGE.read_text(encoding="utf-8").partition(heading)[2]
    lines = [line for line in section.partition("\n## ")[0].splitlines() if line.startswith("| ")]
    names, _, *rows = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]
    return {(row[0], name): cell for row in rows for name, cell in zip(names[1:], row[1:], strict=True)}


ACTIONS = _cells("## Actions, and time")
REPORTS = _cells("## Reports")


@STANDINGS
@pytest.mark.parametrize("action", list(Action))
def test_every_action_does_to_every_status_what_the_page_says(standing: Any, action: Action) -> None:
    """As an `Act` on a row that stands there."""
    assert ACTIONS[standing.name, action] == _outcomes(
        standing, lambda table: applied(Act("a", action), table), "skipped"
    )


@STANDINGS
@pytest.mark.parametrize("action", list(Action))
def test_a_page_of_a_batch_does_what_an_act_does(standing: Any, action: Action) -> None:
    """Where its action could concern the row; counted as skipped where it then has nothing to do."""

    def batch(table: MemoryTable) -> list[Effect]:
        cluster = MemoryCluster()
        cluster.now, cluster.tables, cluster.logs = NOW, [table], [[(NOW, Act("nobody", action))] * 500]
        cluster.applied = [500]
        cluster.send(StartBatch("b", action, Filter(match_all=True)))
        effects: list[Effect] = []
        while cluster.waiting():
            effects += cluster.step(0)
        slice_ = table.slices["b"]
        concerned = (standing.status in TERMINAL) == (action in ON_ENDED)
        assert slice_.matched == concerned
        assert slice_.skipped == (concerned and ACTIONS[standing.name, action] == "skipped")
        return effects

    assert ACTIONS[standing.name, action] == _outcomes(standing, batch, "skipped")


@STANDINGS
def test_time_does_to_every_status_what_the_page_says(standing: Any) -> None:
    """A row that waits for a time is moved by the `Tick` that finds it due, any other by none."""
    tick = Tick(ENGINE_VERSION, 0, 1, NOW, 0, 0, 15_000, 100)
    waits = standing.status not in TERMINAL | {Status.PAUSED, Status.SUSPENDED, Status.PENDING}
    cases = [(NOW + 9, OnTimeout.KILL), (NOW, OnTimeout.KILL), (NOW, OnTimeout.LEAVE)]
    found = []
    for row, (grace_until, on_timeout) in product(_rows(standing), cases):
        due = replace(row, due_at=NOW) if waits else row
        if standing.status is Status.CANCELLING:
            due = replace(due, ending=Ending(Cause(), on_timeout, grace_until))
        found.append(_found(due, lambda table: applied(tick, table), ""))
    assert ACTIONS[standing.name, "due"] == " or ".join(dict.fromkeys(found))


@STANDINGS
@pytest.mark.parametrize("to", list(Status))
def test_every_report_does_to_every_status_what_the_page_says(standing: Any, to: Status) -> None:
    """A status without a column is ignored from wherever it is reported."""

    def report(table: MemoryTable) -> list[Effect]:
        return applied(ReportTransition("a", table.rows["a"].attempt, to=to, retry_at=NOW), table)

    assert REPORTS.get((standing.name, to), "ignored") == _outcomes(standing, report, "ignored")


@STANDINGS
def test_an_invoke_of_a_known_id_changes_nothing(standing: Any) -> None:
    """The same content is counted, other content is refused."""
    again = Invoke(Invocation("a", "mail", "send"))
    for row in _rows(standing):
        same = replace(row, content_hash=content_hash(again))
        assert [type(effect) for effect in applied(again, table_with(same))] == [Count]
        with pytest.raises(CommandRefusedError, match="taken by an invocation of other content"):
            applied(again, table_with(row))


@pytest.mark.parametrize("action", list(Action))
def test_an_action_on_an_unknown_id_is_skipped(action: Action) -> None:
    """Counted, and nothing else."""
    assert ACTIONS[PAGE.UNKNOWN, action] == "skipped"
    assert [type(effect) for effect in applied(Act("a", action), table_with())] == [Count]


@pytest.mark.parametrize("to", list(Status))
def test_a_report_on_an_unknown_id_is_ignored(to: Status) -> None:
    """Likewise."""
    assert REPORTS.get((PAGE.UNKNOWN, to), "ignored") == "ignored"
    assert [type(effect) for effect in applied(ReportTransition("a", 1, to=to, retry_at=NOW), table_with())] == [Count]
