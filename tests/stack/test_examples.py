"""The examples in other languages, by the commands of their READMEs: each kills the same batch as the others."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from streams import codec
from streams.config import Topic
from streams.model import Action, Filter, Invocation, Invoke, StartBatch
from streams.protocol.routing import partition_of
from support.service.examples import TOOLS, shell
from support.service.harness import Service
from support.service.workload import DAY_MS, now_ms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.broker import Broker
    from support.service.examples import Example, Examples

pytestmark = [pytest.mark.stack, pytest.mark.broker]

PARTITIONS = 4
DOOMED, SPARED = 300, 100
END = re.compile(r"(\S+) COMPLETED matched=(\d+) done=(\d+) pending=(\d+) skipped=(\d+) failed=(\d+)")


def kill(example: Example, service: Service, of: str, batch_id: str = "") -> tuple[str, list[int]]:
    """Run it; returns the batch's id and the five counters of the last line."""
    assert "SERVICE=emails" in example.command
    variables = {
        "BOOTSTRAP": service.settings.bootstrap_servers,
        "PREFIX": service.settings.topic_prefix,
        "BATCH": batch_id,
    }
    result = shell(example.command.replace("SERVICE=emails", f"SERVICE={of}"), example.folder, variables)
    last = END.fullmatch(result.stdout.strip().splitlines()[-1])
    assert last, f"does not end with COMPLETED:\n{result.stdout}\n{result.stderr}"
    return last[1], [int(each) for each in last.groups()[1:]]


@pytest.fixture(scope="module")
def service(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A worker and a gateway on topics of their own."""
    with Service(broker.bootstrap, tmp_path_factory.mktemp("service"), PARTITIONS) as running:
        running.worker("a")
        running.program("gateway", ["gateway"])
        yield running


def invoke(service: Service, doomed: str) -> None:
    """Invocations of one service, a third of them scheduled, among some of another."""
    tomorrow = now_ms() + DAY_MS
    names = [doomed] * DOOMED + [f"not-{doomed}"] * SPARED
    service.send_many(
        Invoke(Invocation(f"{doomed}-{number}", name, "run"), tomorrow if number % 3 == 0 else None)
        for number, name in enumerate(names)
    )


def started(service: Service, batch_id: str) -> list[tuple[int, StartBatch]]:
    """The batch's `StartBatch` records in the command log, each with its partition."""
    log = [entry for entry in service.read(Topic.COMMANDS) if entry.key == batch_id and entry.value is not None]
    records = [(entry.partition, codec.decode(entry.value)) for entry in log if entry.value is not None]
    return [(partition, record) for partition, record in records if isinstance(record, StartBatch)]


def home(batch_id: str) -> int:
    """The batch's lead partition."""
    return partition_of(batch_id, PARTITIONS)


@pytest.mark.parametrize("language", TOOLS)
def test_an_example_kills_its_batch(language: str, examples: Examples, service: Service) -> None:
    """Built and run as its README says, it ends exactly the service's invocations, by one command on its partition."""
    example = examples(language)
    doomed = f"{language}-{uuid4().hex[:6]}"
    invoke(service, doomed)
    batch_id, counters = kill(example, service, doomed)
    assert counters == [DOOMED, DOOMED, 0, 0, 0]
    command = StartBatch(batch_id, Action.KILL, Filter(services=(doomed,)), reason="bad deploy")
    assert started(service, batch_id) == [(home(batch_id), command)]
    assert service.read(Topic.DEAD_LETTERS) == []
    _, table = service.check()
    assert len(table.ended_by(batch_id)) == DOOMED


def test_the_examples_kill_the_same_batch(examples: Examples, service: Service) -> None:
    """The same batch id from every language is the same command to the service: it runs once, and all see its end."""
    each = [examples(language) for language in TOOLS]
    doomed = f"shared-{uuid4().hex[:6]}"
    batch_id = f"b-{doomed}"
    invoke(service, doomed)
    ends = [kill(example, service, doomed, batch_id) for example in each]
    assert ends == [(batch_id, [DOOMED, DOOMED, 0, 0, 0])] * len(each)
    command = StartBatch(batch_id, Action.KILL, Filter(services=(doomed,)), reason="bad deploy")
    assert started(service, batch_id) == [(home(batch_id), command)] * len(each)
    assert service.read(Topic.DEAD_LETTERS) == []


def test_without_a_service_an_example_does_nothing(examples: Examples, service: Service) -> None:
    """SERVICE left out: an example says so and sends nothing."""
    for language in TOOLS:
        example = examples(language)
        before = len(service.read(Topic.COMMANDS))
        with pytest.raises(AssertionError, match="SERVICE is not set"):
            shell(example.command.replace("SERVICE=emails", "SERVICE="), example.folder, {})
        assert len(service.read(Topic.COMMANDS)) == before
