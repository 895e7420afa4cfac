"""An executor that dies at any step loses nothing."""

from __future__ import annotations

import random
from functools import partial

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.client.executor.run import INTERRUPTED, Outcome, Stop
from streams.model import SignalKind, Status
from support.effort import examples
from support.kafka.fake_cluster import Crash
from support.service.executor_world import PARTITIONS, ExecutorWorld, ManualRunner

ENDS = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})
OUTCOMES = (Outcome(Status.COMPLETED), Outcome(Status.FAILED, "broken"), Outcome(Status.COMPLETED))
_MOST_TURNS = 400


class Story:
    """Signals of a few invocations in an order that a worker could write, and an executor that lives through them."""

    def __init__(self, seed: int, crashes: set[int]) -> None:
        self.random = random.Random(seed)
        self.world = ExecutorWorld(partial(ManualRunner, 3, obedient=False), waiting=self.random.choice([0, 2, 50]))
        self.started: dict[tuple[int, int], str] = {}
        self.killed: set[str] = set()
        self.deaths = 0
        self._write_signals()
        for number in crashes:
            self.world.cluster.faults.crash_at(number, Crash(f"step {number}"))

    def _write_signals(self) -> None:
        """STARTs, behind some of them a CANCEL, twice perhaps, or a KILL."""
        for partition in range(PARTITIONS):
            later: list[tuple[SignalKind, str, int]] = []
            for seq in range(self.random.randint(1, 8)):
                name = f"p{partition}-{seq}"
                self.started[partition, self.world.start(name, seq, partition=partition)] = name
                kind = self.random.choice([None, None, SignalKind.CANCEL, SignalKind.KILL])
                if kind is not None:
                    later += [(kind, name, seq)] * self.random.randint(1, 2)
                if kind is SignalKind.KILL:
                    self.killed.add(name)
                if later and self.random.random() < 0.5:
                    self._write(*later.pop(0), partition)
            for each in later:
                self._write(*each, partition)

    def _write(self, kind: SignalKind, name: str, seq: int, partition: int) -> None:
        self.world.signal(kind, name, seq, partition=partition)

    def ended(self) -> set[str]:
        """Invocations with an end report in the log."""
        return {each.invocation_id for each in self.world.reports() if each.to in ENDS}

    def live(self) -> None:
        """Turns until all signals are committed, through every crash."""
        for _ in range(_MOST_TURNS):
            if self._all_committed():
                return
            if not self.world.survive(self._turn):
                self.deaths += 1
            self.assert_nothing_committed_is_lost()
        raise AssertionError("the executor never comes to an end")

    def _turn(self) -> None:
        world = self.world
        if world.executor is None:
            world.begin()
        world.step(1)
        for run in list(world.runner.active):
            if self.random.random() < 0.4:
                asked = run.stop in {Stop.CANCEL, Stop.KILL}
                world.runner.end(run, INTERRUPTED if asked else self.random.choice(OUTCOMES))

    def _all_committed(self) -> bool:
        ends = [len(self.world.cluster.records("t.signals", partition)) for partition in range(PARTITIONS)]
        return [self.world.committed(partition) for partition in range(PARTITIONS)] == ends

    def assert_nothing_committed_is_lost(self) -> None:
        """What will not come again has been reported, or was killed."""
        ended = self.ended()
        for (partition, offset), name in self.started.items():
            if offset < self.world.committed(partition):
                assert name in ended | self.killed, f"{name} was committed and never reported"


@given(seed=st.integers(0, 2**32), crashes=st.sets(st.integers(0, 250), max_size=6))
@settings(max_examples=examples(120), suppress_health_check=[HealthCheck.too_slow])
def test_every_started_invocation_is_reported_whatever_crashes(seed: int, crashes: set[int]) -> None:
    """At any crash points: at least one end report each, nothing committed before its report, all committed at last."""
    story = Story(seed, crashes)
    story.live()
    assert set(story.started.values()) <= story.ended() | story.killed
    per_attempt = {(each.invocation_id, each.attempt) for each in story.world.reports()}
    assert len(per_attempt) <= len(story.started)


def test_what_was_dealt_with_behind_an_open_signal_is_not_run_again() -> None:
    """A slow handler holds the offset; a crash runs it again, and not the hundreds that ended behind it."""
    world = ExecutorWorld(partial(ManualRunner, 10))
    for seq in range(300):
        world.start(f"i-{seq}", seq)
    world.step(1)
    ran = 0
    while ran < 299:
        for run in list(world.runner.active):
            if run.context.seq:
                world.runner.end(run)
                ran += 1
        world.step(2)
    world.crash()
    world.step()
    assert [run.context.seq for run in world.runner.active] == [0]
    assert sum(world.runner.began.values()) == 1
