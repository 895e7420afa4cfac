"""An executor on the fake cluster: signals in, crashes at any step, and the reports that come of it."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Any

from streams import codec
from streams.client import Executor
from streams.client.executor.run import INTERRUPTED, Outcome, Run
from streams.client.executor.runner import Event
from streams.config import Topic, load_settings
from streams.kafka import topics
from streams.model import Cause, Invocation, ReportTransition, Signal, SignalKind, Status
from support.kafka.fake_cluster import Crash, FakeCluster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PARTITIONS = 2
COMPLETED = Outcome(Status.COMPLETED)


class ManualRunner:
    """Runs nothing by itself: a test says which run ends, when and how. Interrupted runs end at once if `obedient`."""

    def __init__(self, concurrency: int = 4, *, obedient: bool = True) -> None:
        self.active: list[Run] = []
        self.queue: deque[Run] = deque()
        self.interrupted: list[Run] = []
        self.began: Counter[tuple[str, int]] = Counter()
        self._concurrency = concurrency
        self._obedient = obedient
        self._events: deque[Event] = deque()

    @property
    def waiting(self) -> int:
        """How many have no place yet."""
        return len(self.queue)

    @property
    def running(self) -> int:
        """How many have one."""
        return len(self.active)

    def submit(self, run: Run) -> None:
        """Begin, or wait."""
        self.queue.append(run)
        self._fill()

    def withdraw(self, run: Run) -> bool:
        """Take back what waits."""
        if run not in self.queue:
            return False
        self.queue.remove(run)
        return True

    def interrupt(self, run: Run) -> None:
        """Note it."""
        self.interrupted.append(run)
        if self._obedient and run in self.active:
            self.end(run, INTERRUPTED)

    def events(self) -> Iterator[Event]:
        """What has happened since."""
        while self._events:
            yield self._events.popleft()

    def close(self) -> None:
        """Nothing to end."""

    def end(self, run: Run, outcome: Outcome = COMPLETED) -> None:
        """A handler comes to its end."""
        self.active.remove(run)
        self._events.append(Event(run, outcome))
        self._fill()

    def find(self, invocation_id: str) -> Run:
        """The active run of an invocation."""
        [found] = [run for run in self.active if run.context.invocation.invocation_id == invocation_id]
        return found

    def _fill(self) -> None:
        while self.queue and len(self.active) < self._concurrency:
            run = self.queue.popleft()
            self.active.append(run)
            self.began[run.context.invocation.invocation_id, run.context.attempt] += 1
            self._events.append(Event(run, None))


class ExecutorWorld:
    """A cluster, signals written by hand, and executors that are started again when they die."""

    def __init__(self, make_runner: Callable[[], Any] = ManualRunner, **options: Any) -> None:
        self.cluster = FakeCluster()
        self.settings = load_settings(bootstrap_servers="fake:9092", topic_prefix="t.")
        for spec in topics.SPECS:
            count = 1 if spec.single else PARTITIONS
            self.cluster.create_topic(self.settings.topic(spec.topic), count, dict(spec.config))
        self.prepare: Callable[[Executor], object] = lambda executor: executor.default(lambda _: None)
        self._make_runner = make_runner
        self._options = options
        self.runner: Any = None
        self.executor: Executor | None = None

    # --- signals ---

    def signal(
        self,
        kind: SignalKind,
        invocation_id: str,
        seq: int,
        *,
        attempt: int = 1,
        partition: int = 0,
        payload: bytes | None = None,
        lease_ms: int | None = None,
        service: str = "orders",
        repeat: int = 0,
        flow_id: str | None = None,
    ) -> int:
        """Write a signal; its offset."""
        invocation = Invocation(invocation_id, service, "run", lease_ms=lease_ms, flow_id=flow_id)
        cause = None if kind is SignalKind.START else Cause(reason="because")
        value = codec.encode(Signal(kind, invocation, seq, attempt, repeat, self.cluster.now, payload, cause))
        return self.cluster.append((self.settings.topic(Topic.SIGNALS), partition), b"k", value).offset

    def start(self, invocation_id: str, seq: int, **more: Any) -> int:
        """Write a START."""
        return self.signal(SignalKind.START, invocation_id, seq, **more)

    def cancel(self, invocation_id: str, seq: int, **more: Any) -> int:
        """Write a CANCEL."""
        return self.signal(SignalKind.CANCEL, invocation_id, seq, **more)

    def kill(self, invocation_id: str, seq: int, **more: Any) -> int:
        """Write a KILL."""
        return self.signal(SignalKind.KILL, invocation_id, seq, **more)

    # --- driving ---

    def begin(self) -> Executor:
        """A new life of the executor."""
        self.runner = self._make_runner()
        self.executor = Executor(self.settings, clients=self.cluster, runner=self.runner, **self._options)
        self.prepare(self.executor)
        return self.executor

    def step(self, times: int = 3) -> None:
        """Turns of the executor, with a commit in each."""
        executor = self.executor or self.begin()
        for _ in range(times):
            executor._commit_at = 0.0
            executor.step()

    def crash(self) -> None:
        """What `kill -9` leaves."""
        self.executor = self.runner = None
        self.cluster.kill()

    def survive(self, act: Callable[[], None]) -> bool:
        """Do something that may hit a planned crash; whether it did not."""
        try:
            act()
        except Crash:
            self.crash()
            return False
        return True

    # --- looking ---

    def reports(self, invocation_id: str | None = None) -> list[ReportTransition]:
        """Reports in the log, of one invocation or all."""
        found = [codec.decode(each.value) for each in self.cluster.records(self.settings.topic(Topic.COMMANDS))]
        return [
            each for each in found if isinstance(each, ReportTransition) and invocation_id in {None, each.invocation_id}
        ]

    def said(self, invocation_id: str) -> list[Status]:
        """What was reported of an invocation, in order."""
        return [each.to for each in self.reports(invocation_id)]

    def committed(self, partition: int = 0) -> int:
        """The group's offset."""
        key = self.settings.topic(Topic.SIGNALS), partition
        group = "t.executors" if self.executor is None else self.executor._group.group_id
        return self.cluster.group(group).committed.get(key, 0)
