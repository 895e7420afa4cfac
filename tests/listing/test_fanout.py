"""A gateway's queries over workers that serve over HTTP, while partitions move between them."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import aclosing
from random import Random
from typing import TYPE_CHECKING, TypeVar

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from streams.engine.effects import RemoveRow, UpdateRow
from streams.listing import fanout
from streams.listing.query import CountQuery, GroupBy, ListQuery, OneQuery, QueryRefusedError
from streams.listing.signing import QuerySecret
from streams.model import Filter, Status
from streams.protocol.routing import partition_of
from support.tables.served_partitions import ServedPartitions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from streams.listing.fanout import FanOut

pytestmark = pytest.mark.long

_T = TypeVar("_T")
NAMES = [f"i-{number}" for number in range(60)]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ServedPartitions]:
    """Four partitions, three workers, sixty rows; two workers have two partitions each."""
    with ServedPartitions(tmp_path, 4, 3) as made:
        for number, name in enumerate(NAMES):
            made.invoke(name, created_at=number // 7)
        made.move(2, 1)
        made.move(3, 1)
        yield made


def asked(served: ServedPartitions, ask: Callable[[FanOut], Awaitable[_T]], secret: QuerySecret | None = None) -> _T:
    """The answer to a gateway."""

    async def run() -> _T:
        async with aclosing(_Closing(served.fan_out(secret))) as closing:
            return await ask(closing.fan)

    return asyncio.run(run())


class _Closing:
    def __init__(self, fan: FanOut) -> None:
        self.fan = fan

    async def aclose(self) -> None:
        await self.fan.close()


def test_a_list_is_that_of_all_workers_newest_first(served: ServedPartitions) -> None:
    """Page by page, each row once; equal times by partition, then by seq."""

    async def walk(fan: FanOut) -> list[tuple[int, int, int]]:
        found, query = [], ListQuery(limit=7)
        while True:
            page = await fan.page(query)
            assert not page.missing_partitions
            found += [(view.created_at, view.partition, view.seq) for view in page.items]
            if page.next_cursor is None:
                return found
            query = replace(query, cursor=page.next_cursor)

    found = asked(served, walk)
    assert len(found) == len(NAMES)
    assert found == sorted(found, reverse=True)


def test_rows_that_stand_throughout_are_listed_once_while_everything_changes(
    served: ServedPartitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others of the same created_at end, are purged and arrive, and partitions change owners or have none."""
    monkeypatch.setattr(fanout, "_AGAIN_S", 0.0)
    random = Random(7)
    rows = {row.invocation_id: row for row in served.invoke(*(f"j-{n}" for n in range(60)), created_at=9)}
    stood = {f"j-{number}" for number in range(0, 60, 2)}
    others = [f"j-{number}" for number in range(1, 60, 2)]

    def change(number: int) -> None:
        served.invoke(f"k-{number}", created_at=9)
        row = rows[others[number % len(others)]]
        partition = partition_of(row.invocation_id, 4)
        if number < len(others):
            ended = replace(row, status=Status.COMPLETED)
            served.turn(partition, UpdateRow(ended) if number % 2 else RemoveRow(row.seq, row.invocation_id))
        moving = random.randrange(4)
        if random.random() < 0.4:
            served.take_away(moving)
        else:
            served.move(moving, random.randrange(3))

    async def walk(fan: FanOut) -> Counter[str]:
        found: Counter[str] = Counter()
        query = ListQuery(Filter(statuses=(Status.RUNNING,)), limit=3)
        for number in range(1_000):
            page = await fan.page(query)
            found.update(view.invocation_id for view in page.items)
            if page.next_cursor is None:
                return found
            query = replace(query, cursor=page.next_cursor)
            change(number)
            if number > 50:
                for partition in range(4):
                    served.move(partition, number % 3)
        raise AssertionError("the list has no end")

    found = asked(served, walk)
    assert {name: found[name] for name in stood} == dict.fromkeys(stood, 1)
    assert {name: found[name] for name in NAMES} == dict.fromkeys(NAMES, 1)
    assert set(found.values()) == {1}


