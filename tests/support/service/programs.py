"""The service's programs as real processes, each with a log that can be waited for."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

ROOT = Path(__file__).parents[3]
"""The checkout: programs run in a folder of their own and import the package from here."""


def script(name: str) -> ModuleType:
    """One of the project's scripts as a module; they are programs in no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    if spec is None or spec.loader is None:
        raise AssertionError(f"there is no script {name}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Program:
    """`python -m streams <args>`, started as often as wanted; its output is appended to one log file.

    What is asked about the log concerns the life that was started last.
    """

    def __init__(self, name: str, args: list[str], folder: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._args = [sys.executable, "-m", "streams", *args]
        self._folder = folder
        self._environment = dict(environment)
        self._begin = 0
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether there is a process that has not ended."""
        return self.process is not None and self.process.poll() is None

    @property
    def failed(self) -> bool:
        """Whether it has ended by itself, with an error."""
        return self.process is not None and (self.process.poll() or 0) > 0

    def start(self, **more: str) -> None:
        """A new life; `more`: variables that are added for this life."""
        if self.running:
            raise AssertionError(f"{self.name} runs already")
        self.log.touch()
        self._begin = self.log.stat().st_size
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("STREAMS_")}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._args,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=self._folder,
                env={**inherited, "PYTHONPATH": str(ROOT), **self._environment, **more},
            )

    def send(self, number: signal.Signals) -> None:
        """A signal to the process."""
        if self.process is None:
            raise AssertionError(f"{self.name} was never started")
        self.process.send_signal(number)

    def kill9(self) -> None:
        """End it without a chance to say anything."""
        self.send(signal.SIGKILL)
        self.wait()

    def terminate(self, timeout: float = 30.0) -> int:
        """Ask it to end; returns its exit code."""
        self.send(signal.SIGTERM)
        return self.wait(timeout)

    def wait(self, timeout: float = 30.0) -> int:
        """Wait for its end; returns the exit code."""
        if self.process is None:
            raise AssertionError(f"{self.name} was never started")
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} has not ended within {timeout:g} s:\n{self.tail()}") from None

    def end(self) -> None:
        """Make sure that nothing is left running, stopped processes included."""
        if self.running:
            self.kill9()

    def output(self) -> str:
        """What this life has written."""
        with self.log.open("rb") as log:
            log.seek(self._begin)
            return log.read().decode(errors="replace")

    def tail(self, lines: int = 60) -> str:
        """The end of the log, all lives together."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""

    def events(self, event: str) -> list[dict[str, Any]]:
        """Log lines of this life whose event has that name."""
        found = []
        for line in self.output().splitlines():
            if line.startswith("{") and f'"{event}"' in line:
                fields = json.loads(line)
                if fields.get("event") == event:
                    found.append(fields)
        return found

    def await_event(self, event: str, count: int = 1, timeout: float = 60.0) -> list[dict[str, Any]]:
        """Wait until the event is in the log that often."""
        deadline = time.monotonic() + timeout
        while len(found := self.events(event)) < count:
            if not self.running:
                raise AssertionError(f"{self.name} ended before {event!r}:\n{self.tail()}")
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.name}: {len(found)} of {count} {event!r} in {timeout:g} s:\n{self.tail()}")
            time.sleep(0.05)
        return found
