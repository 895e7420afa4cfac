"""Apache Kafka in a container, by the `docker` command."""

from __future__ import annotations

import contextlib
import shutil
import time
import uuid
from pathlib import Path

from streams.broker.apache import SETTINGS, VERSION
from streams.broker.base import BrokerUnavailableError, LocalBroker, run

IMAGE = f"apache/kafka:{VERSION}"
DATA = "/var/lib/kafka/data"


class DockerBroker(LocalBroker):
    """Apache Kafka in a container whose port is published on the loopback address only."""

    kind = "docker"
    label = f"Apache Kafka {VERSION} (Docker)"
    _docker: str | None = None
    _name: str | None = None

    def start(self) -> None:
        """Pull a missing image, run the container, and wait until it serves."""
        self._docker = shutil.which("docker")
        if self._docker is None:
            raise BrokerUnavailableError("the docker command is not installed")
        self._call("version", "--format", "{{.Server.Version}}")
        self._pull()
        self._name = f"streams-broker-{uuid.uuid4().hex[:12]}"
        self.watch([self._docker, "rm", "-f", "-v", self._name])
        try:
            self._call("run", "-d", "--name", self._name, *self._options(), IMAGE, seconds=60)
            self.await_service()
        except BrokerUnavailableError:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop and remove the container."""
        if self._name is not None:
            with contextlib.suppress(BrokerUnavailableError):
                self._call("stop", "-t", "15", self._name, seconds=60)
            self._call("rm", "-f", "-v", self._name, seconds=60)
            self._name = None
        self.unwatch()
        self.remove_folder()

    def kill(self) -> None:
        """Kill the container with SIGKILL."""
        self._call("kill", self._container)
        self.wait(0)

    def restart(self) -> None:
        """Start the killed container again, with its disk as it was."""
        self._call("start", self._container, seconds=60)
        self.await_service()

    def wait(self, seconds: float) -> bool:
        """Wait for the given time or until the container ends; returns whether it still runs."""
        time.sleep(seconds)
        return self._call("inspect", "-f", "{{.State.Running}}", self._container).strip() == "true"

    def await_service(self) -> None:
        """Wait until it serves; if it does not, keep the container's log."""
        try:
            super().await_service()
        except BrokerUnavailableError:
            self.log = self.folder / "broker.log"
            self.log.write_text(self._call("logs", "--tail", "100", self._container))
            raise

    @property
    def _container(self) -> str:
        if self._name is None:
            raise BrokerUnavailableError("the container was not started or is stopped")
        return self._name

    def _pull(self) -> None:
        try:
            self._call("image", "inspect", "-f", "{{.Id}}", IMAGE)
        except BrokerUnavailableError:
            self.say(f"broker: pulling {IMAGE}, once ...")
            self._call("pull", "-q", IMAGE, seconds=600)

    def _options(self) -> list[str]:
        settings = SETTINGS | {
            "controller.quorum.voters": "1@localhost:9093",
            # The broker ends transactions by calling itself, and the published port does not exist inside the
            # container.
            "inter.broker.listener.name": "INSIDE",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,INSIDE:PLAINTEXT",
            "listeners": "PLAINTEXT://:9092,INSIDE://localhost:9094,CONTROLLER://:9093",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port},INSIDE://localhost:9094",
            "log.dirs": DATA,
        }
        variables = [f"KAFKA_{name.upper().replace('.', '_')}={setting}" for name, setting in settings.items()]
        options = ["-p", f"127.0.0.1:{self.port}:9092", "-e", "KAFKA_HEAP_OPTS=-Xms256m -Xmx1g"]
        options += [word for variable in variables for word in ("-e", variable)]
        return options + self._mount()

    def _mount(self) -> list[str]:
        """Options that mount a given data folder. It must be writable for all: the image's user is not ours."""
        if self._given is None:
            return []
        data = Path(self.folder).resolve() / "data"
        data.mkdir(exist_ok=True)
        data.chmod(0o777)
        return ["-v", f"{data}:{DATA}"]

    def _call(self, *words: str, seconds: float = 20) -> str:
        return run([self._docker or "docker", *words], seconds)
