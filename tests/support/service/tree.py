"""A command that starts others, and all processes that came of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from support.service.programs import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence

PROC = Path("/proc")


class Tree:
    """`streams <words>`; what it starts is found again by a variable that is handed down."""

    def __init__(self, words: Sequence[str], folder: Path, **variables: str) -> None:
        if not PROC.exists():
            pytest.skip("processes are found by /proc")
        self._mark = f"TREE_MARK={uuid4().hex}"
        name, _, value = self._mark.partition("=")
        inherited = {each: text for each, text in os.environ.items() if not each.startswith("STREAMS_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "streams", *words],
            cwd=folder,
            env={**inherited, "PYTHONPATH": str(ROOT), **variables, name: value},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def others(self, having: str = "") -> list[int]:
        """Processes that it has started and that still run; `having`: only those with this in their command line."""
        found = []
        for folder in PROC.glob("[0-9]*"):
            try:
                variables, words = (folder / "environ").read_bytes(), (folder / "cmdline").read_bytes()
            except OSError:
                continue  # it has just ended
            ours = self._mark.encode() in variables and int(folder.name) != self.process.pid
            if ours and having.encode() in words.replace(b"\0", b" "):
                found.append(int(folder.name))
        return found

    def await_others(self, *, none: bool, seconds: float) -> bool:
        """Wait until some run, or none does; whether that came true."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if (not self.others()) is none:
                return True
            time.sleep(0.1)
        return False

    def await_line(self, beginning: str) -> str:
        """The next line of stdout that begins so."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(beginning):
                return line.rstrip("\n")
        raise AssertionError(f"it has ended without a line {beginning!r}:\n{self.process.communicate()[1]}")

    def end(self) -> None:
        """Make sure that nothing is left running."""
        for each in [self.process.pid, *self.others()]:
            if self.process.poll() is None or each != self.process.pid:
                os.kill(each, signal.SIGKILL)
        self.process.communicate()
