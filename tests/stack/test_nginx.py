"""The gateway behind a real nginx with its defaults: nothing is held back there."""

from __future__ import annotations

import shutil
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from streams.broker.base import free_port
from streams.model import Invocation, Invoke
from support.service.harness import Service
from support.service.scrape import Served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from streams.broker import Broker

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

PATIENCE_S = 30.0
KILL: dict[str, Any] = {"action": "KILL", "filter": {"services": ["emails"]}, "batch_id": "b", "max_rate": 400}
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@contextmanager
def nginx_before(address: str, folder: Path) -> Iterator[str]:
    """An nginx that passes all on to a gateway and is told nothing else; gives its address."""
    if shutil.which("nginx") is None:
        pytest.skip("nginx is not installed")
    port = free_port()
    temporary = "".join(f"  {name}_temp_path {folder}/{name};\n" for name in TEMPORARY)
    (folder / "nginx.conf").write_text(
        f"daemon off;\npid {folder}/pid;\nerror_log {folder}/error.log;\nevents {{}}\nhttp {{\n  access_log off;\n"
        f"{temporary}  server {{\n    listen 127.0.0.1:{port};\n    location / {{ proxy_pass {address}; }}\n  }}\n}}\n"
    )
    with subprocess.Popen(["nginx", "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"]) as process:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def test_events_arrive_as_they_happen(broker: Broker, tmp_path: Path) -> None:
    """The first within a second, and those of a batch that runs for seconds while it runs."""
    with Service(broker.bootstrap, tmp_path, 4) as service:
        service.worker("w")
        gateway = service.program("gateway", ["gateway"], STREAMS_GATEWAY_HTTP="127.0.0.1:0")
        served = Served(gateway)
        served.await_ready()
        service.send_many(Invoke(Invocation(f"i-{number}", "emails", "send")) for number in range(1_200))
        with nginx_before(served.address, tmp_path) as front:
            _await(f"{front}/health/live")
            httpx.post(f"{front}/api/v1/batches", json=KILL, timeout=PATIENCE_S).raise_for_status()
            asked, arrived = time.monotonic(), []
            with httpx.stream("GET", f"{front}/api/v1/batches/b/events", timeout=PATIENCE_S) as answer:
                assert answer.status_code == 200
                arrived = [time.monotonic() - asked for line in answer.iter_lines() if line.startswith("data: ")]
            assert arrived[0] < 1.0
            assert arrived[-1] > 2.0
            assert sum(0.2 < each < arrived[-1] - 0.2 for each in arrived) >= 3
        assert gateway.terminate() == 0


def _await(url: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            httpx.get(url).raise_for_status()
        except httpx.HTTPError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return
