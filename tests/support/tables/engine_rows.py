"""Tables with rows in any status, and what an engine's test says about effects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from streams.engine import apply
from streams.engine.answers import At
from streams.model import TERMINAL, UNSTARTED, Cause, Ending, Invocation, Row, Status
from support.tables.memory_table import MemoryTable

if TYPE_CHECKING:
    from streams.engine.effects import Effect
    from streams.model import Command

NOW = 1_000_000
AT = At(partition=0, offset=500, now=NOW)
SEQ = 7

EffectT = TypeVar("EffectT")


def row_at(status: Status, invocation_id: str = "a", paused_from: Status | None = None, **fields: Any) -> Row:
    """A row that has come to `status` in the usual way, an executor's first attempt having been started."""
    unstarted = (paused_from or status) in UNSTARTED
    usual: dict[str, Any] = {
        "invocation_id": invocation_id,
        "encoded": f"encoded {invocation_id}".encode(),
        "seq": SEQ,
        "content_hash": 1,
        "status": status,
        "attempt": 0 if unstarted else 1,
        "last_report_no": -1,
        "created_at": 100,
        "modified_at": 200,
        "started_seq": None if unstarted else SEQ,
        "paused_from": paused_from,
    }
    if status in {Status.SCHEDULED, Status.BACKING_OFF}:
        usual["due_at"] = NOW + 1_000
    if status is Status.CANCELLING:
        usual["due_at"] = NOW + 5_000
        usual["ending"] = Ending(Cause(reason="first"), grace_until=NOW + 30_000)
    if status in {Status.CANCELLED, Status.KILLED}:
        usual["ending"] = Ending(Cause(reason="first"))
    assert status not in TERMINAL or paused_from is None
    return Row(**(usual | fields))


def table_with(*rows: Row, partitions: int = 1) -> MemoryTable:
    """A partition, one of `partitions`, that holds these rows."""
    table = MemoryTable(partitions)
    for row in rows:
        table.rows[row.invocation_id] = row
        table.invocations[row.invocation_id] = Invocation(row.invocation_id, "mail", "send")
        table.payloads[row.invocation_id] = b"payload"
    return table


def one_of_four(*rows: Row) -> MemoryTable:
    """As `table_with`, where another partition may lead a batch."""
    return table_with(*rows, partitions=4)


def applied(command: Command, table: MemoryTable, at: At = AT) -> list[Effect]:
    """The effects of the command, which the table has taken in."""
    effects = apply(command, at, table)
    table.absorb(effects, at)
    return effects


def of(kind: type[EffectT], effects: list[Effect]) -> list[EffectT]:
    """The effects of one kind."""
    return [effect for effect in effects if isinstance(effect, kind)]
