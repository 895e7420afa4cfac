"""The named flows that a partition publishes: the newest state of each, at most five times a second.

A state that is held back is in memory only. But by the partition's clock it is never held back for `EVERY_MS`: after a
takeover, whatever has changed since then is published again, and nothing is missed. So the five are of that clock,
which goes faster than the worker's while a partition that was behind catches up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from streams.engine.flows import flow_progress

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.model import Flow, FlowProgress

EVERY_MS: Final = 200
"""Shortest time between two records of a flow, ms."""


class _Times(NamedTuple):
    """When a flow was last published, by the partition's clock and by the worker's, ms."""

    clock: int
    now: int

    def over(self, clock: int, now: int) -> bool:
        """True if the flow may be published again. The worker's clock may have been set back."""
        return clock - self.clock >= EVERY_MS or not 0 <= now - self.now < EVERY_MS


class FlowOutlet:
    """One partition's named flows whose newest state is not published yet."""

    def __init__(self) -> None:
        self._changed: dict[str, Flow | None] = {}
        self._published: dict[str, _Times] = {}

    def note(self, flows: Mapping[str, Flow | None]) -> None:
        """Note the newest state of flows, by id; None for one that is forgotten."""
        self._changed.update(flows)

    def take(self, clock: int, now: int, *, at_once: bool = False) -> list[tuple[str, FlowProgress | None]]:
        """The ids and states to publish now; None for a forgotten flow, which waits for nothing.

        Args:
            clock: the partition's, ms.
            now: the worker's, ms.
            at_once: whether all are published, as before the worker stops.
        """
        if not self._changed:
            return []
        self._published = {name: times for name, times in self._published.items() if not times.over(clock, now)}
        free = [name for name, flow in self._changed.items() if at_once or flow is None or name not in self._published]
        self._published.update(dict.fromkeys(free, _Times(clock, now)))
        taken = [(name, self._changed.pop(name)) for name in free]
        return [(name, None if flow is None else flow_progress(flow)) for name, flow in taken]
