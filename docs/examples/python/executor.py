"""Runs whatever is invoked: pretends to work for a moment, and ends when it is told to."""

from __future__ import annotations

import asyncio
import logging
import random

from streams.client.executor import Context, Executor
from streams.config import load_settings

SHORTEST_S, LONGEST_S = 0.2, 1.0


async def work(_context: Context) -> None:
    """A CANCEL or KILL ends it here, as asyncio ends a task."""
    await asyncio.sleep(random.uniform(SHORTEST_S, LONGEST_S))


def main() -> None:
    """Until SIGTERM or Ctrl-C."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    executor = Executor(load_settings(), concurrency=64)
    executor.default(work)
    executor.run()


if __name__ == "__main__":
    main()
