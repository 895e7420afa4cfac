"""The one who starts the processes of a tree, looks after them, and stops them."""

from __future__ import annotations

import errno
import os
import selectors
import signal
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog

from streams.errors import StreamsError
from streams.supervision.child import AGAIN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from streams.supervision.child import Child
    from streams.supervision.liveness import LivenessWatch

STEADY_S: Final = 30.0
"""A part that ran for this long is started again at once when it dies, seconds."""
LONGEST_PAUSE_S: Final = 10.0
"""The longest pause before a part is started again, seconds."""

_FIRST_PAUSE_S: Final = 0.2
_BY_OTHERS: Final = (0, -signal.SIGTERM, -signal.SIGKILL)
"""Exit codes of a part that somebody else has ended."""
_NO_ROOM: Final = frozenset({errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC})
"""Errors of a start that may pass."""

log = structlog.get_logger("streams.supervisor")


class Tree(NamedTuple):
    """What is special about a tree of processes.

    `ends_all`: called with a part that has ended by itself, and how often in a row it has failed within `STEADY_S` of
    its start; returns why the whole is to end, or None: it is started again. `at_once`: called with a second signal,
    once all parts are killed. `look`: called in each round; a `StreamsError` that it raises ends the whole. `stopping`:
    called when a first signal has come.
    """

    name: str
    part: str
    """What a part is called in the log."""
    field: str
    """The field of the log with its name."""
    stop_s: float
    """Time to stop before the parts are killed, seconds; for each stage."""
    ends_all: Callable[[Child, int], str | None]
    at_once: Callable[[int], None]
    stopping: Callable[[], None] = lambda: None
    look: Callable[[], None] = lambda: None
    look_every_s: float = 1.0


def end_at_once(number: int) -> None:
    """End this process by a signal's exit code."""
    os._exit(128 + number)


