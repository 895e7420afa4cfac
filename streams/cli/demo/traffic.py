"""A steady stream of orders, and the time each waits for its START.

Its own process, so that the rest of the demo does not delay it: `python -m streams.cli.demo.traffic FILE`. Runs until
SIGTERM, then writes to FILE a JSON list: for each order, seconds since 1970 when it was sent, and milliseconds until
its START signal could be read, or null if it never came.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from confluent_kafka import OFFSET_END, TopicPartition

from streams.cli.context import settings_of_service
from streams.cli.demo.workload import ORDERS, QUICK
from streams.client import Delivery, DeliveryError, new_invocation_id
from streams.client.outlet import Outlet
from streams.config import Topic
from streams.kafka.clients import KafkaClients, Trouble, reader_properties
from streams.kafka.topics import require
from streams.model import Invocation, Invoke

if TYPE_CHECKING:
    from streams.config import Settings

EVERY_S = 0.01
_LAST_ANSWERS_S = 15.0
_SWITCH_S = 0.0005


class Traffic:
    """Sends orders in the thread that calls `run`, and receives their signals in another."""

    def __init__(self, settings: Settings) -> None:
        self._stopping = threading.Event()
        self._sent: dict[bytes, float] = {}
        self._took: dict[bytes, float] = {}
        self._outlet = Outlet(settings, KafkaClients(), linger_ms=0)
        self._outlet.require_topics()
        trouble = Trouble()
        own = {"group_id": "streams-demo", "enable_auto_commit": False, "isolation_level": "read_committed"}
        self._consumer = KafkaClients().consumer(reader_properties(settings, trouble, **own))
        [(name, found)] = require(self._consumer, settings, trouble, Topic.SIGNALS).items()
        self._consumer.assign([TopicPartition(name, each, OFFSET_END) for each in found.partitions])

    def run(self) -> None:
        """Send until `stop`, then wait for the last answers."""
        threading.Thread(target=self._receive, daemon=True).start()
        due = time.time()
        while not self._stopping.is_set():
            due = max(due + EVERY_S, time.time() - 1.0)
            time.sleep(max(0.0, due - time.time()))
            self._place()
        self._outlet.flush(_LAST_ANSWERS_S)
        deadline = time.monotonic() + _LAST_ANSWERS_S
        while len(self._took) < len(self._sent) and time.monotonic() < deadline:
            time.sleep(EVERY_S)

    def stop(self) -> None:
        """Let `run` send no more orders and return once the last are answered."""
        self._stopping.set()

    def answers(self) -> list[tuple[float, float | None]]:
        """For each order, when it was sent and the ms until its START."""
        return [(at, self._took.get(key)) for key, at in self._sent.items()]

    def _place(self) -> None:
        order = new_invocation_id()
        self._sent[order.encode()] = time.time()
        self._outlet.put(Invoke(Invocation(order, ORDERS, QUICK)), _require)
        self._outlet.serve()

    def _receive(self) -> None:
        while True:
            messages: list[Any] = self._consumer.consume(1, 0.1) + self._consumer.consume(2_000, 0)
            now = time.time()
            for message in messages:
                sent_at = self._sent.get(message.key())
                if message.error() is None and sent_at is not None:
                    self._took.setdefault(message.key(), (now - sent_at) * 1_000)


def _require(delivery: Delivery) -> None:
    if delivery.error is not None:
        raise DeliveryError(1, (delivery.key,), delivery.error)


def main() -> None:
    """Send orders until SIGTERM, then write their times to the file that is named."""
    sys.setswitchinterval(_SWITCH_S)
    traffic = Traffic(settings_of_service())
    signal.signal(signal.SIGTERM, lambda *_: traffic.stop())
    traffic.run()
    Path(sys.argv[1]).write_bytes(msgspec.json.encode(traffic.answers()))


if __name__ == "__main__":
    main()
