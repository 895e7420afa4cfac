"""A state machine that lives with a cluster: random commands, batches, controls and ticks, long nights, and crashes."""

from __future__ import annotations

from random import Random
from typing import ClassVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from streams.engine.answers import PageSizes
from support.reference.beside.life import Life
from support.reference.beside.twin import BATCH_RETENTION_MS, RETENTION_MS, Cluster
from support.reference.beside.world import WorkerWorld

ROUNDS = 30
LIVES = 12
"""A mistake must show in one of these rounds of these lives; most need one or two."""
partitions_ = st.integers(0, 2)


class Machine(RuleBasedStateMachine):
    """Rules for all that may happen; the cluster compares engine and model after every turn.

    `grouped`: whether lives have flows; None: some have.
    """

    grouped: ClassVar[bool | None] = None

    def __init__(self) -> None:
        super().__init__()
        self.life: Life | None = None

    @property
    def cluster(self) -> Cluster:
        """The cluster, once it is there."""
        assert self.life is not None
        return self.life.cluster

    @initialize(partitions=st.sampled_from((2, 3, 1)), scanned=st.integers(1, 5), matched=st.integers(1, 4))
    def begin(self, partitions: int, scanned: int, matched: int) -> None:
        """Partitions, and the sizes of their pages."""
        self.life = Life(Cluster(partitions, PageSizes(scanned, matched)), self.grouped)

    @rule(seed=st.integers(0, 2**32), moves=st.integers(1, 20))
    def live(self, seed: int, moves: int) -> None:
        """Commands, controls, ticks and turns."""
        assert self.life is not None
        self.life.go_on(Random(seed), moves)

    @rule(seed=st.integers(0, 2**32))
    def live_long(self, seed: int) -> None:
        """The same, for a while."""
        assert self.life is not None
        self.life.go_on(Random(seed), 40)

    @rule()
    def settle(self) -> None:
        """Turns until nothing is left."""
        self.cluster.settle()

    @rule(partition=partitions_, most=st.integers(1, 6))
    def abort(self, partition: int, most: int) -> None:
        """A transaction is aborted."""
        self.cluster.abort(partition % self.cluster.partitions, most)

    @rule(partition=partitions_, how=st.sampled_from(("commit", "table", "compacted")))
    def crash(self, partition: int, how: str) -> None:
        """A worker dies: it is behind its changelog, or its state folder is gone."""
        self.cluster.crash(partition % self.cluster.partitions, how)

    @rule(ms=st.sampled_from((60_000, RETENTION_MS, BATCH_RETENTION_MS)), max_rows=st.sampled_from((2, 5, 1_000)))
    def night(self, ms: int, max_rows: int) -> None:
        """A long time goes by, and what is old is forgotten."""
        self.cluster.now += ms + 1
        for partition in range(self.cluster.partitions):
            self.cluster.tick(partition, max_rows)
        self.cluster.settle()

    def teardown(self) -> None:
        """Left alone, everything comes to rest."""
        if self.life is None:
            return
        try:
            if self.cluster.sound:
                self.cluster.finish(self.life.batches)
        finally:
            self.cluster.close()


class WorkerMachine(Machine):
    """The same with a worker on the fake cluster, which dies at any of its steps."""

    @initialize()
    def begin(self) -> None:
        """A worker and its topics."""
        self.life = Life(WorkerWorld())


class GroupedMachine(Machine):
    """Lives with flows and children."""

    grouped = True


class PlainMachine(Machine):
    """Lives without."""

    grouped = False


def live_in_rounds(machine: type[Machine]) -> None:
    """Lives in rounds, for what must be found soon: within one of them, lives resemble each other."""
    lives = settings(
        max_examples=LIVES,
        stateful_step_count=10,
        phases=[Phase.generate],
        database=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    for number in range(ROUNDS):
        run_state_machine_as_test(seeded(number)(machine), settings=lives)
