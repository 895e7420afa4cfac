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
_BESIDE_MUCH: Final = 0.2
"""What of a processor all queries together take beside pages or many commands."""
_BESIDE_LITTLE: Final = 2 / 3
"""The same beside a few commands."""
_LASTS_S: Final = 0.3
"""How long a loop counts as working, seconds: a slow batch has pauses between its pages."""


class Share:
    """The processor time of queries beside the loop. `clock`: seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._works_until = self._much_until = 0.0
        self._askers: set[int] = set()

    def loop_works(self, *, much: bool) -> None:
        """Note that the loop has something to do, or much."""
        until = self._works_until = self._clock() + _LASTS_S
        if much:
            self._much_until = until

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
        now = self._clock()
        if now >= self._works_until:
            return 0.0
        return max(1, len(self._askers)) / (_BESIDE_MUCH if now < self._much_until else _BESIDE_LITTLE) - 1


def giving_way(app: WSGIApplication) -> WSGIApplication:
    """The application, served at a lower priority. It must have each thread to itself, and the thread end with it."""

    def served(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # Elsewhere a priority is a process's, not a thread's.
        if sys.platform == "linux":
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        return app(environ, start_response)

    return served
