"""Metrics and health of a program, asked for as Prometheus and an orchestrator do."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from support.service.programs import Program


def get(url: str) -> tuple[int, str]:
    """Status and body."""
    try:
        with urlopen(url, timeout=10) as answer:  # noqa: S310 - an address of our own
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


class Served:
    """What a program started with port 0 serves."""

    def __init__(self, program: Program) -> None:
        (line,) = program.await_event("serving metrics and health")
        self.address = f"http://{line['host']}:{line['port']}"

    def health(self, check: str) -> tuple[int, dict[str, Any]]:
        """Status and body of `/health/<check>`."""
        status, body = get(f"{self.address}/health/{check}")
        return status, json.loads(body)

    def await_ready(self, timeout: float = 60.0) -> dict[str, Any]:
        """The body, once it says 200."""
        deadline = time.monotonic() + timeout
        while (answer := self.health("ready"))[0] != 200:
            assert time.monotonic() < deadline, answer
            time.sleep(0.05)
        return answer[1]

    def samples(self, name: str) -> dict[tuple[str, ...], float]:
        """The samples of a name, by the values of their labels."""
        status, body = get(f"{self.address}/metrics")
        assert status == 200, body
        return {
            tuple(sample.labels.values()): sample.value
            for family in text_string_to_metric_families(body)
            for sample in family.samples
            if sample.name == name
        }
