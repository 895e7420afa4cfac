"""The executor: takes signals, runs handlers, sends reports."""

from __future__ import annotations

import logging
import os
import signal as signals
import threading
import time
from typing import TYPE_CHECKING, Any, Self, TypeVar

from streams import codec
from streams.client.errors import UnreadableSignalError
from streams.client.executor.ahead import Ahead
from streams.client.executor.dispatcher import Dispatcher
from streams.client.executor.group import Group, consumer_properties, is_signal
from streams.client.executor.registry import Handler, Name, Registry, group_of
from streams.client.executor.reports import Reporter, check_deployment_id
from streams.client.executor.runner import Runner, Runs
from streams.client.executor.watch import Load, Watch
from streams.client.outlet import Outlet
from streams.config import Topic, variable
from streams.errors import StreamsError
from streams.kafka.clients import KafkaClients
from streams.model import Signal
from streams.stopping import Limit

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from streams.client.executor.run import AssignedPartition
    from streams.config import Settings
    from streams.kafka.clients import Clients

log = logging.getLogger("streams.executor")

_CHUNK = 200
_BUSY_WAIT_S = 0.005
_IDLE_WAIT_S = 0.1
_COMMIT_EVERY_S = 1.0
_MOST_BYTES = 64 * 1024 * 1024
_MOST_EARLY = 200_000
_FLUSH_S = 5.0

_AnyHandler = TypeVar("_AnyHandler", bound=Handler)


