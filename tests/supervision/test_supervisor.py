"""The supervisor of a process tree, with parts that are plain programs."""

from __future__ import annotations

import errno
import io
import json
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from streams.errors import StreamsError
from streams.supervision import liveness
from streams.supervision.child import Part, Program
from streams.supervision.liveness import LivenessWatch
from streams.supervision.outputs import OneLog
from streams.supervision.sockets import listening, reached_at
from streams.supervision.supervisor import Supervisor, Tree, end_at_once
from support.service.client_world import ClientWorld

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.supervision.child import Child

pytestmark = pytest.mark.long

_LIVES = "import sys, json; json.loads(sys.stdin.readline()); open(sys.argv[1], 'a').write(sys.argv[2] + '\\n'); "
WAITS = f"{_LIVES} sys.stdin.read()"
FAILS_ONCE = f"{_LIVES} sys.exit(3) if open(sys.argv[1]).read().count(sys.argv[2]) < 2 else sys.stdin.read()"
REFUSES = f"{_LIVES} print('topic x was deleted'); sys.exit(1)"
KILLED_THRICE = (
    f"{_LIVES} import os, signal; "
    "os.kill(os.getpid(), signal.SIGKILL) if open(sys.argv[1]).read().count(sys.argv[2]) < 4 else sys.stdin.read()"
)
NOTES_ITS_END = (
    "import signal; signal.signal(signal.SIGTERM, lambda *_: "
    "(open(sys.argv[1], 'a').write(sys.argv[2] + '-ends\\n'), sys.exit(0))); "
    f"{_LIVES} sys.stdin.read()"
)
TALKS_AND_FAILS_ONCE = f'import sys; print(\'{{"event": "x"}}\\nplain\', file=sys.stderr); {FAILS_ONCE}'
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {_LIVES} sys.stdin.read()"


class Noted(Part):
    """A part that is a program of the test; it notes each of its lives in a file."""

    def __init__(self, name: str, program: str, notes: Path, output: OneLog | None = None) -> None:
        super().__init__(name, "none", ClientWorld().settings, {}, output=output)
        self._program = [sys.executable, "-c", program, str(notes), name]

    def command(self) -> list[str]:
        """The program in place of the part."""
        return self._program


def tree(stop_s: float = 18.0, bears: int = 0, **other: Any) -> Tree:
    """A tree that ends at a fault; with `bears`, only once a part has failed that often."""

    def ends_all(part: Child, failures: int) -> str | None:
        return part.fault() if failures >= bears else None

    given = {"ends_all": ends_all, "at_once": end_at_once, **other}
    return Tree(name="service", part="part", field="part", stop_s=stop_s, **given)


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
    supervisor = Supervisor(tree(), [Noted("merge", FAILS_ONCE, notes), Noted("api", WAITS, notes)])
    assert supervisor.run() == 0
    assert sorted(notes.read_text().split()) == ["api", "merge", "merge"]
    assert supervisor.restarts == {"merge": 1}


def test_a_part_that_cannot_be_started_again_at_once_is_tried_again(notes: Path) -> None:
    """As where there is no memory for another process just now; the others go on meanwhile."""

    class NoRoom(Noted):
        starts = 0

        def _begun(self, log: Any) -> Any:
            self.starts += 1
            if self.starts == 2:
                raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
            return super()._begun(log)

    asked_to_stop_once(notes, 3)
    merge = NoRoom("merge", FAILS_ONCE, notes)
    supervisor = Supervisor(tree(), [merge, Noted("api", WAITS, notes)])
    assert supervisor.run() == 0
    assert (merge.starts, sorted(notes.read_text().split())) == (3, ["api", "merge", "merge"])
    assert supervisor.restarts == {"merge": 1}


def test_a_fault_that_a_person_must_mend_ends_both(notes: Path) -> None:
    """Its line is the error; nothing is started again, and nothing is left running."""
    other = Noted("api", WAITS, notes)
    with pytest.raises(StreamsError, match=r"^topic x was deleted$"):
        Supervisor(tree(), [Noted("merge", REFUSES, notes), other]).run()
    assert not other.running
    assert notes.read_text().split().count("merge") == 1


def test_a_fault_that_is_borne_ends_all_when_it_comes_at_each_start(notes: Path) -> None:
    """Not before: each time but the last, the part is started again; a part that is killed does not count."""
    other = Noted("1", WAITS, notes)
    supervisor = Supervisor(tree(bears=3), [Noted("0", REFUSES, notes), other])
    with pytest.raises(StreamsError, match=r"^topic x was deleted$"):
        supervisor.run()
    assert (notes.read_text().split().count("0"), supervisor.restarts["0"], other.running) == (3, 2, False)


