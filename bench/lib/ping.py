"""Commands at a fixed rate that have nothing to do with the batch, and how long until the START of each can be read.

    python -m bench.lib.ping BOOTSTRAP PREFIX PARTITIONS RATE FILE

Runs until SIGTERM, then writes the pings to FILE: seconds since 1970 at which each was to be sent, and the milliseconds
from then on, null when its signal never came. None waits for the answer to another, and one that is sent late counts
from when it was due: so a service that stands still is seen by every ping of that time. A process of its own, so that
nothing else that is measured delays it.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition

from bench.lib import workload
from streams.config import Settings, Topic

_LAST_ANSWERS_S = 3.0


class Pinger:
    """Sends in one thread, receives in another."""

    def __init__(self, settings: Settings, partitions: int) -> None:
        self._stop = threading.Event()
        self._sent: dict[bytes, float] = {}
        self._took: dict[bytes, float] = {}
        servers = settings.kafka_properties()
        self._topic = settings.topic(Topic.COMMANDS)
        self._producer = Producer({**servers, "linger.ms": 0})
        self._consumer: Any = Consumer(
            {**servers, "group.id": "none", "enable.auto.commit": False, "isolation.level": "read_committed"}
        )
        signals = settings.topic(Topic.SIGNALS)
        places = [TopicPartition(signals, p) for p in range(partitions)]
        for place in places:
            _, place.offset = self._consumer.get_watermark_offsets(place, timeout=10)
        self._consumer.assign(places)
        self._turns = self._pings(partitions)

    @staticmethod
    def _pings(partitions: int) -> Any:
        """Endless pings, to each partition in turn."""
        while True:
            made = workload.by_partition(workload.started(workload.ids(64 * partitions), partitions), partitions)
            for turn in zip(*made, strict=False):
                yield from turn

    def run(self, rate: float) -> None:
        """Ping `rate` times a second until `stop`, then wait a little for the last answers."""
        receiver = threading.Thread(target=self._receive, daemon=True)
        receiver.start()
        due = time.time()
        while not self._stop.is_set():
            partition, key, value = next(self._turns)
            due += 1 / rate
            time.sleep(max(0.0, due - time.time()))
            self._sent[key.encode()] = due
            self._producer.produce(self._topic, value, key, partition)
            self._producer.poll(0)
        self._producer.flush(5)
        time.sleep(_LAST_ANSWERS_S)

    def stop(self) -> None:
        """End `run`."""
        self._stop.set()

    def result(self) -> list[tuple[float, float | None]]:
        """When each was due, and how many ms it took from then on."""
        return [(at, self._took.get(key)) for key, at in self._sent.items()]

    def _receive(self) -> None:
        sent, took = self._sent, self._took
        while True:
            first = self._consumer.poll(0.1)
            if first is None:
                continue
            messages = [first, *self._consumer.consume(2_000, timeout=0)]
            now = time.time()
            for message in messages:
                at = sent.get(message.key())
                if at is not None:
                    took.setdefault(message.key(), (now - at) * 1_000)


def main() -> None:
    """Ping until SIGTERM."""
    bootstrap, prefix, partitions, rate, file = sys.argv[1:]
    sys.setswitchinterval(0.0005)
    settings = Settings(_env_file=None, bootstrap_servers=bootstrap, topic_prefix=prefix)
    pinger = Pinger(settings, int(partitions))
    signal.signal(signal.SIGTERM, lambda *_: pinger.stop())
    pinger.run(float(rate))
    Path(file).write_text(json.dumps(pinger.result()))


if __name__ == "__main__":
    main()
