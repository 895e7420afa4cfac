"""Gateways as processes, and those who follow their events."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from streams.model import Invocation, Invoke
from support.service.scrape import Served

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.service.harness import Service
    from support.service.programs import Program

PATIENCE_S = 60.0


def gateway_of(service: Service, name: str) -> tuple[Program, str]:
    """A gateway that is ready, and its address."""
    program = service.program(name, ["gateway"], STREAMS_GATEWAY_HTTP="127.0.0.1:0")
    served = Served(program)
    served.await_ready()
    return program, served.address


def pid_of(gateway: Program, part: str) -> int:
    """The process of a part in its newest life."""
    return int([each for each in gateway.events("a part of the gateway is started") if each["part"] == part][-1]["pid"])


def events_of(address: str, path: str, after: int = 0) -> Iterator[dict[str, Any]]:
    """The data of a stream's events, to its end; `after`: the revision that was seen last."""
    headers = {"Last-Event-ID": str(after)} if after else {}
    with httpx.stream("GET", f"{address}{path}", headers=headers, timeout=PATIENCE_S) as answer:
        assert answer.status_code == 200, answer.read()
        for line in answer.iter_lines():
            if line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))


def follow(seen: list[list[dict[str, Any]]], path: str, *addresses: str) -> None:
    """Note the states that each gateway tells, one after the other: a reader goes on at the next one when one dies."""
    for address in addresses:
        after = seen[-1][-1]["revision"] if seen and seen[-1] else 0
        seen.append([])
        try:
            for state in events_of(address, path, after):
                seen[-1].append(state)
        except httpx.TransportError:
            continue
        return
    raise AssertionError(f"{path} has no end: {seen}")


def require_no_orphans(gateway: Program) -> None:
    """The parts of a gateway that was killed end by themselves."""
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid_of(gateway, part)}").exists() for part in ("merge", "api")):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def invoke_many(service: Service, count: int, name: str = "emails") -> None:
    """That many invocations of one service."""
    service.send_many(Invoke(Invocation(f"{name}-{number}", name, "send")) for number in range(count))
