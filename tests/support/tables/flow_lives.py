"""Random lives of flows and children on a cluster in memory."""

from __future__ import annotations

from random import Random

from streams.engine.answers import PageSizes
from streams.model import (
    Act,
    Action,
    CancelFlow,
    CancelPolicy,
    Filter,
    FlowAction,
    Invoke,
    OnTimeout,
    ReportTransition,
    StartBatch,
    Status,
)
from streams.protocol.routing import partition_of, routing_key
from support.tables.memory_cluster import MemoryCluster, invoke

IDS = [f"i{n}" for n in range(12)] + [f"mail/k~{n}" for n in range(6)]
FLOWS = ["f", "g", "i1", "a/b"]


class Life:
    """A cluster, and random moves in it."""

    def __init__(self, seed: int, cluster: type[MemoryCluster] = MemoryCluster) -> None:
        self.random = Random(seed)
        self.world = cluster(1 + seed % 4, PageSizes(self.random.randint(1, 5), self.random.randint(1, 4)))
        self.batches = 0

    def live(self, moves: int) -> None:
        """Make that many moves, then apply all that is in the logs."""
        kinds = [self.invoke, self.report, self.cancel_flow, self.act, self.batch, self.steps, self.tick]
        for _ in range(moves):
            [move] = self.random.choices(kinds, [35, 25, 15, 10, 5, 7, 3])
            move()
        self.world.run()

    def invoke(self) -> None:
        """An invocation, perhaps with a flow, a parent (itself too), or both."""
        self.world.send(self.invocation(self.random.choice(IDS)))

    def invocation(self, name: str) -> Invoke:
        """A command for it, with random fields."""
        choice = self.random.choice
        scheduled_at = choice([None, None, self.world.now + self.random.randint(0, 50_000)])
        return invoke(
            name,
            scheduled_at=scheduled_at,
            adopt=scheduled_at is None and self.random.random() < 0.1,
            flow_id=choice([None, *FLOWS]),
            parent_id=choice([None, None, *IDS]),
            object_key="k" if "~" in name else None,
        )

    def report(self) -> None:
        """An executor's report."""
        name = self.random.choice(IDS)
        home = partition_of(routing_key(name), self.world.partitions)
        row = self.world.tables[home].rows.get(name)
        to = self.random.choice([Status.RUNNING, Status.COMPLETED, Status.CANCELLED, Status.FAILED])
        self.world.send(ReportTransition(name, 1 if row is None else row.attempt, to=to))

    def cancel_flow(self) -> None:
        """A cancel of a named flow, or of an invocation's children."""
        choice = self.random.choice
        children = self.random.random() < 0.3
        self.world.send(
            CancelFlow(
                choice(IDS if children else FLOWS),
                choice(list(FlowAction)),
                choice(list(CancelPolicy)),
                grace_ms=choice([None, 0, 5_000]),
                on_timeout=choice(list(OnTimeout)),
                reason=choice([None, "why"]),
                children=children,
            )
        )

    def act(self) -> None:
        """An act on one invocation."""
        action = self.random.choice([*Action, Action.RESTART])
        on_timeout = self.random.choice(list(OnTimeout))
        self.world.send(Act(self.random.choice(IDS), action, grace_ms=1_000, on_timeout=on_timeout))

    def batch(self) -> None:
        """A batch over everything."""
        self.batches += 1
        action = self.random.choice([Action.CANCEL, Action.KILL, Action.RESTART])
        self.world.send(StartBatch(f"b{self.batches}", action, Filter(services=("mail",)), grace_ms=1_000))

    def steps(self) -> None:
        """Some partitions come a little further."""
        for partition in self.world.waiting():
            for _ in range(self.random.randint(0, 3)):
                if partition in self.world.waiting():
                    self.world.step(partition)

    def tick(self) -> None:
        """Time passes."""
        self.world.tick(self.random.choice([0, 1_000, 20_000, 60_000]), max_rows=self.random.choice([2, 1_000]))
