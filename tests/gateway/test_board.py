"""The board: topics read from their beginning, and again, without anybody seeing what has been long ago."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from streams import codec
from streams.config import Topic
from streams.gateway import board as boards
from streams.gateway.board import Board
from streams.gateway.hub import Hub, Key, WrittenEvents
from streams.gateway.newest import ListPlace, NewestFirst
from streams.gateway.stores import BatchStore, TopicRead, read_of
from streams.model import BatchHeader, BatchState, SliceProgress, SliceState
from support.records.progress_records import header, slice_progress
from support.service.client_world import ClientWorld

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

B = Key("batch", "b")


def read(key: str, content: BatchHeader | SliceProgress | None) -> TopicRead:
    """A record of `batch-slices`."""
    return TopicRead(key, content, 0, 0, 0)


def on_a_board(story: Callable[[Board], Awaitable[None]]) -> None:
    """Run a story on a board whose topics nobody reads: the story hands it what was read."""

    async def told() -> None:
        world = ClientWorld()
        await story(Board(world.settings, world.cluster))

    asyncio.run(told())


def test_a_topic_that_is_read_again_takes_the_place_of_what_was_known() -> None:
    """Until it is read to its end what was known is shown; what is gone by then is gone."""

    async def story(board: Board) -> None:
        topic = Topic.BATCH_SLICES
        board.begin(topic)
        board.take(
            topic,
            [read("b/lead", header()), read("b/0", _done(30)), read("old/lead", header(batch_id="old"))],
            caught_up=True,
        )
        board.lost(topic, "the broker is away")
        assert "t.batch-slices cannot be read: the broker is away" in str(board.hindered_by)
        assert _shown(board) == 30
        board.begin(topic)
        board.take(topic, [read("b/lead", None), read("b/lead", header()), read("b/0", _done(20))], caught_up=False)
        assert _shown(board) == 30
        assert board.batches.header("old")
        board.take(topic, [read("b/0", _done(40))], caught_up=True)
        assert _shown(board) == 40
        assert board.batches.header("old") is None

    on_a_board(story)


def test_readers_hear_of_a_change_at_once_and_then_of_many_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a quiet time nothing is held back; what follows is gathered, and the last of it is told."""
    monkeypatch.setattr(boards, "GATHER_S", 0.05)

    async def story(board: Board) -> None:
        topic = Topic.BATCH_SLICES
        board.begin(topic)
        board.take(topic, [read("b/lead", header())], caught_up=True)
        reader = board.hub.subscribe(B, [])
        heard = []
        for done in range(1, 200):
            board.take(topic, [read("b/0", _done(done))], caught_up=True)
            if await reader.changed(0.001) and reader.take():
                heard.append(_shown(board))
        while await reader.changed(0.2) and reader.take():
            heard.append(_shown(board))
        assert heard[-1] == 199
        assert 2 <= len(heard) < 50

    on_a_board(story)


def test_a_topic_is_read_again_after_any_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after a mistake of this program: without its thread, the topic would stay as it is and look sound."""
    monkeypatch.setattr(boards, "AGAIN_S", 0.01)
    world, faults = ClientWorld(), [ValueError("a bug")]
    world.write(Topic.BATCH_SLICES, "b/lead", codec.encode(header()))

    def read_badly(message: Any) -> TopicRead:
        if faults:
            raise faults.pop()
        return read_of(message)

    first, *others = boards.SOURCES
    monkeypatch.setattr(boards, "SOURCES", (first._replace(read=read_badly), *others))

    async def story() -> None:
        async with asyncio.timeout(5), Board(world.settings, world.cluster) as board:
            await board.ready.wait()
            assert board.batches.header("b")

    with capture_logs() as lines:
        asyncio.run(story())
    assert [line["why"] for line in lines if line["event"].startswith("a topic cannot be read")] == ["a bug"]


def test_a_subscription_has_a_key_once_and_costs_no_more_than_keys() -> None:
    """However often it is told before the reader takes it; the end comes after that."""

    async def story() -> None:
        hub = Hub()
        all_, one = hub.subscribe(None, []), hub.subscribe(B, [B])
        for number in range(1_000):
            hub.tell(Key("batch", f"b-{number % 3}"))
        assert await all_.changed(1)
        assert [all_.take() for _ in range(4)] == [*(Key("batch", f"b-{number}") for number in range(3)), None]
        assert await one.changed(1)
        assert (one.take(), one.take(), await one.changed(0)) == (B, None, True)
        hub.leave(None, all_)
        assert len(hub) == 1
        hub.stop()
        assert not await one.changed(1)
        assert not await hub.subscribe(B, [B]).changed(1)

    asyncio.run(story())


def test_a_batch_that_is_over_takes_little_room_and_can_still_be_looked_into() -> None:
    """Its slices are kept as in the gateway's table; a record that comes after all is merged."""
    store = BatchStore()
    store.put(read("b/lead", header(partitions=1)))
    store.put(read("b/0", _done(7, SliceState.COMPLETED)))
    progress = store.progress("b")
    assert progress is not None
    assert (progress.state, progress.done) == (BatchState.COMPLETED, 7)
    assert store.records("b").slices[0].done == 7
    assert store.put(read("b/0", _done(7, SliceState.COMPLETED))) is None
    store.put(read("b/0", _done(9, SliceState.COMPLETED)))
    assert (store.progress("b") or progress).done == 9
    store.put(read("b/lead", None))
    assert (store.progress("b"), len(store.newest)) == (None, 0)


@pytest.mark.parametrize("key", ["b", "/lead", "b/x", ""])
def test_a_record_that_is_none_of_ours_is_left_out(key: str) -> None:
    """The others are read."""
    store = BatchStore()
    assert store.put(read(key, header())) is None
    assert len(store.newest) == 0


def test_an_event_is_written_once_for_all_its_readers() -> None:
    """Of the newest state only, and of few keys."""
    written, state, other = WrittenEvents(most=2), object(), object()
    written.put(B, state, b"event")
    assert (written.get(B, state), written.get(B, other)) == (b"event", None)
    for number in range(2):
        written.put(Key("flow", str(number)), state, b"")
    assert written.get(B, state) is None


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 4) | st.none())), st.integers(1, 4))
def test_a_list_is_always_in_order_and_each_item_stands_in_it_once(
    changes: list[tuple[str, int | None]], count: int
) -> None:
    """Whatever comes, moves and goes, and however it is paged through."""
    order, known = NewestFirst(), dict[str, int]()
    for name, created_at in changes:
        if created_at is None:
            order.discard(name)
            known.pop(name, None)
        else:
            order.add(created_at, name)
            known[name] = created_at
    seen: list[ListPlace] = []
    while places := order.behind(seen[-1] if seen else None, count):
        seen += places
    assert seen == sorted((ListPlace(at, name) for name, at in known.items()), reverse=True)


def _done(done: int, state: SliceState = SliceState.RUNNING) -> SliceProgress:
    return slice_progress(0, revision=20 + done, counters=(done, 0, 0, 0), state=state)


def _shown(board: Board) -> Any:
    found = board.batches.progress("b")
    return None if found is None else found.done
