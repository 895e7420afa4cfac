"""Every part of the service on an Apache Kafka that demands TLS, SCRAM and the rights of docs/security.md."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import httpx
import pytest
from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AclOperation, AdminClient

from streams.broker.base import BrokerUnavailableError
from streams.client import Client, ProgressReader
from streams.config import Topic
from streams.model import Action, BatchState, Filter, StartBatch
from support.service.programs import ROOT
from support.service.secured import USERS, Secured, lines_of_rights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]

PATIENCE_S = 180.0


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """The broker with its users, their rights, and the topics."""
    try:
        with Secured(tmp_path_factory.mktemp("secured")) as running:
            made = running.run("setup", "topics", "create", "--partitions", "2")
            assert made.returncode == 0, made.stderr
            yield running
    except BrokerUnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def service(secured: Secured) -> Secured:
    """A worker, a gateway and an executor, each with its own login."""
    secured.program("worker", "worker", STREAMS_WORKER_ID="worker-1", STREAMS_STATE_DIR=str(secured.folder / "state"))
    secured.program("gateway", "gateway", STREAMS_GATEWAY_HTTP=f"127.0.0.1:{secured.gateway_port}")
    _await(lambda: "gateway ready" in secured.programs[1].output(), secured, "ready")
    return secured


@contextlib.contextmanager
def _executor(secured: Secured) -> Iterator[Path]:
    """An executor; gives the file in which it notes what it has started."""
    notes, log = secured.folder / "notes", secured.folder / "executor.log"
    notes.touch()
    program = ROOT / "tests" / "support" / "service" / "executor_program.py"
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", **secured.environment("executor")}
    with log.open("ab") as out:
        process = subprocess.Popen([sys.executable, program, notes], env=environment, stdout=out, stderr=out)
    try:
        yield notes
    finally:
        process.terminate()
        assert process.wait(PATIENCE_S) == 0, log.read_text()
        secured.said.append(log.read_text())


def _await(reached: Callable[[], bool], secured: Secured, what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not reached():
        failed = [each for each in secured.programs if each.failed]
        assert not failed, failed[0].tail(30)
        assert time.monotonic() < deadline, f"not {what}:\n{secured.news()}"
        time.sleep(0.2)


def test_every_part_does_its_work(service: Secured) -> None:
    """A client invokes, the executor runs, a batch of the client and one of the command line end and are seen to."""
    _let_all_work(service, "first")


def _let_all_work(service: Secured, run: str) -> None:
    """`run` is part of every id: what another test has done changes nothing here."""
    with _executor(service) as notes:
        before = len(notes.read_text().split())
        with Client(service.settings("client")) as client:
            for number in range(20):
                client.invoke("billing", "sync", b"0", invocation_id=f"{run}-done-{number}")
            for number in range(30):
                client.invoke("billing", "slow", b"0", invocation_id=f"{run}-slow-{number}", flow_id=run)
            client.flush()
        _await(lambda: len(notes.read_text().split()) >= before + 2 * 50, service, "all started")
        with Client(service.settings("client")) as client:
            client.send(StartBatch(run, Action.KILL, Filter(handlers=("slow",)), limit=5))
        reader = ProgressReader(service.settings("client"))
        _await(lambda: run in reader.latest(), service, "published")
        *_, ended = reader.follow(run, PATIENCE_S)
        assert (ended.state, ended.done) == (BatchState.COMPLETED, 5)
        cancelled = service.run("operator", "flow", "cancel", run, "--yes", "--json")
        assert cancelled.returncode == 0, cancelled.stderr
        killed = service.run("operator", "kill", "--service", "billing", "--yes", "--json")
        assert killed.returncode == 0, killed.stderr
        assert json.loads(killed.stdout)["state"] == "COMPLETED"


@pytest.mark.parametrize(
    "words",
    [
        ("topics", "check"),
        ("batch", "list"),
        ("flow", "list"),
        ("dead-letters", "list"),
        ("tail", "commands", "--last", "3"),
        ("tail", "changelog", "--last", "3"),
        ("invoke", "billing", "none", "--at", "2h"),
        ("kill", "--service", "nobody", "--dry-run"),
        ("verify",),
        ("export", "--force", "--output", "table.jsonl"),
    ],
)
def test_every_verb_of_an_operator_has_the_rights_it_needs(service: Secured, words: tuple[str, ...]) -> None:
    """Those that read, those that write, and the replay of the log."""
    assert [each.tail(5) for each in service.programs if each.failed] == []
    done = service.run("operator", *words)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_api_has_the_rights_it_needs(service: Secured) -> None:
    """Each topic that it reads, and the commands that it writes."""
    with httpx.Client(base_url=f"http://127.0.0.1:{service.gateway_port}/api/v1", trust_env=False, timeout=30) as api:
        _await(lambda: api.get("/batches").status_code == 200, service, "answering")
        for path in ("/flows", "/dead-letters", "/partitions"):
            assert api.get(path).status_code == 200, api.get(path).text
        invoked = api.post("/invocations", json={"invocation": {"service": "billing", "handler": "none"}})
        assert invoked.status_code == 202, invoked.text
        cancelled = api.post("/flow-cancels", json={"flow_id": "api"})
        assert cancelled.status_code == 202, cancelled.text
        asked = {"action": "KILL", "filter": {"services": ["nobody"]}, "dry_run": True}
        begun = api.post("/batches", json=asked)
        assert begun.status_code == 202, begun.text


READS = {
    "setup": set[str](),
    "worker": {"commands", "changelog", "dead-letters"},
    "gateway": {"batch-slices", "batches", "flows", "dead-letters", "workers"},
    "client": {"batches", "flows"},
    "executor": {"signals"},
    "operator": set(Topic),
}
WRITES = {
    "setup": set[str](),
    "worker": {"commands", "changelog", "signals", "batch-slices", "flows", "dead-letters", "workers"},
    "gateway": {"commands", "batches"},
    "client": {"commands"},
    "executor": {"commands"},
    "operator": {"commands"},
}


@pytest.mark.parametrize("user", USERS)
def test_no_part_may_more_than_it_needs(secured: Secured, user: str) -> None:
    """Each topic is read and written by those who must, and by nobody else."""
    admin = AdminClient(secured.broker.client(user))
    reads, writes = set(), set()
    for name in Topic:
        described = admin.describe_topics(
            TopicCollection([f"invocations.{name}"]), include_authorized_operations=True, request_timeout=30
        )
        [future] = described.values()
        with contextlib.suppress(KafkaException):  # one that may not even be seen
            operations = future.result(30).authorized_operations
            reads |= {name} if AclOperation.READ in operations else set()
            writes |= {name} if AclOperation.WRITE in operations else set()
    assert reads == READS[user]
    assert writes == WRITES[user]


def test_a_user_without_rights_is_told_so(secured: Secured) -> None:
    """Topics that may not be seen look as if they were not there."""
    told = secured.run("stranger", "batch", "list")
    assert told.returncode == 1
    assert "not exist at" in told.stderr


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"STREAMS_KAFKA_SASL_PASSWORD": "not-the-password"}, "uthentication"),
        ({"STREAMS_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT"}, "no Kafka broker at"),
        ({"STREAMS_KAFKA_SSL_CA_LOCATION": ""}, "certificate verify failed"),
    ],
)
@pytest.mark.parametrize(("user", "verb"), [("worker", "worker"), ("gateway", "gateway"), ("operator", "batch list")])
def test_a_login_that_is_wrong_ends_with_one_line(
    secured: Secured, user: str, verb: str, wrong: dict[str, str], said: str
) -> None:
    """The password is not in it."""
    state = {"STREAMS_STATE_DIR": str(secured.folder / "nowhere"), "STREAMS_LOG_LEVEL": "info"}
    done = secured.run(user, *verb.split(), **state, **wrong)
    assert done.returncode == 1
    [line] = [each for each in done.stderr.splitlines() if each.startswith("error: ")]
    assert "no Kafka broker at" in line
    assert said in line
    assert "not-the-password" not in done.stdout + done.stderr


def test_no_password_is_in_any_log(service: Secured) -> None:
    """All that the other tests had the parts write, at the level `debug`."""
    _let_all_work(service, "again")
    other = {"STREAMS_KAFKA_SASL_MECHANISMS": "PLAIN", "STREAMS_GATEWAY_HTTP": "127.0.0.1:0"}
    plain = service.program("gateway", "gateway", **other)
    _await(lambda: "gateway ready" in plain.output(), service, "ready")
    assert plain.terminate() == 0
    written = service.output()
    assert '"level": "debug"' in written
    assert [user for user, secret in service.secrets().items() if secret in written] == []


def test_the_page_names_every_user_once_at_least() -> None:
    """A part without a line would be one without rights."""
    principals = {line[line.index("--allow-principal") + 1] for line in lines_of_rights()}
    assert principals == {f"User:{user}" for user in USERS}
