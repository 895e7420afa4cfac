"""What is said of a batch that shows nothing new for a while."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from streams import codec
from streams.cli.context import Connection
from streams.cli.show.waiting import Waiting
from streams.config import Topic
from streams.gateway.progress import BatchRecords, batch_progress, with_record
from streams.kafka.errors import BrokerUnavailableError
from streams.model import BatchHeader, BatchState, SliceProgress, SliceState
from streams.protocol.routing import partition_of
from support.records.progress_records import header, slice_progress
from support.service.client_world import ClientWorld

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.service.command_line import CommandLine

PARTITIONS = 4
QUESTION = "of t.commands: is a worker running that has it?\n"
QUESTIONS = "of t.commands: are workers running that have them?\n"


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """A function: what is said when these records stand in `batch-slices`, and nothing comes for a minute."""
    world = ClientWorld()
    now = 1_000.0

    told = Waiting(Connection(world.settings, world.cluster), "b", lambda: now)

    def said(*records: BatchHeader | SliceProgress, published: bool = True) -> str:
        nonlocal now
        batch = BatchRecords()
        for record in records:
            batch = with_record(batch, record)
            last = "lead" if isinstance(record, BatchHeader) else record.partition
            world.write(Topic.BATCH_SLICES, f"{record.batch_id}/{last}", codec.encode(record))
        for _ in range(600):
            told(batch_progress(batch) if published else None)
            now += 0.1
        return capsys.readouterr().err

    return said


def _header(**changes: Any) -> BatchHeader:
    return replace(header(partitions=PARTITIONS), **changes)


def test_a_batch_that_nobody_has_begun_waits_for_its_own_partition(said: Callable[..., str]) -> None:
    """Which is known without anybody's word; it is said once."""
    other = slice_progress(0, batch_id="another")
    assert said(other, published=False) == f"waiting for partition {partition_of('b', PARTITIONS)} {QUESTION}"
    assert said(published=False) == ""


def test_the_partitions_that_have_not_done_their_part_are_named(said: Callable[..., str]) -> None:
    """Not begun, or in the middle of it; said again when others are left."""
    done = [slice_progress(each, state=SliceState.COMPLETED) for each in (0, 2)]
    assert said(_header(), *done, slice_progress(1)) == f"waiting for partitions 1, 3 {QUESTIONS}"
    rest = slice_progress(1, state=SliceState.COMPLETED, revision=30)
    assert said(_header(), *done, rest) == f"waiting for partition 3 {QUESTION}"


def test_progress_that_nobody_publishes_is_the_gateways(said: Callable[..., str]) -> None:
    """The workers are at it."""
    assert "is a gateway running?" in said(_header(), slice_progress(0), published=False)


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"state": BatchState.PAUSED}, SliceState.PAUSED),
        ({"standing_until": 10**15}, SliceState.RUNNING),
        ({"max_rate": 0.001}, SliceState.RUNNING),
        ({}, SliceState.DRAINING),
    ],
)
def test_a_batch_that_may_be_quiet_is_let_be(
    said: Callable[..., str], changes: dict[str, object], state: SliceState
) -> None:
    """Paused, standing, slow by its own wish, or waiting for executors."""
    assert said(_header(**changes), *(slice_progress(each, state=state) for each in range(PARTITIONS))) == ""


def test_why_nothing_can_be_said_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """Once: the brokers are gone, or a record is of a later release."""
    seconds = count()

    class Gone(ClientWorld):
        def admin(self, properties: Any) -> Any:
            raise BrokerUnavailableError(f"no Kafka broker at {properties['bootstrap.servers']}")

    gone, later = Gone(), ClientWorld()
    later.write(Topic.BATCH_SLICES, "b/lead", b"\x00")
    for connection, told in (
        (Connection(gone.settings, gone), "no Kafka broker at"),  # type: ignore[arg-type]
        (Connection(later.settings, later.cluster), ""),
    ):
        waiting = Waiting(connection, "b", lambda: float(next(seconds)))
        for _ in range(100):
            waiting(None)
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert told in said


def test_without_a_worker_the_partition_is_named_before_the_time_is_over(empty: CommandLine) -> None:
    """As one sees it in a script."""
    assert empty.run("topics", "create", "--partitions", "2")[0] == 0
    code, _, stderr = empty.run("kill", "--all", "--yes", "--batch-id", "b", "--timeout", "14s")
    assert code == 1
    topic = empty.settings.topic(Topic.COMMANDS)
    assert f"waiting for partition {partition_of('b', 2)} of {topic}: is a worker running that has it?\n" in stderr
