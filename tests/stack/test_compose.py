"""The compose stack on a Docker engine: up, a kill in it, a worker lost, a worker back."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from docker.errors import DockerException
from testcontainers.compose import DockerCompose

from streams.broker.base import BrokerUnavailableError, free_port
from streams.broker.docker import container
from support.service.programs import ROOT
from support.service.scrape import get

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testcontainers.compose import ComposeContainer

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]

BASE, KAFKA = "python:3.11-slim", "apache/kafka:4.1.0"
PATIENCE_S = 90.0


class Stack:
    """A project of its own on ports of its own, with load and an executor."""

    def __init__(self, folder: Path) -> None:
        self.name = f"streams-test-{uuid4().hex[:8]}"
        self.kafka_port, self.gateway_port = free_port(), free_port()
        self._variables = folder / "variables"
        self._variables.write_text(
            f"COMPOSE_PROJECT_NAME={self.name}\nKAFKA_PORT={self.kafka_port}\nGATEWAY_PORT={self.gateway_port}\n"
        )
        self.engine = container(KAFKA).get_docker_client().client

    def compose(self, *services: str, build: bool = False) -> DockerCompose:
        """The stack, or some services of it."""
        only = list(services) or None
        return DockerCompose(ROOT, build=build, env_file=str(self._variables), services=only, profiles=["demo"])

    def down(self) -> None:
        """Nothing is left: no container, no volume, no image."""
        self.compose().stop()
        for image in self.engine.images.list(filters={"reference": f"{self.name}-*"}):
            self.engine.images.remove(image.id, force=True)
        self.engine.close()

    @property
    def address(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.gateway_port}"

    def config(self, profile: str) -> dict[str, Any]:
        """What compose makes of the file with one profile."""
        words = [
            "docker",
            "compose",
            "--env-file",
            str(self._variables),
            "--profile",
            profile,
            "config",
            "--format",
            "json",
        ]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def run(self, service: str, *words: str) -> str:
        """What a program in one of the containers prints."""
        return self.compose().exec_in_container(list(words), service)[0]

    def kill_by_filter(self, service: str, doomed: str) -> dict[str, Any]:
        """Kill all invocations of one service by the program in a container; returns the batch at its end."""
        batch: dict[str, Any] = json.loads(self.run(service, "streams", "kill", "-s", doomed, "--yes", "--json"))
        return batch

    def await_log(self, service: str, text: str) -> None:
        """Wait until a container has said that."""
        deadline = time.monotonic() + PATIENCE_S
        while text not in (log := self.compose().get_logs(service)[0]):
            assert time.monotonic() < deadline, f"{service} does not say {text!r}:\n{log}"
            time.sleep(0.5)

    def containers(self) -> list[ComposeContainer]:
        """Of each service the one container, also when it has ended."""
        return self.compose().get_containers(include_all=True)

    def services(self) -> dict[str, str]:
        """State and health of each service's container."""
        return {str(each.Service): f"{each.State} {each.Health}".strip() for each in self.containers()}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack, healthy."""
    try:
        running = Stack(tmp_path_factory.mktemp("stack"))
        for image in (BASE, KAFKA):
            if not running.engine.images.list(image):
                running.engine.images.pull(image)
        running.containers()
    except (BrokerUnavailableError, DockerException, OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no Docker engine with compose and the images {BASE} and {KAFKA}: {error}")
    try:
        running.compose(build=True).start()
        yield running
    finally:
        running.down()


def kill_some(stack: Stack, service: str, doomed: str) -> dict[str, Any]:
    """Kill what the load has invoked; waits for it to have invoked some."""
    deadline = time.monotonic() + PATIENCE_S
    while not (batch := stack.kill_by_filter(service, doomed))["matched"]:
        assert time.monotonic() < deadline, f"the load has invoked no {doomed} within {PATIENCE_S:g} s"
        time.sleep(1)
    return batch


def assert_completed(batch: dict[str, Any]) -> None:
    """All partitions are done, and nothing has failed."""
    assert batch["state"] == "COMPLETED", batch
    assert batch["partitions_done"] == batch["partitions_total"] == 4
    assert batch["matched"] == batch["done"] + batch["skipped"]
    assert batch["done"] > 0


def test_everything_is_healthy(stack: Stack) -> None:
    """`up --wait` comes back when Kafka, both workers and the gateway are healthy, and the topics are there."""
    assert stack.services() == {
        "kafka": "running healthy",
        "topics": "exited",
        "secret": "exited",
        "worker-1": "running healthy",
        "worker-2": "running healthy",
        "gateway": "running healthy",
        "load": "running",
        "executor": "running",
    }


def test_the_page_answers(stack: Stack) -> None:
    """At the published port, with what it loads; and it counts what all workers have."""
    status, page = get(f"{stack.address}/")
    assert (status, "<!doctype html>" in page.lower()) == (200, True)
    assets = re.findall(r"(?:src|href)=\"(/assets/[^\"]+)\"", page)
    assert assets
    assert {get(f"{stack.address}{asset}")[0] for asset in assets} == {200}
    deadline = time.monotonic() + PATIENCE_S
    while not (counted := json.loads(get(f"{stack.address}/api/v1/invocation-counts")[1])).get("exact"):
        assert time.monotonic() < deadline, counted
        time.sleep(0.5)
    assert counted["missing_partitions"] == []
    who = json.loads(get(f"{stack.address}/api/v1/me")[1])
    assert (who["role"], who["open"]) == ("operator", True)


def test_the_command_line_in_a_container_finds_the_gateway(stack: Stack) -> None:
    """It lists what the load has invoked, and asks as STREAMS_ACTOR says."""
    listed = json.loads(stack.run("worker-2", "streams", "invocation", "list", "--limit", "3", "--json"))
    assert len(listed["invocations"]) == 3
    batch = stack.kill_by_filter("worker-2", "no such service")
    assert batch["actor"] == "compose"


def test_observe_is_a_profile_of_the_same_stack(stack: Stack) -> None:
    """Its images cannot be pulled everywhere; what compose makes of it is checked: mounts, ports, order."""
    told = stack.config("observe")["services"]
    assert told.keys() == {"kafka", "topics", "secret", "worker-1", "worker-2", "gateway", "prometheus", "grafana"}
    for name in ("prometheus", "grafana"):
        assert [port["host_ip"] for port in told[name]["ports"]] == ["127.0.0.1"]
        mounted = [each for each in told[name]["volumes"] if each["type"] == "bind"]
        assert mounted
        assert all(each["read_only"] and Path(each["source"]).exists() for each in mounted)
    assert told["grafana"]["depends_on"]["prometheus"]["condition"] == "service_healthy"


def test_a_batch_killed_in_it_completes(stack: Stack) -> None:
    """A kill by the program in a worker's container ends what the load has invoked."""
    assert_completed(kill_some(stack, "worker-1", "emails"))


