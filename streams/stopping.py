"""Stops: bounded in time, as Kafka may be gone, and never in the middle of a start."""

from __future__ import annotations

import logging
import os
import signal
import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger("streams.stopping")

STOP_S = 20.0
"""Time for a clean stop before the process ends without one, seconds."""


class Limit:
    """Ends the process, with exit code 1 and a log line, unless it is lifted in time.

    Args:
        program: name of the stopping program, for the log line.
    """

    def __init__(self, program: str) -> None:
        self._program = program
        self._timer: threading.Timer | None = None

    def begin(self, more: float = 0.0) -> None:
        """Start the limit of `STOP_S` plus `more`; a second call starts it again."""
        self.lift()
        self._timer = threading.Timer(STOP_S + more, self._end)
        self._timer.daemon = True
        self._timer.start()

    @property
    def begun(self) -> bool:
        """True if the limit was started: a stop was asked for."""
        return self._timer is not None

    def lift(self) -> None:
        """Cancel the limit: the program has stopped by itself."""
        if self._timer is not None:
            self._timer.cancel()

    def _end(self) -> None:
        """End like a crash: everything not committed to Kafka is read again at the next start."""
        log.error(
            "the %s did not stop cleanly within %g s; nothing is lost, the next start settles it",
            self._program,
            STOP_S,
        )
        logging.shutdown()
        os._exit(1)


@contextmanager
def held() -> Iterator[None]:
    """Ctrl-C and SIGTERM come after the block, not within it: a process that it starts is known by then.

    The block must end by itself, and soon. Outside the main thread, which alone is interrupted, nothing is held.
    """
    came: list[int] = []
    with ExitStack() as stack:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if (handler := signal.getsignal(number)) not in (None, signal.SIG_IGN):
                    stack.callback(signal.signal, number, handler)
                    signal.signal(number, lambda each, _frame: came.append(each))
        try:
            yield
        finally:
            stack.close()
            for each in came:
                signal.raise_signal(each)
