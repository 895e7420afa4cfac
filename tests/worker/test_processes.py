"""A worker of several processes: what each is told, and what they say together."""

from __future__ import annotations

import json
import threading
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from streams.broker.base import port_is_free
from streams.config import Settings, load_settings
from streams.errors import ConfigError
from streams.health import serving
from streams.supervision.outputs import OneLog
from streams.worker import processes
from streams.worker.together import Process, Together, labelled
from support.service.scrape import get

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.supervision.child import Part

READY = {"ready": True, "partitions": {"0": "RUNNING"}}
IDLE = {"ready": False, "why": "no partitions assigned", "partitions": {}}
RESTORES = {"ready": False, "why": "1 of 1 partitions are not running yet", "partitions": {"1": "RESTORING 50%"}}
METRICS = """# HELP streams_lag_records Offsets.
# TYPE streams_lag_records gauge
streams_lag_records{partition="%d"} 7.0
# HELP streams_turn_seconds A turn.
# TYPE streams_turn_seconds histogram
streams_turn_seconds_bucket{le="+Inf"} 2.0
streams_turn_seconds_count 2.0
streams_turn_seconds_sum 0.5
"""


class Pretended:
    """A process as its supervisor sees it."""

    def __init__(self, number: int, *, running: bool = True) -> None:
        self.name = str(number)
        self.running = running


@contextmanager
def answering(number: int, answers: dict[str, Any], *, running: bool = True) -> Iterator[Process]:
    """A process that answers so, by path; a text as it is, anything else as JSON with 200 or 503."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = answers[self.path]
            body = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
            ok = isinstance(answer, str) or answer.get("ready") or answer.get("live")
            self.send_response(200 if ok else 503)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield Process(Pretended(number, running=running), ("127.0.0.1", server.server_port))  # type: ignore[arg-type]
        server.shutdown()


@contextmanager
def merged(answers: list[dict[str, Any]], idle: int = 0, down: int = 0) -> Iterator[Together]:
    """Several processes, of which the last `down` do not run."""
    with ExitStack() as stack:
        numbered = list(enumerate(answers))
        runs = len(answers) - down
        all_of_them = [stack.enter_context(answering(n, each, running=n < runs)) for n, each in numbered]
        yield stack.enter_context(Together(all_of_them, {"1": 3}, idle))


@pytest.mark.parametrize(
    ("answers", "idle", "ready"),
    [
        ([READY, READY], 0, True),
        ([READY, RESTORES], 0, False),
        ([READY, IDLE], 0, False),
        ([READY, IDLE], 1, True),
        ([READY, IDLE, IDLE], 1, False),
        ([RESTORES, IDLE], 1, False),
    ],
)
def test_all_are_ready_but_those_for_which_there_is_no_partition(
    answers: list[dict[str, Any]], idle: int, *, ready: bool
) -> None:
    """The answer has that of each, and the partitions of all."""
    with merged([{"/health/ready": each} for each in answers], idle) as together:
        health = together.ready()
    assert health.ok is health.body["ready"] is ready
    assert health.body["processes"] == {str(number): each for number, each in enumerate(answers)}
    assert health.body["partitions"] == {key: value for each in answers for key, value in each["partitions"].items()}


def test_one_that_is_started_again_is_not_ready_but_looked_after() -> None:
    """A restart of all would help nobody; one that says that it is stuck is."""
    well = {"/health/ready": READY, "/health/live": {"live": True}}
    with merged([well, well], down=1) as together:
        assert together.ready().body["why"] == "not ready: process 1"
        live = together.live()
        assert live.ok
        assert live.body["processes"]["1"] == {"why": "it is about to be started again"}
    with merged([well, {"/health/live": {"live": False, "why": "the loop has not come round"}}]) as together:
        assert together.live().body["why"] == "stuck: process 1"


def test_metrics_of_all_are_one_text() -> None:
    """Each sample says whose it is; what the supervisor knows is beside them."""
    each = [{"/metrics": METRICS % number} for number in range(3)]
    with merged(each, down=1) as together, serving("127.0.0.1:0", "x", together, together.paths) as place:
        assert place is not None
        status, text = get(f"http://127.0.0.1:{place.port}/metrics")
    assert status == 200
    families = list(text_string_to_metric_families(text))
    assert len({family.name for family in families}) == len(families)
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for sample in (sample for family in families for sample in family.samples):
        found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    assert found["streams_lag_records"] == {("0", "0"): 7, ("1", "1"): 7}
    assert found["streams_turn_seconds_count"] == {("0",): 2, ("1",): 2}
    assert found["streams_worker_process_up"] == {("0",): 1, ("1",): 1, ("2",): 0}
    assert found["streams_worker_process_restarts_total"] == {("0",): 0, ("1",): 3, ("2",): 0}
    assert found["process_open_fds"].keys() == {("supervisor",)}


def test_a_label_is_added_whatever_a_value_holds() -> None:
    """Braces and spaces in the value of another label are no end of it."""
    text = '# TYPE a gauge\na{of="x {y} z"} 1.0\na 2.0\n'
    assert labelled({"0": text}).splitlines()[1:] == ['a{process="0",of="x {y} z"} 1.0', 'a{process="0"} 2.0']


def told(settings: Settings, number: int) -> dict[str, Any]:
    """What a process is told of the settings, besides where it listens."""
    with ExitStack() as stack:
        part: Part = processes._process(settings, number, stack, OneLog())[0]  # type: ignore[assignment]
        found: dict[str, Any] = json.loads(part._inherited)
    return found


def test_no_two_processes_share_an_id_or_an_address() -> None:
    """With one id, each would fence the other; with one URL, gateways would ask the wrong one."""
    # Below the ports that the system hands out: any program could get the next ones at any moment.
    port = next(port for port in range(21_000, 31_000, 3) if all(map(port_is_free, range(port, port + 3))))
    settings = load_settings(
        worker_id="w", worker_processes=2, worker_http=f"127.0.0.1:{port}", worker_url="http://worker-0.x.svc:8080"
    )
    one, two = (told(settings, number)["settings"] for number in range(2))
    assert (one["worker_id"], two["worker_id"]) == ("w-0", "w-1")
    assert (one["worker_url"], two["worker_url"]) == ("http://worker-0.x.svc:8081", "http://worker-0.x.svc:8082")
    assert one["worker_processes"] == 1


def test_without_an_id_and_an_address_there_is_none() -> None:
    """The number makes an id of the one in the state folder; nothing is served."""
    given = told(load_settings(worker_processes=2), 1)
    assert (given["settings"]["worker_id"], given["number"], given["sockets"]) == (None, 1, {})


def test_with_any_port_a_process_is_reached_at_its_own() -> None:
    """Under the name that was given."""
    settings = load_settings(worker_processes=2, worker_http="127.0.0.1:0", worker_url="http://here:8080")
    host, _, port = told(settings, 0)["settings"]["worker_url"].rpartition(":")
    assert host == "http://here"
    assert int(port) not in (0, 8080, 8081)


def test_what_cannot_be_numbered_is_refused() -> None:
    """A URL without a port, and an id that would become too long: one line each."""
    without = load_settings(worker_processes=2, worker_http="127.0.0.1:0", worker_url="http://here")
    with pytest.raises(ConfigError, match=r"^STREAMS_WORKER_URL=http://here: names no port"):
        told(without, 0)
    with pytest.raises(ConfigError, match=r"^STREAMS_WORKER_ID: at most 197 characters"):
        processes._check_id(load_settings(worker_processes=2, worker_id="w" * 198))
