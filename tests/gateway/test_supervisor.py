"""The supervisor of the gateway's parts, with parts that are plain programs."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from streams.errors import StreamsError
from streams.gateway import liveness, supervisor
from streams.gateway.api.serve import Merge
from streams.gateway.child import Child
from streams.gateway.liveness import LivenessWatch
from streams.gateway.supervisor import Supervisor, listening
from support.service.client_world import ClientWorld

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.long

_LIVES = "import sys, json; json.loads(sys.stdin.readline()); open(sys.argv[1], 'a').write(sys.argv[2] + '\\n'); "
WAITS = f"{_LIVES} sys.stdin.read()"
FAILS_ONCE = f"{_LIVES} sys.exit(3) if open(sys.argv[1]).read().count(sys.argv[2]) < 2 else sys.stdin.read()"
REFUSES = f"{_LIVES} print('topic x was deleted'); sys.exit(1)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {_LIVES} sys.stdin.read()"


class Part(Child):
    """A part that is a program of the test; it notes each of its lives in a file."""

    def __init__(self, name: str, program: str, notes: Path) -> None:
        super().__init__(name, ClientWorld().settings, {})
        self._program = [sys.executable, "-c", program, str(notes), name]

    def command(self) -> list[str]:
        """The program in place of the part."""
        return self._program


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """The names of the parts, once for each of their lives."""
    return tmp_path / "notes"


def asked_to_stop_once(notes: Path, lives: int) -> None:
    """SIGTERM to this process, once so many parts have begun."""

    def ask() -> None:
        while not (notes.exists() and len(notes.read_text().split()) >= lives):
            pause.wait(0.01)
        pause.wait(0.1)
        signal.raise_signal(signal.SIGTERM)

    pause = threading.Event()
    threading.Thread(target=ask, daemon=True).start()


def test_a_part_that_dies_is_started_again_and_the_other_stays(notes: Path) -> None:
    """Then SIGTERM goes to both, and the end is a clean one."""
    asked_to_stop_once(notes, 3)
    assert Supervisor([Part("merge", FAILS_ONCE, notes), Part("api", WAITS, notes)], {}).run() == 0
    assert sorted(notes.read_text().split()) == ["api", "merge", "merge"]


def test_a_fault_that_a_person_must_mend_ends_both(notes: Path) -> None:
    """Its line is the error; nothing is started again, and nothing is left running."""
    other = Part("api", WAITS, notes)
    with pytest.raises(StreamsError, match=r"^topic x was deleted$"):
        Supervisor([Part("merge", REFUSES, notes), other], {}).run()
    assert not other.running
    assert notes.read_text().split().count("merge") == 1


def test_a_part_that_does_not_stop_is_killed(notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In bounded time, and the exit code says that it was not clean."""
    monkeypatch.setattr(supervisor, "STOP_S", 0.2)
    asked_to_stop_once(notes, 1)
    assert Supervisor([Part("merge", DEAF, notes)], {}).run() == 1


def test_a_part_that_is_stuck_is_killed_and_started_again(notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has not said for too long that it is live."""
    monkeypatch.setattr(liveness, "STUCK_S", 0.3)
    with listening("127.0.0.1:0", "nobody answers here") as silent:
        watch = LivenessWatch(silent.getsockname()[1])
        asked_to_stop_once(notes, 2)
        part = Part("merge", WAITS, notes)
        assert Supervisor([part], {part: watch}).run() == 0
        watch.end()
    assert notes.read_text().split() == ["merge", "merge"]


@pytest.fixture
def live_port() -> Iterator[int]:
    """The port of a part that is live."""

    class Live(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/health/live" else 404)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Live) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_a_part_that_answers_is_not_stuck(live_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it runs."""
    monkeypatch.setattr(liveness, "ASK_EVERY_S", 0.01)
    monkeypatch.setattr(liveness, "STUCK_S", 0.5)
    watch = LivenessWatch(live_port)
    assert not threading.Event().wait(1.0)
    assert not watch.stuck
    watch.end()


@pytest.mark.parametrize(
    ("answer", "why", "metrics"),
    [
        (b"200 OK\r\nContent-Length: 2\r\n\r\n{}", None, b"{}"),
        (b'503 Busy\r\nContent-Length: 11\r\n\r\n{"why":"x"}', "x", b'{"why":"x"}'),
        (b"200 OK\r\nContent-Length: 9\r\n\r\n{", "it does not answer", b""),
        (b"500 Bug\r\nContent-Length: 2\r\n\r\noh", "it does not answer", b"oh"),
    ],
)
def test_a_merge_that_dies_in_its_answer_is_not_ready(
    answer: bytes, why: str | None, metrics: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is this machine's: no proxy of the environment is asked in its place."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    def serve(socket: Any) -> None:
        for _ in range(2):
            with socket.accept()[0] as asked:
                asked.recv(4_096)
                asked.sendall(b"HTTP/1.1 " + answer)

    with listening("127.0.0.1:0", "") as socket:
        threading.Thread(target=serve, args=(socket,), daemon=True).start()
        merge = Merge(socket.getsockname()[1])
        health = asyncio.run(merge.ready())
        assert (health.ok, health.body.get("why")) == (why is None, why)
        assert asyncio.run(merge.metrics()) == metrics


def test_an_address_that_is_taken_is_told_by_its_setting() -> None:
    """One line, with what to do."""
    with (
        listening("127.0.0.1:0", "STREAMS_GATEWAY_HTTP") as taken,
        pytest.raises(StreamsError, match=r"^STREAMS_GATEWAY_HTTP=127.0.0.1:\d+: Address already in use; each process"),
        listening(f"127.0.0.1:{taken.getsockname()[1]}", "STREAMS_GATEWAY_HTTP"),
    ):
        raise AssertionError("it was not taken")
