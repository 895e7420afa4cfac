"""A state machine that lives with a cluster: invocations, reports, acts, batches, controls, time, and crashes."""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from streams.engine.view import PageSizes
from streams.model import (
    Act,
    Action,
    Cause,
    ControlBatch,
    ControlOperation,
    Filter,
    Invocation,
    Invoke,
    OnTimeout,
    ReportTransition,
    StartBatch,
    Status,
)
from support.model.state import Row
from support.model_twin import BATCH_RETENTION_MS, Cluster

OBJECTS: Final = False
STANDING: Final = False

PLAIN = tuple(f"i{number}" for number in range(9))
IDS = PLAIN
START = 1_000_000
ACTIONS = (Action.KILL, Action.CANCEL, Action.CANCEL, Action.PAUSE, Action.RESUME, Action.PURGE)
REPORTED = (
    *(Status.RUNNING, Status.SUSPENDED, Status.BACKING_OFF, Status.COMPLETED, Status.CANCELLED, Status.CANCELLED),
    *(Status.FAILED, Status.READY),
)
FILTERS = (
    *(Filter(match_all=True), Filter(match_all=True), Filter(services=("mail",)), Filter(labels={"team": "a"})),
    *(Filter(statuses=(Status.READY, Status.RUNNING)), Filter(statuses=(Status.PAUSED, Status.CANCELLING))),
    *(Filter(invocation_ids=(*IDS[::2], "nobody")), Filter(batch_ids=("b0", "b1")), Filter(deployment_ids=("d1",))),
    *(Filter(created_from=START + 5_000), Filter(modified_until=START + 20_000), Filter()),
)
GRACES = (None, 0, 4_000, 20_000, -1)

picks = st.integers(0, 30)
partitions_ = st.integers(0, 2)
ids = st.sampled_from(IDS)
invocations = st.builds(
    Invocation,
    ids,
    st.sampled_from(("mail", "bill")),
    st.just("send"),
    deployment_id=st.sampled_from((None, "d0", "d1")),
    lease_ms=st.sampled_from((None, None, 3_000)),
    labels=st.sampled_from(({}, {"team": "a"})),
)
causes = st.sampled_from((Cause(), Cause(actor="ann", reason="why")))
acts = st.builds(
    Act,
    ids,
    st.sampled_from(ACTIONS),
    st.sampled_from(GRACES),
    st.sampled_from(OnTimeout),
    st.booleans(),
    causes,
)
batches = st.builds(
    StartBatch,
    st.just(""),
    st.sampled_from(ACTIONS),
    st.sampled_from(FILTERS),
    dry_run=st.sampled_from((False, False, False, True)),
    limit=st.sampled_from((None, None, None, 1, 3, 0)),
    max_rate=st.sampled_from((None, None, None, 0.5, 7.0, 1_000.0)),
    grace_ms=st.sampled_from(GRACES),
    on_timeout=st.sampled_from(OnTimeout),
    expires_at=st.sampled_from((None, None, START + 2_000, START + 30_000)),
)


