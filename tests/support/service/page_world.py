"""A service with workers, a gateway with its page, and invocations to look at."""

from __future__ import annotations

import json
import socket
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, Self

from streams.model import Invocation, Invoke
from support.service.harness import Service
from support.service.workload import DAY_MS, now_ms

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from streams.model import Record
    from support.service.programs import Program

PARTITIONS = 2
BILLING, MAIL = 12_000, 3_000
"""Invocations of the service `billing`, and of `mail`, `letters` and `notes` each; all of them wait for tomorrow."""
STRANGE = ("a/b~c%20d", "ü/§ %~☃", "<img src=x onerror=alert(1)>", "..", "\"'`$(x)")
"""Ids that are hard to put into an address, or into markup."""
FLOW = "order/4711 %"


class PageWorld(Service):
    """It runs once it is entered. `url`: where the page is."""

    def __init__(self, bootstrap: str, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        listening = {"STREAMS_WORKER_HTTP": "127.0.0.1:0", "STREAMS_RECONCILE_INTERVAL_MS": "500"}
        super().__init__(bootstrap, folder, PARTITIONS, **listening)

    def __enter__(self) -> Self:
        super().__enter__()
        self.workers = [self.worker("a"), self.worker("b")]
        self.gateway = self.start_gateway("gateway", self.port)
        self.send_many(self.commands())
        self.await_partitions(*self.workers)
        self.settle()
        self.await_served()
        return self

    def commands(self) -> Iterator[Record]:
        """The log of its invocations."""
        tomorrow = now_ms() + DAY_MS
        for service, count in (("billing", BILLING), ("mail", MAIL), ("letters", MAIL), ("notes", MAIL)):
            for number in range(count):
                labels = {"tenant": "acme" if number % 2 else "other"}
                yield Invoke(Invocation(f"{service}-{number:06d}", service, "run", labels=labels), tomorrow)
        for each in STRANGE:
            yield Invoke(Invocation(each, "strange", "run", labels={"<b>key</b>": each}), tomorrow)
        for number in range(20):
            yield Invoke(Invocation(f"member-{number}", "orders", "run", flow_id=FLOW), tomorrow)

    def start_gateway(self, name: str, port: int, **environment: Any) -> Program:
        """A gateway at a port of this machine."""
        return self.program(name, ["gateway"], STREAMS_GATEWAY_HTTP=f"127.0.0.1:{port}", **environment)

    def await_served(self, timeout: float = 40.0) -> None:
        """Wait until the gateway answers for all partitions."""
        deadline = time.monotonic() + timeout
        while self._missing() != []:
            self.require_programs("the gateway does not answer for all partitions")
            assert time.monotonic() < deadline, f"after {timeout:g} s the gateway still misses {self._missing()}"
            time.sleep(0.1)

    def _missing(self) -> Any:
        try:
            return self.api("/partitions")["missing_partitions"]
        except OSError:
            return None

    def api(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """The answer of the API to a GET, or to a POST of this body."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 - our own address
            f"{self.url}/api/v1{path}", data, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return json.load(answer)

    def start(self, batch_id: str, action: str, service: str, **more: Any) -> str:
        """Start a batch on a service by the API."""
        body = {"batch_id": batch_id, "action": action, "filter": {"services": [service]}, **more}
        return str(self.api("/batches", body)["batch_id"])


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
