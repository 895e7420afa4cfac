"""Server-sent events: the newest state first, each newer one, the final one always, and nothing that goes back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from streams.config import Topic
from streams.gateway.api import events
from streams.model import SliceState
from support.records.flow_records import flow_progress
from support.records.progress_records import header, slice_progress
from support.service.api_world import ApiWorld
from support.service.event_reader import EventReader, events_in


def test_a_batch_is_followed_from_its_newest_state_to_its_end() -> None:
    """At once and without what a proxy would hold back; the stream ends with the batch."""
    world = ApiWorld()
    world.publish(header(batch_id="a/b", partitions=1), slice_progress(0, batch_id="a/b", counters=(3, 0, 0, 0)))

    async def story(_: Any) -> None:
        async with EventReader(world.app, "/api/v1/batches/a%2Fb/events") as reader:
            assert reader.status == 200
            assert reader.headers["content-type"].startswith("text/event-stream")
            assert (reader.headers["cache-control"], reader.headers["x-accel-buffering"]) == (
                "no-cache, no-transform",
                "no",
            )
            first = await reader.event()
            assert first is not None
            assert (first["event"], first["id"], first["data"]["done"]) == ("batch", 32, 3)
            world.publish(_slice("a/b", 50, 7, SliceState.COMPLETED))
            last = await reader.event()
            assert last is not None
            assert (last["data"]["state"], last["data"]["done"]) == ("COMPLETED", 7)
            assert await reader.event() is None

    world.run(story)


def test_a_slow_reader_gets_the_newest_state_instead_of_each_one() -> None:
    """However much happens while it takes one event; the final state is not left out, and no counter goes back."""
    world = ApiWorld()
    world.publish(header(partitions=1), slice_progress(0))

    async def story(_: Any) -> None:
        path = "/api/v1/batches/b/events"
        async with EventReader(world.app, path, sends_at_once=1) as slow, EventReader(world.app, path) as quick:
            assert (await quick.event() or {})["data"]["done"] == 0
            for done in range(1, 500):
                world.publish(_slice("b", 20 + done, done, SliceState.RUNNING))
            world.publish(_slice("b", 600, 500, SliceState.COMPLETED))
            seen = [[each async for each in _all(reader)] for reader in (quick, slow)]
            for states in seen:
                counted = [each["data"]["done"] for each in states]
                assert counted == sorted(counted)
                assert (states[-1]["data"]["state"], counted[-1]) == ("COMPLETED", 500)
                assert len(states) < 10

    world.run(story)


def test_a_slow_reader_gets_what_waits_for_it_piece_by_piece() -> None:
    """However much that is: the gateway keeps no more than a piece for it. Nothing is left out, or told twice."""
    world = ApiWorld()
    for number in range(200):
        made = header(batch_id=f"b-{number:03}", partitions=1)
        world.publish(replace(made, created_at=number, reason="x" * 1_000), slice_progress(0, batch_id=made.batch_id))

    async def story(_: Any) -> None:
        async with EventReader(world.app, "/api/v1/events", sends_at_once=1) as reader:
            seen: list[str] = []
            while len(seen) < 200:
                piece = await reader.piece()
                assert len(piece) < 68_000
                seen += [each["data"]["batch_id"] for each in events_in(piece.decode())]
            assert seen == [f"b-{number:03}" for number in range(200)]

    world.run(story)


@pytest.mark.parametrize("last", ["12", "-1", "99999999999999999999999", "nonsense", "ü", "", "4000000000"])
def test_any_last_event_id_gets_a_snapshot(last: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of this life or another, or of none: never an error."""
    monkeypatch.setattr(events, "_CATCHES_UP_S", 0.01)
    world = ApiWorld()
    world.publish(header(), slice_progress(0))

    async def story(_: Any) -> None:
        async with EventReader(world.app, "/api/v1/batches/b/events", last_seen=last) as reader:
            assert (await reader.event() or {})["id"] == 32

    world.run(story)


def test_whoever_has_seen_a_newer_state_elsewhere_is_not_sent_back() -> None:
    """A gateway that is behind waits until it knows as much as the one before."""
    world = ApiWorld()
    world.publish(header(), slice_progress(0))

    async def story(_: Any) -> None:
        async def catch_up() -> None:
            world.publish(_slice("b", 40, 5, SliceState.RUNNING))

        reader = EventReader(world.app, "/api/v1/batches/b/events", last_seen="52")
        await asyncio.gather(reader.__aenter__(), catch_up())
        assert (await reader.event() or {})["id"] == 52
        await reader.__aexit__()

    world.run(story)


