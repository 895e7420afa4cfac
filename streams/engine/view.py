"""What the engine may see: one partition's table, as it stands when a command is applied."""

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
    """Where and when a command stands in the log; `now` is the partition clock, milliseconds."""

    partition: int
    offset: int
    now: int


class PageSizes(NamedTuple):
    """How much a page may take.

    Rows looked at, and rows matched; of a tick pieces of work, 0 as many as the last; and bytes, 0 as many as usual.
    """

    max_scanned: int
    max_matched: int
    max_due: int = 0
    max_bytes: int = 0


class PageQuery(Record, frozen=True):
    """One page of a slice.

    Rows with `cursor < seq < cutoff` in order of seq, at most `max_scanned` of them looked at, at most `max_matched`
    matched; and it ends with the matched row that brings the weight (`weights.of_matched`) to `max_bytes`. `ids`, when
    given, is the page's chunk of the filter's ids, and replaces the window: those rows with `seq < cutoff`. `samples`:
    how many ids of matched rows are wanted. `each`: bytes that the signal to one executor has of its cause.
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
    """A matched row that an executor may know: it takes a signal of its own."""

    seq: int
    invocation_id: str
    encoded: bytes
    status: Status
    attempt: int
    counted_by: str | None


class Page(Record, frozen=True):
    """The matched rows of a page.

    `scanned`: rows looked at. `cursor`: the last seq looked at. `last`: nothing is left below the cut-off.
    `unstarted`: rising seqs by status of rows never started (`SCHEDULED`, `PENDING`, or `PAUSED` from these), which
    need nothing but their number. `started`: the others, in order of seq. `samples`: ids of the first matched rows.
    `rows`: in order of seq, what is written row by row: of RESUME the matched rows that are PAUSED, of PAUSE those of
    them that are held, of PURGE all matched rows, of other actions none. `objects`: of KILL, CANCEL and PAUSE the
    objects of matched rows, in order; they may be left out if nothing waits for them. `weight`: of all matched rows.
    Where it is more than `max_bytes`, a page of several ids has no rows: it is to be asked for with fewer.
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
    """A row, and how many bytes its page is going to write for it at most."""

    row: Row
    weight: int


class Inbox(Record, frozen=True):
    """An object: whether an invocation of it is started, and if none is, the first of those that wait for it.

    That one is PENDING and has the lowest seq.
    """

    started: bool
    head: Row | None


class View(Protocol):
    """Read access to one partition's table; what earlier commands of the turn did is visible."""

    @property
    def partitions(self) -> int:
        """How many partitions `commands` has."""

    @property
    def meta(self) -> Meta:
        """The partition's record; its `counts` are running counts, exact at any time."""

    @property
    def page_sizes(self) -> PageSizes:
        """Sizes for a batch that has not had a page, and for the next tick, tuned by the worker."""

    def page_sizes_of(self, batch_id: str) -> PageSizes:
        """Sizes for the next page of a batch, tuned by the worker."""

    def row(self, invocation_id: str) -> Row | None:
        """The invocation's row."""

    def payload(self, row: Row) -> bytes | None:
        """The invocation's payload."""

    def row_total(self) -> int:
        """How many rows the table has."""

    def batch(self, batch_id: str) -> Batch | None:
        """A batch this partition leads."""

    def slice(self, batch_id: str) -> Slice | None:
        """This partition's part of a batch."""

    def at_the_door(self, invocation: Invocation, now: int) -> Slice | None:
        """The slice whose rule ends `invocation` if it arrives at `now`, ms; of several that of the first cut-off.

        A rule ends what its filter matches while its slice is RUNNING, until `standing_until`.
        """

    def running_slices(self) -> Sequence[str]:
        """Ids of the batches whose slice has a page to do now (`slices.takes_turns`), in order of their cut-off."""

    def guarding(self) -> Sequence[Guard]:
        """Those of the slices that guard starts, as `guards.guarding` says."""

    def invocation(self, row: Row) -> Invocation:
        """The part of the row that never changes."""

    def held(self, after: int, limit: int, max_bytes: int = MAX_BYTES) -> Sequence[Weighed]:
        """Held rows with `seq > after`, in order of seq.

        At most `limit`, and none behind the one that brings the weight (`weights.of_start`) to `max_bytes`.
        """

    def select(self, query: PageQuery) -> Page:
        """One page of matching rows."""

    def inboxes(
        self, objects: Sequence[Object], without: AbstractSet[int], most: int | None = None
    ) -> dict[Object, Inbox]:
        """How these objects stand, in their order, as if the rows with the seqs of `without` were not there.

        Nothing at all where the heads together weigh more than `most` bytes (`weights.of_start`).
        """

    def due(self, until: int, limit: int, max_bytes: int = MAX_BYTES) -> Sequence[Weighed]:
        """Rows with `due_at <= until` that are neither paused nor held, in order of due_at, then seq.

        Bounds as `held`.
        """

    def due_slices(self, until: int, limit: int) -> Sequence[Slice]:
        """Slices with `due_at <= until`, in order of due_at, then id of their batch."""

    def expiring(self, until: int, limit: int) -> Sequence[Batch]:
        """Batches led here that time acts on at `until` or before (`expiry_of`), in order of that time, then id."""

    def ended(self, before: int, limit: int) -> Sequence[tuple[int, str]]:
        """(seq, id) of terminal rows with `modified_at < before`, oldest first."""

    def on_old_deltas(self, before: int, limit: int, max_bytes: int = MAX_BYTES) -> Sequence[Weighed]:
        """Rows that rest on page deltas with `modified_at < before`, oldest first; bounds as `held`.

        Their weight is that of their records (`weights.of_record`).
        """

    def finished_batches(self, before: int, limit: int) -> Sequence[str]:
        """Batches led here that are over and whose `updated_at < before`, oldest first."""
