"""What happens to a cluster: dense random lives, each move of which looks at what is there.

Drawn by hypothesis one by one, moves are mostly refused, or happen to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from streams.model import (
    Act,
    Action,
    ActMembers,
    CancelFlow,
    CancelPolicy,
    Cause,
    ContinueFlow,
    ContinueSlice,
    ControlBatch,
    ControlOperation,
    Exclusion,
    Filter,
    FlowAction,
    Invocation,
    Invoke,
    MemberAck,
    MemberEnded,
    OnTimeout,
    ReportTransition,
    SliceReport,
    StartBatch,
    Status,
    Tick,
)

if TYPE_CHECKING:
    from random import Random

    from support.reference.beside.twin import Cluster
    from support.reference.state import Row

OBJECTS: Final = True
STANDING: Final = True

_KEYED: Final = tuple(f"mail/{key}~{number}" for key in "klm" for number in range(4)) if OBJECTS else ()
IDS: Final = (*(f"i{number}" for number in range(8 if OBJECTS else 12)), *_KEYED)
_MOVES: Final = {
    "invoke": 8,
    "report": 10,
    "act": 5,
    "batch": 5,
    "control": 3,
    "flow": 4,
    "time": 5,
    "turn": 10,
    "repeat": 2,
}
_ACTIONS: Final = (
    *(Action.CANCEL, Action.CANCEL, Action.CANCEL, Action.CANCEL, Action.KILL, Action.KILL, Action.PAUSE, Action.PAUSE),
    *(Action.RESUME, Action.PURGE, Action.RESTART, Action.RESTART),
)
_REPORTED: Final = (
    *(Status.RUNNING, Status.RUNNING, Status.SUSPENDED, Status.BACKING_OFF, Status.COMPLETED, Status.CANCELLED),
    *(Status.FAILED, Status.READY),
)
_LEFT_OUT: Final = (
    *(Exclusion(labels={"team": "a"}), Exclusion(labels_in={"team": ("a", "b")}, handlers=("none",))),
    *(Exclusion(services=("mail",)), Exclusion(deployment_ids=("d1",)), Exclusion(object_keys=("k",))),
    *(Exclusion(statuses=(Status.PENDING,)), Exclusion(statuses=(Status.READY, Status.SCHEDULED))),
    Exclusion(batch_ids=("b0", "b1", "b2")),
)
_REFUSED: Final = (
    *(Filter(exclude=_LEFT_OUT[0]), Filter(match_all=True, exclude=Exclusion())),
    *(Filter(match_all=True, exclude=Exclusion(services=())), Filter(match_all=True, labels_in={"team": ()})),
)
_REPEATED: Final = (ContinueSlice, SliceReport, Tick, ContinueFlow, ActMembers, MemberEnded, MemberAck)
FLOWS: Final = ("f", "g", "i1", "a/b")
_POLICIES: Final = (*CancelPolicy, CancelPolicy.CANCEL_ALL, CancelPolicy.CANCEL_ALL)
_OPERATIONS: Final = (*ControlOperation, ControlOperation.RESUME, ControlOperation.PAUSE)


class Life:
    """Moves in a cluster; `batches` holds those that were started. `grouped`: with flows; None: some lives are."""

    def __init__(self, cluster: Cluster, grouped: bool | None = None) -> None:  # noqa: FBT001 - a choice of a life
        self.cluster = cluster
        self.batches: list[StartBatch] = []
        self._report_no = 0
        self._controlled = ""
        self._grouped = grouped

    def go_on(self, random: Random, moves: int) -> None:
        """A number of random moves; in some lives there are no flows, so that all else is as dense as it can be."""
        if self._grouped is None:
            self._grouped = random.random() < 0.6
        for kind in random.choices(list(_MOVES), list(_MOVES.values()), k=moves):
            getattr(self, "_" + kind)(random)

    # --- commands ---

    def _invoke(self, random: Random) -> None:
        present = {row.invocation_id for row in self._rows()}
        unknown = [name for name in IDS if name not in present]
        for _ in range(random.randint(1, 4)):
            name = random.choice(unknown if unknown and random.random() < 0.8 else IDS)
            invocation = Invocation(
                name,
                "mail" if "~" in name else random.choice(("mail", "bill")),
                "send",
                name[5] if "~" in name else "k" if random.random() < 0.02 else None,
                deployment_id=random.choice((None, None, "d0", "d1")),
                flow_id=random.choice((None, *FLOWS)) if self._grouped else None,
                parent_id=random.choice(IDS) if self._grouped and random.random() < 0.5 else None,
                lease_ms=random.choice((None, None, 3_000, 0 if random.random() < 0.1 else 20_000)),
                labels=random.choice(({}, {"team": "a"})),
            )
            after = random.choice((None, None, None, -5, 8_000, 60_000))
            scheduled_at = None if after is None else self.cluster.now + after
            payload = random.choice((None, b"payload"))
            self.cluster.send(Invoke(invocation, scheduled_at, random.random() < 0.2, payload))

    def _report(self, random: Random) -> None:
        rows = [row for row in self._rows() if row.attempt and (not row.ended or random.random() < 0.1)]
        if not rows:
            return
        row = random.choice([row for row in rows if row.status is Status.CANCELLING] or rows)
        if random.random() < 0.5:
            row = random.choice(rows)
        self._report_no += 1
        twist = random.randrange(10)
        report = ReportTransition(
            row.invocation_id,
            row.attempt - (twist == 1),
            {2: row.seq + 1, 3: row.seq}.get(twist),
            {4: max(row.last_report_no, 0), 5: None}.get(twist, self._report_no),
            random.choice(_REPORTED),
            None if random.random() < 0.1 else self.cluster.now + random.choice((0, 6_000)),
            random.choice((None, None, "d1")),
            random.choice((None, None, "boom")),
        )
        self.cluster.send(report)

    def _act(self, random: Random) -> None:
        rows = self._rows()
        paused = [row for row in rows if row.status is Status.PAUSED]
        if paused and random.random() < 0.4:
            self.cluster.send(Act(random.choice(paused).invocation_id, Action.RESUME))
            return
        ended = [row for row in rows if row.ended]
        if ended and random.random() < 0.3:
            self.cluster.send(Act(random.choice(ended).invocation_id, Action.RESTART))
            return
        asked = [row for row in rows if row.status is Status.CANCELLING]
        if asked and random.random() < 0.2:
            self.cluster.send(Act(random.choice(asked).invocation_id, Action.KILL))
            return
        row = random.choice(rows) if rows and random.random() < 0.9 else None
        name = random.choice(IDS) if row is None else row.invocation_id
        seq = None if row is None else random.choice((None, None, None, row.seq, row.seq + 1))
        cause = random.choice((Cause(), Cause(actor="ann", reason="why")))
        unstarted_only = random.random() < 0.15
        act = Act(
            name, random.choice(_ACTIONS), self._grace(random), self._on_timeout(random), unstarted_only, cause, seq
        )
        self.cluster.send(act)

    def _batch(self, random: Random) -> None:
        if self.batches and random.random() < 0.08:
            self.cluster.send(random.choice(self.batches))
            return
        again = self.batches and random.random() < 0.04
        start = StartBatch(
            f"b{len(self.batches) - bool(again)}",
            random.choice(_ACTIONS),
            self._filter(random),
            random.random() < 0.1,
            random.choice((None, None, None, None, None, 1, 2, 4, 0 if random.random() < 0.1 else 3)),
            random.choice((None, None, None, None, None, None, 0.3, 7.0, 1_000.0)),
            self._grace(random),
            self._on_timeout(random),
            standing_until=self._standing(random),
            expires_at=random.choice((None, None, None, self.cluster.now + random.choice((0, 1, 4_000, 30_000)))),
            actor=random.choice((None, "ann")),
        )
        if start.standing_until is not None and random.random() < 0.9:
            start = replace(start, limit=None, max_rate=None, dry_run=False)
            if start.action is Action.RESTART:
                start = replace(start, action=random.choice((Action.CANCEL, Action.KILL)))
            if random.random() < 0.5:
                start = replace(
                    start, filter=Filter(match_all=True), action=random.choice((Action.CANCEL, Action.KILL))
                )
        if start.action is Action.RESTART and random.random() < 0.6:
            start = replace(start, filter=self._ended_filter(random), standing_until=None)
        self.batches.append(start)
        self.cluster.send(start)

    def _flow(self, random: Random) -> None:
        if not self._grouped:
            return
        flows = [flow for pair in self.cluster.pairs for flow in pair.model.flows.values()]
        failed = [flow.name for flow in flows if flow.numbers["failed"]]
        children = random.random() < 0.3
        name = random.choice(IDS if children else FLOWS)
        if failed and random.random() < 0.5:
            children, name = random.choice(failed)
        cancel = CancelFlow(
            name,
            random.choice((FlowAction.CANCEL, FlowAction.CANCEL, FlowAction.KILL)),
            random.choice(_POLICIES),
            self._grace(random),
            self._on_timeout(random),
            random.choice((None, "why", "again")),
            random.choice((None, "ann", "bob")),
            children,
        )
        self.cluster.send(cancel)

    def _standing(self, random: Random) -> int | None:
        if not STANDING or random.random() < 0.7:
            return None
        return self.cluster.now + random.choice((0, 4_000, 20_000, 60_000))

    def _filter(self, random: Random) -> Filter:
        filters = [Filter(match_all=True)] * 8
        filters += [Filter(services=("mail",)), Filter(labels={"team": "a"}), Filter(deployment_ids=("d1",))]
        filters += [
            Filter(statuses=(Status.READY, Status.RUNNING)),
            Filter(statuses=(Status.PAUSED, Status.CANCELLING)),
        ]
        filters += [Filter(invocation_ids=(*IDS[::2], "nobody")), Filter(modified_until=self.cluster.now - 3_000)]
        filters += [Filter(created_from=self.cluster.now - 5_000)]
        filters += [Filter(labels_in={"team": ("a", "b")}), Filter(match_all=True, exclude=random.choice(_LEFT_OUT))]
        late = Exclusion(modified_from=self.cluster.now - 4_000)
        filters += [Filter(services=("mail",), exclude=Exclusion(created_from=self.cluster.now - 5_000))]
        filters += [Filter(match_all=True, exclude=late)]
        if self.batches:
            filters.append(Filter(batch_ids=tuple(each.batch_id for each in self.batches[-4:])))
        if OBJECTS:
            started = Filter(statuses=(Status.READY, Status.RUNNING))
            filters += [Filter(object_keys=("k", "l")), Filter(statuses=(Status.PENDING,)), started, started]
        if self._grouped:
            filters += [Filter(flow_ids=FLOWS[:2]), Filter(parent_ids=IDS[::3])]
        if random.random() < 0.05:
            filters = [Filter(), Filter(services=()), Filter(statuses=(Status.KILLED,)), *_REFUSED]
        return random.choice(filters)

    def _ended_filter(self, random: Random) -> Filter:
        filters = [Filter(match_all=True), Filter(statuses=(Status.KILLED, Status.CANCELLED))]
        if self.batches:
            filters.append(Filter(batch_ids=tuple(each.batch_id for each in self.batches[-4:])))
        return random.choice(filters)

    def _control(self, random: Random) -> None:
        if not self.batches:
            return
        open_ = [name for pair in self.cluster.pairs for name, lead in pair.model.leads.items() if lead.unfinished]
        name = random.choice(open_ if open_ and random.random() < 0.9 else [self.batches[-1].batch_id, "unknown"])
        if self._controlled in open_ and random.random() < 0.7:
            name = self._controlled
        self._controlled = name
        operation = random.choice(_OPERATIONS)
        max_rate = random.choice((0.5, 30.0, 1e6)) if operation is ControlOperation.SET_RATE else None
        number = random.choice((None, random.randint(1, 6), random.randint(1, 6)))
        self.cluster.send(ControlBatch(name, operation, number, max_rate))

    # --- time and turns ---

    def _time(self, random: Random) -> None:
        self.cluster.now += random.choice((1, 300, 1_000, 3_000, 6_000, 6_000, 31_000))
        self.cluster.reconcile_labels = random.choice(({}, {}, {"team": "a"}))
        for partition in range(self.cluster.partitions):
            if random.random() < 0.8:
                self.cluster.tick(partition, random.choice((1, 2, 3, 1_000)))

    def _turn(self, random: Random) -> None:
        for _ in range(random.randint(1, 6)):
            self.cluster.turn(random.randrange(self.cluster.partitions), random.randint(1, 12))

    def _repeat(self, random: Random) -> None:
        log = self.cluster.logs[random.randrange(self.cluster.partitions)]
        written = [entry.command for entry in log[-20:] if isinstance(entry.command, _REPEATED)]
        repeated = random.choice(written) if written else None
        if repeated is not None:
            self.cluster.send(repeated)

    def _grace(self, random: Random) -> int | None:
        return random.choice((None, None, 0, 2_000, 8_000, 20_000, -1 if random.random() < 0.1 else 12_000))

    def _on_timeout(self, random: Random) -> OnTimeout:
        return random.choice(list(OnTimeout))

    def _rows(self) -> list[Row]:
        return [row for pair in self.cluster.pairs for row in pair.model.in_order()]
