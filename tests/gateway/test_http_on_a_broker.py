"""The gateway's API as processes on a real broker: batches started and followed, parts and gateways killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import httpx
import pytest

from streams.model import Invocation, Invoke
from support.service.harness import Service
from support.service.scrape import Served

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.broker import Broker
    from support.service.programs import Program

PATIENCE_S = 60.0
KILL: dict[str, Any] = {"action": "KILL", "filter": {"services": ["emails"]}}


@pytest.fixture
def service(broker: Broker, tmp_path: Path) -> Iterator[Service]:
    """Topics, and a worker."""
    with Service(broker.bootstrap, tmp_path, 4) as made:
        made.worker("w", STREAMS_WORKER_HTTP="127.0.0.1:0")
        yield made


def gateway_of(service: Service, name: str) -> tuple[Program, str]:
    """A gateway that is ready, and its address."""
    program = service.program(name, ["gateway"], STREAMS_GATEWAY_HTTP="127.0.0.1:0")
    served = Served(program)
    served.await_ready()
    return program, served.address


def pid_of(gateway: Program, part: str) -> int:
    """The process of a part in its newest life."""
    return int([each for each in gateway.events("a part of the gateway is started") if each["part"] == part][-1]["pid"])


def events_of(address: str, path: str) -> Iterator[dict[str, Any]]:
    """The data of a stream's events, to its end."""
    with httpx.stream("GET", f"{address}{path}", timeout=PATIENCE_S) as answer:
        assert answer.status_code == 200, answer.read()
        for line in answer.iter_lines():
            if line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))


def invoke_many(service: Service, count: int) -> None:
    """That many invocations of one service."""
    service.send_many(Invoke(Invocation(f"i-{number}", "emails", "send")) for number in range(count))


def test_a_batch_is_started_followed_and_seen_alike_by_two_gateways(service: Service) -> None:
    """One key from two clients at two gateways is one batch; another content is refused; one gateway may die."""
    (one, first), (_, second) = gateway_of(service, "one"), gateway_of(service, "two")
    invoke_many(service, 2_000)
    headers = {"Idempotency-Key": "a/b"}
    with ThreadPoolExecutor() as pool:
        asked = [
            pool.submit(httpx.post, f"{each}/api/v1/batches", json=KILL, headers=headers) for each in (first, second)
        ]
        answers = [each.result() for each in asked]
    assert [each.status_code for each in answers] == [202, 202], [each.text for each in answers]
    assert {each.json()["batch_id"] for each in answers} == {"a/b"}
    followed = [list(events_of(each, "/api/v1/batches/a%2Fb/events")) for each in (first, second)]
    for states in followed:
        done = [each["done"] for each in states]
        assert done == sorted(done)
        assert (states[-1]["state"], done[-1]) == ("COMPLETED", 2_000)
    shown = [httpx.get(f"{each}/api/v1/batches/a%2Fb").json() for each in (first, second)]
    assert shown[0] == shown[1]
    assert len(shown[0]["slices"]) == 4
    taken = httpx.post(f"{second}/api/v1/batches", json={**KILL, "limit": 5}, headers=headers)
    assert (taken.status_code, taken.json()["differs"]) == (409, ["limit"])
    over = httpx.post(f"{second}/api/v1/batch-controls", json={"batch_id": "a/b", "operation": "PAUSE"})
    assert (over.status_code, over.json()["state"]) == (409, "COMPLETED")
    one.kill9()
    assert httpx.get(f"{second}/api/v1/batches/a%2Fb").json() == shown[1]
    httpx.post(f"{second}/api/v1/batches", json={**KILL, "batch_id": "next"}).raise_for_status()
    *_, last = events_of(second, "/api/v1/batches/next/events")
    assert (last["state"], last["matched"]) == ("COMPLETED", 0)
    _without_orphans(one)


def _without_orphans(gateway: Program) -> None:
    """The parts of a gateway that was killed end by themselves."""
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid_of(gateway, part)}").exists() for part in ("merge", "api")):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_each_part_is_started_again_and_the_other_goes_on(service: Service) -> None:
    """A stuck or dead merge stops neither reads nor starts, a dead api no merge; health says which one is missing."""
    gateway, address = gateway_of(service, "gateway")
    os.kill(pid_of(gateway, "merge"), signal.SIGSTOP)
    invoke_many(service, 100)
    httpx.post(f"{address}/api/v1/batches", json={**KILL, "batch_id": "stuck"}).raise_for_status()
    *_, last = events_of(address, "/api/v1/batches/stuck/events")
    assert (last["state"], last["done"]) == ("COMPLETED", 100)
    ready = httpx.get(f"{address}/health/ready", timeout=10)
    assert (ready.status_code, ready.json()["missing"]) == (503, ["merge"])
    os.kill(pid_of(gateway, "merge"), signal.SIGKILL)
    gateway.await_event("a part of the gateway is started", 3)
    Served(gateway).await_ready()
    before = pid_of(gateway, "merge")
    os.kill(pid_of(gateway, "api"), signal.SIGKILL)
    gateway.await_event("a part of the gateway is started", 4)
    # Its socket outlived it: a request that comes meanwhile waits.
    assert httpx.get(f"{address}/api/v1/batches/stuck", timeout=PATIENCE_S).json()["done"] == 100
    assert pid_of(gateway, "merge") == before
    assert gateway.terminate() == 0


