"""Rows that a table hands on: their order, and those left out."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from streams.codec import encode, encode_invocation, encode_row
from streams.model import Change, Ending, Invocation, PageDelta, Payload, Row, Status
from streams.state.store import Store
from streams.state.unfinished import status_counts, unfinished_rows

if TYPE_CHECKING:
    from pathlib import Path

ROWS = (
    (1, Status.PENDING, None),
    (2, Status.PAUSED, Status.PENDING),
    (3, Status.KILLED, None),
    (4, Status.SCHEDULED, None),
    (5, Status.RUNNING, None),
    (6, Status.PAUSED, Status.SUSPENDED),
    (7, Status.READY, None),
    (8, Status.CANCELLING, None),
)
"""Seq, status, where it was paused from."""


def _entries(seq: int, status: Status, paused_from: Status | None) -> list[tuple[str, bytes | None, int]]:
    invocation = Invocation(f"i-{seq}", "carts", "add", labels={"n": str(seq)})
    encoded = encode_invocation(invocation)
    row = Row(f"i-{seq}", encoded, seq, 0, status, 1, -1, 1, 1, paused_from=paused_from)
    return [(f"i/i-{seq}", encode_row(row), 2 * seq), (f"p/i-{seq}", encode(Payload(b"p%d" % seq)), 2 * seq + 1)]


def test_what_executors_know_comes_first_and_what_has_ended_does_not_come(tmp_path: Path) -> None:
    """An object is occupied before its inbox arrives, whatever their seqs; a page's delta counts as the rows' own."""
    with closing(Store.open(tmp_path / "t", 0)) as store:
        store.begin()
        store.apply_changelog([entry for row in ROWS for entry in _entries(*row)])
        paused = PageDelta(9, None, (Change(Status.PAUSED, Status.READY, None, (7,)),))
        ended = PageDelta(9, Ending(), (Change(Status.CANCELLED, None, None, (4,)),))
        store.apply_changelog([("d/50", encode(paused), 50), ("d/51", encode(ended), 51)])
        store.commit(52, 0)
        found = list(unfinished_rows(store.db))
        assert [each.row.seq for each in found] == [5, 6, 7, 8, 1, 2]
        assert [each.payload for each in found] == [b"p5", b"p6", b"p7", b"p8", b"p1", b"p2"]
        assert [each.invocation.labels["n"] for each in found] == ["5", "6", "7", "8", "1", "2"]
        assert found[2].row.paused_from is Status.READY
        assert status_counts(store.db) == {
            Status.PENDING: 1,
            Status.RUNNING: 1,
            Status.PAUSED: 3,
            Status.CANCELLING: 1,
            Status.CANCELLED: 1,
            Status.KILLED: 1,
        }
