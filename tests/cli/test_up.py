"""`streams up`: one process tree with one log, stopped in order, and never half of it."""

from __future__ import annotations

import io
import json
import os
import signal
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
import typer
from typer.testing import CliRunner

from streams.broker.base import free_port
from streams.cli.app import app
from streams.cli.up import OptionalKind, is_ready, own_variables, page_of
from streams.config import load_settings
from streams.kafka.admin import Admin
from streams.supervision.outputs import OneLog
from support.service.certificates import Authority
from support.service.scrape import get
from support.service.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from streams.broker import Broker


@pytest.mark.parametrize(
    ("given", "parsed"),
    [
        (["--broker"], "any"),
        (["--broker", "apache"], "apache"),
        (["--broker", "--workers", "2"], "any"),
        (["--workers", "2", "--broker"], "any"),
        (["--broker=docker"], "docker"),
        ([], None),
    ],
)
def test_the_kind_of_the_broker_may_be_left_out(given: list[str], parsed: str | None) -> None:
    """Then it is the first that works."""
    made = typer.Typer()
    told: list[str | None] = []

    @made.command(cls=OptionalKind)
    def verb(broker: str | None = None, workers: int = 1) -> None:
        told.append(broker)
        del workers

    result = CliRunner().invoke(made, given)
    assert (result.exit_code, told) == (0, [parsed]), result.output


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--broker", "rabbit"], "must be one of any, docker, apache, embedded"),
        (["--data-dir", "here"], "--data-dir is for --broker"),
        (["--workers", "0"], "greater than or equal to 1"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_starts(words: list[str], why: str) -> None:
    """Exit code 2."""
    result = CliRunner().invoke(app, ["up", *words])
    assert result.exit_code == 2
    assert why in " ".join(result.output.replace("│", " ").split())


def test_workers_share_nothing_that_settings_give_to_one(tmp_path: Path) -> None:
    """With one id for two of them, each would fence the other; with one URL, gateways would ask the wrong one."""
    settings = load_settings(state_dir=tmp_path, worker_id="mine", worker_url="http://elsewhere:8080")
    one, two = (own_variables(settings, name) for name in ("worker-1", "worker-2"))
    assert {name for name in one if one[name] == two[name]} == set()
    assert one["STREAMS_WORKER_ID"] == "mine-worker-1"
    assert one["STREAMS_WORKER_URL"] == f"http://{one['STREAMS_WORKER_HTTP']}"


@pytest.mark.parametrize(
    ("address", "cert", "page"),
    [
        ("0.0.0.0:8080", None, "http://127.0.0.1:8080/"),
        ("[::]:8080", None, "http://127.0.0.1:8080/"),
        ("localhost:8443", "cert.pem", "https://localhost:8443/"),
    ],
)
def test_the_page_is_named_as_a_browser_takes_it(address: str, cert: str | None, page: str) -> None:
    """An address of this machine, and https where the gateway ends TLS."""
    assert page_of(load_settings(gateway_http=address, gateway_tls_cert=cert)) == page


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_gateway_is_asked_itself(scheme: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Not a proxy that the environment names for the way out, and whoever has issued its certificate."""
    monkeypatch.setenv(f"{scheme}_proxy", f"http://127.0.0.1:{free_port()}")
    with ThreadingHTTPServer(("127.0.0.1", 0), _Ready) as server:
        if scheme == "https":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*Authority(tmp_path).issue("gateway"))
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        assert is_ready(f"{scheme}://127.0.0.1:{server.server_port}/")
        server.shutdown()
    assert not is_ready(f"{scheme}://127.0.0.1:{server.server_port}/")


class _Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health/ready" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_a_log_of_parts_stays_readable_by_programs() -> None:
    """A JSON line says its part in a field; any other begins with it."""
    written = io.BytesIO()
    log = OneLog(written)
    log.write("worker-1", '{"event": "x", "n": 1}')
    log.write("gateway", "plain {text}")
    log.write("broker", "ümlaut")
    first, *rest = written.getvalue().decode().splitlines()
    assert json.loads(first) == {"part": "worker-1", "event": "x", "n": 1}
    assert rest == ["gateway  | plain {text}", "broker   | ümlaut"]


@pytest.fixture
def service(broker: Broker, tmp_path: Path) -> Iterator[Tree]:
    """Two workers and a gateway on the session's broker, whose page is there."""
    prefix = f"up-{uuid4().hex[:8]}."
    variables = {
        "STREAMS_BOOTSTRAP_SERVERS": broker.bootstrap,
        "STREAMS_TOPIC_PREFIX": prefix,
        "STREAMS_GATEWAY_HTTP": f"127.0.0.1:{free_port()}",
    }
    tree = Tree(["up", "--workers", "2", "--partitions", "2"], tmp_path, **variables)
    try:
        line = tree.await_line("page: ")
        assert line == f"page: http://{variables['STREAMS_GATEWAY_HTTP']}/ (Ctrl-C stops all)"
        assert get(f"http://{variables['STREAMS_GATEWAY_HTTP']}/metrics")[0] == 200
        yield tree
    finally:
        tree.end()
        kafka = Admin(load_settings(bootstrap_servers=broker.bootstrap))
        kafka.delete([name for name in kafka.partition_counts() if name.startswith(prefix)])


def test_one_ctrl_c_stops_all_in_order(service: Tree) -> None:
    """Exit code 0: the workers first, then the gateway, which merges what they still wrote; nothing is left."""
    assert len(service.others("streams worker")) == 2
    service.process.send_signal(signal.SIGINT)
    stdout, stderr = service.process.communicate(timeout=60)
    assert service.process.returncode == 0, stderr
    assert "stopping; Ctrl-C once more stops at once" in stdout
    lines = [json.loads(line) for line in stderr.splitlines() if line.startswith("{")]
    ends = [line["part"] for line in lines if line["event"] in {"worker stopped", "gateway stopped"}]
    assert (sorted(ends[:2]), ends[2:]) == (["worker-1", "worker-2"], ["gateway"])
    assert service.await_others(none=True, seconds=30)


def test_a_part_that_dies_ends_all(service: Tree) -> None:
    """Exit code 1, its name in the message, and nothing is left: half a service would only look like one."""
    os.kill(service.others("streams worker")[0], signal.SIGKILL)
    _, stderr = service.process.communicate(timeout=60)
    assert service.process.returncode == 1
    assert "error: worker-" in stderr
    assert "ended with exit code -9" in stderr
    assert service.await_others(none=True, seconds=30)


def test_a_second_ctrl_c_does_not_wait(service: Tree) -> None:
    """A worker that does not end is not waited for: exit code 130, nothing is left."""
    os.kill(service.others("streams worker")[0], signal.SIGSTOP)
    service.process.send_signal(signal.SIGINT)
    assert service.await_line("stopping")
    service.process.send_signal(signal.SIGINT)
    _, stderr = service.process.communicate(timeout=15)
    assert service.process.returncode == 130, stderr
    assert service.await_others(none=True, seconds=30)


def test_its_parts_do_not_outlive_it(service: Tree) -> None:
    """`kill -9` of the program ends them too, and what they serve."""
    service.process.kill()
    assert service.await_others(none=True, seconds=30)
