"""A part of the gateway as the supervisor sees it: a process, its settings and sockets, and its last word."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    import signal
    import socket
    from collections.abc import Mapping

    from streams.config import Settings

log = structlog.get_logger("streams.gateway")

AGAIN: Final = 4
"""Exit code of a part that wants to be started again at once."""


class Child:
    """`python -m streams.gateway.part <name>`, started as often as needed.

    Its settings come by its standard input, which stays open: the part ends when the supervisor is gone. On its
    standard output it says why it cannot go on, if a person must mend that; its log goes where the supervisor's goes.

    Args:
        name: merge or api.
        settings: all of them.
        sockets: those that it inherits, by name.
        more: further values for it, by name.
    """

    def __init__(
        self,
        name: str,
        settings: Settings,
        sockets: Mapping[str, socket.socket],
        more: Mapping[str, object] | None = None,
    ) -> None:
        self.name = name
        self.code: int | None = None
        self._sockets = sockets
        self._inherited = json.dumps(
            {
                "settings": settings.model_dump(mode="json"),
                "sockets": {each: opened.fileno() for each, opened in sockets.items()},
                **(more or {}),
            }
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self.lasted = 0.0
        """How long its last life was, seconds."""

    @property
    def running(self) -> bool:
        """True from its start until `ended` has said that it is over."""
        return self._process is not None

    def command(self) -> list[str]:
        """Its command line."""
        return [sys.executable, "-m", "streams.gateway.part", self.name]

    def start(self) -> None:
        """Start it."""
        self._started_at = time.monotonic()
        self._process = subprocess.Popen(  # noqa: S603 - this very program
            self.command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[opened.fileno() for opened in self._sockets.values()],
            # Ctrl-C is for the supervisor, which passes it on once.
            process_group=0,
        )
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        try:
            self._process.stdin.write(self._inherited.encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended already, which will be noticed
        log.info("a part of the gateway is started", part=self.name, pid=self._process.pid)

    def send(self, number: signal.Signals) -> None:
        """A signal to it, if it runs."""
        if self._process is not None:
            self._process.send_signal(number)

    def ended(self) -> bool:
        """True once for each life that is over; `code` and `lasted` are then known."""
        if self._process is None or self._process.poll() is None:
            return False
        self.code = self._process.returncode
        self.lasted = time.monotonic() - self._started_at
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        assert self._process.stdout is not None  # noqa: S101 - likewise
        os.set_blocking(self._process.stdout.fileno(), False)
        self._last_word = (self._process.stdout.read() or b"").decode(errors="replace").strip()
        self._process.stdin.close()
        self._process.stdout.close()
        self._process = None
        return True

    def fault(self) -> str | None:
        """What it said last: why it cannot go on until a person has mended that; None if it said nothing."""
        return self._last_word or None
