"""Random turns on the SQLite table and on the plain one."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings

from support.effort import examples
from support.tables.state_twin import Twin
from support.tables.twin_histories import History, histories


@settings(max_examples=examples(150), deadline=None)
@given(histories)
def test_both_tables_always_hold_and_answer_the_same(history: History) -> None:
    """Whatever turns do, committed or rolled back, the table says what a table in plain dicts says."""
    twin = Twin(Path(":memory:"))
    twin.run(history)
    twin.store.close()
