"""Who waits for which changes: each reader of events has the keys of what is newer than what it has sent."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, defaultdict
from typing import Literal, NamedTuple


class Key(NamedTuple):
    """A batch or a flow, by its id."""

    kind: Literal["batch", "flow"]
    name: str


class Subscription:
    """What one reader has still to send.

    A key stands in it once, however often it has changed meanwhile: a slow reader gets the newest state instead of each
    one, and costs no more memory than there are keys.
    """

    def __init__(self, keys: list[Key]) -> None:
        self._pending: OrderedDict[Key, None] = OrderedDict.fromkeys(keys)
        self._woken = asyncio.Event()
        self._over = False
        if keys:
            self._woken.set()

    def add(self, key: Key) -> None:
        """Note a change."""
        self._pending[key] = None
        self._woken.set()

    def end(self) -> None:
        """Wake the reader for the last time: there is nothing more to come, or nobody to send it to."""
        self._over = True
        self._woken.set()

    async def changed(self, timeout_s: float) -> bool:
        """Wait until there is a key to take, or `timeout_s` is over; False once it is all over."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._woken.wait()
        except TimeoutError:
            pass
        return not self._over

    def take(self) -> Key | None:
        """The key whose change has waited longest; None if there is none."""
        if not self._pending:
            return None
        key, _ = self._pending.popitem(last=False)
        if not self._pending and not self._over:
            self._woken.clear()
        return key


class Hub:
    """The subscriptions of all readers; for the event loop only."""

    def __init__(self) -> None:
        self._of_all: set[Subscription] = set()
        self._of_one: dict[Key, set[Subscription]] = defaultdict(set)
        self.stopped = False

    def __len__(self) -> int:
        return len(self._of_all) + sum(map(len, self._of_one.values()))

    def subscribe(self, key: Key | None, first: list[Key]) -> Subscription:
        """A subscription to one key, or to all of them; `first`: what the reader is to send at once."""
        made = Subscription(first)
        (self._of_all if key is None else self._of_one[key]).add(made)
        if self.stopped:
            made.end()
        return made

    def leave(self, key: Key | None, subscription: Subscription) -> None:
        """Forget a subscription."""
        if key is None:
            self._of_all.discard(subscription)
            return
        readers = self._of_one[key]
        readers.discard(subscription)
        if not readers:
            del self._of_one[key]

    def tell(self, key: Key) -> None:
        """Note a change at everyone who waits for it."""
        for each in (*self._of_all, *self._of_one.get(key, ())):
            each.add(key)

    def stop(self) -> None:
        """End all subscriptions, and those still to come."""
        self.stopped = True
        for each in (*self._of_all, *(one for readers in self._of_one.values() for one in readers)):
            each.end()


class WrittenEvents:
    """The newest events as bytes, so that each is written once for all its readers."""

    def __init__(self, most: int = 2_000) -> None:
        self._most = most
        self._events: dict[Key, tuple[object, bytes]] = {}

    def get(self, key: Key, state: object) -> bytes | None:
        """The event of this very state."""
        kept = self._events.get(key)
        return kept[1] if kept is not None and kept[0] is state else None

    def put(self, key: Key, state: object, event: bytes) -> None:
        """Keep an event; the one that was kept longest makes room."""
        self._events.pop(key, None)
        self._events[key] = state, event
        if len(self._events) > self._most:
            del self._events[next(iter(self._events))]
