"""What a running worker must notice of its topics and is told by nobody: that one was made anew under it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from streams.errors import StreamsError
from streams.topic_ids import Remade, TopicIds

if TYPE_CHECKING:
    from streams.runtime.agreement import TopicFacts

_REASON_S: Final = 3.0
"""How long the true reason of an error is looked for."""


class TopicWatch:
    """Compares the ids of command log and changelog with those that the worker began with.

    Raises from every method:
        StreamsError: one of them was deleted, or made anew.
    """

    def __init__(self, admin: Any, facts: TopicFacts) -> None:
        self._ids = TopicIds(admin, {facts.commands: facts.commands_id, facts.changelog: facts.changelog_id})

    def look(self) -> None:
        """Take what has been answered; never waits."""
        _refuse(self._ids.look())

    def confirmed(self, seconds: float) -> bool:
        """Whether the topics were the same a moment ago; waits at most so long when it is not known.

        What is applied or committed counts on it: the worker may have stood still, and its offsets be another log's.
        """
        if not self._ids.fresh:
            _refuse(self._ids.await_answer(seconds))
        return self._ids.fresh

    def explain(self) -> None:
        """Something is wrong with a topic: raises when it is because the topic is another one, or gone."""
        _refuse(self._ids.ask_now(_REASON_S))


def _refuse(found: Remade | None) -> None:
    if found is None:
        return
    if found.now is None:
        raise StreamsError(
            f"topic {found.topic} was deleted while the worker ran: restore it, or begin with new topics and an empty "
            "state folder (STREAMS_TOPIC_PREFIX, STREAMS_STATE_DIR)"
        )
    raise StreamsError(
        f"topic {found.topic} was made anew while the worker ran: its topic id was {found.was} and is {found.now}, "
        "and offset and table belong to the old one. Begin with new topics and an empty state folder "
        "(STREAMS_TOPIC_PREFIX, STREAMS_STATE_DIR)"
    )
