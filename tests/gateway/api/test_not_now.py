"""What is not sent now: 503 says why, and whether the command was accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams import codec
from streams.config import Topic
from streams.gateway.api import callers
from streams.model import ENGINE_VERSION, Act, Action, WorkerAddress
from support.records.progress_records import header
from support.service.api_world import (
    ACTS,
    BATCHES,
    BODIES,
    CONTROLS,
    FLOW_CANCELS,
    INVOCATIONS,
    KILL,
    REPLAY,
    ApiWorld,
)

if TYPE_CHECKING:
    import httpx
    import pytest


def test_nothing_is_sent_while_a_worker_is_of_an_older_engine() -> None:
    """It might not know what this gateway writes: 503 names it; reading goes on."""
    world = ApiWorld()
    world.publish(header(batch_id="b"))
    for partition, version in enumerate((ENGINE_VERSION, ENGINE_VERSION - 1)):
        world.publish(WorkerAddress(partition, "http://w:1", f"w-{partition}", version, 1, 1))

    async def story(client: httpx.AsyncClient) -> None:
        await world.seen(lambda: len(world.services.board.workers) == 2)
        for path, body in (
            (BATCHES, KILL),
            (CONTROLS, {"batch_id": "b", "operation": "PAUSE"}),
            (ACTS, {"invocation_id": "i", "action": "KILL"}),
            (FLOW_CANCELS, {"flow_id": "f"}),
            (INVOCATIONS, {"invocation": {"service": "s", "handler": "h"}}),
            (REPLAY, {"all": True}),
        ):
            answer = await client.post(path, json=body)
            assert (answer.status_code, answer.json()["accepted"]) == (503, False)
            assert "worker w-1 of partition 1" in answer.json()["detail"]
            assert "nothing has changed" in answer.json()["detail"]
        assert (await client.get(BATCHES)).status_code == 200

    world.run(story)
    assert world.commands() == []


def test_nothing_is_sent_before_the_workers_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of them may be of an older engine: 503, and the command was not accepted."""
    monkeypatch.setattr(callers, "_READY_S", 0.01)
    world = ApiWorld()

    async def story(client: httpx.AsyncClient) -> None:
        world.services.board.ready.clear()
        for path, body in BODIES.items():
            answer = await client.post(path, json=body)
            assert (answer.status_code, answer.json()["accepted"]) == (503, False), path
        answer = await client.get(BATCHES)
        assert (answer.status_code, "accepted" in answer.json()) == (503, False)

    world.run(story)
    assert world.commands() == []


def test_a_broker_that_refuses_is_told_in_words() -> None:
    """503, and whether the command was accepted."""
    world = ApiWorld()
    world.refuse()

    async def story(client: httpx.AsyncClient) -> None:
        for name in ("i", "append-timed out"):
            answer = await client.post(ACTS, json={"invocation_id": name, "action": "KILL"})
            assert (answer.status_code, answer.json()["accepted"]) == (503, False)
            assert "nothing has changed" in answer.json()["detail"]

    world.run(story)


def test_a_replay_that_cannot_begin_is_told_in_words() -> None:
    """503: nothing was sent."""
    world = ApiWorld()
    world.write(Topic.DEAD_LETTERS, "i", codec.encode(Act("i", Action.KILL)), [("source-partition", b"1")])

    async def story(client: httpx.AsyncClient) -> None:
        del world.cluster.topics[world.settings.topic(Topic.COMMANDS)]
        answer = await client.post(REPLAY, json={"all": True})
        assert (answer.status_code, answer.json()["accepted"]) == (503, False)
        assert "nothing has changed" in answer.json()["detail"]

    world.run(story)