def test_it_is_reached_from_the_host(stack: Stack, tmp_path: Path) -> None:
    """The published port leads to the same service: a program on the host kills too."""
    kill_some(stack, "worker-1", "billing")
    time.sleep(2)
    result = subprocess.run(
        [sys.executable, "-m", "streams", "kill", "-s", "billing", "--yes", "--json"],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "STREAMS_BOOTSTRAP_SERVERS": f"127.0.0.1:{stack.kafka_port}",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    assert_completed(json.loads(result.stdout))


def test_it_goes_on_without_one_worker(stack: Stack) -> None:
    """A worker's container killed: the other takes its partitions over, batches complete; it comes back healthy."""
    stack.engine.containers.get(stack.compose().get_container("worker-1").ID).kill()
    try:
        assert stack.services()["worker-1"] == "exited"
        assert_completed(kill_some(stack, "worker-2", "thumbnails"))
    finally:
        stack.compose().start()
    assert stack.services()["worker-1"] == "running healthy"
    assert_completed(kill_some(stack, "worker-1", "reports"))


def test_everything_published_is_on_the_loopback_address(stack: Stack) -> None:
    """No port of the stack is open to the network."""
    published = [port for each in stack.containers() for port in each.Publishers if port.PublishedPort]
    assert {port.PublishedPort for port in published} == {stack.kafka_port, stack.gateway_port}
    assert {port.URL for port in published} == {"127.0.0.1"}


def test_the_image_is_small_not_root_and_carries_the_schemas(stack: Stack) -> None:
    """Below 200 MB on top of the base image; what it prints of a schema is the file of this checkout."""
    assert stack.run("worker-1", "id", "-u").strip() == "10001"
    size, base = (stack.engine.images.get(image).attrs["Size"] for image in (f"{stack.name}-worker-1", BASE))
    assert size - base < 200e6
    shown = stack.run("worker-1", "streams", "schemas", "show", "StartBatch")
    assert json.loads(shown) == json.loads((ROOT / "schemas" / "StartBatch.avsc").read_text("utf-8"))


def test_all_of_it_stops_in_order(stack: Stack) -> None:
    """`stop` ends workers, gateway and executor by themselves, well within their grace: exit code 0."""
    stack.await_log("executor", "executor started")
    names = ("worker-1", "worker-2", "gateway", "executor")
    began = time.monotonic()
    stack.compose(*names).stop(down=False)
    try:
        assert time.monotonic() - began < 20
        codes = {each.Service: each.ExitCode for each in stack.containers()}
        assert {codes[name] for name in names} == {0}
    finally:
        stack.compose().start()
