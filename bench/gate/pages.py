"""Batches: what each takes beside its rows, and its pages, by action and by what they find."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.gate.kinds import COMMANDS, LATER, ROWS, kind, reports
from bench.lib.workload import DAY_MS
from streams.model import (
    Action,
    ContinueSlice,
    ControlBatch,
    ControlOperation,
    ControlSlice,
    Filter,
    ReleaseHeld,
    Status,
)

if TYPE_CHECKING:
    from bench.gate.kinds import Round
    from bench.gate.world import World
    from streams.model import StartBatch

_BATCHES = 4
_OBJECTS = 30
_PAGES = frozenset({ContinueSlice})


def _pages(world: World, batch: StartBatch) -> None:
    """Count the turns with the batch's pages."""
    world.take([batch])
    world.go_on(only=_PAGES)


# --- what a batch takes beside its rows ---


@kind("Batch without rows", _BATCHES)
def _(world: World, own: Round) -> None:
    for _ in range(_BATCHES):
        world.apply([own.batch(Action.KILL)], count=True)


@kind("Batch paused, resumed and its rate set", _BATCHES)
def _(world: World, own: Round) -> None:
    world.apply(own.invokes(own.ids(), at=LATER))
    batches = [own.batch(Action.KILL, max_rate=0.001) for _ in range(_BATCHES)]
    world.apply(batches)
    for operation in (ControlOperation.PAUSE, ControlOperation.RESUME, ControlOperation.SET_RATE):
        rate = 0.002 if operation is ControlOperation.SET_RATE else None
        world.take([ControlBatch(each.batch_id, operation, max_rate=rate) for each in batches], count=True)
        world.go_on(only={ControlBatch, ControlSlice})


@kind("Batch that matches none of the rows", ROWS)
def _(world: World, own: Round) -> None:
    world.apply(own.running(own.ids(ROWS)))
    filter_ = Filter(services=(own.service,), handlers=("never",), deployment_ids=("none",))
    _pages(world, own.batch(Action.KILL, filter=filter_))


# --- pages by action ---


@kind("Page, kill, never started", ROWS)
def _(world: World, own: Round) -> None:
    world.apply(own.invokes(own.ids(ROWS), at=LATER))
    _pages(world, own.batch(Action.KILL))


@kind("Page, kill, running", ROWS)
def _(world: World, own: Round) -> None:
    world.apply(own.running(own.ids(ROWS)))
    _pages(world, own.batch(Action.KILL))


@kind("Page, kill, by object keys", ROWS)
def _(world: World, own: Round) -> None:
    names = own.keyed(ROWS, 1)
    world.apply(own.invokes(names, at=LATER))
    keys = tuple(name.rpartition("~")[0].rpartition("/")[2] for name in names)
    _pages(world, own.batch(Action.KILL, filter=Filter(services=(own.service,), object_keys=keys)))


@kind("Page, kill, inboxes", ROWS)
def _(world: World, own: Round) -> None:
    world.apply(own.invokes(own.keyed(ROWS, ROWS // _OBJECTS)))
    _pages(world, own.batch(Action.KILL))


@kind("Page, kill, of a flow", ROWS)
def _(world: World, own: Round) -> None:
    world.apply(own.running(own.ids(ROWS), flow_id=own.ids(1)[0]))
    _pages(world, own.batch(Action.KILL))


@kind("Page, dry run", ROWS)
def _(world: World, own: Round) -> None:
    world.apply(own.running(own.ids(ROWS)))
    _pages(world, own.batch(Action.KILL, dry_run=True))


@kind("Page, cancel, running", ROWS)
def _(world: World, own: Round) -> None:
    world.apply(own.running(own.ids(ROWS)))
    _pages(world, own.batch(Action.CANCEL, grace_ms=DAY_MS))


@kind("Page, pause, running", ROWS)
def _(world: World, own: Round) -> None:
    world.apply(own.running(own.ids(ROWS)))
    _pages(world, own.batch(Action.PAUSE))


@kind("Page, resume", ROWS)
def _(world: World, own: Round) -> None:
    world.apply(own.running(own.ids(ROWS)))
    world.apply([own.batch(Action.PAUSE)])
    _pages(world, own.batch(Action.RESUME))


@kind("Page, purge", ROWS)
def _(world: World, own: Round) -> None:
    world.apply(own.invokes(own.ids(ROWS), at=LATER))
    world.apply([own.batch(Action.KILL)])
    _pages(world, own.batch(Action.PURGE))


@kind("Page, restart", ROWS)
def _(world: World, own: Round) -> None:
    names = own.ids(ROWS)
    world.apply(own.running(names))
    world.apply(reports(names, Status.FAILED))
    _pages(world, own.batch(Action.RESTART))


def _slow(own: Round) -> StartBatch:
    """A batch over what waits in inboxes that does not come to it."""
    return own.batch(Action.KILL, filter=Filter(services=(own.service,), statuses=(Status.PENDING,)), max_rate=0.001)


@kind("Report, completed, with an inbox that a batch holds")
def _(world: World, own: Round) -> None:
    names = own.keyed(2 * COMMANDS, 2)
    world.apply(own.invokes(names))
    world.apply([_slow(own)])
    world.apply(reports(names[::2], Status.COMPLETED), count=True)


@kind("Page, release of what was held")
def _(world: World, own: Round) -> None:
    names = own.keyed(2 * COMMANDS, 2)
    world.apply(own.invokes(names))
    batch = _slow(own)
    world.apply([batch])
    world.apply(reports(names[::2], Status.COMPLETED))
    world.take([ControlBatch(batch.batch_id, ControlOperation.ABORT)])
    world.go_on(only={ReleaseHeld})
