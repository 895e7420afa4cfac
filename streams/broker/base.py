"""The base of all brokers, with a watcher that keeps their processes from outliving ours."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from streams.stopping import held

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

SERVES_WITHIN_S = 90.0
STOPS_WITHIN_S = 20.0

WATCHER = 'cat >/dev/null; folder=$1; shift; "$@"; [ -z "$folder" ] || rm -rf "$folder"'


class BrokerUnavailableError(Exception):
    """This kind of broker does not work here; the text gives the reason in one line."""


class Broker:
    """A Kafka broker. `durable`: it keeps acknowledged records when killed, and compacts topics."""

    kind: ClassVar[str]
    label: ClassVar[str]
    durable: ClassVar[bool] = True
    limits: ClassVar[str] = ""
    """Its limits, in a phrase; empty for a real Kafka."""

    bootstrap: str
    log: Path | None = None

    def start(self) -> None:
        """Start it and wait until it serves; raises BrokerUnavailableError."""
        raise NotImplementedError

    def stop(self) -> None:
        """Stop it cleanly and remove its temporary files. A stopped one may be stopped again."""
        raise NotImplementedError

    def kill(self) -> None:
        """Kill it with SIGKILL; its data is kept for `restart`."""
        raise BrokerUnavailableError(f"{self.label} was not started here, so it cannot be killed here")

    def restart(self) -> None:
        """Start a killed one again, with its data and its address."""
        raise BrokerUnavailableError(f"{self.label} was not started here, so it cannot be restarted here")

    def wait(self, seconds: float) -> bool:
        """Wait for the given time or until it ends; returns whether it still runs."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class ExternalBroker(Broker):
    """A broker that others run, given by its address."""

    kind = "external"
    label = "The broker given by its address"

    def __init__(self, bootstrap: str, patience_s: float = 10) -> None:
        self.bootstrap = bootstrap
        self._patience_s = patience_s

    def start(self) -> None:
        """Check that it serves."""
        if not serves(self.bootstrap, self._patience_s):
            raise BrokerUnavailableError(f"nothing answers as Kafka at {self.bootstrap}")

    def stop(self) -> None:
        """Do nothing: it is not ours."""

    def wait(self, seconds: float) -> bool:
        """Wait; the broker is assumed to run."""
        time.sleep(seconds)
        return True


class LocalBroker(Broker):
    """A broker that this process starts: its folder, its log, and a watcher that outlives us by a moment.

    The watcher ends the broker when our end of a pipe closes, as it does however we end, `kill -9` included.
    """

    def __init__(self, port: int, data_dir: Path | None, say: Callable[[str], None], *, lasting: bool = False) -> None:
        self.port = port
        self.lasting = lasting
        self.bootstrap = f"127.0.0.1:{port}"
        self.say = say
        self._given = data_dir
        self._folder: Path | None = None
        self._watcher: subprocess.Popen[bytes] | None = None

    @property
    def folder(self) -> Path:
        """The folder for data and log: the given one, or a temporary one."""
        if self._folder is None:
            self._folder = self._given or Path(tempfile.mkdtemp(prefix="streams-broker-"))
            self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder

    def watch(self, last_will: list[str]) -> None:
        """Run this command, and remove a temporary folder, if we vanish without having stopped the broker."""
        self.unwatch()
        temporary = "" if self._given is not None else str(self.folder)
        self._watcher = subprocess.Popen(
            ["/bin/sh", "-c", WATCHER, "watcher", temporary, *last_will],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def unwatch(self) -> None:
        """End the watcher: the broker has ended cleanly."""
        if self._watcher is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._watcher.pid, signal.SIGKILL)
            self._watcher.wait()
            if self._watcher.stdin is not None:
                self._watcher.stdin.close()
            self._watcher = None

    def remove_folder(self) -> None:
        """Remove a temporary folder; a given one is kept."""
        if self._folder is not None and self._given is None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder = None

    def await_service(self) -> None:
        """Wait until it serves; raises BrokerUnavailableError with the end of its log."""
        deadline = time.monotonic() + SERVES_WITHIN_S
        while time.monotonic() < deadline and self.wait(0.1):
            if not port_is_free(self.port) and serves(self.bootstrap, 2):
                return
        raise BrokerUnavailableError(f"it did not come up: {last_line(self.log)}")


class ProcessBroker(LocalBroker):
    """A broker that is a child process of ours, in its own process group."""

    _process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """The command to run; raises BrokerUnavailableError if something is missing."""
        raise NotImplementedError

    def start(self) -> None:
        """Start it and wait until it serves."""
        try:
            self._spawn(self.command())
            self.await_service()
        except BrokerUnavailableError:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop it with SIGTERM, or with SIGKILL if that takes too long."""
        self._end(signal.SIGTERM)
        self.unwatch()
        self.remove_folder()

    def kill(self) -> None:
        """Kill it with SIGKILL and wait for its end."""
        self._end(signal.SIGKILL)
        self.unwatch()

    def restart(self) -> None:
        """Start it again with its data."""
        self._spawn(self.command())
        self.await_service()

    def wait(self, seconds: float) -> bool:
        """Wait for the given time or until it ends; returns whether it still runs."""
        if self._process is None:
            return False
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return True
        return False

    def _spawn(self, command: list[str]) -> None:
        self.log = self.folder / "broker.log"
        with self.log.open("ab") as log, held():
            self._process = subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
            self.watch(["/bin/sh", "-c", f"kill -s KILL -- -{self._process.pid}; sleep 1"])

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)
        try:
            self._process.wait(STOPS_WITHIN_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process = None


def serves(bootstrap: str, seconds: float) -> bool:
    """True if a Kafka broker answers at the address within the time."""
    client = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    try:
        return bool(client.list_topics(timeout=seconds).brokers)
    except KafkaException:
        return False


def free_port() -> int:
    """A port of this machine that is free at present."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def port_is_free(port: int) -> bool:
    """True if a server can listen on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def run(command: list[str], seconds: float) -> str:
    """The output of a command; raises BrokerUnavailableError with its last line if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        raise BrokerUnavailableError(f"`{_brief(command)}` took more than {seconds:.0f} s") from None
    except OSError as error:
        raise BrokerUnavailableError(f"`{_brief(command)}`: {error.strerror}") from None
    if done.returncode != 0:
        lines = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()
        raise BrokerUnavailableError(f"`{_brief(command)}` failed: {_telling(lines)}")
    return done.stdout


def last_line(log: Path | None) -> str:
    """The line of a log that says most about the end."""
    lines = [] if log is None or not log.exists() else log.read_text(errors="replace").strip().splitlines()
    return _telling(lines[-50:]) if lines else "its log is empty"


def cache_folder(name: str) -> Path:
    """The folder for downloads, shared by every checkout on this machine."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "streams" / name


def _telling(lines: list[str]) -> str:
    errors = [line for line in lines if "ERROR" in line or "Exception" in line]
    return (errors[0] if errors else lines[-1]).strip()[:300]


def _brief(command: list[str]) -> str:
    return " ".join([Path(command[0]).name, *command[1:3]])
