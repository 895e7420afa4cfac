"""What `tail` prints beside the records of the changelog."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.cli import tail
from streams.cli.records import typed_json
from streams.cli.tail import Deltas
from streams.model import Change, Invocation, InvocationRow, Meta, PageDelta, Status

if TYPE_CHECKING:
    from typing import Any

    import pytest


def _row(name: str, seq: int) -> dict[str, Any]:
    return typed_json(InvocationRow(Invocation(name, "s", "h"), seq, 0, Status.RUNNING, 1, -1, 1_000, 1_000))


DELTA = PageDelta(2_000, None, (Change(Status.KILLED, seqs=(5, 2)), Change(Status.CANCELLING, seqs=(9,))))
"""Of the rows 5, 7 and 9: numbers after the first are differences."""


def test_beside_a_delta_stand_the_ids_that_it_changes(capsys: pytest.CaptureFixture[str]) -> None:
    """As far as they are known from rows of the same partition; where one stands is told once."""
    deltas = Deltas()
    for partition, name, seq in ((0, "a", 5), (0, "b", 7), (1, "c", 9), (0, "d", 6)):
        assert deltas.beside(partition, _row(name, seq)) == {}
    assert deltas.beside(0, typed_json(DELTA)) == {"changed_ids": ["a", "b"], "changed_but_not_read": 1}
    assert deltas.beside(0, _row("e", 9)) == {}
    assert deltas.beside(0, typed_json(DELTA)) == {"changed_ids": ["a", "b", "e"]}
    assert capsys.readouterr().err.count("streams invocation show ID") == 1


def test_beside_other_records_stands_nothing() -> None:
    """A tombstone or another kind of record changes no row by number."""
    assert Deltas().beside(0, None) == {}
    assert Deltas().beside(0, typed_json(Meta())) == {}


def test_the_rows_remembered_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long reading needs no more memory than a short one."""
    monkeypatch.setattr(tail, "_REMEMBERED", 2)
    deltas = Deltas()
    for name, seq in (("a", 5), ("b", 7), ("c", 9)):
        deltas.beside(0, _row(name, seq))
    assert deltas.beside(0, typed_json(DELTA)) == {"changed_ids": ["b", "c"], "changed_but_not_read": 1}
