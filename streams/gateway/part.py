"""One part of the gateway as a process: `python -m streams.gateway.part merge|api`, started by the supervisor."""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any, NoReturn

import structlog

from streams import logs
from streams.config import Settings
from streams.errors import StreamsError
from streams.gateway.child import AGAIN

if TYPE_CHECKING:
    from typing import BinaryIO

_EXIT_ORPHANED = 1
_EXIT_FAILED = 3

log = structlog.get_logger("streams.gateway")


def main(name: str) -> int:
    """Run a part to its end; returns the exit code."""
    say = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what any library prints goes to the log
    inherited = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with, args=(sys.stdin.buffer,), name="supervisor", daemon=True).start()
    settings = Settings(**inherited["settings"])
    logs.configure(settings)
    sockets = {each: socket.socket(fileno=number) for each, number in inherited["sockets"].items()}
    try:
        return _run(name, settings, sockets, inherited)
    except StreamsError as error:
        say.write(str(error).encode())
        say.flush()
        return 1
    except Exception:
        log.exception("a part of the gateway has failed", part=name)
        return _EXIT_FAILED


def _run(name: str, settings: Settings, sockets: dict[str, socket.socket], inherited: dict[str, Any]) -> int:
    # Each part loads its own libraries.
    if name == "merge":
        from streams.gateway.process import StartAgainError, run_merge  # noqa: PLC0415

        try:
            run_merge(settings, sockets["listen"])
        except StartAgainError as error:
            log.warning("gateway starts again", reason=str(error))
            return AGAIN
        return 0
    from streams.gateway.api.serve import run_api  # noqa: PLC0415

    run_api(settings, sockets["listen"], inherited["merge"])
    return 0


def _end_with(supervisor: BinaryIO) -> NoReturn:
    """End this process when the supervisor is gone: whoever starts a gateway again must not find an old part."""
    supervisor.read()
    os._exit(_EXIT_ORPHANED)


if __name__ == "__main__":
    ended = main(sys.argv[1])
    logging.shutdown()
    # Threads of libraries may be left, for which Python would wait forever.
    os._exit(ended)
