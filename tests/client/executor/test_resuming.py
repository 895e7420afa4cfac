"""An executor that takes signals again after a pause, on a real broker."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING
from uuid import uuid4

from confluent_kafka import Producer

from streams.client.executor.group import Group
from streams.config import Topic, load_settings
from streams.kafka import topics
from streams.kafka.clients import KafkaClients

if TYPE_CHECKING:
    from streams.broker import Broker

PARTITIONS = 4
PAUSED_S = 0.2
ASLEEP_S = 1.0
"""How long librdkafka's thread of a broker sleeps while all that it reads is paused."""
PATIENCE_S = 30.0


def _take(group: Group, count: int) -> float:
    """Take so many signals; returns how long that took."""
    began, left = time.monotonic(), count
    while left:
        left -= len(list(group.take(count, 0.01)))
        assert time.monotonic() - began < PATIENCE_S
    return time.monotonic() - began


def test_what_came_during_a_pause_is_taken_soon_after_it(broker: Broker) -> None:
    """Not when a thread of librdkafka has slept for as long as it does; the quickest of a few counts."""
    settings = load_settings(bootstrap_servers=broker.bootstrap, topic_prefix=f"resuming-{uuid4().hex[:8]}.")
    topics.create(settings, PARTITIONS)
    producer = Producer({"bootstrap.servers": broker.bootstrap, "linger.ms": 0, "log_level": 0})

    def send() -> None:
        for partition in range(PARTITIONS):
            producer.produce(settings.topic(Topic.SIGNALS), b"signal", partition=partition)
        assert producer.flush(PATIENCE_S) == 0

    group = Group(settings, KafkaClients(), f"{settings.topic_prefix}g", lambda _: None, lambda _: None)
    group.join(None)
    with closing(group._consumer):
        send()
        _take(group, PARTITIONS)
        took = []
        for _ in range(5):
            group.pause()
            send()
            time.sleep(PAUSED_S)
            group.resume()
            took.append(_take(group, PARTITIONS))
        assert min(took) < (ASLEEP_S - PAUSED_S) / 2, took