class Supervisor:
    """Runs the parts until it is asked to stop; a part that dies is started again, with a pause that grows.

    Args:
        tree: what is special about this one.
        stages: the parts; those of a stage are asked to stop when those of the stage before have ended.
        watches: on parts that may be stuck; such a one is killed.
    """

    def __init__(
        self, tree: Tree, *stages: Sequence[Child], watches: Mapping[Child, LivenessWatch] | None = None
    ) -> None:
        self._tree = tree
        self._parts = [part for stage in stages for part in stage]
        self._stages = list(stages)
        self._watches = watches or {}
        self._again: dict[Child, float] = {}
        self._pauses: dict[Child, float] = {}
        self._failures: Counter[Child] = Counter()
        self._signalled = False
        self._asked = False
        self._deadline = float("inf")
        self._killed = False
        self.restarts: Counter[str] = Counter()
        """How often each part was started again, by name; any thread may read it."""
        self.unclean: list[Child] = []
        """Parts that did not end well when they were asked to stop."""

    def run(self) -> int:
        """Start the parts and look after them; returns the exit code.

        Raises:
            StreamsError: a part, or what looks after the tree, cannot go on; all parts are stopped.
        """
        with self._signals() as wait:
            for part in self._parts:
                self._start(part)
            fault: str | None = None
            while True:
                if self._signalled and not self._asked:
                    self._stop()
                    self._tree.stopping()
                for part in [each for each in self._parts if each.ended()]:
                    fault = self._dead(part) or fault
                if not self._asked:
                    fault = fault or self._looked()
                    if fault is not None:
                        self._stages = [self._parts]
                        self._stop()
                if not self._asked:
                    self._kill_those_stuck()
                    self._start_those_due()
                elif self._stopped():
                    break
                wait(self._next_look())
        if fault is not None:
            raise StreamsError(fault)
        return 1 if self.unclean else 0

    def _looked(self) -> str | None:
        try:
            self._tree.look()
        except StreamsError as error:
            return str(error)
        return None

    def _start(self, part: Child) -> None:
        part.start()
        self._tell(log.info, "is started", part, pid=part.pid)

    def _tell(self, write: Callable[..., None], what: str, part: Child, **more: object) -> None:
        write(f"a {self._tree.part} {what}", **{self._tree.field: part.name}, **more)

    def _dead(self, part: Child) -> str | None:
        """Arrange the next life of a part that has ended; returns the fault that ends all."""
        if self._asked:
            if not self._ended_well(part):
                self.unclean.append(part)
            return part.fault()
        steady = part.lasted >= STEADY_S
        if steady:
            self._failures[part] = 0
        self._failures[part] += part.code not in (*_BY_OTHERS, AGAIN)
        fault = self._tree.ends_all(part, self._failures[part])
        if fault is not None:
            return fault
        pause = _FIRST_PAUSE_S if steady else self._pauses.get(part, _FIRST_PAUSE_S)
        self._pauses[part] = min(LONGEST_PAUSE_S, 2 * pause)
        pause = 0.0 if steady or part.code == AGAIN else pause
        self._again[part] = time.monotonic() + pause
        why = {} if part.fault() is None else {"error": part.fault()}
        self._tell(log.warning, "has ended; it is started again", part, code=part.code, pause=pause, **why)
        return None

    def _ended_well(self, part: Child) -> bool:
        """True if a part was not in trouble when it was asked to stop.

        One that SIGTERM has killed could not listen to it yet, and had begun nothing; one that somebody else has killed
        is no fault of the stop.
        """
        return part.code in _BY_OTHERS and not (part.code == -signal.SIGKILL and self._killed)

    def _kill_those_stuck(self) -> None:
        """End what is stuck, so that it is started again."""
        for part, watch in self._watches.items():
            if watch.stuck and part.running:
                watch.begin()
                self._tell(log.error, "is stuck; it is killed", part)
                part.send(signal.SIGKILL)

    def _start_those_due(self) -> None:
        for part, due in list(self._again.items()):
            if time.monotonic() >= due:
                del self._again[part]
                if part in self._watches:
                    self._watches[part].begin()
                self._start_again(part)

    def _start_again(self, part: Child) -> None:
        """Start a part; one for which this machine has no room just now is tried again, and the others go on."""
        try:
            self._start(part)
            self.restarts[part.name] += 1
        except (OSError, RuntimeError) as error:
            # A thread that cannot be started is told by a RuntimeError.
            if isinstance(error, OSError) and error.errno not in _NO_ROOM:
                raise
            pause = self._pauses.get(part, _FIRST_PAUSE_S)
            self._pauses[part] = min(LONGEST_PAUSE_S, 2 * pause)
            self._again[part] = time.monotonic() + pause
            self._tell(log.error, "cannot be started; it is tried again", part, error=str(error), pause=pause)

    def _next_look(self) -> float:
        now = time.monotonic()
        dues = [due - now for due in (*self._again.values(), self._deadline)]
        return max(0.01, min([*dues, self._tree.look_every_s]))

    # --- the stop ---

    def _stop(self) -> None:
        self._asked = True
        self._again.clear()
        self._stop_stage()

    def _stop_stage(self) -> None:
        self._deadline = time.monotonic() + self._tree.stop_s
        for part in self._stages[0]:
            part.send(signal.SIGTERM)

    def _stopped(self) -> bool:
        """Go on with the stop; True once all parts have ended."""
        while self._stages and not any(part.running for part in self._stages[0]):
            del self._stages[0]
            if self._stages:
                self._stop_stage()
        if self._stages and time.monotonic() > self._deadline and not self._killed:
            slow = [part.name for part in self._parts if part.running]
            unclean = f"the {self._tree.name} did not stop cleanly"
            log.error(unclean, parts=slow, seconds=self._tree.stop_s)
            self._killed, self._deadline = True, float("inf")
            self._kill()
        return not self._stages

    def _kill(self) -> None:
        for part in self._parts:
            part.send(signal.SIGKILL)

    @contextmanager
    def _signals(self) -> Iterator[Callable[[float], None]]:
        """Hear of signals and of parts that end; yields the function that waits for one, for some seconds."""
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
                part.kill()
            signal.set_wakeup_fd(woken_before)
            for kind, handler in before.items():
                signal.signal(kind, handler)
            selector.close()
            os.close(reader)
            os.close(writer)

    def _heard(self, number: int, _frame: object) -> None:
        if number == signal.SIGCHLD:
            return
        if self._signalled or self._asked:
            self._kill()
            self._tree.at_once(number)
        # The loop does the rest: it may be starting a part at this moment.
        self._signalled = True
