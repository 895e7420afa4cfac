"""Counts that no other load changes: bytecodes that Python runs, bytes that it allocates, steps that SQLite takes.

On Python 3.11 a trace function sees every bytecode; from 3.12 on, `sys.monitoring` does. Counts of the two differ, so
they are compared on one version only.

Allocated bytes are what tracemalloc shows from one bytecode to the next, wherever that is more than before: what a
command takes and gives back again counts as well, unlike in a difference between beginning and end. A count of blocks
would need a walk through the whole heap for each bytecode. What C code takes and frees within one bytecode is not seen,
nor is SQLite's own memory.
"""

from __future__ import annotations

import gc
import sys
import tracemalloc
from contextlib import contextmanager
from itertools import repeat
from operator import length_hint
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator

_MANY = 1 << 62


class Counts(NamedTuple):
    """What some work takes."""

    bytecodes: int
    bytes: int
    steps: int


class _Meter(NamedTuple):
    """Functions of a count of bytecodes and bytes; `read` returns the two sums so far."""

    start: Callable[[], None]
    stop: Callable[[], None]
    read: Callable[[], tuple[int, int]]


class Counter:
    """Sums up what this thread does within `counting`. One per process, which should do nothing else.

    `without`: files whose path begins so are not counted.
    """

    def __init__(self, without: str) -> None:
        gc.disable()
        tracemalloc.start()
        self._meter = _metered(without)
        self._steps = 0
        self._begin = (0, 0, 0)

    def reset(self) -> None:
        """Count from nought."""
        gc.collect()
        self._begin = (*self._meter.read(), self._steps)

    def counts(self) -> Counts:
        """What was counted since the last reset."""
        return Counts(*(now - then for now, then in zip((*self._meter.read(), self._steps), self._begin, strict=True)))

    @contextmanager
    def counting(self, connections: Iterable[sqlite3.Connection]) -> Iterator[None]:
        """Count what is done meanwhile, SQLite's steps on these connections included."""
        with counted_steps(*connections) as steps:
            self._meter.start()
            try:
                yield
            finally:
                self._meter.stop()
        self._steps += steps()


@contextmanager
def counted_steps(*connections: sqlite3.Connection) -> Iterator[Callable[[], int]]:
    """Yields a function that returns how many instructions SQLite has run on the connections meanwhile."""
    # Its method is C code: SQLite's steps cost no bytecodes and no memory, which are counted at the same time.
    left = repeat(0, _MANY)
    for connection in connections:
        connection.set_progress_handler(left.__next__, 1)
    try:
        yield lambda: _MANY - length_hint(left)
    finally:
        for connection in connections:
            connection.set_progress_handler(None, 1)


if sys.version_info >= (3, 12):

    def _metered(without: str) -> _Meter:
        bytecodes = gained = last = 0
        memory, monitoring = tracemalloc.get_traced_memory, sys.monitoring
        tool, events = monitoring.PROFILER_ID, monitoring.events
        monitoring.use_tool_id(tool, "counting")

        def entered(code: Any, _: int) -> object:
            if not code.co_filename.startswith(without):
                monitoring.set_local_events(tool, code, events.INSTRUCTION)
            return monitoring.DISABLE

        def step(_: Any, __: int) -> None:
            nonlocal bytecodes, gained, last
            now = memory()[0]
            if now > last:
                gained += now - last
            bytecodes += 1
            last = now

        def start() -> None:
            nonlocal last
            monitoring.register_callback(tool, events.PY_START, entered)
            monitoring.register_callback(tool, events.INSTRUCTION, step)
            last = memory()[0]
            monitoring.set_events(tool, events.PY_START)

        def stop() -> None:
            monitoring.set_events(tool, 0)
            monitoring.register_callback(tool, events.INSTRUCTION, None)

        return _Meter(start, stop, lambda: (bytecodes, gained))

else:

    def _metered(without: str) -> _Meter:
        bytecodes = gained = last = 0
        memory = tracemalloc.get_traced_memory

        def step(_: Any, event: str, __: Any) -> Any:
            nonlocal bytecodes, gained, last
            now = memory()[0]
            if now > last:
                gained += now - last
            if event == "opcode":
                bytecodes += 1
            last = now
            return step

        def entered(frame: Any, _: str, __: Any) -> Any:
            nonlocal last
            if frame.f_code.co_filename.startswith(without):
                return None
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
            # Without a trace function there would be no object for the frame, and no dict of its variables.
            last = memory()[0]
            return step

        def start() -> None:
            nonlocal last
            last = memory()[0]
            sys.settrace(entered)

        return _Meter(start, lambda: sys.settrace(None), lambda: (bytecodes, gained))
