"""Readers of a whole table or a part of it: a restore, a takeover, lists, counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.gate.kinds import LATER, ROWS, kind, reports
from bench.profile_turn import PARTITIONS, TOPICS
from streams.listing.query import CountRequest, GroupBy, ListRequest, OneRequest, encode_query
from streams.model import Action, Filter, Status
from streams.protocol.routing import partition_of
from streams.state.store import Store
from streams.worker.page_sizes import FIRST
from streams.worker.queries import Queries
from streams.worker.task import PartitionTask

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.gate.kinds import Round
    from bench.gate.world import World

_TIMES = 4
_LIMIT = 50


def _lives(world: World, own: Round) -> list[str]:
    """Rows of all kinds: a third has ended, a third runs, a third was killed by a page; returns those that run."""
    names = own.ids(ROWS)
    ended, running = names[::3], names[1::3]
    world.apply(own.running([*ended, *running]))
    world.apply(reports(ended, Status.COMPLETED))
    world.apply(own.invokes(names[2::3], at=LATER))
    world.apply([own.batch(Action.KILL, filter=Filter(services=(own.service,), statuses=(Status.SCHEDULED,)))])
    return running


# --- a worker begins ---


@kind("Restore", ROWS)
def _(world: World, own: Round) -> None:
    for log in world.changelog:
        log.clear()
    _lives(world, own)
    for partition, log in enumerate(world.changelog):
        store = Store.open(world.folder / f"restored-{own.number}-{partition}.sqlite3", partition)
        world.connections.append(store.db)
        with world.counted():
            store.begin()
            store.apply_changelog(log)
            store.commit(len(log), world.clock.now)
        world.connections.remove(store.db)
        store.close()


@kind("Takeover of a table", PARTITIONS)
def _(world: World, own: Round) -> None:
    _lives(world, own)
    for task in world.tasks:
        again = PartitionTask(task.partition, task.store, task.file)
        with world.counted():
            again.open_table(TOPICS, FIRST)


# --- queries ---


def _queries(world: World) -> Queries:
    """The queries on the tables; the steps of their own connections are counted too."""
    if world.queries is None:
        world.queries = Queries(world.settings, lambda: world.clock.now, clock=float)
        for task in world.tasks:
            world.queries.serve(task, "worker")
            if task.listing is not None:
                with task.listing.reading() as db:
                    world.connections.append(db)
    return world.queries


def _ask(world: World, ask: Callable[[bytes], object], body: bytes) -> None:
    for _ in range(_TIMES):
        with world.counted():
            ask(body)


@kind("List, newest", _TIMES)
def _(world: World, own: Round) -> None:
    _lives(world, own)
    request = ListRequest(Filter(match_all=True), _LIMIT, dict.fromkeys(range(PARTITIONS)))
    _ask(world, _queries(world).list, encode_query(request))


@kind("List, by service and status", _TIMES)
def _(world: World, own: Round) -> None:
    _lives(world, own)
    filter_ = Filter(services=(own.service,), statuses=(Status.RUNNING,))
    request = ListRequest(filter_, _LIMIT, dict.fromkeys(range(PARTITIONS)))
    _ask(world, _queries(world).list, encode_query(request))


@kind("Count, by service", _TIMES)
def _(world: World, own: Round) -> None:
    _lives(world, own)
    request = CountRequest(own.filter, tuple(range(PARTITIONS)), GroupBy.SERVICE)
    _ask(world, _queries(world).count, encode_query(request))


@kind("One invocation", _TIMES)
def _(world: World, own: Round) -> None:
    (name, *_) = _lives(world, own)
    _ask(world, _queries(world).one, encode_query(OneRequest(name, partition_of(name, PARTITIONS), payload=True)))
