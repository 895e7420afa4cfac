"""Reading the progress of flows."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from streams import codec
from streams.client import FlowReader, FlowTimeoutError, TopicMissingError, UnreadableProgressError
from streams.config import Topic
from streams.model import FlowState
from support.records.flow_records import flow_progress
from support.service.client_world import ClientWorld, all_threads_gone

if TYPE_CHECKING:
    from streams.model import FlowProgress

OPEN, CANCELLING = FlowState.OPEN, FlowState.CANCELLING
CANCELLED, PARTIALLY = FlowState.CANCELLED, FlowState.PARTIALLY_CANCELLED


class Flows(ClientWorld):
    """Writes the topic `flows`."""

    def put(self, *found: FlowProgress) -> None:
        """Each under its id."""
        for each in found:
            self.write(Topic.FLOWS, each.flow_id, codec.encode(each))

    @property
    def reader(self) -> FlowReader:
        """A reader of the topic."""
        return FlowReader(self.settings, self.cluster)


@pytest.fixture
def flows() -> Flows:
    """A cluster with all topics."""
    return Flows()


def test_the_newest_of_each_flow_counts(flows: Flows) -> None:
    """By revision, whatever came last; one that is forgotten is none, and one that comes after it begins again."""
    assert (flows.reader.latest(), flows.reader.get("f")) == ({}, None)
    newest, other, again = flow_progress(revision=9), flow_progress("other"), flow_progress("again", revision=1)
    flows.put(flow_progress(revision=5), newest, flow_progress(revision=7), other, flow_progress("again", revision=8))
    flows.put(flow_progress("gone"))
    for name in ("gone", "again"):
        flows.write(Topic.FLOWS, name, None)
    flows.put(again)
    assert flows.reader.latest() == {"f": newest, "other": other, "again": again}
    assert flows.reader.get("f") == newest
    assert flows.reader.get("gone") is None


def test_following_ends_with_a_state_that_was_asked_for(flows: Flows) -> None:
    """By default once it is cancelled, with failures or without; a state that has passed does not count."""
    flows.put(flow_progress(state=CANCELLED, revision=1), flow_progress(state=CANCELLING, revision=2))
    following = flows.reader.follow("f")
    assert next(following).revision == 2
    flows.put(flow_progress("other", revision=8), flow_progress(state=CANCELLING, revision=1))
    flows.put(flow_progress(state=PARTIALLY, revision=3))
    assert [each.revision for each in following] == [3]
    assert [each.state for each in flows.reader.follow("f")] == [PARTIALLY]
    following = flows.reader.follow("f", {CANCELLED})
    assert next(following).state is PARTIALLY
    flows.put(flow_progress(state=CANCELLED, revision=4))
    assert [each.state for each in following] == [CANCELLED]


def test_what_was_there_before_a_cancel_is_passed_over(flows: Flows) -> None:
    """`since` is the offset of the command: an earlier cancel has left the flow CANCELLED."""
    flows.put(flow_progress(revision=4))
    following = flows.reader.follow("f", since=5, on_quiet=lambda _: flows.put(flow_progress(revision=5)))
    assert [each.revision for each in following] == [5]


def test_a_flow_that_is_forgotten_meanwhile_is_waited_for(flows: Flows) -> None:
    """Who joins it begins a new one, which is shown, whatever its revision."""
    flows.put(flow_progress(state=OPEN, revision=6))
    following = flows.reader.follow("f")
    assert next(following).revision == 6
    flows.write(Topic.FLOWS, "f", None)
    flows.put(flow_progress(state=CANCELLED, revision=3))
    assert [each.revision for each in following] == [3]


def test_following_gives_up_in_time(flows: Flows) -> None:
    """The message tells a flow that nobody has joined from one that is not there yet."""
    with pytest.raises(FlowTimeoutError, match=r"flow f: nothing new within 0.05 s; has anybody joined it"):
        list(flows.reader.follow("f", timeout=0.05))
    flows.put(flow_progress(state=OPEN))
    with pytest.raises(FlowTimeoutError, match=r"flow f is OPEN and not CANCELLED or PARTIALLY_CANCELLED after 0.05 s"):
        list(flows.reader.follow("f", timeout=0.05))
    with pytest.raises(FlowTimeoutError, match=r"flow f is OPEN after 0.05 s"):
        list(flows.reader.follow("f", (), timeout=0.05))


def test_a_flow_is_followed_by_async_for(flows: Flows) -> None:
    """As by the sync one; its thread ends with it."""
    before = threading.active_count()
    flows.put(flow_progress(state=CANCELLING, revision=1))

    async def main() -> list[FlowState]:
        seen = []
        async for each in flows.reader.follow_async("f", since=1):
            seen.append(each.state)
            flows.put(flow_progress(state=CANCELLED, revision=2))
        return seen

    assert asyncio.run(main()) == [CANCELLING, CANCELLED]
    assert all_threads_gone(before)


def test_what_cannot_be_read_is_told(flows: Flows, caplog: pytest.LogCaptureFixture) -> None:
    """A record of a newer version ends the following of its flow only; a missing topic is named."""
    flows.put(flow_progress("other"))
    flows.write(Topic.FLOWS, "f", b"\xc3\x01" + b"\0" * 8)
    with pytest.raises(UnreadableProgressError, match=r"progress of flow f: .*upgrade this program"):
        list(flows.reader.follow("f"))
    assert list(flows.reader.latest()) == ["other"]
    assert "progress of flow f" in caplog.text
    flows.cluster.delete_topic(flows.settings.topic(Topic.FLOWS))
    with pytest.raises(TopicMissingError, match=r"t\.flows does not exist"):
        flows.reader.latest()
