"""An executor as a process: handlers of several kinds, each start noted in a file. Run by tests: it is no test."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from pathlib import Path

from streams.client import Context, Executor, Suspend
from streams.config import load_settings


def main(notes: str, instance_id: str | None) -> None:
    """Run until stopped; each handler appends `<invocation id> <attempt>` to the file of notes when it starts.

    Work that is away refuses to be cancelled until there is a file `<notes>.yield`.
    """
    executor = Executor(load_settings(), concurrency=40, instance_id=instance_id, grace=5)
    file = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(context: Context) -> float:
        os.write(file, f"{context.invocation.invocation_id} {context.attempt}\n".encode())
        return float(context.payload or b"0")

    @executor.handler("billing", "sync")
    def sync(context: Context) -> None:
        context.sleep(note(context))

    @executor.handler("billing", "async")
    async def asynchronous(context: Context) -> None:
        await asyncio.sleep(note(context))

    @executor.handler("billing", "slow")
    def slow(context: Context) -> None:
        note(context)
        context.sleep(600)

    @executor.handler("billing", "deaf")
    def deaf(context: Context) -> None:
        note(context)
        time.sleep(600)

    @executor.handler("billing", "away")
    def away(context: Context) -> Suspend:
        note(context)
        return Suspend()

    @executor.on_stop("billing", "away")
    def stop_away(_: Context) -> bool:
        return Path(f"{notes}.yield").exists()

    executor.run()


if __name__ == "__main__":
    logging.basicConfig(level="INFO", format="%(asctime)s %(message)s")
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
