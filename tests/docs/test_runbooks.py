"""What the page of operations tells people to do, done."""

from __future__ import annotations

import re
import subprocess
import time
from contextlib import closing
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from confluent_kafka import Producer

from streams.broker.apache import VERSION
from streams.broker.base import cache_folder, free_port
from streams.config import Topic
from streams.kafka import topics
from streams.model import Action, Filter, Invocation, Invoke, StartBatch
from support import pages
from support.service.harness import Service
from support.service.programs import ROOT
from support.service.worker_world import PARTITIONS, World

if TYPE_CHECKING:
    from pathlib import Path

    from streams.broker import Broker

MAIN_CLASS = {
    "kafka-configs.sh": "kafka.admin.ConfigCommand",
    "kafka-consumer-groups.sh": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "kafka-transactions.sh": "org.apache.kafka.tools.TransactionsCommand",
}
LINES = {line.words[0]: line.words[1:] for line in pages.command_lines() if line.words[0] in MAIN_CLASS}


def test_a_lost_changelog_is_made_again_from_the_log(tmp_path: Path) -> None:
    """With a new group, an empty folder and no signals, the workers make the same table from the log's beginning."""
    with closing(World(tmp_path)) as world:
        later = world.cluster.now + 1_000
        world.invoke(*(Invoke(Invocation(f"i-{n}", "ab"[n % 2], "run"), later if n < 5 else None) for n in range(40)))
        world.run_until_idle()
        world.send(StartBatch("kill", Action.KILL, Filter(services=("a",))), key="kill")
        world.send(StartBatch("cancel", Action.CANCEL, Filter(services=("b",)), grace_ms=100), key="cancel")
        world.run_until_idle()
        world.pass_time(5_000)
        world.run_until_idle()
        before = world.statuses(), world.counters(), world.signals()
        world.close()
        changelog = world.settings.topic(Topic.CHANGELOG)
        world.cluster.delete_topic(changelog)
        [spec] = [each for each in topics.SPECS if each.topic is Topic.CHANGELOG]
        world.cluster.create_topic(changelog, PARTITIONS, dict(spec.config))
        anew = {"group_id": "another", "state_dir": tmp_path / "empty", "shadow": True}
        world.settings = world.settings.model_copy(update=anew)
        world.run_until_idle()
        assert (world.statuses(), world.counters(), world.signals()) == before
        world.assert_log_and_changelog_agree()


def _kafkas_own(tool: str, service: Service, **more: str) -> subprocess.CompletedProcess[str]:
    """Run one of Kafka's programs as the page has it, with the addresses and names of this service."""
    meant = {
        "localhost:9092": service.settings.bootstrap_servers,
        "invocations.commands": service.settings.topic(Topic.COMMANDS),
        "invocations.workers": service.settings.group_id,
        **more,
    }
    words = [meant.get(word, word) for word in LINES[tool]]
    jars = cache_folder(f"kafka-{VERSION}")
    return subprocess.run(
        ["java", "-Xmx128m", "-cp", f"{jars}/*", MAIN_CLASS[tool], *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.durable
def test_kafkas_own_programs_take_what_the_page_says(broker: Broker, tmp_path: Path) -> None:
    """The log's retention is changed and the topics are still as they must be; a deleted group is no loss."""
    if broker.kind != "apache":
        pytest.skip(f"{broker.label}: Kafka's programs are at hand only where its jars are")
    with Service(broker.bootstrap, tmp_path, partitions=1) as service:
        worker = service.program("a", ["worker"], STREAMS_STATE_DIR=str(service.state("a")))
        service.send(Invoke(Invocation("i-1", "emails", "send")))
        service.settle()
        changed = _kafkas_own("kafka-configs.sh", service)
        assert changed.returncode == 0, changed.stderr
        assert re.search(r"retention\.ms=\d+", " ".join(LINES["kafka-configs.sh"]))
        checked = service.command("topics", "check")
        assert checked.returncode == 0, checked.stderr
        assert worker.terminate() == 0
        deleted = _kafkas_own("kafka-consumer-groups.sh", service)
        assert deleted.returncode == 0, deleted.stdout + deleted.stderr
        assert "successful" in deleted.stdout
        worker.start()
        service.send(Invoke(Invocation("i-2", "emails", "send")))
        service.settle()
        service.check()


@pytest.mark.durable
def test_a_strangers_transaction_is_told_and_kafkas_own_program_says_whose_it_is(
    broker: Broker, tmp_path: Path
) -> None:
    """The worker names the place in its log and in its health; there Kafka names the producer."""
    if broker.kind != "apache":
        pytest.skip(f"{broker.label}: Kafka's programs are at hand only where its jars are")
    address = f"127.0.0.1:{free_port()}"
    with Service(broker.bootstrap, tmp_path, partitions=1) as service:
        worker = service.worker("a", STREAMS_WORKER_HTTP=address)
        service.send(Invoke(Invocation("i-1", "emails", "send")))
        service.settle()
        topic = service.settings.topic(Topic.COMMANDS)
        stranger = Producer(
            {"bootstrap.servers": broker.bootstrap, "transactional.id": f"{topic}-stranger", "log_level": 0}
        )
        stranger.init_transactions(30)
        stranger.begin_transaction()
        offsets: list[int | None] = []
        stranger.produce(topic, b"x", b"k", on_delivery=lambda _, message: offsets.append(message.offset()))
        assert stranger.flush(30) == 0
        (told, *_) = worker.await_event("readers wait for a transaction that is open")
        assert (told["topic"], told["partition"], told["offset"]) == (topic, 0, offsets[0])
        asked = _kafkas_own("kafka-transactions.sh", service, **{"3": "0"})
        assert asked.returncode == 0, asked.stderr
        fields = [line.split() for line in asked.stdout.splitlines()]
        assert str(offsets[0]) in {each[-1] for each in fields if each and each[0].isdecimal()}, asked.stdout
        deadline = time.monotonic() + 60
        while (answer := _ready(address))[0] == HTTPStatus.OK:
            assert time.monotonic() < deadline, answer
            time.sleep(0.5)
        assert f"{topic}, partition 0, offset {offsets[0]}" in answer[1]
        stranger.abort_transaction(30)
        service.send(Invoke(Invocation("i-2", "emails", "send")))
        service.settle()
        worker.await_event("the transaction that was open is over")
        assert _ready(address)[0] == HTTPStatus.OK


def _ready(address: str) -> tuple[int, str]:
    """What a worker answers, and why."""
    try:
        with urlopen(f"http://{address}/health/ready", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as refused:
        return refused.code, refused.read().decode()


def test_the_page_has_what_is_done_here() -> None:
    """Nobody has taken the runbooks away."""
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert "## A lost changelog" in page
    assert set(LINES) == set(MAIN_CLASS)
