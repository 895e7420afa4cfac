"""Commands about one invocation each, and what time does to single ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.gate.kinds import COMMANDS, LATER, acts, kind, reports
from bench.lib.workload import DAY_MS
from streams.model import Action, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.gate.kinds import Round
    from bench.gate.world import World

    _Made = Callable[[list[str]], list[Any]]

_TOGETHER = 20
"""Invocations of one object, flow or parent."""
_TURNS = 20


def _on_running(name: str, *made: _Made) -> None:
    """Register a kind: commands about running invocations, made from their ids; the last ones are counted."""

    def work(world: World, own: Round) -> None:
        names = own.ids()
        world.apply(own.running(names))
        for before in made[:-1]:
            world.apply(before(names))
        world.apply(made[-1](names), count=True)

    kind(name)(work)


# --- Invoke ---


@kind("Invoke")
def _(world: World, own: Round) -> None:
    world.apply(own.invokes(own.ids()), count=True)


@kind("Invoke, one a turn", _TURNS)
def _(world: World, own: Round) -> None:
    for invoke in own.invokes(own.ids(_TURNS)):
        world.apply([invoke], count=True)


@kind("Invoke, scheduled")
def _(world: World, own: Round) -> None:
    world.apply(own.invokes(own.ids(), at=LATER), count=True)


@kind("Invoke, adopted")
def _(world: World, own: Round) -> None:
    world.apply(own.invokes(own.ids(), adopt=True), count=True)


@kind("Invoke, of an object")
def _(world: World, own: Round) -> None:
    world.apply(own.invokes(own.keyed(COMMANDS, 1)), count=True)


@kind("Invoke, into an inbox", COMMANDS - COMMANDS // _TOGETHER)
def _(world: World, own: Round) -> None:
    invokes = own.invokes(own.keyed(COMMANDS, _TOGETHER))
    world.apply(invokes[::_TOGETHER])
    world.apply([each for place, each in enumerate(invokes) if place % _TOGETHER], count=True)


@kind("Invoke, of a flow")
def _(world: World, own: Round) -> None:
    names = own.ids()
    for first in range(0, COMMANDS, _TOGETHER):
        world.take(own.invokes(names[first : first + _TOGETHER], flow_id=own.ids(1)[0]), count=True)
    world.go_on(count=True)


@kind("Invoke, of a parent")
def _(world: World, own: Round) -> None:
    parents, names = own.ids(COMMANDS // _TOGETHER), own.ids()
    world.apply(own.invokes(parents))
    for place, parent in enumerate(parents):
        world.take(own.invokes(names[place * _TOGETHER : (place + 1) * _TOGETHER], parent_id=parent), count=True)
    world.go_on(count=True)


@kind("Invoke, repeated")
def _(world: World, own: Round) -> None:
    invokes = own.invokes(own.ids())
    world.apply(invokes)
    world.apply(invokes, count=True)


@kind("Invoke, ended at the door")
def _(world: World, own: Round) -> None:
    world.apply([own.batch(Action.KILL, standing_until=LATER)])
    world.apply(own.invokes(own.ids()), count=True)


# --- ReportTransition ---


@kind("Report, running")
def _(world: World, own: Round) -> None:
    names = own.ids()
    world.apply(own.invokes(names))
    world.apply(reports(names, Status.RUNNING), count=True)


_on_running("Report, completed", lambda names: reports(names, Status.COMPLETED))
_on_running("Report, failed", lambda names: reports(names, Status.FAILED, error="it could not be sent"))
_on_running("Report, backing off", lambda names: reports(names, Status.BACKING_OFF, retry_at=LATER))
_on_running("Report, late", lambda names: reports(names, Status.RUNNING, attempt=2))


@kind("Report, completed, with an inbox")
def _(world: World, own: Round) -> None:
    names = own.keyed(2 * COMMANDS, 2)
    world.apply(own.invokes(names))
    world.apply(reports(names[::2], Status.COMPLETED), count=True)


@kind("Report, completed, of a flow")
def _(world: World, own: Round) -> None:
    names = own.ids()
    world.apply(own.running(names, flow_id=own.ids(1)[0]))
    world.apply(reports(names, Status.COMPLETED), count=True)


@kind("Report, cancelled, of a batch")
def _(world: World, own: Round) -> None:
    names = own.ids()
    world.apply(own.running(names))
    world.apply([own.batch(Action.CANCEL, grace_ms=DAY_MS)])
    world.apply(reports(names, Status.CANCELLED), count=True)


# --- Act ---


@kind("Act, kill, never started")
def _(world: World, own: Round) -> None:
    names = own.ids()
    world.apply(own.invokes(names, at=LATER))
    world.apply(acts(names, Action.KILL), count=True)


@kind("Act, kill, of a flow")
def _(world: World, own: Round) -> None:
    names = own.ids()
    world.apply(own.running(names, flow_id=own.ids(1)[0]))
    world.apply(acts(names, Action.KILL), count=True)


_on_running("Act, kill, running", lambda names: acts(names, Action.KILL))
_on_running("Act, cancel, running", lambda names: acts(names, Action.CANCEL))
_on_running("Act, pause, running", lambda names: acts(names, Action.PAUSE))
_on_running("Act, resume", lambda names: acts(names, Action.PAUSE), lambda names: acts(names, Action.RESUME))
_on_running("Act, purge", lambda names: reports(names, Status.COMPLETED), lambda names: acts(names, Action.PURGE))
_on_running("Act, restart", lambda names: reports(names, Status.FAILED), lambda names: acts(names, Action.RESTART))


# --- Tick ---


@kind("Tick, nothing due", _TURNS)
def _(world: World, own: Round) -> None:
    world.apply(own.invokes(own.ids(), at=LATER + DAY_MS))
    for _ in range(_TURNS):
        world.tick(1_000, count=True)


@kind("Tick, schedules")
def _(world: World, own: Round) -> None:
    world.apply(own.invokes(own.ids(), at=world.clock.now + 60_000))
    world.tick(61_000, count=True)


@kind("Tick, cancels unanswered")
def _(world: World, own: Round) -> None:
    names = own.ids()
    world.apply(own.running(names))
    world.apply(acts(names, Action.CANCEL, grace_ms=1_000))
    world.tick(2_000, count=True)


@kind("Tick, retention")
def _(world: World, own: Round) -> None:
    names = own.ids()
    world.apply(own.running(names))
    world.apply(reports(names, Status.COMPLETED))
    world.tick(world.settings.retention_ms + 10_000, count=True)
