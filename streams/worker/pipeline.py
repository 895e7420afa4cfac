"""The order of turns: while Kafka commits one, the pages of the next one are done.

A commit takes Kafka about as long as a page takes the worker, which would otherwise only wait. So a turn is made in two
parts:

1. Ahead, while the turn before it is committed: the pages of partitions that had none in that turn, on SQLite only.
2. In the loop: whatever has been consumed for all partitions, and the pages of those that had none in the first part.

About half of the partitions do a page in each turn, a quarter where clients wait: first where a client's command waits
behind the page, then whoever has waited longest. None does two. In the second part, each partition where a client's
command waits behind a page does that page: by the log's order the page comes first, and each is followed by the next.

The SQLite transaction of a partition worked ahead holds two turns: it is committed with the second one. If a turn is
not committed or a partition goes away, what was done ahead is void; the input is read again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.worker.intake import held_up, pages_a_turn, take_inputs, take_pages
from streams.worker.turn import Turn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streams.config import Settings
    from streams.worker.culprit import Culprit
    from streams.worker.page_sizes import Budget, TunedSizes
    from streams.worker.task import PartitionTask
    from streams.worker.topics import Topics


class Pipeline:
    """Makes the turns. `next_turn` is the one begun ahead, if any; `number` rises from turn to turn."""

    def __init__(
        self,
        settings: Settings,
        topics: Topics,
        sizes: TunedSizes,
        culprit: Culprit,
        budget: Budget,
        wall_clock: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._topics = topics
        self._sizes = sizes
        self._culprit = culprit
        self._budget = budget
        self._wall_clock = wall_clock
        self.next_turn: Turn | None = None

    @property
    def tasks(self) -> Sequence[PartitionTask]:
        """The partitions that were worked ahead."""
        return () if self.next_turn is None else self.next_turn.tasks

    def take(self) -> Turn | None:
        """The turn begun ahead, which is then no longer here."""
        turn, self.next_turn = self.next_turn, None
        return turn

    def turn(self, suspects: Sequence[PartitionTask], running: int, number: int) -> Turn:
        """The second part of a turn: the input of the `suspects`; `running`: number of partitions that run."""
        turn = self.take() or self.new_turn()
        had, turn.usual_pages = turn.had_a_page(), self._pages(running)
        first = held_up(suspects, had)
        pages = turn.usual_pages - len(had)
        turn.apply(self._culprit.marked(take_inputs(suspects, number, pages, had, self._culprit.most, first)))
        return turn

    def work_ahead(self, committing: Turn, running: Sequence[PartitionTask], number: int) -> Sequence[PartitionTask]:
        """The first part of the next turn, while `committing` is committed; returns the partitions worked ahead.

        Only partitions without a page in `committing` take part, so that each commits its SQLite transaction with the
        next turn at the latest.
        """
        had = committing.had_a_page()
        inputs = take_pages([task for task in running if task not in had], number, self._pages(len(running)))
        if inputs:
            self.next_turn = self.new_turn()
            self.next_turn.apply(self._culprit.marked(inputs))
        return self.tasks

    def _pages(self, running: int) -> int:
        return pages_a_turn(running, waited_for=self._budget.waited_for)

    def new_turn(self) -> Turn:
        """A turn in which nothing is done yet."""
        return Turn(self._settings, self._topics, self._sizes, self._wall_clock)
