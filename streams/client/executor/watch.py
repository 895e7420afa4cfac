"""The ear of an executor's runs and loop: nobody's, or that of the metrics which `STREAMS_EXECUTOR_HTTP` asks for."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from streams.client.executor.run import Outcome, Run


class Load(NamedTuple):
    """An executor between two steps of its loop; `lag` is by partition, for those whose end is known.

    `partitions`: number of those that it has.
    """

    running: int
    waiting: int
    held_bytes: int
    partitions: int
    lag: dict[int, int]


class Watch:
    """Hears of each run, and of the loop; this one does nothing with it. Called by the executor's own thread."""

    def began(self, run: Run) -> None:
        """A handler has begun."""

    def over(self, run: Run, outcome: Outcome) -> None:
        """A run is over, whether its handler began or not."""

    def came_round(self, load: Callable[[], Load]) -> None:
        """The loop has come round; `load` looks at the executor."""

    def serving(self) -> AbstractContextManager[object]:
        """Serve what was heard while the context lasts."""
        return nullcontext()
