"""Apache Kafka in a container, by testcontainers: the extra `docker`."""

from __future__ import annotations

import contextlib
import socket
import sys
import time
import uuid
from typing import TYPE_CHECKING

from streams.broker.apache import SETTINGS, VERSION
from streams.broker.base import BrokerUnavailableError, LocalBroker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docker.models.containers import Container
    from testcontainers.core.container import DockerContainer

IMAGE = f"apache/kafka:{VERSION}"
DATA = "/var/lib/kafka/data"
USUAL_ENGINE = "unix:///var/run/docker.sock"
REMOVAL = """import sys
from testcontainers.core.docker_client import DockerClient
DockerClient().client.containers.get(sys.argv[1]).remove(force=True, v=True)"""


class DockerBroker(LocalBroker):
    """Apache Kafka in a container whose port is published on the loopback address only."""

    kind = "docker"
    label = f"Apache Kafka {VERSION} (Docker)"
    _made: DockerContainer | None = None
    _name = ""

    def start(self) -> None:
        """Pull a missing image, run the container, and wait until it serves."""
        self._made = made = container(IMAGE)
        self._name = f"streams-broker-{uuid.uuid4().hex[:12]}"
        made.with_name(self._name).with_envs(**self._variables())
        # `with_bind_ports` takes no address: it would open the port to the network.
        made.ports["9092/tcp"] = ("127.0.0.1", self.port)  # type: ignore[assignment]
        self._mount(made)
        self.watch([sys.executable, "-c", REMOVAL, self._name])
        try:
            with _reasons("the container does not start"):
                if not made.get_docker_client().client.images.list(IMAGE):
                    self.say(f"broker: pulling {IMAGE}, once ...")
                made.start()
            self.await_service()
        except BrokerUnavailableError:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop and remove the container, also one whose start was interrupted."""
        if self._made is not None:
            client = self._made.get_docker_client().client
            with _reasons("the container does not end"):
                for found in client.containers.list(all=True, filters={"name": self._name}):
                    found.stop(timeout=15)
                    found.remove(force=True, v=True)
            client.close()
            self._made = None
        self.unwatch()
        self.remove_folder()

    def kill(self) -> None:
        """Kill the container with SIGKILL and wait for its end."""
        self._container.kill()
        self._container.wait()

    def restart(self) -> None:
        """Start the killed container again, with its disk as it was."""
        self._container.start()
        self.await_service()

    def wait(self, seconds: float) -> bool:
        """Wait for the given time or until the container ends; returns whether it still runs."""
        time.sleep(seconds)
        with _reasons("the container is lost"):
            self._container.reload()
        return bool(self._container.status == "running")

    def await_service(self) -> None:
        """Wait until it serves; if it does not, keep the container's log."""
        try:
            super().await_service()
        except BrokerUnavailableError:
            self.log = self.folder / "broker.log"
            with _reasons("the container is lost"):
                self.log.write_bytes(self._container.logs(tail=100))
            raise

    @property
    def _container(self) -> Container:
        if self._made is None:
            raise BrokerUnavailableError("the container was not started or is stopped")
        return self._made.get_wrapped_container()

    def _variables(self) -> dict[str, str]:
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
        variables = {f"KAFKA_{name.upper().replace('.', '_')}": setting for name, setting in settings.items()}
        return variables | {"KAFKA_HEAP_OPTS": "-Xms256m -Xmx1g"}

    def _mount(self, made: DockerContainer) -> None:
        """Mount a given data folder. It must be writable for all: the image's user is not ours."""
        if self._given is not None:
            data = self.folder.resolve() / "data"
            data.mkdir(exist_ok=True)
            data.chmod(0o777)
            made.with_volume_mapping(data, DATA, "rw")


def container(image: str) -> DockerContainer:
    """A container that does not exist yet; raises BrokerUnavailableError if there is no engine for it."""
    try:
        from testcontainers.core.config import testcontainers_config  # noqa: PLC0415 - it is an extra
        from testcontainers.core.container import DockerContainer  # noqa: PLC0415
        from testcontainers.core.docker_client import get_docker_host  # noqa: PLC0415
    except ImportError:
        raise BrokerUnavailableError("testcontainers is not installed; install the extra: streams[docker]") from None
    # Its own watcher would be a second image with the engine's socket in it; ours does the same.
    testcontainers_config.ryuk_disabled = True
    _knock(get_docker_host() or USUAL_ENGINE)
    with _reasons("no Docker engine answers"):
        return DockerContainer(image)


def _knock(engine: str) -> None:
    """Raises BrokerUnavailableError if nobody listens at a local engine's socket.

    docker-py would say so in a longer text, and leave the socket open that it has tried.
    """
    if engine.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(engine.removeprefix("unix://"))
            except OSError as error:
                raise BrokerUnavailableError(f"no Docker engine answers at {engine}: {error.strerror}") from None


@contextlib.contextmanager
def _reasons(what: str) -> Iterator[None]:
    """Whatever the engine refuses becomes a BrokerUnavailableError of one line."""
    from docker.errors import DockerException  # noqa: PLC0415 - it is an extra

    try:
        yield
    except (DockerException, OSError) as error:  # the errors of requests are OSErrors
        told = str(getattr(error, "explanation", None) or error)
        raise BrokerUnavailableError(f"{what}: {' '.join(told.split())[:300]}") from None
