"""Invokes four services for as long as it runs: RATE a second, every other one of them due in an hour."""

from __future__ import annotations

import itertools
import os
import time

from streams.client import Client
from streams.config import load_settings

SERVICES = ("billing", "emails", "reports", "thumbnails")
TENANTS = ("acme", "globex", "initech")
HOUR_MS = 3_600_000


def main() -> None:
    """Until it is stopped, or Kafka has not taken something for five minutes."""
    rate = int(os.environ.get("RATE", "50"))
    with Client(load_settings()) as client:
        for first in itertools.count(step=rate):
            began = time.monotonic()
            due = time.time_ns() // 1_000_000 + HOUR_MS
            for number in range(first, first + rate):
                invoke(client, number, due)
            client.flush()
            time.sleep(max(0.0, began + 1 - time.monotonic()))


def invoke(client: Client, number: int, due: int) -> None:
    """The services and tenants in turn."""
    later = number // len(SERVICES) % 2 == 1
    labels = {"tenant": TENANTS[number % len(TENANTS)]}
    client.invoke(SERVICES[number % len(SERVICES)], "run", scheduled_at=due if later else None, labels=labels)


if __name__ == "__main__":
    main()
