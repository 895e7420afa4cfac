"""Places in the log that dead letters name, for a reader that applies the log once more."""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING

from confluent_kafka import IsolationLevel

from streams.config import Topic
from streams.kafka.headers import headers_of
from streams.worker.clock_ahead import CHANGELOG, CLOCK_AHEAD, SOURCE, Places

if TYPE_CHECKING:
    from streams.config import Settings
    from streams.kafka.reading import TopicReader
    from streams.worker.topics import Topics


class DeadLetterPlaces:
    """Places in `commands`, by partition, from the dead letters read so far.

    `skipped`: offsets of records that became dead letters. `ahead`: places of records that were applied although they
    were stamped too far ahead. `of_any_table`: even if applied to a table whose changelog no longer exists.
    """

    def __init__(self, settings: Settings, topics: Topics, reading: TopicReader, *, of_any_table: bool = False) -> None:
        self._topic = settings.topic(Topic.DEAD_LETTERS)
        self._topics = topics
        self._reading = reading
        self._any = of_any_table
        self._read_to: dict[int, int] = {}
        self.skipped: dict[int, set[int]] = defaultdict(set)
        self.ahead: dict[int, Places] = defaultdict(Places)

    def read(self, level: IsolationLevel = IsolationLevel.READ_UNCOMMITTED) -> None:
        """Read on to the current end. Unless `level` says otherwise, wait for an open transaction.

        Raises:
            StalledError: nothing came for a minute.
        """
        for place in range(self._topics.dead_letter_partitions):
            begin, end = self._reading.bounds(self._topic, place, level)
            begin = max(begin, self._read_to.get(place, 0))
            for message in self._reading.read(self._topic, place, (begin, end)):
                headers = {name: value or b"" for name, value in headers_of(message)}
                # Others may write there, too: a record that names no place is not a worker's.
                with suppress(KeyError, ValueError):
                    self._note(headers)
            self._read_to[place] = max(begin, end)

    def _note(self, headers: dict[str, bytes]) -> None:
        if headers.get("source-topic") != self._topics.commands.encode():
            return
        partition = int(headers["source-partition"])
        if headers.get("error-code") != CLOCK_AHEAD.encode():
            self.skipped[partition].add(int(headers["source-offset"]))
        elif self._of_this_log(headers):
            self.ahead[partition].add(headers)

    def _of_this_log(self, headers: dict[str, bytes]) -> bool:
        of_table = self._any or headers.get(CHANGELOG) == self._topics.changelog_id.encode()
        return of_table and headers.get(SOURCE) == self._topics.commands_id.encode()
