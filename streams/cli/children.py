"""Processes that a program starts beside its own work, such as those of the demo. None of them outlives it."""

from __future__ import annotations

import atexit
import signal
import time
from typing import TYPE_CHECKING, Self

from streams.errors import StreamsError
from streams.supervision.child import Program
from streams.supervision.outputs import Files

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path
    from types import TracebackType

_GRACE_S = 10.0
_PATIENCE_S = 30.0
_LOOK_S = 0.02


class QuietChildren:
    """A context manager for processes that are started and stopped together; their output goes to files in `folder`."""

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self._files = Files(folder)
        self._running: dict[str, Program] = {}

    def __enter__(self) -> Self:
        atexit.register(self.stop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        atexit.unregister(self.stop)

    def start(self, name: str, *words: str, module: str = "streams", **variables: str) -> None:
        """Start `python -m <module> <words>` under a unique name, with additional `variables` in its environment."""
        child = Program(name, words, {**self._variables, **variables}, self._files, module)
        self._running[name] = child  # before its start, which an interrupt may follow at once
        child.start()

    def log(self, name: str) -> Path:
        """The file with the output of a process."""
        return self._files.path(name)

    def require_running(self) -> None:
        """Raise a `StreamsError` if a process has ended, with the last lines of its log."""
        for child in self._running.values():
            if child.ended():
                raise StreamsError(child.told_end())

    def end(self, name: str) -> None:
        """Ask a process to end, and wait for it.

        Raises:
            StreamsError: it ended with an error, or not within 30 seconds.
        """
        child = self._running[name]
        child.send(signal.SIGTERM)
        if _left([child], _PATIENCE_S):
            raise StreamsError(f"{name} has not ended within {_PATIENCE_S:.0f} s")
        del self._running[name]
        if child.code != 0:
            raise StreamsError(child.told_end())

    def stop(self) -> None:
        """End all processes: ask first, kill after ten seconds."""
        running = [child for child in self._running.values() if child.running]
        for child in running:
            child.send(signal.SIGTERM)
        for child in _left(running, _GRACE_S):
            child.kill()
        self._running.clear()


def _left(children: Collection[Program], seconds: float) -> Collection[Program]:
    """Wait until these have ended, up to `seconds`; returns those that have not."""
    deadline = time.monotonic() + seconds
    left = [child for child in children if child.running and not child.ended()]
    while left and time.monotonic() < deadline:
        time.sleep(_LOOK_S)
        left = [child for child in left if not child.ended()]
    return left
