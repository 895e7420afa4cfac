"""Queries take of the processors what the loop, and a broker on its machine, leave them."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_NICENESS: Final = 5
"""A third of the loop's weight. With much less, a thread that is put off could keep the interpreter from the loop."""
_SHARE: Final = 0.2
"""What of a processor all queries together take beside a busy loop."""
_BUSY_S: Final = 0.3
"""A loop counts as busy for so long: a slow batch has pauses between its pages."""


class Share:
    """The processor time of queries beside the loop. `clock`: seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._busy_until = 0.0
        self._askers: set[int] = set()

    def loop_is_busy(self) -> None:
        """Note that the loop has much to do."""
        self._busy_until = self._clock() + _BUSY_S

    @contextmanager
    def taken(self) -> Iterator[None]:
        """A query that is being answered by this thread."""
        thread = threading.get_ident()
        self._askers.add(thread)
        try:
            yield
        finally:
            self._askers.discard(thread)

    def rest(self) -> float:
        """How long a query rests after a piece of work, in times of what that took."""
        return max(1, len(self._askers)) / _SHARE - 1 if self._clock() < self._busy_until else 0.0


def giving_way(app: WSGIApplication) -> WSGIApplication:
    """The application, served at a lower priority. It must have each thread to itself, and the thread end with it."""

    def served(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # Elsewhere a priority is a process's, not a thread's.
        if sys.platform == "linux":
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        return app(environ, start_response)

    return served
