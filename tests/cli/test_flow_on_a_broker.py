"""`flow` and the filters by flow and parent, beside a worker on a real broker."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from streams.client import AsyncClient, Client, Context, Executor, FlowReader
from streams.model import FlowState, Invocation, Invoke

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.service.command_line import CommandLine

FAR = 4_102_444_800_000
MEMBERS = 40


@pytest.fixture
def name() -> str:
    """A name that no other test uses."""
    return f"flow/{uuid4().hex[:8]}"


def send_members(live: CommandLine, name: str, count: int = MEMBERS, *, started: int = 0) -> None:
    """Members of a flow on all partitions, of which `started` have got their START."""
    with Client(live.settings) as client:
        for number in range(count):
            at = None if number < started else FAR
            client.invoke(name, "run", invocation_id=f"{name}-{number}", flow_id=name, scheduled_at=at)


def joined(live: CommandLine, name: str, count: int) -> None:
    """Wait until the flow has so many members."""
    for progress in FlowReader(live.settings).follow(name, (), 60):
        if progress.members == count:
            return


def test_a_flow_is_cancelled_and_whoever_joins_later(live: CommandLine, name: str) -> None:
    """Members on all partitions end, the numbers add up, and a late member is cancelled on arrival."""
    send_members(live, name)
    joined(live, name, MEMBERS)
    shown = live.json("flow", "show", name)
    assert (shown["state"], shown["live"]) == ("OPEN", MEMBERS)
    done = live.json("flow", "cancel", name, "--yes", "--reason", "test", "--timeout", "60s")
    assert (done["state"], done["ended"], done["reason"]) == ("CANCELLED", MEMBERS, "test")
    assert done["revision"] >= done["command"]["offset"]
    late = live.json("invoke", name, "run", "--flow", name, "--at", "2100-01-01")["invocation_id"]
    joined(live, name, MEMBERS + 1)
    assert live.json("flow", "watch", name, "--timeout", "60s")["ended"] == MEMBERS + 1
    assert live.json("kill", "--id", late, "--dry-run")["matched"] == 0
    again = live.json("flow", "cancel", name, "--yes", "--reason", "other", "--timeout", "60s")
    assert again["reason"] == "test"
    assert name in [each["flow_id"] for each in live.json("flow", "list", "--state", "cancelled")["flows"]]


def test_members_that_never_end_are_named_and_a_kill_ends_them(live: CommandLine, name: str) -> None:
    """Exit code 3: no executor answers, and the grace leaves them."""
    send_members(live, name, 6, started=2)
    joined(live, name, 6)
    words = ("flow", "cancel", name, "--yes", "--grace", "200ms", "--on-timeout", "leave", "--timeout", "60s", "--json")
    code, stdout, stderr = live.run(*words)
    assert code == 3, stderr
    shown = json.loads(stdout)
    assert (shown["state"], shown["ended"], shown["failed"]) == ("PARTIALLY_CANCELLED", 4, 2)
    assert set(shown["failures"]) == {f"{name}-0", f"{name}-1"}
    assert f"{name}-0" in stderr
    killed = live.json("flow", "cancel", name, "--kill", "--yes", "--timeout", "60s")
    assert (killed["state"], killed["action"], killed["ended"]) == ("CANCELLED", "KILL", 6)


def test_a_flow_and_its_children_are_filters(live: CommandLine, name: str) -> None:
    """Pause, resume and previews by flow; the children of an invocation are cancelled without it."""
    send_members(live, name, 8)
    joined(live, name, 8)
    parent = f"{name}-0"
    with Client(live.settings) as client:
        for number in range(3):
            child = Invocation(f"{name}-child-{number}", name, "run", parent_id=parent)
            client.send(Invoke(child, scheduled_at=FAR))
    assert live.json("kill", "--flow", name, "--dry-run", "--yes")["matched"] == 8
    assert live.json("pause", "--flow", name, "--yes")["done"] == 8
    assert live.json("resume", "--flow", name, "--status", "paused", "--yes")["done"] == 8
    assert live.json("kill", "--service", name, "--not-flow", name, "--dry-run")["matched"] == 3
    assert live.json("kill", "--parent", parent, "--dry-run")["matched"] == 3
    live.json("flow", "cancel", "--children-of", parent, "--yes")
    for _ in range(60):
        if live.json("kill", "--parent", parent, "--dry-run")["matched"] == 0:
            break
    assert live.json("kill", "--parent", parent, "--dry-run")["matched"] == 0
    assert live.json("kill", "--id", parent, "--dry-run")["matched"] == 1
    assert live.json("kill", "--flow", name, "--yes")["done"] == 8


async def _cancelled(live: CommandLine, name: str) -> list[FlowState]:
    async with AsyncClient(live.settings) as client:
        place = await client.cancel_flow(name)
    following = FlowReader(live.settings).follow_async(name, timeout=60, since=place.offset or 0)
    return [progress.state async for progress in following]


def test_a_program_cancels_and_follows(live: CommandLine, name: str) -> None:
    """What stood there before its own command is passed over."""
    send_members(live, name, 3)
    joined(live, name, 3)
    assert asyncio.run(_cancelled(live, name))[-1] is FlowState.CANCELLED


@contextmanager
def tree(live: CommandLine, name: str, depth: int) -> Iterator[str]:
    """The root of a tree of invocations that all run, two children each, in an executor of their own."""
    begun: set[str] = set()
    executor = Executor(live.settings, services={name}, concurrency=100)

    @executor.handler(name, "node")
    async def node(context: Context) -> None:
        below = int(context.payload or b"0")
        for side in ("left", "right") if below else ():
            context.invoke(name, "node", b"%d" % (below - 1), name=side)
        begun.add(context.invocation.invocation_id)
        await asyncio.sleep(600)

    running = threading.Thread(target=executor.run)
    running.start()
    try:
        with Client(live.settings) as client:
            root = client.invoke(name, "node", b"%d" % depth, flow_id=name)
        deadline = time.monotonic() + 60
        while len(begun) < 2 ** (depth + 1) - 1:
            assert time.monotonic() < deadline, begun
            time.sleep(0.05)
        yield root
    finally:
        executor.stop()
        running.join(60)


def test_a_tree_of_handlers_ends_with_its_flow(live: CommandLine, name: str) -> None:
    """Each has invoked its children by its context, which handed the flow on."""
    with tree(live, name, 3):
        done = live.json("flow", "cancel", name, "--yes", "--timeout", "60s")
    assert (done["state"], done["members"], done["ended"]) == ("CANCELLED", 15, 15)


def test_a_tree_of_handlers_ends_with_its_root(live: CommandLine, name: str) -> None:
    """Down all partitions; the flow itself stays open."""
    with tree(live, name, 3) as root:
        assert live.json("kill", "--id", root, "--yes")["done"] == 1
        for progress in FlowReader(live.settings).follow(name, (), 60):
            if progress.ended == 15:
                break
    assert (progress.state, progress.members, progress.live) == (FlowState.OPEN, 15, 0)