def test_a_part_that_others_kill_is_started_again_however_often(notes: Path) -> None:
    """It has not failed: nothing is wrong with it."""
    asked_to_stop_once(notes, 4)
    supervisor = Supervisor(tree(bears=1), [Noted("0", KILLED_THRICE, notes)])
    assert supervisor.run() == 0
    assert supervisor.restarts["0"] == 3


def test_a_stage_stops_when_the_one_before_has_stopped(notes: Path) -> None:
    """As a gateway must still merge what workers write at their end."""
    asked_to_stop_once(notes, 2)
    first, second = Noted("first", NOTES_ITS_END, notes), Noted("second", NOTES_ITS_END, notes)
    assert Supervisor(tree(), [first], [second]).run() == 0
    assert notes.read_text().split()[2:] == ["first-ends", "second-ends"]


def test_what_looks_after_the_tree_may_end_it(notes: Path) -> None:
    """Its error is the tree's, and no part is left."""
    part = Noted("0", WAITS, notes)

    def look() -> None:
        if notes.exists():
            raise StreamsError("the broker ended by itself")

    with pytest.raises(StreamsError, match=r"^the broker ended by itself$"):
        Supervisor(tree(look=look, look_every_s=0.01), [part]).run()
    assert not part.running


def test_a_second_signal_kills_all_and_tells(notes: Path) -> None:
    """Even parts that do not hear of the first."""
    told: list[int] = []

    def at_once(number: int) -> None:
        told.append(number)
        raise KeyboardInterrupt

    def again() -> None:
        signal.raise_signal(signal.SIGTERM)

    part = Noted("0", DEAF, notes)
    asked_to_stop_once(notes, 1)
    with pytest.raises(KeyboardInterrupt):
        Supervisor(tree(at_once=at_once, stopping=again), [part]).run()
    assert (told, part.running, part.code) == ([signal.SIGTERM], False, -signal.SIGKILL)


def test_each_line_of_a_log_has_the_name_of_its_part(notes: Path) -> None:
    """In all of its lives; nothing is left open."""
    written = io.BytesIO()
    output = OneLog(written, field="process")
    asked_to_stop_once(notes, 2)
    before = len(list(Path("/dev/fd").iterdir()))
    assert Supervisor(tree(), [Noted("0", TALKS_AND_FAILS_ONCE, notes, output)]).run() == 0
    output.close()
    assert len(list(Path("/dev/fd").iterdir())) == before
    lines = written.getvalue().decode().splitlines()
    assert [json.loads(line) for line in lines if line.startswith("{")] == [{"process": "0", "event": "x"}] * 2
    assert [line for line in lines if not line.startswith("{")] == ["0        | plain"] * 2


def test_the_end_of_a_program_is_told_with_its_last_lines() -> None:
    """Its watcher goes with it."""
    output = OneLog(io.BytesIO())
    odd = Program("odd", (), {}, output, module="this_module_does_not_exist")
    odd.start()
    assert odd._process is not None
    odd._process.wait()
    assert odd.ended()
    first, *_, last = odd.told_end().splitlines()
    assert first == "odd ended with exit code 1:"
    assert last == f"{sys.executable}: No module named this_module_does_not_exist"
    assert odd._watcher is None


def test_a_part_that_does_not_stop_is_killed(notes: Path) -> None:
    """In bounded time, and the exit code says that it was not clean."""
    asked_to_stop_once(notes, 1)
    assert Supervisor(tree(stop_s=0.2), [Noted("merge", DEAF, notes)]).run() == 1


def test_a_part_that_is_stuck_is_killed_and_started_again(notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has not said for too long that it is live."""
    monkeypatch.setattr(liveness, "STUCK_S", 0.3)
    with listening("127.0.0.1:0", "nobody answers here") as silent:
        watch = LivenessWatch(*reached_at(silent))
        asked_to_stop_once(notes, 2)
        part = Noted("merge", WAITS, notes)
        assert Supervisor(tree(), [part], watches={part: watch}).run() == 0
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
    watch = LivenessWatch("127.0.0.1", live_port)
    assert not threading.Event().wait(1.0)
    assert not watch.stuck
    watch.end()


def test_an_address_that_is_taken_is_told_by_its_setting() -> None:
    """One line, with what to do."""
    with (
        listening("127.0.0.1:0", "STREAMS_GATEWAY_HTTP") as taken,
        pytest.raises(StreamsError, match=r"^STREAMS_GATEWAY_HTTP=127.0.0.1:\d+: Address already in use; each process"),
        listening(f"127.0.0.1:{taken.getsockname()[1]}", "STREAMS_GATEWAY_HTTP"),
    ):
        raise AssertionError("it was not taken")
