"""A list of everything, paged to its end: what workers and gateway hold does not grow with it."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from streams.codec import encode_invocation
from streams.engine.answers import At
from streams.engine.effects import InsertRow
from streams.listing.query import MAX_LIMIT, ListQuery
from streams.model import Invocation, Row, Status
from support.tables.served_partitions import ServedPartitions

pytestmark = pytest.mark.long

PARTITIONS = 4
EACH = int(250_000 * float(os.environ.get("STREAMS_TEST_SCALE", "0.05")))
"""Rows of each partition."""
AT_ONCE = 5_000
MOST_BLOCKS = 20_000
"""Each row that was kept would be more than ten."""
MOST_BYTES = 20_000_000
"""SQLite's pages, of which each partition's queries keep 4 MiB, are not among Python's blocks."""


def fill(served: ServedPartitions) -> None:
    """Rows, as many on each partition."""
    for partition in range(PARTITIONS):
        table = served.tables[partition]
        for first in range(0, EACH, AT_ONCE):
            seqs = range(first, min(first + AT_ONCE, EACH))
            table.begin()
            table.absorb([insert(partition, seq) for seq in seqs], At(partition, first, 0))
            table.set_position(seqs.stop, 0)
            table.flush()
            table.commit(seqs.stop, 1)


def insert(partition: int, seq: int) -> InsertRow:
    """A new row with an id of usual length."""
    invocation = Invocation(f"019a5c1e-7f3a-7c40-{partition:04}-{seq:012}", "mail", "send", labels={"tenant": "acme"})
    row = Row(invocation.invocation_id, encode_invocation(invocation), seq, 0, Status.RUNNING, 1, -1, seq, 0)
    return InsertRow(row, invocation)


def resident() -> int:
    """Memory of this process, bytes."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def held() -> tuple[int, int]:
    """Blocks of memory that Python has, and bytes that the process has."""
    gc.collect()
    return sys.getallocatedblocks(), resident()


@pytest.mark.timeout(600)
def test_a_list_of_everything_costs_no_memory(tmp_path: Path) -> None:
    """At the end as much is held as after a tenth of it."""

    async def walk(served: ServedPartitions) -> tuple[int, list[tuple[int, int]]]:
        fan, query, listed, marks = served.fan_out(), ListQuery(limit=MAX_LIMIT), 0, list[tuple[int, int]]()
        try:
            while True:
                page = await fan.page(query)
                assert not page.missing_partitions
                listed += len(page.items)
                if not marks and listed >= EACH * PARTITIONS // 10:
                    marks.append(held())
                if page.next_cursor is None:
                    return listed, [*marks, held()]
                query = replace(query, cursor=page.next_cursor)
        finally:
            await fan.close()

    with ServedPartitions(tmp_path, PARTITIONS, 2) as served:
        served.move(2, 1)
        served.move(3, 1)
        fill(served)
        listed, (early, late) = asyncio.run(walk(served))
    assert listed == EACH * PARTITIONS
    assert late[0] - early[0] < MOST_BLOCKS
    assert late[1] - early[1] < MOST_BYTES
