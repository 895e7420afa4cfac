"""Batches and slices on disk: unfinished ones, which a table also holds in memory, and those that are over.

Records that are over are remembered for days and rarely needed, so they are read on demand; a running count says how
many there are. Loops over a partition's batches visit the unfinished ones only.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeVar

from streams.codec import decode
from streams.model import FINAL_SLICES, FINAL_STATES, Batch, BatchState, Slice, SliceState
from streams.state.errors import ChangelogError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping, Sequence

Kind = Literal["batches", "slices"]
"""The name of a table."""
_R = TypeVar("_R", Batch, Slice)

_COUNTED: Final = ("scanned", "matched", "done", "skipped", "failed")
"""Counters of a slice that is over; nothing of it is pending."""
NUMBER: Final = "number"


class OverCounts(NamedTuple):
    """Counts of what is over, by state: `NUMBER` of batches and of slices, and the sums of the slices' counters."""

    batches: Mapping[BatchState, Counter[str]]
    slices: Mapping[SliceState, Counter[str]]


class Written(NamedTuple):
    """A record to write; None removes the stored one. `value` is the record's changelog value."""

    name: str
    record: Batch | Slice | None
    value: bytes | None


def over_since(record: Batch | Slice) -> int | None:
    """When the batch or slice was over, ms; None while it goes on."""
    final = record.state in (FINAL_STATES if isinstance(record, Batch) else FINAL_SLICES)
    return record.updated_at if final else None


def write(db: sqlite3.Connection, kind: Kind, written: Iterable[Written]) -> None:
    """Put records into their table, and add those that are over to the running count."""
    change: Counter[tuple[str, str]] = Counter()
    for name, record, value in written:
        old = db.execute(
            f"SELECT state, {', '.join(_COUNTED)} FROM {kind} WHERE id = ? AND over IS NOT NULL",  # noqa: S608 - ours
            (name,),
        ).fetchone()
        if old is not None:
            change.subtract(_counts(old[0], old[1:]))
        if record is None:
            db.execute(f"DELETE FROM {kind} WHERE id = ?", (name,))  # noqa: S608 - our own names
            continue
        over = over_since(record)
        counters = [getattr(record, counter) if isinstance(record, Slice) else 0 for counter in _COUNTED]
        if over is not None:
            change.update(_counts(record.state, counters))
        db.execute(
            f"INSERT OR REPLACE INTO {kind} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - our own names
            (name, str(record.state), over, *counters, value),
        )
    db.executemany(
        "INSERT INTO over VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET total = total + excluded.total",
        [(kind, state, counter, by) for (state, counter), by in change.items() if by],
    )


def _counts(state: str, counters: Sequence[int]) -> dict[tuple[str, str], int]:
    return {(str(state), NUMBER): 1} | {(str(state), name): n for name, n in zip(_COUNTED, counters, strict=True)}


def running(db: sqlite3.Connection, kind: Kind, of: type[_R]) -> dict[str, _R]:
    """The unfinished records, by id."""
    sql = f"SELECT id, record FROM {kind} WHERE over IS NULL ORDER BY id"  # noqa: S608 - our own names
    return {name: _decoded(name, value, of) for name, value in db.execute(sql).fetchall()}


def one(db: sqlite3.Connection, kind: Kind, of: type[_R], name: str) -> _R | None:
    """The record with that id; None if there is none."""
    found = db.execute(f"SELECT record FROM {kind} WHERE id = ?", (name,)).fetchone()  # noqa: S608 - our own names
    return None if found is None else _decoded(name, found[0], of)


def finished(db: sqlite3.Connection, before: int, limit: int) -> list[tuple[int, str]]:
    """(when, id) of up to `limit` batches that were over before that time, ms, oldest first."""
    sql = "SELECT over, id FROM batches WHERE over < ? ORDER BY over, id LIMIT ?"
    return db.execute(sql, (before, limit)).fetchall()


def over_counts(db: sqlite3.Connection) -> OverCounts:
    """The running count of all batches and slices that are over."""
    batches: dict[BatchState, Counter[str]] = {}
    slices: dict[SliceState, Counter[str]] = {}
    for kind, state, counter, total in db.execute("SELECT kind, state, counter, total FROM over").fetchall():
        if kind == "batches":
            batches.setdefault(BatchState(state), Counter())[counter] = total
        else:
            slices.setdefault(SliceState(state), Counter())[counter] = total
    return OverCounts(batches, slices)


def _decoded(name: str, value: bytes, of: type[_R]) -> _R:
    record = decode(value)
    if not isinstance(record, of):
        raise ChangelogError(f"{of.__name__} {name}: its record is a {type(record).__name__}")
    return record
