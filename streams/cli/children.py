"""Worker and gateway as processes of this same program, none of which outlives it."""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Self

from streams.errors import StreamsError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

_GRACE_S = 10.0
_LINES_SHOWN = 8


class Children:
    """Processes started together and stopped together; a context manager.

    Each leads a process group of its own, so that Ctrl-C reaches this program alone, which then stops them in order.
    A watcher ends each when this program vanishes without a word, as by `kill -9`: its end of a pipe closes then.
    Their output goes to `<verb>.log` in `folder`.
    """

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = {**os.environ, **variables}
        self._watchers: list[subprocess.Popen[bytes]] = []
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        atexit.register(self.stop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        atexit.unregister(self.stop)

    def start(self, verb: str) -> None:
        """Start `streams <verb>`."""
        with self._log(verb).open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 - this program itself
                [sys.executable, "-m", "streams", verb],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._running[verb] = process
        self._watchers.append(_watcher(process.pid))

    def require_running(self) -> None:
        """Raise a `StreamsError` with the last lines of its log when one of them has ended."""
        for verb, process in self._running.items():
            if process.poll() is not None:
                lines = self._log(verb).read_text(encoding="utf-8", errors="replace").splitlines()[-_LINES_SHOWN:]
                raise StreamsError("\n".join([f"the {verb} ended with exit code {process.returncode}:", *lines]))

    def stop(self) -> None:
        """End all of them: asked first, killed after ten seconds."""
        for process in self._running.values():
            _signal(process, signal.SIGTERM)
        deadline = time.monotonic() + _GRACE_S
        for process in self._running.values():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                _signal(process, signal.SIGKILL)
                process.wait()
        self._running.clear()
        for watcher in self._watchers:
            os.killpg(watcher.pid, signal.SIGKILL)
            watcher.communicate()
        self._watchers.clear()

    def _log(self, verb: str) -> Path:
        return self._folder / f"{verb}.log"


def _watcher(group: int) -> subprocess.Popen[bytes]:
    script = f"cat >/dev/null; kill -s TERM -- -{group}; sleep {_GRACE_S:.0f}; kill -s KILL -- -{group}"
    return subprocess.Popen(  # noqa: S603 - made of numbers
        ["/bin/sh", "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    if process.poll() is None:
        os.killpg(process.pid, number)
