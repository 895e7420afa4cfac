"""Counts of kinds, each taken in a process of its own, so that none depends on what was done before it."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING

from bench.gate import flows, pages, reading, single
from bench.gate.kinds import KINDS, Round
from bench.gate.world import BENCH, still_world
from bench.lib.counting import Counter, Counts

if TYPE_CHECKING:
    from collections.abc import Iterable
    from multiprocessing.connection import Connection

PARTS = (single, pages, flows, reading)
"""The modules whose import makes the kinds known."""
_ROUNDS = 2
"""The last one counts; by then caches, statements and tables are as they are later."""


def measured(names: Iterable[str], jobs: int | None = None) -> dict[str, Counts]:
    """The counts of these kinds, by name and in this order; `jobs`: how many are taken at a time."""
    names = list(names)
    most = jobs or os.cpu_count() or 1
    # A child begins with all modules imported.
    fork = multiprocessing.get_context("fork")
    waiting = iter(names)
    running: dict[Connection, str] = {}
    found: dict[str, Counts] = {}
    while len(found) < len(names):
        while len(running) < most and (name := next(waiting, None)) is not None:
            answer, asked = fork.Pipe(duplex=False)
            child = fork.Process(target=_answer, args=(asked, name), name=name, daemon=True)
            child.start()
            asked.close()
            running[answer] = name
        ready = wait(list(running))
        for answer in [each for each in running if each in ready]:
            found[running.pop(answer)] = answer.recv()
            answer.close()
    return {name: found[name] for name in names}


def counts_of(name: str) -> Counts:
    """The counts of one kind, taken in this process, which should do nothing else before or after."""
    counter = Counter(BENCH)
    with tempfile.TemporaryDirectory(prefix="streams-bench-") as folder, still_world(Path(folder), counter) as world:
        for number in range(_ROUNDS):
            counter.reset()
            KINDS[name].work(world, Round(number))
        return counter.counts()


def _answer(to: Connection, name: str) -> None:
    to.send(counts_of(name))