def test_a_stop_ends_in_time_with_fifty_streams_open_and_a_merge_that_was_killed(service: Service) -> None:
    """Readers are told by the end of their streams; one that takes nothing holds nobody up."""
    gateway, address = gateway_of(service, "gateway")
    host, _, port = address.removeprefix("http://").partition(":")

    async def story() -> float:
        readers = []
        for _ in range(50):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"GET /api/v1/events HTTP/1.1\r\nHost: " + host.encode() + b":" + port.encode() + b"\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            readers.append((reader, writer))
        os.kill(pid_of(gateway, "merge"), signal.SIGKILL)
        gateway.send(signal.SIGTERM)
        began = time.monotonic()
        assert await asyncio.to_thread(gateway.wait) == 0
        took = time.monotonic() - began
        for reader, writer in readers:
            assert (await reader.read()).endswith(b"0\r\n\r\n")
            writer.close()
        return took

    assert asyncio.run(story()) < 20


@pytest.mark.durable
def test_a_broker_that_is_away_is_told_in_words(own_broker: Broker, tmp_path: Path) -> None:
    """First nobody knows what became of the command, then nothing is sent; reading goes on, and later all of it."""
    with Service(own_broker.bootstrap, tmp_path, 4) as service:
        gateway, address = gateway_of(service, "gateway")
        act = {"invocation_id": "i", "action": "KILL"}
        own_broker.kill()
        told = [httpx.post(f"{address}/api/v1/acts", json=act, timeout=PATIENCE_S) for _ in range(2)]
        assert [each.status_code for each in told] == [503, 503]
        assert [each.json()["accepted"] for each in told] == [None, False]
        assert "not known whether the command was accepted" in told[0].json()["detail"]
        assert "was not accepted: nothing has changed" in told[1].json()["detail"]
        assert httpx.get(f"{address}/api/v1/batches").json()["items"] == []
        own_broker.restart()
        deadline = time.monotonic() + PATIENCE_S
        while httpx.post(f"{address}/api/v1/acts", json=act, timeout=PATIENCE_S).status_code != 202:
            assert time.monotonic() < deadline
        assert gateway.terminate() == 0


class Readers:
    """Readers of all events: 10 that take nothing, 50 that take a line a second, and others.

    `seen`: by batch, when each of the others has heard of its end.
    """

    def __init__(self, address: str, count: int) -> None:
        self._host, _, port = address.removeprefix("http://").partition(":")
        self._port = int(port)
        self._count = count
        self.seen: dict[str, list[float]] = {}
        self._heard = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._follow(number)) for number in range(self._count)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for each in self._tasks:
            each.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def all_heard(self, name: str) -> float:
        """Wait until the quick readers have heard of a batch's end; seconds from the first to the last of them."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.seen.get(name, ())) < self._count - 60:
                self._heard.clear()
                await self._heard.wait()
        return max(self.seen[name]) - min(self.seen[name])

    async def _follow(self, number: int) -> None:
        limit = 1_024 if number < 60 else 65_536
        reader, writer = await asyncio.open_connection(self._host, self._port, limit=limit)
        writer.write(f"GET /api/v1/events HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n\r\n".encode())
        try:
            await reader.readline()
            if number < 10:
                await asyncio.Event().wait()
            while line := await reader.readline():
                if number < 60:
                    await asyncio.sleep(1)
                elif line.startswith(b"data: "):
                    self._note(json.loads(line.removeprefix(b"data: ")))
        finally:
            writer.close()

    def _note(self, state: dict[str, Any]) -> None:
        if state["state"] == "COMPLETED":
            self.seen.setdefault(state["batch_id"], []).append(time.monotonic())
            self._heard.set()


@pytest.mark.timeout(300)
def test_many_readers_some_of_them_slow_or_stopped_cost_no_memory_and_hold_nobody_up(service: Service) -> None:
    """Of 500, 50 take a line a second and 10 take nothing: the others hear of each end within a second."""
    gateway, address = gateway_of(service, "gateway")
    api = pid_of(gateway, "api")

    async def story() -> tuple[list[float], list[int]]:
        waited, memory = [], []
        async with Readers(address, 500) as readers, httpx.AsyncClient(base_url=address, timeout=PATIENCE_S) as client:
            for number in range(30):
                name = f"b-{number}"
                body = {**KILL, "batch_id": name, "dry_run": True, "reason": "x" * 900}
                (await client.post("/api/v1/batches", json=body)).raise_for_status()
                waited.append(await readers.all_heard(name))
                memory.append(_memory(api))
        return waited, memory

    waited, memory = asyncio.run(story())
    assert max(waited[1:]) < 1.0
    assert memory[-1] < memory[10] * 1.2 + 10_000_000, memory
    assert gateway.terminate() == 0


def _memory(pid: int) -> int:
    """Resident memory of a process, bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
