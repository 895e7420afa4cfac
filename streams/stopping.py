"""A stop that was asked for ends in bounded time: Kafka may be gone, and its clients would wait for it."""

from __future__ import annotations

import logging
import os
import threading

log = logging.getLogger("streams.stopping")

STOP_SECONDS = 20.0
"""How long a clean stop may take before the process ends without it."""


class Limit:
    """Ends the process, with exit code 1 and a line that says so, unless it is lifted in time.

    Args:
        program: what stops, for the line.
    """

    def __init__(self, program: str) -> None:
        self._program = program
        self._timer: threading.Timer | None = None

    def begin(self, more: float = 0.0) -> None:
        """From now on there are `STOP_SECONDS`, and `more`; called again, they count anew."""
        self.lift()
        self._timer = threading.Timer(STOP_SECONDS + more, self._end)
        self._timer.daemon = True
        self._timer.start()

    @property
    def begun(self) -> bool:
        """Whether a stop was asked for."""
        return self._timer is not None

    def lift(self) -> None:
        """It has stopped by itself."""
        if self._timer is not None:
            self._timer.cancel()

    def _end(self) -> None:
        """End as a crash would: what Kafka has not committed is read again at the next start."""
        log.error(
            "the %s did not stop cleanly within %g s; nothing is lost, the next start settles it",
            self._program,
            STOP_SECONDS,
        )
        logging.shutdown()
        os._exit(1)
