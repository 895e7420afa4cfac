"""Services for tests of the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from streams.client import Client, new_invocation_id
from streams.model import Invocation, Invoke
from support.service.command_line import CommandLine
from support.service.programs import Program
from support.service.stand_in import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from streams.broker import Broker


@pytest.fixture
def empty(broker: Broker, tmp_path: Path) -> CommandLine:
    """A service without topics."""
    return CommandLine(broker.bootstrap, tmp_path)


@pytest.fixture(scope="session")
def live(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """A service with topics, worker and gateway, which all tests of the command line share."""
    folder = tmp_path_factory.mktemp("live")
    line = CommandLine(broker.bootstrap, folder)
    assert line.run("topics", "create", "--partitions", "2")[0] == 0
    programs = [Program(verb, [verb], folder, line.variables) for verb in ("worker", "gateway")]
    try:
        for program in programs:
            program.start()
        # Before that, a second worker in its state folder would not be the second.
        programs[0].await_event("partition running", 2)
        yield line
        assert [program.terminate() for program in programs] == [0, 0]
    finally:
        for program in programs:
            program.end()


@pytest.fixture
def load(live: CommandLine) -> Callable[[str, int], list[str]]:
    """A function that invokes `count` invocations of a service and returns their ids."""

    def load(service: str, count: int) -> list[str]:
        ids = [new_invocation_id() for _ in range(count)]
        with Client(live.settings) as client:
            for each in ids:
                client.send(Invoke(Invocation(each, service, "run")))
        return ids

    return load


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    """The command line on the cluster in memory, for a user called ada."""
    monkeypatch.setenv("LOGNAME", "ada")
    return Service()
