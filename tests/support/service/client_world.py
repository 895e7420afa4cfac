"""Topics on the fake cluster, for clients."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from streams import codec
from streams.config import Topic, load_settings
from streams.kafka import topics
from support.kafka.fake_cluster import FakeCluster

if TYPE_CHECKING:
    from streams.model import Record


class ClientWorld:
    """A cluster with all topics; underscores in the names of Kafka's properties stand for dots."""

    def __init__(self, partitions: int = 4, **kafka: str) -> None:
        properties = {name.replace("_", "."): value for name, value in kafka.items()}
        self.cluster = FakeCluster()
        self.settings = load_settings(bootstrap_servers="fake:9092", topic_prefix="t.", kafka=properties)
        for spec in topics.SPECS:
            self.cluster.create_topic(
                self.settings.topic(spec.topic), 1 if spec.single else partitions, dict(spec.config)
            )

    def commands(self) -> list[Record]:
        """What stands in the command log."""
        return [codec.decode(each.value) for each in self.cluster.records(self.settings.topic(Topic.COMMANDS))]

    def write(self, topic: Topic, key: str, value: bytes | None, headers: Any = None) -> None:
        """A record of a topic's first partition."""
        self.cluster.append((self.settings.topic(topic), 0), key.encode(), value, headers)

    def refuse(self) -> None:
        """From now on the log takes nothing."""
        self.cluster.topics[self.settings.topic(Topic.COMMANDS)].config["max.message.bytes"] = "1"


def all_threads_gone(before: int) -> bool:
    """Whether there are soon no more threads than before."""
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    return threading.active_count() <= before
