"""Two executors as the README shows one, each for a service of its own, on the same topics."""

from __future__ import annotations

import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from streams import codec
from streams.config import Topic
from streams.model import Invocation, Invoke, ReportTransition, Status
from support import pages
from support.service import oracle
from support.service.programs import ROOT, Program

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.service.harness import Service

pytestmark = pytest.mark.broker

EACH = 40
SERVICES = {"emails": "send", "orders": "ship", "bills": "print"}
"""Handlers by service; the last has no executor."""
SERVED = ("emails", "orders")
PATIENCE_S = 30.0


def _executor(service: Service, name: str) -> Program:
    """The README's program for another service, with nothing set but where Kafka is."""
    (text,) = (block.text for block in pages.blocks("python") if block.page == ROOT / "README.md" and _runs(block.text))
    of_readme = f'"{SERVED[0]}", "{SERVICES[SERVED[0]]}"'
    assert of_readme in text
    place = {key: service.environment[key] for key in ("STREAMS_BOOTSTRAP_SERVERS", "STREAMS_TOPIC_PREFIX")}
    program = Program(f"executor-{name}", [], service.folder, place)
    program._args = [sys.executable, "-c", text.replace(of_readme, f'"{name}", "{SERVICES[name]}"')]
    service.programs[program.name] = program
    program.start()
    return program


def _runs(text: str) -> bool:
    return "executor.run()" in text


def _invoke(service: Service, life: str) -> None:
    """Invocations of all services, one after the other."""
    service.send_many(
        Invoke(Invocation(f"{name}-{life}-{number}", name, handler))
        for number in range(EACH)
        for name, handler in SERVICES.items()
    )


def _await_ends(service: Service, count: int) -> None:
    """Wait until this number has ended, well or not."""
    deadline = time.monotonic() + PATIENCE_S
    with service.reader(Topic.COMMANDS) as log:
        while True:
            log.more(0.2)
            records = (codec.decode(entry.value) for entry in log.entries)
            found = Counter(each.to for each in records if isinstance(each, ReportTransition))
            if sum(found[to] for to in (Status.COMPLETED, Status.FAILED, Status.CANCELLED)) >= count:
                return
            service.require_programs(f"of {count} ended {found}")
            assert time.monotonic() < deadline, f"of {count} ended only {found}"


def test_neither_touches_the_others_work_nor_that_of_a_third_service(make_service: Callable[..., Service]) -> None:
    """What was invoked before both and what comes while they run: each ends its own, at the first attempt."""
    service = make_service()
    service.await_partitions(service.worker("a"))
    _invoke(service, "before")
    executors = [_executor(service, name) for name in SERVED]
    _await_ends(service, len(SERVED) * EACH)
    _invoke(service, "meanwhile")
    _await_ends(service, 2 * len(SERVED) * EACH)
    log = service.settle()
    rows = oracle.fold(service.read(Topic.CHANGELOG)).rows.values()
    found = Counter((row.invocation.service, row.status, row.attempt) for row in rows)
    assert found == {
        ("emails", Status.COMPLETED, 1): 2 * EACH,
        ("orders", Status.COMPLETED, 1): 2 * EACH,
        ("bills", Status.READY, 1): 2 * EACH,
    }
    reports = [each for each in (codec.decode(entry.value) for entry in log) if isinstance(each, ReportTransition)]
    told = Counter((each.invocation_id.partition("-")[0], each.to) for each in reports)
    assert told.keys() == {(name, to) for name in SERVED for to in (Status.RUNNING, Status.COMPLETED)}
    assert service.read(Topic.DEAD_LETTERS) == []
    assert [executor.terminate() for executor in executors] == [0, 0]
