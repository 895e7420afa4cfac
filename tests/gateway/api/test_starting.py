"""A batch started by HTTP: once, whoever asks again and however often."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from streams import codec
from streams.codec.json_form import time_text
from streams.config import Topic
from streams.gateway.api import batches
from streams.model import Action, BatchState, Filter, SliceState, StartBatch
from support.records.progress_records import slice_progress
from support.service.api_world import BATCHES, CONTROLS, KILL, ApiWorld, header_for

if TYPE_CHECKING:
    import httpx

OURS = StartBatch("b", Action.KILL, Filter(services=("emails",)), actor="local")


def test_the_answer_is_the_batch_once_its_header_is_known() -> None:
    """202 with its address and its state; the command is in the log, by the name of the caller."""
    world = ApiWorld()

    async def story(client: httpx.AsyncClient) -> None:
        answer, _ = await asyncio.gather(client.post(BATCHES, json={**KILL, "batch_id": "a/b~%"}), world.lead())
        assert (answer.status_code, answer.headers["location"]) == (202, "/api/v1/batches/a%2Fb~%25")
        assert (answer.json()["batch_id"], answer.json()["state"]) == ("a/b~%", "STARTING")
        shown = (await client.get(answer.headers["location"])).json()
        assert shown["created_at"] == "1970-01-01T00:00:01.000Z"
        assert (shown["slices"], shown["conflicts"], shown["header"]["actor"]) == ([], [], "local")
        assert "content_hash" not in shown["header"]

    world.run(story)
    assert [(each.batch_id, each.actor) for each in world.starts()] == [("a/b~%", "local")]


@pytest.mark.parametrize("by_key", [True, False])
def test_the_same_start_again_is_the_same_batch(*, by_key: bool) -> None:
    """By body or header, from two clients at once, and once more later: one batch, and the same answer."""
    world = ApiWorld()

    def start(client: httpx.AsyncClient, **changes: Any) -> Any:
        headers = {"Idempotency-Key": "b-1"} if by_key else {}
        body = KILL if by_key else {**KILL, "batch_id": "b-1"}
        return client.post(BATCHES, json=body | changes, headers=headers)

    async def story(client: httpx.AsyncClient) -> None:
        one, other, _ = await asyncio.gather(start(client), start(client), world.lead())
        assert (one.status_code, other.status_code) == (202, 202)
        assert one.json() == other.json() == (await start(client)).json()
        taken = await start(client, reason="another", limit=3)
        assert (taken.status_code, taken.json()["differs"]) == (409, ["limit", "reason"])
        assert "another limit, reason" in taken.json()["detail"]

    world.run(story)
    assert {codec.encode(each) for each in world.starts()} == {codec.encode(world.starts()[0])}


def test_a_start_that_is_not_seen_in_time_is_accepted_without_a_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its id, and when to look; until then it can be controlled. Again after that time-out it is the same batch."""
    monkeypatch.setattr(batches, "SEEN_WITHIN_S", 0.01)
    world = ApiWorld()

    async def story(client: httpx.AsyncClient) -> None:
        body = {**KILL, "batch_id": "slow"}
        answer = await client.post(BATCHES, json=body)
        assert (answer.status_code, answer.json(), answer.headers["retry-after"]) == (202, {"batch_id": "slow"}, "1")
        assert (await client.post(CONTROLS, json={"batch_id": "slow", "operation": "ABORT"})).status_code == 202
        assert (await client.post(CONTROLS, json={"batch_id": "other", "operation": "ABORT"})).status_code == 404
        await world.lead()
        await world.seen(lambda: world.services.board.batches.header("slow"))
        assert (await client.post(BATCHES, json=body)).json()["state"] == "STARTING"
        assert (await client.post(BATCHES, json={**body, "dry_run": True})).json()["differs"] == ["dry_run"]

    world.run(story)


