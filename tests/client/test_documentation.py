"""What the pages for producers and executors show runs as it stands there."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from streams import codec
from streams.config import Topic
from streams.model import Act, Action, Invocation, Invoke, ReportTransition, Status
from support.service.harness import Service
from support.service.programs import ROOT, Program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.broker import Broker
    from support.kafka.reading import TopicReader

DOCS = ROOT / "docs"


def blocks(page: str) -> list[str]:
    """The page's Python programs."""
    return re.findall(r"^```python\n(.*?)^```", (DOCS / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def service(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A worker and a gateway."""
    with Service(broker.bootstrap, tmp_path_factory.mktemp("docs")) as made:
        made.worker("w")
        made.program("gateway", ["gateway"])
        yield made


def start(service: Service, page: str, number: int) -> Program:
    """One of the page's programs."""
    name = f"{Path(page).stem}-{number}"
    script = service.folder / f"{name}.py"
    script.write_text(blocks(page)[number], encoding="utf-8")
    program = Program(name, [], service.folder, {**service.environment, "PYTHONUNBUFFERED": "1"})
    program._args = [sys.executable, "-W", "error", str(script)]
    service.programs[name] = program
    program.start()
    return program


def await_ends(service: Service, expected: dict[str, Status], timeout: float = 60.0) -> None:
    """Wait for the last report of each of these invocations."""
    deadline = time.monotonic() + timeout
    with service.reader(Topic.COMMANDS) as log:
        while True:
            log.more()
            records = [codec.decode(entry.value) for entry in log.entries]
            last = {each.invocation_id: each.to for each in records if isinstance(each, ReportTransition)}
            if {name: last.get(name) for name in expected} == expected:
                return
            assert time.monotonic() < deadline, f"{expected} expected, {last} found"


def test_the_pages_have_programs() -> None:
    """As many as the tests below run."""
    assert (len(blocks("producers.md")), len(blocks("executors.md"))) == (4, 5)


@pytest.mark.parametrize(
    ("number", "says"),
    [(0, "invoked "), (1, "invoked 1000"), (2, "COMPLETED"), (3, "")],
)
def test_producers(service: Service, number: int, says: str) -> None:
    """Each ends by itself, without a warning."""
    program = start(service, "producers.md", number)
    assert program.wait(90) == 0, program.tail()
    assert says in program.output()


def test_an_executor(service: Service) -> None:
    """Handlers of both kinds run, a retried one three times, and SIGTERM ends it."""
    program = start(service, "executors.md", 0)
    service.send(
        Invoke(Invocation("docs-mail", "emails", "send"), payload=b"hello"),
        Invoke(Invocation("docs-report", "reports", "render")),
    )
    await_ends(service, {"docs-mail": Status.COMPLETED, "docs-report": Status.COMPLETED})
    assert program.terminate() == 0, program.tail()
    assert program.output().count("sending docs-mail b'hello'") == 3


def test_children(service: Service) -> None:
    """A handler invokes two children, one for each name, and they run as its own."""
    program = start(service, "executors.md", 1)
    parent = Invocation("docs-order", "orders", "place", flow_id="docs-flow")
    service.send(Invoke(parent, payload=b"3 of them"))
    deadline = time.monotonic() + 60
    with service.reader(Topic.COMMANDS) as log:
        while len(found := children_that_ended(log)) < 2:
            log.more()
            assert time.monotonic() < deadline, found
    assert {each.invocation.handler for each in found} == {"reserve", "charge"}
    assert {(each.invocation.flow_id, each.payload) for each in found} == {("docs-flow", b"3 of them")}
    assert program.terminate() == 0, program.tail()
    assert "reserve for docs-order" in program.output()


def children_that_ended(log: TopicReader) -> list[Invoke]:
    """The children in the log whose end is there."""
    records = [codec.decode(entry.value) for entry in log.entries]
    ended = {
        each.invocation_id for each in records if isinstance(each, ReportTransition) and each.to is Status.COMPLETED
    }
    return [
        each
        for each in records
        if isinstance(each, Invoke) and each.invocation.parent_id and each.invocation.invocation_id in ended
    ]


def test_around_an_executor_that_exists(service: Service) -> None:
    """A job runs to its end; another one is cancelled."""
    program = start(service, "executors.md", 2)
    service.send(Invoke(Invocation("docs-job", "jobs", "run")))
    await_ends(service, {"docs-job": Status.COMPLETED})
    assert program.terminate() == 0, program.tail()


def test_adopting(service: Service) -> None:
    """What runs elsewhere ends by its report, or is stopped there."""
    assert start(service, "executors.md", 3).wait(60) == 0
    program = start(service, "executors.md", 4)
    service.send(Act("job-18", Action.CANCEL))
    await_ends(service, {"job-17": Status.COMPLETED, "job-18": Status.CANCELLED})
    assert program.terminate() == 0, program.tail()
    assert "CANCEL job-18 because" in program.output()
