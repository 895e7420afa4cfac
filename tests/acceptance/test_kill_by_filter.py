"""A kill by filter on a real broker: undisturbed, and with producers going on."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from streams.model import BatchState
from support.service.background import Background
from support.service.workload import DAY_MS, invocations, invoke, kill, now_ms

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.service.harness import Service

pytestmark = [pytest.mark.broker, pytest.mark.timeout(900)]

SLOW_PAGES = {"STREAMS_PAGE_BUDGET_MS": "0.1"}
"""Makes a batch take long enough for something to happen meanwhile."""


def test_kill_by_filter_ends_exactly_what_the_oracle_names(make_service: Callable[..., Service], scale: float) -> None:
    """Of 300,000 invocations (at full scale) exactly those are ended that plain Python over the log names."""
    service = make_service()
    service.worker("a")
    service.worker("b")
    count = int(300_000 * scale)
    service.send_many(invocations(count))
    batch_id = service.start_batch(kill("kill-1"))
    progress = service.await_batch(batch_id, timeout=300)
    expected, table = service.check()
    named = expected.ended_by(batch_id)
    assert count * 0.32 < len(named) < count / 3, "the filter is to match about a third"
    assert table.ended_by(batch_id) == named
    assert progress.state is BatchState.COMPLETED
    assert progress.counters == (len(named), len(named), 0, 0, 0)


def test_what_is_invoked_after_the_cutoff_is_untouched(make_service: Callable[..., Service]) -> None:
    """Producers that go on during the batch: matching invocations above the cut-off live on, those below are ended."""
    service = make_service(**SLOW_PAGES)
    service.worker("a")
    service.worker("b")
    service.send_many(invocations(6_000))
    with _Producing(service) as producing:
        producing.await_rounds(5)
        batch_id = service.start_batch(kill("kill-1"))
        progress = service.await_batch(batch_id, timeout=300)
        producing.await_rounds(5)
    expected, table = service.check()
    meanwhile = {p for p, row in expected.rows.items() if row.invocation.invocation_id.startswith("meanwhile")}
    late, early = meanwhile & expected.after_cutoff(batch_id), meanwhile & expected.ended_by(batch_id)
    assert {partition for partition, _ in late} == set(range(4)), "every partition is to get some after its cut-off"
    assert early, "some are to come before the cut-off"
    assert not late & table.ended_by(batch_id)
    assert progress.counters[:2] == (len(expected.ended_by(batch_id)),) * 2


class _Producing(Background):
    """Invokes what the filter matches, in rounds, started and scheduled ones in turn."""

    def __init__(self, service: Service) -> None:
        super().__init__()
        self._service = service
        self._round = 0
        self._rounds = threading.Condition()

    def await_rounds(self, count: int) -> None:
        """Wait for that many rounds more."""
        with self._rounds:
            target = self._round + count
            assert self._rounds.wait_for(lambda: self._round >= target, timeout=30), "the producer stands still"

    def work(self) -> None:
        """One round after the other."""
        while not self._stop.wait(0.01):
            tomorrow = now_ms() + DAY_MS
            self._service.send_many(
                invoke(f"meanwhile-{self._round}-{each}", scheduled_at=tomorrow if each % 2 else None)
                for each in range(20)
            )
            with self._rounds:
                self._round += 1
                self._rounds.notify_all()