def test_a_conflict_that_is_found_later_stands_in_the_batch() -> None:
    """Whoever sent it, at whichever gateway: its dead letter says by whom, and what differs."""
    world = ApiWorld()
    world.publish(header_for(OURS))
    other = replace(OURS, actor="bob", limit=2)
    headers = [("error-code", b"batch_id_conflict"), ("error-message", b"taken")]
    world.write(Topic.DEAD_LETTERS, "b", codec.encode(other), headers)
    world.write(Topic.DEAD_LETTERS, "b", codec.encode(OURS), [("error-code", b"something_else")])

    async def story(client: httpx.AsyncClient) -> None:
        (conflict,) = (await client.get(f"{BATCHES}/b")).json()["conflicts"]
        assert (conflict["dead_letter"], conflict["actor"]) == ("0:0", "bob")
        assert conflict["timestamp"] == time_text(world.cluster.now)
        assert conflict["differs"] == ["limit", "actor"]

    world.run(story)


def test_a_start_that_the_lead_rejects_is_a_fault_of_its_field() -> None:
    """Only the log's clock can tell that a time has passed: 422 names the field, as for all other rules."""
    world = ApiWorld()

    async def story(client: httpx.AsyncClient) -> None:
        error = "invalid_expires_at: expires_at 1 has passed: give a later time in ms since 1970, or leave it out"
        rejected = world.lead(state=BatchState.REJECTED, error=error)
        answer, _ = await asyncio.gather(client.post(BATCHES, json={**KILL, "expires_at": 1}), rejected)
        assert (answer.status_code, answer.json()["field"]) == (422, "expires_at")
        assert answer.json()["rule"].startswith("1 has passed")

    world.run(story)


def test_a_key_and_an_id_that_differ_and_a_key_that_is_no_id_are_refused() -> None:
    """422, with the field, and nothing is sent."""
    world = ApiWorld()

    async def story(client: httpx.AsyncClient) -> None:
        for key, field in (("b-2", "batch_id"), ("k" * 257, "batch_id")):
            body = {**KILL, "batch_id": "b-1"}
            answer = await client.post(BATCHES, json=body, headers={"Idempotency-Key": key})
            assert (answer.status_code, answer.json()["field"]) == (422, field)
        answer = await client.post(BATCHES, json=KILL, headers={"Idempotency-Key": "k" * 257})
        assert (answer.status_code, answer.json()["field"]) == (422, "Idempotency-Key")
        twice = await client.post(BATCHES, json=KILL, headers=[("Idempotency-Key", "a"), ("Idempotency-Key", "b")])
        assert (twice.status_code, twice.json()["field"]) == (422, "Idempotency-Key")

    world.run(story)
    assert world.commands() == []


@pytest.mark.parametrize("state", [BatchState.COMPLETED, BatchState.ABORTED, BatchState.REJECTED])
def test_a_batch_that_is_over_cannot_be_controlled(state: BatchState) -> None:
    """409, saying in which state it is."""
    world = ApiWorld()
    rejected = state is BatchState.REJECTED
    world.publish(header_for(OURS, partitions_total=1, state=state if rejected else BatchState.RUNNING))
    if not rejected:
        world.publish(slice_progress(0, batch_id="b", state=SliceState(state)))

    async def story(client: httpx.AsyncClient) -> None:
        answer = await client.post(CONTROLS, json={"batch_id": "b", "operation": "PAUSE"})
        assert (answer.status_code, answer.json()["state"]) == (409, state.value)

    world.run(story)
    assert world.commands() == []


def test_controls_are_numbered_and_say_who() -> None:
    """Each one's number is higher than that of the one before."""
    world = ApiWorld()
    world.publish(header_for(OURS))

    async def story(client: httpx.AsyncClient) -> None:
        told = [
            (await client.post(CONTROLS, json={"batch_id": "b", "operation": "SET_RATE", "max_rate": rate})).json()
            for rate in (10, 20)
        ]
        assert [each["max_rate"] for each in told] == [10, 20]
        assert told[0]["control_no"] < told[1]["control_no"]

    world.run(story)
    assert [each.actor for each in world.commands()] == ["local", "local"]  # type: ignore[attr-defined]
