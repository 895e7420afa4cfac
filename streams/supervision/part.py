"""The other side of a `Part`: a part of this program as a process."""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple, NoReturn

import structlog

from streams import logs
from streams.config import Settings
from streams.errors import StreamsError

if TYPE_CHECKING:
    from collections.abc import Callable

_EXIT_FAULT: Final = 1
_EXIT_FAILED: Final = 3
_EXIT_ORPHANED: Final = 1

log = structlog.get_logger("streams.supervisor")


class Given(NamedTuple):
    """What a part is given: its settings, its sockets by name, and all of the values for it by name."""

    settings: Settings
    sockets: dict[str, socket.socket]
    values: dict[str, Any]


def run_part(run: Callable[[Given], int], part: str) -> NoReturn:
    """Run a part of the program to its end, and end the process with its exit code.

    Args:
        run: the part; a `StreamsError` that it raises is its last word.
        part: what it is called in the log.
    """
    code = _run(run, part)
    logging.shutdown()
    # Threads of libraries may be left, for which Python would wait forever.
    os._exit(code)


def _run(run: Callable[[Given], int], part: str) -> int:
    say = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what any library prints goes to the log
    inherited = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with, args=(sys.stdin.buffer,), name="supervisor", daemon=True).start()
    settings = Settings(**inherited["settings"])
    logs.configure(settings)
    sockets = {each: socket.socket(fileno=number) for each, number in inherited["sockets"].items()}
    try:
        return run(Given(settings, sockets, inherited))
    except StreamsError as error:
        say.write(str(error).encode())
        say.flush()
        return _EXIT_FAULT
    except Exception:
        failed = f"a {part} has failed"
        log.exception(failed)
        return _EXIT_FAILED


def _end_with(supervisor: BinaryIO) -> NoReturn:
    """End this process when the supervisor is gone: whoever starts the program again must not find an old part."""
    supervisor.read()
    os._exit(_EXIT_ORPHANED)
