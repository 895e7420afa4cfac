"""The producer for asyncio."""

from __future__ import annotations

import asyncio
import threading

import pytest

from streams.client import AsyncClient, Client, DeliveryError, InvalidCommandError
from streams.model import (
    Act,
    Action,
    ControlBatch,
    ControlOperation,
    Filter,
    FlowAction,
    Invocation,
    Invoke,
    StartBatch,
)
from support.service.client_world import ClientWorld


def kills(*ids: str) -> list[Act]:
    """A command each."""
    return [Act(each, Action.KILL) for each in ids]


def test_each_verb_sends_what_the_other_client_sends() -> None:
    """And has done so when it returns."""
    sync, other = ClientWorld(), ClientWorld()
    with Client(sync.settings, sync.cluster) as client:
        client.invoke("s", "h", b"p", invocation_id="a", scheduled_at=3)
        client.adopt("s", "h", invocation_id="b")
        client.kill("a", reason="r")
        client.cancel("b", grace_ms=3)
        client.pause("c", reason="r")
        client.resume("c")
        client.purge("d")
        client.restart("e")
        client.cancel_flow("f", action=FlowAction.KILL)
        client.start_batch(StartBatch("batch", Action.KILL, Filter(match_all=True)))

    async def main() -> None:
        async with AsyncClient(other.settings, other.cluster) as client:
            assert await client.invoke("s", "h", b"p", invocation_id="a", scheduled_at=3) == "a"
            assert len(other.commands()) == 1
            assert await client.adopt("s", "h", invocation_id="b") == "b"
            await client.kill("a", reason="r")
            await client.cancel("b", grace_ms=3)
            await client.pause("c", reason="r")
            await client.resume("c")
            await client.purge("d")
            await client.restart("e")
            assert (await client.cancel_flow("f", action=FlowAction.KILL)).partition is not None
            assert await client.start_batch(StartBatch("batch", Action.KILL, Filter(match_all=True))) == "batch"
            await client.control_batch("batch", ControlOperation.ABORT)

    asyncio.run(main())
    assert [each.batch_id for each in other.commands() if isinstance(each, ControlBatch)] == ["batch"]
    assert len(other.commands()) == len(sync.commands()) + 1
    assert all(command in other.commands() for command in sync.commands())


def test_many_at_once_and_no_thread() -> None:
    """More than the queue holds, by `send_all`, `queue` and tasks alike; deliveries come to the event loop itself."""
    world = ClientWorld(queue_buffering_max_messages="10")

    async def main() -> set[threading.Thread]:
        async with AsyncClient(world.settings, world.cluster) as client:
            before = set(threading.enumerate())
            assert await client.send_all(kills(*(f"a-{number}" for number in range(100)))) == 100
            futures = [await client.queue(each) for each in kills(*(f"b-{number}" for number in range(100)))]
            await asyncio.gather(*(client.kill(f"c-{number}") for number in range(100)))
            await client.flush()
            assert all(future.done() for future in futures)
            assert sorted({future.result().partition for future in futures}, key=str) == [0, 1, 2, 3]
            return set(threading.enumerate()) - before

    assert not asyncio.run(main())
    assert len(world.commands()) == 300


def test_failures_are_raised_where_they_are_awaited() -> None:
    """`send` by itself, `send_all` with a count, `queue` by its future and by the next flush, once."""
    world = ClientWorld()

    async def main() -> None:
        async with AsyncClient(world.settings, world.cluster) as client:
            world.refuse()
            with pytest.raises(DeliveryError, match=r"1 command\(s\) did not reach the log \(a\)"):
                await client.kill("a")
            with pytest.raises(DeliveryError) as many:
                await client.send_all(kills("b", "c"))
            assert many.value.count == 2
            future = await client.queue(kills("d")[0])
            with pytest.raises(DeliveryError, match=r"\(d\)"):
                await future
            with pytest.raises(DeliveryError, match=r"\(d\)"):
                await client.flush()
            await client.flush()
            await client.queue(kills("e")[0])
            with pytest.raises(DeliveryError, match=r"\(e\)"):
                await client.close()

    asyncio.run(main())


def test_leaving_with_an_error_tells_both() -> None:
    """The error that ended the block stays the error; what did not arrive is noted on it."""
    world = ClientWorld()

    async def main() -> None:
        async with AsyncClient(world.settings, world.cluster) as client:
            world.refuse()
            await client.queue(kills("lost")[0])
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine") as caught:
        asyncio.run(main())
    assert any("did not reach the log (lost)" in note for note in caught.value.__notes__)


def test_a_command_that_breaks_a_rule_is_not_sent() -> None:
    """Those before it are."""
    world = ClientWorld()

    async def main() -> None:
        async with AsyncClient(world.settings, world.cluster) as client:
            with pytest.raises(InvalidCommandError, match=r"Act\.invocation_id is empty"):
                await client.send_all(kills("a", "", "b"))

    asyncio.run(main())
    assert len(world.commands()) == 1


def test_a_caller_that_gives_up_disturbs_nobody() -> None:
    """Its command may still arrive, and is waited for when the client is closed."""
    world = ClientWorld()

    async def main() -> None:
        async with AsyncClient(world.settings, world.cluster) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await client.send(Invoke(Invocation("a", "s", "h")))
            await client.kill("b")

    asyncio.run(main())
    assert len(world.commands()) == 2


def test_used_without_connecting() -> None:
    """It says how."""

    async def main() -> None:
        with pytest.raises(RuntimeError, match="async with AsyncClient"):
            await AsyncClient(ClientWorld().settings).kill("a")

    asyncio.run(main())
