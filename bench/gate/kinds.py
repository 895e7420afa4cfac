"""The kinds of work that are counted, and the commands that they are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec.structs import replace

from bench.gate.world import NOW
from bench.lib import workload
from streams.model import Act, Action, Filter, Invoke, ReportTransition, StartBatch, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bench.gate.world import World

COMMANDS = 40
"""Of a kind of command."""
ROWS = 300
"""Of a kind of page: each partition has a part that is as large as a first page."""
LATER = NOW + workload.DAY_MS


class Kind(NamedTuple):
    """One kind of work: `work` does it once, `units` of it, with ids of its own; only a part of that is counted."""

    name: str
    units: int
    work: Callable[[World, Round], None]


KINDS: dict[str, Kind] = {}
"""By name."""


def kind(name: str, units: int = COMMANDS) -> Callable[[Callable[[World, Round], None]], None]:
    """Register the function as the work of a kind."""

    def registered(work: Callable[[World, Round], None]) -> None:
        KINDS[name] = Kind(name, units, work)

    return registered


class Round:
    """What one round of a kind is made of: no other round has its ids, services and batches."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.service = f"emails-{number}"
        self.filter = Filter(services=(self.service,))
        self._made = 0

    def ids(self, count: int = COMMANDS) -> list[str]:
        """New ids, as long as those of the client."""
        self._made += count
        first = self._made - count
        return [f"{self.number:08d}-0000-7000-8000-{number:012d}" for number in range(first, self._made)]

    def keyed(self, count: int, each: int) -> list[str]:
        """New ids of objects' invocations, `each` of them for one object."""
        keys = self.ids(count // each)
        return [f"{self.service}/{keys[place // each]}~{name}" for place, name in enumerate(self.ids(count))]

    def invokes(self, names: Iterable[str], *, at: int | None = None, adopt: bool = False, **fields: Any) -> list[Any]:
        """`Invoke`s of these ids; `at`: ms since 1970. Other fields are those of `Invocation`."""
        made = []
        for number, name in enumerate(names):
            key = name.rpartition("~")[0].rpartition("/")[2] or None
            invocation = replace(workload.invocation(name, number, self.service), object_key=key, **fields)
            made.append(Invoke(invocation, at, adopt))
        return made

    def running(self, names: Iterable[str], **fields: Any) -> list[Any]:
        """The same, and that they run."""
        names = list(names)
        return [*self.invokes(names, **fields), *reports(names, Status.RUNNING)]

    def batch(self, action: Action, **fields: Any) -> StartBatch:
        """A batch over all invocations of the round, unless a `filter` says otherwise."""
        return StartBatch(self.ids(1)[0], action, **{"filter": self.filter, **fields})


def reports(names: Iterable[str], to: Status, *, attempt: int = 1, **fields: Any) -> list[Any]:
    """A report of each."""
    return [ReportTransition(name, attempt, to=to, **fields) for name in names]


def acts(names: Iterable[str], action: Action, **fields: Any) -> list[Any]:
    """An `Act` on each."""
    return [Act(name, action, **fields) for name in names]
