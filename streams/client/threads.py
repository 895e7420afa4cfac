"""Waiting iterators as asynchronous ones."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

_Item = TypeVar("_Item")


async def in_a_thread(make: Callable[[], Iterator[_Item | None]]) -> AsyncGenerator[_Item, None]:
    """The items of a waiting iterator, which runs in a thread of its own; None is skipped.

    The iterator must yield something, at least None, every now and then: it can only be ended there.
    """
    end = object()
    loop = asyncio.get_running_loop()
    thread = ThreadPoolExecutor(1, thread_name_prefix="streams-reader")
    try:
        items: Any = await loop.run_in_executor(thread, make)
        try:
            item: Any
            while (item := await loop.run_in_executor(thread, next, items, end)) is not end:
                if item is not None:
                    yield item
        finally:
            thread.submit(items.close)
    finally:
        thread.shutdown(wait=False)
