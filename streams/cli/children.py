"""Child processes of one program: workers, gateway and the rest. None of them outlives it."""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, BinaryIO, Self

from streams.errors import StreamsError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

_GRACE_S = 10.0
_PATIENCE_S = 30.0
_LINES_SHOWN = 8


class Children:
    """A context manager for processes that are started and stopped together.

    Each leads a process group of its own, so that Ctrl-C reaches only this program, which then stops them in order. A
    watcher ends each of them if this program vanishes, as by `kill -9`: its end of a pipe closes then. A subclass says
    where their output goes.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
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

    def start(self, name: str, *words: str, module: str = "streams", **variables: str) -> None:
        """Start `python -m <module> <words>` under a unique name, with additional `variables` in its environment."""
        with self._output(name) as log:
            process = subprocess.Popen(  # noqa: S603 - this program itself
                [sys.executable, "-m", module, *words],
                env={**self._environment, **variables},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._running[name] = process
        self._watchers.append(_watcher(process.pid))

    def require_running(self) -> None:
        """Raise a `StreamsError` if a process has ended, with the last lines of its log."""
        for name, process in self._running.items():
            if process.poll() is not None:
                raise self._ended(name, process)

    def end(self, *names: str) -> None:
        """Ask these processes to end, and wait for all of them.

        Raises:
            StreamsError: one ended with an error, or not within 30 seconds.
        """
        for name in names:
            _signal(self._running[name], signal.SIGTERM)
        deadline = time.monotonic() + _PATIENCE_S
        for name in names:
            process = self._running[name]
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                raise StreamsError(f"{name} has not ended within {_PATIENCE_S:.0f} s") from None
            del self._running[name]
            if process.returncode != 0:
                raise self._ended(name, process)

    def kill(self) -> None:
        """End all processes at once."""
        for process in self._running.values():
            _signal(process, signal.SIGKILL)

    def stop(self) -> None:
        """End all processes: ask first, kill after ten seconds."""
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

    def _output(self, name: str) -> BinaryIO:
        """What a process writes to; closed here once it has it."""
        raise NotImplementedError

    def _last_lines(self, name: str, most: int) -> list[str]:
        """The last lines that a process has written."""
        raise NotImplementedError

    def _ended(self, name: str, process: subprocess.Popen[bytes]) -> StreamsError:
        lines = self._last_lines(name, _LINES_SHOWN)
        return StreamsError("\n".join([f"{name} ended with exit code {process.returncode}:", *lines]))


class QuietChildren(Children):
    """Children whose output goes to `<name>.log` in `folder`."""

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        super().__init__(variables)
        self._folder = folder

    def log(self, name: str) -> Path:
        """The file with the output of a process."""
        return self._folder / f"{name}.log"

    def _output(self, name: str) -> BinaryIO:
        return self.log(name).open("wb")

    def _last_lines(self, name: str, most: int) -> list[str]:
        return self.log(name).read_text(encoding="utf-8", errors="replace").splitlines()[-most:]


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
