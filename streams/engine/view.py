"""The engine's view: one partition's table at the moment a command is applied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from streams.engine.answers import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from streams.engine.answers import Inbox, Object, Page, PageQuery, PageSizes, Weighed
    from streams.engine.guarding import Guard
    from streams.model import Action, Batch, Flow, Invocation, Member, Meta, Row, Slice


class View(Protocol):
    """Read access to one partition's table. The effects of earlier commands of the turn are visible."""

    @property
    def partitions(self) -> int:
        """Number of partitions of `commands`."""

    @property
    def meta(self) -> Meta:
        """The partition's record. Its `counts` are running counts and always exact."""

    @property
    def reconcile_labels(self) -> dict[str, str]:
        """Those of `meta`, which is costly to ask for after each change of a row."""

    @property
    def page_sizes(self) -> PageSizes:
        """Page sizes, tuned by the worker, for a batch's first page and for the next tick."""

    def page_sizes_of(self, batch_id: str) -> PageSizes:
        """Page sizes, tuned by the worker, for the next page of the batch."""

    def row(self, invocation_id: str) -> Row | None:
        """The invocation's row; None if the table has none."""

    def in_order(self, ids: Sequence[str]) -> tuple[str, ...]:
        """These ids in order of their rows' seqs; those without a row come last, in their own order."""

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
        """The slices that guard starts, as `guarding.guarding` says."""

    def invocation(self, row: Row) -> Invocation:
        """The part of the row that never changes."""

    @property
    def may_hold(self) -> bool:
        """False only if no row is held: a question that costs nothing."""

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

    def rows_at(self, seqs: Sequence[int], action: Action, max_bytes: int, each: int) -> tuple[Sequence[Row], int]:
        """The rows with these seqs, which rise, in order; and how many of the seqs were looked at.

        None is looked at behind the row that brings the weight (`weights.of_member`) to `max_bytes`. `each`: as in
        `PageQuery`.
        """

    def flow(self, flow_id: str, *, children: bool) -> Flow | None:
        """A flow of this partition; None if it knows none."""

    def with_children(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Those of these rows whose children have a flow here, in their order."""

    def members(self, flow: Flow, partition: int, after: int, limit: int) -> Sequence[tuple[int, Member]]:
        """The members of a flow on one partition with `seq > after`, in order of seq; at most `limit`."""

    def all_members(self, flow: Flow) -> Sequence[tuple[int, int, Member]]:
        """Partition, seq and entry of every member of a flow that has few."""

    def members_at(self, flow: Flow, partition: int, seqs: Sequence[int]) -> Sequence[tuple[int, Member]]:
        """The members of a flow on one partition among these seqs, which rise, in order."""

    def dispatching(self) -> Sequence[Flow]:
        """The flows that have a page to do now (`flows.has_page`), in order of kind and id."""

    def due_flows(self, until: int, limit: int) -> Sequence[Flow]:
        """Flows with `due_at <= until`, in order of due_at, then kind and id."""

    def finished_flows(self, before: int, limit: int) -> Sequence[Flow]:
        """Flows whose `updated_at < before` and that have no live, pending, kept or failed members, oldest first."""