class Machine(RuleBasedStateMachine):
    """Rules for all that may happen; the cluster compares after every turn."""

    def __init__(self) -> None:
        super().__init__()
        self.cluster: Cluster | None = None
        self.batches: list[StartBatch] = []
        self.report_no = 0

    @property
    def world(self) -> Cluster:
        """The cluster, once it is there."""
        assert self.cluster is not None
        return self.cluster

    @initialize(partitions=st.integers(1, 3), scanned=st.integers(1, 4), matched=st.integers(1, 4))
    def begin(self, partitions: int, scanned: int, matched: int) -> None:
        """So many partitions, and pages of such sizes."""
        self.cluster = Cluster(partitions, PageSizes(scanned, matched))

    # --- commands ---

    @rule(
        arriving=st.lists(st.tuples(invocations, st.sampled_from((None, None, -5, 8_000)), picks), min_size=1, max_size=4)
    )
    def invoke(self, arriving: list[tuple[Invocation, int | None, int]]) -> None:
        """Invocations arrive; some are adopted, some are scheduled."""
        for invocation, after, pick in arriving:
            scheduled_at = None if after is None else self.world.now + after
            payload = b"payload" if pick % 2 else None
            self.world.send(Invoke(invocation, scheduled_at, pick % 5 == 0, payload))

    @rule(pick=picks, to=st.sampled_from(REPORTED), twist=st.integers(0, 7), retry_ms=st.sampled_from((None, 0, 6_000)))
    def report(self, pick: int, to: Status, twist: int, retry_ms: int | None) -> None:
        """An executor reports on what is started; now and then it is late, or wrong."""
        rows = [row for row in self._rows() if not row.ended and row.attempt]
        if not rows:
            return
        row = rows[pick % len(rows)]
        self.report_no += 1
        report = ReportTransition(
            row.invocation_id,
            row.attempt - (twist == 1),
            row.seq + 1 if twist == 2 else (None, row.seq)[pick % 2],
            {3: max(row.last_report_no, 0), 4: None}.get(twist, self.report_no),
            to,
            None if retry_ms is None else self.world.now + retry_ms,
            "d1" if pick % 3 == 0 else None,
            "boom" if pick % 4 == 0 else None,
        )
        self.world.send(report)

    @rule(acts=st.lists(acts, min_size=1, max_size=3))
    def act(self, acts: list[Act]) -> None:
        """Somebody acts on single invocations."""
        self.world.send(*acts)

    @rule(start=batches, again=st.integers(0, 12))
    def start_batch(self, start: StartBatch, again: int) -> None:
        """A batch begins; or the same one again, or another of its id."""
        if again == 0 and self.batches:
            self.world.send(self.batches[-1])
            return
        name = f"b{len(self.batches) - (again == 1 and bool(self.batches))}"
        start = StartBatch(name, *(getattr(start, field) for field in start.__struct_fields__[1:]))
        self.batches.append(start)
        self.world.send(start)

    @precondition(lambda self: self.batches)
    @rule(
        pick=picks,
        operation=st.sampled_from(ControlOperation),
        control_no=st.sampled_from((None, None, 1, 2, 3)),
        max_rate=st.sampled_from((0.5, 30.0, 1e6)),
    )
    def control(self, pick: int, operation: ControlOperation, control_no: int | None, max_rate: float) -> None:
        """Somebody controls one of the last batches."""
        names = [start.batch_id for start in self.batches[-3:]]
        sets_rate = operation is ControlOperation.SET_RATE
        name = "unknown" if pick == 0 else names[pick % len(names)]
        self.world.send(ControlBatch(name, operation, control_no, max_rate if sets_rate else None))

    # --- time, turns and crashes ---

    @rule(
        ms=st.sampled_from((1, 700, 5_000, 30_000, 30_000, 90_000_000, BATCH_RETENTION_MS)),
        max_rows=st.sampled_from((1, 2, 1_000)),
        ticks=st.sets(partitions_),
    )
    def time(self, ms: int, max_rows: int, ticks: set[int]) -> None:
        """Time goes by, and some partitions are told so."""
        self.world.now += ms
        for partition in ticks:
            if partition < self.world.partitions:
                self.world.tick(partition, max_rows)

    @rule(turns=st.lists(st.tuples(partitions_, st.integers(1, 6)), min_size=1, max_size=6))
    def turns(self, turns: list[tuple[int, int]]) -> None:
        """Turns of some partitions."""
        for partition, most in turns:
            if partition < self.world.partitions:
                self.world.turn(partition, most)

    @rule()
    def settle(self) -> None:
        """Turns until nothing is left."""
        self.world.settle()

    @rule(partition=partitions_, most=st.integers(1, 6))
    def abort(self, partition: int, most: int) -> None:
        """A transaction is aborted."""
        if partition < self.world.partitions:
            self.world.abort(partition, most)

    @rule(partition=partitions_, how=st.sampled_from(("commit", "table", "compacted")))
    def crash(self, partition: int, how: str) -> None:
        """A worker dies: it is behind its changelog, or its state folder is gone."""
        if partition < self.world.partitions:
            self.world.crash(partition, how)

    def teardown(self) -> None:
        """Left alone, everything comes to rest."""
        if self.cluster is None:
            return
        try:
            if self.cluster.sound:
                self.cluster.finish(self.batches)
        finally:
            self.cluster.close()

    def _rows(self) -> list[Row]:
        return [row for pair in self.world.pairs for row in pair.model.in_order()]

