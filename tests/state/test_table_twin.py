"""Random turns on the SQLite table and on the plain one."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from support.state_twin import Twin, turns


@settings(max_examples=150, deadline=None)
@given(turns)
def test_both_tables_always_hold_and_answer_the_same(history: list[tuple[bool, list[tuple[Any, ...]]]]) -> None:
    """Whatever turns do, committed or rolled back, the table says what a table in plain dicts says."""
    with tempfile.TemporaryDirectory() as folder:
        twin = Twin(Path(folder) / "t.db")
        twin.run(history)
        twin.store.close()
