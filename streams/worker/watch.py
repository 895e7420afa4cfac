"""A watch on a running worker's topics: Kafka does not report that one was deleted and created again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from streams.errors import StreamsError
from streams.kafka.topic_ids import Remade, TopicIds

if TYPE_CHECKING:
    from streams.worker.topics import Topics

_REASON_S: Final = 3.0
"""Longest search for the true reason of an error, seconds."""


class TopicWatch:
    """Compares the ids of command log and changelog with those that the worker started with.

    Raises from every method:
        StreamsError: one of them was deleted, or deleted and created again.
    """

    def __init__(self, admin: Any, topics: Topics) -> None:
        self._ids = TopicIds(admin, {topics.commands: topics.commands_id, topics.changelog: topics.changelog_id})

    def look(self) -> None:
        """Check the answers that have come; never waits."""
        _refuse(self._ids.look())

    def confirmed(self, seconds: float) -> bool:
        """True if the topics were the same a moment ago; if unknown, waits at most `seconds` for an answer.

        Applies and commits depend on it: after a pause of the worker, its offsets might belong to another log.
        """
        if not self._ids.fresh:
            _refuse(self._ids.await_answer(seconds))
        return self._ids.fresh

    def explain(self) -> None:
        """Look for the reason of an error with a topic: raises if the topic is another one, or gone."""
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
        f"topic {found.topic} was created again while the worker ran: its topic id was {found.was} and is {found.now}, "
        "and offset and table belong to the old one. Begin with new topics and an empty state folder "
        "(STREAMS_TOPIC_PREFIX, STREAMS_STATE_DIR)"
    )
