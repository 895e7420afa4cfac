"""The gateway's API as processes on a real broker: batches started and followed, parts and gateways killed."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx
import pytest

from support.service.api_world import KILL
from support.service.harness import Service
from support.service.running_gateways import (
    PATIENCE_S,
    events_of,
    gateway_of,
    invoke_many,
    pid_of,
    require_no_orphans,
)
from support.service.scrape import Served

if TYPE_CHECKING:
    from pathlib import Path

    from streams.broker import Broker


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
    require_no_orphans(one)


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
