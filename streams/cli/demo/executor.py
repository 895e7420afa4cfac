"""The demo's executor: orders end at once, newsletters run until they are stopped.

Its own process: `python -m streams.cli.demo.executor`. Lines on stdout report on the newsletters.
"""

from __future__ import annotations

import asyncio
import sys

from streams.cli.context import settings_of_service
from streams.cli.demo.workload import BEGAN, LONG, NEWSLETTERS, ORDERS, QUICK, STOPPED
from streams.client.executor import Context, Executor

_LONG_S = 3_600.0
_CONCURRENCY = 2_000


async def place(_context: Context) -> None:
    """Handle an order: it ends at once."""


async def send(context: Context) -> None:
    """Send a newsletter to very many people: it runs until it is stopped."""
    _say(f"{BEGAN} {context.invocation.invocation_id}")
    try:
        await asyncio.sleep(_LONG_S)
    except asyncio.CancelledError:
        _say(f"{STOPPED} {context.invocation.invocation_id}")
        raise


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Run the handlers until SIGTERM."""
    handlers = {(ORDERS, QUICK): place, (NEWSLETTERS, LONG): send}
    services = (ORDERS, NEWSLETTERS)  # the executor of the other services is away
    Executor(settings_of_service(), handlers, services=services, concurrency=_CONCURRENCY, grace=1.0).run()


if __name__ == "__main__":
    main()
