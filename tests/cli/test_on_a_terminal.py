"""`kill` on a terminal: preview, question, live bar, end."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from support.service.command_line import CommandLine

COLUMNS = 80


class Terminal:
    """A command line on a terminal of its own."""

    def __init__(self, line: CommandLine, *words: str) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "streams", *words],
                cwd=line.folder,
                env={**line.environment, "TERM": "xterm"},
                stdin=slave,
                stdout=slave,
                stderr=slave,
                start_new_session=True,
            )
        finally:
            os.close(slave)
        self.shown = ""

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._master, keys.encode())

    def await_text(self, wanted: str, seconds: float = 60) -> None:
        """Wait until it stands on the screen."""
        deadline = time.monotonic() + seconds
        while wanted not in self.shown:
            if time.monotonic() > deadline or not self._read():
                raise AssertionError(f"{wanted!r} never came:\n{self.shown}")

    def end(self) -> int:
        """Read to the end; the exit code."""
        while self._read():
            pass
        return self.process.wait(30)

    def close(self) -> None:
        """Nothing is left running."""
        self.process.kill()
        self.process.wait()
        os.close(self._master)

    def _read(self) -> bool:
        try:
            read = os.read(self._master, 65_536).decode(errors="replace")
        except OSError:
            return False  # the program has ended
        self.shown += re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", read)
        return bool(read)


@pytest.fixture
def on_a_terminal(live: CommandLine) -> Callable[..., AbstractContextManager[Terminal]]:
    """A function that starts a command line on a terminal."""

    @contextmanager
    def start(*words: str) -> Iterator[Terminal]:
        terminal = Terminal(live, *words)
        try:
            yield terminal
        finally:
            terminal.close()

    return start


def test_yes_after_the_preview_kills_and_shows_how_it_gets_on(
    live: CommandLine,
    load: Callable[[str, int], list[str]],
    on_a_terminal: Callable[..., AbstractContextManager[Terminal]],
) -> None:
    """Count and samples, the question, a bar, the counters at the end; no line is wider than the terminal."""
    service = f"asked-{uuid4().hex[:8]}"
    ids = load(service, 12)
    with on_a_terminal("kill", "-s", service) as terminal:
        terminal.await_text("Kill 12 invocations? [y/N]")
        assert "12 match" in terminal.shown
        assert sum(each in terminal.shown for each in ids) == 10
        assert "by status" in terminal.shown
        terminal.type("y\n")
        assert terminal.end() == 0
        assert "ETA " in terminal.shown
        assert "matched     12" in terminal.shown
        assert max(map(len, re.split(r"[\r\n]+", terminal.shown))) <= COLUMNS
    assert live.json("kill", "-s", service, "--dry-run")["matched"] == 0


def test_no_after_the_preview_kills_nothing(
    live: CommandLine,
    load: Callable[[str, int], list[str]],
    on_a_terminal: Callable[..., AbstractContextManager[Terminal]],
) -> None:
    """Exit code 1."""
    service = f"refused-{uuid4().hex[:8]}"
    load(service, 1)
    with on_a_terminal("kill", "-s", service) as terminal:
        terminal.await_text("Kill 1 invocation? [y/N]")
        terminal.type("\n")
        assert terminal.end() == 1
        assert "nothing was sent" in terminal.shown
    assert live.json("kill", "-s", service, "--dry-run")["matched"] == 1


def test_ctrl_c_at_the_bar_leaves_the_batch_running(
    live: CommandLine,
    load: Callable[[str, int], list[str]],
    on_a_terminal: Callable[..., AbstractContextManager[Terminal]],
) -> None:
    """Exit code 130, and how to watch it again, which works."""
    service = f"left-{uuid4().hex[:8]}"
    load(service, 3)
    with on_a_terminal("cancel", "-s", service, "--grace", "8s", "--yes") as terminal:
        terminal.await_text("DRAINING")
        terminal.process.send_signal(signal.SIGINT)  # as Ctrl-C does
        assert terminal.end() == 130
        [again] = re.findall(r"streams batch watch\s+([0-9a-f-]{36})", terminal.shown)
    assert live.json("batch", "watch", again)["done"] == 3
