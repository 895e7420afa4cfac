"""`streams gateway`: a small process that starts the gateway's two parts and keeps them alive.

The merge and the api are processes of their own, so that a stuck merge never stops reads, and readers never stop the
merge. Their sockets are opened here and outlive them: while the api starts again, requests wait in its queue.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

import structlog

from streams.config import Topic, variable
from streams.errors import StreamsError
from streams.gateway.access.start_rules import check_start
from streams.gateway.child import AGAIN, Child
from streams.gateway.liveness import LivenessWatch
from streams.gateway.process import require_source
from streams.kafka.admin import Admin
from streams.kafka.topics import require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from streams.config import Settings

STOP_S: Final = 18.0
"""Time for both parts to stop before they are killed, seconds."""
STEADY_S: Final = 30.0
"""A part that ran for this long is started again at once when it dies, seconds."""
LONGEST_PAUSE_S: Final = 10.0
"""The longest pause before a part is started again, seconds."""

_FIRST_PAUSE_S: Final = 0.2
_EXIT_INTERRUPTED: Final = 130
_BACKLOG: Final = 1024
_API_TOPICS: Final = (Topic.COMMANDS, Topic.BATCH_SLICES, Topic.FLOWS, Topic.WORKERS, Topic.DEAD_LETTERS)

log = structlog.get_logger("streams.gateway")


def run_gateway(settings: Settings) -> int:
    """Run the gateway until SIGTERM or Ctrl-C; a second one ends it at once. Returns the exit code.

    A part that dies is started again, with a pause that grows while it keeps dying.

    Raises:
        StreamsError: it cannot start, or a part cannot go on, for a reason that a person can put right.
    """
    check_start(settings)
    require_source(settings)
    admin = Admin(settings)
    require(admin.client, settings, admin.trouble, *_API_TOPICS)
    with ExitStack() as stack:
        front = stack.enter_context(listening(settings.gateway_http, variable("gateway_http")))
        back = stack.enter_context(listening("127.0.0.1:0", "the merge's own address"))
        merge = Child("merge", settings, {"listen": back})
        api = Child("api", settings, {"listen": front}, {"merge": back.getsockname()[1]})
        watch = LivenessWatch(back.getsockname()[1])
        stack.callback(watch.end)
        return Supervisor([merge, api], {merge: watch}).run()


@contextmanager
def listening(address: str, setting: str) -> Iterator[socket.socket]:
    """A socket that listens; `setting`: the variable that holds the address, for messages.

    Raises:
        StreamsError: the address cannot be used.
    """
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    with made:
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((host, int(port)))
            made.listen(_BACKLOG)
        except (OSError, OverflowError) as error:
            raise StreamsError(
                f"{setting}={address}: {getattr(error, 'strerror', None) or error}; each process on a machine needs "
                "an address of its own"
            ) from error
        yield made


class Supervisor:
    """Runs the parts until it is asked to stop; `watches`: those of parts that may be stuck."""

    def __init__(self, parts: list[Child], watches: Mapping[Child, LivenessWatch]) -> None:
        self._parts = parts
        self._watches = watches
        self._again: dict[Child, float] = {}
        self._pauses: dict[Child, float] = {}
        self._asked_at: float | None = None
        self._killed = False

    def run(self) -> int:
        """Start the parts and look after them; returns the exit code.

        Raises:
            StreamsError: a part has ended for a reason that a person can put right; the other one is stopped.
        """
        with self._signals() as wait:
            for part in self._parts:
                part.start()
            fault: str | None = None
            clean = True
            while True:
                for part in [each for each in self._parts if each.ended()]:
                    fault = self._dead(part) or fault
                    clean = clean and (self._asked_at is None or self._ended_well(part))
                if fault is not None and self._asked_at is None:
                    self._stop()
                if self._asked_at is None:
                    self._kill_those_stuck()
                    self._start_those_due()
                elif not any(part.running for part in self._parts):
                    break
                elif time.monotonic() - self._asked_at > STOP_S and not self._killed:
                    self._kill()
                wait(self._next_look())
        if fault is not None:
            raise StreamsError(fault)
        return 0 if clean else 1

    def _ended_well(self, part: Child) -> bool:
        """True if a part was not in trouble when it was asked to stop.

        One that SIGTERM has killed could not listen to it yet, and had begun nothing; one that somebody else has killed
        is no fault of the stop.
        """
        return part.code in (0, -signal.SIGTERM) or (part.code == -signal.SIGKILL and not self._killed)

    def _dead(self, part: Child) -> str | None:
        """Arrange the next life of a part that has ended; returns the fault that a person must mend."""
        fault = part.fault()
        if fault is not None or self._asked_at is not None:
            return fault
        steady = part.lasted >= STEADY_S
        pause = _FIRST_PAUSE_S if steady else self._pauses.get(part, _FIRST_PAUSE_S)
        self._pauses[part] = min(LONGEST_PAUSE_S, 2 * pause)
        pause = 0.0 if steady or part.code == AGAIN else pause
        self._again[part] = time.monotonic() + pause
        log.warning("a part of the gateway has ended; it is started again", part=part.name, code=part.code, pause=pause)
        return None

    def _kill_those_stuck(self) -> None:
        """End what is stuck, so that it is started again."""
        for part, watch in self._watches.items():
            if watch.stuck:
                watch.begin()
                log.error("a part of the gateway is stuck; it is killed", part=part.name)
                part.send(signal.SIGKILL)

    def _start_those_due(self) -> None:
        for part, due in list(self._again.items()):
            if time.monotonic() >= due:
                del self._again[part]
                if part in self._watches:
                    self._watches[part].begin()
                part.start()

    def _next_look(self) -> float:
        now = time.monotonic()
        dues = [due - now for due in self._again.values()]
        if self._asked_at is not None:
            dues.append(self._asked_at + STOP_S - now)
        return max(0.01, min([*dues, 1.0]))

    def _stop(self) -> None:
        self._asked_at = time.monotonic()
        self._again.clear()
        for part in self._parts:
            part.send(signal.SIGTERM)

    def _kill(self) -> None:
        self._killed = True
        slow = [part.name for part in self._parts if part.running]
        log.error("the gateway did not stop cleanly", parts=slow, seconds=STOP_S)
        for part in self._parts:
            part.send(signal.SIGKILL)

    @contextmanager
    def _signals(self) -> Iterator[Callable[[float], None]]:
        """Hear of signals and of parts that end; gives the function that waits for one of them, at most so long."""
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        kinds = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
        before = {kind: signal.signal(kind, self._heard) for kind in kinds}
        woken_before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        selector = selectors.DefaultSelector()
        selector.register(reader, selectors.EVENT_READ)

        def wait(seconds: float) -> None:
            if selector.select(seconds):
                os.read(reader, 4096)

        try:
            yield wait
        finally:
            for part in self._parts:
                part.send(signal.SIGKILL)
            signal.set_wakeup_fd(woken_before)
            for kind, handler in before.items():
                signal.signal(kind, handler)
            selector.close()
            os.close(reader)
            os.close(writer)

    def _heard(self, number: int, _frame: object) -> None:
        if number == signal.SIGCHLD:
            return
        if self._asked_at is None:
            self._stop()
            return
        for part in self._parts:
            part.send(signal.SIGKILL)
        os._exit(_EXIT_INTERRUPTED)