def test_a_partition_that_has_moved_is_found_by_its_fresh_address(
    served: ServedPartitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last worker says that it is not its own; the new address comes a moment later."""
    old = served.addresses[1]
    served.move(1, 2)
    fresh = served.addresses[1]
    served.addresses[1] = old

    async def come(_: float) -> None:
        if asks:
            served.addresses[1] = fresh
        asks.append(1)

    asks: list[int] = []
    monkeypatch.setattr("streams.listing.fanout.asyncio.sleep", come)
    counts = asked(served, lambda fan: fan.counts(CountQuery()))
    assert (counts.exact, len(asks)) == (True, 2)


def test_what_nobody_serves_is_named(served: ServedPartitions, monkeypatch: pytest.MonkeyPatch) -> None:
    """A partition without a worker, one whose worker is gone, one that never had an address: the others answer."""
    monkeypatch.setattr(fanout, "_AGAIN_S", 0.0)
    served.take_away(0)
    served.addresses[1] = replace(served.addresses[1], url="http://127.0.0.1:1")
    del served.addresses[2]
    page = asked(served, lambda fan: fan.page(ListQuery(limit=500)))
    assert page.missing_partitions == (0, 1, 2)
    assert {view.partition for view in page.items} == {3}
    assert page.next_cursor is not None
    with capture_logs() as lines:
        counts = asked(served, lambda fan: fan.counts(CountQuery()))
    assert (counts.exact, counts.missing_partitions) == (False, (0, 1, 2))
    assert [(line["event"], line["url"]) for line in lines] == [("a worker gave no answer", "http://127.0.0.1:1")]
    name = next(name for name in NAMES if partition_of(name, 4) == 1)
    found = asked(served, lambda fan: fan.one(OneQuery(name)))
    assert (found.missing, found.partition, found.view) == (True, 1, None)
    told = asked(served, lambda fan: fan.partitions())
    assert [each.counts is not None for each in told] == [False, False, False, True]
    assert [each.address is not None for each in told] == [True, True, False, True]


def test_counts_are_sums_over_partitions(served: ServedPartitions) -> None:
    """By status, and by a value."""
    counts = asked(served, lambda fan: fan.counts(CountQuery()))
    assert [(group.value, group.counts) for group in counts.groups] == [(None, {Status.RUNNING: 60})]
    by_service = asked(served, lambda fan: fan.counts(CountQuery(group_by=GroupBy.SERVICE)))
    assert [(group.value, group.counts) for group in by_service.groups] == [("mail", {Status.RUNNING: 60})]
    few = asked(served, lambda fan: fan.counts(CountQuery(Filter(labels={"name": "i-7"}))))
    assert [group.counts for group in few.groups] == [{Status.RUNNING: 1}]


def test_one_invocation_is_found_where_its_id_says(served: ServedPartitions) -> None:
    """Or nowhere, which is not the same as without an answer."""
    served.invoke("paid", payload=b"much")
    found = asked(served, lambda fan: fan.one(OneQuery("paid", payload=True)))
    assert found.view is not None
    assert (found.view.payload, found.view.partition) == (b"much", partition_of("paid", 4))
    nobody = asked(served, lambda fan: fan.one(OneQuery("nobody")))
    assert (nobody.view, nobody.missing) == (None, False)


@pytest.mark.parametrize("limit", [0, 501])
def test_a_limit_out_of_bounds_is_refused(served: ServedPartitions, limit: int) -> None:
    """By name."""
    with pytest.raises(QueryRefusedError, match="limit is") as refused:
        asked(served, lambda fan: fan.page(ListQuery(limit=limit)))
    assert refused.value.field == "limit"


def test_an_unclear_filter_is_refused_before_anybody_is_asked(served: ServedPartitions) -> None:
    """It would look like partitions that give no answer."""
    for ask in (lambda fan: fan.page(ListQuery(Filter())), lambda fan: fan.counts(CountQuery(Filter(services=())))):
        with pytest.raises(QueryRefusedError, match="filter") as refused:
            asked(served, ask)
        assert refused.value.field == "filter"


def test_only_answers_with_the_right_signature_are_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker with another secret, or an answer that was changed on its way, gives no answer."""
    monkeypatch.setattr(fanout, "_AGAIN_S", 0.0)
    file, other = tmp_path / "secret", tmp_path / "other"
    for each in (file, other):
        each.write_bytes(each.name.encode() * 8)
        each.chmod(0o600)
    with ServedPartitions(tmp_path, 2, 1, file) as served:
        served.invoke(*NAMES)
        assert asked(served, lambda fan: fan.counts(CountQuery()), QuerySecret(file)).exact
        assert not asked(served, lambda fan: fan.counts(CountQuery()), QuerySecret(other)).exact
        assert not asked(served, lambda fan: fan.counts(CountQuery())).exact
        monkeypatch.setattr("streams.worker.queries.answer_signature", lambda *_: "0" * 64)
        assert not asked(served, lambda fan: fan.counts(CountQuery()), QuerySecret(file)).exact
