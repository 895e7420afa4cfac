"""A kill of everything but some, by one line at the prompt, on a real broker."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from streams import codec
from streams.model import BatchState, Invocation, Invoke, ReportTransition, StartBatch, Status
from support.service import oracle
from support.service.workload import DAY_MS, now_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from streams.model import Record
    from support.kafka.reading import Entry
    from support.service.harness import Progress, Service
    from support.service.oracle_rows import Expected

pytestmark = [pytest.mark.broker, pytest.mark.timeout(900)]

SLOW_PAGES = {"STREAMS_PAGE_BUDGET_MS": "0.1"}
"""Makes a batch take long enough for a worker to be killed meanwhile."""

BATCH = "all-but-two"
TENANTS = ("gold", "silver", "bronze", "golden", None)
ENDED = {Status.COMPLETED, Status.KILLED}


def invocations(count: int) -> Iterator[Record]:
    """Three of four are of `emails`; each fifth has no tenant. Some wait for tomorrow, some run, some have ended."""
    tomorrow = now_ms() + DAY_MS
    for number in range(count):
        tenant, invocation_id = TENANTS[number % 5], f"inv-{number:07d}"
        labels = {"region": "eu"} if tenant is None else {"tenant": tenant, "region": "gold"}
        invocation = Invocation(invocation_id, "emails" if number % 4 else "billing", "send", labels=labels)
        yield Invoke(invocation, tomorrow if number // 20 % 3 == 0 else None)
        if number // 20 % 10 == 1:
            yield ReportTransition(invocation_id, 1, to=Status.RUNNING)
        if number // 20 % 100 == 2:
            yield ReportTransition(invocation_id, 1, to=Status.COMPLETED)


def is_meant(row: Expected) -> bool:
    """As the operator says it: of `emails`, and not of tenant gold or silver."""
    labels = row.invocation.labels
    kept = "tenant" in labels and labels["tenant"] in {"gold", "silver"}
    return row.invocation.service == "emails" and not kept


def test_one_command_kills_all_but_two_tenants_though_a_worker_dies(
    make_service: Callable[..., Service], scale: float
) -> None:
    """One record in the log ends exactly what it does not leave out, and a worker killed in between changes nothing."""
    service = make_service(**SLOW_PAGES)
    a, b = service.worker("a"), service.worker("b")
    service.send_many(invocations(int(300_000 * scale)))
    service.await_partitions(a, b)
    before = oracle.predict(service.settle(timeout=300)).rows
    meant = {place for place, row in before.items() if is_meant(row) and row.status not in ENDED}
    mine = [partition for partition, name in service.owners(a, b).items() if name == "a"]

    words = ["--not-label", "tenant=gold", "--not-label", "tenant=silver", "--batch-id", BATCH]
    sent = service.command("kill", "-s", "emails", *words, "--yes", "--no-wait", "--json")
    assert sent.returncode == 0, sent.stderr
    assert json.loads(sent.stdout)["batch_id"] == BATCH

    def done_by_a(progress: Progress) -> int:
        return sum(each.matched for partition, each in progress.slices.items() if partition in mine)

    share = sum(place[0] in mine for place in meant)
    service.await_progress(BATCH, lambda progress: done_by_a(progress) > share / 5, timeout=90)
    a.kill9()
    underway = service.progress(BATCH, to_end=True)
    assert done_by_a(underway) < share, f"the worker was to die before its {share} were done: {underway}"
    a.start()
    progress = service.await_batch(BATCH, timeout=300)

    expected, table = service.check()
    assert expected.ended_by(BATCH) == meant
    assert table.ended_by(BATCH) == meant
    untouched = {place for place, row in table.rows.items() if row.batch_id is None}
    assert untouched == before.keys() - meant
    assert progress.state is BatchState.COMPLETED
    assert progress.counters == (len(meant), len(meant), 0, 0, 0)
    assert sum(_is_the_batch(entry) for entry in service.settle()) == 1


def _is_the_batch(entry: Entry) -> bool:
    return isinstance(codec.decode(entry.value or b""), StartBatch)
