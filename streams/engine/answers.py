"""Questions that the engine asks of a table, and the forms of their answers: pages, inboxes, rows with their weight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from streams.model import Record, Status

if TYPE_CHECKING:
    from streams.model import Action, Filter, Row

MAX_BYTES: Final = 4 * 1024 * 1024
"""Byte limit of a page whose record names none."""

Object = tuple[str, str]
"""A virtual object: its service and its key."""


class At(Record, frozen=True):
    """The place and time of a command in the log; `now` is the partition clock, milliseconds."""

    partition: int
    offset: int
    now: int


class PageSizes(NamedTuple):
    """The size limits of a page.

    Rows looked at; rows matched; pieces of work of a tick (0: as many as the last); bytes (0: the default); members
    that a flow's page asks, and members of a flow that a page acts on (0: as many as rows matched).
    """

    max_scanned: int
    max_matched: int
    max_due: int = 0
    max_bytes: int = 0
    max_asked: int = 0
    max_members: int = 0


class PageQuery(Record, frozen=True):
    """One page of a slice.

    Rows with `cursor < seq < cutoff` in order of seq: at most `max_scanned` are looked at, at most `max_matched`
    matched. Rows of which none can match may be passed over, which counts as a look at a few. The matched row that
    brings the weight (`weights.of_matched`) to `max_bytes` is the last one. `ids`, when given, is the page's chunk of
    the filter's ids and replaces the window: their rows with `seq < cutoff`. `samples`: number of ids wanted of matched
    rows. `each`: bytes that the cause takes in each signal.
    """

    filter: Filter
    action: Action
    cursor: int
    cutoff: int
    max_scanned: int
    max_matched: int
    samples: int = 0
    ids: tuple[str, ...] | None = None
    max_bytes: int = MAX_BYTES
    each: int = 0


class StartedRow(Record, frozen=True):
    """A matched row that an executor may know and that needs a signal of its own."""

    seq: int
    invocation_id: str
    encoded: bytes
    status: Status
    attempt: int
    counted_by: str | None


class Grouped(NamedTuple):
    """A matched row that belongs to a flow, or has a parent."""

    seq: int
    flow_id: str | None
    parent_id: str | None


class Page(Record, frozen=True):
    """The matched rows of a page.

    `scanned`: rows looked at or passed over. `looks`: what that counts towards `max_scanned`. `cursor`: the last seq
    that is done. `last`: no row is left below the cut-off.
    `unstarted`: rising seqs by status of rows never started (`SCHEDULED`, `PENDING`, or `PAUSED` from these), which
    need nothing else. `started`: the others, in order of seq. `samples`: ids of the first matched rows.
    `rows`: the rows to be written row by row, in order of seq: for RESUME the matched PAUSED rows, for PAUSE those of
    them that are held, for PURGE and RESTART all matched rows, for CANCEL those whose grace has ended with LEAVE, for
    other actions none. `objects`: for KILL, CANCEL and PAUSE the objects of matched rows, in order; they may be left
    out if nothing waits for them. `weight`: of all matched rows. If that exceeds `max_bytes`, a page of several ids has
    no rows: ask again with fewer ids. For KILL and CANCEL: `grouped`: the matched rows with a flow or a parent, and
    `parents`: seq and id of those whose children have a flow here, both in order of seq.
    """

    scanned: int
    cursor: int
    last: bool
    unstarted: dict[Status, list[int]]
    started: list[StartedRow]
    samples: list[str]
    rows: tuple[Row, ...] = ()
    objects: tuple[Object, ...] = ()
    weight: int = 0
    grouped: tuple[Grouped, ...] = ()
    parents: tuple[tuple[int, str], ...] = ()
    looks: int = 0


class Weighed(NamedTuple):
    """A row, and the most bytes that its page may write for it."""

    row: Row
    weight: int


class Inbox(Record, frozen=True):
    """An object: whether one of its invocations is started, and if none is, the first that waits.

    That one is PENDING and has the lowest seq.
    """

    started: bool
    head: Row | None
