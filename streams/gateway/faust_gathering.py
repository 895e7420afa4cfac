"""Records of a stream in lists: at once after a quiet time, then gathered."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


async def gathered(stream: Any, most: int, every_s: float) -> AsyncGenerator[list[Any], None]:
    """Lists of at most `most` events, one in `every_s` seconds unless there are more; the caller acknowledges them.

    Faust's own `noack_take` waits that long for the first event too, however long it was quiet before.
    """
    waiting: list[Any] = []
    arrived, full, room = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def add(value: Any) -> Any:
        waiting.append(stream.current_event)
        arrived.set()
        if len(waiting) >= most:
            full.set()
            room.clear()
            await stream.wait(room)
        return value

    stream.enable_acks = False
    events = aiter(stream.channel)
    stream.add_processor(add)
    stream._enable_passive(events)  # noqa: SLF001 - as its own `noack_take` does
    due = 0.0
    while not stream.should_stop:
        await stream.wait_for_stopped(arrived)
        if (left := due - time.monotonic()) > 0:
            await stream.wait_for_stopped(full, timeout=left)
        taken = list(waiting)
        waiting.clear()
        arrived.clear()
        full.clear()
        room.set()
        due = time.monotonic() + every_s
        if taken:
            yield taken
