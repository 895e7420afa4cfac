"""Hundreds of readers of events at one gateway, some of whom do not keep up."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import time
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Self

import httpx
import pytest

from support.service.running_gateways import PATIENCE_S, gateway_of, pid_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.service.harness import Service

STOPPED, SLOW = range(10), range(10, 60)
LABELS = {f"k{number:02}": "x" * 990 for number in range(12)}
"""A filter that makes each event of its batch 12 KB long: what readers leave soon fills all buffers on the way."""


class Readers:
    """Readers of all events: 10 that take nothing, 50 that take 4 KB a second, and others.

    `late`: by batch, how long after its end each of the others has heard of it, seconds. `resumed`: half of the stopped
    read after all; `told`: the batches of whose end they have heard. `ended`: the others whose stream has come to a
    proper end.
    """

    def __init__(self, address: str, count: int) -> None:
        self._host, _, port = address.removeprefix("http://").partition(":")
        self._port = int(port)
        self._count = count
        self.late: dict[str, dict[int, float]] = {}
        self.events = [0] * count
        self.told: list[set[str]] = [set() for _ in STOPPED]
        self.resumed = asyncio.Event()
        self.ended = 0
        self._heard = asyncio.Condition()

    async def __aenter__(self) -> Self:
        streams = [await self._open(number) for number in range(self._count)]
        self.tasks = [asyncio.create_task(self._follow(number, *each)) for number, each in enumerate(streams)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for each in self.tasks:
            each.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def heard(self, reached: Callable[[], bool]) -> None:
        """Wait until what readers have heard makes the condition true."""
        async with asyncio.timeout(PATIENCE_S), self._heard:
            await self._heard.wait_for(reached)

    async def all_heard(self, name: str) -> tuple[float, float]:
        """Wait until the quick readers have heard of a batch's end: how late the first and the last were, seconds."""
        await self.heard(lambda: len(self.late.get(name, {})) == self._count - len(STOPPED) - len(SLOW))
        return min(self.late[name].values()), max(self.late[name].values())

    async def _open(self, number: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A stream that has begun."""
        made = socket.socket()
        made.setblocking(False)
        if number < SLOW.stop:
            # Small buffers of the kernel, at both ends.
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        await asyncio.get_running_loop().sock_connect(made, (self._host, self._port))
        limit = 1_024 if number < SLOW.stop else 1 << 20
        reader, writer = await asyncio.open_connection(sock=made, limit=limit)
        writer.write(f"GET /api/v1/events HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n\r\n".encode())
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        return reader, writer

    async def _follow(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if number in STOPPED:
                await self._resume(number, reader)
            elif number in SLOW:
                while await reader.read(4_096):  # noqa: ASYNC110 - it is slow
                    await asyncio.sleep(1)
            else:
                await self._take_all(number, reader)
        finally:
            writer.close()

    async def _take_all(self, number: int, reader: asyncio.StreamReader) -> None:
        last = b""
        while line := await reader.readline():
            if line.startswith(b"data: "):
                self.events[number] += 1
                state = json.loads(line.removeprefix(b"data: "))
                if state["state"] == "COMPLETED":
                    late = time.time() - datetime.fromisoformat(state["finished_at"]).timestamp()
                    self.late.setdefault(state["batch_id"], {}).setdefault(number, late)
                    await self._tell()
            before, last = last, line
        assert (before, last) == (b"0\r\n", b"\r\n")
        self.ended += 1

    async def _resume(self, number: int, reader: asyncio.StreamReader) -> None:
        await self.resumed.wait()
        if number % 2:
            await asyncio.Event().wait()
        rest = b""
        while part := await reader.read(1 << 16):
            *lines, rest = (rest + part).split(b"\n")
            for line in lines:
                if line.startswith(b"data: "):
                    self.events[number] += 1
                    state = json.loads(line.removeprefix(b"data: "))
                    if state["state"] == "COMPLETED":
                        self.told[number].add(state["batch_id"])
                        await self._tell()

    async def _tell(self) -> None:
        async with self._heard:
            self._heard.notify_all()


@pytest.mark.timeout(300)
def test_many_readers_some_of_them_slow_or_stopped_cost_no_memory_and_hold_nobody_up(service: Service) -> None:
    """Of 500, 50 are slow and 10 take nothing: the others hear of each end within a second, and a stop ends in time.

    One that was stopped gets the newest states instead of each one, and no final state is left out.
    """
    gateway, address = gateway_of(service, "gateway")
    api = pid_of(gateway, "api")
    names = [f"b-{number:02}" for number in range(60)]

    async def story() -> None:
        late, memory = [], []
        async with Readers(address, 500) as readers, httpx.AsyncClient(base_url=address, timeout=PATIENCE_S) as client:
            for name in names:
                body = {"action": "KILL", "filter": {"labels": LABELS}, "batch_id": name, "dry_run": True}
                (await client.post("/api/v1/batches", json=body)).raise_for_status()
                late.append(await readers.all_heard(name))
                memory.append(_memory(api))
            assert max(last - first for first, last in late) < 1.0, late
            assert median(last for _, last in late) < 1.0, late
            assert memory[-1] - memory[30] < 15_000_000, memory
            readers.resumed.set()
            await readers.heard(lambda: all(readers.told[number] == set(names) for number in STOPPED[::2]))
            assert max(readers.events[number] for number in STOPPED) < min(readers.events[SLOW.stop :])
            gateway.send(signal.SIGTERM)
            began = time.monotonic()
            assert await asyncio.to_thread(gateway.wait) == 0
            assert time.monotonic() - began < 20
            await asyncio.wait_for(asyncio.gather(*readers.tasks[SLOW.stop :]), 10)
            assert readers.ended == 440

    asyncio.run(story())


def _memory(pid: int) -> int:
    """Resident memory of a process, bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
