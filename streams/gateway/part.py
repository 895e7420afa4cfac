"""One part of the gateway as a process: `python -m streams.gateway.part merge|api`, started by the supervisor."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import structlog

from streams.supervision.child import AGAIN
from streams.supervision.part import run_part

if TYPE_CHECKING:
    from streams.supervision.part import Given

log = structlog.get_logger("streams.gateway")


def _merge(given: Given) -> int:
    # Each part loads its own libraries.
    from streams.gateway.process import StartAgainError, run_merge  # noqa: PLC0415

    try:
        run_merge(given.settings, given.sockets["listen"])
    except StartAgainError as error:
        log.warning("gateway starts again", reason=str(error))
        return AGAIN
    return 0


def _api(given: Given) -> int:
    from streams.gateway.api.serve import run_api  # noqa: PLC0415

    run_api(given.settings, given.sockets["listen"], given.values["merge"])
    return 0


if __name__ == "__main__":
    run_part({"merge": _merge, "api": _api}[sys.argv[1]], "part of the gateway")
