"""Upkeep of a long-running worker: garbage collection when idle, and WAL checkpoints of its stores."""

from __future__ import annotations

import gc
import threading
import time
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streams.state.store import Store

log = structlog.get_logger("streams.housekeeping")

_WAL_CHECKPOINT_EVERY_S = 0.5
_IDLE_S = 0.1
_COLLECT_EVERY_S = 10.0
_COLLECT_AT_LEAST_EVERY_S = 120.0


class Collector:
    """Runs the garbage collector when the loop is idle.

    The records of the hot path are untracked by design, so in the middle of a turn the collector would mostly scan
    long-lived caches.
    """

    def __init__(self) -> None:
        gc.collect()
        gc.freeze()
        gc.disable()
        now = time.monotonic()
        self._busy_at = self._collected_at = now

    def after_turn(self, *, busy: bool) -> None:
        """Collect after a while without work, or when the last collection is long ago."""
        now = time.monotonic()
        if busy:
            self._busy_at = now
        since = now - self._collected_at
        idle = now - self._busy_at > _IDLE_S
        if (
            idle and since > _COLLECT_EVERY_S and self._busy_at > self._collected_at
        ) or since > _COLLECT_AT_LEAST_EVERY_S:
            gc.collect()
            self._collected_at = time.monotonic()

    def close(self) -> None:
        """Restore the collector's settings."""
        gc.enable()
        gc.unfreeze()


class WalKeeper:
    """A thread that moves SQLite's write-ahead files into their databases.

    SQLite's automatic WAL checkpoint would run on the loop's thread and make turns of 45 ms.
    """

    def __init__(self, stores: Callable[[], Sequence[Store]]) -> None:
        self._stores = stores
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="wal-keeper", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread after the WAL checkpoint it is in."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(_WAL_CHECKPOINT_EVERY_S):
            for store in self._stores():
                try:
                    store.wal_checkpoint()
                except Exception as error:  # noqa: BLE001 - a missed one only lets the file grow
                    log.warning("WAL checkpoint failed", file=str(store.path), error=str(error))
