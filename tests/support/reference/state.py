"""What a partition of the model remembers, in the words of the protocol."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from streams.model import (
    BatchState,
    CancelPolicy,
    Cause,
    FlowAction,
    MemberState,
    OnTimeout,
    SlicePhase,
    SliceState,
    Status,
)

if TYPE_CHECKING:
    from streams.model import Ending, Invoke, StartBatch, StartSlice

FlowName = tuple[bool, str]
"""(is it of an invocation's children?, its id)."""
Place = tuple[int, int]
"""(partition, seq): what a member is."""

ENDED: Final = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.KILLED})
NOT_STARTED: Final = frozenset({Status.SCHEDULED, Status.PENDING})
PAGES_OVER: Final = frozenset({SlicePhase.PAGES_DONE, SlicePhase.DRAINED})


@dataclass
class Row:
    """An invocation; `paged_at`: when a page changed it last, None once anything else did."""

    invoke: Invoke
    seq: int
    status: Status
    created_at: int
    modified_at: int
    attempt: int = 0
    last_report_no: int = -1
    started_seq: int | None = None
    deployment_id: str | None = None
    due_at: int | None = None
    paused_from: Status | None = None
    held: bool = False
    shut: bool = False
    ending: Ending | None = None
    paged_at: int | None = None

    @property
    def invocation_id(self) -> str:
        """Its id."""
        return self.invoke.invocation.invocation_id

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.status in ENDED

    @property
    def adopted(self) -> bool:
        """Whether it ran elsewhere when it came."""
        return self.invoke.adopt

    @property
    def started(self) -> bool:
        """Whether an executor may know of it and it has not ended; PAUSED is as where it was paused from."""
        return not self.ended and (self.paused_from or self.status) not in NOT_STARTED


@dataclass
class Part:
    """A slice; `paused`: as the lead asked last, `due_at`: its rate lets it wait until then.

    `over`: it acts on nothing any more; after `pages_done` only its rule does, as long as it is `standing`.

    `allowed`: how many rows its rate lets it act on at `allowed_at`; None as long as it never had one.
    """

    start: StartSlice
    cutoff: int
    scan_total: int
    cursor: int
    budget: int | None
    max_rate: float | None
    paused: bool = False
    over: bool = False
    aborted: bool = False
    standing: bool = False
    pages_done: bool = False
    due_at: int | None = None
    allowed: float | None = None
    allowed_at: int = 0
    scanned: int = 0
    matched: int = 0
    done: int = 0
    pending: int = 0
    skipped: int = 0
    failed: int = 0
    acted: int = 0
    samples: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def state(self) -> SliceState:
        """Where it stands."""
        if self.over and self.pending:
            return SliceState.DRAINING
        if self.over:
            return SliceState.ABORTED if self.aborted else SliceState.COMPLETED
        if self.paused:
            return SliceState.PAUSED
        return SliceState.WAITING if self.budget == 0 else SliceState.RUNNING

    @property
    def takes_turns(self) -> bool:
        """Whether a page of it may be next."""
        return self.state is SliceState.RUNNING and self.due_at is None and not self.pages_done


@dataclass
class Lead:
    """A batch at its lead; by partition `shares` and `budgets` as told last, `acted` once its pages are over."""

    start: StartBatch
    error: str | None
    phases: dict[int, SlicePhase | None]
    max_rate: float | None
    updated_at: int
    control_no: int | None = None
    paused: bool = False
    aborting: bool = False
    aborted: bool = False
    lifted: bool = False
    shares: dict[int, float | None] = field(default_factory=dict)
    budgets: dict[int, int | None] = field(default_factory=dict)
    acted: dict[int, int] = field(default_factory=dict)

    @property
    def stands(self) -> bool:
        """Whether its rule has not been lifted yet; a dry run has none."""
        return self.start.standing_until is not None and not self.start.dry_run and not self.lifted

    @property
    def due_at(self) -> int | None:
        """When time aborts it, or lifts its rule."""
        times = [self.start.expires_at, self.start.standing_until if self.stands else None]
        return min((time for time in times if time is not None and self.unfinished and not self.aborting), default=None)

    @property
    def failed(self) -> bool:
        """Whether it is over, and its header must say why."""
        return self.error is not None and self.state in {BatchState.ABORTED, BatchState.REJECTED}

    @property
    def unfinished(self) -> list[int]:
        """Partitions with pages to come."""
        return [partition for partition, phase in self.phases.items() if phase not in PAGES_OVER]

    @property
    def state(self) -> BatchState:
        """What its header says."""
        phases = set(self.phases.values())
        if not phases:
            return BatchState.REJECTED
        if phases == {SlicePhase.DRAINED}:
            return BatchState.ABORTED if self.aborted else BatchState.COMPLETED
        if not self.unfinished:
            return BatchState.DRAINING
        if self.paused:
            return BatchState.PAUSED
        return BatchState.STARTING if None in phases else BatchState.RUNNING


@dataclass
class Member:
    """A member that has not ended; `to_ask`: the cancel concerns it, and it has not been asked since.

    `to_kill`: it is to be asked even if its end is awaited. `since`: where it was restarted, -1 if it never was.
    """

    labels: dict[str, str]
    state: MemberState = MemberState.JOINED
    to_ask: bool = False
    to_kill: bool = False
    invocation_id: str | None = None
    since: int = -1


@dataclass
class Flow:
    """A flow; `due_at`: when the reconciler may choose it, None outside the backlog.

    `unanswered`: whom it must ask again once chosen, `reconciled`: whom it has, None when it is not at it.
    """

    name: FlowName
    created_at: int
    updated_at: int
    members: dict[Place, Member] = field(default_factory=dict)
    ended: int = 0
    action: FlowAction | None = None
    policy: CancelPolicy | None = None
    grace_ms: int | None = None
    on_timeout: OnTimeout = OnTimeout.KILL
    cause: Cause = field(default_factory=Cause)
    escalated_by: str | None = None
    due_at: int | None = None
    unanswered: set[Place] = field(default_factory=set)
    reconciled: list[Place] | None = None
    reconcile_labels: dict[str, str] = field(default_factory=dict)
    midway: bool = False

    @property
    def numbers(self) -> dict[str, int]:
        """Its members, by what has become of them."""
        counts = {"live": 0, "pending": 0, "ended": self.ended, "kept": 0, "failed": 0}
        for member in self.members.values():
            counts[self.counts_as(member)] += 1
        return counts

    def exempts(self, place: Place) -> bool:
        """Whether its cancel does not reach the member, which has joined again since."""
        member = self.members.get(place)
        return member is not None and member.state is MemberState.RESTARTED and not member.to_ask

    def counts_as(self, member: Member) -> str:
        """The number in which a member that has not ended counts."""
        if self.action is None:
            return "live"
        spared = member.state in {MemberState.KEPT, MemberState.RESTARTED} and not member.to_ask
        if self.policy is CancelPolicy.FLOW_ONLY or spared:
            return "kept"
        return "failed" if member.state is MemberState.FAILED and not member.to_ask else "pending"
