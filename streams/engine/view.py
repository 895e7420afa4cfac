"""The engine's view: one partition's table at the moment a command is applied."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from streams.engine.weights import MAX_BYTES
from streams.model import Record, Status

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from streams.engine.guards import Guard
    from streams.model import Action, Batch, Filter, Invocation, Meta, Row, Slice


Object = tuple[str, str]
"""A virtual object: its service and its key."""


class At(Record, frozen=True):
    """The place and time of a command in the log; `now` is the partition clock, milliseconds."""

    partition: int
    offset: int
    now: int


class PageSizes(NamedTuple):
    """The size limits of a page.

    Rows looked at; rows matched; pieces of work of a tick (0: as many as the last); bytes (0: the default).
    """

    max_scanned: int
    max_matched: int
    max_due: int = 0
    max_bytes: int = 0


class PageQuery(Record, frozen=True):
    """One page of a slice.

    Rows with `cursor < seq < cutoff` in order of seq: at most `max_scanned` are looked at, at most `max_matched`
    matched. The matched row that brings the weight (`weights.of_matched`) to `max_bytes` is the last one. `ids`, when
    given, is the page's chunk of the filter's ids and replaces the window: their rows with `seq < cutoff`. `samples`:
    number of ids wanted of matched rows. `each`: bytes that the cause takes in each signal.
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


class Page(Record, frozen=True):
    """The matched rows of a page.

    `scanned`: rows looked at. `cursor`: the last seq looked at. `last`: no row is left below the cut-off.
    `unstarted`: rising seqs by status of rows never started (`SCHEDULED`, `PENDING`, or `PAUSED` from these), which
    need nothing else. `started`: the others, in order of seq. `samples`: ids of the first matched rows.
    `rows`: the rows to be written row by row, in order of seq: for RESUME the matched PAUSED rows, for PAUSE those of
    them that are held, for PURGE all matched rows, for other actions none. `objects`: for KILL, CANCEL and PAUSE the
    objects of matched rows, in order; they may be left out if nothing waits for them. `weight`: of all matched rows.
    If that exceeds `max_bytes`, a page of several ids has no rows: ask again with fewer ids.
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


class View(Protocol):
    """Read access to one partition's table. The effects of earlier commands of the turn are visible."""

    @property
    def partitions(self) -> int:
        """Number of partitions of `commands`."""

    @property
    def meta(self) -> Meta:
        """The partition's record. Its `counts` are running counts and always exact."""

    @property
    def page_sizes(self) -> PageSizes:
        """Page sizes, tuned by the worker, for a batch's first page and for the next tick."""

    def page_sizes_of(self, batch_id: str) -> PageSizes:
        """Page sizes, tuned by the worker, for the next page of the batch."""

    def row(self, invocation_id: str) -> Row | None:
        """The invocation's row; None if the table has none."""

    def payload(self, row: Row) -> bytes | None:
        """The row's payload; None if it has none."""

    def row_total(self) -> int:
        """Number of rows of the table."""

    def batch(self, batch_id: str) -> Batch | None:
        """A batch that this partition leads; None if it knows none of that id."""

    def slice(self, batch_id: str) -> Slice | None:
        """This partition's slice of a batch; None if it knows none."""

    def at_the_door(self, invocation: Invocation, now: int) -> Slice | None:
        """The slice whose rule ends `invocation` if it arrives at `now`, ms; of several that with the first cut-off.

        A rule ends what its filter matches, while its slice is RUNNING and until `standing_until`.
        """

    def running_slices(self) -> Sequence[str]:
        """Ids of the batches whose slice has a page to do now (`slices.takes_turns`), in order of their cut-off."""

    def guarding(self) -> Sequence[Guard]:
        """The slices that guard starts, as `guards.guarding` says."""

    def invocation(self, row: Row) -> Invocation:
        """The part of the row that never changes."""

    def held(self, after: int, limit: int, max_bytes: int = MAX_BYTES) -> Sequence[Weighed]:
        """Held rows with `seq > after`, in order of seq.

        At most `limit`, and none after the one that brings the weight (`weights.of_start`) to `max_bytes`.
        """

    def select(self, query: PageQuery) -> Page:
        """One page of matching rows."""

    def inboxes(
        self, objects: Sequence[Object], without: AbstractSet[int], most: int | None = None
    ) -> dict[Object, Inbox]:
        """The inboxes of these objects, in their order, as if the rows with the seqs of `without` did not exist.

        Empty if the heads together weigh more than `most` bytes (`weights.of_start`).
        """

    def due(self, until: int, limit: int, max_bytes: int = MAX_BYTES) -> Sequence[Weighed]:
        """Rows with `due_at <= until` that are neither paused nor held, in order of due_at, then seq.

        Limits as for `held`.
        """

    def due_slices(self, until: int, limit: int) -> Sequence[Slice]:
        """Slices with `due_at <= until`, in order of due_at, then id of their batch."""

    def expiring(self, until: int, limit: int) -> Sequence[Batch]:
        """Batches led here on which time acts at `until` or before (`expiry_of`), in order of that time, then id."""

    def ended(self, before: int, limit: int) -> Sequence[tuple[int, str]]:
        """(seq, id) of terminal rows with `modified_at < before`, oldest first."""

    def on_old_deltas(self, before: int, limit: int, max_bytes: int = MAX_BYTES) -> Sequence[Weighed]:
        """Rows that rest on page deltas with `modified_at < before`, oldest first; limits as for `held`.

        Their weight is that of their records (`weights.of_record`).
        """

    def finished_batches(self, before: int, limit: int) -> Sequence[str]:
        """Batches led here that are over and whose `updated_at < before`, oldest first."""
