"""Calls of a handler that does nothing, at a fixed rate, and how long until the answer of each.

    python -m bench.peers.restate.ping INGRESS_URL RATE FILE

Runs until SIGTERM, then writes FILE as `bench.lib.ping` does: none waits for another, and each counts from when it was
due.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from pathlib import Path

import aiohttp

_CONNECTIONS = 500
_LAST_ANSWERS_S = 60.0


async def ping(url: str, rate: float, stop: asyncio.Event) -> list[tuple[float, float | None]]:
    """When each call was due, seconds since 1970, and the ms until its answer; None when there was none."""
    took: dict[float, float | None] = {}
    calls: set[asyncio.Task[None]] = set()
    timeout = aiohttp.ClientTimeout(total=_LAST_ANSWERS_S)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=_CONNECTIONS), timeout=timeout, trust_env=False
    ) as session:

        async def call(due: float) -> None:
            try:
                async with session.post(f"{url}/pings/ping", json={}) as answer:
                    await answer.read()
                    if answer.ok:
                        took[due] = (time.time() - due) * 1_000
            except (aiohttp.ClientError, TimeoutError):
                pass

        due = time.time()
        while not stop.is_set():
            due += 1 / rate
            await asyncio.sleep(max(0.0, due - time.time()))
            took[due] = None
            task = asyncio.create_task(call(due))
            calls.add(task)
            task.add_done_callback(calls.discard)
        if calls:
            await asyncio.wait(calls, timeout=_LAST_ANSWERS_S)
    return list(took.items())


async def main() -> None:
    """Ping until SIGTERM."""
    url, rate, file = sys.argv[1:]
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    found = await ping(url, float(rate), stop)
    await asyncio.to_thread(Path(file).write_text, json.dumps(found))


if __name__ == "__main__":
    asyncio.run(main())
