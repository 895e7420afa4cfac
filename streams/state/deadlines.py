"""Due times of the few things that a table keeps in memory."""

from __future__ import annotations


class Deadlines:
    """Times by name, ms."""

    def __init__(self) -> None:
        self._times: dict[str, int] = {}

    def set(self, name: str, time: int | None) -> None:
        """Set the time of a name; None: never due."""
        if time is None:
            self._times.pop(name, None)
        else:
            self._times[name] = time

    def due(self, until: int, limit: int) -> list[str]:
        """Names due at `until` or before, in order of their time, then name."""
        return [name for _, name in sorted((time, name) for name, time in self._times.items() if time <= until)[:limit]]

    def earliest(self) -> int | None:
        """The earliest of the times; None if there is none."""
        return min(self._times.values(), default=None)
