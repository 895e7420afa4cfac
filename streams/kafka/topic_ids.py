"""A check that topics are still those with which a program started: one deleted and created again has another id.

Offsets of the old topic mean nothing in the new one, but Kafka does not say so: readers go on at their old place.
"""

from __future__ import annotations

import time
from concurrent.futures import wait
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicCollection

if TYPE_CHECKING:
    from collections.abc import Mapping
    from concurrent.futures import Future

EVERY_S: Final = 0.5
"""Interval between questions for the ids, seconds."""
FRESH_S: Final = 2.0
"""Greatest age of an answer on which a program may act, seconds; after a longer standstill it asks again."""
_ANSWER_S: Final = 2.0
_GONE_S: Final = 5.0
"""Time that a topic must be unknown to count as gone, seconds: a broker that has just started may not know it yet."""
_NO_ID: Final = ("", "None", "AAAAAAAAAAAAAAAAAAAAAA")
"""Forms of an unknown id: none given, or sixteen zero bytes in base64."""


class Remade(NamedTuple):
    """A topic whose id has changed; `now` is None if the topic is gone."""

    topic: str
    was: str
    now: str | None


class TopicIds:
    """Asks for the ids of topics again and again, without a thread, and without waiting unless told to.

    Args:
        admin: an admin client with confluent_kafka's interface.
        known: names and ids; a topic without an id (very old brokers) is not watched.
    """

    def __init__(self, admin: Any, known: Mapping[str, str]) -> None:
        self._admin = admin
        self._known = {name: kept for name, kept in known.items() if kept not in _NO_ID}
        self._answers: dict[str, Future[Any]] = {}
        self._asked_at = self._confirmed_at = time.monotonic()
        self._missing: dict[str, float] = {}

    def look(self) -> Remade | None:
        """Check the answers that have come, and ask again if it is time; never waits."""
        found = None
        if self._answers and all(answer.done() for answer in self._answers.values()):
            found = self._take()
        if not self._answers and time.monotonic() - self._asked_at >= EVERY_S:
            self._ask()
        return found

    @property
    def fresh(self) -> bool:
        """True if the topics were the same less than `FRESH_S` ago."""
        return not self._known or time.monotonic() - self._confirmed_at <= FRESH_S

    def await_answer(self, seconds: float) -> Remade | None:
        """Wait, at most `seconds`, until an answer is fresh."""
        until = time.monotonic() + seconds
        while not self.fresh and (left := until - time.monotonic()) > 0:
            found = self.look()
            if found is not None:
                return found
            if self._answers:
                wait(self._answers.values(), left)
            else:  # the question was refused at once: the brokers are away
                time.sleep(min(left, EVERY_S))
        return None

    def ask_now(self, seconds: float) -> Remade | None:
        """Like `await_answer`, but asks a new question; a topic that is unknown now counts as gone."""
        self._answers = {}
        self._confirmed_at = float("-inf")
        self._missing = dict.fromkeys(self._known, float("-inf"))
        self._asked_at = float("-inf")
        found = self.await_answer(seconds)
        self._missing = {}
        return found

    def accept(self, remade: Remade) -> None:
        """Treat the new topic as the known one from now on."""
        if remade.now is not None:
            self._known[remade.topic] = remade.now

    def _ask(self) -> None:
        self._asked_at = time.monotonic()
        if self._known:
            self._answers = self._admin.describe_topics(TopicCollection(list(self._known)), request_timeout=_ANSWER_S)

    def _take(self) -> Remade | None:
        answers, self._answers = self._answers, {}
        told = True
        for name, answer in answers.items():
            was = self._known[name]
            try:
                now = str(answer.result().topic_id)
            except KafkaException as error:
                told = False
                if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    since = self._missing.setdefault(name, self._asked_at)
                    if time.monotonic() - since >= _GONE_S:
                        return Remade(name, was, None)
                continue
            self._missing.pop(name, None)
            if now not in (was, *_NO_ID):
                return Remade(name, was, now)
        if told:
            self._confirmed_at = self._asked_at
        return None


def topic_id(admin: Any, name: str, seconds: float) -> str:
    """The id of a topic; empty if the brokers give none.

    Raises:
        KafkaException: it does not exist, may not be described, or no broker answers.
        TimeoutError: no answer within the timeout.
    """
    described = admin.describe_topics(TopicCollection([name]), request_timeout=seconds)[name].result(seconds + 1)
    found = str(described.topic_id)
    return "" if found in _NO_ID else found
