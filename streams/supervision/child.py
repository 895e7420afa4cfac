"""A process of a tree as the one who starts it sees it: its lives, its log, and its last word."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Protocol

from streams.stopping import held

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

    from streams.config import Settings

AGAIN: Final = 4
"""Exit code of a part that wants to be started again at once."""

_GRACE_S: Final = 10
_DIES_S: Final = 5.0
_LINES_SHOWN: Final = 8


class Output(Protocol):
    """Where the log lines of processes go."""

    def open(self, name: str) -> BinaryIO:
        """What a process of this name writes to in the life that begins; closed here once it has it."""

    def last_lines(self, name: str, most: int) -> list[str]:
        """The last lines that it has written."""


class Child:
    """A program of this machine, started as often as needed. It never outlives the one who started it.

    It leads a process group of its own, so that Ctrl-C reaches only the one who started it.

    Args:
        name: unique in the tree.
        output: where its log lines go; None: where those of this program go.
    """

    def __init__(self, name: str, output: Output | None = None) -> None:
        self.name = name
        self.code: int | None = None
        """Exit code of its last life."""
        self.lasted = 0.0
        """How long its last life was, seconds."""
        self._output = output
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0

    @property
    def running(self) -> bool:
        """True from its start until `ended` has said that it is over."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """Its process; 0 if it does not run."""
        return 0 if self._process is None else self._process.pid

    def command(self) -> list[str]:
        """Its command line."""
        raise NotImplementedError

    def start(self) -> None:
        """Begin a life."""
        self._started_at = time.monotonic()
        with contextlib.ExitStack() as stack:
            log = None if self._output is None else stack.enter_context(self._output.open(self.name))
            with held():
                self._process = self._begun(log)

    def send(self, number: signal.Signals) -> None:
        """A signal to it and to what it has started, if it runs."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, number)

    def kill(self) -> None:
        """End it at once, if it runs, and wait for that."""
        if self._process is not None:
            self.send(signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_DIES_S)
            self.ended()

    def ended(self) -> bool:
        """True once for each life that is over; `code` and `lasted` are then known."""
        if self._process is None or self._process.poll() is None:
            return False
        self.code = self._process.returncode
        self.lasted = time.monotonic() - self._started_at
        self._over(self._process)
        self._process = None
        return True

    def fault(self) -> str | None:
        """Why it cannot go on until a person has mended that, if it has said so."""
        return None

    def told_end(self) -> str:
        """Its last end: the exit code, and the last lines of its log."""
        lines = [] if self._output is None else self._output.last_lines(self.name, _LINES_SHOWN)
        return "\n".join([f"{self.name} ended with exit code {self.code}:", *lines])

    def _begun(self, log: BinaryIO | None) -> subprocess.Popen[bytes]:
        raise NotImplementedError

    def _over(self, process: subprocess.Popen[bytes]) -> None:
        """Clear up after a life."""


class Part(Child):
    """A part of this very program: `python -m <module> <name>`, whose other side is `run_part`.

    Its settings come by its standard input, which stays open: the part ends when this program is gone. On its standard
    output it says why it cannot go on, if a person must mend that.

    Args:
        name: as of any child.
        module: which module.
        settings: all of them.
        sockets: those that it inherits, by name.
        more: further values for it, by name.
        output: as of any child.
    """

    def __init__(
        self,
        name: str,
        module: str,
        settings: Settings,
        sockets: Mapping[str, socket.socket],
        more: Mapping[str, Any] | None = None,
        output: Output | None = None,
    ) -> None:
        super().__init__(name, output)
        self._module = module
        self._sockets = sockets
        self._last_word = ""
        self._inherited = json.dumps(
            {
                "settings": settings.model_dump(mode="json"),
                "sockets": {each: opened.fileno() for each, opened in sockets.items()},
                **(more or {}),
            }
        )

    def command(self) -> list[str]:
        """Its command line."""
        return [sys.executable, "-m", self._module, self.name]

    def fault(self) -> str | None:
        """What it said last: why it cannot go on until a person has mended that; None if it said nothing."""
        return self._last_word or None

    def _begun(self, log: BinaryIO | None) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(  # noqa: S603 - this very program
            self.command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            pass_fds=[opened.fileno() for opened in self._sockets.values()],
            process_group=0,
        )
        assert process.stdin is not None  # noqa: S101 - it is a pipe
        with contextlib.suppress(BrokenPipeError):  # it has ended already, which will be noticed
            process.stdin.write(self._inherited.encode() + b"\n")
            process.stdin.flush()
        return process

    def _over(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None  # noqa: S101 - it is a pipe
        assert process.stdout is not None  # noqa: S101 - likewise
        os.set_blocking(process.stdout.fileno(), False)
        self._last_word = (process.stdout.read() or b"").decode(errors="replace").strip()
        with contextlib.suppress(BrokenPipeError):  # it had ended before it took its settings
            process.stdin.close()
        process.stdout.close()


class Program(Child):
    """A program with a life of its own: `python -m <module> <words>`.

    A watcher asks it to end if this program vanishes, as by `kill -9`: the watcher's pipe closes then. Ten seconds
    later the watcher kills it.

    Args:
        name: as of any child.
        words: its arguments.
        variables: its environment besides the one that it inherits.
        output: where all that it writes goes.
        module: which module.
    """

    def __init__(
        self, name: str, words: tuple[str, ...], variables: Mapping[str, str], output: Output, module: str = "streams"
    ) -> None:
        super().__init__(name, output)
        self._words = words
        self._variables = variables
        self._module = module
        self._watcher: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """Its command line."""
        return [sys.executable, "-m", self._module, *self._words]

    def _begun(self, log: BinaryIO | None) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(  # noqa: S603 - this very program
            self.command(),
            env={**os.environ, **self._variables},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._watcher = _watcher(process.pid)
        return process

    def _over(self, process: subprocess.Popen[bytes]) -> None:
        del process
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            os.killpg(watcher.pid, signal.SIGKILL)
            watcher.communicate()


def _watcher(group: int) -> subprocess.Popen[bytes]:
    script = f"cat >/dev/null; kill -s TERM -- -{group}; sleep {_GRACE_S}; kill -s KILL -- -{group}"
    return subprocess.Popen(  # noqa: S603 - made of numbers
        ["/bin/sh", "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
