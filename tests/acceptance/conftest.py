"""What the acceptance suite shares: services on the session's broker, and their logs beside a failure."""

from __future__ import annotations

import os
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import pytest

from support.service.harness import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from streams.broker import Broker


@pytest.fixture
def service_on(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., Service]]:
    """A function that makes a service on a broker: its address, then arguments as of `Service` after the folder."""
    services: list[Service] = []
    request.node.services = services
    with ExitStack() as stack:

        def make(bootstrap: str, partitions: int = 4, **environment: str) -> Service:
            folder = tmp_path / f"service-{len(services)}"
            folder.mkdir()
            service = stack.enter_context(Service(bootstrap, folder, partitions, **environment))
            services.append(service)
            return service

        yield make


@pytest.fixture
def make_service(broker: Broker, service_on: Callable[..., Service]) -> Callable[..., Service]:
    """A function that makes a service on the session's broker."""
    return partial(service_on, broker.bootstrap)


@pytest.fixture
def scale() -> float:
    """How much of the full size is run: `STREAMS_TEST_SCALE`, 0.2 unless said (1: 300,000 invocations)."""
    return float(os.environ.get("STREAMS_TEST_SCALE", "0.2"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the end of every program's log beside a failure."""
    report = yield
    if report.failed:
        for service in getattr(item, "services", []):
            for program in service.programs.values():
                report.sections.append((f"log of {program.name}", program.tail()))
    return report
