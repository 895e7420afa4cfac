"""The small server of `/metrics`, `/health/live` and `/health/ready`."""

from __future__ import annotations

import json
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry, Gauge
from structlog.testing import capture_logs

from streams.errors import StreamsError
from streams.health import Health, serving
from support.service.scrape import get

if TYPE_CHECKING:
    from collections.abc import Iterator


class Patient:
    """Something whose health is what the test says."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.is_live = self.is_ready = True

    def live(self) -> Health:
        """As set."""
        return Health(self.is_live, {"live": self.is_live})

    def ready(self) -> Health:
        """As set."""
        return Health(self.is_ready, {"ready": self.is_ready})


@contextmanager
def served(patient: Patient, host: str = "127.0.0.1") -> Iterator[str]:
    """The server's address while it serves."""
    with capture_logs() as lines, serving(f"{host}:0", "STREAMS_X_HTTP", patient):
        yield f"http://{host}:{lines[0]['port']}"


def test_health_is_told_by_status_and_says_why() -> None:
    """200 when it is well and 503 when it is not, each check by itself, with a JSON body."""
    patient = Patient()
    with served(patient) as address:
        assert get(f"{address}/health/live") == (200, '{"live": true}\n')
        patient.is_ready = False
        assert get(f"{address}/health/ready") == (503, '{"ready": false}\n')
        assert get(f"{address}/health/live")[0] == 200
        patient.is_live = False
        assert get(f"{address}/health/live") == (503, '{"live": false}\n')


def test_metrics_are_those_of_the_registry_and_of_the_process() -> None:
    """What was registered is served, with what the operating system knows of the process."""
    patient = Patient()
    Gauge("answer", "Known.", registry=patient.registry).set(42)
    with served(patient) as address:
        status, body = get(f"{address}/metrics")
    assert status == 200
    assert "answer 42.0" in body.splitlines()
    assert "python_info{" in body


def test_any_other_path_is_told_the_paths_there_are() -> None:
    """A mistyped address shows the right ones."""
    with served(Patient()) as address:
        status, body = get(f"{address}/healthz")
    assert status == 404
    assert json.loads(body) == {"paths": ["/metrics", "/health/live", "/health/ready"]}


def test_a_client_that_says_nothing_holds_up_nobody() -> None:
    """A connection without a request does not keep others from being answered."""
    with served(Patient()) as address:
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))):
            assert get(f"{address}/health/live")[0] == 200


def test_an_address_that_is_taken_is_refused_by_the_name_of_its_setting() -> None:
    """Two workers with one address: the second says which setting it is, and what to do."""
    with served(Patient()) as address:
        taken = address.removeprefix("http://")
        refused = pytest.raises(StreamsError, match=f"STREAMS_X_HTTP={taken}: .* address of its own, or none")
        with refused, serving(taken, "STREAMS_X_HTTP", Patient()):
            pass


def test_the_address_is_free_again_afterwards() -> None:
    """A restart takes the same address at once."""
    with served(Patient()) as address:
        assert get(f"{address}/health/live")[0] == 200
    with serving(address.removeprefix("http://"), "STREAMS_X_HTTP", Patient()):
        assert get(f"{address}/health/live")[0] == 200


def test_without_an_address_nothing_is_served() -> None:
    """Off unless asked for."""
    with capture_logs() as lines, serving(None, "STREAMS_X_HTTP", Patient()):
        assert not lines
