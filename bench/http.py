"""The gateway's API on an idle service: from the start of a batch to its answer and to its first event."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx

from bench.lib.report import load_average, percentile, print_table
from bench.lib.service import PARTITIONS, BenchError, Service, say, service

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

NAME = "http"
_STARTS = 200
_WARM_UP = 20
_PAUSE_S = 0.1
_READY_WITHIN_S = 60.0
_KINDS = ("answer", "first event of all", "first event of one")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("--starts", type=int, default=_STARTS, help=f"batches to start (default {_STARTS})")


def measure(bootstrap: str, options: argparse.Namespace) -> dict[str, Any]:
    """Times of dry runs on an empty table, one after the other."""
    with service(bootstrap, NAME, 1) as made:
        made.start_workers()
        made.await_event("partition running", PARTITIONS)
        with _gateway(made) as address:
            say(f"{NAME}: {options.starts} batches, one after the other")
            times = asyncio.run(_measure(address, options.starts))
    return {
        kind: {
            "starts": len(found),
            "p50": round(percentile(found, 0.5) * 1_000, 1),
            "p99": round(percentile(found, 0.99) * 1_000, 1),
            "max": round(max(found) * 1_000, 1),
            "load": load_average(),
        }
        for kind, found in times.items()
    }


def show(figures: dict[str, Any]) -> None:
    """Print the table."""
    head = ("from a start to", "starts", "p50 ms", "p99", "max", "load")
    shown = [
        [kind, each["starts"], each["p50"], each["p99"], each["max"], each["load"]] for kind, each in figures.items()
    ]
    print_table("HTTP, one batch at a time", head, shown)


@contextmanager
def _gateway(made: Service) -> Iterator[str]:
    """A gateway that is ready; its address."""
    own = {
        "STREAMS_BOOTSTRAP_SERVERS": made.settings.bootstrap_servers,
        "STREAMS_TOPIC_PREFIX": made.settings.topic_prefix,
        "STREAMS_GATEWAY_HTTP": "127.0.0.1:0",
        "STREAMS_LOG_FORMAT": "json",
    }
    others = {name: value for name, value in os.environ.items() if not name.startswith("STREAMS_")}
    file = made.folder / "gateway.log"
    with file.open("wb") as log:
        gateway = subprocess.Popen(
            [sys.executable, "-m", "streams", "gateway"], env=others | own, stdout=log, stderr=log
        )
    try:
        deadline = time.monotonic() + _READY_WITHIN_S
        while not (found := [line for line in file.read_text().splitlines() if '"serving metrics' in line]):
            _require(gateway.poll() is None and time.monotonic() < deadline, file.read_text())
            time.sleep(0.1)
        line = json.loads(found[0])
        address = f"http://{line['host']}:{line['port']}"
        while httpx.get(f"{address}/health/ready", timeout=10).status_code != httpx.codes.OK:
            _require(time.monotonic() < deadline, "the gateway is not ready")
            time.sleep(0.1)
        yield address
    finally:
        gateway.terminate()
        gateway.wait()


def _require(holds: bool, why: str) -> None:  # noqa: FBT001 - an assertion
    if not holds:
        raise BenchError(why[-2_000:])


async def _measure(address: str, starts: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {kind: [] for kind in _KINDS}
    seen: dict[str, asyncio.Future[float]] = {}
    async with httpx.AsyncClient(base_url=address, timeout=30) as client:
        following = asyncio.create_task(_follow(client, seen))
        for number in range(_WARM_UP + starts):
            name = f"b-{number}"
            seen[name] = asyncio.get_running_loop().create_future()
            body = {"batch_id": name, "action": "KILL", "dry_run": True, "filter": {"match_all": True}}
            began = time.perf_counter()
            answer = await client.post("/api/v1/batches", json=body)
            answered = time.perf_counter()
            _require(answer.json().get("state") is not None, answer.text)
            async with client.stream("GET", f"/api/v1/batches/{name}/events") as events:
                await anext(line async for line in events.aiter_lines() if line.startswith("data: "))
                first = time.perf_counter()
            of_all = await asyncio.wait_for(seen.pop(name), 10)
            if number >= _WARM_UP:
                for kind, at in zip(_KINDS, (answered, of_all, first), strict=True):
                    times[kind].append(at - began)
            await asyncio.sleep(_PAUSE_S)
        following.cancel()
    return times


async def _follow(client: httpx.AsyncClient, seen: dict[str, asyncio.Future[float]]) -> None:
    """Note when the first event of each batch comes on a stream of all, which is open all the time."""
    async with client.stream("GET", "/api/v1/events", timeout=None) as events:
        async for line in events.aiter_lines():
            if line.startswith("data: "):
                name = json.loads(line.removeprefix("data: "))["batch_id"]
                if name in seen and not seen[name].done():
                    seen[name].set_result(time.perf_counter())