class Executor:
    """Runs handlers for the signals of its share of the partitions, and reports their outcomes.

    Executors with the same `group_id` share the partitions. `run()` goes on until `stop()`, SIGTERM or Ctrl-C. A signal
    is committed only after its report is in the log: a restart loses none, but may rerun a handler whose report had not
    arrived.

    Args:
        settings: the brokers and the topics' prefix.
        handlers: by (service, handler); decorators add more.
        concurrency: most handlers at once, sync and async together.
        waiting: most further signals taken in, with at most 64 MiB of payloads, before signals wait in Kafka; KILL and
            CANCEL never wait there.
        services: the services whose signals it handles; by default those of its handlers, or all if it has only a
            default handler. An invocation of them without a handler is tried again (BACKING_OFF).
        fail_missing: report such an invocation FAILED instead.
        group_id: the consumer group; by default, its name follows from the services.
        instance_id: a name that no other executor has; with it, a quick restart keeps the partitions.
        deployment_id: pinned to the invocations it runs, for filters.
        grace: seconds for handlers to end when the executor is stopped.
        clients: makes the Kafka clients; tests pass others. runner: likewise.

    With `STREAMS_EXECUTOR_HTTP` set it serves metrics and health while it runs, with the extra `streams[metrics]`.

    Raises:
        StreamsError: that extra is not installed.
        InvalidCommandError: no report can carry this deployment_id.
        BrokerUnavailableError: no broker answers within 10 s.
        TopicMissingError: `commands` or `signals` does not exist.
    """

    def __init__(
        self,
        settings: Settings,
        handlers: Mapping[Name, Handler] | None = None,
        *,
        concurrency: int = 16,
        waiting: int = 1_000,
        services: Collection[str] | None = None,
        group_id: str | None = None,
        instance_id: str | None = None,
        deployment_id: str | None = None,
        grace: float = 30.0,
        fail_missing: bool = False,
        clients: Clients | None = None,
        runner: Runs | None = None,
    ) -> None:
        if concurrency < 1 or waiting < 0 or grace < 0:
            raise ValueError(
                f"concurrency {concurrency}, waiting {waiting}, grace {grace}: at least 1, 0 and 0 are needed"
            )
        check_deployment_id(deployment_id)
        clients = clients or KafkaClients()
        outlet = Outlet(settings, clients, message_timeout_ms=0)
        outlet.require_topics(Topic.SIGNALS)
        self._prefix = settings.topic_prefix
        self._services = services
        self._most_waiting = waiting
        self._grace = grace
        self._instance_id = instance_id
        self._joined = False
        self._stopping = threading.Event()
        self._limit = Limit("executor")
        self._commit_at = 0.0
        self._unsent = 0
        self._registry = Registry(handlers)
        self._runner = runner or Runner(concurrency)
        self._reporter = Reporter(outlet, lambda: time.time_ns() // 1_000, deployment_id)
        self._watch = _watch_of(settings, concurrency)
        self._dispatcher = Dispatcher(
            self._registry, self._runner, self._reporter, fail_missing=fail_missing, watch=self._watch
        )
        self._ahead = Ahead(
            settings.topic(Topic.SIGNALS),
            lambda: clients.consumer(consumer_properties(settings, f"{self._group.group_id}-ahead")),
        )
        self._group = Group(
            settings, clients, group_id or "", self._let_go, lambda part: self._ahead.forget(part.partition)
        )

    # --- handlers ---

    def handler(self, service: str, handler: str) -> Callable[[_AnyHandler], _AnyHandler]:
        """Decorator: the function handles these invocations. It is called with a `Context`."""

        def register(function: _AnyHandler) -> _AnyHandler:
            self._registry.add((service, handler), function)
            return function

        return register

    def default(self, function: _AnyHandler) -> _AnyHandler:
        """Decorator: the function handles all invocations without a handler of their own."""
        self._registry.set_default(function)
        return function

    def on_stop(self, service: str, handler: str) -> Callable[[_AnyHandler], _AnyHandler]:
        """Decorator: the function stops such an invocation where it runs, if that is not in this executor.

        It is called with a `Context` whose `kind` is CANCEL, KILL or PAUSE. After a CANCEL the invocation is reported
        CANCELLED, unless it returns False or raises.
        """

        def register(function: _AnyHandler) -> _AnyHandler:
            self._registry.add_on_stop((service, handler), function)
            return function

        return register

    # --- life ---

    def run(self) -> None:
        """Run until `stop()`, SIGTERM or Ctrl-C; a second of these ends the process at once.

        After one of these, if Kafka holds up the stop for 20 s beyond the handlers' grace, the process ends with exit
        code 1.

        Raises:
            DeliveryError: a report could not be sent; nothing is lost, the next run repeats it.
            TopicMissingError: the topic of signals was deleted while it ran.
            UnreadableSignalError: a signal was written by a newer version.
            KafkaException: an error of Kafka that does not pass.
            StreamsError: the address of `STREAMS_EXECUTOR_HTTP` cannot be used.
        """
        self._listen_to_the_process()
        with self._watch.serving():
            self._live()

    def _live(self) -> None:
        """The life of the executor, from its first step to the end of its clean stop."""
        try:
            while not self._stopping.is_set():
                self.step()
            self._drain()
        finally:
            if self._limit.begun:
                self._limit.begin()
            self.close()
            self._limit.lift()
            if self._group.unsettled or self._unsent:
                log.warning(
                    "the executor did not stop cleanly: %d reports not in the log, %d partitions not committed; "
                    "nothing is lost, and some may run again",
                    self._unsent,
                    self._group.unsettled,
                )
            else:
                log.info("executor stopped")

    def stop(self) -> None:
        """Take no more signals, give handlers their grace, report, commit, end. May be called from any thread."""
        self._stopping.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def step(self) -> None:
        """One turn: take new signals, handle outcomes of handlers, renew leases, send reports, commit."""
        if not self._joined:
            self._joined = True
            self._join()
        busy = self._runner.running or self._runner.waiting
        self._take(1, _BUSY_WAIT_S if busy else _IDLE_WAIT_S)
        if not self._group.paused:
            self._take(min(_CHUNK, max(1, self._most_waiting - self._runner.waiting)), 0)
        self._look_ahead()
        self._hear()
        self._dispatcher.renew_leases()
        self._reporter.serve()
        self._make_room()
        self._watch.came_round(self._load)
        if time.monotonic() >= self._commit_at:
            self._group.commit()
            self._commit_at = time.monotonic() + _COMMIT_EVERY_S

    def close(self) -> None:
        """Commit and leave the group. Running handlers are asked to stop, and left to the next life."""
        self._group.close()
        self._ahead.close()
        self._runner.close()

    def _join(self) -> None:
        services = self._registry.services() if self._services is None else self._services
        self._dispatcher.serve(services)
        self._group.group_id = self._group.group_id or f"{self._prefix}{group_of(services)}"
        served = "all" if services is None else ", ".join(sorted(services))
        log.info("executor started, group %s, services: %s", self._group.group_id, served)
        self._group.join(self._instance_id)

    def _drain(self) -> None:
        """Wait for running handlers. Waiting signals are left to others; requests to stop are still handled."""
        if not self._joined:
            return
        self._most_waiting = -1
        self._make_room()
        for part in self._group.owned.values():
            self._dispatcher.leave(part, waiting_only=True)
        deadline = time.monotonic() + self._grace
        while self._runner.running and time.monotonic() < deadline:
            self.step()
        if self._runner.running:
            log.warning("%d handlers had not ended within %g s; they run again", self._runner.running, self._grace)

    def _hear(self) -> None:
        for run, outcome in self._runner.events():
            self._dispatcher.happened(run, outcome)

    def _let_go(self, owned: Collection[AssignedPartition]) -> None:
        self._hear()
        for part in owned:
            self._dispatcher.leave(part)
        self._unsent = self._reporter.flush(_FLUSH_S)

    def _listen_to_the_process(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return

        def on_signal(number: int, _frame: object) -> None:
            if self._stopping.is_set():
                os._exit(128 + number)
            log.info("stopping; handlers have %g s; once more to stop at once", self._grace)
            self.stop()
            self._limit.begin(self._grace if self._runner.running else 0.0)

        for number in (signals.SIGTERM, signals.SIGINT):
            signals.signal(number, on_signal)

    # --- signals ---

    def _take(self, count: int, wait: float) -> None:
        for part, message in self._group.take(count, wait):
            self._dispatcher.take(part, message.offset(), _decoded(message))

    def _load(self) -> Load:
        running, waiting = self._runner.running, self._runner.waiting
        return Load(running, waiting, self._dispatcher.held_bytes, len(self._group.owned), self._group.lag())

    def _make_room(self) -> None:
        """Pause the intake while too many signals wait here; resume it once half of them are gone."""
        most, waiting, held = self._most_waiting, self._runner.waiting, self._dispatcher.held_bytes
        if not self._group.paused and (waiting > most or held > _MOST_BYTES):
            self._group.pause()
        elif self._group.paused and waiting <= most // 2 and held <= _MOST_BYTES // 2:
            self._group.resume()

    def _look_ahead(self) -> None:
        """Read on where signals wait: those that stop a run are handled before their turn."""
        owned = self._group.owned
        for part in owned.values():
            self._ahead.follow(part.partition, part.watermark.next, begin=self._group.paused)
        if sum(len(part.early) for part in owned.values()) >= _MOST_EARLY:
            return
        for message in self._ahead.take():
            known = owned.get(message.partition())
            if is_signal(message) and known is not None:
                self._dispatcher.look_ahead(known, message.offset(), _decoded(message))


def _decoded(message: Any) -> Signal:
    where = f"signal at partition {message.partition()}, offset {message.offset()}"
    try:
        record = codec.decode(message.value())
    except codec.BadRecordError as error:
        raise UnreadableSignalError(f"{where}: {error}; upgrade this executor") from error
    if not isinstance(record, Signal):
        raise UnreadableSignalError(f"{where}: a {type(record).__name__} stands in its place")
    return record


def _watch_of(settings: Settings, places: int) -> Watch:
    """The watch that the settings ask for; `places`: most handlers at once.

    Raises:
        StreamsError: it needs a library that is not installed.
    """
    if settings.executor_http is None:
        return Watch()
    try:
        # A client is installed without it.
        from streams.client.executor.observer import ExecutorObserver  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("streams"):
            raise
        name = variable("executor_http")
        raise StreamsError(
            f"{name} needs {error.name}, which is not installed: install the extra streams[metrics]"
        ) from error
    return ExecutorObserver(settings.executor_http, places)
