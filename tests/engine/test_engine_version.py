"""The same log leads to the same pages, as long as the engine's version is the same."""

from __future__ import annotations

from contextlib import closing
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from streams.engine.answers import PageSizes
from streams.model import (
    ENGINE_VERSION,
    Act,
    Action,
    CancelFlow,
    CancelPolicy,
    Filter,
    FlowAction,
    ReportTransition,
    StartBatch,
    Status,
)
from streams.worker.page_sizes import FIRST
from support.tables.memory_cluster import invoke
from support.tables.table_cluster import TableCluster

if TYPE_CHECKING:
    from streams.model import Command

KNOWN = (6, "4815770c7fb1d9c10e60c1393f3ae16690ff6e095e2bf3bb61f1c5464a500f83")
"""The version and the digest of this story. If its digest has changed, the engine's rules have: give the engine the
next version (`streams/model/base.py`), and note both here."""
ROWS = 6_000
SIZES = PageSizes(max_scanned=60, max_matched=25, max_due=100, max_asked=50, max_members=30)
"""Small, so that rows that a page passes over end it, too."""


class Told(TableCluster):
    """Tables that note, after each command, how far its batch is and how many rows are in which status."""

    def __init__(self, partitions: int, sizes: PageSizes) -> None:
        super().__init__(partitions, sizes)
        self.story = sha256()

    def _step(self, partition: int, command: Command) -> None:
        super()._step(partition, command)
        name, table = str(getattr(command, "batch_id", "")), self.tables[partition]
        slice_ = table.slice(name) if name else None
        how_far: Any = None if slice_ is None else (slice_.state, slice_.cursor, slice_.scanned, slice_.matched)
        where, sent = (partition, self._offsets[partition]), sorted(self.signals.items())
        line = (*where, type(command).__name__, name, how_far, sent)
        self.story.update(f"{line} {sorted(table.meta.counts.items())}\n".encode())


def test_what_an_engine_decides_changes_with_its_version() -> None:
    """Batches of each action, over rows that are dense, rare and of flows; acts; time that passes."""
    with closing(Told(2, SIZES)) as world:
        world.story.update(repr(FIRST).encode())
        _live(world)
        assert (ENGINE_VERSION, world.story.hexdigest()) == KNOWN


def _live(world: TableCluster) -> None:
    for number in range(ROWS):
        rare = number % 3_100 == 3_000
        labels = {"tenant": f"t{number % 7}"} | ({"rare": "yes"} if rare else {})
        flow = f"f{number % 3}" if number % 50 == 0 else None
        later = world.now + 60_000 if number % 4 == 0 else None
        service = "rare" if rare else f"s{number % 3}"
        world.send(invoke(f"i{number}", scheduled_at=later, service=service, labels=labels, flow_id=flow))
    world.run()
    world.run(*(ReportTransition(f"i{number}", 1, None, number, Status.RUNNING) for number in range(1, ROWS, 8)))
    filters = (
        (Action.PAUSE, Filter(services=("s0",), labels={"tenant": "t3"})),
        (Action.KILL, Filter(services=("rare",))),
        (Action.KILL, Filter(labels={"rare": "yes"}, statuses=(Status.RUNNING,))),
        (Action.RESUME, Filter(services=("s0",))),
        (Action.CANCEL, Filter(services=("s1",))),
        (Action.RESTART, Filter(services=("rare",))),
        (Action.PURGE, Filter(services=("rare",))),
    )
    for number, (action, matches) in enumerate(filters):
        world.run(StartBatch(f"b{number}", action, matches, grace_ms=30_000 if action is Action.CANCEL else None))
        world.tick(5_000)
    world.run(StartBatch("limited", Action.KILL, Filter(services=("s2",)), limit=700))
    world.run(Act("i2", Action.KILL), CancelFlow("f1", FlowAction.KILL, CancelPolicy.CANCEL_ALL))
    for _ in range(4):
        world.tick(60_000)
    world.run(StartBatch("all", Action.KILL, Filter(match_all=True)))
    world.tick(2 * 24 * 3_600_000)
