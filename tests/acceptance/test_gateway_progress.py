"""What the gateway publishes of a batch while it runs, the gateway killed and started again included."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from streams import codec
from streams.client import ProgressReader
from streams.config import Topic
from streams.model import BatchProgress, BatchState
from support.service import oracle
from support.service.workload import invocations, kill

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.service.harness import Service

pytestmark = [pytest.mark.broker, pytest.mark.chaos]


def test_published_progress_adds_up_and_ends_where_the_oracle_says(make_service: Callable[..., Service]) -> None:
    """Every record of `batches` adds up, and the last one of each batch says what the oracle says."""
    service = make_service(STREAMS_PAGE_BUDGET_MS="0.1")
    service.worker("a")
    service.worker("b")
    gateway = service.program("gateway", ["gateway"], STREAMS_STATE_DIR=str(service.state("gateway")))
    service.send_many(invocations(10_000))
    service.settle()
    batches = ["kill-1", "kill-2"]
    reader = ProgressReader(service.settings)
    service.start_batch(kill(batches[0]))
    assert [each.state for each in reader.follow(batches[0], timeout=90)][-1] is BatchState.COMPLETED
    service.send_many(invocations(5_000, "second"))
    service.start_batch(kill(batches[1]))
    service.await_progress(batches[1], lambda progress: progress.total("matched") > 0)
    gateway.kill9()
    gateway.start()
    assert [each.state for each in reader.follow(batches[1], timeout=90)][-1] is BatchState.COMPLETED
    expected, _ = service.check()
    published = service.read(Topic.BATCHES)
    oracle.check_progress(published)
    last: dict[str, BatchProgress] = {}
    for entry in published:
        record = codec.decode(entry.value)
        assert isinstance(record, BatchProgress)
        last[record.batch_id] = record
    assert sorted(last) == batches
    for batch_id, progress in last.items():
        ended = len(expected.ended_by(batch_id))
        assert progress.state is BatchState.COMPLETED
        assert (progress.matched, progress.done, progress.pending, progress.skipped, progress.failed) == (
            ended,
            ended,
            0,
            0,
            0,
        )
        assert progress.partitions_done == progress.partitions_total == service.partitions
