"""An executor that answers every CANCEL at once, and has nothing else to do: its work is suspended.

    python -m bench.lib.answer BOOTSTRAP PREFIX

Runs until SIGTERM. It reads what is committed, from the moment it starts, and says of each invocation that it is asked
to cancel that it has ended. A process of its own, as executors are. `python -m bench.lib.library_executor` is the same
by the client library.
"""

from __future__ import annotations

import signal
import sys
import time
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition

from bench.lib.service import PARTITIONS
from streams import codec
from streams.config import Settings, Topic
from streams.model import ReportTransition, Signal, SignalKind, Status

_AT_ONCE = 5_000


def main() -> None:
    """Answer until SIGTERM."""
    bootstrap, prefix = sys.argv[1:]
    settings = Settings(_env_file=None, bootstrap_servers=bootstrap, topic_prefix=prefix)
    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stop.append(number))
    servers = settings.kafka_properties()
    producer = Producer({**servers, "linger.ms": 5, "queue.buffering.max.messages": 1_000_000})
    consumer: Any = Consumer(
        {**servers, "group.id": "none", "enable.auto.commit": False, "isolation.level": "read_committed"}
    )
    places = [TopicPartition(settings.topic(Topic.SIGNALS), p) for p in range(PARTITIONS)]
    for place in places:
        _, place.offset = consumer.get_watermark_offsets(place, timeout=10)
    consumer.assign(places)
    commands = settings.topic(Topic.COMMANDS)
    while not stop:
        answers: dict[int, list[dict[str, Any]]] = {}
        first = consumer.poll(0.1)
        for message in () if first is None else (first, *consumer.consume(_AT_ONCE, timeout=0)):
            answer = _answer(message)
            if answer is not None:
                answers.setdefault(message.partition(), []).append(answer)
        for partition, reports in answers.items():
            producer.produce_batch(commands, reports, partition=partition)
        producer.poll(0)
    producer.flush(5)


def _answer(message: Any) -> dict[str, Any] | None:
    if message.error() is not None:
        return None
    asked = codec.decode(message.value())
    if not isinstance(asked, Signal) or asked.kind is not SignalKind.CANCEL:
        return None
    invocation_id = asked.invocation.invocation_id
    report_no = time.time_ns() // 1_000
    report = ReportTransition(invocation_id, asked.attempt, asked.seq, report_no, Status.CANCELLED)
    return {"key": invocation_id, "value": codec.encode(report)}


if __name__ == "__main__":
    main()