def test_a_stream_of_all_begins_with_what_is_not_over_and_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then each change of any batch or flow follows, new ones included."""
    monkeypatch.setattr(events, "NEWEST", 2)
    world = ApiWorld()
    for number in range(6):
        state = SliceState.RUNNING if number == 1 else SliceState.COMPLETED
        name = f"b-{number}"
        world.publish(replace(header(batch_id=name, partitions=1), created_at=number), _slice(name, 20, 1, state))
    world.publish(flow_progress("f"))

    async def story(_: Any) -> None:
        async with EventReader(world.app, "/api/v1/events") as reader:
            first = [await reader.event() for _ in range(4)]
            named = [each["data"].get("batch_id") or each["data"]["flow_id"] for each in first if each]
            assert named == ["b-1", "b-4", "b-5", "f"]
            world.publish(header(batch_id="new"))
            assert (await reader.event() or {})["data"]["batch_id"] == "new"
            world.publish(replace(flow_progress("f"), revision=99))
            assert ((await reader.event() or {})["event"], reader.status) == ("flow", 200)

    world.run(story)


def test_a_flow_is_followed_until_it_is_forgotten() -> None:
    """No state of it is its last."""
    world = ApiWorld()
    world.publish(flow_progress("f"))

    async def story(_: Any) -> None:
        async with EventReader(world.app, "/api/v1/flows/f/events") as reader:
            assert (await reader.event() or {})["data"]["flow_id"] == "f"
            world.write(Topic.FLOWS, "f", None)
            assert await reader.event() is None

    world.run(story)


def test_an_id_that_a_path_cannot_carry_is_followed_by_a_parameter() -> None:
    """`.` and `..` are taken out of paths by clients and proxies."""
    world = ApiWorld()
    world.publish(header(batch_id=".."), slice_progress(0, batch_id=".."))

    async def story(_: Any) -> None:
        async with EventReader(world.app, "/api/v1/events?batch_id=..") as reader:
            assert (await reader.event() or {})["data"]["batch_id"] == ".."

    world.run(story)


def test_what_nobody_knows_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """404, after a moment in which it might become known; but a batch that was accepted is waited for."""
    monkeypatch.setattr(events, "_KNOWN_WITHIN_S", 0.01)
    world = ApiWorld()

    async def story(client: Any) -> None:
        for path in ("batches/x/events", "flows/x/events", "events?batch_id=x", "events?flow_id=x"):
            assert (await client.get(f"/api/v1/{path}")).status_code == 404
        world.services.board.accepted.add("x")
        assert (await client.get("/api/v1/flows/x/events")).status_code == 404
        async with EventReader(world.app, "/api/v1/batches/x/events") as reader:
            world.publish(header(batch_id="x"))
            assert (await reader.event() or {})["data"]["batch_id"] == "x"

    world.run(story)


def test_a_batch_that_was_started_here_and_is_forgotten_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """404, as for any other: it was seen, so nothing of it is still to come."""
    monkeypatch.setattr(events, "_KNOWN_WITHIN_S", 0.01)
    world = ApiWorld()

    async def story(client: Any) -> None:
        world.services.board.accepted.add("b")
        world.publish(header())
        await world.seen(lambda: world.services.board.batches.header("b") is not None)
        world.write(Topic.BATCH_SLICES, "b/lead", None)
        await world.seen(lambda: world.services.board.batches.header("b") is None)
        assert (await client.get("/api/v1/batches/b/events")).status_code == 404
        control = {"batch_id": "b", "operation": "PAUSE"}
        assert (await client.post("/api/v1/batch-controls", json=control)).status_code == 404

    world.run(story)


def test_silence_is_filled_with_comments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxies close connections on which nothing comes."""
    monkeypatch.setattr(events, "QUIET_S", 0.01)
    world = ApiWorld()
    world.publish(header())

    async def story(_: Any) -> None:
        async with EventReader(world.app, "/api/v1/batches/b/events") as reader:
            pieces = [await reader.piece() for _ in range(5)]
            assert sum(each.startswith(b":") for each in pieces) == 4

    world.run(story)


def test_a_stop_ends_all_streams_and_those_still_to_come() -> None:
    """Nobody is waited for, and nobody is left in the hub."""
    world = ApiWorld()
    world.publish(header())

    async def story(_: Any) -> None:
        hub = world.services.board.hub
        async with (
            EventReader(world.app, "/api/v1/batches/b/events") as one,
            EventReader(world.app, "/api/v1/events") as all_,
        ):
            assert await one.event()
            assert await all_.event()
            assert len(hub) == 2
            world.services.stop()
            assert (await one.event(), await all_.event()) == (None, None)
            async with EventReader(world.app, "/api/v1/events") as late:
                assert await late.event() is None
        assert len(hub) == 0

    world.run(story)


async def _all(reader: EventReader) -> Any:
    while (found := await reader.event()) is not None:
        yield found


def _slice(batch_id: str, revision: int, done: int, state: SliceState) -> Any:
    return slice_progress(0, batch_id=batch_id, revision=revision, counters=(done, 0, 0, 0), state=state)
