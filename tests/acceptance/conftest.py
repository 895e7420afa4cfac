"""What the acceptance suite shares: services on the session's broker, and their logs beside a failure."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from support.harness import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path


@pytest.fixture
def make_service(broker: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., Service]]:
    """A function that makes a service; arguments as of `Service` after the folder."""
    request.node.services = services = []
    with ExitStack() as stack:

        def make(partitions: int = 4, **environment: str) -> Service:
            folder = tmp_path / f"service-{len(services)}"
            folder.mkdir()
            service = stack.enter_context(Service(broker.bootstrap, folder, partitions, **environment))
            services.append(service)
            return service

        yield make


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
